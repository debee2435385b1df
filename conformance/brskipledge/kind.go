package brskipledge

import (
	"crypto/x509"
	"net/http"

	"github.com/briskest/briskest/brski"
	"github.com/briskest/briskest/conformance/unkind"
	"github.com/briskest/briskest/est"
)

// is reports whether the request is for an operation of BRSKI.
func is(q *unkind.Request, op brski.Operation) bool {
	return q.Path == brski.PathPrefix+"/"+string(op)
}

// isEST reports whether the request is for an operation of EST.
func isEST(q *unkind.Request, op est.Operation) bool {
	return q.Path == est.PathPrefix+"/"+string(op)
}

// kindly answers as a good registrar does.
func (w *world) kindly(q *unkind.Request) *unkind.Answer {
	switch {
	case is(q, brski.OpRequestVoucher):
		return w.voucher(q, nil)
	case is(q, brski.OpVoucherStatus), is(q, brski.OpEnrollStatus):
		return &unkind.Answer{Status: http.StatusOK}
	case isEST(q, est.OpCACerts):
		return unkind.Certificates(w.issuing.Certificate.Raw, w.root.Certificate.Raw)
	case isEST(q, est.OpCSRAttrs):
		return &unkind.Answer{Status: http.StatusNoContent}
	case isEST(q, est.OpSimpleEnroll):
		return w.certify(q, w.issuing)
	default:
		return unkind.Text(http.StatusNotFound, "There is nothing here.")
	}
}

// certify answers with the certificate that q asks for.
func (w *world) certify(q *unkind.Request, by *unkind.Authority) *unkind.Answer {
	cert, err := issue(q, by)
	if err != nil {
		return unkind.Text(http.StatusBadRequest, err.Error())
	}
	return unkind.Certificates(cert.Raw)
}

func issue(q *unkind.Request, by *unkind.Authority) (*x509.Certificate, error) {
	der, err := q.Decoded()
	if err != nil {
		return nil, err
	}
	csr, err := x509.ParseCertificateRequest(der)
	if err != nil {
		return nil, err
	}
	return by.Issue(&x509.Certificate{
		RawSubject: csr.RawSubject, KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
	}, csr.PublicKey)
}
