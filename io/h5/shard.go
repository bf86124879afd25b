package h5

import (
	"fmt"

	"lsrun/shard"
)

// Codec is shard.Codec in HDF5.
type Codec struct{}

var _ shard.Codec = Codec{}

// EncodeShard writes
//
//	plan    string  the plan's bytes, which name the metrics and columns
//	unit    int64   its number
//	points  int64   (n): the points' numbers
//	status  uint8   (n, metrics): codes, as in shard.StatusNames
//	values  float64 (n, columns), in the order of the plan's columns
//	notes   group   an attribute for each note
//
// Every record must have as many statuses and values as the first.
func (Codec) EncodeShard(s *shard.Shard) ([]byte, error) {
	points := make([]int64, len(s.Records))
	var status []uint8
	var values []float64
	var metrics, columns int
	for i, rec := range s.Records {
		if i == 0 {
			metrics, columns = len(rec.Status), len(rec.Values)
		}
		if len(rec.Status) != metrics || len(rec.Values) != columns {
			return nil, fmt.Errorf("encoding the shard of unit %d: point %d has %d statuses and %d values, the first one %d and %d",
				s.Unit, rec.Point, len(rec.Status), len(rec.Values), metrics, columns)
		}
		points[i] = int64(rec.Point)
		status = append(status, codes(rec.Status)...)
		values = append(values, rec.Values...)
	}
	return encode(fmt.Sprintf("the shard of unit %d", s.Unit), func(w *writer) {
		w.text("plan", string(s.Plan))
		w.integers("unit", []int64{int64(s.Unit)})
		w.integers("points", points, len(points))
		w.bytes8("status", status, len(points), metrics)
		w.floats("values", values, len(points), columns)
		w.group("notes")
		w.notes("notes", s.Notes)
	})
}

// DecodeShard reads what EncodeShard wrote. Whether it fits its plan is the caller's to check.
func (Codec) DecodeShard(data []byte) (*shard.Shard, error) {
	s := &shard.Shard{}
	err := decode("the shard", data, func(r *reader) error {
		plan, err := r.text("plan")
		if err != nil {
			return err
		}
		s.Plan = []byte(plan)
		unit, err := r.integers("unit", 0)
		if err != nil {
			return err
		}
		s.Unit = int(unit[0])
		if s.Records, err = readRecords(r); err != nil {
			return err
		}
		s.Notes, err = r.notes("notes")
		return err
	})
	if err != nil {
		return nil, err
	}
	return s, nil
}

func readRecords(r *reader) ([]shard.Record, error) {
	points, err := r.integers("points", 1)
	if err != nil {
		return nil, err
	}
	status, metrics, err := rows(r, "status", len(points))
	if err != nil {
		return nil, err
	}
	values, columns, err := rows(r, "values", len(points))
	if err != nil {
		return nil, err
	}
	codes, ok := status.data.([]uint8)
	if !ok {
		return nil, fmt.Errorf("dataset status: its type is not uint8")
	}
	floats, ok := values.data.([]float64)
	if !ok {
		return nil, fmt.Errorf("dataset values: its type is not float64")
	}
	known, err := statuses(codes, shard.StatusNames())
	if err != nil {
		return nil, fmt.Errorf("dataset status: %w", err)
	}
	records := make([]shard.Record, len(points))
	for i, p := range points {
		records[i] = shard.Record{
			Point:  int(p),
			Status: known[i*metrics : (i+1)*metrics : (i+1)*metrics],
			Values: floats[i*columns : (i+1)*columns : (i+1)*columns],
		}
	}
	return records, nil
}

// rows reads an (n, m) dataset and returns m.
func rows(r *reader, path string, n int) (v value, m int, err error) {
	v, err = r.read(path)
	if err != nil {
		return v, 0, err
	}
	if len(v.shape) != 2 || v.shape[0] != n {
		return v, 0, fmt.Errorf("dataset %s: its shape is %v, but there are %d points", path, v.shape, n)
	}
	return v, v.shape[1], nil
}

// codes are statuses as a file has them.
func codes(status []shard.Status) []uint8 {
	c := make([]uint8, len(status))
	for i, s := range status {
		c[i] = uint8(s)
	}
	return c
}

// statuses turns a file's codes, which stand for names, into ours.
func statuses(codes []uint8, names []string) ([]shard.Status, error) {
	ours := map[string]shard.Status{}
	for i, name := range shard.StatusNames() {
		ours[name] = shard.Status(i)
	}
	list := make([]shard.Status, len(codes))
	for i, c := range codes {
		if int(c) >= len(names) {
			return nil, fmt.Errorf("code %d at point %d is none of %v", c, i, names)
		}
		s, ok := ours[names[c]]
		if !ok {
			return nil, fmt.Errorf("status %q is unknown to this version: use a newer lsrun", names[c])
		}
		list[i] = s
	}
	return list, nil
}
