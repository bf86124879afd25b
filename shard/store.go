// Package shard cuts a grid into units, lets any number of workers compute them, survives
// whatever happens to those workers, and merges what they left into a surface.
//
// It knows metrics, not networks, and files only through Files and Codec.
package shard

import "context"

// Evaluator computes points.
type Evaluator interface {
	// Kernel names the arithmetic: two evaluators with one name give the same bits.
	Kernel() string
	// Evaluate computes every metric at points k of the grid and hands each record over as
	// soon as it is done, in any order, one call at a time. It returns ctx's error soon
	// after ctx is cancelled, and the first error of done.
	//
	// carry is the Carry of the nearest point before the first of points that left one in the same
	// unit, or nil. An evaluator whose records carry something goes through points in order.
	Evaluate(ctx context.Context, points []int, carry []byte, done func(Record) error) error
	// Batch is how many points it wants at a time.
	Batch() int
}

// Shard is a finished unit, or the part of one that a merge can use.
type Shard struct {
	Plan    []byte            // the plan's canonical bytes
	Unit    int               // its number
	Records []Record          // every point of the unit, in order
	Notes   map[string]string // provenance: host, kernel, times. Two shards may differ in it.
}

// Codec turns shards and surfaces into the bytes of HDF5 files and back. Equal values
// give equal bytes. Decoding checks every length, type and shape.
type Codec interface {
	EncodeShard(*Shard) ([]byte, error)
	DecodeShard([]byte) (*Shard, error)
	EncodeSurface(*Surface) ([]byte, error)
	DecodeSurface([]byte) (*Surface, error)
}

// Files is what a run directory needs of a file system. Errors are *fs.PathError or wrap
// one, so that errors.Is finds fs.ErrExist, fs.ErrNotExist and syscall errors.
type Files interface {
	ReadFile(path string) ([]byte, error)
	// ReadDir lists the names in a folder, sorted; one that is not there has none.
	ReadDir(path string) ([]string, error)
	MkdirAll(path string) error
	// Rename moves a file; fs.ErrExist if the new name is taken.
	Rename(from, to string) error
	// Publish makes path hold data, whole or not at all: temporary file in the same
	// folder, fsync, close, read back, rename, fsync of the folder. It replaces what was there.
	Publish(path string, data []byte) error
	// PublishNew is Publish, but fails with fs.ErrExist where path is taken.
	PublishNew(path string, data []byte) error
	// Remove deletes a file; fs.ErrNotExist if there is none.
	Remove(path string) error
	// Claim is PublishNew for a path that is mostly taken.
	Claim(path string, data []byte) error
	// Rewrite replaces a claim of one's own: readers see the old bytes or the new ones. It is cheap; after a power failure
	// there may be the old ones, or none.
	Rewrite(path string, data []byte) error
	// Append opens path for appending, creating it.
	Append(path string) (Appender, error)
}

// TemporaryPrefix begins the names that a Publish which was cut short leaves in a folder.
const TemporaryPrefix = ".tmp-"

// Appender is a file that grows.
type Appender interface {
	// Append writes data in one write and returns when it is on the disk.
	Append(data []byte) error
	Close() error
}
