package events

import (
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"time"

	"github.com/briskest/briskest/registrar"
)

// complete fills in what the record has of a certificate.
func (c *Certificate) complete(row *registrar.Certificate) {
	c.Issuer, c.Profile, c.Subject = row.Issuer, row.Profile, row.Subject
	c.NotAfter = row.NotAfter.UTC().Format(time.RFC3339)
	if len(row.Raw) == 0 {
		return
	}
	sum := sha256.Sum256(row.Raw)
	c.SHA256 = hex.EncodeToString(sum[:])
	cert, err := x509.ParseCertificate(row.Raw)
	if err != nil {
		return // what is known is what was decided
	}
	c.Common, c.DNS, c.Email = cert.Subject.CommonName, cert.DNSNames, cert.EmailAddresses
	for _, ip := range cert.IPAddresses {
		c.IP = append(c.IP, ip.String())
	}
	for _, u := range cert.URIs {
		c.URI = append(c.URI, u.String())
	}
}
