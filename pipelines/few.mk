# few.mk: what generated rows and rows without a label are worth where few rows have one.
#
#   DATA ─┬ the last HELD_OUT rows ─ test.csv                                          all three are tested on these
#         ├ PER_CLASS rows of each class ─ labelled.csv ─┬ classify.mk                 labelled:  these rows alone
#         │                                              └ gan.mk CONDITIONAL=1 ─ samples.csv ─ classify.mk
#         │                                                                            extended:  these and SAMPLES generated rows
#         └ and the other rows, their labels removed ─ some.csv ─ semi.mk              semi:      a semi-supervised GAN
#
#   make -f pipelines/few.mk                    digits, 20 rows of each class
#   make -f pipelines/few.mk PER_CLASS=5 SEED=2
#
# Rows are lines here: no field may hold a line's end or the separator. Leaves labelled/, gan/, extended/, semi/, figures.

NAME      := few
SHIPPED   := $(patsubst ./%,%,$(dir $(patsubst %/,%,$(dir $(lastword $(MAKEFILE_LIST))))))examples/data
DATA      ?= $(SHIPPED)/digits.csv
LABEL     ?= $(if $(findstring digits.csv,$(DATA)),digit)
SHAPE     ?= $(if $(findstring digits.csv,$(DATA)),8x8)
PER_CLASS ?= 20
HELD_OUT  ?= 540
SEED      ?= 1
SCALE     ?= range:-1,1
LAYERS    ?= dropout:0.1 dense:512:leaky dropout:0.5 dense:classes:softmax
EPOCHS    ?= 200
GAN_STEPS ?= 4000
GAN_BATCH ?= 32
SAMPLES   ?= 200
STEPS     ?= 8000

SETTINGS = DATA=$(DATA) LABEL=$(LABEL) PER_CLASS=$(PER_CLASS) HELD_OUT=$(HELD_OUT) SEED=$(SEED) SCALE=$(SCALE) LAYERS=$(LAYERS) \
	EPOCHS=$(EPOCHS) GAN_STEPS=$(GAN_STEPS) GAN_BATCH=$(GAN_BATCH) SAMPLES=$(SAMPLES) STEPS=$(STEPS)
INPUTS = $(DATA)

include $(dir $(lastword $(MAKEFILE_LIST)))common.mk

ifeq ($(LABEL),)
$(error LABEL=COLUMN must say which column of $(DATA) holds the class)
endif
$(call whole,PER_CLASS,1)
$(call whole,HELD_OUT,1)
$(call whole,SEED,0)

also = @$(MAKE) --no-print-directory -s -f $(HERE)/$(1).mk OUT=$(OUT)/$(2) LABEL=$(LABEL) SCALE=$(SCALE) SEED=$(SEED) FUSED=$(FUSED) \
	THREADS=$(THREADS) $(3) >$(OUT)/$(2).log
classify = $(call also,classify,$(1),FOLD= DATA="$(2)" TEST=$(OUT)/test.csv LAYERS="$(LAYERS)" EPOCHS=$(EPOCHS) LOSS="ce(x,y) + 1e-4*l2()")

all: $(OUT)/figures
	@cat $<

# Rows are taken in the order of Park and Miller's random numbers (1988), which need no more than a double.
$(OUT)/some.csv: $(OUT)/settings
	@$(locked) awk -F, -v OFS=, -v label='$(LABEL)' -v few=$(PER_CLASS) -v held=$(HELD_OUT) -v seed=$$(($(SEED) * 7919 + 104729)) -v out=$(OUT) ' \
	NR == 1 { header = $$0; for (i = 1; i <= NF; i++) if ($$i == label) at = i; \
		if (!at) { print "few.mk: no column " label >"/dev/stderr"; exit failed = 1 } next } \
	{ row[++n] = $$0; class[n] = $$at } \
	END { if (failed) exit 1; \
		if (n <= held) { print "few.mk: of " n " rows " held " cannot be held out" >"/dev/stderr"; exit 1 } \
		print header >(out "/test.csv"); print header >(out "/labelled.csv"); print header >(out "/some.csv.tmp"); \
		for (i = n - held + 1; i <= n; i++) print row[i] >(out "/test.csv"); \
		m = n - held; for (i = 1; i <= m; i++) order[i] = i; \
		for (i = m; i > 1; i--) { seed = seed * 16807 % 2147483647; j = 1 + seed % i; t = order[i]; order[i] = order[j]; order[j] = t } \
		for (i = 1; i <= m; i++) { $$0 = row[order[i]]; \
			if (taken[class[order[i]]]++ < few) print >(out "/labelled.csv"); else $$at = ""; print >(out "/some.csv.tmp") } \
		for (c in taken) if (taken[c] < few) print "few.mk: class " c " has " taken[c] " rows, not " few >"/dev/stderr" }' $(DATA); \
	mv $@.tmp $@
$(OUT)/test.csv $(OUT)/labelled.csv: $(OUT)/some.csv ;

$(OUT)/labelled/figures: $(OUT)/labelled.csv
	$(call classify,labelled,$(OUT)/labelled.csv)
$(OUT)/gan/samples.csv: $(OUT)/labelled.csv
	$(call also,gan,gan,CONDITIONAL=1 DATA=$(OUT)/labelled.csv SHAPE=$(SHAPE) BATCH=$(GAN_BATCH) STEPS=$(GAN_STEPS) SAMPLES=$(SAMPLES))
$(OUT)/extended/figures: $(OUT)/labelled.csv $(OUT)/gan/samples.csv
	$(call classify,extended,$(OUT)/labelled.csv $(OUT)/gan/samples.csv)
$(OUT)/semi/figures: $(OUT)/some.csv
	$(call also,semi,semi,DATA=$(OUT)/some.csv TEST=$(OUT)/test.csv SHAPE=$(SHAPE) LAYERS="$(LAYERS)" STEPS=$(STEPS))

$(OUT)/figures: $(OUT)/labelled/figures $(OUT)/extended/figures $(OUT)/semi/figures
	@for way in labelled extended semi; do awk -v way=$$way '$$1 == "accuracy" { print way "_accuracy " $$2 }' $(OUT)/$$way/figures; done >$@.tmp
	@mv $@.tmp $@
