package masa

import (
	"bytes"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/briskest/briskest/voucher"
)

// Pin says what of a domain a product's vouchers pin (RFC 8366, Section 5.3;
// the public keys are of rfc8366bis, Section 8.4).
type Pin string

// The pins.
const (
	// PinDomainCA pins the certificate of the domain CA: the farthest from the
	// registrar's own that came, or the owner's on record (RFC 8995, Section 5.5.2).
	PinDomainCA Pin = "domain-ca"
	// PinRegistrar pins the registrar's own certificate, the one that the
	// pledge saw. A registrar's new key then needs a new voucher.
	PinRegistrar Pin = "registrar"
	// PinPubk pins the SubjectPublicKeyInfo of PinRegistrar, and PinPubkSHA256
	// its SHA-256, for devices that know raw keys only. Of RFC8366bis only.
	PinPubk       Pin = "pubk"
	PinPubkSHA256 Pin = "pubk-sha256"
)

// Profile says by which document a product's vouchers are made.
type Profile string

// The profiles.
const (
	// RFC8366 is RFC 8366, Section 5.3: nonce and expires-on exclude each other.
	RFC8366 Profile = "rfc8366"
	// RFC8366bis is draft-ietf-anima-rfc8366bis, which dropped that choice and
	// has more pins.
	RFC8366bis Profile = "rfc8366bis"
)

// Product is a line of devices with one voucher key, or several in the course
// of time.
type Product struct {
	IDevIDAnchors *x509.CertPool  // the CAs its IDevIDs chain to, without constraints of the pool; required
	Signer        *voucher.Signer // of its vouchers; required
	// NoncelessSigner signs its nonceless vouchers, which are good for long and
	// deserve a better kept key (RFC 8995, Section 11.6.2.2). Nil for Signer.
	NoncelessSigner *voucher.Signer
	// DeviceSigners are further keys, for devices whose firmware trusts another
	// one than Signer. The first that is for a device signs; without any it is
	// Signer or NoncelessSigner.
	DeviceSigners []DeviceSigner
	// RevokedSigners are voucher certificates whose keys got lost
	// (RFC 8995, Section 11.6.2.2). Nothing signed with them is handed out again or renewed.
	RevokedSigners []*x509.Certificate
	// Assertion is the strongest that is made: Verified (of an owner on
	// record), Proximity or Logged. Empty for Proximity.
	Assertion voucher.Assertion
	// Pin is what vouchers pin. Empty for PinDomainCA.
	Pin Pin
	// Profile is by which document vouchers are made. Empty for RFC8366.
	Profile Profile
	// AllowNonceless issues vouchers without a nonce, to the owner on record
	// only (RFC 8995, Sections 5.5.4 and 7.4.1).
	AllowNonceless bool
	// AllowUnlisted issues for devices that were not imported, as long as
	// their IDevID chains to the anchors.
	AllowUnlisted bool
	// AllowNoPriorSigned issues, as Logged, to a registrar that sends no
	// request signed by the pledge, for products that cannot sign one (RFC
	// 8995, Section 5.5.5). Nonceless requests need none in any case.
	AllowNoPriorSigned bool
	// RequireOwner issues only to an owner on record. A device that has an
	// owner on record is never given to anybody else.
	RequireOwner bool
	// Lifetime is how long a voucher with a nonce is good. Zero for one that
	// says nothing about that. Of RFC8366bis only.
	Lifetime time.Duration
	// NoncelessLifetime is how long a nonceless voucher is good; zero for 24 hours.
	NoncelessLifetime time.Duration
	// RenewableFor is for how long after a sale nonceless vouchers are issued
	// and renewed; they carry its end as last-renewal-date (RFC 8366, Section
	// 5.3). Zero for as long as the ownership lasts.
	RenewableFor time.Duration
	// Extensions are put into every voucher: data, or nil for none, by the name
	// of the YANG module that defines them (rfc8366bis, Section 8.6). Of
	// RFC8366bis only.
	Extensions map[string]json.RawMessage
}

// DeviceSigner is a voucher key for some devices of a product. A device has to
// fit all of Batches and BuiltBefore that are given; one at least is.
type DeviceSigner struct {
	Signer          *voucher.Signer // required
	NoncelessSigner *voucher.Signer // nil for Signer
	Batches         []string        // the device was imported with one of these
	// BuiltBefore compares with Device.BuiltAt, or else with the start of the
	// IDevID, or else with the day of the import. Zero does not compare.
	BuiltBefore time.Time
}

// fits tells whether the key is that of the device's firmware.
func (s *DeviceSigner) fits(d *Device) bool {
	if len(s.Batches) > 0 && !slices.Contains(s.Batches, d.Batch) {
		return false
	}
	return s.BuiltBefore.IsZero() || d.builtAt().Before(s.BuiltBefore)
}

// signer returns the key for a device's voucher.
func (p *Product) signer(d *Device, nonceless bool) *voucher.Signer {
	signer, other := p.Signer, p.NoncelessSigner
	for i := range p.DeviceSigners {
		if s := &p.DeviceSigners[i]; s.fits(d) {
			signer, other = s.Signer, s.NoncelessSigner
			break
		}
	}
	if nonceless {
		return other
	}
	return signer
}

// revoked tells whether a voucher that cert signed is not to be handed out.
func (p *Product) revoked(cert *x509.Certificate) bool {
	return slices.ContainsFunc(p.RevokedSigners, func(c *x509.Certificate) bool {
		return bytes.Equal(c.RawSubjectPublicKeyInfo, cert.RawSubjectPublicKeyInfo)
	})
}

// signs tells whether cert is that of a key of this product.
func (p *Product) signs(cert *x509.Certificate) bool {
	return slices.ContainsFunc(p.signers(), func(s *voucher.Signer) bool {
		return bytes.Equal(s.Certificate.RawSubjectPublicKeyInfo, cert.RawSubjectPublicKeyInfo)
	})
}

func (p *Product) signers() []*voucher.Signer {
	all := []*voucher.Signer{p.Signer, p.NoncelessSigner}
	for _, s := range p.DeviceSigners {
		all = append(all, s.Signer, s.NoncelessSigner)
	}
	return all
}

// checked returns a copy with the defaults filled in, or what is wrong.
func (p Product) checked() (Product, error) {
	if p.IDevIDAnchors == nil {
		return p, errors.New("no IDevID anchors")
	}
	if err := p.checkSigners(); err != nil {
		return p, err
	}
	if p.Assertion == "" {
		p.Assertion = voucher.Proximity
	}
	if p.Pin == "" {
		p.Pin = PinDomainCA
	}
	if p.Profile == "" {
		p.Profile = RFC8366
	}
	if p.NoncelessLifetime == 0 {
		p.NoncelessLifetime = defaultNoncelessLifetime
	}
	return p, errors.Join(p.checkWords(), p.checkProfile(), p.checkExtensions())
}

// checkSigners fills in the keys that are left out and checks all.
func (p *Product) checkSigners() error {
	if p.NoncelessSigner == nil {
		p.NoncelessSigner = p.Signer
	}
	p.DeviceSigners = slices.Clone(p.DeviceSigners)
	for i := range p.DeviceSigners {
		s := &p.DeviceSigners[i]
		if len(s.Batches) == 0 && s.BuiltBefore.IsZero() {
			return errors.New("a further voucher key says for which batches, or for devices built before which day, it is")
		}
		if s.NoncelessSigner == nil {
			s.NoncelessSigner = s.Signer
		}
	}
	for _, s := range p.signers() {
		if err := checkSigner(s); err != nil {
			return err
		}
		if p.revoked(s.Certificate) {
			return fmt.Errorf("the voucher key of %q is both in use and revoked", s.Certificate.Subject)
		}
	}
	return nil
}

func (p *Product) checkWords() error {
	switch p.Assertion {
	case voucher.Verified, voucher.Proximity, voucher.Logged:
	default:
		return fmt.Errorf("assertion %q; want verified, proximity or logged", p.Assertion)
	}
	switch p.Pin {
	case PinDomainCA, PinRegistrar, PinPubk, PinPubkSHA256:
	default:
		return fmt.Errorf("pin %q; want domain-ca, registrar, pubk or pubk-sha256", p.Pin)
	}
	for name, d := range map[string]time.Duration{
		"the lifetime of vouchers": p.Lifetime, "the lifetime of nonceless vouchers": p.NoncelessLifetime,
		"the time of renewals": p.RenewableFor,
	} {
		if d < 0 {
			return fmt.Errorf("%s is %s", name, d)
		}
	}
	return nil
}

// checkProfile refuses under RFC 8366 what only its successor has.
func (p *Product) checkProfile() error {
	switch p.Profile {
	case RFC8366bis:
		return nil
	case RFC8366:
	default:
		return fmt.Errorf("profile %q; want rfc8366 or rfc8366bis", p.Profile)
	}
	switch {
	case p.Pin == PinPubk || p.Pin == PinPubkSHA256:
		return fmt.Errorf("pin %q needs profile rfc8366bis", p.Pin)
	case p.Lifetime != 0:
		return errors.New("a lifetime of vouchers with a nonce needs profile rfc8366bis: in RFC 8366, Section 5.3, nonce and expires-on exclude each other")
	case len(p.Extensions) > 0:
		return errors.New("extensions need profile rfc8366bis")
	}
	return nil
}

const extensionPrefix = "extension:"

// checkExtensions holds the names to those that a YANG module can have, and the
// rest to what package voucher writes.
func (p *Product) checkExtensions() error {
	for name, data := range p.Extensions {
		const limit = 40 // characters (rfc8366bis, Section 8.6)
		switch {
		case len(name) > limit || !isModuleName(name):
			return fmt.Errorf("extension %q: its name is that of its YANG module, 1 to %d letters, digits, '_', '-' and '.'", name, limit)
		case data != nil && !json.Valid(data):
			return fmt.Errorf("extension %q: its data is not JSON", name)
		}
	}
	return nil
}

// isModuleName tells whether name is a YANG identifier (RFC 7950, Section 6.2).
func isModuleName(name string) bool {
	letter := func(r rune) bool { return r == '_' || 'a' <= r && r <= 'z' || 'A' <= r && r <= 'Z' }
	return name != "" && letter(rune(name[0])) && !strings.ContainsFunc(name, func(r rune) bool {
		return !letter(r) && r != '-' && r != '.' && (r < '0' || r > '9')
	})
}

func (p *Product) extensionLeaves() map[string]json.RawMessage {
	if len(p.Extensions) == 0 {
		return nil
	}
	leaves := make(map[string]json.RawMessage, len(p.Extensions))
	for name, data := range p.Extensions {
		leaves[extensionPrefix+name] = data
	}
	return leaves
}

func checkSigner(s *voucher.Signer) error {
	if s == nil || s.Key == nil || s.Certificate == nil {
		return errors.New("no voucher key with its certificate")
	}
	public, err := x509.MarshalPKIXPublicKey(s.Key.Public())
	if err != nil {
		return fmt.Errorf("voucher key: %w", err)
	}
	if !bytes.Equal(public, s.Certificate.RawSubjectPublicKeyInfo) {
		return errors.New("the voucher key is not that of its certificate")
	}
	return nil
}
