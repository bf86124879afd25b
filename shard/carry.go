package shard

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"path/filepath"
)

// What a point hands on to the next one of its unit is a file of its own,
//
//	RUN/carry/u00017.<sha256>
//
// whole before the record that names it is in the journal. So a unit that another worker
// goes on with starts from the same values. They are deleted when the unit is published; those that
// a killed worker leaves then, when the next one begins, or by a merge that is complete.

// carryID is the SHA-256 of a carry, or zeros where there is none.
type carryID [sha256.Size]byte

func identify(carry []byte) carryID {
	if carry == nil {
		return carryID{}
	}
	return sha256.Sum256(carry)
}

func (r *Run) carryPath(unit int, id carryID) string {
	return r.path(carryDir, unitName(unit)+"."+hex.EncodeToString(id[:]))
}

// keep puts a carry on the disk.
func (r *Run) keep(unit int, carry []byte) error {
	if carry == nil {
		return nil
	}
	err := r.files.MkdirAll(filepath.Join(r.Dir, carryDir))
	if err == nil {
		err = r.files.Publish(r.carryPath(unit, identify(carry)), carry)
	}
	if err != nil {
		return fmt.Errorf("keeping what a point hands on to the next: %w", err)
	}
	return nil
}

// carried is what point k starts from: the carry of the nearest finished point before it in the
// unit that left one. Where its file is gone or damaged, the points that led to it are computed again.
func (s *session) carried(ctx context.Context, unit Unit, k int, points map[int]entry) ([]byte, error) {
	for before := k - 1; before >= unit.First; before-- {
		if id := points[before].carry; id != (carryID{}) {
			data, err := s.Run.files.ReadFile(s.Run.carryPath(unit.Index, id))
			if err == nil && identify(data) == id {
				return data, nil
			}
			return s.replay(ctx, unit, before, points)
		}
	}
	return nil, nil
}

// replay computes the carry of point k once more.
func (s *session) replay(ctx context.Context, unit Unit, k int, points map[int]entry) ([]byte, error) {
	carry, err := s.carried(ctx, unit, k, points)
	if err != nil {
		return nil, err
	}
	err = s.Evaluator.Evaluate(ctx, []int{k}, carry, func(record Record) error {
		carry = record.Carry
		return nil
	})
	if err != nil {
		return nil, errAttempt{unit.Index, err}
	}
	if e := points[k]; identify(carry) != e.carry && e.kernel == s.Evaluator.Kernel() {
		return nil, errAttempt{unit.Index, fmt.Errorf("point %d handed on other bits when it was computed again: %s is not deterministic here", k, s.Evaluator.Kernel())}
	}
	return carry, s.Run.keep(unit.Index, carry)
}

// dropCarries deletes what the points of some units handed on, in all attempts: of those that are published. What cannot be deleted
// does no harm.
func (r *Run) dropCarries(of func(unit int) bool) {
	names, _ := r.list(carryDir)
	for _, name := range names {
		if u, _, ok := parseUnitName(name); ok && of(u) {
			r.files.Remove(r.path(carryDir, name))
		}
	}
}
