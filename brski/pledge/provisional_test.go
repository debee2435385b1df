package pledge_test

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/briskest/briskest/brski/pledge"
	"github.com/briskest/briskest/internal/testpki"
	"github.com/briskest/briskest/voucher/vouchercms"
)

// stranger is a TLS server on pipes, of nobody known, that answers the first
// request of each connection with what it likes.
type stranger struct {
	config *tls.Config
	answer func(io.Writer) // nil answers nothing
	served sync.WaitGroup
	mu     sync.Mutex
	asked  []string // request lines; guarded by mu
}

func newStranger(t testing.TB, answer func(io.Writer)) *stranger {
	t.Helper()
	identity := testpki.NewRoot(t, "nobody").Registrar(t, "nobody")
	return &stranger{answer: answer, config: &tls.Config{
		MinVersion: tls.VersionTLS12, Certificates: []tls.Certificate{identity.TLS()}, ClientAuth: tls.RequestClientCert,
	}}
}

func (s *stranger) dial(context.Context, string, string) (net.Conn, error) {
	client, server := net.Pipe()
	s.served.Go(func() { s.serve(server) })
	return client, nil
}

func (s *stranger) serve(plain net.Conn) {
	defer plain.Close()
	conn := tls.Server(plain, s.config)
	if conn.Handshake() != nil {
		return
	}
	request, err := http.ReadRequest(bufio.NewReader(conn))
	if err != nil {
		return
	}
	_, _ = io.Copy(io.Discard, request.Body)
	s.mu.Lock()
	s.asked = append(s.asked, request.Method+" "+request.URL.Path)
	s.mu.Unlock()
	if s.answer != nil {
		// It listens while it talks: who hangs up waits for that (crypto/tls, 5 s).
		s.served.Go(func() { _, _ = io.Copy(io.Discard, conn) })
		s.answer(conn)
	}
}

// newProvisional is a device whose way leads to the stranger.
func newProvisional(t testing.TB, s *stranger) *device {
	t.Helper()
	vendor := testpki.NewRoot(t, "Example Devices CA")
	d := &device{t: t, memory: newMemory(), idevid: vendor.IDevID(t, "JADA123456789", "")}
	d.config = pledge.Config{
		IDevID: d.idevid.TLS(), RegistrarURL: "https://192.0.2.1", Anchors: vendor.Pool(), State: d.memory, Format: vouchercms.Format{},
		Dial: s.dial, Log: slog.New(slog.DiscardHandler),
		Wait: func(context.Context, time.Duration) error { return errors.New("not waiting") },
	}
	return d
}

// checkUntouched checks that a run left at most a request that is out.
func (d *device) checkUntouched() {
	d.t.Helper()
	if s := d.status(); (s.Stage != pledge.Fresh && s.Stage != pledge.Requested) || s.Pinned != nil || s.PinnedKeySHA256 != nil || !s.NotEarlier.IsZero() {
		d.t.Errorf("Status = %+v, want nothing learned", s)
	}
	for name := range d.memory.files {
		if name != pledge.FileState && !strings.HasPrefix(name, "request") {
			d.t.Errorf("%s was stored", name)
		}
	}
}

// BRSKI-8995-5.1-04: a server that does not hold the key of its certificate fails in the handshake.
func TestServerWithoutTheKeyOfItsCertificateIsNotTalkedTo(t *testing.T) {
	for _, version := range []uint16{tls.VersionTLS12, tls.VersionTLS13} {
		s := newStranger(t, nil)
		s.config.MinVersion, s.config.MaxVersion = version, version
		s.config.Certificates[0].PrivateKey = testpki.NewKey(t)
		d := newProvisional(t, s)
		d.onboardFails(pledge.ReasonTLS, pledge.ErrUnavailable)
		d.checkUntouched()
		s.served.Wait()
		if len(s.asked) != 0 {
			t.Errorf("%s: the server was asked %v", tls.VersionName(version), s.asked)
		}
		if n := d.memory.writes(); n != 0 {
			t.Errorf("%s: %d writes, want none", tls.VersionName(version), n)
		}
	}
}

// BRSKI-8995-5.1-06: whatever comes over a connection that is not trusted yet,
// the device ends, with bounded memory, and has learned nothing.
func TestHostileAnswersTeachNothing(t *testing.T) {
	head := "HTTP/1.1 200 OK\r\nContent-Type: application/voucher-cms+json\r\n"
	repeat := func(s string, n int) func(io.Writer) {
		return func(w io.Writer) {
			for range n {
				if _, err := io.WriteString(w, s); err != nil {
					return
				}
			}
		}
	}
	text := func(parts ...string) func(io.Writer) {
		return func(w io.Writer) { _, _ = io.WriteString(w, strings.Join(parts, "")) }
	}
	both := func(a, b func(io.Writer)) func(io.Writer) {
		return func(w io.Writer) { a(w); b(w) }
	}
	for name, c := range map[string]struct {
		answer  func(io.Writer)
		reasons []string
	}{
		"nothing":            {text(), []string{pledge.ReasonUnreachable}},
		"not HTTP":           {text("SSH-2.0-OpenSSH_9.2\r\n"), []string{pledge.ReasonUnreachable}},
		"one huge header":    {both(text(head, "X: "), repeat(strings.Repeat("a", 4096), 1<<12)), []string{pledge.ReasonUnreachable}},
		"many headers":       {both(text(head), repeat("X: y\r\n", 1<<20)), []string{pledge.ReasonUnreachable}},
		"1xx for ever":       {repeat("HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n", 1<<20), []string{pledge.ReasonUnreachable}},
		"100 for ever":       {repeat("HTTP/1.1 100 Continue\r\n\r\n", 1<<20), []string{pledge.ReasonUnreachable}},
		"101":                {text("HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: Upgrade\r\n\r\n"), []string{pledge.ReasonRedirect}},
		"body for ever":      {both(text(head, "\r\n"), repeat(strings.Repeat("0", 4096), 1<<20)), []string{pledge.ReasonVoucherTooLarge}},
		"2 MB announced":     {both(text(head, "Content-Length: 2097152\r\n\r\n"), repeat(strings.Repeat("0", 4096), 512)), []string{pledge.ReasonVoucherTooLarge}},
		"chunks for ever":    {both(text(head, "Transfer-Encoding: chunked\r\n\r\n"), repeat("1\r\n0\r\n", 1<<20)), []string{pledge.ReasonVoucherTooLarge}},
		"chunk extensions":   {both(text(head, "Transfer-Encoding: chunked\r\n\r\n1;"), repeat(strings.Repeat("x", 4096), 1<<20)), []string{pledge.ReasonUnreachable}},
		"trailers for ever":  {both(text(head, "Transfer-Encoding: chunked\r\n\r\n1\r\n0\r\n0\r\n"), repeat("X: y\r\n", 1<<20)), []string{pledge.ReasonUnreachable}},
		"cut off":            {text(head, "Content-Length: 1000\r\n\r\n0"), []string{pledge.ReasonUnreachable}},
		"negative length":    {text(head, "Content-Length: -1\r\n\r\n0"), []string{pledge.ReasonUnreachable}},
		"two lengths":        {text(head, "Content-Length: 1\r\nContent-Length: 2\r\n\r\n00"), []string{pledge.ReasonUnreachable}},
		"compressed":         {text(head, "Content-Encoding: gzip\r\nContent-Length: 3\r\n\r\n\x1f\x8b\x08"), []string{pledge.ReasonVoucherMalformed}},
		"media type of a MB": {both(text("HTTP/1.1 200 OK\r\nContent-Type: "), repeat("a", 1<<20)), []string{pledge.ReasonUnreachable}},
		"strange media type": {text("HTTP/1.1 200 OK\r\nContent-Type: a/b;c=\x00\r\nContent-Length: 1\r\n\r\n0"), []string{pledge.ReasonVoucherMediaType, pledge.ReasonUnreachable}},
		"no status":          {text("HTTP/1.1 999 What\r\nContent-Length: 0\r\n\r\n"), []string{pledge.ReasonRegistrarFailed}},
		"status 0":           {text("HTTP/1.1 000 What\r\nContent-Length: 0\r\n\r\n"), []string{pledge.ReasonUnreachable, pledge.ReasonRedirect}},
		"204":                {text("HTTP/1.1 204 No Content\r\n\r\n"), []string{pledge.ReasonRedirect, pledge.ReasonRegistrarRefused}},
		"refusal of a GB":    {both(text("HTTP/1.1 403 No\r\n\r\n"), repeat(strings.Repeat("no ", 1024), 1<<20)), []string{pledge.ReasonRegistrarRefused}},
		"escape sequences":   {text("HTTP/1.1 403 No\r\nContent-Length: 9\r\n\r\n\x1b[2J\x07\x00\r\n%"), []string{pledge.ReasonRegistrarRefused}},
		"wait 100 years":     {text("HTTP/1.1 202 Wait\r\nRetry-After: 3153600000\r\nContent-Length: 0\r\n\r\n"), []string{pledge.ReasonPending}},
	} {
		t.Run(name, func(t *testing.T) {
			s := newStranger(t, c.answer)
			d := newProvisional(t, s)
			_, err := d.pledge().Onboard(t.Context())
			var e *pledge.Error
			if !errors.As(err, &e) || !slices.Contains(c.reasons, e.Reason) {
				t.Errorf("Onboard = %v, want one of %q", err, c.reasons)
			}
			if text := err.Error(); len(text) > 1000 || strings.ContainsAny(text, "\x00\x07\x1b\r\n") {
				t.Errorf("the error has %d bytes: %.200q", len(text), text)
			}
			d.checkUntouched()
			s.served.Wait()
			for _, asked := range s.asked {
				if asked != "POST /.well-known/brski/requestvoucher" && asked != "POST /.well-known/brski/voucher_status" {
					t.Errorf("the stranger was asked %s", asked)
				}
			}
		})
	}
}

// BRSKI-8995-5.1-06: a stranger that says nothing, or one byte a second, is left alone in the end.
func TestSlowStrangerIsLeftAlone(t *testing.T) {
	for name, answer := range map[string]func(io.Writer){
		"silent": func(w io.Writer) { time.Sleep(24 * time.Hour) },
		"slow headers": func(w io.Writer) {
			for range 24 * 3600 {
				if _, err := w.Write([]byte{'H'}); err != nil {
					return
				}
				time.Sleep(time.Second)
			}
		},
		"slow body": func(w io.Writer) {
			_, err := io.WriteString(w, "HTTP/1.1 200 OK\r\nContent-Type: application/voucher-cms+json\r\n\r\n")
			for range 24 * 3600 {
				if err != nil {
					return
				}
				time.Sleep(time.Second)
				_, err = w.Write([]byte{'0'})
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			s := newStranger(t, answer)
			d := newProvisional(t, s)
			began := time.Now()
			d.config.NoClock = true // the bubble begins in 2000
			synctest.Test(t, func(t *testing.T) {
				began = time.Now()
				d.onboardFails(pledge.ReasonUnreachable, pledge.ErrUnavailable)
				if took := time.Since(began); took > 5*time.Minute {
					t.Errorf("the device stayed for %v", took)
				}
				s.served.Wait()
			})
			d.checkUntouched()
		})
	}
}

// BRSKI-8995-5.1-06.
func FuzzProvisionalExchange(f *testing.F) {
	head := "HTTP/1.1 200 OK\r\nContent-Type: application/voucher-cms+json\r\n"
	for _, seed := range []string{
		"", "HTTP/1.1 200 OK\r\n\r\n", head + "Content-Length: 2\r\n\r\n\x30\x00",
		head + "Transfer-Encoding: chunked\r\n\r\n2\r\n\x30\x80\r\n0\r\nX: y\r\n\r\n",
		head + "\r\n\x30\x82\x01\x00\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x07\x02\xa0\x80\x30\x80",
		"HTTP/1.1 202 Accepted\r\nRetry-After: 60\r\nContent-Length: 0\r\n\r\n",
		"HTTP/1.1 403 Forbidden\r\nContent-Type: text/plain\r\nContent-Length: 3\r\n\r\nno.",
		"HTTP/1.1 307 There\r\nLocation: https://192.0.2.2/.well-known/brski/requestvoucher\r\nContent-Length: 0\r\n\r\n",
		"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 503 Busy\r\nRetry-After: Fri, 31 Dec 2100 23:59:59 GMT\r\nContent-Length: 0\r\n\r\n",
	} {
		f.Add([]byte(seed))
	}
	s := newStranger(f, nil)
	whole := newProvisional(f, s)
	f.Fuzz(func(t *testing.T, answer []byte) {
		s := &stranger{config: s.config, answer: func(w io.Writer) { _, _ = io.Copy(w, bytes.NewReader(answer)) }}
		d := &device{t: t, memory: newMemory(), idevid: whole.idevid, config: whole.config}
		d.config.State, d.config.Dial = d.memory, s.dial
		if result, err := d.pledge().Onboard(t.Context()); err == nil {
			t.Fatalf("Onboard = %+v", result)
		}
		d.checkUntouched()
		s.served.Wait()
	})
}
