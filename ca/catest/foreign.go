package catest

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"math/big"
	"sync"
	"testing"
	"time"
)

// Foreign is somebody else's CA, a root and an issuing one on P-256, for
// the fakes of servers that tests speak to. It signs what [Fault] says and keeps
// what it signed; how it is asked is the server's affair.
type Foreign struct {
	Root, Issuing *x509.Certificate
	// Key is that of Issuing.
	Key *ecdsa.PrivateKey

	t     testing.TB
	mu    sync.Mutex
	fault Fault    // guarded by mu
	last  int64    // serial number; guarded by mu
	all   [][]byte // guarded by mu
}

// Wish is what a Foreign is asked to sign.
type Wish struct {
	PublicKey  crypto.PublicKey
	RawSubject []byte   // DER
	DNS        []string // the names
	NotBefore  time.Time
	NotAfter   time.Time
}

// NewForeign makes a CA, valid from 1999 to 2040.
func NewForeign(t testing.TB) *Foreign {
	t.Helper()
	f := &Foreign{t: t, fault: None, last: 1 << 40}
	rootKey := newKey(t)
	f.Key = newKey(t)
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "foreign root"},
		NotBefore: time.Date(1999, 1, 1, 0, 0, 0, 0, time.UTC), NotAfter: time.Date(2040, 1, 1, 0, 0, 0, 0, time.UTC),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageCRLSign,
	}
	f.Root = f.create(template, template, rootKey.Public(), rootKey)
	issuing := *template
	issuing.SerialNumber, issuing.Subject = big.NewInt(2), pkix.Name{CommonName: "foreign issuing CA"}
	issuing.KeyUsage |= x509.KeyUsageDigitalSignature // it may sign CMP's messages
	f.Issuing = f.create(&issuing, f.Root, f.Key.Public(), rootKey)
	return f
}

// Chain is the issuing CA and the root.
func (f *Foreign) Chain() []*x509.Certificate { return []*x509.Certificate{f.Issuing, f.Root} }

// Fail sets the fault that later signatures have.
func (f *Foreign) Fail(fault Fault) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.fault = fault
}

// Fault returns it.
func (f *Foreign) Fault() Fault {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.fault
}

// Signed returns every certificate that was signed, DER.
func (f *Foreign) Signed() [][]byte {
	f.mu.Lock()
	defer f.mu.Unlock()
	return append([][]byte(nil), f.all...)
}

// Sign signs what is wished for, or what the fault makes of it.
func (f *Foreign) Sign(w *Wish) []byte {
	f.t.Helper()
	fault := f.Fault()
	template := &x509.Certificate{
		SerialNumber: f.next(), RawSubject: w.RawSubject, DNSNames: w.DNS, NotBefore: w.NotBefore, NotAfter: w.NotAfter,
		KeyUsage: x509.KeyUsageDigitalSignature, BasicConstraintsValid: true,
		// As most CAs do, whatever they are asked for.
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth, x509.ExtKeyUsageServerAuth},
	}
	pub, parent, key := w.PublicKey, f.Issuing, f.Key
	switch fault {
	case WrongKey:
		pub = newKey(f.t).Public()
	case WrongNames:
		template.DNSNames = []string{"somebody-else.example.com"}
	case MoreNames:
		template.DNSNames = append([]string{"more.example.com"}, w.DNS...)
	case TooLong:
		template.NotAfter = w.NotAfter.AddDate(5, 0, 0)
	case MakesCA:
		template.IsCA, template.KeyUsage = true, template.KeyUsage|x509.KeyUsageCertSign
	case MakesRA:
		template.UnknownExtKeyUsage = []asn1.ObjectIdentifier{{1, 3, 6, 1, 5, 5, 7, 3, 28}}
	case WrongIssuer:
		key = newKey(f.t)
		impostor := *f.Issuing
		impostor.PublicKey = key.Public()
		parent = &impostor
	}
	raw := f.create(template, parent, pub, key).Raw
	f.mu.Lock()
	defer f.mu.Unlock()
	f.all = append(f.all, raw)
	return raw
}

// Other signs a certificate for somebody else that nobody asked for; it is not
// among Signed.
func (f *Foreign) Other(w *Wish) []byte {
	f.t.Helper()
	return f.create(&x509.Certificate{
		SerialNumber: f.next(), RawSubject: w.RawSubject, DNSNames: w.DNS, NotBefore: w.NotBefore, NotAfter: w.NotAfter,
	}, f.Issuing, newKey(f.t).Public(), f.Key).Raw
}

func (f *Foreign) next() *big.Int {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.last++
	return big.NewInt(f.last)
}

func (f *Foreign) create(template, parent *x509.Certificate, pub crypto.PublicKey, key crypto.Signer) *x509.Certificate {
	f.t.Helper()
	der, err := x509.CreateCertificate(rand.Reader, template, parent, pub, key)
	if err != nil {
		f.t.Fatalf("catest: %v", err)
	}
	c, err := x509.ParseCertificate(der)
	if err != nil {
		f.t.Fatalf("catest: %v", err)
	}
	return c
}

func newKey(t testing.TB) *ecdsa.PrivateKey {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatalf("catest: %v", err)
	}
	return key
}
