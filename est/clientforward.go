package est

import (
	"context"
	"crypto/x509"
	"errors"
	"net/http"
)

// Forward sends csr, the DER of a PKCS#10 request that somebody else made, byte by byte, as a registration authority does
// (RFC 7030, Section 3.7), and returns every certificate of the answer in its order: at least one. Nothing in them has
// been compared with csr: that is for the caller, who has to know of what was issued wrongly too. When it waits (202),
// forward the same bytes again (RFC 7030, Section 4.2.3).
//
// Errors: as [Client.SimpleEnroll].
func (c *Client) Forward(ctx context.Context, csr []byte) ([]*x509.Certificate, error) {
	if len(csr) == 0 {
		return nil, errors.New("there is no CSR to forward")
	}
	a, err := c.call(ctx, post(OpSimpleEnroll, typePKCS10, csr))
	switch {
	case err != nil:
		return nil, err
	case a.status == http.StatusAccepted:
		return nil, &PendingError{RetryAfter: a.retryAfter}
	case a.status != http.StatusOK:
		return nil, a.refusal()
	}
	return a.certificates()
}
