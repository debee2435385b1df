// Package mqtt publishes events to an MQTT 5.0 broker with QoS 1: CloudEvents 1.0 in structured
// mode. Start with [New].
package mqtt

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"sync"
	"time"

	"github.com/eclipse/paho.golang/packets"
	"github.com/eclipse/paho.golang/paho"

	"github.com/briskest/briskest/registrar/events"
)

// Config says where to publish.
type Config struct {
	// URL is the broker's: mqtts://HOST:PORT, or mqtt:// for loopback addresses.
	URL string
	// Topic is published to; {domain}, {type} and {device} are filled in. Empty: briskest/{domain}/{type}/{device}.
	Topic string
	// ClientID is how the broker knows the registrar; it serves one client of a name.
	ClientID string
	// User and Password, if the broker wants them.
	User     string
	Password []byte
	// Roots are the CAs of the broker's certificate. Nil: the system's.
	Roots *x509.CertPool
	// Certificate is shown to the broker if it asks. Nil: none.
	Certificate *tls.Certificate
	// Timeout bounds connecting, and then the broker's confirmation. Zero: 10 s; 1 min at most.
	Timeout time.Duration
}

const (
	defaultTopic   = "briskest/{domain}/{type}/{device}"
	defaultTimeout = 10 * time.Second
	maxTimeout     = time.Minute
	keepAlive      = 30 // seconds
	goodbye        = time.Second
)

// Sender publishes events over one connection. It is an events.Sender.
type Sender struct {
	c       Config
	address string
	tls     *tls.Config // nil: none

	mu     sync.Mutex
	link   *link // the newest; guarded by mu
	closed bool  // guarded by mu
}

var _ events.Sender = (*Sender)(nil)

// link is a connection, being made or there.
type link struct {
	made    chan struct{} // closed when client or err is set
	client  *paho.Client
	conn    net.Conn
	ending  sync.Once
	largest uint32 // packet that the broker takes; 0: any
	err     error
}

// New returns a Sender, which connects when there is something to publish. An error says
// what is wrong with the configuration.
func New(c Config) (*Sender, error) {
	s := &Sender{c: c}
	address, secure, err := events.ServerAddress(c.URL, "mqtts", "mqtt", map[bool]string{true: "8883", false: "1883"}[len(c.URL) > 5 && c.URL[:5] == "mqtts"])
	if err != nil {
		return nil, err
	}
	s.address = address
	if secure {
		host, _, _ := net.SplitHostPort(address) // made by ServerAddress
		s.tls = &tls.Config{RootCAs: c.Roots, MinVersion: tls.VersionTLS12, ServerName: host}
		if c.Certificate != nil {
			s.tls.Certificates = []tls.Certificate{*c.Certificate}
		}
	}
	if s.c.Topic == "" {
		s.c.Topic = defaultTopic
	}
	// MQTT 5.0, Section 4.7: wildcards, and topics that are the broker's own.
	if err := events.CheckTopic(s.c.Topic, "#+"); err != nil || s.c.Topic[0] == '$' {
		return nil, fmt.Errorf("topic: %w", err)
	}
	if s.c.ClientID == "" {
		return nil, errors.New("client_id is missing")
	}
	if c.Timeout < 0 || c.Timeout > maxTimeout {
		return nil, fmt.Errorf("the timeout is %s; use %s at most", c.Timeout, maxTimeout)
	}
	if s.c.Timeout == 0 {
		s.c.Timeout = defaultTimeout
	}
	return s, nil
}

// Kind is "mqtt".
func (s *Sender) Kind() string { return "mqtt" }

// Close ends the connection.
func (s *Sender) Close() {
	s.mu.Lock()
	l := s.link
	s.closed, s.link = true, nil
	s.mu.Unlock()
	if l == nil {
		return
	}
	<-l.made
	if l.client != nil {
		l.end()
	}
}

// end says good-bye and closes the connection. It does not wait for the client's
// goroutines, which end with the connection.
func (l *link) end() {
	l.ending.Do(func() {
		_ = l.conn.SetWriteDeadline(time.Now().Add(goodbye))
		go func() {
			_ = l.client.Disconnect(&paho.Disconnect{}) // it may be gone
		}()
	})
}

// Send implements events.Sender: the broker's PUBACK is the receipt.
func (s *Sender) Send(ctx context.Context, m *events.Message) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, s.c.Timeout)
	defer cancel()
	l, err := s.connected(ctx)
	if err != nil {
		return "", fmt.Errorf("%w: %w", events.ErrUnavailable, err)
	}
	text := byte(1) // UTF-8
	p := &paho.Publish{
		QoS: 1, Topic: events.Topic(s.c.Topic, m), Payload: m.Body,
		Properties: &paho.PublishProperties{
			ContentType: events.ContentType, PayloadFormat: &text,
			User: paho.UserProperties{{Key: "id", Value: m.ID}, {Key: "type", Value: m.Type}},
		},
	}
	const overhead = 200 // properties and lengths, and then some
	if l.largest > 0 && len(m.Body)+len(p.Topic)+len(m.ID)+len(m.Type)+overhead > int(l.largest) {
		return "", fmt.Errorf("%w: the broker takes packets of %d bytes at most", events.ErrRejected, l.largest)
	}
	res, err := l.client.Publish(ctx, p)
	if res != nil && err == nil {
		return fmt.Sprintf("PUBACK 0x%02X", res.ReasonCode), nil
	}
	if res != nil {
		return "", reason(res.ReasonCode)
	}
	// Whatever became of it, the broker may confirm it later: not on this connection.
	s.drop(l)
	if errors.Is(err, context.DeadlineExceeded) {
		err = errors.New("no confirmation in time")
	}
	return "", fmt.Errorf("%w: %w", events.ErrUnavailable, err)
}

// reason says what a PUBACK's code means (MQTT 5.0, Section 3.4.2.1).
func reason(code byte) error {
	text := fmt.Sprintf("PUBACK 0x%02X", code)
	switch code {
	case packets.PubackTopicNameInvalid, packets.PubackPayloadFormatInvalid, 0x95: // packet too large
		return fmt.Errorf("%w: %s", events.ErrRejected, text)
	case packets.PubackQuotaExceeded, packets.PubackNotAuthorized:
		return fmt.Errorf("%w: %s", events.ErrUnavailable, text)
	default:
		return fmt.Errorf("%w: %s", events.ErrFailed, text)
	}
}

// connected returns a connection. Those who ask while one is being made share what comes of it.
func (s *Sender) connected(ctx context.Context) (*link, error) {
	s.mu.Lock()
	if s.closed {
		s.mu.Unlock()
		return nil, net.ErrClosed
	}
	if s.link == nil || s.link.ended() {
		s.link = &link{made: make(chan struct{})}
		go s.connect(s.link)
	}
	l := s.link
	s.mu.Unlock()
	select {
	case <-l.made:
		return l, l.err
	case <-ctx.Done():
		return nil, errors.New("no connection in time")
	}
}

// ended says that the connection is of no use any more.
func (l *link) ended() bool {
	select {
	case <-l.made:
	default:
		return false
	}
	if l.err != nil {
		return true
	}
	select {
	case <-l.client.Done():
		return true
	default:
		return false
	}
}

func (s *Sender) drop(l *link) {
	s.mu.Lock()
	if s.link == l {
		s.link = nil
	}
	s.mu.Unlock()
	l.end()
}

func (s *Sender) connect(l *link) {
	defer close(l.made)
	ctx, cancel := context.WithTimeout(context.Background(), s.c.Timeout)
	defer cancel()
	conn, err := s.dial(ctx)
	if err != nil {
		l.err = err
		return
	}
	client := paho.NewClient(paho.ClientConfig{ClientID: s.c.ClientID, Conn: packets.NewThreadSafeConn(conn), PacketTimeout: s.c.Timeout})
	// A clean start: what was not confirmed is published again anyway.
	hello := &paho.Connect{ClientID: s.c.ClientID, CleanStart: true, KeepAlive: keepAlive, Username: s.c.User, UsernameFlag: s.c.User != "", Password: s.c.Password, PasswordFlag: s.c.Password != nil}
	ack, err := client.Connect(ctx, hello)
	if err != nil {
		_ = conn.Close()
		l.err = fmt.Errorf("CONNECT: %w", err)
		if ack != nil {
			l.err = fmt.Errorf("CONNACK 0x%02X", ack.ReasonCode)
		}
		return
	}
	if ack.Properties != nil && ack.Properties.MaximumPacketSize != nil {
		l.largest = *ack.Properties.MaximumPacketSize
	}
	l.client, l.conn = client, conn
}

func (s *Sender) dial(ctx context.Context) (net.Conn, error) {
	if s.tls == nil {
		return new(net.Dialer).DialContext(ctx, "tcp", s.address)
	}
	return (&tls.Dialer{Config: s.tls}).DialContext(ctx, "tcp", s.address)
}
