package discovery_test

import (
	"bytes"
	"encoding/binary"
	"net/netip"
	"testing"

	"github.com/briskest/briskest/brski/discovery"
	"github.com/briskest/briskest/brski/discoverytest"
)

// header is a message's header with counts.
func header(questions, answers uint16) []byte {
	b := []byte{0, 0, 0x84, 0}
	for _, v := range []uint16{questions, answers, 0, 0} {
		b = binary.BigEndian.AppendUint16(b, v)
	}
	return b
}

// RFC 1035, Section 4.1.4: a pointer points back.
func TestNamesThatNeverEndAreRefused(t *testing.T) {
	rest := []byte{0, 12, 0, 1}
	for name, n := range map[string][]byte{
		"a pointer to itself":       {0xc0, 12},
		"two that point at another": {0xc0, 14, 0xc0, 12},
		"a label before a loop":     {1, 'a', 0xc0, 12},
		"forward":                   {0xc0, 200},
		"cut off":                   {0xc0},
		"a label that is longer":    {63, 'a'},
		"an unknown kind of label":  {0x41, 'a', 0},
		"no end":                    bytes.Repeat([]byte{1, 'a'}, 200),
	} {
		if _, err := discovery.ParseMessage(append(append(header(1, 0), n...), rest...)); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}

func TestMessagesAreReadAsTheyWereWritten(t *testing.T) {
	p := offer("a.b|c"[:3], "x.local", "fe80::5", 443, 120)
	p.questions = [][]byte{asks("_brski-proxy._tcp.local", ptr, in|0x8000)}
	m, err := discovery.ParseMessage(p.bytes())
	if err != nil {
		t.Fatal(err)
	}
	short := m.Append(nil)
	if len(short) >= len(p.bytes()) {
		t.Errorf("compressed: %d bytes, want less than %d", len(short), len(p.bytes()))
	}
	again, err := discovery.ParseMessage(short)
	if err != nil {
		t.Fatal(err)
	}
	if got, want := again.Answers(), m.Answers(); len(got) != 3 || got[0] != want[0] || got[1] != want[1] || got[2] != want[2] {
		t.Errorf("read again: %v, want %v", got, want)
	}
}

func FuzzMessage(f *testing.F) {
	f.Add(offer("x", "x.local", "fe80::5", 443, 120).bytes())
	f.Add(offer("x", "x.local", "192.0.2.1", 443, 0).bytes())
	f.Add(packet{questions: [][]byte{asks("_brski-proxy._tcp.local", ptr, in)}, authority: [][]byte{says("x.local", txt, in, 1, []byte{0})}}.bytes())
	f.Add(append(header(1, 0), 1, 'a', 0xc0, 12, 0, 12, 0, 1))
	f.Add(append(header(2, 0), 1, 'a', 0, 0, 12, 0, 1, 0xc0, 12, 0, 255, 0x80, 1))
	f.Fuzz(func(t *testing.T, b []byte) {
		m, err := discovery.ParseMessage(b)
		if err != nil {
			return
		}
		again, err := discovery.ParseMessage(m.Append(nil))
		if err != nil {
			if len(m.Append(nil)) > 9000 { // less compressed
				return
			}
			t.Fatalf("what was written cannot be read: %v", err)
		}
		if got, want := len(again.Answers()), len(m.Answers()); got != want {
			t.Errorf("read again: %d answers, want %d", got, want)
		}
	})
}

// No packet makes a querier or a responder fail, or remember more than a little.
func FuzzHear(f *testing.F) {
	full := "door|_brski-proxy|_tcp|local"
	f.Add(offer("x", "x.local", "fe80::5", 443, 120).bytes(), true)
	f.Add(offer("door", "pi.local", "fe80::5", 443, 0).bytes(), true)
	f.Add(packet{questions: [][]byte{asks("_brski-proxy._tcp.local", ptr, in), asks("PI.local", a, in|0x8000), asks(full, anyType, in)}}.bytes(), true)
	f.Add(packet{questions: [][]byte{asks("_services._dns-sd._udp.local", ptr, in)}}.bytes(), false)
	f.Add(packet{questions: [][]byte{asks(full, anyType, in)}, authority: [][]byte{says(full, srv, in, 120, service(9, "zz.local"))}}.bytes(), true)
	f.Fuzz(func(t *testing.T, b []byte, mdns bool) {
		var n discoverytest.Network
		from := netip.MustParseAddrPort("[fe80::5]:5353")
		if !mdns {
			from = netip.AddrPortFrom(from.Addr(), 40000)
		}
		if got := discovery.Hear(n.Link("fe80::1/64"), from, b); got > 64 {
			t.Errorf("one packet makes us remember %d things", got)
		}
	})
}
