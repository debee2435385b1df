package registrar

import (
	"crypto/sha256"
	"slices"
	"time"
)

// Slot is one credential of a device through its renewals: certificates of one profile
// for the same names, and what they renewed into.
type Slot struct {
	Profile  string
	Subject  string         // of the newest version; RFC 4514, Section 2
	Versions []*SlotVersion // the newest first
}

// SlotState says where a version of a slot stands.
type SlotState string

// The states of a version.
const (
	SlotCurrent SlotState = "current" // counts: it was seen in use, or is the first of its slot
	SlotWaiting SlotState = "waiting" // issued, and not seen in use yet: what it renewed counts as well
	SlotRetired SlotState = "retired" // another version was seen in use: it authenticates nothing
	SlotRevoked SlotState = "revoked"
	SlotOnHold  SlotState = "on-hold"
	SlotExpired SlotState = "expired" // its time is over, and nobody retired it
)

// SlotVersion is one certificate of a slot.
type SlotVersion struct {
	Version     int // from 1, in the order of issuance
	Certificate *Certificate
	State       SlotState
	Renews      int       // the version that it renewed; 0 for none
	ConfirmedAt time.Time // when it was first seen in use in place of the one that it renewed; zero: not yet, or it renewed none
	RetiredAt   time.Time // zero unless it was retired
}

// Slots sorts a device's certificates, in order of ID, into slots. Intents without a
// certificate are left out.
func Slots(certificates []*Certificate, at time.Time) []*Slot {
	type names struct {
		profile string
		hash    [32]byte
	}
	var out []*Slot
	byNames, byName := map[names]*Slot{}, map[string]*Slot{}
	made := map[string]*SlotVersion{} // by the name that the certificate authenticates as
	for _, c := range certificates {
		if c.Raw == nil {
			continue
		}
		own := credentialName(sha256.Sum256(c.Raw))
		v := &SlotVersion{Certificate: c, State: slotState(c, at)}
		slot := byName[c.Credential] // of what it renewed
		key := names{c.Profile, c.NamesHash}
		if slot == nil {
			slot = byNames[key]
		}
		if slot == nil {
			slot = &Slot{Profile: c.Profile}
			out = append(out, slot)
		}
		byNames[key], byName[own], made[own] = slot, slot, v
		slot.Subject = c.Subject
		slot.Versions = append(slot.Versions, v)
		v.Version = len(slot.Versions)
		if v.State == SlotRetired {
			v.RetiredAt = c.RevokedAt
		}
		if before := made[c.Credential]; before != nil && c.Operation == OpRenew {
			v.confirm(before)
		}
	}
	for _, slot := range out {
		slices.Reverse(slot.Versions)
	}
	return out
}

// confirm says whether a version was seen in use: then the one before was retired, and
// not both of them because of a third.
func (v *SlotVersion) confirm(before *SlotVersion) {
	v.Renews = before.Version
	switch together := v.RetiredAt.Equal(before.RetiredAt); {
	case !before.RetiredAt.IsZero() && !together:
		v.ConfirmedAt = before.RetiredAt
	case v.State == SlotCurrent:
		v.State = SlotWaiting
	}
}

func slotState(c *Certificate, at time.Time) SlotState {
	switch {
	case c.OnHold():
		return SlotOnHold
	case c.Status == Revoked && c.RevokeReason == reasonSuperseded:
		return SlotRetired
	case c.Status == Revoked:
		return SlotRevoked
	case at.After(c.NotAfter):
		return SlotExpired
	default:
		return SlotCurrent
	}
}
