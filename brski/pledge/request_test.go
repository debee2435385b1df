package pledge_test

import (
	"bytes"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/json"
	"io"
	"math/big"
	"net/http"
	"strings"
	"testing"

	"github.com/briskest/briskest/brski/brskitest"
	"github.com/briskest/briskest/brski/pledge"
	"github.com/briskest/briskest/est"
	"github.com/briskest/briskest/internal/testpki"
	"github.com/briskest/briskest/voucher"
)

// received is a request as the registrar's server saw it.
type received struct {
	method, path, contentType string
	body                      []byte
	client                    *x509.Certificate // of TLS
}

// record keeps a copy of all requests that come from now on.
func record(w *brskitest.World) *[]received {
	var all []received
	w.Intercept(func(_ http.ResponseWriter, r *http.Request) bool {
		body, _ := io.ReadAll(r.Body)
		r.Body = io.NopCloser(bytes.NewReader(body))
		all = append(all, received{r.Method, r.URL.Path, r.Header.Get("Content-Type"), body, r.TLS.PeerCertificates[0]})
		return false
	})
	return &all
}

// BRSKI-8995-2.3.1-01: the serial number of a request is the X520SerialNumber of
// the IDevID's subject, and not the certificate's.
func TestSerialNumberIsTheSubjectsAndNotTheCertificates(t *testing.T) {
	w := brskitest.New(t)
	d := newDevice(t, w)
	d.idevid = w.Vendor.Issue(t, &x509.Certificate{
		SerialNumber: big.NewInt(77), Subject: pkix.Name{CommonName: "not me", SerialNumber: "A-1"},
	}, testpki.NewKey(t))
	d.config.IDevID = d.idevid.TLS()
	d.onboard()
	if r, _ := openRequest(t, d.file(pledge.FileRequest)); r.SerialNumber != "A-1" {
		t.Errorf("serial-number = %q, want %q", r.SerialNumber, "A-1")
	}
}

// BRSKI-8995-5.2-02: the request is signed with the key of the IDevID, which is the TLS client's too.
func TestVoucherRequestIsSignedByTheTLSClient(t *testing.T) {
	w := brskitest.New(t)
	d := newDevice(t, w)
	all := record(w)
	d.onboard()
	first := (*all)[0]
	_, artifact := openRequest(t, first.body)
	if !artifact.Signer.Equal(first.client) || !artifact.Signer.Equal(d.idevid.Certificate) {
		t.Errorf("signer = %v, TLS client %v, want the IDevID twice", artifact.Signer.Subject, first.client.Subject)
	}
	if len(artifact.Certificates) == 0 || !artifact.Certificates[0].Equal(artifact.Signer) && len(artifact.Certificates) == 1 {
		t.Errorf("the signer's certificate is not in the request")
	}
}

// BRSKI-8995-5.2-05: each attempt has a nonce of its own, of 8 to 32 random bytes.
// BRSKI-8995-11.3-01: devices that begin with the same content have different ones.
func TestNoncesAreRandomAndNeverRepeated(t *testing.T) {
	w := brskitest.New(t)
	w.Registrar.Refuse(&est.Error{Status: http.StatusForbidden, Reason: "no", Message: "No."})
	image := newDevice(t, w)
	for range 40 {
		d := newDevice(t, w)
		d.config.IDevID, d.memory = image.config.IDevID, image.memory.copyFiles()
		d.config.State = d.memory
		d.onboardFails(pledge.ReasonRegistrarRefused, pledge.ErrRefused)
	}
	seen := make(map[string]bool)
	note := func(nonce string) {
		if err := voucher.CheckNonce(nonce); err != nil || seen[nonce] {
			t.Errorf("nonce %q: %v, seen before: %v", nonce, err, seen[nonce])
		}
		seen[nonce] = true
	}
	for _, raw := range w.Registrar.Requests() {
		r, _ := openRequest(t, raw)
		note(r.Nonce)
	}
	for range 1000 {
		note(voucher.NewNonce())
	}
	if len(seen) != 1040 {
		t.Errorf("%d nonces, want 1040", len(seen))
	}
	var set [256]bool
	for nonce := range seen {
		for _, b := range []byte(nonce) {
			set[b] = true
		}
	}
	distinct := 0
	for _, b := range set {
		if b {
			distinct++
		}
	}
	if distinct < 16 {
		t.Errorf("the nonces have %d different characters", distinct)
	}
}

// BRSKI-8995-5.2-06: the assertion is proximity, and the first certificate of the
// server's list is named, not another of it.
func TestVoucherRequestNamesTheFirstCertificateOfTheServer(t *testing.T) {
	for _, proximity := range []pledge.Proximity{pledge.ProximityCert, pledge.ProximityKey, pledge.ProximityKeyHash} {
		t.Run("by "+string(proximity), func(t *testing.T) {
			w := brskitest.New(t)
			w.Registrar.TakeAnyProximity()
			d := newDevice(t, w, func(c *pledge.Config) { c.Proximity = proximity })
			d.onboard()
			r, _ := openRequest(t, d.file(pledge.FileRequest))
			want := &voucher.Request{}
			leaf := w.Identity.Certificate
			switch proximity {
			case pledge.ProximityCert:
				want.ProximityRegistrarCert = leaf.Raw
			case pledge.ProximityKey:
				want.ProximityRegistrarPubk = leaf.RawSubjectPublicKeyInfo
			case pledge.ProximityKeyHash:
				hash := sha256.Sum256(leaf.RawSubjectPublicKeyInfo)
				want.ProximityRegistrarPubkSHA256 = hash[:]
			}
			if r.Assertion != voucher.Proximity || !bytes.Equal(r.ProximityRegistrarCert, want.ProximityRegistrarCert) ||
				!bytes.Equal(r.ProximityRegistrarPubk, want.ProximityRegistrarPubk) ||
				!bytes.Equal(r.ProximityRegistrarPubkSHA256, want.ProximityRegistrarPubkSHA256) {
				t.Errorf("request = %+v, want proximity and %+v", r, want)
			}
		})
	}
}

// A request that is out and names the registrar in another way than the
// configuration says now is replaced.
func TestRequestIsMadeAnewWhenItNamesTheRegistrarOtherwise(t *testing.T) {
	w := brskitest.New(t)
	w.Registrar.TakeAnyProximity()
	d := newDevice(t, w)
	w.Registrar.Refuse(&est.Error{Status: http.StatusServiceUnavailable, Message: "Busy."})
	d.onboardFails(pledge.ReasonRegistrarFailed, pledge.ErrUnavailable)
	w.Registrar.Refuse(nil)
	d.config.Proximity = pledge.ProximityKey
	d.onboard()
	r, _ := openRequest(t, d.file(pledge.FileRequest))
	if len(r.ProximityRegistrarPubk) == 0 || len(r.ProximityRegistrarCert) != 0 {
		t.Errorf("request = %+v, want one that names the key", r)
	}
}

// BRSKI-8995-5.7-01: the verdict on the voucher, either way, is posted as JSON.
func TestVerdictOnTheVoucherIsPostedAsJSON(t *testing.T) {
	for _, accepted := range []bool{true, false} {
		w := brskitest.New(t)
		if !accepted {
			w.MASA.Change(func(v *voucher.Voucher) { v.SerialNumber = "X" })
		}
		all := record(w)
		_, _ = newDevice(t, w).pledge().Onboard(t.Context())
		var posts []received
		for _, r := range *all {
			if strings.Contains(r.path, "status") && !strings.Contains(r.path, "enroll") {
				posts = append(posts, r)
			}
		}
		if len(posts) != 1 {
			t.Fatalf("%d posts of a verdict, want 1", len(posts))
		}
		p := posts[0]
		if p.method != http.MethodPost || p.path != "/.well-known/brski/voucher_status" || p.contentType != "application/json" {
			t.Errorf("verdict = %s %s of type %q", p.method, p.path, p.contentType)
		}
		var said map[string]any
		if err := json.Unmarshal(p.body, &said); err != nil || said["version"] != 1.0 || said["status"] != accepted {
			t.Errorf("verdict = %s, %v; want version 1 and status %v", p.body, err, accepted)
		}
		if reason, _ := said["reason"].(string); (reason == "") != accepted || strings.ContainsAny(reason, " \"") {
			t.Errorf("reason = %q, want an id where the voucher is refused", reason)
		}
	}
}

func TestNewRefusesAnUnknownProximity(t *testing.T) {
	d := newDevice(t, brskitest.New(t), func(c *pledge.Config) { c.Proximity = "name" })
	if _, err := pledge.New(d.config); err == nil {
		t.Errorf("New took proximity %q", d.config.Proximity)
	}
}
