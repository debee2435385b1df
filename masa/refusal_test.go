package masa_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/briskest/briskest/internal/trail"
	"github.com/briskest/briskest/masa"
)

// Promise 7: addresses cannot take memory without end, and a flood of them
// puts one entry a minute on the trail.
func TestFloodOfAddressesIsBounded(t *testing.T) {
	r := masa.NewRefusals()
	at := time.Unix(1_900_000_000, 0)
	written := 0
	for i := range 2 * masa.MaxRefusalKeys {
		if r.Offer("reason", fmt.Sprint(i), &trail.Entry{At: at}) {
			written++
		}
	}
	if want := masa.MaxRefusalKeys + 1; written != want || r.Kept() != want {
		t.Errorf("%d entries written, %d addresses kept; want %d of each", written, r.Kept(), want)
	}
	if !r.Offer("reason", "later", &trail.Entry{At: at.Add(masa.RefusalInterval)}) || r.Kept() != 1 {
		t.Errorf("a minute later %d addresses are kept, want the new one alone", r.Kept())
	}
}
