package peers_test

import (
	"bytes"
	"crypto/x509"
	"errors"
	"fmt"
	"testing"
	"time"

	fullsailor "github.com/fullsailor/pkcs7"
	mozilla "go.mozilla.org/pkcs7"

	"github.com/briskest/briskest/internal/cms"
	"github.com/briskest/briskest/internal/cmstest"
)

// peer opens SignedData as a program with that library does: parse, verify, take the content. A panic is an error.
type peer struct {
	name string
	open func([]byte) (content []byte, err error)
}

func mozillaPeer() peer {
	return peer{"go.mozilla.org/pkcs7", func(data []byte) (content []byte, err error) {
		defer recovered(&err)
		p7, err := mozilla.Parse(data)
		if err != nil {
			return nil, err
		}
		return p7.Content, p7.Verify()
	}}
}

func fullsailorPeer() peer {
	return peer{"github.com/fullsailor/pkcs7", func(data []byte) (content []byte, err error) {
		defer recovered(&err)
		p7, err := fullsailor.Parse(data)
		if err != nil {
			return nil, err
		}
		return p7.Content, p7.Verify()
	}}
}

func ours() peer {
	return peer{"internal/cms", func(data []byte) ([]byte, error) {
		sd, err := cms.ParseSignedData(data)
		if err != nil {
			return nil, err
		}
		if len(sd.Signers) == 0 {
			return nil, errors.New("no signers")
		}
		for _, si := range sd.Signers {
			cert, err := sd.SignerCertificate(si)
			if err != nil {
				return nil, err
			}
			if err := sd.Verify(si, cert); err != nil {
				return nil, err
			}
		}
		return sd.Content, nil
	}}
}

func recovered(err *error) {
	if r := recover(); r != nil {
		*err = fmt.Errorf("panic: %v", r)
	}
}

// requests are the ways we sign.
func requests(id *cmstest.Identity, content []byte) map[string]*cms.SignRequest {
	base := cms.SignRequest{ContentType: cms.OIDAnimaJSONVoucher(), Content: content, Key: id.Key, Certificate: id.Certificate}
	data, timed := base, base
	data.ContentType = nil
	timed.SigningTime = time.Date(2026, 11, 24, 12, 0, 0, 0, time.UTC)
	return map[string]*cms.SignRequest{"voucher": &base, "data": &data, "with signing time": &timed}
}

func TestPeersReadWhatWeSign(t *testing.T) {
	// What a peer cannot read, and why. Anything else it must.
	cannot := map[string]string{
		"go.mozilla.org/pkcs7 Ed25519":        "knows no Ed25519",
		"github.com/fullsailor/pkcs7 Ed25519": "knows no Ed25519",
		"github.com/fullsailor/pkcs7 P-384":   "knows no SHA-384",
		"github.com/fullsailor/pkcs7 P-521":   "knows no SHA-512",
	}
	content := []byte(`{"ietf-voucher:voucher":{}}`)
	for _, kind := range cmstest.Kinds() {
		id := cmstest.New(t, kind)
		for name, r := range requests(id, content) {
			der, err := cms.Sign(r)
			if err != nil {
				t.Fatal(err)
			}
			for _, p := range []peer{mozillaPeer(), fullsailorPeer()} {
				got, err := p.open(der)
				why := cannot[p.name+" "+kind]
				switch {
				case why == "" && (err != nil || !bytes.Equal(got, content)):
					t.Errorf("%s reads %s, %s: %q, %v", p.name, kind, name, got, err)
				case why != "" && err == nil:
					t.Errorf("%s reads %s, %s, and is listed as one that %s", p.name, kind, name, why)
				case why != "":
					t.Logf("%s does not read %s (%s): %v", p.name, kind, why, err)
				}
			}
		}
	}
}

func TestPeersReadCertsOnly(t *testing.T) {
	one, two := cmstest.New(t, "P-256"), cmstest.New(t, "RSA")
	der, err := cms.CertsOnly(one.Certificate.Raw, two.Certificate.Raw)
	if err != nil {
		t.Fatal(err)
	}
	check := func(name string, certs []*x509.Certificate, err error) {
		t.Helper()
		if err != nil || len(certs) != 2 || !certs[0].Equal(one.Certificate) || !certs[1].Equal(two.Certificate) {
			t.Errorf("%s reads %d certificates, %v, want 2 in order", name, len(certs), err)
		}
	}
	m, err := mozilla.Parse(der)
	if err != nil {
		t.Fatal(err)
	}
	check("mozilla", m.Certificates, nil)
	f, err := fullsailor.Parse(der)
	if err != nil {
		t.Fatal(err)
	}
	check("fullsailor", f.Certificates, nil)
	for name, degenerate := range map[string]func([]byte) ([]byte, error){"mozilla": mozilla.DegenerateCertificate, "fullsailor": fullsailor.DegenerateCertificate} {
		der, err := degenerate(append(bytes.Clone(one.Certificate.Raw), two.Certificate.Raw...))
		if err != nil {
			t.Fatal(err)
		}
		certs, err := cms.ParseCertsOnly(der)
		check("internal/cms of "+name+"'s", certs, err)
	}
}

func TestWeReadWhatPeersSign(t *testing.T) {
	content := []byte("content")
	for _, kind := range []string{"P-256", "P-384", "P-521", "RSA"} {
		id := cmstest.New(t, kind)
		sd, err := mozilla.NewSignedData(content)
		if err != nil {
			t.Fatal(err)
		}
		sd.SetDigestAlgorithm(mozilla.OIDDigestAlgorithmSHA256)
		if err := sd.AddSigner(id.Certificate, id.Key, mozilla.SignerInfoConfig{}); err != nil {
			t.Fatal(err)
		}
		der, err := sd.Finish()
		if err != nil {
			t.Fatal(err)
		}
		if got, err := ours().open(der); err != nil || !bytes.Equal(got, content) {
			t.Errorf("%s by mozilla: %q, %v", kind, got, err)
		}
	}
	// fullsailor signs with SHA-1 only.
	id := cmstest.New(t, "RSA")
	sd, err := fullsailor.NewSignedData(content)
	if err != nil {
		t.Fatal(err)
	}
	if err := sd.AddSigner(id.Certificate, id.Key, fullsailor.SignerInfoConfig{}); err != nil {
		t.Fatal(err)
	}
	der, err := sd.Finish()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := ours().open(der); !errors.Is(err, cms.ErrWeakAlgorithm) {
		t.Errorf("by fullsailor: %v, want %v", err, cms.ErrWeakAlgorithm)
	}
}
