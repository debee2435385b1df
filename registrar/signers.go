package registrar

import (
	"crypto/sha256"
	"crypto/x509"
	"time"

	"github.com/briskest/briskest/internal/recent"
	"github.com/briskest/briskest/voucher"
)

// signers remembers whose signatures on vouchers a manufacturer's anchors are
// above, and when all of that chain is valid: a MASA signs with the same key for
// all its devices. It belongs to one version of the settings. What led nowhere is
// not remembered.
type signers struct {
	chains *recent.Map[signed, validity]
}

// signed is a manufacturer with the hash of all certificates of an artifact, the
// signer's first: with others beside it the same signer may have no chain.
type signed struct {
	manufacturer string
	certificates [sha256.Size]byte
}

// validity is when a chain is valid, both ends included.
type validity struct{ notBefore, notAfter time.Time }

func newSigners() *signers { return &signers{recent.New[signed, validity](256)} }

// verify tells why the artifact's signer is none of the manufacturer's at that
// time; nil if it is.
func (s *signers) verify(m *Manufacturer, a *voucher.Artifact, at time.Time) error {
	key := signed{m.Name, certificatesOf(a)}
	if v, known := s.chains.Get(key); known && !at.Before(v.notBefore) && !at.After(v.notAfter) {
		return nil
	}
	chain, err := a.VerifySigner(m.VoucherAnchors, at)
	if err != nil {
		return err
	}
	s.chains.Put(key, valid(chain))
	return nil
}

func certificatesOf(a *voucher.Artifact) (sum [sha256.Size]byte) {
	h := sha256.New()
	h.Write(a.Signer.Raw) // DER says where it ends
	for _, c := range a.Certificates {
		h.Write(c.Raw)
	}
	h.Sum(sum[:0])
	return sum
}

// valid is when all of the chain is.
func valid(chain []*x509.Certificate) validity {
	v := validity{chain[0].NotBefore, chain[0].NotAfter}
	for _, c := range chain[1:] {
		if c.NotBefore.After(v.notBefore) {
			v.notBefore = c.NotBefore
		}
		if c.NotAfter.Before(v.notAfter) {
			v.notAfter = c.NotAfter
		}
	}
	return v
}
