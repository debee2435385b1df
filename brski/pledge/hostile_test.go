package pledge_test

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/rsa"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/briskest/briskest/brski"
	"github.com/briskest/briskest/brski/brskitest"
	"github.com/briskest/briskest/brski/pledge"
	"github.com/briskest/briskest/est"
	"github.com/briskest/briskest/internal/testpki"
	"github.com/briskest/briskest/voucher"
	"github.com/briskest/briskest/voucher/vouchercms"
)

// answerVoucher makes the registrar answer voucher-requests with f.
func answerVoucher(w *brskitest.World, f http.HandlerFunc) {
	w.Intercept(func(rw http.ResponseWriter, r *http.Request) bool {
		if !strings.HasSuffix(r.URL.Path, "/requestvoucher") {
			return false
		}
		f(rw, r)
		return true
	})
}

func send(contentType string, body []byte) http.HandlerFunc {
	return func(rw http.ResponseWriter, _ *http.Request) {
		if contentType != "" {
			rw.Header().Set("Content-Type", contentType)
		}
		_, _ = rw.Write(body)
	}
}

// RFC 8995, Sections 5.6.1 and 5.6.2: each is refused with its reason, reported
// over the same connection, and leaves nothing behind that is trusted.
func TestVoucherThatDoesNotHoldIsRefused(t *testing.T) {
	change := func(f func(*voucher.Voucher)) func(testing.TB, *brskitest.World) {
		return func(_ testing.TB, w *brskitest.World) { w.MASA.Change(f) }
	}
	answer := func(contentType string, body []byte) func(testing.TB, *brskitest.World) {
		return func(_ testing.TB, w *brskitest.World) { answerVoucher(w, send(contentType, body)) }
	}
	const cms = vouchercms.MediaType
	for name, c := range map[string]struct {
		set    func(testing.TB, *brskitest.World)
		reason string
	}{
		"another nonce":        {change(func(v *voucher.Voucher) { v.Nonce = voucher.NewNonce() }), pledge.ReasonVoucherNonce},
		"nonce cut":            {change(func(v *voucher.Voucher) { v.Nonce = v.Nonce[:12] }), pledge.ReasonVoucherNonce},
		"another serial":       {change(func(v *voucher.Voucher) { v.SerialNumber = "JADA123456780" }), pledge.ReasonVoucherSerial},
		"serial in lower case": {change(func(v *voucher.Voucher) { v.SerialNumber = "jada123456789" }), pledge.ReasonVoucherSerial},
		"made tomorrow":        {change(func(v *voucher.Voucher) { v.CreatedOn = time.Now().Add(24 * time.Hour) }), pledge.ReasonVoucherFuture},
		"another domain's key": {change(func(v *voucher.Voucher) {
			v.PinnedDomainCert, v.PinnedDomainPubkSHA256 = nil, bytes.Repeat([]byte{1}, 32)
		}), pledge.ReasonNotPinned},
		"delegated": {change(func(v *voucher.Voucher) {
			v.Delegation = &voucher.Delegation{Enabled: true, Countdown: 1}
		}), pledge.ReasonVoucherNoPin},
		"another domain's pin": {func(t testing.TB, w *brskitest.World) {
			other := testpki.NewRoot(t, "Domain Root") // the same name
			w.MASA.Change(func(v *voucher.Voucher) { v.PinnedDomainCert = other.Certificate.Raw })
		}, pledge.ReasonNotPinned},
		"another issuer": {func(t testing.TB, w *brskitest.World) {
			other := testpki.NewRoot(t, "Other Vendor")
			issuer, err := voucher.IDevIDIssuer(other.IDevID(t, "1", "").Certificate)
			if err != nil {
				t.Fatalf("IDevIDIssuer: %v", err)
			}
			w.MASA.Change(func(v *voucher.Voucher) { v.IDevIDIssuer = issuer })
		}, pledge.ReasonVoucherIssuer},
		"another vendor": {func(t testing.TB, w *brskitest.World) {
			w.MASA.SignAs(testpki.NewRoot(t, "Example Devices CA").Client(t, "masa"))
		}, pledge.ReasonVoucherSigner},
		"self-signed": {func(t testing.TB, w *brskitest.World) {
			w.MASA.SignAs(testpki.NewRoot(t, "masa"))
		}, pledge.ReasonVoucherSigner},
		"signed by a device": {func(t testing.TB, w *brskitest.World) { w.MASA.SignAs(w.IDevID(t, "JADA000000001")) }, pledge.ReasonVoucherSigner},
		"signed by the registrar": {func(_ testing.TB, w *brskitest.World) {
			w.MASA.SignAs(w.Identity)
		}, pledge.ReasonVoucherSigner},
		"signer expired": {func(t testing.TB, w *brskitest.World) {
			w.MASA.SignAs(w.Vendor.Issue(t, &x509.Certificate{
				NotBefore: time.Now().Add(-30 * time.Minute), NotAfter: time.Now().Add(-time.Minute),
			}, testpki.NewKey(t)))
		}, pledge.ReasonVoucherSigner},
		"a huge key inside": {func(t testing.TB, w *brskitest.World) {
			masa := w.Vendor.Client(t, "masa")
			masa.Chain = append(masa.Chain, hugeKey(t, w.Vendor))
			w.MASA.SignAs(masa)
		}, pledge.ReasonVoucherMalformed},
		"empty 200":        {answer(cms, nil), pledge.ReasonVoucherEmpty},
		"text":             {answer("text/plain", []byte("welcome")), pledge.ReasonVoucherMediaType},
		"no media type":    {answer("", []byte{0x30, 0}), pledge.ReasonVoucherMediaType},
		"JSON":             {answer("application/json", []byte(`{}`)), pledge.ReasonVoucherMediaType},
		"garbage":          {answer(cms, []byte("MIIB")), pledge.ReasonVoucherMalformed},
		"two bytes":        {answer(cms, []byte{0x1f, 0x80}), pledge.ReasonVoucherMalformed},
		"2 MB":             {answer(cms, bytes.Repeat([]byte{0x30, 0x80}, 1<<20)), pledge.ReasonVoucherTooLarge},
		"the request back": {echo, pledge.ReasonVoucherMalformed},
		"truncated":        {truncated, pledge.ReasonVoucherMalformed},
		"one bit changed":  {flipped, pledge.ReasonVoucherMalformed},
	} {
		t.Run(name, func(t *testing.T) {
			w := brskitest.New(t)
			c.set(t, w)
			d := newDevice(t, w)
			d.onboardFails(c.reason, pledge.ErrUntrusted)
			d.checkNothingTrusted()
			d.checkVoucherTold(c.reason)
		})
	}
}

// hugeKey issues a certificate for an RSA key of 400,000 bits, with which one signature check takes seconds.
func hugeKey(t testing.TB, by *testpki.Identity) *x509.Certificate {
	t.Helper()
	n := new(big.Int).Lsh(big.NewInt(1), 400000)
	template := &x509.Certificate{SerialNumber: big.NewInt(2), NotAfter: time.Now().Add(time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, template, by.Certificate, &rsa.PublicKey{N: n.SetBit(n, 0, 1), E: 65537}, by.Key)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return cert
}

// echo answers with the pledge's own request.
func echo(_ testing.TB, w *brskitest.World) {
	answerVoucher(w, func(rw http.ResponseWriter, r *http.Request) {
		body := new(bytes.Buffer)
		_, _ = body.ReadFrom(r.Body)
		send(vouchercms.MediaType, body.Bytes())(rw, r)
	})
}

// changed passes the true voucher on as f makes it.
func changed(w *brskitest.World, f func([]byte) []byte) {
	h := &brski.RegistrarHandler{Backend: w.Registrar, Formats: brskitest.Formats()}
	answerVoucher(w, func(rw http.ResponseWriter, r *http.Request) {
		recorder := httptest.NewRecorder()
		h.ServeHTTP(recorder, r)
		send(vouchercms.MediaType, f(recorder.Body.Bytes()))(rw, r)
	})
}

func truncated(_ testing.TB, w *brskitest.World) {
	changed(w, func(b []byte) []byte { return b[:len(b)-20] })
}

func flipped(_ testing.TB, w *brskitest.World) {
	changed(w, func(b []byte) []byte {
		at := bytes.Index(b, []byte("JADA123456789"))
		b[at] ^= 1
		return b
	})
}

func (d *device) checkNothingTrusted() {
	d.t.Helper()
	if s := d.status(); s.Stage != pledge.Fresh || s.Pinned != nil {
		d.t.Errorf("Status = stage %q, pinned %v, want nothing learned", s.Stage, s.Pinned)
	}
	for _, name := range []string{pledge.FileVoucher, pledge.FileCACerts, pledge.FileKey, pledge.FileLDevID} {
		if _, err := d.memory.Load(name); err == nil {
			d.t.Errorf("%s was stored", name)
		}
	}
	if n := len(d.world.Registrar.Enrollments()); n != 0 {
		d.t.Errorf("%d CSRs were sent", n)
	}
}

func (d *device) checkVoucherTold(reason string) {
	d.t.Helper()
	s := d.world.Registrar.VoucherStatuses()
	if len(s) != 1 || s[0].Status.Status || s[0].Status.Reason != reason {
		d.t.Errorf("voucher_status = %+v, want one with false and reason %q", s, reason)
	}
}

// RFC 8995, Section 5.6.2: somebody between pledge and registrar.
func TestManInTheMiddleIsNotTrusted(t *testing.T) {
	w := brskitest.New(t)
	d := newDevice(t, w)
	target, err := url.Parse(w.URL)
	if err != nil {
		t.Fatal(err)
	}
	// It has a certificate of its own, and even the device's key towards the registrar.
	proxy := httputil.NewSingleHostReverseProxy(target)
	transport := &http.Transport{TLSClientConfig: &tls.Config{
		InsecureSkipVerify: true, Certificates: []tls.Certificate{d.idevid.TLS()}, //nolint:gosec // the attacker
	}}
	t.Cleanup(transport.CloseIdleConnections)
	proxy.Transport = transport
	d.config.RegistrarURL = brskitest.Serve(t, testpki.NewRoot(t, "middle").Registrar(t, "registrar"), proxy)
	e := d.onboardFails(pledge.ReasonRegistrarRefused, pledge.ErrRefused)
	if e.Status != http.StatusUnauthorized {
		t.Errorf("status = %d, want the registrar's 401: the request names another certificate", e.Status)
	}
	// A registrar that does not look gets a voucher for itself, and the pledge sees the difference.
	h := &brski.RegistrarHandler{Backend: blind{w.Registrar, w.Identity.Certificate.Raw}, Formats: brskitest.Formats()}
	answerVoucher(w, h.ServeHTTP)
	d.onboardFails(pledge.ReasonNotPinned, pledge.ErrUntrusted)
	d.checkNothingTrusted()
}

// blind is a registrar that believes any proximity assertion.
type blind struct {
	*brskitest.Registrar
	own []byte
}

func (b blind) RequestVoucher(ctx context.Context, r *brski.VoucherRequest) (*brski.Voucher, error) {
	r.Request.ProximityRegistrarCert = b.own
	return b.Registrar.RequestVoucher(ctx, r)
}

func TestServerThatChangesItsCertificateIsNotTrusted(t *testing.T) {
	w := brskitest.New(t)
	other := w.Issuing.Registrar(t, "another registrar")
	w.Registrar.StayPending(1)
	d := newDevice(t, w)
	d.config.RegistrarURL = w.URL
	otherURL := brskitest.Serve(t, other, http.NotFoundHandler())
	first := true
	d.config.Dial = func(ctx context.Context, network, address string) (net.Conn, error) {
		if !first {
			address = strings.TrimPrefix(otherURL, "https://")
		}
		first = false
		return (&net.Dialer{}).DialContext(ctx, network, address)
	}
	w.Intercept(func(rw http.ResponseWriter, _ *http.Request) bool {
		rw.Header().Set("Connection", "close")
		return false
	})
	d.onboardFails(pledge.ReasonCertificateChanged, pledge.ErrUntrusted)
	d.checkNothingTrusted()
}

// A device that imprinted does not follow another domain after a restart.
func TestImprintedPledgeTalksToItsDomainOnly(t *testing.T) {
	w := brskitest.New(t)
	w.Registrar.RefuseEnroll(&est.Error{Status: http.StatusServiceUnavailable, Message: "Not now."})
	d := newDevice(t, w)
	d.onboardFails(pledge.ReasonRegistrarFailed, pledge.ErrUnavailable)
	if s := d.stage(); s != pledge.Enrolling {
		t.Fatalf("stage = %q, want %q", s, pledge.Enrolling)
	}
	stranger := brskitest.New(t)
	home := d.config.RegistrarURL
	d.config.RegistrarURL = stranger.URL
	d.onboardFails(pledge.ReasonNotPinned, pledge.ErrUntrusted)
	if n := len(stranger.Registrar.Requests()) + len(stranger.Registrar.Enrollments()) + len(stranger.Registrar.VoucherStatuses()); n != 0 {
		t.Errorf("the stranger got %d requests, want none", n)
	}
	d.config.RegistrarURL = home
	w.Registrar.RefuseEnroll(nil)
	d.checkWhole(d.onboard())
	if keys := enrolledKeys(w); len(keys) != 1 {
		t.Errorf("%d keys were enrolled, want 1", len(keys))
	}
}

// RFC 8995, Section 5.6.2: the pin may be the registrar's own certificate, or
// another certificate of its key.
func TestPinOfTheRegistrarItselfIsTaken(t *testing.T) {
	for name, pin := range map[string]func(testing.TB, *brskitest.World) []byte{
		"certificate": func(_ testing.TB, w *brskitest.World) []byte { return w.Identity.Certificate.Raw },
		"key": func(t testing.TB, w *brskitest.World) []byte {
			return w.Domain.Issue(t, &x509.Certificate{Subject: pkix.Name{CommonName: "older"}}, w.Identity.Key).Certificate.Raw
		},
		"intermediate": func(_ testing.TB, w *brskitest.World) []byte { return w.Issuing.Certificate.Raw },
	} {
		t.Run(name, func(t *testing.T) {
			w := brskitest.New(t)
			der := pin(t, w)
			w.MASA.Change(func(v *voucher.Voucher) { v.PinnedDomainCert = der })
			if result := newDevice(t, w).onboard(); !bytes.Equal(result.Pinned.Raw, der) || !result.Reported {
				t.Errorf("Result = pinned %v, reported %v", result.Pinned.Subject, result.Reported)
			}
		})
	}
}

// RFC 7030, Section 3.6.1: in a domain of many, not every certificate is a registrar's.
func TestMemberOfTheDomainIsNoRegistrar(t *testing.T) {
	serverAuth := []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}
	address := []net.IP{net.IPv4(127, 0, 0, 1)}
	for name, template := range map[string]x509.Certificate{
		"client certificate":        {ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}, IPAddresses: address},
		"other server":              {ExtKeyUsage: serverAuth, DNSNames: []string{"printer.example"}},
		"server of the same name":   {ExtKeyUsage: serverAuth, IPAddresses: address},
		"no usages, the same name":  {IPAddresses: address},
		"any usage, with that name": {ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageAny}, IPAddresses: address},
	} {
		t.Run(name, func(t *testing.T) {
			w := brskitest.New(t)
			d := newDevice(t, w)
			id := w.Issuing.Issue(t, &template, testpki.NewKey(t))
			h := &brski.RegistrarHandler{Backend: blind{w.Registrar, w.Identity.Certificate.Raw}, Formats: brskitest.Formats()}
			d.config.RegistrarURL = brskitest.Serve(t, id, h)
			d.onboardFails(pledge.ReasonNotPinned, pledge.ErrUntrusted)
			d.checkNothingTrusted()
		})
	}
}

// BRSKI-8995-5.9.4-03: failure is told over the connection it happened on (RFC 8995, Section 5.9.4).
func TestEnrollmentThatFailsIsReported(t *testing.T) {
	for name, c := range map[string]struct {
		set    func(*testing.T, *brskitest.World)
		reason string
		class  error
	}{
		"refused": {func(_ *testing.T, w *brskitest.World) {
			w.Registrar.RefuseEnroll(&est.Error{Status: http.StatusForbidden, Reason: "no", Message: "No."})
		}, pledge.ReasonEnrollRefused, pledge.ErrRefused},
		"another CA": {func(t *testing.T, w *brskitest.World) {
			other := brskitest.New(t)
			w.Registrar.IssueWith(other.Registrar.Issue)
		}, pledge.ReasonIssuedChain, pledge.ErrUntrusted},
		"another key": {func(t *testing.T, w *brskitest.World) {
			w.Registrar.IssueWith(func(*est.EnrollRequest) []byte { return w.Issuing.Client(t, "x").Certificate.Raw })
		}, pledge.ReasonIssuedMalformed, pledge.ErrUntrusted},
		"expired": {func(t *testing.T, w *brskitest.World) {
			w.Registrar.IssueWith(func(q *est.EnrollRequest) []byte { return issueExpired(t, w, q) })
		}, pledge.ReasonIssuedChain, pledge.ErrUntrusted},
		"cacerts of no CA": {func(_ *testing.T, w *brskitest.World) {
			w.Registrar.SetCACerts([]*x509.Certificate{w.Domain.Certificate, w.Identity.Certificate})
		}, pledge.ReasonCACerts, pledge.ErrUntrusted},
	} {
		t.Run(name, func(t *testing.T) {
			w := brskitest.New(t)
			c.set(t, w)
			d := newDevice(t, w)
			d.onboardFails(c.reason, c.class)
			s := w.Registrar.EnrollStatuses()
			if len(s) != 1 || s[0].Status.Status || s[0].Status.Reason != c.reason {
				t.Fatalf("enrollstatus = %+v, want one with false and reason %q", s, c.reason)
			}
			if v := w.Registrar.VoucherStatuses(); s[0].Peer.Address != v[0].Peer.Address {
				t.Errorf("enrollstatus came from %v, want the connection of the attempt, %v", s[0].Peer.Address, v[0].Peer.Address)
			}
			if _, err := d.memory.Load(pledge.FileLDevID); err == nil {
				t.Errorf("ldevid.pem was stored")
			}
			w.Registrar.RefuseEnroll(nil)
			w.Registrar.IssueWith(nil)
			w.Registrar.SetCACerts(nil)
			d.checkWhole(d.onboard())
			if keys := enrolledKeys(w); len(keys) != 1 {
				t.Errorf("%d keys were enrolled, want 1", len(keys))
			}
		})
	}
}

func issueExpired(t *testing.T, w *brskitest.World, q *est.EnrollRequest) []byte {
	t.Helper()
	now := time.Now()
	template := &x509.Certificate{NotBefore: now.Add(-50 * time.Minute), NotAfter: now.Add(-time.Minute)}
	return w.Issuing.Issue(t, template, public{testpki.NewKey(t), q.CSR.PublicKey}).Certificate.Raw
}

// RFC 8995, Sections 5.7 and 5.9.4: the client ignores the answer.
func TestRegistrarWithoutTelemetryIsNoObstacle(t *testing.T) {
	w := brskitest.New(t)
	w.Intercept(func(rw http.ResponseWriter, r *http.Request) bool {
		if strings.HasSuffix(r.URL.Path, "status") {
			http.NotFound(rw, r)
			return true
		}
		return false
	})
	newDevice(t, w).onboard()
}

func TestConnectionThatBreaksOffIsUnavailable(t *testing.T) {
	w := brskitest.New(t)
	answerVoucher(w, func(rw http.ResponseWriter, _ *http.Request) {
		rw.Header().Set("Content-Type", vouchercms.MediaType)
		rw.Header().Set("Content-Length", "1000")
		_, _ = rw.Write([]byte{0x30})
		panic(http.ErrAbortHandler)
	})
	d := newDevice(t, w)
	d.onboardFails(pledge.ReasonUnreachable, pledge.ErrUnavailable)
	w.Intercept(nil)
	d.checkWhole(d.onboard())
}

func TestStateOfAnotherDeviceIsRefused(t *testing.T) {
	w := brskitest.New(t)
	d := newDevice(t, w)
	d.onboard()
	d.config.IDevID = w.IDevID(t, "JADA000000002").TLS()
	_, err := d.pledge().Onboard(context.Background())
	var e *pledge.Error
	if !errors.As(err, &e) || e.Reason != pledge.ReasonOtherDevice {
		t.Errorf("Onboard = %v, want reason %q", err, pledge.ReasonOtherDevice)
	}
}

// Whatever becomes of a file, the pledge recovers, and an enrolled one that has
// what it needs stays enrolled.
func TestDamagedFilesAreRecoveredFrom(t *testing.T) {
	for _, name := range []string{pledge.FileRequest, pledge.FileVoucher, pledge.FileCACerts, pledge.FileKey, pledge.FileLDevID} {
		for damage, data := range map[string][]byte{"gone": nil, "damaged": []byte("damaged")} {
			t.Run(name+" "+damage, func(t *testing.T) {
				w := brskitest.New(t)
				d := newDevice(t, w)
				d.onboard()
				if data == nil {
					delete(d.memory.files, name)
				} else {
					d.memory.files[name] = data
				}
				wasArtifact := name == pledge.FileRequest || name == pledge.FileVoucher
				if s := d.stage(); (s == pledge.Enrolled) != wasArtifact {
					t.Errorf("stage = %q", s)
				}
				result := d.onboard()
				if !wasArtifact {
					d.checkWhole(result)
				}
			})
		}
	}
}

// R29: what the MASA says, or that it is silent, reaches the device as it is.
func TestFailureOfTheMASAReachesThePledge(t *testing.T) {
	gone := &brski.MASAClient{URL: "https://127.0.0.1:1"}
	for name, c := range map[string]struct {
		set    func(*brskitest.World)
		status int
		class  error
	}{
		"403": {func(w *brskitest.World) {
			w.MASA.Refuse(&est.Error{Status: 403, Reason: "sold", Message: "Sold to another."})
		}, 403, pledge.ErrRefused},
		"404": {func(w *brskitest.World) {
			w.MASA.Refuse(&est.Error{Status: 404, Reason: "unknown", Message: "Unknown."})
		}, 404, pledge.ErrRefused},
		"400":  {func(w *brskitest.World) { w.MASA.Refuse(&est.Error{Status: 400, Reason: "bad", Message: "Bad."}) }, 502, pledge.ErrUnavailable},
		"500":  {func(w *brskitest.World) { w.MASA.Refuse(errors.New("broken")) }, 502, pledge.ErrUnavailable},
		"503":  {func(w *brskitest.World) { w.MASA.Refuse(&est.Error{Status: 503, Message: "Busy."}) }, 502, pledge.ErrUnavailable},
		"gone": {func(w *brskitest.World) { w.Registrar.AskMASA(gone) }, 504, pledge.ErrUnavailable},
	} {
		w := brskitest.New(t)
		c.set(w)
		_, err := newDevice(t, w).pledge().Onboard(context.Background())
		var e *pledge.Error
		if !errors.As(err, &e) || e.Status != c.status || !errors.Is(err, c.class) || strings.Contains(e.Message, "(no text)") {
			t.Errorf("MASA %s: %v, want status %d with a text, %v", name, err, c.status, c.class)
		}
	}
}

// N5 of nqminds' MASA, H2 of minerva's highway, and RFC 8995, Section 5.6.1 on unknown leaves.
// BRSKI-8995-5.6.1-04: leaves that are not known are ignored.
func TestVoucherAsSeenInTheFieldIsTaken(t *testing.T) {
	const nqminds = `{"ietf-voucher:voucher":{"assertion":"proximity","serial-number":"JADA123456789","nonce":"NONCE",
		"expires-on":"2999-01-01T00:00:00Z","pinned-domain-cert":"PIN"}}`
	const highway = `{"ietf-voucher:voucher":{"assertion":"logged","created-on":"2020-11-22T22:35:08.307+00:00",
		"serial-number":"JADA123456789","nonce":"NONCE","pinned-domain-cert":"PIN"}}`
	const future = `{"ietf-voucher:voucher":{"assertion":"verified","created-on":"2020-11-22T22:35:08Z","color":{"is":"red"},
		"extension:new":7,"serial-number":"JADA123456789","nonce":"NONCE","pinned-domain-cert":"PIN"}}`
	for name, payload := range map[string]string{"nqminds": nqminds, "highway": highway, "unknown leaves": future} {
		t.Run(name, func(t *testing.T) {
			w := brskitest.New(t)
			answerPayload(w, payload)
			newDevice(t, w).onboard()
		})
	}
}

// RFC 8995, Section 5.9.4: who could not be told is told later.
func TestEnrollmentThatCouldNotBeReportedIsReportedLater(t *testing.T) {
	w := brskitest.New(t)
	w.Intercept(func(_ http.ResponseWriter, r *http.Request) bool {
		if strings.HasSuffix(r.URL.Path, "/enrollstatus") {
			panic(http.ErrAbortHandler)
		}
		return false
	})
	d := newDevice(t, w)
	if d.onboard().Reported {
		t.Errorf("Reported = true, but the connection was cut")
	}
	w.Intercept(nil)
	if !d.onboard().Reported || len(w.Registrar.EnrollStatuses()) != 1 {
		t.Errorf("the second Onboard did not report")
	}
}
