// Package voucher implements the voucher and the voucher-request: their
// leaves, value rules and the seam between them and their signed encodings.
//
//   - RFC 8366, with the additions of RFC 8995, Section 3
//   - leaf names and value rules of draft-ietf-anima-rfc8366bis
//
// Start with a [Format] (see voucher/vouchercms). Opening an artifact reports
// who signed it and never decides trust: [Artifact.VerifySigner] is that second call.
package voucher

import (
	"context"
	"crypto"
	"crypto/x509"
	"encoding/json"
	"time"
)

// Assertion says how strong the MASA's statement about ownership is (RFC 8366,
// Section 5.3; agent-proximity is rfc8366bis).
type Assertion string

// The assertions of RFC 8366, Section 5.3, and rfc8366bis.
const (
	Verified       Assertion = "verified"
	Logged         Assertion = "logged"
	Proximity      Assertion = "proximity"
	AgentProximity Assertion = "agent-proximity"
)

// Voucher is the content of an ownership voucher (RFC 8366, Section 5.3). Zero
// values are absent leaves.
type Voucher struct {
	Assertion    Assertion
	CreatedOn    time.Time
	ExpiresOn    time.Time // never together with Nonce in what we sign
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
	Extensions                 map[string]json.RawMessage // leaves "extension:NAME", by whole leaf name
	Unknown                    map[string]json.RawMessage // any other leaf, kept
}

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
	AgentProvidedProximityRegistrarCert []byte
	AgentSignCert                       json.RawMessage
	AgentSignedData                     []byte
	ESTDomain                           string
	AdditionalConfigurationURL          string
	ManufacturerProprietary             json.RawMessage
	Extensions                          map[string]json.RawMessage
	Unknown                             map[string]json.RawMessage
}

// Format is one signed encoding. The Open methods read one whole artifact,
// check its signature with the key of the certificate it carries (or names),
// and report; they never decide whether that signer may be trusted. Both take
// hostile bytes. All methods may be called concurrently.
type Format interface {
	// MediaType is what the artifact travels as, such as "application/voucher-cms+json".
	MediaType() string
	OpenVoucher(data []byte) (*Voucher, *Artifact, error)
	OpenRequest(data []byte) (*Request, *Artifact, error)
	SignVoucher(ctx context.Context, v *Voucher, s *Signer) ([]byte, error)
	SignRequest(ctx context.Context, r *Request, s *Signer) ([]byte, error)
}

// Signer signs artifacts.
type Signer struct {
	Key         crypto.Signer
	Certificate *x509.Certificate
	Chain       []*x509.Certificate // further certificates to include, without Certificate
}

// Artifact reports what opening a signed voucher or request has shown.
type Artifact struct {
	Raw          []byte // as received; stored and forwarded, never re-encoded
	MediaType    string
	Payload      []byte              // the signed content, such as the JSON text
	Signer       *x509.Certificate   // whose key made the signature; not trusted
	Certificates []*x509.Certificate // all that travelled inside, Signer included where it did
	Findings     []Finding           // deviations that were tolerated, in order of appearance
}

// Finding is one tolerated deviation in an artifact.
type Finding struct {
	ID   string // stable, such as "unknown-leaf", "nonce-with-expires-on", "cms-v1-id-data"
	Text string // for people
}

// VerifySigner checks that a.Signer chains to one of roots at the given time,
// through the certificates that travelled with the artifact. It returns the
// chain, leaf first. Extended key usages are not looked at: the caller knows
// which role it needs.
func (a *Artifact) VerifySigner(roots *x509.CertPool, at time.Time) ([]*x509.Certificate, error) {
	intermediates := x509.NewCertPool()
	for _, c := range a.Certificates {
		intermediates.AddCert(c)
	}
	chains, err := a.Signer.Verify(x509.VerifyOptions{
		Roots:         roots,
		Intermediates: intermediates,
		CurrentTime:   at,
		KeyUsages:     []x509.ExtKeyUsage{x509.ExtKeyUsageAny},
	})
	if err != nil {
		return nil, err
	}
	return chains[0], nil
}
