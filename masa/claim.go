package masa

import "time"

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

// open tells whether the code can be redeemed at the given time.
func (c *Claim) open(at time.Time) bool {
	return c.RedeemedAt.IsZero() && c.EndedAt.IsZero() && at.Before(c.ExpiresAt)
}
