package estca

import (
	"bytes"
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/briskest/briskest/est"
)

// maxCACerts bounds a cacerts answer, in certificates.
const maxCACerts = 32

// Known is what is known of a server's CAs.
type Known struct {
	// Chain is the issuing CA, then each CA above it, the self-signed root last.
	Chain []*x509.Certificate
	// Others are further roots, and the links of a root with its successor (RFC
	// 4210, Section 4.4).
	Others []*x509.Certificate
}

// Learn gets a server's CA certificates at a label (RFC 7030, Section 4.1), and
// judges them by roots: what was configured, and the roots of what was learned
// before. Another root is taken only with a certificate for its name and key
// that leads to one of roots (NewWithOld, RFC 4210, Section 4.4), whatever TLS
// connection it came on.
//
// The issuing CA is the first of the answer below which there is no other CA in it.
func Learn(ctx context.Context, s *Server, label string, roots []*x509.Certificate) (*Known, error) {
	if err := s.check(); err != nil {
		return nil, fmt.Errorf("estca: %w", err)
	}
	client := s.client(label)
	defer client.CloseIdleConnections()
	certs, err := client.CACerts(ctx)
	if err != nil {
		return nil, fmt.Errorf("estca: %w", s.secrets().Error(err))
	}
	now := time.Now
	if s.Now != nil {
		now = s.Now
	}
	return Judge(certs, roots, now())
}

// Judge is what [Learn] makes of an answer, or of what was kept of one.
func Judge(certs, roots []*x509.Certificate, now time.Time) (*Known, error) {
	var trusted []*x509.Certificate
	for _, root := range roots {
		set, err := est.JudgeCACerts(certs, root, now)
		if err != nil {
			continue // it is over, or the answer too long
		}
		for _, cert := range slices.Concat(set.Anchors, set.Intermediates) {
			if !slices.ContainsFunc(trusted, cert.Equal) {
				trusted = append(trusted, cert)
			}
		}
	}
	if len(trusted) == 0 {
		return nil, errors.New("estca: none of the configured roots is valid now, or cacerts has more certificates than are read")
	}
	for _, cert := range certs {
		if isRoot(cert) || !slices.ContainsFunc(trusted, cert.Equal) || signsAnother(cert, trusted) || isLink(cert, trusted) {
			continue
		}
		return known(cert, trusted)
	}
	// No CA below a root: the root issues by itself.
	for _, cert := range certs {
		if isRoot(cert) && slices.ContainsFunc(trusted, cert.Equal) {
			return known(cert, trusted)
		}
	}
	return nil, errors.New("estca: no CA certificate that the server distributes leads to a configured root; compare them with what its operator says, and configure the root")
}

// known sorts trusted around the issuing CA.
func known(issuing *x509.Certificate, trusted []*x509.Certificate) (*Known, error) {
	k := &Known{Chain: []*x509.Certificate{issuing}}
	for at := issuing; !isRoot(at); {
		upper := issuerOf(at, trusted)
		if upper == nil || len(k.Chain) > maxCACerts {
			return nil, fmt.Errorf("estca: the chain of the CA %q leads to no root", issuing.Subject)
		}
		k.Chain = append(k.Chain, upper)
		at = upper
	}
	for _, cert := range trusted {
		if !slices.ContainsFunc(k.Chain, cert.Equal) {
			k.Others = append(k.Others, cert)
		}
	}
	return k, nil
}

// issuerOf prefers a root to a link, which has the same name and key.
func issuerOf(cert *x509.Certificate, among []*x509.Certificate) *x509.Certificate {
	var found *x509.Certificate
	for _, upper := range among {
		if !signed(upper, cert) || upper.Equal(cert) {
			continue
		}
		if found == nil || isRoot(upper) {
			found = upper
		}
	}
	return found
}

func isRoot(cert *x509.Certificate) bool { return signed(cert, cert) }

func signed(upper, cert *x509.Certificate) bool {
	return bytes.Equal(cert.RawIssuer, upper.RawSubject) && cert.CheckSignatureFrom(upper) == nil
}

func signsAnother(cert *x509.Certificate, among []*x509.Certificate) bool {
	return slices.ContainsFunc(among, func(lower *x509.Certificate) bool { return !lower.Equal(cert) && signed(cert, lower) })
}

// isLink knows OldWithNew and NewWithOld by the root that has their name and key.
func isLink(cert *x509.Certificate, among []*x509.Certificate) bool {
	return slices.ContainsFunc(among, func(root *x509.Certificate) bool {
		return isRoot(root) && bytes.Equal(root.RawSubject, cert.RawSubject) && bytes.Equal(root.RawSubjectPublicKeyInfo, cert.RawSubjectPublicKeyInfo)
	})
}
