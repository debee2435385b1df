package brskimasa

import (
	"context"
	"crypto/rand"
	"crypto/x509"
	"fmt"
	"math/big"
	"net/http"
	"time"
)

// runRevoked has two registrars whose certificates name a list that the suite
// serves: the one that is not on it gets a voucher, the other one does not.
func runRevoked(ctx context.Context, t *Target) error {
	if t.Revocation == nil {
		return skipf("this takes an address that the MASA fetches a revocation list from; give one with --crl-listen")
	}
	d, err := t.registrars(ctx)
	if err != nil {
		return err
	}
	lists := func(c *x509.Certificate) {
		c.CRLDistributionPoints = []string{"http://" + t.Revocation.Addr().String() + "/conformance.crl"}
	}
	good, err := d.newRegistrar(lists, nil)
	if err != nil {
		return err
	}
	bad, err := d.newRegistrar(lists, nil)
	if err != nil {
		return err
	}
	list, err := x509.CreateRevocationList(rand.Reader, &x509.RevocationList{
		Number: big.NewInt(time.Now().Unix()), ThisUpdate: time.Now().Add(-time.Minute), NextUpdate: time.Now().Add(time.Hour),
		RevokedCertificateEntries: []x509.RevocationListEntry{{SerialNumber: leafOf(bad).SerialNumber, RevocationTime: time.Now().Add(-time.Minute)}},
	}, leafOf(d.ca), key(d.ca))
	if err != nil {
		return fmt.Errorf("revocation list: %w", err)
	}
	server := &http.Server{ReadHeaderTimeout: 5 * time.Second, Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/pkix-crl")
		_, _ = w.Write(list) // a MASA that went away has no list
	})}
	go func() { _ = server.Serve(t.Revocation) }() // ends with Close
	defer server.Close()
	x, err := t.ask(ctx, asking{registrar: good})
	switch {
	case err != nil:
		return err
	case !x.answer.OK():
		return skipf("%v to a registrar that is not on its list: can the MASA fetch it?", x.answer)
	}
	return refused(just(asking{registrar: bad}))(ctx, t)
}
