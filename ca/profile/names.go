package profile

import (
	"crypto/x509"
	"crypto/x509/pkix"
	"net"

	"github.com/briskest/briskest/ca"
)

// Requested are the names a CSR asks for, as it writes them.
type Requested struct {
	Subject []byte // DER of the Name; empty for none
	SAN     []byte // DER of the SubjectAltName's GeneralNames; empty for none
}

// FromCSR takes the requested names out of a CSR. Two SubjectAltName
// extensions are refused: which of them was checked would be anybody's guess.
func FromCSR(csr *x509.CertificateRequest) (*Requested, error) {
	r := &Requested{Subject: csr.RawSubject}
	seen := false
	for _, e := range csr.Extensions {
		if !e.Id.Equal(oidCE(17)) {
			continue
		}
		if seen {
			return nil, &NameError{Type: "subject_alt_name", Kind: ErrNameEncoding, Hint: "the extension is there twice"}
		}
		seen, r.SAN = true, e.Value
	}
	return r, nil
}

// Names decides which names the certificate gets: those requested ones the
// profile takes, and those it gives itself from the facts. Every requested
// name is taken or refused by name, each on its own; it is dropped only where
// the profile says that others are ignored. The error is a *[NameError]. facts
// may be nil when no template uses any.
func (p *Profile) Names(r *Requested, facts *Facts) (pkix.RDNSequence, ca.Names, error) {
	if facts == nil {
		facts = new(Facts)
	}
	requested, err := parseName(r.Subject)
	if err != nil {
		return nil, ca.Names{}, err
	}
	general, err := parseGeneralNames(r.SAN)
	if err != nil {
		return nil, ca.Names{}, err
	}
	subject, err := p.subject.decide(requested, facts)
	if err != nil {
		return nil, ca.Names{}, err
	}
	names, err := p.san.decide(general, facts)
	if err != nil {
		return nil, ca.Names{}, err
	}
	if err := p.CheckNames(subject, &names); err != nil {
		return nil, ca.Names{}, err
	}
	return subject, names, nil
}

// CheckNames checks decided names against the profile, as an issuer does that
// does not know who decided and how. Names from templates need only have the
// template's form. The error is a *[NameError].
func (p *Profile) CheckNames(subject pkix.RDNSequence, names *ca.Names) error {
	if err := p.subject.check(subject); err != nil {
		return err
	}
	n, err := p.san.check(names)
	if err != nil {
		return err
	}
	if len(subject) == 0 && n == 0 {
		return &NameError{Type: "subject", Kind: ErrNameMissing, Hint: "a certificate needs a subject or a SubjectAltName"}
	}
	return nil
}

// canonicalIP returns the 4 bytes of an IPv4 address, or the 16 of an IPv6 one.
func canonicalIP(ip net.IP) net.IP {
	if v4 := ip.To4(); v4 != nil {
		return v4
	}
	return ip
}
