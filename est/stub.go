package est

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/asn1"
	"errors"
	"net/http"
)

var errStub = errors.New("not yet")

// SameNames stub.
func SameNames(csr *x509.CertificateRequest, cert *x509.Certificate) error { return errStub }

// ParseCSR stub.
func ParseCSR(der []byte) (*CSR, error) { return nil, errStub }

// Client stub.
type Client struct {
	URL         string
	Label       string
	Roots       *x509.CertPool
	Certificate *tls.Certificate
	User        string
	Password    Secret
	HTTP        *http.Client
	TLSConfig   *tls.Config
	UserAgent   string
}

// CACerts stub.
func (c *Client) CACerts(ctx context.Context) ([]*x509.Certificate, error) { return nil, errStub }

// CSRAttrs stub.
func (c *Client) CSRAttrs(ctx context.Context) ([]byte, error) { return nil, errStub }

// SimpleEnroll stub.
func (c *Client) SimpleEnroll(ctx context.Context, csr []byte) (*x509.Certificate, error) {
	return nil, errStub
}

// SimpleReenroll stub.
func (c *Client) SimpleReenroll(ctx context.Context, csr []byte) (*x509.Certificate, error) {
	return nil, errStub
}

// CSRAttrs is a CsrAttrs (RFC 7030, Section 4.5.2).
type CSRAttrs struct {
	OIDs       []asn1.ObjectIdentifier
	Attributes []Attribute
}

// Attribute stub.
type Attribute struct {
	Type   asn1.ObjectIdentifier
	Values [][]byte
}

// ParseCSRAttrs stub.
func ParseCSRAttrs(der []byte) (*CSRAttrs, error) { return nil, errStub }
