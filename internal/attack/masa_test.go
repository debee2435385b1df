package attack_test

import (
	"context"
	"crypto/x509"
	"errors"
	"slices"
	"testing"
	"time"

	"crypto/x509/pkix"

	"go.uber.org/goleak"

	"github.com/briskest/briskest/brski"
	"github.com/briskest/briskest/internal/testpki"
	"github.com/briskest/briskest/registrar"
	"github.com/briskest/briskest/voucher"
	"github.com/briskest/briskest/voucher/vouchercms"
)

// lyingMASA answers what it is told to.
type lyingMASA struct {
	answer func(ctx context.Context, r *brski.MASARequest) (*brski.Voucher, error)
	log    func() (*brski.AuditLog, error)
}

func (m *lyingMASA) RequestVoucher(ctx context.Context, r *brski.MASARequest) (*brski.Voucher, error) {
	return m.answer(ctx, r)
}

func (m *lyingMASA) RequestAuditLog(context.Context, *brski.MASARequest) (*brski.AuditLog, error) {
	if m.log != nil {
		return m.log()
	}
	return &brski.AuditLog{Version: 1, Events: []brski.AuditEvent{}}, nil
}

// RFC 8995, Section 11.3; R29: whatever a MASA answers, the pledge gets the
// voucher that was asked for or a refusal, and no certificate without one.
func TestAHostileMASALetsNobodyIn(t *testing.T) {
	evil := testpki.NewRoot(t, "evil")
	for _, c := range []struct {
		what   string
		change func(h *house, v *voucher.Voucher)
	}{
		{"another serial number", func(_ *house, v *voucher.Voucher) { v.SerialNumber = "SN-2" }},
		{"another nonce", func(_ *house, v *voucher.Voucher) { v.Nonce = voucher.NewNonce() }},
		{"no nonce", func(h *house, v *voucher.Voucher) { v.Nonce, v.ExpiresOn = "", h.now().Add(time.Hour) }},
		{"another domain's pin", func(_ *house, v *voucher.Voucher) { v.PinnedDomainCert = evil.Certificate.Raw }},
		{"our pin and another's key", func(_ *house, v *voucher.Voucher) {
			v.PinnedDomainPubk = evil.Certificate.RawSubjectPublicKeyInfo
		}},
		{"expired", func(h *house, v *voucher.Voucher) { v.Nonce, v.ExpiresOn = "", h.now().Add(-time.Hour) }},
	} {
		h := newHouse(t, nil)
		h.importSerials("SN-1")
		h.masa = &lyingMASA{answer: func(ctx context.Context, r *brski.MASARequest) (*brski.Voucher, error) {
			return h.vouch(ctx, r, func(v *voucher.Voucher) { c.change(h, v) })
		}}
		h.shutsOut(c.what, h.idevidCA.IDevID(t, "SN-1", ""))
	}
	h := newHouse(t, nil)
	h.importSerials("SN-1")
	idevid, device := h.idevidCA.IDevID(t, "SN-7", ""), h.idevidCA.IDevID(t, "SN-1", "")
	for what, answer := range map[string]func(context.Context, *brski.MASARequest) (*brski.Voucher, error){
		"empty": func(context.Context, *brski.MASARequest) (*brski.Voucher, error) { return &brski.Voucher{}, nil },
		"nil":   func(context.Context, *brski.MASARequest) (*brski.Voucher, error) { return nil, nil },
		"noise": func(context.Context, *brski.MASARequest) (*brski.Voucher, error) { return noise(), nil },
		"an echo": func(_ context.Context, r *brski.MASARequest) (*brski.Voucher, error) {
			return &brski.Voucher{MediaType: r.MediaType, Raw: r.Raw}, nil
		},
		"its device's signature": func(ctx context.Context, r *brski.MASARequest) (*brski.Voucher, error) {
			old := h.vouchers
			h.vouchers = idevid
			defer func() { h.vouchers = old }()
			return h.vouch(ctx, r, nil)
		},
	} {
		h.masa = &lyingMASA{answer: answer}
		h.shutsOut(what, device)
	}
}

func noise() *brski.Voucher {
	return &brski.Voucher{MediaType: vouchercms.MediaType, Raw: slices.Repeat([]byte{0x30, 0x84, 0xff}, 1000)}
}

// shutsOut checks that the device of idevid, SN-1, gets neither a voucher nor a certificate.
func (h *house) shutsOut(what string, idevid *testpki.Identity) {
	h.t.Helper()
	if v, err := h.pledge(idevid).send(); err == nil || v != nil {
		h.t.Errorf("%s: handed on", what)
	}
	if _, err := h.enroll(pkix.Name{SerialNumber: "SN-1"}).cert(chainOf(idevid)...).send(); reason(err) != registrar.ReasonNotVouched {
		h.t.Errorf("%s: enrolling afterwards: %v", what, err)
	}
}

// A voucher counts with its audit-log (RFC 8995, Section 5.8): one that the
// MASA keeps back is a refusal, unless the policy says otherwise by name.
func TestAMASAThatHidesTheAuditLogLetsNobodyIn(t *testing.T) {
	h := newHouse(t, nil)
	h.importSerials("SN-1")
	device := h.idevidCA.IDevID(t, "SN-1", "")
	for what, log := range map[string]func() (*brski.AuditLog, error){
		"none":   func() (*brski.AuditLog, error) { return nil, nil },
		"failed": func() (*brski.AuditLog, error) { return nil, errors.New("no") },
	} {
		h.masa = &lyingMASA{log: log, answer: func(ctx context.Context, r *brski.MASARequest) (*brski.Voucher, error) { return h.vouch(ctx, r, nil) }}
		h.shutsOut(what, device)
	}
}

// RFC 8995, Sections 5.5.5 and 11.4: a registrar that got hold of what a
// device signed for another one gets nothing for it.
func TestAStolenVoucherRequestIsOfNoUseToAnotherRegistrar(t *testing.T) {
	const nonce = "MTIzNDU2Nzg5MA=="
	v := newVendor(t, nil)
	victim, thief := newDomain(t, "victim"), newDomain(t, "thief")
	prior := v.pledgeRequest(victim.registrar, nonce)
	for _, c := range []struct {
		what  string
		prior []byte
		nonce string
		bag   []*x509.Certificate
		want  string
	}{
		{"as it is", prior, nonce, nil, "proximity-mismatch"},
		{"with the victim's certificates", prior, nonce, append([]*x509.Certificate{victim.registrar.Certificate}, victim.registrar.Chain...), "proximity-mismatch"},
		{"with another nonce", v.pledgeRequest(thief.registrar, nonce), "b3RoZXIgbm9uY2Ux", nil, "nonce-mismatch"},
		{"without it", nil, nonce, nil, "prior-missing"},
		{"cut", prior[:len(prior)-4], nonce, nil, "prior-form"},
	} {
		_, err := v.service.RequestVoucher(t.Context(), v.registrarRequest(thief, c.prior, c.nonce, c.bag...))
		if got := reason(err); got != c.want {
			t.Errorf("%s: %q (%v), want %q", c.what, got, err, c.want)
		}
	}
	if _, err := v.service.RequestVoucher(t.Context(), v.registrarRequest(victim, prior, nonce)); err != nil {
		t.Errorf("the victim itself, afterwards: %v", err)
	}
}

// RFC 8995, Section 11.4: who asked first keeps the nonce; who asks with a
// new request is in the audit-log for the other to see.
func TestASecondDomainIsSeenInTheAuditLog(t *testing.T) {
	v := newVendor(t, nil)
	first, second := newDomain(t, "first"), newDomain(t, "second")
	ask := func(d *domain, nonce string) *brski.MASARequest {
		return v.registrarRequest(d, v.pledgeRequest(d.registrar, nonce), nonce)
	}
	mine := ask(first, "Zmlyc3Qgbm9uY2Ux")
	for _, r := range []*brski.MASARequest{mine, ask(second, "c2Vjb25kIG5vbmNl")} {
		if _, err := v.service.RequestVoucher(t.Context(), r); err != nil {
			t.Fatal(err)
		}
	}
	log, err := v.service.RequestAuditLog(t.Context(), mine)
	if err != nil || len(log.Events) != 2 || log.Events[0].DomainID == log.Events[1].DomainID {
		t.Errorf("audit-log = %+v, %v; want both domains in it", log, err)
	}
}

// A registrar that is told to stop stops, whatever a MASA does: nothing of it runs on.
func TestAServiceThatEndsLeavesNothingRunning(t *testing.T) {
	before := goleak.IgnoreCurrent()
	h := newHouse(t, nil)
	h.importSerials("SN-1")
	h.masa = &lyingMASA{answer: func(ctx context.Context, _ *brski.MASARequest) (*brski.Voucher, error) {
		<-ctx.Done() // never answers
		return nil, ctx.Err()
	}}
	asked := make(chan error)
	p := h.pledge(h.idevidCA.IDevID(t, "SN-1", ""))
	go func() {
		_, err := p.send()
		asked <- err
	}()
	for range 20 {
		_, err := h.enroll(pkix.Name{CommonName: "x"}).send()
		if reason(err) != registrar.ReasonNoCredentials {
			t.Error(err)
		}
	}
	h.service.Close()
	if err := <-asked; err == nil {
		t.Error("a voucher from a MASA that never answered")
	}
	goleak.VerifyNone(t, before)
}
