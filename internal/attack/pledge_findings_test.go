package attack_test

import (
	"bytes"
	"context"
	"crypto"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"io"
	"log"
	"net/http/httptest"
	"path/filepath"
	"testing"

	brskipledge "github.com/briskest/briskest/brski/pledge"
	"github.com/briskest/briskest/est"
	"github.com/briskest/briskest/internal/testbed"
	"github.com/briskest/briskest/internal/testpki"
	"github.com/briskest/briskest/voucher/vouchercms"
)

// A domain may issue server certificates for the registrar's address to others
// than its registrar. Who holds one is not to take over an enrolled device's
// trust store.
func TestAnEnrolledPledgeTakesNoCACertificatesFromAnotherMember(t *testing.T) {
	bed := testbed.Once(t)
	member := memberCertificate(t, bed)
	mitm := httptest.NewUnstartedServer(&est.Handler{Backend: impostor{testpki.NewRoot(t, "evil").Certificate}})
	mitm.TLS = &tls.Config{MinVersion: tls.VersionTLS12, ClientAuth: tls.RequestClientCert, Certificates: []tls.Certificate{member}}
	mitm.Config.ErrorLog = log.New(io.Discard, "", 0)
	mitm.StartTLS()
	defer mitm.Close()
	id, err := tls.LoadX509KeyPair(filepath.Join(bed.Dir, "pledge/idevid.pem"), filepath.Join(bed.Dir, "pledge/idevid.key"))
	if err != nil {
		t.Fatal(err)
	}
	anchors := x509.NewCertPool()
	anchors.AppendCertsFromPEM(bed.Read(t, "masa/anchor.pem"))
	before := string(bed.Read(t, "pledge/cacerts.pem"))
	p, err := brskipledge.New(brskipledge.Config{
		IDevID: id, RegistrarURL: mitm.URL, Anchors: anchors, State: brskipledge.Dir(filepath.Join(bed.Dir, "pledge")), Format: vouchercms.Format{},
	})
	if err != nil {
		t.Fatal(err)
	}
	_, err = p.Renew(t.Context())
	var e *brskipledge.Error
	if !errors.As(err, &e) || e.Reason != brskipledge.ReasonNotPinned {
		t.Errorf("Renew at an impostor = %v, want reason %q", err, brskipledge.ReasonNotPinned)
	}
	if after := string(bed.Read(t, "pledge/cacerts.pem")); after != before {
		t.Error("the pledge's CA certificates were replaced by a member of the domain that is no registrar")
	}
}

// memberCertificate is one of the quickstart's domain for the registrar's address.
func memberCertificate(t *testing.T, bed *testbed.Bed) tls.Certificate {
	t.Helper()
	block, _ := pem.Decode(bed.Read(t, "registrar/ca/issuing.key"))
	if block == nil {
		t.Fatal("no key of the issuing CA")
	}
	caKey, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	if err != nil {
		t.Fatal(err)
	}
	signer, ok := caKey.(crypto.Signer)
	if !ok {
		t.Fatalf("the issuing CA's key is a %T", caKey)
	}
	public, err := x509.MarshalPKIXPublicKey(signer.Public())
	if err != nil {
		t.Fatal(err)
	}
	for rest := bed.Read(t, "pledge/cacerts.pem"); ; {
		if block, rest = pem.Decode(rest); block == nil {
			t.Fatal("the issuing CA is not among the pledge's CA certificates")
		}
		ca, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(ca.RawSubjectPublicKeyInfo, public) {
			continue
		}
		member := (&testpki.Identity{Certificate: ca, Key: signer}).Server(t, "sensor-7")
		return tls.Certificate{Certificate: [][]byte{member.Certificate.Raw, ca.Raw}, PrivateKey: member.Key}
	}
}

type impostor struct{ ca *x509.Certificate }

func (i impostor) CACerts(context.Context, *est.Request) ([]*x509.Certificate, error) {
	return []*x509.Certificate{i.ca}, nil
}

func (i impostor) Enroll(context.Context, *est.EnrollRequest) ([]byte, error) {
	return nil, &est.Error{Status: 500}
}
