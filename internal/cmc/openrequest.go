package cmc

import (
	"bytes"
	"crypto/x509"
	"encoding/asn1"
	"errors"
	"fmt"
	"slices"

	"github.com/briskest/briskest/internal/cms"
)

// OpenOptions are what OpenRequest and OpenResponse need besides the message. The zero value is for messages that are not
// enveloped and bring their certificates.
type OpenOptions struct {
	// Keys open enveloped messages; none refuses them.
	Keys []*cms.RecipientKey
	// Certificates are candidates for signers whose certificate is not in the message. Being here does not make a signer trusted.
	Certificates []*x509.Certificate
}

// FullRequest is a Full PKI Request that was opened: its envelopes are off and every signature on it verifies.
type FullRequest struct {
	Data *PKIData
	// Signers are those who signed the PKIData itself. Their signatures verify. Nothing says whether they are trusted, have
	// expired, or may have what is asked. They are empty only in a message whose one purpose is to revoke by passphrase (RFC
	// 5272, Section 6.11): no request, no nested message, and a RevokeRequest with a passphrase for every certificate.
	Signers []Signer
	// OuterSigners are those who signed an envelope around the signed message (RFC 5272, Section 5); mostly empty.
	OuterSigners []Signer
	// Encrypted tells that the message came enveloped.
	Encrypted bool
	// Certificates are all certificates of the innermost SignedData: intermediates of the signers, and what else the sender
	// put there.
	Certificates []*x509.Certificate
	// UnsignedData are the values of the CMC Unsigned Data attribute (RFC 5272, Section 3.2.3), which nothing protects;
	// mostly none.
	UnsignedData []UnsignedData

	depth int
}

// Signer is one verified signature. Exactly one of Certificate and Request is set.
type Signer struct {
	// Info is the signer as in the message.
	Info *cms.SignerInfo
	// Certificate is the one that the signer names. Nothing vouches for it.
	Certificate *x509.Certificate
	// Request is the one whose key signed (RFC 5272, Section 3.2): the signature proves possession of that key, and says
	// nothing about who has it.
	Request *Request
}

// UnsignedData is a CMCUnsignedData (RFC 5272, Section 3.2.3).
type UnsignedData struct {
	Path    BodyPartPath
	Type    asn1.ObjectIdentifier
	Content []byte // DER
}

// OpenRequest opens a Full PKI Request of at most MaxSize bytes: SignedData over PKIData, alone, inside EnvelopedData or
// AuthEnvelopedData, or signed-enveloped-signed (RFC 5272, Section 5). It verifies every signature of every layer. o may be nil.
//
// A signer is looked for among the certificates of the message, then among o.Certificates, and then, named by subject key
// identifier, among the requests inside (RFC 5272, Section 3.2): then it is the only signer, and the request asks for the
// same subject key identifier.
//
// Errors are *Error: badMessageCheck {0} for a signature that does not verify or whose key is not known, badAlg {0} for a
// weak or unknown algorithm, badRequest for what is not a Full PKI Request, and those of ParsePKIData. SHA-1 signatures are
// always refused.
func OpenRequest(data []byte, o *OpenOptions) (*FullRequest, error) {
	if o == nil {
		o = &OpenOptions{}
	}
	m, err := unwrap(data, o, ErrNotRequest)
	if err != nil {
		return nil, err
	}
	sd := m.signed
	switch {
	case !sd.ContentType.Equal(cms.OIDPKIData()):
		return nil, fail(FailBadRequest, fmt.Errorf("%w: content of type %s", ErrNotRequest, sd.ContentType))
	case sd.Content == nil:
		return nil, fail(FailBadRequest, fmt.Errorf("%w: %w", ErrNotRequest, cms.ErrNoContent))
	}
	f := &FullRequest{OuterSigners: m.outer, Encrypted: m.encrypted, Certificates: sd.Certificates}
	var unreadable error
	if f.Data, unreadable = ParsePKIData(sd.Content); unreadable != nil && len(sd.Signers) == 0 {
		return nil, unreadable
	}
	if err := f.verify(sd, unreadable, o); err != nil {
		return nil, err
	}
	if f.UnsignedData, err = unsignedData(sd.Signers); err != nil {
		return nil, f.refuse(err)
	}
	return f, nil
}

// verify checks the signatures, and then that the PKIData could be read: who cannot sign learns nothing about the content, unless
// the key that signed is inside.
func (f *FullRequest) verify(sd *cms.SignedData, unreadable error, o *OpenOptions) error {
	var requests []Request
	if unreadable == nil {
		requests = f.Data.Requests
	}
	var err error
	f.Signers, err = verifySigners(sd, requests, o)
	switch {
	case unreadable != nil && (err == nil || errors.Is(err, ErrNoSignerKey)):
		return unreadable
	case err != nil:
		return f.refuse(err)
	case len(f.Signers) == 0 && !f.Data.revokesByPassphrase():
		return f.refuse(fail(FailBadMessageCheck, ErrUnsigned))
	}
	return nil
}

// refuse adds to an error what could be read.
func (f *FullRequest) refuse(err error) error {
	var e *Error
	if errors.As(err, &e) && f.Data != nil {
		e.Received = f.Data
	}
	return err
}

// revokesByPassphrase tells whether the message may come unsigned: a client that has lost its key revokes its certificate by
// a secret that it left when it enrolled (RFC 5272, Section 6.11).
func (d *PKIData) revokesByPassphrase() bool {
	revocations := Values[*RevokeRequest](d.Controls)
	for _, r := range revocations {
		if len(r.Passphrase) == 0 {
			return false
		}
	}
	return len(revocations) > 0 && len(d.Requests) == 0 && len(d.Messages) == 0 && len(d.Others) == 0
}

// unsignedData reads the CMC Unsigned Data attribute: at most one in each SignerInfo, with any number of values, and when one
// SignerInfo has it, all have the same (RFC 5272, Section 3.2.3).
func unsignedData(signers []*cms.SignerInfo) ([]UnsignedData, error) {
	var first [][]byte
	for i, si := range signers {
		var values [][]byte
		seen := false
		for _, a := range si.UnsignedAttributes {
			if !a.Type.Equal(asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 9, 16, 2, 34}) {
				continue
			}
			if seen {
				return nil, fail(FailBadRequest, fmt.Errorf("%w: two in one SignerInfo", ErrUnsignedData))
			}
			seen, values = true, slices.Clone(a.Values)
			slices.SortFunc(values, bytes.Compare)
			if len(values) == 0 || len(values) > MaxValues {
				return nil, fail(FailBadRequest, fmt.Errorf("%w: it has %d values", ErrUnsignedData, len(values)))
			}
		}
		if i == 0 {
			first = values
		}
		if !slices.EqualFunc(first, values, bytes.Equal) {
			return nil, fail(FailBadRequest, fmt.Errorf("%w: the signers have different ones", ErrUnsignedData))
		}
	}
	var out []UnsignedData
	for _, der := range first {
		var u UnsignedData
		err := decode(der, "CMC Unsigned Data", func(in *input) {
			body := in.sequence("CMC Unsigned Data")
			u = UnsignedData{Path: body.path(), Type: body.oid("type of CMC Unsigned Data"), Content: body.anything("CMC Unsigned Data")}
			body.end("CMC Unsigned Data")
		})
		if err != nil {
			return nil, fail(FailBadRequest, err)
		}
		out = append(out, u)
	}
	return out, nil
}

// OpenNested opens a Full PKI Request in the cmsSequence of f (RFC 5272, Section 7), as OpenRequest does. Errors are those
// of OpenRequest, with paths that begin with m's body part, and ErrTooLarge after MaxNesting levels.
func (f *FullRequest) OpenNested(m *Message, o *OpenOptions) (*FullRequest, error) {
	if f.depth+1 >= MaxNesting {
		return nil, fail(FailBadRequest, fmt.Errorf("%w: requests nested more than %d deep", ErrTooLarge, MaxNesting), m.ID)
	}
	inner, err := OpenRequest(m.ContentInfo, o)
	if err == nil {
		inner.depth = f.depth + 1
		return inner, nil
	}
	var e *Error
	if errors.As(err, &e) {
		e.Received = nil // what is to be echoed is the outer message's
		for i, path := range e.Bodies {
			if len(path) == 1 && path[0] == 0 {
				path = nil
			}
			e.Bodies[i] = append(BodyPartPath{m.ID}, path...)
		}
	}
	return nil, err
}
