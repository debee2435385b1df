package esttest_test

import (
	"crypto/x509"
	"errors"
	"testing"

	"github.com/briskest/briskest/est"
	"github.com/briskest/briskest/est/esttest"
	"github.com/briskest/briskest/internal/testpki"
)

func TestTheBackendServesAndFailsAsTold(t *testing.T) {
	b := esttest.New(t)
	b.Labels = []string{"ca1"}
	c := &est.Client{URL: b.Serve(&est.Handler{Backend: b}), Label: "ca1", Roots: b.Root(), User: "device", Password: "secret"}
	defer c.CloseIdleConnections()
	csr := testpki.CSR(t, &x509.CertificateRequest{}, testpki.NewKey(t))
	cert, err := c.SimpleEnroll(t.Context(), csr)
	if err != nil || len(b.Issued()) != 1 || !b.Issued()[0].Equal(cert) {
		t.Fatalf("SimpleEnroll: %v, %d issued", err, len(b.Issued()))
	}
	if r := b.TakeRefusals(); len(r) != 1 || r[0].Error.Status != 401 { // the challenge that the client answers
		t.Errorf("refusals of the first enrollment: %v", r)
	}
	b.FailBefore = errors.New("before")
	if _, err := c.SimpleEnroll(t.Context(), csr); err == nil || len(b.Issued()) != 1 {
		t.Errorf("told to fail before it issues: %v, %d issued", err, len(b.Issued()))
	}
	b.FailBefore, b.FailAfter = nil, errors.New("after")
	if _, err := c.SimpleEnroll(t.Context(), csr); err == nil || len(b.Issued()) != 2 {
		t.Errorf("told to fail after it issues: %v, %d issued", err, len(b.Issued()))
	}
	if r := b.TakeRefusals(); len(r) != 2 || len(b.TakeRefusals()) != 0 {
		t.Errorf("%d refusals observed, want 2, once", len(r))
	}
}
