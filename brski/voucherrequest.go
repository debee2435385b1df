package brski

import (
	"bytes"
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"net/http"
	"slices"

	"github.com/briskest/briskest/est"
	"github.com/briskest/briskest/voucher"
	"github.com/briskest/briskest/voucher/vouchercms"
)

// FindingBase64Body is the [voucher.Finding] of an artifact that travelled as
// base64 text where RFC 8995, Section 5.2 has it binary; nqminds' pledge and
// registrar do so.
const FindingBase64Body = "base64-body"

// unwrapBase64 returns the artifact in a body that is base64 text, and whether it
// was; of the formats only CMS has been seen so. DER begins with the byte of a
// SEQUENCE, "0"; its base64 with "M".
func unwrapBase64(mediaType string, body []byte) ([]byte, bool) {
	if mediaType != vouchercms.MediaType || len(body) == 0 || body[0] != 'M' {
		return body, false
	}
	text := bytes.TrimRight(body, "\r\n")
	decoded := make([]byte, base64.StdEncoding.DecodedLen(len(text)))
	n, err := base64.StdEncoding.Decode(decoded, text)
	if err != nil {
		return body, false
	}
	return decoded[:n], true
}

// openRequest opens a voucher-request and refuses what a registrar refuses in
// one (parse, then check; to decide is the backend's).
func openRequest(f voucher.Format, body []byte, peer *est.Peer) (*voucher.Request, *voucher.Artifact, *est.Error) {
	data, wrapped := unwrapBase64(f.MediaType(), body)
	// A pledge may leave its certificate out: the connection has it
	// (draft-ietf-anima-constrained-voucher, Section 9.2.2).
	request, artifact, err := voucher.WithKnown(f, peer.Certificates[:1]).OpenRequest(data)
	if err != nil {
		return nil, nil, unreadable(f, err)
	}
	if wrapped {
		artifact.Findings = append(artifact.Findings, voucher.Finding{ID: FindingBase64Body, Text: "the body was base64 text"})
	}
	// The signer and the TLS client are both the IDevID (RFC 8995, Sections
	// 5.2 and 5.5.5): else one device could ask in another's name.
	if artifact.Signer == nil || !bytes.Equal(artifact.Signer.Raw, peer.Certificates[0].Raw) {
		return nil, nil, &est.Error{
			Status: http.StatusForbidden, Reason: ReasonSignerNotClient, Section: "RFC 8995, Section 5.2",
			Message: "The voucher-request is not signed by the certificate of this TLS connection. Sign it with the IDevID that connects.",
		}
	}
	if err := voucher.CheckRequest(request); err != nil {
		return nil, nil, &est.Error{
			Status: http.StatusBadRequest, Reason: ReasonVoucherLeaf, Section: "RFC 8995, Section 3.3",
			Message: "The voucher-request has content that is refused: " + bounded(err.Error(), 200) + ".", Err: err,
		}
	}
	return request, artifact, nil
}

// unreadable says why a body is no voucher-request. One that is not signed
// correctly is 403 (RFC 8995, Section 5.6), signed content of another kind is
// 406 (RFC 8995, Section 5.3: a voucher-request in an unknown format), all else 400.
func unreadable(f voucher.Format, err error) *est.Error {
	if errors.Is(err, voucher.ErrSigned) {
		return &est.Error{
			Status: http.StatusForbidden, Reason: ReasonVoucherSignature, Section: "RFC 8995, Section 5.6",
			Message: "The voucher-request is not signed correctly: " + bounded(err.Error(), 200) + ".", Err: err,
		}
	}
	if errors.Is(err, voucher.ErrRoot) {
		return &est.Error{
			Status: http.StatusNotAcceptable, Reason: ReasonVoucherContainer, Section: "RFC 8995, Section 5.3",
			Message: "The signed content is not an ietf-voucher-request:voucher.", Err: err,
		}
	}
	return &est.Error{
		Status: http.StatusBadRequest, Reason: ReasonVoucherRequest, Section: "RFC 8995, Section 5.2",
		Message: fmt.Sprintf("The body is not a signed voucher-request of type %s: %s. Send the signed artifact, binary.",
			f.MediaType(), bounded(err.Error(), 200)), Err: err,
	}
}

// requestVoucher answers a pledge (RFC 8995, Section 5.2).
func (h *RegistrarHandler) requestVoucher(ctx context.Context, x *exchange) error {
	format, e := x.artifactFormat(h.Formats)
	if e != nil {
		return e
	}
	types, e := x.accept(offer(h.Formats, format))
	if e != nil {
		return e
	}
	if err := x.admit(ctx); err != nil {
		return err
	}
	body, e := x.body(x.maxBody)
	if e != nil {
		return e
	}
	request, artifact, e := openRequest(format, body, x.call.Peer)
	if e != nil {
		return e
	}
	r := &VoucherRequest{Call: x.call, Format: format, Request: request, Artifact: artifact}
	for _, t := range types {
		r.Accept = append(r.Accept, findFormat(h.Formats, t))
	}
	v, err := h.Backend.RequestVoucher(ctx, r)
	if err != nil {
		return err
	}
	if e := checkAnswer(v, types); e != nil {
		return e
	}
	x.answer(v.MediaType, v.Raw)
	return nil
}

// checkAnswer keeps a failure upstream from looking like success: nqminds'
// registrar answers 200 with nothing when its MASA refuses.
func checkAnswer(v *Voucher, types []string) *est.Error {
	text := ""
	switch {
	case v == nil || len(v.Raw) == 0:
		text = "The manufacturer's service (MASA) sent no voucher."
	case !slices.Contains(types, mediaType([]string{v.MediaType})):
		text = "The voucher is of a type that the Accept header does not name."
	default:
		return nil
	}
	return &est.Error{
		Status: http.StatusBadGateway, Reason: ReasonMASAAnswer, Section: "RFC 8995, Section 5.6",
		Message: text + " Report this to the operator.",
	}
}
