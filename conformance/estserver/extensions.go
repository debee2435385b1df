package estserver

import (
	"context"
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"fmt"
	"slices"
	"strings"

	"github.com/briskest/briskest/conformance"
	"github.com/briskest/briskest/conformance/wire"
	"github.com/briskest/briskest/est"
)

// clientAuth is the value of an ExtendedKeyUsage.
func clientAuth() []byte {
	return tlv(tagSequence, oid([]int{1, 3, 6, 1, 5, 5, 7, 3, 2}))
}

func requestedExtensions() []check {
	return []check{
		{
			ID: "RFC5272-3.1-1", Level: must, Text: "a CSR that asks for extensions of RFC 5280 is understood: taken, or refused by policy",
			Requirements: rows("EST-5272-3.1-01"), Run: runAllExtensions,
		},
		{
			ID: "RFC5272-3.1-2", Level: must, Text: "a key usage that is asked for does not become its opposite",
			Requirements: rows("EST-5272-3.1-02"), Run: runKeyAgreement,
		},
		{
			ID: "RFC5272-3.1-3", Level: must, Text: "a client that asks to become a CA does not become one",
			Requirements: rows("EST-5280-4.2.1.9-02", "EST-5280-4.2.1.3-01", "EST-7030-3.3.2-09"), Run: runAsksForCA,
		},
		{
			ID: "RFC5272-3.1-4", Level: must, Text: "an ordinary client that asks to become a registration authority does not become one",
			Requirements: rows("EST-6402-2.10-01", "EST-7030-3.3.2-09"), Run: runAsksForRA,
		},
		{
			ID: "RFC5272-3.1-5", Level: must, Text: "a SubjectAltName with a NUL byte in it is refused, or left out",
			Requirements: rows("EST-5280-4.2.1.6-02"), Run: runNULName,
		},
		{
			ID: "RFC5272-3.1-6", Level: must, Text: "an RSA key that asks for keyEncipherment alone is certified for that, although its CSR signs itself",
			Requirements: rows("EST-7030-4.2.1-04"), Run: runEncipherment,
		},
	}
}

func asks(extensions ...[]byte) func(*forgedCSR) {
	return func(f *forgedCSR) { f.attributes = [][]byte{extensionRequest(extensions...)} }
}

// outcome sends a forged CSR and returns the certificate, or nil when it was
// refused with a 4xx.
func (t *Target) outcome(ctx context.Context, change func(*forgedCSR)) (*x509.Certificate, error) {
	if _, err := t.enrolled(ctx); err != nil {
		return nil, err
	}
	key, err := t.key()
	if err != nil {
		return nil, err
	}
	r, err := forged(change)(t, key)
	if err != nil {
		return nil, err
	}
	a, err := t.do(ctx, t.self(), r)
	if err != nil {
		return nil, err
	}
	return certificateOrRefusal(ctx, a, key)
}

// certificateOrRefusal reads the certificate, or nil from a 4xx.
func certificateOrRefusal(ctx context.Context, a *wire.Answer, key crypto.Signer) (*x509.Certificate, error) {
	if err := undecided(a); err != nil {
		return nil, err
	}
	if a.Refused() {
		return nil, nil
	}
	id, err := issued(ctx, a, key)
	if err != nil {
		return nil, err
	}
	return id.certificate, nil
}

func runAllExtensions(ctx context.Context, t *Target) error {
	_, err := t.outcome(ctx, asks(
		extension(oidKeyUsage, true, []byte{3, 2, 7, 0x80}), extension(oidExtendedKeyUsage, false, clientAuth()),
		extension(oidBasicConstraints, true, tlv(tagSequence)), extension(oidSubjectAltName, false, dnsNames("conformance.example")),
		extension([]int{2, 5, 29, 32}, false, tlv(tagSequence, tlv(tagSequence, oid([]int{2, 5, 29, 32, 0})))),
	))
	return err
}

func runKeyAgreement(ctx context.Context, t *Target) error {
	cert, err := t.outcome(ctx, asks(extension(oidKeyUsage, true, []byte{3, 2, 3, 0x08})))
	if err != nil || cert == nil || cert.KeyUsage == 0 || cert.KeyUsage&x509.KeyUsageKeyAgreement != 0 {
		return err
	}
	// It may come without what was asked for, but for nothing in its place.
	return fmt.Errorf("a CSR for keyAgreement got a certificate for the key usage %d: with it, without key usage, or not at all", cert.KeyUsage)
}

func runAsksForCA(ctx context.Context, t *Target) error {
	cert, err := t.outcome(ctx, asks(
		extension(oidBasicConstraints, true, tlv(tagSequence, []byte{1, 1, 0xff})), extension(oidKeyUsage, true, []byte{3, 2, 2, 0x04}),
	))
	if err != nil || cert == nil {
		return err
	}
	if cert.IsCA || cert.KeyUsage&x509.KeyUsageCertSign != 0 {
		return fmt.Errorf("the certificate %x is a CA's: basicConstraints CA %v, key usage %d", cert.SerialNumber, cert.IsCA, cert.KeyUsage)
	}
	return nil
}

func runAsksForRA(ctx context.Context, t *Target) error {
	cert, err := t.outcome(ctx, asks(extension(oidExtendedKeyUsage, false, tlv(tagSequence, oid(oidCMCRA)))))
	if err != nil || cert == nil {
		return err
	}
	if slices.ContainsFunc(cert.UnknownExtKeyUsage, oidCMCRA.Equal) {
		return fmt.Errorf("the certificate %x has the extended key usage id-kp-cmcRA", cert.SerialNumber)
	}
	return nil
}

func runNULName(ctx context.Context, t *Target) error {
	cert, err := t.outcome(ctx, asks(extension(oidSubjectAltName, false, dnsNames("conformance.example\x00.evil.example"))))
	if err != nil || cert == nil {
		return err
	}
	for _, name := range cert.DNSNames {
		if strings.Contains(name, "\x00") {
			return fmt.Errorf("the certificate %x has the dNSName %q", cert.SerialNumber, name)
		}
	}
	return nil
}

// The key is RSA because one on a curve could not be enciphered with.
func runEncipherment(ctx context.Context, t *Target) error {
	if _, err := t.enrolled(ctx); err != nil {
		return err
	}
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		return fmt.Errorf("key: %w", err)
	}
	value := []byte{3, 2, 5, 0x20}
	csr, err := newCSR(key, &x509.CertificateRequest{Subject: t.subject(), ExtraExtensions: []pkix.Extension{{Id: oidKeyUsage, Critical: true, Value: value}}})
	if err != nil {
		return err
	}
	a, err := t.post(ctx, est.OpSimpleEnroll, t.self(), encode(csr))
	if err != nil {
		return err
	}
	cert, err := certificateOrRefusal(ctx, a, key)
	switch {
	case err != nil:
		return err
	case cert == nil:
		return conformance.Skip("%v: RSA keys that do not sign are not certified here, which policy may say", a)
	case cert.KeyUsage != 0 && cert.KeyUsage&x509.KeyUsageKeyEncipherment == 0:
		return fmt.Errorf("a CSR for keyEncipherment got a certificate for the key usage %d", cert.KeyUsage)
	}
	return nil
}
