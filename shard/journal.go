package shard

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"hash/crc32"
	"maps"
	"math"
	"path/filepath"
	"slices"
	"time"
)

// A journal is what one attempt at a unit has finished so far. It is only appended to,
// one synchronised write a frame, and all numbers are little-endian:
//
//	offset  size
//	0       8     "LSRUNJ" 0x00, version 2
//	8             frames
//
//	frame   4     n, the length of the payload
//	        4     CRC-32C of n's four bytes and the payload
//	        n     payload
//
//	first   32    plan id (the SHA-256 itself)
//	frame   4     unit
//	        rest  kernel, UTF-8
//
//	others  4     point
//	        8     nanoseconds that it took, by the worker's monotonic clock
//	        32    SHA-256 of what the point hands on (carry.go); zeros for nothing
//	        m     status, one byte a metric
//	        8·c   values, float64, one a column
//
// All frames but the first have one length, so a record that was torn while it was
// written is told from bytes that went bad later: the first is dropped in silence, the
// second ends what can be read and is reported.
const (
	journalMagic = "LSRUNJ\x00\x02"
	frameHead    = 8
	// recordHead is what comes before the statuses: point, time, carry.
	recordHead = 4 + 8 + sha256.Size
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// entry is a journaled point.
type entry struct {
	Record
	kernel  string
	attempt string // whose journal has it; not set by who computes it
	took    time.Duration
	carry   carryID
}

// journalHeader begins the journal of a unit.
func (r *Run) journalHeader(unit int, kernel string) []byte {
	id, _ := hex.DecodeString(r.ID)
	payload := binary.LittleEndian.AppendUint32(id, uint32(unit))
	return append([]byte(journalMagic), frame(append(payload, kernel...))...)
}

// journalFrame is a finished point.
func journalFrame(record Record, took time.Duration) []byte {
	payload := binary.LittleEndian.AppendUint32(nil, uint32(record.Point))
	payload = binary.LittleEndian.AppendUint64(payload, uint64(took))
	carry := identify(record.Carry)
	payload = append(payload, carry[:]...)
	for _, s := range record.Status {
		payload = append(payload, byte(s))
	}
	for _, v := range record.Values {
		payload = binary.LittleEndian.AppendUint64(payload, math.Float64bits(v))
	}
	return frame(payload)
}

func frame(payload []byte) []byte {
	b := binary.LittleEndian.AppendUint32(nil, uint32(len(payload)))
	sum := crc32.Update(crc32.Checksum(b, castagnoli), castagnoli, payload)
	return append(binary.LittleEndian.AppendUint32(b, sum), payload...)
}

// cutFrame splits the payload of the first frame off data.
func cutFrame(data []byte) (payload, rest []byte, ok bool) {
	if len(data) < frameHead {
		return nil, nil, false
	}
	n := int64(binary.LittleEndian.Uint32(data))
	if n > int64(len(data)-frameHead) {
		return nil, nil, false
	}
	payload, rest = data[frameHead:frameHead+n], data[frameHead+n:]
	sum := crc32.Update(crc32.Checksum(data[:4], castagnoli), castagnoli, payload)
	return payload, rest, sum == binary.LittleEndian.Uint32(data[4:])
}

// parseJournal reads a journal of unit as far as it is whole, and says what is wrong with
// the rest, if it is more than an unfinished write.
func (r *Run) parseJournal(unit Unit, data []byte) (entries []entry, problem string) {
	if len(data) == 0 { // made a moment ago
		return nil, ""
	}
	data, ok := bytes.CutPrefix(data, []byte(journalMagic))
	if !ok {
		return nil, "it does not begin like a journal of this version"
	}
	head, data, ok := cutFrame(data)
	if !ok {
		return nil, "its header is cut short or damaged"
	}
	if len(head) < 36 {
		return nil, "its header is too short"
	}
	if id := hex.EncodeToString(head[:32]); id != r.ID {
		return nil, fmt.Sprintf("it belongs to the plan %.12s…", id)
	}
	if u := binary.LittleEndian.Uint32(head[32:]); int(u) != unit.Index {
		return nil, fmt.Sprintf("it belongs to unit %d", u)
	}
	kernel := string(head[36:])
	if !r.Plan.Mix && kernel != r.Plan.Kernel {
		return nil, fmt.Sprintf("it was computed by %s, not by the plan's %s", kernel, r.Plan.Kernel)
	}
	metrics, columns := len(r.Plan.Metrics), len(r.Plan.Columns())
	size := recordHead + metrics + 8*columns
	for len(data) > 0 {
		payload, rest, ok := cutFrame(data)
		if !ok || len(payload) != size {
			return entries, tailProblem(data, size)
		}
		e := entry{Record: Record{Point: int(binary.LittleEndian.Uint32(payload))}, kernel: kernel}
		e.took = time.Duration(binary.LittleEndian.Uint64(payload[4:]))
		e.carry = carryID(payload[12:])
		for _, s := range payload[recordHead : recordHead+metrics] {
			e.Status = append(e.Status, Status(s))
		}
		for i := range columns {
			e.Values = append(e.Values, math.Float64frombits(binary.LittleEndian.Uint64(payload[recordHead+metrics+8*i:])))
		}
		if err := r.checkRecord(unit, e.Record); err != nil {
			return entries, err.Error()
		}
		entries = append(entries, e)
		data = rest
	}
	return entries, ""
}

// tailProblem says what is wrong with bytes that do not begin with a whole frame: nothing,
// if they are what an unfinished write of one frame leaves, maybe as zeros.
func tailProblem(data []byte, size int) string {
	length := binary.LittleEndian.AppendUint32(nil, uint32(size))
	begins := bytes.HasPrefix(data, length) || bytes.HasPrefix(length, data)
	zeros := len(bytes.Trim(data, "\x00")) == 0
	if len(data) <= frameHead+size && (begins || zeros) {
		return ""
	}
	return fmt.Sprintf("its last %d bytes are damaged", len(data))
}

// checkRecord returns an error unless the record is one of unit's points, in the plan's shape.
func (r *Run) checkRecord(unit Unit, record Record) error {
	if record.Point < unit.First || record.Point >= unit.First+unit.Count {
		return fmt.Errorf("point %d is not in unit %d (%d…%d)", record.Point, unit.Index, unit.First, unit.First+unit.Count-1)
	}
	if len(record.Status) != len(r.Plan.Metrics) || len(record.Values) != len(r.Plan.Columns()) {
		return fmt.Errorf("point %d has %d metrics in %d columns, and the plan %d in %d", record.Point,
			len(record.Status), len(record.Values), len(r.Plan.Metrics), len(r.Plan.Columns()))
	}
	for i, s := range record.Status {
		if s == Missing || int(s) >= len(statusNames) {
			return fmt.Errorf("point %d: %s is %v", record.Point, r.Plan.Metrics[i].Name, s)
		}
	}
	return nil
}

// journaled collects what the attempts at unit that left the journals of names have
// finished, the first where several have a point, and what is wrong with them. Of a journal that has something else than
// most of those of its kernel at some point nothing is taken: it was written by a machine that computes wrongly.
func (r *Run) journaled(unit Unit, names []string) (points map[int]entry, problems []string, err error) {
	found := map[int][]entry{} // in the order of names
	for _, name := range names {
		data, err := r.files.ReadFile(r.path(journalDir, name))
		if noFile(err) {
			problems = append(problems, err.Error())
			continue
		}
		if err != nil {
			return nil, nil, fmt.Errorf("reading a journal: %w", err)
		}
		entries, problem := r.parseJournal(unit, data)
		if problem != "" {
			problems = append(problems, fmt.Sprintf("%s: %s", filepath.Join(journalDir, name), problem))
		}
		for _, e := range entries {
			e.attempt = name
			found[e.Point] = append(found[e.Point], e)
		}
	}
	doubtful := map[string]bool{}
	numbers := slices.Sorted(maps.Keys(found))
	for _, k := range numbers {
		for _, e := range found[k] {
			if !doubtful[e.attempt] && !e.holds(found[k]) {
				doubtful[e.attempt] = true
				problems = append(problems, fmt.Sprintf("%s: nothing is taken from it: another attempt found something else at point %d, and one of the machines computes wrongly",
					filepath.Join(journalDir, e.attempt), k))
			}
		}
	}
	points = map[int]entry{}
	for _, k := range numbers {
		for _, e := range found[k] {
			first, there := points[k]
			switch {
			case doubtful[e.attempt]:
			case !there:
				points[k] = e
			case e.kernel == first.kernel && !sameBits(e.Record, first.Record):
				problems = append(problems, fmt.Sprintf("%s: point %d was computed before with other bits: %s is not deterministic here",
					filepath.Join(journalDir, e.attempt), k, e.kernel))
			}
		}
	}
	return points, problems, nil
}

// holds says whether most of the attempts at a point, of those by one kernel, agree with e, itself among them.
func (e entry) holds(attempts []entry) bool {
	agree, all := 0, 0
	for _, other := range attempts {
		if other.kernel == e.kernel {
			all++
			if d, ok := difference(e.Record, other.Record); ok && d <= duplicateTolerance {
				agree++
			}
		}
	}
	return 2*agree > all
}
