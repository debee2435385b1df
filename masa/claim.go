package masa

import (
	"cmp"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"fmt"
	"strings"
	"time"
)

// Claim is a one-time code for one device: whoever shows it names the domain
// that the device belongs to. A code for several devices is several claims.
type Claim struct {
	ID       string `json:"id"` // made by NewID
	Domain   string `json:"domain"`
	CodeHash []byte `json:"-"` // SHA-256 of the code, which is not on record
	DeviceID string `json:"device_id"`
	// Resale ends the ownership that is on record when the code is redeemed.
	// Without it a device that has an owner is not given away.
	Resale     bool      `json:"resale,omitempty"`
	CreatedAt  time.Time `json:"created_at"`
	ExpiresAt  time.Time `json:"expires_at"`
	RedeemedAt time.Time `json:"redeemed_at,omitzero"`
	EndedAt    time.Time `json:"ended_at,omitzero"`  // not redeemed, and replaced by another claim or ownership
	OwnerID    string    `json:"owner_id,omitempty"` // the ownership that it led to
}

// closed says why the code cannot be redeemed at the given time, or "".
func (c *Claim) closed(at time.Time) string {
	switch {
	case !c.RedeemedAt.IsZero():
		return "the code was redeemed on " + c.RedeemedAt.Format(time.DateOnly)
	case !c.EndedAt.IsZero():
		return "the code was replaced on " + c.EndedAt.Format(time.DateOnly)
	case !at.Before(c.ExpiresAt):
		return "the code expired on " + c.ExpiresAt.Format(time.DateOnly)
	default:
		return ""
	}
}

const (
	// MaxClaim is the most devices of one request for codes.
	MaxClaim             = 1000
	defaultClaimLifetime = 365 * 24 * time.Hour
	maxClaimLifetime     = 20 * 365 * 24 * time.Hour
)

// ClaimRequest asks for codes.
type ClaimRequest struct {
	Devices  []DeviceRef   `json:"devices"`            // 1 to MaxClaim
	Each     bool          `json:"each,omitempty"`     // one code for each device, to be printed on it; else one for all
	Resale   bool          `json:"resale,omitempty"`   // as in [Claim]
	Lifetime time.Duration `json:"lifetime,omitempty"` // zero for a year
	By       string        `json:"by"`                 // who did it, such as "cli:root"
}

// ClaimCode is a code. It cannot be asked for again.
type ClaimCode struct {
	SerialNumbers []string  `json:"serial_numbers"`
	Code          string    `json:"code"` // four groups of five letters and digits
	ExpiresAt     time.Time `json:"expires_at"`
}

// CreateClaims makes codes, all or none. Codes that were out for the devices
// end.
func (s *Service) CreateClaims(ctx context.Context, r *ClaimRequest) ([]*ClaimCode, error) {
	lifetime := r.Lifetime
	if lifetime == 0 {
		lifetime = defaultClaimLifetime
	}
	switch {
	case len(r.Devices) == 0 || len(r.Devices) > MaxClaim:
		return nil, fmt.Errorf("%w: %d devices, want 1 to %d", ErrInvalid, len(r.Devices), MaxClaim)
	case lifetime < 0 || lifetime > maxClaimLifetime:
		return nil, fmt.Errorf("%w: a lifetime of %s, want up to 20 years", ErrInvalid, lifetime)
	}
	s.imports.Lock()
	defer s.imports.Unlock()
	var codes []*ClaimCode
	change, seen := &Change{}, make(map[string]bool)
	for i, ref := range r.Devices {
		d, err := s.find(ctx, ref)
		if err != nil {
			return nil, err
		}
		if seen[d.ID] {
			return nil, fmt.Errorf("%w: device %q is named twice", ErrInvalid, d.SerialNumber)
		}
		seen[d.ID] = true
		o, err := s.ownership(ctx, d)
		if err != nil {
			return nil, err
		}
		if len(o.owners) > 0 && !r.Resale {
			return nil, fmt.Errorf("%w: device %q has an owner on record; a code that replaces it has to say that it is for a resale", ErrInvalid, d.SerialNumber)
		}
		if r.Each || i == 0 {
			codes = append(codes, &ClaimCode{Code: newCode(), ExpiresAt: o.at.Add(lifetime)})
		}
		code := codes[len(codes)-1]
		code.SerialNumbers = append(code.SerialNumbers, d.SerialNumber)
		o.endClaims(change)
		claim := &Claim{
			ID: NewID(o.at), Domain: d.Domain, CodeHash: codeHash(code.Code), DeviceID: d.ID, Resale: r.Resale,
			CreatedAt: o.at, ExpiresAt: code.ExpiresAt,
		}
		change.PutClaims = append(change.PutClaims, claim)
		change.Trail = append(change.Trail, s.operatorEntry(KindClaimCreated, d, r.By, body{
			"claim": claim.ID, "resale": r.Resale, "expires_at": claim.ExpiresAt,
		}))
	}
	if err := s.store.Commit(ctx, change); err != nil {
		return nil, fmt.Errorf("claim codes for %d devices: %w", len(r.Devices), err)
	}
	return codes, nil
}

// Redemption shows a code for a domain.
type Redemption struct {
	Code string `json:"code"` // case, spaces and hyphens do not count
	DomainRef
	By string `json:"by"` // who did it, such as "cli:root"
}

// RedeemClaim makes the domain the owner of all devices of the code, or of
// none. The code is the positive proof of ownership that Verified vouchers
// rest on (RFC 8366, Section 5.3). ErrNotFound says that there is no such code,
// ErrInvalid why it does not count.
func (s *Service) RedeemClaim(ctx context.Context, r *Redemption) ([]*Owner, error) {
	if _, err := r.owner(); err != nil {
		return nil, err
	}
	s.imports.Lock()
	defer s.imports.Unlock()
	claims, err := s.store.ClaimsByCode(ctx, s.settings.Load().Domain, [32]byte(codeHash(r.Code)))
	switch {
	case err != nil:
		return nil, fmt.Errorf("claim code: %w", err)
	case len(claims) == 0:
		return nil, fmt.Errorf("claim code: %w", ErrNotFound)
	}
	var owners []*Owner
	change := &Change{}
	for _, claim := range claims {
		owner, err := s.redeem(ctx, r, claim, change)
		if err != nil {
			return nil, err
		}
		owners = append(owners, owner)
	}
	if err := s.store.Commit(ctx, change); err != nil {
		return nil, fmt.Errorf("redeem a claim code: %w", err)
	}
	return owners, nil
}

// redeem has the change give one device to the domain.
func (s *Service) redeem(ctx context.Context, r *Redemption, claim *Claim, c *Change) (*Owner, error) {
	d, err := s.store.Device(ctx, claim.Domain, claim.DeviceID)
	if err != nil {
		return nil, fmt.Errorf("device %s of a claim: %w", claim.DeviceID, err)
	}
	o, err := s.ownership(ctx, d)
	if err != nil {
		return nil, err
	}
	switch reason := cmp.Or(claim.closed(o.at), s.restoredSince(claim.CreatedAt)); {
	case reason != "":
		return nil, fmt.Errorf("%w: device %q: %s", ErrInvalid, d.SerialNumber, reason)
	case d.State != Known:
		return nil, fmt.Errorf("%w: device %q is blocked", ErrInvalid, d.SerialNumber)
	case len(o.owners) > 0 && !claim.Resale:
		return nil, fmt.Errorf("%w: device %q has an owner on record already", ErrInvalid, d.SerialNumber)
	}
	owner, err := r.owner()
	if err != nil {
		return nil, err
	}
	o.claims = nil // it is the only one, and ends by being redeemed
	o.add(c, owner, SourceClaim, true)
	claim.RedeemedAt, claim.OwnerID = o.at, owner.ID
	c.PutClaims = append(c.PutClaims, claim)
	details := ownerBody(owner, claim.Resale)
	details["claim"] = claim.ID
	c.Trail = append(c.Trail, s.operatorEntry(KindClaimRedeemed, d, r.By, details))
	return owner, nil
}

// codeAlphabet leaves out the letters that look like others.
const codeAlphabet = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"

// newCode returns 100 random bits for people: 20 letters and digits. That many
// cannot be guessed, so that a plain hash of it may be on record.
func newCode() string {
	const digits, group = 20, 5
	random := make([]byte, digits)
	rand.Read(random) // never fails (crypto/rand)
	var b strings.Builder
	for i, r := range random {
		if i > 0 && i%group == 0 {
			b.WriteByte('-')
		}
		b.WriteByte(codeAlphabet[r%byte(len(codeAlphabet))])
	}
	return b.String()
}

// codeHash returns what a code is known by on record. How people write it does
// not matter.
func codeHash(code string) []byte {
	code = strings.NewReplacer("-", "", " ", "", "O", "0", "I", "1", "L", "1").Replace(strings.ToUpper(code))
	sum := sha256.Sum256([]byte(code))
	return sum[:]
}
