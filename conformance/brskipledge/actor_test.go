package brskipledge_test

import (
	"bytes"
	"context"
	"crypto"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/briskest/briskest/brski"
	"github.com/briskest/briskest/conformance/brskipledge"
	"github.com/briskest/briskest/conformance/unkind"
	"github.com/briskest/briskest/est"
	"github.com/briskest/briskest/voucher"
	"github.com/briskest/briskest/voucher/vouchercms"
)

// actor is a pledge that is small enough to be given any fault. It has all
// it needs to pass every check; the zero value of each field is no fault.
type actor struct {
	t testing.TB
	// leavesOut names a check that is not made, refuses one that fails although
	// all is right.
	leavesOut, refuses string
	does               string                                        // what it does that it should not
	says               func(leaves map[string]any)                   // changes the voucher-request
	signs              func(idevid tls.Certificate) tls.Certificate  // signs it with another one
	asks               func(*http.Request)                           // changes requests
	hears              func(*http.Response) error                    // takes answers for failures
	sniffs             func([]byte) error                            // reads along
	tells              func(op brski.Operation, told map[string]any) // changes telemetry
	connects           func(conn int, config *tls.Config)            // changes connections
}

type fault = func(*actor)

// small returns a target that is an actor with faults.
func small(t testing.TB, faults ...fault) *brskipledge.Target {
	t.Helper()
	a := &actor{t: t}
	for _, f := range faults {
		f(a)
	}
	return target(t, a.run)
}

// check is what all that is checked goes through.
func (a *actor) check(name string, err error) error {
	switch {
	case err == nil && a.refuses == name:
		return fmt.Errorf("%s is refused", name)
	case err != nil && a.leavesOut == name:
		return nil
	case err != nil:
		return fmt.Errorf("%s: %w", name, err)
	default:
		return nil
	}
}

// visit is one start.
type visit struct {
	*actor
	ctx     context.Context
	idevid  tls.Certificate
	anchors *x509.CertPool
	base    string
	serial  string
	nonce   string
	raw     []byte // the voucher-request

	shows  *tls.Certificate // in handshakes
	conns  int
	ready  net.Conn
	server []*x509.Certificate // of the first connection
	pin    *pin                // nil while provisional
	http   *http.Client
}

func (a *actor) run(ctx context.Context, p *unkind.Play) error {
	idevid, anchors := device(a.t, p)
	serial, err := voucher.SerialNumber(idevid.Leaf)
	if err != nil {
		return err
	}
	v := &visit{actor: a, ctx: ctx, idevid: idevid, anchors: anchors, base: p.Environment["BRISKEST_URL"], serial: serial}
	defer func() { v.http.CloseIdleConnections() }()
	if a.does == "nothing" {
		return errors.Join(errors.New("no, thanks"), v.connect())
	}
	answer, err := v.seek()
	if err != nil || answer == nil {
		return err
	}
	if err := v.take(answer); err != nil {
		if a.does != "keeps quiet" {
			_ = v.tell(brski.OpVoucherStatus, err)
		}
		return err
	}
	if a.does != "tells late" {
		if err := v.tell(brski.OpVoucherStatus, nil); err != nil {
			return err
		}
	}
	return v.enroll()
}

// answered is an answer to a voucher-request.
type answered struct {
	status int
	header http.Header
	body   []byte
	err    error // of reading it
}

// seek asks for a voucher, also where that is redirected to.
func (v *visit) seek() (*answered, error) {
	for hop := 0; ; hop++ {
		if err := v.connect(); err != nil {
			return nil, err
		}
		if v.leavesOut == "handshake" && v.ready == nil {
			return nil, nil
		}
		if hop == 0 || v.does != "stale requests" {
			if err := v.write(); err != nil {
				return nil, err
			}
		}
		a, err := v.ask()
		if err != nil || a.status != http.StatusTemporaryRedirect {
			return a, err
		}
		if err := v.redirected(a, hop); err != nil {
			return nil, err
		}
		v.http.CloseIdleConnections()
	}
}

func (v *visit) redirected(a *answered, hop int) error {
	base, err := url.Parse(v.base)
	if err != nil {
		return err
	}
	to, err := base.Parse(a.header.Get("Location"))
	if err != nil {
		return err
	}
	most := 1
	switch {
	case v.does == "two redirects":
		most = 2
	case v.does == "goes in circles", v.does == "goes to itself" && to.Host == base.Host:
		most = 30
	case to.Host == base.Host:
		most = 0
	}
	if hop >= most {
		return errors.New("too many redirects")
	}
	v.base = "https://" + to.Host
	return nil
}

// write makes the voucher-request.
func (v *visit) write() error {
	if v.nonce = voucher.NewNonce(); v.does == "one nonce for all" {
		v.nonce = "MDEyMzQ1Njc4OWFiY2RlZg=="
	}
	leaves := map[string]any{
		"assertion": "proximity", "created-on": time.Now().UTC().Format(time.RFC3339), "serial-number": v.serial,
		"nonce": v.nonce, "proximity-registrar-cert": v.server[0].Raw,
	}
	if v.says != nil {
		v.says(leaves)
	}
	payload, err := json.Marshal(map[string]any{"ietf-voucher-request:voucher": leaves})
	if err != nil {
		return err
	}
	signs := v.idevid
	if v.signs != nil {
		signs = v.signs(signs)
	}
	key, _ := signs.PrivateKey.(crypto.Signer)
	v.raw, err = vouchercms.Format{}.SignPayload(v.ctx, payload, time.Now(), &voucher.Signer{Key: key, Certificate: signs.Leaf})
	return err
}

// ask posts it, again and again where it has to.
func (v *visit) ask() (*answered, error) {
	for n := 1; ; n++ {
		a, err := v.post(brski.OpRequestVoucher, vouchercms.MediaType, v.raw)
		if err != nil && v.does == "insists on an answer" && n < 10 {
			continue
		}
		if err != nil {
			return nil, err
		}
		again, wait := a.status == http.StatusAccepted, time.Duration(0)
		if seconds, err := strconv.Atoi(a.header.Get("Retry-After")); err == nil {
			wait = time.Duration(seconds) * time.Second
		}
		switch v.does {
		case "has no patience with 202":
			wait = 0
		case "has no patience with 503":
			if again = again || a.status == http.StatusServiceUnavailable; a.status == http.StatusServiceUnavailable {
				wait = 0
			}
		case "insists":
			again = again || a.status == http.StatusInternalServerError && n < 10
		}
		switch {
		case !again:
			return a, nil
		case v.does == "signs anew":
			if err := v.write(); err != nil {
				return nil, err
			}
		case v.does == "is eager":
			_, _ = v.est().CACerts(v.ctx) // whatever it is
		}
		if err := sleep(v.ctx, wait); err != nil {
			return nil, err
		}
	}
}

func sleep(ctx context.Context, d time.Duration) error {
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(d):
		return nil
	}
}

func (v *visit) post(op brski.Operation, mediaType string, body []byte) (*answered, error) {
	r, err := http.NewRequestWithContext(v.ctx, http.MethodPost, v.base+brski.PathPrefix+"/"+string(op), bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	r.Header.Set("Content-Type", mediaType)
	r.Header.Set("Accept", mediaType)
	response, err := v.http.Do(r)
	if err != nil {
		return nil, err
	}
	defer response.Body.Close()
	a := &answered{status: response.StatusCode, header: response.Header}
	a.body, a.err = io.ReadAll(response.Body)
	return a, nil
}

// tell posts telemetry; a nil error is success.
func (v *visit) tell(op brski.Operation, why error) error {
	told := map[string]any{"version": 1, "status": why == nil}
	if why != nil {
		name, _, _ := strings.Cut(why.Error(), ":")
		told["reason"] = name
		if v.does == "talks" {
			told["reason"] = fmt.Sprintf("device %s, nonce %s: %v", v.serial, v.nonce, why)
		}
	}
	if v.tells != nil {
		v.tells(op, told)
	}
	body, err := json.Marshal(told)
	if err != nil {
		return err
	}
	a, err := v.post(op, "application/json", body)
	if err != nil {
		return err
	}
	if v.refuses == string(op) && a.status == http.StatusNotFound {
		return errors.New("no telemetry, no enrollment")
	}
	return nil
}

func (v *visit) est() *est.Client { return &est.Client{URL: v.base + est.PathPrefix, HTTP: v.http} }
