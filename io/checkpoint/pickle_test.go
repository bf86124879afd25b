package checkpoint

import (
	"archive/zip"
	"bufio"
	"bytes"
	"errors"
	"io"
	"strings"
	"testing"
)

func scan(text string) ([]byte, error) {
	return scanPickle(bufio.NewReader(strings.NewReader(text)), int64(len(text)))
}

func TestAPickleEndsAtItsStop(t *testing.T) {
	raw, err := scan("\x80\x02K\x05.rest")
	if err != nil || string(raw) != "\x80\x02K\x05." {
		t.Errorf("the pickle is %q, %v", raw, err)
	}
}

// Each of these would make the interpreter allocate what the length says.
func TestLengthsBeyondTheFileAreRefusedBeforeAnythingIsAllocated(t *testing.T) {
	for _, pickle := range []string{
		"T\xff\xff\xff\x7fab", "X\xff\xff\xff\xffab", "B\xff\xff\xff\xffab", "U\xffab",
		"\x8d\xff\xff\xff\xff\xff\xff\xff\x7fab", "\x8e\x00\x00\x00\x00\xff\x00\x00\x00ab",
		"\x96\xff\xff\xff\xff\xff\xff\xff\xffab", "\x95\x00\x00\x00\x00\x00\xff\x00\x00ab",
	} {
		if _, err := scan(pickle); !errors.Is(err, io.ErrUnexpectedEOF) {
			t.Errorf("%q: %v", pickle, err)
		}
	}
}

func TestPicklesThatWouldTakeForeverAreRefused(t *testing.T) {
	for pickle, want := range map[string]string{
		"\x8b\x00\x10\x00\x00" + strings.Repeat("a", 1<<12): "absurd length",
		"I" + strings.Repeat("1", maxLine+1):                "endless line",
		strings.Repeat("0", maxOperations+1):                "operations",
		"\xff.":                                             "unknown operation",
	} {
		if _, err := scan(pickle); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%.10q: %v does not say %q", pickle, err, want)
		}
	}
}

func TestMalformedPicklesAreErrors(t *testing.T) {
	for _, pickle := range []string{".", "\x80\x02K\x01u.", "(K\x01d.", "\x8a\x00.", "\x8f(C\x01a\x90.", "}R.", "K\x01K\x02a.", "Pabc\n."} {
		raw, err := scan(pickle)
		if err != nil {
			t.Fatalf("%q: %v", pickle, err)
		}
		if v, err := unpickle(raw, storages{}.persistent); err == nil {
			t.Errorf("%q gives %v", pickle, v)
		}
	}
}

func TestTensorsOutsideTheirStorageAreRefused(t *testing.T) {
	s := &storage{dtype: storageType("FloatStorage"), count: 6}
	whole := view{s, 0, 6}
	const huge = 1 << 62
	for _, x := range []tensor{
		{whole, 0, []int{7}, []int{1}},
		{whole, 6, []int{1}, []int{1}},
		{whole, -1, []int{1}, []int{1}},
		{whole, 0, []int{2}, []int{6}},
		{whole, 0, []int{3, 3}, []int{3, 1}},
		{whole, 0, []int{2}, []int{-1}},
		{whole, 0, []int{-1}, []int{1}},
		{whole, 0, []int{2}, []int{huge}},
		{whole, huge, []int{2, 2}, []int{huge, huge}},
		{whole, 0, []int{huge, 4}, []int{0, 0}},
		{view{s, 4, 3}, 0, []int{1}, []int{1}},
		{view{s, -1, 3}, 0, []int{1}, []int{1}},
		{view{s, 0, huge}, 0, []int{7}, []int{1}},
	} {
		if n, err := x.check(); err == nil {
			t.Errorf("offset %d, shape %v, stride %v of %+v passes with %d elements", x.offset, x.shape, x.stride, x.view, n)
		}
	}
	fits := tensor{view{s, 2, 4}, 1, []int{1, 3}, []int{huge, 1}}
	if n, err := fits.check(); n != 3 || err != nil {
		t.Errorf("a tensor that fits: %d, %v", n, err)
	}
}

// A zip archive of zeros that unpacks to a thousand times its size.
func TestDecompressionBombsAreRefused(t *testing.T) {
	data := zipOf(t, map[string][]byte{"a/data.pkl": bytes.Repeat([]byte("0"), 256<<20)})
	if len(data) > 1<<20 {
		t.Fatalf("the bomb has %d bytes", len(data))
	}
	if _, err := decode(bytes.NewReader(data), int64(len(data))); err == nil || !strings.Contains(err.Error(), "more than its size allows") {
		t.Errorf("the error is %v", err)
	}
}

func zipOf(t *testing.T, members map[string][]byte) []byte {
	t.Helper()
	var b bytes.Buffer
	z := zip.NewWriter(&b)
	for name, data := range members {
		w, err := z.Create(name)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := w.Write(data); err != nil {
			t.Fatal(err)
		}
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}
