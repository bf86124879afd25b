package shard

import (
	"fmt"
	"math"
)

// Status says how a metric's value at a point came about. NaN and ±Inf are results.
type Status uint8

const (
	Missing      Status = iota // planned, not computed yet
	Done                       // a finite value
	NaN                        // the value is not a number
	Inf                        // the value is +∞ or −∞
	NotConverged               // an iteration stopped short of its tolerance; the value is its best
	Failed                     // the computation broke off with an error
	NotPlanned                 // the plan does not ask for it here
)

var statusNames = []string{"missing", "done", "nan", "inf", "not-converged", "failed", "not-planned"}

func (s Status) String() string {
	if int(s) < len(statusNames) {
		return statusNames[s]
	}
	return fmt.Sprintf("status %d", uint8(s))
}

// StatusNames lists the names of the statuses 0, 1, … as the surface file records them.
func StatusNames() []string { return append([]string(nil), statusNames...) }

// StatusOf is the status of a computed value.
func StatusOf(v float64) Status {
	switch {
	case math.IsNaN(v):
		return NaN
	case math.IsInf(v, 0):
		return Inf
	}
	return Done
}

// Metric is a quantity that a surface has at every point, with what is recorded beside it.
type Metric struct {
	Name string `json:"name"` // the dataset's name: "train_loss"
	// Beside names further columns of the same metric, kept under lsrun/<beside>/<name>.
	Beside []string `json:"beside,omitempty"`
}

// Column is one float64 a point: a metric's value, or something recorded beside it.
type Column struct {
	Metric int    // index of its metric
	Beside string // "" for the value itself
}

// Record is a finished point.
type Record struct {
	Point  int
	Status []Status  // one a metric
	Values []float64 // one a column, in Plan.Columns order
	// Carry is what the evaluator wants to know when it goes on to the unit's next point (eigenvectors
	// to start from, say); nil for nothing. It is kept until the unit is published, and is no result.
	Carry []byte
}
