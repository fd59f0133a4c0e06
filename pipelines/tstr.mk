# tstr.mk: train on synthetic rows, test on real ones: how good are generated rows for what rows are for?
#
#   REAL ─ svm.mk or classify.mk ─┐
#                                 ├─ TEST ─ real 0.97, synthetic 0.93
#   FAKE ─ svm.mk or classify.mk ─┘
#
#   make -f pipelines/tstr.mk REAL=train.csv FAKE=out/gan/samples.csv TEST=test.csv LABEL=digit
#   make -f pipelines/tstr.mk ... MODEL=mlp                      svm (RBF, the default), linear or mlp
#
# Other variables (EPOCHS, SCALE, LAYERS, ...) go to svm.mk or classify.mk. Leaves real/, synthetic/ and figures.

NAME  := tstr
REAL  ?=
FAKE  ?=
TEST  ?=
LABEL ?=
MODEL ?= svm
SEED  ?= 1

SETTINGS = REAL=$(REAL) FAKE=$(FAKE) LABEL=$(LABEL) MODEL=$(MODEL) SEED=$(SEED)
INPUTS = $(REAL) $(FAKE)

include $(dir $(lastword $(MAKEFILE_LIST)))common.mk

ifeq ($(and $(REAL),$(FAKE),$(TEST),$(LABEL)),)
$(error REAL, FAKE and TEST are files of rows, LABEL is the column of their class: all must be given)
endif
$(call there,REAL)$(call there,FAKE)$(call there,TEST)
ifeq ($(filter svm linear mlp,$(MODEL)),)
$(error MODEL is svm, linear or mlp, not '$(MODEL)')
endif

train = @$(MAKE) --no-print-directory -s -f $(HERE)/$(if $(filter mlp,$(MODEL)),classify,svm).mk OUT=$(OUT)/$(1) DATA="$(2)" LABEL="$(LABEL)" \
	FOLD= TEST="$(TEST)" SEED=$(SEED) FUSED=$(FUSED) THREADS=$(THREADS) $(if $(filter linear,$(MODEL)),KERNEL=linear) >$(OUT)/$(1).log

all: $(OUT)/figures
	@cat $<

# Both always run, and do nothing where nothing changed, in TEST or in what goes to them.
$(OUT)/real/figures: FORCE | $(OUT)/settings
	$(call train,real,$(REAL))
$(OUT)/synthetic/figures: FORCE | $(OUT)/settings
	$(call train,synthetic,$(FAKE))
$(OUT)/figures: $(OUT)/real/figures $(OUT)/synthetic/figures
	@for rows in real synthetic; do awk -v rows=$$rows '$$1 == "accuracy" { print rows, $$2 }' $(OUT)/$$rows/figures; done >$@.tmp
	@mv $@.tmp $@
