# discriminator.mk: the article's discriminator alone, 100-256-128-1 with a sigmoid, on labelled rows.
#
#   DATA ─ gm-batch ─x,y─ gm-grad D  bce(x,y) ─ gm-step D ─ gm-log
#
# DATA is a CSV file with a label column of two classes. Without one, rows of 100 columns are made: class 1 uniform in (-1,1) as
# in the article, class 0 standard normal, so that there is something to tell apart.
#
#   make -f pipelines/discriminator.mk
#   make -f pipelines/discriminator.mk DATA=mine.csv LABEL=real EPOCHS=20 FUSED=1

NAME      := discriminator
LABEL     ?= real
LAYERS    ?= dense:256:relu dense:128:relu dense:1:sigmoid
SCALE     ?= none
OPTIMIZER ?= adam:lr=2e-4,beta1=0.5
LOSS      ?= bce(x,y)
BATCH     ?= 128
EPOCHS    ?= 30
SEED      ?= 1
KEEP      ?= 1000
ROWS      ?= 10000

DATA      ?= $(OUT)/rows.csv
TEST      ?= $(if $(filter $(OUT)/rows.csv,$(DATA)),$(OUT)/test.csv,$(DATA))
D = $(OUT)/D.gm

TRAIN = gm-batch -b $(BATCH) --train $(D) -e $(EPOCHS) -s $(SEED) $(DATA) | \
	gm-grad -m $(D) --loss "$(LOSS)" --drop x,y | gm-step -m $(D) $(drift) --checkpoint $(OUT)/D.gmt:$(KEEP) | gm-log -o $(OUT)/run.csv

SETTINGS = DATA=$(DATA) LABEL=$(LABEL) LAYERS=$(LAYERS) SCALE=$(SCALE) OPTIMIZER=$(OPTIMIZER) LOSS=$(LOSS) BATCH=$(BATCH) SEED=$(SEED)

include $(dir $(lastword $(MAKEFILE_LIST)))common.mk

all: $(OUT)/figures $(OUT)/losses.png
	@echo "$(OUT)/figures        on $(TEST):"
	@cat $(OUT)/figures
	@echo "$(OUT)/losses.png     loss curve"

# Half the rows of each kind, the label in the last column: $(call rows,NUMBER,SEED)
define rows
@{ gm-noise -n $$(($(1) / 2)) --dim 100 --dist uniform -s $(2) -o c | gm-show --csv c | \
	awk 'NR == 1 { print $$0 ",real"; next } { print $$0 ",1" }'; \
   gm-noise -n $$(($(1) / 2)) --dim 100 --dist normal -s $$(($(2) + 1)) -o c | gm-show --csv c | \
	awk 'NR > 1 { print $$0 ",0" }'; } >$@.tmp
@mv $@.tmp $@
endef
$(OUT)/rows.csv: | $(OUT)/settings
	$(call rows,$(ROWS),$(SEED))
$(OUT)/test.csv: | $(OUT)/settings
	$(call rows,2000,$$(($(SEED) + 1000)))

$(D): $(if $(filter $(OUT)/rows.csv,$(DATA)),$(DATA)) | $(OUT)/settings
	@[ -f $@ ] || gm-init -o $@ -s $(SEED) --data $(DATA) --label $(LABEL) --scale $(SCALE) --optimizer $(OPTIMIZER) features $(LAYERS)

$(OUT)/trained-$(EPOCHS): $(OUT)/settings | $(D)
	@$(run)
	@[ -f $@ ] || { rm -f $(OUT)/trained-*; touch $@; }
$(OUT)/figures: $(OUT)/trained-$(EPOCHS) $(TEST)
	@gm-classify -m $(D) --eval $(TEST) >$@.tmp
	@mv $@.tmp $@
$(OUT)/losses.png: $(OUT)/trained-$(EPOCHS)
	$(call plot,$(OUT)/run.csv,$@,discriminator)
