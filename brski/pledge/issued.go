package pledge

import (
	"crypto"
	"crypto/tls"
	"crypto/x509"
	"slices"

	"github.com/briskest/briskest/voucher"
)

// checkIssued checks that cert is for key and follows from cas, the domain's CA certificates.
func (r *run) checkIssued(cert *x509.Certificate, key crypto.Signer, cas []*x509.Certificate) *Error {
	if !samePublicKey(cert.PublicKey, key.Public()) {
		return untrusted(ReasonIssuedKey, "RFC 7030, Section 4.2.3", "the certificate is for another key than was asked for", nil)
	}
	_, err := r.issuedChain(cert, cas)
	if err != nil {
		return untrusted(ReasonIssuedChain, "RFC 7030, Section 4.1", "the certificate does not follow from the domain's CA certificates, or is not valid now", err)
	}
	return nil
}

func (r *run) issuedChain(cert *x509.Certificate, cas []*x509.Certificate) ([]*x509.Certificate, error) {
	roots := x509.NewCertPool()
	for _, c := range anchors(cas) {
		roots.AddCert(c)
	}
	intermediates, err := voucher.Intermediates(cert, cas)
	if err != nil {
		return nil, err
	}
	chains, err := cert.Verify(x509.VerifyOptions{
		Roots: roots, Intermediates: intermediates, CurrentTime: r.validAt(cert, r.c.Now()),
		KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageAny},
	})
	if err != nil {
		return nil, err
	}
	return chains[0], nil
}

// anchors returns the roots among the domain's CA certificates; where none is
// self-signed, all of them.
func anchors(cas []*x509.Certificate) []*x509.Certificate {
	var roots []*x509.Certificate
	for _, c := range cas {
		if c.CheckSignatureFrom(c) == nil {
			roots = append(roots, c)
		}
	}
	if len(roots) == 0 {
		return append(roots, cas...)
	}
	return roots
}

// followFromOurs checks CA certificates that are to replace those stored: a
// domain that changes its root announces the new one beside the old one, or
// signed by it (RFC 7030, Section 4.1.3). Others are another domain's, whoever
// handed them out. The certificate that is pinned counts as one of ours.
func (r *run) followFromOurs(certs []*x509.Certificate) *Error {
	ours := anchors(r.cas)
	if r.pin != nil {
		ours = append(ours, r.pin.anchors(slices.Concat(certs, r.cas))...)
	}
	known := func(c *x509.Certificate) bool {
		return slices.ContainsFunc(ours, func(o *x509.Certificate) bool { return keyOf(o) == keyOf(c) })
	}
	for _, c := range certs {
		if known(c) || r.verifies(c, ours, slices.Concat(certs, r.cas)) {
			return nil
		}
	}
	return untrusted(ReasonCACerts, "RFC 7030, Section 4.1.3",
		"none of the domain's new CA certificates is one that this device has, or follows from one; they are not taken", nil)
}

// intermediates returns what stands between cert and its root among cas.
func (r *run) intermediates(cert *x509.Certificate, cas []*x509.Certificate) []*x509.Certificate {
	chain, err := r.issuedChain(cert, cas)
	if err != nil || len(chain) < 2 {
		return nil
	}
	return chain[1 : len(chain)-1]
}

// ldevid is the LDevID as a TLS client presents it.
func (r *run) ldevid() *tls.Certificate {
	c := &tls.Certificate{Certificate: [][]byte{r.cert.Raw}, PrivateKey: r.key, Leaf: r.cert}
	for _, ca := range r.intermediates(r.cert, r.cas) {
		c.Certificate = append(c.Certificate, ca.Raw)
	}
	return c
}
