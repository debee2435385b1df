package delegate

import (
	"bytes"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/briskest/briskest/ca"
	"golang.org/x/crypto/cryptobyte"
	cbasn1 "golang.org/x/crypto/cryptobyte/asn1"
)

func oidSAN() asn1.ObjectIdentifier { return asn1.ObjectIdentifier{2, 5, 29, 17} }

// sameSubject compares a Name with what was decided: the same attributes with
// the same text in the same order, whatever kind of string they are written as.
func sameSubject(der []byte, want pkix.RDNSequence) error {
	var got pkix.RDNSequence
	if len(der) > 0 {
		if rest, err := asn1.Unmarshal(der, &got); err != nil || len(rest) != 0 {
			return errors.New("its subject cannot be read")
		}
	}
	same := slices.EqualFunc(got, want, func(a, b pkix.RelativeDistinguishedNameSET) bool {
		return slices.EqualFunc(a, b, func(x, y pkix.AttributeTypeAndValue) bool {
			return x.Type.Equal(y.Type) && text(x.Value) == text(y.Value)
		})
	})
	if !same {
		return fmt.Errorf("its subject is %.200q, not %.200q", got.String(), want.String())
	}
	return nil
}

// text returns an attribute's value as people read it.
func text(value any) string {
	if raw, ok := value.(asn1.RawValue); ok {
		return string(raw.Bytes)
	}
	return fmt.Sprint(value)
}

// sanOf returns the DER of the SubjectAltName; nil for none.
func sanOf(cert *x509.Certificate) ([]byte, error) {
	var san []byte
	for _, e := range cert.Extensions {
		if !e.Id.Equal(oidSAN()) {
			continue
		}
		if san != nil {
			return nil, errors.New("it has two SubjectAltName extensions")
		}
		san = e.Value
	}
	return san, nil
}

// sameNames compares GeneralNames with what was decided, each one, in any order.
func sameNames(der []byte, want *ca.Names) error {
	got, err := generalNames(der)
	if err != nil {
		return err
	}
	wanted, err := decided(want)
	if err != nil {
		return err
	}
	slices.SortFunc(got, bytes.Compare)
	slices.SortFunc(wanted, bytes.Compare)
	if !slices.EqualFunc(got, wanted, bytes.Equal) {
		return fmt.Errorf("its SubjectAltName is %s, not %s", describe(got), describe(wanted))
	}
	return nil
}

// dNSName's tag (RFC 5280, Section 4.2.1.6); its case means nothing.
const tagDNS = 2

// generalNames reads the elements of a SubjectAltName, DNS names in lower case.
func generalNames(der []byte) ([][]byte, error) {
	if len(der) == 0 {
		return nil, nil
	}
	in := cryptobyte.String(der)
	var list cryptobyte.String
	if !in.ReadASN1(&list, cbasn1.SEQUENCE) || !in.Empty() {
		return nil, errors.New("its SubjectAltName cannot be read")
	}
	var names [][]byte
	for !list.Empty() {
		var one cryptobyte.String
		var tag cbasn1.Tag
		if !list.ReadAnyASN1Element(&one, &tag) {
			return nil, errors.New("its SubjectAltName cannot be read")
		}
		name := bytes.Clone(one)
		if tag == cbasn1.Tag(tagDNS).ContextSpecific() {
			for i, c := range name {
				if c >= 'A' && c <= 'Z' {
					name[i] = c + 'a' - 'A'
				}
			}
		}
		names = append(names, name)
	}
	return names, nil
}

// decided writes the names as the elements of a SubjectAltName.
func decided(names *ca.Names) ([][]byte, error) {
	var out [][]byte
	add := func(tag uint8, value []byte) error {
		b := cryptobyte.NewBuilder(nil)
		b.AddASN1(cbasn1.Tag(tag).ContextSpecific(), func(b *cryptobyte.Builder) { b.AddBytes(value) })
		der, err := b.Bytes()
		out = append(out, der)
		return err
	}
	var err error
	for _, name := range names.DNS {
		err = errors.Join(err, add(tagDNS, []byte(strings.ToLower(name))))
	}
	for _, name := range names.Email {
		err = errors.Join(err, add(1, []byte(name)))
	}
	for _, name := range names.URI {
		err = errors.Join(err, add(6, []byte(name.String())))
	}
	for _, ip := range names.IP {
		if v4 := ip.To4(); v4 != nil {
			ip = v4
		}
		err = errors.Join(err, add(7, ip))
	}
	return append(out, names.Other...), err
}

// SAN writes names as the value of a SubjectAltName (RFC 5280, Section 4.2.1.6),
// for CAs that are asked for it; nil when there are none.
func SAN(names *ca.Names) ([]byte, error) {
	list, err := decided(names)
	if err != nil || len(list) == 0 {
		return nil, err
	}
	b := cryptobyte.NewBuilder(nil)
	b.AddASN1(cbasn1.SEQUENCE, func(b *cryptobyte.Builder) {
		for _, name := range list {
			b.AddBytes(name)
		}
	})
	return b.Bytes()
}

// describe shows names to people: text as it is, the rest in hex.
func describe(names [][]byte) string {
	if len(names) == 0 {
		return "empty"
	}
	var parts []string
	for i, name := range names {
		if i == 8 {
			parts = append(parts, fmt.Sprintf("and %d more", len(names)-i))
			break
		}
		if len(name) > 2 && (name[0] == 0x81 || name[0] == 0x82 || name[0] == 0x86) && name[1] < 0x80 {
			parts = append(parts, fmt.Sprintf("%.100q", name[2:]))
		} else {
			parts = append(parts, fmt.Sprintf("%.80x", name))
		}
	}
	return strings.Join(parts, " ")
}
