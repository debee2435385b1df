package pledge

import (
	"crypto"
	"crypto/tls"
	"crypto/x509"
)

// checkIssued checks that cert is for key and follows from the domain's CA certificates.
func (r *run) checkIssued(cert *x509.Certificate, key crypto.Signer) *Error {
	if !samePublicKey(cert.PublicKey, key.Public()) {
		return untrusted(ReasonIssuedKey, "RFC 7030, Section 4.2.3", "the certificate is for another key than was asked for", nil)
	}
	_, err := r.issuedChain(cert)
	if err != nil {
		return untrusted(ReasonIssuedChain, "RFC 7030, Section 4.1", "the certificate does not follow from the domain's CA certificates, or is not valid now", err)
	}
	return nil
}

func (r *run) issuedChain(cert *x509.Certificate) ([]*x509.Certificate, error) {
	roots, intermediates := x509.NewCertPool(), x509.NewCertPool()
	for _, c := range anchors(r.cas) {
		roots.AddCert(c)
	}
	for _, c := range r.cas {
		intermediates.AddCert(c)
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

// intermediates returns what stands between cert and its root.
func (r *run) intermediates(cert *x509.Certificate) []*x509.Certificate {
	chain, err := r.issuedChain(cert)
	if err != nil || len(chain) < 2 {
		return nil
	}
	return chain[1 : len(chain)-1]
}

// ldevid is the LDevID as a TLS client presents it.
func (r *run) ldevid() *tls.Certificate {
	c := &tls.Certificate{Certificate: [][]byte{r.cert.Raw}, PrivateKey: r.key, Leaf: r.cert}
	for _, ca := range r.intermediates(r.cert) {
		c.Certificate = append(c.Certificate, ca.Raw)
	}
	return c
}
