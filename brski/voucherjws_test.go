package brski_test

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/briskest/briskest/brski"
	"github.com/briskest/briskest/brski/brskitest"
	"github.com/briskest/briskest/internal/testpki"
	"github.com/briskest/briskest/voucher"
	"github.com/briskest/briskest/voucher/vouchercms"
	"github.com/briskest/briskest/voucher/voucherjws"
)

const typeJWS = "Content-Type: application/voucher-jws+json"

// newJWSSite is newSite with a registrar that speaks CMS and JWS and has a voucher in JWS.
func newJWSSite(t *testing.T) *site {
	t.Helper()
	root := testpki.NewRoot(t, "root")
	s := &site{t: t, backend: &backend{voucher: &brski.Voucher{MediaType: voucherjws.MediaType, Raw: []byte(`{"payload":""}`)}}}
	h := &brski.RegistrarHandler{Backend: s.backend, Formats: []voucher.Format{vouchercms.Format{}, voucherjws.Format{}}}
	s.url = brskitest.Serve(t, root.Server(t, "registrar"), h)
	s.device = root.IDevID(t, "SN-1", "")
	s.client = clientOf(t, root, s.device)
	return s
}

func (s *site) jws(json string) []byte {
	s.t.Helper()
	raw, err := voucherjws.Format{}.SignPayload(s.t.Context(), []byte(json), &voucher.Signer{Key: s.device.Key, Certificate: s.device.Certificate})
	if err != nil {
		s.t.Fatal(err)
	}
	return raw
}

const goodJWS = `{"ietf-voucher-request:voucher":{"serial-number":"SN-1","nonce":"AAAAAAAAAAAAAAAAAAAAAA=="}}`

// BRSKI-JWS-4-01: the media type says that the body is JWS, and Accept that the voucher is to be.
// RFC 8995, Section 5.6: the format of the request is preferred where Accept takes several.
func TestTheMediaTypeChoosesJWS(t *testing.T) {
	s := newJWSSite(t)
	for _, accept := range [][]string{
		{}, {"Accept: application/voucher-jws+json"}, {"Accept: */*"}, {"Accept: application/voucher-cms+json, application/voucher-jws+json"},
	} {
		a := s.do("POST", requestVoucher, s.jws(goodJWS), slices.Concat([]string{typeJWS}, accept)...)
		if a.status != 200 || a.header.Get("Content-Type") != voucherjws.MediaType || a.body != string(s.backend.voucher.Raw) {
			t.Errorf("%v: %d, %q, %s; want the voucher in JWS", accept, a.status, a.header.Get("Content-Type"), a.body)
		}
	}
	s.backend.mu.Lock()
	defer s.backend.mu.Unlock()
	for _, r := range s.backend.requests {
		if r.Format.MediaType() != voucherjws.MediaType || r.Accept[0].MediaType() != voucherjws.MediaType || r.Request.SerialNumber != "SN-1" {
			t.Errorf("VoucherRequest has format %s and accepts %s first, want JWS", r.Format.MediaType(), r.Accept[0].MediaType())
		}
	}
}

// RFC 8995, Section 5.6: what is not signed correctly is 403, what cannot be read 400. None reaches the backend.
func TestBadRequestsInJWSAreRefusedBeforeTheBackendIsAsked(t *testing.T) {
	s := newJWSSite(t)
	good := s.jws(goodJWS)
	var parts struct {
		Payload    string
		Signatures []struct{ Protected, Signature string }
	}
	if err := json.Unmarshal(good, &parts); err != nil {
		t.Fatal(err)
	}
	sign := parts.Signatures[0]
	none := base64.RawURLEncoding.EncodeToString([]byte(`{"alg":"none"}`))
	stranger := testpki.NewRoot(t, "stranger").IDevID(t, "SN-1", "")
	strange, err := voucherjws.Format{}.SignPayload(t.Context(), []byte(goodJWS), &voucher.Signer{Key: stranger.Key, Certificate: stranger.Certificate})
	if err != nil {
		t.Fatal(err)
	}
	cms, err := vouchercms.Format{}.SignPayload(t.Context(), []byte(goodJWS), time.Time{}, &voucher.Signer{Key: s.device.Key, Certificate: s.device.Certificate})
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name   string
		body   []byte
		kind   string
		status int
		reason string
	}{
		{"CMS as JWS", cms, typeJWS, 400, "voucher-request"},
		{"JWS as CMS", good, typeCMS, 400, "voucher-request"},
		{"unsigned JSON", []byte(goodJWS), typeJWS, 400, "voucher-request"},
		{"compact", []byte(sign.Protected + "." + parts.Payload + "." + sign.Signature), typeJWS, 400, "voucher-request"},
		{"flattened", []byte(`{"payload":"` + parts.Payload + `","protected":"` + sign.Protected + `","signature":"` + sign.Signature + `"}`), typeJWS, 400, "voucher-request"},
		{"base64 around it", []byte(base64.StdEncoding.EncodeToString(good)), typeJWS, 400, "voucher-request"},
		{"truncated", good[:len(good)-1], typeJWS, 400, "voucher-request"},
		{"two of them", append(bytes.Clone(good), good...), typeJWS, 400, "voucher-request"},
		{"alg none", []byte(`{"payload":"` + parts.Payload + `","signatures":[{"protected":"` + none + `","signature":""}]}`), typeJWS, 403, "voucher-signature"},
		{"no signature", []byte(`{"payload":"` + parts.Payload + `","signatures":[]}`), typeJWS, 403, "voucher-signature"},
		{"two signatures", []byte(strings.Replace(string(good), `"signatures":[`, `"signatures":[{"protected":"`+sign.Protected+`","signature":"`+sign.Signature+`"},`, 1)), typeJWS, 403, "voucher-signature"},
		{"content changed", []byte(strings.Replace(string(good), parts.Payload, base64.RawURLEncoding.EncodeToString([]byte(strings.Replace(goodJWS, "SN-1", "SN-2", 1))), 1)), typeJWS, 403, "voucher-signature"},
		{"another device's", strange, typeJWS, 403, "signer-not-client"},
		{"a voucher", s.jws(`{"ietf-voucher:revocation":{}}`), typeJWS, 406, "voucher-container"},
		{"unknown leaf", s.jws(`{"ietf-voucher-request:voucher":{"serial-number":"SN-1","color":"red"}}`), typeJWS, 400, "voucher-leaf"},
		{"agent-proximity without proof", s.jws(`{"ietf-voucher-request:voucher":{"serial-number":"SN-1","assertion":"agent-proximity"}}`), typeJWS, 400, "voucher-leaf"},
	} {
		a := s.do("POST", requestVoucher, c.body, c.kind)
		if got := s.backend.lastRefusal(); a.status != c.status || got != c.reason || len(a.body) == 0 {
			t.Errorf("%s: %d, %q, %q; want %d, %q and a text", c.name, a.status, got, a.body, c.status, c.reason)
		}
	}
	if n := s.backend.asked(); n != 0 {
		t.Errorf("the backend was asked %d times, want 0", n)
	}
}
