# ranks.mk: what gan-mpi.mk and classify-mpi.mk share: training in which mpirun or srun starts a pipeline on each rank.
#
# A pipeline includes it behind common.mk, with
#   MODELS   names: X is X.gm in LINE, each rank's own copy, in its host's TMPDIR
#   LINE     the training line up to gm-log, with $(call mean,X) before `gm-step -m X.gm` and $(call kept,X) behind it
#   STEPS    how many there are in all
# and makes $(OUT)/X.0.gmt of each. Rank 0 leaves checkpoints $(OUT)/X.STEP.gmt every KEEP steps, and $(OUT)/run.csv;
# $(OUT)/trained-$(STEPS) makes $(OUT)/X.gm of the last ones.
#
# $(OUT), DATA and the tools lie on a file system that the hosts share. A job that ended early, whatever ended it, is begun again by
# the same make: all ranks start from the newest checkpoints, so it ends with the bits of a job that nothing ended.

RANKS   ?= 2
KEEP    ?= 1000
LAUNCH  ?= $(if $(SLURM_JOB_ID),srun --kill-on-bad-exit=1,mpirun -n $(RANKS))

$(call whole,RANKS,1)
$(call whole,KEEP,1)

FIRST  =
quoted = '$(subst ','\'',$(1))'
mean   = gm-allreduce -m $(1).gm |
kept   = $(if $(FIRST),--checkpoint $(abspath $(OUT))/$(1).%.gmt:$(KEEP))
first  = $(foreach FIRST,1,$(LINE)) | gm-log -o $(abspath $(OUT))/run.csv
others = $(LINE) | gm-log -q
run    = $(LAUNCH) $(abspath $(HERE))/on-rank run "$$PATH" $(abspath $(OUT)) $(THREADS) $(call quoted,$(first)) $(call quoted,$(others)) $(MODELS)

beginnings = $(foreach m,$(MODELS),$(OUT)/$(m).0.gmt)
$(OUT)/trained-$(STEPS): $(OUT)/settings | $(beginnings)
	@$(locked) done=$$($(HERE)/on-rank newest $(OUT) $(MODELS)); \
	if [ "$$done" -lt $(STEPS) ]; then echo "training on $(DATA), steps $$done to $(STEPS) ($(LAUNCH))"; $(run); fi; \
	for m in $(MODELS); do gm-init --force -o $(OUT)/$$m.gm --from $(OUT)/$$m.$(STEPS).gmt >/dev/null; done; \
	rm -f $(OUT)/trained-*; touch $@
