package cms

import (
	"crypto/x509"
	"fmt"
)

// The constant parts of a certs-only message: id-signedData; and version 1, no digest algorithms, id-data
// without content.
const (
	certsOnlyType = "\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x07\x02"
	certsOnlyHead = "\x02\x01\x01\x31\x00\x30\x0b\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x07\x01"
	certsOnlyTail = "\x31\x00"
)

// CertsOnly returns the degenerate SignedData that carries certificates and nothing else: RFC 5272, Section 4.1, as
// EST answers with it (RFC 7030, Section 4.1.3). certs are DER certificates, at least one, and are not parsed; they
// keep their order, because clients are known to take the first one for theirs. There is no crls field: strict
// readers refuse an empty one. One allocation.
//
// Errors: ErrRequest when there is no certificate, or one is not a single DER SEQUENCE.
func CertsOnly(certs ...[]byte) ([]byte, error) {
	if len(certs) == 0 {
		return nil, fmt.Errorf("%w: no certificates", ErrRequest)
	}
	return degenerate(tagCertificates, certs)
}

// CRLsOnly returns the degenerate SignedData that carries certificate revocation lists and nothing else
// (RFC 5652, Section 5.1; RFC 8295, Section 4). crls are DER, at least one, and are not parsed.
//
// Errors: ErrRequest when there is none, or one is not a single DER SEQUENCE.
func CRLsOnly(crls ...[]byte) ([]byte, error) {
	if len(crls) == 0 {
		return nil, fmt.Errorf("%w: no CRLs", ErrRequest)
	}
	return degenerate(tagCRLs, crls)
}

// The tags of the fields of SignedData that a degenerate one has (RFC 5652, Section 5.1).
const (
	tagCertificates = 0xa0
	tagCRLs         = 0xa1
)

// degenerate returns a SignedData that has members in the field of that tag, and nothing else.
func degenerate(field byte, members [][]byte) ([]byte, error) {
	size := 0
	for i, m := range members {
		h, err := readHeader(m, 0, len(m))
		if err != nil || h.tag != tagSequence || !h.minimal || h.size+h.length != len(m) {
			return nil, fmt.Errorf("%w: member %d is not DER", ErrRequest, i+1)
		}
		size += len(m)
	}
	body := len(certsOnlyHead) + headerSize(size) + size + len(certsOnlyTail)
	explicit := headerSize(body) + body
	outer := len(certsOnlyType) + headerSize(explicit) + explicit

	b := make([]byte, 0, headerSize(outer)+outer)
	b = appendHeader(b, tagSequence, outer)
	b = append(b, certsOnlyType...)
	b = appendHeader(b, 0xa0, explicit)
	b = appendHeader(b, tagSequence, body)
	b = append(b, certsOnlyHead...)
	b = appendHeader(b, field, size)
	for _, m := range members {
		b = append(b, m...)
	}
	return append(b, certsOnlyTail...), nil
}

// ParseCertsOnly reads a certs-only message, BER or DER: at least one certificate, no signer, no content. The
// certificates are in order of appearance, and nothing vouches for them. CRLs in the message are ignored.
// A certificate that crypto/x509 refuses makes an error: the answer to an enrollment, or a set of trust anchors, is
// not to be taken in part.
//
// Errors: those of ParseSignedData, and ErrNotCertsOnly, ErrNoCertificates.
func ParseCertsOnly(data []byte) ([]*x509.Certificate, error) {
	sd, err := parseDegenerate(data)
	switch {
	case err != nil:
		return nil, err
	case len(sd.UnreadableCertificates) > 0:
		return nil, fmt.Errorf("%w: a certificate in it cannot be read: %w", ErrNotCertsOnly, sd.UnreadableCertificates[0].Err)
	case len(sd.Certificates) == 0:
		return nil, ErrNoCertificates
	}
	return sd.Certificates, nil
}

// ParseCRLsOnly reads what CRLsOnly makes, BER or DER: at least one CRL, no signer, no content. Nothing vouches for the
// lists; certificates beside them are ignored. A list that crypto/x509 refuses makes an error.
//
// Errors: those of ParseSignedData, and ErrNotCertsOnly, ErrNoCRLs.
func ParseCRLsOnly(data []byte) ([]*x509.RevocationList, error) {
	sd, err := parseDegenerate(data)
	if err != nil {
		return nil, err
	}
	lists := make([]*x509.RevocationList, 0, len(sd.CRLs))
	for i, raw := range sd.CRLs {
		list, err := x509.ParseRevocationList(raw)
		if err != nil {
			return nil, fmt.Errorf("%w: CRL %d cannot be read: %w", ErrNotCertsOnly, i+1, err)
		}
		lists = append(lists, list)
	}
	if len(lists) == 0 {
		return nil, ErrNoCRLs
	}
	return lists, nil
}

// parseDegenerate reads SignedData without signer and content.
func parseDegenerate(data []byte) (*SignedData, error) {
	sd, err := ParseSignedData(data)
	switch {
	case err != nil:
		return nil, err
	case len(sd.Signers) > 0:
		return nil, fmt.Errorf("%w: it has %d signers", ErrNotCertsOnly, len(sd.Signers))
	case len(sd.Content) > 0:
		return nil, fmt.Errorf("%w: it has content", ErrNotCertsOnly)
	case !sd.ContentType.Equal(OIDData()):
		return nil, fmt.Errorf("%w: content type %s", ErrNotCertsOnly, sd.ContentType)
	}
	return sd, nil
}
