package masa_test

import (
	"bytes"
	"encoding/base64"
	"errors"
	"fmt"
	"net/http"
	"testing"

	"github.com/briskest/briskest/est"
	"github.com/briskest/briskest/masa"
	"github.com/briskest/briskest/voucher"
	"github.com/briskest/briskest/voucher/vouchercms"
)

// BRSKI-8366BIS-8.4-01: a nonce has 8 to 32 bytes, in the registrar's request
// and in the pledge's.
func TestNoncesOf8To32BytesAreTaken(t *testing.T) {
	w := newWorld(t, nil)
	for _, c := range []struct {
		bytes  int
		reason string
	}{
		{7, masa.ReasonRequestForm}, {8, ""}, {31, ""}, {32, ""}, {33, masa.ReasonRequestForm},
	} {
		nonce := base64.StdEncoding.EncodeToString(bytes.Repeat([]byte{byte(c.bytes)}, c.bytes))
		content := func(more string) string {
			return fmt.Sprintf(`{"ietf-voucher-request:voucher":{"assertion":"proximity","serial-number":%q,"nonce":%q,%s}}`, serial, nonce, more)
		}
		prior := signPayload(t, content(`"proximity-registrar-cert":"`+base64.StdEncoding.EncodeToString(w.mine.registrar.Certificate.Raw)+`"`), w.idevid)
		raw := signPayload(t, content(`"prior-signed-voucher-request":"`+base64.StdEncoding.EncodeToString(prior)+`"`), w.mine.registrar)
		if c.reason != "" {
			w.refused(raw, 400, c.reason)
			continue
		}
		if v, _ := w.voucher(raw); v.Nonce != nonce {
			t.Errorf("%d bytes: nonce %q, want %q", c.bytes, v.Nonce, nonce)
		}
	}
}

// BRSKI-8995-5.5.2-01: the domain CA of nobody we know shows that the chain is
// consistent. Without the pledge's word that is "logged", and nothing of it is
// kept as an anchor or as an owner.
func TestUnknownDomainCAIsAnAnchorForOneRequestOnly(t *testing.T) {
	w := newWorld(t, func(_ *masa.Settings, p *masa.Product) { p.Assertion, p.AllowNoPriorSigned = voucher.Verified, true })
	a := w.ask(w.mine, "0123456789abcdef")
	a.idevid = nil
	if v, _ := w.voucher(a.bytes(t)); v.Assertion != voucher.Logged {
		t.Errorf("assertion %q, want logged", v.Assertion)
	}
	got, err := w.service.Device(t.Context(), masa.DeviceRef{SerialNumber: serial})
	if err != nil || len(got.Owners) != 0 || w.service.Settings().RegistrarAnchors != nil {
		t.Errorf("%+v, %v, anchors %v; want neither owner nor anchor", got, err, w.service.Settings().RegistrarAnchors)
	}
	// A chain that leaves the CA out hangs in the air again.
	b := w.ask(w.mine, "fedcba9876543210")
	b.chain = b.chain[1:]
	w.refused(b.bytes(t), 403, masa.ReasonRegistrarChain)
	// The other domain is as unknown as it was.
	if v, _ := w.voucher(w.ask(w.theirs, "abcdef0123456789").bytes(t)); !bytes.Equal(v.PinnedDomainCert, w.theirs.root.Certificate.Raw) {
		t.Error("the pin is not of the domain that asked")
	}
}

// BRSKI-8995-5.5.4-02: who asks without a nonce is the owner on record, by a
// signature that its domain CA answers for, and where the settings say so by
// the TLS connection as well.
func TestNoncelessRequestsAreOfARegistrarThatIsKnown(t *testing.T) {
	for _, onTLS := range []bool{false, true} {
		w := newWorld(t, func(s *masa.Settings, p *masa.Product) {
			p.AllowNonceless = true
			if onTLS {
				s.ClientCertificate = masa.ClientCertificateNonceless
			}
		})
		nonceless := func(d *domain, client *domain) error {
			a := w.ask(d, "")
			a.idevid = nil
			r := w.request(a.bytes(t))
			if client != nil {
				r.Registrar = client.registrar.Certificate
			}
			_, err := w.service.RequestVoucher(t.Context(), r)
			return err
		}
		reason := func(err error) string {
			var e *est.Error
			if errors.As(err, &e) && e.Status == http.StatusForbidden {
				return e.Reason
			}
			return fmt.Sprint(err)
		}
		if got := reason(nonceless(w.mine, w.mine)); got != masa.ReasonNonceless {
			t.Errorf("TLS %t: somebody without a device: %s, want %s", onTLS, got, masa.ReasonNonceless)
		}
		w.own(w.mine)
		if got := reason(nonceless(w.theirs, w.theirs)); got != masa.ReasonNotOwner {
			t.Errorf("TLS %t: somebody else: %s, want %s", onTLS, got, masa.ReasonNotOwner)
		}
		for what, client := range map[string]*domain{"nobody": nil, "another": w.theirs} {
			want := "<nil>"
			if onTLS {
				want = masa.ReasonOtherClient
			}
			if got := reason(nonceless(w.mine, client)); got != want {
				t.Errorf("TLS %t: the owner's request from %s: %s, want %s", onTLS, what, got, want)
			}
		}
		if err := nonceless(w.mine, w.mine); err != nil {
			t.Errorf("TLS %t: the owner: %v", onTLS, err)
		}
	}
}

// BRSKI-8995-6-02: both operations take binary, and base64 is none.
func TestBase64OfARequestIsNoRequest(t *testing.T) {
	w := newWorld(t, nil)
	client := w.serve()
	good := w.ask(w.mine, "0123456789abcdef").bytes(t)
	for _, c := range []struct {
		operation string
		body      []byte
		status    int
	}{
		{"requestvoucher", []byte(base64.StdEncoding.EncodeToString(good)), 400},
		{"requestvoucher", good, 200},
		{"requestauditlog", []byte(base64.StdEncoding.EncodeToString(good)), 400},
		{"requestauditlog", good, 200},
	} {
		res, err := client.HTTP.Post(client.URL+"/"+c.operation, vouchercms.MediaType, bytes.NewReader(c.body))
		if err != nil {
			t.Fatal(err)
		}
		_ = res.Body.Close()
		if res.StatusCode != c.status {
			t.Errorf("%s of %.8q...: %d, want %d", c.operation, c.body, res.StatusCode, c.status)
		}
	}
}
