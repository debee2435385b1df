package masa

import (
	"bytes"
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"crypto/x509"
	"slices"

	"github.com/briskest/briskest/voucher"
)

// checkPrior checks what the pledge signed against what the registrar says
// about it (RFC 8995, Sections 5.5.5 and 5.5.6). Without it there is nothing to check.
func (s *Service) checkPrior(ctx context.Context, x *exchange) error {
	if x.prior == nil {
		return nil
	}
	if err := s.checkIDevID(ctx, x); err != nil {
		return err
	}
	serial, err := voucher.SerialNumber(x.idevid)
	if err != nil || serial != x.request.SerialNumber || serial != x.prior.SerialNumber {
		e := forbid(ReasonSerialMismatch, "RFC 8995, Section 5.5.5",
			"The serial-number of the voucher-request, that of the prior-signed-voucher-request and that of the IDevID "+
				"that signed the latter are not the same.")
		e.Err = err
		return e
	}
	if !equalText(x.request.Nonce, x.prior.Nonce) {
		return forbid(ReasonNonceMismatch, "RFC 8995, Section 5.5.6",
			"The nonce of the voucher-request is not that of the prior-signed-voucher-request.")
	}
	if err := x.checkIssuer(x.idevid); err != nil {
		return err
	}
	return x.checkProximity()
}

// checkIssuer compares the leaf idevid-issuer, where the registrar sends one
// that names a key (nqminds sends a name as text), with the certificate's.
func (x *exchange) checkIssuer(idevid *x509.Certificate) error {
	if !issuerAgrees(x.request.IDevIDIssuer, idevid) {
		return forbid(ReasonIDevIDIssuer, "RFC 8366, Section 5.3",
			"The idevid-issuer of the voucher-request names another CA than the IDevID does.")
	}
	return nil
}

func issuerAgrees(leaf []byte, idevid *x509.Certificate) bool {
	claimed, ok := voucher.IssuerKeyID(leaf)
	if !ok {
		return true
	}
	if len(idevid.AuthorityKeyId) > 0 { // what the extension says, as crypto/x509 read it
		return bytes.Equal(claimed, idevid.AuthorityKeyId)
	}
	own, err := voucher.IDevIDIssuer(idevid)
	if err != nil {
		return false
	}
	actual, ok := voucher.IssuerKeyID(own)
	return ok && bytes.Equal(claimed, actual)
}

// checkProximity compares whom the pledge was connected to with who asks (RFC
// 8995, Section 5.5.5: by the key, so that a certificate renewed in between
// does not matter). Who asks is whoever holds the key that signed the request.
// A CA certifies any public key, so that other certificates that travelled
// along count only for a domain that is known: [exchange.settleProximity].
func (x *exchange) checkProximity() error {
	if x.cloud { // the pledge is connected to it, and not to the domain that is pinned
		return nil
	}
	matches, err := x.proximityKey()
	if err != nil {
		return err
	}
	if x.proximity = matches(x.artifact.Signer); x.proximity {
		return nil
	}
	for _, c := range x.artifact.Certificates {
		if matches(c) && isRegistrar(c) && !c.IsCA {
			x.companions = append(x.companions, c)
		}
	}
	if len(x.companions) == 0 {
		return notConnected()
	}
	return nil
}

// proximityKey returns what tells whether a certificate has the key that the
// pledge saw. Of the three leaves the most specific one decides, and that the
// others name another key is noted (rfc8366bis, Section 9).
func (x *exchange) proximityKey() (matches func(*x509.Certificate) bool, err error) {
	hashes, err := x.proximityHashes()
	if err != nil || len(hashes) == 0 {
		e := forbid(ReasonProximity, "RFC 8995, Section 5.5.5",
			"The prior-signed-voucher-request has no readable proximity-registrar-cert.")
		e.Err = err
		return nil, e
	}
	first := hashes[0]
	x.conflict = slices.ContainsFunc(hashes, func(h []byte) bool { return !bytes.Equal(h, first) })
	return func(c *x509.Certificate) bool {
		hash := keyHash(c)
		return bytes.Equal(hash[:], first)
	}, nil
}

// proximityHashes returns the SHA-256 of the key that each leaf about the
// registrar names, in the order in which they count (rfc8366bis, Section 9). An
// unreadable certificate is an error when it alone counts, and else a hash
// that is no key's.
func (x *exchange) proximityHashes() (hashes [][]byte, err error) {
	p := x.prior
	if hash := p.ProximityRegistrarPubkSHA256; len(hash) > 0 {
		hashes = append(hashes, hash)
	}
	if key := p.ProximityRegistrarPubk; len(key) > 0 {
		hash := sha256.Sum256(key)
		hashes = append(hashes, hash[:])
	}
	if len(p.ProximityRegistrarCert) == 0 {
		return hashes, nil
	}
	cert, err := parsed(p.ProximityRegistrarCert, x.artifact.Certificates)
	if err != nil {
		if len(hashes) > 0 {
			return append(hashes, nil), nil
		}
		return nil, err
	}
	hash := keyHash(cert)
	return append(hashes, hash[:]), nil
}

// settleProximity decides where the pledge was connected to another
// certificate than the one that signs, one for TLS beside one for signing. It
// counts where the domain is known, by an anchor that is configured or as the
// owner on record, and when that CA vouches for both. Everybody else's CA may
// certify the key of another domain's registrar, or cross-certify its root.
func (x *exchange) settleProximity() error {
	if x.prior == nil || x.proximity || x.cloud {
		return nil
	}
	roots := x509.NewCertPool()
	switch {
	case x.owner != nil:
		roots.AddCert(x.owner)
	case x.settings.RegistrarAnchors != nil:
		for _, chain := range x.chains { // not all anchors: they are those of other domains too
			roots.AddCert(chain[len(chain)-1])
		}
	default:
		return notConnected()
	}
	for _, c := range x.companions {
		if _, err := chainsTo(c, roots, x.artifact.Certificates, x.at); err == nil {
			x.proximity, x.connected = true, c
			return nil
		}
	}
	return notConnected()
}

// parsed returns the certificate with that DER: one of those that are parsed
// already, or a new one.
func parsed(der []byte, already []*x509.Certificate) (*x509.Certificate, error) {
	for _, c := range already {
		if bytes.Equal(c.Raw, der) {
			return c, nil
		}
	}
	return x509.ParseCertificate(der)
}

func notConnected() error {
	return forbid(ReasonProximity, "RFC 8995, Section 5.5.5",
		"The pledge was connected to another registrar: its proximity-registrar-cert has another key than the one that signed this request.")
}

func equalText(a, b string) bool { return subtle.ConstantTimeCompare([]byte(a), []byte(b)) == 1 }
