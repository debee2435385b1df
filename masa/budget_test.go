package masa_test

import (
	"strconv"
	"testing"
	"time"

	"github.com/briskest/briskest/masa"
)

func TestBudgetIsUsedUpAndComesBackAfterAMinute(t *testing.T) {
	at := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	var b masa.Budget
	for n := range 3 {
		if wait := b.Take("a", 3, at); wait != 0 {
			t.Errorf("use %d of 3: wait %v", n+1, wait)
		}
	}
	if wait := b.Take("a", 3, at.Add(20*time.Second)); wait != 40*time.Second {
		t.Errorf("the fourth use after 20 s: wait %v, want 40s", wait)
	}
	if wait := b.Take("b", 3, at); wait != 0 {
		t.Errorf("another key: wait %v", wait)
	}
	for _, d := range []time.Duration{masa.BudgetWindow, -time.Hour} { // a clock that was set back too
		if wait := b.Take("a", 3, at.Add(d)); wait != 0 {
			t.Errorf("%v later: wait %v", d, wait)
		}
	}
}

// Whoever has many addresses uses up neither the memory nor what others may do.
func TestBudgetsOfManyKeysAreBoundedAndShutNobodyOut(t *testing.T) {
	at := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	var b masa.Budget
	var s masa.Served
	for n := range 3 * masa.MaxBudgetKeys {
		key := strconv.Itoa(n)
		if wait := b.Take(key, 1, at); wait != 0 {
			t.Fatalf("key %d: wait %v", n, wait)
		}
		if _, needed := s.Note(key, at); !needed {
			t.Fatalf("the log of device %d has no entry", n)
		}
	}
	if b.Kept() > masa.MaxBudgetKeys || s.Kept() > masa.MaxBudgetKeys {
		t.Errorf("%d and %d keys are remembered, want at most %d", b.Kept(), s.Kept(), masa.MaxBudgetKeys)
	}
	if s.Note("later", at.Add(masa.BudgetWindow)); s.Kept() != 1 {
		t.Errorf("a minute later %d are remembered, want 1", s.Kept())
	}
}
