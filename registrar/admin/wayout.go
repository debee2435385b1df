package admin

import (
	"cmp"
	"slices"
	"strings"
	"time"

	"github.com/briskest/briskest/registrar"
)

// WayOut is what would change an answer.
type WayOut struct {
	Reason string    `json:"reason"` // id
	Last   time.Time `json:"last"`   // when it was given last
	Text   string    `json:"way_out"`
}

// waysOut says what would change each refusal and wait, the newest first.
func waysOut(why *registrar.Explanation) []WayOut {
	last := make(map[string]time.Time)
	for _, e := range why.Entries {
		switch e.Kind {
		case registrar.KindRefused, registrar.KindRequestWaiting, registrar.KindVoucherRefused, registrar.KindVoucherHeld:
			if e.Reason != "" && e.At.After(last[e.Reason]) {
				last[e.Reason] = e.At
			}
		}
	}
	var out []WayOut
	for reason, at := range last {
		if text := registrar.WayOut(reason); text != "" {
			out = append(out, WayOut{reason, at, text})
		}
	}
	slices.SortFunc(out, func(a, b WayOut) int { return cmp.Or(b.Last.Compare(a.Last), strings.Compare(a.Reason, b.Reason)) })
	return out
}
