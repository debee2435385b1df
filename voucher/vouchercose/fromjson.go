package vouchercose

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"github.com/briskest/briskest/internal/cose"
	"github.com/briskest/briskest/voucher"
)

// fromJSON encodes what package voucher has written and so checked.
func (f Format) fromJSON(text []byte) ([]byte, error) {
	var outer map[string]map[string]json.RawMessage
	if err := json.Unmarshal(text, &outer); err != nil {
		return nil, fmt.Errorf("%w: %w", voucher.ErrSyntax, err)
	}
	encoded := make(map[any]any)
	for root, leaves := range outer {
		c := findContainer(root)
		if c == nil {
			return nil, fmt.Errorf("%w: %q has no encoding in CBOR", voucher.ErrRoot, root)
		}
		content := make(map[any]any)
		for name, value := range leaves {
			v, err := f.encodable(c.byName(name), value)
			if err != nil {
				return nil, leafError(name, err)
			}
			key := f.key(c, name)
			if _, twice := content[key]; twice || c.index(name) < 0 && c.numbers(key) {
				return nil, leafError(name, fmt.Errorf("%w: its number is another leaf's", voucher.ErrDuplicateLeaf))
			}
			content[key] = v
		}
		encoded[c.key()] = content
	}
	payload, err := cose.Encode(encoded)
	if err != nil {
		return nil, fmt.Errorf("encoding: %w", err)
	}
	if len(payload) > voucher.MaxPayload {
		return nil, fmt.Errorf("%w: %d bytes, the limit is %d", ErrTooLarge, len(payload), voucher.MaxPayload)
	}
	return payload, nil
}

// key is the delta of a known leaf, the SID in tag 47 of an extension, the
// delta of an unknown leaf that is known by number, else the name.
func (f Format) key(c *container, name string) any {
	if c.sid == 0 {
		return name
	}
	if i := c.index(name); i >= 0 {
		return int64(i + 1)
	}
	if extension, ok := strings.CutPrefix(name, extensionPrefix); ok {
		if sid, ok := f.extensionSID(extension); ok {
			return cose.Tag{Number: tagSID, Content: sid}
		}
		return name
	}
	if sid, ok := numberName(name); ok {
		return sid - c.sid
	}
	return name
}

// numbers tells whether a key is the number of a leaf, as delta or SID.
func (c *container) numbers(key any) bool {
	sid := int64(-1)
	switch k := key.(type) {
	case int64:
		sid = c.sid + k
	case cose.Tag:
		sid, _ = k.Content.(int64)
	}
	_, known := c.bySID(sid)
	return known
}

// encodable returns a leaf's value as it is encoded.
func (f Format) encodable(l leaf, value json.RawMessage) (any, error) {
	v, err := fromPlain(value)
	if err != nil {
		return nil, err
	}
	text, isText := v.(string)
	switch l.kind {
	case kindBinary:
		return base64.StdEncoding.DecodeString(text)
	case kindNonce:
		// A nonce is echoed as it came: what is padded base64 came as bytes.
		if b, err := base64.StdEncoding.Strict().DecodeString(text); err == nil && !strings.ContainsAny(text, "\r\n") {
			return b, nil
		}
		return text, nil
	case kindAssertion:
		return int64(slices.Index(assertions(), text)), nil
	case kindAgentCert:
		return agentCertBytes(v)
	case kindPrivate:
		b, err := base64.RawURLEncoding.Strict().DecodeString(strings.TrimRight(text, "="))
		if !isText || err != nil {
			return nil, fmt.Errorf("%w: in CBOR it is bytes, which JSON has as text in base64url", voucher.ErrLeafValue)
		}
		return b, nil
	case kindExtensions:
		return f.extensionList(v)
	}
	return v, nil
}

func (f Format) extensionList(v any) (any, error) {
	names, ok := v.([]any)
	if !ok {
		return nil, wrongType(v)
	}
	list := make([]any, 0, len(names))
	for _, entry := range names {
		name, ok := entry.(string)
		if !ok {
			return nil, wrongType(entry)
		}
		if sid, ok := f.extensionSID(name); ok {
			list = append(list, sid)
			continue
		}
		list = append(list, name)
	}
	return list, nil
}

func agentCertBytes(v any) (any, error) {
	if text, ok := v.(string); ok {
		return decodeCert(text)
	}
	list, ok := v.([]any)
	if !ok {
		return nil, wrongType(v)
	}
	certs := make([]any, 0, len(list))
	for _, entry := range list {
		text, ok := entry.(string)
		if !ok {
			return nil, wrongType(entry)
		}
		b, err := decodeCert(text)
		if err != nil {
			return nil, err
		}
		certs = append(certs, b)
	}
	return certs, nil
}

func decodeCert(text string) ([]byte, error) {
	b, err := base64.StdEncoding.Strict().DecodeString(text)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", voucher.ErrBase64, err)
	}
	return b, nil
}
