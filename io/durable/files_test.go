package durable

import (
	"bytes"
	"errors"
	"io/fs"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"lsrun/shard"
)

var (
	old  = []byte("what was there before, and rather long")
	next = []byte("what comes now")
)

func TestPublishMakesAFileWithTheUsersPermissionsAndNoOther(t *testing.T) {
	mask := syscall.Umask(0o027)
	defer syscall.Umask(mask)
	path := filepath.Join(t.TempDir(), "surface.h5")
	for _, data := range [][]byte{old, next, {}} {
		check(t, Files{}.Publish(path, data))
		holds(t, path, data)
	}
	info, err := os.Stat(path)
	check(t, err)
	if info.Mode() != 0o640 {
		t.Errorf("the file has mode %v, the umask asks for 0640", info.Mode())
	}
	if names := list(t, filepath.Dir(path)); !slices.Equal(names, []string{"surface.h5"}) {
		t.Errorf("the folder holds %q", names)
	}
}

func TestPublishNewNeverReplaces(t *testing.T) {
	path := filepath.Join(t.TempDir(), "plan.json")
	check(t, Files{}.PublishNew(path, old))
	if err := (Files{}).PublishNew(path, next); !errors.Is(err, fs.ErrExist) {
		t.Errorf("a second PublishNew gives %v", err)
	}
	holds(t, path, old)
}

func TestPublishNewNeverReplacesWhereOnlyLinksCan(t *testing.T) {
	path := filepath.Join(t.TempDir(), "plan.json")
	// The calls of PublishNew: open, write, sync, close, read, renameNew.
	linking := func() Files { return Faulty(&Fault{At: 5, Err: syscall.EINVAL}) }
	check(t, linking().PublishNew(path, old))
	if err := linking().PublishNew(path, next); !errors.Is(err, fs.ErrExist) {
		t.Errorf("a second PublishNew gives %v", err)
	}
	holds(t, path, old)
	if names := list(t, filepath.Dir(path)); len(names) != 1 {
		t.Errorf("the folder holds %q", names)
	}
}

func TestRenameMovesAFileAndNeverReplaces(t *testing.T) {
	dir := t.TempDir()
	a, b, c := filepath.Join(dir, "a"), filepath.Join(dir, "b"), filepath.Join(dir, "sub", "c")
	check(t, Files{}.MkdirAll(filepath.Dir(c)))
	check(t, Files{}.Publish(a, old))
	check(t, Files{}.Publish(b, next))
	if err := (Files{}).Rename(a, b); !errors.Is(err, fs.ErrExist) {
		t.Errorf("renaming onto another file gives %v", err)
	}
	holds(t, b, next)
	check(t, Files{}.Rename(a, c))
	holds(t, c, old)
	if err := (Files{}).Rename(a, c); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("renaming nothing gives %v", err)
	}
}

func TestOfManyClaimsOneSucceeds(t *testing.T) {
	path := filepath.Join(t.TempDir(), "u00017.g1")
	for name, take := range map[string]func(string, []byte) error{
		"Claim": Files{}.Claim, "PublishNew": Files{}.PublishNew,
	} {
		path := path + name
		var won, taken int
		var lock sync.Mutex
		var all sync.WaitGroup
		for range 16 {
			all.Go(func() {
				err := take(path, next)
				lock.Lock()
				defer lock.Unlock()
				if err == nil {
					won++
				} else if errors.Is(err, fs.ErrExist) {
					taken++
				}
			})
		}
		all.Wait()
		if won != 1 || taken != 15 {
			t.Errorf("%s: %d won, %d found it taken", name, won, taken)
		}
		holds(t, path, next)
	}
}

func TestRewriteLeavesExactlyTheNewText(t *testing.T) {
	path := filepath.Join(t.TempDir(), "claim")
	check(t, Files{}.Claim(path, next))
	for _, data := range [][]byte{old, next, {}, old} {
		check(t, Files{}.Rewrite(path, data))
		holds(t, path, data)
	}
	if err := (Files{}).Rewrite(path+"2", next); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("rewriting nothing gives %v", err)
	}
}

func TestARewrittenClaimIsNeverTorn(t *testing.T) {
	path := filepath.Join(t.TempDir(), "claim")
	check(t, Files{}.Claim(path, old))
	var writer sync.WaitGroup
	writer.Go(func() {
		for range 200 {
			check(t, Files{}.Rewrite(path, next))
			check(t, Files{}.Rewrite(path, old))
		}
	})
	for range 2000 {
		got, err := Files{}.ReadFile(path)
		check(t, err)
		if !bytes.Equal(got, old) && !bytes.Equal(got, next) {
			t.Errorf("a reader saw %q", got)
		}
	}
	writer.Wait()
}

func TestAppendGoesOnWhereTheFileEnds(t *testing.T) {
	path := filepath.Join(t.TempDir(), "journal")
	for range 2 {
		a, err := Files{}.Append(path)
		check(t, err)
		check(t, a.Append([]byte("one ")))
		check(t, a.Append([]byte("two ")))
		check(t, a.Close())
	}
	holds(t, path, []byte("one two one two "))
}

func TestAMissingFolderHasNoNamesAndFilesAreListedSorted(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "shards")
	if names, err := (Files{}).ReadDir(dir); err != nil || names != nil {
		t.Errorf("a missing folder gives %q, %v", names, err)
	}
	check(t, Files{}.MkdirAll(filepath.Join(dir, "a", "b")))
	check(t, Files{}.MkdirAll(filepath.Join(dir, "a", "b")))
	check(t, Files{}.Publish(filepath.Join(dir, "z"), nil))
	if names := list(t, dir); !slices.Equal(names, []string{"a", "z"}) {
		t.Errorf("the folder holds %q", names)
	}
	if err := (Files{}).MkdirAll(filepath.Join(dir, "z", "c")); !errors.Is(err, syscall.ENOTDIR) {
		t.Errorf("a folder under a file gives %v", err)
	}
}

func TestASymbolicLinkIsNotWrittenThrough(t *testing.T) {
	dir := t.TempDir()
	target, path := filepath.Join(dir, "precious"), filepath.Join(dir, "link")
	check(t, os.WriteFile(target, old, 0o600))
	check(t, os.Symlink(target, path))
	_, appending := Files{}.Append(path)
	for what, err := range map[string]error{
		"Claim": Files{}.Claim(path, next), "Rewrite": Files{}.Rewrite(path, next),
		"PublishNew": Files{}.PublishNew(path, next), "Append": appending,
	} {
		if err == nil {
			t.Errorf("%s wrote through a link", what)
		}
	}
	check(t, Files{}.Publish(path, next)) // replaces the link itself
	holds(t, path, next)
	holds(t, target, old)
}

func TestAFolderThatIsASymbolicLinkIsNeitherListedNorTakenForOnesOwn(t *testing.T) {
	dir := t.TempDir()
	link := filepath.Join(dir, "link")
	check(t, os.Mkdir(filepath.Join(dir, "others"), 0o700))
	check(t, os.Symlink("others", link))
	_, listing := Files{}.ReadDir(link)
	for what, err := range map[string]error{"ReadDir": listing, "MkdirAll": Files{}.MkdirAll(link)} {
		if !errors.Is(err, syscall.ELOOP) || !strings.Contains(err.Error(), link) {
			t.Errorf("%s gives %v", what, err)
		}
	}
	check(t, Files{}.MkdirAll(filepath.Join(link, "a", "b"))) // a user may keep his folders elsewhere
	if names := list(t, link+"/."); !slices.Equal(names, []string{"a"}) {
		t.Errorf("the folder behind the link holds %q", names)
	}
}

func TestADeadLinkIsNoMissingFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "link")
	check(t, os.Symlink("nowhere", path))
	if _, err := (Files{}).ReadFile(path); !errors.Is(err, syscall.ELOOP) || errors.Is(err, fs.ErrNotExist) {
		t.Errorf("reading it gives %v", err)
	}
}

// actions are the ways to make a file.
var actions = []struct {
	name    string
	present bool // a file is there before
	act     func(Files, string) error
	allowed [][]byte // contents that may be seen after a failure
}{
	{"Publish", false, func(d Files, p string) error { return d.Publish(p, next) }, [][]byte{next}},
	{"Publish over another", true, func(d Files, p string) error { return d.Publish(p, next) }, [][]byte{old, next}},
	{"PublishNew", false, func(d Files, p string) error { return d.PublishNew(p, next) }, [][]byte{next}},
	{"Rewrite", true, func(d Files, p string) error { return d.Rewrite(p, next) }, [][]byte{old, next}},
	{"Claim", false, func(d Files, p string) error { return d.Claim(p, next) }, [][]byte{next}},
}

func TestAFailureOfAnyCallLeavesNoHalfFileAndARetrySucceeds(t *testing.T) {
	for _, a := range actions {
		for i := 0; ; i++ {
			path := filepath.Join(t.TempDir(), "f")
			if a.present {
				check(t, Files{}.Publish(path, old))
			}
			fault := &Fault{At: i, Err: syscall.ENOSPC}
			err := a.act(Faulty(fault), path)
			if !fault.Hit() {
				check(t, err)
				if i < 4 {
					t.Errorf("%s makes only %d calls", a.name, i)
				}
				break
			}
			if !errors.Is(err, syscall.ENOSPC) || !Storage(err) || !strings.Contains(err.Error(), path) {
				t.Errorf("%s, call %d: the error is %v", a.name, i, err)
			}
			allowed(t, a.name, i, path, a.allowed)
			for _, name := range list(t, filepath.Dir(path)) {
				if strings.HasPrefix(name, shard.TemporaryPrefix) {
					t.Errorf("%s, call %d: %s stays", a.name, i, name)
				}
			}
			if err := a.act(Files{}, path); err != nil && !errors.Is(err, fs.ErrExist) {
				t.Errorf("%s, call %d: the retry gives %v", a.name, i, err)
			}
			holds(t, path, next)
		}
	}
}

func TestACrashAtAnyCallLeavesNoHalfPublishedFile(t *testing.T) {
	for _, a := range actions {
		for i := 0; ; i++ {
			path := filepath.Join(t.TempDir(), "f")
			if a.present {
				check(t, Files{}.Publish(path, old))
			}
			fault := &Fault{At: i, Err: syscall.EIO, Crash: true}
			err := a.act(Faulty(fault), path)
			if !fault.Hit() {
				check(t, err)
				break
			}
			if err == nil {
				t.Errorf("%s, call %d: succeeds after a crash", a.name, i)
			}
			allowed(t, a.name, i, path, a.allowed)
		}
	}
}

func TestTheFirstErrorOfAnAppenderIsFinal(t *testing.T) {
	for i := 0; ; i++ {
		path := filepath.Join(t.TempDir(), "journal")
		fault := &Fault{At: i, Err: syscall.ENOSPC}
		a, err := Faulty(fault).Append(path)
		if err == nil {
			first := a.Append(next)
			second := a.Append(next)
			closed := a.Close()
			if (first != nil) && (second != first || closed != first) {
				t.Errorf("call %d: %v, then %v, then %v", i, first, second, closed)
			}
			err = errors.Join(first, second, closed)
		}
		if !fault.Hit() {
			check(t, err)
			break
		}
		if !errors.Is(err, syscall.ENOSPC) {
			t.Errorf("call %d: the error is %v", i, err)
		}
	}
}

func TestMkdirAllReportsEveryFailingCallAndARetrySucceeds(t *testing.T) {
	for i := 0; ; i++ {
		dir := filepath.Join(t.TempDir(), "a", "b")
		fault := &Fault{At: i, Err: syscall.EDQUOT}
		err := Faulty(fault).MkdirAll(dir)
		if !fault.Hit() {
			check(t, err)
			break
		}
		if !errors.Is(err, syscall.EDQUOT) {
			t.Errorf("call %d: the error is %v", i, err)
		}
		check(t, Files{}.MkdirAll(dir))
	}
}

// liar is a disk that loses a bit.
type liar struct{ kernel }

func (liar) read(path string) ([]byte, error) {
	data, err := kernel{}.read(path)
	if len(data) > 0 {
		data[len(data)/2] ^= 1
	}
	return data, err
}

func TestWhatReadsBackOtherwiseIsNotPublished(t *testing.T) {
	path := filepath.Join(t.TempDir(), "f")
	err := Files{liar{}}.Publish(path, next)
	if !errors.Is(err, errReadBack) || !Storage(err) {
		t.Errorf("the error is %v", err)
	}
	if names := list(t, filepath.Dir(path)); len(names) != 0 {
		t.Errorf("the folder holds %q", names)
	}
}

// stale is a network file system whose files go stale under so many readers.
type stale struct {
	kernel
	times *int
}

func (s stale) read(path string) ([]byte, error) {
	if *s.times--; *s.times >= 0 {
		return nil, syscall.ESTALE
	}
	return s.kernel.read(path)
}

func TestAFileThatGoesStaleIsReadAgain(t *testing.T) {
	path := filepath.Join(t.TempDir(), "f")
	check(t, Files{}.Publish(path, next))
	for times, works := range map[int]bool{1: true, 3: true, 100: false} {
		data, err := Files{stale{times: &times}}.ReadFile(path)
		if works != (err == nil && bytes.Equal(data, next)) || !works && !Storage(err) {
			t.Errorf("%q, %v", data, err)
		}
	}
}

// forgetting is a network file system whose answer to a rename was lost: it was done, but seems not to have been.
type forgetting struct{ kernel }

func (forgetting) rename(from, to string) error {
	check := kernel{}.rename(from, to)
	if check != nil {
		return check
	}
	return &os.LinkError{Op: "rename", Old: from, New: to, Err: syscall.ENOENT}
}

func TestARenameWhoseAnswerWasLostIsDone(t *testing.T) {
	path := filepath.Join(t.TempDir(), "f")
	check(t, Files{forgetting{}}.Publish(path, next))
	holds(t, path, next)
}

// TestARealFullDiskIsReported runs itself in a child whose file-size limit stands in for
// a full disk where no small file system can be mounted.
func TestARealFullDiskIsReported(t *testing.T) {
	const variable = "DURABLE_TEST_LIMIT"
	if dir := os.Getenv(variable); dir != "" {
		limit := unix.Rlimit{Cur: 4096, Max: 4096}
		check(t, unix.Setrlimit(unix.RLIMIT_FSIZE, &limit))
		fullDisk(t, dir, syscall.EFBIG)
		return
	}
	child := exec.Command(os.Args[0], "-test.run=^TestARealFullDiskIsReported$")
	child.Env = append(os.Environ(), variable+"="+t.TempDir())
	if out, err := child.CombinedOutput(); err != nil {
		t.Errorf("under a limit on file sizes: %v\n%s", err, out)
	}
	mount := t.TempDir()
	if unix.Mount("tmpfs", mount, "tmpfs", 0, "size=64k") == nil { // as root
		defer unix.Unmount(mount, 0)
		fullDisk(t, mount, syscall.ENOSPC)
	}
}

func fullDisk(t *testing.T, dir string, want syscall.Errno) {
	big := bytes.Repeat([]byte("x"), 1<<20)
	path := filepath.Join(dir, "surface.h5")
	if err := (Files{}).Publish(path, big); !errors.Is(err, want) || !Storage(err) || !strings.Contains(err.Error(), path) {
		t.Errorf("publishing gives %v", err)
	}
	journal := filepath.Join(dir, "journal")
	a, err := Files{}.Append(journal)
	check(t, err)
	if err := a.Append(big); !errors.Is(err, want) || !strings.Contains(err.Error(), journal) {
		t.Errorf("appending gives %v", err)
	}
	a.Close()
	check(t, os.Remove(journal))
	check(t, Files{}.Publish(path, next)) // there is room again
	if names := list(t, dir); !slices.Equal(names, []string{"surface.h5"}) {
		t.Errorf("the folder holds %q", names)
	}
}

func TestStorageTellsTheDisksErrorsFromOthers(t *testing.T) {
	for _, err := range []error{syscall.ENOSPC, syscall.EIO, syscall.EROFS, syscall.EACCES, errReadBack} {
		if !Storage(wrap("write", "f", err)) {
			t.Errorf("%v is not taken for an error of storage", err)
		}
	}
	for _, err := range []error{nil, fs.ErrNotExist, fs.ErrExist, syscall.ENOENT, syscall.ENOTDIR, errors.New("EIO")} {
		if Storage(err) {
			t.Errorf("%v is taken for an error of storage", err)
		}
	}
}

func allowed(t *testing.T, action string, call int, path string, contents [][]byte) {
	t.Helper()
	got, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return
	}
	check(t, err)
	if !slices.ContainsFunc(contents, func(c []byte) bool { return bytes.Equal(c, got) }) {
		t.Errorf("%s, call %d: the file holds %q", action, call, got)
	}
}

func holds(t *testing.T, path string, want []byte) {
	t.Helper()
	got, err := os.ReadFile(path)
	check(t, err)
	if !bytes.Equal(got, want) {
		t.Errorf("%s holds %q, not %q", filepath.Base(path), got, want)
	}
}

func list(t *testing.T, dir string) []string {
	t.Helper()
	names, err := Files{}.ReadDir(dir)
	check(t, err)
	return names
}

func check(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Error(err)
	}
}

// syncs counts what waits for the disk.
type syncs struct {
	kernel
	n *int
}

func (s syncs) sync(f *os.File) error {
	*s.n++
	return s.kernel.sync(f)
}

// TestRewritingDoesNotWaitForTheDisk: thousands of workers do it all the time in one folder.
func TestRewritingDoesNotWaitForTheDisk(t *testing.T) {
	n := 0
	files := Files{syncs{n: &n}}
	path := filepath.Join(t.TempDir(), "claim")
	check(t, files.Claim(path, old))
	if n != 2 {
		t.Errorf("claiming synced %d times, not the file and its folder", n)
	}
	check(t, files.Rewrite(path, next))
	holds(t, path, next)
	if n != 2 {
		t.Errorf("rewriting synced %d times", n-2)
	}
}

// TestAClaimSurvivesAPowerFailureAndItsRewritingMayNot: nobody ever finds half of one.
func TestAClaimSurvivesAPowerFailureAndItsRewritingMayNot(t *testing.T) {
	for at := 0; ; at++ {
		dir := t.TempDir()
		disk, err := NewForgetful(dir, at)
		check(t, err)
		files, path := disk.Files(), filepath.Join(dir, "claim")
		claimed := files.Claim(path, old) == nil
		files.Rewrite(path, next)
		for _, names := range []bool{false, true} {
			after := t.TempDir()
			check(t, disk.Restart(after, names))
			got, err := os.ReadFile(filepath.Join(after, "claim"))
			if whole := bytes.Equal(got, old); claimed && (err != nil || !whole && len(got) > 0) || !claimed && err == nil && !whole {
				t.Errorf("call %d: claimed %v, and there is %q, %v", at, claimed, got, err)
			}
		}
		if !disk.Hit() {
			return
		}
	}
}

// TestNobodyWaitsForAPipe: who plants one would otherwise decide how long its readers live.
func TestNobodyWaitsForAPipe(t *testing.T) {
	dir := t.TempDir()
	pipe, socket := filepath.Join(dir, "pipe"), filepath.Join(dir, "socket")
	check(t, unix.Mkfifo(pipe, 0o666))
	listener, err := net.Listen("unix", socket)
	check(t, err)
	defer listener.Close()
	for what, act := range map[string]func(path string) error{
		"reading":   func(path string) error { _, err := Files{}.ReadFile(path); return err },
		"listing":   func(path string) error { _, err := Files{}.ReadDir(path); return err },
		"claiming":  func(path string) error { return Files{}.Claim(path, next) },
		"rewriting": func(path string) error { return Files{}.Rewrite(path, next) },
	} {
		for _, path := range []string{pipe, socket} {
			ended := make(chan error, 1)
			go func() { ended <- act(path) }()
			select {
			case err := <-ended:
				if err == nil || !strings.Contains(err.Error(), path) || what == "reading" && !errors.Is(err, shard.ErrIrregular) {
					t.Errorf("%s %s gives %v", what, path, err)
				}
			case <-time.After(10 * time.Second):
				t.Errorf("%s %s waits", what, path)
			}
		}
	}
}
