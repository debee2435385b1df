package masa

import (
	"crypto/x509"

	"github.com/briskest/briskest/voucher"
)

// domainNames say what domains are called in one audit-log.
//
// A domainID is the subject key identifier of the certificate that was pinned
// (RFC 8995, Section 5.8.2), and a CA writes there what it likes: a thief that
// takes its victim's would pass for the victim in the very log that is to give
// it away. So a domainID stands for one key in a log. The requester's own
// certificates come first, then those whose identifier follows from the key,
// then whoever came first; everybody else with the same one is called by the
// fingerprint of the key, as if there were no identifier.
type domainNames struct {
	holders map[string][32]byte // the key that a domainID stands for
	keys    map[string][32]byte // of pinned certificates, by their DER
}

// domainNames looks at the vouchers in the order of the log.
func (x *exchange) domainNames(listed []*DomainVouchers) *domainNames {
	n := &domainNames{holders: make(map[string][32]byte), keys: make(map[string][32]byte)}
	for _, chain := range x.chains {
		for _, c := range chain {
			key := keyHash(c)
			n.hold(voucher.DomainID(c), key)
			n.keys[string(c.Raw)] = key
		}
	}
	var unproven []*VoucherRecord
	for _, d := range listed {
		v := d.Newest
		if _, seen := n.keys[string(v.Pinned)]; seen {
			continue
		}
		cert, err := x509.ParseCertificate(v.Pinned)
		if err != nil {
			continue // not from a voucher of this service: its domainID is all there is
		}
		n.keys[string(v.Pinned)] = keyHash(cert)
		if domainIDProven(cert) {
			n.hold(v.DomainID, keyHash(cert))
		} else {
			unproven = append(unproven, v)
		}
	}
	for _, v := range unproven {
		n.hold(v.DomainID, n.keys[string(v.Pinned)])
	}
	return n
}

// hold has a domainID stand for a key, unless it stands for one already.
func (n *domainNames) hold(id []byte, key [32]byte) {
	if _, taken := n.holders[string(id)]; !taken {
		n.holders[string(id)] = key
	}
}

// of returns what the domain of a voucher is called.
func (n *domainNames) of(v *VoucherRecord) []byte {
	key, known := n.keys[string(v.Pinned)]
	if known && n.holders[string(v.DomainID)] != key {
		return key[:] // RFC 7469, Section 2.4
	}
	return v.DomainID
}
