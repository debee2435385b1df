package trail_test

import (
	"bytes"
	"errors"
	"reflect"
	"testing"

	"github.com/briskest/briskest/internal/trail"
)

func TestValuesAreReadBackAsEncoded(t *testing.T) {
	want := []any{nil, int64(-5), "text", []byte{1, 2}, "", int64(1 << 40)}
	var b []byte
	for _, v := range want {
		b = trail.AppendValue(b, v)
	}
	got, err := trail.Values(b)
	if err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("Values = %v, %v, want %v", got, err, want)
	}
	for _, bad := range [][]byte{{5}, {4, 1}, {1, 0, 0}, {2, 9, 'x'}, {3}, {3, 0x80, 0x00}, make([]byte, 300)} {
		if _, err := trail.Values(bad); !errors.Is(err, trail.ErrValues) {
			t.Errorf("Values(%x): error %v, want ErrValues", bad, err)
		}
	}
}

// What decodes has exactly one encoding.
func FuzzValues(f *testing.F) {
	f.Add([]byte{0, 1, 0, 0, 0, 0, 0, 0, 0, 9, 2, 1, 'x', 3, 1, 7})
	f.Add([]byte{3, 0xff, 0xff, 0xff, 0xff, 0x0f})
	f.Fuzz(func(t *testing.T, b []byte) {
		values, err := trail.Values(b)
		if err != nil {
			return
		}
		var again []byte
		for _, v := range values {
			again = trail.AppendValue(again, v)
		}
		if !bytes.Equal(again, b) {
			t.Errorf("AppendValue after Values = %x, want %x", again, b)
		}
	})
}
