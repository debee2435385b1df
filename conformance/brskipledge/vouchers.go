package brskipledge

import (
	"crypto/ecdsa"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"slices"
	"time"

	"github.com/briskest/briskest/conformance"
	"github.com/briskest/briskest/conformance/unkind"
	"github.com/briskest/briskest/voucher"
)

// vouchers: which a pledge takes and which not.
func vouchers() []check {
	return slices.Concat(dates(), signatures(), contents())
}

func dates() []check {
	future := func(d *draft) { d.signingTime = time.Now().AddDate(0, 0, 30) }
	return slices.Concat(
		in("RFC 8995, Section 2.6.1",
			refusal("RFC8995-2.6.1-P-1", must, "A voucher with another nonce than the request's is refused",
				rows("BRSKI-8995-2.6.1-03"), wrong(func(d *draft) { d.leaves["nonce"] = voucher.NewNonce() }), refuses),
			refusal("RFC8995-2.6.1-P-2", must, "A voucher that has expired is refused",
				rows("BRSKI-8995-2.6.1-02"), wrong(func(d *draft) { nonceless(d, -24*time.Hour) }), refuses),
			refusal("RFC8995-2.6.1-P-3", must, "A voucher that was made in the future is refused",
				rows("BRSKI-8995-2.6.1-02"), wrong(func(d *draft) { d.leaves["created-on"] = stamp(time.Now().AddDate(0, 0, 30)) }), refuses),
			refusal("RFC8995-2.6.1-P-4", must, "A voucher that was signed in the future is refused",
				rows("BRSKI-8995-2.6.1-02"), wrong(future), inCMS(refuses)),
			refusal("RFC8995-2.6.1-P-5", must, "A registrar whose certificate has expired is not enrolled with",
				rows("BRSKI-8995-2.6.1-02"), presenting(func(c *x509.Certificate) {
					c.NotBefore, c.NotAfter = time.Now().Add(-48*time.Hour), time.Now().Add(-24*time.Hour)
				}), refuses),
		),
		in("RFC 8995, Section 7.2",
			scene("RFC8995-7.2-P-1", must, "A voucher without a nonce is taken", rows("BRSKI-8995-7.2-01"), wrong(func(d *draft) { nonceless(d, time.Hour) }), joins),
		),
	)
}

// nonceless makes a voucher for any request that expires then.
func nonceless(d *draft, expires time.Duration) {
	delete(d.leaves, "nonce")
	now := time.Now()
	d.signingTime = now.Add(expires - 2*time.Hour).Truncate(time.Second)
	d.leaves["created-on"], d.leaves["expires-on"] = stamp(d.signingTime), stamp(now.Add(expires))
}

func signatures() []check {
	return slices.Concat(
		in("RFC 8995, Section 5.6.1",
			refusal("RFC8995-5.6.1-P-1", must, "A voucher that another manufacturer has signed is refused",
				rows("BRSKI-8995-5.6.1-01"), script{late: byAnother("Another Manufacturer")}, refuses),
			refusal("RFC8995-5.6.1-P-2", must, "A voucher by somebody who is called as the manufacturer is refused",
				rows("BRSKI-8995-5.6.1-01"), script{late: byAnother("")}, refuses),
			refusal("RFC8995-5.6.1-P-3", must, "A voucher that the registrar has signed itself is refused",
				rows("BRSKI-8995-5.6.1-01"), wrong(func(d *draft) { d.signer = d.world.server }), refuses),
			refusal("RFC8995-5.6.1-P-4", must, "A voucher that was changed after it was signed is refused",
				rows("BRSKI-8995-5.6.1-01"), wrong(func(d *draft) { d.sign = altered }), refuses),
			refusal("RFC8995-5.6.1-P-5", must, "A voucher that nobody has signed is refused",
				rows("BRSKI-8995-5.6.1-01"), wrong(func(d *draft) { d.sign = func(payload []byte, _ *draft) ([]byte, error) { return payload, nil } }), refuses),
		),
		in("draft-ietf-anima-rfc8366bis, Section 7.1",
			refusal("RFC8366bis-7.1-P-1", must, "A voucher in CMS without signed attributes is refused",
				rows("BRSKI-8366BIS-7.1-04"), script{late: func(_ *Target, w *world) (script, error) {
					if _, known := w.masa.PrivateKey.(*ecdsa.PrivateKey); !known {
						return script{}, conformance.Skip("the signer of vouchers has no key on P-256, which this takes")
					}
					return wrong(func(d *draft) { d.sign = bare }), nil
				}}, inCMS(refuses)),
		),
	)
}

// inCMS skips where the pledge speaks another format.
func inCMS(judge func(*run) error) func(*run) error {
	return func(r *run) error {
		q, err := r.opened()
		if err != nil {
			return err
		}
		if !q.cms {
			return conformance.Skip("the pledge asks for vouchers in JWS")
		}
		return judge(r)
	}
}

// byAnother signs vouchers below a new root of that name; empty for the one of the MASA's issuer.
func byAnother(name string) func(*Target, *world) (script, error) {
	return func(_ *Target, w *world) (script, error) {
		if name == "" {
			name = signerOf(w.masa).Certificate.Issuer.CommonName
		}
		other, err := unkind.NewRoot(name)
		if err != nil {
			return script{}, err
		}
		signer, err := other.Present(masaTemplate())
		if err != nil {
			return script{}, err
		}
		signer.Certificate = append(signer.Certificate, other.Certificate.Raw)
		return wrong(func(d *draft) { d.signer = signer }), nil
	}
}

func contents() []check {
	return slices.Concat(
		in("RFC 8995, Section 5.6.1",
			refusal("RFC8995-5.6.1-P-6", must, "A voucher for another serial number is refused, and the registrar is told so",
				rows("BRSKI-8995-5.6.1-02"), wrong(func(d *draft) { d.leaves["serial-number"] = "CONFORM-9999" }), reports),
			refusal("RFC8995-5.6.1-P-7", must, "A voucher that pins nothing is refused",
				rows("BRSKI-8995-5.6.1-03"), wrong(func(d *draft) { delete(d.leaves, "pinned-domain-cert") }), refuses),
			refusal("RFC8995-5.6.1-P-8", must, "A voucher that pins what is no certificate is refused",
				rows("BRSKI-8995-5.6.1-03", "BRSKI-8995-5.1-06"), wrong(func(d *draft) { d.leaves["pinned-domain-cert"] = []byte("no certificate") }), refuses),
			scene("RFC8995-5.6.1-P-9", must, "Leaves that nobody knows are ignored",
				rows("BRSKI-8995-5.6.1-04"), wrong(func(d *draft) {
					d.leaves["unkind-leaf"], d.leaves["unkind:list"] = map[string]any{"a": []int{1, 2}}, []any{nil, "x"}
				}), joins),
		),
		in("RFC 7951, Section 4",
			refusal("RFC7951-4-P-1", should, "A voucher that has a leaf twice is refused",
				rows("BRSKI-8995-5.1-06"), wrong(twice), refuses),
		),
		in("draft-ietf-anima-rfc8366bis, Section 6.2",
			refusal("RFC8366bis-6.2-P-1", must, "A voucher whose idevid-issuer is not that of the IDevID is refused",
				rows("BRSKI-8366BIS-6.2-03"), script{late: issuers(true)}, refuses),
			scene("RFC8366bis-6.2-P-2", must, "A voucher whose idevid-issuer is that of the IDevID is taken",
				rows("BRSKI-8366BIS-6.2-03"), script{late: issuers(false)}, joins),
		),
	)
}

// twice has serial-number for the pledge and for another one.
func twice(d *draft) {
	d.leaves["serial-number"] = "CONFORM-9999"
	d.extra = fmt.Sprintf(`,"serial-number":%q`, d.world.serial)
}

// issuers has idevid-issuer in the voucher, with another last byte where it is to be wrong.
func issuers(other bool) func(*Target, *world) (script, error) {
	return func(_ *Target, w *world) (script, error) {
		own, err := voucher.IDevIDIssuer(w.idevid)
		if err != nil {
			return script{}, conformance.Skip("the IDevID does not name its issuer's key: %v", err)
		}
		issuer := slices.Clone(own)
		if other {
			issuer[len(issuer)-1] ^= 1
		}
		return wrong(func(d *draft) { d.leaves["idevid-issuer"] = issuer }), nil
	}
}

// presenting is a registrar whose certificate was changed.
func presenting(change func(*x509.Certificate)) script {
	return script{origins: func(t *Target, w *world) ([]unkind.Origin, error) {
		template := unkind.ServerTemplate(t.Name())
		change(template)
		c, err := w.issuing.Present(template)
		if err != nil {
			return nil, err
		}
		return showing(c), nil
	}}
}

func showing(c *tls.Certificate) []unkind.Origin {
	return []unkind.Origin{unkind.Always(unkind.Serving(c))}
}
