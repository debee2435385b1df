package estserver_test

import (
	"context"
	"crypto"
	"crypto/rand"
	"crypto/x509"
	"encoding/asn1"
	"math/big"
	"net/http"
	"sync"
	"testing"
	"time"

	"github.com/briskest/briskest/est"
	"github.com/briskest/briskest/est/esttest"
	"github.com/briskest/briskest/internal/testpki"
)

// backend is the small backend of the library's tests with all that EST can
// have: CMC, packages, CSR attributes with a template, a label where requests
// wait, a root that has changed, and revocation.
type backend struct {
	*esttest.KeyBackend
	t        testing.TB
	rollover []*x509.Certificate // new root, and both certificates between the roots
	signer   *testpki.Identity   // of CMC
	bend     func(r *est.CMCRequest, reply *cmcReply)

	mu      sync.Mutex
	revoked map[string]bool // by serial number; guarded by mu
}

var (
	_ est.FullCMCer   = (*backend)(nil)
	_ est.Distributor = (*backend)(nil)
)

func newBackend(t testing.TB) *backend {
	b := &backend{KeyBackend: &esttest.KeyBackend{Backend: esttest.New(t)}, t: t, revoked: make(map[string]bool)}
	b.Labels = []string{"label", "pending"}
	b.Attrs = wishes(t)
	b.rollover = b.changeRoot(t)
	b.signer = b.CA.Registrar(t, "RA")
	return b
}

// changeRoot puts the CA below a root whose key we have, and makes a second
// root of its name with the certificates between them.
func (b *backend) changeRoot(t testing.TB) []*x509.Certificate {
	old := testpki.NewRoot(t, "EST test root")
	b.CA = old.NewIntermediate(t, "EST test CA")
	key := testpki.NewKey(t)
	template := *old.Certificate
	template.NotBefore = template.NotBefore.Add(time.Minute)
	template.SubjectKeyId, template.AuthorityKeyId = nil, nil
	made := func(parent *x509.Certificate, public crypto.PublicKey, signer crypto.Signer) *x509.Certificate {
		template.SerialNumber = new(big.Int).Add(template.SerialNumber, big.NewInt(1))
		template.SubjectKeyId = nil
		if public.(interface{ Equal(crypto.PublicKey) bool }).Equal(old.Key.Public()) {
			template.SubjectKeyId = old.Certificate.SubjectKeyId
		}
		der, err := x509.CreateCertificate(rand.Reader, &template, parent, public, signer)
		if err != nil {
			t.Fatal(err)
		}
		cert, err := x509.ParseCertificate(der)
		if err != nil {
			t.Fatal(err)
		}
		return cert
	}
	self := template
	self.PublicKey, self.SubjectKeyId = key.Public(), nil
	root := made(&self, key.Public(), key)
	return []*x509.Certificate{root, made(old.Certificate, key.Public(), old.Key), made(root, old.Key.Public(), key)}
}

// CACerts is the CA, the root, and what came with the change of roots.
func (b *backend) CACerts(ctx context.Context, r *est.Request) ([]*x509.Certificate, error) {
	certs, err := b.KeyBackend.CACerts(ctx, r)
	return append(certs, b.rollover...), err
}

// Enroll lets requests wait, knows what is revoked, and has ordinary holders of
// certificates enroll nobody but themselves.
func (b *backend) Enroll(ctx context.Context, r *est.EnrollRequest) ([]byte, error) {
	if r.Label == "pending" {
		return nil, &est.Error{Status: http.StatusAccepted, Reason: "waiting", Message: "Not decided yet.", RetryAfter: time.Minute}
	}
	if certs := r.Peer.Certificates; len(certs) > 0 {
		b.mu.Lock()
		revoked := b.revoked[certs[0].SerialNumber.String()]
		b.mu.Unlock()
		if revoked || r.Operation == est.OpSimpleEnroll && !isRA(certs[0]) && string(certs[0].RawSubject) != string(r.CSR.RawSubject) {
			return nil, &est.Error{Status: http.StatusForbidden, Reason: "not-yours", Message: "That is not for this certificate."}
		}
	}
	return b.KeyBackend.Enroll(ctx, r)
}

// CheckLink lets registration authorities pass on what is linked to others.
func (b *backend) CheckLink(_ context.Context, r *est.EnrollRequest) error {
	if len(r.Peer.Certificates) > 0 && isRA(r.Peer.Certificates[0]) {
		return nil
	}
	return est.LinkPolicy{}.Check(r)
}

func isRA(c *x509.Certificate) bool {
	for _, usage := range c.UnknownExtKeyUsage {
		if usage.Equal(asn1.ObjectIdentifier{1, 3, 6, 1, 5, 5, 7, 3, 28}) {
			return true
		}
	}
	return false
}

// Packages is a list for those with a certificate.
func (b *backend) Packages(_ context.Context, r *est.Request) ([]est.Package, error) {
	if len(r.Peer.Certificates) == 0 {
		return nil, &est.Error{Status: http.StatusForbidden, Reason: "certificate-missing", Message: "Present a certificate."}
	}
	return []est.Package{
		{Type: est.PackageCACertificates, Size: 1000, Info: est.PackageInfo{URI: "https://est.example/.well-known/est/cacerts"}, Date: time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)},
		{Type: est.PackageCRL, Size: 500, Info: est.PackageInfo{URI: "https://est.example/.well-known/est/crls"}},
		{Type: est.PackageEnroll, Size: 700, Info: est.PackageInfo{URI: "https://est.example/.well-known/est/simpleenroll"}},
		{Type: est.PackageMore, Size: 100, Info: est.PackageInfo{URI: "https://est.example/.well-known/est/pal/2"}},
	}, nil
}

// EECerts is the server's own certificate.
func (b *backend) EECerts(context.Context, *est.Request) ([]*x509.Certificate, error) {
	return []*x509.Certificate{b.signer.Certificate}, nil
}

// CRLs is an empty list.
func (b *backend) CRLs(context.Context, *est.Request) ([][]byte, error) {
	crl, err := x509.CreateRevocationList(rand.Reader, &x509.RevocationList{
		Number: big.NewInt(1), ThisUpdate: time.Now(), NextUpdate: time.Now().Add(time.Hour),
	}, b.CA.Certificate, b.CA.Key)
	return [][]byte{crl}, err
}

// wishes is a list of CSR attributes with a template.
func wishes(t testing.TB) []byte {
	t.Helper()
	oid := func(numbers ...int) []byte {
		der, err := asn1.Marshal(asn1.ObjectIdentifier(numbers))
		if err != nil {
			t.Fatal(err)
		}
		return der
	}
	usage := est.PlannedExtension{ID: asn1.ObjectIdentifier{2, 5, 29, 15}, Critical: true, Value: []byte{3, 2, 7, 0x80}}
	template, err := (&est.CSRTemplate{
		Subject:    [][]est.SubjectAttribute{{{Type: asn1.ObjectIdentifier{2, 5, 4, 3}}}},
		Extensions: []est.PlannedExtension{usage},
	}).Marshal()
	if err != nil {
		t.Fatal(err)
	}
	extension, err := asn1.Marshal([]struct {
		ID       asn1.ObjectIdentifier
		Critical bool
		Value    []byte
	}{{usage.ID, true, usage.Value}})
	if err != nil {
		t.Fatal(err)
	}
	der, err := (&est.CSRAttrs{Items: []est.Attribute{
		{OID: asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 9, 16, 2, 58}, Bare: true},
		{OID: asn1.ObjectIdentifier{1, 2, 840, 10045, 2, 1}, Values: [][]byte{oid(1, 2, 840, 10045, 3, 1, 7)}},
		{OID: asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 9, 14}, Values: [][]byte{extension}},
		{OID: asn1.ObjectIdentifier{1, 2, 840, 10045, 4, 3, 2}, Bare: true},
		{OID: asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 9, 16, 2, 61}, Values: [][]byte{template}},
	}}).Marshal()
	if err != nil {
		t.Fatal(err)
	}
	return der
}
