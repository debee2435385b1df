package voucher_test

import (
	"errors"
	"fmt"
	"time"

	"github.com/briskest/briskest/voucher"
)

// The JSON text of a voucher-request, as a pledge makes it.
func ExampleMarshalRequest() {
	text, err := voucher.MarshalRequest(&voucher.Request{
		Assertion:    voucher.Proximity,
		CreatedOn:    time.Date(2026, 11, 22, 22, 35, 8, 0, time.UTC),
		SerialNumber: "PEER-0002",
		Nonce:        "r/nxO6eY1SqtTUBNlNlWJQ==", // voucher.NewNonce()
	})
	fmt.Println(string(text), err)
	// Output:
	// {"ietf-voucher-request:voucher":{"created-on":"2026-11-22T22:35:08Z","assertion":"proximity","serial-number":"PEER-0002","nonce":"r/nxO6eY1SqtTUBNlNlWJQ=="}} <nil>
}

// What is wrong, and in which leaf, is told by errors.Is and errors.As.
func ExampleParseVoucher() {
	text := `{"ietf-voucher:voucher":{"serial-number":17,"assertion":"logged","pinned-domain-cert":"AQID"}}`
	_, _, err := voucher.ParseVoucher([]byte(text), voucher.Tolerant)
	var leaf *voucher.LeafError
	if errors.As(err, &leaf) {
		fmt.Println(leaf.Leaf, errors.Is(err, voucher.ErrLeafType))
	}
	fmt.Println(err)
	// Output:
	// serial-number true
	// voucher: leaf "serial-number": wrong type: a string was expected
}

// A registrar refuses in a request what a pledge ignores in a voucher.
func ExampleCheckRequest() {
	text := `{"ietf-voucher-request:voucher":{"serial-number":"PEER-0001","colour":"red"}}`
	r, findings, err := voucher.ParseRequest([]byte(text), voucher.Tolerant)
	fmt.Println(findings, err)
	fmt.Println(voucher.CheckRequest(r))
	// Output:
	// [{unknown-leaf unknown leaf "colour"}] <nil>
	// leaf "colour": unknown leaf
}

// The extension holds an authority (RFC 8995, Section 2.3.2).
func ExampleParseMASAURL() {
	extension := append([]byte{0x16, 17}, "masa.example:9443"...) // IA5String
	fmt.Println(voucher.ParseMASAURL(extension))
	// Output:
	// https://masa.example:9443/.well-known/brski <nil>
}
