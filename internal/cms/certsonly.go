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
	size := 0
	for i, c := range certs {
		h, err := readHeader(c, 0, len(c))
		if err != nil || h.tag != tagSequence || !h.minimal || h.size+h.length != len(c) {
			return nil, fmt.Errorf("%w: certificate %d is not DER", ErrRequest, i+1)
		}
		size += len(c)
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
	b = appendHeader(b, 0xa0, size)
	for _, c := range certs {
		b = append(b, c...)
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
	case len(sd.UnreadableCertificates) > 0:
		return nil, fmt.Errorf("%w: a certificate in it cannot be read: %w", ErrNotCertsOnly, sd.UnreadableCertificates[0].Err)
	case len(sd.Certificates) == 0:
		return nil, ErrNoCertificates
	}
	return sd.Certificates, nil
}
