package cms

import (
	"encoding/asn1"
	"fmt"

	"golang.org/x/crypto/cryptobyte"
	cryptobyte_asn1 "golang.org/x/crypto/cryptobyte/asn1"
)

// Enveloped is what an EnvelopedData (RFC 5652, Section 6.1) or AuthEnvelopedData (RFC 5083, Section 2.1) object says
// to those who cannot open it. It may share memory with the bytes it was parsed from.
type Enveloped struct {
	// Authenticated tells AuthEnvelopedData, which detects changes, from EnvelopedData, which does not.
	Authenticated bool
	// Version is the CMSVersion as sent: 0, 2, 3 or 4.
	Version int
	// ContentType is the type of the content. In EnvelopedData nothing protects it.
	ContentType asn1.ObjectIdentifier
	// ContentEncryption is how the content is encrypted, as sent.
	ContentEncryption AlgorithmIdentifier
	// Recipients are all recipients that a key of ours could be; others, such as passwords, are left out.
	Recipients []*Recipient

	encrypted  []byte
	mac        []byte
	attributes []Attribute
}

// ParseEnveloped reads one whole ContentInfo that holds EnvelopedData or AuthEnvelopedData, BER or DER. It decrypts
// nothing. At most MaxSize bytes, and the other limits in this package.
//
// Errors: ErrSyntax, ErrTrailingData, ErrTooDeep, ErrTooLarge, ErrVersion, ErrNotEnveloped, ErrNoContent.
func ParseEnveloped(data []byte) (*Enveloped, error) {
	info, err := openContentInfo(data)
	if err != nil {
		return nil, err
	}
	e := new(Enveloped)
	switch {
	case info.contentType.Equal(OIDEnvelopedData()):
	case info.contentType.Equal(OIDAuthEnvelopedData()):
		e.Authenticated = true
	default:
		return nil, fmt.Errorf("%w but %s", ErrNotEnveloped, info.contentType)
	}
	if err := e.parse(info.content); err != nil {
		return nil, err
	}
	return e, nil
}

func (e *Enveloped) parse(in cryptobyte.String) error {
	var body, originator cryptobyte.String
	if !in.ReadASN1(&body, cryptobyte_asn1.SEQUENCE) || !in.Empty() || !body.ReadASN1Integer(&e.Version) {
		return fmt.Errorf("%w: EnvelopedData", ErrSyntax)
	}
	switch e.Version {
	case 0, 2, 3, 4:
	default:
		return fmt.Errorf("%w: EnvelopedData version %d", ErrVersion, e.Version)
	}
	// OriginatorInfo carries certificates for static key agreement, which is not supported.
	var present bool
	if !body.ReadOptionalASN1(&originator, &present, tagExplicit(0)) {
		return fmt.Errorf("%w: originator", ErrSyntax)
	}
	if err := e.parseRecipients(&body); err != nil {
		return err
	}
	if err := e.parseContent(&body); err != nil {
		return err
	}
	if err := e.parseTrailer(&body); err != nil {
		return err
	}
	if !body.Empty() {
		return fmt.Errorf("%w: fields after the content", ErrSyntax)
	}
	return nil
}

func (e *Enveloped) parseRecipients(body *cryptobyte.String) error {
	var set cryptobyte.String
	// SIZE (1..MAX) (RFC 5652, Section 6.1).
	if !body.ReadASN1(&set, cryptobyte_asn1.SET) || set.Empty() {
		return fmt.Errorf("%w: recipients", ErrSyntax)
	}
	for n := 1; !set.Empty(); n++ {
		if n > MaxRecipients {
			return fmt.Errorf("%w: more than %d recipients", ErrTooLarge, MaxRecipients)
		}
		recipients, err := parseRecipientInfo(&set)
		if err != nil {
			return fmt.Errorf("recipient %d: %w", n, err)
		}
		if e.Recipients = append(e.Recipients, recipients...); len(e.Recipients) > MaxRecipients {
			return fmt.Errorf("%w: more than %d recipients", ErrTooLarge, MaxRecipients)
		}
	}
	return nil
}

// parseContent reads EncryptedContentInfo (RFC 5652, Section 6.1).
func (e *Enveloped) parseContent(body *cryptobyte.String) error {
	var in cryptobyte.String
	if !body.ReadASN1(&in, cryptobyte_asn1.SEQUENCE) || !in.ReadASN1ObjectIdentifier(&e.ContentType) ||
		!readAlgorithm(&in, &e.ContentEncryption) {
		return fmt.Errorf("%w: encrypted content", ErrSyntax)
	}
	if in.Empty() {
		return ErrNoContent
	}
	var err error
	if e.encrypted, err = readImplicitOctets(&in, 0); err != nil {
		return fmt.Errorf("encrypted content: %w", err)
	}
	if !in.Empty() {
		return fmt.Errorf("%w: fields after the encrypted content", ErrSyntax)
	}
	return nil
}

// parseTrailer reads what follows the content: unprotected attributes in EnvelopedData; authenticated ones, the MAC
// and unauthenticated ones in AuthEnvelopedData.
func (e *Enveloped) parseTrailer(body *cryptobyte.String) error {
	attributes, _, err := parseAttributes(body, tagExplicit(1))
	if err != nil {
		return fmt.Errorf("attributes: %w", err)
	}
	if !e.Authenticated {
		return nil
	}
	e.attributes = attributes
	var mac cryptobyte.String
	if !body.ReadASN1(&mac, cryptobyte_asn1.OCTET_STRING) {
		return fmt.Errorf("%w: message authentication code", ErrSyntax)
	}
	e.mac = mac
	if _, _, err := parseAttributes(body, tagExplicit(2)); err != nil {
		return fmt.Errorf("unauthenticated attributes: %w", err)
	}
	return nil
}
