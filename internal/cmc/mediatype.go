package cmc

import (
	"fmt"
	"mime"
	"strings"
)

// Kind is what a body is, by its media type (RFC 5273, Section 3).
type Kind int

// The kinds of message (RFC 5273, Section 3).
const (
	// KindUnlabelled is application/pkcs7-mime without an smime-type: the content tells.
	KindUnlabelled Kind = iota
	// KindSimpleRequest is a PKCS #10 request.
	KindSimpleRequest
	// KindFullRequest is a Full PKI Request.
	KindFullRequest
	// KindSimpleResponse is a certs-only message.
	KindSimpleResponse
	// KindFullResponse is a Full PKI Response.
	KindFullResponse
)

// The media types of CMC in HTTP (RFC 5273, Sections 3 and 5).
const (
	MediaTypeSimpleRequest  = "application/pkcs10"
	MediaTypeFullRequest    = "application/pkcs7-mime; smime-type=CMC-request"
	MediaTypeSimpleResponse = "application/pkcs7-mime; smime-type=certs-only"
	MediaTypeFullResponse   = "application/pkcs7-mime; smime-type=CMC-response"
)

// KindOf reads a Content-Type value. Types and smime-type are compared without regard to case. Errors: ErrMediaType.
func KindOf(contentType string) (Kind, error) {
	media, parameters, err := mime.ParseMediaType(contentType)
	if err != nil {
		return KindUnlabelled, fmt.Errorf("%w: %w", ErrMediaType, err)
	}
	switch media {
	case "application/pkcs10":
		return KindSimpleRequest, nil
	case "application/pkcs7-mime":
	default:
		return KindUnlabelled, fmt.Errorf("%w: %q", ErrMediaType, media)
	}
	switch label, labelled := parameters["smime-type"]; strings.ToLower(label) {
	case "cmc-request":
		return KindFullRequest, nil
	case "cmc-response":
		return KindFullResponse, nil
	case "certs-only":
		return KindSimpleResponse, nil
	default:
		if labelled {
			return KindUnlabelled, fmt.Errorf("%w: smime-type %q", ErrMediaType, label)
		}
	}
	return KindUnlabelled, nil
}
