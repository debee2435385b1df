package estserver_test

import (
	"encoding/base64"
	"testing"

	"github.com/briskest/briskest/conformance/estserver"
	"github.com/briskest/briskest/internal/cms"
	"github.com/briskest/briskest/internal/testpki"
)

// What the reader takes holds at least one certificate, and nothing a peer sends
// makes it panic or hang.
func FuzzDecodeCertsOnly(f *testing.F) {
	root := testpki.NewRoot(f, "root")
	for _, certs := range [][][]byte{{root.Certificate.Raw}, {root.Certificate.Raw, root.Certificate.Raw}} {
		der, err := cms.CertsOnly(certs...)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(lines(der))
		f.Add(lines(der[:len(der)/2]))
		f.Add(der)
	}
	f.Add([]byte("MAA="))
	f.Add([]byte("-----BEGIN PKCS7-----\n"))
	f.Fuzz(func(t *testing.T, body []byte) {
		certs, err := estserver.DecodeCertsOnly(body)
		if err != nil {
			return
		}
		if len(certs) == 0 {
			t.Errorf("DecodeCertsOnly(%q) took a message without certificates", body)
		}
		for _, c := range certs {
			if c == nil {
				t.Errorf("DecodeCertsOnly(%q) returned a nil certificate", body)
			}
		}
	})
}

func FuzzReadCSRAttrs(f *testing.F) {
	f.Add([]byte{0x30, 0})
	f.Add([]byte{0x30, 0x0b, 6, 9, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 9, 7})
	// The example of RFC 8951, Section 4, has OIDs and attributes.
	if example, err := base64.StdEncoding.DecodeString("MEEGCSqGSIb3DQEJBzASBgcqhkjOPQIBMQcGBSuBBAAiMBYGCSqGSIb3DQEJDjEJBgcrBgEBAQEWBggqhkjOPQQDAw=="); err == nil {
		f.Add(example)
	}
	f.Fuzz(func(t *testing.T, der []byte) {
		if err := estserver.ReadCSRAttrs(der); err == nil && (len(der) < 2 || der[0] != 0x30) {
			t.Errorf("ReadCSRAttrs(%x) took what is no SEQUENCE", der)
		}
	})
}
