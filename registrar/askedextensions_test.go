package registrar_test

import (
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"net"
	"slices"
	"strings"
	"testing"

	"github.com/briskest/briskest/ca/profile"
	"github.com/briskest/briskest/registrar"
)

// EST-5280-4.2.1.9-02, EST-5280-4.2.1.3-01, EST-6402-2.10-01: a device does not become a
// CA, nor an RA, by asking for it.
func TestADeviceThatAsksToBeACAOrAnRAIsIssuedNone(t *testing.T) {
	must := func(v any) []byte {
		der, err := asn1.Marshal(v)
		if err != nil {
			t.Fatal(err)
		}
		return der
	}
	h := newHouse(t, nil)
	r := h.enroll("sensor-7").basic(group)
	r.csr.ExtraExtensions = []pkix.Extension{
		{Id: asn1.ObjectIdentifier{2, 5, 29, 19}, Critical: true, Value: []byte{0x30, 6, 1, 1, 0xff, 2, 1, 3}}, // CA, path length 3
		usageExtension(0x86, 1), // digitalSignature, keyCertSign, cRLSign
		{Id: asn1.ObjectIdentifier{2, 5, 29, 37}, Value: must([]asn1.ObjectIdentifier{
			{1, 3, 6, 1, 5, 5, 7, 3, 2}, {1, 3, 6, 1, 5, 5, 7, 3, 27}, {1, 3, 6, 1, 5, 5, 7, 3, 28}, {1, 3, 6, 1, 5, 5, 7, 3, 29}, {1, 3, 6, 1, 5, 5, 7, 3, 9},
		})},
	}
	cert := r.mustSend()
	if cert.IsCA || cert.MaxPathLen > 0 || cert.KeyUsage&0b1100000 != 0 {
		t.Errorf("CA %v, path length %d, key usage %b", cert.IsCA, cert.MaxPathLen, cert.KeyUsage)
	}
	if len(cert.UnknownExtKeyUsage) > 0 || slices.Contains(cert.ExtKeyUsage, 9) {
		t.Errorf("purposes %v and %v", cert.ExtKeyUsage, cert.UnknownExtKeyUsage)
	}
}

// EST-5280-4.2.1.6-01: each name of a SubjectAltName is verified, whatever its place in the list.
func TestAForeignNameAmongOwnOnesIsRefused(t *testing.T) {
	h := newHouse(t, nil)
	for _, names := range [][]string{{"sensor-8"}, {alone, "mail.example.com"}, {alone + ".example.com", alone, "sensor-8." + alone}} {
		h.enroll(alone).basic(alone).dns(names...).refusedAs(registrar.ReasonForeignName, 403)
	}
	h.enroll(alone).basic(alone).dns(alone, alone+".example.com").mustSend()
}

// R20: with N names the trail says N, each of them was decided on, and one bad one among them ends it.
func TestTheTrailCountsTheDistinctNamesThatWereDecidedOn(t *testing.T) {
	h := newHouse(t, func(h *house) {
		h.reprofile(func(d *profile.Document) {
			d.SAN.DNS = &profile.NameRule{Request: true, Max: 20, Patterns: []string{`[a-z0-9]+\.good\.example`}}
		})
	})
	names := []string{"a.good.example", "b.good.example", "c.good.example", "d.good.example", "e.good.example"}
	for i := range names {
		bad := slices.Clone(names)
		bad[i] = "x.bad.example"
		h.enroll("sensor-7").basic(group).dns(bad...).refusedAs(registrar.ReasonNamesRefused, 400)
	}
	h.enroll("sensor-7").basic(group).dns(append(slices.Clone(names), "A.good.example")...).refusedAs(registrar.ReasonNamesRefused, 400)
	if n := len(h.certificates("")); n != 0 {
		t.Fatalf("%d certificates for names of which one is refused", n)
	}
	cert := h.enroll("sensor-7").basic(group).dns(names...).ip(net.IPv4(10, 0, 0, 1)).mustSend()
	entries := h.entries(registrar.KindCertificateIssued)
	if len(cert.DNSNames) != len(names) || len(entries) != 1 || !strings.Contains(string(entries[0].Body), `"names":6`) {
		t.Errorf("%q, and the trail says %s", cert.DNSNames, entries[0].Body)
	}
}

// Templates have what is known of the device: the label and its IDevID.
func TestNamesAreMadeOfTheIDevIDAndTheLabel(t *testing.T) {
	h := newHouse(t, func(h *house) {
		h.reprofile(func(d *profile.Document) {
			d.Subject.Attributes = append(d.Subject.Attributes, profile.AttributeRule{Type: "organization", Value: "{attribute.idevid_organization}"},
				profile.AttributeRule{Type: "organizational_unit", Value: "label {label} of {domain}"})
		})
		h.settings.Labels["plant"] = &registrar.Label{Profile: h.profile("device"), IDevID: registrar.IDevIDInventory, Renewal: true}
	})
	h.importSerials("SN-1")
	id := h.device(t, func(c *x509.Certificate) {
		c.Subject = pkix.Name{SerialNumber: "SN-1", Organization: []string{"Acme Meters"}}
	})
	r := h.enrollWithIDevID(id).label("plant")
	cert := r.mustSend()
	if got := cert.Subject.String(); !strings.Contains(got, "O=Acme Meters") || !strings.Contains(got, "OU=label plant of default") {
		t.Errorf("subject %s", got)
	}
}
