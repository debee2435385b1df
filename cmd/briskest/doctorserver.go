package main

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"path/filepath"
	"slices"
	"strings"
	"syscall"

	"github.com/briskest/briskest/internal/pemfile"
)

// reachMASA makes a TLS connection to a manufacturer's MASA, by the anchors
// that the registrar uses. One whose address is in the IDevIDs alone is not tried.
func (d *doctor) reachMASA(ctx context.Context, c *registrarConfig, m *manufacturerConfig) {
	what := "the MASA of " + m.Name
	if m.MASA.Offline {
		d.add(gradeNote, "masa", "keep vouchers ahead of their devices: briskest voucher list --config", "%s is not asked (offline)", what)
		return
	}
	if m.MASA.URL == "" {
		d.add(gradeNote, "masa", "briskest voucher show of an IDevID tells the address", "%s is wherever its IDevIDs say, and was not tried", what)
		return
	}
	u, err := url.Parse(m.MASA.URL)
	if err == nil {
		err = d.handshake(ctx, c, m, u)
	}
	d.verdict(gradeBad, "masa", "mend masa.url, masa.tls_anchors, name resolution or the way there", what+" answers at "+m.MASA.URL, err)
}

func (d *doctor) handshake(ctx context.Context, c *registrarConfig, m *manufacturerConfig, u *url.URL) error {
	config := &tls.Config{MinVersion: tls.VersionTLS12, ServerName: u.Hostname()}
	if m.MASA.TLSAnchors != "" {
		roots, err := pemfile.Pool(c.path(m.MASA.TLSAnchors))
		if err != nil {
			return err
		}
		config.RootCAs = roots
	}
	port := u.Port()
	if port == "" {
		port = "443"
	}
	ctx, cancel := context.WithTimeout(ctx, d.timeout)
	defer cancel()
	conn, err := (&tls.Dialer{Config: config}).DialContext(ctx, "tcp", net.JoinHostPort(u.Hostname(), port))
	if err != nil {
		return err
	}
	return conn.Close()
}

// server asks the running server whether it is ready.
func (d *doctor) server(ctx context.Context, socket string) {
	if !answers(ctx, socket) {
		d.add(gradeWarn, "server", "start it: systemctl start briskest-registrar or briskest-masa", "no server answers on %s", socket)
		return
	}
	checks, err := d.askReady(ctx, socket)
	if err != nil {
		d.add(gradeBad, "server", "see its log", "the server's readiness: %v", err)
		return
	}
	var wrong []string
	for name, state := range checks {
		if state != "ok" {
			wrong = append(wrong, name+": "+state)
		}
	}
	slices.Sort(wrong)
	if len(wrong) > 0 {
		d.add(gradeBad, "server", "see its log", "the server runs and is not ready: %s", strings.Join(wrong, "; "))
		return
	}
	d.add(gradeOK, "server", "", "the server runs and is ready")
}

func (d *doctor) askReady(ctx context.Context, socket string) (map[string]string, error) {
	ctx, cancel := context.WithTimeout(ctx, d.timeout)
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://server"+readyPath, nil)
	if err != nil {
		return nil, err
	}
	res, err := socketClient(socket).Do(r)
	if err != nil {
		return nil, err
	}
	defer res.Body.Close()
	var out struct {
		Checks map[string]string `json:"checks"`
	}
	if err := json.NewDecoder(io.LimitReader(res.Body, 1<<16)).Decode(&out); err != nil {
		return nil, err
	}
	if len(out.Checks) == 0 {
		return nil, errors.New("it answers " + res.Status)
	}
	return out.Checks, nil
}

// Least free space beside a store: below the first a server should not run on,
// below the second it will stop soon.
const (
	spaceWarn = 5 << 30
	spaceBad  = 512 << 20
)

// defaultConnections is limits.connections where it is 0.
const defaultConnections = 8192

// machine looks at what the machine gives.
func (d *doctor) machine(store string, connections int) {
	var fs syscall.Statfs_t
	if err := syscall.Statfs(filepath.Dir(store), &fs); err == nil {
		free := fs.Bavail * uint64(fs.Bsize) //nolint:gosec // a block size is positive
		g, do := gradeOK, ""
		switch {
		case free < spaceBad:
			g, do = gradeBad, "make space at once: a full disk stops every issuance"
		case free < spaceWarn:
			g, do = gradeWarn, "make space"
		}
		d.add(g, "disk", do, "%.1f GB are free beside the store", float64(free)/1e9)
	}
	if connections == 0 {
		connections = defaultConnections
	}
	var files syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &files); err == nil {
		// Go raises the soft limit to the hard one.
		if files.Max < uint64(connections)+512 { //nolint:gosec // a limit is not negative
			d.add(gradeWarn, "open-files", fmt.Sprintf("set LimitNOFILE=%d in the unit, or lower limits.connections", connections+1024), "%d files may be open, and limits.connections is %d", files.Max, connections)
		} else {
			d.add(gradeOK, "open-files", "", "%d files may be open", files.Max)
		}
	}
	if syscall.Geteuid() == 0 {
		d.add(gradeNote, "user", "run the servers as the user briskest, as the Debian package does", "this command runs as root; a server should not")
	}
	d.clock()
}
