package estserver

import (
	"bytes"
	"context"
	"crypto"
	"encoding/pem"
	"fmt"
	"net/http"
	"regexp"
	"slices"
	"strings"

	"github.com/briskest/briskest/conformance"
	"github.com/briskest/briskest/conformance/wire"
	"github.com/briskest/briskest/est"
)

// bodies: base64 and Content-Transfer-Encoding (RFC 8951, Section 3).
func bodies() []check {
	return slices.Concat(in("RFC 8951, Section 3", transferEncodings()...), in("RFC 8951, Section 3.1", spellings()...))
}

// cte sends the plain CSR with that Content-Transfer-Encoding.
func cte(value string) vary {
	return headers([2]string{"Content-Type", typePKCS10}, [2]string{"Content-Transfer-Encoding", value})
}

func transferEncodings() []check {
	return []check{
		{
			ID: "RFC8951-3-1", Level: must, Text: "base64 is taken without a Content-Transfer-Encoding header",
			Requirements: rows("EST-8951-3-01"), Run: runNoEncoding,
		},
		{
			ID: "RFC8951-3-2", Level: must, Text: "base64 is taken with Content-Transfer-Encoding: base64",
			Requirements: rows("EST-8951-3-01"), Run: accepts(cte("base64")),
		},
		{
			ID: "RFC8951-3-3", Level: must, Text: "base64 is taken when Content-Transfer-Encoding says binary",
			Requirements: rows("EST-8951-3-01", "EST-8951-3-02"), Run: accepts(cte("binary")),
		},
		{
			ID: "RFC8951-3-4", Level: must, Text: "base64 is taken when Content-Transfer-Encoding says 8bit or quoted-printable",
			Requirements: rows("EST-8951-3-02"), Run: accepts(cte("8bit"), cte("quoted-printable")),
		},
		{
			ID: "RFC8951-3-5", Level: must, Text: "DER as it is, announced as binary, is refused: the header says nothing any more",
			Requirements: rows("EST-8951-3-02"), Run: refuses("a CSR in DER with Content-Transfer-Encoding: binary", rawDER("binary")),
		},
		{
			ID: "RFC8951-3-6", Level: must, Text: "DER as it is, without a Content-Transfer-Encoding, is refused",
			Requirements: rows("EST-8951-3-01"), Run: refuses("a CSR in DER", rawDER("")),
		},
		{
			ID: "RFC8951-3-7", Level: must, Text: "the CA certificates come in base64, without armour and whatever else",
			Requirements: rows("EST-8951-3-03"), Run: isBase64((*Target).cacerts),
		},
		{
			ID: "RFC8951-3-8", Level: must, Text: "the issued certificate comes in base64",
			Requirements: rows("EST-8951-3-03"), Run: isBase64((*Target).enrollAnswer),
		},
		{
			ID: "RFC8951-3-9", Level: must, Text: "the CSR attributes come in base64",
			Requirements: rows("EST-8951-3-03", "EST-7030-4.5.2-10"), Run: isBase64((*Target).csrAttrsAnswer),
		},
		{
			ID: "RFC8951-3-10", Level: may, Text: "a Content-Transfer-Encoding in the answer, for old clients, says base64",
			Requirements: rows("EST-8951-3-05"), Run: runAnswerEncoding,
		},
	}
}

// runNoEncoding tells a server that wants the header from one that enrolls
// nobody.
func runNoEncoding(ctx context.Context, t *Target) error {
	if err := t.needCredentials(); err != nil {
		return err
	}
	key, err := t.key()
	if err != nil {
		return err
	}
	_, csr, err := t.plainCSR()
	if err != nil {
		return err
	}
	var answers [2]*wire.Answer
	plain := wire.Request{Method: http.MethodPost, Path: t.path(est.OpSimpleEnroll), Header: [][2]string{{"Content-Type", typePKCS10}}, Body: encode(csr)}
	for i, r := range []wire.Request{plain, plain.With("Content-Transfer-Encoding", "base64")} {
		a, err := t.do(ctx, t.self(), r)
		if err != nil {
			return err
		}
		if _, err := issued(ctx, a, key); err == nil && i == 0 {
			return nil
		}
		answers[i] = a
	}
	if answers[1].OK() {
		return fmt.Errorf("%v without Content-Transfer-Encoding, and %d with it", answers[0], answers[1].Status)
	}
	return conformance.Skip("%v: no certificate either way (see RFC7030-4.2.3-1)", answers[0])
}

// rawDER sends the CSR without base64.
func rawDER(encoding string) vary {
	way := body(func(csr []byte) []byte { return csr })
	if encoding == "" {
		return way
	}
	return and(way, func(r *wire.Request) { *r = r.With("Content-Transfer-Encoding", encoding) })
}

// plain is white space and the alphabet (RFC 4648, Section 4).
var plain = regexp.MustCompile(`^[A-Za-z0-9+/\s]+={0,2}\s*$`)

// isBase64 is a check that the body of an answer is base64 of something.
func isBase64(ask func(*Target, context.Context) (*wire.Answer, error)) func(context.Context, *Target) error {
	return func(ctx context.Context, t *Target) error {
		a, err := ask(t, ctx)
		if err != nil {
			return err
		}
		if !plain.Match(a.Body) {
			return fmt.Errorf("%v, and its body is not base64: %.40q", a, a.Body)
		}
		if _, err := decode(a.Body); err != nil {
			return fmt.Errorf("%v, and its body: %w", a, err)
		}
		return nil
	}
}

func runAnswerEncoding(ctx context.Context, t *Target) error {
	a, err := t.cacerts(ctx)
	if err != nil {
		return err
	}
	got := a.Header.Get("Content-Transfer-Encoding")
	if got == "" {
		return nil // RFC 8951, Section 3: it need not be there
	}
	if !strings.EqualFold(got, "base64") {
		return fmt.Errorf("%v with Content-Transfer-Encoding %q around base64", a, got)
	}
	return nil
}

func spellings() []check {
	return []check{
		{
			ID: "RFC8951-3.1-1", Level: should, Text: "base64 with a line feed every 64 characters is taken",
			Requirements: rows("EST-8951-3.1-01"), Run: accepts(wrapped(64, "\n")),
		},
		{
			ID: "RFC8951-3.1-2", Level: should, Text: "base64 with CR LF every 76 characters is taken",
			Requirements: rows("EST-8951-3.1-01"), Run: accepts(wrapped(76, "\r\n")),
		},
		{
			ID: "RFC8951-3.1-3", Level: should, Text: "base64 with spaces and tabs in it is taken",
			Requirements: rows("EST-8951-3.1-01"), Run: accepts(wrapped(50, " \t")),
		},
		{
			ID: "RFC8951-3.1-4", Level: should, Text: "base64 without a final line feed is taken",
			Requirements: rows("EST-8951-3.1-01", "EST-8951-3.1-03"), Run: accepts(body(func(csr []byte) []byte { return bytes.TrimSpace(encode(csr)) })),
		},
		{
			ID: "RFC8951-3.1-5", Level: should, Text: "base64 with white space before and after it is taken",
			Requirements: rows("EST-8951-3.1-01"), Run: accepts(body(func(csr []byte) []byte { return []byte("\r\n  " + string(encode(csr)) + "\t\r\n\r\n") })),
		},
		{
			ID: "RFC8951-3.1-6", Level: must, Text: "PEM armour is refused",
			Requirements: rows("EST-8951-3.1-04"), Run: refuses("a CSR in PEM", body(func(csr []byte) []byte {
				return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE REQUEST", Bytes: csr})
			})),
		},
		{
			ID: "RFC8951-3.1-7", Level: must, Text: "the alphabet of base64url is refused",
			Requirements: rows("EST-8951-3.1-04"), Run: refuses("a CSR in base64url", forgedBody(urlAlphabet)),
		},
		{
			ID: "RFC8951-3.1-8", Level: must, Text: "NUL bytes in base64 are refused",
			Requirements: rows("EST-8951-3.1-04"), Run: refuses("base64 with a NUL byte", body(inserted("\x00"))),
		},
		{
			ID: "RFC8951-3.1-9", Level: must, Text: "characters that are neither of the alphabet nor white space are refused",
			Requirements: rows("EST-8951-3.1-04"), Run: refuses("base64 with an asterisk in it", body(inserted("*"))),
		},
		{
			ID: "RFC8951-3.1-10", Level: must, Text: "something after the padding is refused",
			Requirements: rows("EST-8951-3.1-04"), Run: refuses("base64 with more of it after its padding", forgedBody(func(text string) string {
				return strings.TrimSpace(text) + "==QUFB\n"
			})),
		},
	}
}

// wrapped sends base64 in pieces with something between them.
func wrapped(n int, between string) vary {
	return body(func(csr []byte) []byte {
		text := strings.TrimSpace(string(encode(csr)))
		var b strings.Builder
		for len(text) > n {
			b.WriteString(text[:n] + between)
			text = text[n:]
		}
		return []byte(b.String() + text + between)
	})
}

// inserted puts something into the middle of the base64.
func inserted(what string) func([]byte) []byte {
	return func(csr []byte) []byte {
		text := string(encode(csr))
		return []byte(text[:40] + what + text[40:])
	}
}

// and changes what another way made.
func and(way vary, f func(*wire.Request)) vary {
	return func(t *Target, key crypto.Signer) (wire.Request, error) {
		r, err := way(t, key)
		if err == nil {
			f(&r)
		}
		return r, err
	}
}

// forgedBody changes the text of base64.
func forgedBody(f func(string) string) vary {
	return body(func(csr []byte) []byte { return []byte(f(string(encode(csr)))) })
}

// urlAlphabet spells + and / as base64url does (RFC 4648, Section 5), and one
// character in any case.
func urlAlphabet(text string) string {
	if !strings.ContainsAny(text, "+/") {
		return text[:40] + "-" + text[41:]
	}
	return strings.NewReplacer("+", "-", "/", "_").Replace(text)
}

// enrollAnswer enrolls, and skips when there is no answer whose body could be judged.
func (t *Target) enrollAnswer(ctx context.Context) (*wire.Answer, error) {
	if err := t.needCredentials(); err != nil {
		return nil, err
	}
	_, _ = t.enrolled(ctx) // what the server wants beside; whether it works is judged here
	key, csr, err := t.plainCSR()
	if err != nil {
		return nil, err
	}
	a, err := t.post(ctx, est.OpSimpleEnroll, t.self(), encode(csr))
	if err != nil {
		return nil, err
	}
	if !a.OK() {
		return nil, conformance.Skip("%v: no body to judge (see RFC7030-4.2.3-1)", a)
	}
	if _, err := issued(ctx, a, key); err != nil {
		return a, nil // what is wrong with it is for the check to say
	}
	return a, nil
}

// csrAttrsAnswer asks for CSR attributes, and skips when there are none.
func (t *Target) csrAttrsAnswer(ctx context.Context) (*wire.Answer, error) {
	a, err := t.get(ctx, est.OpCSRAttrs, t.self())
	if err != nil {
		return nil, err
	}
	if a.Status != 200 {
		return nil, conformance.Skip("%v: the server has no CSR attributes to judge; configure some", a)
	}
	if len(a.Body) == 0 {
		return nil, conformance.Skip("%v without a body (see RFC7030-4.5.2-3)", a)
	}
	return a, nil
}
