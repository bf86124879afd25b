package shard

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"hash/crc32"
	"math"
	"strings"
	"testing"
	"time"
)

// journalOf is the journal of unit 1 (points 3, 4, 5) of a run, whole.
func journalOf(run *Run) []byte {
	data := run.journalHeader(1, "plain")
	for k := 3; k < 6; k++ {
		data = append(data, journalFrame(carrying(k), time.Second)...)
	}
	return data
}

// carrying is the record of point k, which hands something on where k is even.
func carrying(k int) Record {
	r := fakeRecord(k)
	if k%2 == 0 {
		r.Carry = []byte{byte(k)}
	}
	return r
}

func TestAJournalHasTheLayoutThatItsCommentDraws(t *testing.T) {
	run := mustCreate(t, newMemFiles())
	le := binary.LittleEndian
	var want []byte
	frame := func(payload []byte) {
		n := le.AppendUint32(nil, uint32(len(payload)))
		sum := crc32.Checksum(append(bytes.Clone(n), payload...), crc32.MakeTable(crc32.Castagnoli))
		want = append(append(want, n...), le.AppendUint32(nil, sum)...)
		want = append(want, payload...)
	}
	want = append(want, "LSRUNJ\x00\x02"...)
	id, _ := hex.DecodeString(run.ID)
	frame(append(append(id, 1, 0, 0, 0), "plain"...))
	for k := 3; k < 6; k++ {
		r := fakeRecord(k)
		payload := le.AppendUint32(nil, uint32(k))
		payload = le.AppendUint64(payload, 1e9)
		carry := make([]byte, 32)
		if k%2 == 0 {
			sum := sha256.Sum256([]byte{byte(k)})
			carry = sum[:]
		}
		payload = append(payload, carry...)
		payload = append(payload, byte(r.Status[0]), byte(r.Status[1]))
		for _, v := range r.Values {
			payload = le.AppendUint64(payload, math.Float64bits(v))
		}
		frame(payload)
	}
	if !bytes.Equal(journalOf(run), want) {
		t.Error("other bytes")
	}
}

// checkEntries fails the test unless the entries are the truth about the first n points.
func checkEntries(t *testing.T, entries []entry, n int) {
	t.Helper()
	if len(entries) != n {
		t.Fatalf("%d points, want %d", len(entries), n)
	}
	for i, e := range entries {
		if e.Point != 3+i || e.kernel != "plain" || e.took != time.Second || !sameBits(e.Record, fakeRecord(e.Point)) {
			t.Errorf("point %d is %+v", 3+i, e)
		}
	}
}

func TestARecordTornAtAnyByteIsDroppedInSilence(t *testing.T) {
	run := mustCreate(t, newMemFiles())
	whole := journalOf(run)
	size := len(journalFrame(fakeRecord(3), 0))
	head := len(whole) - 3*size
	for n := range len(whole) + 1 {
		entries, problem := run.parseJournal(run.units[1], whole[:n])
		if inHeader := n > 0 && n < head; inHeader != (problem != "") {
			t.Errorf("cut at %d: %q", n, problem)
		}
		checkEntries(t, entries, max(n-head, 0)/size)
		zeros := append(bytes.Clone(whole[:n]), make([]byte, len(whole)-n)...)
		if entries, _ := run.parseJournal(run.units[1], zeros); len(entries) > 3 {
			t.Errorf("zeros from %d on: %d points", n, len(entries))
		}
	}
}

func TestAFlippedByteEndsWhatCanBeRead(t *testing.T) {
	run := mustCreate(t, newMemFiles())
	whole := journalOf(run)
	size := len(journalFrame(fakeRecord(3), 0))
	head := len(whole) - 3*size
	for i := range whole {
		bad := bytes.Clone(whole)
		bad[i] ^= 0x10
		entries, problem := run.parseJournal(run.units[1], bad)
		checkEntries(t, entries, max(i-head, 0)/size)
		if inLast := i >= head+2*size; problem == "" && !inLast {
			t.Errorf("byte %d: not reported", i)
		}
	}
}

func TestJournalsOfOthersAreIgnoredAndReported(t *testing.T) {
	run := mustCreate(t, newMemFiles())
	other := fakePlan()
	other.Loss = "mse"
	foreign, err := Create(newMemFiles(), "run", other, nil)
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		data []byte
		want string
	}{
		"another plan":    {journalOf(foreign), "belongs to the plan"},
		"another unit":    {append(run.journalHeader(2, "plain"), journalFrame(fakeRecord(3), 0)...), "belongs to unit 2"},
		"another kernel":  {append(run.journalHeader(1, "avx2"), journalFrame(fakeRecord(3), 0)...), "computed by avx2"},
		"a foreign point": {append(run.journalHeader(1, "plain"), journalFrame(fakeRecord(6), 0)...), "point 6 is not in unit 1"},
		"a wrong status": {append(run.journalHeader(1, "plain"),
			journalFrame(Record{Point: 3, Status: []Status{Missing, Done}, Values: make([]float64, 3)}, 0)...), "missing"},
		"another file":    {[]byte("begin of something else"), "does not begin"},
		"half a header":   {journalOf(run)[:40], "header"},
		"a later version": {append([]byte("LSRUNJ\x00\x03"), journalOf(run)[8:]...), "does not begin"},
	} {
		entries, problem := run.parseJournal(run.units[1], c.data)
		if len(entries) != 0 || !strings.Contains(problem, c.want) {
			t.Errorf("%s: %d points, %q; want %q", name, len(entries), problem, c.want)
		}
	}
}

func FuzzAJournalGivesOnlyPointsOfItsUnit(f *testing.F) {
	run := mustCreate(f, newMemFiles())
	f.Add(journalOf(run))
	f.Add([]byte(journalMagic))
	f.Fuzz(func(t *testing.T, data []byte) {
		entries, _ := run.parseJournal(run.units[1], data)
		for _, e := range entries {
			if err := run.checkRecord(run.units[1], e.Record); err != nil {
				t.Error(err)
			}
		}
	})
}
