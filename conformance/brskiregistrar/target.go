package brskiregistrar

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"github.com/briskest/briskest/conformance/forge"
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

const (
	pathRequestVoucher = brski.PathPrefix + "/" + string(brski.OpRequestVoucher)
	pathVoucherStatus  = brski.PathPrefix + "/" + string(brski.OpVoucherStatus)
	pathEnrollStatus   = brski.PathPrefix + "/" + string(brski.OpEnrollStatus)
)

// Target is the registrar under test, the pledges that ask it and the MASA
// behind it. It is used for one run.
type Target struct {
	wire.Site // nobody knows whose the server's certificate is before there is a voucher: Roots do not count
	// Pledge is a device that the registrar lets join. Its IDevID leads to MASA.
	Pledge *tls.Certificate
	// Manufacturer is the CA that issued Pledge, to make other devices of the same
	// manufacturer that the registrar lets join too; nil for none, and checks that need one skip.
	Manufacturer *tls.Certificate
	MASA         *MASA
	once         sync.Once
	first        *exchange // the first good one
	tried        *exchange // the first one, good or not
	err          error     // why there is no good one
}

// asking is one voucher-request, and what is wrong with it.
type asking struct {
	pledge  *tls.Certificate             // nil for the target's
	format  voucher.Format               // nil for CMS
	content func(*voucher.Request)       // changes what is asked; nil for nothing
	signer  *tls.Certificate             // nil for the pledge
	body    func([]byte) []byte          // changes what is sent; nil for nothing
	reform  func([]byte) ([]byte, error) // likewise, where that may not succeed
	edit    func(*wire.Request)          // changes how it is sent; nil for nothing
	masa    answering                    // nil for a MASA that issues
	options wire.Options                 // of the connection
	site    *wire.Site                   // where the registrar is reached; nil for the target's
	nobody  bool                         // sends no certificate
	once    bool                         // does not come again after a 202
	again   func(context.Context, *wire.Conn, *exchange) error
}

// exchange is what came of it.
type exchange struct {
	asking
	request *voucher.Request
	sent    []byte
	answer  *wire.Answer
	seen    []*arrival // by the MASA
	state   tls.ConnectionState
	ended   bool // the registrar closed the connection soon after a refusal
}

// formatOf is CMS where nothing else is said.
func (a *asking) formatOf() voucher.Format {
	if a.format == nil {
		return vouchercms.Format{}
	}
	return a.format
}

// ask sends a voucher-request, and waits where the registrar puts off its answer.
func (t *Target) ask(ctx context.Context, a asking) (*exchange, error) {
	if a.pledge == nil {
		a.pledge = t.Pledge
	}
	a.options.Untrusted = true // RFC 8995, Section 5.1: provisionally
	if !a.nobody {
		a.options.Certificate = a.pledge
	}
	if a.site == nil {
		a.site = &t.Site
	}
	t.MASA.expect(a.masa)
	c, err := a.site.Dial(ctx, &a.options)
	if err != nil {
		return nil, err
	}
	defer c.Close()
	x := &exchange{asking: a, state: c.State()}
	if err := x.sign(ctx); err != nil {
		return nil, err
	}
	r := x.posted()
	if x.answer, err = c.Do(ctx, &r); err != nil {
		return nil, err
	}
	for range 5 {
		if a.once || x.answer.Status != http.StatusAccepted {
			break
		}
		if err := pause(ctx, x.answer); err != nil {
			return nil, err
		}
		options := a.options
		if x.answer, err = a.site.Do(ctx, &options, &r); err != nil {
			return nil, err
		}
	}
	x.seen = t.MASA.arrivals()
	if a.again != nil {
		err = a.again(ctx, c, x)
		x.seen = t.MASA.arrivals()
	}
	x.left(ctx)
	return x, err
}

// left names what the registrar has of the device now.
func (x *exchange) left(ctx context.Context) {
	device := leafOf(x.pledge).Subject
	switch {
	case x.nobody:
	case x.answer.Status == http.StatusOK:
		conformance.Leave(ctx, "a voucher for device %q", device)
	case x.answer.Status == http.StatusAccepted:
		conformance.Leave(ctx, "a voucher-request of device %q that waits", device)
	case len(x.requested()) > 0:
		conformance.Leave(ctx, "device %q, which got no voucher from the MASA", device)
	default:
		conformance.Leave(ctx, "a refused voucher-request of device %q, where refusals are kept", device)
	}
}

// pause waits as long as a 202 asks for, at most two seconds.
func pause(ctx context.Context, a *wire.Answer) error {
	seconds, err := strconv.Atoi(a.Header.Get("Retry-After"))
	if err != nil || seconds < 1 {
		seconds = 1
	}
	timer := time.NewTimer(time.Duration(min(seconds, 2)) * time.Second)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// sign makes the voucher-request (RFC 8995, Section 5.2).
func (x *exchange) sign(ctx context.Context) error {
	serial, err := voucher.SerialNumber(leafOf(x.pledge))
	if err != nil && x.content == nil {
		serial = "none"
	}
	x.request = &voucher.Request{
		Assertion: voucher.Proximity, CreatedOn: time.Now().UTC().Truncate(time.Second), SerialNumber: serial, Nonce: voucher.NewNonce(),
		ProximityRegistrarCert: x.state.PeerCertificates[0].Raw,
	}
	if x.content != nil {
		x.content(x.request)
	}
	signer := x.signer
	if signer == nil {
		signer = x.pledge
	}
	x.sent, err = x.formatOf().SignRequest(ctx, x.request, forge.Signer(signer))
	if err != nil {
		// What may not be said is said all the same.
		x.sent, err = forgeRequest(x.request, signer)
	}
	if err == nil && x.reform != nil {
		x.sent, err = x.reform(x.sent)
	}
	if err == nil && x.body != nil {
		x.sent = x.body(x.sent)
	}
	return err
}

// posted is the request as it is sent.
func (x *exchange) posted() wire.Request {
	mediaType := x.formatOf().MediaType()
	r := wire.Request{
		Method: http.MethodPost, Path: pathRequestVoucher, Body: x.sent,
		Header: [][2]string{{"Content-Type", mediaType}, {"Accept", mediaType}},
	}
	if x.edit != nil {
		x.edit(&r)
	}
	return r
}

// requested returns the voucher-requests that reached the MASA.
func (x *exchange) requested() []*arrival { return operation(x.seen, brski.OpRequestVoucher) }

// good asks once and for all whether a good voucher-request gets a voucher.
func (t *Target) good(ctx context.Context) (*exchange, error) {
	t.once.Do(func() {
		x, err := t.ask(context.WithoutCancel(ctx), asking{})
		t.tried = x
		switch {
		case err != nil:
			t.err = err
		case x.answer.Status != http.StatusOK:
			t.err = fmt.Errorf("%v to a good voucher-request, want 200", x.answer)
		case len(x.requested()) == 0:
			t.err = errors.New("a good voucher-request was answered and the MASA was not asked: does the IDevID's MASA URL lead here?")
		default:
			t.first = x
		}
	})
	if t.err != nil {
		return nil, conformance.Skip("%v (see RFC8995-5.2-REG-1)", t.err)
	}
	return t.first, nil
}

// attempt is the first exchange, whether or not a voucher came of it, as long as the MASA was asked.
func (t *Target) attempt(ctx context.Context) (*exchange, error) {
	if _, err := t.good(ctx); err != nil && (t.tried == nil || len(t.tried.requested()) == 0) {
		return nil, err
	}
	return t.tried, nil
}

// need skips a check where there is no good exchange to compare with.
func (t *Target) need(ctx context.Context) error {
	_, err := t.good(ctx)
	return err
}

// Reachable completes a handshake.
func (t *Target) Reachable(ctx context.Context) error { return t.Site.Reachable(ctx) }

func leafOf(c *tls.Certificate) *x509.Certificate {
	leaf, err := x509.ParseCertificate(c.Certificate[0])
	if err != nil {
		return new(x509.Certificate)
	}
	return leaf
}
