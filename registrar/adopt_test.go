package registrar_test

import (
	"context"
	"crypto/rand"
	"crypto/x509"
	"encoding/hex"
	"math/big"
	"testing"

	"github.com/briskest/briskest/internal/testpki"
	"github.com/briskest/briskest/registrar"
)

// beforeStore has certificates from before there were several issuers.
type beforeStore struct {
	registrar.Store
	rows    []*registrar.Certificate
	adopted chan []*registrar.Certificate
}

func (s *beforeStore) ListCertificates(ctx context.Context, q *registrar.CertificateQuery) ([]*registrar.Certificate, error) {
	if q.Unadopted {
		return s.rows, nil
	}
	return s.Store.ListCertificates(ctx, q)
}

func (s *beforeStore) Commit(ctx context.Context, c *registrar.Change) error {
	if len(c.Adopted) == 0 {
		return s.Store.Commit(ctx, c)
	}
	s.adopted <- c.Adopted
	return s.Store.Commit(ctx, &registrar.Change{Trail: c.Trail})
}

// A row is adopted by the CA whose key has signed it, whatever names are in it.
func TestCertificatesFromBeforeAreAdoptedByTheCAThatSignedThem(t *testing.T) {
	h := newHouse(t, nil)
	h.service.Close()
	key := testpki.NewKey(t)
	sign := func(by *testpki.Identity) *registrar.Certificate {
		number := big.NewInt(0x4711)
		raw, err := x509.CreateCertificate(rand.Reader, &x509.Certificate{SerialNumber: number, NotBefore: h.now(), NotAfter: h.now()}, by.Certificate, key.Public(), by.Key)
		if err != nil {
			t.Fatal(err)
		}
		return &registrar.Certificate{Domain: registrar.DefaultDomain, ID: hex.EncodeToString(number.Bytes()), Serial: number.Bytes(), Raw: raw}
	}
	twin := testpki.NewRoot(t, "x").NewIntermediate(t, h.ca.Certificate.Subject.CommonName) // of the same name
	store := &beforeStore{Store: h.store, rows: []*registrar.Certificate{sign(h.ca), sign(twin)}, adopted: make(chan []*registrar.Certificate, 1)}
	h.reads.Store = store
	h.start()
	got := <-store.adopted
	if len(got) != 1 || got[0].Issuer != registrar.DefaultIssuer || got[0].Authority != registrar.AuthorityOf(h.ca.Certificate) {
		t.Errorf("adopted %+v; want the first row, by the default issuer", got)
	}
	h.service.Close()
	if n := len(h.entries(registrar.KindCertificatesAdopted)); n != 1 {
		t.Errorf("%d entries about it, want 1", n)
	}
}
