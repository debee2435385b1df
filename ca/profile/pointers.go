package profile

import (
	"crypto/sha256"
	"encoding/asn1"
	"encoding/binary"
	"encoding/hex"
	"math/bits"
	"strconv"
	"strings"

	"golang.org/x/crypto/cryptobyte"
	cbasn1 "golang.org/x/crypto/cryptobyte/asn1"
)

// MaxPartitions is how many partitions a CA's revocation lists may have.
const MaxPartitions = 1 << 16

// The words of URLs that lead from a certificate to what its CA says of it. They are
// resolved for each certificate, and need no escaping.
const (
	authorityWord = "{authority}"     // the issuing CA's key identifier, lower-case hex
	partitionWord = "{crl_partition}" // COUNT/INDEX of the revocation list that the certificate would be on
)

// ValidPartitions says whether a CA's revocation lists may be split in so many: a power of two, up to [MaxPartitions].
func ValidPartitions(count int) bool {
	return count >= 1 && count <= MaxPartitions && count&(count-1) == 0
}

// Partition says which of count partitions of the CA's revocation lists has the
// certificates of a serial number (big-endian, minimal): the first bits of its
// SHA-256. count is as in [ValidPartitions]; the first partition is 0. Doubling
// count splits partition i into 2i and 2i+1.
func Partition(serial []byte, count int) int {
	digest := sha256.Sum256(serial)
	// Shifted in 64 bits, so that one partition shifts everything out.
	return int(uint64(binary.BigEndian.Uint32(digest[:4])) >> (32 - bits.Len(uint(count)-1)))
}

// PartitionName is what stands for {crl_partition} in URLs: COUNT/INDEX.
func PartitionName(count, index int) string {
	return strconv.Itoa(count) + "/" + strconv.Itoa(index)
}

// AuthorityName is what stands for {authority} in URLs: the CA's key identifier in lower-case hex.
func AuthorityName(keyID []byte) string { return hex.EncodeToString(keyID) }

// pointer is a URL in which words may stand.
type pointer struct {
	text  string
	words bool
}

func pointers(texts []string) []pointer {
	var out []pointer
	for _, text := range texts {
		out = append(out, pointer{text: text, words: strings.Contains(text, "{")})
	}
	return out
}

// resolve returns the URL as the certificate has it.
func (p pointer) resolve(c *Content) string {
	if !p.words {
		return p.text
	}
	count := max(c.Partitions, 1)
	return strings.NewReplacer(
		authorityWord, AuthorityName(c.AuthorityKeyID),
		partitionWord, PartitionName(count, Partition(c.Serial, count)),
	).Replace(p.text)
}

// appendPointers writes where to find more: CRLs, their deltas, OCSP, the issuer.
func (f *fixedContent) appendPointers(b *cryptobyte.Builder, c *Content) {
	f.appendPoints(b, 31, f.crl, c)
	f.appendPoints(b, 46, f.freshest, c)
	if len(f.caIssuers)+len(f.ocsp) == 0 {
		return
	}
	appendExtension(b, oidPE(1), false, func(b *cryptobyte.Builder) {
		b.AddASN1(cbasn1.SEQUENCE, func(b *cryptobyte.Builder) {
			for _, u := range f.ocsp {
				appendAccess(b, oidAD(1), u.resolve(c))
			}
			for _, u := range f.caIssuers {
				appendAccess(b, oidAD(2), u.resolve(c))
			}
		})
	})
}

func (f *fixedContent) appendPoints(b *cryptobyte.Builder, extension int, list []pointer, c *Content) {
	if len(list) == 0 {
		return
	}
	appendExtension(b, oidCE(extension), false, func(b *cryptobyte.Builder) {
		b.AddASN1(cbasn1.SEQUENCE, func(b *cryptobyte.Builder) {
			for _, u := range list {
				appendDistributionPoint(b, u.resolve(c))
			}
		})
	})
}

// buildPointers notes the extensions of appendPointers and, where no URL has words, writes them once for all.
func (f *fixedContent) buildPointers() error {
	words := false
	for _, list := range [][]pointer{f.crl, f.freshest, f.ocsp, f.caIssuers} {
		for _, u := range list {
			words = words || u.words
		}
	}
	for extension, there := range map[string]bool{
		string(oidBytes(oidCE(31))): len(f.crl) > 0,
		string(oidBytes(oidCE(46))): len(f.freshest) > 0,
		string(oidBytes(oidPE(1))):  len(f.caIssuers)+len(f.ocsp) > 0,
	} {
		if there {
			f.expect[extension] = expected{}
		}
	}
	if words {
		return nil
	}
	var b cryptobyte.Builder
	f.appendPointers(&b, nil)
	var err error
	f.pointers, err = b.Bytes()
	return err
}

// appendDistributionPoint writes a DistributionPoint with a URI as its full
// name (RFC 5280, Section 4.2.1.13).
func appendDistributionPoint(b *cryptobyte.Builder, url string) {
	tag0 := cbasn1.Tag(0).ContextSpecific().Constructed()
	b.AddASN1(cbasn1.SEQUENCE, func(b *cryptobyte.Builder) {
		b.AddASN1(tag0, func(b *cryptobyte.Builder) {
			b.AddASN1(tag0, func(b *cryptobyte.Builder) { appendTagged(b, 6, []byte(url)) })
		})
	})
}

// appendAccess writes an AccessDescription (RFC 5280, Section 4.2.2.1).
func appendAccess(b *cryptobyte.Builder, method asn1.ObjectIdentifier, url string) {
	b.AddASN1(cbasn1.SEQUENCE, func(b *cryptobyte.Builder) {
		b.AddASN1ObjectIdentifier(method)
		appendTagged(b, 6, []byte(url))
	})
}

func distributionPointsAre(value cryptobyte.String, want []pointer, c *Content) bool {
	var seq cryptobyte.String
	if !value.ReadASN1(&seq, cbasn1.SEQUENCE) || !value.Empty() {
		return false
	}
	tag0 := cbasn1.Tag(0).ContextSpecific().Constructed()
	for _, w := range want {
		var point, name, full, url cryptobyte.String
		if !seq.ReadASN1(&point, cbasn1.SEQUENCE) || !point.ReadASN1(&name, tag0) || !point.Empty() ||
			!name.ReadASN1(&full, tag0) || !name.Empty() ||
			!full.ReadASN1(&url, cbasn1.Tag(6).ContextSpecific()) || !full.Empty() || string(url) != w.resolve(c) {
			return false
		}
	}
	return seq.Empty()
}

func (f *fixedContent) accessIs(value cryptobyte.String, c *Content) bool {
	var seq cryptobyte.String
	if !value.ReadASN1(&seq, cbasn1.SEQUENCE) || !value.Empty() {
		return false
	}
	next := func(method asn1.ObjectIdentifier, want pointer) bool {
		var access, url cryptobyte.String
		var oid asn1.ObjectIdentifier
		return seq.ReadASN1(&access, cbasn1.SEQUENCE) && access.ReadASN1ObjectIdentifier(&oid) && oid.Equal(method) &&
			access.ReadASN1(&url, cbasn1.Tag(6).ContextSpecific()) && access.Empty() && string(url) == want.resolve(c)
	}
	for _, u := range f.ocsp {
		if !next(oidAD(1), u) {
			return false
		}
	}
	for _, u := range f.caIssuers {
		if !next(oidAD(2), u) {
			return false
		}
	}
	return seq.Empty()
}
