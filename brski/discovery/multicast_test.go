package discovery_test

import (
	"testing"
	"time"

	"github.com/briskest/briskest/brski/discovery"
	"github.com/briskest/briskest/brski/discoverytest"
)

// Real sockets, on the loopback interface alone.
func TestMulticastOnARealInterface(t *testing.T) {
	open := func() []*discovery.Link {
		links, err := discovery.MulticastOn(25353, "lo")
		if err != nil {
			t.Skipf("the interface lo cannot multicast here: %v", err)
		}
		return links
	}
	links := open()
	q := &discovery.Querier{Service: discovery.ServiceRegistrar, Links: links}
	discoverytest.Run(t, q.Run)
	changed := q.Changed()
	discoverytest.Run(t, (&discovery.Responder{
		Instance: "registrar", Links: open(), Services: []discovery.Service{{Type: discovery.ServiceRegistrar, Port: 8443}},
	}).Run)
	select {
	case <-changed:
	case <-time.After(20 * time.Second):
		t.Skip("nothing that is sent to a group on the interface lo comes back here")
	}
	got := q.Candidates()
	if len(got) != 1 || got[0].Instance != "registrar" || got[0].Interface != "lo" || got[0].Port != 8443 || !got[0].Addresses[0].IsLoopback() {
		t.Errorf("candidates = %v, want the registrar on lo", got)
	}
}

func TestAnInterfaceThatIsNotThereIsNamed(t *testing.T) {
	if _, err := discovery.Multicast("no-such-interface"); err == nil {
		t.Error("Multicast(no-such-interface) = nil, want an error")
	}
}
