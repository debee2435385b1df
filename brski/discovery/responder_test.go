package discovery_test

import (
	"net/netip"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/briskest/briskest/brski/discovery"
	"github.com/briskest/briskest/brski/discoverytest"
)

const service1 = "_brski-proxy._tcp.local"

// from are the packets that a machine sent.
func from(list []sighting, address string) []sighting {
	return slices.DeleteFunc(list, func(s sighting) bool { return s.from.Addr() != netip.MustParseAddr(address) })
}

// RFC 6762, Sections 8.1 and 8.3.
func TestAResponderProbesThenAnnounces(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var n discoverytest.Network
		seen := watch(t, &n)
		discoverytest.Run(t, proxyOn(n.Link("fe80::1/64")).Run)
		after(10 * time.Second)
		list := seen.take()
		if len(list) != 5 {
			t.Fatalf("%d messages, want 3 probes and 2 announcements", len(list))
		}
		for i, s := range list {
			if s.message.IsResponse() != (i >= 3) {
				t.Errorf("message %d: response = %v", i, s.message.IsResponse())
			}
			gap := 250 * time.Millisecond
			if i == 4 {
				gap = time.Second
			}
			if i > 0 && s.at.Sub(list[i-1].at) != gap {
				t.Errorf("message %d came after %v, want %v", i, s.at.Sub(list[i-1].at), gap)
			}
		}
		for _, a := range list[4].message.Answers() {
			if a.Flush == (a.Kind == "PTR") {
				t.Errorf("the cache-flush bit of %s is %v", a.Kind, a.Flush)
			}
		}
	})
}

// RFC 6762, Sections 8.1, 8.2 and 9: whoever comes second takes another name, and
// of two who come at once one does.
func TestANameThatIsTakenIsNotTakenAgain(t *testing.T) {
	for name, wait := range map[string]time.Duration{"later": time.Minute, "at once": 0} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var n discoverytest.Network
				q := browser(n.Link("fe80::3/64"))
				discoverytest.Run(t, q.Run)
				discoverytest.Run(t, proxyOn(n.Link("fe80::1/64")).Run)
				after(wait)
				discoverytest.Run(t, proxyOn(n.Link("fe80::2/64")).Run)
				after(time.Minute)
				var names []string
				for _, c := range q.Candidates() {
					names = append(names, c.Instance+" "+c.Host)
				}
				if want := []string{"door 1.2 pi.local", "door 1.2 (2) pi-2.local"}; len(names) != 2 || !slices.Contains(names, want[0]) || !slices.Contains(names, want[1]) {
					t.Errorf("names = %q, want %q", names, want)
				}
			})
		})
	}
}

// RFC 6762, Section 7.1: what the asker knows is not said again.
func TestKnownAnswersAreNotRepeated(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var n discoverytest.Network
		discoverytest.Run(t, proxyOn(n.Link("fe80::1/64")).Run)
		after(10 * time.Second)
		seen := watch(t, &n)
		s := speak(t, &n, "[fe80::5]:5353")
		full := encode("door 1.2|_brski-proxy|_tcp|local")
		for ttl, want := range map[uint32]int{4500: 0, 2251: 0, 100: 1} {
			s.say(packet{questions: [][]byte{asks(service1, ptr, in)}, answers: [][]byte{says(service1, ptr, in, ttl, full)}})
			after(2 * time.Second)
			if got := len(from(seen.take(), "fe80::1")); got != want {
				t.Errorf("known for %d s: %d answers, want %d", ttl, got, want)
			}
		}
	})
}

// RFC 6762, Section 6: a record is multicast once a second at most, and shared ones
// after a pause.
func TestAnswersAreFewForManyQuestions(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var n discoverytest.Network
		discoverytest.Run(t, proxyOn(n.Link("fe80::1/64")).Run)
		after(10 * time.Second)
		seen := watch(t, &n)
		s := speak(t, &n, "[fe80::5]:5353")
		begin := time.Now()
		for range 1000 {
			s.say(packet{questions: [][]byte{asks(service1, ptr, in), asks("pi.local", aaaa, in)}})
			time.Sleep(5 * time.Millisecond)
		}
		list := from(seen.take(), "fe80::1")
		if len(list) < 2 || len(list) > 12 {
			t.Errorf("%d answers in five seconds, want about 2 a second", len(list))
		}
		for _, p := range list {
			for _, a := range p.message.Answers() {
				if a.Kind == "PTR" && p.at.Sub(begin) < 20*time.Millisecond {
					t.Errorf("a shared record was sent after %v, want 20 ms at least", p.at.Sub(begin))
				}
			}
		}
		// Alone, even less than one for each question.
		legacy := speak(t, &n, "[fe80::5]:40000")
		for range 1000 {
			legacy.say(packet{questions: [][]byte{asks(service1, ptr, in)}})
		}
		if got := len(from(seen.take(), "fe80::1")); got != 20 {
			t.Errorf("%d answers to one machine in a moment, want 20", got)
		}
	})
}

// RFC 6762, Sections 5.4 and 6.7.
func TestAnswersGoToWhoAsksWhereThatIsEnough(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var n discoverytest.Network
		discoverytest.Run(t, proxyOn(n.Link("fe80::1/64")).Run)
		after(10 * time.Second)
		seen := watch(t, &n)
		for _, c := range []struct {
			name, from string
			class      uint16
			to         string
		}{
			{"unicast wanted", "[fe80::5]:5353", in | 0x8000, "[fe80::5]:5353"},
			{"multicast wanted", "[fe80::5]:5353", in, "[ff02::fb%mem0]:5353"},
			{"a plain resolver", "[fe80::5]:40000", in, "[fe80::5]:40000"},
		} {
			speak(t, &n, c.from).say(packet{id: 77, questions: [][]byte{asks(service1, ptr, c.class)}})
			after(2 * time.Second)
			list := from(seen.take(), "fe80::1")
			if len(list) != 1 || list[0].to != netip.MustParseAddrPort(c.to) {
				t.Fatalf("%s: %d answers, want one to %s", c.name, len(list), c.to)
			}
			m := list[0].message
			var kinds []string
			for _, r := range append(m.Answers(), m.Additional()...) {
				kinds = append(kinds, r.Kind)
				if c.name == "a plain resolver" && (r.TTL > 10 || r.Flush) {
					t.Errorf("%s: %+v, want a TTL of 10 at most and no cache-flush bit", c.name, r)
				}
			}
			if want := []string{"PTR", "SRV", "TXT", "AAAA"}; !slices.Equal(kinds, want) {
				t.Errorf("%s: records %v, want %v", c.name, kinds, want)
			}
			if legacy := c.name == "a plain resolver"; (m.ID() == 77) != legacy || (len(m.AsksFor()) == 1) != legacy {
				t.Errorf("%s: id %d and %d questions", c.name, m.ID(), len(m.AsksFor()))
			}
		}
		// RFC 6762, Section 6.1: a type that our name does not have.
		speak(t, &n, "[fe80::5]:5353").say(packet{questions: [][]byte{asks("PI.local", a, in)}})
		after(time.Second)
		if list := from(seen.take(), "fe80::1"); len(list) != 1 || list[0].message.Answers()[0].Kind != "NSEC" {
			t.Errorf("no answer says that there is no IPv4 address")
		}
		// RFC 6763, Section 9.
		speak(t, &n, "[fe80::5]:5353").say(packet{questions: [][]byte{asks("_services._dns-sd._udp.local", ptr, in)}})
		after(time.Second)
		if list := from(seen.take(), "fe80::1"); len(list) != 1 || list[0].message.Answers()[0].Data != service1 {
			t.Errorf("the service type is not among those listed")
		}
		// From beyond the link, or about others, nothing.
		speak(t, &n, "[2001:db8::1]:5353").say(packet{questions: [][]byte{asks(service1, ptr, in)}})
		speak(t, &n, "[fe80::5]:5353").say(packet{questions: [][]byte{asks("_ipp._tcp.local", ptr, in), asks("other.local", a, in)}})
		after(time.Second)
		if list := from(seen.take(), "fe80::1"); len(list) != 0 {
			t.Errorf("%d answers to what is none of ours, want none", len(list))
		}
	})
}

func TestOnlyChosenAddressesAreAnnounced(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var n discoverytest.Network
		r := proxyOn(n.Link("fe80::1/64", "192.0.2.1/24"))
		r.Announced = func(a netip.Addr) bool { return a == netip.MustParseAddr("fe80::1%mem0") }
		seen := watch(t, &n)
		discoverytest.Run(t, r.Run)
		after(10 * time.Second)
		for _, s := range seen.take() {
			for _, a := range s.message.Answers() {
				if a.Kind == "A" {
					t.Errorf("announced: %+v", a)
				}
			}
		}
	})
}

func TestAResponderThatCannotBeNamedDoesNotBegin(t *testing.T) {
	var n discoverytest.Network
	for name, change := range map[string]func(*discovery.Responder){
		"no links":     func(r *discovery.Responder) { r.Links = nil },
		"no services":  func(r *discovery.Responder) { r.Services = nil },
		"no port":      func(r *discovery.Responder) { r.Services[0].Port = 0 },
		"no instance":  func(r *discovery.Responder) { r.Instance = "" },
		"a long label": func(r *discovery.Responder) { r.Host = string(make([]byte, 64)) },
	} {
		r := proxyOn(n.Link("fe80::1/64"))
		change(r)
		if err := r.Run(t.Context()); err == nil {
			t.Errorf("%s: Run = nil, want an error", name)
		}
	}
}

// Somebody has every name: the responder tries others for as long as it runs,
// slowly.
func TestWhoContestsEveryNameIsNotAnsweredWithAStorm(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var n discoverytest.Network
		seen := watch(t, &n)
		r := proxyOn(n.Link("fe80::1/64"))
		discoverytest.Run(t, r.Run)
		s := speak(t, &n, "[fe80::5]:5353")
		for i := range 6000 { // a minute
			instance := "door 1.2"
			if i > 0 {
				if last := lastAsked(seen); last != "" {
					instance = last
				}
			}
			s.say(packet{flags: response, answers: [][]byte{says(instance+"|_brski-proxy|_tcp|local", srv, in|flush, 120, service(1, "else.local"))}})
			time.Sleep(10 * time.Millisecond)
		}
		if got := len(from(seen.take(), "fe80::1")); got < 15 || got > 60 {
			t.Errorf("%d messages in a minute of conflicts, want a few", got)
		}
	})
}

// lastAsked is the instance that was probed for last.
func lastAsked(s *sightings) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, p := range slices.Backward(s.list) {
		if p.from.Addr() != netip.MustParseAddr("fe80::1") || p.message.IsResponse() {
			continue
		}
		for _, q := range p.message.AsksFor() {
			if instance, ok := strings.CutSuffix(q, "._brski-proxy._tcp.local"); ok {
				return strings.TrimPrefix(instance, "ANY ")
			}
		}
	}
	return ""
}
