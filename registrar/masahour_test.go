package registrar_test

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/briskest/briskest/brski"
	"github.com/briskest/briskest/brski/brskitest"
	"github.com/briskest/briskest/internal/testpki"
	"github.com/briskest/briskest/registrar"
	"github.com/briskest/briskest/voucher/vouchercms"
)

// BRSKI-8995-5.6-05: one registrar's request for the same bytes of the pledge.
// R27: the MASA is down for an hour, and comes back. The pledge has the same
// bytes all the time, and never an answer that is not true.
func TestAMASAThatIsDownForAnHourCostsAnHour(t *testing.T) {
	h := newHouse(t, func(h *house) { h.settings.Limits.MASAGiveUp = 2 * time.Hour })
	h.importSerials("SN-1")
	h.service.Close()
	synctest.Test(t, func(t *testing.T) {
		h.t = t
		h.start()
		h.masa.set(func(m *fakeMASA) { m.fail = brski.ErrMASAUnavailable })
		a := h.pledge(h.idevidCA.IDevID(t, "SN-1", ""), nil)
		for range 60 {
			if e := a.refusedAs(registrar.ReasonMASA, 202); e.RetryAfter <= 0 || e.RetryAfter > time.Minute {
				t.Errorf("Retry-After = %s", e.RetryAfter)
			}
			time.Sleep(time.Minute) //nolint:forbidigo // in a synctest bubble
			h.advance(time.Minute)
		}
		// 10 s between tries, growing to 80 and a quarter more at most.
		if n := h.masa.count(); n < 36 || n > 60 {
			t.Errorf("the MASA was asked %d times in an hour", n)
		}
		h.masa.mu.Lock()
		for _, raw := range h.masa.requests {
			if string(raw) != string(h.masa.requests[0]) {
				t.Error("the MASA was asked with two different requests")
			}
		}
		h.masa.fail = nil
		h.masa.mu.Unlock()
		time.Sleep(100 * time.Second) //nolint:forbidigo // in a synctest bubble
		h.advance(100 * time.Second)
		if _, err := a.send(); err != nil {
			t.Errorf("the MASA is up again: %v", err)
		}
		h.service.Close()
	})
}

// RFC 9110, Section 10.2.3.
func TestAMASAThatWantsToBeLeftAloneIs(t *testing.T) {
	h := newHouse(t, nil)
	h.importSerials("SN-1")
	h.service.Close()
	synctest.Test(t, func(t *testing.T) {
		h.t = t
		h.start()
		h.masa.set(func(m *fakeMASA) {
			m.fail = fmt.Errorf("%w: %w", brski.ErrMASAUnavailable, &brski.MASAError{Status: 503, RetryAfter: 5 * time.Minute})
		})
		h.pledge(h.idevidCA.IDevID(t, "SN-1", ""), nil).refusedAs(registrar.ReasonMASA, 202)
		time.Sleep(4 * time.Minute) //nolint:forbidigo // in a synctest bubble
		if n := h.masa.count(); n != 1 {
			t.Errorf("asked %d times within the time that the MASA named", n)
		}
		time.Sleep(3 * time.Minute) //nolint:forbidigo // in a synctest bubble
		if n := h.masa.count(); n != 2 {
			t.Errorf("asked %d times after it, want 2", n)
		}
		h.service.Close()
	})
}

// R29, N11: each status of a MASA and each way to break off, over the wire of
// both sides: the pledge gets a truthful status with a text, and never 200.
func TestEachFailureOfAMASAIsTruthfulToThePledge(t *testing.T) {
	status := func(code int, text string) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) { http.Error(w, text, code) }
	}
	body := func(text string) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", vouchercms.MediaType)
			_, _ = w.Write([]byte(text))
		}
	}
	for what, c := range map[string]struct {
		masa http.HandlerFunc
		want int
	}{
		"400": {status(400, "bad"), 502}, "401": {status(401, "who"), 502}, "403": {status(403, "no"), 403}, "404": {status(404, "unknown"), 404},
		"406": {status(406, "cannot"), 406}, "415": {status(415, "type"), 502}, "302": {status(302, ""), 502}, "204": {status(204, ""), 502},
		"429": {status(429, "slower"), 202}, "500": {status(500, "oops"), 202}, "503": {status(503, "busy"), 202},
		"200 with nothing": {body(""), 502}, "nonsense": {body("nonsense"), 502}, "2 MB": {body(strings.Repeat("x", 2<<20)), 502},
		"cut": {func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", vouchercms.MediaType)
			w.Header().Set("Content-Length", "1000")
			_, _ = w.Write([]byte("0"))
			panic(http.ErrAbortHandler)
		}, 202},
		"cut at once": {func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }, 202},
	} {
		t.Run(what, func(t *testing.T) {
			masaRoot := testpki.NewRoot(t, "masa root")
			client := &brski.MASAClient{URL: brskitest.Serve(t, masaRoot.Server(t, "masa"), c.masa) + brski.PathPrefix, Roots: masaRoot.Pool()}
			t.Cleanup(client.CloseIdleConnections)
			h := newHouse(t, func(h *house) {
				h.settings.DialMASA = func(*registrar.Manufacturer, string) (brski.MASA, error) { return client, nil }
			})
			h.importSerials("SN-1")
			got, text := h.postRequest(h.serve(), h.pledge(h.idevidCA.IDevID(t, "SN-1", ""), nil))
			if got != c.want || (text == "") != (c.want == 202) {
				t.Errorf("the pledge gets %d %q, want %d and a text", got, text, c.want)
			}
		})
	}
}
