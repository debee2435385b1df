package est

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/asn1"
	"errors"
	"fmt"
	"slices"
	"time"
)

// Store tells which database of trust anchors verified a server (RFC 7030, Section 3.3.1).
type Store int

// The databases.
const (
	StoreCaller   Store = iota // Client.TLSConfig's VerifyConnection
	StoreExplicit              // Client.Roots
	StoreImplicit              // Client.Implicit
)

// String returns "caller", "explicit" or "implicit".
func (s Store) String() string {
	switch s {
	case StoreExplicit:
		return "explicit"
	case StoreImplicit:
		return "implicit"
	default:
		return "caller"
	}
}

// Server is what a handshake found out about the server.
type Server struct {
	// Store is which anchors verified it, and so which rule authorized it.
	Store Store
	// RA is true where id-kp-cmcRA authorized it and no name did (RFC 7030, Section 3.6.1).
	RA bool
	// Chain is its certificate first, an anchor last; with StoreCaller, what it presented.
	Chain []*x509.Certificate
}

// verifier authenticates one server and authorizes it.
type verifier struct {
	explicit, implicit *x509.CertPool
	// names are the hosts of the configured URI and of each redirect, in this order.
	names []string
	now   time.Time
}

// verify verifies the server's chain (RFC 5280, Section 6) to the explicit anchors or else to the implicit ones, and
// then, by the rule of those that did, that the server is the one that was meant (RFC 7030, Section 3.6).
func (v *verifier) verify(presented []*x509.Certificate) (*Server, error) {
	if len(presented) == 0 {
		return nil, errors.New("the server presented no certificate")
	}
	leaf := presented[0]
	refused := errors.New("there are no trust anchors")
	if v.explicit != nil {
		chains, err := v.chains(presented, v.explicit, isRA(leaf))
		if err == nil {
			return v.authorizeExplicit(leaf, chains[0])
		}
		refused = err
	}
	if v.implicit != nil {
		chains, err := v.chains(presented, v.implicit, false)
		if err == nil {
			return v.authorizeImplicit(leaf, chains[0])
		}
		if v.explicit == nil {
			refused = err
		}
	}
	return nil, &tls.CertificateVerificationError{UnverifiedCertificates: presented, Err: refused}
}

// chains builds paths to anchors. A registration authority's certificate need not be for TLS servers; the CAs above
// it must not be limited to other purposes than either.
func (v *verifier) chains(presented []*x509.Certificate, anchors *x509.CertPool, ra bool) ([][]*x509.Certificate, error) {
	opts := x509.VerifyOptions{
		Roots: anchors, Intermediates: x509.NewCertPool(), CurrentTime: v.now,
		KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}
	for _, c := range presented[1:] {
		opts.Intermediates.AddCert(c)
	}
	if !ra {
		return presented[0].Verify(opts)
	}
	opts.KeyUsages = []x509.ExtKeyUsage{x509.ExtKeyUsageAny}
	chains, err := presented[0].Verify(opts)
	if err != nil {
		return nil, err
	}
	chains = slices.DeleteFunc(chains, func(chain []*x509.Certificate) bool {
		return slices.ContainsFunc(chain[1:], otherPurpose)
	})
	if len(chains) == 0 {
		return nil, x509.CertificateInvalidError{Cert: presented[0], Reason: x509.IncompatibleUsage}
	}
	return chains, nil
}

// otherPurpose reports whether a CA is limited to purposes that are none of an EST server's.
func otherPurpose(c *x509.Certificate) bool {
	if len(c.ExtKeyUsage) == 0 && len(c.UnknownExtKeyUsage) == 0 {
		return false
	}
	return !isRA(c) && !slices.ContainsFunc(c.ExtKeyUsage, func(u x509.ExtKeyUsage) bool {
		return u == x509.ExtKeyUsageAny || u == x509.ExtKeyUsageServerAuth
	})
}

// authorizeExplicit wants the configured name, or the one of the last redirect, or a registration authority
// (RFC 7030, Section 3.6.1).
func (v *verifier) authorizeExplicit(leaf *x509.Certificate, chain []*x509.Certificate) (*Server, error) {
	err := leaf.VerifyHostname(v.names[0])
	if err != nil && len(v.names) > 1 {
		err = leaf.VerifyHostname(v.names[len(v.names)-1])
	}
	switch {
	case err == nil:
		return &Server{Store: StoreExplicit, Chain: chain}, nil
	case isRA(leaf):
		return &Server{Store: StoreExplicit, Chain: chain, RA: true}, nil
	}
	return nil, fmt.Errorf("it has no id-kp-cmcRA, and: %w", &tls.CertificateVerificationError{UnverifiedCertificates: chain, Err: err})
}

// authorizeImplicit wants the configured name and that of each redirect (RFC 7030, Section 3.6.2).
func (v *verifier) authorizeImplicit(leaf *x509.Certificate, chain []*x509.Certificate) (*Server, error) {
	for _, name := range v.names {
		if err := leaf.VerifyHostname(name); err != nil {
			return nil, &tls.CertificateVerificationError{UnverifiedCertificates: chain, Err: err}
		}
	}
	return &Server{Store: StoreImplicit, Chain: chain}, nil
}

// isRA reports whether c has the extended key usage id-kp-cmcRA (RFC 6402, Section 2.10).
func isRA(c *x509.Certificate) bool {
	cmcRA := asn1.ObjectIdentifier{1, 3, 6, 1, 5, 5, 7, 3, 28}
	return slices.ContainsFunc(c.UnknownExtKeyUsage, cmcRA.Equal)
}
