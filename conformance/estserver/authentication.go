package estserver

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"net/http"
	"regexp"
	"slices"

	"github.com/briskest/briskest/conformance"
	"github.com/briskest/briskest/conformance/wire"
	"github.com/briskest/briskest/est"
)

// authentication: who is asked, and how (RFC 7030, Sections 3.2.3 and 3.3.2).
func authentication() []check {
	return slices.Concat(
		in("RFC 7030, Section 3.2.3",
			check{
				ID: "RFC7030-3.2.3-1", Level: must,
				Text:         "an enrollment without credentials is answered 401 with a challenge where passwords are taken, and is refused anywhere",
				Requirements: rows("EST-7030-3.2.3-06", "EST-7030-4.2-03"), Run: runChallenge,
			},
			check{
				ID: "RFC7030-3.2.3-2", Level: must, Text: "a client needs no cookie",
				Requirements: rows("EST-7030-3.2.3-04"), Run: runNoCookie,
			},
			check{
				ID: "RFC7030-3.2.3-3", Level: may, Text: "a password enrolls without a client certificate",
				Requirements: rows("EST-7030-3.2.3-01", "EST-7030-3.3.2-03"), Run: runPasswordAlone,
			},
			check{
				ID: "RFC7030-3.2.3-4", Level: may, Text: "credentials with an empty user are judged, not called malformed",
				Requirements: rows("EST-7030-3.2.3-08"), Run: runEmptyUser,
			},
		),
		in("RFC 9110, Section 11.6.1", challenges()...),
		in("RFC 7030, Section 4.2",
			check{
				ID: "RFC7030-4.2-1", Level: must, Text: "re-enrolling needs credentials",
				Requirements: rows("EST-7030-4.2-03"), Run: nobodyRefused(est.OpSimpleReenroll),
			},
			check{
				ID: "RFC7030-4.2-2", Level: must, Text: "enrolling needs credentials",
				Requirements: rows("EST-7030-4.2-03", "EST-7030-3.3.2-09"), Run: nobodyRefused(est.OpSimpleEnroll),
			},
		),
		in("RFC 7030, Section 3.3.2", clientCertificates()...),
	)
}

func runChallenge(ctx context.Context, t *Target) error {
	_, csr, err := t.plainCSR()
	if err != nil {
		return err
	}
	a, err := t.post(ctx, est.OpSimpleEnroll, nobody(), encode(csr))
	switch {
	case err != nil:
		return err
	case a.Status == http.StatusUnauthorized && a.Header.Get("WWW-Authenticate") == "":
		return conformance.Skip("%v without WWW-Authenticate (see RFC9110-11.6.1-1)", a)
	case a.Status == http.StatusUnauthorized:
		return nil
	case !a.Refused():
		return conformance.Skip("%v to a client that is nobody (see RFC7030-4.2-2)", a)
	case a.Status == http.StatusNotFound:
		return conformance.Skip("%v (see RFC7030-3.2.2-10)", a)
	case t.Password == "":
		return conformance.Skip("%v: a server that takes no passwords may; give a user and password if this one does", a)
	default:
		return fmt.Errorf("%v, want 401: clients send their password when they are asked to", a)
	}
}

func runNoCookie(ctx context.Context, t *Target) error {
	a, err := t.enrollAnswer(ctx)
	if err != nil {
		return err
	}
	if c := a.Header.Get("Set-Cookie"); c != "" {
		return fmt.Errorf("%v and sets a cookie", a)
	}
	return nil
}

func runPasswordAlone(ctx context.Context, t *Target) error {
	if t.Password == "" {
		return conformance.Skip("no user and password were given")
	}
	_, csr, err := t.plainCSR()
	if err != nil {
		return err
	}
	a, err := t.post(ctx, est.OpSimpleEnroll, as{password: true}, encode(csr))
	if err != nil {
		return err
	}
	if a.Status == http.StatusUnauthorized || a.Status == http.StatusForbidden {
		return fmt.Errorf("%v to a user with the right password", a)
	}
	return undecided(a)
}

func runEmptyUser(ctx context.Context, t *Target) error {
	_, csr, err := t.plainCSR()
	if err != nil {
		return err
	}
	a, err := t.do(ctx, nobody(), t.request(est.OpSimpleEnroll, encode(csr)).With("Authorization", wire.Basic("", "no-such-secret")))
	if err != nil {
		return err
	}
	if a.Status == http.StatusBadRequest || a.Status >= 500 {
		return fmt.Errorf("%v to credentials with an empty user, want 401 or 403", a)
	}
	return nil
}

func challenges() []check {
	wrong := func(header string) func(context.Context, *Target) error {
		return func(ctx context.Context, t *Target) error { return t.wrongCredentials(ctx, header) }
	}
	return []check{
		{
			ID: "RFC9110-11.6.1-1", Level: must, Text: "401 names at least one challenge",
			Requirements: rows("EST-9110-11.6.1-01", "EST-7030-3.2.3-06"), Run: runChallengeNamed,
		},
		{
			ID: "RFC9110-11.6.1-2", Level: must, Text: "a challenge is a scheme with its parameters, a realm for Basic and Digest",
			Requirements: rows("EST-9110-11.6.1-01"), Run: runChallengeForm,
		},
		{
			ID: "RFC9110-11.6.1-3", Level: must, Text: "a wrong password is refused",
			Requirements: rows("EST-7030-4.2-03"), Run: wrong(wire.Basic("", "")),
		},
		{
			ID: "RFC9110-11.6.1-4", Level: must, Text: "an unknown user is refused",
			Requirements: rows("EST-7030-4.2-03"), Run: wrong(wire.Basic("briskest-nobody", "no-such-secret")),
		},
		{
			ID: "RFC9110-11.6.1-5", Level: must, Text: "credentials that cannot be read are refused, and are no fault of the server's",
			Requirements: rows("EST-7030-4.2-03"), Run: wrong("Basic !!!"),
		},
		{
			ID: "RFC9110-11.6.1-6", Level: must, Text: "an unknown scheme is refused, and is no fault of the server's",
			Requirements: rows("EST-7030-4.2-03"), Run: wrong("Briskest x=y"),
		},
	}
}

// challenged asks as nobody, and skips where no 401 comes.
func (t *Target) challenged(ctx context.Context) (*wire.Answer, error) {
	_, csr, err := t.plainCSR()
	if err != nil {
		return nil, err
	}
	a, err := t.post(ctx, est.OpSimpleEnroll, nobody(), encode(csr))
	if err != nil {
		return nil, err
	}
	if a.Status != http.StatusUnauthorized {
		return nil, conformance.Skip("%v: no 401 to judge", a)
	}
	return a, nil
}

func runChallengeNamed(ctx context.Context, t *Target) error {
	a, err := t.challenged(ctx)
	if err != nil {
		return err
	}
	if a.Header.Get("WWW-Authenticate") == "" {
		return fmt.Errorf("%v without a WWW-Authenticate header, so that clients cannot know how to authenticate", a)
	}
	return nil
}

var challengeForm = regexp.MustCompile(`^[A-Za-z][A-Za-z0-9-]*( .*)?$`)

func runChallengeForm(ctx context.Context, t *Target) error {
	a, err := t.challenged(ctx)
	if err != nil {
		return err
	}
	lines := a.Header.Values("WWW-Authenticate")
	if len(lines) == 0 {
		return conformance.Skip("%v without WWW-Authenticate (see RFC9110-11.6.1-1)", a)
	}
	withRealm := regexp.MustCompile(`(?i)realm="`)
	for _, line := range lines {
		switch {
		case !challengeForm.MatchString(line):
			return fmt.Errorf("%v, and the challenge %q does not begin with a scheme", a, line)
		case regexp.MustCompile(`(?i)^(basic|digest)\b`).MatchString(line) && !withRealm.MatchString(line):
			return fmt.Errorf("%v, and the challenge %q has no realm", a, line)
		}
	}
	return nil
}

// wrongCredentials wants 401 or 403. The user's wrong password is made of the
// right user.
func (t *Target) wrongCredentials(ctx context.Context, header string) error {
	if header == wire.Basic("", "") {
		if t.Password == "" {
			return conformance.Skip("no user and password were given")
		}
		header = wire.Basic(t.User, "wrong-"+string(t.Password))
	}
	_, csr, err := t.plainCSR()
	if err != nil {
		return err
	}
	a, err := t.do(ctx, nobody(), t.request(est.OpSimpleEnroll, encode(csr)).With("Authorization", header))
	if err != nil {
		return err
	}
	return refused(ctx, a, "wrong credentials")
}

// nobodyRefused is a check that the operation is refused without credentials.
func nobodyRefused(op est.Operation) func(context.Context, *Target) error {
	return func(ctx context.Context, t *Target) error {
		_, csr, err := t.plainCSR()
		if err != nil {
			return err
		}
		a, err := t.post(ctx, op, nobody(), encode(csr))
		if err != nil {
			return err
		}
		return refused(ctx, a, "a client that is nobody")
	}
}

func clientCertificates() []check {
	return []check{
		{
			ID: "RFC7030-3.3.2-1", Level: should, Text: "the server asks for a client certificate in the handshake",
			Requirements: rows("EST-7030-3.3.2-01"), Run: runCertificateRequest,
		},
		{
			ID: "RFC7030-3.3.2-2", Level: must, Text: "a client certificate alone authenticates",
			Requirements: rows("EST-7030-3.3.2-02", "EST-7030-3.2.3-04"), Run: runCertificateAlone,
		},
		{
			ID: "RFC7030-3.3.2-3", Level: must, Text: "a self-signed client certificate does not authenticate",
			Requirements: rows("EST-7030-3.3.2-07"), Run: impostor((*Target).selfSigned),
		},
		{
			ID: "RFC7030-3.3.2-4", Level: must, Text: "a client certificate of a CA that only has the right name does not authenticate",
			Requirements: rows("EST-7030-3.3.2-07"), Run: impostor((*Target).falseCA),
		},
		{
			ID: "RFC7030-3.3.2-5", Level: must, Text: "a client certificate that an end entity issued does not authenticate",
			Requirements: rows("EST-7030-3.3.2-07", "EST-5280-6.1-01"), Run: impostor((*Target).issuedByEndEntity),
		},
		{
			ID: "RFC7030-3.3.2-6", Level: must, Text: "a client certificate of a foreign CA that says id-kp-cmcRA has no rights",
			Requirements: rows("EST-7030-3.3.2-08", "EST-5272-8-01"), Run: impostor((*Target).foreignRA),
		},
	}
}

func runCertificateRequest(ctx context.Context, t *Target) error {
	asked := false
	c, err := t.Dial(ctx, &wire.Options{Asked: func(*tls.CertificateRequestInfo) { asked = true }})
	if err != nil {
		return err
	}
	// In TLS 1.3 the server's messages are read with the first answer at the latest.
	_, err = c.Do(ctx, &wire.Request{Method: http.MethodGet, Path: t.path(est.OpCACerts)})
	c.Close()
	if !asked {
		return fmt.Errorf("the server sends no CertificateRequest (%v)", err)
	}
	return nil
}

func runCertificateAlone(ctx context.Context, t *Target) error {
	id, err := t.enrolled(ctx)
	if err != nil {
		return err
	}
	a, err := t.reenroll(ctx, id, id.key, id.renewal())
	if err != nil {
		return err
	}
	if a.Status == http.StatusUnauthorized {
		return fmt.Errorf("%v to the holder of a certificate that this server issued", a)
	}
	return nil
}

// impostor is a check that a certificate made by us does not authenticate at
// simpleenroll, nor at simplereenroll.
func impostor(forge func(*Target, context.Context) (*tls.Certificate, error)) func(context.Context, *Target) error {
	return func(ctx context.Context, t *Target) error {
		certificate, err := forge(t, ctx)
		if err != nil {
			return err
		}
		_, csr, err := t.plainCSR()
		if err != nil {
			return err
		}
		for _, op := range []est.Operation{est.OpSimpleEnroll, est.OpSimpleReenroll} {
			a, err := t.post(ctx, op, as{certificate: certificate}, encode(csr))
			if err != nil {
				if ctx.Err() != nil {
					return err
				}
				continue // it was refused in the handshake
			}
			if err := refused(ctx, a, "the holder of a certificate that nobody should trust"); err != nil {
				return err
			}
		}
		return nil
	}
}

// leafTemplate is a client certificate for the target's name.
func (t *Target) leafTemplate() *x509.Certificate {
	return &x509.Certificate{
		Subject: t.subject(), KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
	}
}
