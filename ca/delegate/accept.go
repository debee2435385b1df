package delegate

import (
	"bytes"
	"crypto/x509"
	"encoding/asn1"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/briskest/briskest/ca"
)

// maxCertificate bounds one certificate, in bytes of DER.
const maxCertificate = 64 << 10

// skew is how far the other CA's clock may be from ours, and its rounding from
// what it was asked for.
const skew = 10 * time.Minute

// Accept judges the certificate that the other CA answered with, in DER. between
// are further CA certificates that came along; they are used to build the chain
// to the root of Rules and trusted for nothing. What is not the certificate that
// was ordered is a *ca.Mismatch; bytes that are no certificate are an error
// that wraps ca.ErrMismatch.
func (o *Order) Accept(raw []byte, between []*x509.Certificate) (*ca.Certificate, error) {
	if len(raw) > maxCertificate {
		return nil, fmt.Errorf("%w: %d bytes where a certificate was expected", ca.ErrMismatch, len(raw))
	}
	cert, err := x509.ParseCertificate(raw)
	if err != nil {
		return nil, fmt.Errorf("%w: it is no certificate: %w", ca.ErrMismatch, err)
	}
	if err := o.judge(cert, between); err != nil {
		return nil, &ca.Mismatch{Raw: raw, Problem: err}
	}
	return &ca.Certificate{
		Raw: raw, Serial: cert.SerialNumber.Bytes(), NotBefore: cert.NotBefore, NotAfter: cert.NotAfter,
		Profile: o.Intent.Profile, Version: o.Intent.Version,
	}, nil
}

// judge compares a certificate with what was ordered.
func (o *Order) judge(cert *x509.Certificate, between []*x509.Certificate) error {
	if !bytes.Equal(cert.RawSubjectPublicKeyInfo, o.spki) {
		return errors.New("it has another key")
	}
	if err := sameSubject(cert.RawSubject, o.Request.Subject); err != nil {
		return err
	}
	san, err := sanOf(cert)
	if err != nil {
		return err
	}
	if err := sameNames(san, &o.Request.Names); err != nil {
		return err
	}
	if n := len(cert.SerialNumber.Bytes()); cert.SerialNumber.Sign() != 1 || n > 20 {
		return errors.New("its serial number is not positive or has more than 20 bytes (RFC 5280, Section 4.1.2.2)")
	}
	if err := o.checkPeriod(cert); err != nil {
		return err
	}
	if err := o.checkPowers(cert); err != nil {
		return err
	}
	return o.checkChain(cert, between)
}

// checkPeriod takes certificates that are shorter than what was ordered.
func (o *Order) checkPeriod(cert *x509.Certificate) error {
	const layout = time.RFC3339
	now := o.rules.now()
	switch {
	case cert.NotAfter.After(o.Intent.NotAfter.Add(skew)):
		return fmt.Errorf("it is valid until %s, after %s, which is what was asked for", cert.NotAfter.Format(layout), o.Intent.NotAfter.Format(layout))
	case cert.NotBefore.After(now.Add(skew)):
		return fmt.Errorf("it is not valid before %s; check the clocks here and there", cert.NotBefore.Format(layout))
	case !cert.NotAfter.After(now):
		return fmt.Errorf("it was valid until %s", cert.NotAfter.Format(layout))
	}
	return nil
}

// powers are extended key usages that give their holder a say over others.
// Only a profile that names one has it.
func powers() map[string]asn1.ObjectIdentifier {
	return map[string]asn1.ObjectIdentifier{
		"any":          {2, 5, 29, 37, 0},
		"ocsp_signing": {1, 3, 6, 1, 5, 5, 7, 3, 9},
		"cmc_ca":       {1, 3, 6, 1, 5, 5, 7, 3, 27}, // RFC 6402, Section 2.10
		"cmc_ra":       {1, 3, 6, 1, 5, 5, 7, 3, 28},
	}
}

// checkPowers refuses certificates that say more of their holder than the
// profile does: a CA, or a usage that is trusted with others' affairs.
func (o *Order) checkPowers(cert *x509.Certificate) error {
	isCA, pathLength := o.Profile.Authority()
	switch {
	case cert.IsCA != isCA:
		return fmt.Errorf("basicConstraints say CA %t, the profile %s %t", cert.IsCA, o.Intent.Profile, isCA)
	// crypto/x509 has -1 for no limit (RFC 5280, Section 4.2.1.9).
	case isCA && pathLength >= 0 && (cert.MaxPathLen < 0 || cert.MaxPathLen > pathLength):
		return fmt.Errorf("its path length is %d, where -1 is no limit, and that of the profile %s %d", cert.MaxPathLen, o.Intent.Profile, pathLength)
	}
	if !isCA && cert.KeyUsage&(x509.KeyUsageCertSign|x509.KeyUsageCRLSign) != 0 {
		return errors.New("its key usage lets it sign certificates or revocation lists")
	}
	allowed := o.Profile.Document().ExtendedKeyUsage
	has := slices.Clone(cert.UnknownExtKeyUsage)
	for _, usage := range cert.ExtKeyUsage {
		switch usage {
		case x509.ExtKeyUsageAny:
			has = append(has, powers()["any"])
		case x509.ExtKeyUsageOCSPSigning:
			has = append(has, powers()["ocsp_signing"])
		}
	}
	for word, id := range powers() {
		if !slices.Contains(allowed, word) && slices.ContainsFunc(has, id.Equal) {
			return fmt.Errorf("it has the extended key usage %s, which the profile %s does not give", word, o.Intent.Profile)
		}
	}
	return nil
}

// checkChain verifies the certificate up to the root of the rules.
func (o *Order) checkChain(cert *x509.Certificate, between []*x509.Certificate) error {
	chain := o.rules.Chain
	roots, above := x509.NewCertPool(), x509.NewCertPool()
	roots.AddCert(chain[len(chain)-1])
	for _, c := range slices.Concat(chain[:len(chain)-1], between) {
		above.AddCert(c)
	}
	at := o.rules.now()
	if at.Before(cert.NotBefore) {
		at = cert.NotBefore
	}
	// Its SubjectAltName was compared byte by byte.
	checked := *cert
	checked.UnhandledCriticalExtensions = slices.DeleteFunc(slices.Clone(cert.UnhandledCriticalExtensions), oidSAN().Equal)
	_, err := checked.Verify(x509.VerifyOptions{Roots: roots, Intermediates: above, CurrentTime: at, KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageAny}})
	if err != nil {
		return fmt.Errorf("it does not come from the CA %q: %w", chain[0].Subject, err)
	}
	return nil
}
