package cms_test

import (
	"bytes"
	"crypto/x509"
	"os"
	"path/filepath"
	"testing"

	"github.com/briskest/briskest/internal/cms"
	"github.com/briskest/briskest/internal/cmstest"
)

// seed adds what every fuzz target starts from: the inputs of regression R6, nesting, sound messages in DER and BER,
// and the published artifacts if they are there.
func seed(f *testing.F) {
	for _, s := range shortInputs() {
		f.Add(unhex(f, s))
	}
	f.Add(bytes.Repeat([]byte{0x30, 0x80}, 80))
	f.Add(append(bytes.Repeat([]byte{0x30, 0x80}, 80), make([]byte, 160)...))
	f.Add(append(bytes.Repeat([]byte{0x24, 0x80}, 31), make([]byte, 62)...))
	id, shared := cmstest.New(f, "P-256"), sharedKey()
	certsOnly, err := cms.CertsOnly(id.Certificate.Raw)
	if err != nil {
		f.Fatal(err)
	}
	m := messageBy(id, cms.OIDData(), []byte("content"))
	m.CRLs = [][]byte{}
	messages := [][]byte{certsOnly, m.Bytes(f), signed(f, id, []byte("content"))}
	for _, authenticated := range []bool{false, true} {
		messages = append(messages, encrypt(f, &cms.EncryptRequest{Content: []byte("content"), ContentType: cms.OIDSignedData(),
			Recipients: []*x509.Certificate{id.Certificate}, SharedKeys: []cms.SharedKey{shared}, Authenticated: authenticated}))
	}
	for _, m := range messages {
		f.Add(m)
		f.Add(cmstest.Indefinite(m, 20))
	}
	if dir := os.Getenv("BRISKEST_VECTORS"); dir != "" {
		files, _ := filepath.Glob(filepath.Join(dir, "brski", "*", "*.cms.der"))
		for _, path := range files {
			if data, err := os.ReadFile(path); err == nil {
				f.Add(data)
			}
		}
	}
}

func FuzzBERToDER(f *testing.F) {
	seed(f)
	f.Fuzz(func(t *testing.T, data []byte) {
		was := bytes.Clone(data)
		der, err := cms.ToDER(data)
		if !bytes.Equal(data, was) {
			t.Fatal("the input was changed")
		}
		if err != nil {
			return
		}
		if len(der) > len(data)+4 {
			t.Errorf("%d bytes of DER from %d bytes", len(der), len(data))
		}
		again, err := cms.ToDER(der)
		if err != nil || !bytes.Equal(again, der) || &again[0] != &der[0] {
			t.Errorf("the result %x is not DER: %x, %v", der, again, err)
		}
		if back, err := cms.ToDER(cmstest.Indefinite(der, 3)); err == nil && !bytes.Equal(back, der) {
			t.Errorf("%x became %x by way of indefinite lengths", der, back)
		}
	})
}

func FuzzParseSignedData(f *testing.F) {
	seed(f)
	id := cmstest.New(f, "P-256")
	f.Fuzz(func(t *testing.T, data []byte) {
		sd, err := cms.ParseSignedData(data)
		if err != nil {
			return
		}
		for _, si := range sd.Signers {
			cert, err := sd.SignerCertificate(si)
			if err == nil && sd.Verify(si, cert) == nil && sd.Content == nil {
				t.Error("verifies without content")
			}
			if sd.Verify(si, id.Certificate) == nil {
				t.Error("verifies by a key that never signed it")
			}
			_ = sd.VerifyDetached(si, id.Certificate, nil)
		}
	})
}

func FuzzParseCertsOnly(f *testing.F) {
	seed(f)
	f.Fuzz(func(t *testing.T, data []byte) {
		certs, err := cms.ParseCertsOnly(data)
		if err != nil {
			return
		}
		raw := make([][]byte, len(certs))
		for i, c := range certs {
			raw[i] = c.Raw
		}
		der, err := cms.CertsOnly(raw...)
		if err != nil {
			t.Fatal(err)
		}
		again, err := cms.ParseCertsOnly(der)
		if err != nil || len(again) != len(certs) || len(certs) == 0 {
			t.Errorf("%d certificates became %d, %v", len(certs), len(again), err)
		}
	})
}

func FuzzParseEnveloped(f *testing.F) {
	seed(f)
	id, shared := cmstest.New(f, "P-256"), sharedKey()
	f.Fuzz(func(t *testing.T, data []byte) {
		e, err := cms.ParseEnveloped(data)
		if err != nil {
			return
		}
		_, _ = e.Decrypt(&cms.RecipientKey{Certificate: id.Certificate, Key: id.Key, SharedKey: &shared})
		for _, r := range e.Recipients {
			// Whoever is named, the key is tried.
			c := *id.Certificate
			c.RawIssuer, c.SerialNumber, c.SubjectKeyId = r.RawIssuer, r.SerialNumber, r.SubjectKeyID
			_, _ = e.Decrypt(&cms.RecipientKey{Certificate: &c, Key: id.Key})
		}
	})
}
