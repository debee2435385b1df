package registrar

import "crypto/x509"

// usageChecker is a Profile that knows which key usages its certificates get.
type usageChecker interface {
	// CheckUsage refuses a CSR that asks for none of them; the error as that of
	// Profile.CheckKey.
	CheckUsage(csr *x509.CertificateRequest) error
}

// checkUsage refuses to turn a key usage into another one (RFC 5272, Section
// 3.1). Of a key that is made here only the profile says what it is for.
func checkUsage(c *Case) *Decision {
	p, ok := c.Label.Profile.(usageChecker)
	if !ok || c.Generate != nil {
		return nil
	}
	if err := p.CheckUsage(c.CSR); err != nil {
		return &Decision{Reason: ReasonKeyRefused, Rule: "key-usage", Message: sentence(ReasonKeyRefused, err), Err: err}
	}
	return nil
}
