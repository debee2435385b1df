package testbed

import (
	"net"
	"os"
	"path/filepath"
	"testing"
)

// Peer finds a server of somebody else's that `make peers` builds into
// bin/peers, or skips the test with its name; with BRISKEST_PEERS set it fails
// instead. `make test` does not build them.
func Peer(t testing.TB, name string) string {
	t.Helper()
	root, err := moduleRoot()
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(root, "bin", "peers", name)
	if _, err := os.Stat(path); err != nil {
		if os.Getenv("BRISKEST_PEERS") != "" {
			t.Fatalf("the peer %s is not in bin/peers; `make peers` builds it", name)
		}
		t.Skipf("the peer %s is not in bin/peers; `make peers` builds it", name)
	}
	return path
}

// FreePort returns an address of 127.0.0.1 on which nobody listens.
func FreePort(t testing.TB) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}
