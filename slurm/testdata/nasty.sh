#!/bin/bash
# An example.
#SBATCH --job-name=lsrun-example-00000000
#SBATCH --chdir="/tmp/my run's \"best\" $(touch pwned) `touch pwned` #1 %A_%a {a,b} *? ~ ! é;&|<>"
#SBATCH --output="/tmp/my run's \"best\" $(touch pwned) `touch pwned` #1 %%A_%%a {a,b} *? ~ ! é;&|<>/log/slurm-%j.out"
#SBATCH --open-mode=append
#SBATCH --requeue
#SBATCH --cpus-per-task=4
#SBATCH --mem=2G
#SBATCH --time=1:00:00
#SBATCH --partition=gpu

SECONDS=0 # bash counts from here
echo "job      ${SLURM_JOB_ID-}, restart ${SLURM_RESTART_COUNT:-0}, on $(hostname) at $(date -u +%FT%TZ)"
echo "cpu      $(sed -n 's/^model name[^:]*: //p' /proc/cpuinfo | head -n 1)"
if command -v nvidia-smi >/dev/null; then timeout 20 nvidia-smi -L; fi

if command -v module >/dev/null; then module list 2>&1; fi
exec /opt/lsrun merge '/tmp/my run'\''s "best" $(touch pwned) `touch pwned` #1 %A_%a {a,b} *? ~ ! é;&|<>'
