package pledge_test

import (
	"bytes"
	"context"
	"encoding/base64"
	"net"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/briskest/briskest/brski/brskitest"
	"github.com/briskest/briskest/voucher"
	"github.com/briskest/briskest/voucher/vouchercms"
)

// answerPayload makes the registrar answer with a voucher of that JSON, signed
// as the MASA does. NONCE is the request's, PIN the registrar's certificate.
func answerPayload(w *brskitest.World, payload string) {
	signer := w.Vendor.Client(w.T, "masa")
	answerVoucher(w, func(rw http.ResponseWriter, r *http.Request) {
		body := new(bytes.Buffer)
		_, _ = body.ReadFrom(r.Body)
		request, _ := openRequest(w.T, body.Bytes())
		text := strings.NewReplacer("NONCE", request.Nonce,
			"PIN", base64.StdEncoding.EncodeToString(w.Identity.Certificate.Raw)).Replace(payload)
		raw, err := vouchercms.Format{}.SignPayload(r.Context(), []byte(text), time.Time{},
			&voucher.Signer{Key: signer.Key, Certificate: signer.Certificate})
		if err != nil {
			w.T.Errorf("SignPayload: %v", err)
		}
		send(vouchercms.MediaType+"; charset=utf-8", raw)(rw, r) // F3 of minerva's fountain
	})
}

// countConnections counts what the device opens and closes from now on.
func (d *device) countConnections() func() (opened, closed int) {
	var mu sync.Mutex
	var opened, closed int
	d.config.Dial = func(ctx context.Context, network, address string) (net.Conn, error) {
		conn, err := (&net.Dialer{}).DialContext(ctx, network, address)
		if err != nil {
			return nil, err
		}
		mu.Lock()
		defer mu.Unlock()
		opened++
		var once sync.Once
		return &closing{conn, func() {
			once.Do(func() {
				mu.Lock()
				defer mu.Unlock()
				closed++
			})
		}}, nil
	}
	return func() (int, int) {
		mu.Lock()
		defer mu.Unlock()
		return opened, closed
	}
}

// closing tells when it is closed.
type closing struct {
	net.Conn
	closed func()
}

func (c *closing) Close() error {
	c.closed()
	return c.Conn.Close()
}
