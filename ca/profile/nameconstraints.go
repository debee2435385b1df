package profile

import (
	"bytes"
	"fmt"
	"net"
	"net/netip"
	"strings"

	"golang.org/x/crypto/cryptobyte"
	cbasn1 "golang.org/x/crypto/cryptobyte/asn1"
)

// maxSubtrees bounds each of the two lists of a NameConstraints.
const maxSubtrees = 32

// subtree is a GeneralSubtree (RFC 5280, Section 4.2.1.10): the tag of its type of
// name, and the content.
type subtree struct {
	tag   uint8
	value []byte
}

func (c *compiler) nameConstraints(f *fixedContent) {
	d := c.doc.NameConstraints
	if d == nil {
		return
	}
	if c.doc.BasicConstraints == nil || !c.doc.BasicConstraints.CA {
		c.problem("name_constraints", "are for CAs (RFC 5280, Section 4.2.1.10)")
	}
	f.permitted = c.subtrees("name_constraints.permitted", &d.Permitted)
	f.excluded = c.subtrees("name_constraints.excluded", &d.Excluded)
	if len(f.permitted)+len(f.excluded) == 0 {
		c.problem("name_constraints", "permit and exclude nothing; remove them")
	}
}

func (c *compiler) subtrees(field string, d *NameSubtrees) []subtree {
	var out []subtree
	for _, kind := range []struct {
		word   string
		tag    uint8
		values []string
		dotted bool // a dot may stand before the domain
	}{{wordEmail, 1, d.Email, true}, {wordDNS, 2, d.DNS, false}, {wordURI, 6, d.URI, true}} {
		for i, text := range kind.values {
			domain := text
			if kind.dotted {
				domain = strings.TrimPrefix(text, ".")
			}
			if !validDNS(domain) {
				c.problem(fmt.Sprintf("%s.%s[%d]", field, kind.word, i), "%.80q is no domain", text)
			}
			out = append(out, subtree{kind.tag, []byte(text)})
		}
	}
	for i, text := range d.IP {
		prefix, err := netip.ParsePrefix(text)
		if err != nil || prefix.Masked() != prefix {
			c.problem(fmt.Sprintf("%s.%s[%d]", field, wordIP, i), "%.80q is no network such as 10.0.0.0/8", text)
			continue
		}
		mask := net.CIDRMask(prefix.Bits(), prefix.Addr().BitLen())
		out = append(out, subtree{7, append(prefix.Addr().AsSlice(), mask...)})
	}
	if len(out) > maxSubtrees {
		c.problem(field, "are more than %d", maxSubtrees)
	}
	return out
}

func (f *fixedContent) buildNameConstraints(b *cryptobyte.Builder) {
	if len(f.permitted)+len(f.excluded) == 0 {
		return
	}
	f.fixed(b, oidCE(30), true, func(b *cryptobyte.Builder) {
		b.AddASN1(cbasn1.SEQUENCE, func(b *cryptobyte.Builder) {
			for tag, list := range [][]subtree{f.permitted, f.excluded} {
				if len(list) == 0 {
					continue
				}
				b.AddASN1(cbasn1.Tag(tag).ContextSpecific().Constructed(), func(b *cryptobyte.Builder) {
					for _, s := range list {
						b.AddASN1(cbasn1.SEQUENCE, func(b *cryptobyte.Builder) { appendTagged(b, cbasn1.Tag(s.tag), s.value) })
					}
				})
			}
		})
	})
}

func (f *fixedContent) nameConstraintsAre(value cryptobyte.String) bool {
	var seq cryptobyte.String
	if !value.ReadASN1(&seq, cbasn1.SEQUENCE) || !value.Empty() {
		return false
	}
	for tag, want := range [][]subtree{f.permitted, f.excluded} {
		if len(want) == 0 {
			continue
		}
		var list cryptobyte.String
		if !seq.ReadASN1(&list, cbasn1.Tag(tag).ContextSpecific().Constructed()) {
			return false
		}
		for _, w := range want {
			var one, content cryptobyte.String
			if !list.ReadASN1(&one, cbasn1.SEQUENCE) || !one.ReadASN1(&content, cbasn1.Tag(w.tag).ContextSpecific()) || !one.Empty() || !bytes.Equal(content, w.value) {
				return false
			}
		}
		if !list.Empty() {
			return false
		}
	}
	return seq.Empty()
}
