package revocation

import (
	"bytes"
	"crypto/sha256"
	"crypto/x509"
	"encoding/asn1"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"slices"
	"sync"
	"time"

	"golang.org/x/crypto/cryptobyte"
	cbasn1 "golang.org/x/crypto/cryptobyte/asn1"
)

// List is one complete revocation list (RFC 5280, Section 5).
type List struct {
	name       string // for people: file or address
	issuer     []byte // DER of its name
	thisUpdate time.Time
	nextUpdate time.Time
	sum        [sha256.Size]byte // of the DER
	entries    map[string]entry  // by serial number
	scope

	mu       sync.Mutex
	signed   *x509.RevocationList // what the signature is over; nil when only one issuer will ever ask; guarded by mu
	verified [sha256.Size]byte    // the issuer whose signature was found good; guarded by mu
}

// entry is one revoked certificate.
type entry struct {
	at     time.Time
	reason int
}

// scope is what of its issuer's certificates a list is about (RFC 5280, Section 5.2.5).
type scope struct {
	scopeDER    []byte
	points      []string // addresses, one of which the certificate must name; nil for any certificate
	userOnly    bool
	caOnly      bool
	someReasons bool
}

// ParseLists reads lists, PEM or one in DER, and names them in errors and
// answers. A list that could not be used for any certificate is an error.
func ParseLists(name string, data []byte) ([]*List, error) {
	var ders [][]byte
	for rest := data; ; {
		var block *pem.Block
		if block, rest = pem.Decode(rest); block == nil {
			break
		}
		if block.Type != "X509 CRL" {
			return nil, fmt.Errorf("%s: it holds a %s, not an X509 CRL", name, block.Type)
		}
		ders = append(ders, block.Bytes)
	}
	if len(ders) == 0 {
		ders = [][]byte{data}
	}
	lists := make([]*List, len(ders))
	for i, der := range ders {
		var err error
		if lists[i], err = parseList(name, der); err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
	}
	return lists, nil
}

// The extensions of lists and their entries (RFC 5280, Sections 5.2 and 5.3).
var (
	oidDeltaIndicator    = asn1.ObjectIdentifier{2, 5, 29, 27}
	oidIssuingPoint      = asn1.ObjectIdentifier{2, 5, 29, 28}
	oidCertificateIssuer = asn1.ObjectIdentifier{2, 5, 29, 29}
	oidReasonCode        = asn1.ObjectIdentifier{2, 5, 29, 21}
	oidInvalidityDate    = asn1.ObjectIdentifier{2, 5, 29, 24}
	oidAuthorityKey      = asn1.ObjectIdentifier{2, 5, 29, 35}
	oidNumber            = asn1.ObjectIdentifier{2, 5, 29, 20}
)

// removeFromCRL is in delta lists only (RFC 5280, Section 5.3.1).
const removeFromCRL = 8

func parseList(name string, der []byte) (*List, error) {
	list, err := x509.ParseRevocationList(der)
	switch {
	case err != nil:
		return nil, fmt.Errorf("not a revocation list: %w", err)
	case len(list.Raw) != len(der):
		return nil, fmt.Errorf("%d bytes after the revocation list", len(der)-len(list.Raw))
	case list.NextUpdate.IsZero():
		return nil, errors.New("the list does not say when the next one comes (RFC 5280, Section 5.1.2.5)")
	}
	l := &List{
		name: name, issuer: bytes.Clone(list.RawIssuer), thisUpdate: list.ThisUpdate, nextUpdate: list.NextUpdate,
		sum: sha256.Sum256(der), entries: make(map[string]entry, len(list.RevokedCertificateEntries)), signed: list,
	}
	for _, e := range list.Extensions {
		switch {
		case e.Id.Equal(oidDeltaIndicator):
			return nil, errors.New("a delta list, and only complete ones are read here")
		case e.Id.Equal(oidIssuingPoint):
			if l.scope, err = parseScope(e.Value); err != nil {
				return nil, err
			}
		case e.Id.Equal(oidAuthorityKey), e.Id.Equal(oidNumber):
		case e.Critical:
			return nil, fmt.Errorf("the list has the critical extension %s, which is not known here", e.Id)
		}
	}
	for _, e := range list.RevokedCertificateEntries {
		if err := checkEntry(&e); err != nil {
			return nil, err
		}
		if e.ReasonCode != removeFromCRL {
			l.entries[serialKey(e.SerialNumber)] = entry{e.RevocationTime, e.ReasonCode}
		}
	}
	list.RevokedCertificateEntries = nil
	return l, nil
}

func checkEntry(e *x509.RevocationListEntry) error {
	for _, x := range e.Extensions {
		switch {
		case x.Id.Equal(oidCertificateIssuer):
			return errors.New("an indirect list, and only those of the certificates' own issuer are read here")
		case x.Id.Equal(oidReasonCode), x.Id.Equal(oidInvalidityDate):
		case x.Critical:
			return fmt.Errorf("an entry has the critical extension %s, which is not known here", x.Id)
		}
	}
	return nil
}

// parseScope reads an IssuingDistributionPoint (RFC 5280, Section 5.2.5).
func parseScope(der []byte) (scope, error) {
	s := scope{scopeDER: bytes.Clone(der)}
	malformed := errors.New("the list's issuing distribution point is malformed")
	input, body := cryptobyte.String(der), cryptobyte.String(nil)
	if !input.ReadASN1(&body, cbasn1.SEQUENCE) || !input.Empty() {
		return s, malformed
	}
	var point cryptobyte.String
	var named bool
	if !body.ReadOptionalASN1(&point, &named, cbasn1.Tag(0).Constructed().ContextSpecific()) {
		return s, malformed
	}
	if named {
		var err error
		if s.points, err = parsePoint(point); err != nil {
			return s, err
		}
	}
	var indirect, attributes bool
	for tag, flag := range []*bool{1: &s.userOnly, 2: &s.caOnly, 3: nil, 4: &indirect, 5: &attributes} {
		var value cryptobyte.String
		var present bool
		if !body.ReadOptionalASN1(&value, &present, cbasn1.Tag(uint8(tag)).ContextSpecific()) {
			return s, malformed
		}
		switch {
		case !present:
		case flag == nil: // reasons, a BIT STRING
			s.someReasons = true
		case len(value) != 1:
			return s, malformed
		default:
			*flag = value[0] != 0
		}
	}
	switch {
	case !body.Empty():
		return s, malformed
	case indirect:
		return s, errors.New("an indirect list, and only those of the certificates' own issuer are read here")
	case attributes:
		return s, errors.New("a list of attribute certificates")
	}
	return s, nil
}

// parsePoint returns the addresses in a DistributionPointName.
func parsePoint(point cryptobyte.String) ([]string, error) {
	var names cryptobyte.String
	if !point.ReadASN1(&names, cbasn1.Tag(0).Constructed().ContextSpecific()) || !point.Empty() {
		return nil, errors.New("the list's distribution point has no full name")
	}
	points := []string{} // not nil: a point without an address matches no certificate
	for !names.Empty() {
		var name cryptobyte.String
		var tag cbasn1.Tag
		if !names.ReadAnyASN1(&name, &tag) {
			return nil, errors.New("the list's distribution point is malformed")
		}
		if tag == cbasn1.Tag(6).ContextSpecific() { // uniformResourceIdentifier
			points = append(points, string(name))
		}
	}
	return points, nil
}

// covers tells whether the list is about such certificates (RFC 5280, Section
// 6.3.3, step (b)(2)).
func (l *List) covers(cert *x509.Certificate) error {
	switch {
	case !bytes.Equal(l.issuer, cert.RawIssuer):
		return errors.New("a list of another issuer")
	case l.userOnly && cert.IsCA:
		return errors.New("no list of CA certificates")
	case l.caOnly && !cert.IsCA:
		return errors.New("a list of CA certificates")
	case l.points != nil && !slices.ContainsFunc(l.points, func(p string) bool { return slices.Contains(cert.CRLDistributionPoints, p) }):
		return errors.New("a list for another distribution point")
	}
	return nil
}

func (l *List) sameScope(der []byte) bool { return bytes.Equal(l.scopeDER, der) }

// signedBy checks the signature, and that the issuer may sign lists.
func (l *List) signedBy(issuer *x509.Certificate) error {
	id := sha256.Sum256(issuer.Raw)
	l.mu.Lock()
	defer l.mu.Unlock()
	switch {
	case l.verified == id:
		return nil
	case l.signed == nil:
		return errors.New("it was verified for another issuer")
	}
	if err := l.signed.CheckSignatureFrom(issuer); err != nil {
		return err
	}
	l.verified = id
	return nil
}

// release forgets what the signature is over, once it was found good: a list
// that was fetched is kept for one issuer.
func (l *List) release() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.signed = nil
}

func (l *List) entry(serial *big.Int) (entry, bool) {
	e, ok := l.entries[serialKey(serial)]
	return e, ok
}

func (l *List) made() time.Time  { return l.thisUpdate }
func (l *List) until() time.Time { return l.nextUpdate }

// size is about what a list takes in memory that was fetched.
func (l *List) size() int { return 1024 + 128*len(l.entries) }

// same tells whether another list says the same.
func (l *List) same(other evidence) bool {
	o, ok := other.(*List)
	return ok && l.sum == o.sum
}

func serialKey(n *big.Int) string { return string(n.Append(nil, 62)) }
