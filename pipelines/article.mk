# article.mk: the reference experiment that this project goes back to: a GAN on uniform rows.
#
#   10,000 x 100 numbers, uniform in (-1,1) ─ gm-batch ─ gm-noise (20) ─ the loop of gan.mk ─ generated rows, predictions
#
# The article's code could not run as printed; this is what it describes: generator 20-128-256-100 (relu, relu, tanh),
# discriminator 100-256-128-1 (relu, relu, sigmoid), batches of 128, Adam(2e-4, beta1 0.5), 1000 epochs in the original.
#
#   make -f pipelines/article.mk                     100 epochs
#   make -f pipelines/article.mk EPOCHS=1000 FUSED=1 all of it, in one process

NAME      := article
ROWS      ?= 10000
COLUMNS   ?= 100
NOISE     ?= 20
BATCH     ?= 128
EPOCHS    ?= 100
SEED      ?= 1
KEEP      ?= 1000
OPTIMIZER ?= adam:lr=2e-4,beta1=0.5

G = $(OUT)/G.gm
D = $(OUT)/D.gm
DATA = $(OUT)/rows.gmt

TRAIN = gm-batch -b $(BATCH) --train $(G),$(D) -e $(EPOCHS) -s $(SEED) $(DATA) | \
	gm-noise --dim $(NOISE) -s $(SEED) | \
	gm-forward -m $(G) -i z -o fake | \
	gm-grad -m $(D) --loss "bce(x,1) + bce(fake,0)" --drop x | gm-step -m $(D) $(drift) --checkpoint $(OUT)/D.gmt:$(KEEP) | \
	gm-grad -m $(D) --loss "bce(fake,1)" --input-grad fake --no-param-grad --drop fake | \
	gm-grad -m $(G) -i z --upstream fake --drop z,d/fake | gm-step -m $(G) $(drift) --checkpoint $(OUT)/G.gmt:$(KEEP) | \
	gm-log -o $(OUT)/run.csv

SETTINGS = ROWS=$(ROWS) COLUMNS=$(COLUMNS) NOISE=$(NOISE) BATCH=$(BATCH) SEED=$(SEED) OPTIMIZER=$(OPTIMIZER)

include $(dir $(lastword $(MAKEFILE_LIST)))common.mk

all: $(OUT)/generated.csv $(OUT)/predictions.csv $(OUT)/losses.png
	@echo "$(OUT)/generated.csv      1000 generated rows"
	@echo "$(OUT)/losses.png         loss curves"
	@echo "$(OUT)/predictions.csv    what the discriminator makes of them, the probability of being real; the first ten:"
	@awk 'NR <= 11 { print "  " $$0 } NR > 1 { sum += $$1 } END { printf "  mean of %d: %.3f\n", NR - 1, sum / (NR - 1) }' $(OUT)/predictions.csv

$(DATA): | $(OUT)/settings
	@gm-noise -n $(ROWS) --dim $(COLUMNS) --dist uniform -s $(SEED) -o x >$@.tmp
	@mv $@.tmp $@
$(G): | $(OUT)/settings
	@gm-init -o $@ -s $(SEED) --optimizer $(OPTIMIZER) $(NOISE) dense:128:relu dense:256:relu dense:$(COLUMNS):tanh
$(D): | $(OUT)/settings
	@gm-init -o $@ -s $$(($(SEED) + 1)) --optimizer $(OPTIMIZER) $(COLUMNS) dense:256:relu dense:128:relu dense:1:sigmoid

$(OUT)/trained-$(EPOCHS): $(OUT)/settings | $(DATA) $(G) $(D)
	@$(run)
	@[ -f $@ ] || { rm -f $(OUT)/trained-*; touch $@; }
$(OUT)/generated.gmt: $(OUT)/trained-$(EPOCHS)
	@gm-sample -m $(G) -n 1000 -s $(SEED) >$@.tmp
	@mv $@.tmp $@
$(OUT)/generated.csv: $(OUT)/generated.gmt
	@gm-show --csv x $< >$@.tmp
	@mv $@.tmp $@
$(OUT)/predictions.csv: $(OUT)/generated.gmt
	@gm-forward -m $(D) --frozen -o real <$< | gm-show --csv real >$@.tmp
	@mv $@.tmp $@
$(OUT)/losses.png: $(OUT)/trained-$(EPOCHS)
	$(call plot,$(OUT)/run.csv,$@,the article)
