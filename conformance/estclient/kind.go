package estclient

import (
	"crypto/x509"
	"net/http"

	"github.com/briskest/briskest/conformance/unkind"
	"github.com/briskest/briskest/est"
)

// kindly answers as a good server does.
func (w *world) kindly(r *unkind.Request) *unkind.Answer {
	switch {
	case is(r, est.OpCACerts):
		return unkind.Certificates(w.issuing.Certificate.Raw, w.root.Certificate.Raw)
	case is(r, est.OpCSRAttrs):
		return &unkind.Answer{Status: http.StatusNoContent}
	case isEnrollment(r):
		cert, err := w.issue(r, w.issuing)
		if err != nil {
			return unkind.Text(http.StatusBadRequest, err.Error())
		}
		return unkind.Certificates(cert.Raw)
	default:
		return unkind.Text(http.StatusNotFound, "There is nothing here.")
	}
}

// issue makes the certificate that r asks for.
func (w *world) issue(r *unkind.Request, by *unkind.Authority) (*x509.Certificate, error) {
	der, err := r.Decoded()
	if err != nil {
		return nil, err
	}
	csr, err := x509.ParseCertificateRequest(der)
	if err != nil {
		return nil, err
	}
	return by.Issue(&x509.Certificate{
		RawSubject: csr.RawSubject, DNSNames: csr.DNSNames, IPAddresses: csr.IPAddresses,
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
	}, csr.PublicKey)
}

// on answers what is for the operation.
func on(op est.Operation, f func(*asked) *unkind.Answer) func(*asked) *unkind.Answer {
	return func(a *asked) *unkind.Answer {
		if !is(a.Request, op) {
			return nil
		}
		return f(a)
	}
}

// onEnrollment answers what asks for a certificate.
func onEnrollment(f func(*asked) *unkind.Answer) func(*asked) *unkind.Answer {
	return func(a *asked) *unkind.Answer {
		if !isEnrollment(a.Request) {
			return nil
		}
		return f(a)
	}
}

// every changes each answer of the kind server.
func every(f func(*unkind.Answer) *unkind.Answer) func(*asked) *unkind.Answer {
	return func(a *asked) *unkind.Answer { return f(a.world.kindly(a.Request)) }
}
