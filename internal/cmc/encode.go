package cmc

import (
	"bytes"
	"crypto/x509/pkix"
	"fmt"
	"math/big"
	"slices"
	"time"

	"golang.org/x/crypto/cryptobyte"
	cryptobyte_asn1 "golang.org/x/crypto/cryptobyte/asn1"

	"github.com/briskest/briskest/internal/cms"
)

// encode runs f and returns what it wrote. Errors: ErrBuild.
func encode(f func(*cryptobyte.Builder)) ([]byte, error) {
	var b cryptobyte.Builder
	f(&b)
	der, err := b.Bytes()
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrBuild, err)
	}
	return der, nil
}

// encodeSequence is encode with a SEQUENCE around it.
func encodeSequence(f func(*cryptobyte.Builder)) ([]byte, error) {
	return encode(func(b *cryptobyte.Builder) { b.AddASN1(cryptobyte_asn1.SEQUENCE, f) })
}

// addDER adds one element that the caller gives, or makes an error when it is none.
func addDER(b *cryptobyte.Builder, der []byte, what string) {
	in := cryptobyte.String(der)
	var element cryptobyte.String
	var tag cryptobyte_asn1.Tag
	if !in.ReadAnyASN1Element(&element, &tag) || !in.Empty() {
		b.SetError(fmt.Errorf("%s is not one DER element", what))
		return
	}
	b.AddBytes(der)
}

func addBodyParts(b *cryptobyte.Builder, ids []BodyPartID) {
	b.AddASN1(cryptobyte_asn1.SEQUENCE, func(b *cryptobyte.Builder) {
		for _, id := range ids {
			b.AddASN1Uint64(uint64(id))
		}
	})
}

// addSome is addBodyParts for a list that may not be empty.
func addSome(b *cryptobyte.Builder, ids []BodyPartID) {
	if len(ids) == 0 {
		b.SetError(fmt.Errorf("empty list of body parts"))
	}
	addBodyParts(b, ids)
}

// addReferences adds a SEQUENCE SIZE (1..MAX) OF BodyPartReference.
func addReferences(b *cryptobyte.Builder, paths []BodyPartPath) {
	if len(paths) == 0 {
		b.SetError(fmt.Errorf("empty list of body parts"))
	}
	b.AddASN1(cryptobyte_asn1.SEQUENCE, func(b *cryptobyte.Builder) {
		for _, p := range paths {
			if len(p) == 1 {
				b.AddASN1Uint64(uint64(p[0]))
				continue
			}
			addSome(b, p)
		}
	})
}

func addAlgorithm(b *cryptobyte.Builder, a cms.AlgorithmIdentifier) {
	b.AddASN1(cryptobyte_asn1.SEQUENCE, func(b *cryptobyte.Builder) {
		b.AddASN1ObjectIdentifier(a.OID)
		if a.Parameters != nil {
			addDER(b, a.Parameters, "algorithm parameters")
		}
	})
}

func addInteger(b *cryptobyte.Builder, n *big.Int, what string) {
	if n == nil {
		b.SetError(fmt.Errorf("%s is missing", what))
		return
	}
	b.AddASN1BigInt(n)
}

func addText(b *cryptobyte.Builder, text string) {
	b.AddASN1(cryptobyte_asn1.UTF8String, func(b *cryptobyte.Builder) { b.AddBytes([]byte(text)) })
}

// addTime adds a GeneralizedTime in whole seconds.
func addTime(b *cryptobyte.Builder, t time.Time) {
	b.AddASN1GeneralizedTime(t.UTC().Truncate(time.Second))
}

func addHashes(b *cryptobyte.Builder, hashes [][]byte) {
	b.AddASN1(cryptobyte_asn1.SEQUENCE, func(b *cryptobyte.Builder) {
		for _, h := range hashes {
			b.AddASN1OctetString(h)
		}
	})
}

// addExtensions adds the members of Extensions (RFC 5280, Section 4.1).
func addExtensions(b *cryptobyte.Builder, extensions []pkix.Extension) {
	for _, e := range extensions {
		b.AddASN1(cryptobyte_asn1.SEQUENCE, func(b *cryptobyte.Builder) {
			b.AddASN1ObjectIdentifier(e.Id)
			if e.Critical {
				b.AddASN1Boolean(true)
			}
			b.AddASN1OctetString(e.Value)
		})
	}
}

// setOf returns the members in the order of a SET OF in DER (X.690, Section 11.6).
func setOf(members [][]byte) []byte {
	sorted := slices.Clone(members)
	slices.SortFunc(sorted, bytes.Compare)
	return slices.Concat(sorted...)
}

// contextTag is a constructed element tagged [n].
func contextTag(n uint8) cryptobyte_asn1.Tag {
	return cryptobyte_asn1.Tag(n).ContextSpecific().Constructed()
}
