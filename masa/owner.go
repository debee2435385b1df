package masa

import (
	"bytes"
	"context"
	"crypto/sha256"
	"crypto/x509"
	"fmt"
	"net/url"
	"time"

	"github.com/briskest/briskest/internal/trail"
	"github.com/briskest/briskest/voucher"
)

// The sources of an ownership.
const (
	SourceSale  = "sale"  // the vendor's records
	SourceClaim = "claim" // a code that was redeemed
)

// DomainRef names a domain by its CA: by exactly one of Certificate,
// PublicKey, KeyHash, Fingerprint and DomainID.
type DomainRef struct {
	Certificate []byte `json:"certificate,omitempty"` // of the domain CA, DER; it is known by its key from then on
	PublicKey   []byte `json:"public_key,omitempty"`  // its SubjectPublicKeyInfo, DER
	KeyHash     []byte `json:"key_sha256,omitempty"`  // SHA-256 of that, 32 bytes
	Fingerprint []byte `json:"fingerprint,omitempty"` // SHA-256 of that certificate alone, 32 bytes
	// DomainID is as in RFC 8995, Section 5.8.2. It counts only for a CA whose
	// subject key identifier was computed from its key, since any CA may write
	// what it likes there.
	DomainID []byte `json:"domain_id,omitempty"`
	Name     string `json:"name,omitempty"` // of the customer, for people; at most 400 bytes
	// RegistrarURL and ESTDomain are as in [Owner].
	RegistrarURL string `json:"registrar_url,omitempty"`
	ESTDomain    string `json:"est_domain,omitempty"`
}

// owner returns the row for a device that is the domain's, without the device.
func (r *DomainRef) owner() (*Owner, error) {
	o := &Owner{Name: r.Name, RegistrarURL: r.RegistrarURL, ESTDomain: r.ESTDomain}
	named := 0
	for _, value := range [][]byte{r.Certificate, r.PublicKey, r.KeyHash, r.Fingerprint, r.DomainID} {
		named += min(len(value), 1)
	}
	if named != 1 {
		return nil, fmt.Errorf("%w: name the owner by exactly one of certificate, public key, key hash, fingerprint and domainID", ErrInvalid)
	}
	if err := r.nameCA(o); err != nil {
		return nil, err
	}
	if len(r.Name) > maxText {
		return nil, fmt.Errorf("%w: a name of %d bytes, at most %d are kept", ErrInvalid, len(r.Name), maxText)
	}
	for what, text := range map[string]string{"registrar URL": r.RegistrarURL, "EST domain": r.ESTDomain} {
		if err := checkURL(text); err != nil {
			return nil, fmt.Errorf("%w: %s %.100q: %w", ErrInvalid, what, text, err)
		}
	}
	return o, nil
}

func (r *DomainRef) nameCA(o *Owner) error {
	switch {
	case len(r.Certificate) > 0:
		ca, err := x509.ParseCertificate(r.Certificate)
		if err != nil {
			return fmt.Errorf("%w: the owner's certificate cannot be read: %w", ErrInvalid, err)
		}
		key := keyHash(ca)
		o.KeyHash, o.DomainID = key[:], voucher.DomainID(ca)
	case len(r.PublicKey) > 0:
		if _, err := x509.ParsePKIXPublicKey(r.PublicKey); err != nil {
			return fmt.Errorf("%w: the owner's public key cannot be read: %w", ErrInvalid, err)
		}
		key := sha256.Sum256(r.PublicKey)
		o.KeyHash = key[:]
	case len(r.KeyHash) > 0:
		o.KeyHash = r.KeyHash
	case len(r.Fingerprint) > 0:
		o.Fingerprint = r.Fingerprint
	case len(r.DomainID) < 20 || len(r.DomainID) > 64:
		return fmt.Errorf("%w: a domainID of %d bytes, want 20 to 64", ErrInvalid, len(r.DomainID))
	default:
		o.DomainID = r.DomainID
	}
	for what, sum := range map[string][]byte{"key hash": o.KeyHash, "fingerprint": o.Fingerprint} {
		if len(sum) != 0 && len(sum) != sha256.Size {
			return fmt.Errorf("%w: a %s of %d bytes; it is a SHA-256, %d bytes", ErrInvalid, what, len(sum), sha256.Size)
		}
	}
	return nil
}

// checkURL takes what a device may be sent to (draft-ietf-anima-brski-cloud
// has it authenticate the server there by TLS).
func checkURL(text string) error {
	const limit = 2048
	if text == "" {
		return nil
	}
	u, err := url.Parse(text)
	switch {
	case err != nil || len(text) > limit || u.Host == "":
		return fmt.Errorf("want an absolute URL of at most %d bytes", limit)
	case u.Scheme != "https" || u.User != nil || u.Fragment != "":
		return fmt.Errorf("want https, and neither a user nor a fragment")
	}
	return nil
}

// same tells whether both rows name the domain in the same way.
func (o *Owner) same(other *Owner) bool {
	return bytes.Equal(o.KeyHash, other.KeyHash) && bytes.Equal(o.Fingerprint, other.Fingerprint) &&
		(len(o.KeyHash) > 0 || bytes.Equal(o.DomainID, other.DomainID))
}

// OwnerClaim notes whom a device belongs to.
type OwnerClaim struct {
	DeviceRef
	DomainRef
	// Replace ends the earlier ownerships of the device: it was sold on.
	Replace bool   `json:"replace,omitempty"`
	By      string `json:"by,omitempty"` // who did it, such as "cli:root"
}

// AddOwner notes an owner of a device. From then on only owners get vouchers
// for it. Claim codes that are out for it end.
func (s *Service) AddOwner(ctx context.Context, c *OwnerClaim) (*Owner, error) {
	owner, err := c.owner()
	if err != nil {
		return nil, err
	}
	defer s.lockDevice(c.SerialNumber)()
	d, err := s.find(ctx, c.DeviceRef)
	if err != nil {
		return nil, err
	}
	o, err := s.ownership(ctx, d)
	if err != nil {
		return nil, err
	}
	change := &Change{}
	o.add(change, owner, SourceSale, c.Replace)
	change.Trail = []*trail.Entry{s.operatorEntry(KindOwnerAdded, d, c.By, ownerBody(owner, c.Replace))}
	if err := s.store.Commit(ctx, change); err != nil {
		return nil, fmt.Errorf("owner of device %q: %w", d.SerialNumber, err)
	}
	return owner, nil
}

func ownerBody(o *Owner, replace bool) body {
	return body{
		"owner": o.ID, "name": o.Name, "key_sha256": o.KeyHash, "fingerprint": o.Fingerprint, "domain_id": o.DomainID,
		"registrar_url": o.RegistrarURL, "est_domain": o.ESTDomain, "source": o.Source, "replace": replace,
	}
}

// OwnerEnd ends the ownerships of a device.
type OwnerEnd struct {
	DeviceRef
	By string `json:"by,omitempty"` // who did it, such as "cli:root"
}

// EndOwner ends the ownerships of a device: it was given back. Its history
// stays, and former owners still read the audit-log. It is no error when there
// was none.
func (s *Service) EndOwner(ctx context.Context, r *OwnerEnd) (*DeviceCase, error) {
	unlock := s.lockDevice(r.SerialNumber)
	defer unlock()
	d, err := s.find(ctx, r.DeviceRef)
	if err != nil {
		return nil, err
	}
	o, err := s.ownership(ctx, d)
	if err != nil {
		return nil, err
	}
	change := &Change{}
	o.end(change)
	change.Trail = []*trail.Entry{s.operatorEntry(KindOwnerEnded, d, r.By, body{"owners": len(change.PutOwners)})}
	if err := s.store.Commit(ctx, change); err != nil {
		return nil, fmt.Errorf("owner of device %q: %w", d.SerialNumber, err)
	}
	return s.Device(ctx, DeviceRef{Product: d.Product, SerialNumber: d.SerialNumber})
}

// ownership is who owns a device, and who could come to, at one moment.
type ownership struct {
	device *Device
	owners []*Owner // those that hold
	claims []*Claim // those that are not done with, expired ones included
	at     time.Time
}

func (s *Service) ownership(ctx context.Context, d *Device) (*ownership, error) {
	o := &ownership{device: d, at: s.now().UTC()}
	owners, err := s.store.Owners(ctx, d.Domain, d.ID)
	if err != nil {
		return nil, fmt.Errorf("owners of device %q: %w", d.SerialNumber, err)
	}
	for _, owner := range owners {
		if owner.Until.IsZero() {
			o.owners = append(o.owners, owner)
		}
	}
	claims, err := s.store.Claims(ctx, d.Domain, d.ID)
	if err != nil {
		return nil, fmt.Errorf("claims of device %q: %w", d.SerialNumber, err)
	}
	for _, c := range claims {
		if c.RedeemedAt.IsZero() && c.EndedAt.IsZero() {
			o.claims = append(o.claims, c)
		}
	}
	return o, nil
}

// end has the change end what holds.
func (o *ownership) end(c *Change) {
	for _, owner := range o.owners {
		owner.Until = o.at
		c.PutOwners = append(c.PutOwners, owner)
	}
	o.endClaims(c)
}

func (o *ownership) endClaims(c *Change) {
	for _, claim := range o.claims {
		claim.EndedAt = o.at
		c.PutClaims = append(c.PutClaims, claim)
	}
}

// add has the change make owner one of the device's.
func (o *ownership) add(c *Change, owner *Owner, source string, replace bool) {
	if replace {
		o.end(c)
	} else {
		o.endClaims(c)
	}
	owner.ID, owner.Domain, owner.DeviceID = NewID(o.at), o.device.Domain, o.device.ID
	owner.Since, owner.Source = o.at, source
	c.PutOwners = append(c.PutOwners, owner)
}
