package brskimasa_test

import (
	"context"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"
	"time"

	"github.com/briskest/briskest/brski"
	"github.com/briskest/briskest/conformance/brskimasa"
	"github.com/briskest/briskest/conformance/wire"
	"github.com/briskest/briskest/est"
	"github.com/briskest/briskest/internal/testpki"
	"github.com/briskest/briskest/voucher"
	"github.com/briskest/briskest/voucher/vouchercms"
	"github.com/briskest/briskest/voucher/vouchercose"
	"github.com/briskest/briskest/voucher/voucherjws"
)

func formats() []voucher.Format {
	return []voucher.Format{vouchercms.Format{}, voucherjws.Format{}, vouchercose.Format{}}
}

// house is the reference MASA: the library's handler over a small backend.
// Faults change it before it serves.
type house struct {
	t              testing.TB
	vendor, domain *testpki.Identity
	signer         *testpki.Identity // of vouchers
	cmsSigner      *testpki.Identity // of those in CMS, where it is another
	devices        []*device
	tls            *tls.Config
	handler        http.Handler
	masa           *brski.MASAHandler
	target         *brskimasa.Target
	ignores        string                                  // the check that is left out
	voucher        func(v *voucher.Voucher, q *asked)      // changes what is signed
	signed         func(f voucher.Format, b []byte) []byte // changes what is handed out
	audit          func(l *brski.AuditLog, q *asked)       // changes a log
	pin            func(q *asked) *x509.Certificate
	forgets        func(old *record, q *asked) bool // whether it issues anew for a nonce
	recordsAsking  bool                             // a question for the log as a voucher
	plain          string                           // answer without TLS

	mu     sync.Mutex
	issued []*record // guarded by mu
}

type device struct {
	idevid             *x509.Certificate
	blocked, nonceless bool
	owner, former      *x509.Certificate // domain CA; nil for none
	serialIsShared     bool
}

type record struct {
	device    *device
	domain    *x509.Certificate // pinned
	nonce     string
	assertion voucher.Assertion
	at        time.Time
	raw       []byte
	mediaType string
	request   []byte
}

type fault func(*house)

func start(t testing.TB, faults ...fault) *brskimasa.Target {
	t.Helper()
	h := &house{t: t, vendor: testpki.NewRoot(t, "Vendor"), domain: testpki.NewRoot(t, "Domain")}
	server := h.vendor.Server(t, "masa").TLS()
	h.tls = &tls.Config{Certificates: []tls.Certificate{server}, ClientAuth: tls.RequestClientCert, MinVersion: tls.VersionTLS12}
	h.signer = h.vendor.Issue(t, &x509.Certificate{}, testpki.NewKey(t))
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	base := "https://" + l.Addr().String() + brski.PathPrefix
	other := testpki.NewRoot(t, "Other Vendor")
	pledge, twin := h.vendor.IDevID(t, "P-1", base), other.IDevID(t, "P-1", base)
	free, blocked := h.vendor.IDevID(t, "N-1", base), h.vendor.IDevID(t, "B-1", base)
	foreign, former := h.vendor.IDevID(t, "F-1", base), h.vendor.IDevID(t, "O-1", base)
	elsewhere := testpki.NewRoot(t, "Another Domain").Certificate
	h.devices = []*device{
		{idevid: pledge.Certificate, serialIsShared: true}, {idevid: twin.Certificate, serialIsShared: true},
		{idevid: free.Certificate, nonceless: true, owner: h.domain.Certificate}, {idevid: blocked.Certificate, blocked: true},
		{idevid: foreign.Certificate, owner: elsewhere}, {idevid: former.Certificate, owner: elsewhere, former: h.domain.Certificate},
	}
	crl, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = crl.Close() })
	ca := h.domain.TLS()
	h.target = &brskimasa.Target{
		Registrar: whole(h.domain.Registrar(t, "registrar")), Pledge: whole(pledge), Anchors: h.vendor.Pool(), DomainCA: &ca,
		Nonceless: whole(free), Blocked: whole(blocked), Foreign: whole(foreign), Former: whole(former), Twin: whole(twin), Revocation: crl,
	}
	h.masa = &brski.MASAHandler{MASA: backend{h}, Formats: formats()}
	h.handler = h.masa
	for _, f := range faults {
		f(h)
	}
	s := httptest.NewUnstartedServer(h.handler)
	_ = s.Listener.Close()
	s.Listener = l
	if h.plain != "" {
		s.Listener = &sniffing{l, h.plain}
	}
	s.Config.ErrorLog = log.New(io.Discard, "", 0) // handshakes that a test lets fail
	s.TLS = h.tls
	s.StartTLS()
	t.Cleanup(s.Close)
	h.target.Site = wire.Site{URL: s.URL, Roots: h.vendor.Pool()}
	return h.target
}

// whole is an identity with all of its chain, root included.
func whole(id *testpki.Identity) *tls.Certificate {
	c := &tls.Certificate{Certificate: [][]byte{id.Certificate.Raw}, PrivateKey: id.Key, Leaf: id.Certificate}
	for _, ca := range id.Chain {
		c.Certificate = append(c.Certificate, ca.Raw)
	}
	return c
}

type backend struct{ *house }

func denied(status int, text string) error {
	return &est.Error{Status: status, Reason: "house", Message: text}
}

// RequestVoucher implements [brski.MASA].
func (h backend) RequestVoucher(ctx context.Context, r *brski.MASARequest) (*brski.Voucher, error) {
	q, err := h.understand(r)
	if err != nil {
		return nil, err
	}
	if err := h.decide(q); err != nil {
		return nil, err
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	if old := h.earlier(q); old != nil && (h.forgets == nil || !h.forgets(old, q)) {
		return &brski.Voucher{MediaType: old.mediaType, Raw: old.raw}, nil
	}
	v := q.content()
	if h.voucher != nil {
		h.voucher(v, q)
		q.assertion = v.Assertion
	}
	by := h.signer
	if h.cmsSigner != nil && q.answer.MediaType() == vouchercms.MediaType {
		by = h.cmsSigner
	}
	raw, err := q.answer.SignVoucher(ctx, v, &voucher.Signer{Key: by.Key, Certificate: by.Certificate, Chain: by.Chain})
	if err != nil {
		return nil, err
	}
	if h.signed != nil {
		raw = h.signed(q.answer, raw)
	}
	h.issued = append(h.issued, q.record(raw))
	return &brski.Voucher{MediaType: q.answer.MediaType(), Raw: raw}, nil
}

// earlier returns the voucher that was issued for the nonce.
func (h *house) earlier(q *asked) *record {
	for _, i := range h.issued {
		if i.device == q.device && i.nonce == q.request.Nonce && i.nonce != "" && i.domain.Equal(q.pinned) && i.mediaType == q.answer.MediaType() {
			return i
		}
	}
	return nil
}

// RequestAuditLog implements [brski.MASA].
func (h backend) RequestAuditLog(_ context.Context, r *brski.MASARequest) (*brski.AuditLog, error) {
	q, err := h.understand(r)
	if err != nil {
		return nil, err
	}
	l := h.log(q)
	if h.recordsAsking {
		h.mu.Lock()
		h.issued = append(h.issued, q.record(nil))
		h.mu.Unlock()
	}
	if l == nil {
		return nil, denied(404, "no log of this device for this domain")
	}
	if h.audit != nil {
		h.audit(l, q)
	}
	return l, nil
}

func (h *house) log(q *asked) *brski.AuditLog {
	h.mu.Lock()
	defer h.mu.Unlock()
	l, mine := &brski.AuditLog{Version: brski.AuditLogVersion, Events: []brski.AuditEvent{}}, h.ignores == "log owner"
	for _, i := range h.issued {
		if q.device == nil || i.device != q.device && !(h.ignores == "shared log" && q.device.serialIsShared && i.device.serialIsShared) {
			continue
		}
		mine = mine && h.ignores != "history" || i.domain.Equal(q.pinned)
		l.Events = append(l.Events, i.event())
	}
	if d := q.device; d != nil {
		mine = mine || d.owner != nil && d.owner.Equal(q.pinned) || d.former != nil && d.former.Equal(q.pinned) && h.ignores != "former"
	}
	if q.device == nil || !mine {
		return nil
	}
	return l
}

func keyOf(c *x509.Certificate) [32]byte { return sha256.Sum256(c.RawSubjectPublicKeyInfo) }
