package estserver

import (
	"context"
	"fmt"
	"net/http"
	"net/url"

	"github.com/briskest/briskest/conformance"
	"github.com/briskest/briskest/conformance/wire"
	"github.com/briskest/briskest/est"
)

// enrollment: simpleenroll's answers (RFC 7030, Section 4.2).
func enrollment() []check {
	return in("RFC 7030, Section 4.2.3",
		check{
			ID: "RFC7030-4.2.3-1", Level: must,
			Text:         "an enrollment is answered 200 with a certs-only message that holds the certificate for the CSR's key and no other",
			Requirements: rows("EST-7030-4.2.3-01", "EST-7030-4.2.3-02", "EST-7030-3.2.2-03"), Run: runEnrollAnswer,
		},
		check{
			ID: "RFC7030-4.2.3-2", Level: must, Text: "what is no CSR is answered with a status that says so, and nothing is issued",
			Requirements: rows("EST-7030-4.2.3-05", "EST-7030-3.2.1-01"), Run: runGarbageCSR,
		},
	)
}

func runEnrollAnswer(ctx context.Context, t *Target) error {
	if err := t.needCredentials(); err != nil {
		return err
	}
	key, csr, err := t.plainCSR()
	if err != nil {
		return err
	}
	a, err := t.post(ctx, est.OpSimpleEnroll, t.self(), encode(csr))
	if err != nil {
		return err
	}
	if err := turnedAway(a); err != nil {
		return err
	}
	if a.Status != http.StatusOK {
		return fmt.Errorf("%v, want 200", a)
	}
	if got := a.MediaType(); got != typePKCS7 {
		return fmt.Errorf("%v with Content-Type %q, want %s", a, a.Header.Get("Content-Type"), typePKCS7)
	}
	if _, err := issued(ctx, a, key); err != nil {
		return err
	}
	if certs, err := decodeCertsOnly(a.Body); err != nil || len(certs) != 1 {
		return fmt.Errorf("%v with %d certificates, want the issued one alone", a, len(certs))
	}
	return nil
}

// Each body has the right media type and comes from a client the server knows.
func runGarbageCSR(ctx context.Context, t *Target) error {
	if err := t.needCredentials(); err != nil {
		return err
	}
	_, csr, err := t.plainCSR()
	if err != nil {
		return err
	}
	for _, garbage := range []struct {
		what string
		body []byte
	}{
		{"text that is no base64", []byte("this is no CSR at all!\n")},
		{"base64 of what is no ASN.1", encode([]byte("this is no CSR at all"))},
		{"the first half of a CSR", encode(csr[:len(csr)/2])},
	} {
		a, err := t.post(ctx, est.OpSimpleEnroll, t.self(), garbage.body)
		if err != nil {
			return err
		}
		if err := judgeRefusal(ctx, a, garbage.what); err != nil {
			return err
		}
	}
	return nil
}

// judgeRefusal wants a 4xx and no certificate.
func judgeRefusal(ctx context.Context, a *wire.Answer, what string) error {
	if err := turnedAway(a); err != nil {
		return err
	}
	if certs, err := decodeCertsOnly(a.Body); err == nil && len(certs) > 0 {
		leave(ctx, certs[0])
		return fmt.Errorf("%v with a certificate to %s", a, what)
	}
	if !a.Refused() {
		return fmt.Errorf("%v to %s, want 400 or another 4xx", a, what)
	}
	return nil
}

// waiting enrolls and returns a 202, or skips when the server decides at once.
func (t *Target) waiting(ctx context.Context) (*wire.Answer, error) {
	key, csr, err := t.plainCSR()
	if err != nil {
		return nil, err
	}
	r := t.request(est.OpSimpleEnroll, encode(csr))
	if t.Pending != "" {
		r.Path = est.PathPrefix + "/" + url.PathEscape(t.Pending) + "/" + string(est.OpSimpleEnroll)
	}
	a, err := t.do(ctx, t.self(), r)
	if err != nil {
		return nil, err
	}
	if a.Status != http.StatusAccepted {
		if _, err := issued(ctx, a, key); err != nil {
			return nil, conformance.Skip("%v: no request waits (see RFC7030-4.2.3-1)", a)
		}
		return nil, conformance.Skip("%v: the server decides at once; --pending-label names a label where requests wait for approval", a)
	}
	conformance.Leave(ctx, "a request of %q that waits for approval", t.subject())
	return a, nil
}
