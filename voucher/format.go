package voucher

import (
	"bytes"
	"context"
	"crypto"
	"crypto/x509"
	"fmt"
	"time"
)

// Format is one signed encoding. The Open methods read one whole artifact,
// check its signature with the key of the certificate it carries (or names),
// and report; they never decide whether that signer may be trusted. Both take
// hostile bytes. All methods may be called concurrently.
type Format interface {
	// MediaType is what the artifact travels as, such as "application/voucher-cms+json".
	MediaType() string
	// OpenVoucher opens a signed voucher. Its errors wrap those of this package
	// for the content and those of the implementation for the signature.
	OpenVoucher(data []byte) (*Voucher, *Artifact, error)
	// OpenRequest opens a signed voucher-request, of a pledge or a registrar.
	OpenRequest(data []byte) (*Request, *Artifact, error)
	// SignVoucher encodes and signs v. It refuses what [MarshalVoucher] refuses.
	SignVoucher(ctx context.Context, v *Voucher, s *Signer) ([]byte, error)
	// SignRequest encodes and signs r. It refuses what [MarshalRequest] refuses.
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
	// Countersigners are those whose further signatures hold too, in order; not
	// trusted. In BRSKI with pledge in responder mode the registrar adds one to
	// the MASA's (draft-ietf-anima-brski-prm, Section 7.3.6).
	Countersigners []*x509.Certificate
	// SigningTime is when the signer says it signed; zero where it does not
	// say. A pledge with a clock checks it (RFC 8995, Section 2.6.1).
	SigningTime time.Time
}

// Finding is one tolerated deviation in an artifact.
type Finding struct {
	ID   string // stable, such as "unknown-leaf", "nonce-with-expires-on", "cms-v1-id-data"
	Text string // for people
}

// The findings of the content. Each names the peer that needs it. A format adds its own.
const (
	// FindingUnknownLeaf: a leaf that is in no module we know. Kept in Unknown.
	FindingUnknownLeaf = "unknown-leaf"
	// FindingNonceWithExpiresOn: RFC 8366, Section 5.3 has one or the other; nqminds' MASA sends both.
	FindingNonceWithExpiresOn = "nonce-with-expires-on"
	// FindingVoucherRootInRequest: nqminds puts requests into "ietf-voucher:voucher".
	FindingVoucherRootInRequest = "voucher-root-in-request"
	// FindingCreatedOnMissing: mandatory in RFC 8366, Section 5.3; nqminds' MASA leaves it out.
	FindingCreatedOnMissing = "created-on-missing"
	// FindingDateWithoutTime: created-on is a date alone, read as midnight UTC; minerva's chariwt did so in 2017.
	FindingDateWithoutTime = "date-without-time"
	// FindingBase64LineBreaks: binary leaf with line feeds in its base64; minerva's fountain and chariwt did so in 2016 and 2017.
	FindingBase64LineBreaks = "base64-line-breaks"
	// FindingNonceLength: fewer than 8 bytes after base64, but 8 or more characters; minerva's highway counts characters ("abcd1234").
	FindingNonceLength = "nonce-length"
	// FindingPriorNotArtifact: prior-signed-voucher-request is a JSON object and not a signed artifact; minerva's
	// highway has such a request. The object is kept in Unknown, so that CheckRequest refuses it.
	FindingPriorNotArtifact = "prior-signed-not-an-artifact"
	// FindingIDevIDIssuerForm: idevid-issuer is not the whole extension value of rfc8366bis, Section 6.3; nqminds
	// sends the issuer's name as text, or the key identifier in an OCTET STRING.
	FindingIDevIDIssuerForm = "idevid-issuer-form"
	// FindingLastRenewalDate: last-renewal-date without expires-on (RFC 8366, Section 5.3). Informative to pledges, so taken.
	FindingLastRenewalDate = "last-renewal-without-expires-on"
	// FindingExtensionUnlisted: an "extension:NAME" leaf that the leaf "extensions" does not list (rfc8366bis, Section 8.6).
	FindingExtensionUnlisted = "extension-unlisted"
)

// MaxCertificates is how many certificates an artifact may carry, and how many
// a chain is looked for among. A chain has 3 or 4; looking for one costs a
// signature check or more for each.
const MaxCertificates = 16

// VerifySigner checks that a.Signer chains to one of roots at the given time,
// through the certificates that travelled with the artifact. It returns the
// chain, leaf first. Extended key usages are not looked at: the caller knows
// which role it needs. Errors: those of [Intermediates] and of crypto/x509.
func (a *Artifact) VerifySigner(roots *x509.CertPool, at time.Time) ([]*x509.Certificate, error) {
	intermediates, err := Intermediates(a.Signer, a.Certificates)
	if err != nil {
		return nil, err
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

// Intermediates returns those certificates of bag, which a peer chose, that a
// chain from leaf can run through: the CAs that leaf, or another of them, names
// as issuer. Nothing of theirs is verified. More than [MaxCertificates] of them
// are [ErrTooManyCertificates], so that looking for a chain costs what a few do.
func Intermediates(leaf *x509.Certificate, bag []*x509.Certificate) (*x509.CertPool, error) {
	pool := x509.NewCertPool()
	if leaf == nil {
		return pool, nil
	}
	wanted := [][]byte{leaf.RawIssuer}
	seen := map[string]bool{string(leaf.Raw): true}
	for n := 0; n < len(wanted); n++ {
		for _, c := range bag {
			if !c.IsCA || seen[string(c.Raw)] || !bytes.Equal(c.RawSubject, wanted[n]) {
				continue
			}
			if len(wanted) > MaxCertificates {
				return nil, fmt.Errorf("%w: a chain could run through more than %d", ErrTooManyCertificates, MaxCertificates)
			}
			seen[string(c.Raw)] = true
			wanted = append(wanted, c.RawIssuer)
			pool.AddCert(c)
		}
	}
	return pool, nil
}
