# gan.mk: a generative adversarial network on rows of a table or on pictures.
#
#   DATA ─ gm-batch ─x─ gm-noise ─x,z─ gm-forward G ─x,z,fake─┐
#      ┌──────────────────────────────────────────────────────┘
#      ├ gm-grad D  bce(x,1)+bce(fake,0) ─ gm-step D ┐                     the discriminator learns to tell x from fake
#      ┌─────────────────────────────────────────────┘
#      ├ gm-grad D  bce(fake,1) ─d/fake─ gm-grad G ─ gm-step G ─ gm-log    the generator learns to be taken for real
#
#   make -f pipelines/gan.mk                         digits, 20000 steps, to out/gan/
#   make -f pipelines/gan.mk STEPS=40000 FUSED=1     goes on from there, in one process
#   make -f pipelines/gan.mk clean                   forgets the run

NAME      := gan
SHIPPED   := $(patsubst ./%,%,$(dir $(patsubst %/,%,$(dir $(lastword $(MAKEFILE_LIST))))))examples/data
DATA      ?= $(SHIPPED)/digits.csv
LABEL     ?= $(if $(findstring digits.csv,$(DATA)),digit)
SHAPE     ?= $(if $(findstring digits.csv,$(DATA)),8x8)
SCALE     ?= range:-1,1
NOISE     ?= 20
G_LAYERS  ?= dense:128:leaky dense:256:leaky dense:features:tanh
D_LAYERS  ?= dense:256:leaky dense:128:leaky dense:1:sigmoid
OPTIMIZER ?= adam:lr=2e-4,beta1=0.5
D_LOSS    ?= bce(x,1) + bce(fake,0)
G_LOSS    ?= bce(fake,1)
BATCH     ?= 128
STEPS     ?= 20000
SEED      ?= 1
KEEP      ?= 1000
SAMPLES   ?= 2000
PICTURES  ?= 64

G = $(OUT)/G.gm
D = $(OUT)/D.gm

TRAIN = gm-batch -b $(BATCH) --train $(G),$(D) -n $(STEPS) -s $(SEED) $(DATA) | \
	gm-noise --dim $(NOISE) -s $(SEED) | \
	gm-forward -m $(G) -i z -o fake | \
	gm-grad -m $(D) --loss "$(D_LOSS)" | gm-step -m $(D) --checkpoint $(OUT)/D.gmt:$(KEEP) | \
	gm-grad -m $(D) --loss "$(G_LOSS)" --input-grad fake --no-param-grad | \
	gm-grad -m $(G) -i z --upstream fake | gm-step -m $(G) --checkpoint $(OUT)/G.gmt:$(KEEP) | \
	gm-log -o $(OUT)/run.csv

SETTINGS = DATA=$(DATA) LABEL=$(LABEL) SCALE=$(SCALE) NOISE=$(NOISE) G_LAYERS=$(G_LAYERS) D_LAYERS=$(D_LAYERS) \
	OPTIMIZER=$(OPTIMIZER) D_LOSS=$(D_LOSS) G_LOSS=$(G_LOSS) BATCH=$(BATCH) SEED=$(SEED)
INPUTS = $(DATA)

include $(dir $(lastword $(MAKEFILE_LIST)))common.mk

$(call whole,STEPS,1)
comma := ,
empty :=
files = $(subst $(empty) $(empty),$(comma),$(strip $(DATA)))
INIT = gm-init --data $(files) $(if $(LABEL),--label $(LABEL)) --scale $(SCALE) --optimizer $(OPTIMIZER)

all: $(OUT)/samples.png $(OUT)/losses.png $(OUT)/samples.csv
	@echo "$(OUT)/samples.png    $(PICTURES) generated rows as pictures"
	@echo "$(OUT)/losses.png     loss curves"
	@echo "$(OUT)/samples.csv    $(SAMPLES) generated rows, same columns as the data"

$(G): | $(OUT)/settings
	@$(INIT) -o $@ -s $(SEED) $(NOISE) $(G_LAYERS)
$(D): | $(OUT)/settings
	@$(INIT) -o $@ -s $$(($(SEED) + 1)) features $(D_LAYERS)

# The models know their step: a run that was interrupted goes on, one that is finished has nothing to do.
$(OUT)/trained-$(STEPS): $(OUT)/settings | $(G) $(D)
	@if [ "$$(gm-show --step $(G))" -lt $(STEPS) ]; then \
		echo "training a GAN on $(DATA), $(STEPS) steps"; \
		$(run); fi
	@[ -f $@ ] || { rm -f $(OUT)/trained-*; touch $@; }

$(OUT)/samples.png: $(OUT)/trained-$(STEPS)
	@gm-sample -m $(G) -n $(PICTURES) -s $(SEED) --png $@ $(if $(SHAPE),--shape $(SHAPE))
$(OUT)/samples.csv: $(OUT)/trained-$(STEPS)
	@gm-sample -m $(G) -n $(SAMPLES) -s $(SEED) --csv >$@.tmp
	@mv $@.tmp $@
$(OUT)/losses.png: $(OUT)/trained-$(STEPS)
	$(call plot,$(OUT)/run.csv,$@,$(DATA))
