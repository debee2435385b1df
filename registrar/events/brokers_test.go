package events_test

import (
	"context"
	"encoding/json"
	"errors"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/eclipse/paho.golang/autopaho"
	"github.com/eclipse/paho.golang/paho"
	"github.com/nats-io/nats.go"
	natsstream "github.com/nats-io/nats.go/jetstream"

	"github.com/briskest/briskest/internal/testbed"
	"github.com/briskest/briskest/registrar"
	"github.com/briskest/briskest/registrar/events"
	"github.com/briskest/briskest/registrar/events/jetstream"
	"github.com/briskest/briskest/registrar/events/mqtt"
)

// subscriber is an MQTT client that has all events of a broker, and comes back to it.
type subscriber struct {
	mu  sync.Mutex
	all []*got
}

func subscribe(t *testing.T, b *testbed.Broker) *subscriber {
	t.Helper()
	s := &subscriber{}
	subscribed := make(chan struct{})
	var once sync.Once
	u := &url.URL{Scheme: "mqtt", Host: b.Address}
	ctx, cancel := context.WithCancel(context.Background())
	conn, err := autopaho.NewConnection(ctx, autopaho.ClientConfig{
		ServerUrls: []*url.URL{u}, KeepAlive: 20, SessionExpiryInterval: 600, ConnectTimeout: 5 * time.Second,
		ReconnectBackoff: func(int) time.Duration { return 50 * time.Millisecond },
		OnConnectionUp: func(c *autopaho.ConnectionManager, _ *paho.Connack) {
			if _, err := c.Subscribe(ctx, &paho.Subscribe{Subscriptions: []paho.SubscribeOptions{{Topic: "briskest/#", QoS: 1}}}); err == nil {
				once.Do(func() { close(subscribed) })
			}
		},
		ClientConfig: paho.ClientConfig{ClientID: "the-test", OnPublishReceived: []func(paho.PublishReceived) (bool, error){
			func(p paho.PublishReceived) (bool, error) {
				s.came(t, p.Packet)
				return true, nil
			},
		}},
	})
	if err != nil {
		t.Fatalf("autopaho: %v", err)
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
	return s
}

func (s *subscriber) came(t *testing.T, p *paho.Publish) {
	e := &got{raw: p.Payload}
	if err := json.Unmarshal(p.Payload, &e.Event); err != nil {
		t.Errorf("a message: %v", err)
		return
	}
	device := e.Subject
	if device == "" {
		device = "_"
	}
	if want := "briskest/default/" + e.Type + "/" + device; p.Topic != want {
		t.Errorf("topic = %q, want %q", p.Topic, want)
	}
	if p.Properties.ContentType != events.ContentType || p.Properties.User.Get("id") != e.ID {
		t.Errorf("properties of %s: %+v", e.ID, p.Properties)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.all = append(s.all, e)
}

func (s *subscriber) events() []*got {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]*got(nil), s.all...)
}

func distinct(all []*got) int {
	ids := make(map[string]bool)
	for _, e := range all {
		ids[e.ID] = true
	}
	return len(ids)
}

func mqttTarget(t *testing.T, b *testbed.Broker) *events.Target {
	t.Helper()
	s, err := mqtt.New(mqtt.Config{URL: "mqtt://" + b.Address, ClientID: "registrar", Timeout: 2 * time.Second})
	if err != nil {
		t.Fatalf("mqtt.New: %v", err)
	}
	return quick("broker", s)
}

// stream makes a stream for events and returns what reads it to its end.
func stream(t *testing.T, b *testbed.Broker) func() []*got {
	t.Helper()
	conn, err := nats.Connect("nats://"+b.Address, nats.MaxReconnects(-1), nats.ReconnectWait(50*time.Millisecond))
	if err != nil {
		t.Fatalf("nats.Connect: %v", err)
	}
	t.Cleanup(conn.Close)
	js, err := natsstream.New(conn)
	if err != nil {
		t.Fatal(err)
	}
	until(t, "JetStream", func() bool {
		_, err := js.CreateOrUpdateStream(t.Context(), natsstream.StreamConfig{Name: "EVENTS", Subjects: []string{"briskest.>"}, Storage: natsstream.FileStorage})
		return err == nil
	})
	return func() []*got {
		s, err := js.Stream(t.Context(), "EVENTS")
		if err != nil {
			return nil // not there yet, again
		}
		c, err := s.OrderedConsumer(t.Context(), natsstream.OrderedConsumerConfig{})
		if err != nil {
			return nil
		}
		batch, err := c.FetchNoWait(100_000)
		if err != nil {
			return nil
		}
		var all []*got
		for m := range batch.Messages() {
			e := &got{raw: m.Data()}
			if err := json.Unmarshal(e.raw, &e.Event); err != nil {
				t.Errorf("a message: %v", err)
			}
			if id := m.Headers().Get(nats.MsgIdHdr); id != e.ID {
				t.Errorf("Nats-Msg-Id %q, id %q", id, e.ID)
			}
			if want := "briskest.default." + e.Type; m.Subject() != want {
				t.Errorf("subject = %q, want %q", m.Subject(), want)
			}
			all = append(all, e)
		}
		return all
	}
}

func natsTarget(t *testing.T, b *testbed.Broker) *events.Target {
	t.Helper()
	s, err := jetstream.New(jetstream.Config{URLs: []string{"nats://" + b.Address}, Stream: "EVENTS", Timeout: 2 * time.Second})
	if err != nil {
		t.Fatalf("jetstream.New: %v", err)
	}
	return quick("stream", s)
}

// M29: MQTT 5.
func TestAnMQTTBrokerGetsEachEventAcrossItsRestarts(t *testing.T) {
	b := testbed.NewMosquitto(t, "")
	sub := subscribe(t, b)
	w := newWorld(t)
	w.start(mqttTarget(t, b))
	want := load(w, 20, 10, func(round int) {
		if round%2 == 0 {
			b.End()
			b.Start()
		}
	})
	until(t, "all events", func() bool { return distinct(sub.events()) == 200 })
	checkOrder(t, sub.events(), want)
	until(t, "the receipts", func() bool { return w.view("broker").Next == w.view("broker").End })
	if v := w.view("broker"); v.Dead != 0 || v.Kind != "mqtt" {
		t.Errorf("EventTargets = %+v", v)
	}
}

// load has so many events of each device happen while disturb is called five times.
func load(w *world, devices, each int, disturb func(round int)) map[string]int {
	want := map[string]int{}
	var wg sync.WaitGroup
	for n := range devices {
		want[deviceID(n)] = each
		wg.Go(func() {
			for range each {
				w.happen(n, 1)
			}
		})
	}
	for round := range 5 {
		disturb(round)
	}
	wg.Wait()
	return want
}

// M29: NATS JetStream.
func TestAJetStreamGetsEachEventOnceAcrossKillsOfTheServer(t *testing.T) {
	b := testbed.NewNATS(t)
	read := stream(t, b)
	w := newWorld(t)
	w.start(natsTarget(t, b))
	want := load(w, 20, 10, func(round int) {
		if round%2 == 0 {
			b.Kill()
			b.Start()
		}
	})
	until(t, "all events", func() bool { return distinct(read()) == 200 })
	all := read()
	checkOrder(t, all, want)
	if len(all) != 200 {
		t.Errorf("the stream has %d messages, want 200: Nats-Msg-Id tells duplicates", len(all))
	}
	until(t, "the receipts", func() bool { return w.view("stream").Next == w.view("stream").End })
	list, err := w.d.ListEvents(t.Context(), &registrar.EventList{})
	if err != nil || len(list) == 0 || len(list[0].Receipts) != 1 || !strings.HasPrefix(list[0].Receipts[0].Answer, "stream EVENTS, sequence ") {
		t.Errorf("ListEvents = %+v, %v", list, err)
	}
}

func TestBrokersSayWhatIsWrong(t *testing.T) {
	m := &events.Message{ID: "1", Type: "briskest.test.v1", Domain: "default", Body: []byte(strings.Repeat("x", 3000))}
	closed := testbed.FreeAddress(t)
	mosquitto := testbed.NewMosquitto(t, "max_packet_size 2000")
	server := testbed.NewNATS(t)
	for name, c := range map[string]struct {
		sender events.Sender
		want   error
	}{
		"no MQTT broker":        {must(mqtt.New(mqtt.Config{URL: "mqtt://" + closed, ClientID: "r", Timeout: time.Second}))(t), events.ErrUnavailable},
		"too large for MQTT":    {must(mqtt.New(mqtt.Config{URL: "mqtt://" + mosquitto.Address, ClientID: "r"}))(t), events.ErrRejected},
		"no TLS at the broker":  {must(mqtt.New(mqtt.Config{URL: "mqtts://" + mosquitto.Address, ClientID: "r", Timeout: time.Second}))(t), events.ErrUnavailable},
		"no NATS server":        {must(jetstream.New(jetstream.Config{URLs: []string{"nats://" + closed}, Timeout: time.Second}))(t), events.ErrUnavailable},
		"no stream":             {must(jetstream.New(jetstream.Config{URLs: []string{"nats://" + server.Address}, Timeout: 5 * time.Second}))(t), events.ErrUnavailable},
		"no TLS at NATS either": {must(jetstream.New(jetstream.Config{URLs: []string{"tls://" + server.Address}, User: "u", Password: []byte("the-password"), Timeout: time.Second}))(t), events.ErrUnavailable},
	} {
		_, err := c.sender.Send(t.Context(), m)
		if !errors.Is(err, c.want) || strings.Contains(err.Error(), "the-password") {
			t.Errorf("%s: Send = %v, want %v", name, err, c.want)
		}
		c.sender.Close()
	}
}

func must[S events.Sender](s S, err error) func(*testing.T) S {
	return func(t *testing.T) S {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
}

func TestBrokersAreReachedSafelyOrNotAtAll(t *testing.T) {
	for _, c := range []mqtt.Config{
		{URL: "mqtt://broker.example:1883"}, {URL: "tcp://127.0.0.1:1883"}, {URL: "mqtts://user:pass@broker.example"}, {URL: "mqtts://"},
		{URL: "mqtts://broker.example", Topic: "briskest/#"}, {URL: "mqtts://broker.example", Topic: "$SYS/{type}"}, {URL: "mqtts://broker.example", Topic: "a/{serial}"},
		{URL: "mqtts://broker.example", Timeout: time.Hour},
	} {
		c.ClientID = "r"
		if _, err := mqtt.New(c); err == nil || strings.Contains(err.Error(), "pass") {
			t.Errorf("mqtt.New(%+v) = %v, want an error without secrets", c, err)
		}
	}
	for _, c := range []jetstream.Config{
		{}, {URLs: []string{"nats://server.example"}}, {URLs: []string{"tls://a.example", "nats://127.0.0.1"}}, {URLs: []string{"tls://user:pass@a.example"}},
		{URLs: []string{"tls://a.example"}, Subject: "briskest.>"}, {URLs: []string{"tls://a.example"}, Subject: "briskest..{type}"}, {URLs: []string{"tls://a.example"}, Timeout: time.Hour},
	} {
		if _, err := jetstream.New(c); err == nil || strings.Contains(err.Error(), "pass") {
			t.Errorf("jetstream.New(%+v) = %v, want an error without secrets", c, err)
		}
	}
	if _, err := mqtt.New(mqtt.Config{URL: "mqtts://broker.example", ClientID: "r"}); err != nil {
		t.Errorf("mqtt.New: %v", err)
	}
}
