package estclient

import (
	"crypto/tls"
	"crypto/x509"
	"slices"
	"time"

	"github.com/briskest/briskest/conformance/unkind"
)

// serverAuthentication: whom a client believes to be the server.
func serverAuthentication() []check {
	return slices.Concat(
		in("RFC 7030, Section 3.3",
			refusal("RFC7030-3.3-C-1", must, "A server whose certificate leads to no trust anchor is sent nothing",
				rows("EST-7030-3.3-04", "EST-7030-3.1-06", "EST-7030-4.2-02"), presenting(byStranger), sendsNothing),
		),
		in("RFC 7030, Section 3.3.1",
			refusal("RFC7030-3.3.1-C-1", must, "A server certificate that has expired is refused",
				rows("EST-7030-3.3.1-03"), presenting(changed(func(c *x509.Certificate) {
					c.NotBefore, c.NotAfter = time.Now().Add(-48*time.Hour), time.Now().Add(-24*time.Hour)
				})), sendsNothing),
			refusal("RFC7030-3.3.1-C-2", must, "A server certificate that is for clients alone is refused",
				rows("EST-7030-3.3.1-03"), presenting(changed(func(c *x509.Certificate) {
					c.ExtKeyUsage, c.UnknownExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}, nil
				})), sendsNothing),
			refusal("RFC7030-3.3.1-C-3", must, "A server certificate that somebody without a CA's certificate has issued is refused",
				rows("EST-7030-3.3.1-03"), presenting(byEndEntity), sendsNothing),
		),
		in("RFC 7030, Section 3.6.1",
			refusal("RFC7030-3.6.1-C-1", must, "A server with another host's name, which is no registration authority, is refused",
				rows("EST-7030-3.6.1-01", "EST-7030-3.6-01", "EST-7030-3.3.1-05", "EST-7030-4.1.2-04"), presenting(changed(func(c *x509.Certificate) {
					c.IPAddresses, c.DNSNames, c.UnknownExtKeyUsage = nil, []string{"other.example"}, nil
				})), sendsNothing),
			scene("RFC7030-3.6.1-C-2", should, "A server with another host's name is taken where its certificate has id-kp-cmcRA",
				rows("EST-7030-3.6.1-01"), presenting(changed(func(c *x509.Certificate) {
					c.IPAddresses, c.DNSNames = nil, []string{"other.example"}
				})), takes),
		),
		in("RFC 9325, Section 3.1.1",
			refusal("RFC9325-3.1.1-C-1", must, "A server that speaks no TLS above 1.1 is sent nothing",
				rows("EST-9325-3.1.1-01"), script{origins: func(_ *Target, w *world) ([]unkind.Origin, error) {
					c := unkind.Serving(w.server)
					c.MinVersion, c.MaxVersion = tls.VersionTLS10, tls.VersionTLS11 //nolint:gosec // what is to be refused
					return []unkind.Origin{unkind.Always(c)}, nil
				}}, sendsNothing),
		),
	)
}

// presenting is a server with that certificate.
func presenting(f func(t *Target, w *world) (*tls.Certificate, error)) script {
	return script{origins: func(t *Target, w *world) ([]unkind.Origin, error) {
		c, err := f(t, w)
		if err != nil {
			return nil, err
		}
		return []unkind.Origin{unkind.Always(unkind.Serving(c))}, nil
	}}
}

// changed is the kind server's certificate with a change.
func changed(f func(*x509.Certificate)) func(t *Target, w *world) (*tls.Certificate, error) {
	return func(t *Target, w *world) (*tls.Certificate, error) {
		template := unkind.ServerTemplate(t.Name())
		f(template)
		return w.issuing.Present(template)
	}
}

// byStranger is issued by a root of the same name that nobody trusts.
func byStranger(t *Target, w *world) (*tls.Certificate, error) {
	root, err := unkind.NewRoot(w.root.Certificate.Subject.CommonName)
	if err != nil {
		return nil, err
	}
	return root.Present(unkind.ServerTemplate(t.Name()))
}

// byEndEntity is issued with the key of a certificate that is no CA's.
func byEndEntity(t *Target, w *world) (*tls.Certificate, error) {
	below := &unkind.Authority{Certificate: w.held, Key: w.key, Above: w.issuing.Chain()}
	return below.Present(unkind.ServerTemplate(t.Name()))
}
