// Package voucherformat names the encodings of vouchers for people: flags and
// files. It is the one list of those that the programs speak.
package voucherformat

import (
	"bytes"
	"fmt"

	"github.com/briskest/briskest/voucher"
	"github.com/briskest/briskest/voucher/vouchercms"
	"github.com/briskest/briskest/voucher/vouchercose"
	"github.com/briskest/briskest/voucher/voucherjws"
)

// Name is an encoding as a flag has it: cms, jws or cose.
type Name string

// Flag is the --format flag of what a device speaks.
type Flag struct {
	Voucher Name `name:"format" enum:"cms,jws,cose" default:"cms" help:"Encoding of voucher-requests and vouchers: cms (JSON in CMS), jws (JSON in JWS) or cose (CBOR in COSE)."`
}

// All returns the encodings, the preferred one first.
func All() []voucher.Format {
	return []voucher.Format{vouchercms.Format{}, voucherjws.Format{}, vouchercose.Format{}}
}

// Format returns the encoding of that name.
func (n Name) Format() (voucher.Format, error) {
	switch n {
	case "cms":
		return vouchercms.Format{}, nil
	case "jws":
		return voucherjws.Format{}, nil
	case "cose":
		return vouchercose.Format{}, nil
	default:
		return nil, fmt.Errorf("%q is no encoding of vouchers: cms, jws and cose are", string(n))
	}
}

// Extension returns what its files end in (RFC 8366, Section 8.3 for CMS).
func (n Name) Extension() string {
	switch n {
	case "jws":
		return ".vjj"
	case "cose":
		return ".vch"
	default:
		return ".vcj"
	}
}

// Of tells what an artifact is encoded in, by how it begins: tag 18, an object
// of JSON, else CMS.
func Of(data []byte) Name {
	switch {
	case bytes.HasPrefix(data, []byte{0xd2}):
		return "cose"
	case bytes.HasPrefix(bytes.TrimLeft(data, " \t\r\n"), []byte("{")):
		return "jws"
	default:
		return "cms"
	}
}

// JSON returns the content of an artifact as JSON.
func JSON(a *voucher.Artifact) ([]byte, error) {
	if a.MediaType == vouchercose.MediaType {
		return vouchercose.Format{}.PayloadJSON(a.Payload)
	}
	return a.Payload, nil
}
