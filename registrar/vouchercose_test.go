package registrar_test

import (
	"slices"
	"testing"

	"github.com/briskest/briskest/brski"
	"github.com/briskest/briskest/voucher"
	"github.com/briskest/briskest/voucher/vouchercose"
)

// BRSKI-CBRSKI-7.1-01 (the registrar's request has the pledge's format), BRSKI-CBRSKI-7.2-01 (and its assertion),
// BRSKI-CBRSKI-9.2.1-01 (and the pledge's certificates), BRSKI-8366BIS-6.1-01 (and idevid-issuer): here in COSE.
func TestAPledgeThatSpeaksCOSEWithoutCertificatesGetsItsVoucher(t *testing.T) {
	h := newHouse(t, func(h *house) {
		h.settings.Formats = append(h.settings.Formats, vouchercose.Format{})
		h.masa.format = vouchercose.Format{}
	})
	h.importSerials("SN-1")
	a := h.pledge(h.idevidCA.IDevID(t, "SN-1", ""), nil)
	raw, err := vouchercose.Format{Bare: true}.SignRequest(t.Context(), a.q, &voucher.Signer{Key: a.idevid.Key, Certificate: a.idevid.Certificate})
	if err != nil {
		t.Fatal(err)
	}
	format := vouchercose.Format{}
	q, artifact, err := voucher.WithKnown(format, a.peer.Certificates).OpenRequest(raw)
	if err != nil {
		t.Fatal(err)
	}
	out, err := h.service.BRSKI().RequestVoucher(t.Context(), &brski.VoucherRequest{
		Call:   brski.Call{ID: "v", Operation: brski.OpRequestVoucher, Peer: a.peer, At: h.now()},
		Format: format, Request: q, Artifact: artifact, Accept: []voucher.Format{format},
	})
	if err != nil || out.MediaType != vouchercose.MediaType {
		t.Fatalf("RequestVoucher() = %+v, %v", out, err)
	}
	if v, _, err := format.OpenVoucher(out.Raw); err != nil || v.Nonce != a.q.Nonce {
		t.Errorf("OpenVoucher() = %+v, %v", v, err)
	}
	rvr, sent, err := format.OpenRequest(h.masa.requests[0])
	if err != nil {
		t.Fatal(err)
	}
	if rvr.Assertion != voucher.Proximity || len(rvr.IDevIDIssuer) == 0 || !slices.ContainsFunc(sent.Certificates, a.idevid.Certificate.Equal) {
		t.Errorf("the registrar's request is %+v with %d certificates", rvr, len(sent.Certificates))
	}
	if !sent.Signer.Equal(h.registrar.Certificate) {
		t.Errorf("the registrar's request is signed by %s", sent.Signer.Subject)
	}
}
