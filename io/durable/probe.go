package durable

import (
	"bytes"
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"time"

	"golang.org/x/sys/unix"
)

// Probe is what a file system was seen to do. Errors are nil where it did what it should.
type Probe struct {
	Create    error           // a file is made exclusively, and a second time refused
	Link      error           // a hard link never replaces
	RenameNew error           // nor does a rename without replacing
	Publish   error           // a file is written, synchronised, read back and renamed
	Append    error           // records are appended and synchronised
	Remove    error           // all of it is removed
	Sync      []time.Duration // of the appended records, one by one, rising
	Clock     time.Duration   // the time of a new file less this machine's: no more than a fact
}

// errReplaced is a file system that breaks its word.
var errReplaced = errors.New("a name that was taken was given away once more")

const (
	probeRecords = 16
	probeRecord  = 200     // bytes
	probeFile    = 1 << 20 // bytes
)

// Probe tries in dir, in a folder of its own that it removes again, what Files does with the disk. The error is that of
// making the folder.
func (d Files) Probe(dir string) (*Probe, error) {
	sys := d.system()
	folder := tempName(filepath.Join(dir, "probe"))
	if err := sys.mkdir(folder); err != nil {
		return nil, wrap("make folder", folder, err)
	}
	p := &Probe{}
	in := func(name string) string { return filepath.Join(folder, name) }
	began := time.Now()
	p.Create = d.once(in("exclusive"), func(path string) error {
		f, err := sys.open(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL)
		if err != nil {
			return wrap("create", path, err)
		}
		return wrap("create", path, d.fill(f, []byte("lsrun"), true))
	})
	if p.Create == nil {
		if info, err := os.Stat(in("exclusive")); err == nil {
			p.Clock = info.ModTime().Sub(began)
		}
		p.Link = d.once(in("link"), func(path string) error { return wrap("link", path, sys.link(in("exclusive"), path)) })
		p.RenameNew = d.once(in("renamed"), func(path string) error {
			if err := d.Publish(in("another"), nil); err != nil {
				return err
			}
			return wrap("rename", path, sys.renameNew(in("another"), path))
		})
	}
	data := make([]byte, probeFile)
	rand.Read(data)
	p.Publish = d.Publish(in("published"), data)
	p.Sync, p.Append = d.probeAppending(in("appended"))
	names, err := d.ReadDir(folder)
	for _, name := range names {
		err = errors.Join(err, d.Remove(in(name)))
	}
	p.Remove = errors.Join(err, d.Remove(folder))
	return p, nil
}

// once returns an error unless make succeeds at path, and then fails because there is something.
func (d Files) once(path string, make func(path string) error) error {
	if err := make(path); err != nil {
		return err
	}
	switch err := make(path); {
	case err == nil:
		return errReplaced
	case errors.Is(err, fs.ErrExist):
		return nil
	default:
		return err
	}
}

// probeAppending appends records, and compares what it reads with them.
func (d Files) probeAppending(path string) (took []time.Duration, err error) {
	file, err := d.Append(path)
	if err != nil {
		return nil, err
	}
	var all []byte
	for range probeRecords {
		record := make([]byte, probeRecord)
		rand.Read(record)
		all = append(all, record...)
		began := time.Now()
		if err = file.Append(record); err != nil {
			break
		}
		took = append(took, time.Since(began))
	}
	slices.Sort(took)
	if err = errors.Join(err, file.Close()); err != nil {
		return took, err
	}
	there, err := d.ReadFile(path)
	if err == nil && !bytes.Equal(there, all) {
		err = wrap("read back", path, errReadBack)
	}
	return took, err
}

// Room is what a file system has left for this user.
type Room struct {
	Type  string // "ext4", "nfs", …; its magic number where the name is not known
	Bytes int64
	Files int64 // that may still be made; −1 where it does not count them
}

// FreeRoom looks at the file system of a folder. Quotas mostly do not show.
func FreeRoom(dir string) (Room, error) {
	var s unix.Statfs_t
	if err := unix.Statfs(dir, &s); err != nil {
		return Room{}, wrap("look at the file system of", dir, err)
	}
	r := Room{Type: typeNames[int64(s.Type)], Bytes: int64(s.Bavail) * s.Frsize, Files: int64(s.Ffree)}
	if r.Type == "" {
		r.Type = fmt.Sprintf("type %#x", s.Type)
	}
	if s.Files == 0 {
		r.Files = -1
	}
	return r, nil
}

// typeNames are those of statfs(2), and of what clusters have.
var typeNames = map[int64]string{
	unix.EXT4_SUPER_MAGIC: "ext4", unix.XFS_SUPER_MAGIC: "xfs", unix.BTRFS_SUPER_MAGIC: "btrfs", unix.TMPFS_MAGIC: "tmpfs",
	unix.NFS_SUPER_MAGIC: "nfs", unix.SMB2_SUPER_MAGIC: "smb", unix.CIFS_SUPER_MAGIC: "cifs", unix.FUSE_SUPER_MAGIC: "fuse",
	unix.OVERLAYFS_SUPER_MAGIC: "overlay", unix.CEPH_SUPER_MAGIC: "ceph", 0x0BD00BD0: "lustre", 0x47504653: "gpfs",
	0x19830326: "beegfs", 0x2FC12FC1: "zfs",
}
