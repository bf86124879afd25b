package main

import (
	"errors"
	"fmt"
	"os/exec"

	"lsrun/io/durable"
	"lsrun/io/figure"
	"lsrun/shard"
)

const exitCodes = `Exit codes:
   0   complete
   1   failed for another reason
   2   wrong usage
   3   incomplete: some points are not there yet
   4   refused: foreign, conflicting, or would overwrite
   5   corrupt: a file is not what it should be
   6   storage: no space, or a device or permission that fails
   75  interrupted; the same command goes on from there`

// usageError is a command line that cannot be carried out.
type usageError struct{ text string }

func (e usageError) Error() string { return e.text }

func usagef(format string, args ...any) error { return usageError{fmt.Sprintf(format, args...)} }

// exitCode is the process's exit status for err.
func exitCode(err error) int {
	var usage usageError
	var metric shard.UnknownMetric
	var picture figure.Unsuitable
	var child *exec.ExitError
	switch {
	case err == nil:
		return 0
	case errors.As(err, &usage), errors.As(err, &metric), errors.As(err, &picture):
		return 2
	case errors.Is(err, shard.ErrInterrupted): // whatever became of SLURM's commands afterwards
		return 75
	case errors.As(err, &child):
		return max(child.ExitCode(), 1) // -1 if a signal ended it
	case errors.Is(err, shard.ErrIncomplete):
		return 3
	case errors.Is(err, shard.ErrRefused):
		return 4
	case errors.Is(err, shard.ErrCorrupt):
		return 5
	case durable.Storage(err):
		return 6
	}
	return 1
}
