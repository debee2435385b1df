package registrar

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"time"
)

// MaxPartitions is how many partitions the lists of an authority may have.
const MaxPartitions = 1 << 16

// CRLScope names one series of revocation lists.
type CRLScope struct {
	Authority string // as in Certificate
	// Count of partitions, a power of two up to MaxPartitions, and the place of this
	// one among them. 1 and 0: the list of all.
	Count, Index int
	Delta        bool // what changed since a full list (RFC 5280, Section 5.2.4)
}

// valid says whether there can be such a series.
func (c *CRLScope) valid() bool {
	return c.Authority != "" && validPartitions(c.Count) && c.Index >= 0 && c.Index < c.Count
}

func validPartitions(n int) bool { return n >= 1 && n <= MaxPartitions && n&(n-1) == 0 }

// places are the first and the last place of the scope.
func (c *CRLScope) places() (first, last int) {
	each := MaxPartitions / c.Count
	return c.Index * each, (c.Index+1)*each - 1
}

// PlaceOf says where among MaxPartitions a serial number (big-endian, minimal)
// stands: the first 16 bits of its SHA-256. Partition i of 2^n has those whose
// first n bits are i.
func PlaceOf(serial []byte) int {
	sum := sha256.Sum256(serial)
	return int(binary.BigEndian.Uint16(sum[:2]))
}

// CRL is one signed list on record.
type CRL struct {
	Domain string
	CRLScope
	Number int64
	// Change is the newest Revocation.Change of the authority that it may tell of: of
	// later ones it does not know.
	Change     int64
	ThisUpdate time.Time
	NextUpdate time.Time
	// Bases of a full list are those that a delta may stand on: full lists that
	// somebody may still use, oldest first, this one last.
	Bases []CRLBase
	Raw   []byte
}

// CRLBase is a full list that was signed.
type CRLBase struct {
	Number     int64     `json:"n"`
	Change     int64     `json:"c"`
	NextUpdate time.Time `json:"u"`
}

// CRLPartitions says that certificates of the authority may name this count.
type CRLPartitions struct {
	Domain    string
	Authority string
	Count     int
}

// Revocation is a certificate that is or was revoked, as lists need it.
type Revocation struct {
	Place    int // PlaceOf its serial number
	Serial   []byte
	Change   int64 // counts up with each change to a revocation of the authority
	At       time.Time
	Reason   int // CRLReason; ReasonRelease: it was on hold, and is not any more
	NotAfter time.Time
}

// RevocationQuery filters Revocations.
type RevocationQuery struct {
	Domain    string
	Authority string
	First     int // place
	Last      int // place, inclusive
	// Since leaves only changes after that one; negative: all.
	Since int64
	After *Revocation // place and serial, exclusive; nil for the start
	Limit int         // 1 to 10000
}

// CertificateState is what a responder tells of a certificate.
type CertificateState struct {
	Issued  bool // it exists, revoked or not
	Revoked bool
	At      time.Time // of the revocation
	Reason  int       // CRLReason (RFC 5280, Section 5.3.1)
}

// CRLs reads revocation lists and what they are made of.
type CRLs interface {
	// LatestCRL returns the list of that scope with the highest number, or ErrNotFound.
	LatestCRL(ctx context.Context, domain string, scope CRLScope) (*CRL, error)
	// Revocations returns up to limit rows in order of place and serial number.
	Revocations(ctx context.Context, q *RevocationQuery) ([]*Revocation, error)
	// LatestChange returns the highest Revocation.Change of an authority; 0 for none.
	LatestChange(ctx context.Context, domain, authority string) (int64, error)
	// CertificateState returns that of a certificate; the zero value when none was
	// issued with that serial number.
	CertificateState(ctx context.Context, domain, authority string, serial []byte) (CertificateState, error)
	// CRLPartitions returns the counts on record for an authority, in order.
	CRLPartitions(ctx context.Context, domain, authority string) ([]int, error)
}
