package masa

import (
	"crypto/sha256"
	"crypto/x509"
	"fmt"
	"slices"
	"time"

	"github.com/briskest/briskest/voucher"
)

// productSettings returns the settings of the device's product.
func (x *exchange) productSettings() *Product {
	p := x.settings.Products[x.product]
	return &p
}

// voucher is what is signed (RFC 8995, Section 5.6). The nonce is echoed as it
// came.
func (x *exchange) voucher(r *VoucherRecord) (*voucher.Voucher, error) {
	product := x.productSettings()
	v := &voucher.Voucher{
		Assertion: r.Assertion, CreatedOn: r.At, ExpiresOn: r.ExpiresOn,
		SerialNumber: r.SerialNumber, Nonce: r.Nonce, Extensions: product.extensionLeaves(),
		AllowNonceWithExpiresOn: product.Profile == RFC8366bis,
	}
	if x.cloud {
		v.ESTDomain = x.request.ESTDomain
	}
	if r.Nonce == "" {
		v.LastRenewalDate = x.lastRenewal()
	}
	x.pin(v, product.Pin)
	// Only where the serial number alone does not name the device (rfc8366bis,
	// Section 6.2).
	if x.ambiguous && x.idevid != nil {
		issuer, err := voucher.IDevIDIssuer(x.idevid)
		if err != nil {
			return nil, fmt.Errorf("idevid-issuer of device %s: %w", r.DeviceID, err)
		}
		v.IDevIDIssuer = issuer
	}
	return v, nil
}

// pin fills in the leaf that names the domain (rfc8366bis, Section 8.4).
func (x *exchange) pin(v *voucher.Voucher, pin Pin) {
	switch pin {
	case PinPubk:
		v.PinnedDomainPubk = x.pinned.RawSubjectPublicKeyInfo
	case PinPubkSHA256:
		sum := sha256.Sum256(x.pinned.RawSubjectPublicKeyInfo)
		v.PinnedDomainPubkSHA256 = sum[:]
	default:
		v.PinnedDomainCert = x.pinned.Raw
	}
}

// expiresOn bounds a voucher by the product's lifetime and by every certificate
// and revocation list that it rests on (RFC 8995, Section 5.6; RFC 8366, Section 5.3).
// Zero is no bound: with a nonce the voucher is good for one exchange.
func (x *exchange) expiresOn(createdOn time.Time) time.Time {
	product := x.productSettings()
	lifetime := product.NoncelessLifetime
	if x.request.Nonce != "" {
		if lifetime = product.Lifetime; lifetime == 0 {
			return time.Time{}
		}
	}
	end := createdOn.Add(lifetime)
	if !x.until.IsZero() && x.until.Before(end) {
		end = x.until
	}
	for _, c := range append(slices.Clone(x.chains[0]), x.pinned, x.domain) {
		if c.NotAfter.Before(end) {
			end = c.NotAfter
		}
	}
	return end.UTC()
}

func (x *exchange) signer() *voucher.Signer {
	return x.productSettings().signer(x.device, x.request.Nonce == "")
}

// signedByRevoked tells whether a voucher on record was signed with a key that
// has been revoked since. The voucher is opened only where there are such keys.
func (x *exchange) signedByRevoked(v *VoucherRecord) bool {
	product := x.productSettings()
	if v.State != Issued || len(product.RevokedSigners) == 0 {
		return false
	}
	signer, err := x.settings.signerOf(v)
	return err != nil || product.revoked(signer)
}

// signerOf returns who signed a voucher on record.
func (s *Settings) signerOf(v *VoucherRecord) (*x509.Certificate, error) {
	format := s.formatOf(v.MediaType)
	if format == nil {
		return nil, fmt.Errorf("voucher %s: format %s is not spoken any more", v.ID, v.MediaType)
	}
	_, artifact, err := format.OpenVoucher(v.Voucher)
	if err != nil {
		return nil, fmt.Errorf("voucher %s: %w", v.ID, err)
	}
	return artifact.Signer, nil
}
