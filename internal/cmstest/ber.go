package cmstest

import "fmt"

// Indefinite rewrites a DER element, and all in it, with indefinite lengths. OCTET STRINGs longer than segment bytes are
// cut into segments; 0 cuts none.
func Indefinite(der []byte, segment int) []byte {
	out, rest := indefinite(nil, der, segment)
	if len(rest) != 0 {
		panic(fmt.Sprintf("cmstest.Indefinite: %d trailing bytes", len(rest)))
	}
	return out
}

func indefinite(out, in []byte, segment int) (extended, rest []byte) {
	tag, header, length := in[0], 2, int(in[1])
	if length >= 0x80 {
		n := length & 0x7f
		header, length = 2+n, 0
		for _, b := range in[2 : 2+n] {
			length = length<<8 | int(b)
		}
	}
	content, rest := in[header:header+length], in[header+length:]
	switch {
	case tag&0x20 != 0:
		out = append(out, tag, 0x80)
		for len(content) > 0 {
			out, content = indefinite(out, content, segment)
		}
		return append(out, 0, 0), rest
	case tag == 0x04 && segment > 0 && length > segment:
		out = append(out, 0x24, 0x80)
		for len(content) > 0 {
			n := min(segment, len(content))
			out = append(out, Element(0x04, content[:n])...)
			content = content[n:]
		}
		return append(out, 0, 0), rest
	}
	return append(out, in[:header+length]...), rest
}
