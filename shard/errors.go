package shard

import (
	"errors"
	"fmt"
)

// What a program should make of an error: errors.Is finds one of these in every error
// of this package that is not the file system's or the evaluator's own.
var (
	ErrIncomplete  = errors.New("incomplete")  // points are missing; computing them helps
	ErrRefused     = errors.New("refused")     // foreign, conflicting, or would overwrite
	ErrCorrupt     = errors.New("corrupt")     // a file is not what it should be
	ErrInterrupted = errors.New("interrupted") // the same call goes on from there
)

// ErrIrregular is what Files finds where somebody has put a pipe, a socket or a device.
var ErrIrregular = errors.New("it is no regular file")

// ErrDeadline is the ErrInterrupted of a worker whose time was up.
var ErrDeadline = fmt.Errorf("%w: the time limit is near", ErrInterrupted)
