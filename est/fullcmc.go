package est

import (
	"context"
	"mime"
	"net/http"
	"strconv"
	"strings"
)

// FullCMCer is a Backend that answers Full PKI Requests (RFC 7030, Section 4.3; RFC 5272). This package knows the
// transport only: media types, base64, statuses. What a message says, whoever signed it, is the backend's to read.
type FullCMCer interface {
	// FullCMC decides about r and returns the answer to a request that was granted, at least in part. It returns only
	// once what was issued is on record.
	//
	// A refusal, or a request that has to wait, is an [*Error] whose CMC is the Full PKI Response that says so
	// (RFC 7030, Section 4.3.2): it is sent together with the Error's status, 202 for one that waits. Without CMC the answer is plain
	// text, for what never was CMC's to refuse, such as a label that does not offer the operation.
	FullCMC(ctx context.Context, r *CMCRequest) (*CMCAnswer, error)
}

// CMCRequest is the body of a fullcmc request.
type CMCRequest struct {
	Request
	Message []byte // without its base64, as received; nobody has looked at it

	enrollments []*EnrollRequest
}

// Enrollment makes one certification request of the message into an enrollment, so that [LinkPolicy.Check] can compare
// its link with the connection.
func (r *CMCRequest) Enrollment(csr *CSR) *EnrollRequest {
	e := &EnrollRequest{Request: r.Request, CSR: csr}
	r.enrollments = append(r.enrollments, e)
	return e
}

// Linked reports whether an enrollment of the message has used the connection's channel binding: others in the same
// message may use it too.
func (r *CMCRequest) Linked() bool {
	for _, e := range r.enrollments {
		if e.linked {
			return true
		}
	}
	return false
}

// CMCAnswer is a PKI Response (RFC 5272, Section 4).
type CMCAnswer struct {
	Message []byte // ContentInfo in DER
	Simple  bool   // it is a Simple PKI Response: certificates, and nothing that says or signs anything
}

// Media types of RFC 5273, Section 3.
const (
	typeCMCRequest  = "application/pkcs7-mime; smime-type=CMC-request"
	typeCMCResponse = "application/pkcs7-mime; smime-type=CMC-response"
)

const sectionFullCMC = "RFC 7030, Section 4.3.1"

func offersFullCMC(b Backend) bool {
	_, ok := b.(FullCMCer)
	return ok
}

// fullCMC answers RFC 7030, Section 4.3.
func (x *exchange) fullCMC() *Error {
	backend, ok := x.h.Backend.(FullCMCer)
	if !ok {
		return refuse(http.StatusNotImplemented, ReasonOperationMissing, sectionFullCMC, "This operation is not offered here.")
	}
	if e := checkCMCMediaType(x.r.Header); e != nil {
		if e.Reason == ReasonMediaType {
			x.w.Header()["Accept"] = []string{typeCMCRequest}
		}
		return e
	}
	der, e := x.readCSR()
	if e != nil {
		return aboutCMC(e)
	}
	r := &CMCRequest{Request: x.req.Request, Message: der}
	answer, err := backend.FullCMC(x.r.Context(), r)
	x.req.linked = r.Linked()
	if err != nil {
		return asError(err)
	}
	// RFC 7030, Section 4.3.2, and RFC 5273, Section 3: the label says which of the two it is.
	contentType := typeCMCResponse
	if answer.Simple {
		contentType = typeCerts
	}
	x.answer(contentType, answer.Message)
	return nil
}

// checkCMCMediaType wants application/pkcs7-mime with smime-type CMC-request, in any letter case (RFC 7030, Section
// 4.3.1; RFC 5273, Section 3). One without smime-type is taken: nothing else is posted here, and what the body is
// shows in its content type. One with another smime-type is refused, because its sender means something else.
func checkCMCMediaType(h http.Header) *Error {
	if encodings := h["Content-Encoding"]; len(encodings) > 0 && !strings.EqualFold(encodings[0], "identity") {
		return refuse(http.StatusUnsupportedMediaType, ReasonContentEncoding, sectionFullCMC,
			"The body is compressed. Send it without Content-Encoding.")
	}
	if values := h["Content-Type"]; len(values) == 1 && isCMCRequest(values[0]) {
		return nil
	}
	return refuse(http.StatusUnsupportedMediaType, ReasonMediaType, sectionFullCMC,
		"A Full PKI Request is sent with the header \"Content-Type: "+typeCMCRequest+"\". A PKCS#10 request alone goes to simpleenroll.")
}

func isCMCRequest(v string) bool {
	if mediaType(v) != typePKCS7 {
		return false
	}
	if !strings.Contains(v, ";") {
		return true
	}
	_, params, err := mime.ParseMediaType(v)
	if err != nil {
		return false
	}
	kind, given := params["smime-type"]
	return !given || strings.EqualFold(kind, "CMC-request")
}

// aboutCMC makes a refusal of a body speak of the message that was wanted.
func aboutCMC(e *Error) *Error {
	out := *e
	out.Section = sectionFullCMC
	switch e.Reason {
	case ReasonBodyEmpty:
		out.Message = "The request has no body. Send a Full PKI Request: its DER, encoded in base64."
	case ReasonBodyPEM:
		out.Message = "The body is PEM. Send the base64 lines alone, without the BEGIN and END lines: openssl base64 -in request.der"
	case ReasonBodyDER:
		out.Message = "The body is bare DER. EST sends DER in base64, whatever Content-Transfer-Encoding says: openssl base64 -in request.der"
	case ReasonBodyBase64:
		out.Message = "The body is not base64. Send the DER of the Full PKI Request in base64 with + and /, padded with =, no other characters but white space."
	case ReasonBodyTooLarge:
		out.Message = "The body is too large for a Full PKI Request. Send fewer requests in one message."
	}
	return &out
}

// writeCMC writes the Full PKI Response of a refusal. Content-Length is always set, as in all answers.
func writeCMC(w http.ResponseWriter, status int, der []byte) {
	text := appendBase64(nil, der)
	h := w.Header()
	h["Content-Type"] = []string{typeCMCResponse}
	h["Content-Transfer-Encoding"] = []string{"base64"}
	h["Content-Length"] = []string{strconv.Itoa(len(text))}
	w.WriteHeader(status)
	_, _ = w.Write(text) // an error means that the peer is gone
}
