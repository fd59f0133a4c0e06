#!/bin/bash
#SBATCH --job-name=gan
#SBATCH --ntasks=4
#SBATCH --cpus-per-task=1
#SBATCH --time=01:00:00
#SBATCH --requeue
#SBATCH --open-mode=append
# gan.sh: a GAN on the ranks of a Slurm job. From the folder that holds pipelines/ (a checkout, or PREFIX/share/gm):
#
#   sbatch examples/slurm/gan.sh                                          digits, to out/gan-mpi/
#   sbatch --ntasks=16 examples/slurm/gan.sh DATA=/shared/rows.csv LABEL= OUT=/shared/run STEPS=100000
#
# The folder and OUT are on a file system that all nodes have. If a node fails, or the job is preempted, Slurm puts it into the queue
# again, and it goes on from the last checkpoint, to the same bits.
exec make -f pipelines/gan-mpi.mk THREADS="${SLURM_CPUS_PER_TASK:-1}" "$@"
