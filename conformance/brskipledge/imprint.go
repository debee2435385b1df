package brskipledge

import (
	"crypto/x509"
	"errors"
	"fmt"
	"slices"

	"github.com/briskest/briskest/brski"
	"github.com/briskest/briskest/conformance"
	"github.com/briskest/briskest/conformance/unkind"
)

// imprint: whom a pledge trusts by the voucher.
func imprint() []check {
	return slices.Concat(
		in("RFC 8995, Section 5.6.2",
			refusal("RFC8995-5.6.2-P-1", must, "A registrar is not enrolled with when the voucher pins a CA that it does not follow from",
				rows("BRSKI-8995-5.6.2-01", "BRSKI-8366-5.3-04"), script{late: pinsForeign}, refuses),
			refusal("RFC8995-5.6.2-P-2", must, "A registrar is not enrolled with when the voucher pins another registrar of the same domain",
				rows("BRSKI-8995-5.6.2-01", "BRSKI-8366-5.3-04"), script{late: pinsNeighbour}, refuses),
			refusal("RFC8995-5.6.2-P-3", should, "A registrar that is not the pinned one is told so on the same connection",
				rows("BRSKI-8995-5.6.2-02"), script{late: pinsForeign}, reportsHere),
			refusal("RFC8995-5.6.2-P-4", must, "A registrar that shows a certificate of another domain once it has sent the voucher is sent nothing more",
				rows("BRSKI-8995-5.6.2-01"), script{late: leaves}, stopsAtNewFace),
			refusal("RFC8995-5.6.2-P-5", must, "After a voucher that was refused nothing more is asked of the registrar, but it is told",
				rows("BRSKI-8995-5.6.2-01"), wrong(func(d *draft) { d.leaves["serial-number"] = "CONFORM-9999" }), nothingMore),
		),
		in("RFC 8366, Section 5.3",
			scene("RFC8366-5.3-P-1", must, "A voucher that pins the registrar's own certificate is taken",
				rows("BRSKI-8366-5.3-04"), wrong(func(d *draft) { d.pin(signerOf(d.world.server).Certificate) }), joins),
		),
		in("RFC 8994, Section 6.2.5",
			refusal("RFC8994-6.2.5-P-1", must, "A server of the pinned domain that is neither a registration authority nor has the name that it was asked by is not enrolled with",
				rows("BRSKI-8994-6.2.5-02", "EST-7030-3.6.1-01"), presenting(func(c *x509.Certificate) {
					c.IPAddresses, c.DNSNames, c.UnknownExtKeyUsage = nil, []string{"printer.example"}, nil
				}), refuses),
		),
		in("draft-ietf-anima-rfc8366bis, Section 8",
			scene("RFC8366bis-8-P-1", must, "Where the voucher pins a certificate and another key, the certificate counts for who sent proximity-registrar-cert",
				rows("BRSKI-8366BIS-8-01"), script{late: func(*Target, *world) (script, error) {
					stranger, err := strangersKey()
					return wrong(func(d *draft) { d.leaves["pinned-domain-pubk"] = stranger }), err
				}}, joins),
			refusal("RFC8366bis-8-P-2", must, "Where the voucher pins a foreign certificate and the registrar's key, the key does not make up for the certificate",
				rows("BRSKI-8366BIS-8-01"), script{late: func(t *Target, w *world) (script, error) {
					_, other, err := elsewhere(t)
					if err != nil {
						return script{}, err
					}
					return wrong(func(d *draft) {
						d.pin(other.Certificate)
						d.leaves["pinned-domain-pubk"] = signerOf(w.server).Certificate.RawSubjectPublicKeyInfo
					}), nil
				}}, refuses),
		),
	)
}

func strangersKey() ([]byte, error) {
	key, err := unkind.NewKey()
	if err != nil {
		return nil, err
	}
	return x509.MarshalPKIXPublicKey(key.Public())
}

// pinsForeign pins a CA of another domain.
func pinsForeign(t *Target, _ *world) (script, error) {
	_, other, err := elsewhere(t)
	if err != nil {
		return script{}, err
	}
	return wrong(func(d *draft) { d.pin(other.Certificate) }), nil
}

// pinsNeighbour pins the certificate of another registrar of the domain.
func pinsNeighbour(t *Target, w *world) (script, error) {
	c, err := w.issuing.Present(unkind.ServerTemplate(t.Name()))
	if err != nil {
		return script{}, err
	}
	return wrong(func(d *draft) { d.pin(signerOf(c).Certificate) }), nil
}

// leaves ends the connection with the voucher, and is a registrar of another
// domain on the next one.
func leaves(t *Target, _ *world) (script, error) {
	then, _, err := elsewhere(t)
	if err != nil {
		return script{}, err
	}
	changed := new(flag)
	closes := closing()
	return script{
		origins: turning(changed, then),
		answer: func(a *asked) *unkind.Answer {
			if is(a.Request, brski.OpRequestVoucher) {
				changed.raise()
			}
			return closes(a)
		},
	}, nil
}

// stopsAtNewFace wants no request where the registrar shows another certificate,
// but one that begins anew.
func stopsAtNewFace(r *run) error {
	if _, err := r.requested(); err != nil {
		return err
	}
	for _, q := range r.requests {
		if string(r.server(q)) != string(r.world.server.Certificate[0]) && !is(q, brski.OpRequestVoucher) {
			return fmt.Errorf("the pledge went on at a server of another domain, with %s %s", q.Method, q.Path)
		}
	}
	return r.notTaken()
}

// nothingMore wants nothing but telemetry, once at most, after the first voucher.
func nothingMore(r *run) error {
	found, err := r.requested()
	if err != nil {
		return err
	}
	for _, q := range r.requests {
		if q.Conn == found[0].Conn && q.At.After(found[0].At) && !is(q, brski.OpVoucherStatus) {
			return fmt.Errorf("the pledge went on on the connection: %s", r.path())
		}
	}
	return refuses(r)
}

// verdicts returns what the pledge said of the voucher, or an error where it said nothing.
func (r *run) verdicts() ([]*unkind.Request, error) {
	if _, err := r.requested(); err != nil {
		return nil, err
	}
	found := r.asked(brski.OpVoucherStatus)
	if len(found) == 0 {
		return nil, fmt.Errorf("no voucher_status came: %s", r.path())
	}
	return found, nil
}

// reports wants the refusal to be told.
func reports(r *run) error {
	if err := refuses(r); err != nil {
		return err
	}
	found, err := r.verdicts()
	if err != nil {
		return err
	}
	s, err := brski.ParseStatus(found[0].Body)
	if err != nil {
		return conformance.Skip("the telemetry does not read (see RFC8995-5.7-P-2): %v", err)
	}
	if s.Status {
		return errors.New("voucher_status says that the voucher was taken")
	}
	return nil
}

// reportsHere wants it to be told on the connection that the voucher came on.
func reportsHere(r *run) error {
	if err := reports(r); err != nil {
		return err
	}
	asked, told := r.asked(brski.OpRequestVoucher)[0], r.asked(brski.OpVoucherStatus)[0]
	if asked.Conn != told.Conn {
		return fmt.Errorf("voucher_status came on connection %d, the voucher on %d", told.Conn, asked.Conn)
	}
	return nil
}
