package estserver

import (
	"bytes"
	"crypto/x509"
	"encoding/asn1"
	"encoding/base64"
	"errors"
	"fmt"
)

// The suite has a reader of its own for the little it must read, so that our
// server is not judged by the code it writes with.

// maxCertificates is how many certificates of one message are looked at.
const maxCertificates = 100

// contentInfo and signedData are CMS (RFC 5652, Sections 3 and 5.1).
type contentInfo struct {
	ContentType asn1.ObjectIdentifier
	Content     asn1.RawValue `asn1:"explicit,tag:0"`
}

type signedData struct {
	Version          int
	DigestAlgorithms asn1.RawValue
	EncapContentInfo struct {
		ContentType asn1.ObjectIdentifier
		Content     asn1.RawValue `asn1:"optional,explicit,tag:0"`
	}
	Certificates asn1.RawValue `asn1:"optional,tag:0"`
	CRLs         asn1.RawValue `asn1:"optional,tag:1"`
	SignerInfos  asn1.RawValue
}

// decodeCertsOnly reads the body of an answer: base64 of the DER of a certs-only
// message (RFC 7030, Section 4.1.3, and RFC 8951, Section 3).
func decodeCertsOnly(body []byte) ([]*x509.Certificate, error) {
	der, err := decode(body)
	if err != nil {
		return nil, err
	}
	return parseCertsOnly(der)
}

// decode takes base64 with any white space in it (RFC 8951, Section 3.1).
func decode(body []byte) ([]byte, error) {
	switch {
	case len(body) == 0:
		return nil, errors.New("it is empty")
	case bytes.Contains(body, []byte("-----BEGIN ")):
		return nil, errors.New("it is PEM, want bare base64")
	case body[0] == 0x30 && len(body) > 1 && body[1] >= 0x80:
		return nil, errors.New("it is DER, want base64 of it")
	}
	text := bytes.Join(bytes.Fields(body), nil)
	der, err := base64.StdEncoding.Strict().AppendDecode(nil, text)
	if err != nil {
		return nil, fmt.Errorf("it is not base64: %w", err)
	}
	return der, nil
}

// parseCertsOnly reads a SignedData that carries certificates, and neither
// content nor signers (RFC 5272, Section 4.1).
func parseCertsOnly(der []byte) ([]*x509.Certificate, error) {
	var ci contentInfo
	if err := unmarshal(der, &ci); err != nil {
		return nil, fmt.Errorf("it is no CMS message: %w", err)
	}
	if signed := (asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 7, 2}); !ci.ContentType.Equal(signed) {
		return nil, fmt.Errorf("it is a CMS message of type %v, want SignedData", ci.ContentType)
	}
	var sd signedData
	if err := unmarshal(ci.Content.Bytes, &sd); err != nil {
		return nil, fmt.Errorf("it is no SignedData: %w", err)
	}
	switch {
	case len(sd.EncapContentInfo.Content.FullBytes) > 0:
		return nil, errors.New("it has content, want certificates only")
	case sd.SignerInfos.Tag != asn1.TagSet || len(sd.SignerInfos.Bytes) > 0:
		return nil, errors.New("it has signers, want certificates only")
	case len(sd.Certificates.Bytes) == 0:
		return nil, errors.New("it holds no certificate")
	}
	return readCertificates(sd.Certificates.Bytes)
}

func readCertificates(rest []byte) ([]*x509.Certificate, error) {
	var certs []*x509.Certificate
	for len(rest) > 0 {
		if len(certs) == maxCertificates {
			return nil, fmt.Errorf("it holds more than %d certificates", maxCertificates)
		}
		var raw asn1.RawValue
		var err error
		if rest, err = asn1.Unmarshal(rest, &raw); err != nil {
			return nil, fmt.Errorf("certificate %d: %w", len(certs)+1, err)
		}
		cert, err := x509.ParseCertificate(raw.FullBytes)
		if err != nil {
			return nil, fmt.Errorf("certificate %d: %w", len(certs)+1, err)
		}
		certs = append(certs, cert)
	}
	return certs, nil
}

// readCSRAttrs takes the DER of a CsrAttrs: a SEQUENCE of OIDs and attributes
// (RFC 8951, Section 4).
func readCSRAttrs(der []byte) error {
	var list asn1.RawValue
	if err := unmarshal(der, &list); err != nil {
		return fmt.Errorf("it is no CsrAttrs: %w", err)
	}
	if list.Class != asn1.ClassUniversal || list.Tag != asn1.TagSequence || !list.IsCompound {
		return errors.New("it is no CsrAttrs: not a SEQUENCE")
	}
	for rest := list.Bytes; len(rest) > 0; {
		var item asn1.RawValue
		var err error
		if rest, err = asn1.Unmarshal(rest, &item); err != nil {
			return fmt.Errorf("it is no CsrAttrs: %w", err)
		}
		if item.Class != asn1.ClassUniversal || (item.Tag != asn1.TagOID && item.Tag != asn1.TagSequence) {
			return fmt.Errorf("it is no CsrAttrs: an entry has the tag %d, want an OID or an attribute", item.Tag)
		}
	}
	return nil
}

// unmarshal reads the whole of der into value.
func unmarshal(der []byte, value any) error {
	rest, err := asn1.Unmarshal(der, value)
	switch {
	case err != nil:
		return err
	case len(rest) > 0:
		return fmt.Errorf("%d bytes follow it", len(rest))
	}
	return nil
}

// degenerate judges what a message without content and signers has beside its
// certificates (RFC 5652, Section 5.1; RFC 5272, Section 4.1).
func degenerate(der []byte) error {
	var ci contentInfo
	var sd signedData
	if err := unmarshal(der, &ci); err != nil {
		return err
	}
	if err := unmarshal(ci.Content.Bytes, &sd); err != nil {
		return err
	}
	data := asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 7, 1}
	switch {
	case sd.Version != 1:
		return fmt.Errorf("it is SignedData of version %d, want 1", sd.Version)
	case !sd.EncapContentInfo.ContentType.Equal(data):
		return fmt.Errorf("its content is of type %v, want id-data", sd.EncapContentInfo.ContentType)
	case len(sd.DigestAlgorithms.Bytes) > 0:
		return errors.New("it names digest algorithms, and nobody has signed")
	}
	return nil
}
