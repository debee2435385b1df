package est

import (
	"bytes"
	"errors"
	"fmt"
	"math/big"
	"slices"

	"golang.org/x/crypto/cryptobyte"
	cbasn1 "golang.org/x/crypto/cryptobyte/asn1"
)

// Marshal writes the DER. Extensions are in an id-ExtensionReq, unless the value of one is open: then, and only then, in
// an id-aa-extensionReqTemplate (RFC 9908, Section 3.4), whose value is the SEQUENCE OF its ASN.1 module and not the
// single one of its prose. The length of an RSA modulus becomes a placeholder that is no key.
//
// Refused, with an error that matches [ErrCSRTemplate]: what [ParseCSRTemplate] does not take, and Attributes that are
// requests for extensions.
func (t *CSRTemplate) Marshal() ([]byte, error) {
	attributes, err := t.attributes()
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrCSRTemplate, err)
	}
	var b cryptobyte.Builder
	b.AddASN1(cbasn1.SEQUENCE, func(b *cryptobyte.Builder) {
		b.AddASN1Int64(0)
		if t.Subject != nil {
			b.AddASN1(cbasn1.SEQUENCE, t.appendSubject)
		}
		if t.Key != nil {
			b.AddASN1(contextTag(0), t.Key.appendTo)
		}
		b.AddASN1(contextTag(1), func(b *cryptobyte.Builder) {
			for _, der := range attributes {
				b.AddBytes(der)
			}
		})
	})
	der, err := b.Bytes()
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrCSRTemplate, err)
	}
	if _, err := ParseCSRTemplate(der); err != nil {
		return nil, err
	}
	return der, nil
}

// attributes returns the DER of each, sorted as a set is (X.690, Section 11.6).
func (t *CSRTemplate) attributes() ([][]byte, error) {
	all := slices.Clone(t.Attributes)
	for i := range all {
		switch all[i].OID.String() {
		case nameExtensionRequest, nameExtensionTemplate, nameExtensionTemplateMisprint:
			return nil, errors.New("more than one request for extensions")
		}
		if all[i].Bare {
			return nil, errors.New("a lone identifier is no attribute")
		}
		if err := all[i].check(); err != nil {
			return nil, err
		}
	}
	if len(t.Extensions) > 0 {
		request, err := extensionRequest(t.Extensions)
		if err != nil {
			return nil, err
		}
		all = append(all, *request)
	}
	out := make([][]byte, len(all))
	for i := range all {
		var b cryptobyte.Builder
		all[i].appendTo(&b)
		der, err := b.Bytes()
		if err != nil {
			return nil, err
		}
		out[i] = der
	}
	slices.SortFunc(out, bytes.Compare)
	return out, nil
}

// extensionRequest makes the attribute that asks for extensions.
func extensionRequest(extensions []PlannedExtension) (*Attribute, error) {
	name := nameExtensionRequest
	var b cryptobyte.Builder
	b.AddASN1(cbasn1.SEQUENCE, func(b *cryptobyte.Builder) {
		for i := range extensions {
			extensions[i].appendTo(b)
			if extensions[i].Value == nil {
				name = nameExtensionTemplate
			}
		}
	})
	der, err := b.Bytes()
	if err != nil {
		return nil, err
	}
	return &Attribute{OID: newOID(name), Values: [][]byte{der}}, nil
}

func (e *PlannedExtension) appendTo(b *cryptobyte.Builder) {
	b.AddASN1(cbasn1.SEQUENCE, func(b *cryptobyte.Builder) {
		b.AddASN1ObjectIdentifier(e.ID)
		if e.Critical {
			b.AddASN1Boolean(true)
		}
		if e.Value != nil {
			b.AddASN1OctetString(e.Value)
		}
	})
}

func (t *CSRTemplate) appendSubject(b *cryptobyte.Builder) {
	for _, rdn := range t.Subject {
		elements := make([][]byte, len(rdn))
		for i := range rdn {
			var one cryptobyte.Builder
			if value := rdn[i].Value; value != nil && !isElement(value) {
				b.SetError(fmt.Errorf("the value of %s is not one DER element", rdn[i].Type))
				return
			}
			one.AddASN1(cbasn1.SEQUENCE, func(b *cryptobyte.Builder) {
				b.AddASN1ObjectIdentifier(rdn[i].Type)
				b.AddBytes(rdn[i].Value)
			})
			der, err := one.Bytes()
			if err != nil {
				b.SetError(err)
				return
			}
			elements[i] = der
		}
		slices.SortFunc(elements, bytes.Compare)
		b.AddASN1(cbasn1.SET, func(b *cryptobyte.Builder) {
			for _, der := range elements {
				b.AddBytes(der)
			}
		})
	}
}

func (k *TemplateKey) appendTo(b *cryptobyte.Builder) {
	isRSA := k.Algorithm.String() == nameRSA
	b.AddASN1(cbasn1.SEQUENCE, func(b *cryptobyte.Builder) {
		b.AddASN1ObjectIdentifier(k.Algorithm)
		switch {
		case isRSA:
			b.AddASN1NULL() // RFC 3279, Section 2.3.1
		case k.Curve != nil:
			b.AddASN1ObjectIdentifier(k.Curve)
		}
	})
	if k.Bits == 0 {
		return
	}
	if !isRSA || k.Bits < minRSABits || k.Bits > maxRSABits {
		b.SetError(fmt.Errorf("a placeholder of %d bits for a key of type %s", k.Bits, k.Algorithm))
		return
	}
	// An odd number with so many bits whose factors nobody looked for: no key, and meant to be seen as none.
	n := new(big.Int).SetBit(big.NewInt(1), k.Bits-1, 1)
	b.AddASN1(cbasn1.BIT_STRING, func(b *cryptobyte.Builder) {
		b.AddUint8(0)
		b.AddASN1(cbasn1.SEQUENCE, func(b *cryptobyte.Builder) {
			b.AddASN1BigInt(n)
			b.AddASN1Int64(65537)
		})
	})
}
