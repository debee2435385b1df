package voucher

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"time"
)

// Request is the content of a voucher-request, of a pledge or a registrar
// (RFC 8995, Section 3.3). Zero values are absent leaves.
type Request struct {
	Assertion                           Assertion
	CreatedOn                           time.Time
	ExpiresOn                           time.Time
	SerialNumber                        string
	IDevIDIssuer                        []byte // as in Voucher
	PinnedDomainCert                    []byte // DER; meaning in a request is historic (RFC 8995, Section 3.3)
	PinnedDomainPubk                    []byte
	PinnedDomainPubkSHA256              []byte
	DomainCertRevocationChecks          *bool
	Nonce                               string // opaque, echoed verbatim
	LastRenewalDate                     time.Time
	PriorSignedVoucherRequest           []byte // the pledge's artifact, byte for byte
	ProximityRegistrarCert              []byte // DER
	ProximityRegistrarPubk              []byte // DER SubjectPublicKeyInfo
	ProximityRegistrarPubkSHA256        []byte
	AgentProvidedProximityRegistrarCert []byte   // DER
	AgentSignCert                       [][]byte // DER: the registrar-agent's certificate, and what is above it
	AgentSignedData                     []byte   // the registrar-agent's artifact, byte for byte
	ESTDomain                           string
	AdditionalConfigurationURL          string
	ManufacturerProprietary             json.RawMessage
	Extensions                          map[string]json.RawMessage // as in Voucher
	Unknown                             map[string]json.RawMessage
}

func (r *Request) shared() *shared {
	return &shared{
		assertion: &r.Assertion,
		createdOn: &r.CreatedOn, expiresOn: &r.ExpiresOn, lastRenewalDate: &r.LastRenewalDate,
		serialNumber: &r.SerialNumber, nonce: &r.Nonce, idevidIssuer: &r.IDevIDIssuer,
		pinnedCert: &r.PinnedDomainCert, pinnedPubk: &r.PinnedDomainPubk, pinnedPubkHash: &r.PinnedDomainPubkSHA256,
		revocationChecks: &r.DomainCertRevocationChecks,
		estDomain:        &r.ESTDomain, configurationURL: &r.AdditionalConfigurationURL,
		proprietary: &r.ManufacturerProprietary, extensions: &r.Extensions, unknown: &r.Unknown,
	}
}

// RefuseUnknown returns a [LeafError] of [ErrUnknownLeaf] that names the first
// unknown leaf of r, in order of name, or nil. A registrar and a MASA refuse
// requests with unknown leaves; extensions and manufacturer-proprietary are
// not unknown (rfc8366bis, Sections 8.6 and 8.7). A pledge does not call this:
// it ignores unknown leaves of a voucher (RFC 8995, Section 5.6.1).
func RefuseUnknown(r *Request) error {
	if len(r.Unknown) == 0 {
		return nil
	}
	return leafError(slices.Sorted(maps.Keys(r.Unknown))[0], ErrUnknownLeaf)
}

// CheckRequest returns what a registrar and a MASA refuse in a request although
// opening it takes it: unknown leaves ([RefuseUnknown]) and a nonce that is not
// of 8 to 32 bytes ([CheckNonce]; rfc8366bis, Section 8.4), and agent-proximity
// without the leaves that prove it. A request without nonce passes: whether it
// may be nonceless is policy.
func CheckRequest(r *Request) error {
	if err := RefuseUnknown(r); err != nil {
		return err
	}
	if err := checkAgentProximity(r); err != nil {
		return fmt.Errorf("voucher-request for %q: %w", r.SerialNumber, err)
	}
	if r.Nonce == "" {
		return nil
	}
	if err := CheckNonce(r.Nonce); err != nil {
		return fmt.Errorf("voucher-request for %q: %w", r.SerialNumber, err)
	}
	return nil
}
