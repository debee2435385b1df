package brskimasa

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/http"
	"strconv"
	"sync"
	"time"

	"github.com/briskest/briskest/brski"
	"github.com/briskest/briskest/conformance"
	"github.com/briskest/briskest/conformance/wire"
	"github.com/briskest/briskest/voucher"
	"github.com/briskest/briskest/voucher/vouchercms"
)

// Target is the MASA under test, the registrar that asks it and the device that
// it is asked about. It is used for one run. What is optional is nil where the
// tester has none, and the checks that need it skip.
type Target struct {
	wire.Site
	Path string // where the operations are; empty for brski.PathPrefix
	// Registrar is a registrar with id-kp-cmcRA. The chain ends with the CA that
	// the domain is known by.
	Registrar *tls.Certificate
	// Pledge is a device of the MASA's that nobody else owns.
	Pledge *tls.Certificate
	// Anchors are what the pledge verifies vouchers by.
	Anchors *x509.CertPool

	// DomainCA is the CA that issued Registrar, to make other registrars of the domain.
	DomainCA *tls.Certificate
	// Nonceless is a device that Registrar gets vouchers without a nonce for.
	Nonceless *tls.Certificate
	// Blocked is a device that nobody gets vouchers for.
	Blocked *tls.Certificate
	// Foreign is a device that another domain is the owner of.
	Foreign *tls.Certificate
	// Former is a device that the registrar's domain owned, and owns no more.
	Former *tls.Certificate
	// Twin is a device with the serial number of Pledge, of another issuer.
	Twin *tls.Certificate
	// Revocation is where the MASA fetches the suite's revocation list from; nil for nowhere.
	Revocation net.Listener

	once  sync.Once
	first *exchange // the first good one
	err   error     // why there is none

	logged sync.Once
	latest *document // the log with the first good one in it
	logErr error

	offers map[string]*exchange // the first of each format; checks run one after the other

	strange  sync.Once
	stranger *domain // nobody knows it
	refusal  error   // why it gets no voucher
}

// asking is one request of a registrar, and what is wrong with it.
type asking struct {
	operation    brski.Operation // empty for requestvoucher
	pledge       *tls.Certificate
	registrar    *tls.Certificate // nil for the target's
	format       voucher.Format   // nil for CMS
	nonce        string           // of both requests; empty for a new one
	none         bool             // no nonce in either
	pledgeSays   func(*voucher.Request)
	pledgeLeaves func(map[string]any) // changes the pledge's JSON before it is signed
	pledgeSigner *tls.Certificate     // in place of the pledge
	prior        func([]byte) []byte  // changes the pledge's artifact; one that returns nil leaves it out
	content      func(*voucher.Request)
	leaves       func(map[string]any) // changes the registrar's JSON
	signer       *tls.Certificate     // whose key signs for the registrar's certificate
	body         func([]byte) []byte  // changes what is sent
	edit         func(*wire.Request)  // changes how it is sent
	options      wire.Options
	shows        *tls.Certificate // TLS client certificate; nil for the registrar's
	nobody       bool             // no TLS client certificate
}

// exchange is what came of it.
type exchange struct {
	asking
	request, own *voucher.Request // the registrar's, the pledge's
	sent         []byte
	answer       *wire.Answer
	voucher      *voucher.Voucher // nil where the answer is none that opens
	artifact     *voucher.Artifact
	openErr      error // why it does not open
	state        tls.ConnectionState
}

func (a *asking) formatOf() voucher.Format {
	if a.format == nil {
		return vouchercms.Format{}
	}
	return a.format
}

func (t *Target) pathOf(op brski.Operation) string {
	base := t.Path
	if base == "" {
		base = brski.PathPrefix
	}
	return base + "/" + string(op)
}

// ask sends a request, and once more where the MASA puts it off for a moment.
func (t *Target) ask(ctx context.Context, a asking) (*exchange, error) {
	x, err := t.prepare(ctx, a)
	if err != nil {
		return nil, err
	}
	return x, t.send(ctx, x)
}

// prepare makes both requests.
func (t *Target) prepare(ctx context.Context, a asking) (*exchange, error) {
	if a.operation == "" {
		a.operation = brski.OpRequestVoucher
	}
	if a.pledge == nil {
		a.pledge = t.Pledge
	}
	if a.registrar == nil {
		a.registrar = t.Registrar
	}
	if a.nonce == "" && !a.none {
		a.nonce = voucher.NewNonce()
	}
	x := &exchange{asking: a}
	return x, x.sign(ctx)
}

// tries is how often a request is sent that is put off.
const tries = 6

func (t *Target) send(ctx context.Context, x *exchange) error {
	for n := 1; ; n++ {
		if err := t.sendOnce(ctx, x); err != nil {
			return err
		}
		if x.answer.Status != http.StatusTooManyRequests && x.answer.Status != http.StatusServiceUnavailable {
			break
		}
		again, err := pause(ctx, x.answer)
		switch {
		case err != nil:
			return err
		case again && n < tries:
			continue
		case x.answer.Status == http.StatusTooManyRequests:
			return conformance.Skip("%v: ask for less at once with --only, or have the MASA take more", x.answer)
		}
		break
	}
	if x.operation == brski.OpRequestVoucher && x.answer.Status == http.StatusOK {
		x.voucher, x.artifact, x.openErr = x.formatOf().OpenVoucher(x.answer.Body)
		x.leave(ctx)
	}
	return nil
}

// leave names what is in the audit-log from now on.
func (x *exchange) leave(ctx context.Context) {
	nonce := x.request.Nonce
	if x.voucher != nil {
		nonce = x.voucher.Nonce
	}
	conformance.Leave(ctx, "in the audit-log of %q, a voucher with nonce %q for the registrar %q", x.request.SerialNumber, nonce, leafOf(x.registrar).Subject.String())
}

func (t *Target) sendOnce(ctx context.Context, x *exchange) error {
	c, err := t.Dial(ctx, x.connection())
	if err != nil {
		return err
	}
	defer c.Close()
	x.state = c.State()
	return x.do(ctx, t, c)
}

func (x *exchange) connection() *wire.Options {
	o := x.options
	switch {
	case x.nobody:
	case x.shows != nil:
		o.Certificate = x.shows
	default:
		o.Certificate = x.registrar
	}
	return &o
}

func (x *exchange) do(ctx context.Context, t *Target, c *wire.Conn) error {
	mediaType := x.formatOf().MediaType()
	accept := mediaType
	if x.operation == brski.OpRequestAuditLog {
		accept = "application/json"
	}
	r := wire.Request{
		Method: http.MethodPost, Path: t.pathOf(x.operation), Body: x.sent,
		Header: [][2]string{{"Content-Type", mediaType}, {"Accept", accept}},
	}
	if x.edit != nil {
		x.edit(&r)
	}
	var err error
	x.answer, err = c.Do(ctx, &r)
	return err
}

// pause waits as long as the answer asks for, up to five seconds; false for longer.
func pause(ctx context.Context, a *wire.Answer) (bool, error) {
	seconds, err := strconv.Atoi(a.Header.Get("Retry-After"))
	if err != nil || seconds > 5 {
		return false, nil
	}
	timer := time.NewTimer(time.Duration(max(seconds, 1)) * time.Second)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true, nil
	case <-ctx.Done():
		return false, ctx.Err()
	}
}

// good asks once and for all whether a good voucher-request gets a voucher.
func (t *Target) good(ctx context.Context) (*exchange, error) {
	t.once.Do(func() {
		x, err := t.ask(context.WithoutCancel(ctx), asking{})
		switch {
		case err != nil:
			t.err = err
		case x.answer.Status != http.StatusOK:
			t.err = fmt.Errorf("%v to a good voucher-request, want 200", x.answer)
		default:
			t.first = x
		}
	})
	if t.err != nil {
		return nil, conformance.Skip("%v%s", t.err, seeFirst)
	}
	return t.first, nil
}

const seeFirst = " (see RFC8995-5.6-MASA-1)"

// read is the good exchange with a voucher that opens.
func (t *Target) read(ctx context.Context) (*exchange, error) {
	x, err := t.good(ctx)
	if err == nil && x.voucher == nil {
		err = conformance.Skip("the voucher does not open (see RFC8366-5.4-MASA-1): %v", x.openErr)
	}
	return x, err
}

// domain is a CA and registrars below it.
type domain struct {
	ca        *tls.Certificate
	registrar *tls.Certificate
}

// strangers returns a domain that nobody knows, and skips where it gets no voucher.
func (t *Target) strangers(ctx context.Context) (*domain, error) {
	if _, err := t.good(ctx); err != nil {
		return nil, err
	}
	t.strange.Do(func() {
		if t.stranger, t.refusal = newDomain("strangers", nil); t.refusal != nil {
			return
		}
		x, err := t.ask(context.WithoutCancel(ctx), asking{registrar: t.stranger.registrar})
		if err == nil && x.answer.Status != http.StatusOK {
			err = fmt.Errorf("%v to a registrar of a domain that nobody knows", x.answer)
		}
		t.refusal = err
	})
	if t.refusal != nil {
		return nil, conformance.Skip("%v: this check needs a MASA that takes it, or --domain-ca", t.refusal)
	}
	return t.stranger, nil
}

// registrars returns a domain that registrars can be made of: the target's own
// where its CA is here, else one that nobody knows. It has been seen to get a voucher.
func (t *Target) registrars(ctx context.Context) (*domain, error) {
	if t.DomainCA == nil {
		return t.strangers(ctx)
	}
	if _, err := t.good(ctx); err != nil {
		return nil, err
	}
	return &domain{ca: t.DomainCA, registrar: t.Registrar}, nil
}

// Reachable completes a handshake.
func (t *Target) Reachable(ctx context.Context) error { return t.Site.Reachable(ctx) }

// Check reports what is missing, before anything is sent.
func (t *Target) Check() error {
	if err := t.Site.Check(); err != nil {
		return err
	}
	if t.Registrar == nil || t.Pledge == nil || t.Anchors == nil {
		return errors.New("a registrar, a pledge and the anchor of vouchers are needed")
	}
	return nil
}

func leafOf(c *tls.Certificate) *x509.Certificate {
	leaf, err := x509.ParseCertificate(c.Certificate[0])
	if err != nil {
		return new(x509.Certificate)
	}
	return leaf
}
