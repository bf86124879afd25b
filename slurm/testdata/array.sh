#!/bin/bash
# An example.
#SBATCH --job-name=lsrun-example-00000000
#SBATCH --chdir=/home/me/run
#SBATCH --output=/home/me/run/log/slurm-%A_%a.out
#SBATCH --open-mode=append
#SBATCH --requeue
#SBATCH --array=0-7%4
#SBATCH --signal=B:USR2@120
#SBATCH --cpus-per-task=4
#SBATCH --mem=2G
#SBATCH --time=1:00:00
#SBATCH --partition=gpu
#SBATCH --exclusive --comment "two words"

SECONDS=0 # bash counts from here
echo "job      ${SLURM_ARRAY_JOB_ID-}_${SLURM_ARRAY_TASK_ID-}, restart ${SLURM_RESTART_COUNT:-0}, on $(hostname) at $(date -u +%FT%TZ)"
echo "cpu      $(sed -n 's/^model name[^:]*: //p' /proc/cpuinfo | head -n 1)"
if command -v nvidia-smi >/dev/null; then timeout 20 nvidia-smi -L; fi

set -e
trap 'echo "the setup failed: $BASH_COMMAND" >&2' ERR
module load cuda
export A='b c'
trap - ERR
set +e

if command -v module >/dev/null; then module list 2>&1; fi
exec /opt/lsrun run --tasks 8 /home/me/run --walltime $((3600 - SECONDS))
