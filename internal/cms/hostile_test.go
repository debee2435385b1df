package cms_test

import (
	"bytes"
	"runtime"
	"testing"
	"time"

	"github.com/briskest/briskest/internal/cmstest"
)

// hostile is one of the inputs that cost other readers seconds of CPU, or the process.
type hostile struct {
	name string
	data []byte
}

// hostileInputs are nested and wide, bare and in the places of a message where they would be looked at. Each is to
// be refused.
func hostileInputs() []hostile {
	var inputs []hostile
	add := func(name string, data []byte) { inputs = append(inputs, hostile{name, data}) }
	for _, size := range []struct {
		name  string
		bytes int
	}{{"64 k", 64 << 10}, {"256 k", 256 << 10}, {"4 M", 4 << 20}} {
		open := bytes.Repeat([]byte{0x30, 0x80}, size.bytes/2)
		add("30 80, "+size.name+" bytes, no end", open)
		half := size.bytes / 4
		add("30 80, "+size.name+" bytes, ended", append(bytes.Repeat([]byte{0x30, 0x80}, half), make([]byte, 2*half)...))
		add("24 80, "+size.name+" bytes, no end", bytes.Repeat([]byte{0x24, 0x80}, size.bytes/2))
		add("a0 80, "+size.name+" bytes, no end", bytes.Repeat([]byte{0xa0, 0x80}, size.bytes/2))
	}
	million := bytes.Repeat([]byte{5, 0}, 1_000_000)
	add("indefinite, 1,000,000 children, ended", append(append([]byte{0x30, 0x80}, million...), 0, 0))
	add("indefinite, 1,000,000 children, no end", append([]byte{0x30, 0x80}, million...))
	add("definite, 1,000,000 children", cmstest.Element(0x30, million))
	segments := bytes.Repeat([]byte{4, 1, 'a'}, 1_000_000)
	add("OCTET STRING of 1,000,000 segments", append(append([]byte{0x24, 0x80}, segments...), 0, 0))
	add("1,000,000 empty sequences", cmstest.Element(0x30, bytes.Repeat([]byte{0x30, 0}, 1_000_000)))
	add("just over the largest size", make([]byte, 4<<20+1))
	return inputs
}

// TestHostileNestingIsRefusedCheaply prints what each input costs in the dearest of the entries, and fails above 1 MB.
// Time is printed; it is held only against a bound that a busy machine keeps.
func TestHostileNestingIsRefusedCheaply(t *testing.T) {
	const maxBytes, maxTime = 1 << 20, time.Second
	t.Logf("figures: %-42s %10s %12s %10s", "input", "size", "time", "allocated")
	for _, in := range hostileInputs() {
		var dearest uint64
		var slowest time.Duration
		for name, entry := range entries() {
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			start := time.Now()
			err := entry(in.data)
			elapsed := time.Since(start)
			runtime.ReadMemStats(&after)
			if err == nil {
				t.Errorf("%s(%s) succeeded, want it refused", name, in.name)
			}
			dearest = max(dearest, after.TotalAlloc-before.TotalAlloc)
			slowest = max(slowest, elapsed)
		}
		t.Logf("figures: %-42s %10d %12s %8d B", in.name, len(in.data), slowest.Round(time.Microsecond), dearest)
		if dearest > maxBytes || slowest > maxTime {
			t.Errorf("%s costs %d bytes and %s, want at most %d and %s", in.name, dearest, slowest, maxBytes, maxTime)
		}
	}
}

// What is within the limits is read, and its cost is printed too: the worst that a peer can make the package do.
func TestWorstAcceptedInputsStayCheap(t *testing.T) {
	// 131,070 empty sequences: every element needs its length noted and its header written anew.
	sequences := append(append([]byte{0x30, 0x80}, bytes.Repeat([]byte{0x30, 0x80, 0, 0}, 1<<17-1)...), 0, 0)
	segments := append(append([]byte{0x24, 0x80}, bytes.Repeat(append([]byte{4, 31}, make([]byte, 31)...), 1<<17-4096)...), 0, 0)
	t.Logf("figures: %-42s %10s %12s %10s", "input", "size", "time", "allocated")
	for _, in := range []hostile{{"131,071 indefinite sequences", sequences}, {"126,976 segments of 31 bytes", segments}} {
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		start := time.Now()
		err := entries()["ToDER"](in.data)
		elapsed := time.Since(start)
		runtime.ReadMemStats(&after)
		if err != nil {
			t.Errorf("ToDER(%s): %v", in.name, err)
		}
		allocated := after.TotalAlloc - before.TotalAlloc
		t.Logf("figures: %-42s %10d %12s %8d B", in.name, len(in.data), elapsed.Round(time.Microsecond), allocated)
		if bound := uint64(len(in.data) + 1<<20); allocated > bound {
			t.Errorf("ToDER(%s) allocates %d bytes, want at most %d", in.name, allocated, bound)
		}
	}
}
