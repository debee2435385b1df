package vouchercms_test

import (
	"bytes"
	"reflect"
	"testing"
	"time"

	"github.com/briskest/briskest/voucher"
	"github.com/briskest/briskest/voucher/vouchercms"
	"github.com/briskest/briskest/voucher/vouchertest"
)

// FuzzPayload reaches what a signature keeps fuzzers from: a signed payload is
// read as ParseVoucher and ParseRequest read it, and no other.
func FuzzPayload(f *testing.F) {
	_, s := vouchertest.NewSigner(f, "MASA")
	for _, text := range []string{
		`{"ietf-voucher:voucher":{"serial-number":"x","assertion":"logged","created-on":"2026-01-01T00:00:00Z","nonce":"MTIzNDU2Nzg="}}`,
		`{"ietf-voucher-request:voucher":{"serial-number":"x","prior-signed-voucher-request":"MIA="}}`, `{}`, `[[`, "", "\x1f\x80",
	} {
		f.Add([]byte(text))
	}
	f.Fuzz(func(t *testing.T, payload []byte) {
		data, err := vouchercms.Format{}.SignPayload(t.Context(), payload, time.Time{}, s)
		if err != nil {
			return
		}
		if v, a, err := (vouchercms.Format{}).OpenVoucher(data); err == nil {
			want, _, parsing := voucher.ParseVoucher(payload, voucher.Tolerant)
			if parsing != nil || !reflect.DeepEqual(v, want) || !bytes.Equal(a.Payload, payload) {
				t.Errorf("OpenVoucher(%q) = %+v, want %+v (%v)", payload, v, want, parsing)
			}
		}
		if r, _, err := (vouchercms.Format{}).OpenRequest(data); err == nil {
			want, _, parsing := voucher.ParseRequest(payload, voucher.Tolerant)
			if parsing != nil || !reflect.DeepEqual(r, want) {
				t.Errorf("OpenRequest(%q) = %+v, want %+v (%v)", payload, r, want, parsing)
			}
		}
	})
}
