package wire

import (
	"context"
	"crypto/rand"
	"crypto/tls"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"

	"github.com/briskest/briskest/conformance"
)

// Hello is a ClientHello that no TLS library of today would send
// (RFC 5246, Section 7.4.1.2).
type Hello struct {
	Version     uint16 // of the message, such as 0x0301 for TLS 1.0
	Suites      []uint16
	Compression []byte            // nil means null compression alone
	Extensions  map[uint16][]byte // beside the groups, point formats and signature algorithms that are always sent
	NoName      bool              // leave server_name out
	ServerName  string            // empty means the site's host, when that is a name
}

// HelloAnswer is what a server says to a [Hello].
type HelloAnswer struct {
	Agreed      bool  // a ServerHello came
	Alert       uint8 // the description of the alert that came; 0 is close_notify or none
	Version     uint16
	Suite       uint16
	Compression byte
	Extensions  map[uint16][]byte
}

// Numbers of TLS extensions (RFC 6066, Section 1.1; RFC 7627, Section 5.1; RFC
// 5746, Section 3.2; RFC 7301, Section 3.1).
const (
	ExtServerName    = 0
	ExtTruncatedHMAC = 4
	ExtALPN          = 16
	ExtMasterSecret  = 23
	ExtRenegotiation = 0xff01
)

// Alerts (RFC 8446, Section 6; RFC 7301, Section 3.2).
const (
	AlertUnrecognizedName = 112
	AlertNoProtocol       = 120
)

// maxRecord is the length of a TLS record (RFC 5246, Section 6.2.3).
const maxRecord = 1<<14 + 2048

// Hello sends h and returns what came first. A server that closes the
// connection has not agreed.
func (s *Site) Hello(ctx context.Context, h *Hello) (*HelloAnswer, error) {
	conn, err := s.dial(ctx)
	if err != nil {
		return nil, err
	}
	defer conn.Close()
	message := h.bytes(s)
	sent := fmt.Sprintf("ClientHello of %s with %d suites", tls.VersionName(h.Version), len(h.Suites))
	if _, err := conn.Write(message); err != nil {
		return nil, err
	}
	a, raw, err := readHello(conn)
	e := conformance.Exchange{Sent: sent, RawSent: message, RawCame: raw}
	switch {
	case err != nil && isTimeout(err):
		e.Came = "nothing"
		err = context.DeadlineExceeded
	case err != nil:
		e.Came, a, err = "the connection was closed", &HelloAnswer{}, nil
	case a.Agreed:
		e.Came = fmt.Sprintf("ServerHello of %s with %s", tls.VersionName(a.Version), tls.CipherSuiteName(a.Suite))
	default:
		e.Came = fmt.Sprintf("alert %d", a.Alert)
	}
	conformance.Record(ctx, e)
	return a, err
}

func (h *Hello) bytes(s *Site) []byte {
	body := binary.BigEndian.AppendUint16(nil, h.Version)
	random := make([]byte, 32)
	_, _ = rand.Read(random) // never fails
	body = append(body, random...)
	body = append(body, 0) // no session
	body = binary.BigEndian.AppendUint16(body, uint16(2*len(h.Suites)))
	for _, suite := range h.Suites {
		body = binary.BigEndian.AppendUint16(body, suite)
	}
	compression := h.Compression
	if compression == nil {
		compression = []byte{0}
	}
	body = append(append(body, byte(len(compression))), compression...)
	if h.Version >= tls.VersionTLS10 {
		body = appendVector16(body, h.extensions(s))
	}
	message := append([]byte{1, 0}, appendVector16(nil, body)...)
	record := []byte{22, 3, min(byte(h.Version), 1)}
	return appendVector16(record, message)
}

func (h *Hello) extensions(s *Site) []byte {
	var b []byte
	add := func(number uint16, data []byte) { b = appendVector16(binary.BigEndian.AppendUint16(b, number), data) }
	name := h.ServerName
	if name == "" {
		name, _ = s.Host()
	}
	if !h.NoName && net.ParseIP(name) == nil {
		add(ExtServerName, appendVector16(nil, appendVector16([]byte{0}, []byte(name))))
	}
	add(10, []byte{0, 6, 0, 29, 0, 23, 0, 24})                 // x25519, P-256, P-384
	add(11, []byte{1, 0})                                      // uncompressed points
	add(13, []byte{0, 12, 4, 3, 8, 4, 4, 1, 5, 3, 2, 3, 2, 1}) // ECDSA and RSA with SHA-2 and SHA-1
	for _, number := range []uint16{ExtTruncatedHMAC, ExtALPN, ExtMasterSecret, ExtRenegotiation} {
		if data, ok := h.Extensions[number]; ok {
			add(number, data)
		}
	}
	return b
}

func appendVector16(b, data []byte) []byte {
	return append(binary.BigEndian.AppendUint16(b, uint16(len(data))), data...)
}

var errHello = errors.New("the answer is no TLS")

// readHello reads the first record, and what it begins with.
func readHello(r io.Reader) (*HelloAnswer, []byte, error) {
	header := make([]byte, 5)
	if _, err := io.ReadFull(r, header); err != nil {
		return nil, nil, err
	}
	n := int(binary.BigEndian.Uint16(header[3:]))
	if n > maxRecord || header[1] != 3 {
		return nil, header, errHello
	}
	record := make([]byte, n)
	if _, err := io.ReadFull(r, record); err != nil {
		return nil, header, err
	}
	raw := append(header, record...)
	switch {
	case header[0] == 21 && n >= 2:
		return &HelloAnswer{Alert: record[1]}, raw, nil
	case header[0] == 22:
		a, err := parseServerHello(record)
		return a, raw, err
	default:
		return nil, raw, errHello
	}
}

// parseServerHello reads RFC 5246, Section 7.4.1.3.
func parseServerHello(b []byte) (*HelloAnswer, error) {
	if len(b) < 4+2+32+1 || b[0] != 2 {
		return nil, errHello
	}
	a := &HelloAnswer{Agreed: true, Version: binary.BigEndian.Uint16(b[4:]), Extensions: make(map[uint16][]byte)}
	if n := int(b[1])<<16 | int(b[2])<<8 | int(b[3]); n < 2+32+1 || n > len(b)-4 {
		return nil, errHello
	} else {
		b = b[4+2+32 : 4+n]
	}
	session := int(b[0])
	if len(b) < 1+session+3 {
		return nil, errHello
	}
	b = b[1+session:]
	a.Suite, a.Compression, b = binary.BigEndian.Uint16(b), b[2], b[3:]
	if len(b) < 2 {
		return a, nil // no extensions
	}
	for b = b[2:]; len(b) >= 4; {
		number, n := binary.BigEndian.Uint16(b), int(binary.BigEndian.Uint16(b[2:]))
		if len(b) < 4+n {
			return nil, errHello
		}
		a.Extensions[number], b = b[4:4+n], b[4+n:]
	}
	return a, nil
}
