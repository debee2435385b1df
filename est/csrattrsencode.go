package est

import (
	"bytes"
	"encoding/asn1"
	"errors"
	"fmt"
	"slices"

	"golang.org/x/crypto/cryptobyte"
	cbasn1 "golang.org/x/crypto/cryptobyte/asn1"
)

// Object identifiers, as [asn1.ObjectIdentifier.String] writes them.
const (
	nameExtensionRequest  = "1.2.840.113549.1.9.14"      // RFC 2985, Section 5.4.2
	nameChallengePassword = "1.2.840.113549.1.9.7"       // RFC 2985, Section 5.4.1
	nameCSRTemplate       = "1.2.840.113549.1.9.16.2.61" // RFC 9908, Section 3.4
	nameExtensionTemplate = "1.2.840.113549.1.9.16.2.62" // RFC 9908, Section 3.4
	// What the figure in RFC 9908, Section 3.4, prints in its place; read, never written.
	nameExtensionTemplateMisprint = "1.2.840.113549.1.9.62"
)

// newOID reads one of the constants above.
func newOID(dotted string) asn1.ObjectIdentifier {
	var oid asn1.ObjectIdentifier
	for n := 0; ; {
		digit := dotted[0]
		dotted = dotted[1:]
		if digit != '.' {
			n = n*10 + int(digit-'0')
		} else {
			oid, n = append(oid, n), 0
		}
		if dotted == "" {
			return append(oid, n)
		}
	}
}

// Marshal writes the DER. It is as ParseCSRAttrs reads it, so that what was read is written as the same bytes when it was
// DER.
//
// Refused, with an error that matches [ErrCSRAttrs]: more than ParseCSRAttrs takes, an identifier with values, a value
// that is no single DER element, a second id-ExtensionReq (RFC 9908, Section 3.2) or one that holds anything but one list
// of extensions, each once. For that list a lone object identifier passes too, since RFC 8951, Section 4, prints one.
func (a *CSRAttrs) Marshal() ([]byte, error) {
	if err := a.check(); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrCSRAttrs, err)
	}
	var b cryptobyte.Builder
	b.AddASN1(cbasn1.SEQUENCE, func(b *cryptobyte.Builder) {
		for i := range a.Items {
			if a.Items[i].Bare {
				b.AddASN1ObjectIdentifier(a.Items[i].OID)
			} else {
				a.Items[i].appendTo(b)
			}
		}
	})
	der, err := b.Bytes()
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrCSRAttrs, err)
	}
	if len(der) > maxCSRAttrs {
		return nil, fmt.Errorf("%w: larger than 64 KiB", ErrCSRAttrs)
	}
	return der, nil
}

func (a *CSRAttrs) check() error {
	if room := attributesRoom(a.Items); room > maxCSRAttrsItems {
		return fmt.Errorf("more than %d elements", maxCSRAttrsItems)
	}
	requests := 0
	for i := range a.Items {
		item := &a.Items[i]
		if item.Bare && len(item.Values) > 0 {
			return fmt.Errorf("%s is a lone identifier with values", item.OID)
		}
		if err := item.check(); err != nil {
			return err
		}
		if item.Bare || item.OID.String() != nameExtensionRequest {
			continue
		}
		if requests++; requests > 1 {
			return errors.New("a second id-ExtensionReq (RFC 9908, Section 3.2)")
		}
		if len(item.Values) == 1 && item.Values[0][0] == byte(cbasn1.OBJECT_IDENTIFIER) {
			continue
		}
		if _, err := readExtensionRequest(item.Values, false); err != nil {
			return err
		}
	}
	return nil
}

func attributesRoom(attributes []Attribute) int {
	room := len(attributes)
	for i := range attributes {
		room += len(attributes[i].Values)
	}
	return room
}

// check refuses values that are no single DER element.
func (a *Attribute) check() error {
	for _, value := range a.Values {
		if !isElement(value) {
			return fmt.Errorf("a value of %s is not one DER element", a.OID)
		}
	}
	return nil
}

func isElement(der []byte) bool {
	in := cryptobyte.String(der)
	var element cryptobyte.String
	return in.ReadAnyASN1Element(&element, nil) && in.Empty()
}

// appendTo writes an Attribute. In DER the values of a set are sorted (X.690, Section 11.6).
func (a *Attribute) appendTo(b *cryptobyte.Builder) {
	values := slices.Clone(a.Values)
	slices.SortFunc(values, bytes.Compare)
	b.AddASN1(cbasn1.SEQUENCE, func(b *cryptobyte.Builder) {
		b.AddASN1ObjectIdentifier(a.OID)
		b.AddASN1(cbasn1.SET, func(b *cryptobyte.Builder) {
			for _, value := range values {
				b.AddBytes(value)
			}
		})
	})
}
