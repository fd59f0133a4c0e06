# vae.mk: a variational autoencoder of rows or pictures (Kingma, Welling 2014).
#
#   DATA less FOLD ─ gm-batch ─x─ gm-grad V  LIKELIHOOD(x,x) + BETA kl(x) ─ gm-step V ─ gm-log
#   FOLD or TEST ─ gm-batch ─x─┬ gm-grad V ─ elbo                             nats for each row, the latent variables drawn once
#                              ├ gm-forward V ─x,out─ reconstructions.png     originals beside what comes back
#                              └ gm-forward V ─z─ awk ─ gm-forward V          interpolation.png: from each row to the next
#
#   make -f pipelines/vae.mk                                digits, to out/vae/
#   make -f pipelines/vae.mk CONDITIONAL=1 OUT=out/told     encoder and decoder are told the class: gm-sample --label
#   make -f pipelines/vae.mk LIKELIHOOD=gaussian DEVIATION=0.2      normal pixels in place of grey values as Bernoulli's
#   make -f pipelines/vae.mk DATA=iris.csv LABEL=species SCALE=standard BATCH=32 LATENT=2 EPOCHS=2000 LIKELIHOOD=gaussian \
#       E_LAYERS=dense:32:relu D_LAYERS='dense:32:relu dense:8'     a table: 4 means and 4 log variances, learnt
#
# Leaves samples.png, samples.csv, reconstructions.png, interpolation.png, latent.csv, elbo, run.csv, losses.png.

NAME      := vae
SHIPPED   := $(patsubst ./%,%,$(dir $(patsubst %/,%,$(dir $(lastword $(MAKEFILE_LIST))))))examples/data
DATA      ?= $(SHIPPED)/digits.csv
LABEL     ?= $(if $(findstring digits.csv,$(DATA)),digit)
SHAPE     ?= $(if $(findstring digits.csv,$(DATA)),8x8)
TEST      ?=
FOLD      ?= $(if $(TEST),,1/5)
CONDITIONAL ?=
SCALE     ?= range:0,1
LATENT    ?= $(if $(findstring digits.csv,$(DATA)),10,20)
E_LAYERS  ?= dense:$(if $(findstring digits.csv,$(DATA)),256,400):relu
D_LAYERS  ?= $(E_LAYERS) dense:features:$(if $(filter gaussian,$(LIKELIHOOD)),linear,sigmoid)
LIKELIHOOD ?= bernoulli
DEVIATION ?=
BETA      ?= 1
OPTIMIZER ?= adam:lr=1e-3
SCHEDULE  ?=
BATCH     ?= 128
EPOCHS    ?= $(if $(findstring digits.csv,$(DATA)),200,20)
SEED      ?= 1
KEEP      ?= 1000
SAMPLES   ?= 2000
PICTURES  ?= $(if $(CONDITIONAL),10,64)

V    = $(OUT)/V.gm
t    = $(if $(CONDITIONAL),[x$(comma)y],x)
likelihood = $(LIKELIHOOD)($(t),x$(if $(DEVIATION),$(comma)$(DEVIATION)))
LOSS = $(likelihood) + $(BETA)*kl($(t))

TRAIN = gm-batch -b $(BATCH) --train $(V) -e $(EPOCHS) -s $(SEED) $(if $(FOLD),--fold $(FOLD) --hold-out) $(DATA) | \
	gm-grad -m $(V) --loss "$(LOSS)" --drop x,y | gm-step -m $(V) $(drift) $(if $(SCHEDULE),--schedule $(SCHEDULE)) --checkpoint $(OUT)/V.gmt:$(KEEP) | \
	gm-log -o $(OUT)/run.csv

SETTINGS = DATA=$(DATA) LABEL=$(LABEL) FORM=$(FORM) FOLD=$(FOLD) CONDITIONAL=$(CONDITIONAL) SCALE=$(SCALE) LATENT=$(LATENT) E_LAYERS=$(E_LAYERS) \
	D_LAYERS=$(D_LAYERS) LIKELIHOOD=$(LIKELIHOOD) DEVIATION=$(DEVIATION) BETA=$(BETA) OPTIMIZER=$(OPTIMIZER) SCHEDULE=$(SCHEDULE) $(if $(SCHEDULE),EPOCHS=$(EPOCHS)) \
	BATCH=$(BATCH) SEED=$(SEED)
INPUTS = $(DATA)

include $(dir $(lastword $(MAKEFILE_LIST)))common.mk

$(call whole,EPOCHS,1)
$(call whole,LATENT,1)
$(call there,TEST)
ifeq ($(strip $(FOLD)$(TEST)),)
$(error give FOLD=I/K, rows of DATA that are held out, or TEST=FILE)
endif
ifeq ($(filter bernoulli gaussian,$(LIKELIHOOD)),)
$(error LIKELIHOOD is bernoulli or gaussian, not '$(LIKELIHOOD)')
endif
ifneq ($(CONDITIONAL),)
ifeq ($(LABEL)$(findstring ubyte,$(DATA)),)
$(error CONDITIONAL needs the classes of the rows: LABEL=COLUMN)
endif
endif

# Layers: those of the encoder, its end (means and log variances), the gaussian one, those of the decoder.
z     = $(shell echo $$(($(words $(E_LAYERS)) + 1)))
last  = $(shell echo $$(($(z) + $(words $(D_LAYERS)))))
after = $(shell echo $$(($(z) + 1)))
told  = $(if $(CONDITIONAL),+classes)
inputs = $(if $(CONDITIONAL),-i x$(comma)y)
held_out = gm-batch -m $(V) $(if $(TEST),$(TEST),--fold $(FOLD) $(DATA))

pictures = $(if $(SHAPE),$(OUT)/samples.png $(OUT)/reconstructions.png $(OUT)/interpolation.png)
all: $(OUT)/elbo $(OUT)/samples.csv $(OUT)/latent.csv $(pictures) $(OUT)/losses.png
	@echo "$(OUT)/elbo           negative evidence lower bound of $(if $(TEST),$(TEST),fold $(FOLD)), nats for each row: $$(cat $(OUT)/elbo)"
	@echo "$(OUT)/samples.csv    $(SAMPLES) generated rows, same columns as the data"
	@$(foreach picture,$(pictures),echo "$(picture)";)

# Ranges are those of all rows, the fold's too, so that these are grey values as well.
$(V): | $(OUT)/settings
	@gm-init -o $@ -s $(SEED) $(described) --optimizer $(OPTIMIZER) features$(told) $(E_LAYERS) dense:$$((2 * $(LATENT))) gaussian:$(LATENT)$(told) $(D_LAYERS)

$(OUT)/trained-$(EPOCHS): $(OUT)/settings | $(V)
	@[ "$$(gm-show --step $(V))" -gt 0 ] || echo "training a VAE on $(DATA), $(EPOCHS) epochs"
	@$(run)
	@[ -f $@ ] || { rm -f $(OUT)/trained-*; touch $@; }

# What is made of the rows that are held out is made anew when these change.
$(OUT)/held-out: FORCE | $(OUT)/settings
	$(call note,$(if $(TEST),TEST=$(TEST),FOLD=$(FOLD)))
$(OUT)/elbo $(OUT)/reconstructions.png $(OUT)/latent.csv: $(OUT)/held-out $(TEST)

$(OUT)/elbo: $(OUT)/trained-$(EPOCHS)
	@$(held_out) -b 1000 | gm-grad -m $(V) --loss "$(likelihood) + kl($(t))" --no-param-grad | gm-show | \
	awk '{ for (i = 1; i < NF; i++) if ($$i == "loss/V") { sum += $$4 * $$(i + 1); rows += $$4 } } END { if (!rows) exit 1; printf "%.3f\n", sum / rows }' >$@.tmp
	@mv $@.tmp $@
$(OUT)/samples.png: $(OUT)/trained-$(EPOCHS)
	@gm-sample -m $(V) -n $(PICTURES) -s $(SEED) --png $@ --shape $(SHAPE) $(if $(CONDITIONAL),--each-class)
$(OUT)/samples.csv: $(OUT)/trained-$(EPOCHS)
	@gm-sample -m $(V) -n $(SAMPLES) -s $(SEED) --csv >$@.tmp
	@mv $@.tmp $@
$(OUT)/reconstructions.png: $(OUT)/trained-$(EPOCHS)
	@$(held_out) -b 32 | gm-forward -m $(V) $(inputs) -o out | gm-show --png $@ --shape $(SHAPE) --tensor x,out
$(OUT)/latent.csv: $(OUT)/trained-$(EPOCHS)
	@$(held_out) -b 1000 | gm-forward -m $(V) --layers 0-$(z) $(inputs) -o z | gm-show --csv z | \
		awk 'NR == 1 { n = split($$0, names, ","); for (i = 1; i <= n; i++) printf "z%d%s", i - 1, i < n ? "," : "\n"; next } { print }' >$@.tmp
	@mv $@.tmp $@
# Eight points from each of nine rows to the next, on a straight line.
$(OUT)/interpolation.png: $(OUT)/latent.csv
	@awk -F, 'NR == 1 { print; next } NR > 10 { exit } { for (k = 0; NR > 2 && k < 8; k++) \
		for (i = 1; i <= NF; i++) printf "%.9g%s", last[i] + ($$i - last[i]) * k / 7, i < NF ? "," : "\n"; for (i = 1; i <= NF; i++) last[i] = $$i }' \
		$< >$(OUT)/interpolation.csv
	@gm-batch -b 64 --scale none $(OUT)/interpolation.csv | gm-forward -m $(V) --layers $(after)-$(last) -o out | gm-show --png $@ --shape $(SHAPE) --tensor out
$(OUT)/losses.png: $(OUT)/trained-$(EPOCHS)
	$(call plot,$(OUT)/run.csv,$@,$(DATA))
