package durable

import (
	"bytes"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
)

// Forgetful is a folder on the disk of a machine whose power fails, for tests: what was not synced is lost, files' content
// and folders' names each for themselves.
type Forgetful struct {
	fault *Fault
	root  string
	mu    sync.Mutex
	files map[*os.File]string // that are open, by path
	live  map[string]*node    // by path, what processes see
	disk  map[string]*node    // whose names are on the disk
}

// node is a file or a folder, whatever its name.
type node struct {
	folder       bool
	live, synced []byte
}

// NewForgetful makes the folder at root, with what is in it now safely on the disk, one that forgets at the given call.
func NewForgetful(root string, at int) (*Forgetful, error) {
	f := &Forgetful{root: root, fault: &Fault{At: at, Err: syscall.EIO, Crash: true},
		files: map[*os.File]string{}, live: map[string]*node{}, disk: map[string]*node{}}
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil || path == root {
			return err
		}
		n := &node{folder: d.IsDir()}
		if !n.folder {
			if n.live, err = os.ReadFile(path); err != nil {
				return err
			}
			n.synced = n.live
		}
		f.live[path], f.disk[path] = n, n
		return nil
	})
	return f, err
}

// Files is the file system that forgets.
func (f *Forgetful) Files() Files { return Files{f} }

// Hit reports whether the power has failed.
func (f *Forgetful) Hit() bool { return f.fault.Hit() }

// Restart makes a new folder of what is there after the power has failed. Where names is true, all names of files are, as
// file systems may have it that write folders of their own accord.
func (f *Forgetful) Restart(to string, names bool) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	survivors := f.disk
	if names {
		survivors = f.live
	}
	for path, n := range survivors {
		if !f.reachable(path, survivors) {
			continue
		}
		there := filepath.Join(to, strings.TrimPrefix(path, f.root))
		if n.folder {
			if err := os.MkdirAll(there, 0o777); err != nil {
				return err
			}
			continue
		}
		err := os.MkdirAll(filepath.Dir(there), 0o777)
		if err == nil {
			err = os.WriteFile(there, n.synced, 0o666)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// reachable reports whether all folders above path survive.
func (f *Forgetful) reachable(path string, survivors map[string]*node) bool {
	for above := filepath.Dir(path); above != f.root; above = filepath.Dir(above) {
		if survivors[above] == nil {
			return false
		}
	}
	return true
}

// after carries out a call and, if it succeeds, notes what it did.
func (f *Forgetful) after(call func() error, note func()) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	err := f.fault.next(nil)
	if err == nil {
		err = call()
	}
	if err == nil {
		note()
	}
	return err
}

func nothing() {}

func (f *Forgetful) open(path string, flag int) (file *os.File, err error) {
	err = f.after(func() error { file, err = kernel{}.open(path, flag); return err }, func() {
		path = filepath.Clean(path)
		f.files[file] = path
		if flag&os.O_CREATE != 0 && f.live[path] == nil {
			f.live[path] = &node{}
		}
	})
	return file, err
}

func (f *Forgetful) write(file *os.File, data []byte) error {
	return f.after(func() error { return kernel{}.write(file, data) }, func() {
		n := f.live[f.files[file]]
		n.live = append(bytes.Clone(n.live), data...)
	})
}

func (f *Forgetful) sync(file *os.File) error {
	return f.after(func() error { return kernel{}.sync(file) }, func() {
		path := f.files[file]
		if n := f.live[path]; n != nil && !n.folder {
			n.synced = n.live
			return
		}
		for name := range f.disk {
			if filepath.Dir(name) == path {
				delete(f.disk, name)
			}
		}
		for name, n := range f.live {
			if filepath.Dir(name) == path {
				f.disk[name] = n
			}
		}
	})
}

func (f *Forgetful) close(file *os.File) error {
	err := f.after(func() error { return nil }, func() { delete(f.files, file) })
	file.Close()
	return err
}

func (f *Forgetful) read(path string) (data []byte, err error) {
	err = f.after(func() error { data, err = kernel{}.read(path); return err }, nothing)
	return data, err
}

func (f *Forgetful) list(path string) (names []string, err error) {
	err = f.after(func() error { names, err = kernel{}.list(path); return err }, nothing)
	return names, err
}

func (f *Forgetful) mkdir(path string) error {
	return f.after(func() error { return kernel{}.mkdir(path) }, func() { f.live[path] = &node{folder: true} })
}

func (f *Forgetful) rename(from, to string) error {
	return f.after(func() error { return kernel{}.rename(from, to) }, func() { f.move(from, to) })
}

func (f *Forgetful) renameNew(from, to string) error {
	return f.after(func() error { return kernel{}.renameNew(from, to) }, func() { f.move(from, to) })
}

func (f *Forgetful) move(from, to string) {
	f.live[to] = f.live[from]
	delete(f.live, from)
}

func (f *Forgetful) link(from, to string) error {
	return f.after(func() error { return kernel{}.link(from, to) }, func() { f.live[to] = f.live[from] })
}

func (f *Forgetful) remove(path string) error {
	return f.after(func() error { return kernel{}.remove(path) }, func() { delete(f.live, path) })
}
