package cmpca_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"sync"
	"testing"

	"github.com/briskest/briskest/ca"
	"github.com/briskest/briskest/ca/catest"
	"github.com/briskest/briskest/ca/cmpca"
	"github.com/briskest/briskest/ca/delegate"
	"github.com/briskest/briskest/ca/profile"
	"github.com/briskest/briskest/internal/cmp"
)

// house is a CA, an issuer that asks it, and what was recorded.
type house struct {
	t        testing.TB
	ca       *catest.CMP
	raKey    *ecdsa.PrivateKey
	settings cmpca.Settings

	mu      sync.Mutex
	intents []*ca.Intent // guarded by mu
}

func newKey(t testing.TB) *ecdsa.PrivateKey {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

// newHouse protects by signature and asks by p10cr. Fields of the CA and of the
// settings are changed before use.
func newHouse(t testing.TB) *house {
	t.Helper()
	h := &house{t: t, ca: catest.NewCMP(t), raKey: newKey(t)}
	h.ca.RA = h.ca.Certify("registrar", h.raKey, 28)
	h.settings = cmpca.Settings{
		URL: h.ca.URL(), Client: h.ca.Client(),
		Rules:     delegate.Rules{Profiles: map[string]*profile.Profile{"device": catest.DeviceProfile(t)}, Chain: h.ca.Chain()},
		Signature: &cmpca.SignatureSettings{Key: h.raKey, Certificate: h.ca.RA, Above: h.ca.Chain()},
	}
	return h
}

// byMAC protects both ways by a secret.
func (h *house) byMAC(pbmac1 bool) *house {
	secret := []byte("correct horse battery staple")
	h.ca.Secret = &cmp.MAC{Secret: secret, PBMAC1: pbmac1, Iterations: 100}
	h.settings.Signature, h.settings.MAC = nil, &cmpca.MACSettings{Secret: secret, Reference: "registrar-7", PBMAC1: pbmac1, Iterations: 100}
	return h
}

func (h *house) issuer() *cmpca.CA {
	h.t.Helper()
	c, err := cmpca.New(&h.settings)
	if err != nil {
		h.t.Fatal(err)
	}
	return c
}

func (h *house) request(id string) *ca.Request {
	h.t.Helper()
	key := newKey(h.t)
	subject := pkix.Name{CommonName: "device-1"}
	csr, err := x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{Subject: subject, DNSNames: []string{"device-1.example.com"}}, key)
	if err != nil {
		h.t.Fatal(err)
	}
	return &ca.Request{
		ID: id, Profile: "device", PublicKey: key.Public(), Subject: subject.ToRDNSequence(),
		Names: ca.Names{DNS: []string{"device-1.example.com"}}, CSR: csr,
		Record: func(_ context.Context, in *ca.Intent) error {
			h.mu.Lock()
			defer h.mu.Unlock()
			h.intents = append(h.intents, in)
			return nil
		},
	}
}

// again is the same request as an open intent has it asked for.
func (h *house) again(r *ca.Request, state []byte) *ca.Request {
	h.t.Helper()
	next := *r
	next.Asked, next.State = h.intents[len(h.intents)-1], state
	next.Record = func(context.Context, *ca.Intent) error {
		h.t.Error("Record was called twice")
		return nil
	}
	return &next
}
