package est_test

import (
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"testing"
	"time"

	"github.com/briskest/briskest/est"
	"github.com/briskest/briskest/internal/testpki"
)

// caBelow issues a CA with changes.
func caBelow(t *testing.T, above *testpki.Identity, name string, change func(c *x509.Certificate)) *testpki.Identity {
	c := &x509.Certificate{
		Subject: pkix.Name{CommonName: name}, IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageCRLSign,
	}
	change(c)
	return above.Issue(t, c, testpki.NewKey(t))
}

func deviceBelow(t *testing.T, above *testpki.Identity, change func(c *x509.Certificate)) *testpki.Identity {
	c := &x509.Certificate{
		Subject: pkix.Name{CommonName: "device"}, DNSNames: []string{"device.plant.example"}, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
	}
	change(c)
	return above.Issue(t, c, testpki.NewKey(t))
}

func critical(oid ...int) pkix.Extension {
	return pkix.Extension{Id: oid, Critical: true, Value: []byte{5, 0}}
}

// EST-7030-3.3.2-07, EST-5280-6.1-01: the certification path of a client is
// validated as RFC 5280, Section 6.1 says, along the lines of NIST's PKITS.
func TestTheCertificationPathOfAClientIsValidated(t *testing.T) {
	root := testpki.NewRoot(t, "root")
	plain := func(*x509.Certificate) {}
	// requireExplicitPolicy 0 (RFC 5280, Section 4.2.1.11)
	explicitPolicy := []pkix.Extension{{Id: asn1.ObjectIdentifier{2, 5, 29, 36}, Critical: true, Value: []byte{0x30, 3, 0x80, 1, 0}}}
	policyA, policyB := oid(t, 2, 999, 1), oid(t, 2, 999, 2)
	for what, c := range map[string]struct {
		ca, device func(c *x509.Certificate)
		good       bool
	}{
		"nothing odd":            {plain, plain, true},
		"a CA past its end":      {func(c *x509.Certificate) { c.NotBefore, c.NotAfter = ago(48), ago(24) }, plain, false},
		"a CA of the future":     {func(c *x509.Certificate) { c.NotBefore, c.NotAfter = ago(-24), ago(-48) }, plain, false},
		"a device past its end":  {plain, func(c *x509.Certificate) { c.NotBefore, c.NotAfter = ago(48), ago(24) }, false},
		"a device of the future": {plain, func(c *x509.Certificate) { c.NotBefore, c.NotAfter = ago(-24), ago(-48) }, false},
		"a CA that is none":      {func(c *x509.Certificate) { c.IsCA = false }, plain, false},
		"a CA without constraints": {func(c *x509.Certificate) {
			c.IsCA, c.BasicConstraintsValid = false, false
		}, plain, false},
		"a CA that may not sign certificates": {func(c *x509.Certificate) { c.KeyUsage = x509.KeyUsageCRLSign }, plain, false},
		"a CA with an unknown critical extension": {func(c *x509.Certificate) {
			c.ExtraExtensions = []pkix.Extension{critical(2, 999, 7)}
		}, plain, false},
		"a device with an unknown critical extension": {plain, func(c *x509.Certificate) {
			c.ExtraExtensions = []pkix.Extension{critical(2, 999, 7)}
		}, false},
		"a name that is permitted": {func(c *x509.Certificate) {
			c.PermittedDNSDomains, c.PermittedDNSDomainsCritical = []string{"plant.example"}, true
		}, plain, true},
		"a name that is not permitted": {func(c *x509.Certificate) {
			c.PermittedDNSDomains, c.PermittedDNSDomainsCritical = []string{"other.example"}, true
		}, plain, false},
		"a name that is excluded": {func(c *x509.Certificate) {
			c.ExcludedDNSDomains, c.PermittedDNSDomainsCritical = []string{"plant.example"}, true
		}, plain, false},
		"a device for servers only": {plain, func(c *x509.Certificate) { c.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth} }, false},
		"a CA for servers only":     {func(c *x509.Certificate) { c.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth} }, plain, false},
		"the policy that is required": {func(c *x509.Certificate) {
			c.Policies = []x509.OID{policyA}
			c.ExtraExtensions = explicitPolicy
		}, func(c *x509.Certificate) { c.Policies = []x509.OID{policyA} }, true},
		"another policy than is required": {func(c *x509.Certificate) {
			c.Policies = []x509.OID{policyA}
			c.ExtraExtensions = explicitPolicy
		}, func(c *x509.Certificate) { c.Policies = []x509.OID{policyB} }, false},
	} {
		ca := caBelow(t, root, "CA", c.ca)
		device := deviceBelow(t, ca, c.device)
		peer := &est.Peer{Certificates: []*x509.Certificate{device.Certificate, ca.Certificate}}
		_, err := peer.Verify(x509.VerifyOptions{Roots: root.Pool(), KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}})
		if (err == nil) != c.good {
			t.Errorf("%s: %v, want good %t", what, err, c.good)
		}
	}
}

// EST-5280-6.1-01: no more CAs than the path length allows.
func TestAPathThatIsTooLongIsRefused(t *testing.T) {
	root := testpki.NewRoot(t, "root")
	for length, good := range map[int]bool{0: false, 1: true} {
		upper := caBelow(t, root, "upper", func(c *x509.Certificate) { c.MaxPathLen, c.MaxPathLenZero = length, length == 0 })
		lower := caBelow(t, upper, "lower", func(*x509.Certificate) {})
		device := deviceBelow(t, lower, func(*x509.Certificate) {})
		peer := &est.Peer{Certificates: []*x509.Certificate{device.Certificate, lower.Certificate, upper.Certificate}}
		if _, err := peer.Verify(x509.VerifyOptions{Roots: root.Pool()}); (err == nil) != good {
			t.Errorf("path length %d with one CA below: %v, want good %t", length, err, good)
		}
	}
}

// ago is a time some hours ago; after now for a negative number.
func ago(hours int) time.Time { return time.Now().Add(-time.Duration(hours) * time.Hour) }

func oid(t *testing.T, numbers ...uint64) x509.OID {
	t.Helper()
	o, err := x509.OIDFromInts(numbers)
	if err != nil {
		t.Fatal(err)
	}
	return o
}
