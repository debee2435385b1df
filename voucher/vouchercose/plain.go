package vouchercose

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"math"
	"strconv"
	"time"
	"unicode/utf8"

	"github.com/briskest/briskest/internal/cose"
	"github.com/briskest/briskest/voucher"
)

// plainJSON writes a value of no known type as RFC 8949, Section 6.1 advises:
// bytes as base64url, tags left out, what JSON has no word for as null. Keys
// that are numbers become text; two that become the same are refused.
func plainJSON(v any) ([]byte, error) {
	plain, err := toPlain(v)
	if err != nil {
		return nil, err
	}
	return json.Marshal(plain)
}

func toPlain(v any) (any, error) {
	switch v := v.(type) {
	case nil, bool, string, int64:
		return v, nil
	case float64:
		if math.IsNaN(v) || math.IsInf(v, 0) {
			return nil, nil
		}
		return v, nil
	case []byte:
		return base64.RawURLEncoding.EncodeToString(v), nil
	case cose.Tag:
		return toPlain(v.Content)
	case time.Time: // tag 1
		return v.Unix(), nil
	case []any:
		list := make([]any, len(v))
		for i, entry := range v {
			plain, err := toPlain(entry)
			if err != nil {
				return nil, err
			}
			list[i] = plain
		}
		return list, nil
	case map[any]any:
		return plainMap(v)
	default:
		return nil, nil
	}
}

func plainMap(m map[any]any) (any, error) {
	object := make(map[string]any, len(m))
	for key, value := range m {
		if tag, ok := key.(cose.Tag); ok {
			key = tag.Content
		}
		var name string
		switch k := key.(type) {
		case string:
			name = k
		case int64:
			name = strconv.FormatInt(k, 10)
		default:
			return nil, fmt.Errorf("%w: a map key of type %T", voucher.ErrLeafType, key)
		}
		if _, twice := object[name]; twice {
			return nil, fmt.Errorf("%w: map key %.64q", ErrDuplicateKey, name)
		}
		plain, err := toPlain(value)
		if err != nil {
			return nil, err
		}
		object[name] = plain
	}
	return object, nil
}

// fromPlain reads JSON for encoding in CBOR: whole numbers become integers.
func fromPlain(text []byte) (any, error) {
	decoder := json.NewDecoder(bytes.NewReader(text))
	decoder.UseNumber()
	var v any
	if err := decoder.Decode(&v); err != nil {
		return nil, fmt.Errorf("%w: %w", voucher.ErrSyntax, err)
	}
	if _, err := decoder.Token(); err != io.EOF {
		return nil, voucher.ErrTrailingData
	}
	return withNumbers(v)
}

func withNumbers(v any) (any, error) {
	switch v := v.(type) {
	case json.Number:
		if whole, err := v.Int64(); err == nil {
			return whole, nil
		}
		number, err := v.Float64()
		if err != nil {
			return nil, fmt.Errorf("%w: number %.32s", voucher.ErrLeafValue, v)
		}
		return number, nil
	case []any:
		for i := range v {
			entry, err := withNumbers(v[i])
			if err != nil {
				return nil, err
			}
			v[i] = entry
		}
	case map[string]any:
		for key := range v {
			entry, err := withNumbers(v[key])
			if err != nil {
				return nil, err
			}
			v[key] = entry
		}
	}
	return v, nil
}

// textOf writes bytes that are text.
func textOf(b []byte) ([]byte, error) {
	if !utf8.Valid(b) {
		return nil, fmt.Errorf("%w: not UTF-8", voucher.ErrLeafValue)
	}
	return json.Marshal(string(b))
}
