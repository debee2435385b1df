// Package catest holds the contract that every ca.Issuer passes
// ([TestIssuer]), a key that checks its caller ([Signer]), and an in-memory
// issuer for tests of what stands on one ([Memory]).
package catest

import (
	"bytes"
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"errors"
	"fmt"
	"math/big"
	"sync"
	"testing"
	"time"

	"github.com/briskest/briskest/ca"
)

// ErrInjected is the cause of every failure that [Memory] was told of without
// an error of its own.
var ErrInjected = errors.New("catest: told to fail")

var (
	_ ca.Issuer    = (*Memory)(nil)
	_ ca.CRLIssuer = (*Memory)(nil)
)

// Memory is a working ca.Issuer with a root of its own on P-256. It knows the
// profile "device" and lets a request through when Allow does. It fails the
// test when a request has no Record, and can be told to fail. Fields are set
// before use; the methods may be called at once.
type Memory struct {
	// Allow judges a request by its profile's name; an error becomes
	// ca.ErrRejected. The one from NewMemory takes DNS names that do not end
	// in ".forbidden.example".
	Allow map[string]func(r *ca.Request) error
	// Version of every profile.
	Version string
	// Lifetime of certificates that ask for none.
	Lifetime time.Duration
	// Now is the clock.
	Now func() time.Time

	t    testing.TB
	root *x509.Certificate
	key  crypto.Signer

	mu     sync.Mutex
	before error             // guarded by mu
	after  error             // guarded by mu
	issued []*ca.Certificate // guarded by mu
	serial int64             // guarded by mu
}

// NewMemory makes an issuer with a fresh root, valid for 20 years from 2020,
// whose clock stands at 2026-06-01.
func NewMemory(t testing.TB) *Memory {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatalf("catest: %v", err)
	}
	m := &Memory{
		t: t, key: key, Version: "1", Lifetime: 365 * 24 * time.Hour,
		Allow: map[string]func(*ca.Request) error{"device": refuseForbidden},
		Now:   func() time.Time { return time.Date(2026, 6, 1, 12, 0, 0, 0, time.UTC) },
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "catest root"},
		NotBefore: time.Date(2020, 1, 1, 0, 0, 0, 0, time.UTC), NotAfter: time.Date(2040, 1, 1, 0, 0, 0, 0, time.UTC),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageCRLSign,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatalf("catest: %v", err)
	}
	if m.root, err = x509.ParseCertificate(der); err != nil {
		t.Fatalf("catest: %v", err)
	}
	return m
}

func refuseForbidden(r *ca.Request) error {
	for _, name := range r.Names.DNS {
		if bytes.HasSuffix([]byte(name), []byte(".forbidden.example")) {
			return fmt.Errorf("the DNS name %q is forbidden", name)
		}
	}
	return nil
}

// UseKey puts a Signer around the root's key and returns it.
func (m *Memory) UseKey() *Signer {
	s := NewSigner(m.t, m.key)
	m.key = s
	return s
}

// FailBeforeRecord makes Issue fail before it asks Record; nil ends that. The
// error is returned as given.
func (m *Memory) FailBeforeRecord(err error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.before = err
}

// FailAfterRecord makes Issue fail once Record has taken the intent, before
// anything is signed; nil ends that. The error is returned as given.
func (m *Memory) FailAfterRecord(err error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.after = err
}

// Issued returns every certificate issued, in order.
func (m *Memory) Issued() []*ca.Certificate {
	m.mu.Lock()
	defer m.mu.Unlock()
	return append([]*ca.Certificate(nil), m.issued...)
}

// Root returns the root certificate.
func (m *Memory) Root() *x509.Certificate { return m.root }

// Chain returns the root.
func (m *Memory) Chain(context.Context) ([]*x509.Certificate, error) {
	return []*x509.Certificate{m.root}, nil
}

// Issue implements ca.Issuer.
func (m *Memory) Issue(ctx context.Context, r *ca.Request) (*ca.Certificate, error) {
	m.t.Helper()
	if r.Record == nil {
		m.t.Errorf("Issue was called without Record")
		return nil, ErrInjected
	}
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	now := m.turn()
	if now.before != nil {
		return nil, now.before
	}
	allow, ok := m.Allow[r.Profile]
	if !ok {
		return nil, fmt.Errorf("%w: %q", ca.ErrUnknownProfile, r.Profile)
	}
	if err := allow(r); err != nil {
		return nil, fmt.Errorf("%w: %w", ca.ErrRejected, err)
	}
	template, err := m.template(r, now.number)
	if err != nil {
		return nil, err
	}
	tbs, err := m.tbs(template, r.PublicKey)
	if err != nil {
		return nil, err
	}
	spki, err := x509.MarshalPKIXPublicKey(r.PublicKey)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ca.ErrRejected, err)
	}
	in := &ca.Intent{
		Serial: template.SerialNumber.Bytes(), TBSHash: sha256.Sum256(tbs), KeyHash: sha256.Sum256(spki),
		Profile: r.Profile, Version: m.Version, NotBefore: template.NotBefore, NotAfter: template.NotAfter,
	}
	if err := r.Record(ctx, in); err != nil {
		return nil, fmt.Errorf("record: %w", err)
	}
	if now.after != nil {
		return nil, now.after
	}
	return m.sign(tbs, in)
}

// turn is a serial number and what one call was told to do.
type turn struct {
	before, after error
	number        int64
}

func (m *Memory) turn() turn {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.serial++
	return turn{m.before, m.after, m.serial}
}

func (m *Memory) template(r *ca.Request, number int64) (*x509.Certificate, error) {
	subject, err := asn1.Marshal(r.Subject)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ca.ErrRejected, err)
	}
	now := m.Now().UTC().Truncate(time.Second)
	template := &x509.Certificate{
		SerialNumber: new(big.Int).Add(new(big.Int).Lsh(big.NewInt(1), 127), big.NewInt(number)),
		RawSubject:   subject, NotBefore: now, NotAfter: now.Add(m.Lifetime), KeyUsage: x509.KeyUsageDigitalSignature,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
		DNSNames:    r.Names.DNS, IPAddresses: r.Names.IP, EmailAddresses: r.Names.Email, URIs: r.Names.URI,
	}
	if !r.NotBefore.IsZero() {
		template.NotBefore = r.NotBefore.UTC().Truncate(time.Second)
	}
	if !r.NotAfter.IsZero() {
		template.NotAfter = r.NotAfter.UTC().Truncate(time.Second)
	}
	if template.NotAfter.After(now.Add(m.Lifetime)) {
		return nil, fmt.Errorf("%w: the end %s is after what the profile allows", ca.ErrRejected, template.NotAfter)
	}
	if len(r.Names.Other) > 0 {
		return nil, fmt.Errorf("%w: this issuer knows no other names", ca.ErrRejected)
	}
	return template, nil
}

// tbs has crypto/x509 build the certificate with a key that is then forgotten,
// and keeps the part that is to be signed.
func (m *Memory) tbs(template *x509.Certificate, pub crypto.PublicKey) ([]byte, error) {
	scratch, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	parent := *m.root
	parent.PublicKey = scratch.Public()
	der, err := x509.CreateCertificate(rand.Reader, template, &parent, pub, scratch)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ca.ErrRejected, err)
	}
	parsed, err := x509.ParseCertificate(der)
	if err != nil {
		return nil, err
	}
	return parsed.RawTBSCertificate, nil
}

// sign puts the root's signature under tbs.
func (m *Memory) sign(tbs []byte, in *ca.Intent) (*ca.Certificate, error) {
	digest := sha256.Sum256(tbs)
	signature, err := m.key.Sign(rand.Reader, digest[:], crypto.SHA256)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ca.ErrUnavailable, err)
	}
	raw, err := asn1.Marshal(struct {
		TBS       asn1.RawValue
		Algorithm pkix.AlgorithmIdentifier
		Signature asn1.BitString
	}{
		asn1.RawValue{FullBytes: tbs},
		pkix.AlgorithmIdentifier{Algorithm: asn1.ObjectIdentifier{1, 2, 840, 10045, 4, 3, 2}},
		asn1.BitString{Bytes: signature, BitLength: 8 * len(signature)},
	})
	if err != nil {
		return nil, err
	}
	c := &ca.Certificate{
		Raw: raw, Serial: in.Serial, NotBefore: in.NotBefore, NotAfter: in.NotAfter, Profile: in.Profile, Version: in.Version,
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.issued = append(m.issued, c)
	return c, nil
}

// CRL implements ca.CRLIssuer.
func (m *Memory) CRL(ctx context.Context, list *ca.RevocationList) ([]byte, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	template := &x509.RevocationList{Number: big.NewInt(list.Number), ThisUpdate: list.ThisUpdate, NextUpdate: list.NextUpdate}
	for _, r := range list.Revoked {
		template.RevokedCertificateEntries = append(template.RevokedCertificateEntries, x509.RevocationListEntry{
			SerialNumber: new(big.Int).SetBytes(r.Serial), RevocationTime: r.At, ReasonCode: r.Reason,
		})
	}
	return x509.CreateRevocationList(rand.Reader, template, m.root, m.key)
}
