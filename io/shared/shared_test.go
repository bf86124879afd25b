package shared

import (
	"bufio"
	"bytes"
	"context"
	"crypto/rand"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime/debug"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

const mib = 1 << 20

// A process of the tests is this program with a name in the environment. It holds the block of that name, says how it came by it, and
// stays until its standard input ends.
const (
	nameKey = "LSRUN_TEST_SHARED_NAME"
	sizeKey = "LSRUN_TEST_SHARED_SIZE"
	slowKey = "LSRUN_TEST_SHARED_SLOW" // wait for a line of standard input while filling

	strangerKey = "LSRUN_TEST_SHARED_STRANGER"
)

func TestMain(m *testing.M) {
	if name := os.Getenv(nameKey); name != "" {
		if does := os.Getenv(strangerKey); does != "" {
			strangerChild(does, name)
			return
		}
		beat, patience = 20*time.Millisecond, 500*time.Millisecond
		child(name)
		return
	}
	os.Exit(m.Run())
}

func child(name string) {
	size, _ := strconv.Atoi(os.Getenv(sizeKey))
	in, how := bufio.NewReader(os.Stdin), "took"
	data, err := Hold(context.Background(), name, size, func(room []byte) error {
		how = "made"
		if os.Getenv(slowKey) != "" {
			fmt.Println("filling")
			in.ReadString('\n')
		}
		pattern(room)
		return nil
	})
	if err != nil {
		fmt.Printf("error unavailable=%v %v\n", errors.Is(err, ErrUnavailable), err)
		return
	}
	fmt.Printf("%s %08x\n", how, crc32.ChecksumIEEE(data))
	in.ReadString('\n')
}

func pattern(room []byte) {
	for i := range room {
		room[i] = byte(i*7 + i>>8)
	}
}

// process is one of them.
type process struct {
	t     *testing.T
	cmd   *exec.Cmd
	in    io.WriteCloser
	lines *bufio.Reader
}

func start(t *testing.T, name string, size int, env ...string) *process {
	t.Helper()
	return launch(t, nil, append(env, nameKey+"="+name, sizeKey+"="+strconv.Itoa(size))...)
}

func launch(t *testing.T, user *syscall.Credential, env ...string) *process {
	t.Helper()
	cmd := exec.Command("/proc/self/exe")
	cmd.Dir = "/"
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: user}
	cmd.Env = append(os.Environ(), env...)
	cmd.Stderr = os.Stderr
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	p := &process{t, cmd, in, bufio.NewReader(out)}
	t.Cleanup(p.kill)
	return p
}

// says is its next line.
func (p *process) says() string {
	p.t.Helper()
	line, err := p.lines.ReadString('\n')
	if err != nil {
		p.t.Fatalf("a process ended without a word: %v", err)
	}
	return strings.TrimSpace(line)
}

func (p *process) kill() {
	p.cmd.Process.Kill()
	p.cmd.Wait()
}

// memory is a value of its smaps_rollup, in MiB.
func (p *process) memory(what string) float64 {
	p.t.Helper()
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/smaps_rollup", p.cmd.Process.Pid))
	if err != nil {
		p.t.Fatal(err)
	}
	match := regexp.MustCompile(`(?m)^` + what + `:\s+(\d+) kB`).FindSubmatch(text)
	if match == nil {
		p.t.Fatalf("no %s in %s", what, text)
	}
	kib, _ := strconv.Atoi(string(match[1]))
	return float64(kib) / 1024
}

func newName(t *testing.T) string {
	t.Helper()
	var b [16]byte
	rand.Read(b[:])
	return "test-" + hex.EncodeToString(b[:])
}

func sumOf(size int) string {
	room := make([]byte, size)
	pattern(room)
	return fmt.Sprintf("%08x", crc32.ChecksumIEEE(room))
}

// taken reports whether somebody has the name, as /proc/net/unix tells.
func taken(t *testing.T, name string) bool {
	t.Helper()
	text, err := os.ReadFile("/proc/net/unix")
	if err != nil {
		t.Fatal(err)
	}
	return bytes.Contains(text, []byte(name))
}

func TestProcessesHoldOneBlockTogether(t *testing.T) {
	name, size, n := newName(t), 64*mib, 4
	var all []*process
	for range n {
		all = append(all, start(t, name, size))
	}
	made := 0
	for _, p := range all {
		how, sum, _ := strings.Cut(p.says(), " ")
		if how == "made" {
			made++
		}
		if sum != sumOf(size) {
			t.Errorf("a process %s %s, want %s", how, sum, sumOf(size))
		}
	}
	if made != 1 {
		t.Errorf("%d processes made the block", made)
	}
	proportional, resident := 0.0, 0.0
	for _, p := range all {
		proportional += p.memory("Pss_Shmem")
		resident += p.memory("Rss")
	}
	if proportional < 63 || proportional > 66 || resident < 4*64 {
		t.Errorf("%d processes hold %.1f MiB together and map %.1f MiB, want 64 MiB held and four times that mapped", n, proportional, resident)
	}
	for _, p := range all {
		p.kill()
	}
	if taken(t, name) {
		t.Error("the name is taken after every process was killed")
	}
}

func TestAnotherProcessMakesTheBlockWhenItsMakerIsKilled(t *testing.T) {
	name, size := newName(t), mib
	first := start(t, name, size, slowKey+"=1")
	if got := first.says(); got != "filling" {
		t.Fatal(got)
	}
	var others []*process
	for range 3 {
		others = append(others, start(t, name, size))
	}
	time.Sleep(700 * time.Millisecond) // longer than patience: the maker's beats keep them waiting
	first.kill()
	made := 0
	for _, p := range others {
		switch p.says() {
		case "made " + sumOf(size):
			made++
		case "took " + sumOf(size):
		default:
			t.Error("a process has neither made nor taken the block")
		}
	}
	if made != 1 {
		t.Errorf("%d processes made the block", made)
	}
}

func TestTheBlockOutlivesItsMaker(t *testing.T) {
	name, size := newName(t), mib
	first := start(t, name, size)
	if got := first.says(); got != "made "+sumOf(size) {
		t.Fatal(got)
	}
	data, err := Hold(t.Context(), name, size, func([]byte) error { return errors.New("made twice") })
	if err != nil {
		t.Fatal(err)
	}
	first.kill()
	want := make([]byte, size)
	if pattern(want); !bytes.Equal(data, want) {
		t.Error("the block is another after its maker was killed")
	}
	late := start(t, name, size)
	if got := late.says(); got != "made "+sumOf(size) {
		t.Errorf("a process that came when the maker was gone %s", got)
	}
}

// TestAStoppedMakerDetainsNobody for longer than its patience, as after Ctrl-Z.
func TestAStoppedMakerDetainsNobody(t *testing.T) {
	name, size := newName(t), mib
	maker := start(t, name, size, slowKey+"=1")
	if got := maker.says(); got != "filling" {
		t.Fatal(got)
	}
	if err := maker.cmd.Process.Signal(syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	other := start(t, name, size)
	if got := other.says(); !strings.HasPrefix(got, "error unavailable=true") || !strings.Contains(got, "timeout") {
		t.Errorf("%s, want a timeout", got)
	}
}

func TestAWaitEndsWithItsContext(t *testing.T) {
	name, size := newName(t), mib
	maker := start(t, name, size, slowKey+"=1")
	if got := maker.says(); got != "filling" {
		t.Fatal(got)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if _, err := Hold(ctx, name, size, nil); err != context.DeadlineExceeded {
		t.Errorf("%v, want the context's error", err)
	}
}

func TestTheErrorOfFillingIsTheCallersOwn(t *testing.T) {
	name := newName(t)
	own := errors.New("no data")
	if _, err := Hold(t.Context(), name, mib, func([]byte) error { return own }); err != own {
		t.Errorf("%v, want %v", err, own)
	}
	if taken(t, name) {
		t.Error("the name is still taken")
	}
	if _, err := Hold(t.Context(), name, mib, func([]byte) error { return nil }); err != nil {
		t.Errorf("the next one cannot make the block: %v", err)
	}
}

func TestNobodyWritesToABlock(t *testing.T) {
	name := newName(t)
	made, err := Hold(t.Context(), name, mib, func(room []byte) error { return nil })
	if err != nil {
		t.Fatal(err)
	}
	took, err := Hold(t.Context(), name, mib, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	for what, data := range map[string][]byte{"its maker": made, "who took it": took} {
		func() {
			defer func() {
				if recover() == nil {
					t.Errorf("%s could write", what)
				}
			}()
			data[0] = 1
		}()
	}
	// Nor by the descriptor, which everybody gets.
	links, _ := filepath.Glob("/proc/self/fd/*")
	tried := 0
	for _, link := range links {
		if target, _ := os.Readlink(link); !strings.HasPrefix(target, "/memfd:lsrun") {
			continue
		}
		tried++
		f, err := os.OpenFile(link, os.O_RDWR, 0)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := f.WriteAt([]byte{1}, 0); !errors.Is(err, unix.EPERM) {
			t.Errorf("writing to a block: %v, want %v", err, unix.EPERM)
		}
		if err := f.Truncate(0); !errors.Is(err, unix.EPERM) {
			t.Errorf("cutting a block: %v, want %v", err, unix.EPERM)
		}
		f.Close()
	}
	if tried == 0 {
		t.Error("no block was found among the descriptors")
	}
}

// impostor answers the first who asks for name with message and a descriptor of a file that may not be what it should.
func impostor(t *testing.T, name string, message []byte, file *os.File) {
	t.Helper()
	l, err := net.ListenUnix("unixpacket", &net.UnixAddr{Net: "unixpacket", Name: fmt.Sprintf("@lsrun-%d-%s", os.Geteuid(), name)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	rights := unix.UnixRights(int(file.Fd()))
	go func() {
		conn, err := l.AcceptUnix()
		if err != nil {
			return
		}
		conn.WriteMsgUnix(message, rights, nil)
		conn.Close()
	}()
}

// memory is a memfd of zeros with seals.
func memory(t *testing.T, size, seals int) *os.File {
	t.Helper()
	fd, err := unix.MemfdCreate("impostor", unix.MFD_CLOEXEC|unix.MFD_ALLOW_SEALING)
	if err != nil {
		t.Fatal(err)
	}
	f := os.NewFile(uintptr(fd), "impostor")
	t.Cleanup(func() { f.Close() })
	if err := f.Truncate(int64(size)); err != nil {
		t.Fatal(err)
	}
	if _, err := unix.FcntlInt(f.Fd(), unix.F_ADD_SEALS, seals); err != nil {
		t.Fatal(err)
	}
	return f
}

func TestABlockThatIsNotWholeOrCouldChangeIsNotTaken(t *testing.T) {
	right := binary.LittleEndian.AppendUint32(nil, crc32.Checksum(make([]byte, mib), castagnoli))
	disk, err := os.Create(filepath.Join(t.TempDir(), "block"))
	if err != nil {
		t.Fatal(err)
	}
	defer disk.Close()
	if err := disk.Truncate(mib); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		what    string
		message []byte
		file    *os.File
		ok      bool
	}{
		{"what is right", right, memory(t, mib, seals), true},
		{"another sum", []byte{1, 2, 3, 4}, memory(t, mib, seals), false},
		{"a short message", right[:2], memory(t, mib, seals), false},
		{"a byte too few", right, memory(t, mib-1, seals), false},
		{"a byte too many", right, memory(t, mib+1, seals), false},
		{"one that can be written", right, memory(t, mib, seals&^unix.F_SEAL_WRITE), false},
		{"one that can be cut", right, memory(t, mib, seals&^unix.F_SEAL_SHRINK), false},
		{"a file on the disk", right, disk, false},
	} {
		name := newName(t)
		impostor(t, name, c.message, c.file)
		_, err := Hold(t.Context(), name, mib, nil)
		if c.ok && err != nil || !c.ok && !errors.Is(err, ErrUnavailable) {
			t.Errorf("%s: %v", c.what, err)
		}
	}
}

// TestUsersDoNotShare takes a second user. Only root can start a process of one; another user takes itself for somebody else.
func TestUsersDoNotShare(t *testing.T) {
	user, other := &syscall.Credential{Uid: 65534, Gid: 65534}, 65534
	if me := os.Geteuid(); me != 0 {
		user, other = nil, me
		self = func() int { return me + 1 }
		defer func() { self = os.Geteuid }()
	}
	// A stranger asks for this process's block, or takes its name.
	stranger := func(does, name string) *process {
		return launch(t, user, strangerKey+"="+does, nameKey+"="+fmt.Sprintf("@lsrun-%d-%s", self(), name))
	}
	name := newName(t)
	if _, err := Hold(t.Context(), name, mib, func([]byte) error { return nil }); err != nil {
		t.Fatal(err)
	}
	if got := stranger("ask", name).says(); got != "0 descriptors" {
		t.Errorf("another user who asks gets %s", got)
	}
	name = newName(t)
	if got := stranger("pose", name).says(); got != "ready" {
		t.Fatal(got)
	}
	if _, err := Hold(t.Context(), name, mib, nil); !errors.Is(err, ErrUnavailable) || !strings.Contains(err.Error(), fmt.Sprintf("user %d", other)) {
		t.Errorf("what another user offers: %v", err)
	}
}

func strangerChild(does, name string) {
	address := &net.UnixAddr{Net: "unixpacket", Name: name}
	if does == "ask" {
		conn, err := net.DialUnix(address.Net, nil, address)
		if err != nil {
			fmt.Println(err)
			return
		}
		control := make([]byte, 64)
		_, n, _, _, _ := conn.ReadMsgUnix(make([]byte, 4), control)
		fmt.Println(n, "descriptors")
		return
	}
	if _, err := net.ListenUnix(address.Net, address); err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println("ready")
	io.Copy(io.Discard, os.Stdin)
}
