package cmpca

import (
	"bytes"
	"crypto/rsa"
	"crypto/x509"
	"encoding/asn1"
	"errors"
	"fmt"
	"slices"

	"github.com/briskest/briskest/internal/cmp"
	"github.com/briskest/briskest/internal/cms"
)

// authenticate decides whether a message is the CA's: by the secret, or by who signed it.
func (c *CA) authenticate(m *cmp.Message) error {
	if c.mac != nil {
		return m.VerifyMAC(c.mac)
	}
	if !m.Protected() {
		return cmp.ErrUnprotected
	}
	signer, err := c.signer(m)
	if err != nil {
		return err
	}
	return c.trust(signer, m)
}

// maxCandidates is how many certificates one message is verified with.
const maxCandidates = 8

// signer finds the certificate whose key signed the message: the pinned ones, or those
// with the sender's name among what came along and the CA's chain. It does not say
// whether that is anybody to listen to.
func (c *CA) signer(m *cmp.Message) (*x509.Certificate, error) {
	candidates := c.s.Signature.Signers
	if len(candidates) == 0 {
		name, ok := cmp.Name(m.Header.Sender)
		if !ok {
			return nil, errors.New("its sender is no directoryName (RFC 9483, Section 3.1)")
		}
		for _, one := range append(parseCertificates(m.ExtraCerts), c.s.Rules.Chain...) {
			if bytes.Equal(one.RawSubject, name) && (len(m.Header.SenderKID) == 0 || len(one.SubjectKeyId) == 0 || bytes.Equal(one.SubjectKeyId, m.Header.SenderKID)) {
				candidates = append(candidates, one)
			}
		}
	}
	problem := errors.New("no certificate of its sender came along")
	for _, one := range candidates[:min(len(candidates), maxCandidates)] {
		if problem = m.VerifySignature(one.PublicKey); problem == nil {
			return one, nil
		}
	}
	return nil, problem
}

// parseCertificates leaves out what is none and what is slow to verify with.
func parseCertificates(list [][]byte) []*x509.Certificate {
	var out []*x509.Certificate
	for _, der := range list {
		one, err := x509.ParseCertificate(der)
		if err != nil {
			continue
		}
		if key, ok := one.PublicKey.(*rsa.PublicKey); ok && key.N.BitLen() > cms.MaxRSABits {
			continue
		}
		out = append(out, one)
	}
	return out
}

// trust decides whether the holder of a certificate speaks for the CA.
func (c *CA) trust(signer *x509.Certificate, m *cmp.Message) error {
	now := c.now()
	if now.Before(signer.NotBefore) || now.After(signer.NotAfter) {
		return fmt.Errorf("its signer %q is valid from %s to %s only", signer.Subject, signer.NotBefore.Format(timeLayout), signer.NotAfter.Format(timeLayout))
	}
	// RFC 9483, Section 3.2.
	if signer.KeyUsage != 0 && signer.KeyUsage&x509.KeyUsageDigitalSignature == 0 {
		return fmt.Errorf("the key usage of its signer %q has no digitalSignature", signer.Subject)
	}
	// RFC 9483, Section 3.5: the sender is the subject of the certificate.
	if name, ok := cmp.Name(m.Header.Sender); !ok || !bytes.Equal(name, signer.RawSubject) {
		return fmt.Errorf("its sender is not its signer %q", signer.Subject)
	}
	if len(c.s.Signature.Signers) > 0 || signer.Equal(c.s.Rules.Chain[0]) {
		return nil // pinned, or the CA that issues
	}
	// Below the same root are the devices too.
	if !slices.ContainsFunc(signer.UnknownExtKeyUsage, speaksForCA) {
		return fmt.Errorf("its signer %q is neither the issuing CA nor has the extended key usage id-kp-cmcCA or id-kp-cmcRA (RFC 6402, Section 2.10); name its certificate as a signer", signer.Subject)
	}
	roots, above := x509.NewCertPool(), x509.NewCertPool()
	for _, one := range c.s.Signature.Anchors {
		roots.AddCert(one)
	}
	for _, one := range append(parseCertificates(m.ExtraCerts), c.s.Rules.Chain...) {
		above.AddCert(one)
	}
	_, err := signer.Verify(x509.VerifyOptions{Roots: roots, Intermediates: above, CurrentTime: now, KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageAny}})
	if err != nil {
		return fmt.Errorf("its signer %q does not chain to an anchor of the CA's: %w", signer.Subject, err)
	}
	return nil
}

// speaksForCA knows id-kp-cmcCA and id-kp-cmcRA.
func speaksForCA(id asn1.ObjectIdentifier) bool {
	return id.Equal(asn1.ObjectIdentifier{1, 3, 6, 1, 5, 5, 7, 3, 27}) || id.Equal(asn1.ObjectIdentifier{1, 3, 6, 1, 5, 5, 7, 3, 28})
}
