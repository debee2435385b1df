package estserver

import (
	"context"
	"crypto"
	"fmt"
	"net/http"
	"slices"

	"github.com/briskest/briskest/conformance/wire"
	"github.com/briskest/briskest/est"
)

// vary makes an enrollment request that is unusual in one way.
type vary func(t *Target, key crypto.Signer) (wire.Request, error)

// body sends the plain CSR in another encoding.
func body(f func(csr []byte) []byte) vary {
	return func(t *Target, _ crypto.Signer) (wire.Request, error) {
		_, csr, err := t.plainCSR()
		if err != nil {
			return wire.Request{}, err
		}
		return t.request(est.OpSimpleEnroll, f(csr)), nil
	}
}

// headers sends the plain CSR with these header lines.
func headers(lines ...[2]string) vary {
	return func(t *Target, _ crypto.Signer) (wire.Request, error) {
		_, csr, err := t.plainCSR()
		r := t.request(est.OpSimpleEnroll, encode(csr))
		encoded := len(r.Header) > 1 && !slices.ContainsFunc(lines, func(l [2]string) bool { return l[0] == "Content-Transfer-Encoding" })
		r.Header = slices.Clone(lines)
		if encoded { // the server wants it beside
			r = r.With("Content-Transfer-Encoding", "base64")
		}
		return r, err
	}
}

// request changes the request with the plain CSR.
func request(f func(*wire.Request)) vary {
	return func(t *Target, _ crypto.Signer) (wire.Request, error) {
		_, csr, err := t.plainCSR()
		r := t.request(est.OpSimpleEnroll, encode(csr))
		f(&r)
		return r, err
	}
}

// forged sends a CSR that is changed field by field.
func forged(f func(*forgedCSR)) vary {
	return func(t *Target, key crypto.Signer) (wire.Request, error) {
		csr, err := t.forge(key)
		if err != nil {
			return wire.Request{}, err
		}
		f(csr)
		der, err := csr.der(key)
		return t.request(est.OpSimpleEnroll, encode(der)), err
	}
}

// accepts is a check that each of these enrollments succeeds, where the plain
// one does.
func accepts(ways ...vary) func(context.Context, *Target) error {
	return func(ctx context.Context, t *Target) error {
		if _, err := t.enrolled(ctx); err != nil {
			return err
		}
		key, err := t.key()
		if err != nil {
			return err
		}
		for _, way := range ways {
			r, err := way(t, key)
			if err != nil {
				return err
			}
			a, err := t.do(ctx, t.self(), r)
			if err != nil {
				return err
			}
			if err := undecided(a); err != nil {
				return err
			}
			if _, err := issued(ctx, a, key); err != nil {
				return err
			}
		}
		return nil
	}
}

// refuses is a check that each of these enrollments is answered with a 4xx and
// gets no certificate, where the plain one does.
func refuses(what string, ways ...vary) func(context.Context, *Target) error {
	return func(ctx context.Context, t *Target) error {
		if _, err := t.enrolled(ctx); err != nil {
			return err
		}
		key, err := t.key()
		if err != nil {
			return err
		}
		for _, way := range ways {
			r, err := way(t, key)
			if err != nil {
				return err
			}
			a, err := t.do(ctx, t.self(), r)
			if err != nil {
				return err
			}
			if err := refused(ctx, a, what); err != nil {
				return err
			}
		}
		return nil
	}
}

// refused wants a 4xx and no certificate. Credentials are known to be good.
func refused(ctx context.Context, a *wire.Answer, what string) error {
	if err := undecided(a); err != nil {
		return err
	}
	if certs, err := decodeCertsOnly(a.Body); a.OK() && err == nil && len(certs) > 0 {
		leave(ctx, certs[0])
		return fmt.Errorf("%v with a certificate to %s", a, what)
	}
	if !a.Refused() {
		return fmt.Errorf("%v to %s, want a 4xx", a, what)
	}
	return nil
}

// undecided skips where the server puts off the decision.
func undecided(a *wire.Answer) error {
	switch a.Status {
	case http.StatusAccepted, http.StatusTooManyRequests, http.StatusServiceUnavailable:
		return turnedAway(a)
	default:
		return nil
	}
}
