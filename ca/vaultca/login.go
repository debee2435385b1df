package vaultca

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"strings"
	"time"

	"github.com/briskest/briskest/ca"
	"github.com/briskest/briskest/ca/delegate"
)

// Login is one of: a token, an AppRole, a TLS certificate. Secrets come from
// functions, so that a file is read when it is needed and not kept.
type Login struct {
	// Token gives a token that somebody else has made and replaces when it ends.
	Token func() (string, error)
	// RoleID is that of an AppRole.
	RoleID string
	// SecretID is that of the AppRole; nil when it is bound to none.
	SecretID func() (string, error)
	// Wrapped says that SecretID gives a wrapping token, in which the secret ID
	// is; it is unwrapped once.
	Wrapped bool
	// Certificate is presented in TLS, for the method cert.
	Certificate *tls.Certificate
	// CertRole is the role of the method cert; empty: any that fits.
	CertRole string
	// Mount is the path of the method; empty: "approle" or "cert".
	Mount string
}

func (l *Login) check() error {
	n := 0
	for _, is := range []bool{l.Token != nil, l.RoleID != "", l.Certificate != nil} {
		if is {
			n++
		}
	}
	if n != 1 {
		return errors.New("the login must be exactly one of a token, an AppRole and a certificate")
	}
	if l.Wrapped && l.SecretID == nil {
		return errors.New("a wrapped secret ID needs a secret ID")
	}
	return nil
}

// session is the token that we have.
type session struct {
	// turn holds one element while somebody logs in or renews; the rest belongs
	// to whoever put it there.
	turn      chan struct{}
	token     string
	renewable bool
	due       time.Time // renew from here; zero: it does not end
	end       time.Time
	secretID  string // unwrapped
}

func (s *session) lock(ctx context.Context) error {
	select {
	case s.turn <- struct{}{}:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("%w: log in to Vault: %w", ca.ErrUnavailable, ctx.Err())
	}
}

func (s *session) unlock() { <-s.turn }

// auth is what logins and renewals answer, and data of lookup-self.
type auth struct {
	Token     string `json:"client_token"`
	Lease     int64  `json:"lease_duration"` // seconds; 0: without end
	TTL       int64  `json:"ttl"`            // of lookup-self
	Renewable bool   `json:"renewable"`
}

// maxLease bounds what is believed: 10 years.
const maxLease = 10 * 365 * 24 * 3600

func (s *session) keep(token string, a *auth, now time.Time) {
	lease := time.Duration(min(max(a.Lease, a.TTL, 0), maxLease)) * time.Second
	s.token, s.renewable, s.due, s.end = token, a.Renewable, time.Time{}, time.Time{}
	if lease > 0 {
		s.due, s.end = now.Add(lease*2/3), now.Add(lease)
	}
}

// token returns one that holds, renewed when two thirds of its lease are over,
// or a new one. Errors wrap ca.ErrUnavailable and are no ca.Later.
func (c *CA) token(ctx context.Context) (string, error) {
	s := &c.session
	if err := s.lock(ctx); err != nil {
		return "", err
	}
	defer s.unlock()
	now := c.now()
	ended := !s.end.IsZero() && !now.Before(s.end)
	if s.token == "" || ended {
		s.token = ""
		err := c.login(ctx)
		return s.token, err
	}
	if s.due.IsZero() || now.Before(s.due) {
		return s.token, nil
	}
	if err := c.renew(ctx); err != nil {
		c.log.WarnContext(ctx, "Vault's token cannot be renewed; a new one is asked for", slog.Any("error", c.secrets.Error(err)))
		_ = c.login(ctx) // it is logged, and the old token holds until it ends
	}
	return s.token, nil
}

// drop forgets a token that was refused.
func (c *CA) drop(token string) {
	c.session.turn <- struct{}{}
	defer c.session.unlock()
	if c.session.token == token {
		c.session.token = ""
	}
}

// login asks for a token, or reads it. It is called with the session locked.
func (c *CA) login(ctx context.Context) error {
	s, l := &c.session, &c.config.Login
	var (
		a   *delegate.Answer
		err error
	)
	switch {
	case l.Token != nil:
		return c.readToken(ctx)
	case l.RoleID != "":
		var secret string
		if secret, err = c.secretID(ctx); err == nil {
			c.secrets.Add(secret)
			a, err = c.send(ctx, http.MethodPost, "auth/"+mountOr(l.Mount, "approle")+"/login", "", map[string]string{"role_id": l.RoleID, "secret_id": secret})
		}
	default:
		a, err = c.send(ctx, http.MethodPost, "auth/"+mountOr(l.Mount, "cert")+"/login", "", map[string]string{"name": l.CertRole})
	}
	if err != nil {
		return unasked(err)
	}
	got, err := readAuth(a)
	if err == nil && got.Token == "" {
		err = fmt.Errorf("%w: it gave no token", ca.ErrUnavailable)
	}
	if err != nil {
		c.log.ErrorContext(ctx, "Vault does not log the registrar in", slog.String("url", c.base.String()), slog.Any("error", c.secrets.Error(err)))
		return err
	}
	c.secrets.Add(got.Token)
	s.keep(got.Token, got, c.now())
	return nil
}

func mountOr(mount, usual string) string {
	if mount == "" {
		return usual
	}
	return mount
}

// readToken takes the token from elsewhere and asks how long it lasts.
func (c *CA) readToken(ctx context.Context) error {
	token, err := c.config.Login.Token()
	if err == nil && !headerText(token) {
		err = errors.New("the token is empty or holds characters that none has")
	}
	if err != nil {
		return fmt.Errorf("%w: the token for Vault: %w", ca.ErrUnavailable, err)
	}
	a, err := c.send(ctx, http.MethodGet, "auth/token/lookup-self", token, nil)
	if err != nil {
		return unasked(err)
	}
	var data auth
	if err := errors.Join(refusal(a), decode(a, &data)); err != nil {
		err = unasked(err)
		c.log.ErrorContext(ctx, "Vault does not take the registrar's token", slog.String("url", c.base.String()), slog.Any("error", c.secrets.Error(err)))
		return err
	}
	c.session.keep(token, &data, c.now())
	return nil
}

// headerText says whether a secret can be sent in a header.
func headerText(s string) bool {
	return s != "" && !strings.ContainsFunc(s, func(r rune) bool { return r <= ' ' || r > '~' })
}

// secretID reads the AppRole's, and unwraps it once.
func (c *CA) secretID(ctx context.Context) (string, error) {
	l := &c.config.Login
	if l.SecretID == nil {
		return "", nil
	}
	if c.session.secretID != "" {
		return c.session.secretID, nil
	}
	secret, err := l.SecretID()
	if err != nil {
		return "", fmt.Errorf("%w: the secret ID for Vault: %w", ca.ErrUnavailable, err)
	}
	if !l.Wrapped {
		return secret, nil
	}
	if !headerText(secret) {
		return "", fmt.Errorf("%w: the wrapping token is empty or holds characters that none has", ca.ErrUnavailable)
	}
	a, err := c.send(ctx, http.MethodPost, "sys/wrapping/unwrap", secret, nil)
	if err != nil {
		return "", err
	}
	var data struct {
		SecretID string `json:"secret_id"`
	}
	if err := errors.Join(refusal(a), decode(a, &data)); err != nil {
		return "", fmt.Errorf("%w: unwrap the secret ID, which can be done once: %w", ca.ErrUnavailable, unasked(err))
	}
	c.session.secretID = data.SecretID
	return data.SecretID, nil
}

// renew extends the token. It is called with the session locked.
func (c *CA) renew(ctx context.Context) error {
	s := &c.session
	if !s.renewable {
		return errors.New("it is not renewable")
	}
	a, err := c.send(ctx, http.MethodPost, "auth/token/renew-self", s.token, struct{}{})
	if err != nil {
		return unasked(err)
	}
	got, err := readAuth(a)
	if err != nil {
		return err
	}
	s.keep(s.token, got, c.now())
	return nil
}

// readAuth reads the answer to a login or a renewal.
func readAuth(a *delegate.Answer) (*auth, error) {
	// 400 is what AppRole has for a wrong role or secret ID.
	if a.Status == http.StatusBadRequest {
		return nil, fmt.Errorf("%w: Vault answered 400 %q", ca.ErrUnavailable, sentence(a))
	}
	if err := refusal(a); err != nil {
		return nil, unasked(err)
	}
	var answer struct {
		Auth *auth `json:"auth"`
	}
	if json.Unmarshal(a.Body, &answer) != nil || answer.Auth == nil {
		return nil, fmt.Errorf("%w: its answer to a login has no token", ca.ErrUnavailable)
	}
	return answer.Auth, nil
}

// unasked takes the ca.Later from an error of a login: no signature was asked for.
func unasked(err error) error {
	var later *ca.Later
	if errors.As(err, &later) {
		return fmt.Errorf("%w: log in to Vault: %v", ca.ErrUnavailable, later.Err) // its errLost means nothing here
	}
	return err
}

// KeepAlive renews the token while nothing is issued, until ctx ends. A token
// that cannot be renewed is replaced; what fails is tried again every minute.
func (c *CA) KeepAlive(ctx context.Context) {
	const pause, rest = time.Minute, 12 * time.Hour
	for ctx.Err() == nil {
		wait := pause
		if _, err := c.token(ctx); err == nil {
			wait = rest
			if due, ok := c.due(ctx); ok {
				wait = max(due.Sub(c.now()), time.Second)
			}
		}
		timer := time.NewTimer(wait)
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
		}
	}
}

// due is when the token has to be renewed; false: never.
func (c *CA) due(ctx context.Context) (time.Time, bool) {
	if c.session.lock(ctx) != nil {
		return time.Time{}, false
	}
	defer c.session.unlock()
	return c.session.due, !c.session.due.IsZero()
}
