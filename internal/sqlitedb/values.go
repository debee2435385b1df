package sqlitedb

import (
	"database/sql/driver"
	"fmt"
	"time"

	"github.com/briskest/briskest/internal/trail"
)

// toValue converts a Go value to what SQLite stores: strings, byte strings
// (empty ones as NULL), integers, booleans as 0 and 1, times as microseconds
// since 1970 (the zero time as 0).
func toValue(a any) (driver.Value, error) {
	switch x := a.(type) {
	case nil:
		return nil, nil
	case string, int64:
		return x, nil
	case []byte:
		if len(x) == 0 {
			return nil, nil
		}
		return x, nil
	case [32]byte:
		return x[:], nil
	case int:
		return int64(x), nil
	case bool:
		if x {
			return int64(1), nil
		}
		return int64(0), nil
	case time.Time:
		if x.IsZero() {
			return int64(0), nil
		}
		return x.UnixMicro(), nil
	default:
		return nil, fmt.Errorf("a %T cannot be stored", a)
	}
}

// appendValue is [trail.AppendValue].
func appendValue(b []byte, v driver.Value) []byte { return trail.AppendValue(b, v) }

// scanValue stores v in dest, a pointer to one of toValue's types. NULL gives
// the zero value.
func scanValue(v driver.Value, dest any) error {
	ok := true
	switch d := dest.(type) {
	case *driver.Value:
		*d = v
	case *string:
		*d, ok = v.(string)
		ok = ok || v == nil
	case *[]byte:
		*d, ok = v.([]byte)
		ok = ok || v == nil
	case *[32]byte:
		b, isBytes := v.([]byte)
		ok = isBytes && copy(d[:], b) == len(d) && len(b) == len(d)
	default:
		return scanInteger(v, dest)
	}
	if !ok {
		return fmt.Errorf("column holds a %T, which does not fit a %T", v, dest)
	}
	return nil
}

func scanInteger(v driver.Value, dest any) error {
	n, ok := v.(int64)
	if !ok && v != nil {
		return fmt.Errorf("column holds a %T, which does not fit a %T", v, dest)
	}
	switch d := dest.(type) {
	case *int64:
		*d = n
	case *int:
		*d = int(n)
	case *bool:
		*d = n != 0
	case *time.Time:
		*d = time.Time{}
		if n != 0 {
			*d = time.UnixMicro(n).UTC()
		}
	default:
		return fmt.Errorf("cannot scan into a %T", dest)
	}
	return nil
}
