package cms_test

import (
	"bytes"
	"crypto/x509"
	"encoding/asn1"
	"errors"
	"reflect"
	"testing"
	"time"

	"github.com/briskest/briskest/internal/cms"
	"github.com/briskest/briskest/internal/cmstest"
)

// signed returns content as a voucher of id.
func signed(t testing.TB, id *cmstest.Identity, content []byte) []byte {
	t.Helper()
	return sign(t, &cms.SignRequest{ContentType: cms.OIDAnimaJSONVoucher(), Content: content, Key: id.Key, Certificate: id.Certificate})
}

func sign(t testing.TB, r *cms.SignRequest) []byte {
	t.Helper()
	der, err := cms.Sign(r)
	if err != nil {
		t.Fatalf("Sign: %v", err)
	}
	return der
}

func parse(t testing.TB, data []byte) *cms.SignedData {
	t.Helper()
	sd, err := cms.ParseSignedData(data)
	if err != nil {
		t.Fatalf("ParseSignedData: %v", err)
	}
	return sd
}

// signingTime is a fixed time for signatures.
func signingTime() time.Time { return time.Date(2026, 11, 24, 12, 30, 45, 0, time.UTC) }

func TestSignedContentVerifies(t *testing.T) {
	for _, kind := range append(cmstest.Kinds(), "RSA with PSS") {
		pss := kind == "RSA with PSS"
		name := kind
		if pss {
			name = "RSA"
		}
		id := cmstest.New(t, name)
		t.Run(kind, func(t *testing.T) {
			for _, content := range [][]byte{{}, []byte("{}"), bytes.Repeat([]byte("voucher "), 10_000)} {
				r := &cms.SignRequest{ContentType: cms.OIDAnimaJSONVoucher(), Content: content, Key: id.Key, Certificate: id.Certificate, PSS: pss, SigningTime: signingTime()}
				der := sign(t, r)
				for _, data := range [][]byte{der, cmstest.Indefinite(der, 100)} {
					checkSigned(t, data, id, content)
				}
			}
		})
	}
}

func checkSigned(t *testing.T, data []byte, id *cmstest.Identity, content []byte) {
	t.Helper()
	sd := parse(t, data)
	if sd.Version != 3 || !sd.ContentType.Equal(cms.OIDAnimaJSONVoucher()) || !bytes.Equal(sd.Content, content) || sd.Content == nil {
		t.Errorf("version %d, type %s, %d bytes of content, want 3, %s, %d", sd.Version, sd.ContentType, len(sd.Content), cms.OIDAnimaJSONVoucher(), len(content))
	}
	if len(sd.Signers) != 1 {
		t.Fatalf("%d signers, want 1", len(sd.Signers))
	}
	si := sd.Signers[0]
	if !si.HasSignedAttributes || !si.SigningTime.Equal(signingTime()) || si.Version != 1 {
		t.Errorf("attributes %v, time %s, version %d, want true, %s, 1", si.HasSignedAttributes, si.SigningTime, si.Version, signingTime())
	}
	cert, err := sd.SignerCertificate(si)
	if err != nil || !cert.Equal(id.Certificate) {
		t.Fatalf("SignerCertificate: %v", err)
	}
	if err := sd.Verify(si, cert); err != nil {
		t.Errorf("Verify: %v", err)
	}
	if len(content) == 0 {
		return
	}
	sd.Content = append([]byte("x"), content[1:]...)
	if err := sd.Verify(si, cert); !errors.Is(err, cms.ErrDigestMismatch) {
		t.Errorf("Verify of changed content: %v, want %v", err, cms.ErrDigestMismatch)
	}
}

// The versions, digestAlgorithms and the signer's name are not signed. A change anywhere else is noticed.
func TestAChangeThatVerifiesChangesNothingSigned(t *testing.T) {
	for _, kind := range []string{"P-256", "Ed25519", "RSA"} {
		id := cmstest.New(t, kind)
		der := sign(t, &cms.SignRequest{ContentType: cms.OIDAnimaJSONVoucher(), Content: []byte("content"), Key: id.Key,
			Certificate: id.Certificate, OmitCertificates: true, SigningTime: signingTime()})
		was := parse(t, der)
		for i := range 8 * len(der) {
			changed := bytes.Clone(der)
			changed[i/8] ^= 1 << (i % 8)
			sd, err := cms.ParseSignedData(changed)
			if err != nil || len(sd.Signers) != 1 || sd.Verify(sd.Signers[0], id.Certificate) != nil {
				continue
			}
			sd.Version, sd.Signers[0].Version = was.Version, was.Signers[0].Version
			sd.Signers[0].RawIssuer, sd.Signers[0].SerialNumber = was.Signers[0].RawIssuer, was.Signers[0].SerialNumber
			if !reflect.DeepEqual(sd, was) {
				t.Errorf("%s: bit %d of byte %d changed, and it verifies as %+v", kind, i%8, i/8, sd.Signers[0])
			}
		}
	}
}

func TestSignerIsNamedBySubjectKeyIdentifier(t *testing.T) {
	id, other := cmstest.New(t, "P-256"), cmstest.New(t, "P-256")
	der := sign(t, &cms.SignRequest{Content: []byte("c"), Key: id.Key, Certificate: id.Certificate, UseSubjectKeyID: true, Chain: []*x509.Certificate{other.Certificate, id.Certificate}})
	sd := parse(t, der)
	si := sd.Signers[0]
	if sd.Version != 3 || si.Version != 3 || !bytes.Equal(si.SubjectKeyID, id.Certificate.SubjectKeyId) || si.SerialNumber != nil {
		t.Errorf("versions %d and %d, identifier %x", sd.Version, si.Version, si.SubjectKeyID)
	}
	if len(sd.Certificates) != 2 {
		t.Errorf("%d certificates, want 2", len(sd.Certificates))
	}
	cert, err := sd.SignerCertificate(si)
	if err != nil || !cert.Equal(id.Certificate) {
		t.Fatalf("SignerCertificate: %v", err)
	}
	if err := sd.Verify(si, cert); err != nil {
		t.Errorf("Verify: %v", err)
	}
	if err := sd.Verify(si, other.Certificate); !errors.Is(err, cms.ErrSignature) {
		t.Errorf("Verify by another key: %v, want %v", err, cms.ErrSignature)
	}
}

func TestMessageWithoutCertificatesVerifiesForWhoKnowsTheSigner(t *testing.T) {
	id := cmstest.New(t, "P-384")
	sd := parse(t, sign(t, &cms.SignRequest{Content: []byte("c"), Key: id.Key, Certificate: id.Certificate, OmitCertificates: true}))
	si := sd.Signers[0]
	if _, err := sd.SignerCertificate(si); !errors.Is(err, cms.ErrNoSignerCertificate) {
		t.Errorf("SignerCertificate: %v, want %v", err, cms.ErrNoSignerCertificate)
	}
	if !si.Names(id.Certificate) || sd.Verify(si, id.Certificate) != nil || sd.VerifyKey(si, id.Key.Public()) != nil {
		t.Error("the known certificate does not verify")
	}
	if !si.SigningTime.IsZero() {
		t.Errorf("signing time %s, want none", si.SigningTime)
	}
}

func TestDetachedContentVerifies(t *testing.T) {
	id := cmstest.New(t, "P-256")
	sd := parse(t, sign(t, &cms.SignRequest{Content: []byte("c"), Key: id.Key, Certificate: id.Certificate, Detached: true}))
	si := sd.Signers[0]
	if err := sd.Verify(si, id.Certificate); !errors.Is(err, cms.ErrNoContent) {
		t.Errorf("Verify: %v, want %v", err, cms.ErrNoContent)
	}
	if err := sd.VerifyDetached(si, id.Certificate, []byte("c")); err != nil {
		t.Errorf("VerifyDetached: %v", err)
	}
	if err := sd.VerifyDetached(si, id.Certificate, []byte("d")); !errors.Is(err, cms.ErrDigestMismatch) {
		t.Errorf("VerifyDetached of other content: %v, want %v", err, cms.ErrDigestMismatch)
	}
	sd.Content = []byte("c")
	if err := sd.VerifyDetached(si, id.Certificate, []byte("c")); !errors.Is(err, cms.ErrRequest) {
		t.Errorf("VerifyDetached of a message with content: %v, want %v", err, cms.ErrRequest)
	}
}

// RFC 5652, Section 11.3: UTCTime until 2049.
func TestSigningTimesOfAllCenturiesAreRead(t *testing.T) {
	id := cmstest.New(t, "P-256")
	for _, year := range []int{1949, 1950, 2026, 2049, 2050, 9999} {
		want := time.Date(year, 1, 2, 3, 4, 5, 999, time.FixedZone("", 3600))
		sd := parse(t, sign(t, &cms.SignRequest{Content: []byte("c"), Key: id.Key, Certificate: id.Certificate, SigningTime: want}))
		if got := sd.Signers[0].SigningTime; !got.Equal(want.Truncate(time.Second)) {
			t.Errorf("signing time %s, want %s", got, want)
		}
	}
	_, err := cms.Sign(&cms.SignRequest{Key: id.Key, Certificate: id.Certificate, SigningTime: time.Date(10000, 1, 1, 0, 0, 0, 0, time.UTC)})
	if !errors.Is(err, cms.ErrRequest) {
		t.Errorf("Sign in the year 10000: %v, want %v", err, cms.ErrRequest)
	}
}

func TestContentTypeDecidesTheVersion(t *testing.T) {
	id := cmstest.New(t, "P-256")
	for _, test := range []struct {
		contentType asn1.ObjectIdentifier
		version     int
	}{{nil, 1}, {cms.OIDData(), 1}, {cms.OIDPKIResponse(), 3}} {
		sd := parse(t, sign(t, &cms.SignRequest{ContentType: test.contentType, Content: []byte("c"), Key: id.Key, Certificate: id.Certificate}))
		if sd.Version != test.version || sd.Verify(sd.Signers[0], id.Certificate) != nil {
			t.Errorf("content type %s: version %d, want %d", test.contentType, sd.Version, test.version)
		}
	}
}

func TestSignRefusesWhatContradictsItself(t *testing.T) {
	p256, rsa, p224 := cmstest.New(t, "P-256"), cmstest.New(t, "RSA"), cmstest.New(t, "P-224")
	noID := *p256.Certificate
	noID.SubjectKeyId = nil
	for _, test := range []struct {
		name string
		r    cms.SignRequest
		want error
	}{
		{"no key", cms.SignRequest{Certificate: p256.Certificate}, cms.ErrRequest},
		{"no certificate", cms.SignRequest{Key: p256.Key}, cms.ErrRequest},
		{"another's certificate", cms.SignRequest{Key: p256.Key, Certificate: rsa.Certificate}, cms.ErrRequest},
		{"PSS without RSA", cms.SignRequest{Key: p256.Key, Certificate: p256.Certificate, PSS: true}, cms.ErrRequest},
		{"no subject key identifier", cms.SignRequest{Key: p256.Key, Certificate: &noID, UseSubjectKeyID: true}, cms.ErrRequest},
		{"curve", cms.SignRequest{Key: p224.Key, Certificate: p224.Certificate}, cms.ErrUnsupportedAlgorithm},
		{"content type", cms.SignRequest{Key: p256.Key, Certificate: p256.Certificate, ContentType: asn1.ObjectIdentifier{9, 99}}, cms.ErrRequest},
	} {
		if _, err := cms.Sign(&test.r); !errors.Is(err, test.want) {
			t.Errorf("Sign with %s: %v, want %v", test.name, err, test.want)
		}
	}
}
