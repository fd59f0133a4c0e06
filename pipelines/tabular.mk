# tabular.mk: more rows of a table, numbers and categories mixed: a generator that ends in a mixed layer, and what gm-compare says.
#
#   DATA ─ gan.mk (a Wasserstein GAN with gradient penalty, numbers by their quantiles) ─ samples.csv ─┐
#     └────────────────────────────────────────────────────────────────────────────────── gm-compare ─┴─ figures
#
#   make -f pipelines/tabular.mk                                       a table of made-up people (examples/people.awk)
#   make -f pipelines/tabular.mk DATA=wine.csv LABEL=cultivar ROWS=1000
#   make -f pipelines/tabular.mk DATA=people.csv CATEGORICAL=children  columns of numbers that are names
#
# With LABEL the generator is told the class, and gm-sample -m out/tabular/gan/G.gm --label CLASS --csv makes rows of one.
# Other variables of gan.mk (PAC, KEEP, ...) can be given too. Leaves samples.csv, figures, gan/.

NAME      := tabular
EXAMPLES  := $(patsubst ./%,%,$(dir $(patsubst %/,%,$(dir $(lastword $(MAKEFILE_LIST))))))examples
DATA      ?= $(OUT)/people.csv
LABEL     ?= $(if $(filter $(OUT)/people.csv,$(DATA)),buys)
ROWS      ?= 20000
SCALE     ?= quantile
NOISE     ?= 32
LAYERS    ?= dense:256:leaky dense:256:leaky
D_LAYERS  ?= $(LAYERS) dense:1
TEMPERATURE ?= 0.2
ACTIVATION ?= $(if $(filter quantile,$(SCALE)),tanh,linear)
OPTIMIZER ?= adam:lr=5e-4,beta1=0.5,beta2=0.9
EMA       ?= 0.999
SCHEDULE  ?= cosine
BATCH     ?= 128
STEPS     ?= 20000
SEED      ?= 1

SETTINGS = DATA=$(DATA) LABEL=$(LABEL) FORM=$(FORM) SEED=$(SEED)
INPUTS = $(DATA)

include $(dir $(lastword $(MAKEFILE_LIST)))common.mk

$(call whole,ROWS,1)
$(call whole,STEPS,1)
$(call whole,SEED,0)

all: $(OUT)/figures
	@cat $(OUT)/figures
	@echo "$(OUT)/samples.csv    $(ROWS) generated rows, same columns as the data"
	@echo "$(OUT)/figures        how they compare with $(DATA)"

$(OUT)/people.csv: $(EXAMPLES)/people.awk
	@mkdir -p $(OUT)
	@awk -v rows=20000 -v seed=$(SEED) -f $< >$@.tmp
	@mv $@.tmp $@
$(OUT)/settings: $(DATA)

$(OUT)/gan/trained-$(STEPS): $(OUT)/settings FORCE
	@$(MAKE) --no-print-directory -s -f $(HERE)/gan.mk OUT=$(OUT)/gan DATA="$(DATA)" LABEL="$(LABEL)" CONDITIONAL=$(if $(LABEL),1) \
		SHAPE= FAMILY=wgan-gp CRITIC=1 SCALE="$(SCALE)" NOISE=$(NOISE) G_LAYERS="$(LAYERS) dense:features mixed:$(TEMPERATURE):$(ACTIVATION)" D_LAYERS="$(D_LAYERS)" \
		OPTIMIZER=$(OPTIMIZER) EMA=$(EMA) SCHEDULE=$(SCHEDULE) BATCH=$(BATCH) STEPS=$(STEPS) SEED=$(SEED) FUSED=$(FUSED) THREADS=$(THREADS) $@ $(OUT)/gan/losses.png
$(OUT)/sampled-$(STEPS)-$(ROWS): $(OUT)/gan/trained-$(STEPS)
	@gm-sample -m $(OUT)/gan/G.gm -n $(ROWS) -s $(SEED) --csv >$(OUT)/samples.csv.tmp
	@mv $(OUT)/samples.csv.tmp $(OUT)/samples.csv
	@rm -f $(OUT)/sampled-*; touch $@
$(OUT)/figures: $(OUT)/sampled-$(STEPS)-$(ROWS)
	@gm-compare $(if $(LABEL),--label "$(LABEL)") $(FORM) $(DATA) $(OUT)/samples.csv >$@.tmp
	@mv $@.tmp $@
