// Package evidence writes and verifies archives that show how a device came to
// be in the state that it is in: every entry of the trail about it, every record
// that those entries cover, the artifacts in them, and what proves that all this
// is in the log of a signed head.
//
// [Write] makes an archive, [Verify] checks one with nothing but the trail's
// public key. An archive is an uncompressed tar file that has one form only: the
// verifier builds it again from what is proved, and compares every byte. So
// whatever is changed, added, removed or renamed in it is found.
package evidence

import (
	"crypto"
	"errors"
	"fmt"
	"time"

	"github.com/briskest/briskest/internal/trail"
)

// Limits of an archive. They bound what a verifier allocates.
const (
	MaxArchive = 64 << 20 // bytes
	MaxFiles   = 40_000
	maxName    = 100 // bytes, of a file in it (POSIX.1-1988 ustar)
)

// ErrArchive says that an archive is not as it was written, or not one at all.
var ErrArchive = errors.New("the evidence does not hold")

func broken(format string, args ...any) error {
	return fmt.Errorf("%w: %s", ErrArchive, fmt.Sprintf(format, args...))
}

// Subject is the device that an archive is about.
type Subject struct {
	Domain       string `json:"domain"`
	ID           string `json:"id"`
	Manufacturer string `json:"manufacturer,omitempty"`
	SerialNumber string `json:"serial_number"`
	State        string `json:"state"`
}

// Content is what an archive is made of.
type Content struct {
	Subject Subject
	trail.Extract
	Origin  string // of the trail
	MadeAt  time.Time
	MadeBy  string
	Program string // name and version
	// CAs are certificates (DER) of the CAs that issue to devices, for whoever checks
	// signatures. That they are the domain's is what the archive's signer says; the
	// trail does not cover it.
	CAs [][]byte
}

// Columns names the columns of the table with that label, those of the key first;
// nil for a table that is not known.
type Columns func(label string) (keys, columns []string)

// Signer signs an archive: the trail's key.
type Signer = crypto.Signer
