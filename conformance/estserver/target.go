package estserver

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"fmt"
	"net/http"
	"net/url"
	"sync"

	"github.com/briskest/briskest/conformance"
	"github.com/briskest/briskest/conformance/wire"
	"github.com/briskest/briskest/est"
)

// Target is the server under test and what a client of it is given. It is used
// for one run: what checks have in common is fetched once.
type Target struct {
	wire.Site
	Label       string           // the additional path segment (RFC 7030, Section 3.2.2); empty for none
	User        string           // HTTP Basic user
	Password    est.Secret       // HTTP Basic password; no password means no HTTP authentication
	Certificate *tls.Certificate // a client certificate, to enroll with or, where it has id-kp-cmcRA, an RA's; nil for none
	Pending     string           // a label where requests wait for approval; empty for none
	Key         crypto.Signer    // what enrollments are for; nil means a P-256 key made for the run
	Subject     pkix.Name        // what an enrollment asks for; empty means CN=conformance

	mu       sync.Mutex
	held     *identity     // guarded by mu: an enrolled client, for checks that need one
	waits    crypto.Signer // guarded by mu: the key of the request that waits
	encoding bool          // guarded by mu: the server wants Content-Transfer-Encoding, which RFC8951-3-1 says
}

// identity is a client that has a certificate.
type identity struct {
	key         crypto.Signer
	certificate *x509.Certificate
	chain       [][]byte // the intermediate CAs above it, as far as they are known
}

// tls returns id as crypto/tls wants it.
func (id *identity) tls() *tls.Certificate {
	return &tls.Certificate{Certificate: append([][]byte{id.certificate.Raw}, id.chain...), PrivateKey: id.key, Leaf: id.certificate}
}

// complete adds the intermediate CAs: a server need not know those of its own
// CA by heart (RFC 8446, Section 4.4.2).
func (id *identity) complete(certs []*x509.Certificate) {
	const maxChain = 8
	for c := id.certificate; len(id.chain) < maxChain; {
		if c = issuerOf(c, certs); c == nil || isRoot(c) {
			return
		}
		id.chain = append(id.chain, c.Raw)
	}
}

// owns reports whether cert has the key.
func owns(key crypto.Signer, cert *x509.Certificate) bool {
	public, ok := key.Public().(interface{ Equal(crypto.PublicKey) bool })
	return ok && public.Equal(cert.PublicKey)
}

// as says as whom a request is sent.
type as struct {
	password    bool             // the target's user and password
	certificate *tls.Certificate // nil for none
}

// nobody has neither.
func nobody() as { return as{} }

// self is the client that enrolls: by its password where it has one, by its
// certificate otherwise.
func (t *Target) self() as {
	if t.Password != "" {
		return as{password: true}
	}
	return as{certificate: t.Certificate}
}

// with is a client with a certificate alone.
func with(id *identity) as { return as{certificate: id.tls()} }

// path returns the path of an operation (RFC 7030, Section 3.2.2).
func (t *Target) path(op est.Operation) string {
	p := est.PathPrefix + "/"
	if t.Label != "" {
		p += url.PathEscape(t.Label) + "/"
	}
	return p + string(op)
}

// do sends r with the client's credentials over a new connection.
func (t *Target) do(ctx context.Context, who as, r wire.Request) (*wire.Answer, error) {
	r = t.authorized(who, r)
	a, err := t.Site.Do(ctx, &wire.Options{Certificate: who.certificate}, &r)
	if err == nil && r.Method == http.MethodPost && a.OK() {
		leaveIssued(ctx, a)
	}
	return a, err
}

// leaveIssued names what an answer issues, whether or not it should have.
func leaveIssued(ctx context.Context, a *wire.Answer) {
	certs, err := decodeCertsOnly(a.Body)
	if err != nil {
		return // of another operation
	}
	for _, cert := range certs {
		if !cert.IsCA {
			leave(ctx, cert)
		}
	}
}

// authorized adds the password to r where the client has it.
func (t *Target) authorized(who as, r wire.Request) wire.Request {
	if who.password {
		return r.With("Authorization", wire.Basic(t.User, string(t.Password)))
	}
	return r
}

// get asks for an operation without a request body.
func (t *Target) get(ctx context.Context, op est.Operation, who as) (*wire.Answer, error) {
	return t.do(ctx, who, wire.Request{Method: http.MethodGet, Path: t.path(op)})
}

// post sends an operation's request body.
func (t *Target) post(ctx context.Context, op est.Operation, who as, body []byte) (*wire.Answer, error) {
	return t.do(ctx, who, t.request(op, body))
}

// request is a POST with the media type of PKCS#10 (RFC 7030, Section 4.2.1).
func (t *Target) request(op est.Operation, body []byte) wire.Request {
	r := wire.Request{Method: http.MethodPost, Path: t.path(op), Header: [][2]string{{"Content-Type", typePKCS10}}, Body: body}
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.encoding {
		return r.With("Content-Transfer-Encoding", "base64")
	}
	return r
}

// needCredentials skips a check that has to be authenticated to say anything.
func (t *Target) needCredentials() error {
	if t.Password == "" && t.Certificate == nil {
		return conformance.Skip("the target has no credentials to enroll with; give a user and password, or a client certificate")
	}
	return nil
}

// subject is what enrollments ask for.
func (t *Target) subject() pkix.Name {
	if len(t.Subject.ToRDNSequence()) == 0 {
		return pkix.Name{CommonName: "conformance"}
	}
	return t.Subject
}

// key returns the key that enrollments are for. They share one, because a
// server may refuse to certify a second one for the same name.
func (t *Target) key() (crypto.Signer, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.Key == nil {
		key, err := newKey()
		if err != nil {
			return nil, err
		}
		t.Key = key
	}
	return t.Key, nil
}

// waitingKey is the key of the request that waits.
func (t *Target) waitingKey() (key crypto.Signer, err error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.waits == nil {
		t.waits, err = newKey()
	}
	return t.waits, err
}

func newKey() (crypto.Signer, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("key: %w", err)
	}
	return key, nil
}

// enrolled returns a client that has a certificate, or skips: why it has none
// is for RFC7030-4.2.3-1 to say.
func (t *Target) enrolled(ctx context.Context) (*identity, error) {
	t.mu.Lock()
	held := t.held
	t.mu.Unlock()
	if held != nil {
		return held, nil
	}
	if err := t.needCredentials(); err != nil {
		return nil, err
	}
	key, err := t.key()
	if err != nil {
		return nil, err
	}
	csr, err := newCSR(key, &x509.CertificateRequest{Subject: t.subject()})
	if err != nil {
		return nil, err
	}
	id, err := t.enrollPlainly(ctx, key, csr)
	if err != nil {
		return nil, err
	}
	if _, certs, err := t.caCertificates(ctx); err == nil {
		id.complete(certs)
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.held = id
	return id, nil
}

// enrollPlainly enrolls. A server that wants Content-Transfer-Encoding is given
// it from now on, so that more can be said about it.
func (t *Target) enrollPlainly(ctx context.Context, key crypto.Signer, csr []byte) (*identity, error) {
	a, err := t.post(ctx, est.OpSimpleEnroll, t.self(), encode(csr))
	if err != nil {
		return nil, err
	}
	id, err := issued(ctx, a, key)
	if err == nil {
		return id, nil
	}
	again, otherErr := t.do(ctx, t.self(), t.request(est.OpSimpleEnroll, encode(csr)).With("Content-Transfer-Encoding", "base64"))
	if otherErr != nil {
		return nil, otherErr
	}
	if id, otherErr = issued(ctx, again, key); otherErr != nil {
		return nil, conformance.Skip("%v: no certificate to go on with (see RFC7030-4.2.3-1): %v", a, err)
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.encoding = true
	return id, nil
}

// issued reads the certificate for key out of an answer, and names it as left
// behind.
func issued(ctx context.Context, a *wire.Answer, key crypto.Signer) (*identity, error) {
	if !a.OK() {
		return nil, fmt.Errorf("%v, want a certificate", a)
	}
	certs, err := decodeCertsOnly(a.Body)
	if err != nil {
		return nil, fmt.Errorf("%v, and its body: %w", a, err)
	}
	for _, cert := range certs {
		if owns(key, cert) {
			leave(ctx, cert)
			return &identity{key: key, certificate: cert}, nil
		}
	}
	return nil, fmt.Errorf("%v, and no certificate in it has the CSR's key", a)
}

func leave(ctx context.Context, cert *x509.Certificate) {
	conformance.Leave(ctx, "certificate %x for %q", cert.SerialNumber, cert.Subject)
}

// turnedAway skips a check when the server did not get as far as looking at
// the request, because it refused the credentials or puts off the decision.
func turnedAway(a *wire.Answer) error {
	switch a.Status {
	case http.StatusUnauthorized, http.StatusForbidden:
		return conformance.Skip("%v: the credentials are refused, so the request itself was not judged", a)
	case http.StatusAccepted:
		return conformance.Skip("%v: the server has not decided; approve such requests at once for a test", a)
	case http.StatusTooManyRequests, http.StatusServiceUnavailable:
		return conformance.Skip("%v: the server is busy; raise its limits for a test", a)
	default:
		return nil
	}
}
