package est

import "crypto/x509"

// CSR is a PKCS#10 request (RFC 2986, Section 4) whose signature has been verified.
type CSR struct {
	*x509.CertificateRequest
	ChallengePassword string // RFC 2985, Section 5.4.1; empty for none
}
