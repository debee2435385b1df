package estclient_test

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"errors"
	"io"
	"net/http"
	"strings"
	"sync/atomic"

	"github.com/briskest/briskest/conformance/unkind"
	"github.com/briskest/briskest/est"
	"github.com/briskest/briskest/internal/cms"
)

type fault = func(*client)

// forgiving reports success in spite of errors with that text.
func forgiving(text string) fault {
	return func(c *client) {
		c.forgive = func(err error) bool { return strings.Contains(err.Error(), text) }
	}
}

// takesBrokenCACerts goes on with what it has where they cannot be read.
func takesBrokenCACerts(c *client) {
	c.forgive = func(err error) bool {
		return strings.HasPrefix(err.Error(), "cacerts") && !errors.As(err, new(*est.StatusError)) && !strings.Contains(err.Error(), "x509")
	}
}

// tampers makes a client whose HTTP is not the library's.
func tampers(f fault) fault { return func(c *client) { c.tampered = true; f(c) } }

// chokes takes answers 200 of which that is true for failures.
func chokes(on func(r *http.Response, body []byte) bool) fault {
	return mends(func(r *http.Response, body []byte) {
		if r.StatusCode == http.StatusOK && on(r, body) {
			r.StatusCode = http.StatusInternalServerError
		}
	})
}

// mends changes answers.
func mends(f func(r *http.Response, body []byte)) fault {
	return tampers(func(c *client) {
		c.mend = func(r *http.Response) {
			body, err := io.ReadAll(r.Body)
			_ = r.Body.Close() // read to its end or not
			r.Body = io.NopCloser(io.MultiReader(bytes.NewReader(body), failing{err}))
			f(r, body)
		}
	})
}

// failing is how the body ended.
type failing struct{ err error }

// Read implements [io.Reader].
func (f failing) Read([]byte) (int, error) {
	if f.err == nil {
		return 0, io.EOF
	}
	return 0, f.err
}

// verifying verifies servers in another way.
func verifying(f func(cs *tls.ConnectionState, roots *x509.CertPool) error) fault {
	return func(c *client) { c.verify = f }
}

// lenient verifies with other options, and names.
func lenient(o x509.VerifyOptions) fault {
	return verifying(func(cs *tls.ConnectionState, roots *x509.CertPool) error {
		if err := chain(cs, roots, o); err != nil {
			return err
		}
		return named(cs)
	})
}

// takesStrangers takes servers of unknown authorities, from a run's connection
// with that number on.
func takesStrangers(from int64) fault {
	return func(c *client) {
		c.verify = func(cs *tls.ConnectionState, roots *x509.CertPool) error {
			n, err := c.conns.Add(1), properly(cs, roots)
			if n >= from && errors.As(err, new(x509.UnknownAuthorityError)) {
				return nil
			}
			return err
		}
	}
}

func enrolling(f func(ctx context.Context, c *est.Client, p *unkind.Play) (*est.Enrolled, error)) fault {
	return func(c *client) { c.enroll = f }
}

func fails(context.Context, *est.Client, *unkind.Play) (*est.Enrolled, error) {
	return nil, errors.New("no, thanks")
}

// blindly enrolls without csrattrs.
func blindly(ctx context.Context, c *est.Client, p *unkind.Play) (*est.Enrolled, error) {
	if p.Environment["BRISKEST_OPERATION"] == "reenroll" {
		return get(ctx, c, p)
	}
	key, err := unkind.NewKey()
	if err != nil {
		return nil, err
	}
	csr, err := est.CreateCSR(key, &est.CSRRequest{
		Own: &x509.CertificateRequest{Subject: pkix.Name{CommonName: "blind"}}, Plan: new(est.CSRPlan),
	})
	if err != nil {
		return nil, err
	}
	cert, err := c.SimpleEnroll(ctx, csr)
	if err != nil {
		return nil, err
	}
	return &est.Enrolled{Certificate: cert, Key: key}, nil
}

// renamed renews under another name.
func renamed(ctx context.Context, c *est.Client, p *unkind.Play) (*est.Enrolled, error) {
	if p.Environment["BRISKEST_OPERATION"] != "reenroll" {
		return get(ctx, c, p)
	}
	return c.Enroll(ctx, &est.Enrollment{Names: &x509.CertificateRequest{Subject: pkix.Name{CommonName: "renamed"}}})
}

// spoilsSignature changes the CSR's last byte.
func spoilsSignature(c *client) {
	c.request = func(r *http.Request) {
		if r.Body == nil || r.Method != http.MethodPost {
			return
		}
		body, _ := io.ReadAll(r.Body) // a buffer
		der, _ := base64.StdEncoding.DecodeString(string(bytes.Join(bytes.Fields(body), nil)))
		if len(der) > 0 {
			der[len(der)-1] ^= 1
		}
		body = unkind.Lines(der, 64, "\n")
		r.Body, r.ContentLength = io.NopCloser(bytes.NewReader(body)), int64(len(body))
		r.GetBody = func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(body)), nil }
	}
}

// impatient repeats requests at once whose Retry-After is, or is no, number.
func impatient(number bool) fault {
	return tampers(func(c *client) {
		c.again = func(r *http.Response) bool {
			return r.StatusCode == http.StatusAccepted && (len(r.Header.Get("Retry-After")) < 4) == number
		}
	})
}

// certificates counts those in an answer.
func certificates(body []byte) int {
	der, err := base64.StdEncoding.DecodeString(string(bytes.Join(bytes.Fields(body), nil)))
	if err != nil {
		return 0
	}
	certs, err := cms.ParseCertsOnly(der)
	if err != nil {
		return 0
	}
	return len(certs)
}

// countsPieces chokes on answers that come in many pieces.
func countsPieces(c *client) {
	var n atomic.Int64
	c.sniff = func(p []byte) error {
		if bytes.HasPrefix(p, []byte("HTTP/")) {
			n.Store(0)
		}
		if n.Add(1) > 6 {
			return errors.New("no patience")
		}
		return nil
	}
}

// wantsCapitals chokes on header names in lower case.
func wantsCapitals(c *client) {
	c.sniff = func(p []byte) error {
		if bytes.Contains(p, []byte("\ncontent-type:")) {
			return errors.New("no Content-Type")
		}
		return nil
	}
}

// goesOn asks for more on a connection whose challenge nobody can answer.
func goesOn(c *client) {
	c.again = func(r *http.Response) bool {
		return strings.HasPrefix(r.Header.Get("WWW-Authenticate"), "Unheard-of")
	}
}
