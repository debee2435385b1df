package cmpca

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/subtle"
	"errors"
	"fmt"
	"mime"
	"net/http"
	"strings"

	"github.com/briskest/briskest/ca"
	"github.com/briskest/briskest/ca/delegate"
	"github.com/briskest/briskest/internal/cmp"
)

// mediaType is that of RFC 6712, Section 3.4.
const mediaType = "application/pkixcmp"

// question is one message to the CA.
type question struct {
	transactionID, peerNonce []byte
	body                     cmp.Body
	infos                    []cmp.Info
	version                  int
}

// refusal is a message of the CA, or one that nobody protected and that the settings
// take for the CA's, that says no.
type refusal struct {
	info cmp.StatusInfo
	said string
}

// Error is what the CA said.
func (r *refusal) Error() string { return r.said }

// exchange sends one message and returns the CA's answer, verified and an answer to
// this message. An error is a *refusal when the CA answered with an error message;
// any other wraps ca.ErrUnavailable, in a *ca.Later when the message may have arrived.
func (c *CA) exchange(ctx context.Context, q *question) (*cmp.Message, error) {
	nonce := make([]byte, 16) // RFC 9483, Section 3.1: 128 random bits
	rand.Read(nonce)
	h := &cmp.Header{
		Version: q.version, Sender: c.sender, Recipient: c.recipient, Time: c.now(), SenderKID: c.senderKID,
		TransactionID: q.transactionID, SenderNonce: nonce, RecipientNonce: q.peerNonce, Infos: q.infos,
	}
	der, err := cmp.Marshal(h, q.body, c.protection, c.extraCerts)
	if err != nil {
		return nil, fmt.Errorf("%w: %s: %w", ca.ErrUnavailable, q.body.Kind(), err)
	}
	answer, err := c.post(ctx, der)
	if err != nil {
		return nil, err
	}
	m, err := cmp.Parse(answer)
	if err != nil {
		return nil, delegate.Lost(err)
	}
	if err := c.authenticate(m); err != nil {
		return nil, c.unauthenticated(m, h, err)
	}
	if err := c.answers(m, h); err != nil {
		return nil, delegate.Lost(err)
	}
	if m.Kind == cmp.ErrorMsg {
		return m, c.refused(m)
	}
	return m, nil
}

// post is one HTTP exchange (RFC 9811, Section 3). An answer that is CMP is judged as such
// whatever its status.
func (c *CA) post(ctx context.Context, der []byte) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, c.s.Timeout)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, c.s.URL, bytes.NewReader(der))
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ca.ErrUnavailable, err)
	}
	request.Header.Set("Content-Type", mediaType)
	request.Header.Set("Cache-Control", "no-cache")
	// A server that closes between two messages, as OpenSSL's does after an rr, would have the second one's outcome unknown.
	request.Close = true
	a, err := delegate.Do(c.client, request, cmp.MaxSize, c.secrets)
	if err != nil {
		return nil, err
	}
	got, _, err := mime.ParseMediaType(a.Header.Get("Content-Type"))
	isCMP := err == nil && got == mediaType
	switch {
	case isCMP:
		return a.Body, nil
	case a.Status >= 200 && a.Status < 300:
		return nil, delegate.Lost(fmt.Errorf("it has the media type %.60q, not %s (RFC 6712, Section 3.4)", a.Sentence(a.Header.Get("Content-Type")), mediaType))
	}
	if err := delegate.Refusal(a, ""); errors.Is(err, ca.ErrUnavailable) {
		return nil, err
	}
	// What is no CMP is not about the request of the device.
	return nil, fmt.Errorf("%w: the server answered %d where CMP was expected; check the URL of the CA", ca.ErrUnavailable, a.Status)
}

// answers checks that a verified message answers ours (RFC 9483, Section 3.5).
func (c *CA) answers(m *cmp.Message, sent *cmp.Header) error {
	h := &m.Header
	switch {
	case !bytes.Equal(h.TransactionID, sent.TransactionID):
		return errors.New("it belongs to another transaction")
	case subtle.ConstantTimeCompare(h.RecipientNonce, sent.SenderNonce) != 1:
		return errors.New("its recipNonce is not the nonce that was sent: it answers another message")
	case len(h.SenderNonce) == 0 && m.Kind != cmp.ErrorMsg:
		return errors.New("it has no senderNonce")
	case !h.Time.IsZero() && h.Time.Sub(c.now()).Abs() > c.s.Skew:
		return fmt.Errorf("its messageTime is %s, and it is %s here; check both clocks", h.Time.Format(timeLayout), c.now().UTC().Format(timeLayout))
	}
	// A MAC's sender may stay unnamed, as the recipient of its answer.
	if to, _ := cmp.Name(h.Recipient); !bytes.Equal(h.Recipient, sent.Sender) && !emptyName(to) {
		return errors.New("it is addressed to somebody else")
	}
	return nil
}

const timeLayout = "2006-01-02T15:04:05Z"

func emptyName(der []byte) bool { return bytes.Equal(der, []byte{0x30, 0}) }

// unauthenticated is an answer that nobody can be held to.
func (c *CA) unauthenticated(m *cmp.Message, sent *cmp.Header, problem error) error {
	if m.Kind != cmp.ErrorMsg || m.Protected() {
		return delegate.Lost(problem)
	}
	refused := c.refused(m)
	if c.s.AllowUnprotectedErrors && c.answers(m, sent) == nil {
		return refused
	}
	return delegate.Lost(fmt.Errorf("an error without protection, which anybody may have sent: %w", hide(refused)))
}

// hide keeps the text of an error and not what it is.
func hide(err error) error { return errors.New(err.Error()) }

// refused reads an error message.
func (c *CA) refused(m *cmp.Message) error {
	e, err := m.ErrorContent()
	if err != nil {
		return delegate.Lost(err)
	}
	e.StatusInfo.Text = append(e.StatusInfo.Text, e.Details...)
	return c.newRefusal(e.StatusInfo)
}

// newRefusal keeps a status, with its texts made fit for a log.
func (c *CA) newRefusal(s cmp.StatusInfo) *refusal {
	said := "the CA says " + s.Status.String()
	if s.Failure != 0 {
		said += " (" + s.Failure.String() + ")"
	}
	if len(s.Text) > 0 {
		said += fmt.Sprintf(": %q", c.secrets.Sentence(strings.Join(s.Text, "; ")))
	}
	return &refusal{info: s, said: said}
}
