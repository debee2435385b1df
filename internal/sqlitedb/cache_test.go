package sqlitedb

import (
	"errors"
	"testing"
)

func TestARowThatChangedWhileItWasReadIsNotKept(t *testing.T) {
	c := NewCache[int]()
	fetch := func(value int, meanwhile func()) func() (int, error) {
		return func() (int, error) {
			meanwhile()
			return value, nil
		}
	}
	read := func(want int, f func() (int, error)) {
		t.Helper()
		if got, err := c.Read("d", "k", f); err != nil || got != want {
			t.Errorf("read = %d, %v; want %d", got, err, want)
		}
	}
	read(1, fetch(1, func() { c.Forget("d", "k") }))
	read(2, fetch(2, func() {})) // the 1 was not kept
	read(2, fetch(3, func() {})) // the 2 was
	c.Forget("d", "k")
	read(4, fetch(4, func() {}))
	if _, err := c.Read("d", "missing", func() (int, error) { return 0, errors.New("none") }); err == nil {
		t.Error("read of a missing row gave no error")
	}
	read(4, fetch(5, func() {}))
}

func TestAFullCacheStartsAnew(t *testing.T) {
	c := NewCache[int]()
	for i := range maxCached + 1 {
		if _, err := c.Read("d", string(rune(i)), func() (int, error) { return i, nil }); err != nil {
			t.Fatal(err)
		}
	}
	if n := len(c.rows); n > maxCached {
		t.Errorf("%d rows kept, want at most %d", n, maxCached)
	}
}

// A row that was read before a change of any is not kept.
func TestRowReadAlongIsKeptUnlessSomethingChanged(t *testing.T) {
	c := NewCache[int]()
	before := c.Changed()
	c.Offer("d", "a", 1, before)
	if v, ok := c.Kept("d", "a"); !ok || v != 1 {
		t.Errorf("Kept = %d, %t; want the row that was offered", v, ok)
	}
	for name, change := range map[string]func(){
		"Forget": func() { c.Forget("d", "a") }, "Put": func() { c.Put("d", "a", 2) }, "ForgetAnother": func() { c.Forget("d", "b") },
	} {
		before := c.Changed()
		change()
		was, had := c.Kept("d", "a")
		c.Offer("d", "a", 3, before)
		if v, ok := c.Kept("d", "a"); v != was || ok != had {
			t.Errorf("%s: Kept = %d, %t after an offer from before, want %d, %t", name, v, ok, was, had)
		}
	}
}
