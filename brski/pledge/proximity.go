package pledge

import (
	"bytes"
	"crypto/x509"

	"github.com/briskest/briskest/voucher"
)

// Proximity says by which leaf a voucher-request names the registrar's TLS
// server certificate.
type Proximity string

// The proximity entries (draft-ietf-anima-rfc8366bis-36, Section 9).
// RFC 8995, Section 5.2, has the certificate alone: the others need a registrar and a MASA
// that know them.
const (
	ProximityCert    Proximity = ""            // proximity-registrar-cert
	ProximityKey     Proximity = "pubk"        // proximity-registrar-pubk
	ProximityKeyHash Proximity = "pubk-sha256" // proximity-registrar-pubk-sha256
)

func (p Proximity) known() bool {
	return p == ProximityCert || p == ProximityKey || p == ProximityKeyHash
}

// name lets request name the first certificate of the server's list (RFC 8995, Section 5.2).
func (p Proximity) name(request *voucher.Request, registrar *x509.Certificate) {
	switch p {
	case ProximityKey:
		request.ProximityRegistrarPubk = registrar.RawSubjectPublicKeyInfo
	case ProximityKeyHash:
		hash := keyOf(registrar)
		request.ProximityRegistrarPubkSHA256 = hash[:]
	default:
		request.ProximityRegistrarCert = registrar.Raw
	}
}

func proximityOf(request *voucher.Request) Proximity {
	switch {
	case len(request.ProximityRegistrarCert) > 0:
		return ProximityCert
	case len(request.ProximityRegistrarPubk) > 0:
		return ProximityKey
	default:
		return ProximityKeyHash
	}
}

// sameProximity tells whether a and b name the same registrar in the same way.
func sameProximity(a, b *voucher.Request) bool {
	return bytes.Equal(a.ProximityRegistrarCert, b.ProximityRegistrarCert) &&
		bytes.Equal(a.ProximityRegistrarPubk, b.ProximityRegistrarPubk) &&
		bytes.Equal(a.ProximityRegistrarPubkSHA256, b.ProximityRegistrarPubkSHA256)
}
