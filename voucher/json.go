package voucher

import (
	"errors"

	"github.com/briskest/briskest/internal/strictjson"
)

// Limits of the JSON text that is read. Real artifacts stay below a tenth of them.
const (
	// MaxPayload is the most bytes a JSON text may have.
	MaxPayload = 256 << 10
	// MaxDepth is how deep objects and arrays may be nested, the outermost included.
	MaxDepth = 16
	// MaxMembers is how many object members and array elements a text may have, on all levels together.
	MaxMembers = 1024
)

// member is one name and value of an object; value is a part of the text.
type member struct {
	name  string
	value []byte
}

func limits() strictjson.Limits {
	return strictjson.Limits{Bytes: MaxPayload, Depth: MaxDepth, Members: MaxMembers}
}

// scanObject checks a text that must be one object and returns its members.
func scanObject(data []byte) ([]member, error) {
	scanned, err := strictjson.Object(data, limits())
	if err != nil {
		return nil, jsonError(err)
	}
	members := make([]member, len(scanned))
	for i, m := range scanned {
		members[i] = member{m.Name, m.Value}
	}
	return members, nil
}

// scanValue checks a text that must be one JSON value of any type.
func scanValue(data []byte) error {
	return jsonError(strictjson.Value(data, limits(), 3)) // where a leaf's value stands
}

// jsonError names the leaf that occurs twice.
func jsonError(err error) error {
	var twice *strictjson.DuplicateError
	if errors.As(err, &twice) {
		return leafError(twice.Name, ErrDuplicateLeaf)
	}
	return err
}
