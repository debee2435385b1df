package masa

import (
	"bytes"
	"context"
	"crypto/sha256"
	"crypto/x509"
	"time"

	"github.com/briskest/briskest/brski"
	"github.com/briskest/briskest/internal/recent"
)

// understand reads and checks a request, within the budget of its address. The
// request that a registrar got a voucher for is the one that it asks for the
// audit-log with (RFC 8995, Section 5.8), so what came of it is recalled for a moment.
func (s *Service) understand(ctx context.Context, x *exchange, r *brski.MASARequest) error {
	if err := s.withinBudget(x, r.Peer); err != nil {
		return err
	}
	if err := x.begin(r); err != nil {
		return err
	}
	if !s.memory.recall(x) {
		if err := x.read(s.memory, r.Raw); err != nil {
			return err
		}
		if err := s.check(ctx, x); err != nil {
			return err
		}
		s.memory.keep(x)
	}
	x.known = x.settings.RegistrarAnchors != nil
	return nil
}

// memory holds what was found out about requests and registrars a moment ago,
// under the settings of then. Whether a certificate is revoked is not among it.
type memory struct {
	requests   *recent.Map[[sha256.Size]byte, *understood]
	registrars *recent.Map[[sha256.Size]byte, *registrarChains]
	// certificates that registrars sent with their requests, by their DER. What
	// one says holds for ever.
	certificates *recent.Map[[sha256.Size]byte, *x509.Certificate]
	// issuers are CAs that IDevIDs came from, by product and name.
	issuers *recent.Map[[sha256.Size]byte, *issuingCA]
}

const (
	// A request and the artifacts in it may have hundreds of kilobytes.
	maxRememberedRequests   = 64
	maxRememberedRegistrars = 1024
	// Certificates of usual size, some 10 KB each with what they were parsed to.
	maxRememberedCertificates = 1024
	maxRememberedDER          = 4 << 10
	maxRememberedIssuers      = 64
	// rememberedFor bounds how much later than it was checked a certificate
	// counts as valid.
	rememberedFor = 30 * time.Second
)

type understood struct {
	checked
	settings *Settings
	at       time.Time
}

type registrarChains struct {
	chains   [][]*x509.Certificate
	settings *Settings
	at       time.Time
}

func newMemory() *memory {
	return &memory{
		requests:   recent.New[[sha256.Size]byte, *understood](maxRememberedRequests),
		registrars: recent.New[[sha256.Size]byte, *registrarChains](maxRememberedRegistrars),

		certificates: recent.New[[sha256.Size]byte, *x509.Certificate](maxRememberedCertificates),
		issuers:      recent.New[[sha256.Size]byte, *issuingCA](maxRememberedIssuers),
	}
}

// parsed returns the certificate with that DER if a registrar sent it lately.
func (m *memory) parsed(der []byte) *x509.Certificate {
	if len(der) > maxRememberedDER {
		return nil
	}
	c, _ := m.certificates.Get(sha256.Sum256(der))
	return c
}

// remember keeps the certificates that came with a registrar's request, without
// the request that they are parts of.
func (m *memory) remember(certs []*x509.Certificate) {
	for _, c := range certs {
		if len(c.Raw) > maxRememberedDER {
			continue
		}
		if own, err := x509.ParseCertificate(bytes.Clone(c.Raw)); err == nil {
			m.certificates.Put(sha256.Sum256(own.Raw), own)
		}
	}
}

// fresh tells whether what was found out then counts now.
func fresh(then, now time.Time) bool { return !now.Before(then) && now.Sub(then) < rememberedFor }

// requestKey is the request's bytes, how they were read, and who sent them.
func (x *exchange) requestKey() [sha256.Size]byte {
	h := sha256.New()
	h.Write(x.hash[:])
	h.Write([]byte(x.format.MediaType()))
	if x.remote {
		h.Write([]byte{1})
	}
	if x.client != nil {
		h.Write(x.client.Raw)
	}
	return [sha256.Size]byte(h.Sum(nil))
}

func (m *memory) keep(x *exchange) {
	m.requests.Put(x.requestKey(), &understood{x.checked, x.settings, x.at})
}

func (m *memory) recall(x *exchange) bool {
	u, ok := m.requests.Get(x.requestKey())
	if !ok || u.settings != x.settings || !fresh(u.at, x.at) {
		return false
	}
	x.checked = u.checked
	return true
}

// registrarKey is the signer with the CAs that travelled along: all that its
// chains are made of.
func (x *exchange) registrarKey() [sha256.Size]byte {
	h := sha256.New()
	h.Write(x.artifact.Signer.Raw) // DER says where it ends
	for _, c := range x.artifact.Certificates {
		if c.IsCA {
			h.Write(c.Raw)
		}
	}
	return [sha256.Size]byte(h.Sum(nil))
}
