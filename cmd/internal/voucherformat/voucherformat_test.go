package voucherformat_test

import (
	"encoding/json"
	"testing"

	"github.com/briskest/briskest/cmd/internal/voucherformat"
	"github.com/briskest/briskest/voucher/vouchertest"
)

func TestArtifactsAreToldApartAndShownAsJSON(t *testing.T) {
	_, s := vouchertest.NewSigner(t, "signer")
	for i, name := range []voucherformat.Name{"cms", "jws", "cose"} {
		format, err := name.Format()
		if err != nil || format.MediaType() != voucherformat.All()[i].MediaType() {
			t.Fatalf("Format of %s = %v, %v", name, format, err)
		}
		data, err := format.SignVoucher(t.Context(), vouchertest.Voucher(t), s)
		if err != nil {
			t.Fatal(err)
		}
		if got := voucherformat.Of(data); got != name {
			t.Errorf("Of(%.8x) = %s, want %s", data, got, name)
		}
		_, a, err := format.OpenVoucher(data)
		if err != nil {
			t.Fatal(err)
		}
		var content map[string]map[string]any
		text, err := voucherformat.JSON(a)
		if err != nil || json.Unmarshal(text, &content) != nil || content["ietf-voucher:voucher"]["serial-number"] != "PEER-0001" {
			t.Errorf("%s: JSON() = %s, %v", name, text, err)
		}
	}
	if _, err := voucherformat.Name("pem").Format(); err == nil {
		t.Error(`Format of "pem" = nil error`)
	}
}
