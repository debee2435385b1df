package est

import (
	"bytes"
	"context"
	"crypto/x509"
	"net/http"
)

// CACerts gets the CA certificates (RFC 7030, Section 4.1), in the server's order. Nothing but the TLS connection vouches
// for them: [Client.TrustedCACerts] says which of them are to be relied on.
//
// Errors: [*StatusError] for a refusal; those that match [ErrURL], [ErrInsecure], [ErrNoAnchors], [ErrRedirect],
// [ErrAnswer]; those of net/http and crypto/tls.
func (c *Client) CACerts(ctx context.Context) ([]*x509.Certificate, error) {
	a, err := c.call(ctx, get(OpCACerts))
	if err != nil {
		return nil, err
	}
	return a.caCerts()
}

// caCerts takes 200 and nothing else (RFC 7030, Section 4.1.3).
func (a *answer) caCerts() ([]*x509.Certificate, error) {
	if a.status != http.StatusOK {
		return nil, a.refusal()
	}
	return a.certificates()
}

// CSRAttrs gets the DER of the server's CsrAttrs (RFC 7030, Section 4.5), for [ParseCSRAttrs]. It is nil when the
// server has none: status 204 or 404 (RFC 7030, Section 4.5.2), or an empty list.
//
// Errors: as CACerts.
func (c *Client) CSRAttrs(ctx context.Context) ([]byte, error) {
	a, err := c.call(ctx, get(OpCSRAttrs))
	if err != nil {
		return nil, err
	}
	return a.csrAttrs()
}

func (a *answer) csrAttrs() ([]byte, error) {
	switch a.status {
	case http.StatusOK:
	case http.StatusNoContent, http.StatusNotFound:
		return nil, nil
	default:
		return nil, a.refusal()
	}
	der, err := a.der(typeCSRAttrs)
	if err != nil {
		return nil, err
	}
	if _, err := ParseCSRAttrs(der); err != nil {
		return nil, a.invalid(err)
	}
	if bytes.Equal(der, []byte{0x30, 0x00}) {
		return nil, nil
	}
	return der, nil
}
