package main_test

import (
	"bufio"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/briskest/briskest/internal/testbed"
)

// apiBed is a registrar whose operators' API is attacked on the wire.
type apiBed struct {
	*testbed.Bed
	t       *testing.T
	api     string
	process *testbed.Process
	token   string // of an administrator
	viewer  string
}

func newAPIBed(t *testing.T, webhook string) *apiBed {
	t.Helper()
	b := &apiBed{Bed: testbed.Once(t), t: t, api: testbed.FreeAddress(t)}
	text := string(b.Read(t, "registrar.yaml"))
	secret := filepath.Join(b.Dir, "hook.secret")
	if err := os.WriteFile(secret, []byte("0123456789abcdef0123456789abcdef"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, change := range [][2]string{
		{"  admin: registrar/admin.sock", "  api: " + b.api + "\n  admin: registrar/admin.sock"},
		{"limits:\n", "limits:\n  body_pause: 1s\n"},
		{"    basic: true", "    webhook: {url: \"" + webhook + "\", secret: hook.secret}\n    basic: true"},
	} {
		if !strings.Contains(text, change[0]) {
			t.Fatalf("registrar.yaml has no %q:\n%s", change[0], text)
		}
		text = strings.Replace(text, change[0], change[1], 1)
	}
	if err := os.WriteFile(filepath.Join(b.Dir, "registrar.yaml"), []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	b.process = b.Registrar(t)
	b.token = strings.TrimSpace(b.briskest("token", "create", "admin", "--role", "administrator"))
	b.viewer = strings.TrimSpace(b.briskest("token", "create", "viewer", "--role", "viewer"))
	return b
}

func (b *apiBed) briskest(args ...string) string {
	b.t.Helper()
	out, errs, code := testbed.Run(b.t, b.Program, append(args, "--config", filepath.Join(b.Dir, "registrar.yaml"))...)
	if code != 0 {
		b.t.Fatalf("briskest %s: exit %d\n%s%s", strings.Join(args, " "), code, out, errs)
	}
	return out
}

// dial connects as an HTTP/1.1 client, whose bytes are its own.
func (b *apiBed) dial() *tls.Conn {
	b.t.Helper()
	conn, err := tls.Dial("tcp", b.api, &tls.Config{RootCAs: b.Roots(b.t), NextProtos: []string{"http/1.1"}})
	if err != nil {
		b.t.Fatal(err)
	}
	b.t.Cleanup(func() { _ = conn.Close() })
	if err := conn.SetDeadline(time.Now().Add(time.Minute)); err != nil {
		b.t.Fatal(err)
	}
	return conn
}

// send writes bytes and reads answers until the server ends the connection.
func (b *apiBed) send(text string) (statuses []int) {
	b.t.Helper()
	conn := b.dial()
	go func() { _, _ = io.WriteString(conn, text) }() // the server may end it before the end
	r := bufio.NewReader(conn)
	for {
		res, err := http.ReadResponse(r, nil)
		if err != nil {
			if nerr, ok := err.(net.Error); ok && nerr.Timeout() {
				b.t.Errorf("the connection is neither answered nor ended: %v after %v", err, statuses)
			}
			return statuses
		}
		if res.StatusCode == http.StatusContinue {
			continue
		}
		_, _ = io.Copy(io.Discard, res.Body)
		statuses = append(statuses, res.StatusCode)
	}
}

const apiAt = "/api/v1/domains/default"

// add is a request that adds a credential; head is what frames its body.
func (b *apiBed) add(user, head, body string) string {
	return "POST " + apiAt + "/credentials HTTP/1.1\r\nHost: " + b.api + "\r\nAuthorization: Bearer " + b.token + "\r\nContent-Type: application/json\r\n" +
		head + "\r\n" + strings.ReplaceAll(body, "USER", `{"user":"`+user+`"}`)
}

func length(body string) string { return fmt.Sprintf("Content-Length: %d\r\n", len(body)) }

// plain frames it as everybody does.
func (b *apiBed) plain(user string) string {
	body := `{"user":"` + user + `"}`
	return b.add(user, length(body), body)
}

func chunk(text string) string { return fmt.Sprintf("%x\r\n%s\r\n", len(text), text) }

const lastChunk = "0\r\n\r\n"

const chunked = "Transfer-Encoding: chunked\r\n"

// smuggling is what is sent, and the answers that it may have. What follows in the
// same connection is a request that must not be answered where the framing is in doubt.
type smuggling struct {
	what   string
	text   func(user, inner string) string
	answer []int // those before the connection ends
	done   bool  // the request itself is good, whatever comes of the rest
	rest   bool  // the rest is a request of its own
}

func (b *apiBed) smugglings() []smuggling {
	whole := func(user string) string { return `{"user":"` + user + `"}` }
	framed := func(head string, body func(user, inner string) string) func(user, inner string) string {
		return func(user, inner string) string { return b.add(user, head, body(user, inner)) }
	}
	then := func(user, inner string) string { return whole(user) + inner }
	chunks := func(user, inner string) string { return chunk(whole(user)) + lastChunk + inner }
	size := func(change func(n int) string) func(user, inner string) string {
		return func(user, inner string) string {
			return b.add(user, "Content-Length: "+change(len(whole(user)))+"\r\n", whole(user)+inner)
		}
	}
	decimal := func(format string) func(n int) string { return func(n int) string { return fmt.Sprintf(format, n) } }
	extended := func(extension string) func(user, inner string) string {
		return func(user, inner string) string {
			return fmt.Sprintf("%x%s%s\r\n", len(whole(user)), extension, whole(user)) + lastChunk + inner
		}
	}
	return []smuggling{
		{"two requests, each with its length", size(decimal("%d")), []int{200, 200, 200}, true, true},
		{"CL.TE: the length spans the next request", func(user, inner string) string {
			body := chunks(user, inner)
			return b.add(user, length(body)+chunked, body)
		}, []int{200}, true, false},
		{"CL.TE, the other way around", func(user, inner string) string {
			body := chunks(user, inner)
			return b.add(user, chunked+length(body), body)
		}, []int{200}, true, false},
		{"TE.CL: the length ends in the first chunk", func(user, inner string) string {
			return b.add(user, "Content-Length: 4\r\n"+chunked, chunk(inner)+lastChunk)
		}, []int{400}, false, false},
		{"TE.TE: chunked and identity", framed(chunked+"Transfer-Encoding: identity\r\n", chunks), []int{501}, false, false},
		{"TE.TE: chunked twice", framed(chunked+chunked, chunks), []int{501}, false, false},
		{"TE: xchunked", framed("Transfer-Encoding: xchunked\r\n", chunks), []int{501}, false, false},
		{"TE: gzip, chunked", framed("Transfer-Encoding: gzip, chunked\r\n", chunks), []int{501}, false, false},
		{"TE with a space before the colon", framed("Transfer-Encoding : chunked\r\n", chunks), []int{400}, false, false},
		{"TE behind a vertical tab", framed("Transfer-Encoding:\x0bchunked\r\n", chunks), []int{400}, false, false},
		{"TE on a folded line", framed("Transfer-Encoding:\r\n chunked\r\n", chunks), []int{200}, true, false},
		{"TE with something on a folded line", framed("Transfer-Encoding: chunked\r\n x\r\n", chunks), []int{501}, false, false},
		{"a length on a folded line", func(user, inner string) string {
			n := fmt.Sprint(len(whole(user)))
			return b.add(user, "Content-Length: "+n[:1]+"\r\n "+n[1:]+"\r\n", then(user, inner))
		}, []int{400}, false, false},
		{"a header line that begins with a space", framed(" X: y\r\n", then), []int{415, 400}, false, false}, // it goes on with the one before
		{"two lengths that differ", func(user, inner string) string {
			return b.add(user, length(whole(user))+length(whole(user)+inner), then(user, inner))
		}, []int{400}, false, false},
		{"two lengths in one line", size(decimal("%[1]d, %[1]d")), []int{400}, false, false},
		{"a length with a sign", size(decimal("+%d")), []int{400}, false, false},
		{"a negative length", size(decimal("-%d")), []int{400}, false, false},
		{"a length in hex", size(decimal("0x%x")), []int{400}, false, false},
		{"a length beyond 64 bits", size(func(int) string { return "18446744073709551630" }), []int{400}, false, false},
		{"a chunk extension", framed(chunked, extended(";a=b\r\n")), []int{200}, true, false},
		{"a chunk extension with a bare LF", framed(chunked, extended(";a\n")), []int{400}, false, false},
		{"a chunk extension of 64 KiB", framed(chunked, extended(";"+strings.Repeat("x", 64<<10)+"\r\n")), []int{400}, false, false},
		{"ten thousand chunks with extensions", framed(chunked, func(user, inner string) string {
			return strings.Repeat("1;"+strings.Repeat("x", 100)+"\r\n \r\n", 10000) + chunks(user, inner)
		}), []int{400}, false, false},
		{"a chunk size beyond 64 bits", framed(chunked, func(_, inner string) string { return "10000000000000000\r\n" + inner }), []int{400}, false, false},
		{"a negative chunk size", framed(chunked, func(_, inner string) string { return "-5\r\n" + inner }), []int{400}, false, false},
		{"a chunk that is longer than it says", framed(chunked, func(user, inner string) string { return "1\r\n" + whole(user) + "\r\n" + lastChunk + inner }), []int{400}, false, false},
		{"a CR alone in a header", framed("X: a\rb\r\n", then), []int{400}, false, false},
		{"a NUL in a header", framed("X: a\x00b\r\n", then), []int{400}, false, false},
		{"two hosts", framed("Host: evil.example\r\n", then), []int{400}, false, false},
		{"a header of 64 KiB", framed("X: "+strings.Repeat("x", 64<<10)+"\r\n", then), []int{431}, false, false},
		{"a credential in a trailer", func(user, inner string) string {
			text := strings.Replace(b.add(user, chunked, chunk(whole(user))+"0\r\nAuthorization: Bearer "+b.token+"\r\n\r\n"), "Authorization: Bearer "+b.token+"\r\n", "", 1)
			return text + inner
		}, []int{401}, false, false},
		{"a body that was not asked for", func(user, inner string) string {
			return strings.Replace(b.add(user, "Expect: 100-continue\r\n"+length(inner), inner), "Authorization: Bearer "+b.token+"\r\n", "", 1)
		}, []int{401, 200}, false, false},
		{"a GET whose body is a request", func(_, inner string) string {
			return "GET " + apiAt + "/status HTTP/1.1\r\nHost: " + b.api + "\r\nAuthorization: Bearer " + b.token + "\r\n" + length(inner) + "\r\n" + inner
		}, []int{400, 200}, false, false},
		{"HTTP/1.0 with chunks", func(user, inner string) string {
			return strings.Replace(b.add(user, chunked+length(whole(user)), then(user, inner)), "HTTP/1.1", "HTTP/1.0", 1)
		}, []int{200}, true, false},
		{"two spaces in the first line", func(user, inner string) string {
			return strings.Replace(b.plain(user), "POST ", "POST  ", 1) + inner
		}, []int{400}, false, false},
		{"another host in the first line", func(user, inner string) string {
			return strings.Replace(b.plain(user), "POST ", "POST https://evil.example", 1) + inner
		}, []int{421, 200, 200}, false, true},
		{"an upgrade to HTTP/2 without TLS", func(user, inner string) string {
			return b.add(user, "Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQCAAAAAAIAAAAA\r\n"+length(whole(user)), then(user, inner))
		}, []int{200, 200, 200}, true, true},
	}
}

// Issue 6, point 10: what is in doubt about where a request ends is refused, and the connection with it, at the listener of
// the program as it runs. The request inside does what it is for where it is one, so that the table can fail.
func TestNoRequestIsSmuggledIntoTheAPI(t *testing.T) {
	b := newAPIBed(t, "http://127.0.0.1:1/")
	last := "GET " + apiAt + "/status HTTP/1.1\r\nHost: " + b.api + "\r\nAuthorization: Bearer " + b.viewer + "\r\nConnection: close\r\n\r\n"
	rows := b.smugglings()
	for i, r := range rows {
		since := time.Now()
		got := b.send(r.text(fmt.Sprintf("outer-%d", i), b.plain(fmt.Sprintf("inner-%d", i))+last) + last)
		verdict := "as it should"
		if !slices.Equal(got, r.answer) {
			verdict = "WRONG"
			t.Errorf("%s: answers %v, want %v", r.what, got, r.answer)
		}
		t.Logf("%-46s %-16s %-12s %s", r.what, fmt.Sprint(got), verdict, time.Since(since).Round(time.Millisecond))
	}
	users := b.briskest("credential", "list", "-o", "csv")
	for i, r := range rows {
		for name, want := range map[string]bool{fmt.Sprintf("outer-%d", i): r.done, fmt.Sprintf("inner-%d", i): r.rest} {
			if got := strings.Contains(users, name+","); got != want {
				t.Errorf("%s: the credential %s is there: %t, want %t", r.what, name, got, want)
			}
		}
	}
	b.process.Stop()
}

// Issue 6, point 10: whoever is slow on purpose is let go, and nobody waits for it.
func TestSlowClientsOfTheAPIAreLetGo(t *testing.T) {
	b := newAPIBed(t, "http://127.0.0.1:1/")
	begin := "POST " + apiAt + "/credentials HTTP/1.1\r\nHost: " + b.api + "\r\nAuthorization: Bearer " + b.token + "\r\n"
	stop := make(chan struct{})
	var slow sync.WaitGroup
	hang := func(what, text, more string, pause, most time.Duration) {
		conn := b.dial()
		slow.Go(func() {
			since := time.Now()
			if _, err := io.WriteString(conn, text); err != nil {
				t.Errorf("%s: %v", what, err)
			}
			go func() {
				for {
					select {
					case <-time.After(pause):
					case <-stop:
						return
					}
					if _, err := io.WriteString(conn, more); err != nil {
						return
					}
				}
			}()
			answer, err := io.ReadAll(conn)
			if took := time.Since(since); took > most || strings.Contains(string(answer), " 200 ") {
				t.Errorf("%s: %s (%v) after %v, want the end within %v", what, answer, err, took, most)
			}
		})
	}
	const within = 25 * time.Second // of what takes 10 s, on a busy machine
	for range 4 {
		hang("a header that does not come", "", "", time.Hour, within)
		hang("a header letter by letter", begin+"X: ", "x", 500*time.Millisecond, within)
		hang("a body that does not come", begin+"Content-Type: application/json\r\nContent-Length: 100\r\n\r\n{", "", time.Hour, within)
		hang("a chunk that does not come", begin+"Content-Type: application/json\r\n"+chunked+"\r\n5\r\n{", "", time.Hour, within)
	}
	for range 8 {
		if got := b.send("GET " + apiAt + "/status HTTP/1.1\r\nHost: " + b.api + "\r\nAuthorization: Bearer " + b.viewer + "\r\nConnection: close\r\n\r\n"); !slices.Equal(got, []int{200}) {
			t.Errorf("somebody else meanwhile: %v, want 200", got)
		}
	}
	slow.Wait()
	close(stop)
	b.process.Stop()
}

// Issue 6, point 10: who stands in for the system that decides, or says that it is it, decides nothing.
func TestAForgedWebhookAnswerDecidesNothing(t *testing.T) {
	asked := make(chan struct{}, 100)
	impostor := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		asked <- struct{}{}
		w.Header().Set("Content-Type", "application/json")
		_, _ = io.WriteString(w, `{"decision":"allow"}`)
	}))
	t.Cleanup(impostor.Close)
	b := newAPIBed(t, impostor.URL+"/")
	certificates := b.briskest("ca", "list", "-o", "csv")
	_, errs, code := testbed.Run(t, b.Program, "est", "enroll", "--url", b.EST, "--ca", filepath.Join(b.Dir, "ca.pem"), "--user-file", filepath.Join(b.Dir, "est-user.txt"),
		"--new-key", filepath.Join(t.TempDir(), "k"), "--cn", "sensor-forged", "--out", filepath.Join(t.TempDir(), "c"))
	if code == 0 || len(asked) != 0 {
		t.Errorf("an answer under a certificate of nobody's: exit %d, %d questions answered\n%s", code, len(asked), errs)
	}
	if after := b.briskest("ca", "list", "-o", "csv"); after != certificates {
		t.Errorf("certificates before\n%s\nand after\n%s", certificates, after)
	}
	// Later answers come by the API: what a webhook's own are signed with is worth nothing there.
	allow := `{"decision":"allow"}`
	post := func(path, authorization string) string {
		return "POST " + apiAt + path + " HTTP/1.1\r\nHost: " + b.api + "\r\n" + authorization + "Content-Type: application/json\r\nConnection: close\r\n" +
			"Briskest-Request: 0123456789abcdef\r\nBriskest-Signature: t=1700000000,v1=" + strings.Repeat("ab", 32) + "\r\n" + length(allow) + "\r\n" + allow
	}
	for what, row := range map[string]struct {
		text   string
		status int
	}{
		"an answer with a signature and no credentials": {post("/requests/0123456789abcdef/approve", ""), 401},
		"an answer with a viewer's token":               {post("/requests/0123456789abcdef/approve", "Authorization: Bearer "+b.viewer+"\r\n"), 403},
		"an answer to a question that was not asked":    {post("/requests/0123456789abcdef/approve", "Authorization: Bearer "+b.token+"\r\n"), 400},
		"an answer to a webhook's path":                 {post("/webhook", "Authorization: Bearer "+b.token+"\r\n"), 404},
	} {
		got := b.send(row.text)
		t.Logf("%-48s %v", what, got)
		if !slices.Equal(got, []int{row.status}) {
			t.Errorf("%s: %v, want %d", what, got, row.status)
		}
	}
	b.process.Stop()
}
