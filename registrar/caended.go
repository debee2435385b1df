package registrar

import (
	"crypto/x509"
	"fmt"
	"time"
)

// endedCA returns the refusal of what a CA would have to sign whose certificate
// has ended, or that of one above it (RFC 5280, Section 4.1.2.5), or nil.
func endedCA(chain []*x509.Certificate, at time.Time, err error) *Decision {
	for _, c := range chain {
		if at.After(c.NotAfter) {
			return &Decision{Reason: ReasonCAEnded, Rule: "issuer", RetryAfter: jitter(5 * time.Minute), Err: fmt.Errorf(
				"the CA certificate %q ended at %s; briskest ca renew makes one for the same key, and SIGHUP loads it: %w", c.Subject, c.NotAfter.UTC().Format(time.RFC3339), err)}
		}
	}
	return nil
}
