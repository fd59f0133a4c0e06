# semi.mk: a classifier of rows of which few have a label: a semi-supervised GAN (Salimans et al. 2016, section 5).
#
#   DATA ─ gm-batch ─x,y─ gm-noise ─ gm-forward G ─x,y,fake─┐
#      ┌────────────────────────────────────────────────────┘
#      ├ gm-grad C  ce(x,y) + WEIGHT known(x,1) + WEIGHT known(fake,0) ─ gm-step C ┐      C tells the classes apart, and from fake
#      ┌──────────────────────────────────────────────────────────────────────────┘
#      ├ gm-grad C  known(fake,1) ─d/fake─ gm-grad G ─ gm-step G ─ gm-log                 G learns to be taken for one of the classes
#
#   make -f pipelines/semi.mk DATA=some.csv LABEL=digit TEST=test.csv      rows of some.csv whose label cell is empty have no label
#
# Leaves model.gm, figures (of TEST), samples.csv, samples.png (with SHAPE), run.csv, losses.png.

NAME      := semi
DATA      ?=
LABEL     ?=
TEST      ?=
SHAPE     ?=
SCALE     ?= range:-1,1
NOISE     ?= 20
WEIGHT    ?= 1
LAYERS    ?= dropout:0.1 dense:512:leaky dropout:0.5 dense:classes:softmax
G_LAYERS  ?= dense:128:leaky dense:256:leaky dense:features:tanh
OPTIMIZER ?= adam:lr=3e-4,beta1=0.5,ema=0.999
BATCH     ?= 128
STEPS     ?= 8000
SEED      ?= 1
KEEP      ?= 1000
SAMPLES   ?= 2000

G = $(OUT)/G.gm
C = $(OUT)/C.gm

TRAIN = gm-batch -b $(BATCH) --train $(G),$(C) -n $(STEPS) -s $(SEED) $(DATA) | \
	gm-noise --dim $(NOISE) -s $(SEED) | \
	gm-forward -m $(G) -i z -o fake | \
	gm-grad -m $(C) --loss "ce(x,y) + $(WEIGHT)*known(x,1) + $(WEIGHT)*known(fake,0)" | gm-step -m $(C) $(drift) --checkpoint $(OUT)/C.gmt:$(KEEP) | \
	gm-grad -m $(C) --loss "known(fake,1)" --input-grad fake --no-param-grad | \
	gm-grad -m $(G) -i z --upstream fake --drop z,d/fake | gm-step -m $(G) $(drift) --checkpoint $(OUT)/G.gmt:$(KEEP) | \
	gm-log -o $(OUT)/run.csv --watch fake=x

SETTINGS = DATA=$(DATA) LABEL=$(LABEL) FORM=$(FORM) SCALE=$(SCALE) NOISE=$(NOISE) WEIGHT=$(WEIGHT) LAYERS=$(LAYERS) G_LAYERS=$(G_LAYERS) \
	OPTIMIZER=$(OPTIMIZER) BATCH=$(BATCH) SEED=$(SEED)
INPUTS = $(DATA)

include $(dir $(lastword $(MAKEFILE_LIST)))common.mk

ifeq ($(and $(DATA),$(LABEL)),)
$(error DATA=FILE.csv and LABEL=COLUMN say which rows, and which column holds the classes of those that have one)
endif
$(call whole,STEPS,1)
$(call there,TEST)
INIT = gm-init $(described) --unlabelled --optimizer $(OPTIMIZER)

all: $(OUT)/model.gm $(if $(TEST),$(OUT)/figures) $(OUT)/samples.csv $(if $(SHAPE),$(OUT)/samples.png) $(OUT)/losses.png
	@echo "$(OUT)/model.gm       the classifier: gm-classify -m $(OUT)/model.gm FILE"
	@$(if $(TEST),echo "$(OUT)/figures        on $(TEST):"; grep -vE '^(precision|recall)' $(OUT)/figures)

$(G): | $(OUT)/settings
	@$(INIT) -o $@ -s $(SEED) $(NOISE) $(G_LAYERS)
$(C): | $(OUT)/settings
	@$(INIT) -o $@ -s $$(($(SEED) + 1)) features $(LAYERS)

$(OUT)/trained-$(STEPS): $(OUT)/settings | $(G) $(C)
	@if [ "$$(gm-show --step $(G))" -lt $(STEPS) ]; then echo "training a semi-supervised GAN on $(DATA), $(STEPS) steps"; $(run); fi
	@[ -f $@ ] || { rm -f $(OUT)/trained-*; touch $@; }

$(OUT)/model.gm: $(OUT)/trained-$(STEPS)
	@gm-save $(C) >$(OUT)/model.gmt
	@gm-init --force -o $@ --from $(OUT)/model.gmt >/dev/null
$(OUT)/figures.of: FORCE | $(OUT)/settings
	$(call note,TEST=$(TEST))
$(OUT)/figures: $(OUT)/model.gm $(OUT)/figures.of $(TEST)
	@gm-classify -m $< --eval $(TEST) >$@.tmp
	@mv $@.tmp $@
$(OUT)/samples.png: $(OUT)/trained-$(STEPS)
	@gm-sample -m $(G) -n 64 -s $(SEED) --png $@ --shape $(SHAPE)
$(OUT)/samples.csv: $(OUT)/trained-$(STEPS)
	@gm-sample -m $(G) -n $(SAMPLES) -s $(SEED) --csv >$@.tmp
	@mv $@.tmp $@
$(OUT)/losses.png: $(OUT)/trained-$(STEPS)
	$(call plot,$(OUT)/run.csv,$@,$(DATA))
