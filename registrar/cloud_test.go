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
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/briskest/briskest/brski"
	"github.com/briskest/briskest/est"
	"github.com/briskest/briskest/internal/testpki"
	"github.com/briskest/briskest/registrar"
	"github.com/briskest/briskest/registrar/policy"
	"github.com/briskest/briskest/voucher"
	"github.com/briskest/briskest/voucher/vouchercms"
)

const (
	schoolURL = "https://registrar.school.example:8443"
	hotelEST  = "https://est.hotel.example"
)

// cloud is a house whose registrar is a cloud registrar. Its root is the CA of
// the owner "hotel", which has an EST server; "school" has a registrar.
type cloud struct {
	*house
	settings *registrar.Settings
	other    *testpki.Identity // IDevID root of another vendor, "globex"
}

func newCloud(t *testing.T, change func(s *registrar.Settings)) *cloud {
	t.Helper()
	c := &cloud{house: newHouse(t, nil), other: testpki.NewRoot(t, "globex root")}
	c.service.Close()
	signer := testpki.NewRoot(t, "cloud").Registrar(t, "cloud registrar")
	c.registrar = testpki.NewRoot(t, "web CA").Server(t, "cloud.example") // what devices see
	acme := *c.house.settings.Manufacturers["acme"]
	globex := acme
	globex.IDevIDAnchors = c.other.Pool()
	c.settings = &registrar.Settings{
		Version: "1", URL: "https://cloud.example",
		Manufacturers: map[string]*registrar.Manufacturer{"acme": &acme, "globex": &globex},
		Signer:        &voucher.Signer{Key: signer.Key, Certificate: signer.Certificate, Chain: signer.Chain},
		Formats:       c.house.settings.Formats, DialMASA: c.house.settings.DialMASA,
		TLSCertificates: []*x509.Certificate{c.registrar.Certificate},
		Cloud: &registrar.Cloud{AskAgain: time.Hour, Owners: map[string]*registrar.Owner{
			"school": {RegistrarURL: schoolURL},
			"hotel":  {ESTDomain: hotelEST, Certificates: []*x509.Certificate{c.root.Certificate}},
			"thief":  {Blocked: "This device was reported stolen. Call +1 555 0100."},
		}},
	}
	if change != nil {
		change(c.settings)
	}
	s, err := registrar.New(registrar.Config{Store: c.reads, Policy: policy.Decide, Settings: c.settings, Now: c.now})
	if err != nil {
		t.Fatalf("New: %v", err)
	}
	if err := s.Start(t.Context()); err != nil {
		t.Fatalf("Start: %v", err)
	}
	t.Cleanup(s.Close)
	c.service = s
	c.pins(c.root.Certificate)
	return c
}

// pins has the MASA send devices to the hotel, and pin that.
func (c *cloud) pins(cert *x509.Certificate) {
	c.masa.set(func(m *fakeMASA) {
		m.change = func(v *voucher.Voucher) { v.ESTDomain, v.PinnedDomainCert = hotelEST, cert.Raw }
	})
}

// sell imports a device for an owner; "" for nobody's.
func (c *cloud) sell(manufacturer, serial, owner string) {
	c.t.Helper()
	_, err := c.service.ImportDevices(c.t.Context(), &registrar.ImportRequest{
		Actor: "test", Manufacturer: manufacturer, Devices: []registrar.ImportDevice{{SerialNumber: serial, Owner: &owner}},
	})
	if err != nil {
		c.t.Fatalf("ImportDevices: %v", err)
	}
}

func (c *cloud) device(serial string) *testpki.Identity { return c.idevidCA.IDevID(c.t, serial, "") }

// listen serves as the program does.
func (c *cloud) listen() string {
	h := &brski.RegistrarHandler{Backend: c.service.BRSKI(), Formats: []voucher.Format{vouchercms.Format{}}, Now: c.now}
	s := httptest.NewUnstartedServer(h)
	s.TLS = &tls.Config{Certificates: []tls.Certificate{c.registrar.TLS()}, ClientAuth: tls.RequestClientCert}
	s.StartTLS()
	c.t.Cleanup(s.Close)
	return s.URL
}

// answer is what a device gets over the wire.
type answer struct {
	*http.Response
	body []byte
}

func (c *cloud) post(url string, by *testpki.Identity, body []byte) *answer {
	c.t.Helper()
	config := &tls.Config{InsecureSkipVerify: true} //nolint:gosec // whom it connects to is not the question
	if by != nil {
		config.Certificates = []tls.Certificate{by.TLS()}
	}
	client := &http.Client{
		Transport:     &http.Transport{TLSClientConfig: config},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	defer client.CloseIdleConnections()
	res, err := client.Post(url+brski.PathPrefix+"/requestvoucher", vouchercms.MediaType, bytes.NewReader(body))
	if err != nil {
		c.t.Fatal(err)
	}
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	if err != nil {
		c.t.Fatal(err)
	}
	return &answer{res, text}
}

// BRSKI-CLOUD-3.2-01, BRSKI-CLOUD-3.2-05, BRSKI-CLOUD-3.2.2-01,
// BRSKI-CLOUD-8.2-01: what a device gets is decided by who owns it, by its issuer
// and serial number, and those of others get 404.
func TestCloudRegistrarSendsEachDeviceToItsOwner(t *testing.T) {
	c := newCloud(t, nil)
	url := c.listen()
	for serial, owner := range map[string]string{"SN-1": "school", "SN-2": "hotel", "SN-3": "thief"} {
		c.sell("acme", serial, owner)
	}
	c.sell("globex", "SN-1", "thief")
	for name, test := range map[string]struct {
		device *testpki.Identity
		status int
		where  string
	}{
		"has a registrar":                    {c.device("SN-1"), 307, schoolURL + "/.well-known/brski/requestvoucher"},
		"has an EST server":                  {c.device("SN-2"), 200, ""},
		"is blocked":                         {c.device("SN-3"), 403, ""},
		"of the same number, another vendor": {c.other.IDevID(t, "SN-1", ""), 403, ""},
		"is somebody else's":                 {c.device("SN-9"), 404, ""},
		"of a vendor that is not known":      {testpki.NewRoot(t, "unknown").IDevID(t, "SN-1", ""), 404, ""},
	} {
		got := c.post(url, test.device, c.pledge(test.device, nil).raw)
		if got.StatusCode != test.status || got.Header.Get("Location") != test.where {
			t.Errorf("a device that %s gets %d, Location %q (%s), want %d, %q", name, got.StatusCode, got.Header.Get("Location"), got.body, test.status, test.where)
		}
		if test.status == 403 && !strings.Contains(string(got.body), "reported stolen") {
			t.Errorf("a blocked device is told %q", got.body)
		}
	}
	if n := c.masa.count(); n != 1 {
		t.Errorf("the MASA was asked %d times, want once, for the device that is not sent elsewhere", n)
	}
	redirects := c.entries(registrar.KindRedirected)
	if len(redirects) != 1 || !bytes.Contains(redirects[0].Body, []byte(schoolURL)) {
		t.Errorf("%d redirects are on the trail", len(redirects))
	}
	c.sell("acme", "SN-1", "hotel") // sold on
	device := c.device("SN-1")
	if got := c.post(url, device, c.pledge(device, nil).raw); got.StatusCode != 200 {
		t.Errorf("a device that was sold on gets %d, want 200", got.StatusCode)
	}
}

// BRSKI-CLOUD-3.2-03, BRSKI-CLOUD-3.2-04: 401, and when to ask again; no
// voucher, and the MASA hears nothing.
func TestDeviceWithoutOwnerGets401AndNothingHappens(t *testing.T) {
	for name, test := range map[string]struct {
		wait  time.Duration
		owner string
	}{"later": {time.Hour, ""}, "never": {0, ""}, "given back": {time.Hour, "hotel"}} {
		t.Run(name, func(t *testing.T) {
			c := newCloud(t, func(s *registrar.Settings) { s.Cloud.AskAgain = test.wait })
			c.sell("acme", "SN-1", test.owner)
			c.sell("acme", "SN-1", "")
			device := c.device("SN-1")
			got := c.post(c.listen(), device, c.pledge(device, nil).raw)
			if got.StatusCode != 401 || len(got.body) > 0 || got.Header.Get("WWW-Authenticate") == "" {
				t.Errorf("status %d, body %q, challenge %q", got.StatusCode, got.body, got.Header.Get("WWW-Authenticate"))
			}
			after, err := strconv.Atoi(got.Header.Get("Retry-After"))
			switch {
			case test.wait == 0 && got.Header.Get("Retry-After") != "":
				t.Errorf("Retry-After is %q, want none: there is no use in asking again", got.Header.Get("Retry-After"))
			case test.wait > 0 && (err != nil || after < 600 || after > 7200):
				t.Errorf("Retry-After is %q", got.Header.Get("Retry-After"))
			}
			if c.masa.count() != 0 || len(c.entries(registrar.KindVoucherRequested)) != 0 {
				t.Error("a voucher was asked for")
			}
			view, err := c.service.Device(t.Context(), "", "SN-1")
			if err != nil || len(view.Vouchers) != 0 || view.Owner != "" {
				t.Errorf("on record: %d vouchers, owner %q, %v", len(view.Vouchers), view.Owner, err)
			}
		})
	}
}

// BRSKI-CLOUD-3.2-02: 404, 400 and 503.
func TestCloudRegistrarRefusesAsTheDraftSays(t *testing.T) {
	c := newCloud(t, func(s *registrar.Settings) { s.Limits.Exchanges, s.Limits.MASATimeout = 1, time.Millisecond })
	gate := make(chan struct{})
	defer close(gate)
	c.masa.set(func(m *fakeMASA) { m.gate = gate })
	url := c.listen()
	for _, serial := range []string{"SN-1", "SN-2"} {
		c.sell("acme", serial, "hotel")
	}
	first, second, stranger := c.device("SN-1"), c.device("SN-2"), c.device("SN-9")
	whole := c.pledge(first, nil).raw
	for what, got := range map[string]struct {
		*answer
		want int
	}{
		"unknown":   {c.post(url, stranger, c.pledge(stranger, nil).raw), 404},
		"truncated": {c.post(url, first, whole[:len(whole)-7]), 400},
		"empty":     {c.post(url, first, nil), 400},
	} {
		if got.StatusCode != got.want {
			t.Errorf("%s: status %d (%s), want %d", what, got.StatusCode, got.body, got.want)
		}
	}
	if got := c.post(url, first, whole); got.StatusCode != 202 {
		t.Fatalf("while the MASA is silent: status %d (%s), want 202", got.StatusCode, got.body)
	}
	got := c.post(url, second, c.pledge(second, nil).raw)
	if after, err := strconv.Atoi(got.Header.Get("Retry-After")); got.StatusCode != 503 || err != nil || after < 1 {
		t.Errorf("with all places taken: status %d, Retry-After %q, want 503", got.StatusCode, got.Header.Get("Retry-After"))
	}
}

// BRSKI-CLOUD-3.1.2-04: nobody is answered who does not show a valid IDevID,
// and the one that has signed the request.
func TestCloudRegistrarAnswersIDevIDsOnly(t *testing.T) {
	c := newCloud(t, nil)
	url := c.listen()
	c.sell("acme", "SN-1", "school")
	device := c.device("SN-1")
	raw := c.pledge(device, nil).raw
	expired := c.idevidCA.Issue(t, &x509.Certificate{
		Subject: pkix.Name{SerialNumber: "SN-1"}, NotBefore: c.now().Add(-48 * time.Hour), NotAfter: c.now().Add(-24 * time.Hour),
	}, testpki.NewKey(t))
	ldevid := c.ca.Issue(t, &x509.Certificate{Subject: pkix.Name{SerialNumber: "SN-1"}}, testpki.NewKey(t))
	twin := c.other.IDevID(t, "SN-1", "") // of another vendor, for the number of ours
	for name, got := range map[string]struct {
		*answer
		want int
	}{
		"without a certificate":         {c.post(url, nil, raw), 403},
		"with an IDevID that has ended": {c.post(url, expired, c.pledge(expired, nil).raw), 403},
		"with the owner's certificate":  {c.post(url, ldevid, c.pledge(ldevid, nil).raw), 404},
		"with another vendor's":         {c.post(url, twin, c.pledge(twin, nil).raw), 404},
		"with another device's request": {c.post(url, c.device("SN-2"), raw), 403},
		"of another registrar": {c.post(url, device, c.pledge(device, func(q *voucher.Request) {
			q.ProximityRegistrarCert = c.root.Certificate.Raw
		}).raw), 401},
		"for another serial number": {c.post(url, device, c.pledgeAs(device, "SN-3").raw), 403},
		"and its own request":       {c.post(url, device, raw), 307},
		"twice":                     {c.post(url, device, raw), 307},
		"without proximity": {c.post(url, device, c.pledge(device, func(q *voucher.Request) {
			q.Assertion, q.ProximityRegistrarCert = "", nil
		}).raw), 307},
	} {
		if got.StatusCode != got.want {
			t.Errorf("%s: status %d (%s), want %d", name, got.StatusCode, got.body, got.want)
		}
		if location := got.Header.Get("Location"); got.want != 307 && location != "" {
			t.Errorf("%s: Location %q", name, location)
		}
	}
	if n := c.masa.count(); n != 0 {
		t.Errorf("the MASA was asked %d times", n)
	}
}

// BRSKI-CLOUD-3.2.3-01, BRSKI-CLOUD-5-01, BRSKI-CLOUD-9.4-01: the MASA is asked
// with est-domain and what is to be pinned, and its audit-log is read; a voucher
// that names or pins anything else goes to nobody, an old one neither.
func TestCloudVoucherNamesAndPinsTheOwnersServer(t *testing.T) {
	c := newCloud(t, nil)
	c.sell("acme", "SN-1", "hotel")
	device := c.device("SN-1")
	a := c.pledge(device, nil)
	got, err := a.send()
	if err != nil {
		t.Fatal(err)
	}
	v, _, err := vouchercms.Format{}.OpenVoucher(got.Raw)
	if err != nil || v.ESTDomain != hotelEST || !bytes.Equal(v.PinnedDomainCert, c.root.Certificate.Raw) || v.Nonce != a.q.Nonce {
		t.Errorf("voucher = %+v, %v", v, err)
	}
	q, artifact, err := vouchercms.Format{}.OpenRequest(c.masa.requests[0])
	if err != nil || q.ESTDomain != hotelEST || !slices.ContainsFunc(artifact.Certificates, c.root.Certificate.Equal) ||
		!artifact.Signer.Equal(c.settings.Signer.Certificate) || !bytes.Equal(q.PriorSignedVoucherRequest, a.raw) {
		t.Errorf("the registrar's voucher-request = %+v, %v", q, err)
	}
	if view, err := c.service.Device(t.Context(), "", "SN-1"); err != nil || view.Vouchers[0].AuditLog == nil || view.Device.State != registrar.Vouched {
		t.Errorf("on record: %+v, %v", view, err)
	}
	// The server gets another certificate.
	next := c.ca.Server(t, "est.hotel.example")
	c.pins(next.Certificate)
	c.pledge(device, nil).refusedAs(registrar.ReasonVoucherPin, 502)
	c.settings.Cloud.Owners["hotel"] = &registrar.Owner{ESTDomain: hotelEST, Certificates: []*x509.Certificate{next.Certificate}}
	if err := c.service.Reload(c.settings); err != nil {
		t.Fatal(err)
	}
	if got, err = c.pledge(device, nil).send(); err != nil {
		t.Fatal(err)
	}
	if v, _, err = (vouchercms.Format{}).OpenVoucher(got.Raw); err != nil || !bytes.Equal(v.PinnedDomainCert, next.Certificate.Raw) {
		t.Errorf("after the certificate was replaced another one is pinned: %v", err)
	}
	a.refusedAs(registrar.ReasonVoucherPin, 502) // the first request again
	c.pins(c.root.Certificate)
	c.pledge(device, nil).refusedAs(registrar.ReasonVoucherPin, 502)
	c.masa.set(func(m *fakeMASA) { m.change = func(v *voucher.Voucher) { v.PinnedDomainCert = next.Certificate.Raw } })
	c.pledge(device, nil).refusedAs(registrar.ReasonVoucherPin, 502) // without est-domain
}

// Nobody is sent to where a device would be led astray.
func TestCloudSettingsThatWouldMisleadDevicesAreRefused(t *testing.T) {
	c := newCloud(t, nil)
	pins := []*x509.Certificate{c.root.Certificate}
	good := *c.settings
	for _, url := range []string{
		"http://registrar.example", "registrar.example", "//registrar.example", "https://user@registrar.example", "https://u:p@registrar.example",
		"https://registrar.example/#x", "https://registrar.example?x=y", "https://registrar.example?", "https://registrar.example/elsewhere",
		"https://registrar.example/../x", "https://", "https:///x", "https://registrar.example\r\nX: y", "https://cloud.example", "https://CLOUD.example:443/",
		"javascript:alert(1)", "https:registrar.example", "https://registrar.example#", `https://registrar.example\@evil.example`, strings.Repeat("https://x", 1000),
	} {
		for what, owner := range map[string]*registrar.Owner{
			"registrar": {RegistrarURL: url}, "EST domain": {ESTDomain: url, Certificates: pins},
		} {
			s := good
			s.Cloud = &registrar.Cloud{Owners: map[string]*registrar.Owner{"evil": owner}}
			if strings.Contains(strings.ToLower(url), "cloud.example") && owner.ESTDomain != "" {
				continue // an EST server may be anywhere
			}
			if err := c.service.Reload(&s); err == nil {
				t.Errorf("the %s %q is taken", what, url)
			}
		}
	}
	for name, owner := range map[string]*registrar.Owner{
		"nothing": {}, "no pin": {ESTDomain: hotelEST}, "two ways": {ESTDomain: hotelEST, Certificates: pins, RegistrarURL: schoolURL},
		"a pin and no domain": {RegistrarURL: schoolURL, Certificates: pins}, "too many pins": {ESTDomain: hotelEST, Certificates: slices.Repeat(pins, 9)},
	} {
		s := good
		s.Cloud = &registrar.Cloud{Owners: map[string]*registrar.Owner{"evil": owner}}
		if err := c.service.Reload(&s); err == nil {
			t.Errorf("an owner with %s is taken", name)
		}
	}
	s := good
	s.Labels = map[string]*registrar.Label{"": {Profile: c.profile("device")}}
	if err := c.service.Reload(&s); err == nil {
		t.Error("a label is taken: a cloud registrar issues nothing")
	}
}

func TestOwnersAreImportedWhereTheyAreConfigured(t *testing.T) {
	c := newCloud(t, nil)
	stranger := "nobody"
	r := &registrar.ImportRequest{Actor: "test", Manufacturer: "acme", Devices: []registrar.ImportDevice{{SerialNumber: "SN-1", Owner: &stranger}}}
	out, err := c.service.ImportDevices(t.Context(), r)
	if !errors.Is(err, registrar.ErrInvalid) || len(out.Problems) != 1 {
		t.Errorf("a device of an owner that is not configured: %+v, %v", out, err)
	}
	h := newHouse(t, nil)
	if _, err := h.service.ImportDevices(t.Context(), r); !errors.Is(err, registrar.ErrInvalid) {
		t.Errorf("an owner at a registrar of its own network: %v", err)
	}
	c.sell("acme", "SN-1", "hotel")
	c.sell("acme", "SN-1", "hotel")
	c.sell("acme", "SN-1", "school")
	if n := len(c.entries(registrar.KindDeviceOwner)); n != 2 {
		t.Errorf("the trail has %d changes of owners, want 2", n)
	}
	// The owner is taken out of the configuration: the device waits.
	s := *c.settings
	s.Cloud = &registrar.Cloud{AskAgain: time.Hour}
	if err := c.service.Reload(&s); err != nil {
		t.Fatal(err)
	}
	var e *est.Error
	if _, err := c.pledge(c.device("SN-1"), nil).send(); !errors.As(err, &e) || e.Reason != registrar.ReasonOwnerUnknown {
		t.Errorf("of an owner that is not configured any more: %v", err)
	}
}
