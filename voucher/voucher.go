// Package voucher implements the voucher and the voucher-request: their
// leaves, value rules and the seam between them and their signed encodings.
//
//   - RFC 8366, with the additions of RFC 8995, Section 3
//   - leaf names and value rules of draft-ietf-anima-rfc8366bis, those for
//     cloud registrars and for pledges in responder mode included
//   - the leaves of draft-ietf-anima-voucher-delegation
//
// Start with a [Format] (see voucher/vouchercms and voucher/voucherjws). Opening an artifact reports
// who signed it and never decides trust: [Artifact.VerifySigner] is that second call.
//
// What is read is checked for form: JSON without duplicate members, leaves of
// the right type, dates, base64, the mandatory leaves. Deviations that a named
// implementation is known for are taken and reported as a [Finding]; the mode
// [StrictRFC8366] refuses them. A registrar and a MASA call [CheckRequest]
// besides, a pledge ignores what it does not know (RFC 8995, Section 5.6.1).
//
// The package also knows what an IDevID says to these protocols: the serial
// number, the idevid-issuer and the MASA URL. It stores nothing.
package voucher

import (
	"encoding/json"
	"time"
)

// Assertion says how strong the MASA's statement about ownership is
// (RFC 8366, Section 5.3; agent-proximity is rfc8366bis).
type Assertion string

// The assertions of RFC 8366, Section 5.3, and rfc8366bis.
const (
	Verified       Assertion = "verified"
	Logged         Assertion = "logged"
	Proximity      Assertion = "proximity"
	AgentProximity Assertion = "agent-proximity"
)

// known tells whether a is in the enumeration.
func (a Assertion) known() bool {
	switch a {
	case Verified, Logged, Proximity, AgentProximity:
		return true
	default:
		return false
	}
}

// Voucher is the content of an ownership voucher (RFC 8366, Section 5.3). Zero
// values are absent leaves.
type Voucher struct {
	Assertion    Assertion
	CreatedOn    time.Time
	ExpiresOn    time.Time // together with Nonce only where AllowNonceWithExpiresOn
	SerialNumber string
	IDevIDIssuer []byte // the AuthorityKeyIdentifier extension value, whole (rfc8366bis, Section 6.3)
	// PinnedDomainCert, PinnedDomainPubk and PinnedDomainPubkSHA256 are the
	// pins; a voucher has at least one. DER.
	PinnedDomainCert           []byte
	PinnedDomainPubk           []byte
	PinnedDomainPubkSHA256     []byte
	DomainCertRevocationChecks *bool
	Nonce                      string // opaque, echoed verbatim
	LastRenewalDate            time.Time
	ESTDomain                  string
	AdditionalConfigurationURL string
	ManufacturerProprietary    json.RawMessage
	// Delegation makes it a delegated voucher; nil in all others.
	Delegation *Delegation
	// Extensions holds the leaves "extension:NAME", by whole leaf name. A nil
	// value is an extension that the leaf "extensions" lists and that has no data.
	Extensions map[string]json.RawMessage
	Unknown    map[string]json.RawMessage // any other leaf, kept
	// AllowNonceWithExpiresOn has signing take both leaves: rfc8366bis dropped
	// the choice that RFC 8366, Section 5.3 has. It is no leaf, and reading a
	// voucher does not set it.
	AllowNonceWithExpiresOn bool
}

// shared are the leaves that vouchers and voucher-requests have in common
// (RFC 8995, Section 3.4: the request uses the voucher's grouping).
type shared struct {
	assertion                              *Assertion
	createdOn, expiresOn, lastRenewalDate  *time.Time
	serialNumber, nonce                    *string
	idevidIssuer                           *[]byte
	pinnedCert, pinnedPubk, pinnedPubkHash *[]byte
	revocationChecks                       **bool
	estDomain, configurationURL            *string
	proprietary                            *json.RawMessage
	extensions, unknown                    *map[string]json.RawMessage
	nonceWithExpiresOn                     bool // allowed in what is signed
}

func (v *Voucher) shared() *shared {
	return &shared{
		assertion: &v.Assertion,
		createdOn: &v.CreatedOn, expiresOn: &v.ExpiresOn, lastRenewalDate: &v.LastRenewalDate,
		serialNumber: &v.SerialNumber, nonce: &v.Nonce, idevidIssuer: &v.IDevIDIssuer,
		pinnedCert: &v.PinnedDomainCert, pinnedPubk: &v.PinnedDomainPubk, pinnedPubkHash: &v.PinnedDomainPubkSHA256,
		revocationChecks: &v.DomainCertRevocationChecks,
		estDomain:        &v.ESTDomain, configurationURL: &v.AdditionalConfigurationURL,
		proprietary: &v.ManufacturerProprietary, extensions: &v.Extensions, unknown: &v.Unknown,
		nonceWithExpiresOn: v.AllowNonceWithExpiresOn,
	}
}
