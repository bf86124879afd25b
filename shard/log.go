package shard

import (
	"context"
	"fmt"
	"strings"
	"time"
)

// attemptLog is RUN/log/<attempt>.log: a line when the attempt begins and one when it ends.
type attemptLog struct{ file Appender }

// The words that begin what a log says, after the time.
const (
	beganWord       = "began"
	publishedWord   = "published"
	interruptedWord = "interrupted"
	failedWord      = "failed:"
)

func (r *Run) openLog(attempt, kernel string) (*attemptLog, error) {
	file, err := r.files.Append(r.path(logDir, attempt+".log"))
	if err != nil {
		return nil, fmt.Errorf("opening the log of an attempt: %w", err)
	}
	log := &attemptLog{file}
	if err := log.line(beganWord + " with " + kernel); err != nil {
		file.Close()
		return nil, fmt.Errorf("writing the log of an attempt: %w", err)
	}
	return log, nil
}

func (l *attemptLog) line(text string) error {
	text = strings.Join(strings.Fields(text), " ")
	return l.file.Append([]byte(time.Now().UTC().Format(time.RFC3339) + " " + text + "\n"))
}

// end writes how the attempt ended. That it could not be logged changes nothing.
func (l *attemptLog) end(err error) {
	switch {
	case err == nil:
		l.line(publishedWord)
	case err == context.Canceled, err == context.DeadlineExceeded, err == ErrDeadline: // the worker's own, not an evaluator's
		l.line(interruptedWord)
	default:
		l.line(failedWord + " " + err.Error())
	}
	l.file.Close()
}
