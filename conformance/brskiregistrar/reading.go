package brskiregistrar

import (
	"bytes"
	"context"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/asn1"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"github.com/briskest/briskest/conformance/forge"
	"net/http"
	"slices"
	"strings"

	"golang.org/x/crypto/cryptobyte"
	cryptobyte_asn1 "golang.org/x/crypto/cryptobyte/asn1"

	"github.com/briskest/briskest/internal/cms"
	"github.com/briskest/briskest/internal/jws"
	"github.com/briskest/briskest/voucher"
	"github.com/briskest/briskest/voucher/voucherjws"
)

// reading: the small print of voucher-requests.
func reading() []check {
	format := voucherjws.Format{}
	inJWS := func(change func(*tls.Certificate, []byte) ([]byte, error)) making {
		return func(t *Target) (asking, error) {
			return asking{format: format, reform: func(b []byte) ([]byte, error) { return change(t.Pledge, b) }}, nil
		}
	}
	typed := func(typ string) making {
		return inJWS(func(c *tls.Certificate, b []byte) ([]byte, error) { return typedJWS(c, b, typ) })
	}
	return slices.Concat(
		in("RFC 8995, Section 5", check{
			ID: "RFC8995-5-REG-2", Level: must, Text: "binary leaves of the registrar's request are base64 with padding, not base64url",
			Requirements: rows("BRSKI-8995-5-05"), Run: first(func(_ *exchange, a *arrival) error { return standardBase64(a.body) }),
		}),
		in("rfc8366bis, Section 7.1", check{
			ID: "RFC8366BIS-7.1-REG-2", Level: must, Text: "a voucher-request without signed attributes is refused",
			Requirements: rows("BRSKI-8366BIS-7.1-03"), Run: refused(func(t *Target) (asking, error) {
				return asking{reform: func(b []byte) ([]byte, error) { return withoutAttributes(b, t.Pledge) }}, nil
			}),
		}),
		in("rfc8366bis, Section 9",
			check{
				ID: "RFC8366BIS-9-REG-1", Level: must, Text: "the right hash of the registrar's key decides, whatever certificate is named beside it",
				Requirements: rows("BRSKI-8366BIS-9-01"), Run: hashed(func(ctx context.Context, t *Target) error {
					return judged(content(func(r *voucher.Request) {
						proximity(r, r.ProximityRegistrarCert, t.Pledge.Certificate[0])
					}), succeeded)(ctx, t)
				}),
			},
			check{
				ID: "RFC8366BIS-9-REG-2", Level: must, Text: "the wrong hash of a key decides, whatever certificate is named beside it",
				Requirements: rows("BRSKI-8366BIS-9-01"), Run: hashed(func(ctx context.Context, t *Target) error {
					return refused(content(func(r *voucher.Request) {
						proximity(r, t.Pledge.Certificate[0], r.ProximityRegistrarCert)
					}))(ctx, t)
				}),
			},
		),
		in("draft-ietf-anima-jws-voucher, Section 3",
			check{
				ID: "JWSVOUCHER-3-REG-4", Level: must, Text: "a voucher in JWS with a second signature beside the MASA's is passed on with both",
				Requirements: rows("BRSKI-JWS-3-03"), Run: offered(format, runCountersigned),
			},
		),
		in("draft-ietf-anima-jws-voucher, Section 3.2",
			check{
				ID: "JWSVOUCHER-3.2-REG-3", Level: must, Text: "a voucher-request without typ is taken",
				Requirements: rows("BRSKI-JWS-3.2-02"), Run: offered(format, judged(typed(""), succeeded)),
			},
			check{
				ID: "JWSVOUCHER-3.2-REG-4", Level: must, Text: "a voucher-request whose typ is of another document is refused",
				Requirements: rows("BRSKI-JWS-3.2-02"), Run: offered(format, refused(typed("JWT"))),
			},
			check{
				ID: "JWSVOUCHER-3.2-REG-5", Level: must, Text: `slashes written as \/ in x5c are slashes`,
				Requirements: rows("BRSKI-JWS-3.2-04"), Run: offered(format, judged(inJWS(escapedJWS), succeeded)),
			},
		),
	)
}

// standardBase64 looks at what a CMS voucher-request says, as it stands there.
func standardBase64(der []byte) error {
	sd, err := cms.ParseSignedData(der)
	if err != nil {
		return skipf("%v (see RFC8995-5.5-REG-1)", err)
	}
	var document map[string]map[string]any
	if err := json.Unmarshal(sd.Content, &document); err != nil {
		return skipf("%v (see RFC8995-5.5-REG-1)", err)
	}
	for _, leaves := range document {
		for _, name := range []string{"idevid-issuer", "prior-signed-voucher-request", "proximity-registrar-cert"} {
			text, ok := leaves[name].(string)
			if _, err := base64.StdEncoding.Strict().DecodeString(text); ok && err != nil {
				return fmt.Errorf("%s is %.20q...: %w", name, text, err)
			}
		}
	}
	return nil
}

// withoutAttributes signs the content of a voucher-request itself, which
// RFC 5652, Section 5.3 allows for id-data alone.
func withoutAttributes(der []byte, signer *tls.Certificate) ([]byte, error) {
	sd, err := cms.ParseSignedData(der)
	if err != nil {
		return nil, err
	}
	s := forge.Signer(signer)
	algorithm, sign, err := cms.SignBytes(s.Key, false)
	if err != nil {
		return nil, err
	}
	signature, err := sign(sd.Content)
	if err != nil {
		return nil, err
	}
	digest, err := asn1.Marshal(struct{ OID asn1.ObjectIdentifier }{sd.Signers[0].DigestAlgorithm.OID})
	if err != nil {
		return nil, err
	}
	explicit := cryptobyte_asn1.Tag(0).Constructed().ContextSpecific()
	var b cryptobyte.Builder
	b.AddASN1(cryptobyte_asn1.SEQUENCE, func(b *cryptobyte.Builder) {
		b.AddASN1ObjectIdentifier(cms.OIDSignedData())
		b.AddASN1(explicit, func(b *cryptobyte.Builder) {
			b.AddASN1(cryptobyte_asn1.SEQUENCE, func(b *cryptobyte.Builder) {
				b.AddASN1Int64(3)
				b.AddASN1(cryptobyte_asn1.SET, func(b *cryptobyte.Builder) { b.AddBytes(digest) })
				b.AddASN1(cryptobyte_asn1.SEQUENCE, func(b *cryptobyte.Builder) {
					b.AddASN1ObjectIdentifier(cms.OIDAnimaJSONVoucher())
					b.AddASN1(explicit, func(b *cryptobyte.Builder) { b.AddASN1OctetString(sd.Content) })
				})
				b.AddASN1(explicit, func(b *cryptobyte.Builder) {
					for _, c := range signer.Certificate {
						b.AddBytes(c)
					}
				})
				b.AddASN1(cryptobyte_asn1.SET, func(b *cryptobyte.Builder) {
					b.AddASN1(cryptobyte_asn1.SEQUENCE, func(b *cryptobyte.Builder) {
						b.AddASN1Int64(1)
						b.AddASN1(cryptobyte_asn1.SEQUENCE, func(b *cryptobyte.Builder) {
							b.AddBytes(s.Certificate.RawIssuer)
							b.AddASN1BigInt(s.Certificate.SerialNumber)
						})
						b.AddBytes(digest)
						b.AddBytes(algorithm)
						b.AddASN1OctetString(signature)
					})
				})
			})
		})
	})
	return b.Bytes()
}

// proximity names the registrar by the hash of the key of one certificate, and by
// another certificate unless it is nil.
func proximity(r *voucher.Request, hashOf, cert []byte) {
	leaf := leafOf(&tls.Certificate{Certificate: [][]byte{hashOf}})
	sum := sha256.Sum256(leaf.RawSubjectPublicKeyInfo)
	r.ProximityRegistrarPubkSHA256, r.ProximityRegistrarCert = sum[:], cert
}

// hashed skips where the registrar does not read the hash of its key, which RFC
// 8995 does not know.
func hashed(r run) run {
	return func(ctx context.Context, t *Target) error {
		if err := t.need(ctx); err != nil {
			return err
		}
		x, err := t.askOnce(ctx, asking{content: func(r *voucher.Request) { proximity(r, r.ProximityRegistrarCert, nil) }})
		if err != nil {
			return err
		}
		if x.answer.Refused() {
			return skipf("%v to proximity-registrar-pubk-sha256 alone: the registrar is one of RFC 8995, which does not know it", x.answer)
		}
		return r(ctx, t)
	}
}

// typedJWS signs anew with another typ; empty for none.
func typedJWS(signer *tls.Certificate, b []byte, typ string) ([]byte, error) {
	m, err := jws.Parse(b, jws.Limits{Bytes: maxArrival, Signatures: 1, Certificates: voucher.MaxCertificates})
	if err != nil {
		return nil, err
	}
	s := forge.Signer(signer)
	return jws.Sign(&jws.SignRequest{Payload: m.Payload, Key: s.Key, Certificates: append([]*x509.Certificate{s.Certificate}, s.Chain...), Type: typ})
}

// escapedJWS signs a header anew in which every slash is escaped, as JSON allows
// (RFC 8259, Section 7).
func escapedJWS(signer *tls.Certificate, b []byte) ([]byte, error) {
	var m map[string]any
	if err := json.Unmarshal(b, &m); err != nil {
		return nil, err
	}
	protected, header := forge.FirstSignature(m)
	text, err := base64.RawURLEncoding.DecodeString(protected)
	if err != nil {
		return nil, err
	}
	payload, _ := m["payload"].(string)
	protected = base64.RawURLEncoding.EncodeToString([]byte(strings.ReplaceAll(string(text), "/", `\/`)))
	signature, err := signES256(forge.Signer(signer).Key, []byte(protected+"."+payload))
	if err != nil {
		return nil, err
	}
	header["protected"], header["signature"] = protected, base64.RawURLEncoding.EncodeToString(signature)
	return json.Marshal(m)
}

// runCountersigned has the server's key of the MASA sign the voucher too.
func runCountersigned(ctx context.Context, t *Target) error {
	var sent []byte
	f := func(b []byte) []byte {
		if twice, err := countersigned(b, t.MASA.Certificate); err == nil {
			b = twice
		}
		sent = b
		return b
	}
	return judged(just(asking{format: voucherjws.Format{}, masa: altered(f)}), func(x *exchange) error {
		if x.answer.Status != http.StatusOK || !bytes.Contains(x.answer.Body, sent) {
			return fmt.Errorf("%v with %d bytes, want the voucher with its two signatures, %d bytes", x.answer, len(x.answer.Body), len(sent))
		}
		return nil
	})(ctx, t)
}

// countersigned adds a signature.
func countersigned(b []byte, by *tls.Certificate) ([]byte, error) {
	second, err := typedJWS(by, b, "voucher-jws+json")
	if err != nil {
		return nil, err
	}
	var m, n map[string]any
	if err := json.Unmarshal(b, &m); err != nil {
		return nil, err
	}
	if err := json.Unmarshal(second, &n); err != nil {
		return nil, err
	}
	first, _ := m["signatures"].([]any)
	more, _ := n["signatures"].([]any)
	m["signatures"] = append(first, more...)
	return json.Marshal(m)
}
