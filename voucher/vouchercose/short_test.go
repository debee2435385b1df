package vouchercose_test

import (
	"bytes"
	"encoding/hex"
	"testing"

	"github.com/briskest/briskest/voucher/vouchercose"
)

// R6: the short and the nested inputs that made another reader panic, of each
// kind that a peer may send in place of a COSE_Sign1, are errors.
func TestShortAndNestedInputsAreErrors(t *testing.T) {
	nested := func(head []byte, tail ...byte) []byte { return append(bytes.Repeat(head, 80), tail...) }
	inputs := [][]byte{
		nil, nested([]byte{0x81}, 0xa0), nested([]byte{0xa1, 0x00}, 0x00), nested([]byte{0xd2}, 0x80), nested([]byte{0x9f}), nested([]byte{0x30, 0x80}),
		append([]byte{0xd2, 0x84, 0x40, 0xa0}, nested([]byte{0x81}, 0x40)...), append([]byte{0xd2, 0x84, 0x58, 0x50}, nested([]byte{0xa1, 0x01})...),
	}
	for _, text := range []string{
		"1f80", "1f05", "3081", "308401", "308206", "5f4d", // of DER, and what CBOR has like them:
		"d2", "d284", "d29f", "d29bffffffffffffffff", "d2845bffffffffffffffff", "d284bf", "d28443a101", "5f", "7f", "bb7fffffffffffffff", "c1", "f8", "ff", "1c",
	} {
		b, err := hex.DecodeString(text)
		if err != nil {
			t.Fatal(err)
		}
		inputs = append(inputs, b)
	}
	for _, in := range inputs {
		if _, _, err := (vouchercose.Format{}).OpenVoucher(in); err == nil {
			t.Errorf("OpenVoucher(%.12x) = nil, want an error", in)
		}
		if _, _, err := (vouchercose.Format{}).OpenRequest(in); err == nil {
			t.Errorf("OpenRequest(%.12x) = nil, want an error", in)
		}
		if _, err := (vouchercose.Format{}).PayloadJSON(in); err == nil {
			t.Errorf("PayloadJSON(%.12x) = nil, want an error", in)
		}
	}
}
