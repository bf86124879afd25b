// Package shared lets the processes of one user on one host hold a block of memory together, instead of a copy each.
//
// The block is a memfd, sealed so that nobody can change or cut it any more. It has no name in a file system: there is nothing to
// lock and nothing to delete, and the kernel frees it with the last process that maps it, however that ends. Processes find one
// another at an abstract Unix socket (SOCK_SEQPACKET), a name that the kernel gives to one process and takes back when it dies. That
// one makes the block and, as long as it lives, answers everybody who connects: with one byte a second while it is at it, then with
// the CRC-32C of the block (4 bytes, little-endian) and its descriptor. If it dies first, one of those who wait takes the name.
//
// A process that comes when the maker is gone makes the block again, though others may still hold the old one. Linux only.
package shared

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"net"
	"os"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// ErrUnavailable is in the error where memory cannot be shared: do without.
var ErrUnavailable = errors.New("memory cannot be shared on this host")

// A maker that is silent for longer than patience is stopped, and may be for ever.
var (
	beat     = time.Second
	patience = 30 * time.Second
)

// self is this process's user.
var self = os.Geteuid

// attempts is how many makers may end before a block is there; every one of a host's processes may in turn.
const attempts = 1000

// seals make a block immutable: what was checked once stays so, and no reader is killed because a page has gone.
const seals = unix.F_SEAL_SEAL | unix.F_SEAL_SHRINK | unix.F_SEAL_GROW | unix.F_SEAL_WRITE

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// Hold returns size bytes that fill has written, here or in another process of this user that calls Hold with the same name. The
// name must determine the bytes; up to 80 characters are safe. The result is shared and read-only, writing to it is a
// fault, and stays until the process ends. The room that fill gets is zero and of no use after fill returns.
//
// The error is fill's or ctx's own, or ErrUnavailable is in it.
func Hold(ctx context.Context, name string, size int, fill func(room []byte) error) ([]byte, error) {
	address := &net.UnixAddr{Net: "unixpacket", Name: fmt.Sprintf("@lsrun-%d-%s", self(), name)}
	for range attempts {
		listener, err := net.ListenUnix(address.Net, address)
		if err == nil {
			return serve(listener, size, fill)
		}
		if !errors.Is(err, unix.EADDRINUSE) {
			return nil, unavailable("taking a name", err)
		}
		data, err := receive(ctx, address, size)
		if !gone(err) {
			return data, err
		}
	}
	return nil, unavailable("asking for memory", fmt.Errorf("%d processes did not make it", attempts))
}

func unavailable(doing string, err error) error {
	return fmt.Errorf("%w: %s: %w", ErrUnavailable, doing, err)
}

// gone reports whether the maker ended before it could answer.
func gone(err error) bool {
	return errors.Is(err, io.EOF) || errors.Is(err, unix.ECONNREFUSED) || errors.Is(err, unix.ECONNRESET)
}

// block is what a maker answers with. It is whole when done is closed; file is nil if there will be none.
type block struct {
	done chan struct{}
	file *os.File
	sum  uint32
}

// serve makes the block, and answers all who ask for it from now on.
func serve(listener *net.UnixListener, size int, fill func([]byte) error) (data []byte, err error) {
	b := &block{done: make(chan struct{})}
	go func() {
		defer listener.Close()
		for {
			conn, err := listener.AcceptUnix()
			if err != nil {
				return
			}
			go b.answer(conn)
		}
	}()
	defer close(b.done)
	file, sum, err := create(size, fill)
	if err == nil {
		if data, err = view(file, size); err != nil {
			file.Close()
		}
	}
	if err != nil {
		listener.Close() // and the next one tries
		return nil, err
	}
	b.file, b.sum = file, sum
	return data, nil
}

// answer hands the block out. Whoever is gone meanwhile needs none.
func (b *block) answer(conn *net.UnixConn) {
	defer conn.Close()
	if sameUser(conn) != nil {
		return
	}
	for {
		select {
		case <-b.done:
			if b.file != nil {
				conn.WriteMsgUnix(binary.LittleEndian.AppendUint32(nil, b.sum), unix.UnixRights(int(b.file.Fd())), nil)
			}
			return
		case <-time.After(beat):
			if _, err := conn.Write([]byte{0}); err != nil {
				return
			}
		}
	}
}

// create makes a sealed block.
func create(size int, fill func([]byte) error) (*os.File, uint32, error) {
	fd, err := unix.MemfdCreate("lsrun", unix.MFD_CLOEXEC|unix.MFD_ALLOW_SEALING)
	if err != nil {
		return nil, 0, unavailable("making memory", err)
	}
	file := os.NewFile(uintptr(fd), "shared memory")
	sum, err := write(fd, size, fill)
	if err != nil {
		file.Close()
		return nil, 0, err
	}
	return file, sum, nil
}

func write(fd, size int, fill func([]byte) error) (sum uint32, err error) {
	// All pages at once: later, a lack of them would be a signal and not an error.
	if err := unix.Fallocate(fd, 0, 0, int64(size)); err != nil {
		return 0, unavailable("making memory", err)
	}
	room, err := unix.Mmap(fd, 0, size, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED)
	if err != nil {
		return 0, unavailable("mapping memory", err)
	}
	err = fill(room)
	sum = crc32.Checksum(room, castagnoli)
	if unmapped := unix.Munmap(room); err == nil && unmapped != nil {
		err = unavailable("unmapping memory", unmapped)
	}
	if err != nil {
		return 0, err
	}
	if _, err := unix.FcntlInt(uintptr(fd), unix.F_ADD_SEALS, seals); err != nil {
		return 0, unavailable("sealing memory", err)
	}
	return sum, nil
}

// receive asks the process that has the name for its block.
func receive(ctx context.Context, address *net.UnixAddr, size int) ([]byte, error) {
	conn, err := net.DialUnix(address.Net, nil, address)
	if err != nil {
		return nil, unavailable("asking for memory", err)
	}
	defer conn.Close()
	if err := sameUser(conn); err != nil {
		return nil, err
	}
	defer context.AfterFunc(ctx, func() { conn.Close() })()
	message, control := make([]byte, 4), make([]byte, unix.CmsgSpace(4))
	var n, rights int
	for rights == 0 {
		conn.SetReadDeadline(time.Now().Add(patience))
		n, rights, _, _, err = conn.ReadMsgUnix(message, control)
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		if err != nil {
			return nil, unavailable("waiting for the process that makes the memory", err)
		}
	}
	fd, err := descriptor(control[:rights])
	if err != nil {
		return nil, err
	}
	file := os.NewFile(uintptr(fd), "shared memory")
	defer file.Close() // the mapping stays
	if n != len(message) {
		return nil, unavailable("taking memory", fmt.Errorf("its message has %d bytes", n))
	}
	return open(file, size, binary.LittleEndian.Uint32(message))
}

// descriptor takes the one descriptor out of a control message.
func descriptor(control []byte) (int, error) {
	messages, err := unix.ParseSocketControlMessage(control)
	if err != nil || len(messages) != 1 {
		return 0, unavailable("taking memory", fmt.Errorf("%d control messages (%v)", len(messages), err))
	}
	fds, err := unix.ParseUnixRights(&messages[0])
	if err != nil || len(fds) != 1 {
		return 0, unavailable("taking memory", fmt.Errorf("%d descriptors (%v)", len(fds), err))
	}
	return fds[0], nil
}

// open maps a block of another process after it has seen that it is whole and cannot change.
func open(file *os.File, size int, sum uint32) ([]byte, error) {
	info, err := file.Stat()
	if err != nil {
		return nil, unavailable("looking at memory", err)
	}
	has, err := unix.FcntlInt(file.Fd(), unix.F_GET_SEALS, 0)
	if err != nil {
		return nil, unavailable("looking at memory", err)
	}
	if has&seals != seals || info.Size() != int64(size) {
		return nil, unavailable("looking at memory", fmt.Errorf("it has %d bytes and seals %#x; %d and %#x were expected", info.Size(), has, size, seals))
	}
	data, err := view(file, size)
	if err != nil {
		return nil, err
	}
	if got := crc32.Checksum(data, castagnoli); got != sum {
		unix.Munmap(data)
		return nil, unavailable("looking at memory", fmt.Errorf("its CRC-32C is %08x, not %08x", got, sum))
	}
	return data, nil
}

func view(file *os.File, size int) ([]byte, error) {
	data, err := unix.Mmap(int(file.Fd()), 0, size, unix.PROT_READ, unix.MAP_SHARED)
	if err != nil {
		return nil, unavailable("mapping memory", err)
	}
	return data, nil
}

// sameUser is an error unless the process at the other end is this user's: anybody may take a name, or connect to one.
func sameUser(conn *net.UnixConn) error {
	raw, err := conn.SyscallConn()
	var peer *unix.Ucred
	if err == nil {
		var failed error
		err = raw.Control(func(fd uintptr) {
			peer, failed = unix.GetsockoptUcred(int(fd), syscall.SOL_SOCKET, syscall.SO_PEERCRED)
		})
		err = errors.Join(err, failed)
	}
	if err != nil {
		return unavailable("asking who is at the other end", err)
	}
	if int(peer.Uid) != self() {
		return unavailable("looking at the other end", fmt.Errorf("it is user %d", peer.Uid))
	}
	return nil
}
