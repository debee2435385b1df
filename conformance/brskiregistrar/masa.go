package brskiregistrar

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"fmt"
	"github.com/briskest/briskest/conformance/forge"
	"io"
	"log/slog"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/briskest/briskest/brski"
	"github.com/briskest/briskest/conformance"
	"github.com/briskest/briskest/voucher"
	"github.com/briskest/briskest/voucher/vouchercms"
	"github.com/briskest/briskest/voucher/vouchercose"
	"github.com/briskest/briskest/voucher/voucherjws"
)

// maxArrival is how many bytes of a request to the MASA are read.
const maxArrival = 1 << 20

// MASA is the manufacturer's service behind the registrar. It does what the
// check at hand says, and remembers what came.
type MASA struct {
	Signer      *tls.Certificate // of vouchers; the registrar trusts it for the pledge's manufacturer
	Certificate *tls.Certificate // of the server

	server *http.Server
	addr   net.Addr

	mu      sync.Mutex
	answers answering        // guarded by mu, as all below
	present *tls.Certificate // in place of Certificate
	seen    []*arrival
	plain   int                  // connections that were no TLS
	issued  map[string]*issuance // by serial number, the last
}

type issuance struct {
	pin   *x509.Certificate
	nonce string
	at    time.Time
}

// arrival is a request that reached the MASA.
type arrival struct {
	method, path string
	header       http.Header
	body         []byte
	state        *tls.ConnectionState
	request      *voucher.Request  // nil where it does not open
	artifact     *voucher.Artifact // likewise
	err          error             // why it does not
}

// operation picks what was for an operation.
func operation(seen []*arrival, op brski.Operation) []*arrival {
	return slices.DeleteFunc(slices.Clone(seen), func(a *arrival) bool { return !strings.HasSuffix(a.path, "/"+string(op)) })
}

// answering answers a request to the MASA; nil leaves it to a good MASA.
type answering func(m *MASA, w http.ResponseWriter, a *arrival)

// formats are those that can be opened.
func formats() []voucher.Format {
	return []voucher.Format{vouchercms.Format{}, voucherjws.Format{}, vouchercose.Format{}}
}

// Serve serves on a listener until the function it returns is called.
func (m *MASA) Serve(l net.Listener) (stop func() error) {
	m.addr, m.issued = l.Addr(), make(map[string]*issuance)
	m.server = &http.Server{
		Handler: m, ReadHeaderTimeout: 5 * time.Second, ErrorLog: slog.NewLogLogger(slog.DiscardHandler, slog.LevelError),
	}
	m.server.SetKeepAlivesEnabled(false)
	config := &tls.Config{
		ClientAuth: tls.RequestClientCert, MinVersion: tls.VersionTLS12, SessionTicketsDisabled: true, // so that each connection shows a certificate
		GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) {
			m.mu.Lock()
			defer m.mu.Unlock()
			if m.present != nil {
				return m.present, nil
			}
			return m.Certificate, nil
		},
	}
	go func() { _ = m.server.Serve(tls.NewListener(sniffing{l, m}, config)) }() // ends with stop
	return m.server.Close
}

// sniffing counts the connections that do not begin as TLS does.
type sniffing struct {
	net.Listener
	masa *MASA
}

// Accept implements [net.Listener].
func (s sniffing) Accept() (net.Conn, error) {
	c, err := s.Listener.Accept()
	if err != nil {
		return nil, err
	}
	return &sniffed{Conn: c, masa: s.masa}, nil
}

type sniffed struct {
	net.Conn
	masa *MASA
	once sync.Once
}

// Read implements [net.Conn].
func (s *sniffed) Read(p []byte) (int, error) {
	n, err := s.Conn.Read(p)
	if n > 0 {
		s.once.Do(func() {
			if p[0] != 22 { // a record of the handshake: RFC 8446, Section 5.1
				s.masa.mu.Lock()
				defer s.masa.mu.Unlock()
				s.masa.plain++
			}
		})
	}
	return n, err
}

// expect begins a check: what comes from now on is answered so.
func (m *MASA) expect(f answering) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.answers, m.seen = f, nil
}

// presents makes the server show another certificate until the function is called.
func (m *MASA) presents(c *tls.Certificate) func() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.present = c
	return func() {
		m.mu.Lock()
		defer m.mu.Unlock()
		m.present = nil
	}
}

func (m *MASA) arrivals() []*arrival {
	m.mu.Lock()
	defer m.mu.Unlock()
	return slices.Clone(m.seen)
}

func (m *MASA) plaintext() int {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.plain
}

// ServeHTTP implements [http.Handler].
func (m *MASA) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(io.LimitReader(r.Body, maxArrival))
	if err != nil {
		return
	}
	a := &arrival{method: r.Method, path: r.URL.EscapedPath(), header: r.Header.Clone(), body: body, state: r.TLS}
	a.open()
	m.mu.Lock()
	m.seen = append(m.seen, a)
	answers := m.answers
	m.mu.Unlock()
	if answers == nil {
		answers = (*MASA).issue
	}
	answers(m, w, a)
}

func (a *arrival) open() {
	mediaType, _, _ := strings.Cut(a.header.Get("Content-Type"), ";")
	a.err = fmt.Errorf("Content-Type %q is no voucher-request's", mediaType)
	for _, f := range formats() {
		if strings.EqualFold(strings.TrimSpace(mediaType), f.MediaType()) {
			a.request, a.artifact, a.err = f.OpenRequest(a.body)
			if raw, err := base64.StdEncoding.DecodeString(string(a.body)); a.err != nil && err == nil { // as nqminds' registrar sends it
				a.request, a.artifact, a.err = f.OpenRequest(raw)
			}
		}
	}
}

func (a *arrival) format() voucher.Format {
	for _, f := range formats() {
		if a.artifact != nil && f.MediaType() == a.artifact.MediaType {
			return f
		}
	}
	return vouchercms.Format{}
}

// issue is a good MASA: it issues what is asked for and logs it.
func (m *MASA) issue(w http.ResponseWriter, a *arrival) { issues(nil)(m, w, a) }

// issues issues a changed voucher.
func issues(change func(*voucher.Voucher)) answering {
	return func(m *MASA, w http.ResponseWriter, a *arrival) {
		switch {
		case strings.HasSuffix(a.path, "/"+string(brski.OpRequestAuditLog)):
			m.log(w, a, http.StatusOK, nil)
		case a.request == nil:
			http.Error(w, "no voucher-request: "+a.err.Error(), http.StatusBadRequest)
		default:
			m.signed(w, a, change, nil)
		}
	}
}

// signed answers with a voucher.
func (m *MASA) signed(w http.ResponseWriter, a *arrival, change func(*voucher.Voucher), bytesOf func([]byte) []byte) {
	raw, err := m.make(a, change, m.Signer)
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	if bytesOf != nil {
		raw = bytesOf(raw)
	}
	w.Header().Set("Content-Type", a.format().MediaType())
	_, _ = w.Write(raw) // a registrar that went away has its answer
}

func (m *MASA) make(a *arrival, change func(*voucher.Voucher), signer *tls.Certificate) ([]byte, error) {
	pin := top(a.artifact)
	v := &voucher.Voucher{
		Assertion: voucher.Proximity, CreatedOn: time.Now().UTC().Truncate(time.Second), SerialNumber: a.request.SerialNumber,
		Nonce: a.request.Nonce, PinnedDomainCert: pin.Raw,
	}
	if v.ESTDomain = a.request.ESTDomain; v.ESTDomain != "" {
		pin = beside(a.artifact)
		v.PinnedDomainCert = pin.Raw
	}
	if v.Nonce == "" {
		v.ExpiresOn = v.CreatedOn.Add(time.Hour)
	}
	m.mu.Lock()
	m.issued[a.request.SerialNumber] = &issuance{pin, a.request.Nonce, v.CreatedOn}
	m.mu.Unlock()
	if change != nil {
		change(v)
	}
	return a.format().SignVoucher(context.Background(), v, forge.Signer(signer))
}

// top is the certificate of the artifact's chain that is farthest from the signer.
func top(a *voucher.Artifact) *x509.Certificate {
	chain := chainOf(a)
	return chain[len(chain)-1]
}

// chainOf is the signer's certificate, and those of the artifact that are above it.
func chainOf(a *voucher.Artifact) []*x509.Certificate {
	at := a.Signer
	chain := []*x509.Certificate{at}
	for range a.Certificates {
		next := slices.IndexFunc(a.Certificates, func(c *x509.Certificate) bool {
			return c.IsCA && !bytes.Equal(c.Raw, at.Raw) && bytes.Equal(c.RawSubject, at.RawIssuer) && at.CheckSignatureFrom(c) == nil
		})
		if next < 0 {
			break
		}
		at = a.Certificates[next]
		chain = append(chain, at)
	}
	return chain
}

// beside is the certificate that a cloud registrar has sent beside its chain: that
// of the owner's EST server, or the CA above it.
func beside(a *voucher.Artifact) *x509.Certificate {
	chain := chainOf(a)
	for _, c := range a.Certificates {
		if !slices.ContainsFunc(chain, c.Equal) {
			return c
		}
	}
	return chain[len(chain)-1]
}

// log answers with the audit-log of the device (RFC 8995, Section 5.8.1).
func (m *MASA) log(w http.ResponseWriter, a *arrival, status int, change func(*brski.AuditLog)) {
	if a.request == nil {
		http.Error(w, "no voucher-request: "+a.err.Error(), http.StatusBadRequest)
		return
	}
	l := m.auditLog(a)
	if change != nil {
		change(l)
	}
	raw, err := brski.MarshalAuditLog(l)
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_, _ = w.Write(raw) // as above
}

func (m *MASA) auditLog(a *arrival) *brski.AuditLog {
	m.mu.Lock()
	defer m.mu.Unlock()
	l := &brski.AuditLog{Version: brski.AuditLogVersion}
	if i := m.issued[a.request.SerialNumber]; i != nil {
		e := brski.AuditEvent{Date: i.at, DomainID: base64.StdEncoding.EncodeToString(voucher.DomainID(i.pin)), Assertion: voucher.Proximity}
		if i.nonce != "" {
			e.Nonce = &i.nonce
		}
		l.Events = append(l.Events, e)
	}
	return l
}

// refuses answers voucher-requests with a status.
func refuses(status int) answering {
	return func(_ *MASA, w http.ResponseWriter, _ *arrival) { http.Error(w, "conformance: no", status) }
}

// says answers voucher-requests with these bytes.
func says(status int, mediaType string, body []byte) answering {
	return func(_ *MASA, w http.ResponseWriter, _ *arrival) {
		w.Header().Set("Content-Type", mediaType)
		w.WriteHeader(status)
		_, _ = w.Write(body) // as above
	}
}

// breaksOff ends the connection without an answer.
func breaksOff(_ *MASA, _ http.ResponseWriter, _ *arrival) { panic(http.ErrAbortHandler) }

// record keeps what the MASA saw for the report.
func (x *exchange) record(ctx context.Context) {
	for _, a := range x.seen {
		conformance.Record(ctx, conformance.Exchange{
			Sent: fmt.Sprintf("the registrar to the MASA: %s %s, %s, %d bytes", a.method, a.path, a.header.Get("Content-Type"), len(a.body)),
			Came: "what the check has the MASA say", RawSent: a.body,
		})
	}
}
