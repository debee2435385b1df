package registrar_test

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/base64"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"testing"

	"github.com/briskest/briskest/ca/profile"
	"github.com/briskest/briskest/est"
	"github.com/briskest/briskest/registrar"
)

// csrAttrs gets the list over the wire, from whoever has no credentials.
func (h *house) csrAttrs(url string) (*http.Response, []byte) {
	h.t.Helper()
	client := &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: h.root.Pool()}}}
	h.t.Cleanup(client.CloseIdleConnections)
	r, err := http.NewRequestWithContext(h.t.Context(), http.MethodGet, url+"/.well-known/est/csrattrs", nil)
	if err != nil {
		h.t.Fatal(err)
	}
	res, err := client.Do(r)
	if err != nil {
		h.t.Fatal(err)
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	if err != nil {
		h.t.Fatal(err)
	}
	der, err := base64.StdEncoding.DecodeString(string(body))
	if err != nil {
		h.t.Fatalf("the body of csrattrs is not base64: %q", body)
	}
	return res, der
}

func p384Only(d *profile.Document) {
	d.Keys = []profile.KeyRule{{Type: "ecdsa", Curves: []string{"p384"}}}
	d.Subject.Attributes = []profile.AttributeRule{{Type: "common_name", Required: true}, {Type: "organization", Value: "Example Ltd"}}
	d.SAN.IP.Required, d.ServerKeyGeneration = true, profile.ServerKeyGeneration{}
	d.ProofOfPossessionLinking = "required"
}

// EST-7030-4.5.2-01, EST-7030-4.5.2-05, EST-7030-4.5.2-07, EST-7030-4.5.2-08: status and media type of a list; it names
// the one curve, its hash, and challengePassword where requests have to be linked.
func TestCSRAttrsNamesWhatTheLabelDemands(t *testing.T) {
	h := newHouse(t, func(h *house) {
		h.reprofile(p384Only)
		h.settings.Labels[""].Wanted = []asn1.ObjectIdentifier{{1, 2, 840, 113549, 1, 9, 16, 2, 56}}
	})
	res, der := h.csrAttrs(h.serve())
	if got := res.Header.Get("Content-Type"); res.StatusCode != http.StatusOK || got != "application/csrattrs" {
		t.Errorf("status %d, Content-Type %q", res.StatusCode, got)
	}
	attrs, err := est.ParseCSRAttrs(der)
	if err != nil {
		t.Fatal(err)
	}
	listed := map[string]int{}
	for _, item := range attrs.Items {
		name := item.OID.String()
		if name == "1.2.840.10045.2.1" && (len(item.Values) != 1 || !bytes.Equal(item.Values[0], []byte{6, 5, 0x2b, 0x81, 4, 0, 34})) {
			t.Errorf("ecPublicKey has %x, want secp384r1", item.Values)
		}
		listed[name]++
	}
	for what, oid := range map[string]string{
		"ecPublicKey": "1.2.840.10045.2.1", "ecdsa-with-SHA384": "1.2.840.10045.4.3.3", "challengePassword": "1.2.840.113549.1.9.7",
		"id-ExtensionReq": "1.2.840.113549.1.9.14", "the template": "1.2.840.113549.1.9.16.2.61", "commonName": "2.5.4.3",
		"otpChallenge, which the label wants": "1.2.840.113549.1.9.16.2.56",
	} {
		if listed[oid] != 1 {
			t.Errorf("%s is in the list %d times", what, listed[oid])
		}
	}
	if listed["1.2.840.113549.1.1.1"] != 0 || listed["2.5.29.17"] != 0 {
		t.Errorf("the list has rsaEncryption, or an extension by itself: %v", listed)
	}
}

// RFC 7030, Section 4.5.2: what csrattrs asks for is what enrollment takes.
func TestACSRMadeByTheListIsTaken(t *testing.T) {
	h := newHouse(t, func(h *house) {
		h.reprofile(func(d *profile.Document) {
			p384Only(d)
			d.ProofOfPossessionLinking = "" // what links has a test of its own
		})
	})
	url := h.serve()
	client := h.client(url, func(c *est.Client) { c.User, c.Password = group, h.passwords[group] })
	der, err := client.CSRAttrs(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	plan, err := est.ParseCSRPlan(der)
	if err != nil {
		t.Fatal(err)
	}
	own := &x509.CertificateRequest{
		Subject: pkix.Name{CommonName: "sensor-7", Country: []string{"DE"}}, IPAddresses: []net.IP{net.ParseIP("192.0.2.7")},
	}
	enroll := func(r *est.CSRRequest) (*x509.Certificate, error) {
		csr, err := est.CreateCSR(ecdsaKey(t, elliptic.P384()), r)
		if err != nil {
			t.Fatalf("CreateCSR: %v", err)
		}
		return client.SimpleEnroll(t.Context(), csr)
	}
	cert, err := enroll(&est.CSRRequest{Own: own, Plan: plan})
	if err != nil {
		t.Fatalf("SimpleEnroll: %v", err)
	}
	if cert.Subject.CommonName != "sensor-7" || cert.Subject.Organization[0] != "Example Ltd" || cert.Subject.Country != nil || len(cert.IPAddresses) != 1 {
		t.Errorf("names are %v %v", cert.Subject, cert.IPAddresses)
	}
	if _, err := enroll(&est.CSRRequest{Own: own}); err == nil { // it has a country
		t.Error("a CSR that ignores the list is taken too: the test shows nothing")
	}
}

// EST-7894-3-01: each of the attributes that is wanted is in each answer: estIdentityLinking where requests have to be
// linked, the others as configured, and none that is not wanted.
func TestCSRAttrsNamesTheAttributesOfRFC7894ThatAreWanted(t *testing.T) {
	oid := func(n int) asn1.ObjectIdentifier { return asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 9, 16, 2, n} }
	for linking, c := range map[string]struct {
		wanted []asn1.ObjectIdentifier
		want   string
	}{
		registrar.LinkIfPresent: {nil, "[]"}, registrar.LinkRequired: {nil, "[58]"}, registrar.LinkOff: {nil, "[]"},
		"": {[]asn1.ObjectIdentifier{oid(56), oid(57)}, "[56 57]"},
	} {
		h := newHouse(t, func(h *house) {
			h.settings.Labels[""].Linking, h.settings.Labels[""].Wanted = linking, c.wanted
		})
		url := h.serve()
		for range 2 {
			_, der := h.csrAttrs(url)
			attrs, err := est.ParseCSRAttrs(der)
			if err != nil {
				t.Fatal(err)
			}
			found := []int{}
			for n := 56; n <= 58; n++ {
				if slices.ContainsFunc(attrs.Items, func(a est.Attribute) bool { return a.OID.Equal(oid(n)) }) {
					found = append(found, n)
				}
			}
			if got := fmt.Sprint(found); got != c.want {
				t.Errorf("linking %q, wanted %v: csrattrs names %s, want %s", linking, c.wanted, got, c.want)
			}
		}
	}
}

// RFC 7030, Section 4.5.2: an empty list is none; libest's example client asks for ever when it gets one.
func TestALabelThatWantsNothingHasNoCSRAttrs(t *testing.T) {
	h := newHouse(t, func(h *house) {
		h.reprofile(func(d *profile.Document) { d.ExtendedKeyUsage = nil })
	})
	if res, der := h.csrAttrs(h.serve()); res.StatusCode != http.StatusNoContent || len(der) != 0 || res.Header.Get("Content-Type") != "" {
		t.Errorf("status %d, %d bytes of %q", res.StatusCode, len(der), res.Header.Get("Content-Type"))
	}
}

// EST-9908-3.2-04: settings that would name an extension twice are refused.
func TestSettingsAreRefusedWhoseCSRAttrsCannotBeWritten(t *testing.T) {
	h := newHouse(t, nil)
	bad := *h.settings
	bad.Labels = map[string]*registrar.Label{"": {Profile: twice{h.profile("device")}, Basic: true}}
	if err := h.service.Reload(&bad); err == nil {
		t.Error("Reload took a profile that wants subjectAltName twice")
	}
}

// twice is a profile that wants an extension twice.
type twice struct{ registrar.Profile }

func (p twice) Rules() registrar.ProfileRules {
	rules := p.Profile.Rules()
	san := est.PlannedExtension{ID: asn1.ObjectIdentifier{2, 5, 29, 17}, Value: []byte("\x30\x03\x82\x01a")}
	rules.CSR = &est.CSRPlan{Extensions: []est.PlannedExtension{san, san}}
	return rules
}

func ecdsaKey(t *testing.T, curve elliptic.Curve) *ecdsa.PrivateKey {
	t.Helper()
	key, err := ecdsa.GenerateKey(curve, rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return key
}
