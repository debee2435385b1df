package bench

import (
	"context"
	"crypto/tls"
	"encoding/base64"
	"net/http"
	"strings"

	"github.com/briskest/briskest/internal/cms"
)

// simpleReenroll renews certificates, each once, with the same key: every
// client comes over a new connection with the certificate it got before.
func simpleReenroll() *Op {
	return &Op{
		Name: "simplereenroll", mediaType: "application/pkcs10", ownClients: true,
		FloorIs: "TLS as the registrar's with a client certificate below the issuing CA, verified in the handshake; base64, CSR parse and signature check, " +
			"crypto/x509.CreateCertificate with P-256, certs-only answer; no policy, no database, no disk",
		prepare: enrolled,
		answers: func(f *floor) http.HandlerFunc { return f.enroll },
	}
}

// enrolled enrolls so many clients at t, and returns their renewals.
func enrolled(ctx context.Context, t *Target, n int) ([]request, error) {
	made, _, err := namedRequests(n)
	if err != nil {
		return nil, err
	}
	requests := make([]request, n)
	_, err = concurrently(ctx, n, 8, func() (func(context.Context, int) error, func()) {
		client := t.client(false, nil)
		return func(ctx context.Context, i int) error {
			cert, err := t.certificate(ctx, client, &made[i])
			requests[i] = request{body: made[i].body, certificate: cert}
			return err
		}, client.CloseIdleConnections
	})
	return requests, err
}

// certificate enrolls once.
func (t *Target) certificate(ctx context.Context, client *http.Client, m *made) (*tls.Certificate, error) {
	text, err := t.post(ctx, client, "simpleenroll", "application/pkcs10", m.body)
	if err != nil {
		return nil, err
	}
	der, err := base64.StdEncoding.DecodeString(strings.Map(notSpace, string(text)))
	if err != nil {
		return nil, err
	}
	certs, err := cms.ParseCertsOnly(der)
	if err != nil {
		return nil, err
	}
	return &tls.Certificate{Certificate: [][]byte{certs[0].Raw}, PrivateKey: m.key, Leaf: certs[0]}, nil
}
