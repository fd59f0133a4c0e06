# classify.mk: a classifier of labelled rows: a network with softmax, cross-entropy, Adam with a cosine schedule.
#
#   DATA less FOLD ─ gm-batch ─x,y─ gm-grad C  ce(x,y) ─ gm-step C ─ gm-log
#   each ROUND of epochs:   FOLD ─ gm-classify --eval ─ figures, the best of which early stopping keeps
#
#   make -f pipelines/classify.mk                                            digits, to out/classify/
#   make -f pipelines/classify.mk DATA=wine.csv LABEL=cultivar EPOCHS=200
#   make -f pipelines/classify.mk ROUND=2 PATIENCE=5 METRIC=accuracy         stops after 5 rounds that are no better
#   make -f pipelines/classify.mk DATA=train.csv FOLD= TEST=test.csv         trains on all of DATA, figures of TEST
#
#   make -f pipelines/classify.mk DATA=people.csv LABEL=ok SEPARATOR=';' CATEGORICAL=zip MISSING=n/a
#
# Leaves model.gm, figures, run.csv, losses.png. With PATIENCE the epoch is chosen by FOLD, and with CALIBRATE probabilities are
# fitted to it, so only figures of a TEST are then those of rows that had no say.

NAME      ?= classify
SHIPPED   := $(patsubst ./%,%,$(dir $(patsubst %/,%,$(dir $(lastword $(MAKEFILE_LIST))))))examples/data
DATA      ?= $(SHIPPED)/digits.csv
LABEL     ?= $(if $(findstring digits.csv,$(DATA)),digit,$(if $(findstring iris.csv,$(DATA)),species,$(if $(findstring wine.csv,$(DATA)),cultivar)))
TEST      ?=
FOLD      ?= 1/5
SCALE     ?= standard
INIT      ?= glorot
LAYERS    ?= dense:256:relu dropout:0.3 dense:128:relu dense:classes:softmax
OPTIMIZER ?= adam:lr=1e-3
SCHEDULE  ?= cosine
LOSS      ?= ce(x,y)
WEIGHT    ?=
BATCH     ?= 32
EPOCHS    ?= 40
PATIENCE  ?=
ROUND     ?= $(if $(PATIENCE),1,$(EPOCHS))
METRIC    ?= log_loss
CALIBRATE ?=
SEED      ?= 1
KEEP      ?= 1000

C = $(OUT)/C.gm

# UNTIL is the target's: the epoch at which its round ends.
TRAIN = gm-batch -b $(BATCH) --train $(C) -e $(EPOCHS) --until $(UNTIL) -s $(SEED) $(if $(FOLD),--fold $(FOLD) --hold-out) $(DATA) | \
	gm-grad -m $(C) --loss "$(LOSS)" $(if $(WEIGHT),--class-weight "$(WEIGHT)") --drop x,y | \
	gm-step -m $(C) $(drift) $(if $(SCHEDULE),--schedule $(SCHEDULE)) --checkpoint $(OUT)/C.gmt:$(KEEP) | gm-log -o $(OUT)/run.csv

INPUTS = $(DATA)
SETTINGS = DATA=$(DATA) LABEL=$(LABEL) FORM=$(FORM) FOLD=$(FOLD) SCALE=$(SCALE) INIT=$(INIT) LAYERS=$(LAYERS) OPTIMIZER=$(OPTIMIZER) \
	SCHEDULE=$(SCHEDULE) LOSS=$(LOSS) WEIGHT=$(WEIGHT) BATCH=$(BATCH) EPOCHS=$(EPOCHS) ROUND=$(ROUND) PATIENCE=$(PATIENCE) \
	$(if $(PATIENCE),METRIC=$(METRIC)) CALIBRATE=$(CALIBRATE) SEED=$(SEED)

include $(dir $(lastword $(MAKEFILE_LIST)))common.mk

ifeq ($(LABEL),)
ifeq ($(findstring ubyte,$(DATA)),)
$(error LABEL=COLUMN must say which column of $(DATA) holds the class)
endif
endif
ifeq ($(FOLD)$(TEST),)
$(error give FOLD=I/K, rows of DATA that are held out, or TEST=FILE)
endif
ifneq ($(PATIENCE)$(CALIBRATE),)
ifeq ($(FOLD),)
$(error PATIENCE and CALIBRATE need rows that are held out: FOLD=I/K)
endif
endif

ifneq ($(CALIBRATE),)
ifneq ($(filter %:softmax %:sigmoid,$(lastword $(LAYERS))),)
$(error CALIBRATE is for scores; the outputs of $(lastword $(LAYERS)) are probabilities already)
endif
endif
$(call whole,EPOCHS,1)
$(call whole,ROUND,1)
$(if $(PATIENCE),$(call whole,PATIENCE,1))
$(call metric,$(METRIC))

all: $(OUT)/figures $(OUT)/losses.png
	@echo "$(OUT)/model.gm       the classifier: gm-classify -m $(OUT)/model.gm FILE"
	@echo "$(OUT)/figures        on $(if $(TEST),$(TEST),fold $(FOLD) of $(DATA)):"
	@grep -vE '^(precision|recall)' $(OUT)/figures
	@$(if $(TEST),,$(if $(CALIBRATE),echo "(its probabilities were fitted to the same rows)"))

$(C): | $(OUT)/settings
	@$(locked) [ -f $@ ] || gm-init -o $@ -s $(SEED) $(described) $(if $(FOLD),--fold $(FOLD) --hold-out) \
		--init $(INIT) --optimizer $(OPTIMIZER) features $(LAYERS)

# One round behind the other: $(OUT)/rounds/E holds the figures behind epoch E; it is empty once training was stopped.
rounds := $(shell seq $(ROUND) $(ROUND) $$(($(EPOCHS) - 1))) $(EPOCHS)
last   := $(OUT)/rounds/$(EPOCHS)
before :=
$(foreach e,$(rounds),$(eval $(OUT)/rounds/$(e): BEFORE := $(before))$(eval $(OUT)/rounds/$(e): $(lastword $(before)))\
	$(eval before += $(OUT)/rounds/$(e)))

# $(call judge,N,FILES): whether N rounds since the best one were no better; with N = 0, whether the last one is the best.
judge = awk -v metric=$(METRIC) -v lower=$(if $(filter log_loss brier,$(METRIC)),1,0) -v stop=$(1) \
	'FNR == 1 { n++ } $$1 == metric { if (!best || (lower ? $$2 < value : $$2 > value)) { best = n; value = $$2 } } \
	END { if (n && !best) { print metric " is not among the figures" >"/dev/stderr"; exit 2 } \
	exit !(stop ? n - best >= stop : n == best) }' $(2)
stopped = $(if $(and $(PATIENCE),$(BEFORE)),[ ! -s $(lastword $(BEFORE)) ] || $(call judge,$(PATIENCE),$(BEFORE)),false)

$(OUT)/rounds/%: UNTIL = $*
# Under a lock, as two makes may be at work on one OUT: who comes second finds the round done.
$(OUT)/rounds/%: $(OUT)/settings | $(C)
	@mkdir -p $(@D)
	@[ -n "$(BEFORE)" ] || [ "$$(gm-show --step $(C))" -gt 0 ] || echo "training a classifier on $(DATA), $(EPOCHS) epochs"
	@$(locked) if [ -e $@ ]; then exit; fi; \
	if $(stopped); then : >$@.tmp; else $(run); \
		$(if $(FOLD),gm-classify -m $(C) --eval --fold $(FOLD) $(DATA),echo epoch $*) >$@.tmp; fi; \
	$(if $(PATIENCE),if [ -s $@.tmp ] && $(call judge,0,$(BEFORE) $@.tmp); then gm-save -o $(OUT)/best.gmt $(C); fi;) \
	mv $@.tmp $@

$(OUT)/model.gm: $(last)
	@$(locked) $(if $(PATIENCE),cp $(OUT)/best.gmt,gm-save $(C) >) $(OUT)/model.gmt; \
	gm-init --force -o $(OUT)/model.new --from $(OUT)/model.gmt >/dev/null; \
	$(if $(CALIBRATE),gm-classify -m $(OUT)/model.new --calibrate --fold $(FOLD) $(DATA) >/dev/null;) \
	mv $(OUT)/model.new $@
# What the figures are of: they are made anew when that changes.
$(OUT)/figures.of: FORCE | $(OUT)/settings
	$(call note,$(if $(TEST),TEST=$(TEST),FOLD=$(FOLD)))
$(OUT)/figures: $(OUT)/model.gm $(OUT)/figures.of $(TEST)
	@$(locked) gm-classify -m $< --eval $(if $(TEST),$(TEST),--fold $(FOLD) $(DATA)) >$@.tmp; mv $@.tmp $@
$(OUT)/losses.png: $(last)
	$(call plot,$(OUT)/run.csv,$@,$(DATA))
