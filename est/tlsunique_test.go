package est_test

import (
	"bufio"
	"bytes"
	"crypto/hmac"
	"crypto/sha256"
	"crypto/tls"
	"encoding/binary"
	"encoding/hex"
	"io"
	"net"
	"strings"
	"sync"
	"testing"

	cbasn1 "golang.org/x/crypto/cryptobyte/asn1"

	"github.com/briskest/briskest/est"
)

// overheard is a connection whose bytes are kept, so that the Finished messages
// can be computed independently of crypto/tls (RFC 5246, Section 7.4.9).
type overheard struct {
	net.Conn
	mu        sync.Mutex
	sent, got []byte // guarded by mu
}

func (o *overheard) Write(b []byte) (int, error) {
	o.mu.Lock()
	o.sent = append(o.sent, b...)
	o.mu.Unlock()
	return o.Conn.Write(b)
}

func (o *overheard) Read(b []byte) (int, error) {
	n, err := o.Conn.Read(b)
	o.mu.Lock()
	o.got = append(o.got, b[:n]...)
	o.mu.Unlock()
	return n, err
}

// clear returns the handshake messages before ChangeCipherSpec (RFC 5246, Section 6.2.1).
func clearMessages(stream []byte) []byte {
	var out []byte
	for len(stream) >= 5 && stream[0] == 22 {
		n := int(binary.BigEndian.Uint16(stream[3:]))
		out, stream = append(out, stream[5:5+n]...), stream[5+n:]
	}
	return out
}

// verifyData is the content of a Finished message: PRF with SHA-256 (RFC 5246, Sections 5 and 7.4.9).
func verifyData(master []byte, label string, transcript ...[]byte) []byte {
	hash := sha256.Sum256(bytes.Join(transcript, nil))
	seed := append([]byte(label), hash[:]...)
	mac := func(b ...[]byte) []byte {
		m := hmac.New(sha256.New, master)
		for _, part := range b {
			m.Write(part)
		}
		return m.Sum(nil)
	}
	return mac(mac(seed), seed)[:12]
}

// resumed opens a TLS 1.2 connection that resumes a session of an earlier one, and returns it with the Finished
// messages of server and client.
func (s *site) resumed(t *testing.T) (conn *tls.Conn, server, client []byte) {
	t.Helper()
	var keys strings.Builder
	cfg := &tls.Config{
		RootCAs: s.Root(), ServerName: "127.0.0.1", MaxVersion: tls.VersionTLS12, ClientSessionCache: tls.NewLRUClientSessionCache(1),
		CipherSuites: []uint16{tls.TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256}, KeyLogWriter: &keys,
	}
	for range 2 {
		plain, err := net.Dial("tcp", strings.TrimPrefix(s.url, "https://"))
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = plain.Close() })
		tap := &overheard{Conn: plain}
		conn = tls.Client(tap, cfg)
		if err := conn.HandshakeContext(t.Context()); err != nil {
			t.Fatal(err)
		}
		fields := strings.Fields(keys.String()) // written once: the second session has the same secret
		master, err := hex.DecodeString(fields[len(fields)-1])
		if err != nil {
			t.Fatal(err)
		}
		tap.mu.Lock()
		hellos := append(clearMessages(tap.sent), clearMessages(tap.got)...)
		tap.mu.Unlock()
		server = verifyData(master, "server finished", hellos)
		client = verifyData(master, "client finished", hellos, []byte{20, 0, 0, 12}, server)
	}
	if !conn.ConnectionState().DidResume {
		t.Fatal("the session was not resumed")
	}
	return conn, server, client
}

// EST-5929-3-01: in a resumed session tls-unique is the server's Finished, the first of the handshake, and not the client's.
func TestInAResumedSessionTLSUniqueIsTheServersFinished(t *testing.T) {
	s := linkSite(t, est.LinkPolicy{}, nil)
	for want, of := range map[int]func(server, client []byte) []byte{
		200: func(server, _ []byte) []byte { return server },
		400: func(_, client []byte) []byte { return client },
	} {
		conn, server, client := s.resumed(t)
		if !bytes.Equal(server, conn.ConnectionState().TLSUnique) {
			t.Fatalf("the server's Finished is %x, and crypto/tls has %x: computed wrongly here", server, conn.ConnectionState().TLSUnique)
		}
		got := postLinked(t, conn, enrollPath, text(oidChallengePassword, cbasn1.PrintableString, b64(of(server, client))))
		if got.status != want {
			t.Errorf("status %d %q, want %d", got.status, got.body, want)
		}
	}
}

// EST-9266-2-02: a resumed session of TLS 1.3 has a binding of its own, which the first one's is not.
func TestAResumedTLS13SessionHasItsOwnBinding(t *testing.T) {
	s := linkSite(t, est.LinkPolicy{KeepConnection: true}, nil)
	cfg := &tls.Config{ServerName: "127.0.0.1", MinVersion: tls.VersionTLS13, ClientSessionCache: tls.NewLRUClientSessionCache(1)}
	first := s.dial(t, cfg)
	old := binding(t, first.ConnectionState())
	if got := postLinked(t, first, enrollPath, text(oidIdentityLinking, cbasn1.PrintableString, old)); got.status != 200 { // reads the ticket too
		t.Fatalf("the first session: %d %q", got.status, got.body)
	}
	for want, link := range map[int]string{200: "", 400: old} {
		conn := s.dial(t, cfg)
		if !conn.ConnectionState().DidResume {
			t.Fatal("the session was not resumed")
		}
		if link == "" {
			link = binding(t, conn.ConnectionState())
		}
		if _, err := io.WriteString(conn, post(enrollPath, pkcs10+"Authorization: Basic "+b64([]byte("device:secret"))+"\r\n",
			b64(forged{attributes: [][]byte{text(oidIdentityLinking, cbasn1.PrintableString, link)}}.der(t)))); err != nil {
			t.Fatal(err)
		}
		if got := readWire(t, bufio.NewReader(conn), "POST"); got.status != want {
			t.Errorf("status %d %q, want %d", got.status, got.body, want)
		}
	}
}
