#!/bin/bash
#SBATCH --job-name=sweep
#SBATCH --ntasks=1
#SBATCH --requeue
#SBATCH --open-mode=append
# sweep.sh: a grid of hyper-parameters as a Slurm array, a point for each of its jobs. From the folder that holds pipelines/:
#
#   settings=(DATA=/shared/wine.csv LABEL=cultivar LR='1e-4 1e-3 1e-2' HIDDEN='64 256')
#   sbatch --wait --array=1-6 examples/slurm/sweep.sh "${settings[@]}"
#   make -f pipelines/sweep.mk "${settings[@]}"                           the table, and the best point
#
# Jobs that failed are made again by the same lines; what is done is not done again. PIPELINE=cv makes the folds of cv.mk.
set -euo pipefail
pipeline=sweep
case ${1:-} in PIPELINE=*) pipeline=${1#PIPELINE=} && shift ;; esac
line=$(make -s -f "pipelines/$pipeline.mk" "$@" commands | sed -n "${SLURM_ARRAY_TASK_ID:?this is for sbatch --array=1-N}p")
[ -n "$line" ] || { echo "there is no run number $SLURM_ARRAY_TASK_ID" >&2 && exit 1; }
bash -c "$line"
