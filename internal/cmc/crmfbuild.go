package cmc

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/asn1"
	"fmt"
	"time"

	"golang.org/x/crypto/cryptobyte"
	cryptobyte_asn1 "golang.org/x/crypto/cryptobyte/asn1"

	"github.com/briskest/briskest/internal/cms"
)

// CRMFRequest is what NewCRMF builds.
type CRMFRequest struct {
	ID BodyPartID
	// Template is what is asked for. RawSubject nil stands for an empty name; RawSubjectPublicKeyInfo nil for the public key
	// of Key.
	Template CertTemplate
	Controls []CRMFAttribute
	// Key signs the proof of possession: RSA, ECDSA on P-256, P-384 or P-521, or Ed25519; nil for RAVerified or none.
	Key crypto.Signer
	// RAVerified says that an RA has checked possession.
	RAVerified bool
}

// NewCRMF builds a request with subject and public key, as CMC asks for (RFC 5272, Section 3.2.1.2.2); the signature is over the
// CertRequest then (RFC 4211, Section 4.1). Errors: ErrBuild, ErrUnsupportedAlgorithm, or the key's own.
func NewCRMF(r *CRMFRequest) (Request, error) {
	t := r.Template
	if t.RawSubject == nil {
		t.RawSubject = []byte{0x30, 0}
	}
	if t.RawSubjectPublicKeyInfo == nil {
		if r.Key == nil {
			return Request{}, fmt.Errorf("%w: a request has a public key", ErrBuild)
		}
		var err error
		if t.RawSubjectPublicKeyInfo, err = x509.MarshalPKIXPublicKey(r.Key.Public()); err != nil {
			return Request{}, fmt.Errorf("%w: %w", ErrBuild, err)
		}
	}
	request, err := encodeSequence(func(b *cryptobyte.Builder) {
		b.AddASN1Uint64(uint64(r.ID))
		b.AddASN1(cryptobyte_asn1.SEQUENCE, func(b *cryptobyte.Builder) { addCertTemplate(b, &t) })
		addCRMFAttributes(b, r.Controls)
	})
	if err != nil {
		return Request{}, err
	}
	proof, err := r.proof(request)
	if err != nil {
		return Request{}, err
	}
	raw, err := encode(func(b *cryptobyte.Builder) {
		b.AddASN1(contextTag(1), func(b *cryptobyte.Builder) {
			b.AddBytes(request)
			b.AddBytes(proof)
		})
	})
	if err != nil {
		return Request{}, err
	}
	// What we make must be what we take.
	made, err := parseRequest(raw)
	if err != nil {
		return Request{}, fmt.Errorf("%w: %w", ErrBuild, err)
	}
	return made, nil
}

// proof returns ProofOfPossession over the CertRequest (RFC 4211, Section 4).
func (r *CRMFRequest) proof(request []byte) ([]byte, error) {
	if r.RAVerified {
		if r.Key != nil {
			return nil, fmt.Errorf("%w: raVerified and a signature exclude each other", ErrBuild)
		}
		return []byte{0x80, 0}, nil
	}
	if r.Key == nil {
		return nil, nil
	}
	algorithm, hash, err := signatureAlgorithm(r.Key.Public())
	if err != nil {
		return nil, err
	}
	message := request
	if hash != 0 {
		h := hash.New()
		h.Write(request)
		message = h.Sum(nil)
	}
	signature, err := r.Key.Sign(rand.Reader, message, hash)
	if err != nil {
		return nil, fmt.Errorf("signing the proof of possession: %w", err)
	}
	return encode(func(b *cryptobyte.Builder) {
		b.AddASN1(contextTag(1), func(b *cryptobyte.Builder) {
			addAlgorithm(b, algorithm)
			b.AddASN1BitString(signature)
		})
	})
}

// signatureAlgorithm returns how a key signs, and the hash to be signed; 0 stands for the message itself.
func signatureAlgorithm(public crypto.PublicKey) (cms.AlgorithmIdentifier, crypto.Hash, error) {
	switch key := public.(type) {
	case *rsa.PublicKey:
		return cms.AlgorithmIdentifier{OID: oidSHA256WithRSA(), Parameters: []byte{5, 0}}, crypto.SHA256, nil
	case *ecdsa.PublicKey:
		hash, last := crypto.SHA256, 2
		if bits := key.Curve.Params().BitSize; bits > 384 {
			hash, last = crypto.SHA512, 4
		} else if bits > 256 {
			hash, last = crypto.SHA384, 3
		}
		return cms.AlgorithmIdentifier{OID: asn1.ObjectIdentifier{1, 2, 840, 10045, 4, 3, last}}, hash, nil
	case ed25519.PublicKey:
		return cms.AlgorithmIdentifier{OID: asn1.ObjectIdentifier{1, 3, 101, 112}}, 0, nil
	}
	return cms.AlgorithmIdentifier{}, 0, fmt.Errorf("%w: key of type %T", ErrUnsupportedAlgorithm, public)
}

func addCRMFAttributes(b *cryptobyte.Builder, attributes []CRMFAttribute) {
	if len(attributes) == 0 {
		return
	}
	b.AddASN1(cryptobyte_asn1.SEQUENCE, func(b *cryptobyte.Builder) {
		for _, a := range attributes {
			b.AddASN1(cryptobyte_asn1.SEQUENCE, func(b *cryptobyte.Builder) {
				b.AddASN1ObjectIdentifier(a.Type)
				addDER(b, a.Value, "control of a CertRequest")
			})
		}
	})
}

// addCertTemplate adds the fields of a CertTemplate (RFC 4211, Section 5).
func addCertTemplate(b *cryptobyte.Builder, t *CertTemplate) {
	explicit := func(n uint8, der []byte, what string) {
		if der != nil {
			b.AddASN1(contextTag(n), func(b *cryptobyte.Builder) { addDER(b, der, what) })
		}
	}
	explicit(3, t.RawIssuer, "issuer")
	if !t.NotBefore.IsZero() || !t.NotAfter.IsZero() {
		b.AddASN1(contextTag(4), func(b *cryptobyte.Builder) {
			for n, at := range []time.Time{t.NotBefore, t.NotAfter} {
				if !at.IsZero() {
					b.AddASN1(contextTag(uint8(n)), func(b *cryptobyte.Builder) { addCertificateTime(b, at.UTC()) })
				}
			}
		})
	}
	explicit(5, t.RawSubject, "subject")
	if key := cryptobyte.String(t.RawSubjectPublicKeyInfo); key != nil {
		var contents cryptobyte.String
		if !key.ReadASN1(&contents, cryptobyte_asn1.SEQUENCE) || !key.Empty() {
			b.SetError(fmt.Errorf("the public key is no SubjectPublicKeyInfo"))
		}
		b.AddASN1(contextTag(6), func(b *cryptobyte.Builder) { b.AddBytes(contents) })
	}
	if len(t.Extensions) > 0 {
		b.AddASN1(contextTag(9), func(b *cryptobyte.Builder) { addExtensions(b, t.Extensions) })
	}
}

// addCertificateTime adds a Time: UTCTime up to 2049, GeneralizedTime from then on (RFC 5280, Section 4.1.2.5).
func addCertificateTime(b *cryptobyte.Builder, t time.Time) {
	if t.Year() >= 1950 && t.Year() < 2050 {
		b.AddASN1UTCTime(t)
		return
	}
	addTime(b, t)
}
