package voucherjws_test

import (
	"bytes"
	"crypto/x509"
	"encoding/hex"
	"reflect"
	"testing"

	"github.com/briskest/briskest/internal/testpki"
	"github.com/briskest/briskest/voucher"
	"github.com/briskest/briskest/voucher/voucherjws"
	"github.com/briskest/briskest/voucher/vouchertest"
)

// R6: the short and the nested inputs that made another reader panic, of each
// kind that a peer may send in place of a JWS, are errors.
func TestShortAndNestedInputsAreErrors(t *testing.T) {
	inputs := [][]byte{
		nil, []byte("{"), []byte("["), []byte(`{"`), []byte(`""`), []byte(`\u`), bytes.Repeat([]byte("["), 80), bytes.Repeat([]byte(`{"a":`), 80),
		append(bytes.Repeat([]byte("["), 80), bytes.Repeat([]byte("]"), 80)...), bytes.Repeat([]byte{0x30, 0x80}, 80),
		[]byte(`{"payload":"` + string(bytes.Repeat([]byte("["), 80)) + `","signatures":[[]]}`), []byte(`{"payload":"","signatures":[{"protected":"W1s","signature":""}]}`),
	}
	for _, text := range []string{"1f80", "1f05", "3081", "308401", "308206", "5f4d"} {
		b, err := hex.DecodeString(text)
		if err != nil {
			t.Fatal(err)
		}
		inputs = append(inputs, b)
	}
	agent := testpki.NewRoot(t, "agent").Certificate
	for _, in := range inputs {
		if _, _, err := (voucherjws.Format{}).OpenVoucher(in); err == nil {
			t.Errorf("OpenVoucher(%.12q) = nil, want an error", in)
		}
		if _, _, err := (voucherjws.Format{}).OpenRequest(in); err == nil {
			t.Errorf("OpenRequest(%.12q) = nil, want an error", in)
		}
		if _, _, err := voucherjws.OpenAgentSignedData(in, nil); err == nil {
			t.Errorf("OpenAgentSignedData(%.12q) = nil, want an error", in)
		}
		if _, _, err := voucherjws.OpenAgentSignedData(in, []*x509.Certificate{agent}); err == nil {
			t.Errorf("OpenAgentSignedData(%.12q) for an agent = nil, want an error", in)
		}
	}
}

// FuzzPayload reaches what a signature keeps fuzzers from: a signed payload is
// read as ParseVoucher and ParseRequest read it, and no other.
func FuzzPayload(f *testing.F) {
	_, s := vouchertest.NewSigner(f, "MASA")
	for _, text := range []string{
		`{"ietf-voucher:voucher":{"serial-number":"x","assertion":"logged","created-on":"2026-01-01T00:00:00Z","nonce":"MTIzNDU2Nzg="}}`,
		`{"ietf-voucher-request:voucher":{"serial-number":"x","prior-signed-voucher-request":{"payload":"","signatures":[]}}}`,
		`{"ietf-voucher-request-prm:voucher":{"serial-number":"x","agent-signed-data":"e30="}}`, `{}`, `[[`, "",
	} {
		f.Add([]byte(text))
	}
	f.Fuzz(func(t *testing.T, payload []byte) {
		data, err := voucherjws.Format{}.SignPayload(t.Context(), payload, s)
		if err != nil {
			return
		}
		if v, a, err := (voucherjws.Format{}).OpenVoucher(data); err == nil {
			want, _, parsing := voucher.ParseVoucher(payload, voucher.Tolerant)
			if parsing != nil || !reflect.DeepEqual(v, want) || !bytes.Equal(a.Payload, payload) {
				t.Errorf("OpenVoucher(%q) = %+v, want %+v (%v)", payload, v, want, parsing)
			}
		}
		if r, _, err := (voucherjws.Format{}).OpenRequest(data); err == nil {
			want, _, parsing := voucher.ParseRequest(payload, voucher.Tolerant)
			if parsing != nil || !reflect.DeepEqual(r, want) {
				t.Errorf("OpenRequest(%q) = %+v, want %+v (%v)", payload, r, want, parsing)
			}
		}
	})
}
