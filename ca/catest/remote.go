package catest

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/briskest/briskest/ca"
	"github.com/briskest/briskest/ca/delegate"
	"github.com/briskest/briskest/ca/profile"
)

var (
	_ ca.Issuer  = (*Remote)(nil)
	_ ca.Revoker = (*Remote)(nil)
)

// Remote is a working issuer that asks another CA, with no wire between them
// and every [Fault]. It knows the profile of [DeviceProfile]. The CA knows an
// issuance by its ID: asked for it twice, it answers the same.
type Remote struct {
	*Foreign
	rules delegate.Rules

	mu      sync.Mutex
	done    map[string][]byte // certificates by Request.ID; guarded by mu
	revoked []*ca.Revoked     // guarded by mu
}

// NewRemote makes one. profiles are further profiles that it knows.
func NewRemote(t testing.TB, profiles ...*profile.Profile) *Remote {
	t.Helper()
	r := &Remote{Foreign: NewForeign(t), done: make(map[string][]byte)}
	known := map[string]*profile.Profile{"device": DeviceProfile(t)}
	for _, p := range profiles {
		known[p.Name()] = p
	}
	r.rules = delegate.Rules{Profiles: known, Chain: r.Foreign.Chain()}
	return r
}

// DeviceProfile takes a common name "device-N" and a DNS name
// "device-N.example.com" with a P-256 key.
func DeviceProfile(t testing.TB) *profile.Profile {
	t.Helper()
	p, err := profile.New(&profile.Document{
		Schema: profile.Schema, Name: "device", Version: "1",
		Subject:  profile.SubjectRules{Attributes: []profile.AttributeRule{{Type: "common_name", Pattern: `device-[0-9]+`}}},
		SAN:      profile.NameRules{DNS: &profile.NameRule{Request: true, Patterns: []string{`[a-z0-9-]+\.example\.com`}}},
		Keys:     []profile.KeyRule{{Type: "ecdsa", Curves: []string{"p256"}}},
		KeyUsage: []string{"digital_signature"}, ExtendedKeyUsage: []string{"client_auth"},
		Validity: profile.Validity{Lifetime: "365d"},
	})
	if err != nil {
		t.Fatalf("catest: %v", err)
	}
	return p
}

// BreakDevice asks for a DNS name that DeviceProfile refuses, in the CSR too.
func BreakDevice(r *ca.Request) { r.Names.DNS = []string{"device.forbidden.example"} }

// Chain is that of the other CA.
func (r *Remote) Chain(context.Context) ([]*x509.Certificate, error) { return r.Foreign.Chain(), nil }

// Issue implements ca.Issuer.
func (r *Remote) Issue(ctx context.Context, request *ca.Request) (*ca.Certificate, error) {
	if _, err := x509.ParseCertificateRequest(request.CSR); err == nil {
		if err := delegate.CheckCSRNames(request); err != nil {
			return nil, err
		}
	}
	o, err := r.rules.Begin(ctx, request)
	if err != nil {
		return nil, err
	}
	raw, err := r.ask(ctx, o)
	if err != nil {
		return nil, err
	}
	return o.Accept(raw, nil)
}

// ask is the way to the CA and back.
func (r *Remote) ask(ctx context.Context, o *delegate.Order) ([]byte, error) {
	unavailable := func(text string) error { return fmt.Errorf("%w: %s", ca.ErrUnavailable, text) }
	switch fault := r.Fault(); fault {
	case Down:
		return nil, unavailable("connection refused")
	case RefusesUs:
		return nil, unavailable("401 who are you")
	case Overloaded:
		return nil, &ca.Later{Err: unavailable("503 busy"), After: 7 * time.Second}
	case Refuses:
		return nil, fmt.Errorf("%w: not on a Wednesday", ca.ErrRejected)
	case Slow:
		<-ctx.Done()
		return nil, &ca.Later{Err: fmt.Errorf("%w: %w", ca.ErrUnavailable, ctx.Err())}
	case AnswerLost, Truncated:
		r.sign(o)
		return nil, &ca.Later{Err: unavailable("unexpected EOF")}
	case Garbage:
		return nil, delegate.Lost(errors.New("it is no certificate"))
	case Huge:
		return nil, delegate.Lost(errors.New("it has more than 65536 bytes"))
	case Waits:
		return nil, &ca.Later{Err: fmt.Errorf("%w: a person looks at it", ca.ErrPending), After: 30 * time.Second, State: []byte("queue 7")}
	default:
		return r.sign(o), nil
	}
}

// sign signs once for each ID.
func (r *Remote) sign(o *delegate.Order) []byte {
	r.mu.Lock()
	defer r.mu.Unlock()
	if raw := r.done[o.Request.ID]; raw != nil {
		return raw
	}
	raw := r.Foreign.Sign(&Wish{
		PublicKey: o.CSR.PublicKey, RawSubject: o.CSR.RawSubject, DNS: o.CSR.DNSNames,
		NotBefore: o.Intent.NotBefore, NotAfter: o.Intent.NotAfter,
	})
	r.done[o.Request.ID] = raw
	return raw
}

// Revoke implements ca.Revoker.
func (r *Remote) Revoke(ctx context.Context, c *ca.Revoked) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	switch r.Fault() {
	case Down, Slow, Overloaded, RefusesUs, AnswerLost:
		return fmt.Errorf("%w: connection refused", ca.ErrUnavailable)
	case Refuses:
		return fmt.Errorf("%w: not on a Wednesday", ca.ErrRejected)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.revoked = append(r.revoked, c)
	return nil
}

// Revoked returns what the CA was told, in order.
func (r *Remote) Revoked() []*ca.Revoked {
	r.mu.Lock()
	defer r.mu.Unlock()
	return append([]*ca.Revoked(nil), r.revoked...)
}
