package delegate

import (
	"bytes"
	"crypto/x509"
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
	if err := o.checkUsages(cert); err != nil {
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

// checkChain verifies the certificate up to the root of the rules
// (RFC 5280, Section 6.1), for each extended key usage that was ordered: one that a CA above
// it does not pass on would be of no use.
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
	for _, usage := range append([]x509.ExtKeyUsage{x509.ExtKeyUsageAny}, o.knownUsages(cert)...) {
		_, err := checked.Verify(x509.VerifyOptions{Roots: roots, Intermediates: above, CurrentTime: at, KeyUsages: []x509.ExtKeyUsage{usage}})
		if err != nil && usage != x509.ExtKeyUsageAny {
			return fmt.Errorf("a CA above it does not allow an extended key usage of the profile %s: %w", o.Intent.Profile, err)
		}
		if err != nil {
			return fmt.Errorf("it does not come from the CA %q: %w", chain[0].Subject, err)
		}
	}
	return nil
}
