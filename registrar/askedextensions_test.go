package registrar_test

import (
	"crypto/x509/pkix"
	"encoding/asn1"
	"slices"
	"testing"

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
