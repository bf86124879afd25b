#!/bin/bash
# An example.
#SBATCH --job-name=lsrun-example-00000000
#SBATCH --output=/dev/null
#SBATCH --open-mode=append
#SBATCH --requeue
#SBATCH --array=0-1
#SBATCH --cpus-per-task=4
#SBATCH --mem=2G
#SBATCH --time=1:00:00
#SBATCH --partition=gpu

cd $'/tmp/back\\slash\012and line feed' || exit
exec >>log/slurm-${SLURM_ARRAY_JOB_ID}_${SLURM_ARRAY_TASK_ID}.out 2>&1

SECONDS=0 # bash counts from here
echo "job      ${SLURM_ARRAY_JOB_ID-}_${SLURM_ARRAY_TASK_ID-}, restart ${SLURM_RESTART_COUNT:-0}, on $(hostname) at $(date -u +%FT%TZ)"
echo "cpu      $(sed -n 's/^model name[^:]*: //p' /proc/cpuinfo | head -n 1)"
if command -v nvidia-smi >/dev/null; then timeout 20 nvidia-smi -L; fi

if command -v module >/dev/null; then module list 2>&1; fi
exec /opt/lsrun merge $'/tmp/back\\slash\012and line feed'
