package cmc

import (
	"crypto"

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
	// Value is the shared secret: UTF-8, at most MaxText bytes. How short a secret may be is for the caller; MinSecret is what must
	// work.
	Value []byte
	// Identification is the text of the Identification control; empty when the message has none.
	Identification Identification
	// Legacy accepts SHA-1 and HMAC-SHA1, the mandatory algorithms of RFC 5274, Section 4.1, which are too weak today.
	Legacy bool
}

// NewIdentityProofV2 computes the proof over the reqSequence in DER (see PKIData.MarshalRequests) with hash, one of SHA-256, SHA-384, SHA-512, and HMAC
// over the same hash. Errors: ErrUnsupportedAlgorithm, ErrSecret.
func NewIdentityProofV2(hash crypto.Hash, requests []byte, s *Secret) (*IdentityProofV2, error) {
	return nil, ErrBuild
}

// Verify checks the proof over reqSequence as received (PKIData.RawRequests), in constant time for the comparison.
//
// Errors are *Error: badIdentity with ErrProof, badAlg with ErrWeakAlgorithm or ErrUnsupportedAlgorithm; ErrSecret for a secret of ours that is unusable.
func (p *IdentityProofV2) Verify(requests []byte, s *Secret) error {
	return fail(FailBadIdentity, ErrProof)
}

// Verify checks the old proof, HMAC-SHA1 over reqSequence with the SHA-1 of the secret as key (RFC 5272, Section 6.2.2). Only with Legacy. Errors are those of
// IdentityProofV2.Verify.
func (p IdentityProof) Verify(requests []byte, s *Secret) error {
	return fail(FailBadIdentity, ErrProof)
}

// NewPOPLinkWitnessV2 computes the witness over the message's POPLinkRandom. Errors: ErrUnsupportedAlgorithm, ErrSecret.
func NewPOPLinkWitnessV2(hash crypto.Hash, random POPLinkRandom, s *Secret) (*POPLinkWitnessV2, error) {
	return nil, ErrBuild
}

// Verify checks the witness over the message's POPLinkRandom. Errors are *Error: popFailed with ErrProof, badAlg; ErrSecret.
func (w *POPLinkWitnessV2) Verify(random POPLinkRandom, s *Secret) error {
	return fail(FailPOPFailed, ErrProof)
}

// Verify checks the old witness, HMAC-SHA1 over the random value with the SHA-1 of the secret as key (RFC 5272, Section 6.3.1.2). Only with Legacy. Errors are those of
// POPLinkWitnessV2.Verify.
func (w POPLinkWitness) Verify(random POPLinkRandom, s *Secret) error {
	return fail(FailPOPFailed, ErrProof)
}
