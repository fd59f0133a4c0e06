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
#   make -f pipelines/gan.mk FAMILY=hinge OUT=out/hinge
#   make -f pipelines/gan.mk CONDITIONAL=1 OUT=out/told      a generator that is told the class
#   make -f pipelines/gan.mk PAC=8 OUT=out/pac       D judges eight rows at once, against mode collapse (Lin et al. 2018)
#   make -f pipelines/gan.mk FILM=2000 OUT=out/film          film.png: what the generator makes of the same noise along the way
#   make -f pipelines/gan.mk clean                   forgets the run
#
# FAMILY is nonsaturating, minimax, lsgan, wgan, wgan-gp, hinge or article. It gives D_LOSS, G_LOSS, D_END, OPTIMIZER, CRITIC
# and CLIP_WEIGHTS, and any of them that is given too wins. STEPS are those of D: G learns at each CRITIC-th of them.
# PAC are the rows that D judges side by side, as one input; PAC divides BATCH. Empty: each row alone.

NAME      := gan
SHIPPED   := $(patsubst ./%,%,$(dir $(patsubst %/,%,$(dir $(lastword $(MAKEFILE_LIST))))))examples/data
FAMILY    ?= nonsaturating
DATA      ?= $(SHIPPED)/digits.csv
LABEL     ?= $(if $(findstring digits.csv,$(DATA)),digit)
CONDITIONAL ?=
PAC       ?=
SHAPE     ?= $(if $(findstring digits.csv,$(DATA)),8x8)
SCALE     ?= range:-1,1
NOISE     ?= 20
BATCH     ?= 128
STEPS     ?= 20000
SEED      ?= 1
KEEP      ?= 1000
SAMPLES   ?= 2000
PICTURES  ?= $(if $(CONDITIONAL),10,64)

real   = $(if $(CONDITIONAL),[x$(comma)y],x)
fake   = $(if $(CONDITIONAL),[fake$(comma)y],fake)

# Targets of real rows for D, one-sided label smoothing (Salimans et al. 2016): of the families that have such targets.
SMOOTH    ?= 1
families := nonsaturating minimax lsgan wgan wgan-gp hinge article
smoothed := nonsaturating minimax lsgan

ifeq ($(FAMILY),nonsaturating) # Goodfellow et al. 2014, end of section 3
D_LOSS    ?= bce($(real),$(SMOOTH)) + bce($(fake),0)
G_LOSS    ?= bce($(fake),1)
else ifeq ($(FAMILY),minimax) # Goodfellow et al. 2014, equation 1
D_LOSS    ?= bce($(real),$(SMOOTH)) + bce($(fake),0)
G_LOSS    ?= -bce($(fake),0)
else ifeq ($(FAMILY),lsgan) # Mao et al. 2017, equation 9
D_LOSS    ?= 0.5*mse($(real),$(SMOOTH)) + 0.5*mse($(fake),0)
G_LOSS    ?= 0.5*mse($(fake),1)
D_END     ?= linear
else ifeq ($(FAMILY),wgan) # Arjovsky, Chintala, Bottou 2017, algorithm 1
D_LOSS    ?= mean($(fake)) - mean($(real))
G_LOSS    ?= -mean($(fake))
D_END     ?= linear
OPTIMIZER ?= rmsprop:lr=5e-5
CRITIC    ?= 5
CLIP_WEIGHTS ?= 0.01
else ifeq ($(FAMILY),wgan-gp) # Gulrajani et al. 2017, algorithm 1
D_LOSS    ?= mean($(fake)) - mean($(real)) + 10*gp($(real),$(fake))
G_LOSS    ?= -mean($(fake))
D_END     ?= linear
OPTIMIZER ?= adam:lr=1e-4,beta1=0,beta2=0.9
CRITIC    ?= 5
else ifeq ($(FAMILY),hinge) # Lim, Ye 2017
D_LOSS    ?= hinge($(real),1) + hinge($(fake),-1)
G_LOSS    ?= -mean($(fake))
D_END     ?= linear
else ifeq ($(FAMILY),article) # the two losses that this project goes back to, as printed: see gm-loss(7)
LAMBDA_G  ?= 1
LAMBDA_D  ?= 1
LAMBDA_1  ?= 1e-4
LAMBDA_2  ?= 1e-4
LAMBDA_3  ?= 1e-4
D_LOSS    ?= $(LAMBDA_D)*prob($(real)) + $(LAMBDA_D)*bce($(fake),0) + $(LAMBDA_3)*l2()
G_OWN     ?= $(LAMBDA_1)*l2()
G_LOSS    ?= $(LAMBDA_G)*prob($(fake)) + bce($(fake),0) + $(LAMBDA_2)*l2()
else
$(error FAMILY is one of $(families), not '$(FAMILY)')
endif

D_END     ?= sigmoid
OPTIMIZER ?= adam:lr=2e-4,beta1=0.5
CRITIC    ?= 1
EMA       ?=
averaging  = $(if $(EMA),$(if $(findstring :,$(OPTIMIZER)),$(comma),:)ema=$(EMA))
G_OPTIMIZER ?= $(OPTIMIZER)$(averaging)
D_OPTIMIZER ?= $(OPTIMIZER)
CLIP_NORM    ?=
CLIP_WEIGHTS ?=
SCHEDULE  ?=
DROPOUT   ?=
FILM      ?=
G_OWN     ?=
dropout    = $(if $(DROPOUT),dropout:$(DROPOUT))
G_LAYERS  ?= dense:128:leaky dense:256:leaky dense:features:tanh
D_LAYERS  ?= dense:256:leaky $(dropout) dense:128:leaky $(dropout) dense:1:$(D_END)

G = $(OUT)/G.gm
D = $(OUT)/D.gm

inputs = z$(if $(CONDITIONAL),$(comma)y)
every  = $(if $(filter-out 1,$(CRITIC)),--every $(CRITIC))
step   = $(if $(CLIP_NORM),--clip-norm $(CLIP_NORM)) $(if $(SCHEDULE),--schedule $(SCHEDULE))

TRAIN = gm-batch -b $(BATCH) --train $(G),$(D) -n $(STEPS) -s $(SEED) $(DATA) | \
	gm-noise --dim $(NOISE) -s $(SEED) | \
	gm-forward -m $(G) -i $(inputs) -o fake | \
	gm-grad -m $(D) --loss "$(D_LOSS)" | \
	gm-step -m $(D) $(drift) $(step) $(if $(CLIP_WEIGHTS),--clip-weights $(CLIP_WEIGHTS)) --checkpoint $(OUT)/D.gmt:$(KEEP) | \
	gm-grad -m $(D) --loss "$(G_LOSS)" --input-grad fake --no-param-grad $(every) | \
	gm-grad -m $(G) -i $(inputs) --upstream fake $(if $(G_OWN),--loss "$(G_OWN)") $(every) --drop z,d/fake | \
	gm-step -m $(G) $(drift) $(step) $(every) --checkpoint $(OUT)/G.gmt:$(KEEP)$(if $(FILM),$(comma)$(OUT)/film/%.gmt:$(FILM)) | \
	gm-log -o $(OUT)/run.csv --watch fake=x

# A schedule may depend on the number of steps in all, so that is then fixed too.
SETTINGS = FAMILY=$(FAMILY) DATA=$(DATA) LABEL=$(LABEL) FORM=$(FORM) CONDITIONAL=$(CONDITIONAL) PAC=$(PAC) SCALE=$(SCALE) NOISE=$(NOISE) G_LAYERS=$(G_LAYERS) \
	D_LAYERS=$(D_LAYERS) G_OPTIMIZER=$(G_OPTIMIZER) D_OPTIMIZER=$(D_OPTIMIZER) D_LOSS=$(D_LOSS) G_LOSS=$(G_LOSS) G_OWN=$(G_OWN) FILM=$(FILM) CRITIC=$(CRITIC) \
	CLIP_NORM=$(CLIP_NORM) CLIP_WEIGHTS=$(CLIP_WEIGHTS) SCHEDULE=$(SCHEDULE) $(if $(SCHEDULE),STEPS=$(STEPS)) BATCH=$(BATCH) SEED=$(SEED)
INPUTS = $(DATA)

include $(dir $(lastword $(MAKEFILE_LIST)))common.mk

$(call whole,STEPS,1)
$(call whole,CRITIC,1)
$(if $(FILM),$(call whole,FILM,1))
ifneq ($(SMOOTH),1)
ifeq ($(filter $(FAMILY),$(smoothed)),)
$(error SMOOTH is for $(smoothed): $(FAMILY) has no targets to smooth)
endif
endif
ifneq ($(CONDITIONAL),)
ifeq ($(LABEL)$(findstring ubyte,$(DATA)),)
$(error CONDITIONAL needs the classes of the rows: LABEL=COLUMN)
endif
endif
ifneq ($(PAC),)
$(call whole,PAC,1)
$(call whole,BATCH,1)
ifneq ($(shell expr $(BATCH) % $(PAC)),0)
$(error PAC=$(PAC) must divide BATCH=$(BATCH): each row is in one pack)
endif
endif
condition = $(if $(CONDITIONAL),+classes)
packs = $(if $(PAC),pac:$(PAC):)

# IDX files say how large their pictures are.
pictured = $(SHAPE)$(findstring ubyte,$(DATA))
all: $(if $(pictured),$(OUT)/samples.png) $(OUT)/losses.png $(OUT)/samples.csv $(if $(FILM),$(OUT)/film.png)
	@$(if $(pictured),echo "$(OUT)/samples.png    $(PICTURES) generated rows $(if $(CONDITIONAL),of each class )as pictures")
	@echo "$(OUT)/losses.png     loss curves"
	@$(if $(FILM),echo "$(OUT)/film.png       a row of pictures for each $(FILM) steps")
	@echo "$(OUT)/samples.csv    $(SAMPLES) generated rows, same columns as the data"

$(G): | $(OUT)/settings
	@$(if $(FILM),mkdir -p $(OUT)/film)
	@gm-init -o $@ -s $(SEED) $(described) --optimizer $(G_OPTIMIZER) $(NOISE)$(condition) $(G_LAYERS)
$(D): | $(OUT)/settings
	@gm-init -o $@ -s $$(($(SEED) + 1)) $(described) --optimizer $(D_OPTIMIZER) $(packs)features$(condition) $(D_LAYERS)

# The models know their step: a run that was interrupted goes on, one that is finished has nothing to do.
$(OUT)/trained-$(STEPS): $(OUT)/settings | $(G) $(D)
	@if [ "$$(gm-show --step $(G))" -lt $(STEPS) ]; then \
		echo "training a GAN ($(FAMILY)) on $(DATA), $(STEPS) steps"; \
		$(run); fi
	@[ -f $@ ] || { rm -f $(OUT)/trained-*; touch $@; }

$(OUT)/samples.png: $(OUT)/trained-$(STEPS)
	@gm-sample -m $(G) -n $(PICTURES) -s $(SEED) --png $@ $(if $(SHAPE),--shape $(SHAPE)) $(if $(CONDITIONAL),--each-class)
$(OUT)/film.png: $(OUT)/trained-$(STEPS)
	@gm-sample -m "$$(ls $(OUT)/film/*.gmt | sort -V | paste -sd,)" \
		-n 12 -s $(SEED) --png $@ $(if $(SHAPE),--shape $(SHAPE))
$(OUT)/samples.csv: $(OUT)/trained-$(STEPS)
	@gm-sample -m $(G) -n $(SAMPLES) -s $(SEED) --csv >$@.tmp
	@mv $@.tmp $@
$(OUT)/losses.png: $(OUT)/trained-$(STEPS)
	$(call plot,$(OUT)/run.csv,$@,$(DATA))
