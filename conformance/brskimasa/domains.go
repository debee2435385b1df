package brskimasa

import (
	"context"
	"crypto"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"time"

	"github.com/briskest/briskest/voucher"
)

// as is a request by a registrar that is made for it.
func as(registrar func(d *domain) (*tls.Certificate, error)) making {
	return func(ctx context.Context, t *Target) (asking, error) {
		d, err := t.registrars(ctx)
		if err != nil {
			return asking{}, err
		}
		r, err := registrar(d)
		return asking{registrar: r}, err
	}
}

// template is a registrar of the domain with another certificate.
func template(change func(*x509.Certificate)) making {
	return as(func(d *domain) (*tls.Certificate, error) { return d.newRegistrar(change, nil) })
}

// domains: whether the registrar is one (RFC 8995, Sections 5.5.2 to 5.5.4).
func domains() []check {
	return slices.Concat(
		in("RFC 8995, Section 5.5.2",
			check{
				ID: "RFC8995-5.5.2-MASA-1", Level: must, Text: "a registrar below a CA that only bears the name of its domain's is refused",
				Requirements: rows("BRSKI-8995-5.5.2-01", "BRSKI-8995-5.5-12"), Run: refused(as(func(d *domain) (*tls.Certificate, error) {
					return belowNamesake(d)
				})),
			},
			check{
				ID: "RFC8995-5.5.2-MASA-2", Level: must, Text: "what is pinned of a domain that nobody knows is of its own chain",
				Requirements: rows("BRSKI-8995-5.5.2-01"), Run: opened(func(ctx context.Context, t *Target) (asking, error) {
					d, err := t.strangers(ctx)
					if err != nil {
						return asking{}, err
					}
					return asking{registrar: d.registrar}, nil
				}, pinOfTheChain),
			},
		),
		in("RFC 8995, Section 5.5.3",
			check{
				ID: "RFC8995-5.5.3-MASA-1", Level: must, Text: "a voucher-request that another key signed than its certificate's is refused",
				Requirements: rows("BRSKI-8995-5.5.3-01", "BRSKI-8995-5.5-12"), Run: refused(func(context.Context, *Target) (asking, error) {
					key, err := newKey()
					return asking{signer: &tls.Certificate{PrivateKey: key}}, err
				}),
			},
			check{
				ID: "RFC8995-5.5.3-MASA-2", Level: must, Text: "a voucher-request whose content was changed after it was signed is refused",
				Requirements: rows("BRSKI-8995-5.5.3-01"), Run: refused(body(tamper)),
			},
			check{
				ID: "RFC8995-5.5.3-MASA-3", Level: must, Text: "a registrar whose certificate has ended is refused",
				Requirements: rows("BRSKI-8995-5.5.3-01"), Run: refused(template(func(c *x509.Certificate) {
					c.NotBefore, c.NotAfter = time.Now().Add(-2*time.Hour), time.Now().Add(-time.Hour)
				})),
			},
			check{
				ID: "RFC8995-5.5.3-MASA-4", Level: must, Text: "a registrar that its domain's revocation list names is refused",
				Requirements: rows("BRSKI-8995-5.5.3-02"), Run: runRevoked,
			},
		),
		in("RFC 8995, Section 5.5.4",
			check{
				ID: "RFC8995-5.5.4-MASA-1", Level: must, Text: "a signer without id-kp-cmcRA is refused",
				Requirements: rows("BRSKI-8995-5.5.4-01"), Run: refused(template(func(c *x509.Certificate) { c.UnknownExtKeyUsage = nil })),
			},
			check{
				ID: "RFC8995-5.5.4-MASA-2", Level: must, Text: "a pledge that asks the MASA itself is refused",
				Requirements: rows("BRSKI-8995-5.5.4-01"), Run: refused(func(_ context.Context, t *Target) (asking, error) {
					return asking{registrar: t.Pledge}, nil
				}),
			},
			check{
				ID: "RFC8995-5.5.4-MASA-3", Level: must, Text: "a registrar that nobody knows gets no voucher without a nonce",
				Requirements: rows("BRSKI-8995-5.5.4-02", "BRSKI-8995-7.4.1-01"), Run: refused(func(ctx context.Context, t *Target) (asking, error) {
					d, err := t.strangers(ctx)
					if err != nil {
						return asking{}, err
					}
					return asking{registrar: d.registrar, none: true}, nil
				}),
			},
		),
	)
}

// belowNamesake is a registrar of another CA with the name and key identifier of
// the domain's, with the domain's CA in its chain.
func belowNamesake(d *domain) (*tls.Certificate, error) {
	own := leafOf(d.ca)
	fake, err := issue(&x509.Certificate{
		RawSubject: own.RawSubject, SubjectKeyId: own.SubjectKeyId, IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
		NotBefore: own.NotBefore, NotAfter: own.NotAfter,
	}, nil, nil)
	if err != nil {
		return nil, err
	}
	r, err := (&domain{ca: fake}).newRegistrar(nil, nil)
	if err != nil {
		return nil, err
	}
	r.Certificate = append(r.Certificate[:1], d.ca.Certificate...)
	return r, nil
}

// proximity: that the pledge was connected to who asks (RFC 8995, Section 5.5.5).
func proximity() []check {
	return in("RFC 8995, Section 5.5.5",
		check{
			ID: "RFC8995-5.5.5-MASA-1", Level: must, Text: "the voucher says proximity, or verified, where the pledge names the registrar",
			Requirements: rows("BRSKI-8995-5.5.5-03"), Run: looked(func(x *exchange) error {
				if x.voucher.Assertion != voucher.Proximity && x.voucher.Assertion != voucher.Verified {
					return fmt.Errorf("the voucher says %q", x.voucher.Assertion)
				}
				return nil
			}),
		},
		check{
			ID: "RFC8995-5.5.5-MASA-2", Level: must, Text: "a pledge that was connected to another registrar gets no proximity",
			Requirements: rows("BRSKI-8995-5.5.5-01"), Run: lower(func(_ context.Context, t *Target) (asking, error) {
				d, err := newDomain("elsewhere", nil)
				if err != nil {
					return asking{}, err
				}
				return asking{pledgeSays: func(r *voucher.Request) { r.ProximityRegistrarCert = d.registrar.Certificate[0] }}, nil
			}),
		},
		check{
			ID: "RFC8995-5.5.5-MASA-3", Level: must, Text: "a registrar whose certificate was renewed for the same key is the one the pledge saw",
			Requirements: rows("BRSKI-8995-5.5.5-01"), Run: opened(renewed, func(x *exchange) error {
				if x.voucher.Assertion != voucher.Proximity && x.voucher.Assertion != voucher.Verified {
					return fmt.Errorf("the voucher says %q", x.voucher.Assertion)
				}
				return nil
			}),
		},
		check{
			ID: "RFC8995-5.5.5-MASA-4", Level: must, Text: "a registrar's request for another serial number than the IDevID's is refused",
			Requirements: rows("BRSKI-8995-5.5.5-02"), Run: refused(content(func(r *voucher.Request) { r.SerialNumber += "-other" })),
		},
		check{
			ID: "RFC8995-5.5.5-MASA-5", Level: must, Text: "a pledge's request for another serial number than its IDevID's is refused",
			Requirements: rows("BRSKI-8995-5.5.5-02"), Run: refused(just(asking{pledgeSays: func(r *voucher.Request) { r.SerialNumber += "-other" }})),
		},
		check{
			ID: "RFC8995-5.5.5-MASA-6", Level: must, Text: "a request by a device of a CA that only bears the manufacturer's name is refused",
			Requirements: rows("BRSKI-8995-5.5.5-04"), Run: refused(signedByDevice((*Target).impostor)),
		},
		check{
			ID: "RFC8995-5.5.5-MASA-7", Level: must, Text: "a request by a device that signs its own certificate is refused",
			Requirements: rows("BRSKI-8995-5.5.5-04"), Run: refused(signedByDevice((*Target).selfSigned)),
		},
		check{
			ID: "RFC8995-5.5.5-MASA-8", Level: must, Text: "a pledge's request that was changed after it was signed is refused",
			Requirements: rows("BRSKI-8995-5.5.5-04", "BRSKI-8995-5.5-12"), Run: refused(just(asking{prior: tamper})),
		},
		check{
			ID: "RFC8995-5.5.5-MASA-9", Level: must, Text: "a prior-signed-voucher-request that is no signed object is refused",
			Requirements: rows("BRSKI-8995-5.5-12"), Run: refused(just(asking{prior: func([]byte) []byte { return []byte(`{"ietf-voucher-request:voucher":{}}`) }})),
		},
		check{
			ID: "RFC8995-5.5.5-MASA-10", Level: must, Text: "without the pledge's request there is no proximity",
			Requirements: rows("BRSKI-8995-5.5.5-03", "BRSKI-8366BIS-8.4-06", "BRSKI-8995-7.4.2-01"), Run: lower(just(asking{prior: func([]byte) []byte { return nil }})),
		},
		check{
			ID: "RFC8995-5.5.5-MASA-11", Level: must, Text: "where the pledge names no registrar there is no proximity",
			Requirements: rows("BRSKI-8995-5.5.5-01"), Run: lower(just(asking{pledgeSays: func(r *voucher.Request) { r.ProximityRegistrarCert = nil }})),
		},
	)
}

// lower wants a refusal, or a voucher that does not say proximity.
func lower(make making) run {
	return judged(make, func(x *exchange) error {
		switch {
		case x.answer.Refused():
			return nil
		case x.answer.Status != http.StatusOK:
			return fmt.Errorf("%v, want 200 or 4xx", x.answer)
		case x.voucher == nil:
			return skipf("the voucher does not open (see RFC8366-5.4-MASA-1): %v", x.openErr)
		case x.voucher.Assertion == voucher.Proximity:
			return errors.New("the voucher says proximity")
		}
		return nil
	})
}

// renewed is a request of a registrar with a new certificate for the key that
// the pledge saw.
func renewed(ctx context.Context, t *Target) (asking, error) {
	d, err := t.registrars(ctx)
	if err != nil {
		return asking{}, err
	}
	key, err := newKey()
	if err != nil {
		return asking{}, err
	}
	before, err := d.newRegistrar(nil, key)
	if err != nil {
		return asking{}, err
	}
	after, err := d.newRegistrar(nil, key)
	return asking{registrar: after, pledgeSays: func(r *voucher.Request) { r.ProximityRegistrarCert = before.Certificate[0] }}, err
}

func signedByDevice(device func(*Target) (*tls.Certificate, error)) making {
	return func(_ context.Context, t *Target) (asking, error) {
		d, err := device(t)
		return asking{pledgeSigner: d}, err
	}
}

// tamper changes a character of the content of a CMS object, and nothing that
// keeps it from being read.
func tamper(der []byte) []byte { return replaceOnce(der, `"created-on":"20`, `"created-on":"21`) }

func replaceOnce(b []byte, old, with string) []byte {
	b = slices.Clone(b)
	for i := 0; i+len(old) <= len(b); i++ {
		if string(b[i:i+len(old)]) == old {
			copy(b[i:], with)
			break
		}
	}
	return b
}

// nonces (RFC 8995, Section 5.5.6; rfc8366bis, Section 8.4).
func nonces() []check {
	length := func(id, text string, n int) check {
		return check{
			ID: id, Level: must, Text: text, Requirements: rows("BRSKI-8366BIS-8.4-01"), Run: refused(just(ofLength(n))),
		}
	}
	return slices.Concat(
		in("RFC 8995, Section 5.5.6",
			check{
				ID: "RFC8995-5.5.6-MASA-1", Level: must, Text: "a nonce that is not the one the pledge signed is refused",
				Requirements: rows("BRSKI-8995-5.5.6-01"), Run: refused(content(func(r *voucher.Request) { r.Nonce = voucher.NewNonce() })),
			},
			check{
				ID: "RFC8995-5.5.6-MASA-2", Level: must, Text: "a registrar that leaves out the nonce which the pledge signed is refused",
				Requirements: rows("BRSKI-8995-5.5.6-01"), Run: refused(content(func(r *voucher.Request) { r.Nonce = "" })),
			},
		),
		in("draft-ietf-anima-rfc8366bis, Section 8.4",
			length("RFC8366bis-8.4-MASA-1", "a nonce of 7 bytes is refused", 7),
			length("RFC8366bis-8.4-MASA-2", "a nonce of 33 bytes is refused", 33),
			check{
				ID: "RFC8366bis-8.4-MASA-3", Level: must, Text: "nonces of 8 and of 32 bytes are taken",
				Requirements: rows("BRSKI-8366BIS-8.4-01"), Run: func(ctx context.Context, t *Target) error {
					return taken(ofLength(8), ofLength(32))(ctx, t)
				},
			},
		),
	)
}

// ofLength has a nonce of so many bytes in both requests, whatever libraries say.
func ofLength(n int) asking {
	nonce := func(m map[string]any) {
		fresh, _ := m["nonce"].(string)
		raw, err := base64.StdEncoding.DecodeString(fresh)
		if err == nil {
			m["nonce"] = base64.StdEncoding.EncodeToString(slices.Repeat(raw, 3)[:n])
		}
	}
	return asking{pledgeLeaves: nonce, leaves: nonce}
}

// key is the private key of a certificate.
func key(c *tls.Certificate) crypto.Signer {
	k, _ := c.PrivateKey.(crypto.Signer)
	return k
}
