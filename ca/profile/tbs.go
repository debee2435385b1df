package profile

import (
	"crypto"
	"crypto/sha256"
	"crypto/x509/pkix"
	"encoding/asn1"
	"fmt"
	"math/big"
	"time"

	"github.com/briskest/briskest/ca"
	"golang.org/x/crypto/cryptobyte"
	cbasn1 "golang.org/x/crypto/cryptobyte/asn1"
)

// Content is one decision: everything a to-be-signed certificate says that its
// profile does not.
type Content struct {
	Serial         []byte // big-endian, minimal, positive, at most 20 bytes (RFC 5280, Section 4.1.2.2)
	Algorithm      SignatureAlgorithm
	Issuer         []byte // DER of the issuer's Name
	AuthorityKeyID []byte // the issuer's subject key identifier
	NotBefore      time.Time
	NotAfter       time.Time
	Subject        pkix.RDNSequence
	Names          ca.Names
	Key            crypto.PublicKey
	SPKI           []byte // DER of Key, from [MarshalPublicKey]
	// Partitions is how many partitions the issuer's revocation lists have, as in
	// [ValidPartitions], for {crl_partition}; 0 is 1.
	Partitions int
}

// fixedContent is what every certificate of a profile says.
type fixedContent struct {
	usage       [keyKinds][]byte // the KeyUsage extension whole, by kind of key
	before      []byte           // extensions that stand before the SubjectAltName
	after       []byte           // extensions that stand after it
	pointers    []byte           // those of appendPointers, when they are the same for all
	last        []byte           // extensions that stand at the end
	expect      map[string]expected
	skid        bool
	eku         []asn1.ObjectIdentifier
	caIssuers   []pointer
	ocsp        []pointer
	crl         []pointer
	freshest    []pointer
	policies    []policy
	masaURL     string
	noCheck     bool
	constraints *BasicConstraints
	permitted   []subtree
	excluded    []subtree
}

// expected is an extension that a certificate of the profile has.
type expected struct{ critical bool }

type policy struct {
	oid asn1.ObjectIdentifier
	cps string
}

// KeyID returns the key identifier of a SubjectPublicKeyInfo: the first 160
// bits of the SHA-256 of its bit string (RFC 7093, Section 2, method 1). It
// returns nil when spki is none.
func KeyID(spki []byte) []byte {
	in := cryptobyte.String(spki)
	var seq, algorithm cryptobyte.String
	var bits asn1.BitString
	if !in.ReadASN1(&seq, cbasn1.SEQUENCE) || !seq.ReadASN1(&algorithm, cbasn1.SEQUENCE) || !seq.ReadASN1BitString(&bits) {
		return nil
	}
	digest := sha256.Sum256(bits.Bytes)
	return digest[:20]
}

// TBS builds the TBSCertificate (RFC 5280, Section 4.1) that the profile makes
// of the content. It does not judge the content: [Profile.CheckTBS] does, over
// the bytes.
func (p *Profile) TBS(c *Content) ([]byte, error) {
	rule := p.kindRule(c.Key)
	if rule == nil {
		return nil, rejected(ErrKeyType, "%T", c.Key)
	}
	b := cryptobyte.NewBuilder(make([]byte, 0, 1024))
	b.AddASN1(cbasn1.SEQUENCE, func(b *cryptobyte.Builder) {
		b.AddBytes([]byte{0xa0, 3, 2, 1, 2}) // version 3
		b.AddASN1BigInt(new(big.Int).SetBytes(c.Serial))
		b.AddBytes(c.Algorithm.Identifier())
		b.AddBytes(c.Issuer)
		b.AddASN1(cbasn1.SEQUENCE, func(b *cryptobyte.Builder) {
			AppendTime(b, c.NotBefore)
			AppendTime(b, c.NotAfter)
		})
		p.subject.appendName(b, c.Subject)
		b.AddBytes(c.SPKI)
		b.AddASN1(cbasn1.Tag(3).ContextSpecific().Constructed(), func(b *cryptobyte.Builder) {
			b.AddASN1(cbasn1.SEQUENCE, func(b *cryptobyte.Builder) { p.appendExtensions(b, c, rule) })
		})
	})
	tbs, err := b.Bytes()
	if err != nil {
		return nil, fmt.Errorf("to-be-signed certificate: %w", err)
	}
	return tbs, nil
}

// AppendTime writes a Time: UTCTime up to 2049, GeneralizedTime from 2050 on
// (RFC 5280, Section 4.1.2.5).
func AppendTime(b *cryptobyte.Builder, t time.Time) {
	t = t.UTC()
	if t.Year() >= 1950 && t.Year() < 2050 {
		b.AddASN1UTCTime(t)
		return
	}
	b.AddASN1GeneralizedTime(t)
}

func (p *Profile) appendExtensions(b *cryptobyte.Builder, c *Content, rule *keyRule) {
	appendExtension(b, oidCE(35), false, func(b *cryptobyte.Builder) {
		b.AddASN1(cbasn1.SEQUENCE, func(b *cryptobyte.Builder) { appendTagged(b, 0, c.AuthorityKeyID) })
	})
	if p.content.skid {
		appendExtension(b, oidCE(14), false, func(b *cryptobyte.Builder) { b.AddASN1OctetString(KeyID(c.SPKI)) })
	}
	b.AddBytes(p.content.usage[rule.kind])
	b.AddBytes(p.content.before)
	if hasNames(&c.Names) {
		// Critical when it stands alone (RFC 5280, Section 4.2.1.6).
		appendExtension(b, oidCE(17), len(c.Subject) == 0, func(b *cryptobyte.Builder) { appendGeneralNames(b, &c.Names) })
	}
	b.AddBytes(p.content.after)
	if p.content.pointers == nil {
		p.content.appendPointers(b, c)
	}
	b.AddBytes(p.content.pointers)
	b.AddBytes(p.content.last)
}

func hasNames(n *ca.Names) bool {
	return len(n.DNS)+len(n.Email)+len(n.IP)+len(n.URI)+len(n.Other) > 0
}

// appendExtension writes an Extension (RFC 5280, Section 4.1).
func appendExtension(b *cryptobyte.Builder, oid asn1.ObjectIdentifier, critical bool, value func(b *cryptobyte.Builder)) {
	b.AddASN1(cbasn1.SEQUENCE, func(b *cryptobyte.Builder) {
		b.AddASN1ObjectIdentifier(oid)
		if critical {
			b.AddASN1Boolean(true)
		}
		b.AddASN1(cbasn1.OCTET_STRING, value)
	})
}

// build writes the extensions that do not depend on the request.
func (f *fixedContent) build(usage [keyKinds]keyUsage, ekuCritical bool) error {
	for kind, u := range usage {
		if u == 0 {
			continue
		}
		var b cryptobyte.Builder
		appendExtension(&b, oidCE(15), true, func(b *cryptobyte.Builder) {
			b.AddASN1(cbasn1.BIT_STRING, func(b *cryptobyte.Builder) { b.AddBytes(u.bitString()) })
		})
		der, err := b.Bytes()
		if err != nil {
			return err
		}
		f.usage[kind] = der
	}
	f.expect = map[string]expected{string(oidBytes(oidCE(35))): {}, string(oidBytes(oidCE(15))): {critical: true}}
	if f.skid {
		f.expect[string(oidBytes(oidCE(14)))] = expected{}
	}
	var before, after, last cryptobyte.Builder
	f.buildConstraints(&before)
	f.buildNameConstraints(&before)
	f.buildPolicies(&before)
	if len(f.eku) > 0 {
		f.fixed(&after, oidCE(37), ekuCritical, func(b *cryptobyte.Builder) {
			b.AddASN1(cbasn1.SEQUENCE, func(b *cryptobyte.Builder) {
				for _, oid := range f.eku {
					b.AddASN1ObjectIdentifier(oid)
				}
			})
		})
	}
	f.buildLast(&last)
	if err := f.buildPointers(); err != nil {
		return err
	}
	var err error
	if f.before, err = before.Bytes(); err != nil {
		return err
	}
	if f.after, err = after.Bytes(); err != nil {
		return err
	}
	f.last, err = last.Bytes()
	return err
}

// fixed writes an extension and notes that it is expected.
func (f *fixedContent) fixed(b *cryptobyte.Builder, oid asn1.ObjectIdentifier, critical bool, value func(b *cryptobyte.Builder)) {
	f.expect[string(oidBytes(oid))] = expected{critical: critical}
	appendExtension(b, oid, critical, value)
}

func (f *fixedContent) buildConstraints(b *cryptobyte.Builder) {
	if f.constraints == nil {
		return
	}
	f.fixed(b, oidCE(19), true, func(b *cryptobyte.Builder) {
		b.AddASN1(cbasn1.SEQUENCE, func(b *cryptobyte.Builder) {
			if f.constraints.CA {
				b.AddASN1Boolean(true)
			}
			if f.constraints.PathLength != nil {
				b.AddASN1Int64(int64(*f.constraints.PathLength))
			}
		})
	})
}

func (f *fixedContent) buildPolicies(b *cryptobyte.Builder) {
	if len(f.policies) == 0 {
		return
	}
	f.fixed(b, oidCE(32), false, func(b *cryptobyte.Builder) {
		b.AddASN1(cbasn1.SEQUENCE, func(b *cryptobyte.Builder) {
			for _, p := range f.policies {
				b.AddASN1(cbasn1.SEQUENCE, func(b *cryptobyte.Builder) { p.appendTo(b) })
			}
		})
	})
}

func (p *policy) appendTo(b *cryptobyte.Builder) {
	b.AddASN1ObjectIdentifier(p.oid)
	if p.cps == "" {
		return
	}
	b.AddASN1(cbasn1.SEQUENCE, func(b *cryptobyte.Builder) {
		b.AddASN1(cbasn1.SEQUENCE, func(b *cryptobyte.Builder) {
			b.AddASN1ObjectIdentifier(oidCPS())
			b.AddASN1(cbasn1.IA5String, func(b *cryptobyte.Builder) { b.AddBytes([]byte(p.cps)) })
		})
	})
}

// buildLast writes what concerns few profiles: the MASA and the OCSP responder.
func (f *fixedContent) buildLast(b *cryptobyte.Builder) {
	if f.masaURL != "" {
		// IA5String, not critical (RFC 8995, Section 2.3.2).
		f.fixed(b, oidPE(32), false, func(b *cryptobyte.Builder) {
			b.AddASN1(cbasn1.IA5String, func(b *cryptobyte.Builder) { b.AddBytes([]byte(f.masaURL)) })
		})
	}
	if f.noCheck {
		f.fixed(b, oidNoCheck(), false, func(b *cryptobyte.Builder) { b.AddASN1NULL() })
	}
}

// oidBytes returns the content of an OID's DER, to find it by.
func oidBytes(oid asn1.ObjectIdentifier) []byte {
	var b cryptobyte.Builder
	b.AddASN1ObjectIdentifier(oid)
	der, err := b.Bytes()
	if err != nil {
		panic("profile: internal error: " + err.Error())
	}
	return der[2:]
}

// SubjectDER returns the DER of a subject whose attributes the profile takes.
func (p *Profile) SubjectDER(subject pkix.RDNSequence) ([]byte, error) {
	if err := p.subject.check(subject); err != nil {
		return nil, err
	}
	var b cryptobyte.Builder
	p.subject.appendName(&b, subject)
	return b.Bytes()
}
