// Package jetstream publishes events to a stream of NATS JetStream: CloudEvents 1.0 in structured
// mode, with their id as Nats-Msg-Id, by which the stream drops what comes twice. Start with [New].
package jetstream

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/briskest/briskest/registrar/events"
)

// Config says where to publish.
type Config struct {
	// URLs are the servers of one cluster: tls://HOST:PORT, or nats:// for loopback addresses.
	URLs []string
	// Subject is published to; {domain}, {type} and {device} are filled in. Empty: briskest.{domain}.{type}.
	Subject string
	// Stream is the one that has to take it; empty: whichever has the subject.
	Stream string
	// Name is how the server knows the connection.
	Name string
	// User and Password, if the servers want them.
	User     string
	Password []byte
	// Credentials is a file with a user's JWT and seed, as nsc makes them; empty: none.
	Credentials string
	// Roots are the CAs of the servers' certificates. Nil: the system's.
	Roots *x509.CertPool
	// Certificate is shown to the servers if they ask. Nil: none.
	Certificate *tls.Certificate
	// Timeout bounds connecting, and the stream's confirmation. Zero: 10 s; 1 min at most.
	Timeout time.Duration
}

const (
	defaultSubject = "briskest.{domain}.{type}"
	defaultTimeout = 10 * time.Second
	maxTimeout     = time.Minute
	reconnectWait  = 250 * time.Millisecond
)

// Sender publishes events over one connection. It is an events.Sender.
type Sender struct {
	c       Config
	options []nats.Option

	mu     sync.Mutex
	conn   *nats.Conn          // nil: nothing was published yet; guarded by mu
	stream jetstream.JetStream // guarded by mu
	lost   chan struct{}       // closed when the connection is lost; guarded by mu
	closed bool                // guarded by mu
}

var _ events.Sender = (*Sender)(nil)

// New returns a Sender, which connects when there is something to publish. An error says
// what is wrong with the configuration.
func New(c Config) (*Sender, error) {
	s := &Sender{c: c, lost: make(chan struct{})}
	if len(c.URLs) == 0 {
		return nil, errors.New("urls is missing; use tls://HOST:PORT")
	}
	secure := 0
	for _, u := range c.URLs {
		_, overTLS, err := events.ServerAddress(u, "tls", "nats", "4222")
		if err != nil {
			return nil, err
		}
		if overTLS {
			secure++
		}
	}
	if secure != 0 && secure != len(c.URLs) {
		return nil, errors.New("some of the urls are tls:// and some are nats://")
	}
	if s.c.Subject == "" {
		s.c.Subject = defaultSubject
	}
	if err := events.CheckTopic(s.c.Subject, "*>"); err != nil || strings.HasPrefix(s.c.Subject, "$") || strings.Contains("."+s.c.Subject+".", "..") {
		return nil, fmt.Errorf("subject: %q is none to publish to: %w", s.c.Subject, err)
	}
	if c.Timeout < 0 || c.Timeout > maxTimeout {
		return nil, fmt.Errorf("the timeout is %s; use %s at most", c.Timeout, maxTimeout)
	}
	if s.c.Timeout == 0 {
		s.c.Timeout = defaultTimeout
	}
	s.options = s.natsOptions(secure > 0)
	return s, nil
}

func (s *Sender) natsOptions(secure bool) []nats.Option {
	options := []nats.Option{
		nats.Name(s.c.Name), nats.Timeout(s.c.Timeout), nats.RetryOnFailedConnect(true), nats.MaxReconnects(-1), nats.ReconnectWait(reconnectWait),
		nats.ReconnectBufSize(-1), // what is not sent fails, and comes again in order
		nats.IgnoreAuthErrorAbort(), nats.NoEcho(), nats.IgnoreDiscoveredServers(),
		nats.DisconnectErrHandler(func(*nats.Conn, error) { s.disconnected() }),
		nats.ErrorHandler(func(*nats.Conn, *nats.Subscription, error) {}), // Send tells; the default writes to standard error
	}
	if s.c.User != "" {
		options = append(options, nats.UserInfo(s.c.User, string(s.c.Password)))
	}
	if s.c.Credentials != "" {
		options = append(options, nats.UserCredentials(s.c.Credentials))
	}
	if secure {
		t := &tls.Config{RootCAs: s.c.Roots, MinVersion: tls.VersionTLS12}
		if s.c.Certificate != nil {
			t.Certificates = []tls.Certificate{*s.c.Certificate}
		}
		options = append(options, nats.Secure(t))
	}
	return options
}

// Kind is "nats".
func (s *Sender) Kind() string { return "nats" }

// Close ends the connection.
func (s *Sender) Close() {
	s.mu.Lock()
	conn := s.conn
	s.closed = true
	s.mu.Unlock()
	if conn != nil {
		conn.Close()
	}
}

func (s *Sender) disconnected() {
	s.mu.Lock()
	defer s.mu.Unlock()
	close(s.lost)
	s.lost = make(chan struct{})
}

// connected returns the connection, which may be being made.
func (s *Sender) connected() (*nats.Conn, jetstream.JetStream, <-chan struct{}, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return nil, nil, nil, nats.ErrConnectionClosed
	}
	if s.conn == nil {
		conn, err := nats.Connect(strings.Join(s.c.URLs, ","), s.options...)
		if err != nil {
			return nil, nil, nil, err
		}
		if s.stream, err = jetstream.New(conn); err != nil {
			conn.Close()
			return nil, nil, nil, err
		}
		s.conn = conn
	}
	return s.conn, s.stream, s.lost, nil
}

// Send implements events.Sender: the stream's acknowledgement is the receipt.
func (s *Sender) Send(ctx context.Context, m *events.Message) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, s.c.Timeout)
	defer cancel()
	conn, stream, lost, err := s.connected()
	if err == nil && !conn.IsConnected() {
		err = conn.LastError()
		if err == nil {
			err = errors.New("not connected")
		}
	}
	if err != nil {
		return "", fmt.Errorf("%w: %w", events.ErrUnavailable, err)
	}
	go func() {
		select {
		case <-lost: // no acknowledgement comes any more
			cancel()
		case <-ctx.Done():
		}
	}()
	msg := nats.NewMsg(events.Topic(s.c.Subject, m))
	msg.Data = m.Body
	msg.Header.Set("Content-Type", events.ContentType)
	options := []jetstream.PublishOpt{jetstream.WithMsgID(m.ID), jetstream.WithRetryAttempts(0)}
	if s.c.Stream != "" {
		options = append(options, jetstream.WithExpectStream(s.c.Stream))
	}
	ack, err := stream.PublishMsg(ctx, msg, options...)
	if err != nil {
		return "", s.meaning(err)
	}
	answer := fmt.Sprintf("stream %s, sequence %d", ack.Stream, ack.Sequence)
	if ack.Duplicate {
		answer += ", which it had"
	}
	return answer, nil
}

// meaning says what an error says about other events.
func (s *Sender) meaning(err error) error {
	var refused *jetstream.APIError
	const (
		tooLarge    = 10054 // of err_code: message size exceeds maximum allowed
		wrongStream = 10060 // expected stream does not match
	)
	switch {
	case errors.Is(err, nats.ErrMaxPayload), errors.As(err, &refused) && refused.ErrorCode == tooLarge:
		return fmt.Errorf("%w: %w", events.ErrRejected, err)
	case refused != nil && refused.Code < 500 && refused.ErrorCode != wrongStream:
		return fmt.Errorf("%w: %w", events.ErrFailed, err)
	case errors.Is(err, jetstream.ErrNoStreamResponse):
		return fmt.Errorf("%w: no stream takes the subject", events.ErrUnavailable)
	case errors.Is(err, context.Canceled):
		return fmt.Errorf("%w: the connection was lost", events.ErrUnavailable)
	case errors.Is(err, context.DeadlineExceeded):
		return fmt.Errorf("%w: no acknowledgement in time", events.ErrUnavailable)
	default:
		return fmt.Errorf("%w: %w", events.ErrUnavailable, err)
	}
}
