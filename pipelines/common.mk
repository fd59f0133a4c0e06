# common.mk: what every pipeline shares: a shell that sees a dead stage, the tools, two ways to run, settings that must not drift.
#
# A pipeline of many runs sets `runs`, and gets a target `commands` that prints a line of shell for each, for other engines to run.
#
# A pipeline sets, before it includes this file:   NAME   TRAIN (the pipeline, in one line)   SETTINGS (what a run depends on)
#   INPUTS (files that it depends on)
# and gets: $(OUT), $(run) (runs $(TRAIN) by shell pipes, or with FUSED=1 by gm-pipe, on THREADS threads), the targets `tools` and $(OUT)/settings,
# $(described) (what gm-init is told of DATA, LABEL and SCALE) and $(FORM) (how a CSV file is to be read: its five variables).

SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DELETE_ON_ERROR:
.SECONDARY:
.DEFAULT_GOAL := all

HERE    := $(patsubst %/,%,$(dir $(lastword $(MAKEFILE_LIST))))
ROOT    := $(patsubst %/,%,$(dir $(HERE)))
OUT     ?= out/$(NAME)
FUSED   ?=
THREADS ?= $(or $(GM_THREADS),1)
export GM_THREADS := $(THREADS)

comma := ,
empty :=

SEPARATOR   ?=
NO_HEADER   ?=
CATEGORICAL ?=
NUMERIC     ?=
MISSING     ?=
FORM = $(strip $(if $(SEPARATOR),--separator '$(SEPARATOR)') $(if $(NO_HEADER),--no-header) \
	$(if $(CATEGORICAL),--categorical '$(CATEGORICAL)') $(if $(NUMERIC),--numeric '$(NUMERIC)') $(if $(MISSING),--missing '$(MISSING)'))
files = $(subst $(empty) $(empty),$(comma),$(strip $(DATA)))
described = --data $(files) $(if $(LABEL),--label "$(LABEL)") $(FORM) --scale $(SCALE)

ifneq ($(words $(OUT)),1)
$(error OUT='$(OUT)': make cannot work with blanks in a folder's name)
endif

# $(call whole,NAME,LOW): refuses a variable that is no whole number from LOW (0 or 1) on.
whole = $(if $(shell grep -xE '[0-9]+' <<<'$($(1))' | grep -vxE '$(if $(filter 0,$(2)),x,0+)'),,\
	$(error $(1) must be a whole number from $(2) on, not '$($(1))'))

$(call whole,THREADS,1)

# $(call there,NAME): refuses a variable that names a file which is not there, before anything is trained.
there = $(foreach file,$($(1)),$(if $(wildcard $(file)),,$(error $(1)=$($(1)): there is no file '$(file)')))

# $(call metric,NAME): refuses what gm-classify --eval does not print.
metric = $(if $(filter accuracy balanced_accuracy log_loss brier auc macro_f1 precision_% recall_%,$(1)),,\
	$(error '$(1)' is no figure: there are accuracy balanced_accuracy log_loss brier auc macro_f1 precision_CLASS recall_CLASS))

# ALLOW_DRIFT=1: a run that was begun on another machine goes on, though its BLAS gives other bits.
ALLOW_DRIFT ?=
drift = $(if $(ALLOW_DRIFT),--allow-drift)

# Before commands of a recipe: one make at a time in $(OUT).
locked = exec 9>$(OUT)/lock; flock 9;

# In a checkout the tools are built on demand; installed ones are found in PATH.
ifneq ($(wildcard $(ROOT)/Makefile),)
export PATH := $(abspath $(ROOT)/build/bin):$(PATH)
tools:
	@$(MAKE) --no-print-directory -C $(ROOT) -f Makefile packages PIPELINE_PACKAGES=gnuplot-nox
	@$(MAKE) --no-print-directory -C $(ROOT) -f Makefile -s $(if $(findstring jobserver,$(MAKEFLAGS)),,-j2) build
else
tools: ;
endif
.PHONY: all tools clean FORCE

ifeq ($(FUSED),)
run = $(TRAIN)
else
run = gm-pipe '$(TRAIN)'
endif

# A run goes on only with the settings it was begun with; $(OUT) is one run.
define check_settings
@mkdir -p $(OUT); $(locked) \
wanted='$(subst ','\'',$(SETTINGS))'$(if $(INPUTS)," INPUTS=$$(cat $(INPUTS) | cksum | tr ' ' :)"); \
if [ -f $(OUT)/settings ] && [ "$$(cat $(OUT)/settings)" != "$$wanted" ]; then \
	if ! compgen -G '$(OUT)/*.gm' >/dev/null; then rm $(OUT)/settings; echo "$$wanted" >$(OUT)/settings; exit; fi; \
	echo "$(OUT) was begun with other settings, or other contents of its INPUTS: choose another OUT=..., or make clean" >&2; \
	diff <(tr ' ' '\n' <$(OUT)/settings) <(tr ' ' '\n' <<<"$$wanted") >&2 || true; exit 1; fi; \
[ -f $(OUT)/settings ] || { echo "$$wanted" >$(OUT)/settings.tmp && mv $(OUT)/settings.tmp $(OUT)/settings; }
endef
$(OUT)/settings: FORCE | tools
	$(check_settings)

# $(call note,TEXT): a target that holds TEXT, and is made anew when it changes (it depends on FORCE).
define note
@[ "$$(cat $@ 2>/dev/null)" = '$(1)' ] || echo '$(1)' >$@
endef

# The columns of a log as curves: $(call plot,LOG.csv,PICTURE.png,TITLE)
define plot
@$(locked) gnuplot -e "set terminal pngcairo size 900,500; set output '$(2).tmp'; set datafile separator ','; set key autotitle columnhead outside top; \
	set xlabel 'step'; set ylabel 'loss'; set title '$(3)'; set grid; n = $$(head -n 1 $(1) | tr ',' '\n' | wc -l); \
	rows = $$(wc -l <$(1)); e = rows > 2000 ? rows / 2000 : 1; plot for [c = 2:n] '$(1)' every e using 1:c with lines"; \
mv $(2).tmp $(2)
endef

# What was set on the command line, as words for another make.
given = $(foreach v,$(sort $(foreach v,$(.VARIABLES),$(if $(filter command,$(firstword $(origin $(v)))),$(v)))),$(v)='$(subst ','\'',$(value $(v)))')
commands: | tools
	@$(foreach r,$(runs),$(info make -s -C '$(CURDIR)' -f '$(abspath $(firstword $(MAKEFILE_LIST)))' -o tools $(given) $(r))):
.PHONY: commands

clean:
	rm -rf $(OUT)
