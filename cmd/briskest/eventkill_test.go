package main_test

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/eclipse/paho.golang/autopaho"
	"github.com/eclipse/paho.golang/paho"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/briskest/briskest/internal/hooksign"
	"github.com/briskest/briskest/internal/testbed"
	registraradmin "github.com/briskest/briskest/registrar/admin"
	"github.com/briskest/briskest/registrar/events"
)

// inbox is what a receiver has got, in the order of arrival.
type inbox struct {
	name string
	mu   sync.Mutex
	all  [][]byte
}

func (b *inbox) came(raw []byte) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.all = append(b.all, raw)
}

// read returns the events by id, and complains about what is out of order or not the same twice.
func (b *inbox) read(t *testing.T) map[string]bool {
	t.Helper()
	b.mu.Lock()
	defer b.mu.Unlock()
	first := make(map[string]string)
	last := make(map[string]string)
	ids := make(map[string]bool)
	for _, raw := range b.all {
		var e events.Event
		if err := json.Unmarshal(raw, &e); err != nil {
			t.Fatalf("%s: %v: %s", b.name, err, raw)
		}
		if was, again := first[e.ID]; again {
			if was != string(raw) {
				t.Errorf("%s: event %s came as %s and as %s", b.name, e.ID, was, raw)
			}
			continue
		}
		first[e.ID], ids[e.ID] = string(raw), true
		if e.Subject != "" && e.Sequence <= last[e.Subject] {
			t.Errorf("%s: about %s, %s came after %s", b.name, e.Subject, e.Sequence, last[e.Subject])
		}
		last[e.Subject] = e.Sequence
	}
	return ids
}

// hook is a webhook receiver that can be killed.
type hook struct {
	inbox
	address string
	server  *http.Server
}

const hookSecret = "0123456789abcdef0123456789abcdef"

func (h *hook) start(t *testing.T) {
	t.Helper()
	l, err := net.Listen("tcp", h.address) //nolint:noctx // a test's
	if err != nil {
		t.Fatal(err)
	}
	h.server = &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		raw, err := io.ReadAll(r.Body)
		if err != nil {
			return // killed meanwhile, one or the other
		}
		if err := hooksign.Verify([]byte(hookSecret), r.Header.Get(hooksign.Header), raw, time.Now(), 5*time.Minute); err != nil {
			t.Errorf("a webhook's request: %v", err)
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		h.came(raw)
		w.WriteHeader(http.StatusNoContent)
	}), ReadHeaderTimeout: time.Minute}
	go func() { _ = h.server.Serve(l) }()
}

// kill closes the listener and every connection, answered or not.
func (h *hook) kill() { _ = h.server.Close() }

// subscribeTo puts what an MQTT broker has into the inbox, across its restarts.
func subscribeTo(t *testing.T, address string) *inbox {
	t.Helper()
	box := &inbox{name: "mqtt"}
	subscribed := make(chan struct{})
	var once sync.Once
	ctx, cancel := context.WithCancel(context.Background())
	conn, err := autopaho.NewConnection(ctx, autopaho.ClientConfig{
		ServerUrls: []*url.URL{{Scheme: "mqtt", Host: address}}, KeepAlive: 20, SessionExpiryInterval: 600, ConnectTimeout: 5 * time.Second,
		ReconnectBackoff: func(int) time.Duration { return 50 * time.Millisecond },
		OnConnectionUp: func(c *autopaho.ConnectionManager, _ *paho.Connack) {
			if _, err := c.Subscribe(ctx, &paho.Subscribe{Subscriptions: []paho.SubscribeOptions{{Topic: "plant/#", QoS: 1}}}); err == nil {
				once.Do(func() { close(subscribed) })
			}
		},
		ClientConfig: paho.ClientConfig{ClientID: "the-test", OnPublishReceived: []func(paho.PublishReceived) (bool, error){
			func(p paho.PublishReceived) (bool, error) {
				box.came(p.Packet.Payload)
				return true, nil
			},
		}},
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		cancel()
		<-conn.Done()
	})
	select {
	case <-subscribed:
	case <-time.After(time.Minute):
		t.Fatal("the broker takes no subscription")
	}
	return box
}

// streamAt makes a stream; the function it returns reads it to its end.
func streamAt(t *testing.T, address string) func() *inbox {
	t.Helper()
	conn, err := nats.Connect("nats://"+address, nats.MaxReconnects(-1), nats.ReconnectWait(50*time.Millisecond))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(conn.Close)
	js, err := jetstream.New(conn)
	if err != nil {
		t.Fatal(err)
	}
	eventually(t, "JetStream", func() bool {
		_, err := js.CreateOrUpdateStream(t.Context(), jetstream.StreamConfig{Name: "PLANT", Subjects: []string{"plant.>"}, Storage: jetstream.FileStorage})
		return err == nil
	})
	return func() *inbox {
		box := &inbox{name: "nats"}
		s, err := js.Stream(t.Context(), "PLANT")
		if err != nil {
			return box // not there yet, again
		}
		c, err := s.OrderedConsumer(t.Context(), jetstream.OrderedConsumerConfig{})
		if err != nil {
			return box
		}
		batch, err := c.FetchNoWait(100_000)
		if err != nil {
			return box
		}
		for m := range batch.Messages() {
			box.came(m.Data())
		}
		return box
	}
}

func eventually(t *testing.T, what string, ready func() bool) {
	t.Helper()
	deadline := time.After(time.Minute)
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for !ready() {
		select {
		case <-deadline:
			t.Fatalf("%s: not within a minute", what)
		case <-tick.C:
		}
	}
}

// eventBed is a registrar with three targets.
type eventBed struct {
	*testbed.Bed
	registrar *testbed.Process
	client    *registraradmin.Client
	hook      *hook
	mosquitto *testbed.Broker
	nats      *testbed.Broker
}

func newEventBed(t *testing.T) *eventBed {
	t.Helper()
	b := &eventBed{mosquitto: testbed.NewMosquitto(t, ""), nats: testbed.NewNATS(t)}
	b.Bed = testbed.Once(t)
	b.hook = &hook{inbox: inbox{name: "webhook"}, address: testbed.FreeAddress(t)}
	b.hook.start(t)
	t.Cleanup(b.hook.kill)
	if err := os.WriteFile(filepath.Join(b.Dir, "hook.secret"), []byte(hookSecret+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	f, err := os.OpenFile(filepath.Join(b.Dir, "registrar.yaml"), os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	_, err = fmt.Fprintf(f, `
targets:
  - name: hook
    webhook: {url: "http://%s/events", secret: hook.secret}
    retry: 50ms
    retry_max: 500ms
  - name: mqtt
    mqtt: {url: "mqtt://%s", topic: "plant/{type}/{device}"}
    retry: 50ms
    retry_max: 500ms
  - name: nats
    nats: {urls: ["nats://%s"], subject: "plant.{type}", stream: PLANT}
    retry: 50ms
    retry_max: 500ms
`, b.hook.address, b.mosquitto.Address, b.nats.Address)
	if err != nil || f.Close() != nil {
		t.Fatal(err)
	}
	b.client = registraradmin.NewClient(func(context.Context) (net.Conn, error) {
		return testbed.DialSocket(filepath.Join(b.Dir, "registrar", "admin.sock"))
	})
	t.Cleanup(b.client.Close)
	return b
}

// targets are in one state once ready says so of each.
func (b *eventBed) targets(t *testing.T, what string, ready func(*registraradmin.EventTarget) bool) {
	t.Helper()
	eventually(t, what, func() bool {
		list, err := b.client.EventTargets(t.Context())
		if err != nil || len(list) != 3 {
			return false
		}
		for i := range list {
			if !ready(&list[i]) {
				return false
			}
		}
		return true
	})
}

// M10, M29, M30: the receivers and the registrar are killed and restarted under load, and then
// each receiver has each event of the trail, in order per device; what came twice is the same.
func TestEventsSurviveKillsOfTheReceiversAndOfTheRegistrar(t *testing.T) {
	began := time.Now()
	phase := func(name string) { t.Logf("%6.1f s: %s", time.Since(began).Seconds(), name) }
	b := newEventBed(t)
	phase("set up")
	mqttBox, readNATS := subscribeTo(t, b.mosquitto.Address), streamAt(t, b.nats.Address)
	b.registrar = b.Registrar(t)
	b.targets(t, "the targets", func(e *registraradmin.EventTarget) bool { return e.Next > 0 })

	phase("running")
	const devices, changes = 24, 16
	var list []registraradmin.ImportDevice
	for n := range devices {
		list = append(list, registraradmin.ImportDevice{SerialNumber: fmt.Sprintf("EVENT-%d", n)})
	}
	if _, err := b.client.ImportDevices(t.Context(), "example", list, false); err != nil {
		t.Fatal(err)
	}
	load := sync.WaitGroup{}
	for n := range devices {
		load.Go(func() { b.change(t, fmt.Sprintf("EVENT-%d", n), changes) })
	}
	for range 2 {
		b.hook.kill()
		b.registrar.Kill()
		b.hook.start(t)
		b.registrar = b.Registrar(t)
		b.mosquitto.End() // with SIGTERM: what it has confirmed, it writes down then
		b.nats.Kill()
		b.mosquitto.Start()
		b.nats.Start()
	}
	b.registrar.Kill()
	b.registrar = b.Registrar(t)
	phase("killed")
	load.Wait()
	phase("loaded")
	b.targets(t, "all delivered", func(e *registraradmin.EventTarget) bool { return e.Behind == 0 && e.Waiting == 0 })

	phase("delivered")
	on, err := b.client.Events(t.Context(), registraradmin.EventList{Type: "briskest.device.*", Limit: 1000})
	if err != nil {
		t.Fatal(err)
	}
	want := make(map[string]bool)
	for i := range on {
		var e events.Event
		if err := json.Unmarshal(on[i].Event, &e); err != nil {
			t.Fatal(err)
		}
		if e.Data.Device != nil && strings.HasPrefix(e.Data.Device.SerialNumber, "EVENT-") {
			want[e.ID] = true
			if len(on[i].Receipts) != 3 || len(on[i].Letters) != 0 {
				t.Errorf("event %s: receipts %+v, letters %+v; want a receipt of each target", e.ID, on[i].Receipts, on[i].Letters)
			}
		}
	}
	if len(want) < devices*changes {
		t.Fatalf("the trail has %d events of the load, want %d at least", len(want), devices*changes)
	}
	missing := func(box *inbox) (n int) {
		got := box.read(t)
		for id := range want {
			if !got[id] {
				n++
			}
		}
		return n
	}
	eventually(t, "the subscriber", func() bool { return missing(mqttBox) == 0 })
	for _, box := range []*inbox{&b.hook.inbox, mqttBox, readNATS()} {
		if n := missing(box); n != 0 {
			t.Errorf("%s: %d of %d events are missing", box.name, n, len(want))
		}
		t.Logf("%s: %d events, %d arrivals", box.name, len(want), len(box.all))
	}
	b.registrar.Stop()
	if out := b.registrar.Output(); strings.Contains(out, hookSecret) {
		t.Error("the webhook's secret is in the log")
	}
}

// change changes a device's state so often, whatever is killed meanwhile.
func (b *eventBed) change(t *testing.T, serial string, times int) {
	for n := range times {
		change := []func(context.Context, string, string) (*registraradmin.Device, error){b.client.Suspend, b.client.Resume}[n%2]
		eventually(t, serial, func() bool {
			_, err := change(context.Background(), serial, "load")
			return err == nil
		})
	}
}
