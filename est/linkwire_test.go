package est_test

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"encoding/asn1"
	"errors"
	"io"
	"io/fs"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	cbasn1 "golang.org/x/crypto/cryptobyte/asn1"

	"github.com/briskest/briskest/est"
	"github.com/briskest/briskest/est/esttest"
)

// The attributes of RFC 7894, Section 2.
var (
	oidOTPChallenge        = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 9, 16, 2, 56}
	oidRevocationChallenge = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 9, 16, 2, 57}
	oidIdentityLinking     = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 9, 16, 2, 58}
)

// linker is a Backend that checks links by a policy.
type policyLinker struct {
	*esttest.Backend
	policy est.LinkPolicy
}

func (l policyLinker) CheckLink(_ context.Context, r *est.EnrollRequest) error {
	return l.policy.Check(r)
}

// linkSite is a site whose connections each give one binding.
func linkSite(t *testing.T, policy est.LinkPolicy, change func(s *httptest.Server)) *site {
	t.Helper()
	b := esttest.New(t)
	s := &site{Backend: b, handler: &est.Handler{Backend: policyLinker{b, policy}}}
	server := httptest.NewUnstartedServer(s.handler)
	server.TLS = &tls.Config{Certificates: []tls.Certificate{b.CA.Server(t, "link").TLS()}, ClientAuth: tls.RequestClientCert}
	server.Config.ErrorLog = discardLog()
	server.Config.ConnContext = est.ConnContext
	if change != nil {
		change(server)
	}
	server.StartTLS()
	t.Cleanup(server.Close)
	s.url = server.URL
	return s
}

// binding is the channel binding of a connection as its version has it.
func binding(t *testing.T, cs tls.ConnectionState) string {
	t.Helper()
	if cs.Version < tls.VersionTLS13 {
		return b64(cs.TLSUnique)
	}
	return b64(exported(t, cs))
}

func exported(t *testing.T, cs tls.ConnectionState) []byte {
	t.Helper()
	b, err := cs.ExportKeyingMaterial("EXPORTER-Channel-Binding", []byte{}, 32)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// postLinked posts a CSR with these attributes over conn.
func postLinked(t *testing.T, conn net.Conn, path string, attributes ...[]byte) wire {
	t.Helper()
	auth := "Authorization: Basic " + b64([]byte("device:secret")) + "\r\n"
	if _, err := io.WriteString(conn, post(path, pkcs10+auth, b64(forged{attributes: attributes}.der(t)))); err != nil {
		t.Fatal(err)
	}
	return readWire(t, bufio.NewReader(conn), "POST")
}

func text(oid asn1.ObjectIdentifier, tag cbasn1.Tag, value string) []byte {
	return attribute(oid, tlv(tag, value))
}

// EST-7030-3.5-02: a CSR that is bound to another session is refused. EST-7030-4.2-05: at both URIs.
// EST-7030-3.5-09 and EST-7894-2-01: as PrintableString and as UTF8String.
// EST-7894-2.3-01: estIdentityLinking holds the binding in place of challengePassword.
func TestALinkHoldsOnItsOwnConnectionOnly(t *testing.T) {
	s := linkSite(t, est.LinkPolicy{}, nil)
	client := s.CA.Client(t, "device").TLS()
	for _, version := range []uint16{tls.VersionTLS12, tls.VersionTLS13} {
		for _, tag := range []cbasn1.Tag{cbasn1.PrintableString, cbasn1.UTF8String} {
			for _, oid := range []asn1.ObjectIdentifier{oidChallengePassword, oidIdentityLinking} {
				for _, path := range []string{enrollPath, "/.well-known/est/simplereenroll"} {
					cfg := &tls.Config{MinVersion: version, MaxVersion: version, Certificates: []tls.Certificate{client}}
					conn := s.dial(t, cfg)
					link := text(oid, tag, binding(t, conn.ConnectionState()))
					if got := postLinked(t, conn, path, link); got.status != 200 && !strings.Contains(got.body, est.ReasonReenrollSAN) {
						t.Errorf("%x %v tag %v %s on its connection: %d %q", version, oid, tag, path, got.status, got.body)
					}
					got := postLinked(t, s.dial(t, cfg), path, link)
					if got.status != 400 || !strings.Contains(got.body, est.ReasonLinkMismatch) {
						t.Errorf("%x %v tag %v %s on another connection: %d %q", version, oid, tag, path, got.status, got.body)
					}
				}
			}
		}
	}
}

// EST-7030-3.5-08: 255 characters at most. EST-7894-2-03: each attribute is single-valued and at most 255 characters.
func TestAChallengeOfTwoValuesOrTooManyCharactersIsRefused(t *testing.T) {
	s := linkSite(t, est.LinkPolicy{}, nil)
	for name, oid := range map[string]asn1.ObjectIdentifier{
		"challengePassword": oidChallengePassword, "otpChallenge": oidOTPChallenge,
		"revocationChallenge": oidRevocationChallenge, "estIdentityLinking": oidIdentityLinking,
	} {
		a := tlv(cbasn1.UTF8String, "a")
		for what, attributes := range map[string][][]byte{
			"two values": {attribute(oid, a, a)}, "no value": {attribute(oid)}, "two of it": {attribute(oid, a), attribute(oid, a)},
			"256 characters": {text(oid, cbasn1.PrintableString, strings.Repeat("x", 256))}, "octets": {text(oid, cbasn1.OCTET_STRING, "a")},
			"an empty string": {text(oid, cbasn1.UTF8String, "")},
		} {
			if got := postLinked(t, s.dial(t, &tls.Config{}), enrollPath, attributes...); got.status != 400 || !strings.Contains(got.body, name) {
				t.Errorf("%s of %s: %d %q", what, name, got.status, got.body)
			}
		}
	}
	for what, oid := range map[string]asn1.ObjectIdentifier{"otpChallenge": oidOTPChallenge, "revocationChallenge": oidRevocationChallenge} {
		csr, err := est.ParseCSR(forged{attributes: [][]byte{text(oid, cbasn1.UTF8String, strings.Repeat("\u00e9", 255))}}.der(t))
		if err != nil {
			t.Errorf("%s of 255 characters: %v", what, err)
		} else if len(csr.OTPChallenge.Reveal())+len(csr.RevocationChallenge.Reveal()) != 510 {
			t.Errorf("%s of 255 characters is not in the CSR", what)
		}
	}
}

// EST-7894-2-01: each attribute is read as PrintableString and as UTF8String, and kept apart from the others.
func TestEachChallengeIsReadInEitherStringType(t *testing.T) {
	for _, tag := range []cbasn1.Tag{cbasn1.PrintableString, cbasn1.UTF8String} {
		csr, err := est.ParseCSR(forged{attributes: [][]byte{
			text(oidChallengePassword, tag, "one"), text(oidOTPChallenge, tag, "two"), text(oidRevocationChallenge, tag, "three"), text(oidIdentityLinking, tag, "four"),
		}}.der(t))
		if err != nil {
			t.Fatal(err)
		}
		if got := []string{csr.ChallengePassword, csr.OTPChallenge.Reveal(), csr.RevocationChallenge.Reveal(), csr.IdentityLinking}; strings.Join(got, " ") != "one two three four" {
			t.Errorf("tag %v: %q", tag, got)
		}
	}
}

// EST-7894-2-04: each attribute is evaluated on its own, and all that are present have to hold.
func TestALinkAndAChallengePasswordThatDisagreeAreRefused(t *testing.T) {
	s := linkSite(t, est.LinkPolicy{}, nil)
	for what, c := range map[string]struct {
		password, link string // "right" is the connection's binding
		status         int
	}{
		"both right": {"right", "right", 200}, "the password wrong": {"d3Jvbmc=", "right", 400}, "the link wrong": {"right", "d3Jvbmc=", 400},
	} {
		conn := s.dial(t, &tls.Config{})
		right := binding(t, conn.ConnectionState())
		value := func(s string) string { return strings.Replace(s, "right", right, 1) }
		got := postLinked(t, conn, enrollPath, text(oidChallengePassword, cbasn1.UTF8String, value(c.password)), text(oidIdentityLinking, cbasn1.UTF8String, value(c.link)))
		if got.status != c.status {
			t.Errorf("%s: %d %q, want %d", what, got.status, got.body, c.status)
		}
	}
	der, err := os.ReadFile(filepath.Join(vectors(t), "constructed", "csr-p256-link-and-challenge-disagree.der"))
	if err != nil {
		t.Fatal(err)
	}
	auth := "Authorization: Basic " + b64([]byte("device:secret")) + "\r\n"
	if got := s.raw(t, post(enrollPath, pkcs10+auth, b64(der))); got.status != 400 || !strings.Contains(got.body, est.ReasonLinkMismatch) {
		t.Errorf("csr-p256-link-and-challenge-disagree: %d %q", got.status, got.body)
	}
}

func TestAPolicySaysWhichLinksCount(t *testing.T) {
	right := func(cs tls.ConnectionState) string { return binding(t, cs) }
	secret := func(tls.ConnectionState) string { return "a shared secret" }
	none := func(tls.ConnectionState) string { return "" }
	for what, c := range map[string]struct {
		policy         est.LinkPolicy
		password, link func(tls.ConnectionState) string
		want           string
	}{
		"required and missing":            {est.LinkPolicy{Required: true}, none, none, est.ReasonLinkMissing},
		"required, as challengePassword":  {est.LinkPolicy{Required: true}, right, none, ""},
		"required, as estIdentityLinking": {est.LinkPolicy{Required: true}, none, right, ""},
		"a shared secret":                 {est.LinkPolicy{IgnorePassword: true}, secret, none, ""},
		"a shared secret and the link":    {est.LinkPolicy{IgnorePassword: true}, secret, right, ""},
		"a shared secret, a wrong link":   {est.LinkPolicy{IgnorePassword: true}, secret, secret, est.ReasonLinkMismatch},
		"a shared secret is no link":      {est.LinkPolicy{IgnorePassword: true, Required: true}, secret, none, est.ReasonLinkMissing},
	} {
		s := linkSite(t, c.policy, nil)
		conn := s.dial(t, &tls.Config{})
		var attributes [][]byte
		if v := c.password(conn.ConnectionState()); v != "" {
			attributes = append(attributes, text(oidChallengePassword, cbasn1.UTF8String, v))
		}
		if v := c.link(conn.ConnectionState()); v != "" {
			attributes = append(attributes, text(oidIdentityLinking, cbasn1.UTF8String, v))
		}
		got := postLinked(t, conn, enrollPath, attributes...)
		if c.want == "" && got.status != 200 || c.want != "" && (got.status != 400 || !strings.Contains(got.body, c.want)) {
			t.Errorf("%s: %d %q, want %q", what, got.status, got.body, c.want)
		}
	}
}

// EST-9266-2-03: by policy tls-exporter takes the place of tls-unique in TLS 1.2; the two are never both tried.
func TestInTLS12ThePolicyChoosesOneBinding(t *testing.T) {
	for _, policy := range []est.LinkPolicy{{}, {ExporterInTLS12: true}} {
		s := linkSite(t, policy, nil)
		for name, of := range map[string]func(tls.ConnectionState) []byte{
			"tls-unique":   func(cs tls.ConnectionState) []byte { return cs.TLSUnique },
			"tls-exporter": func(cs tls.ConnectionState) []byte { return exported(t, cs) },
		} {
			want := 400
			if (name == "tls-exporter") == policy.ExporterInTLS12 {
				want = 200
			}
			conn := s.dial(t, &tls.Config{MaxVersion: tls.VersionTLS12})
			if got := postLinked(t, conn, enrollPath, text(oidIdentityLinking, cbasn1.UTF8String, b64(of(conn.ConnectionState())))); got.status != want {
				t.Errorf("%+v, %s: %d %q, want %d", policy, name, got.status, got.body, want)
			}
		}
	}
}

// EST-9266-4.1-02: where the server allows renegotiation there is no tls-exporter.
func TestWithRenegotiationThereIsNoExporter(t *testing.T) {
	s := linkSite(t, est.LinkPolicy{}, func(server *httptest.Server) { server.TLS.Renegotiation = tls.RenegotiateOnceAsClient })
	conn := s.dial(t, &tls.Config{})
	if got := postLinked(t, conn, enrollPath, text(oidIdentityLinking, cbasn1.UTF8String, binding(t, conn.ConnectionState()))); got.status != 400 {
		t.Errorf("the right binding where renegotiation is allowed: %d %q", got.status, got.body)
	}
	cs := s.dial(t, &tls.Config{Renegotiation: tls.RenegotiateOnceAsClient}).ConnectionState()
	if _, err := cs.ExportKeyingMaterial("EXPORTER-Channel-Binding", []byte{}, 32); err == nil {
		t.Error("ExportKeyingMaterial works although renegotiation is allowed")
	}
}

// EST-9266-4-02: one binding serves one request, and the connection is closed after it.
func TestAConnectionIsClosedAfterItsLinkedRequest(t *testing.T) {
	for _, keep := range []bool{false, true} {
		s := linkSite(t, est.LinkPolicy{KeepConnection: keep}, nil)
		conn := s.dial(t, &tls.Config{})
		link := text(oidIdentityLinking, cbasn1.UTF8String, binding(t, conn.ConnectionState()))
		first := postLinked(t, conn, enrollPath, link)
		if first.status != 200 || strings.Contains(first.head, "\r\nConnection: close\r\n") == keep {
			t.Errorf("keep %v: %q", keep, first.head)
		}
		if keep {
			if again := postLinked(t, conn, enrollPath, link); again.status != 200 {
				t.Errorf("a second linked request where the connection is kept: %d %q", again.status, again.body)
			}
			continue
		}
		if _, err := conn.Read(make([]byte, 1)); !errors.Is(err, io.EOF) {
			t.Errorf("after a linked request the connection reads %v, want its end", err)
		}
	}
	// A request without a link, and one that has to authenticate first, leave it open.
	s := linkSite(t, est.LinkPolicy{}, nil)
	conn := s.dial(t, &tls.Config{})
	if got := postLinked(t, conn, enrollPath); got.status != 200 || strings.Contains(got.head, "Connection") {
		t.Errorf("a request without a link: %q", got.head)
	}
	csr := b64(forged{attributes: [][]byte{text(oidIdentityLinking, cbasn1.UTF8String, binding(t, conn.ConnectionState()))}}.der(t))
	for _, c := range []struct {
		auth   string
		status int
	}{{"", 401}, {"Authorization: Basic " + b64([]byte("device:secret")) + "\r\n", 200}} {
		if _, err := io.WriteString(conn, post(enrollPath, pkcs10+c.auth, csr)); err != nil {
			t.Fatal(err)
		}
		if got := readWire(t, bufio.NewReader(conn), "POST"); got.status != c.status {
			t.Errorf("with %q: %d %q, want %d", c.auth, got.status, got.body, c.status)
		}
	}
}

// waits is a Backend that holds its first enrollment until told.
type waits struct {
	policyLinker
	inside, release chan struct{}
}

func (w waits) Enroll(ctx context.Context, r *est.EnrollRequest) ([]byte, error) {
	w.inside <- struct{}{}
	<-w.release
	return w.Backend.Enroll(ctx, r)
}

// EST-9266-4-02: over HTTP/2 too, where requests of one connection come at the same time.
func TestTwoRequestsAtOnceDoNotShareABinding(t *testing.T) {
	s := linkSite(t, est.LinkPolicy{}, func(server *httptest.Server) { server.EnableHTTP2 = true })
	w := waits{policyLinker{s.Backend, est.LinkPolicy{}}, make(chan struct{}), make(chan struct{})}
	s.handler.Backend = w
	var cs tls.ConnectionState
	transport := &http.Transport{ForceAttemptHTTP2: true, TLSClientConfig: &tls.Config{RootCAs: s.Root()}}
	transport.DialTLSContext = func(ctx context.Context, network, address string) (net.Conn, error) {
		conn, err := (&tls.Dialer{Config: &tls.Config{RootCAs: s.Root(), NextProtos: []string{"h2"}}}).DialContext(ctx, network, address)
		if err == nil {
			cs = conn.(*tls.Conn).ConnectionState()
		}
		return conn, err
	}
	defer transport.CloseIdleConnections()
	send := func(link []byte) (int, string) {
		r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, s.url+enrollPath, strings.NewReader(b64(forged{attributes: [][]byte{link}}.der(t))))
		if err != nil {
			t.Error(err)
			return 0, ""
		}
		r.Header.Set("Content-Type", "application/pkcs10")
		r.SetBasicAuth("device", "secret")
		res, err := transport.RoundTrip(r)
		if err != nil {
			t.Error(err)
			return 0, ""
		}
		defer res.Body.Close()
		body, _ := io.ReadAll(res.Body)
		return res.StatusCode, string(body)
	}
	if status, _ := send(text(oidIdentityLinking, cbasn1.UTF8String, "wrong")); status != 400 { // opens the connection
		t.Fatalf("a wrong link: %d", status)
	}
	link := text(oidIdentityLinking, cbasn1.UTF8String, binding(t, cs))
	first := make(chan int, 1)
	go func() { status, _ := send(link); first <- status }()
	<-w.inside
	if status, body := send(link); status != 400 || !strings.Contains(body, est.ReasonLinkUsed) {
		t.Errorf("a second linked request beside the first: %d %q", status, body)
	}
	close(w.release)
	if status := <-first; status != 200 {
		t.Errorf("the first linked request: %d", status)
	}
}

// EST-9266-4-01: a binding is compared, and is neither a key nor a secret: the code that makes one is in link.go, and
// beside it only that which makes clients' CSRs.
func TestOnlyTheLinkUsesChannelBindings(t *testing.T) {
	err := filepath.WalkDir("..", func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") {
			return err
		}
		if where := filepath.ToSlash(path); strings.HasPrefix(where, "../est/") && strings.Contains(filepath.Base(where), "link") || strings.HasPrefix(where, "../conformance/") {
			return nil
		}
		code, err := os.ReadFile(path)
		if bytes.Contains(code, []byte("ExportKeyingMaterial(")) || bytes.Contains(code, []byte(".TLSUnique")) {
			t.Errorf("%s makes a channel binding; only est/*link*.go does", path)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}
