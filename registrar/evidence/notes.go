package evidence

import (
	"crypto/x509"
	"fmt"
	"maps"
	"slices"
	"strings"
)

// Proves says what a verified archive shows, and DoesNot what it does not.
func Proves() []string {
	return []string{
		"each entry is in the trail whose head was signed with the trail's key, at the place that it says",
		"each record and artifact is byte by byte what its entry vouches for, and no entry here changed it later",
		"the registrar put this archive together and signed it: nothing in it was changed, added, removed or renamed since",
	}
}

// DoesNot says what a verified archive does not show.
func DoesNot() []string {
	return []string{
		"that the registrar left out no entry about the device: for that, briskest trail verify at the registrar, or an export of the whole trail",
		"that nothing happened after the head: ask for a newer archive",
		"that times are right: they are the registrar's clock's",
		"that the trail was not kept twice: compare the head with one that a witness has",
		"that the certificates in cas/ are the domain's: compare them with those that you trust",
	}
}

// notes says what is in certificates and vouchers.
func (c *Content) notes(files map[string][]byte, opts *VerifyOptions) []string {
	var out []string
	var cas []*x509.Certificate
	for _, der := range c.CAs {
		if ca, err := x509.ParseCertificate(der); err == nil {
			cas = append(cas, ca)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(files)) {
		switch {
		case !strings.HasPrefix(name, "artifacts/"):
		case strings.HasSuffix(name, "-certificate.der"):
			out = append(out, name+": "+describe(files[name], cas))
		case strings.HasSuffix(name, "voucher"), strings.HasSuffix(name, "voucher-request"):
			if opts.Open == nil {
				continue
			}
			said, err := opts.Open(files[name])
			if err != nil {
				said = fmt.Sprintf("cannot be opened: %v", err)
			}
			out = append(out, name+": "+said)
		}
	}
	return out
}

func describe(der []byte, cas []*x509.Certificate) string {
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		return "no certificate that this program reads"
	}
	said := fmt.Sprintf("serial number %x, %s, until %s", cert.SerialNumber, cert.Subject, cert.NotAfter.UTC().Format("2006-01-02"))
	for _, ca := range cas {
		if cert.CheckSignatureFrom(ca) == nil {
			return said + fmt.Sprintf(", signed by %s", ca.Subject)
		}
	}
	return said + ", signed by none of the CAs in cas/"
}
