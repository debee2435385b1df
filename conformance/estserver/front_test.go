package estserver_test

import (
	"encoding/binary"
	"io"
	"net"
	"slices"
	"testing"
)

// clientHello is what a front sees of the first record of a connection.
type clientHello struct {
	plain       bool // it is no TLS
	version     uint16
	suites      []uint16
	compression []byte
	extensions  []uint16
}

// has reports whether the client sent the extension.
func (c *clientHello) has(n uint16) bool { return slices.Contains(c.extensions, n) }

// raw reports whether the client is no TLS library of today.
func (c *clientHello) raw() bool { return !c.plain && !c.has(43) }

// front puts a listener before the house's. It answers clients itself where f
// returns something, and passes the bytes of all others on.
func front(f func(c *clientHello) []byte) fault { return func(h *house) { h.front = f } }

// serveFront returns the address of the front.
func serveFront(t testing.TB, behind string, f func(*clientHello) []byte) string {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go pass(c, behind, f)
		}
	}()
	return l.Addr().String()
}

func pass(c net.Conn, behind string, f func(*clientHello) []byte) {
	defer c.Close()
	first := make([]byte, 5)
	if _, err := io.ReadFull(c, first); err != nil {
		return
	}
	hello := &clientHello{plain: true}
	if first[0] == 22 {
		record := make([]byte, int(binary.BigEndian.Uint16(first[3:])))
		if _, err := io.ReadFull(c, record); err != nil {
			return
		}
		first = append(first, record...)
		hello = parseHello(record)
	}
	if answer := f(hello); answer != nil {
		_, _ = c.Write(answer) // a client that went away has its answer
		return
	}
	server, err := net.Dial("tcp", behind)
	if err != nil {
		return
	}
	defer server.Close()
	if _, err := server.Write(first); err != nil {
		return
	}
	go func() { _, _ = io.Copy(server, c); server.Close() }()
	_, _ = io.Copy(c, server)
}

// parseHello reads RFC 5246, Section 7.4.1.2; zero where it is no ClientHello.
func parseHello(b []byte) *clientHello {
	c := new(clientHello)
	if len(b) < 39 || b[0] != 1 {
		return c
	}
	c.version = binary.BigEndian.Uint16(b[4:])
	b = b[38:]
	b = b[1+int(b[0]):]
	n := int(binary.BigEndian.Uint16(b))
	for i := 2; i < 2+n; i += 2 {
		c.suites = append(c.suites, binary.BigEndian.Uint16(b[i:]))
	}
	b = b[2+n:]
	c.compression, b = b[1:1+int(b[0])], b[1+int(b[0]):]
	if len(b) < 2 {
		return c
	}
	for b = b[2:]; len(b) >= 4; b = b[4+int(binary.BigEndian.Uint16(b[2:])):] {
		c.extensions = append(c.extensions, binary.BigEndian.Uint16(b))
	}
	return c
}

// serverHello agrees on something (RFC 5246, Section 7.4.1.3).
func serverHello(version, suite uint16, compression byte, extensions ...byte) []byte {
	body := binary.BigEndian.AppendUint16(nil, version)
	body = append(body, make([]byte, 32)...)
	body = append(body, 0)
	body = binary.BigEndian.AppendUint16(body, suite)
	body = append(body, compression)
	body = append(binary.BigEndian.AppendUint16(body, uint16(len(extensions))), extensions...)
	message := append([]byte{2, 0}, byte(len(body)>>8), byte(len(body)))
	message = append(message, body...)
	record := append([]byte{22, 3, 3}, byte(len(message)>>8), byte(len(message)))
	return append(record, message...)
}
