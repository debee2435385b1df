package est

import (
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"crypto/x509"
	"encoding/hex"
	"errors"
	"fmt"
	"net/url"
	"strings"
)

// ErrNotConfirmed says that nobody vouched for the CA certificates of a provisional connection.
var ErrNotConfirmed = errors.New("the CA certificate is not confirmed")

// Confirm is shown the self-signed CA certificates that an unauthenticated server sent, the one that expires last
// first, and returns the one to trust, or an error. Nothing vouches for them: compare with what you know from
// elsewhere, such as a fingerprint ([Fingerprint], [FingerprintOf]).
type Confirm func(roots []*x509.Certificate) (*x509.Certificate, error)

// Bootstrap gets the CA certificates of a server that cannot be authenticated yet (RFC 7030, Section 4.1.1), and judges
// them once confirm has chosen the anchor. Of c only URL, Label, Dial, TLSConfig, UserAgent and Now are used: nothing
// but the one GET is sent on the provisional connection, with neither certificate nor credentials; a redirect or a
// challenge there ends it. Enroll with a new Client whose Roots are the set's Pool: it authenticates the server anew.
//
// Errors: those that match [ErrNotConfirmed] and [ErrNoAnchor]; as CACerts.
func (c *Client) Bootstrap(ctx context.Context, confirm Confirm) (*CASet, error) {
	p := &Client{URL: c.URL, Label: c.Label, Dial: c.Dial, UserAgent: c.UserAgent, Now: c.Now, TLSConfig: c.TLSConfig}
	certs, err := p.provisionalCACerts(ctx)
	if err != nil {
		return nil, err
	}
	roots := selfSigned(certs, p.now())
	if len(roots) == 0 {
		return nil, fmt.Errorf("%s: %w", OpCACerts, ErrNoAnchor)
	}
	anchor, err := confirm(roots)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrNotConfirmed, err)
	}
	for _, r := range roots {
		if r == anchor {
			return JudgeCACerts(certs, anchor, p.now())
		}
	}
	return nil, fmt.Errorf("%w: what was chosen is none of them", ErrNotConfirmed)
}

// provisionalCACerts asks on a connection that authenticates nobody, once, and closes it.
func (c *Client) provisionalCACerts(ctx context.Context) ([]*x509.Certificate, error) {
	var err error
	if c.origin, c.base, err = clientBase(c.URL, c.Label); err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	cfg := c.bareTLSConfig(c.origin.Hostname())
	cfg.InsecureSkipVerify = true //nolint:gosec // RFC 7030, Section 4.1.1: provisional, for this one answer
	cfg.Certificates, cfg.GetClientCertificate = nil, nil
	u, err := url.Parse(c.base + string(OpCACerts))
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrURL, err)
	}
	s, err := c.open(ctx, u, cfg)
	if err != nil {
		return nil, fmt.Errorf("%s at %s: %w", OpCACerts, c.base, err)
	}
	defer s.close()
	a := &asking{c: c, q: get(OpCACerts), to: u}
	r, err := a.request(ctx)
	if err != nil {
		return nil, err
	}
	res, err := s.http.RoundTrip(r)
	if err != nil {
		return nil, fmt.Errorf("%s at %s: %w", OpCACerts, c.base, withoutURL(err))
	}
	defer res.Body.Close()
	got, err := readAnswer(a.q, res, c.now())
	if err != nil {
		return nil, err
	}
	return got.caCerts()
}

// Fingerprint confirms the CA certificate whose SHA-256 fingerprint is known: 64 hexadecimal digits, in either case,
// with or without colons, as "openssl x509 -fingerprint -sha256" prints it.
//
// Errors: one that says what is wrong with the text.
func Fingerprint(text string) (Confirm, error) {
	want, err := hex.DecodeString(strings.NewReplacer(":", "", " ", "").Replace(text))
	if err != nil || len(want) != sha256.Size {
		return nil, errors.New("a SHA-256 fingerprint has 64 hexadecimal digits; \"openssl x509 -in ca.pem -noout -fingerprint -sha256\" prints it")
	}
	return func(roots []*x509.Certificate) (*x509.Certificate, error) {
		for _, r := range roots {
			got := sha256.Sum256(r.Raw)
			if subtle.ConstantTimeCompare(got[:], want) == 1 {
				return r, nil
			}
		}
		return nil, fmt.Errorf("the server's CA certificate has the fingerprint %s, which is not the expected one", FingerprintOf(roots[0]))
	}, nil
}

// FingerprintOf returns the SHA-256 fingerprint of c, as [Fingerprint] reads it.
func FingerprintOf(c *x509.Certificate) string {
	sum := sha256.Sum256(c.Raw)
	parts := make([]string, len(sum))
	for i, b := range sum {
		parts[i] = strings.ToUpper(hex.EncodeToString([]byte{b}))
	}
	return strings.Join(parts, ":")
}
