package vaultca

import (
	"bytes"
	"context"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"strings"

	"github.com/briskest/briskest/ca"
	"github.com/briskest/briskest/ca/delegate"
)

const (
	maxAnswer = 256 << 10 // bytes of an answer: a certificate and its chain
	maxChain  = 8
)

// errLost says that the server may have done what it was asked.
var errLost = errors.New("it may have been done")

// bundle is the data of the answer to sign.
type bundle struct {
	Certificate string   `json:"certificate"`
	Chain       []string `json:"ca_chain"`
}

// sign asks for a certificate.
func (c *CA) sign(ctx context.Context, body *signRequest) (raw []byte, between []*x509.Certificate, err error) {
	path := c.config.Mount + "/sign/" + c.config.Role
	if c.config.Issuer != "" {
		path = c.config.Mount + "/issuer/" + c.config.Issuer + "/sign/" + c.config.Role
	}
	a, err := c.call(ctx, http.MethodPost, path, body)
	if err != nil {
		return nil, nil, err
	}
	return readBundle(a)
}

// readBundle reads the certificate of an answer, and the CAs that came along.
func readBundle(a *delegate.Answer) (raw []byte, between []*x509.Certificate, err error) {
	var data bundle
	if err := decode(a, &data); err != nil {
		return nil, nil, err
	}
	if raw, err = decodePEM(data.Certificate); err != nil {
		return nil, nil, useless(err)
	}
	for i, text := range data.Chain {
		der, err := decodePEM(text)
		if err != nil || i == maxChain {
			break // they only help to build the chain
		}
		if one, err := x509.ParseCertificate(der); err == nil {
			between = append(between, one)
		}
	}
	return raw, between, nil
}

// Revoke tells Vault, which lists the certificate in its CRL, one that it did
// not store too. It knows no hold, and keeps no reason.
func (c *CA) Revoke(ctx context.Context, r *ca.Revoked) error {
	if r.Reason == 6 || r.Reason == 8 { // certificateHold, removeFromCRL (RFC 5280, Section 5.3.1)
		return fmt.Errorf("%w: Vault knows no hold", ca.ErrRejected)
	}
	if _, err := x509.ParseCertificate(r.Raw); err != nil {
		return fmt.Errorf("revoke at Vault: %w", err)
	}
	body := struct {
		Certificate string `json:"certificate"`
	}{encodePEM("CERTIFICATE", r.Raw)}
	_, err := c.call(ctx, http.MethodPost, c.config.Mount+"/revoke", &body)
	return c.secrets.Error(err)
}

// call asks with our token. One that is refused is replaced once: Vault refuses
// before it does anything. The answer is a success.
func (c *CA) call(ctx context.Context, method, path string, body any) (*delegate.Answer, error) {
	for try := 0; ; try++ {
		token, err := c.token(ctx)
		if err != nil {
			return nil, err
		}
		a, err := c.send(ctx, method, path, token, body)
		if err != nil {
			return nil, lost(err)
		}
		if a.Status != http.StatusForbidden {
			return a, refusal(a)
		}
		if try == 0 {
			c.drop(token)
			continue
		}
		c.log.ErrorContext(ctx, "Vault refuses the registrar's token; check that its policies let it update this path",
			slog.String("path", path), slog.String("url", c.base.String()))
		return nil, refusal(a)
	}
}

// refusal maps a status; nil for success.
func refusal(a *delegate.Answer) error {
	switch a.Status {
	case http.StatusOK, http.StatusNoContent:
		return nil
	case http.StatusNotFound, http.StatusMethodNotAllowed:
		return fmt.Errorf("%w: Vault answered %d %q: is the mount right?", ca.ErrUnavailable, a.Status, sentence(a))
	case http.StatusPreconditionFailed: // a node that does not have our token yet
		return fmt.Errorf("%w: Vault answered 412 %q", ca.ErrUnavailable, sentence(a))
	}
	if a.Status/100 == 3 { // a standby that does not forward
		return fmt.Errorf("%w: Vault answered %d: the URL must be that of the active node", ca.ErrUnavailable, a.Status)
	}
	err := delegate.Refusal(a, sentence(a))
	// A sealed server and one that counts requests did nothing.
	if a.Status >= 500 && a.Status != http.StatusServiceUnavailable {
		return lost(err)
	}
	return err
}

// lost marks a ca.Later as one after which a certificate may be there.
func lost(err error) error {
	var later *ca.Later
	if errors.As(err, &later) {
		later.Err = fmt.Errorf("%w; %w", later.Err, errLost)
	}
	return err
}

func useless(problem error) error { return lost(delegate.Lost(problem)) }

// sentence is what Vault says for people.
func sentence(a *delegate.Answer) string {
	var said struct {
		Errors []string `json:"errors"`
	}
	if json.Unmarshal(a.Body, &said) != nil {
		return ""
	}
	return a.Sentence(strings.Join(said.Errors, "; "))
}

// decode reads the data of an answer.
func decode(a *delegate.Answer, into any) error {
	envelope := struct {
		Data any `json:"data"`
	}{into}
	if err := json.Unmarshal(a.Body, &envelope); err != nil {
		return useless(errors.New("it is no JSON object as Vault has it"))
	}
	return nil
}

// send is one exchange.
func (c *CA) send(ctx context.Context, method, path, token string, body any) (*delegate.Answer, error) {
	return c.sendUpTo(ctx, maxAnswer, method, path, token, body)
}

func (c *CA) sendUpTo(ctx context.Context, limit int64, method, path, token string, body any) (*delegate.Answer, error) {
	var text []byte
	if body != nil {
		var err error
		if text, err = json.Marshal(body); err != nil {
			return nil, fmt.Errorf("%w: %w", ca.ErrRejected, err)
		}
	}
	path, query, _ := strings.Cut(path, "?")
	u := c.base.JoinPath("/v1", path)
	u.RawQuery = query
	request, err := http.NewRequestWithContext(ctx, method, u.String(), bytes.NewReader(text))
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ca.ErrUnavailable, err)
	}
	request.Header.Set("Content-Type", "application/json")
	request.Header.Set("X-Vault-Request", "true")
	if token != "" {
		c.secrets.Add(token)
		request.Header.Set("X-Vault-Token", token)
	}
	if c.config.Namespace != "" {
		request.Header.Set("X-Vault-Namespace", c.config.Namespace)
	}
	return delegate.Do(c.http, request, limit, c.secrets)
}

func encodePEM(kind string, der []byte) string {
	return string(pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}))
}

// decodePEM reads exactly one certificate.
func decodePEM(text string) ([]byte, error) {
	block, rest := pem.Decode([]byte(text))
	if block == nil || block.Type != "CERTIFICATE" || strings.TrimSpace(string(rest)) != "" {
		return nil, errors.New("it holds no certificate, or more than one where one belongs")
	}
	return block.Bytes, nil
}
