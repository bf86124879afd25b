package slurmtest

import (
	"bufio"
	"io"
	"os"
	"os/exec"
	"syscall"
	"testing"
)

// machine is a computer of a cluster: a shell, process 1 of a PID namespace, that obeys
// what is written to its standard input. When that is closed, be it because the test's
// process died, the shell leaves, and the kernel kills all that it leaves behind.
type machine struct {
	name  string
	shell *exec.Cmd // nil while the machine is off
	input io.WriteCloser
	said  *bufio.Reader
}

// boot starts the machine, with the cluster's folder as its shell's.
func (m *machine) boot(t testing.TB, c *Cluster) {
	t.Helper()
	cmd := exec.Command("sh")
	cmd.Dir, cmd.Env = c.dir, c.Environ()
	cmd.SysProcAttr = &syscall.SysProcAttr{
		Cloneflags:   syscall.CLONE_NEWPID | syscall.CLONE_NEWUTS,
		Unshareflags: syscall.CLONE_NEWNS,
	}
	if user, group := os.Getuid(), os.Getgid(); user != 0 {
		const capSysAdmin = 21 // to mount
		cmd.SysProcAttr.Cloneflags |= syscall.CLONE_NEWUSER
		cmd.SysProcAttr.UidMappings = []syscall.SysProcIDMap{{ContainerID: user, HostID: user, Size: 1}}
		cmd.SysProcAttr.GidMappings = []syscall.SysProcIDMap{{ContainerID: group, HostID: group, Size: 1}}
		cmd.SysProcAttr.AmbientCaps = []uintptr{capSysAdmin}
	}
	input, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	said, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatalf("slurmtest: making namespaces: %v: root needs CAP_SYS_ADMIN for it (as docker run --privileged gives it), and others a kernel that permits user namespaces", err)
	}
	m.shell, m.input, m.said = cmd, input, bufio.NewReader(said)
	m.do(t, "mount -t proc proc /proc && mount --bind hosts /etc/hosts && hostname "+m.name)
}

// do carries lines of shell out and fails the test unless the last one succeeds.
func (m *machine) do(t testing.TB, lines string) {
	t.Helper()
	// What is started must neither read the shell's input nor hold its output open.
	if _, err := io.WriteString(m.input, "{ "+lines+"\n} </dev/null 2>>log/shell-"+m.name+"\necho $?\n"); err != nil {
		t.Fatalf("slurmtest: %s: %v", m.name, err)
	}
	if status, err := m.said.ReadString('\n'); status != "0\n" {
		t.Fatalf("slurmtest: %s: %s: exit status %q, %v", m.name, lines, status, err)
	}
}

// end kills everything on the machine and returns when it is gone.
func (m *machine) end() {
	if m.shell != nil {
		m.shell.Process.Kill()
		m.shell.Wait()
		m.shell = nil
	}
}
