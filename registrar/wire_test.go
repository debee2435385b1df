package registrar_test

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/briskest/briskest/brski"
	"github.com/briskest/briskest/brski/pledge"
	"github.com/briskest/briskest/est"
	"github.com/briskest/briskest/internal/testpki"
	"github.com/briskest/briskest/registrar"
	"github.com/briskest/briskest/voucher"
	"github.com/briskest/briskest/voucher/vouchercms"
)

// serve puts both handlers on a TLS port, as the program does.
func (h *house) serve() string {
	h.t.Helper()
	estSide := &est.Handler{Backend: h.service, Now: h.now}
	brskiSide := &brski.RegistrarHandler{Backend: h.service.BRSKI(), Formats: []voucher.Format{vouchercms.Format{}}, Now: h.now}
	s := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if strings.HasPrefix(r.URL.Path, "/.well-known/brski") {
			brskiSide.ServeHTTP(w, r)
			return
		}
		estSide.ServeHTTP(w, r)
	}))
	s.TLS = &tls.Config{Certificates: []tls.Certificate{h.registrar.TLS()}, ClientAuth: tls.RequestClientCert}
	s.StartTLS()
	h.t.Cleanup(s.Close)
	return s.URL
}

func (h *house) client(url string, change func(c *est.Client)) *est.Client {
	c := &est.Client{URL: url, Roots: h.root.Pool()}
	change(c)
	h.t.Cleanup(c.CloseIdleConnections)
	return c
}

// EST-7030-3.2.2-03, EST-7030-3.2.2-04.
func TestAClientEnrollsAndRenewsOverTheWire(t *testing.T) {
	h := newHouse(t, nil)
	url := h.serve()
	basic := h.client(url, func(c *est.Client) { c.User, c.Password = group, h.passwords[group] })
	chain, err := basic.CACerts(t.Context())
	if err != nil || len(chain) != 2 || !chain[1].Equal(h.root.Certificate) {
		t.Fatalf("CACerts: %d certificates, %v", len(chain), err)
	}
	if _, err := basic.CSRAttrs(t.Context()); err != nil {
		t.Errorf("CSRAttrs: %v", err)
	}
	key := testpki.NewKey(t)
	csr := testpki.CSR(t, &x509.CertificateRequest{Subject: pkix.Name{CommonName: "wired"}}, key)
	cert, err := basic.SimpleEnroll(t.Context(), csr)
	if err != nil {
		t.Fatalf("SimpleEnroll: %v", err)
	}
	own := h.client(url, func(c *est.Client) {
		c.Certificate = &tls.Certificate{Certificate: [][]byte{cert.Raw}, PrivateKey: key, Leaf: cert}
	})
	renewed, err := own.SimpleReenroll(t.Context(), csr)
	if err != nil || renewed.Equal(cert) {
		t.Fatalf("SimpleReenroll: %v", err)
	}
	// On the kept connection of a certificate that is revoked meanwhile (R1).
	h.revoke(cert)
	_, err = own.SimpleReenroll(t.Context(), csr)
	var status *est.StatusError
	if !errors.As(err, &status) || status.Status != http.StatusForbidden {
		t.Errorf("SimpleReenroll with a revoked certificate: %v", err)
	}
	guess := h.client(url, func(c *est.Client) { c.User, c.Password = group, "guess" })
	if _, err := guess.SimpleEnroll(t.Context(), csr); !errors.As(err, &status) || status.Status != http.StatusUnauthorized {
		t.Errorf("SimpleEnroll with a wrong password: %v", err)
	}
}

// EST-7030-3.3-05.
// RFC 9266: the binding of the very connection, and of no other.
func TestAChannelBindingIsCheckedAgainstItsConnection(t *testing.T) {
	h := newHouse(t, nil)
	url := h.serve()
	for _, version := range []uint16{tls.VersionTLS12, tls.VersionTLS13} {
		conn, err := tls.Dial("tcp", strings.TrimPrefix(url, "https://"), &tls.Config{RootCAs: h.root.Pool(), MaxVersion: version})
		if err != nil {
			t.Fatal(err)
		}
		state := conn.ConnectionState()
		binding := state.TLSUnique
		if version == tls.VersionTLS13 {
			if binding, err = state.ExportKeyingMaterial("EXPORTER-Channel-Binding", []byte{}, 32); err != nil {
				t.Fatal(err)
			}
		}
		for _, c := range []struct {
			link []byte
			want int
		}{{append([]byte{binding[0] ^ 1}, binding[1:]...), 400}, {binding, 200}} {
			body := base64CSR(t, c.link)
			request, err := http.NewRequestWithContext(t.Context(), http.MethodPost, url+"/.well-known/est/simpleenroll", strings.NewReader(body))
			if err != nil {
				t.Fatal(err)
			}
			request.Header.Set("Content-Type", "application/pkcs10")
			request.SetBasicAuth(group, h.passwords[group].Reveal())
			if got := roundTrip(t, conn, request); got != c.want {
				t.Errorf("TLS %#x: status %d, want %d", version, got, c.want)
			}
		}
		conn.Close()
	}
}

// The whole of RFC 8995 with the pledge of this project.
// BRSKI-8995-6-01: voucher-request and voucher are binary on the wire, CSR and certificate base64: the pledge takes nothing else.
func TestAPledgeOnboardsOverTheWire(t *testing.T) {
	h := newHouse(t, nil)
	h.importSerials("SN-1")
	idevid := h.idevidCA.IDevID(t, "SN-1", "")
	p, err := pledge.New(pledge.Config{
		IDevID: idevid.TLS(), RegistrarURL: h.serve(), Anchors: h.vouchers.Pool(), State: pledge.Dir(t.TempDir()),
		Format: vouchercms.Format{}, Now: h.now,
	})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := p.Onboard(t.Context()); err != nil {
		t.Fatalf("Onboard: %v", err)
	}
	view, err := h.service.Device(t.Context(), "", "SN-1")
	if err != nil || view.Device.State != registrar.Enrolled {
		t.Fatalf("device = %+v, %v", view, err)
	}
	row := view.Vouchers[0]
	if row.PledgeStatus == nil || row.EnrollmentState == nil {
		t.Errorf("telemetry on record: voucher %s, enrollment %s", row.PledgeStatus, row.EnrollmentState)
	}
	if len(h.entries(registrar.KindVoucherStatus)) != 1 || len(h.entries(registrar.KindEnrollStatus)) != 1 {
		t.Error("the trail lacks the telemetry")
	}
}

// RFC 8995, Sections 5.7 and 5.9.4.
func TestTelemetryIsTakenFromKnownDevicesOnly(t *testing.T) {
	h := newHouse(t, nil)
	idevid := h.vouched("SN-1")
	report := func(peer *est.Peer, raw string) error {
		return h.service.BRSKI().VoucherStatus(t.Context(), &brski.StatusReport{
			Call: brski.Call{ID: "s", Operation: brski.OpVoucherStatus, Peer: peer, At: h.now()}, Status: brski.Status{Version: 1, Status: true}, Raw: []byte(raw),
		})
	}
	known := h.pledge(idevid, nil).peer
	for range 2 {
		if err := report(known, `{"version":1,"status":true}`); err != nil {
			t.Fatal(err)
		}
	}
	if n := len(h.entries(registrar.KindVoucherStatus)); n != 1 {
		t.Errorf("%d entries for one report sent twice", n)
	}
	refusal(t, report(&est.Peer{}, `{}`), registrar.ReasonNoCertificate, 403)
	refusal(t, report(h.pledge(testpki.NewRoot(t, "x").IDevID(t, "SN-1", ""), nil).peer, `{}`), registrar.ReasonUntrusted, 403)
	refusal(t, report(h.pledge(h.idevidCA.IDevID(t, "SN-404", ""), nil).peer, `{}`), registrar.ReasonNotPending, 404)
	cert, _ := h.enrolled("other")
	refusal(t, report(&est.Peer{Certificates: []*x509.Certificate{cert}}, `{}`), registrar.ReasonMethodNotAllowed, 403)
	ownReport := &brski.StatusReport{
		Call:   brski.Call{ID: "s", Operation: brski.OpEnrollStatus, Peer: &est.Peer{Certificates: []*x509.Certificate{cert}}, At: h.now()},
		Status: brski.Status{Version: 1, Status: true}, Raw: []byte(`{}`),
	}
	if err := h.service.BRSKI().EnrollStatus(t.Context(), ownReport); err != nil {
		t.Errorf("enrollment status with a certificate of ours: %v", err)
	}
	h.revoke(cert)
	refusal(t, h.service.BRSKI().EnrollStatus(t.Context(), ownReport), registrar.ReasonRevoked, 403)
}

// postRequest sends a voucher-request over the wire, and returns status and body.
func (h *house) postRequest(url string, a *ask) (int, string) {
	h.t.Helper()
	transport := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: h.root.Pool(), Certificates: []tls.Certificate{a.idevid.TLS()}}}
	h.t.Cleanup(transport.CloseIdleConnections)
	res, err := (&http.Client{Transport: transport}).Post(url+"/.well-known/brski/requestvoucher", vouchercms.MediaType, bytes.NewReader(a.raw))
	if err != nil {
		h.t.Fatal(err)
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	if err != nil {
		h.t.Fatal(err)
	}
	return res.StatusCode, string(body)
}
