package masa

import (
	"crypto/x509"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/briskest/briskest/est"
)

// KnownRegistrar is a domain that has a budget of its own, such as a customer
// with many devices.
type KnownRegistrar struct {
	Name string // for people; each has another
	// Certificates are its domain CA's, or its registrars' own. A registrar is
	// known by a chain that has the key of one. At least one.
	Certificates []*x509.Certificate
	// RequestsPerMinute is how many requests all its registrars together may
	// make within a minute. Over TLS connections with a certificate of its own
	// that is in place of the budget of the address. At least 1.
	RequestsPerMinute int
	// Cloud lets it ask on behalf of a device's owner, which needs est-domain on
	// record, for a voucher that pins the owner (draft-ietf-anima-brski-cloud-20,
	// Section 3.2.3), and read the device's audit-log with that request. Its
	// certificates are anchors beside RegistrarAnchors then.
	Cloud bool

	pool *x509.CertPool
}

// checkRegistrars fills in what is known from the registrars with budgets of
// their own.
func (s *Settings) checkRegistrars() error {
	if s.RegistrarRequestsPerMinute == 0 {
		s.RegistrarRequestsPerMinute = s.RequestsPerMinute
	}
	if s.RegistrarRequestsPerMinute < 0 {
		return fmt.Errorf("the limit of requests of a registrar is %d a minute, want at least 1", s.RegistrarRequestsPerMinute)
	}
	s.Registrars = slices.Clone(s.Registrars)
	s.clouds = nil
	s.registrarKeys = make(map[[32]byte]*KnownRegistrar)
	names := make(map[string]bool)
	for i := range s.Registrars {
		k := &s.Registrars[i]
		switch {
		case k.Name == "" || names[k.Name]:
			return fmt.Errorf("registrar %d is named %q; each needs a name of its own", i+1, k.Name)
		case len(k.Certificates) == 0:
			return fmt.Errorf("registrar %q has no certificate", k.Name)
		case k.RequestsPerMinute < 1:
			return fmt.Errorf("registrar %q: the limit of requests is %d a minute, want at least 1", k.Name, k.RequestsPerMinute)
		}
		names[k.Name] = true
		k.pool = x509.NewCertPool()
		for _, c := range k.Certificates {
			if s.registrarKeys[keyHash(c)] != nil {
				return fmt.Errorf("registrar %q: %w", k.Name, errors.New("one of its certificates is another's too"))
			}
			k.pool.AddCert(c)
			s.registrarKeys[keyHash(c)] = k
			if k.Cloud {
				s.clouds = append(s.clouds, c)
			}
		}
	}
	return nil
}

// knownClient returns the registrar whose TLS client certificate the peer has
// shown that it holds the key of, or nil. Other members of the domain do not
// use up its budget.
func (s *Settings) knownClient(peer *est.Peer, at time.Time) *KnownRegistrar {
	if peer == nil || len(peer.Certificates) == 0 || !isRegistrar(peer.Certificates[0]) {
		return nil
	}
	for i := range s.Registrars {
		k := &s.Registrars[i]
		if _, err := peer.Verify(x509.VerifyOptions{Roots: k.pool, CurrentTime: at, KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageAny}}); err == nil {
			return k
		}
	}
	return nil
}
