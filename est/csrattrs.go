package est

import (
	"bytes"
	"encoding/asn1"
	"errors"
	"fmt"
	"net/http"

	"golang.org/x/crypto/cryptobyte"
	cryptobyte_asn1 "golang.org/x/crypto/cryptobyte/asn1"
)

// csrAttrs answers RFC 7030, Section 4.5. Nobody has to authenticate for it (RFC 7030, Section 4.5). 204 says that there
// are none (RFC 7030, Section 4.5.2); an empty list is answered so too, because libest's example client asks for ever
// when it gets one.
func (x *exchange) csrAttrs() *Error {
	var der []byte
	if b, ok := x.h.Backend.(CSRAttrser); ok {
		var err error
		if der, err = b.CSRAttrs(x.r.Context(), &x.req.Request); err != nil {
			return asError(err)
		}
	}
	if len(der) == 0 || bytes.Equal(der, []byte{0x30, 0x00}) {
		x.w.WriteHeader(http.StatusNoContent)
		return nil
	}
	x.answer(typeCSRAttrs, der)
	return nil
}

// CSRAttrs is a CsrAttrs (RFC 7030, Section 4.5.2, in the ASN.1 of RFC 8951, Section 4): what a server would like to
// find in a CSR. [CSRAttrs.Plan] says what a client does about it, [CSRPlan.CSRAttrs] makes one from what a server wants.
type CSRAttrs struct {
	Items []Attribute // in the order of the list, which means nothing
}

// Attribute is an object identifier with values, or in a [CSRAttrs] one alone.
type Attribute struct {
	OID    asn1.ObjectIdentifier
	Values [][]byte // each the DER of one value; none is a set without values
	// Bare is a lone object identifier in a CsrAttrs, which has no set of values: an attribute, key type or signature
	// algorithm that is wanted.
	Bare bool
}

// Bounds on a CsrAttrs.
const (
	maxCSRAttrs      = 64 << 10
	maxCSRAttrsItems = 1024
)

// ErrCSRAttrs is what a CsrAttrs that cannot be read gives.
var ErrCSRAttrs = errors.New("not the DER of a CsrAttrs (RFC 7030, Section 4.5.2)")

// ParseCSRAttrs reads the DER of a CsrAttrs, 64 KiB and 1024 elements and values at most. Nothing is refused for being
// unknown; an object identifier with a number above 2^31-1 is left out, with its values. The values refer to der.
//
// Errors: those that match [ErrCSRAttrs].
func ParseCSRAttrs(der []byte) (*CSRAttrs, error) {
	if len(der) > maxCSRAttrs {
		return nil, fmt.Errorf("%w: larger than 64 KiB", ErrCSRAttrs)
	}
	input := cryptobyte.String(der)
	var list cryptobyte.String
	if !input.ReadASN1(&list, cryptobyte_asn1.SEQUENCE) || !input.Empty() {
		return nil, ErrCSRAttrs
	}
	attrs := new(CSRAttrs)
	room := maxCSRAttrsItems
	for n := 1; !list.Empty(); n++ {
		if room--; room < 0 {
			return nil, fmt.Errorf("%w: more than %d elements", ErrCSRAttrs, maxCSRAttrsItems)
		}
		if !attrs.read(&list, &room) {
			return nil, fmt.Errorf("%w: element %d", ErrCSRAttrs, n)
		}
	}
	return attrs, nil
}

// read reads one AttrOrOID and takes its values off room.
func (a *CSRAttrs) read(list *cryptobyte.String, room *int) bool {
	if list.PeekASN1Tag(cryptobyte_asn1.OBJECT_IDENTIFIER) {
		oid, ok := readOID(list)
		if ok && oid != nil {
			a.Items = append(a.Items, Attribute{OID: oid, Bare: true})
		}
		return ok
	}
	attribute, ok := readAttribute(list, room)
	if ok && attribute.OID != nil {
		a.Items = append(a.Items, attribute)
	}
	return ok
}

// readAttribute reads an attribute and takes its values off room. Its OID is nil where it is too large for Go.
func readAttribute(list *cryptobyte.String, room *int) (Attribute, bool) {
	var attribute Attribute
	var element, set cryptobyte.String
	if !list.ReadASN1(&element, cryptobyte_asn1.SEQUENCE) {
		return attribute, false
	}
	var ok bool
	if attribute.OID, ok = readOID(&element); !ok || !element.ReadASN1(&set, cryptobyte_asn1.SET) || !element.Empty() {
		return attribute, false
	}
	for !set.Empty() {
		var value cryptobyte.String
		if *room--; *room < 0 || !set.ReadAnyASN1Element(&value, nil) {
			return attribute, false
		}
		attribute.Values = append(attribute.Values, value)
	}
	return attribute, true
}

// readOID reads an object identifier; nil with true for one that is well-formed and too large for Go.
func readOID(s *cryptobyte.String) (asn1.ObjectIdentifier, bool) {
	var element cryptobyte.String
	if !s.ReadASN1Element(&element, cryptobyte_asn1.OBJECT_IDENTIFIER) {
		return nil, false
	}
	content := element
	var body cryptobyte.String
	if !content.ReadASN1(&body, cryptobyte_asn1.OBJECT_IDENTIFIER) || len(body) == 0 || body[len(body)-1]&0x80 != 0 {
		return nil, false
	}
	var oid asn1.ObjectIdentifier
	if !element.ReadASN1ObjectIdentifier(&oid) {
		return nil, true
	}
	return oid, true
}
