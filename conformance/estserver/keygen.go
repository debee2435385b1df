package estserver

import (
	"bytes"
	"context"
	"crypto"
	"crypto/x509"
	"fmt"
	"io"
	"mime"
	"mime/multipart"
	"net/http"
	"slices"
	"strings"

	"github.com/briskest/briskest/conformance"
	"github.com/briskest/briskest/conformance/wire"
	"github.com/briskest/briskest/est"
)

// keyGeneration: the server makes the key (RFC 7030, Section 4.4). It is
// optional: where it is not offered, its checks are skipped.
func keyGeneration() []check {
	return slices.Concat(
		in("RFC 7030, Section 4.4", check{
			ID: "RFC7030-4.4-1", Level: must, Text: "a key is generated for clients with credentials only",
			Requirements: rows("EST-7030-4.4-02"), Run: runKeyForNobody,
		}, check{
			ID: "RFC7030-4.4-2", Level: must, Text: "each generated key is another",
			Requirements: rows("EST-7030-4.4-05"), Run: runKeysDiffer,
		}),
		in("RFC 7030, Section 4.4.1", keyRequests()...),
		in("RFC 7030, Section 4.4.2", keyAnswers()...),
		in("RFC 8951, Section 5.2", check{
			ID: "RFC8951-5.2-1", Level: may, Text: "the refusal of a generated key is text for people, or names its type",
			Requirements: rows("EST-8951-5.2-01", "EST-7030-4.4.2-12"), Run: runKeyErrorText,
		}),
		in("RFC 8295, Section 8", check{
			ID: "RFC8295-8-1", Level: must, Text: "a client that accepts application/pkcs12 gets the key in a PKCS#12 file, in base64",
			Requirements: rows("EST-8295-8-01"), Run: runPKCS12,
		}, check{
			ID: "RFC8295-8-2", Level: must, Text: "what is no receipt is refused by serverkeygen/return",
			Requirements: rows("EST-8295-8-02"), Run: runNoReceipt,
		}),
	)
}

func keyRequests() []check {
	return []check{
		{
			ID: "RFC7030-4.4.1-1", Level: must, Text: "the signature of the CSR is not looked at",
			Requirements: rows("EST-7030-4.4.1-02"), Run: func(ctx context.Context, t *Target) error {
				_, err := t.generate(ctx, func(f *forgedCSR) { f.badSignature = true }, true)
				return err
			},
		},
		{
			ID: "RFC7030-4.4.1-2", Level: must, Text: "the key of the CSR is not the one that is certified",
			Requirements: rows("EST-7030-4.4.1-02", "EST-7030-4.4.1-03"), Run: runOwnKeyUnused,
		},
		{
			ID: "RFC7030-4.4.1-3", Level: must, Text: "a key to encrypt with, but no algorithms for it, is refused",
			Requirements: rows("EST-7030-4.4.1-06"), Run: keyRefused("a DecryptKeyIdentifier without SMIMECapabilities", decryptKeyID("no-such-key")),
		},
		{
			ID: "RFC7030-4.4.1-4", Level: must, Text: "an unknown shared key to encrypt with is refused, and nothing is sent in the clear",
			Requirements: rows("EST-7030-4.4.1.1-02", "EST-7030-4.4.2-08"), Run: keyRefused("an unknown DecryptKeyIdentifier", decryptKeyID("no-such-key"), capabilities()),
		},
		{
			ID: "RFC7030-4.4.1-5", Level: must, Text: "an unknown certificate to encrypt with is refused, and nothing is sent in the clear",
			Requirements: rows("EST-7030-4.4.1.2-02"), Run: keyRefused("an unknown AsymmetricDecryptKeyIdentifier",
				attribute(oidAsymDecryptKeyID, tlv(tagOctets, []byte("no such certificate"))), capabilities()),
		},
		{
			ID: "RFC7030-4.4.1-6", Level: must, Text: "what is no CSR is refused",
			Requirements: rows("EST-7030-4.4.2-11"), Run: runKeyGarbage,
		},
	}
}

func decryptKeyID(name string) []byte {
	return attribute(oidDecryptKeyID, tlv(tagOctets, []byte(name)))
}

// capabilities lists AES-256 key wrap (RFC 8551, Section 2.5.2).
func capabilities() []byte {
	return attribute(oidSMIMECapabilities, tlv(tagSequence, tlv(tagSequence, oid(oidAES256Wrap))))
}

func keyAnswers() []check {
	judge := func(f func(*generated) error) func(context.Context, *Target) error {
		return func(ctx context.Context, t *Target) error {
			g, err := t.generate(ctx, func(*forgedCSR) {}, true)
			if err != nil {
				return err
			}
			return f(g)
		}
	}
	return []check{
		{
			ID: "RFC7030-4.4.2-1", Level: must, Text: "a generated key comes with 200 in multipart/mixed of two parts",
			Requirements: rows("EST-7030-4.4.2-01"), Run: runMultipart,
		},
		{
			ID: "RFC7030-4.4.2-2", Level: must, Text: "the key part is application/pkcs8, base64 of an unencrypted PrivateKeyInfo, where no encryption was asked for",
			Requirements: rows("EST-7030-4.4.2-02"), Run: judge(func(g *generated) error {
				if g.key == nil {
					return fmt.Errorf("%v, and its key part: %w", g.answer, g.keyErr)
				}
				return nil
			}),
		},
		{
			ID: "RFC7030-4.4.2-3", Level: must, Text: "the certificate part is what simpleenroll would answer: a certs-only message with one certificate",
			Requirements: rows("EST-7030-4.4.2-10"), Run: judge(func(g *generated) error {
				if g.certErr != nil {
					return fmt.Errorf("%v, and its certificate part: %w", g.answer, g.certErr)
				}
				return nil
			}),
		},
		{
			ID: "RFC7030-4.4.2-4", Level: must, Text: "the certificate is for the generated key",
			Requirements: rows("EST-7030-4.4.2-10"), Run: judge(func(g *generated) error {
				if g.key == nil || g.certificate == nil {
					return conformance.Skip("%v: a part cannot be read (see RFC7030-4.4.2-2 and -3)", g.answer)
				}
				if !owns(g.key, g.certificate) {
					return fmt.Errorf("%v with a key and the certificate of another", g.answer)
				}
				return nil
			}),
		},
		{
			ID: "RFC7030-4.4.2-5", Level: must, Text: "the certificate part says smime-type=certs-only",
			Requirements: rows("EST-7030-4.4.2-10", "EST-7030-4.2.3-03"), Run: judge(func(g *generated) error {
				_, parameters, err := mime.ParseMediaType(g.certType)
				if err != nil || !strings.EqualFold(parameters["smime-type"], "certs-only") {
					return fmt.Errorf("%v, and its certificate part is %q", g.answer, g.certType)
				}
				return nil
			}),
		},
	}
}

// generated is an answer of serverkeygen.
type generated struct {
	answer      *wire.Answer
	parts       int
	mediaType   string
	key         crypto.Signer // nil where keyErr says why
	keyErr      error
	certificate *x509.Certificate // nil where certErr says why
	certErr     error
	certType    string
}

// generate asks for a key. With needed, it skips when the answer cannot be taken
// apart, which RFC7030-4.4.2-1 says.
func (t *Target) generate(ctx context.Context, change func(*forgedCSR), needed bool) (*generated, error) {
	a, err := t.keygen(ctx, t.self(), change)
	if err != nil {
		return nil, err
	}
	if err := turnedAway(a); err != nil {
		return nil, err
	}
	if !a.OK() {
		return nil, fmt.Errorf("%v, want a key and its certificate", a)
	}
	g := &generated{answer: a, keyErr: errMissing, certErr: errMissing}
	if err := g.read(); err != nil {
		if needed {
			return nil, conformance.Skip("%v, and its body: %v (see RFC7030-4.4.2-1)", a, err)
		}
		return nil, fmt.Errorf("%v, and its body: %w", a, err)
	}
	return g, nil
}

var errMissing = fmt.Errorf("there is none")

// keygen sends a CSR to serverkeygen, and skips where that is not offered.
func (t *Target) keygen(ctx context.Context, who as, change func(*forgedCSR)) (*wire.Answer, error) {
	if _, err := t.enrolled(ctx); err != nil {
		return nil, err
	}
	key, err := newKey()
	if err != nil {
		return nil, err
	}
	r, err := forged(change)(t, key)
	if err != nil {
		return nil, err
	}
	r.Path = t.path(est.OpServerKeyGen)
	a, err := t.do(ctx, who, r)
	if err != nil {
		return nil, err
	}
	if a.Status == http.StatusNotFound || a.Status == http.StatusNotImplemented {
		return nil, conformance.Skip("%v: keys are not generated here, which a server may choose", a)
	}
	if g := (&generated{answer: a}); a.OK() && g.read() == nil && g.certificate != nil {
		leave(ctx, g.certificate)
	}
	return a, nil
}

// maxParts is how many parts of an answer are looked at.
const maxParts = 8

// read takes the parts apart.
func (g *generated) read() error {
	mediaType, parameters, err := mime.ParseMediaType(g.answer.Header.Get("Content-Type"))
	if err != nil {
		return err
	}
	if g.mediaType = mediaType; mediaType != "multipart/mixed" {
		return fmt.Errorf("it is %s, want multipart/mixed", mediaType)
	}
	parts := multipart.NewReader(bytes.NewReader(g.answer.Body), parameters["boundary"])
	for g.parts < maxParts {
		part, err := parts.NextRawPart()
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
		body, err := io.ReadAll(part)
		if err != nil {
			return err
		}
		g.parts++
		g.part(part.Header.Get("Content-Type"), body)
	}
	return fmt.Errorf("it has more than %d parts", maxParts)
}

// part reads one part by its type.
func (g *generated) part(contentType string, body []byte) {
	mediaType, _, _ := mime.ParseMediaType(contentType) // what does not parse is no type that is looked for
	switch mediaType {
	case "application/pkcs8":
		der, err := decode(body)
		if err != nil {
			g.keyErr = err
			return
		}
		key, err := x509.ParsePKCS8PrivateKey(der)
		if err != nil {
			g.keyErr = err
			return
		}
		if signer, ok := key.(crypto.Signer); ok {
			g.key, g.keyErr = signer, nil
		}
	case typePKCS7:
		g.certType = contentType
		certs, err := decodeCertsOnly(body)
		switch {
		case err != nil:
			g.certErr = err
		case len(certs) != 1:
			g.certErr = fmt.Errorf("it has %d certificates, want one", len(certs))
		default:
			g.certificate, g.certErr = certs[0], nil
		}
	}
}

func runMultipart(ctx context.Context, t *Target) error {
	g, err := t.generate(ctx, func(*forgedCSR) {}, false)
	if err != nil {
		return err
	}
	if g.answer.Status != http.StatusOK || g.parts != 2 {
		return fmt.Errorf("%v with %d parts, want 200 with two", g.answer, g.parts)
	}
	return nil
}

func runKeyForNobody(ctx context.Context, t *Target) error {
	a, err := t.keygen(ctx, nobody(), func(*forgedCSR) {})
	if err != nil {
		return err
	}
	if !a.Refused() {
		return fmt.Errorf("%v to a client that is nobody, want 401", a)
	}
	return nil
}

func runKeysDiffer(ctx context.Context, t *Target) error {
	var before *generated
	for range 2 {
		g, err := t.generate(ctx, func(*forgedCSR) {}, true)
		if err != nil {
			return err
		}
		if g.key == nil {
			return conformance.Skip("%v: the key cannot be read (see RFC7030-4.4.2-2)", g.answer)
		}
		if before != nil && before.key.Public().(interface{ Equal(crypto.PublicKey) bool }).Equal(g.key.Public()) {
			return fmt.Errorf("%v with the key of the answer before", g.answer)
		}
		before = g
	}
	return nil
}

func runOwnKeyUnused(ctx context.Context, t *Target) error {
	var spki []byte
	g, err := t.generate(ctx, func(f *forgedCSR) { spki = f.spki }, true)
	if err != nil {
		return err
	}
	if g.certificate != nil && bytes.Equal(g.certificate.RawSubjectPublicKeyInfo, spki) {
		return fmt.Errorf("%v with a certificate for the CSR's key", g.answer)
	}
	return nil
}

// keyRefused is a check that a CSR with these attributes gets no key.
func keyRefused(what string, attributes ...[]byte) func(context.Context, *Target) error {
	return func(ctx context.Context, t *Target) error {
		a, err := t.keygen(ctx, t.self(), func(f *forgedCSR) { f.attributes = attributes })
		if err != nil {
			return err
		}
		if err := turnedAway(a); err != nil {
			return err
		}
		if !a.Refused() {
			return fmt.Errorf("%v to %s, want a 4xx", a, what)
		}
		return nil
	}
}

// garbageKeygen sends what is no CSR.
func (t *Target) garbageKeygen(ctx context.Context) (*wire.Answer, error) {
	if _, err := t.keygen(ctx, nobody(), func(*forgedCSR) {}); err != nil {
		return nil, err
	}
	a, err := t.post(ctx, est.OpServerKeyGen, t.self(), encode([]byte("this is no CSR")))
	if err != nil {
		return nil, err
	}
	return a, turnedAway(a)
}

func runKeyGarbage(ctx context.Context, t *Target) error {
	a, err := t.garbageKeygen(ctx)
	if err != nil {
		return err
	}
	if !a.Refused() {
		return fmt.Errorf("%v to what is no CSR, want a 4xx", a)
	}
	return nil
}

func runKeyErrorText(ctx context.Context, t *Target) error {
	a, err := t.garbageKeygen(ctx)
	if err != nil {
		return err
	}
	return readable(a)
}

func runPKCS12(ctx context.Context, t *Target) error {
	if _, err := t.keygen(ctx, nobody(), func(*forgedCSR) {}); err != nil {
		return err
	}
	key, err := newKey()
	if err != nil {
		return err
	}
	r, err := forged(func(*forgedCSR) {})(t, key)
	if err != nil {
		return err
	}
	r.Path = t.path(est.OpServerKeyGen)
	a, err := t.do(ctx, t.self(), r.With("Accept", "application/pkcs12"))
	if err != nil {
		return err
	}
	switch {
	case a.Status == http.StatusNotAcceptable, a.MediaType() == "multipart/mixed":
		return conformance.Skip("%v: PKCS#12 is not offered, which a server may choose", a)
	case !a.OK() || a.MediaType() != "application/pkcs12":
		return fmt.Errorf("%v with Content-Type %q, want application/pkcs12", a, a.Header.Get("Content-Type"))
	}
	der, err := decode(a.Body)
	if err != nil {
		return fmt.Errorf("%v, and its body: %w", a, err)
	}
	conformance.Leave(ctx, "a generated key with its certificate for %q, in a PKCS#12 file", t.subject())
	// A PFX begins with version 3 (RFC 7292, Section 4).
	if len(der) < 8 || der[0] != tagSequence || !bytes.Contains(der[:8], []byte{2, 1, 3}) {
		return fmt.Errorf("%v, and its body is no PFX", a)
	}
	return nil
}

func runNoReceipt(ctx context.Context, t *Target) error {
	if _, err := t.keygen(ctx, nobody(), func(*forgedCSR) {}); err != nil {
		return err
	}
	r := t.request(est.OpKeyReturn, encode([]byte("this is no receipt")))
	r.Header = [][2]string{{"Content-Type", "application/cms"}}
	a, err := t.do(ctx, t.self(), r)
	if err != nil {
		return err
	}
	if a.Status == http.StatusNotFound || a.Status == http.StatusNotImplemented {
		return conformance.Skip("%v: receipts are not taken here, which a server may choose", a)
	}
	if !a.Refused() {
		return fmt.Errorf("%v to what is no receipt, want a 4xx", a)
	}
	return nil
}
