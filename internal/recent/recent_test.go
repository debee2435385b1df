package recent_test

import (
	"testing"

	"github.com/briskest/briskest/internal/recent"
)

func TestWhatIsAskedForStaysAndTheRestIsForgotten(t *testing.T) {
	m := recent.New[int, string](4)
	m.Put(-1, "kept")
	for i := range 100 {
		m.Put(i, "new")
		if v, ok := m.Get(-1); !ok || v != "kept" {
			t.Fatalf("after %d others it is %q, %t", i+1, v, ok)
		}
	}
	known := 0
	for i := range 100 {
		if _, ok := m.Get(i); ok {
			known++
		}
	}
	if _, ok := m.Get(0); ok || known > 8 {
		t.Errorf("%d of 100 are remembered, the first among them: %t; want 8 at most and not the first", known, ok)
	}
}

func TestTheNewestAreRemembered(t *testing.T) {
	m := recent.New[int, int](4)
	for i := range 10 {
		m.Put(i, i)
	}
	for i := 6; i < 10; i++ {
		if v, ok := m.Get(i); !ok || v != i {
			t.Errorf("of the newest 4 the one of %d is %d, %t", i, v, ok)
		}
	}
}
