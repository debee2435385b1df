package admin_test

import (
	"context"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	"github.com/briskest/briskest/ca/localca"
	"github.com/briskest/briskest/ca/profile"
	"github.com/briskest/briskest/internal/testpki"
	"github.com/briskest/briskest/registrar"
	"github.com/briskest/briskest/registrar/admin"
	"github.com/briskest/briskest/registrar/policy"
	"github.com/briskest/briskest/registrar/storetest"
)

func service(t *testing.T) *registrar.Service {
	t.Helper()
	root := testpki.NewRoot(t, "root")
	p, err := profile.New(profile.Device())
	check(t, err)
	issuer, err := localca.New(localca.Config{Certificate: root.Certificate, Key: root.Key, Profiles: map[string]*profile.Profile{"device": p}})
	check(t, err)
	s, err := registrar.New(registrar.Config{
		Store: storetest.NewMemory(), Issuer: issuer, Policy: policy.Decide,
		Settings: &registrar.Settings{Version: "7", Labels: map[string]*registrar.Label{"": {Profile: policy.Profile(p), Basic: true}}},
	})
	check(t, err)
	t.Cleanup(s.Close)
	return s
}

func check(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// Both ways to reach it answer alike.
func TestAClientOperatesTheRegistrarOverASocketAndInProcess(t *testing.T) {
	for _, way := range []string{"socket", "in process"} {
		t.Run(way, func(t *testing.T) {
			h := admin.NewHandler(admin.Config{Domains: one(service(t)), Authenticate: admin.Local("cli:test"), TellCauses: true})
			c := admin.NewInProcess(h, "cli:test")
			if way == "socket" {
				server := httptest.NewServer(h)
				t.Cleanup(server.Close)
				c = admin.NewClient(func(ctx context.Context) (net.Conn, error) {
					return new(net.Dialer).DialContext(ctx, "tcp", server.Listener.Addr().String())
				})
			}
			t.Cleanup(c.Close)
			operate(t, c)
		})
	}
}

func operate(t *testing.T, c *admin.Client) {
	ctx := t.Context()
	credential, err := c.AddCredential(ctx, admin.AddCredential{User: "u", Group: true})
	check(t, err)
	if credential.Secret == "" {
		t.Error("AddCredential shows no secret")
	}
	if _, err := c.AddCredential(ctx, admin.AddCredential{User: "u"}); !errors.Is(err, registrar.ErrConflict) {
		t.Errorf("adding a user twice: %v", err)
	}
	check(t, c.DisableCredential(ctx, "u"))
	users, err := c.Credentials(ctx)
	if err != nil || len(users) != 1 || !users[0].Disabled {
		t.Errorf("Credentials = %+v, %v", users, err)
	}
	slash := testpki.CSR(t, &x509.CertificateRequest{Subject: pkix.Name{CommonName: "dev/1"}}, testpki.NewKey(t))
	if _, err := c.Issue(ctx, "", slash); err == nil {
		t.Error("the profile took a name with a slash")
	}
	raw, err := c.Issue(ctx, "", testpki.CSR(t, &x509.CertificateRequest{Subject: pkix.Name{CommonName: "dev-1"}}, testpki.NewKey(t)))
	check(t, err)
	cert, err := x509.ParseCertificate(raw)
	check(t, err)
	view, err := c.Device(ctx, "dev-1")
	check(t, err)
	if view.Device.State != "enrolled" || len(view.Certificates) != 1 || view.Certificates[0].Serial != cert.SerialNumber.Text(16) && view.Certificates[0].Serial != "0"+cert.SerialNumber.Text(16) {
		t.Errorf("Device = %+v", view)
	}
	revoked, err := c.Revoke(ctx, revoke(view.Certificates[0].Serial, 4))
	if err != nil || revoked.Status != "revoked" || revoked.RevokeReason != 4 {
		t.Errorf("Revoke = %+v, %v", revoked, err)
	}
	for what, err := range map[string]error{
		"not hex": second(c.Revoke(ctx, revoke("xyz", 0))), "empty": second(c.Revoke(ctx, revoke("", 0))), "reason": second(c.Revoke(ctx, revoke("01", 8))),
		"state": second(c.Requests(ctx, "odd")), "quarantine": second(c.PlaceQuarantine(ctx, admin.PlaceQuarantine{Kind: "odd", Value: "x"})),
	} {
		if !errors.Is(err, registrar.ErrInvalid) {
			t.Errorf("%s: %v, want ErrInvalid", what, err)
		}
	}
	for what, err := range map[string]error{
		"certificate": second(c.Revoke(ctx, revoke("01", 0))), "device": second(c.Device(ctx, "nope")), "why": second(c.Why(ctx, "nope")),
		"device of a voucher": second(c.OrderVoucher(ctx, admin.OrderVoucher{Device: "nope"})), "device to fetch for": second(c.FetchVoucher(ctx, admin.OrderVoucher{Device: "nope"})),
		"request": second(c.Approve(ctx, "nope", "")), "crl": second(c.CRL(ctx)), "manufacturer": second(c.ImportDevices(ctx, "nope", nil, false)),
	} {
		if !errors.Is(err, registrar.ErrNotFound) {
			t.Errorf("%s: %v, want ErrNotFound", what, err)
		}
	}
	var refusal *admin.Error
	if _, err := c.ImportVoucher(ctx, admin.ImportVoucher{MediaType: "text/plain", Voucher: []byte("x")}); !errors.As(err, &refusal) || refusal.Reason != registrar.ReasonVoucherMalformed {
		t.Errorf("ImportVoucher(text): %v, want the refusal %s", err, registrar.ReasonVoucherMalformed)
	}
	for row, err := range c.AheadVouchers(ctx) {
		t.Errorf("AheadVouchers yields %+v, %v; want none", row, err)
	}
	signed, err := c.SignCRL(ctx, admin.SignCRL{})
	check(t, err)
	list, err := c.CRL(ctx)
	if err != nil || list.Number != signed.Number || len(list.Raw) == 0 {
		t.Errorf("CRL = %+v, %v", list, err)
	}
	n := 0
	for got, err := range c.Certificates(ctx, admin.CertificateList{Status: "revoked"}) {
		check(t, err)
		if n++; got.Raw != nil {
			t.Error("a list shows the DER without being asked")
		}
	}
	for d, err := range c.Devices(ctx) {
		check(t, err)
		if n++; d.SerialNumber != "dev-1" {
			t.Errorf("device = %+v", d)
		}
	}
	if n != 2 {
		t.Errorf("%d rows in both lists, want 2", n)
	}
	if _, err := c.Suspend(ctx, "dev-1", "lost"); err != nil {
		t.Error(err)
	}
	why, err := c.Why(ctx, "dev-1")
	if err != nil || len(why.Entries) != 3 || why.Entries[1].Actor != "cli:test" {
		t.Errorf("Why = %+v, %v", why, err)
	}
	entries, err := c.Trail(ctx, "", 0, 100)
	if err != nil || len(entries) < 5 {
		t.Errorf("Trail: %d entries, %v", len(entries), err)
	}
	status, err := c.Status(ctx)
	if err != nil || status.Settings != "7" {
		t.Errorf("Status = %+v, %v", status, err)
	}
	elsewhere := *c
	elsewhere.Domain = "elsewhere"
	if _, err := elsewhere.Status(ctx); !errors.Is(err, registrar.ErrNotFound) {
		t.Errorf("another domain's status: %v", err)
	}
}

func second[T any](_ T, err error) error { return err }

// one serves a service as the default domain.
func one(s *registrar.Service) func() map[string]*admin.Domain {
	return func() map[string]*admin.Domain {
		return map[string]*admin.Domain{registrar.DefaultDomain: {Service: s}}
	}
}

func local(s *registrar.Service) *admin.Handler {
	return admin.NewHandler(admin.Config{Domains: one(s), Authenticate: admin.Local("cli:test"), TellCauses: true})
}

func TestRequestsAreReadStrictly(t *testing.T) {
	h := local(service(t))
	const at = "/api/v1/domains/default"
	for what, r := range map[string]struct {
		method, path, body string
		status             int
	}{
		"unknown member":           {"POST", at + "/credentials", `{"user":"u","domian":"x"}`, 400},
		"a member in another case": {"POST", at + "/credentials", `{"User":"u"}`, 400},
		"a member twice":           {"POST", at + "/credentials", `{"user":"u","user":"v"}`, 400},
		"twice inside":             {"POST", at + "/devices/import", `{"manufacturer":"m","devices":[{"serial_number":"a","serial_number":"b"}]}`, 400},
		"trailing data":            {"POST", at + "/credentials", `{"user":"u"}{}`, 400},
		"no JSON":                  {"POST", at + "/credentials", `status`, 400},
		"null":                     {"POST", at + "/credentials", `null`, 400},
		"empty":                    {"POST", at + "/credentials", ``, 400},
		"wrong type":               {"POST", at + "/credentials", `{"user":1}`, 400},
		"unknown parameter":        {"GET", at + "/devices?limt=1", ``, 400},
		"a parameter twice":        {"GET", at + "/devices?limit=1&limit=2", ``, 400},
		"a parameter of no number": {"GET", at + "/devices?limit=all", ``, 400},
		"a parameter too high":     {"GET", at + "/devices?limit=10001", ``, 400},
		"a foreign cursor":         {"GET", at + "/devices?cursor=!", ``, 400},
		"a body of a GET":          {"GET", at + "/status", `{}`, 400},
		"unknown operation":        {"POST", at + "/drop-tables", `{}`, 404},
		"outside the prefix":       {"GET", "/status", ``, 404},
		"another method":           {"DELETE", at + "/status", ``, 405},
		"too large":                {"POST", at + "/credentials", `{"user":"` + strings.Repeat("x", 2<<20) + `"}`, 413},
		"nested too deep":          {"POST", at + "/credentials", strings.Repeat(`{"user":`, 100) + "1" + strings.Repeat("}", 100), 400},
		"good":                     {"GET", at + "/status", ``, 200},
	} {
		w := httptest.NewRecorder()
		request := httptest.NewRequestWithContext(t.Context(), r.method, r.path, strings.NewReader(r.body))
		if r.method == http.MethodPost {
			request.Header.Set("Content-Type", "application/json")
		}
		h.ServeHTTP(w, request)
		if w.Code != r.status || w.Code >= 400 && (!strings.Contains(w.Body.String(), `"reason"`) || w.Header().Get("Content-Type") != "application/problem+json") {
			t.Errorf("%s: %d %s, want %d", what, w.Code, w.Body, r.status)
		}
	}
}

func FuzzRequests(f *testing.F) {
	for _, seed := range []string{`{}`, `{"device":"x"}`, `{"serial":"01","reason":1}`, `{"csr":"MAA="}`, `{"manufacturer":"a","devices":[{"idevid":"MAA="}]}`} {
		f.Add("/status?x=%00", []byte(seed))
		f.Add("/certificates/issue", []byte(seed))
		f.Add("/devices/import", []byte(seed))
		f.Add("/vouchers/order", []byte(seed))
		f.Add("/devices/%2f/suspend", []byte(seed))
	}
	root := testpki.NewRoot(f, "root")
	p, err := profile.New(profile.Device())
	if err != nil {
		f.Fatal(err)
	}
	issuer, err := localca.New(localca.Config{Certificate: root.Certificate, Key: root.Key, Profiles: map[string]*profile.Profile{"device": p}})
	if err != nil {
		f.Fatal(err)
	}
	s, err := registrar.New(registrar.Config{
		Store: storetest.NewMemory(), Issuer: issuer, Policy: policy.Decide,
		Settings: &registrar.Settings{Labels: map[string]*registrar.Label{"": {Profile: policy.Profile(p)}}},
	})
	if err != nil {
		f.Fatal(err)
	}
	f.Cleanup(s.Close)
	h := local(s)
	f.Fuzz(func(t *testing.T, path string, body []byte) {
		w := httptest.NewRecorder()
		u, err := url.Parse("http://localhost/api/v1/domains/default" + path)
		if err != nil {
			return
		}
		for _, method := range []string{http.MethodGet, http.MethodPost, http.MethodPut} {
			r := httptest.NewRequest(method, "/", strings.NewReader(string(body)))
			r.URL = u
			r.Header.Set("Content-Type", "application/json")
			h.ServeHTTP(w, r)
			if w.Code == 0 || w.Body.Len() == 0 {
				t.Error("no answer")
			}
		}
	})
}

func revoke(serial string, reason int) admin.Revoke {
	return admin.Revoke{CertificateRef: admin.CertificateRef{Serial: serial}, Reason: reason}
}
