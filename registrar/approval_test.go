package registrar_test

import (
	"bufio"
	"bytes"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"fmt"
	"io"
	"net/http"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/briskest/briskest/internal/cms"
	"github.com/briskest/briskest/registrar"
	"github.com/briskest/briskest/registrar/store"
)

// diskHouse is a house whose label "" waits for approval, with the store that is used; reopen restarts both.
func diskHouse(t *testing.T, change func(h *house)) (h *house, reopen func()) {
	t.Helper()
	_, trailKey, err := ed25519.GenerateKey(rand.Reader)
	check(t, err)
	var disk *store.Store
	path := filepath.Join(t.TempDir(), "registrar.db")
	open := func(h *house) {
		disk, err = store.Open(t.Context(), store.Options{Path: path, TrailKey: trailKey, Now: h.now})
		check(t, err)
		h.reads.Store = disk
	}
	h = newHouse(t, func(h *house) {
		h.settings.Labels[""].Approval = true
		if change != nil {
			change(h)
		}
		open(h)
	})
	t.Cleanup(func() { h.service.Close(); check(t, disk.Close()) })
	return h, func() {
		h.service.Close()
		check(t, disk.Close())
		open(h)
		h.start()
	}
}

// linked posts a CSR of the key, bound to a new connection, and returns the answer with its body.
func (h *house) linked(url string, key *ecdsa.PrivateKey) (*http.Response, string) {
	h.t.Helper()
	var body string
	var res *http.Response
	dial := &tls.Dialer{Config: &tls.Config{RootCAs: h.root.Pool()}}
	conn, err := dial.DialContext(h.t.Context(), "tcp", strings.TrimPrefix(url, "https://"))
	check(h.t, err)
	defer conn.Close()
	state := conn.(*tls.Conn).ConnectionState()
	link, err := state.ExportKeyingMaterial("EXPORTER-Channel-Binding", []byte{}, 32)
	check(h.t, err)
	r, err := http.NewRequestWithContext(h.t.Context(), http.MethodPost, url+"/.well-known/est/simpleenroll", strings.NewReader(base64CSRFor(h.t, key, link)))
	check(h.t, err)
	r.Header.Set("Content-Type", "application/pkcs10")
	r.SetBasicAuth(group, h.passwords[group].Reveal())
	check(h.t, r.Write(conn))
	res, err = http.ReadResponse(bufio.NewReader(conn), r)
	check(h.t, err)
	text, err := io.ReadAll(res.Body)
	check(h.t, err)
	body = string(text)
	return res, body
}

// EST-7030-4.2.3-08 and EST-9110-10.2.3-01: 202 has a Retry-After in whole seconds.
// EST-7030-4.2.3-12: the repeat, signed anew for a new connection's binding, is the same request, also after a restart.
// EST-7030-4.2.3-14: after the approval every repeat gets the same certificate.
func TestARequestWaitsForItsApprovalAcrossConnectionsAndRestarts(t *testing.T) {
	h, reopen := diskHouse(t, nil)
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	check(t, err)
	wait := func() {
		t.Helper()
		res, body := h.linked(h.serve(), key)
		if seconds, err := strconv.Atoi(res.Header.Get("Retry-After")); res.StatusCode != 202 || err != nil || seconds < 1 || body != "" {
			t.Fatalf("%d, Retry-After %q, body %q; want 202 with seconds and no body", res.StatusCode, res.Header.Get("Retry-After"), body)
		}
	}
	wait()
	row := h.waitingRow()
	wait()
	reopen()
	wait()
	if again := h.waitingRow(); again.ID != row.ID || len(again.Evidence) == 0 {
		t.Errorf("the repeat waits as %+v, and not as %s", again, row.ID)
	}
	_, err = h.service.Approve(t.Context(), &registrar.Verdicting{Actor: "cli:me", ID: row.ID})
	check(t, err)
	reopen()
	var first []byte
	for range 3 {
		res, body := h.linked(h.serve(), key)
		if res.StatusCode != 200 {
			t.Fatalf("after the approval: %d %q", res.StatusCode, body)
		}
		der, err := base64.StdEncoding.DecodeString(strings.ReplaceAll(body, "\n", ""))
		check(t, err)
		certs, err := cms.ParseCertsOnly(der)
		check(t, err)
		if first != nil && !bytes.Equal(first, certs[0].Raw) {
			t.Errorf("a repeat got the certificate %x", certs[0].SerialNumber)
		}
		first = certs[0].Raw
		reopen()
	}
	if cert, err := x509.ParseCertificate(first); err != nil || cert.Subject.CommonName != "linked" {
		t.Errorf("certificate for %v, %v", cert.Subject, err)
	}
}

// EST-7030-4.2.3-13: the repeat of a denied request gets the refusal and the operator's reason, no further 202.
func TestARequestThatWasDeniedIsRefusedWithTheReason(t *testing.T) {
	h, reopen := diskHouse(t, nil)
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	check(t, err)
	if res, _ := h.linked(h.serve(), key); res.StatusCode != 202 {
		t.Fatalf("%d, want 202", res.StatusCode)
	}
	_, err = h.service.Deny(t.Context(), &registrar.Verdicting{Actor: "cli:me", ID: h.waitingRow().ID, Reason: "this one was stolen"})
	check(t, err)
	for range 2 {
		if res, body := h.linked(h.serve(), key); res.StatusCode != 403 || !strings.Contains(body, "this one was stolen") {
			t.Errorf("%d %q, want 403 with the reason", res.StatusCode, body)
		}
		reopen()
		h.advance(1000 * 24 * time.Hour)
	}
}

// An approval that nobody used is not one for ever.
func TestAnApprovalExpiresAndTheRequestWaitsAnew(t *testing.T) {
	h, reopen := diskHouse(t, func(h *house) { h.settings.Limits.ApprovalLifetime = 10 * 24 * time.Hour })
	r := h.enroll("sensor-7").basic(group)
	r.refusedAs(registrar.ReasonApproval, 202)
	verdict := &registrar.Verdicting{Actor: "cli:me", ID: h.waitingRow().ID}
	_, err := h.service.Approve(t.Context(), verdict)
	check(t, err)
	rows, err := h.service.ListPending(t.Context(), "", registrar.StateApproved, 0)
	if err != nil || len(rows) != 1 || !rows[0].ExpiresAt.Equal(h.now().Add(10*24*time.Hour)) {
		t.Errorf("the list shows %+v, %v", rows, err)
	}
	reopen()
	h.advance(10 * 24 * time.Hour)
	r.refusedAs(registrar.ReasonApproval, 202)
	if row := h.waitingRow(); row.ID != verdict.ID || row.DecidedBy != "" {
		t.Errorf("the request waits as %+v", row)
	}
	_, err = h.service.Approve(t.Context(), verdict) // may be given again
	check(t, err)
	h.advance(10*24*time.Hour - time.Second)
	r.mustSend()
}

// Waiting requests are bounded for a device and in all, also after a restart.
func TestWhatWaitsIsBoundedAcrossRestarts(t *testing.T) {
	h, reopen := diskHouse(t, func(h *house) { h.settings.Limits.PendingPerDevice, h.settings.Limits.Pending = 2, 3 })
	for range 2 {
		h.enroll("sensor-7").basic(group).refusedAs(registrar.ReasonApproval, 202)
	}
	reopen()
	h.enroll("sensor-7").basic(group).refusedAs(registrar.ReasonPendingFull, 503)
	h.enroll("sensor-8").basic(group).refusedAs(registrar.ReasonApproval, 202)
	for n := range 5 {
		h.enroll(fmt.Sprint("other-", n)).basic(group).refusedAs(registrar.ReasonPendingFull, 503)
	}
}
