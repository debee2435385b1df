package masa_test

import (
	"bytes"
	"testing"

	"github.com/briskest/briskest/masa"
)

// What is on record already costs nothing of the budget, and is answered when
// there is none left.
func TestARepeatedRequestUsesUpNoBudgetOfItsDevice(t *testing.T) {
	w := newWorld(t, func(s *masa.Settings, _ *masa.Product) { s.VouchersPerMinute = 2 })
	first := w.ask(w.mine, "0123456789abcdef").bytes(t)
	_, issued := w.voucher(first)
	again := func(when string) {
		t.Helper()
		if _, got := w.voucher(first); !bytes.Equal(got, issued) {
			t.Errorf("%s: the repetition got other bytes", when)
		}
	}
	for range 4 {
		again("with budget left")
	}
	w.voucher(w.ask(w.mine, "0123456789abcdeg").bytes(t))
	w.refused(w.ask(w.mine, "0123456789abcdeh").bytes(t), 429, masa.ReasonBudget)
	again("with none left")
}
