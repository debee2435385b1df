package vouchercose

import (
	"slices"
	"strconv"
)

// kind is how a leaf's value is encoded in CBOR (RFC 9254, Section 6).
type kind int

const (
	kindUnknown    kind = iota // any value
	kindText                   // text
	kindDate                   // date-and-time, as text
	kindBinary                 // byte string
	kindNonce                  // byte string, which package voucher has as text
	kindAssertion              // number
	kindFlag                   // true or false
	kindNumber                 // whole number
	kindAgentCert              // byte string, or an array of them as BRSKI-PRM has it
	kindPrivate                // byte string, which JSON has as base64url
	kindExtensions             // array of SIDs and names
)

// leaf is one row of the SID tables of rfc8366bis, Sections 8.5 and 9.3.
type leaf struct {
	name string
	kind kind
}

// container is what a module defines: its name, its SID, and its leaves at
// their deltas from 1 on. One without SID has names for keys.
type container struct {
	name   string
	sid    int64
	leaves []leaf
}

// voucherContainer and requestContainer number their leaves differently.
func voucherContainer() *container {
	return &container{name: "ietf-voucher:voucher", sid: 2451, leaves: []leaf{
		{"assertion", kindAssertion},
		{"created-on", kindDate},
		{"domain-cert-revocation-checks", kindFlag},
		{"expires-on", kindDate},
		{"idevid-issuer", kindBinary},
		{"last-renewal-date", kindDate},
		{"nonce", kindNonce},
		{"pinned-domain-cert", kindBinary},
		{"pinned-domain-pubk", kindBinary},
		{"pinned-domain-pubk-sha256", kindBinary},
		{"serial-number", kindText},
		{"additional-configuration-url", kindText},
		{"est-domain", kindText},
		{"manufacturer-proprietary", kindPrivate},
		{"extensions", kindExtensions},
	}}
}

func requestContainer() *container {
	return &container{name: "ietf-voucher-request:voucher", sid: 2501, leaves: []leaf{
		{"assertion", kindAssertion},
		{"created-on", kindDate},
		{"domain-cert-revocation-checks", kindFlag},
		{"expires-on", kindDate},
		{"idevid-issuer", kindBinary},
		{"last-renewal-date", kindDate},
		{"nonce", kindNonce},
		{"pinned-domain-cert", kindBinary},
		{"prior-signed-voucher-request", kindBinary},
		{"proximity-registrar-cert", kindBinary},
		{"proximity-registrar-pubk-sha256", kindBinary},
		{"proximity-registrar-pubk", kindBinary},
		{"serial-number", kindText},
		{"agent-provided-proximity-registrar-cert", kindBinary},
		{"agent-sign-cert", kindAgentCert},
		{"agent-signed-data", kindBinary},
		{"pinned-domain-pubk", kindBinary},
		{"pinned-domain-pubk-sha256", kindBinary},
		{"additional-configuration-url", kindText},
		{"est-domain", kindText},
		{"extensions", kindExtensions},
		{"manufacturer-proprietary", kindPrivate},
	}}
}

// delegatedContainer is that of draft-ietf-anima-voucher-delegation, Section
// 5, for whose module no SIDs are allocated.
func delegatedContainer() *container {
	return &container{name: "ietf-delegated-voucher:voucher", leaves: append(voucherContainer().leaves, []leaf{
		{"delegation-enable-flag", kindFlag},
		{"pinned-delegation-cert-authority", kindBinary},
		{"pinned-delegation-cert-name", kindBinary},
		{"delegation-voucher", kindBinary},
		{"intermediate-identities", kindBinary},
		{"delegation-countdown", kindNumber},
	}...)}
}

// findContainer returns the one that a key names, or nil.
func findContainer(key any) *container {
	for _, c := range []*container{voucherContainer(), requestContainer(), delegatedContainer()} {
		if key == any(c.name) || c.sid != 0 && key == any(c.sid) {
			return c
		}
	}
	return nil
}

// key is what the container's own key is.
func (c *container) key() any {
	if c.sid == 0 {
		return c.name
	}
	return c.sid
}

// index returns the place of a leaf, or -1.
func (c *container) index(name string) int {
	return slices.IndexFunc(c.leaves, func(l leaf) bool { return l.name == name })
}

// byName returns the leaf of that name; of an unknown one just that.
func (c *container) byName(name string) leaf {
	if i := c.index(name); i >= 0 {
		return c.leaves[i]
	}
	return leaf{name: name}
}

// bySID returns the leaf with that SID, and whether there is one.
func (c *container) bySID(sid int64) (leaf, bool) {
	if d := sid - c.sid; c.sid != 0 && d >= 1 && d <= int64(len(c.leaves)) {
		return c.leaves[d-1], true
	}
	return leaf{}, false
}

// assertions are in the order of their numbers (rfc8366bis, Section 8.5).
func assertions() []string { return []string{"verified", "logged", "proximity", "agent-proximity"} }

const extensionPrefix = "extension:"

// extensionName returns the leaf that holds the data of the module with that
// SID. Without a name for it, the number is the name: no module's begins with a digit.
func (f Format) extensionName(sid int64) string {
	for name, known := range f.ExtensionSIDs {
		if known == sid {
			return name
		}
	}
	return strconv.FormatInt(sid, 10)
}

// extensionSID is the reverse; a name that stands for no SID is written as text.
func (f Format) extensionSID(name string) (sid int64, ok bool) {
	if sid, ok = f.ExtensionSIDs[name]; ok {
		return sid, true
	}
	return numberName(name)
}

// numberName reads the name that [Format.extensionName] gives a SID.
func numberName(name string) (sid int64, ok bool) {
	sid, err := strconv.ParseInt(name, 10, 64)
	return sid, err == nil && sid >= 0 && strconv.FormatInt(sid, 10) == name
}
