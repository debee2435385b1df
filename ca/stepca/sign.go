package stepca

import (
	"bytes"
	"context"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"log/slog"
	"math/big"
	"net/http"
	"strings"
	"time"

	"github.com/briskest/briskest/ca"
	"github.com/briskest/briskest/ca/delegate"
)

const (
	maxAnswer = 256 << 10 // bytes of an answer: a certificate and its chain
	maxChain  = 8
)

// errToken says that step-ca refused a token: it was used before, or the
// provisioner's key is not the one that step-ca has.
var errToken = errors.New("step-ca refuses the token")

type signRequest struct {
	CSR       string `json:"csr"`
	Token     string `json:"ott"`
	NotBefore string `json:"notBefore"`
	NotAfter  string `json:"notAfter"`
}

type signAnswer struct {
	Certificate string   `json:"crt"`
	Chain       []string `json:"certChain"`
}

// sign asks for a certificate with the token of the n-th try.
func (c *CA) sign(ctx context.Context, o *delegate.Order, n int) (raw []byte, between []*x509.Certificate, err error) {
	token, err := c.signToken(o, n)
	if err != nil {
		return nil, nil, err
	}
	a, err := c.post(ctx, "/1.0/sign", &signRequest{
		CSR: encodePEM("CERTIFICATE REQUEST", o.Request.CSR), Token: token,
		NotBefore: o.Intent.NotBefore.UTC().Format(time.RFC3339), NotAfter: o.Intent.NotAfter.UTC().Format(time.RFC3339),
	})
	if err != nil {
		return nil, nil, err
	}
	if a.Status != http.StatusCreated && a.Status != http.StatusOK {
		return nil, nil, refusal(a)
	}
	if raw, between, err = readSigned(a.Body); err != nil {
		return nil, nil, delegate.Lost(err)
	}
	return raw, between, nil
}

// readSigned reads the certificate of an answer, and the CAs that came along.
func readSigned(body []byte) (raw []byte, between []*x509.Certificate, err error) {
	var answer signAnswer
	if err := json.Unmarshal(body, &answer); err != nil {
		return nil, nil, errors.New("it is no JSON object")
	}
	if raw, err = decodePEM(answer.Certificate); err != nil {
		return nil, nil, err
	}
	for i, text := range answer.Chain {
		der, err := decodePEM(text)
		if err != nil || i == maxChain {
			break // they only help to build the chain
		}
		if one, err := x509.ParseCertificate(der); err == nil && i > 0 {
			between = append(between, one)
		}
	}
	return raw, between, nil
}

// bury revokes what the n-th try may have been signed with, so that no two
// certificates of one issuance live. Without a template nobody knows its serial
// number; then the log says so.
func (c *CA) bury(ctx context.Context, id string, n int) error {
	attributes := []any{slog.String("issuance", id), slog.String("token_id", c.tokenID(id, n))}
	if !c.config.Template {
		c.log.WarnContext(ctx, "step-ca took an issuance whose answer was lost; a certificate that nobody has may stay valid there", attributes...)
		return nil
	}
	serial := new(big.Int).SetBytes(c.serial(id, n))
	if err := c.revoke(ctx, serial, superseded); err != nil {
		return fmt.Errorf("%w: revoke the certificate %x whose answer was lost: %w", ca.ErrUnavailable, serial, err)
	}
	c.log.WarnContext(ctx, "step-ca took an issuance whose answer was lost; its serial number is revoked there",
		append(attributes, slog.String("serial", serial.Text(16)))...)
	return nil
}

// refusal maps a status. To step-ca 403 is a matter of the request and 401 one
// of the token.
func refusal(a *delegate.Answer) error {
	switch a.Status {
	case http.StatusUnauthorized:
		return fmt.Errorf("%w: %w: %q", ca.ErrUnavailable, errToken, sentence(a))
	case http.StatusForbidden:
		return fmt.Errorf("%w: step-ca answered 403 %q", ca.ErrRejected, sentence(a))
	case http.StatusNotFound, http.StatusMethodNotAllowed:
		return fmt.Errorf("%w: it answered %d: is the URL that of a step-ca?", ca.ErrUnavailable, a.Status)
	default:
		return delegate.Refusal(a, sentence(a))
	}
}

// sentence is what step-ca says for people.
func sentence(a *delegate.Answer) string {
	var said struct {
		Message string `json:"message"`
	}
	if json.Unmarshal(a.Body, &said) != nil {
		return ""
	}
	return a.Sentence(said.Message)
}

func (c *CA) post(ctx context.Context, path string, body any) (*delegate.Answer, error) {
	text, err := json.Marshal(body)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ca.ErrRejected, err)
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, c.base.JoinPath(path).String(), bytes.NewReader(text))
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ca.ErrUnavailable, err)
	}
	request.Header.Set("Content-Type", "application/json")
	return delegate.Do(c.http, request, maxAnswer, c.secret)
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
