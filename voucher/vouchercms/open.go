package vouchercms

import (
	"bytes"
	"crypto/x509"
	"errors"
	"fmt"
	"slices"

	"golang.org/x/crypto/cryptobyte"
	cryptobyte_asn1 "golang.org/x/crypto/cryptobyte/asn1"

	"github.com/briskest/briskest/internal/cms"
	"github.com/briskest/briskest/voucher"
)

// MaxArtifact is the most bytes an artifact may have: the largest payload, and as much again for certificates.
const MaxArtifact = 2 * voucher.MaxPayload

// The findings of the envelope, besides those of package voucher.
const (
	// FindingV1IDData: SignedData version 1 with content type id-data, where RFC 8366, Section 5.4 has
	// id-ct-animaJSONVoucher; minerva (reach, fountain, highway), nqminds and the examples of RFC 8995 do so.
	FindingV1IDData = "cms-v1-id-data"
	// FindingIDData: content type id-data in another version; for peers as above that name the signer by key identifier.
	FindingIDData = "cms-id-data"
	// FindingVersion: the right content type in SignedData that is not version 3. RFC 8366, Section 5.4 has
	// receivers take any version.
	FindingVersion = "cms-version"
	// FindingUnsortedAttributes: signed attributes that are not in the order of DER (RFC 5652, Section 5.3); the NIST
	// pledge whose request is in highway's tests (mranga-1-vr) does so.
	FindingUnsortedAttributes = "cms-unsorted-attributes"
	// FindingUnreadableCertificate: a certificate inside, not the signer's, that crypto/x509 does not read, such as
	// those with a key on secp256k1 in minerva's tests of 2017. It is not among Artifact.Certificates.
	FindingUnreadableCertificate = "cms-unreadable-certificate"
	// FindingSignerNotInside: the signer's certificate was not in the message but among Format.Known.
	FindingSignerNotInside = "cms-signer-certificate-not-inside"
)

// open checks the envelope, in the order parse, form, signature.
func (f Format) open(data []byte) (*voucher.Artifact, error) {
	if len(data) > MaxArtifact {
		return nil, fmt.Errorf("%w: %d bytes, the limit is %d", ErrTooLarge, len(data), MaxArtifact)
	}
	sd, err := cms.ParseSignedDataWith(data, f.Parsed)
	if err != nil {
		return nil, err
	}
	if n := len(sd.Certificates) + len(sd.UnreadableCertificates); n > voucher.MaxCertificates {
		return nil, fmt.Errorf("%w: %d inside, the limit is %d", ErrTooManyCertificates, n, voucher.MaxCertificates)
	}
	a := &voucher.Artifact{Raw: data, MediaType: MediaType, Payload: sd.Content, Certificates: sd.Certificates}
	if err := f.checkForm(sd, a); err != nil {
		return nil, err
	}
	si := sd.Signers[0]
	if a.Signer, err = f.signer(sd, si, a); err != nil {
		return nil, signed(err)
	}
	for _, u := range sd.UnreadableCertificates {
		if !bytes.Equal(u.Raw, a.Signer.Raw) {
			find(a, FindingUnreadableCertificate, "a certificate inside is not readable: %v", u.Err)
		}
	}
	verify := func() error { return sd.Verify(si, a.Signer) }
	if isSecp256k1(a.Signer) {
		verify = func() error { return verifySecp256k1(sd, si, a.Signer.PublicKey) }
	}
	if err := verify(); err != nil {
		return nil, signed(err)
	}
	a.SigningTime = si.SigningTime
	return a, nil
}

// signed marks an error as one of an artifact that is not signed as it must be.
// What we do not know how to check is not marked: it says nothing about the signature.
func signed(err error) error {
	if errors.Is(err, ErrUnsupportedAlgorithm) || errors.Is(err, ErrKeySize) || errors.Is(err, ErrSyntax) {
		return err
	}
	return fmt.Errorf("%w: %w", voucher.ErrSigned, err)
}

// checkForm refuses what a voucher's SignedData must not be (RFC 8366, Section
// 5.4; rfc8366bis, Section 7.1) and notes what it ought not to be.
func (f Format) checkForm(sd *cms.SignedData, a *voucher.Artifact) error {
	if sd.Content == nil {
		return ErrNoContent
	}
	if len(sd.Signers) != 1 {
		return signed(fmt.Errorf("%w: %d signers", ErrSigners, len(sd.Signers)))
	}
	si := sd.Signers[0]
	// Always, id-data included: without them, the attributes of any other
	// message by the same key could be passed off as content.
	if !si.HasSignedAttributes {
		return signed(ErrNoSignedAttributes)
	}
	isIDData := sd.ContentType.Equal(cms.OIDData())
	switch {
	case isIDData && !f.StrictRFC8366:
		id := FindingIDData
		if sd.Version == 1 {
			id = FindingV1IDData
		}
		find(a, id, "SignedData version %d with content type id-data", sd.Version)
	case !sd.ContentType.Equal(cms.OIDAnimaJSONVoucher()):
		return fmt.Errorf("%w: %s", ErrContentType, sd.ContentType)
	case sd.Version != 3:
		find(a, FindingVersion, "SignedData version %d, not 3", sd.Version)
	}
	if !sorted(si.SignedAttributes) {
		find(a, FindingUnsortedAttributes, "the signed attributes are not in the order of DER")
	}
	return nil
}

// signer returns the certificate that si names, of those inside or else of those known.
func (f Format) signer(sd *cms.SignedData, si *cms.SignerInfo, a *voucher.Artifact) (*x509.Certificate, error) {
	cert, err := sd.SignerCertificate(si)
	if !errors.Is(err, ErrNoSignerCertificate) {
		return cert, err
	}
	if f.Secp256k1 {
		for _, u := range sd.UnreadableCertificates {
			if cert := readSecp256k1(u.Raw); cert != nil && si.Names(cert) {
				a.Certificates = append(a.Certificates, cert)
				find(a, FindingSecp256k1, "the signer's key is on the curve secp256k1")
				return cert, nil
			}
		}
	}
	known := slices.IndexFunc(f.Known, si.Names)
	if known < 0 {
		return nil, err
	}
	find(a, FindingSignerNotInside, "the signer's certificate is not inside")
	return f.Known[known], nil
}

func find(a *voucher.Artifact, id, format string, args ...any) {
	a.Findings = append(a.Findings, voucher.Finding{ID: id, Text: fmt.Sprintf(format, args...)})
}

// sorted tells whether attributes are in the order of a SET OF in DER (X.690, Section 11.6).
func sorted(attributes []cms.Attribute) bool {
	encoded, err := encode(attributes)
	return err == nil && slices.IsSortedFunc(encoded, bytes.Compare)
}

// encode returns each attribute in DER.
func encode(attributes []cms.Attribute) ([][]byte, error) {
	encoded := make([][]byte, 0, len(attributes))
	for _, a := range attributes {
		var b cryptobyte.Builder
		b.AddASN1(cryptobyte_asn1.SEQUENCE, func(b *cryptobyte.Builder) {
			b.AddASN1ObjectIdentifier(a.Type)
			b.AddASN1(cryptobyte_asn1.SET, func(b *cryptobyte.Builder) { b.AddBytes(slices.Concat(a.Values...)) })
		})
		der, err := b.Bytes()
		if err != nil {
			return nil, fmt.Errorf("%w: signed attribute: %w", ErrSyntax, err)
		}
		encoded = append(encoded, der)
	}
	return encoded, nil
}
