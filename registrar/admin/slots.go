package admin

import (
	"encoding/hex"
	"time"

	"github.com/briskest/briskest/registrar"
)

// Slot is one credential of a device through its renewals.
type Slot struct {
	Profile  string        `json:"profile"`
	Subject  string        `json:"subject"`
	Versions []SlotVersion `json:"versions"` // newest first
}

// SlotVersion is one certificate of a slot.
type SlotVersion struct {
	Version     int        `json:"version"` // from 1
	State       string     `json:"state" enum:"current,waiting,retired,revoked,on-hold,expired"`
	ID          string     `json:"id"`
	Serial      string     `json:"serial"`
	NotAfter    time.Time  `json:"not_after"`
	Renews      int        `json:"renews,omitempty"`       // the version that it renewed
	ConfirmedAt *time.Time `json:"confirmed_at,omitempty"` // first seen in use in place of that
	RetiredAt   *time.Time `json:"retired_at,omitempty"`   // because another one was seen in use
}

func slotOut(s *registrar.Slot) Slot {
	return Slot{Profile: s.Profile, Subject: s.Subject, Versions: each(s.Versions, func(v *registrar.SlotVersion) SlotVersion {
		return SlotVersion{
			Version: v.Version, State: string(v.State), ID: v.Certificate.ID, Serial: hex.EncodeToString(v.Certificate.Serial),
			NotAfter: v.Certificate.NotAfter, Renews: v.Renews, ConfirmedAt: moment(v.ConfirmedAt), RetiredAt: moment(v.RetiredAt),
		}
	})}
}
