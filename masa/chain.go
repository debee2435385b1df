package masa

import (
	"bytes"
	"crypto/sha1" //nolint:gosec // RFC 5280, Section 4.2.1.2: a key identifier, not a signature
	"crypto/sha256"
	"crypto/sha512"
	"crypto/x509"
	"encoding/asn1"
	"errors"
	"slices"
	"time"

	"github.com/briskest/briskest/voucher"
)

// checkRegistrar builds the chains of the request's signer and checks that the
// domain meant it to be a registrar.
func (x *exchange) checkRegistrar(m *memory) error {
	key := x.registrarKey()
	if known, ok := m.registrars.Get(key); ok && known.settings == x.settings && fresh(known.at, x.at) {
		x.chains = known.chains
		return nil
	}
	roots, reason := x.settings.RegistrarAnchors, ReasonRegistrarAnchor
	if roots == nil {
		// An unknown domain CA is a temporary anchor: this shows that the
		// domain's certificates are consistent, not who the domain is (RFC
		// 8995, Section 5.5.2).
		roots, reason = topmost(x.artifact), ReasonRegistrarChain
	}
	roots = x.settings.withClouds(roots)
	chains, err := chainsTo(x.artifact.Signer, roots, x.artifact.Certificates, x.at)
	if err != nil {
		e := forbid(reason, "RFC 8995, Section 5.5.3",
			"The registrar's certificate does not chain to its domain CA. Include every CA certificate up to the domain CA, "+
				"and check that none has expired.")
		e.Err = err
		return e
	}
	x.chains = chains
	if !isRegistrar(x.artifact.Signer) {
		return forbid(ReasonRegistrarRole, "RFC 8995, Section 5.5.4",
			"The certificate that signed the voucher-request is not a registrar's: it lacks the extended key usage id-kp-cmcRA.")
	}
	m.registrars.Put(key, &registrarChains{chains, x.settings, x.at})
	m.remember(x.artifact.Certificates)
	return nil
}

// isRegistrar tells whether a certificate has id-kp-cmcRA (RFC 7030, Section 3.6.1).
func isRegistrar(cert *x509.Certificate) bool {
	oid := asn1.ObjectIdentifier{1, 3, 6, 1, 5, 5, 7, 3, 28}
	return slices.ContainsFunc(cert.UnknownExtKeyUsage, oid.Equal)
}

// topmost returns those certificates that the others hang from: the
// self-signed CAs, or where there is none each CA whose issuer is absent, or
// else the signer itself (RFC 8995, Section 5.5.2: the chain may be as short as
// the end-entity certificate).
func topmost(a *voucher.Artifact) *x509.CertPool {
	var selfSigned, hanging []*x509.Certificate
	for _, c := range a.Certificates {
		switch {
		case !c.IsCA:
		case bytes.Equal(c.RawIssuer, c.RawSubject):
			selfSigned = append(selfSigned, c)
		case !slices.ContainsFunc(a.Certificates, func(above *x509.Certificate) bool {
			return above.IsCA && bytes.Equal(above.RawSubject, c.RawIssuer)
		}):
			hanging = append(hanging, c)
		}
	}
	pool := x509.NewCertPool()
	switch {
	case len(selfSigned) > 0:
		hanging = selfSigned
	case len(hanging) == 0:
		hanging = []*x509.Certificate{a.Signer}
	}
	for _, c := range hanging {
		pool.AddCert(c)
	}
	return pool
}

// chainsTo returns the chains from cert to roots at the given time, the
// longest first. Extended key usages are the caller's to look at.
func chainsTo(cert *x509.Certificate, roots *x509.CertPool, bag []*x509.Certificate, at time.Time) ([][]*x509.Certificate, error) {
	if cert == nil || roots == nil {
		return nil, errors.New("no certificate or no anchors")
	}
	intermediates, err := voucher.Intermediates(cert, bag)
	if err != nil {
		return nil, err
	}
	chains, err := cert.Verify(x509.VerifyOptions{
		Roots: roots, Intermediates: intermediates, CurrentTime: at,
		KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageAny},
	})
	if err != nil {
		return nil, err
	}
	slices.SortStableFunc(chains, func(a, b []*x509.Certificate) int { return len(b) - len(a) })
	return chains, nil
}

// keyHash names a domain CA by its key, which nobody else can have. A domainID
// is no such name: a CA writes any subject key identifier it likes.
func keyHash(cert *x509.Certificate) [32]byte { return sha256.Sum256(cert.RawSubjectPublicKeyInfo) }

// domainIDProven tells whether the domainID of a certificate was computed from
// its key, by one of the methods of RFC 5280, Section 4.2.1.2,
// RFC 7093, Section 2, or RFC 8995, Section 5.8.2. Only then it says whose key it is.
func domainIDProven(cert *x509.Certificate) bool {
	if len(cert.SubjectKeyId) == 0 {
		return true
	}
	var info struct {
		Algorithm asn1.RawValue
		Key       asn1.BitString
	}
	if rest, err := asn1.Unmarshal(cert.RawSubjectPublicKeyInfo, &info); err != nil || len(rest) > 0 {
		return false
	}
	for _, input := range [][]byte{info.Key.Bytes, cert.RawSubjectPublicKeyInfo} {
		one, two, three, five := sha1.Sum(input), sha256.Sum256(input), sha512.Sum384(input), sha512.Sum512(input) //nolint:gosec // as above
		for _, id := range [][]byte{one[:], two[:], two[:20], three[:20], five[:20]} {
			if bytes.Equal(id, cert.SubjectKeyId) {
				return true
			}
		}
	}
	return false
}

// owns tells whether the claim names that CA.
func (o *Owner) owns(ca *x509.Certificate) bool {
	key, certificate := keyHash(ca), sha256.Sum256(ca.Raw)
	switch {
	case len(o.KeyHash) > 0:
		return bytes.Equal(o.KeyHash, key[:])
	case len(o.Fingerprint) > 0:
		return bytes.Equal(o.Fingerprint, certificate[:])
	case len(o.DomainID) > 0:
		return bytes.Equal(o.DomainID, voucher.DomainID(ca)) && domainIDProven(ca)
	default:
		return false
	}
}
