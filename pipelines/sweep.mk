# sweep.mk: a grid of hyper-parameters, each point one run of classify.mk in a folder of its own. What is done is not done again;
# a longer grid later runs the new points only.
#
#   make -j2 -f pipelines/sweep.mk LR='1e-4 1e-3 1e-2' HIDDEN='64 256-128'     to out/sweep/
#
#   make -s -f pipelines/sweep.mk commands | parallel --sshlogin a,b       on several hosts that share the folder; then make it
#
# A HIDDEN of 256-128 is two layers. The best point is chosen by METRIC on rows that were held out (FOLD). The variables of
# classify.mk are used too, but for OPTIMIZER, LAYERS and LOSS, which the grid makes.

NAME    ?= sweep
LR      ?= 3e-4 1e-3 3e-3
HIDDEN  ?= 64 256
DROPOUT ?= 0
L2      ?= 0
METRIC  ?= accuracy
SETTINGS =
include $(dir $(lastword $(MAKEFILE_LIST)))common.mk

ifneq ($(TEST),)
$(error TEST has no place here: points are judged by rows that are held out, FOLD)
endif
ifneq ($(filter-out undefined,$(origin OPTIMIZER) $(origin LAYERS) $(origin LOSS)),)
$(error LR, HIDDEN, DROPOUT and L2 make the OPTIMIZER, the LAYERS and the LOSS of each point: these are not to be set)
endif
$(call metric,$(METRIC))

points := $(foreach lr,$(LR),$(foreach hidden,$(HIDDEN),$(foreach dropout,$(DROPOUT),$(foreach l2,$(L2),lr_$(lr)/hidden_$(hidden)/dropout_$(dropout)/l2_$(l2)))))
folder = $(OUT)/$(subst /,+,$(1))
field = $(patsubst $(1)_%,%,$(filter $(1)_%,$(subst /, ,$(2))))
layers = $(foreach units,$(subst -, ,$(call field,hidden,$(1))),dense:$(units):relu $(if $(filter-out 0,$(call field,dropout,$(1))),dropout:$(call field,dropout,$(1)))) dense:classes:softmax

runs   = $(foreach p,$(points),$(call folder,$(p))/figures)

all: $(runs)
	@for f in $^; do echo "$$(awk -v m=$(METRIC) '$$1 == m { print $$2 }' $$f) $$(basename $$(dirname $$f))"; done | \
		sort -k1,1$(if $(filter log_loss brier,$(METRIC)),g,gr) | awk -v m=$(METRIC) 'NF != 2 { print "no " m " in " $$0 >"/dev/stderr"; exit 1 } \
		NR == 1 { print m "  point" } { print $$1 "  " $$2 } NR == 1 { best = $$2 } END { if (best) print "best: $(OUT)/" best "/model.gm" }' | tee $(OUT)/table

define point
$(call folder,$(1))/figures: FORCE | tools
	@$$(MAKE) --no-print-directory -o tools -f $(HERE)/classify.mk OUT=$(call folder,$(1)) OPTIMIZER=adam:lr=$(call field,lr,$(1)) LAYERS="$(call layers,$(1))" \
		LOSS="ce(x,y) + $(call field,l2,$(1))*l2()" $(call folder,$(1))/figures
endef
$(foreach p,$(points),$(eval $(call point,$(p))))
