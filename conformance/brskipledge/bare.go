package brskipledge

import (
	"crypto"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509/pkix"
	"encoding/asn1"
	"errors"
	"math/big"

	"github.com/briskest/briskest/internal/cms"
)

// The parts of SignedData (RFC 5652, Section 5.1), with one signer.
type (
	contentInfo struct {
		Type    asn1.ObjectIdentifier
		Content signedData `asn1:"explicit,tag:0"`
	}
	signedData struct {
		Version      int
		Digests      []pkix.AlgorithmIdentifier `asn1:"set"`
		Content      encapsulated
		Certificates asn1.RawValue
		Signers      []bareSigner `asn1:"set"`
	}
	encapsulated struct {
		Type    asn1.ObjectIdentifier
		Content []byte `asn1:"explicit,tag:0"`
	}
	bareSigner struct {
		Version   int
		Name      issuerAndSerial
		Digest    pkix.AlgorithmIdentifier
		Algorithm pkix.AlgorithmIdentifier
		Signature []byte
	}
	issuerAndSerial struct {
		Issuer asn1.RawValue
		Serial *big.Int
	}
)

// bare signs a payload in CMS without signed attributes, which RFC 5652, Section
// 5.3, has only for content of type id-data. The signer's key is ECDSA.
func bare(payload []byte, d *draft) ([]byte, error) {
	s := signerOf(d.signer)
	if s.Key == nil || s.Certificate == nil {
		return nil, errors.New("no signer")
	}
	digest := sha256.Sum256(payload)
	signature, err := s.Key.Sign(rand.Reader, digest[:], crypto.SHA256)
	if err != nil {
		return nil, err
	}
	sha := pkix.AlgorithmIdentifier{Algorithm: asn1.ObjectIdentifier{2, 16, 840, 1, 101, 3, 4, 2, 1}}
	ecdsa := pkix.AlgorithmIdentifier{Algorithm: asn1.ObjectIdentifier{1, 2, 840, 10045, 4, 3, 2}}
	return asn1.Marshal(contentInfo{cms.OIDSignedData(), signedData{
		Version: 3, Digests: []pkix.AlgorithmIdentifier{sha}, Content: encapsulated{cms.OIDAnimaJSONVoucher(), payload},
		Certificates: asn1.RawValue{Class: asn1.ClassContextSpecific, Tag: 0, IsCompound: true, Bytes: s.Certificate.Raw},
		Signers: []bareSigner{{
			Version: 1, Name: issuerAndSerial{asn1.RawValue{FullBytes: s.Certificate.RawIssuer}, s.Certificate.SerialNumber},
			Digest: sha, Algorithm: ecdsa, Signature: signature,
		}},
	}})
}
