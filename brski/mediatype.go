package brski

import (
	"cmp"
	"mime"
	"slices"
	"strconv"
	"strings"

	"github.com/briskest/briskest/voucher"
)

// maxAcceptRanges bounds the media ranges of an Accept header that are looked at.
const maxAcceptRanges = 32

// mediaType returns the type of a Content-Type value in lower case, or "" when
// it is none. Parameters are ignored, malformed ones too: minerva's fountain
// adds "; charset=utf-8" to binary artifacts.
func mediaType(values []string) string {
	if len(values) == 0 || slices.ContainsFunc(values, func(v string) bool { return v != values[0] }) {
		return ""
	}
	t, _, _ := strings.Cut(values[0], ";")
	t, _, err := mime.ParseMediaType(t)
	if err != nil || !strings.Contains(t, "/") {
		return ""
	}
	return t
}

// mediaRange is one element of an Accept header (RFC 9110, Section 12.5.1).
type mediaRange struct {
	value string // lower case, without parameters
	q     float64
}

// specificity is 0 for a range that does not match t, else higher the more it says.
func (m mediaRange) specificity(t string) int {
	main, _, _ := strings.Cut(t, "/")
	switch m.value {
	case t:
		return 3
	case main + "/*":
		return 2
	case "*/*":
		return 1
	default:
		return 0
	}
}

func acceptRanges(values []string) []mediaRange {
	var ranges []mediaRange
	for _, value := range values {
		for element := range strings.SplitSeq(value, ",") {
			if len(ranges) == maxAcceptRanges {
				return ranges
			}
			t, params, err := mime.ParseMediaType(element)
			if err != nil {
				continue // a range that cannot be read asks for nothing
			}
			q := 1.0
			if text, found := params["q"]; found {
				if q, err = strconv.ParseFloat(text, 64); err != nil || q < 0 || q > 1 {
					continue
				}
			}
			ranges = append(ranges, mediaRange{value: t, q: q})
		}
	}
	return ranges
}

// accepted returns those of the offered media types that an Accept header
// takes, best first. Among equals, what is named comes before what a wildcard
// covers, and then the order of offered counts. No header takes the first
// offered one: a voucher is answered in the format of its request
// (RFC 8995, Section 5.6).
func accepted(header, offered []string) []string {
	if len(header) == 0 {
		return offered[:min(1, len(offered))]
	}
	type choice struct {
		mediaRange
		specific int
	}
	ranges := acceptRanges(header)
	var choices []choice
	for _, t := range offered {
		best := choice{mediaRange: mediaRange{value: t}}
		for _, r := range ranges {
			if s := r.specificity(t); s > best.specific {
				best.specific, best.q = s, r.q
			}
		}
		if best.specific > 0 && best.q > 0 {
			choices = append(choices, best)
		}
	}
	slices.SortStableFunc(choices, func(a, b choice) int {
		return cmp.Or(cmp.Compare(b.q, a.q), cmp.Compare(b.specific, a.specific))
	})
	types := make([]string, len(choices))
	for i, c := range choices {
		types[i] = c.value
	}
	return types
}

// findFormat returns the format of a media type, or nil.
func findFormat(formats []voucher.Format, mediaType string) voucher.Format {
	if mediaType == "" {
		return nil
	}
	for _, f := range formats {
		if f.MediaType() == mediaType {
			return f
		}
	}
	return nil
}

// offer returns the media types of formats, own first.
func offer(formats []voucher.Format, own voucher.Format) []string {
	types := []string{own.MediaType()}
	for _, f := range formats {
		if f.MediaType() != own.MediaType() {
			types = append(types, f.MediaType())
		}
	}
	return types
}
