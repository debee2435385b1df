package cms

import (
	"bytes"
	"crypto/rsa"
	"crypto/x509"
	"encoding/asn1"
	"fmt"
	"math/big"
	"time"

	"golang.org/x/crypto/cryptobyte"
	cryptobyte_asn1 "golang.org/x/crypto/cryptobyte/asn1"
)

// SignedData is what a SignedData object says (RFC 5652, Section 5.1). Its byte slices may share memory with the
// bytes it was parsed from.
type SignedData struct {
	// Version is the CMSVersion as sent: 1, 3, 4 or 5.
	Version int
	// ContentType is eContentType.
	ContentType asn1.ObjectIdentifier
	// Content is eContent; nil when absent, empty but not nil when present and empty.
	Content []byte
	// Certificates are those that could be read, in order of appearance. Nothing vouches for them.
	Certificates []*x509.Certificate
	// UnreadableCertificates are those that crypto/x509 refuses, and attribute certificates. They do not make the
	// object unreadable: another certificate, or one the caller has, may be the signer's.
	UnreadableCertificates []UnreadableCertificate
	// CRLs are the members of the crls field in DER, unparsed.
	CRLs [][]byte
	// Signers are all signers, none of them verified. There may be none.
	Signers []*SignerInfo
}

// UnreadableCertificate is a member of the certificates field that is no certificate crypto/x509 can read.
type UnreadableCertificate struct {
	Raw []byte // DER
	Err error  // why
}

// SignerInfo is one signer's part of SignedData (RFC 5652, Section 5.3).
type SignerInfo struct {
	// Version is the CMSVersion as sent: 1 or 3.
	Version int
	// RawIssuer and SerialNumber name the signer's certificate; unset when SubjectKeyID does.
	RawIssuer    []byte
	SerialNumber *big.Int
	// SubjectKeyID names the signer's certificate; nil when issuer and serial number do.
	SubjectKeyID []byte
	// DigestAlgorithm and SignatureAlgorithm are as sent, whether or not supported.
	DigestAlgorithm    AlgorithmIdentifier
	SignatureAlgorithm AlgorithmIdentifier
	// HasSignedAttributes tells whether the signature is over attributes, or over the content itself.
	HasSignedAttributes bool
	// SignedAttributes are in the order sent.
	SignedAttributes []Attribute
	// SigningTime is the signer's claim (RFC 5652, Section 11.3); zero when absent or not a time.
	SigningTime time.Time
	// Signature is the signature value.
	Signature []byte
	// UnsignedAttributes are in the order sent; nothing protects them.
	UnsignedAttributes []Attribute
}

// Attribute is one attribute of a signer (RFC 5652, Section 5.3).
type Attribute struct {
	Type   asn1.ObjectIdentifier
	Values [][]byte // DER
	raw    []byte   // the whole Attribute
}

// AlgorithmIdentifier names an algorithm (RFC 5280, Section 4.1.1.2).
type AlgorithmIdentifier struct {
	OID        asn1.ObjectIdentifier
	Parameters []byte // DER; nil when absent
}

// ParseSignedData reads one whole ContentInfo that holds SignedData (RFC 5652, Sections 3 and 5), BER or DER.
// It verifies nothing. At most MaxSize bytes, and the other limits in this package.
//
// Errors: ErrSyntax, ErrTrailingData, ErrTooDeep, ErrTooLarge, ErrKeySize, ErrVersion, ErrNotSignedData. Absent
// content is no error here; Verify refuses it.
func ParseSignedData(data []byte) (*SignedData, error) { return ParseSignedDataWith(data, nil) }

// ParseSignedDataWith is ParseSignedData for a caller that may have certificates of the object already: parsed returns
// the one with that DER, or nil. It is not trusted for that. A nil function has none.
func ParseSignedDataWith(data []byte, parsed func(der []byte) *x509.Certificate) (*SignedData, error) {
	body, err := openContentInfo(data)
	if err != nil {
		return nil, err
	}
	if !body.contentType.Equal(OIDSignedData()) {
		return nil, fmt.Errorf("%w but %s", ErrNotSignedData, body.contentType)
	}
	sd := new(SignedData)
	if err := sd.parse(body.content, parsed); err != nil {
		return nil, err
	}
	return sd, nil
}

// SignerCertificate returns the certificate among sd.Certificates that si names, by issuer and serial number or by
// subject key identifier (RFC 5652, Section 5.3). Errors: ErrNoSignerCertificate; ErrAmbiguousSigner when two
// different certificates answer to the name.
func (sd *SignedData) SignerCertificate(si *SignerInfo) (*x509.Certificate, error) {
	var found *x509.Certificate
	for _, c := range sd.Certificates {
		if !si.Names(c) {
			continue
		}
		if found != nil && !found.Equal(c) {
			return nil, ErrAmbiguousSigner
		}
		found = c
	}
	switch {
	case found != nil:
		return found, nil
	case len(sd.UnreadableCertificates) > 0:
		return nil, fmt.Errorf("%w; %d in it cannot be read, the first because: %w", ErrNoSignerCertificate,
			len(sd.UnreadableCertificates), sd.UnreadableCertificates[0].Err)
	}
	return nil, ErrNoSignerCertificate
}

// Names tells whether c is the certificate that the signer names. It proves nothing about the signature.
func (si *SignerInfo) Names(c *x509.Certificate) bool {
	if si.SubjectKeyID != nil {
		return len(c.SubjectKeyId) > 0 && bytes.Equal(c.SubjectKeyId, si.SubjectKeyID)
	}
	return si.SerialNumber != nil && c.SerialNumber != nil &&
		si.SerialNumber.Cmp(c.SerialNumber) == 0 && bytes.Equal(si.RawIssuer, c.RawIssuer)
}

// contentInfo is an opened ContentInfo: its type, and the one element it holds.
type contentInfo struct {
	contentType asn1.ObjectIdentifier
	content     cryptobyte.String
}

// openContentInfo reads ContentInfo (RFC 5652, Section 3).
func openContentInfo(data []byte) (contentInfo, error) {
	var info contentInfo
	der, err := ToDER(data)
	if err != nil {
		return info, err
	}
	in := cryptobyte.String(der)
	var outer cryptobyte.String
	if !in.ReadASN1(&outer, cryptobyte_asn1.SEQUENCE) ||
		!outer.ReadASN1ObjectIdentifier(&info.contentType) {
		return info, fmt.Errorf("%w: not a ContentInfo", ErrSyntax)
	}
	if outer.Empty() {
		return info, fmt.Errorf("%w: ContentInfo of %s without content", ErrNoContent, info.contentType)
	}
	if !outer.ReadASN1(&info.content, tagExplicit(0)) || !outer.Empty() {
		return info, fmt.Errorf("%w: content of a ContentInfo", ErrSyntax)
	}
	return info, nil
}

// parse reads SignedData (RFC 5652, Section 5.1).
func (sd *SignedData) parse(in cryptobyte.String, parsed func(der []byte) *x509.Certificate) error {
	var body, digests cryptobyte.String
	if !in.ReadASN1(&body, cryptobyte_asn1.SEQUENCE) || !in.Empty() {
		return fmt.Errorf("%w: SignedData", ErrSyntax)
	}
	if !body.ReadASN1Integer(&sd.Version) {
		return fmt.Errorf("%w: version of SignedData", ErrSyntax)
	}
	switch sd.Version {
	case 1, 3, 4, 5:
	default:
		return fmt.Errorf("%w: SignedData version %d", ErrVersion, sd.Version)
	}
	// digestAlgorithms only helps one-pass readers (RFC 5652, Section 5.1). Published peers leave it empty or
	// incomplete; each signer names its own digest.
	if !body.ReadASN1(&digests, cryptobyte_asn1.SET) {
		return fmt.Errorf("%w: digest algorithms", ErrSyntax)
	}
	if err := sd.parseContent(&body); err != nil {
		return err
	}
	if err := sd.parseCertificates(&body, parsed); err != nil {
		return err
	}
	if err := sd.parseCRLs(&body); err != nil {
		return err
	}
	if err := sd.parseSigners(&body); err != nil {
		return err
	}
	if !body.Empty() {
		return fmt.Errorf("%w: fields after the signers", ErrSyntax)
	}
	return nil
}

// parseContent reads EncapsulatedContentInfo (RFC 5652, Section 5.2).
func (sd *SignedData) parseContent(body *cryptobyte.String) error {
	var encap, explicit, content cryptobyte.String
	var present bool
	if !body.ReadASN1(&encap, cryptobyte_asn1.SEQUENCE) ||
		!encap.ReadASN1ObjectIdentifier(&sd.ContentType) ||
		!encap.ReadOptionalASN1(&explicit, &present, tagExplicit(0)) || !encap.Empty() {
		return fmt.Errorf("%w: encapsulated content", ErrSyntax)
	}
	if !present {
		return nil
	}
	// PKCS #7 1.5 had any type here; CMS has an OCTET STRING only (RFC 5652, Section 5.2.1).
	if !explicit.ReadASN1(&content, cryptobyte_asn1.OCTET_STRING) || !explicit.Empty() {
		return fmt.Errorf("%w: encapsulated content is no OCTET STRING", ErrSyntax)
	}
	if sd.Content = content; sd.Content == nil {
		sd.Content = []byte{}
	}
	return nil
}

// parseCertificates reads CertificateSet (RFC 5652, Section 10.2.3).
func (sd *SignedData) parseCertificates(body *cryptobyte.String, parsed func(der []byte) *x509.Certificate) error {
	var set cryptobyte.String
	var present bool
	if !body.ReadOptionalASN1(&set, &present, tagExplicit(0)) {
		return fmt.Errorf("%w: certificates", ErrSyntax)
	}
	for n := 1; !set.Empty(); n++ {
		if n > MaxCertificates {
			return fmt.Errorf("%w: more than %d certificates", ErrTooLarge, MaxCertificates)
		}
		var raw cryptobyte.String
		var tag cryptobyte_asn1.Tag
		if !set.ReadAnyASN1Element(&raw, &tag) {
			return fmt.Errorf("%w: certificate %d", ErrSyntax, n)
		}
		c, err := parseCertificate(raw, tag, parsed)
		if err != nil {
			sd.UnreadableCertificates = append(sd.UnreadableCertificates, UnreadableCertificate{Raw: raw, Err: err})
			continue
		}
		if err := checkCertificateKey(c); err != nil {
			return fmt.Errorf("certificate %d: %w", n, err)
		}
		sd.Certificates = append(sd.Certificates, c)
	}
	return nil
}

// parseCertificate reads one CertificateChoices. Only the first choice, an X.509 certificate, is read.
func parseCertificate(raw []byte, tag cryptobyte_asn1.Tag, parsed func(der []byte) *x509.Certificate) (*x509.Certificate, error) {
	if tag != cryptobyte_asn1.SEQUENCE {
		return nil, fmt.Errorf("%w: certificate of another kind than X.509", ErrUnsupportedAlgorithm)
	}
	if parsed != nil {
		if c := parsed(raw); c != nil {
			return c, nil
		}
	}
	return x509.ParseCertificate(raw)
}

// checkCertificateKey refuses a certificate whose key makes checking a signature cost seconds: whoever builds chains
// through the certificates handed on checks signatures with the keys of all of them.
func checkCertificateKey(c *x509.Certificate) error {
	if pub, ok := c.PublicKey.(*rsa.PublicKey); ok && pub.N.BitLen() > MaxRSABits {
		return fmt.Errorf("%w: RSA key of %d bits, the limit is %d", ErrKeySize, pub.N.BitLen(), MaxRSABits)
	}
	return nil
}

func (sd *SignedData) parseCRLs(body *cryptobyte.String) error {
	var set cryptobyte.String
	var present bool
	if !body.ReadOptionalASN1(&set, &present, tagExplicit(1)) {
		return fmt.Errorf("%w: CRLs", ErrSyntax)
	}
	for !set.Empty() {
		var raw cryptobyte.String
		var tag cryptobyte_asn1.Tag
		if len(sd.CRLs) == MaxCertificates {
			return fmt.Errorf("%w: more than %d CRLs", ErrTooLarge, MaxCertificates)
		}
		if !set.ReadAnyASN1Element(&raw, &tag) {
			return fmt.Errorf("%w: CRL %d", ErrSyntax, len(sd.CRLs)+1)
		}
		sd.CRLs = append(sd.CRLs, raw)
	}
	return nil
}

func (sd *SignedData) parseSigners(body *cryptobyte.String) error {
	var set cryptobyte.String
	if !body.ReadASN1(&set, cryptobyte_asn1.SET) {
		return fmt.Errorf("%w: signers", ErrSyntax)
	}
	for !set.Empty() {
		if len(sd.Signers) == MaxSigners {
			return fmt.Errorf("%w: more than %d signers", ErrTooLarge, MaxSigners)
		}
		si, err := parseSignerInfo(&set)
		if err != nil {
			return fmt.Errorf("signer %d: %w", len(sd.Signers)+1, err)
		}
		sd.Signers = append(sd.Signers, si)
	}
	return nil
}

// tagExplicit is the context-specific constructed tag of that number, for both EXPLICIT fields and IMPLICIT ones
// of a constructed type.
func tagExplicit(n uint8) cryptobyte_asn1.Tag {
	return cryptobyte_asn1.Tag(n).ContextSpecific().Constructed()
}
