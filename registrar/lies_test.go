package registrar_test

import (
	"context"
	"crypto/x509"
	"crypto/x509/pkix"
	"fmt"
	"net/netip"
	"sync/atomic"
	"testing"

	"github.com/briskest/briskest/brski"
	"github.com/briskest/briskest/ca"
	"github.com/briskest/briskest/est"
	"github.com/briskest/briskest/internal/testpki"
	"github.com/briskest/briskest/registrar"
)

// liar is an issuer that signs what it likes once the intent is on record.
type liar struct {
	ca.Issuer
	lie func(r *ca.Request, c *ca.Certificate) *ca.Certificate
}

func (l *liar) Issue(ctx context.Context, r *ca.Request) (*ca.Certificate, error) {
	c, err := l.Issuer.Issue(ctx, r)
	if err != nil {
		return nil, err
	}
	return l.lie(r, c), nil
}

// R13: what an issuer signs beside the decision is on record as revoked, and
// nobody gets it.
func TestACertificateThatIsNotWhatWasDecidedIsNotHandedOut(t *testing.T) {
	h := newHouse(t, nil)
	other := func(change func(c *x509.Certificate), key bool) func(*ca.Request, *ca.Certificate) *ca.Certificate {
		return func(r *ca.Request, c *ca.Certificate) *ca.Certificate {
			right, err := x509.ParseCertificate(c.Raw)
			check(t, err)
			template := &x509.Certificate{Subject: pkix.Name{CommonName: right.Subject.CommonName}, SerialNumber: right.SerialNumber}
			change(template)
			signer := testpki.NewKey(t)
			out := *c
			if key {
				out.Raw = h.ca.Issue(t, template, signer).Certificate.Raw
				return &out
			}
			out.Raw = h.signFor(template, r)
			return &out
		}
	}
	for what, lie := range map[string]func(*ca.Request, *ca.Certificate) *ca.Certificate{
		"another key":           other(func(*x509.Certificate) {}, true),
		"another name":          other(func(c *x509.Certificate) { c.Subject.CommonName = "root" }, false),
		"a DNS name more":       other(func(c *x509.Certificate) { c.DNSNames = []string{"evil.example.com"} }, false),
		"nonsense":              func(_ *ca.Request, c *ca.Certificate) *ca.Certificate { out := *c; out.Raw = []byte("x"); return &out },
		"another serial number": func(_ *ca.Request, c *ca.Certificate) *ca.Certificate { out := *c; out.Serial = []byte{1}; return &out },
	} {
		h.replaceIssuer(&liar{h.issuer, lie})
		h.enroll("sensor-7").basic(group).refusedAs(registrar.ReasonIssuerDisagrees, 502)
		for _, c := range h.certificates("") {
			if c.Status != registrar.Revoked {
				t.Errorf("%s: the certificate is on record as %s", what, c.Status)
			}
		}
	}
	h.replaceIssuer(&liar{h.issuer, func(_ *ca.Request, c *ca.Certificate) *ca.Certificate { return c }})
	h.enroll("sensor-7").basic(group).mustSend()
}

func (h *house) signFor(template *x509.Certificate, r *ca.Request) []byte {
	h.t.Helper()
	key := &publicOnly{r}
	return h.ca.Issue(h.t, template, key).Certificate.Raw
}

// An issuer that never calls Record has not put the intent on record.
func TestACertificateWithoutIntentIsNotHandedOut(t *testing.T) {
	h := newHouse(t, nil)
	h.replaceIssuer(&forgetful{h.issuer})
	h.enroll("sensor-7").basic(group).refusedAs(registrar.ReasonIssuerFailed, 500)
}

type forgetful struct{ ca.Issuer }

func (f *forgetful) Issue(ctx context.Context, r *ca.Request) (*ca.Certificate, error) {
	q := *r
	q.Record = func(context.Context, *ca.Intent) error { return nil }
	return f.Issuer.Issue(ctx, &q)
}

// Another registrar on the same store took the name first: decided anew.
func TestAConflictIsDecidedAgainOnce(t *testing.T) {
	h := newHouse(t, nil)
	var times atomic.Int32
	h.store.FailBefore(func(c *registrar.Change) error {
		if len(c.Intents) > 0 && times.Add(1) == 1 {
			return fmt.Errorf("taken: %w", registrar.ErrConflict)
		}
		return nil
	})
	h.enroll("sensor-7").basic(group).mustSend()
	h.store.FailBefore(func(c *registrar.Change) error {
		if len(c.Intents) > 0 {
			return fmt.Errorf("taken: %w", registrar.ErrConflict)
		}
		return nil
	})
	h.enroll("sensor-8").basic(group).refusedAs(registrar.ReasonStore, 503)
}

// R18: floods from many addresses cost bounded memory, and the service goes on.
func TestAFloodOfRefusalsIsBoundedAndCounted(t *testing.T) {
	h := newHouse(t, nil)
	const flood = 6000 // more than the table holds
	call := &brski.Call{Operation: brski.OpRequestVoucher, At: h.now()}
	for i := range flood {
		call.Peer = &est.Peer{Address: netip.AddrPortFrom(netip.AddrFrom4([4]byte{10, byte(i >> 16), byte(i >> 8), byte(i)}), 1)}
		h.service.BRSKI().Refused(t.Context(), call, &est.Error{Status: 400, Reason: "voucher-request"})
	}
	status, err := h.service.Status(t.Context(), "")
	check(t, err)
	if status.Refused["voucher-request"] != flood || status.Dropped == 0 {
		t.Errorf("counted %d, dropped %d", status.Refused["voucher-request"], status.Dropped)
	}
	h.service.Close()
	if n := len(h.entries(registrar.KindRefused)); n == 0 || n > 5000 {
		t.Errorf("%d entries on the trail", n)
	}
}
