package est

import (
	"context"
	"crypto/x509"
	"net/http"

	"golang.org/x/crypto/cryptobyte"
	"golang.org/x/crypto/cryptobyte/asn1"

	"github.com/briskest/briskest/internal/cms"
)

const sectionKeyReturn = "RFC 8295, Section 8"

// Contents of the OBJECT IDENTIFIERs of what a client returns.
const (
	oidKeyReceipt = "\x60\x86\x48\x01\x65\x02\x01\x02\x4e\x03" // 2.16.840.1.101.2.1.2.78.3 (RFC 7191, Section 3)
	oidKeyError   = "\x60\x86\x48\x01\x65\x02\x01\x02\x4e\x06" // 2.16.840.1.101.2.1.2.78.6 (RFC 7191, Section 4)

	typeCMS = "application/cms"
)

// KeyReceiver is a Backend that takes receipts for generated keys (RFC 8295, Section 8).
type KeyReceiver interface {
	// KeyReturned authenticates the peer and puts on record what it says. It returns once that is durable. Errors as of
	// Enroll.
	KeyReturned(ctx context.Context, r *KeyReceipt) error
}

// KeyReceipt is what a client says about a generated key that it got.
type KeyReceipt struct {
	Request
	// Failed tells a key package error (RFC 7191, Section 4) from a receipt (RFC 7191, Section 3).
	Failed bool
	// Raw is the ContentInfo as received.
	Raw []byte
	// Signer is the certificate inside that the receipt's signature verifies with; nil for a receipt without signature.
	// Nobody has verified the certificate.
	Signer *x509.Certificate
}

func takesReceipts(b Backend) bool {
	_, ok := b.(KeyReceiver)
	return ok
}

// keyReturn answers /serverkeygen/return.
func (x *exchange) keyReturn() *Error {
	values := x.r.Header["Content-Type"]
	if len(values) != 1 || mediaType(values[0]) != typeCMS && mediaType(values[0]) != typePKCS7 {
		x.w.Header()["Accept"] = []string{typeCMS}
		return refuse(http.StatusUnsupportedMediaType, ReasonMediaType, sectionKeyReturn,
			"A receipt is sent with the header \"Content-Type: application/cms\".")
	}
	der, e := x.readCSR()
	if e != nil {
		return e
	}
	r := &KeyReceipt{Request: x.req.Request, Raw: der}
	if e := r.parse(); e != nil {
		return e
	}
	receiver, ok := x.h.Backend.(KeyReceiver)
	if !ok {
		return refuse(http.StatusNotImplemented, ReasonOperationMissing, sectionKeyReturn, "This operation is not offered here.")
	}
	if err := receiver.KeyReturned(x.r.Context(), r); err != nil {
		return asError(err)
	}
	x.w.WriteHeader(http.StatusNoContent)
	return nil
}

// parse reads a receipt or an error, bare or signed by one.
func (r *KeyReceipt) parse() *Error {
	bad := refuse(http.StatusBadRequest, ReasonKeyReceipt, "RFC 7191, Section 3",
		"The body is no key package receipt and no key package error: a ContentInfo of one, or SignedData around one whose signature verifies with a certificate inside.")
	der, err := cms.ToDER(r.Raw)
	if err != nil {
		bad.Err = err
		return bad
	}
	in := cryptobyte.String(der)
	var outer, oid, content cryptobyte.String
	if !in.ReadASN1(&outer, asn1.SEQUENCE) || !in.Empty() || !outer.ReadASN1(&oid, asn1.OBJECT_IDENTIFIER) ||
		!outer.ReadASN1(&content, asn1.Tag(0).ContextSpecific().Constructed()) || !outer.Empty() {
		return bad
	}
	var body cryptobyte.String
	if kind := string(oid); kind == oidKeyReceipt || kind == oidKeyError {
		r.Failed = kind == oidKeyError
		if !content.ReadASN1(&body, asn1.SEQUENCE) || !content.Empty() {
			return bad
		}
		return nil
	}
	sd, err := cms.ParseSignedData(r.Raw)
	if err != nil || len(sd.Signers) != 1 {
		bad.Err = err
		return bad
	}
	switch sd.ContentType.String() {
	case "2.16.840.1.101.2.1.2.78.3":
	case "2.16.840.1.101.2.1.2.78.6":
		r.Failed = true
	default:
		return bad
	}
	signer, err := sd.SignerCertificate(sd.Signers[0])
	if err == nil {
		err = sd.Verify(sd.Signers[0], signer)
	}
	if err != nil {
		bad.Err = err
		return bad
	}
	r.Signer = signer
	return nil
}
