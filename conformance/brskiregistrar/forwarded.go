package brskiregistrar

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"encoding/hex"
	"errors"
	"fmt"
	"mime"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/briskest/briskest/internal/cms"
	"github.com/briskest/briskest/voucher"
	"github.com/briskest/briskest/voucher/vouchercms"
)

// forwarded: the registrar's own voucher-request (RFC 8995, Section 5.5).
func forwarded() []check {
	return slices.Concat(
		in("RFC 8995, Section 5.5", requestLeaves()...),
		in("RFC 8995, Section 5.5", requestEnvelope()...),
		in("rfc8366bis, Section 6.1",
			check{
				ID: "RFC8366BIS-6.1-REG-1", Level: must, Text: "idevid-issuer is in the registrar's request",
				Requirements: rows("BRSKI-8366BIS-6.1-01", "BRSKI-8995-5.5-09"), Run: read(just(asking{}), func(_ *exchange, a *arrival) error {
					if len(a.request.IDevIDIssuer) == 0 {
						return errors.New("there is none")
					}
					return nil
				}),
			},
			check{
				ID: "RFC8366BIS-6.1-REG-2", Level: must, Text: "an idevid-issuer that the pledge makes up does not reach the MASA",
				Requirements: rows("BRSKI-8366BIS-6.1-03"), Run: judged(content(func(r *voucher.Request) { r.IDevIDIssuer = []byte("\x04\x04fake") }), func(x *exchange) error {
					for _, a := range x.requested() {
						if a.request != nil && bytes.Contains(a.request.IDevIDIssuer, []byte("fake")) {
							return errors.New("the registrar's request has the pledge's idevid-issuer")
						}
					}
					return nil
				}),
			},
			check{
				ID: "RFC8366BIS-6.1-REG-3", Level: must, Text: "for an IDevID without an authority key identifier idevid-issuer is made of the SHA-1 of its key",
				Requirements: rows("BRSKI-8366BIS-6.1-02"), Run: read(with(withoutIssuerKey), issuerIsRight),
			},
		),
		in("rfc8366bis, Section 6.3", check{
			ID: "RFC8366BIS-6.3-REG-1", Level: must, Text: "idevid-issuer is the whole value of the authority key identifier, as an OCTET STRING",
			Requirements: rows("BRSKI-8366BIS-6.3-01", "BRSKI-8995-5.5-09"), Run: read(just(asking{}), issuerIsRight),
		}),
		in("rfc8366bis, Section 7.1", check{
			ID: "RFC8366BIS-7.1-REG-1", Level: must, Text: "the registrar's request is SignedData of version 3 with id-ct-animaJSONVoucher, one signer and signed attributes",
			Requirements: rows("BRSKI-8366BIS-7.1-06"), Run: read(just(asking{}), func(_ *exchange, a *arrival) error {
				sd, err := cms.ParseSignedData(a.body)
				switch {
				case err != nil:
					return skipf("%v (see RFC8995-5.5-REG-1)", err)
				case sd.Version != 3:
					return fmt.Errorf("version %d", sd.Version)
				case !sd.ContentType.Equal(cms.OIDAnimaJSONVoucher()):
					return fmt.Errorf("content type %v", sd.ContentType)
				case len(sd.Signers) != 1 || !sd.Signers[0].HasSignedAttributes:
					return fmt.Errorf("%d signers, or no signed attributes", len(sd.Signers))
				}
				return nil
			}),
		}),
	)
}

func withoutIssuerKey(t *Target) (*tls.Certificate, error) {
	if t.Manufacturer == nil {
		return t.made(nil)
	}
	// An issuer without a key identifier of its own is how a certificate gets none.
	ca := *leafOf(t.Manufacturer)
	ca.SubjectKeyId = nil
	return issue(t.fresh(), &ca, t.Manufacturer.PrivateKey)
}

func issuerIsRight(x *exchange, a *arrival) error {
	want, err := voucher.IDevIDIssuer(leafOf(x.pledge))
	switch {
	case err != nil:
		return skipf("%v", err)
	case len(a.request.IDevIDIssuer) == 0:
		return skipf("there is no idevid-issuer (see RFC8366BIS-6.1-REG-1)")
	case !bytes.Equal(a.request.IDevIDIssuer, want):
		return fmt.Errorf("idevid-issuer is %x, want %x", a.request.IDevIDIssuer, want)
	}
	return nil
}

func requestLeaves() []check {
	return []check{
		{
			ID: "RFC8995-5.5-REG-1", Level: must, Text: "the registrar's request opens: it is signed, and the signature holds",
			Requirements: rows("BRSKI-8995-5.5-01"), Run: first(func(_ *exchange, a *arrival) error { return a.err }),
		},
		{
			ID: "RFC8995-5.5-REG-2", Level: must, Text: "the nonce is the pledge's, byte for byte, when it is padded base64",
			Requirements: rows("BRSKI-8995-5.5-06"), Run: read(just(asking{}), sameNonce),
		},
		{
			ID: "RFC8995-5.5-REG-3", Level: must, Text: "the nonce is the pledge's, byte for byte, when it is base64url without padding (minerva's pledges)",
			Requirements: rows("BRSKI-8995-5.5-06"), Run: read(content(func(r *voucher.Request) {
				r.Nonce = "-_" + strings.NewReplacer("+", "-", "/", "_", "=", "").Replace(r.Nonce)[:20]
			}), sameNonce),
		},
		{
			ID: "RFC8995-5.5-REG-4", Level: must, Text: "the nonce is the pledge's, byte for byte, when it is hexadecimal text",
			Requirements: rows("BRSKI-8995-5.5-06"), Run: read(content(func(r *voucher.Request) { r.Nonce = hex.EncodeToString([]byte(r.Nonce)[:13]) }), sameNonce),
		},
		{
			ID: "RFC8995-5.5-REG-5", Level: must, Text: "a serial-number that is not the IDevID's is refused",
			Requirements: rows("BRSKI-8995-5.5-07", "BRSKI-8995-5.5-08"), Run: refused(content(func(r *voucher.Request) { r.SerialNumber += "-other" })),
		},
		{
			ID: "RFC8995-5.5-REG-6", Level: should, Text: "prior-signed-voucher-request is what the pledge sent, byte for byte",
			Requirements: rows("BRSKI-8995-5.5-10"), Run: read(just(asking{}), func(x *exchange, a *arrival) error {
				if !bytes.Equal(a.request.PriorSignedVoucherRequest, x.sent) {
					return fmt.Errorf("it has %d bytes, and the pledge sent %d", len(a.request.PriorSignedVoucherRequest), len(x.sent))
				}
				return nil
			}),
		},
		{
			ID: "RFC8995-5.5-REG-7", Level: must, Text: "proximity-registrar-cert is not in the registrar's request",
			Requirements: rows("BRSKI-8995-5.5-11"), Run: read(just(asking{}), func(_ *exchange, a *arrival) error {
				if len(a.request.ProximityRegistrarCert) > 0 {
					return errors.New("it is")
				}
				return nil
			}),
		},
		{
			ID: "RFC8995-5.5-REG-8", Level: should, Text: "created-on is the present time",
			Requirements: rows("BRSKI-8995-5.5-05"), Run: read(just(asking{}), func(_ *exchange, a *arrival) error {
				if off := time.Since(a.request.CreatedOn).Abs(); off > 2*time.Minute {
					return fmt.Errorf("created-on is %v, which is %v off", a.request.CreatedOn, off.Round(time.Second))
				}
				return nil
			}),
		},
		{
			ID: "RFC8995-5.5-REG-9", Level: must, Text: "the pledge's own created-on is not the registrar's",
			Requirements: rows("BRSKI-8995-5.5-05"), Run: read(content(func(r *voucher.Request) { r.CreatedOn = r.CreatedOn.Add(-5 * time.Hour) }), func(x *exchange, a *arrival) error {
				if a.request.CreatedOn.Equal(x.request.CreatedOn) {
					return errors.New("the registrar's request repeats the date of the pledge's clock")
				}
				return nil
			}),
		},
	}
}

func sameNonce(x *exchange, a *arrival) error {
	if a.request.Nonce != x.request.Nonce {
		return fmt.Errorf("the nonce is %q, and the pledge's %q", a.request.Nonce, x.request.Nonce)
	}
	return nil
}

func requestEnvelope() []check {
	return []check{
		{
			ID: "RFC8995-5.5-REG-10", Level: must, Text: "the certificate that signs the registrar's request has id-kp-cmcRA",
			Requirements: rows("BRSKI-8995-5.5.4-01"), Run: read(just(asking{}), func(_ *exchange, a *arrival) error {
				for _, usage := range a.artifact.Signer.UnknownExtKeyUsage {
					if usage.Equal(oidCMCRA) {
						return nil
					}
				}
				return fmt.Errorf("that of %q has not: a MASA refuses it", a.artifact.Signer.Subject)
			}),
		},
		{
			ID: "RFC8995-5.5-REG-11", Level: should, Text: "the certificates in the registrar's request are its chain and nothing else",
			Requirements: rows("BRSKI-8995-5.5-03"), Run: read(just(asking{}), func(_ *exchange, a *arrival) error {
				chain := map[string]bool{string(a.artifact.Signer.Raw): true}
				for at, end := a.artifact.Signer, top(a.artifact); !bytes.Equal(at.Raw, end.Raw); {
					next := slices.IndexFunc(a.artifact.Certificates, func(c *x509.Certificate) bool {
						return !chain[string(c.Raw)] && bytes.Equal(c.RawSubject, at.RawIssuer) && at.CheckSignatureFrom(c) == nil
					})
					if next < 0 {
						break
					}
					at = a.artifact.Certificates[next]
					chain[string(at.Raw)] = true
				}
				for _, c := range a.artifact.Certificates {
					if !chain[string(c.Raw)] {
						return fmt.Errorf("%q is no part of the signer's chain", c.Subject)
					}
				}
				return nil
			}),
		},
		{
			ID: "RFC8995-5.5-REG-12", Level: should, Text: "the MASA is told which vouchers are taken, and that is no more than the pledge takes",
			Requirements: rows("BRSKI-8995-5.5-04"), Run: seen(just(asking{}), func(x *exchange, a *arrival) error {
				accept := a.header.Get("Accept")
				if accept == "" {
					return errors.New("there is no Accept: highway answers that with 500")
				}
				for part := range strings.SplitSeq(accept, ",") {
					if mediaType, _, err := mime.ParseMediaType(part); err != nil || mediaType != x.formatOf().MediaType() {
						return fmt.Errorf("Accept: %s, and the pledge takes %s", accept, x.formatOf().MediaType())
					}
				}
				return nil
			}),
		},
		{
			ID: "RFC8995-5.5-REG-13", Level: must, Text: "the registrar's request is a POST of application/voucher-cms+json",
			Requirements: rows("BRSKI-8995-5.5-01"), Run: first(func(_ *exchange, a *arrival) error {
				mediaType, _, err := mime.ParseMediaType(a.header.Get("Content-Type"))
				if err != nil || mediaType != vouchercms.MediaType || a.method != http.MethodPost {
					return fmt.Errorf("it is a %s of %q", a.method, a.header.Get("Content-Type"))
				}
				return nil
			}),
		},
		{
			ID: "RFC8995-5.5-REG-14", Level: must, Text: "the pledge's TLS connection ends at a certificate that the registrar's request lets the MASA pin",
			Requirements: rows("BRSKI-8995-5.6.2-03"), Run: first(func(x *exchange, a *arrival) error {
				if a.artifact == nil {
					return skipf("the registrar's voucher-request does not open (see RFC8995-5.5-REG-1): %v", a.err)
				}
				return x.pinned(top(a.artifact))
			}),
		},
		{
			ID: "RFC8995-5.5-REG-15", Level: must, Text: "the MASA is asked once for one voucher-request",
			Requirements: rows("BRSKI-8995-5.6-05"), Run: seen(just(asking{}), func(x *exchange, _ *arrival) error {
				if n := len(x.requested()); n != 1 {
					return fmt.Errorf("it was asked %d times", n)
				}
				return nil
			}),
		},
	}
}

// pinned checks the retained chain against a pin, as a pledge does
// (RFC 8995, Section 5.6.2).
func (x *exchange) pinned(pin *x509.Certificate) error {
	leaf := x.state.PeerCertificates[0]
	if bytes.Equal(leaf.Raw, pin.Raw) {
		return nil
	}
	roots, intermediates := x509.NewCertPool(), x509.NewCertPool()
	roots.AddCert(pin)
	for _, c := range x.state.PeerCertificates[1:] {
		intermediates.AddCert(c)
	}
	_, err := leaf.Verify(x509.VerifyOptions{Roots: roots, Intermediates: intermediates, KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageAny}})
	if err != nil {
		return fmt.Errorf("%q does not vouch for the server's certificate: %w", pin.Subject, err)
	}
	return nil
}
