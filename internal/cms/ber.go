package cms

import "fmt"

// BER as X.690 has it, as far as CMS uses it: definite and indefinite lengths, and OCTET STRINGs in segments.
// High tag numbers, and other strings in segments, occur in no CMS structure and are refused.

const (
	tagOctetString            = 0x04
	tagConstructedOctetString = 0x24
	tagSequence               = 0x30
	tagSet                    = 0x31
	bitConstructed            = 0x20
	maskClass                 = 0xc0
)

// ToDER takes one whole BER element and returns it in DER as far as the structure goes: definite lengths of the
// shortest form, OCTET STRINGs in one piece. The order within sets and the values of primitive elements stay
// as they are. When the lengths are DER already, the result is data itself and nothing is copied.
//
// The work is linear in the input. Limits: MaxSize, MaxDepth, MaxElements. Errors: ErrSyntax, ErrTrailingData,
// ErrTooDeep, ErrTooLarge.
func ToDER(data []byte) ([]byte, error) {
	if len(data) > MaxSize {
		return nil, fmt.Errorf("%w: %d bytes, the limit is %d", ErrTooLarge, len(data), MaxSize)
	}
	s := scanner{data: data, isDER: true}
	end, err := s.element(0, len(data), 1, false)
	if err != nil {
		return nil, err
	}
	if end != len(data) {
		return nil, fmt.Errorf("%w: %d bytes", ErrTrailingData, len(data)-end)
	}
	if s.isDER {
		return data, nil
	}
	c := converter{data: data, lengths: make([]uint32, 0, s.constructed)}
	total, _ := c.measure(0)
	c.out = make([]byte, 0, total)
	c.write(0)
	return c.out, nil
}

// header is the tag and length at one position. A length of -1 is the indefinite form.
type header struct {
	tag     byte
	length  int
	size    int // of tag and length
	minimal bool
}

// readHeader reads the header at pos of data, which ends at end. Long lengths that do not fit are errors, so
// every definite length returned lies within data.
func readHeader(data []byte, pos, end int) (h header, err error) {
	if end-pos < 2 {
		return h, fmt.Errorf("%w: element cut off at byte %d", ErrSyntax, pos)
	}
	h.tag = data[pos]
	if h.tag&0x1f == 0x1f {
		return h, fmt.Errorf("%w: high tag number at byte %d", ErrSyntax, pos)
	}
	first := data[pos+1]
	switch {
	case first < 0x80:
		h.length, h.size, h.minimal = int(first), 2, true
	case first == 0x80:
		h.length, h.size = -1, 2
		return h, nil
	default:
		n := int(first & 0x7f)
		if end-pos-2 < n {
			return h, fmt.Errorf("%w: length cut off at byte %d", ErrSyntax, pos)
		}
		for _, b := range data[pos+2 : pos+2+n] {
			if h.length > MaxSize {
				return h, fmt.Errorf("%w: length at byte %d leaves the object", ErrSyntax, pos)
			}
			h.length = h.length<<8 | int(b)
		}
		h.size = 2 + n
		h.minimal = h.size == headerSize(h.length)
	}
	if h.length > end-pos-h.size {
		return h, fmt.Errorf("%w: length at byte %d leaves the object", ErrSyntax, pos)
	}
	return h, nil
}

// scanner walks an element once without allocating: it checks form and limits, and finds out whether
// anything is to be converted.
type scanner struct {
	data        []byte
	isDER       bool
	elements    int
	constructed int // elements that will be constructed in DER
}

// element checks the element at pos and returns where it ends. Recursion is bounded by MaxDepth.
func (s *scanner) element(pos, end, depth int, segment bool) (int, error) {
	if depth > MaxDepth {
		return 0, fmt.Errorf("%w: more than %d levels at byte %d", ErrTooDeep, MaxDepth, pos)
	}
	if s.elements++; s.elements > MaxElements {
		return 0, fmt.Errorf("%w: more than %d elements", ErrTooLarge, MaxElements)
	}
	h, err := readHeader(s.data, pos, end)
	if err != nil {
		return 0, err
	}
	if !h.minimal {
		s.isDER = false
	}
	if err := checkTag(h, pos, segment); err != nil {
		return 0, err
	}
	start := pos + h.size
	if h.tag&bitConstructed == 0 {
		return start + h.length, nil
	}
	segments := h.tag == tagConstructedOctetString
	if segments {
		s.isDER = false
	} else {
		s.constructed++
	}
	if h.length >= 0 {
		return s.children(start, start+h.length, depth+1, segments)
	}
	return s.untilEnd(start, end, depth+1, segments)
}

func (s *scanner) children(pos, end, depth int, segments bool) (int, error) {
	for pos < end {
		var err error
		if pos, err = s.element(pos, end, depth, segments); err != nil {
			return 0, err
		}
	}
	return pos, nil
}

// untilEnd reads children up to the two zero bytes that end an indefinite length.
func (s *scanner) untilEnd(pos, end, depth int, segments bool) (int, error) {
	for end-pos >= 2 {
		if s.data[pos] == 0 && s.data[pos+1] == 0 {
			return pos + 2, nil
		}
		var err error
		if pos, err = s.element(pos, end, depth, segments); err != nil {
			return 0, err
		}
	}
	return 0, fmt.Errorf("%w: indefinite length without an end", ErrSyntax)
}

func checkTag(h header, pos int, segment bool) error {
	isString := h.tag == tagOctetString || h.tag == tagConstructedOctetString
	switch {
	case segment && !isString:
		return fmt.Errorf("%w: segment of an OCTET STRING is none at byte %d", ErrSyntax, pos)
	case h.tag&bitConstructed == 0 && h.length < 0:
		return fmt.Errorf("%w: primitive element of indefinite length at byte %d", ErrSyntax, pos)
	case h.tag == 0:
		return fmt.Errorf("%w: end of contents at byte %d", ErrSyntax, pos)
	case h.tag&maskClass != 0, isString:
		return nil
	}
	wantConstructed := h.tag|bitConstructed == tagSequence || h.tag|bitConstructed == tagSet
	if wantConstructed != (h.tag&bitConstructed != 0) {
		return fmt.Errorf("%w: universal tag %#02x at byte %d", ErrSyntax, h.tag, pos)
	}
	return nil
}

// converter writes what a scanner has accepted: first the lengths, then the bytes.
type converter struct {
	data    []byte
	lengths []uint32 // DER content lengths of the constructed elements, in order of appearance
	next    int      // the next of lengths to write
	out     []byte
}

// measure returns the size in DER of the element at pos, and where it ends in the input.
func (c *converter) measure(pos int) (size, next int) {
	h, _ := readHeader(c.data, pos, len(c.data))
	switch {
	case h.tag&bitConstructed == 0:
		return headerSize(h.length) + h.length, pos + h.size + h.length
	case h.tag == tagConstructedOctetString:
		n, next := c.measureString(pos)
		return headerSize(n) + n, next
	}
	slot := len(c.lengths)
	c.lengths = append(c.lengths, 0)
	content := 0
	next = c.each(pos, h, func(at int) int {
		n, after := c.measure(at)
		content += n
		return after
	})
	c.lengths[slot] = uint32(content)
	return headerSize(content) + content, next
}

// measureString returns how many bytes the segments of the OCTET STRING at pos have together.
func (c *converter) measureString(pos int) (size, next int) {
	h, _ := readHeader(c.data, pos, len(c.data))
	if h.tag == tagOctetString {
		return h.length, pos + h.size + h.length
	}
	next = c.each(pos, h, func(at int) int {
		n, after := c.measureString(at)
		size += n
		return after
	})
	return size, next
}

// write appends the element at pos in DER and returns where it ends in the input.
func (c *converter) write(pos int) int {
	h, _ := readHeader(c.data, pos, len(c.data))
	switch {
	case h.tag&bitConstructed == 0:
		c.out = appendHeader(c.out, h.tag, h.length)
		c.out = append(c.out, c.data[pos+h.size:pos+h.size+h.length]...)
		return pos + h.size + h.length
	case h.tag == tagConstructedOctetString:
		n, next := c.measureString(pos)
		c.out = appendHeader(c.out, tagOctetString, n)
		c.writeString(pos)
		return next
	}
	c.out = appendHeader(c.out, h.tag, int(c.lengths[c.next]))
	c.next++
	return c.each(pos, h, c.write)
}

func (c *converter) writeString(pos int) int {
	h, _ := readHeader(c.data, pos, len(c.data))
	if h.tag == tagOctetString {
		c.out = append(c.out, c.data[pos+h.size:pos+h.size+h.length]...)
		return pos + h.size + h.length
	}
	return c.each(pos, h, c.writeString)
}

// each calls f with the position of each child of the element at pos, whose header is h; f returns where
// the child ends. It returns where the element ends.
func (c *converter) each(pos int, h header, f func(int) int) int {
	at := pos + h.size
	if h.length >= 0 {
		for end := at + h.length; at < end; {
			at = f(at)
		}
		return at
	}
	for c.data[at] != 0 || c.data[at+1] != 0 {
		at = f(at)
	}
	return at + 2
}

// headerSize returns how many bytes tag and length take in DER.
func headerSize(length int) int {
	switch {
	case length < 0x80:
		return 2
	case length < 1<<8:
		return 3
	case length < 1<<16:
		return 4
	case length < 1<<24:
		return 5
	}
	return 6
}

// appendHeader appends tag and length in DER.
func appendHeader(b []byte, tag byte, length int) []byte {
	b = append(b, tag)
	switch headerSize(length) {
	case 2:
		return append(b, byte(length))
	case 3:
		return append(b, 0x81, byte(length))
	case 4:
		return append(b, 0x82, byte(length>>8), byte(length))
	case 5:
		return append(b, 0x83, byte(length>>16), byte(length>>8), byte(length))
	}
	return append(b, 0x84, byte(length>>24), byte(length>>16), byte(length>>8), byte(length))
}
