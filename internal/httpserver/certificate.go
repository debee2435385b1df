package httpserver

import (
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rsa"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
)

// choose returns the first certificate that suits the client: its server name
// (RFC 9325, Section 3.7) and the signatures it verifies. A client that none
// suits gets the first, and decides for itself.
func choose(certificates []*tls.Certificate, hello *tls.ClientHelloInfo) (*tls.Certificate, error) {
	for _, c := range certificates {
		if hello.SupportsCertificate(c) == nil {
			return c, nil
		}
	}
	if len(certificates) == 0 {
		return nil, errors.New("the server has no certificate")
	}
	return certificates[0], nil
}

// CheckCertificate refuses a server certificate that devices must not be
// shown: a key or a signature too weak (RFC 9325, Section 4.5: RSA below 2048
// bits, curves below 224 bits, SHA-1 and MD5), no name to compare
// (RFC 6125, Section 6.4), no serial number above zero (RFC 5280, Section 4.1.2.2), or
// uses that leave a TLS server out (RFC 5280, Sections 4.2.1.3 and 4.2.1.12).
// The time is not looked at: a registrar whose certificate has expired must
// still start, to be repaired.
func CheckCertificate(c *x509.Certificate) error {
	problem := keyProblem(c)
	switch {
	case problem != "":
	case c.Version != 3:
		problem = "it is not an X.509 version 3 certificate"
	case c.SerialNumber.Sign() <= 0:
		problem = "its serial number is not positive"
	case len(c.DNSNames) == 0 && len(c.IPAddresses) == 0:
		problem = "its SubjectAltName has neither a DNS name nor an IP address that clients could compare"
	case c.KeyUsage != 0 && c.KeyUsage&x509.KeyUsageDigitalSignature == 0:
		problem = "its key usage leaves digitalSignature out"
	case !servesTLS(c):
		problem = "its extended key usage leaves serverAuth out"
	case c.IsCA:
		problem = "it is a CA's"
	}
	if problem != "" {
		return fmt.Errorf("the certificate %q cannot serve TLS: %s; issue another one", c.Subject, problem)
	}
	return nil
}

func keyProblem(c *x509.Certificate) string {
	switch c.SignatureAlgorithm {
	case x509.MD2WithRSA, x509.MD5WithRSA, x509.SHA1WithRSA, x509.DSAWithSHA1, x509.DSAWithSHA256, x509.ECDSAWithSHA1:
		return "it is signed with " + c.SignatureAlgorithm.String()
	}
	switch key := c.PublicKey.(type) {
	case *rsa.PublicKey:
		if key.N.BitLen() < 2048 {
			return fmt.Sprintf("its RSA key has %d bits, and 2048 is the least", key.N.BitLen())
		}
	case *ecdsa.PublicKey:
		if key.Curve.Params().BitSize < 224 {
			return "its curve has less than 224 bits"
		}
	case ed25519.PublicKey:
	default:
		return "its key is of a kind that TLS has no use for"
	}
	return ""
}

func servesTLS(c *x509.Certificate) bool {
	if len(c.ExtKeyUsage) == 0 && len(c.UnknownExtKeyUsage) == 0 {
		return true
	}
	for _, usage := range c.ExtKeyUsage {
		if usage == x509.ExtKeyUsageServerAuth || usage == x509.ExtKeyUsageAny {
			return true
		}
	}
	return false
}
