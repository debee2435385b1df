package brskipledge

import (
	"bytes"
	"crypto/tls"
	"errors"
	"fmt"
	"slices"

	"github.com/briskest/briskest/brski"
	"github.com/briskest/briskest/conformance"
	"github.com/briskest/briskest/conformance/unkind"
	"github.com/briskest/briskest/est"
)

func onboarding() []check {
	return slices.Concat(
		in("RFC 8995, Section 5",
			scene("RFC8995-5-P-1", must, "A pledge that has no domain joins one at a registrar that does all right",
				rows("BRSKI-8995-5-01"), script{}, joins),
			scene("RFC8995-5-P-2", must, "On further connections a pledge shows the certificate that it showed on the first",
				rows("BRSKI-8995-5-04"), script{answer: closing()}, sameIdentity),
		),
		in("RFC 8995, Section 1.5",
			scene("RFC8995-1.5-P-1", must, "CSR attributes, a certificate and a place for telemetry are asked for, in EST's and BRSKI's way",
				rows("BRSKI-8995-1.5-02"), script{}, asksForAll),
		),
	)
}

// provisional: the connection that nobody vouches for yet.
func provisional() []check {
	return in("RFC 8995, Section 5.1",
		refusal("RFC8995-5.1-P-1", must, "A registrar that speaks no TLS above 1.1 is sent nothing",
			rows("BRSKI-8995-5.1-01"), script{origins: func(_ *Target, w *world) ([]unkind.Origin, error) {
				c := unkind.Serving(w.server)
				c.MinVersion, c.MaxVersion = tls.VersionTLS10, tls.VersionTLS11 //nolint:gosec // what is to be refused
				return []unkind.Origin{unkind.Always(c)}, nil
			}}, sendsNothing),
		refusal("RFC8995-5.1-P-2", must, "A registrar that does not hold the key of the certificate that it shows is sent nothing",
			rows("BRSKI-8995-5.1-04"), script{origins: withoutKey}, sendsNothing),
		scene("RFC8995-5.1-P-3", must, "Certificates that the registrar showed in the handshake are kept, and lead from its own to a root that the voucher pins",
			rows("BRSKI-8995-5.1-05", "BRSKI-8366-5.3-04"), wrong(func(d *draft) { d.pin(d.world.root.Certificate) }), joins),
		refusal("RFC8995-5.1-P-4", must, "While the registrar says \"not yet\", nothing is asked of it but the voucher",
			rows("BRSKI-8995-5.1-06", "BRSKI-8995-5.6.2-01"), notYet(func() *unkind.Answer { return unkind.Later(1) }), asksForVoucherAlone),
		refusal("RFC8995-5.1-P-5", must, "A registrar that shows another certificate on the next connection gets no voucher-request that names the first one, and nobody is joined there",
			rows("BRSKI-8995-5-04", "BRSKI-8995-5.1-06"), script{late: changesFace}, asksAnew),
		refusal("RFC8995-5.1-P-6", must, "A voucher that is 2 MB of zeros is refused",
			rows("BRSKI-8995-5.1-06"), bent(func(a *unkind.Answer) *unkind.Answer { a.Body = make([]byte, 2<<20); return a }), refuses),
		refusal("RFC8995-5.1-P-7", must, "A voucher that is cut off within is refused",
			rows("BRSKI-8995-5.1-06"), bent(func(a *unkind.Answer) *unkind.Answer { a.Body = a.Body[:len(a.Body)/2]; return a }), refuses),
		refusal("RFC8995-5.1-P-8", must, "A voucher that the end of the connection cuts off is refused",
			rows("BRSKI-8995-5.1-06"), bent(func(a *unkind.Answer) *unkind.Answer { a.Missing, a.Close = len(a.Body)/2, true; return a }), refuses),
		refusal("RFC8995-5.1-P-9", must, "An answer 200 without anything in it is no voucher",
			rows("BRSKI-8995-5.1-06"), bent(func(a *unkind.Answer) *unkind.Answer { a.Body = nil; return a }), refuses),
	)
}

// withoutKey shows the registrar's certificate with somebody else's key.
func withoutKey(_ *Target, w *world) ([]unkind.Origin, error) {
	key, err := unkind.NewKey()
	if err != nil {
		return nil, err
	}
	return []unkind.Origin{unkind.Always(unkind.Serving(&tls.Certificate{Certificate: w.server.Certificate, PrivateKey: key}))}, nil
}

// notYet answers the first voucher-request so.
func notYet(f func() *unkind.Answer) script {
	return script{answer: on(brski.OpRequestVoucher, func(a *asked) *unkind.Answer {
		if a.count(brski.OpRequestVoucher) > 1 {
			return nil
		}
		return f()
	})}
}

// closing ends the connection with the voucher.
func closing() answer {
	return on(brski.OpRequestVoucher, func(a *asked) *unkind.Answer {
		voucher := a.world.voucher(a.Request, nil)
		voucher.Close = true
		return voucher
	})
}

// changesFace says "not yet", ends the connection, and is another registrar of
// the same domain from then on.
func changesFace(t *Target, w *world) (script, error) {
	then, err := w.issuing.Present(unkind.ServerTemplate(t.Name()))
	if err != nil {
		return script{}, err
	}
	changed := new(flag)
	s := notYet(func() *unkind.Answer {
		changed.raise()
		later := unkind.Later(1)
		later.Close = true
		return later
	})
	s.origins = turning(changed, then)
	return s, nil
}

// turning shows another certificate once the flag is up.
func turning(changed *flag, then *tls.Certificate) func(*Target, *world) ([]unkind.Origin, error) {
	return func(_ *Target, w *world) ([]unkind.Origin, error) {
		return []unkind.Origin{{TLS: func(int) *tls.Config {
			if changed.up() {
				return unkind.Serving(then)
			}
			return unkind.Serving(w.server)
		}}}, nil
	}
}

func sameIdentity(r *run) error {
	if err := joins(r); err != nil {
		return err
	}
	for _, q := range r.requests {
		if is(q, brski.OpEnrollStatus) {
			continue // RFC 8995, Section 5.9.4, has it shown the new one
		}
		if !bytes.Equal(q.Certificate(), r.world.idevid.Raw) {
			return fmt.Errorf("%s came with another certificate than the IDevID, or none", q.Path)
		}
	}
	return nil
}

func asksForAll(r *run) error {
	if err := joins(r); err != nil {
		return conformance.Skip("the pledge does not join (see RFC8995-5-P-1): %v", err)
	}
	switch {
	case len(r.enrolled(est.OpCSRAttrs)) == 0:
		return fmt.Errorf("csrattrs was not asked for: %s", r.path())
	case len(r.asked(brski.OpEnrollStatus)) == 0:
		return fmt.Errorf("enrollstatus was not posted: %s", r.path())
	default:
		return nil
	}
}

// asksForVoucherAlone wants nothing of EST before the voucher is there.
func asksForVoucherAlone(r *run) error {
	found, err := r.requested()
	if err != nil {
		return err
	}
	if len(found) == 1 && r.outcome.Known && r.outcome.Took {
		return errors.New("the pledge reports success without a voucher")
	}
	last := found[len(found)-1]
	for _, q := range r.requests {
		if (len(found) == 1 || q.At.Before(last.At)) && !is(q, brski.OpRequestVoucher) {
			return fmt.Errorf("the pledge asked for %s before it had a voucher: %s", q.Path, r.path())
		}
	}
	return nil
}

// asksAnew wants the second registrar to get a voucher-request of its own, or none.
func asksAnew(r *run) error {
	found, err := r.requested()
	if err != nil {
		return err
	}
	for _, q := range found {
		opened, err := open(q)
		if err != nil {
			return conformance.Skip("the voucher-request does not open (see RFC8995-5.2-P-1): %v", err)
		}
		if !bytes.Equal(opened.ProximityRegistrarCert, r.server(q)) {
			return fmt.Errorf("connection %d: the voucher-request names another certificate than the registrar has there", q.Conn)
		}
	}
	return nil
}
