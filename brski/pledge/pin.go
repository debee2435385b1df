package pledge

import (
	"crypto"
	"crypto/sha256"
	"crypto/x509"
	"slices"

	"github.com/briskest/briskest/voucher"
)

// pin is what a voucher pins: a key, perhaps within a certificate. It is the
// registrar's own or that of a CA above it, and all the trust there is until
// the domain's CA certificates are known (RFC 8995, Section 5.6.2).
type pin struct {
	hash   [sha256.Size]byte // of the SubjectPublicKeyInfo
	cert   *x509.Certificate // nil where a key alone is pinned
	public crypto.PublicKey  // nil where a hash alone is pinned
}

func keyOf(c *x509.Certificate) [sha256.Size]byte { return sha256.Sum256(c.RawSubjectPublicKeyInfo) }

func certPin(c *x509.Certificate) *pin { return &pin{hash: keyOf(c), cert: c, public: c.PublicKey} }

// String names the pin for people.
func (p *pin) String() string {
	if p.cert != nil {
		return p.cert.Subject.String()
	}
	return "key " + hexHash(p.hash[:])[:16]
}

// pinned returns the pin of v. A voucher that pins nothing is one for other
// protocols; that is no error of form (RFC 8995, Section 5.6.1). Of several pins
// the one counts that answers the proximity entry of the request, the others are
// ignored; a voucher without a nonce answers no request, and the first of hash,
// key and certificate counts (draft-ietf-anima-rfc8366bis-36, Section 8). The text
// does not say what counts where several pins are there and the one that answers
// is not: the same order.
//
// A voucher that delegates means more than its pin says; a device that does not
// know what (draft-ietf-anima-voucher-delegation-02, Section 5) leaves it alone.
func pinned(v *voucher.Voucher, request *voucher.Request) (*pin, *Error) {
	if v.Delegation != nil {
		return nil, untrusted(ReasonVoucherNoPin, section561, "the voucher delegates to somebody else, which this device does not follow", nil)
	}
	order := []func(*voucher.Voucher) (*pin, *Error){pinnedHash, pinnedKey, pinnedCert}
	if v.Nonce != "" {
		switch proximityOf(request) {
		case ProximityKey:
			order = slices.Insert(order, 0, pinnedKey)
		case ProximityCert:
			order = slices.Insert(order, 0, pinnedCert)
		case ProximityKeyHash: // the first anyway
		}
	}
	for _, leaf := range order {
		if p, e := leaf(v); p != nil || e != nil {
			return p, e
		}
	}
	return nil, noPin(nil)
}

func noPin(err error) *Error {
	return untrusted(ReasonVoucherNoPin, section561, "the voucher pins neither a certificate nor a key", err)
}

func pinnedHash(v *voucher.Voucher) (*pin, *Error) {
	switch len(v.PinnedDomainPubkSHA256) {
	case 0:
		return nil, nil
	case sha256.Size:
		return &pin{hash: [sha256.Size]byte(v.PinnedDomainPubkSHA256)}, nil
	default:
		return nil, untrusted(ReasonVoucherPin, section561, "the voucher's pinned-domain-pubk-sha256 is no SHA-256", nil)
	}
}

func pinnedKey(v *voucher.Voucher) (*pin, *Error) {
	if len(v.PinnedDomainPubk) == 0 {
		return nil, nil
	}
	public, err := x509.ParsePKIXPublicKey(v.PinnedDomainPubk)
	if err != nil {
		return nil, untrusted(ReasonVoucherPin, section561, "the voucher's pinned-domain-pubk is not a public key", err)
	}
	return &pin{hash: sha256.Sum256(v.PinnedDomainPubk), public: public}, nil
}

func pinnedCert(v *voucher.Voucher) (*pin, *Error) {
	if len(v.PinnedDomainCert) == 0 {
		return nil, nil
	}
	cert, err := x509.ParseCertificate(v.PinnedDomainCert)
	if err != nil {
		return nil, untrusted(ReasonVoucherPin, section561, "the voucher's pinned-domain-cert is not a certificate", err)
	}
	return certPin(cert), nil
}

// anchors returns the certificates that the pin vouches for among those that
// a server showed: its own, and for a key the CAs of that key, and where the
// key is there and not only its hash what it has signed.
func (p *pin) anchors(shown []*x509.Certificate) []*x509.Certificate {
	if p.cert != nil {
		return []*x509.Certificate{p.cert}
	}
	var found []*x509.Certificate
	for i, c := range shown[:min(len(shown), voucher.MaxCertificates)] {
		if (c.IsCA && keyOf(c) == p.hash) || p.signed(c, i == 0) {
			found = append(found, c)
		}
	}
	return found
}

// signed tells whether the pinned key has signed c, which is a CA or the leaf.
func (p *pin) signed(c *x509.Certificate, leaf bool) bool {
	if p.public == nil || !(c.IsCA || leaf) {
		return false
	}
	signer := &x509.Certificate{PublicKey: p.public}
	return signer.CheckSignature(c.SignatureAlgorithm, c.RawTBSCertificate, c.Signature) == nil
}
