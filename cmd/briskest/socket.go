package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/user"
	"path/filepath"
	"strconv"
	"syscall"

	registraradmin "github.com/briskest/briskest/registrar/admin"
)

// maxSocketPath is what fits into a sockaddr_un, in bytes.
const maxSocketPath = 100

// shortSocketPath returns a name of the socket that fits, whatever the length
// of its folder's path, and a function to call when the name is done with.
func shortSocketPath(path string) (string, func(), error) {
	if len(path) <= maxSocketPath {
		return path, func() {}, nil
	}
	dir, err := os.Open(filepath.Dir(path))
	if err != nil {
		return "", nil, err
	}
	return fmt.Sprintf("/proc/self/fd/%d/%s", dir.Fd(), filepath.Base(path)), func() { dir.Close() }, nil
}

// listenUnix listens on a unix socket that only this user may connect to. A
// socket left behind by a server that is gone is replaced.
func listenUnix(ctx context.Context, path string) (net.Listener, error) {
	if answers(ctx, path) {
		return nil, fmt.Errorf("another server answers on %s", path)
	}
	if err := os.Remove(path); err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, err
	}
	short, done, err := shortSocketPath(path)
	if err != nil {
		return nil, err
	}
	defer done()
	old := syscall.Umask(0o177)
	defer syscall.Umask(old)
	l, err := new(net.ListenConfig).Listen(ctx, "unix", short)
	if err != nil {
		return nil, fmt.Errorf("admin socket: %w", err)
	}
	l.(*net.UnixListener).SetUnlinkOnClose(false) // the short name is gone by then
	return &unlinking{l, path}, nil
}

type unlinking struct {
	net.Listener
	path string
}

// Close stops listening and removes the socket.
func (u *unlinking) Close() error {
	return errors.Join(u.Listener.Close(), ignoreNotExist(os.Remove(u.path)))
}

func ignoreNotExist(err error) error {
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	return err
}

// dialUnix connects to a server's admin socket.
func dialUnix(ctx context.Context, path string) (net.Conn, error) {
	short, done, err := shortSocketPath(path)
	if err != nil {
		return nil, err
	}
	defer done()
	return new(net.Dialer).DialContext(ctx, "unix", short)
}

// socketClient asks the server behind an admin socket once.
func socketClient(path string) *http.Client {
	return &http.Client{Transport: &http.Transport{
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) { return dialUnix(ctx, path) }, DisableKeepAlives: true,
	}}
}

// answers reports whether a server listens on the admin socket.
func answers(ctx context.Context, path string) bool {
	conn, err := dialUnix(ctx, path)
	if err != nil {
		return false
	}
	conn.Close()
	return true
}

// withPeer names the person at the other end of the socket, as the kernel does: what they do is
// theirs on the trail, whatever they say.
func withPeer(ctx context.Context, conn net.Conn) context.Context {
	peer, err := credentials(conn)
	if err != nil {
		return ctx
	}
	uid := strconv.FormatUint(uint64(peer.Uid), 10)
	if u, err := user.LookupId(uid); err == nil {
		uid = u.Username
	}
	return registraradmin.WithActor(ctx, "cli:"+uid)
}

// serverPID returns the process that listens on an admin socket.
func serverPID(ctx context.Context, path string) (int, error) {
	conn, err := dialUnix(ctx, path)
	if err != nil {
		return 0, err
	}
	defer conn.Close()
	peer, err := credentials(conn)
	if err != nil {
		return 0, fmt.Errorf("the peer of %s: %w", path, err)
	}
	return int(peer.Pid), nil
}

// credentials are those of the process at the other end of a unix socket.
func credentials(conn net.Conn) (*syscall.Ucred, error) {
	socket, ok := conn.(*net.UnixConn)
	if !ok {
		return nil, errors.New("it is no unix socket")
	}
	raw, err := socket.SyscallConn()
	if err != nil {
		return nil, err
	}
	var peer *syscall.Ucred
	var failed error
	err = raw.Control(func(fd uintptr) {
		peer, failed = syscall.GetsockoptUcred(int(fd), syscall.SOL_SOCKET, syscall.SO_PEERCRED)
	})
	return peer, errors.Join(err, failed)
}
