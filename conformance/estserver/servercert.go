package estserver

import (
	"context"
	"crypto/ecdsa"
	"crypto/rsa"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"slices"
	"strings"

	"github.com/briskest/briskest/conformance"
	"github.com/briskest/briskest/conformance/wire"
)

// serverCertificates: how the server shows who it is.
func serverCertificates() []check {
	return slices.Concat(
		in("RFC 7030, Section 3.3.1",
			check{
				ID: "RFC7030-3.3.1-1", Level: must, Text: "the server's certificate chains to the anchor that clients are given, and names the host",
				Requirements: rows("EST-7030-3.3.1-01"), Run: runServerChain,
			},
			check{
				ID: "RFC7030-3.3.1-2", Level: must, Text: "the server's certificate follows the profile of RFC 5280",
				Requirements: rows("EST-7030-3.3.1-02"), Run: serverCertificate(profileOf),
			},
		),
		in("RFC 7030, Section 3.6.1",
			check{
				ID: "RFC7030-3.6.1-1", Level: should, Text: "the server's certificate has the extended key usage id-kp-cmcRA beside serverAuth",
				Requirements: rows("EST-7030-3.6.1-02"), Run: serverCertificate(isRA),
			},
		),
		in("RFC 9325, Section 4.5",
			check{
				ID: "RFC9325-4.5-1", Level: must, Text: "the keys in the server's chain are strong enough",
				Requirements: rows("EST-9325-4.5-01"), Run: eachOfChain(strongKey),
			},
			check{
				ID: "RFC9325-4.5-2", Level: must, Text: "no certificate in the server's chain is signed with SHA-1 or MD5",
				Requirements: rows("EST-9325-4.5-01"), Run: eachOfChain(strongSignature),
			},
		),
	)
}

func runServerChain(ctx context.Context, t *Target) error {
	c, err := t.Dial(ctx, &wire.Options{})
	if err != nil {
		return err
	}
	return c.Close()
}

// chain is what the server sends in the handshake, whether it verifies or not.
func (t *Target) chain(ctx context.Context) ([]*x509.Certificate, error) {
	c, err := t.Dial(ctx, &wire.Options{Untrusted: true})
	if err != nil {
		return nil, err
	}
	defer c.Close()
	conformance.Record(ctx, conformance.Exchange{
		Sent: "TLS handshake", Came: fmt.Sprintf("%s, %d certificates", tls.VersionName(c.State().Version), len(c.State().PeerCertificates)),
	})
	return c.State().PeerCertificates, nil
}

func serverCertificate(judge func(*x509.Certificate) error) func(context.Context, *Target) error {
	return func(ctx context.Context, t *Target) error {
		chain, err := t.chain(ctx)
		if err != nil {
			return err
		}
		return judge(chain[0])
	}
}

func eachOfChain(judge func(*x509.Certificate) error) func(context.Context, *Target) error {
	return func(ctx context.Context, t *Target) error {
		chain, err := t.chain(ctx)
		if err != nil {
			return err
		}
		for _, c := range chain {
			if err := judge(c); err != nil {
				return err
			}
		}
		return nil
	}
}

// profileOf judges what RFC 5280, Section 4.1.2 and 4.2.1 ask of a server's
// certificate.
func profileOf(c *x509.Certificate) error {
	switch {
	case c.Version != 3:
		return fmt.Errorf("the server's certificate is of version %d, want 3", c.Version)
	case c.SerialNumber.Sign() <= 0 || len(c.SerialNumber.Bytes()) > 20:
		return fmt.Errorf("the serial number %x is not positive, or longer than 20 octets", c.SerialNumber)
	case len(c.DNSNames)+len(c.IPAddresses)+len(c.URIs) == 0:
		return fmt.Errorf("the server's certificate has no SubjectAltName with its name")
	case c.IsCA:
		return fmt.Errorf("the server's certificate is a CA's")
	case c.KeyUsage != 0 && c.KeyUsage&(x509.KeyUsageDigitalSignature|x509.KeyUsageKeyEncipherment|x509.KeyUsageKeyAgreement) == 0:
		return fmt.Errorf("the key usage %d is for nothing that TLS does", c.KeyUsage)
	case len(c.ExtKeyUsage)+len(c.UnknownExtKeyUsage) > 0 && !slices.Contains(c.ExtKeyUsage, x509.ExtKeyUsageServerAuth) && !slices.Contains(c.ExtKeyUsage, x509.ExtKeyUsageAny):
		return fmt.Errorf("the extended key usage is not for servers")
	case len(c.UnhandledCriticalExtensions) > 0:
		return fmt.Errorf("the critical extension %v is not one of RFC 5280", c.UnhandledCriticalExtensions[0])
	default:
		return nil
	}
}

func isRA(c *x509.Certificate) error {
	if !slices.ContainsFunc(c.UnknownExtKeyUsage, oidCMCRA.Equal) || !slices.Contains(c.ExtKeyUsage, x509.ExtKeyUsageServerAuth) {
		return fmt.Errorf("the extended key usages are %v and %v, want serverAuth and %v", c.ExtKeyUsage, c.UnknownExtKeyUsage, oidCMCRA)
	}
	return nil
}

func strongKey(c *x509.Certificate) error {
	switch key := c.PublicKey.(type) {
	case *rsa.PublicKey:
		if key.N.BitLen() < 2048 {
			return fmt.Errorf("the certificate of %q has an RSA key of %d bits", c.Subject, key.N.BitLen())
		}
	case *ecdsa.PublicKey:
		if bits := key.Curve.Params().BitSize; bits < 224 {
			return fmt.Errorf("the certificate of %q has a key on a curve of %d bits", c.Subject, bits)
		}
	}
	return nil
}

// An anchor's own signature is not used for anything.
func strongSignature(c *x509.Certificate) error {
	if name := c.SignatureAlgorithm.String(); (strings.Contains(name, "SHA1") || strings.Contains(name, "MD5")) && !isRoot(c) {
		return fmt.Errorf("the certificate of %q is signed with %s", c.Subject, name)
	}
	return nil
}
