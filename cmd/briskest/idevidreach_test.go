package main

import (
	"context"
	"crypto/tls"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"

	"github.com/briskest/briskest/internal/cli"
	"github.com/briskest/briskest/internal/pemfile"
	"github.com/briskest/briskest/internal/testbed"
)

// BRSKI-8995-9.1.1-01: the MASA that was set up answers under the URL that the
// IDevIDs it issues encode, once its keys sign; where none does, it is found.
// BRSKI-8995-9.1.3-01: what the vendor's own commands make is a whole image.
func TestIssuedIDevIDsLeadToTheirMASA(t *testing.T) {
	v, address := &vendor{t, folder(t.TempDir())}, testbed.FreeAddress(t)
	v.must("init", "masa", "--dir", string(v.dir), "--host", "127.0.0.1", "--listen", address, "--product", "widget")
	v.file("list.csv", "serial_number\nW-1\nW-2\n")
	if r := v.issued("--generate-keys", v.dir.path("list.csv")); r.Issued != 2 {
		t.Fatalf("issued %+v, want 2", r)
	}
	v.must("masa", "--config", v.dir.path("masa.yaml"), "--check")
	lint := func() (string, int) {
		out, errs, code := v.run("masa", "idevid", "lint", "--idevid-anchors", v.dir.path("masa/idevid-ca.pem"), "-o", "json",
			"--voucher-anchor", v.dir.path("masa/anchor.pem"), "--masa-anchors", v.dir.path("masa/anchor.pem"),
			v.dir.path("out/W-1"), v.dir.path("out/W-2"))
		return out + errs, code
	}
	missing := func(when, why string) {
		t.Helper()
		if out, code := lint(); code != cli.ExitRefused || strings.Count(out, "no MASA answers at https://"+address) != 2 || !strings.Contains(out, why) {
			t.Errorf("%s: exit %d %s, want that no MASA answers, %s", when, code, out, why)
		}
	}
	missing("before it runs", "connection refused")

	cfg, err := loadMASAConfig(v.dir.path("masa.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	service, _, err := startMASA(ctx, cfg, io.Discard)
	if err != nil {
		t.Fatal(err)
	}
	ended := make(chan error)
	go func() { ended <- service.serve(ctx) }()
	if out, code := lint(); code != cli.ExitDone || !strings.Contains(out, "2 images, nothing wrong") {
		t.Errorf("while it runs: exit %d %s", code, out)
	}
	cancel()
	if err := <-ended; err != nil {
		t.Fatal(err)
	}

	other := &http.Server{Handler: http.NotFoundHandler()}
	id, err := pemfile.Identity(t.Context(), v.dir.path("masa/tls.pem"), "file:"+v.dir.path("masa/tls.key"))
	if err != nil {
		t.Fatal(err)
	}
	listener, err := net.Listen("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	defer other.Close()
	go func() {
		_ = other.Serve(tls.NewListener(listener, &tls.Config{Certificates: []tls.Certificate{*id}, MinVersion: tls.VersionTLS12}))
	}()
	missing("with a server of another kind there", "it answers 404")
}
