package masa

import (
	"bytes"
	"crypto/sha256"
	"crypto/subtle"
	"crypto/x509"
	"encoding/asn1"
	"slices"

	"github.com/briskest/briskest/voucher"
)

// checkPrior checks what the pledge signed against what the registrar says
// about it (RFC 8995, Sections 5.5.5 and 5.5.6). Without it there is nothing to check.
func (x *exchange) checkPrior() error {
	if x.prior == nil {
		return nil
	}
	if err := x.checkIDevID(); err != nil {
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

// checkIDevID finds the products whose anchors the pledge's signer chains to.
// Its extended key usages are not looked at: IEEE 802.1AR asks for none.
func (x *exchange) checkIDevID() error {
	x.idevid = x.priorArt.Signer
	leaf := *x.idevid
	// A hardwareModuleName in a critical SubjectAltName is usual in IDevIDs and
	// unknown to crypto/x509; nothing here rests on it.
	leaf.UnhandledCriticalExtensions = slices.DeleteFunc(slices.Clone(leaf.UnhandledCriticalExtensions),
		asn1.ObjectIdentifier{2, 5, 29, 17}.Equal)
	bag := append(slices.Clone(x.priorArt.Certificates), x.artifact.Certificates...)
	var last error
	for _, name := range x.settings.productNames() {
		if _, err := chainsTo(&leaf, x.settings.Products[name].IDevIDAnchors, bag, x.at); err != nil {
			last = err
			continue
		}
		x.products = append(x.products, name)
	}
	if len(x.products) == 0 {
		e := forbid(ReasonIDevIDUntrusted, "RFC 8995, Section 5.5.5",
			"The prior-signed-voucher-request is not signed by a device of this manufacturer.")
		e.Err = last
		return e
	}
	return nil
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
	own, err := voucher.IDevIDIssuer(idevid)
	if err != nil {
		return false
	}
	actual, ok := voucher.IssuerKeyID(own)
	return ok && bytes.Equal(claimed, actual)
}

// checkProximity compares whom the pledge was connected to with who asks (RFC
// 8995, Section 5.5.5: by the key, so that a certificate renewed in between
// does not matter). The registrar's other certificates count when it sent
// them, they are registrar certificates and chain to the same domain CA.
//
// rfc8366bis, Section 9: the most specific of the three leaves decides.
func (x *exchange) checkProximity() error {
	var matches func(spki []byte) bool
	switch p := x.prior; {
	case len(p.ProximityRegistrarPubkSHA256) > 0:
		matches = func(spki []byte) bool {
			sum := sha256.Sum256(spki)
			return bytes.Equal(sum[:], p.ProximityRegistrarPubkSHA256)
		}
	case len(p.ProximityRegistrarPubk) > 0:
		matches = func(spki []byte) bool { return bytes.Equal(spki, p.ProximityRegistrarPubk) }
	default:
		cert, err := x509.ParseCertificate(p.ProximityRegistrarCert)
		if err != nil {
			e := forbid(ReasonProximity, "RFC 8995, Section 5.5.5",
				"The prior-signed-voucher-request has no readable proximity-registrar-cert.")
			e.Err = err
			return e
		}
		matches = func(spki []byte) bool { return bytes.Equal(spki, cert.RawSubjectPublicKeyInfo) }
	}
	for _, c := range x.registrarCertificates() {
		if matches(c.RawSubjectPublicKeyInfo) {
			x.proximity = true
			return nil
		}
	}
	return forbid(ReasonProximity, "RFC 8995, Section 5.5.5",
		"The pledge was connected to another registrar: its proximity-registrar-cert is not among the certificates of this one.")
}

// registrarCertificates returns the certificates that stand for this
// registrar: its chain, and other registrar certificates of the same domain
// that travelled along (one for TLS, another for signing).
func (x *exchange) registrarCertificates() []*x509.Certificate {
	var out []*x509.Certificate
	roots := x509.NewCertPool()
	for _, chain := range x.chains {
		out = append(out, chain...)
		if len(chain) > 1 {
			roots.AddCert(chain[len(chain)-1])
		}
	}
	for _, c := range x.artifact.Certificates {
		if c.IsCA || !isRegistrar(c) {
			continue
		}
		if _, err := chainsTo(c, roots, x.artifact.Certificates, x.at); err == nil {
			out = append(out, c)
		}
	}
	return out
}

func equalText(a, b string) bool { return subtle.ConstantTimeCompare([]byte(a), []byte(b)) == 1 }
