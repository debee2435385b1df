package est_test

import (
	"context"
	"crypto/aes"
	"crypto/cipher"
	"crypto/hmac"
	"crypto/sha256"
	"crypto/tls"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/briskest/briskest/est"
	"github.com/briskest/briskest/internal/testpki"
)

// EST-8951-5.1-02: a refusal's body is shown, and no success however it looks.
func TestTheStatusDecidesAndNotTheBody(t *testing.T) {
	root := testpki.NewRoot(t, "root")
	key := testpki.NewKey(t)
	own := root.Issue(t, certificateFor("device"), key).Certificate
	_, err := reply{status: 400, contentType: "text/plain", body: "no such device"}.client().SimpleEnroll(t.Context(), csrFor(t, "device", key))
	var status *est.StatusError
	if !errors.As(err, &status) || status.Status != 400 || status.Message != "no such device" {
		t.Errorf("400 text/plain: %v", err)
	}
	for _, code := range []int{201, 204, 206, 300, 304, 400, 500} {
		a := reply{status: code, contentType: "application/pkcs7-mime; smime-type=certs-only", body: b64(certsOnly(t, own))}
		if cert, err := a.client().SimpleEnroll(t.Context(), csrFor(t, "device", key)); cert != nil || !errors.As(err, &status) {
			t.Errorf("%d with a certificate: %v", code, err)
		}
		if certs, err := a.client().CACerts(t.Context()); certs != nil || !errors.As(err, &status) {
			t.Errorf("cacerts with %d: %v", code, err)
		}
	}
}

// EST-8951-3-04: base64 is sent and read, whatever Content-Transfer-Encoding says, or when it says nothing.
func TestBase64IsReadWhateverTheHeaderSays(t *testing.T) {
	w := newWorld(t)
	for _, encoding := range []string{"", "base64", "binary", "8bit", "gzip", "quoted-printable"} {
		sent := ""
		s := w.net.serve(t, "est.example", named(t, w.own, "est.example"), http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
			body, _ := io.ReadAll(r.Body)
			sent = string(body)
			if encoding != "" {
				rw.Header().Set("Content-Transfer-Encoding", encoding)
			}
			rw.Header().Set("Content-Type", "application/pkcs7-mime")
			_, _ = io.WriteString(rw, lines(b64(certsOnly(t, w.own.Certificate)), 64, "\r\n"))
		}))
		c := w.net.client(t, s, w.own.Pool())
		if certs, err := c.CACerts(t.Context()); err != nil || len(certs) != 1 {
			t.Errorf("an answer with Content-Transfer-Encoding %q: %v", encoding, err)
		}
		der := goodCSR(t, "device")
		if _, err := c.SimpleEnroll(t.Context(), der); !errors.Is(err, est.ErrAnswer) || strings.Join(strings.Fields(sent), "") != b64(der) {
			t.Errorf("with %q the client sent %.40q, %v", encoding, sent, err)
		}
	}
}

// A server that is the one meant, and means no good.
func TestAHostileAnswerIsRefusedWithinBounds(t *testing.T) {
	w := newWorld(t)
	write := func(head, body string) http.Handler {
		return http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
			_, _ = io.Copy(io.Discard, r.Body)
			conn, buf, err := rw.(http.Hijacker).Hijack()
			if err != nil {
				t.Error(err)
				return
			}
			defer conn.Close()
			_, _ = buf.WriteString(head + "\r\n\r\n" + body)
			_ = buf.Flush()
		})
	}
	const ok = "HTTP/1.1 200 OK\r\nContent-Type: application/pkcs7-mime\r\n"
	for what, h := range map[string]http.Handler{
		"a length that is a lie":     write(ok+"Content-Length: 1099511627776", "MAA="),
		"a body without end":         http.HandlerFunc(func(rw http.ResponseWriter, _ *http.Request) { pour(rw, ok) }),
		"a header without end":       write(ok+"X: "+strings.Repeat("x", 1<<20), ""),
		"a header line too many":     write(ok+strings.Repeat("A: b\r\n", 1<<16)+"Content-Length: 0", ""),
		"a body that breaks off":     write(ok+"Content-Length: 100", "MAA="),
		"no HTTP":                    write("SSH-2.0-OpenSSH_9.2", ""),
		"nesting without end":        write(ok+"Connection: close", b64([]byte(strings.Repeat("\x30\x80", 1<<17)))),
		"a chunk size that is none":  write(ok+"Transfer-Encoding: chunked", "zz\r\nMAA=\r\n"),
		"compression nobody asked":   write(ok+"Content-Encoding: gzip\r\nContent-Length: 4", "\x1f\x8b\x08\x00"),
		"multipart without an end":   write("HTTP/1.1 200 OK\r\nContent-Type: multipart/mixed; boundary=x\r\nContent-Length: 3", "--x"),
		"another type":               write("HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 4", "MAA="),
		"a status without end":       write("HTTP/1.1 "+strings.Repeat("2", 1<<17), ""),
		"continue without end":       write(strings.Repeat("HTTP/1.1 100 Continue\r\n\r\n", 1000)+ok+"Content-Length: 0", ""),
		"switching to somewhere":     write("HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: upgrade", ""),
		"two lengths":                write(ok+"Content-Length: 4\r\nContent-Length: 5", "MAA="),
		"a certificate set of zeros": write(ok+"Connection: close", strings.Repeat("A", 1<<19)),
	} {
		s := w.net.serve(t, "est.example", named(t, w.own, "est.example"), h)
		c := w.net.client(t, s, w.own.Pool())
		c.User, c.Password = "device", "secret"
		for op, ask := range map[string]func() error{
			"CACerts": func() error { _, err := c.CACerts(t.Context()); return err },
			"SimpleEnroll": func() error {
				_, err := c.SimpleEnroll(t.Context(), goodCSR(t, "device"))
				return err
			},
		} {
			err := ask()
			if err == nil || len(err.Error()) > 2000 {
				t.Errorf("%s answered with %s: %.200v", op, what, err)
			}
		}
		for _, line := range s.asked() {
			if strings.HasSuffix(line, "with credentials") {
				t.Errorf("%s: credentials went out unasked", what)
			}
		}
	}
}

// pour writes until the client goes away.
func pour(rw http.ResponseWriter, head string) {
	conn, _, err := rw.(http.Hijacker).Hijack()
	if err != nil {
		return
	}
	defer conn.Close()
	if _, err := io.WriteString(conn, head+"Connection: close\r\n\r\n"); err != nil {
		return
	}
	block := strings.Repeat("A", 64<<10)
	for {
		if _, err := io.WriteString(conn, block); err != nil {
			return
		}
	}
}

func TestACallOnAConnectionThatSaysNothingEndsWithItsContext(t *testing.T) {
	for what, link := range map[string]bool{"while it is to shake hands": false, "linked": true} {
		ours, theirs := net.Pipe()
		defer theirs.Close()
		c := &est.Client{URL: "https://est.example", Roots: testpki.NewRoot(t, "root").Pool(), Dial: func(context.Context, string, string) (net.Conn, error) { return ours, nil }}
		ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
		_, err := c.Request(ctx, &est.CertRequest{Link: link, CSR: linkedTo(t, testpki.NewKey(t))})
		cancel()
		if !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("a server silent %s: %v, want DeadlineExceeded", what, err)
		}
	}
}

// EST-7030-3.5-05: a server that asks for a renegotiation is refused, whatever the caller's configuration allows; so
// the client never renegotiates with a peer that lacks renegotiation_info (RFC 5746, Section 4.1).
func TestAServerThatWantsToRenegotiateIsRefused(t *testing.T) {
	root := testpki.NewRoot(t, "root")
	id := root.Server(t, "server")
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	got := make(chan string, 1)
	go func() {
		raw, err := l.Accept()
		if err != nil {
			got <- err.Error()
			return
		}
		defer raw.Close()
		secrets := new(keyLog)
		seen := &tap{Conn: raw}
		conn := tls.Server(seen, &tls.Config{
			Certificates: []tls.Certificate{id.TLS()}, MaxVersion: tls.VersionTLS12, KeyLogWriter: secrets, SessionTicketsDisabled: true,
			CipherSuites: []uint16{tls.TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256},
		})
		if err := conn.Handshake(); err != nil {
			got <- err.Error()
			return
		}
		buf := make([]byte, 4096)
		if _, err := conn.Read(buf); err != nil { // the request
			got <- err.Error()
			return
		}
		record, err := helloRequest(secrets.String(), seen.serverRandom())
		if err != nil {
			got <- err.Error()
			return
		}
		_, _ = raw.Write(record)
		_, err = conn.Read(buf)
		got <- fmt.Sprint(err)
	}()
	c := &est.Client{URL: "https://" + l.Addr().String(), Roots: root.Pool(), TLSConfig: &tls.Config{Renegotiation: tls.RenegotiateFreelyAsClient}}
	if _, err := c.CACerts(t.Context()); err == nil || !strings.Contains(err.Error(), "no renegotiation") {
		t.Errorf("CACerts while the server renegotiates: %v", err)
	}
	// The warning no_renegotiation, which crypto/tls does not show, and the end; no ClientHello.
	if after := <-got; after != "EOF" {
		t.Errorf("the server got %q, want the end of the connection", after)
	}
}

// keyLog is an io.Writer for tls.Config.KeyLogWriter.
type keyLog struct {
	mu sync.Mutex
	b  strings.Builder // guarded by mu
}

func (k *keyLog) Write(p []byte) (int, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.b.Write(p)
}

func (k *keyLog) String() string {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.b.String()
}

// tap keeps what a server writes.
type tap struct {
	net.Conn
	written []byte
}

func (c *tap) Write(p []byte) (int, error) {
	c.written = append(c.written, p...)
	return c.Conn.Write(p)
}

// serverRandom is in the first record, a ServerHello (RFC 5246, Section 7.4.1.3).
func (c *tap) serverRandom() []byte { return c.written[5+4+2 : 5+4+2+32] }

// helloRequest is the server's first record after its Finished: a HelloRequest (RFC 5246, Section 7.4.1.1), under
// AES_128_GCM_SHA256 (RFC 5288, Section 3).
func helloRequest(log string, serverRandom []byte) ([]byte, error) {
	fields := strings.Fields(log) // CLIENT_RANDOM, the random, the master secret
	if len(fields) != 3 {
		return nil, fmt.Errorf("key log %q", log)
	}
	clientRandom, err := hex.DecodeString(fields[1])
	if err != nil {
		return nil, err
	}
	master, err := hex.DecodeString(fields[2])
	if err != nil {
		return nil, err
	}
	// key_block: client key, server key, client IV, server IV (RFC 5246, Section 6.3).
	seed := append(append([]byte("key expansion"), serverRandom...), clientRandom...)
	mac := func(parts ...[]byte) []byte {
		h := hmac.New(sha256.New, master)
		for _, p := range parts {
			h.Write(p)
		}
		return h.Sum(nil)
	}
	var block []byte
	for a := mac(seed); len(block) < 40; a = mac(a) {
		block = append(block, mac(a, seed)...)
	}
	key, iv := block[16:32], block[36:40]
	aesBlock, err := aes.NewCipher(key)
	if err != nil {
		return nil, err
	}
	gcm, err := cipher.NewGCM(aesBlock)
	if err != nil {
		return nil, err
	}
	message := []byte{0, 0, 0, 0} // hello_request, empty
	sequence := make([]byte, 8)
	binary.BigEndian.PutUint64(sequence, 1)
	nonce := append(append([]byte(nil), iv...), sequence...)
	head := []byte{22, 3, 3, 0, byte(len(message))}
	sealed := gcm.Seal(nil, nonce, message, append(append([]byte(nil), sequence...), head...))
	record := []byte{22, 3, 3, 0, byte(8 + len(sealed))}
	return append(append(record, sequence...), sealed...), nil
}
