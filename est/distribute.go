package est

import (
	"context"
	"crypto/x509"
	"fmt"
	"net/http"
	"strconv"

	"github.com/briskest/briskest/internal/cms"
)

// Distributor is a Backend that offers what RFC 8295 adds to EST for clients to fetch. The client of Packages has to be
// authenticated by its certificate, which is the backend's to check; that of the others need not be.
type Distributor interface {
	// Packages returns what there is for the client, in the order in which it should be fetched (RFC 8295, Section
	// 2.1.1): CA certificates and CRLs first, then csrattrs, enrollments, and the rest. At least one.
	Packages(ctx context.Context, r *Request) ([]Package, error)
	// EECerts returns end-entity certificates that the client may need (RFC 8295, Section 3). At least one.
	EECerts(ctx context.Context, r *Request) ([]*x509.Certificate, error)
	// CRLs returns current revocation lists as DER (RFC 8295, Section 4). At least one.
	CRLs(ctx context.Context, r *Request) ([][]byte, error)
}

func offersDistribution(b Backend) bool { _, ok := b.(Distributor); return ok }

// eeCerts answers RFC 8295, Section 3, as cacerts is answered.
func (x *exchange) eeCerts() *Error {
	certs, err := x.h.Backend.(Distributor).EECerts(x.r.Context(), &x.req.Request)
	if err != nil {
		return asError(err)
	}
	raw := make([][]byte, len(certs))
	for i, c := range certs {
		raw[i] = c.Raw
	}
	der, err := cms.CertsOnly(raw...)
	if err != nil {
		return asError(fmt.Errorf("end-entity certificates from the backend: %w", err))
	}
	x.answer(typeCerts, der)
	return nil
}

// crls answers RFC 8295, Section 4.
func (x *exchange) crls() *Error {
	lists, err := x.h.Backend.(Distributor).CRLs(x.r.Context(), &x.req.Request)
	if err != nil {
		return asError(err)
	}
	der, err := cms.CRLsOnly(lists...)
	if err != nil {
		return asError(fmt.Errorf("CRLs from the backend: %w", err))
	}
	x.answer(typePKCS7, der)
	return nil
}

// pal answers RFC 8295, Section 2: JSON, unless the client prefers XML. A list of more than 64 items is continued by
// ?page=1 and so on.
func (x *exchange) pal() *Error {
	asXML, ok := prefersXML(x.r.Header["Accept"])
	if !ok {
		return refuse(http.StatusNotAcceptable, ReasonNotAcceptable, "RFC 8295, Section 2",
			"The list comes as application/json or application/xml. Name one of them in Accept, or leave it out.")
	}
	all, err := x.h.Backend.(Distributor).Packages(x.r.Context(), &x.req.Request)
	if err != nil {
		return asError(err)
	}
	page, err := strconv.ParseUint(first(x.r.URL.Query()["page"], "0"), 10, 16)
	list := palPage(all, int(page), func(page int) string { return x.r.URL.EscapedPath() + "?page=" + strconv.Itoa(page) })
	if err != nil || list == nil {
		return refuse(http.StatusNotFound, ReasonPALPage, "RFC 8295, Section 2.1.1", "There is no such page of the list. Start at the first.")
	}
	text, err := marshalPAL(list, asXML)
	if err != nil {
		return asError(fmt.Errorf("packages from the backend: %w", err))
	}
	contentType := typeJSON
	if asXML {
		contentType = typeXML
	}
	h := x.w.Header()
	h["Content-Type"] = []string{contentType}
	h["Content-Length"] = []string{strconv.Itoa(len(text))}
	x.w.WriteHeader(http.StatusOK)
	_, _ = x.w.Write(text) // an error means that the peer is gone
	return nil
}

func first(values []string, otherwise string) string {
	if len(values) == 0 {
		return otherwise
	}
	return values[0]
}

// prefersXML reads Accept (RFC 9110, Section 12.5.1), which may be absent; ok false when neither form is acceptable.
func prefersXML(accept []string) (asXML, ok bool) {
	forXML, forJSON := acceptable(accept, typeXML), acceptable(accept, typeJSON)
	return forXML > forJSON, forXML > 0 || forJSON > 0
}
