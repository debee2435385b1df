package cmc

import (
	"crypto"
	"crypto/hmac"
	_ "crypto/sha1" // behind Secret.Legacy only
	_ "crypto/sha256"
	_ "crypto/sha512"
	"encoding/asn1"
	"fmt"
	"unicode/utf8"

	"github.com/briskest/briskest/internal/cms"
)

// IdentityProofV2 proves knowledge of a shared secret (RFC 5272, Section 6.2.1).
type IdentityProofV2 struct {
	Hash    cms.AlgorithmIdentifier // proofAlgID
	MAC     cms.AlgorithmIdentifier // macAlgId
	Witness []byte
}

// POPLinkWitnessV2 ties a request to a shared secret (RFC 5272, Section 6.3.1.1). It sits in the request: see Request.POPLink.
type POPLinkWitnessV2 struct {
	KeyGeneration cms.AlgorithmIdentifier // keyGenAlgorithm
	MAC           cms.AlgorithmIdentifier // macAlgorithm
	Witness       []byte
}

// Secret is what both sides know.
type Secret struct {
	// Value is the shared secret: UTF-8, at most MaxText bytes and not empty. How short a secret may be is for the caller;
	// MinSecret is what must work.
	Value []byte
	// Identification is the text of the message's Identification control, empty when it has none. It is part of the key of
	// identity proofs (RFC 5272, Section 6.2.3), not of POP link witnesses.
	Identification Identification
	// Legacy accepts SHA-1 and HMAC-SHA1, the mandatory algorithms of RFC 5274, Section 4.1, which are too weak today.
	Legacy bool
}

func (s *Secret) check() error {
	if len(s.Value) == 0 || len(s.Value) > MaxText || !utf8.Valid(s.Value) {
		return fmt.Errorf("%w: it is 1 to %d bytes of UTF-8", ErrSecret, MaxText)
	}
	return nil
}

// identityKey is Step 2 of RFC 5272, Section 6.2.1, with the change of Section 6.2.3.
func (s *Secret) identityKey(hash crypto.Hash) []byte {
	h := hash.New()
	h.Write(s.Value)
	h.Write([]byte(s.Identification))
	return h.Sum(nil)
}

// linkKey is Step 2 of RFC 5272, Section 6.3.1.1: the secret alone.
func (s *Secret) linkKey(hash crypto.Hash) []byte {
	h := hash.New()
	h.Write(s.Value)
	return h.Sum(nil)
}

func mac(hash crypto.Hash, key, message []byte) []byte {
	m := hmac.New(hash.New, key)
	m.Write(message)
	return m.Sum(nil)
}

// NewIdentityProofV2 computes the proof over the reqSequence in DER (see PKIData.MarshalRequests) with hash, one of SHA-256,
// SHA-384 and SHA-512, and HMAC over the same hash. Errors: ErrUnsupportedAlgorithm, ErrSecret.
func NewIdentityProofV2(hash crypto.Hash, requests []byte, s *Secret) (*IdentityProofV2, error) {
	digest, keyed, err := algorithmsFor(hash, s)
	if err != nil {
		return nil, err
	}
	return &IdentityProofV2{Hash: digest, MAC: keyed, Witness: mac(hash, s.identityKey(hash), requests)}, nil
}

// Verify checks the proof over reqSequence as received (PKIData.RawRequests). The comparison takes constant time.
//
// Errors are *Error: badIdentity with ErrProof, badAlg with ErrWeakAlgorithm or ErrUnsupportedAlgorithm. A secret of ours that is
// unusable makes ErrSecret, which is no *Error.
func (p *IdentityProofV2) Verify(requests []byte, s *Secret) error {
	hash, keyed, err := proofHashes(p.Hash, p.MAC, s)
	if err != nil {
		return err
	}
	if !hmac.Equal(p.Witness, mac(keyed, s.identityKey(hash), requests)) {
		return fail(FailBadIdentity, ErrProof)
	}
	return nil
}

// Verify checks the old proof, HMAC-SHA1 over reqSequence with the SHA-1 of the secret as key (RFC 5272, Section 6.2.2).
// Only with Legacy. Errors are those of IdentityProofV2.Verify.
func (p IdentityProof) Verify(requests []byte, s *Secret) error {
	if err := s.legacy(); err != nil {
		return err
	}
	if !hmac.Equal(p, mac(crypto.SHA1, s.identityKey(crypto.SHA1), requests)) {
		return fail(FailBadIdentity, ErrProof)
	}
	return nil
}

// NewPOPLinkWitnessV2 computes the witness over the message's POPLinkRandom. Errors: ErrUnsupportedAlgorithm, ErrSecret.
func NewPOPLinkWitnessV2(hash crypto.Hash, random POPLinkRandom, s *Secret) (*POPLinkWitnessV2, error) {
	digest, keyed, err := algorithmsFor(hash, s)
	if err != nil {
		return nil, err
	}
	return &POPLinkWitnessV2{KeyGeneration: digest, MAC: keyed, Witness: mac(hash, s.linkKey(hash), random)}, nil
}

// Verify checks the witness over the message's POPLinkRandom. The key is made by a hash; PBKDF2, which a sender may choose
// too, is not read. Errors are *Error: popFailed with ErrProof, badAlg; and ErrSecret.
func (w *POPLinkWitnessV2) Verify(random POPLinkRandom, s *Secret) error {
	hash, keyed, err := proofHashes(w.KeyGeneration, w.MAC, s)
	if err != nil {
		return err
	}
	if !hmac.Equal(w.Witness, mac(keyed, s.linkKey(hash), random)) {
		return fail(FailPOPFailed, ErrProof)
	}
	return nil
}

// Attribute returns the witness as a control of a CRMF request; its Type and Value make an attribute of PKCS #10 as well
// (RFC 5272, Section 6.3.1.1). Errors: ErrBuild.
func (w *POPLinkWitnessV2) Attribute() (CRMFAttribute, error) {
	value, err := w.value()
	return CRMFAttribute{Type: w.OID(), Value: value}, err
}

// Verify checks the old witness, HMAC-SHA1 over the random value with the SHA-1 of the secret as key (RFC 5272, Section
// 6.3.1.2). Only with Legacy. Errors are those of POPLinkWitnessV2.Verify.
func (w POPLinkWitness) Verify(random POPLinkRandom, s *Secret) error {
	if err := s.legacy(); err != nil {
		return err
	}
	if !hmac.Equal(w, mac(crypto.SHA1, s.linkKey(crypto.SHA1), random)) {
		return fail(FailPOPFailed, ErrProof)
	}
	return nil
}

func (s *Secret) legacy() error {
	if !s.Legacy {
		return fail(FailBadAlg, fmt.Errorf("%w: HMAC-SHA1", ErrWeakAlgorithm))
	}
	return s.check()
}

// proofHashes reads the algorithms of a proof and checks the secret.
func proofHashes(digest, keyed cms.AlgorithmIdentifier, s *Secret) (hash, keyedHash crypto.Hash, err error) {
	if hash, err = s.allowed(hashOf(digest)); err != nil {
		return 0, 0, err
	}
	if keyedHash, err = s.allowed(hmacOf(keyed)); err != nil {
		return 0, 0, err
	}
	return hash, keyedHash, s.check()
}

func (s *Secret) allowed(hash crypto.Hash, err error) (crypto.Hash, error) {
	if err == nil && hash == crypto.SHA1 && !s.Legacy {
		err = fmt.Errorf("%w: SHA-1", ErrWeakAlgorithm)
	}
	if err != nil {
		return 0, fail(FailBadAlg, err)
	}
	return hash, nil
}

// hashOf reads a digest algorithm (RFC 5754, Section 2). Parameters are absent or NULL.
func hashOf(a cms.AlgorithmIdentifier) (crypto.Hash, error) {
	for _, h := range []crypto.Hash{crypto.SHA256, crypto.SHA384, crypto.SHA512, crypto.SHA1} {
		if a.OID.Equal(oidOfHash(h)) && plain(a) {
			return h, nil
		}
	}
	return 0, fmt.Errorf("%w: digest algorithm %s", ErrUnsupportedAlgorithm, a.OID)
}

// hmacOf reads an HMAC (RFC 4231, Section 3.1; RFC 3370, Section 3.1). Parameters are absent or NULL.
func hmacOf(a cms.AlgorithmIdentifier) (crypto.Hash, error) {
	for _, h := range []crypto.Hash{crypto.SHA256, crypto.SHA384, crypto.SHA512, crypto.SHA1} {
		if a.OID.Equal(oidOfHMAC(h)) && plain(a) {
			return h, nil
		}
	}
	if a.OID.Equal(asn1.ObjectIdentifier{1, 3, 6, 1, 5, 5, 8, 1, 2}) && plain(a) {
		return crypto.SHA1, nil // hMAC-SHA1, the identifier that RFC 5274, Section 4.1, means
	}
	return 0, fmt.Errorf("%w: MAC algorithm %s", ErrUnsupportedAlgorithm, a.OID)
}

func plain(a cms.AlgorithmIdentifier) bool {
	return a.Parameters == nil || len(a.Parameters) == 2 && a.Parameters[0] == 5 && a.Parameters[1] == 0
}

// algorithmsFor returns the identifiers of a hash and of HMAC over it.
func algorithmsFor(hash crypto.Hash, s *Secret) (digest, keyed cms.AlgorithmIdentifier, err error) {
	switch hash {
	case crypto.SHA256, crypto.SHA384, crypto.SHA512:
	default:
		return digest, keyed, fmt.Errorf("%w: a proof is made with SHA-256, SHA-384 or SHA-512", ErrUnsupportedAlgorithm)
	}
	if err := s.check(); err != nil {
		return digest, keyed, err
	}
	return cms.AlgorithmIdentifier{OID: oidOfHash(hash)}, cms.AlgorithmIdentifier{OID: oidOfHMAC(hash), Parameters: []byte{5, 0}}, nil
}

func oidOfHash(h crypto.Hash) asn1.ObjectIdentifier {
	last := map[crypto.Hash]int{crypto.SHA256: 1, crypto.SHA384: 2, crypto.SHA512: 3}[h]
	if last == 0 {
		return asn1.ObjectIdentifier{1, 3, 14, 3, 2, 26}
	}
	return asn1.ObjectIdentifier{2, 16, 840, 1, 101, 3, 4, 2, last}
}

func oidOfHMAC(h crypto.Hash) asn1.ObjectIdentifier {
	last := map[crypto.Hash]int{crypto.SHA1: 7, crypto.SHA256: 9, crypto.SHA384: 10, crypto.SHA512: 11}[h]
	return asn1.ObjectIdentifier{1, 2, 840, 113549, 2, last}
}
