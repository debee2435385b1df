package estclient

import (
	"bytes"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"time"

	"github.com/briskest/briskest/conformance"
	"github.com/briskest/briskest/conformance/unkind"
	"github.com/briskest/briskest/est"
)

func enrollment() []check {
	return slices.Concat(
		in("RFC 7030, Section 3.1",
			scene("RFC7030-3.1-C-1", must, "A client gets a certificate from a server that does all right",
				rows("EST-7030-3.1-01", "EST-7030-3.1-06"), script{}, takes),
		),
		in("RFC 7030, Section 4.2",
			scene("RFC7030-4.2-C-1", should, "The CA certificates are fetched before a certificate is asked for",
				rows("EST-7030-4.2-01", "EST-7030-4.1.2-01"), script{}, before(est.OpCACerts)),
		),
		in("RFC 7030, Section 4.5",
			scene("RFC7030-4.5-C-1", should, "The CSR attributes are asked for before a CSR is made",
				rows("EST-7030-4.5-01"), script{}, before(est.OpCSRAttrs)),
		),
		in("RFC 7030, Section 4.2.1",
			scene("RFC7030-4.2.1-C-1", must, "What asks for a certificate is a PKCS#10 request in base64, labelled as such",
				rows("EST-7030-4.2.1-01", "EST-8951-3-04"), script{}, sendsPKCS10),
			scene("RFC7030-4.2.1-C-2", must, "The CSR is signed with the key that it asks a certificate for",
				rows("EST-7030-4.2.1-02"), script{}, signsCSR),
		),
		in("RFC 7030, Section 4.2.2",
			scene("RFC7030-4.2.2-C-1", must, "A renewal asks for the subject and the alternative names of the certificate that it replaces",
				rows("EST-7030-4.2.2-01"), script{do: reenroll}, keepsNames),
		),
		in("RFC 7030, Section 3.3.2",
			scene("RFC7030-3.3.2-C-1", must, "A renewal presents the certificate that it replaces in the TLS handshake",
				rows("EST-7030-3.3.2-04"), script{do: reenroll}, presentsHeld),
		),
		issuance(), csrAttrs(),
	)
}

func issuance() []check {
	return in("RFC 7030, Section 4.2.3",
		scene("RFC7030-4.2.3-C-1", must, "A request that was answered 202 is not repeated before Retry-After has passed",
			rows("EST-7030-4.2.3-10"), script{answer: firstly(func() *unkind.Answer { return unkind.Later(1) })}, waits(time.Second)),
		scene("RFC7030-4.2.3-C-2", must, "A Retry-After that is a date is understood",
			rows("EST-7030-4.2.3-10"), script{answer: firstly(laterByDate)}, waits(time.Second)),
		scene("RFC7030-4.2.3-C-3", should, "A client finds its own certificate among others, by the key",
			rows("EST-7030-4.2.3-04", "EST-5272-4.1-03"), script{answer: onEnrollment(amongOthers)}, findsItsOwn),
		refusal("RFC7030-4.2.3-C-4", should, "A certificate for another key is not taken",
			rows("EST-7030-4.2.3-04"), script{answer: onEnrollment(forAnotherKey)}, refuses),
	)
}

func csrAttrs() []check {
	attrs := func(a *unkind.Answer) func(*asked) *unkind.Answer {
		return on(est.OpCSRAttrs, func(*asked) *unkind.Answer { return a })
	}
	return in("RFC 7030, Section 4.5.2",
		scene("RFC7030-4.5.2-C-1", must, "A server without CSR attributes, which answers 404, has no wishes",
			rows("EST-7030-4.5.2-03", "EST-7030-3.1-04"), script{answer: attrs(unkind.Text(http.StatusNotFound, "Not here."))}, needs(est.OpCSRAttrs, takes)),
		scene("RFC7030-4.5.2-C-2", must, "CSR attributes that are an empty SEQUENCE are no wishes",
			rows("EST-7030-4.5.2-03"), script{answer: attrs(unkind.Encoded(csrAttrsType, []byte{0x30, 0x00}))}, needs(est.OpCSRAttrs, takes)),
		scene("RFC7030-4.5.2-C-3", must, "CSR attributes and object identifiers that nobody knows are skipped",
			rows("EST-7030-4.5.2-06"), script{answer: attrs(unkind.Encoded(csrAttrsType, unknownAttrs()))}, needs(est.OpCSRAttrs, takes)),
	)
}

const csrAttrsType = "application/csrattrs"

// unknownAttrs are the object identifiers 2.999.1 and an attribute 2.999.2 with
// a value that no standard defines.
func unknownAttrs() []byte {
	return []byte{
		0x30, 0x11,
		0x06, 0x03, 0x88, 0x37, 0x01,
		0x30, 0x0a, 0x06, 0x03, 0x88, 0x37, 0x02, 0x31, 0x03, 0x04, 0x01, 0xff,
	}
}

// firstly answers the first request for a certificate so.
func firstly(f func() *unkind.Answer) func(*asked) *unkind.Answer {
	return onEnrollment(func(a *asked) *unkind.Answer {
		n := 0
		for _, q := range a.server.Requests() {
			if isEnrollment(q) {
				n++
			}
		}
		if n > 1 {
			return nil
		}
		return f()
	})
}

// laterByDate says "in one to two seconds": dates know no fractions (RFC 9110, Section 5.6.7).
func laterByDate() *unkind.Answer {
	return unkind.Later(0).With("Retry-After", time.Now().Add(2*time.Second).UTC().Format(http.TimeFormat))
}

// waits wants that long between the requests for a certificate.
func waits(least time.Duration) func(*run) error {
	const slack = 50 * time.Millisecond // between the clocks' ticks
	return func(r *run) error {
		posts := r.enrollments()
		switch {
		case len(posts) == 0:
			return conformance.Skip("no CSR came (see RFC7030-3.1-C-1)%s", r.said())
		case len(posts) == 1 && r.outcome.Known && r.outcome.Took:
			return errors.New("the client took an answer 202 without a body for success")
		case len(posts) == 1:
			return nil // it may leave the repetition to somebody else
		}
		if waited := posts[1].At.Sub(posts[0].At); waited < least-slack {
			return fmt.Errorf("the client repeated its request after %v, want %v at least", waited.Round(time.Millisecond), least)
		}
		return nil
	}
}

func before(op est.Operation) func(*run) error {
	return func(r *run) error {
		posts := r.enrollments()
		if len(posts) == 0 {
			return conformance.Skip("no CSR came (see RFC7030-3.1-C-1)%s", r.said())
		}
		for _, q := range r.asked(op) {
			if !q.At.After(posts[0].At) {
				return nil
			}
		}
		return fmt.Errorf("%s was not asked for before the certificate: the client asked for %s", op, r.path())
	}
}

func sendsPKCS10(r *run) error {
	posts := r.enrollments()
	if len(posts) == 0 {
		return conformance.Skip("no CSR came (see RFC7030-3.1-C-1)%s", r.said())
	}
	if t := posts[0].Header.Get("Content-Type"); mediaType(t) != "application/pkcs10" {
		return fmt.Errorf("Content-Type is %q, want application/pkcs10", t)
	}
	if _, err := r.csr(); err != nil {
		return fmt.Errorf("the body is no PKCS#10 request in base64: %v", err)
	}
	return nil
}

func signsCSR(r *run) error {
	csr, err := r.csr()
	if err != nil {
		return err
	}
	if err := csr.CheckSignature(); err != nil {
		return fmt.Errorf("the CSR's signature: %w", err)
	}
	return nil
}

func keepsNames(r *run) error {
	csr, err := r.csr()
	if err != nil {
		return err
	}
	if !bytes.Equal(csr.RawSubject, r.world.held.RawSubject) {
		return fmt.Errorf("the CSR asks for the subject %q, the certificate has %q", csr.Subject, r.world.held.Subject)
	}
	if !slices.Equal(csr.DNSNames, r.world.held.DNSNames) {
		return fmt.Errorf("the CSR asks for the names %q, the certificate has %q", csr.DNSNames, r.world.held.DNSNames)
	}
	return nil
}

func presentsHeld(r *run) error {
	posts := r.enrollments()
	if len(posts) == 0 {
		return conformance.Skip("no CSR came (see RFC7030-3.1-C-1)%s", r.said())
	}
	if !bytes.Equal(posts[0].Certificate(), r.world.held.Raw) {
		return errors.New("the request came without the certificate in BRISKEST_CERT, or with another one")
	}
	return nil
}

// amongOthers puts other certificates before the one that was asked for.
func amongOthers(a *asked) *unkind.Answer {
	cert, err := a.world.issue(a.Request, a.world.issuing)
	if err != nil {
		return nil
	}
	return unkind.Certificates(a.world.root.Certificate.Raw, a.world.issuing.Certificate.Raw, a.world.held.Raw, cert.Raw)
}

func findsItsOwn(r *run) error {
	if err := takes(r); err != nil {
		return err
	}
	csr, err := r.csr()
	if err != nil {
		return err
	}
	if got := r.outcome.Certificate; got != nil && !bytes.Equal(got.RawSubjectPublicKeyInfo, csr.RawSubjectPublicKeyInfo) {
		return fmt.Errorf("the client took %q for its own, which has another key", got.Subject)
	}
	return nil
}

// forAnotherKey answers with a certificate for the client's name and no key of its.
func forAnotherKey(a *asked) *unkind.Answer {
	template := unkind.ServerTemplate("renewed.example")
	template.Subject.CommonName = "conformance"
	c, err := a.world.issuing.Present(template)
	if err != nil {
		return nil
	}
	return unkind.Certificates(c.Certificate[0])
}
