package vouchercose

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"strconv"
	"time"

	"github.com/briskest/briskest/internal/cose"
	"github.com/briskest/briskest/voucher"
)

// The findings of the encoding, besides those of package voucher. All are of
// minerva's pledge (reach), registrar (fountain) or MASA (highway).
const (
	// FindingAssertionText: the assertion is its name, not its number (rfc8366bis, Section 8.5).
	FindingAssertionText = "cose-assertion-text"
	// FindingEpochDate: a date is a number of seconds in tag 1, not text.
	FindingEpochDate = "cose-epoch-date"
	// FindingNonceText: the nonce is text, not bytes. It is kept as it is, and written as text again unless it
	// is padded base64.
	FindingNonceText = "cose-nonce-text"
	// FindingBinaryText: a certificate or other binary leaf is base64 in text, not bytes.
	FindingBinaryText = "cose-binary-text"
	// FindingTextBytes: the serial number is bytes, not text.
	FindingTextBytes = "cose-text-bytes"
)

// The tags of a payload: seconds since 1970 (RFC 8949, Section 3.4.2) and the
// absolute SID (RFC 9254, Section 4.2.1).
const (
	tagEpoch = 1
	tagSID   = 47
)

// majorTag is the major type of tags (RFC 8949, Section 3.1).
const majorTag = 6

// reader turns one payload into JSON.
type reader struct {
	format    Format
	container *container
	listed    map[int64]bool // SIDs in the leaf "extensions"
	findings  []voucher.Finding
}

// toJSON writes the content as package voucher reads it, in the order of the
// payload. Values are checked for their CBOR type here and for the rest there.
func (f Format) toJSON(payload []byte) ([]byte, []voucher.Finding, error) {
	if len(payload) > voucher.MaxPayload {
		return nil, nil, fmt.Errorf("%w: a payload of %d bytes, the limit is %d", ErrTooLarge, len(payload), voucher.MaxPayload)
	}
	outer, err := cose.ReadMap(payload, tagEpoch, tagSID)
	if err != nil {
		return nil, nil, fmt.Errorf("payload: %w", err)
	}
	if len(outer) != 1 {
		return nil, nil, fmt.Errorf("%w: the outer map has %d entries, not one", voucher.ErrRoot, len(outer))
	}
	r := &reader{format: f, container: findContainer(outer[0].Key), listed: make(map[int64]bool)}
	if r.container == nil {
		return nil, nil, fmt.Errorf("%w: %.64v", voucher.ErrRoot, outer[0].Key)
	}
	text, err := r.object(outer[0].Value)
	return text, r.findings, err
}

func (r *reader) object(data []byte) ([]byte, error) {
	pairs, err := cose.ReadMap(data, tagEpoch, tagSID)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", r.container.name, err)
	}
	r.list(pairs)
	var b bytes.Buffer
	fmt.Fprintf(&b, `{"%s":{`, r.container.name)
	for i, p := range pairs {
		l, err := r.leaf(p.Key)
		if err != nil {
			return nil, err
		}
		value, err := r.value(l, p.Value)
		if err != nil {
			return nil, leafError(l.name, err)
		}
		name, err := json.Marshal(l.name)
		if err != nil {
			return nil, leafError(l.name, err)
		}
		if i > 0 {
			b.WriteByte(',')
		}
		b.Write(name)
		b.WriteByte(':')
		b.Write(value)
	}
	b.WriteString("}}")
	return b.Bytes(), nil
}

// list looks for the SIDs of extensions, so that their data is known by delta too.
func (r *reader) list(pairs []cose.Pair) {
	for _, p := range pairs {
		if l, err := r.leaf(p.Key); err != nil || l.kind != kindExtensions {
			continue
		}
		var sids []any
		if cose.Decode(p.Value, &sids) != nil {
			return // refused when the leaf's turn comes
		}
		for _, sid := range sids {
			if sid, ok := sid.(int64); ok {
				r.listed[sid] = true
			}
		}
	}
}

// leaf finds the leaf that a key names: a delta to the container's SID, a SID
// in tag 47, or a name (RFC 9254, Sections 3.2 and 4.2).
func (r *reader) leaf(key any) (leaf, error) {
	var sid int64
	absolute := false
	switch k := key.(type) {
	case string:
		return r.container.byName(k), nil
	case int64:
		sid = r.container.sid + k
		if k > 0 && sid < k || sid < 0 {
			return leaf{}, fmt.Errorf("%w: no SID at delta %d", ErrSyntax, k)
		}
	case cose.Tag:
		number, ok := k.Content.(int64)
		if k.Number != tagSID || !ok || number < 0 {
			return leaf{}, fmt.Errorf("%w: a key in tag %d", ErrTag, k.Number)
		}
		sid, absolute = number, true
	}
	if l, ok := r.container.bySID(sid); ok {
		return l, nil
	}
	if absolute || r.listed[sid] {
		return leaf{name: extensionPrefix + r.format.extensionName(sid)}, nil
	}
	return leaf{name: strconv.FormatInt(sid, 10)}, nil
}

func (r *reader) found(id, format string, args ...any) {
	r.findings = append(r.findings, voucher.Finding{ID: id, Text: fmt.Sprintf(format, args...)})
}

// value returns a leaf's value in JSON.
func (r *reader) value(l leaf, data []byte) ([]byte, error) {
	var v any
	if err := cose.Decode(data, &v); err != nil {
		return nil, err
	}
	if l.kind == kindUnknown {
		return plainJSON(v)
	}
	if data[0]>>5 == majorTag && l.kind != kindDate {
		return nil, ErrTag
	}
	switch l.kind {
	case kindText:
		return r.text(l, v)
	case kindDate:
		return r.date(l, v, data)
	case kindBinary:
		if text, ok := v.(string); ok {
			r.found(FindingBinaryText, "%s is text and not bytes", l.name)
			return json.Marshal(text)
		}
		return binary(v)
	case kindNonce:
		if text, ok := v.(string); ok {
			r.found(FindingNonceText, "the nonce is text and not bytes")
			return json.Marshal(text)
		}
		return binary(v)
	case kindAssertion:
		return r.assertion(v)
	case kindFlag:
		if flag, ok := v.(bool); ok {
			return json.Marshal(flag)
		}
	case kindNumber:
		if number, ok := v.(int64); ok {
			return json.Marshal(number)
		}
	case kindAgentCert:
		return agentCert(v)
	case kindPrivate:
		if b, ok := v.([]byte); ok {
			return json.Marshal(base64.RawURLEncoding.EncodeToString(b))
		}
	case kindExtensions:
		return r.extensions(v)
	}
	return nil, wrongType(v)
}

func wrongType(v any) error { return fmt.Errorf("%w: %T is not what it holds", voucher.ErrLeafType, v) }

func (r *reader) text(l leaf, v any) ([]byte, error) {
	switch v := v.(type) {
	case string:
		return json.Marshal(v)
	case []byte:
		if l.name == "serial-number" {
			r.found(FindingTextBytes, "%s is bytes and not text", l.name)
			return textOf(v)
		}
	}
	return nil, wrongType(v)
}

func (r *reader) date(l leaf, v any, data []byte) ([]byte, error) {
	if text, ok := v.(string); ok {
		return json.Marshal(text)
	}
	if data[0]>>5 != majorTag {
		return nil, wrongType(v)
	}
	seconds, err := epoch(data)
	if err != nil {
		return nil, err
	}
	r.found(FindingEpochDate, "%s is a number of seconds in tag 1 and not text", l.name)
	return json.Marshal(seconds.Format(time.RFC3339))
}

// epoch reads a whole number of seconds in tag 1.
func epoch(data []byte) (time.Time, error) {
	var tag cose.RawTag
	if err := cose.Decode(data, &tag); err != nil {
		return time.Time{}, err
	}
	if tag.Number != tagEpoch {
		return time.Time{}, fmt.Errorf("%w: %d", ErrTag, tag.Number)
	}
	var seconds int64
	err := cose.Decode(tag.Content, &seconds)
	at := time.Unix(seconds, 0).UTC()
	if err != nil || tag.Content[0]>>5 != 0 || at.Year() > 9999 {
		return time.Time{}, fmt.Errorf("%w: tag 1 without a whole number of seconds in range", voucher.ErrDate)
	}
	return at, nil
}

func (r *reader) assertion(v any) ([]byte, error) {
	switch v := v.(type) {
	case string:
		r.found(FindingAssertionText, "the assertion is text and not a number")
		return json.Marshal(v)
	case int64:
		names := assertions()
		if v < 0 || v >= int64(len(names)) {
			return nil, fmt.Errorf("%w: %d", voucher.ErrLeafValue, v)
		}
		return json.Marshal(names[v])
	}
	return nil, wrongType(v)
}

// extensions are SIDs or names (rfc8366bis, Section 8.6).
func (r *reader) extensions(v any) ([]byte, error) {
	list, ok := v.([]any)
	if !ok {
		return nil, wrongType(v)
	}
	names := make([]string, 0, len(list))
	for _, entry := range list {
		switch e := entry.(type) {
		case string:
			names = append(names, e)
		case int64:
			names = append(names, r.format.extensionName(e))
		default:
			return nil, wrongType(e)
		}
	}
	return json.Marshal(names)
}

// binary is base64 with padding in JSON (RFC 8995, Section 5).
func binary(v any) ([]byte, error) {
	if b, ok := v.([]byte); ok {
		return json.Marshal(base64.StdEncoding.EncodeToString(b))
	}
	return nil, wrongType(v)
}

// agentCert is one certificate (the YANG of rfc8366bis, Section 9.2) or an
// array of them (draft-ietf-anima-brski-prm, Section 7.3.4.1).
func agentCert(v any) ([]byte, error) {
	list, ok := v.([]any)
	if !ok {
		return binary(v)
	}
	certs := make([]string, 0, len(list))
	for _, entry := range list {
		b, ok := entry.([]byte)
		if !ok {
			return nil, wrongType(entry)
		}
		certs = append(certs, base64.StdEncoding.EncodeToString(b))
	}
	return json.Marshal(certs)
}
