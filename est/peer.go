package est

import (
	"crypto/x509"
	"errors"
	"log/slog"
	"net/http"
	"net/netip"
	"sync/atomic"
)

// MaxCertificates bounds the chain that a peer may present, its own certificate included. Real ones have four at most.
const MaxCertificates = 8

// ErrNoCertificate is what [Peer.Verify] returns for a peer that presented no certificate.
var ErrNoCertificate = errors.New("the peer presented no certificate")

// NewPeer reads from r who asks: the address of the connection, the chain that was presented in the TLS handshake and
// the HTTP credentials: Basic (RFC 7617, Section 2), Digest (RFC 7616, Section 3.4) or Bearer (RFC 6750, Section 2.1). Headers that claim another address or certificate are ignored: a
// proxy that should be believed is the caller's own decision. It decides nothing.
//
// An empty user with a password is a credential (RFC 7030, Section 3.2.3). Malformed credentials are none.
func NewPeer(r *http.Request) *Peer {
	p := &Peer{TLS: r.TLS}
	p.bindingUsed, _ = r.Context().Value(bindingKey{}).(*atomic.Bool)
	if address, err := netip.ParseAddrPort(r.RemoteAddr); err == nil {
		p.Address = address
	}
	if r.TLS != nil {
		p.Certificates = r.TLS.PeerCertificates
	}
	p.credentials(r)
	return p
}

// CheckCertificates refuses a peer that presented more than [MaxCertificates], as an *[Error] with status 403. Handlers
// ask it before anything else looks at the certificates.
func (p *Peer) CheckCertificates() *Error {
	if len(p.Certificates) <= MaxCertificates {
		return nil
	}
	return refuse(http.StatusForbidden, ReasonTooManyCertificates, "RFC 7030, Section 3.3.2",
		"The TLS client presented too many certificates. Present the client's own and those of its issuers, at most 8 in all.")
}

// Verify builds a chain from the peer's certificate to opts.Roots, with the certificates that the peer sent after it
// and opts.Intermediates in between (libest sends its leaf alone, strongSwan its chain). opts.KeyUsages empty means any:
// IDevIDs seldom have an extended key usage. It returns the first chain, leaf first. opts itself is not changed.
//
// Of certificates with one subject the first that the peer sent counts, and for one subject the second, so that what a
// chain costs is bounded.
//
// Errors: [ErrNoCertificate]; that of [Peer.CheckCertificates]; those of [x509.Certificate.Verify]. Revocation is not looked at.
func (p *Peer) Verify(opts x509.VerifyOptions) ([]*x509.Certificate, error) {
	if len(p.Certificates) == 0 {
		return nil, ErrNoCertificate
	}
	if e := p.CheckCertificates(); e != nil {
		return nil, e
	}
	if opts.Roots == nil {
		// Without this crypto/x509 would fall back to the system's roots.
		opts.Roots = x509.NewCertPool()
	}
	if len(opts.KeyUsages) == 0 {
		opts.KeyUsages = []x509.ExtKeyUsage{x509.ExtKeyUsageAny}
	}
	if len(p.Certificates) > 1 {
		pool := x509.NewCertPool()
		if opts.Intermediates != nil {
			pool = opts.Intermediates.Clone()
		}
		for _, c := range p.issuers() {
			pool.AddCert(c)
		}
		opts.Intermediates = pool
	}
	chains, err := p.Certificates[0].Verify(opts)
	if err != nil {
		return nil, err
	}
	return chains[0], nil
}

// issuers are the certificates after the peer's own that a chain is built from: one of each subject, and one more, as of
// a CA that has a cross-certificate. With two of each there would be twice as many paths to try at every step, and each
// try verifies a signature.
func (p *Peer) issuers() []*x509.Certificate {
	again := 1
	sent := make(map[string]bool, MaxCertificates)
	var out []*x509.Certificate
	for _, c := range p.Certificates[1:] {
		name := string(c.RawSubject)
		if sent[name] {
			if again == 0 {
				continue
			}
			again--
		}
		sent[name] = true
		out = append(out, c)
	}
	return out
}

// LogValue implements slog.LogValuer: address, user, and the leaf's subject and serial number. The secret is left out.
func (p *Peer) LogValue() slog.Value {
	attrs := make([]slog.Attr, 0, 5)
	attrs = append(attrs, slog.String("address", p.Address.String()))
	if p.User != "" {
		attrs = append(attrs, slog.String("user", p.User))
	}
	if p.Digest != nil {
		attrs = append(attrs, slog.String("digest_user", p.Digest.User))
	}
	if p.Bearer != "" {
		attrs = append(attrs, slog.Any("bearer", p.Bearer))
	}
	if len(p.Certificates) > 0 {
		leaf := p.Certificates[0]
		attrs = append(attrs, slog.String("subject", leaf.Subject.String()), slog.String("certificate", leaf.SerialNumber.Text(16)))
	}
	return slog.GroupValue(attrs...)
}
