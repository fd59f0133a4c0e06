# svm.mk: a support vector machine, linear or with the RBF kernel by random Fourier features (rff), one against the rest.
#
#   DATA less FOLD ─ gm-batch ─x,y─ gm-grad C  sqhinge(x,y) + L2 l2() ─ gm-step C ─ gm-log
#   FOLD ─ gm-classify --calibrate ─ probabilities
#
#   make -f pipelines/svm.mk                          digits, RBF, to out/svm/
#   make -f pipelines/svm.mk KERNEL=linear
#   make -f pipelines/svm.mk UNITS=4096 GAMMA=0.5*scale
#
# libsvm's C is 1 / (2 n L2), n being the rows. All other variables are those of classify.mk.

NAME      ?= svm
KERNEL    ?= rbf
UNITS     ?= 2048
GAMMA     ?= scale
HINGE     ?= sqhinge
L2        ?= 1e-4
INIT      ?= normal:0
LAYERS    ?= $(if $(filter rbf,$(KERNEL)),rff:$(UNITS):$(GAMMA)) dense:classes
LOSS      ?= $(HINGE)(x,y) + $(L2)*l2()
OPTIMIZER ?= adam:lr=$(if $(filter rbf,$(KERNEL)),1e-2,2e-3)
BATCH     ?= 64
EPOCHS    ?= 60
METRIC    ?= accuracy
CALIBRATE ?= $(if $(FOLD),1)
FOLD      ?= 1/5

ifeq ($(filter rbf linear,$(KERNEL)),)
$(error KERNEL is rbf or linear, not $(KERNEL))
endif
ifneq ($(and $(PATIENCE),$(filter log_loss brier,$(METRIC))),)
$(error $(METRIC) needs probabilities, which there are at the end only: choose another METRIC to stop by)
endif
include $(dir $(lastword $(MAKEFILE_LIST)))classify.mk
