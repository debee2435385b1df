package unkind

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"sync"
)

// House is where scenarios are played: an address, a directory for the files
// that the client needs, and a way to start the client.
type House struct {
	Start  Start
	Listen string // "127.0.0.1:0" where empty
	Host   string // as URLs and certificates name it; "127.0.0.1" where empty
	// Dir is for the files of the run; the caller makes and removes it.
	Dir string

	mu    sync.Mutex
	plays int // guarded by mu
}

// Name returns the host as URLs and certificates name it.
func (h *House) Name() string {
	if h.Host == "" {
		return "127.0.0.1"
	}
	return h.Host
}

// File writes a file of the run and returns its path.
func (h *House) File(name string, data []byte) (string, error) {
	path := filepath.Join(h.Dir, name)
	if err := os.WriteFile(path, data, 0o600); err != nil {
		return "", fmt.Errorf("a file for the client: %w", err)
	}
	return path, nil
}

// Play serves the scenario and runs the client against it once, which is told
// the first origin's URL as BRISKEST_URL and an empty directory as
// BRISKEST_STATE. The server is closed when Play returns.
func (h *House) Play(ctx context.Context, check string, o *Options, environment map[string]string) (*Server, *Outcome, error) {
	h.place(o)
	h.mu.Lock()
	h.plays++
	state := filepath.Join(h.Dir, fmt.Sprintf("run-%d", h.plays))
	h.mu.Unlock()
	if err := os.Mkdir(state, 0o700); err != nil {
		return nil, nil, fmt.Errorf("a directory for the client: %w", err)
	}
	s, err := Open(ctx, o)
	if err != nil {
		return nil, nil, err
	}
	defer s.Close()
	env := maps.Clone(environment)
	env["BRISKEST_CHECK"], env["BRISKEST_URL"], env["BRISKEST_STATE"] = check, s.URL(0), state
	outcome, err := h.Start(ctx, &Play{Check: check, Server: s, Environment: env})
	if err != nil {
		return nil, nil, err
	}
	outcome.Certificate = read(filepath.Join(state, "cert.pem"))
	return s, outcome, nil
}

// read returns the first certificate in a file; nil for none.
func read(path string) *x509.Certificate {
	data, err := os.ReadFile(path)
	if err != nil {
		return nil
	}
	block, _ := pem.Decode(data)
	if block == nil {
		return nil
	}
	cert, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		return nil
	}
	return cert
}

// place says where to listen, and under which name.
func (h *House) place(o *Options) {
	o.Listen, o.Host = h.Listen, h.Name()
	if o.Listen == "" {
		o.Listen = "127.0.0.1:0"
	}
}

// Reachable reports whether the address can be served with that certificate.
func (h *House) Reachable(ctx context.Context, server *tls.Certificate) error {
	o := &Options{Origins: []Origin{Always(Serving(server))}}
	h.place(o)
	s, err := Open(ctx, o)
	if err != nil {
		return fmt.Errorf("%s: %w", o.Listen, err)
	}
	s.Close()
	return nil
}
