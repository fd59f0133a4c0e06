#!/bin/bash
#SBATCH --job-name=classify
#SBATCH --ntasks=4
#SBATCH --cpus-per-task=1
#SBATCH --time=01:00:00
#SBATCH --requeue
#SBATCH --open-mode=append
# classify.sh: a classifier on the ranks of a Slurm job, as gan.sh does it for a GAN.
#
#   sbatch examples/slurm/classify.sh                                     digits, to out/classify-mpi/
#   sbatch --ntasks=8 examples/slurm/classify.sh DATA=/shared/wine.csv LABEL=cultivar OUT=/shared/run
exec make -f pipelines/classify-mpi.mk THREADS="${SLURM_CPUS_PER_TASK:-1}" "$@"
