package masa_test

import (
	"strings"
	"testing"

	"github.com/briskest/briskest/internal/testpki"
	"github.com/briskest/briskest/masa"
	"github.com/briskest/briskest/voucher"
	"github.com/briskest/briskest/voucher/vouchercms"
	"github.com/briskest/briskest/voucher/voucherjws"
)

func newJWSWorld(t *testing.T) *world {
	t.Helper()
	return newWorld(t, func(s *masa.Settings, _ *masa.Product) {
		s.Formats = []voucher.Format{vouchercms.Format{}, voucherjws.Format{}}
	})
}

func signJWS(t *testing.T, r *voucher.Request, by *testpki.Identity) []byte {
	t.Helper()
	raw, err := voucherjws.Format{}.SignRequest(t.Context(), r, &voucher.Signer{Key: by.Key, Certificate: by.Certificate, Chain: by.Chain})
	if err != nil {
		t.Fatal(err)
	}
	return raw
}

// RFC 8995, Section 5.6: the voucher is in the format of the request unless Accept leaves only another.
// BRSKI-JWS-3-01, BRSKI-JWS-3.1-01: the MASA's voucher is in the general serialization, in its container.
func TestAVoucherIsIssuedInJWSWhereTheRequestIs(t *testing.T) {
	w := newJWSWorld(t)
	for nonce, c := range map[string]struct {
		accept []string
		want   voucher.Format
	}{
		"0123456789abcde0": {[]string{voucherjws.MediaType}, voucherjws.Format{}},
		"0123456789abcde1": {[]string{"*/*"}, voucherjws.Format{}},
		"0123456789abcde2": {nil, voucherjws.Format{}},
		"0123456789abcde3": {[]string{vouchercms.MediaType}, vouchercms.Format{}},
	} {
		a := w.ask(w.mine, nonce)
		a.registrar.PriorSignedVoucherRequest = signJWS(t, a.pledge, w.idevid)
		r := w.request(signJWS(t, a.registrar, w.mine.registrar))
		r.MediaType, r.Accept = voucherjws.MediaType, c.accept
		got, err := w.service.RequestVoucher(t.Context(), r)
		if err != nil || got.MediaType != c.want.MediaType() {
			t.Fatalf("Accept %q: RequestVoucher() = %v, %v; want %s", c.accept, got, err, c.want.MediaType())
		}
		v, artifact, err := c.want.OpenVoucher(got.Raw)
		if err != nil || v.Nonce != nonce || v.Assertion != voucher.Proximity || len(artifact.Findings) > 0 {
			t.Fatalf("OpenVoucher() = %+v, %v", v, err)
		}
		if _, err := artifact.VerifySigner(w.signer.Pool(), w.at); err != nil {
			t.Errorf("VerifySigner() = %v", err)
		}
	}
}

// RFC 8995, Sections 5.5.3 and 5.5.5. Nothing is issued.
func TestRequestsInJWSThatAreNotSignedAsTheyMustAreRefused(t *testing.T) {
	w := newJWSWorld(t)
	ask := func() (*ask, []byte) {
		a := w.ask(w.mine, "0123456789abcdef")
		return a, signJWS(t, a.pledge, w.idevid)
	}
	outer := func(prior []byte) []byte {
		a, _ := ask()
		a.registrar.PriorSignedVoucherRequest = prior
		return signJWS(t, a.registrar, w.mine.registrar)
	}
	a, prior := ask()
	good := string(outer(prior))
	none := func(text string) string {
		return text[:strings.Index(text, `"protected":"`)] + `"protected":"eyJhbGciOiJub25lIn0","signature":""}]}`
	}
	twice := func(text string) string {
		at := strings.Index(text, `[`)
		return text[:at+1] + text[at+1:len(text)-2] + "," + text[at+1:]
	}
	for name, c := range map[string]struct {
		raw    string
		status int
		reason string
	}{
		"alg none":          {none(good), 403, masa.ReasonRequestSigned},
		"signed twice":      {twice(good), 403, masa.ReasonRequestSigned},
		"prior alg none":    {string(outer([]byte(none(string(prior))))), 403, masa.ReasonPriorSigned},
		"prior two signers": {string(outer([]byte(twice(string(prior))))), 403, masa.ReasonPriorSigned},
		"prior in CMS":      {string(outer(sign(t, a.pledge, w.idevid, nil))), 400, masa.ReasonPriorForm},
		"CMS as JWS":        {string(a.bytes(t)), 400, masa.ReasonRequestForm},
	} {
		r := w.request([]byte(c.raw))
		r.MediaType, r.Accept = voucherjws.MediaType, []string{voucherjws.MediaType}
		got, err := w.service.RequestVoucher(t.Context(), r)
		if wantRefusal(t, got != nil, err, c.status, c.reason); t.Failed() {
			t.Fatalf("in the case %q", name)
		}
	}
	if n := w.records(); n != 0 {
		t.Errorf("%d issuances on record, want none", n)
	}
}
