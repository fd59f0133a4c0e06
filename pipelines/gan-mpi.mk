# gan-mpi.mk: a generative adversarial network on several processes or hosts.
#
#   each rank:   its rows of DATA ─ gm-batch ─ gm-noise ─ gm-forward G ─┐
#      ┌────────────────────────────────────────────────────────────────┘
#      ├ gm-grad D  D_LOSS ─ gm-allreduce D ─ gm-step D ┐                             gradients are the mean of all ranks'
#      ┌────────────────────────────────────────────────┘
#      ├ gm-grad D  G_LOSS ─d/fake─ gm-grad G ─ gm-allreduce G ─ gm-step G ─ gm-log
#
#   make -f pipelines/gan-mpi.mk                            digits, 2 ranks of this machine, to out/gan-mpi/
#   make -f pipelines/gan-mpi.mk LAUNCH='mpirun --hostfile hosts' OUT=/shared/run
#   sbatch examples/slurm/gan.sh                            as a job
#
# BATCH rows are those of all ranks together: more ranks are faster and change nothing but the rounding of sums.

NAME      := gan-mpi
SHIPPED   := $(patsubst ./%,%,$(dir $(patsubst %/,%,$(dir $(lastword $(MAKEFILE_LIST))))))examples/data
DATA      ?= $(SHIPPED)/digits.csv
LABEL     ?= $(if $(findstring digits.csv,$(DATA)),digit)
SHAPE     ?= $(if $(findstring digits.csv,$(DATA)),8x8)
SCALE     ?= range:-1,1
NOISE     ?= 20
BATCH     ?= 128
STEPS     ?= 20000
SEED      ?= 1
OPTIMIZER ?= adam:lr=2e-4,beta1=0.5
D_LOSS    ?= bce(x,1) + bce(fake,0)
G_LOSS    ?= bce(fake,1)
G_LAYERS  ?= dense:128:leaky dense:256:leaky dense:features:tanh
D_LAYERS  ?= dense:256:leaky dense:128:leaky dense:1:sigmoid

MODELS = G D
LINE = gm-batch -b $(BATCH) --shard auto --train G.gm,D.gm -n $(STEPS) -s $(SEED) $(abspath $(DATA)) | \
	gm-noise --dim $(NOISE) -s $(SEED) | gm-forward -m G.gm -i z -o fake | \
	gm-grad -m D.gm --loss "$(D_LOSS)" --drop x | $(call mean,D) gm-step -m D.gm $(drift) $(call kept,D) | \
	gm-grad -m D.gm --loss "$(G_LOSS)" --input-grad fake --no-param-grad | \
	gm-grad -m G.gm -i z --upstream fake --drop z,fake,d/fake | $(call mean,G) gm-step -m G.gm $(drift) $(call kept,G)

SETTINGS = DATA=$(DATA) LABEL=$(LABEL) FORM=$(FORM) SCALE=$(SCALE) NOISE=$(NOISE) G_LAYERS=$(G_LAYERS) D_LAYERS=$(D_LAYERS) \
	OPTIMIZER=$(OPTIMIZER) D_LOSS=$(D_LOSS) G_LOSS=$(G_LOSS) BATCH=$(BATCH) SEED=$(SEED)
INPUTS = $(DATA)

include $(dir $(lastword $(MAKEFILE_LIST)))common.mk
$(call whole,STEPS,1)
include $(HERE)/ranks.mk

all: $(if $(SHAPE),$(OUT)/samples.png) $(OUT)/losses.png
	@$(if $(SHAPE),echo "$(OUT)/samples.png    64 generated rows as pictures")
	@echo "$(OUT)/losses.png     loss curves"
	@echo "$(OUT)/G.gm           the generator: gm-sample -m $(OUT)/G.gm -n ROWS"

$(OUT)/G.0.gmt: | $(OUT)/settings
	@gm-init --force -o $(OUT)/G.gm -s $(SEED) $(described) --optimizer $(OPTIMIZER) $(NOISE) $(G_LAYERS)
	@gm-save -o $@ $(OUT)/G.gm
$(OUT)/D.0.gmt: | $(OUT)/settings $(OUT)/G.0.gmt
	@gm-init --force -o $(OUT)/D.gm -s $$(($(SEED) + 1)) $(described) --optimizer $(OPTIMIZER) features $(D_LAYERS)
	@gm-save -o $@ $(OUT)/D.gm

$(OUT)/samples.png: $(OUT)/trained-$(STEPS)
	@gm-sample -m $(OUT)/G.gm -n 64 -s $(SEED) --png $@ --shape $(SHAPE)
$(OUT)/losses.png: $(OUT)/trained-$(STEPS)
	$(call plot,$(OUT)/run.csv,$@,$(DATA))
