# classify-mpi.mk: a classifier on several processes or hosts.
#
#   each rank:   its rows of DATA less FOLD ─ gm-batch ─x,y─ gm-grad C  LOSS ─ gm-allreduce C ─ gm-step C ─ gm-log
#
#   make -f pipelines/classify-mpi.mk                       digits, 2 ranks of this machine, to out/classify-mpi/
#   make -f pipelines/classify-mpi.mk LAUNCH='mpirun --hostfile hosts' OUT=/shared/run DATA=/shared/wine.csv LABEL=cultivar
#   sbatch examples/slurm/classify.sh                       as a job
#
# BATCH rows are those of all ranks together: more ranks are faster and change nothing but the rounding of sums.

NAME      := classify-mpi
SHIPPED   := $(patsubst ./%,%,$(dir $(patsubst %/,%,$(dir $(lastword $(MAKEFILE_LIST))))))examples/data
DATA      ?= $(SHIPPED)/digits.csv
LABEL     ?= $(if $(findstring digits.csv,$(DATA)),digit)
FOLD      ?= 1/5
SCALE     ?= standard
LAYERS    ?= dense:256:relu dropout:0.3 dense:128:relu dense:classes:softmax
OPTIMIZER ?= adam:lr=1e-3
SCHEDULE  ?= cosine
LOSS      ?= ce(x,y)
BATCH     ?= 64
STEPS     ?= 1000
SEED      ?= 1

held   = $(if $(FOLD),--fold $(FOLD) --hold-out)
MODELS = C
LINE = gm-batch -b $(BATCH) --shard auto --train C.gm -n $(STEPS) -s $(SEED) $(held) $(abspath $(DATA)) | \
	gm-grad -m C.gm --loss "$(LOSS)" --drop x,y | \
	$(call mean,C) gm-step -m C.gm $(drift) $(if $(SCHEDULE),--schedule $(SCHEDULE)) $(call kept,C)

SETTINGS = DATA=$(DATA) LABEL=$(LABEL) FORM=$(FORM) FOLD=$(FOLD) SCALE=$(SCALE) LAYERS=$(LAYERS) OPTIMIZER=$(OPTIMIZER) \
	SCHEDULE=$(SCHEDULE) $(if $(SCHEDULE),STEPS=$(STEPS)) LOSS=$(LOSS) BATCH=$(BATCH) SEED=$(SEED)
INPUTS = $(DATA)

include $(dir $(lastword $(MAKEFILE_LIST)))common.mk
$(call whole,STEPS,1)
include $(HERE)/ranks.mk

all: $(OUT)/figures $(OUT)/losses.png
	@echo "$(OUT)/C.gm           the classifier: gm-classify -m $(OUT)/C.gm FILE"
	@echo "$(OUT)/figures        on $(if $(FOLD),fold $(FOLD) of )$(DATA):"
	@grep -vE '^(precision|recall)' $(OUT)/figures

$(OUT)/C.0.gmt: | $(OUT)/settings
	@gm-init --force -o $(OUT)/C.gm -s $(SEED) $(described) $(held) --optimizer $(OPTIMIZER) features $(LAYERS)
	@gm-save -o $@ $(OUT)/C.gm

$(OUT)/figures: $(OUT)/trained-$(STEPS)
	@gm-classify -m $(OUT)/C.gm --eval $(if $(FOLD),--fold $(FOLD)) $(DATA) >$@.tmp; mv $@.tmp $@
$(OUT)/losses.png: $(OUT)/trained-$(STEPS)
	$(call plot,$(OUT)/run.csv,$@,$(DATA))
