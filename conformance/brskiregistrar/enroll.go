package brskiregistrar

import (
	"bytes"
	"context"
	"crypto"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"fmt"
	"net/http"
	"slices"
	"strings"

	"github.com/briskest/briskest/conformance"
	"github.com/briskest/briskest/conformance/wire"
	"github.com/briskest/briskest/internal/cms"
	"github.com/briskest/briskest/voucher"
)

const (
	pathCACerts  = "/.well-known/est/cacerts"
	pathEnroll   = "/.well-known/est/simpleenroll"
	pathReenroll = "/.well-known/est/simplereenroll"
	pathCSRAttrs = "/.well-known/est/csrattrs"
)

// enrollment: EST after the voucher (RFC 8995, Section 5.9).
func enrollment() []check {
	return slices.Concat(
		in("RFC 8995, Section 5.9",
			check{
				ID: "RFC8995-5.9-REG-1", Level: must, Text: "a device that the registrar has no voucher for is not enrolled",
				Requirements: rows("BRSKI-8995-7.3-01"), Run: runNoVoucher,
			},
			check{
				ID: "RFC8995-5.9-REG-2", Level: must, Text: "a device that signs its own certificate is not enrolled",
				Requirements: rows("BRSKI-8995-7.3-03", "BRSKI-8995-5-04"), Run: runStrangerEnrolls,
			},
			check{
				ID: "RFC8995-5.9-REG-3", Level: must, Text: "a device with a voucher is enrolled",
				Requirements: rows("BRSKI-8995-1.5-01"), Run: runEnrolls,
			},
			check{
				ID: "RFC8995-5.9-REG-4", Level: must, Text: "a CSR whose signature does not hold is refused",
				Requirements: rows("BRSKI-8995-5.9.2-02"), Run: runBadCSR,
			},
		),
		in("RFC 8995, Section 5.9.1", check{
			ID: "RFC8995-5.9.1-REG-1", Level: must, Text: "cacerts holds the certificate that the voucher pins, or what vouches for it",
			Requirements: rows("BRSKI-8995-1.5-01"), Run: runCACerts,
		}),
		in("RFC 8995, Section 5.9.2", check{
			ID: "RFC8995-5.9.2-REG-1", Level: must, Text: "csrattrs is answered 200 with base64, or 204",
			Requirements: rows("BRSKI-8995-1.5-01"), Run: runCSRAttrs,
		}),
		in("RFC 8995, Section 5.9.3", check{
			ID: "RFC8995-5.9.3-REG-1", Level: must, Text: "the enrolled certificate chains to cacerts and has the CSR's key",
			Requirements: rows("BRSKI-8995-1.5-01"), Run: runIssued,
		}),
		in("RFC 8995, Section 5.9.5",
			check{
				ID: "RFC8995-5.9.5-REG-1", Level: must, Text: "enrollstatus is taken under the new certificate",
				Requirements: rows("BRSKI-8995-5.9.4-04"), Run: runStatusAsMember,
			},
			check{
				ID: "RFC8995-5.9.5-REG-2", Level: should, Text: "the new certificate renews itself",
				Requirements: rows("BRSKI-8995-9.1.2-02"), Run: runRenews,
			},
		),
	)
}

// enroll asks for a certificate for a new key as that device.
func (t *Target) enroll(ctx context.Context, as *tls.Certificate) (*wire.Answer, crypto.Signer, error) {
	key, err := newKey()
	if err != nil {
		return nil, nil, err
	}
	a, err := t.certify(ctx, as, pathEnroll, key, nil)
	return a, key, err
}

// certify sends a CSR that names the device as its certificate does.
func (t *Target) certify(ctx context.Context, as *tls.Certificate, path string, key crypto.Signer, change func([]byte) []byte) (*wire.Answer, error) {
	r, err := certification(as, path, key, nil)
	if err != nil {
		return nil, err
	}
	if change != nil {
		csr, err := base64.StdEncoding.DecodeString(string(r.Body))
		if err != nil {
			return nil, err
		}
		r.Body = []byte(base64.StdEncoding.EncodeToString(change(csr)))
	}
	return sendCSR(ctx, &t.Site, as, &r)
}

// sendCSR sends a request for a certificate, and names what was issued.
func sendCSR(ctx context.Context, site *wire.Site, as *tls.Certificate, r *wire.Request) (*wire.Answer, error) {
	a, err := site.Do(ctx, &wire.Options{Certificate: as, Untrusted: true}, r)
	if err != nil {
		return nil, err
	}
	issued, _ := certificates(a) // none where it was refused
	for _, c := range issued {
		if !c.IsCA {
			conformance.Leave(ctx, "certificate %x for %q", c.SerialNumber, c.Subject)
		}
	}
	return a, nil
}

// certification is the request of that device for a certificate.
func certification(as *tls.Certificate, path string, key crypto.Signer, change func(*x509.CertificateRequest, *x509.Certificate)) (wire.Request, error) {
	leaf := leafOf(as)
	template := &x509.CertificateRequest{RawSubject: leaf.RawSubject}
	for _, e := range leaf.Extensions {
		if e.Id.Equal(oidSubjectAltName) {
			template.ExtraExtensions = append(template.ExtraExtensions, e)
		}
	}
	if path == pathEnroll {
		template = &x509.CertificateRequest{Subject: pkix.Name{SerialNumber: leaf.Subject.SerialNumber}}
	}
	if change != nil {
		change(template, leaf)
	}
	csr, err := x509.CreateCertificateRequest(rand.Reader, template, key)
	if err != nil {
		return wire.Request{}, err
	}
	return wire.Request{
		Method: http.MethodPost, Path: path, Header: [][2]string{{"Content-Type", "application/pkcs10"}}, Body: []byte(base64.StdEncoding.EncodeToString(csr)),
	}, nil
}

// joined has a voucher and a certificate.
func (t *Target) joined(ctx context.Context) (*exchange, *wire.Answer, crypto.Signer, error) {
	if err := t.need(ctx); err != nil {
		return nil, nil, nil, err
	}
	x, err := t.ask(ctx, asking{again: t.reportAndWait})
	if err != nil {
		return nil, nil, nil, err
	}
	if !x.answer.OK() {
		return nil, nil, nil, skipf("%v: no voucher to go on with", x.answer)
	}
	a, key, err := t.enroll(ctx, t.Pledge)
	return x, a, key, err
}

func runEnrolls(ctx context.Context, t *Target) error {
	_, a, key, err := t.joined(ctx)
	if err != nil {
		return err
	}
	_, err = member(a, key)
	return err
}

// member reads the certificate for key out of an answer.
func member(a *wire.Answer, key crypto.Signer) (*tls.Certificate, error) {
	certs, err := certificates(a)
	if err != nil {
		return nil, err
	}
	for _, c := range certs {
		if public, ok := key.Public().(interface{ Equal(crypto.PublicKey) bool }); ok && public.Equal(c.PublicKey) {
			return &tls.Certificate{Certificate: [][]byte{c.Raw}, PrivateKey: key, Leaf: c}, nil
		}
	}
	return nil, fmt.Errorf("%v, and no certificate in it has the CSR's key", a)
}

func certificates(a *wire.Answer) ([]*x509.Certificate, error) {
	if a.Status != http.StatusOK {
		return nil, fmt.Errorf("%v, want 200", a)
	}
	der, err := base64.StdEncoding.DecodeString(strings.Join(strings.Fields(string(a.Body)), ""))
	if err != nil {
		return nil, fmt.Errorf("%v, and its body: %w", a, err)
	}
	return cms.ParseCertsOnly(der)
}

func runNoVoucher(ctx context.Context, t *Target) error {
	if err := t.need(ctx); err != nil {
		return err
	}
	pledge, err := t.made(t.fresh())
	if err != nil {
		return err
	}
	a, _, err := t.enroll(ctx, pledge)
	if err == nil {
		err = bad(a)
	}
	return err
}

// fresh is a device with a serial number that the registrar has not seen.
func (t *Target) fresh() *x509.Certificate {
	nonce := strings.NewReplacer("+", "", "/", "", "=", "").Replace(voucher.NewNonce())
	return named(t.device(), pkix.Name{SerialNumber: "CONFORMANCE-" + nonce[:8]})
}

func runStrangerEnrolls(ctx context.Context, t *Target) error {
	if err := t.need(ctx); err != nil {
		return err
	}
	stranger, err := t.stranger()
	if err != nil {
		return err
	}
	a, _, err := t.enroll(ctx, stranger)
	if err != nil {
		return ctx.Err() // not let in at all
	}
	return bad(a)
}

func runBadCSR(ctx context.Context, t *Target) error {
	if err := runEnrolls(ctx, t); err != nil {
		return skipf("a good CSR is not certified (see RFC8995-5.9-REG-3): %v", err)
	}
	key, err := newKey()
	if err != nil {
		return err
	}
	a, err := t.certify(ctx, t.Pledge, pathEnroll, key, func(csr []byte) []byte {
		csr[len(csr)-1] ^= 0xff
		return csr
	})
	if err == nil {
		err = bad(a)
	}
	return err
}

// authorities fetches cacerts as the pledge.
func (t *Target) authorities(ctx context.Context) (*wire.Answer, []*x509.Certificate, error) {
	a, err := t.plain(ctx, wire.Request{Method: http.MethodGet, Path: pathCACerts})
	if err != nil {
		return nil, nil, err
	}
	certs, err := certificates(a)
	return a, certs, err
}

func runCACerts(ctx context.Context, t *Target) error {
	x, err := t.good(ctx)
	if err != nil {
		return err
	}
	a, certs, err := t.authorities(ctx)
	if err != nil {
		return err
	}
	asked := x.requested()
	if len(asked) == 0 || asked[0].artifact == nil {
		return skipf("the registrar's request does not open (see RFC8995-5.5-REG-1)")
	}
	pin := top(asked[0].artifact)
	roots := pool(certs)
	if _, err := pin.Verify(x509.VerifyOptions{Roots: roots, Intermediates: roots, KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageAny}}); err != nil &&
		!slices.ContainsFunc(certs, func(c *x509.Certificate) bool { return bytes.Equal(c.Raw, pin.Raw) }) {
		return fmt.Errorf("%v, and nothing in it vouches for the pinned %q: %w", a, pin.Subject, err)
	}
	return nil
}

func pool(certs []*x509.Certificate) *x509.CertPool {
	p := x509.NewCertPool()
	for _, c := range certs {
		p.AddCert(c)
	}
	return p
}

func runCSRAttrs(ctx context.Context, t *Target) error {
	if err := t.need(ctx); err != nil {
		return err
	}
	a, err := t.plain(ctx, wire.Request{Method: http.MethodGet, Path: pathCSRAttrs})
	switch {
	case err != nil:
		return err
	case a.Status == http.StatusNotFound:
		return skipf("%v (see RFC8995-1.5-REG-5)", a)
	case a.Status == http.StatusNoContent:
		return nil
	case a.Status != http.StatusOK:
		return fmt.Errorf("%v, want 200 or 204", a)
	}
	if _, err := base64.StdEncoding.DecodeString(strings.Join(strings.Fields(string(a.Body)), "")); err != nil {
		return fmt.Errorf("%v, and its body: %w", a, err)
	}
	return nil
}

func runIssued(ctx context.Context, t *Target) error {
	_, a, key, err := t.joined(ctx)
	if err != nil {
		return err
	}
	id, err := member(a, key)
	if err != nil {
		return skipf("%v (see RFC8995-5.9-REG-3)", err)
	}
	_, certs, err := t.authorities(ctx)
	if err != nil {
		return skipf("%v (see RFC8995-5.9.1-REG-1)", err)
	}
	roots := pool(certs)
	if _, err := id.Leaf.Verify(x509.VerifyOptions{Roots: roots, Intermediates: roots, KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageAny}}); err != nil {
		return fmt.Errorf("cacerts does not vouch for the certificate: %w", err)
	}
	return nil
}

// asMember does something with the new certificate.
func asMember(f func(context.Context, *Target, *tls.Certificate) error) run {
	return func(ctx context.Context, t *Target) error {
		_, a, key, err := t.joined(ctx)
		if err != nil {
			return err
		}
		id, err := member(a, key)
		if err != nil {
			return skipf("%v (see RFC8995-5.9-REG-3)", err)
		}
		return f(ctx, t, id)
	}
}

func runStatusAsMember(ctx context.Context, t *Target) error {
	return asMember(func(ctx context.Context, t *Target, id *tls.Certificate) error {
		r := status(pathEnrollStatus, goodStatus)
		a, err := t.Do(ctx, &wire.Options{Certificate: id, Untrusted: true}, &r)
		if err == nil {
			err = ok(a)
		}
		return err
	})(ctx, t)
}

func runRenews(ctx context.Context, t *Target) error {
	return asMember(func(ctx context.Context, t *Target, id *tls.Certificate) error {
		key, err := newKey()
		if err != nil {
			return err
		}
		a, err := t.certify(ctx, id, pathReenroll, key, nil)
		if err != nil {
			return err
		}
		_, err = member(a, key)
		return err
	})(ctx, t)
}
