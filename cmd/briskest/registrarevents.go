package main

import (
	"bytes"
	"context"
	"crypto"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"time"

	"github.com/briskest/briskest/internal/config"
	"github.com/briskest/briskest/internal/pemfile"
	"github.com/briskest/briskest/registrar/events"
	"github.com/briskest/briskest/registrar/events/jetstream"
	"github.com/briskest/briskest/registrar/events/mqtt"
	"github.com/briskest/briskest/registrar/events/webhook"
	registrarstore "github.com/briskest/briskest/registrar/store"
)

// eventsConfig says what is in events, whoever gets them.
type eventsConfig struct {
	// Source of the events, a URI reference; default the registrar's url, or urn:briskest:DOMAIN.
	Source string `yaml:"source"`
	// Access is what devices may do at a message broker: for its access control lists.
	Access []accessConfig `yaml:"access"`
}

// accessConfig gives devices topics. Patterns may have {serial_number}, {manufacturer},
// {group}, {domain}, {id} and {username} in them.
type accessConfig struct {
	Groups    []string `yaml:"groups"` // whose devices; empty: all
	Publish   []string `yaml:"publish"`
	Subscribe []string `yaml:"subscribe"`
}

// targetConfig is a system that events go to: one of webhook, mqtt and nats.
type targetConfig struct {
	// Name is what its place on the trail is kept under: lower-case letters, digits, - and _.
	Name string `yaml:"name"`
	// Types that it gets, such as "briskest.device.*"; empty: all. briskest event types lists them.
	Types   []string         `yaml:"types"`
	Webhook *eventHookConfig `yaml:"webhook"`
	MQTT    *eventMQTTConfig `yaml:"mqtt"`
	NATS    *eventNATSConfig `yaml:"nats"`
	// From is where a new target begins: "now" (default), or "start" of the trail.
	From     string          `yaml:"from"`
	Window   int             `yaml:"window"`    // events under way, of a device one at a time; default 32, at most 256
	Retry    config.Duration `yaml:"retry"`     // first wait before another try; default 1s
	RetryMax config.Duration `yaml:"retry_max"` // waits double up to this; default 1m
	Tries    int             `yaml:"tries"`     // while others arrive, before it is a dead letter; default 20
	Receipts config.Duration `yaml:"receipts"`  // for how long they are kept; default 30d
}

// eventHookConfig is an HTTPS endpoint that events are posted to.
type eventHookConfig struct {
	URL string `yaml:"url"` // https, or http to a loopback address
	// Secret is a file with the key of the signatures, 16 bytes at least;
	// white space around it does not count.
	Secret string `yaml:"secret"`
	// Timeout bounds one request; default 10s, at most 1m.
	Timeout config.Duration `yaml:"timeout"`
	TLS     targetTLSConfig `yaml:",inline"`
}

// eventMQTTConfig is an MQTT 5 broker that events are published to, with QoS 1.
type eventMQTTConfig struct {
	URL string `yaml:"url"` // mqtts://HOST:PORT, or mqtt:// to a loopback address
	// Topic may have {domain}, {type} and {device} in it; default briskest/{domain}/{type}/{device}.
	Topic string `yaml:"topic"`
	// ClientID is how the broker knows the registrar; default briskest-DOMAIN-NAME. Two
	// registrars need two.
	ClientID string          `yaml:"client_id"`
	User     string          `yaml:"user"`
	Password string          `yaml:"password"` // file
	Timeout  config.Duration `yaml:"timeout"`  // of a confirmation; default 10s, at most 1m
	TLS      targetTLSConfig `yaml:",inline"`
}

// eventNATSConfig is a stream of NATS JetStream that events are published to.
type eventNATSConfig struct {
	URLs []string `yaml:"urls"` // of one cluster: tls://HOST:PORT, or nats:// to a loopback address
	// Subject may have {domain}, {type} and {device} in it; default briskest.{domain}.{type}.
	Subject     string          `yaml:"subject"`
	Stream      string          `yaml:"stream"` // that has to take it; empty: whichever has the subject
	User        string          `yaml:"user"`
	Password    string          `yaml:"password"`    // file
	Credentials string          `yaml:"credentials"` // file of a user's JWT and seed
	Timeout     config.Duration `yaml:"timeout"`     // of an acknowledgement; default 10s, at most 1m
	TLS         targetTLSConfig `yaml:",inline"`
}

// targetTLSConfig is how a target and the registrar know each other.
type targetTLSConfig struct {
	// TLSAnchors is a PEM file of the CAs the target's certificate chains to; default the system's.
	TLSAnchors string `yaml:"tls_anchors"`
	// Certificate and Key (a keystore URI) are shown to the target if it asks.
	Certificate string `yaml:"certificate"`
	Key         string `yaml:"key"`
}

// eventSettings turns the file's words into those of events.
func (c *registrarConfig) eventSettings(ctx context.Context) (*events.Settings, error) {
	s := &events.Settings{Source: c.Events.Source}
	if s.Source == "" {
		s.Source = c.URL
	}
	if s.Source == "" {
		s.Source = "urn:briskest:" + c.Domain
	}
	for _, a := range c.Events.Access {
		s.Access = append(s.Access, events.Rule{Groups: a.Groups, Publish: a.Publish, Subscribe: a.Subscribe})
	}
	for i := range c.Targets {
		t, err := c.target(ctx, &c.Targets[i])
		if err != nil {
			return nil, fmt.Errorf("target %q: %w", c.Targets[i].Name, err)
		}
		s.Targets = append(s.Targets, t)
	}
	return s, s.Check()
}

func (c *registrarConfig) target(ctx context.Context, in *targetConfig) (*events.Target, error) {
	t := &events.Target{
		Name: in.Name, Types: in.Types, Window: in.Window, Retry: time.Duration(in.Retry), RetryMax: time.Duration(in.RetryMax),
		Tries: in.Tries, Keep: time.Duration(in.Receipts),
	}
	switch in.From {
	case "", "now":
	case "start":
		t.FromStart = true
	default:
		return nil, fmt.Errorf("from is %q; it may be now or start", in.From)
	}
	var err error
	switch {
	case in.Webhook != nil && in.MQTT == nil && in.NATS == nil:
		t.Sender, err = c.webhookTarget(ctx, in)
	case in.MQTT != nil && in.Webhook == nil && in.NATS == nil:
		t.Sender, err = c.mqttTarget(ctx, in)
	case in.NATS != nil && in.Webhook == nil && in.MQTT == nil:
		t.Sender, err = c.natsTarget(ctx, in)
	default:
		err = errors.New("it needs one of webhook, mqtt and nats")
	}
	return t, err
}

func (c *registrarConfig) webhookTarget(ctx context.Context, in *targetConfig) (*webhook.Sender, error) {
	w := in.Webhook
	secret, err := c.hookSecret("webhook.secret", w.Secret)
	if err != nil {
		return nil, err
	}
	hook := webhook.Config{URL: w.URL, Secret: secret, Timeout: time.Duration(w.Timeout), Connections: in.Window}
	if hook.Roots, hook.Certificate, err = c.targetTLS(ctx, &w.TLS); err != nil {
		return nil, err
	}
	return webhook.New(hook)
}

func (c *registrarConfig) mqttTarget(ctx context.Context, in *targetConfig) (*mqtt.Sender, error) {
	w := in.MQTT
	to := mqtt.Config{URL: w.URL, Topic: w.Topic, ClientID: w.ClientID, User: w.User, Timeout: time.Duration(w.Timeout)}
	if to.ClientID == "" {
		to.ClientID = "briskest-" + c.Domain + "-" + in.Name
	}
	if err := events.CheckTopic(c.Domain, "+#"); err != nil {
		return nil, fmt.Errorf("the domain is in the topics: %w", err)
	}
	var err error
	if w.Password != "" {
		if to.Password, err = c.secret(w.Password); err != nil {
			return nil, fmt.Errorf("mqtt.password: %w", err)
		}
	}
	if to.Roots, to.Certificate, err = c.targetTLS(ctx, &w.TLS); err != nil {
		return nil, err
	}
	return mqtt.New(to)
}

func (c *registrarConfig) natsTarget(ctx context.Context, in *targetConfig) (*jetstream.Sender, error) {
	w := in.NATS
	to := jetstream.Config{
		URLs: w.URLs, Subject: w.Subject, Stream: w.Stream, Name: "briskest " + c.Domain + " " + in.Name, User: w.User, Timeout: time.Duration(w.Timeout),
	}
	if err := events.CheckTopic(c.Domain, "*>."); err != nil {
		return nil, fmt.Errorf("the domain is in the subjects: %w", err)
	}
	var err error
	if w.Password != "" {
		if to.Password, err = c.secret(w.Password); err != nil {
			return nil, fmt.Errorf("nats.password: %w", err)
		}
	}
	if w.Credentials != "" {
		to.Credentials = c.path(w.Credentials)
		if _, err := config.Read(to.Credentials); err != nil {
			return nil, fmt.Errorf("nats.credentials: %w", err)
		}
	}
	if to.Roots, to.Certificate, err = c.targetTLS(ctx, &w.TLS); err != nil {
		return nil, err
	}
	return jetstream.New(to)
}

// targetTLS reads how a target and the registrar know each other.
func (c *registrarConfig) targetTLS(ctx context.Context, t *targetTLSConfig) (roots *x509.CertPool, own *tls.Certificate, err error) {
	if t.TLSAnchors != "" {
		if roots, err = pemfile.Pool(c.path(t.TLSAnchors)); err != nil {
			return nil, nil, fmt.Errorf("tls_anchors: %w", err)
		}
	}
	if t.Certificate != "" || t.Key != "" {
		if own, err = c.identity(ctx, identityConfig{Certificate: t.Certificate, Key: t.Key}); err != nil {
			return nil, nil, err
		}
	}
	return roots, own, nil
}

// hookSecret reads a file whose digest does not belong on the trail.
func (s *source) hookSecret(key, name string) ([]byte, error) {
	if name == "" {
		return nil, fmt.Errorf("%s is missing; it names a file with 16 bytes at least, such as from: openssl rand -hex 32", key)
	}
	secret, err := config.Read(s.path(name))
	if err != nil {
		return nil, fmt.Errorf("%s: %w", key, err)
	}
	return bytes.TrimSpace(secret), nil
}

// openStore opens the store, and makes the events that its trail holds.
func (r *registrarRole) openStore(ctx context.Context, trailKey crypto.Signer) error {
	var err error
	r.store, err = registrarstore.Open(ctx, registrarstore.Options{
		Path: r.config.path(r.config.Store), TrailKey: trailKey, Log: r.log,
		Woken: r.wake, // nothing is changed before the service is there
	})
	if err != nil {
		return storeFailure(err)
	}
	r.events = events.New(events.Config{Domain: r.config.Domain, Store: r.store, Records: r.store, Log: r.log})
	r.events.Set(r.config.events)
	return nil
}
