package cose

import (
	"errors"
	"fmt"
	"sync"

	"github.com/fxamacker/cbor/v2"
)

// Tag is a tagged item, as [Decode] gives it and [Encode] takes it; it may be a map's key.
type Tag = cbor.Tag

// RawTag is a tagged item whose content is not decoded.
type RawTag = cbor.RawTag

// Decode decodes one item that [Check] has passed: no duplicate keys, no
// indefinite lengths, integers as int64 where the type is open.
func Decode(data []byte, into any) error {
	mode, err := decodeMode()
	if err != nil {
		return err
	}
	err = mode.Unmarshal(data, into)
	if errors.As(err, new(*cbor.DupMapKeyError)) {
		return fmt.Errorf("%w: %w", ErrDuplicateKey, err)
	}
	if err != nil {
		return fmt.Errorf("%w: %w", ErrSyntax, err)
	}
	return nil
}

// Encode encodes v deterministically (RFC 8949, Section 4.2.1).
func Encode(v any) ([]byte, error) {
	mode, err := encodeMode()
	if err != nil {
		return nil, err
	}
	return mode.Marshal(v)
}

// The modes are made once: making one builds tables.
var (
	decodeMode = sync.OnceValues(func() (cbor.DecMode, error) {
		return cbor.DecOptions{
			DupMapKey:        cbor.DupMapKeyEnforcedAPF,
			IndefLength:      cbor.IndefLengthForbidden,
			IntDec:           cbor.IntDecConvertSignedOrFail,
			MaxNestedLevels:  MaxDepth + 1,
			MaxArrayElements: MaxItems,
			MaxMapPairs:      MaxItems,
			UTF8:             cbor.UTF8RejectInvalid,
		}.DecMode()
	})
	encodeMode = sync.OnceValues(func() (cbor.EncMode, error) {
		return cbor.EncOptions{
			Sort:          cbor.SortCoreDeterministic,
			ShortestFloat: cbor.ShortestFloat16,
			NaNConvert:    cbor.NaNConvert7e00,
			InfConvert:    cbor.InfConvertFloat16,
			IndefLength:   cbor.IndefLengthForbidden,
		}.EncMode()
	})
)
