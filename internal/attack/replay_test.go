package attack_test

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/briskest/briskest/brski"
	"github.com/briskest/briskest/est"
	"github.com/briskest/briskest/internal/testpki"
	"github.com/briskest/briskest/internal/vectors"
	"github.com/briskest/briskest/registrar"
	"github.com/briskest/briskest/voucher"
)

// replayed is one message of a capture and what becomes of it at our registrar.
type replayed struct {
	message   string // NN-METHOD-path, as the capture's files have it
	anonymous bool   // sent without the IDevID, as the capture's was
	status    int
	reason    string // in the log, of a refusal; empty for none
}

// capture is an exchange of other implementations.
type capture struct {
	dir, certs string
	masa       string // the capture whose MASA answers; empty for one of ours
	messages   []replayed
}

func captures() []capture {
	const voucher, enroll = "POST-brski_requestvoucher", "POST-est_simpleenroll"
	return []capture{
		// R1: a nonce in base64url; R2: fractions and offsets in times; R4: another path, raw DER as body of EST;
		// H2: highway pins the registrar's own certificate; H4: its audit-log; F5: telemetry that is served here.
		{"reach-fountain-highway", "pki-hw", "reach-fountain-highway", []replayed{
			{"01-" + voucher, false, 200, ""},
			{"02-GET-est_csrattributes", false, 404, "path-operation"},
			{"03-" + enroll, false, 400, "body-der"},
			{"04-GET-est_cacerts", true, 200, ""},
			{"05-POST-brski_voucher_status", true, 403, "no-client-certificate"},
			{"05-POST-brski_voucher_status", false, 200, ""},
		}},
		{"reach-nqminds", "pki", "reach-nqminds", []replayed{
			{"01-" + voucher, false, 200, ""},
			{"02-GET-est_csrattributes", false, 404, "path-operation"},
			{"03-" + enroll, false, 400, "body-der"},
		}},
		// N7: an empty body first, which is no attack.
		{"nqminds-fountain-highway", "pki-hw", "nqminds-fountain-highway", []replayed{
			{"01-" + voucher, false, 400, "body-empty"}, {"02-" + voucher, false, 200, ""},
		}},
		// N9: a certificate where a request belongs.
		{"nqminds-compat-rfcpki", "pki", "nqminds-compat-rfcpki", []replayed{
			{"01-" + voucher, false, 400, "body-empty"}, {"02-" + voucher, false, 200, ""},
			{"03-" + voucher, false, 400, "body-empty"}, {"05-" + enroll, false, 415, "media-type"},
		}},
		// N1: base64 both ways, which alone would be taken; the nonce has 44 bytes, and another key than the IDevID's signed.
		{"nqminds-stock", "nqminds-stock", "nqminds-stock", []replayed{
			{"01-" + voucher, false, 400, "body-empty"}, {"02-" + voucher, false, 400, "voucher-request"},
			{"04-" + voucher, false, 400, "voucher-request"}, {"05-" + enroll, false, 415, "media-type"},
		}},
		// H1: a MASA that says 406, in HTML and without a body; a failure there is one here (N11).
		{"nqminds-fountain-highway", "pki-hw", "nqminds-highway-fail-accept", []replayed{{"02-" + voucher, false, 406, "masa-not-acceptable"}}},
		// What another registrar could not read.
		{"reach-nqminds-fail-base64url-nonce", "pki", "", []replayed{{"01-" + voucher, false, 200, ""}}},
		{"reach-nqminds-fail-fractional-seconds", "pki", "", []replayed{{"01-" + voucher, false, 200, ""}}},
	}
}

// What other pledges and MASAs have sent each other is served where it is
// harmless and refused where it is not, with a reason.
func TestCapturedExchangesAreServedOrRefusedAsTheyDeserve(t *testing.T) {
	root := filepath.Join(vectors.Dir(t), "captures")
	served, refused := 0, 0
	for _, c := range captures() {
		t.Run(c.dir+" MASA "+c.masa, func(t *testing.T) {
			r := newReplay(t, root, &c)
			for _, m := range c.messages {
				status, body := r.send(t, &m)
				if status != m.status || m.reason != r.reason {
					t.Errorf("%s: status %d, reason %q, want %d, %q (%.200q)", m.message, status, r.reason, m.status, m.reason, body)
				}
				if status == http.StatusOK {
					served++
				} else {
					refused++
				}
				if status == http.StatusOK && strings.Contains(m.message, "requestvoucher") && c.masa != "" && !bytes.Equal(body, r.issued) {
					t.Errorf("%s: the voucher is not the MASA's, byte for byte", m.message)
				}
				if status != http.StatusOK && len(body) == 0 {
					t.Errorf("%s: refused without a word", m.message)
				}
			}
		})
	}
	t.Logf("%d messages served, %d refused", served, refused)
}

// replay is our registrar in the place of the one in a capture: it knows that
// one's certificates, and has a key of its own.
type replay struct {
	*house
	dir     string // of the capture
	masaDir string // of the one whose MASA answers
	handler http.Handler
	idevid  *x509.Certificate
	issued  []byte // the voucher that the captured MASA answered last
	reason  string // of the last refusal
}

func newReplay(t *testing.T, root string, c *capture) *replay {
	t.Helper()
	r := &replay{dir: filepath.Join(root, c.dir), masaDir: filepath.Join(root, c.masa)}
	one := func(name string) *x509.Certificate {
		return vectors.Certificates(t, "captures/certs/"+c.certs+"/"+name+".crt")[0]
	}
	stock := c.certs == "nqminds-stock"
	names := map[bool][]string{false: {"idevid", "mfr-ca", "masa-ca", "registrar", "domain-ca"}, true: {"idevid", "idevid-ca", "cms-ca", "registrar-tls", "registrar-tls-ca"}}[stock]
	r.idevid = one(names[0])
	devices, vouchers := x509.NewCertPool(), x509.NewCertPool()
	devices.AddCert(one(names[1]))
	vouchers.AddCert(one(names[2]))
	theirs := []*x509.Certificate{one(names[3]), one(names[4])}
	r.house = newHouse(t, func(h *house) {
		acme := h.settings.Manufacturers["acme"]
		acme.IDevIDAnchors, acme.Unlisted = devices, registrar.UnlistedAdmit
		h.settings.TLSCertificates = []*x509.Certificate{theirs[0], h.registrar.Certificate}
		h.settings.Signer.Chain = slices.Concat(h.settings.Signer.Chain, theirs)
		if c.masa != "" {
			h.clock.Store(time.Date(2026, 11, 23, 0, 0, 0, 0, time.UTC).UnixNano()) // the vouchers of the day
			acme.VoucherAnchors = vouchers
			h.masa = r.capturedMASA(t)
		} else {
			h.masa = &pinningMASA{honestMASA{h}, theirs[1]}
		}
	})
	mux := http.NewServeMux()
	observed := &observing{Bootstrap: r.service.BRSKI(), saw: func(e *est.Error) { r.reason = e.Reason }}
	mux.Handle("/.well-known/brski/", &brski.RegistrarHandler{Backend: observed, Formats: r.settings.Formats, Now: r.now})
	mux.Handle("/.well-known/est/", &est.Handler{Backend: &observingEST{Service: r.service, saw: func(e *est.Error) { r.reason = e.Reason }}, Now: r.now})
	r.handler = mux
	return r
}

// pinningMASA is one of ours that pins the CA of the capture's domain.
type pinningMASA struct {
	honestMASA
	pin *x509.Certificate
}

func (m *pinningMASA) RequestVoucher(ctx context.Context, r *brski.MASARequest) (*brski.Voucher, error) {
	return m.h.vouch(ctx, r, func(v *voucher.Voucher) { v.PinnedDomainCert = m.pin.Raw })
}

// observing sees what the registrar refuses.
type observing struct {
	*registrar.Bootstrap
	saw func(*est.Error)
}

func (o *observing) Refused(ctx context.Context, call *brski.Call, e *est.Error) {
	o.saw(e)
	o.Bootstrap.Refused(ctx, call, e)
}

type observingEST struct {
	*registrar.Service
	saw func(*est.Error)
}

func (o *observingEST) Refused(ctx context.Context, r *est.Request, e *est.Error) {
	o.saw(e)
	o.Service.Refused(ctx, r, e)
}

// send replays one message. The device's key is not in the capture, so that its
// certificate is put where the TLS server would have put it.
func (r *replay) send(t *testing.T, m *replayed) (int, []byte) {
	t.Helper()
	raw, err := os.ReadFile(filepath.Join(r.dir, "pledge-registrar-"+m.message+"-request.http"))
	if err != nil {
		t.Fatal(err)
	}
	req, err := http.ReadRequest(bufio.NewReader(bytes.NewReader(raw)))
	if err != nil {
		t.Fatal(err)
	}
	req.TLS = &tls.ConnectionState{Version: tls.VersionTLS13, HandshakeComplete: true}
	req.RemoteAddr = "192.0.2.7:4711"
	if !m.anonymous {
		req.TLS.PeerCertificates = []*x509.Certificate{r.idevid}
	}
	r.reason = ""
	w := httptest.NewRecorder()
	r.handler.ServeHTTP(w, req)
	return w.Code, w.Body.Bytes()
}

// capturedMASA answers over TLS with the bytes that the MASA of the capture
// answered, in their order; where it was not asked for the audit-log, with an
// empty one.
func (r *replay) capturedMASA(t *testing.T) brski.MASA {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(r.masaDir, "registrar-masa-*requestvoucher-response.http"))
	if err != nil {
		t.Fatal(err)
	}
	var mu sync.Mutex
	next := 0
	vendor := testpki.NewRoot(t, "captured")
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, q *http.Request) {
		mu.Lock()
		defer mu.Unlock()
		if q.Header.Get("Accept") == "" { // H1
			t.Error("the MASA was not told what is accepted")
		}
		answer := []byte("HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 27\r\nConnection: close\r\n\r\n{\"version\":1,\"events\":[]}\r\n")
		if strings.HasSuffix(q.URL.Path, "/requestauditlog") {
			if raw, err := os.ReadFile(filepath.Join(r.masaDir, "registrar-masa-02-POST-brski_requestauditlog-response.http")); err == nil {
				answer = raw
			}
		} else {
			if next == len(files) {
				http.Error(w, "the capture has no more answers", http.StatusInternalServerError)
				return
			}
			answer = r.voucherAnswer(t, files[next])
			next++
		}
		conn, _, err := http.NewResponseController(w).Hijack()
		if err == nil {
			_, _ = conn.Write(answer)
			_ = conn.Close()
		}
	}))
	id := vendor.Server(t, "masa")
	server.TLS = &tls.Config{Certificates: []tls.Certificate{id.TLS()}}
	server.StartTLS()
	t.Cleanup(server.Close)
	client := &brski.MASAClient{URL: server.URL + "/.well-known/brski", Roots: vendor.Pool()}
	t.Cleanup(client.CloseIdleConnections)
	return client
}

func (r *replay) voucherAnswer(t *testing.T, file string) []byte {
	raw, err := os.ReadFile(file)
	if err != nil {
		t.Error(err)
		return nil
	}
	res, err := http.ReadResponse(bufio.NewReader(bytes.NewReader(raw)), nil)
	if err != nil {
		t.Error(fmt.Errorf("%s: %w", file, err))
		return nil
	}
	defer res.Body.Close()
	r.issued, err = io.ReadAll(res.Body)
	if err != nil {
		t.Error(err)
	}
	return raw
}
