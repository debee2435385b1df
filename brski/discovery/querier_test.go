package discovery_test

import (
	"fmt"
	"net/netip"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/briskest/briskest/brski/discovery"
	"github.com/briskest/briskest/brski/discoverytest"
)

// BRSKI-8995-B-01, BRSKI-8995-B-02: RFC 8995, Appendix B, over mDNS.
func TestAQuerierFindsWhoAnnouncesAndForgetsWhoSaysGoodbye(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var n discoverytest.Network
		q := browser(n.Link("fe80::2/64"))
		discoverytest.Run(t, q.Run)
		changed := q.Changed()
		stop := discoverytest.Run(t, proxyOn(n.Link("fe80::1/64", "192.0.2.1/24", "fd00::1/64")).Run)
		after(10 * time.Second)
		select {
		case <-changed:
		default:
			t.Error("Changed was not closed")
		}
		got := q.Candidates()
		if len(got) != 1 {
			t.Fatalf("candidates = %v, want one", got)
		}
		// 192.0.2.1 and fd00::1 are in no network of the querier's.
		want := []netip.AddrPort{netip.MustParseAddrPort("[fe80::1%mem0]:8443")}
		if c := got[0]; c.Instance != "door 1.2" || c.Host != "pi.local" || c.Interface != "mem0" || !slices.Equal(c.Endpoints(), want) {
			t.Errorf("candidate = %+v, want door 1.2 on pi.local at %v", c, want)
		}
		if left := time.Until(got[0].Expires); left < 100*time.Second || left > 120*time.Second {
			t.Errorf("the candidate expires in %v, want its record's two minutes", left)
		}
		stop()
		after(2 * time.Second)
		if got := q.Candidates(); len(got) != 0 {
			t.Errorf("candidates after a goodbye = %v, want none", got)
		}
	})
}

func TestACandidateLastsAsLongAsItIsAnsweredFor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var n discoverytest.Network
		link := n.Link("fe80::1/64")
		q := browser(n.Link("fe80::2/64"))
		discoverytest.Run(t, q.Run)
		discoverytest.Run(t, proxyOn(link).Run)
		for range 100 { // a lifetime is two minutes
			after(time.Minute)
			if got := q.Candidates(); len(got) != 1 {
				t.Fatalf("candidates = %v, want one all the time", got)
			}
		}
		_ = link.Conn.Close() // without a goodbye
		after(121 * time.Second)
		if got := q.Candidates(); len(got) != 0 {
			t.Errorf("candidates of a machine that answers no more = %v, want none", got)
		}
	})
}

// RFC 6762, Section 5.2.
func TestQuestionsAreSpacedTwiceAsFarEachTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var n discoverytest.Network
		seen := watch(t, &n)
		begin := time.Now()
		discoverytest.Run(t, browser(n.Link("fe80::2/64")).Run)
		after(5 * time.Hour)
		list := seen.take()
		if first := list[0].at.Sub(begin); first < 20*time.Millisecond || first > 120*time.Millisecond {
			t.Errorf("the first question came after %v, want 20 to 120 ms", first)
		}
		want := time.Second
		for i := 1; i < len(list); i++ {
			if got := list[i].at.Sub(list[i-1].at); got < want || got > want+time.Second {
				t.Errorf("question %d came after %v, want %v", i+1, got, want)
			}
			want = min(2*want, time.Hour)
		}
		if len(list) < 14 || len(list) > 17 {
			t.Errorf("%d questions in five hours, want about 16", len(list))
		}
	})
}

// RFC 6762, Section 11: only who is on the link is heard; and only what is on
// the link is believed.
func TestWhatIsBeyondTheLinkIsNotBelieved(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var n discoverytest.Network
		q := browser(n.Link("fe80::2/64", "192.0.2.2/24"))
		discoverytest.Run(t, q.Run)
		for _, c := range []struct{ from, address string }{
			{"[2001:db8::5]:5353", "fe80::5"},  // a far machine that claims a near address
			{"198.51.100.1:5353", "192.0.2.5"}, // the same
			{"[fe80::5]:5353", "2001:db8::5"},  // a near machine that sends devices far away
			{"192.0.2.5:5353", "198.51.100.1"}, // the same
			{"192.0.2.5:5353", "127.0.0.1"},    // or to themselves
			{"[fe80::5]:5353", "ff02::1"},      // or everywhere
			{"[fe80::5]:5353", "::"},           // or nowhere
			{"[fe80::5]:5354", "fe80::5"},      // not mDNS's port
			{"[fe80::5%eth9]:5353", "fe80::5"}, // another link
		} {
			speak(t, &n, c.from).say(offer("x", "x.local", c.address, 443, 120))
			if got := q.Candidates(); len(got) != 0 {
				t.Errorf("%s says %s: candidates = %v, want none", c.from, c.address, got)
			}
		}
		speak(t, &n, "[fe80::5]:5353").say(offer("x", "x.local", "192.0.2.5", 443, 120))
		if got := q.Candidates(); len(got) != 1 {
			t.Errorf("candidates = %v, want the one on the link", got)
		}
	})
}

func TestMessagesThatDoNotFitAreDropped(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var n discoverytest.Network
		q := browser(n.Link("fe80::2/64"))
		discoverytest.Run(t, q.Run)
		s := speak(t, &n, "[fe80::5]:5353")
		good := offer("x", "x.local", "fe80::5", 443, 120)
		for name, change := range map[string]func(p *packet){
			"a query":            func(p *packet) { p.flags = 0 },
			"an error":           func(p *packet) { p.flags |= 3 },
			"an opcode":          func(p *packet) { p.flags |= 0x0800 },
			"a record cut short": func(p *packet) { p.answers[2] = p.answers[2][:len(p.answers[2])-1] },
			"no port":            func(p *packet) { p.answers[1] = offer("x", "x.local", "fe80::5", 0, 120).answers[1] },
			"another service": func(p *packet) {
				p.answers[0] = says("_ipp._tcp.local", ptr, in, 120, encode("x|_brski-proxy|_tcp|local"))
			},
			"not below it": func(p *packet) {
				p.answers[0] = says("_brski-proxy._tcp.local", ptr, in, 120, encode("x|_ipp|_tcp|local"))
			},
			"300 records": func(p *packet) { p.answers = append(p.answers, slices.Repeat(p.answers[:1], 300)...) },
		} {
			p := packet{flags: good.flags, answers: slices.Clone(good.answers)}
			change(&p)
			s.say(p)
			if got := q.Candidates(); len(got) != 0 {
				t.Errorf("%s: candidates = %v, want none", name, got)
			}
			after(2 * time.Hour) // all is forgotten
		}
	})
}

func TestWhatIsRememberedIsBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var n discoverytest.Network
		q := browser(n.Link("fe80::2/64"))
		discoverytest.Run(t, q.Run)
		for source := range 30 {
			s := speak(t, &n, fmt.Sprintf("[fe80::1:%x]:5353", source))
			for i := range 20 {
				s.say(offer(fmt.Sprintf("%d of %d", i, source), fmt.Sprintf("h%d-%d.local", i, source), "fe80::5", 443, 1<<31))
			}
			if source == 0 && len(q.Candidates()) != 8 {
				t.Errorf("%d candidates from one address, want 8", len(q.Candidates()))
			}
		}
		if got := len(q.Candidates()); got > 64 {
			t.Errorf("%d candidates, want 64 at most", got)
		}
		speak(t, &n, "[fe80::9]:5353").say(offer("late", "late.local", "fe80::9", 443, 120))
		if !slices.ContainsFunc(q.Candidates(), func(c discovery.Candidate) bool { return c.Instance == "late" }) {
			t.Error("those who came first leave no room for another machine")
		}
		for i := range 30 {
			speak(t, &n, "[fe80::9]:5353").say(packet{flags: response, answers: [][]byte{says("late.local", aaaa, in, 120, ip(fmt.Sprintf("fe80::9:%x", i)))}})
		}
		for _, c := range q.Candidates() {
			if len(c.Addresses) > 8 {
				t.Errorf("%d addresses of one host, want 8 at most", len(c.Addresses))
			}
			if left := time.Until(c.Expires); left > 75*time.Minute {
				t.Errorf("a candidate is remembered for %v, want 75 minutes at most", left)
			}
		}
	})
}

// RFC 6762, Section 10.2.
func TestAnAddressThatIsReplacedIsForgotten(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var n discoverytest.Network
		q := browser(n.Link("fe80::2/64"))
		discoverytest.Run(t, q.Run)
		s := speak(t, &n, "[fe80::5]:5353")
		s.say(offer("x", "X.local", "fe80::5", 443, 120))
		after(5 * time.Second)
		s.say(offer("x", "x.LOCAL", "fe80::6", 444, 120))
		after(2 * time.Second)
		got := q.Candidates()
		if len(got) != 1 || len(got[0].Addresses) != 1 || got[0].Endpoints()[0] != netip.MustParseAddrPort("[fe80::6%mem0]:444") {
			t.Errorf("candidates = %v, want the new address and port alone", got)
		}
	})
}

// Somebody who makes us ask gets few questions for many packets.
func TestQuestionsThatAreProvokedAreFew(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var n discoverytest.Network
		discoverytest.Run(t, browser(n.Link("fe80::2/64")).Run)
		after(time.Minute)
		seen := watch(t, &n)
		s := speak(t, &n, "[fe80::5]:5353")
		full := "x|_brski-proxy|_tcp|local"
		for i := range 1000 {
			s.say(packet{flags: response, answers: [][]byte{
				says("_brski-proxy._tcp.local", ptr, in, 120, encode(full)),
				says(full, srv, in|flush, 120, service(443, fmt.Sprintf("h%d.local", i))),
			}})
			time.Sleep(time.Millisecond)
		}
		questions := 0
		for _, p := range seen.take() {
			if !p.message.IsResponse() {
				questions++
			}
		}
		if questions == 0 || questions > 12 {
			t.Errorf("%d messages in a second, want 1 to 12", questions)
		}
	})
}

func TestAQuerierWithoutALinkOrAServiceDoesNotBegin(t *testing.T) {
	var n discoverytest.Network
	for _, q := range []*discovery.Querier{
		{Service: discovery.ServiceProxy},
		{Service: "brski", Links: []*discovery.Link{n.Link("fe80::2/64")}},
	} {
		if err := q.Run(t.Context()); err == nil {
			t.Errorf("Run(%q, %d links) = nil, want an error", q.Service, len(q.Links))
		}
	}
}
