package est

import (
	"fmt"

	"github.com/briskest/briskest/internal/cms"
)

// caCerts answers RFC 7030, Section 4.1. Nobody has to authenticate for it (RFC 7030, Section 4.1.2), unless the
// backend's Admitter says otherwise.
func (x *exchange) caCerts() *Error {
	certs, err := x.h.Backend.CACerts(x.r.Context(), &x.req.Request)
	if err != nil {
		return asError(err)
	}
	raw := make([][]byte, len(certs))
	for i, c := range certs {
		raw[i] = c.Raw
	}
	der, err := cms.CertsOnly(raw...)
	if err != nil {
		return asError(fmt.Errorf("CA certificates from the backend: %w", err))
	}
	x.answer(typeCerts, der)
	return nil
}
