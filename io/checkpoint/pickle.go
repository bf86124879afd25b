package checkpoint

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/nlpodyssey/gopickle/pickle"
)

// The limits of one pickle. Checkpoints of the largest networks stay far below them.
const (
	maxOperations = 4 << 20  // an operation can cost some 300 bytes
	maxLine       = 64 << 10 // of a text argument
	maxLong       = 255      // bytes of an integer; converting takes quadratic time
)

const opProto = 0x80 // begins every pickle of protocol 2 and later

// Operations by the form of their argument.
const (
	opsBare    = "(.012NQRabdelost}])u\x81\x85\x86\x87\x88\x89\x8f\x90\x91\x92\x93\x94\x98"
	opsByte    = "Khq\x80\x82"
	opsTwo     = "M\x83"
	opsFour    = "Jjr\x84"
	opsEight   = "G"
	opsLine    = "FILPSVgp"
	opsLines   = "ci"
	opsCounted = "U\x8cC\x8aTXB\x8b\x8d\x8e\x96\x95"
)

// lengthBytes is how wide the count before a counted argument is.
func lengthBytes(op byte) int64 {
	switch {
	case strings.IndexByte("U\x8cC\x8a", op) >= 0:
		return 1
	case strings.IndexByte("TXB\x8b", op) >= 0:
		return 4
	}
	return 8
}

// scanner reads one pickle from a stream without interpreting it. The interpreter
// allocates whatever length a pickle states before it reads; so every length is held
// against what the stream still has first.
type scanner struct {
	r    *bufio.Reader
	left int64 // bytes of the stream not read yet
	raw  []byte
}

// scanPickle returns the bytes of the pickle at the front of r, which has left bytes.
// A stream that ends too early is io.ErrUnexpectedEOF.
func scanPickle(r *bufio.Reader, left int64) ([]byte, error) {
	s := &scanner{r: r, left: left}
	for range maxOperations {
		op, err := s.take(1)
		if err != nil {
			return nil, err
		}
		if op[0] == '.' {
			return s.raw, nil
		}
		if err := s.argument(op[0]); err != nil {
			return nil, err
		}
	}
	return nil, fmt.Errorf("its pickle has more than %d operations: "+
		"save the state dict alone, torch.save(model.state_dict(), path)", maxOperations)
}

// take moves n bytes from the stream to raw and returns them.
func (s *scanner) take(n int64) ([]byte, error) {
	if n > s.left {
		return nil, io.ErrUnexpectedEOF
	}
	start := len(s.raw)
	s.raw = append(s.raw, make([]byte, n)...)
	if _, err := io.ReadFull(s.r, s.raw[start:]); err != nil {
		return nil, err
	}
	s.left -= n
	return s.raw[start:], nil
}

func (s *scanner) argument(op byte) error {
	var err error
	switch is := func(ops string) bool { return strings.IndexByte(ops, op) >= 0 }; {
	case is(opsBare):
	case is(opsByte):
		_, err = s.take(1)
	case is(opsTwo):
		_, err = s.take(2)
	case is(opsFour):
		_, err = s.take(4)
	case is(opsEight):
		_, err = s.take(8)
	case is(opsLine):
		_, err = s.line()
	case is(opsLines):
		err = s.global()
	case is(opsCounted):
		err = s.counted(op)
	default:
		err = fmt.Errorf("its pickle has an unknown operation 0x%02x: the file is damaged", op)
	}
	return err
}

func (s *scanner) line() ([]byte, error) {
	start := len(s.raw)
	for range maxLine {
		c, err := s.take(1)
		if err != nil {
			return nil, err
		}
		if c[0] == '\n' {
			return s.raw[start:], nil
		}
	}
	return nil, errors.New("its pickle has an endless line: the file is damaged")
}

// counted passes over an argument preceded by its length. The content of a frame (0x95)
// is operations, which are scanned in their turn.
func (s *scanner) counted(op byte) error {
	width := lengthBytes(op)
	text, err := s.take(width)
	if err != nil {
		return err
	}
	var wide [8]byte
	copy(wide[:], text)
	n := binary.LittleEndian.Uint64(wide[:])
	switch {
	case n > uint64(s.left):
		return io.ErrUnexpectedEOF
	case op == 0x8b && n > maxLong:
		return errors.New("its pickle has an integer of absurd length: the file is damaged")
	case op == 0x95:
		return nil
	}
	_, err = s.take(int64(n))
	return err
}

// global passes over a module's and a class's name. The interpreter keeps
// collections.OrderedDict to itself and refuses its arguments, which every OrderedDict
// written by Python 2 has; under another name it asks for the class (see findClass).
func (s *scanner) global() error {
	start := len(s.raw)
	if _, err := s.line(); err != nil {
		return err
	}
	if _, err := s.line(); err != nil {
		return err
	}
	if string(s.raw[start:]) == "collections\nOrderedDict\n" {
		s.raw[start] = 'C'
	}
	return nil
}

// unpickle interprets a scanned pickle; persistent resolves its references to storages.
func unpickle(raw []byte, persistent func(any) (any, error)) (value any, err error) {
	defer func() { // the interpreter trusts the order of operations
		if r := recover(); r != nil {
			value, err = nil, fmt.Errorf("its pickle is malformed (%v): the file is damaged", r)
		}
	}()
	u := pickle.NewUnpickler(bytes.NewReader(raw))
	u.FindClass = findClass
	u.PersistentLoad = persistent
	value, err = u.Load()
	if err != nil {
		text := err.Error()
		return nil, fmt.Errorf("its pickle cannot be interpreted (%s): the file is damaged or not by PyTorch", text[:min(len(text), 200)])
	}
	return value, nil
}
