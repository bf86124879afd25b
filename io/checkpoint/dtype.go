package checkpoint

import (
	"encoding/binary"
	"fmt"
	"math"
	"slices"
	"strings"
)

// dtype is a type of numbers in a file.
type dtype struct {
	name        string                      // PyTorch's
	storage     string                      // PyTorch's class of storages
	safetensors string                      // the name there
	size        int                         // bytes a value
	value       func(little []byte) float32 // nil: cannot be used
}

var dtypes = []*dtype{
	{"float32", "FloatStorage", "F32", 4, func(b []byte) float32 { return math.Float32frombits(u32(b)) }},
	{"float64", "DoubleStorage", "F64", 8, func(b []byte) float32 { return float32(math.Float64frombits(u64(b))) }},
	{"float16", "HalfStorage", "F16", 2, func(b []byte) float32 { return half(u16(b)) }},
	{"bfloat16", "BFloat16Storage", "BF16", 2, func(b []byte) float32 { return math.Float32frombits(uint32(u16(b)) << 16) }},
	{"int64", "LongStorage", "I64", 8, func(b []byte) float32 { return float32(int64(u64(b))) }},
	{"int32", "IntStorage", "I32", 4, func(b []byte) float32 { return float32(int32(u32(b))) }},
	{"int16", "ShortStorage", "I16", 2, func(b []byte) float32 { return float32(int16(u16(b))) }},
	{"int8", "CharStorage", "I8", 1, func(b []byte) float32 { return float32(int8(b[0])) }},
	{"uint8", "ByteStorage", "U8", 1, func(b []byte) float32 { return float32(b[0]) }},
	{"bool", "BoolStorage", "BOOL", 1, func(b []byte) float32 { return float32(min(b[0], 1)) }},
	{"uint16", "", "U16", 2, func(b []byte) float32 { return float32(u16(b)) }},
	{"uint32", "", "U32", 4, func(b []byte) float32 { return float32(u32(b)) }},
	{"uint64", "", "U64", 8, func(b []byte) float32 { return float32(u64(b)) }},
	// Known for their size only.
	{"qint8", "QInt8Storage", "", 1, nil},
	{"quint8", "QUInt8Storage", "", 1, nil},
	{"qint32", "QInt32Storage", "", 4, nil},
	{"complex64", "ComplexFloatStorage", "", 8, nil},
	{"complex128", "ComplexDoubleStorage", "", 16, nil},
	{"untyped bytes", "UntypedStorage", "", 1, nil},
}

// storageType is the type of PyTorch's class of storages, or nil.
func storageType(class string) *dtype {
	for _, d := range dtypes {
		if class != "" && d.storage == class {
			return d
		}
	}
	return nil
}

// safetensorsType is the type that safetensors calls name, or nil.
func safetensorsType(name string) *dtype {
	for _, d := range dtypes {
		if name != "" && d.safetensors == name {
			return d
		}
	}
	return nil
}

var (
	u16 = binary.LittleEndian.Uint16
	u32 = binary.LittleEndian.Uint32
	u64 = binary.LittleEndian.Uint64
)

// half is IEEE 754 binary16, exactly.
func half(h uint16) float32 {
	sign, exponent, fraction := uint32(h>>15)<<31, uint32(h>>10)&31, uint32(h)&0x3ff
	switch exponent {
	case 0: // zero and subnormals: fraction · 2⁻²⁴
		return math.Float32frombits(sign | math.Float32bits(float32(fraction)*0x1p-24))
	case 31: // infinities and NaN
		return math.Float32frombits(sign | 0x7f800000 | fraction<<13)
	}
	return math.Float32frombits(sign | (exponent+112)<<23 | fraction<<13)
}

// floats converts little-endian values.
func (d *dtype) floats(raw []byte) []float32 {
	values := make([]float32, len(raw)/d.size)
	if d.name == "float32" { // nearly always: without a call for each value
		for i := range values {
			values[i] = math.Float32frombits(binary.LittleEndian.Uint32(raw[4*i:]))
		}
		return values
	}
	for i := range values {
		values[i] = d.value(raw[i*d.size : (i+1)*d.size])
	}
	return values
}

// swapBytes turns big-endian values into little-endian ones, in place.
func (d *dtype) swapBytes(raw []byte) {
	for i := 0; i+d.size <= len(raw); i += d.size {
		slices.Reverse(raw[i : i+d.size])
	}
}

// elements is shape's number of elements, or an error where it is negative somewhere or
// beyond what any file holds.
func elements(shape []int) (int, error) {
	n := 1
	for _, d := range shape {
		if d < 0 || d > 0 && n > math.MaxInt32*1024/d {
			return 0, fmt.Errorf("the shape %v is impossible: the file is damaged", shape)
		}
		n *= d
	}
	return n, nil
}

// conversions counts the entries of each type that is not float32. The counters of batch
// norm are always integers and nobody's loss.
type conversions map[string]int

func (c conversions) count(entry string, d *dtype) {
	if d.name != "float32" && !isBatchCounter(entry) {
		c[d.name]++
	}
}

func (c conversions) note(f *File) {
	for _, d := range dtypes {
		if n := c[d.name]; n > 0 {
			f.note("%s converted to float32 (%s)", d.name, entriesOf(n))
		}
	}
}

func entriesOf(n int) string {
	if n == 1 {
		return "1 entry"
	}
	return fmt.Sprintf("%d entries", n)
}

const batchCounter = "num_batches_tracked"

func isBatchCounter(entry string) bool {
	return entry == batchCounter || strings.HasSuffix(entry, "."+batchCounter)
}

// capped is lines, but no more of them than a person reads.
func capped(lines []string) []string {
	const most = 20
	if more := len(lines) - most; more > 0 {
		return append(slices.Clone(lines[:most]), fmt.Sprintf("… and %d more", more))
	}
	return lines
}
