package shard

import (
	"context"
	"fmt"
	"slices"
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

// attempt is what a log tells of one.
type attempt struct {
	name        string
	unit        int
	open        bool // the log has no end
	published   bool
	interrupted bool
	cause       string // of its failure
}

// attempts reads the logs.
func (r *Run) attempts() ([]attempt, error) {
	names, err := r.list(logDir)
	if err != nil {
		return nil, err
	}
	found := make([]attempt, len(names))
	err = each(len(names), func(i int) error {
		name, isLog := strings.CutSuffix(names[i], ".log")
		unit, _, ok := parseUnitName(name)
		if !isLog || !ok || unit >= len(r.units) {
			return nil
		}
		data, err := r.files.ReadFile(r.path(logDir, names[i]))
		if err != nil && !noFile(err) {
			return fmt.Errorf("reading a log: %w", err)
		}
		found[i] = parseLog(name, unit, string(data))
		return nil
	})
	return slices.DeleteFunc(found, func(a attempt) bool { return a.name == "" }), err
}

// parseLog reads a log. One without a beginning, made a moment ago, tells of no attempt: it has no name.
func parseLog(name string, unit int, text string) (a attempt) {
	for line := range strings.Lines(text) {
		_, said, _ := strings.Cut(strings.TrimSpace(line), " ")
		word, rest, _ := strings.Cut(said, " ")
		switch word {
		case beganWord:
			a = attempt{name: name, unit: unit, open: true}
		case publishedWord:
			a.open, a.published = false, true
		case interruptedWord:
			a.open, a.interrupted = false, true
		case failedWord:
			a.open, a.cause = false, rest
		}
	}
	return a
}

// attemptPrefix begins the names of a worker's attempts at a unit.
func attemptPrefix(unit int, owner Owner) string {
	return fmt.Sprintf("%s.%s-%d-", unitName(unit), fileName(owner.Host), owner.PID)
}

// hostOf is the host in an attempt's name, "u00017.HOST-PID-NONCE", as fileName writes it.
func hostOf(attempt string) string {
	_, host, _ := strings.Cut(attempt, ".")
	for range 2 {
		if i := strings.LastIndexByte(host, '-'); i >= 0 {
			host = host[:i]
		}
	}
	return host
}
