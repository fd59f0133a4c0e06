# cv.mk: K-fold cross-validation of classify.mk or svm.mk: each fold is held out once; a table with mean and deviation at the end.
#
#   make -f pipelines/cv.mk DATA=iris.csv LABEL=species             5 folds of classify.mk, to out/cv/
#   make -j2 -f pipelines/cv.mk PIPELINE=svm K=10                   two folds side by side
#
#   make -s -f pipelines/cv.mk commands | parallel --sshlogin a,b   on several hosts that share the folder; then make it
#
# All other variables are those of the pipeline.

NAME      ?= cv
PIPELINE  ?= classify
K         ?= 5
FOLD_SEED ?= 0
FIGURES   ?= accuracy balanced_accuracy log_loss brier macro_f1
SETTINGS   =
include $(dir $(lastword $(MAKEFILE_LIST)))common.mk

$(call whole,K,1)
ifeq ($(K),1)
$(error K must be at least 2)
endif
ifneq ($(TEST),)
$(error TEST has no place here: each fold is tested by the others)
endif
$(foreach figure,$(FIGURES),$(call metric,$(figure)))
folds := $(shell seq $(K))

runs  := $(patsubst %,$(OUT)/fold-%/figures,$(folds))

all: $(runs)
	@awk -v wanted="$(FIGURES)" 'FNR == 1 { n++ } { v[$$1, n] = $$2; have[$$1]++ } \
		END { printf "%-24s", "figure"; for (i = 1; i <= n; i++) printf "%9s", "fold " i; print "     mean deviation"; \
		m = split(wanted, names, " "); for (k = 1; k <= m; k++) { f = names[k]; if (have[f] != n) continue; s = q = 0; printf "%-24s", f; \
		for (i = 1; i <= n; i++) { printf "%9.4f", v[f, i]; s += v[f, i] } s /= n; for (i = 1; i <= n; i++) q += (v[f, i] - s) ^ 2; \
		printf "%9.4f %9.4f\n", s, sqrt(q / (n - 1)) } }' $^ | tee $(OUT)/table

define fold
$(OUT)/fold-$(1)/figures: FORCE | tools
	@$$(MAKE) --no-print-directory -o tools -f $(HERE)/$(PIPELINE).mk OUT=$(OUT)/fold-$(1) FOLD=$(1)/$(K):$(FOLD_SEED) $(OUT)/fold-$(1)/figures
endef
$(foreach i,$(folds),$(eval $(call fold,$(i))))
