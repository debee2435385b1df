package pledge_test

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/briskest/briskest/brski"
	"github.com/briskest/briskest/brski/brskitest"
	"github.com/briskest/briskest/brski/pledge"
	"github.com/briskest/briskest/est"
	"github.com/briskest/briskest/internal/testpki"
	"github.com/briskest/briskest/voucher/vouchercms"
)

// found is a Discoverer of what is put into it; when it is closed it has nothing
// more, which it says whenever it is asked.
type found chan string

func (f found) Next(ctx context.Context) (pledge.Candidate, error) {
	select {
	case url, open := <-f:
		if !open {
			return pledge.Candidate{}, io.EOF
		}
		return pledge.Candidate{URL: url}, nil
	case <-ctx.Done():
		return pledge.Candidate{}, ctx.Err()
	}
}

// foundAll returns a Discoverer of urls.
func foundAll(urls ...string) found {
	f := make(found, len(urls))
	for _, url := range urls {
		f <- url
	}
	close(f)
	return f
}

const nobody = "https://127.0.0.1:1"

var refusal = &est.Error{Status: http.StatusForbidden, Reason: "no", Message: "No."}

// RFC 8995, Section 4.1: whatever is wrong with one registrar, the device gets in by another.
func TestRegistrarsThatDoNotHelpArePassedOver(t *testing.T) {
	for name, spoil := range map[string]func(testing.TB, *brskitest.World){
		"refuses": func(_ testing.TB, w *brskitest.World) { w.Registrar.Refuse(refusal) },
		"fails":   func(_ testing.TB, w *brskitest.World) { w.Registrar.Refuse(errors.New("broken")) },
		"2 MB": func(_ testing.TB, w *brskitest.World) {
			answerVoucher(w, send(vouchercms.MediaType, make([]byte, 2<<20)))
		},
		"empty 200":   func(_ testing.TB, w *brskitest.World) { answerVoucher(w, send(vouchercms.MediaType, nil)) },
		"truncated":   truncated,
		"one bit":     flipped,
		"the request": echo,
		"redirects":   func(_ testing.TB, w *brskitest.World) { redirect(w, http.StatusTemporaryRedirect, nobody) },
		"301":         func(_ testing.TB, w *brskitest.World) { redirect(w, http.StatusMovedPermanently, nobody) },
		"breaks off": func(_ testing.TB, w *brskitest.World) {
			answerVoucher(w, func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) })
		},
		"an impostor's certificate": func(t testing.TB, w *brskitest.World) {
			h := &brski.RegistrarHandler{Backend: blind{w.Registrar, w.Identity.Certificate.Raw}, Formats: brskitest.Formats()}
			w.URL = brskitest.Serve(t, testpki.NewRoot(t, "middle").Registrar(t, "registrar"), h)
		},
		"is not there": func(_ testing.TB, w *brskitest.World) { w.URL = nobody },
	} {
		t.Run(name, func(t *testing.T) {
			good := brskitest.New(t)
			bad := good.AnotherDomain(t, "Bad")
			spoil(t, bad)
			d := newDevice(t, good, func(c *pledge.Config) { c.RegistrarURL, c.Registrars = bad.URL, []string{bad.URL, good.URL} })
			d.checkWhole(d.onboard())
			if s := d.status(); s.Registrar != good.URL || len(s.Attempts) != 0 {
				t.Errorf("Status = registrar %q with %d attempts, want %q and none", s.Registrar, len(s.Attempts), good.URL)
			}
			for name := range d.memory.files {
				if strings.HasPrefix(name, "request-") {
					t.Errorf("%s was left behind", name)
				}
			}
		})
	}
}

// The error names all of them, and is of the most hopeful class.
func TestErrorOfSeveralRegistrarsTellsOfEach(t *testing.T) {
	w := brskitest.New(t)
	refuses, waits := w.AnotherDomain(t, "Refuses"), w.AnotherDomain(t, "Waits")
	refuses.Registrar.Refuse(refusal)
	waits.Registrar.StayPending(1)
	d := newDevice(t, w, func(c *pledge.Config) {
		c.RegistrarURL, c.Registrars, c.NoWait = refuses.URL, []string{nobody, waits.URL}, true
	})
	e := d.onboardFails(pledge.ReasonPending, pledge.ErrPending)
	for _, reason := range []string{pledge.ReasonRegistrarRefused, pledge.ReasonUnreachable, pledge.ReasonPending} {
		if !strings.Contains(e.Error(), reason) {
			t.Errorf("error %q does not tell of %s", e, reason)
		}
	}
}

// BRSKI-8995-4.1-04: a nonce of its own for each registrar.
func TestRegistrarsAskedSideBySideGetDifferentNonces(t *testing.T) {
	first := brskitest.New(t)
	second := first.AnotherDomain(t, "Second")
	first.Intercept(func(_ http.ResponseWriter, _ *http.Request) bool {
		if len(second.Registrar.Requests()) == 0 {
			first.Registrar.StayPending(1)
		}
		return false
	})
	second.Registrar.Refuse(refusal)
	d := newDevice(t, first, func(c *pledge.Config) { c.Registrars = []string{second.URL} })
	d.onboard()
	sent := [][]byte{first.Registrar.Requests()[0], second.Registrar.Requests()[0]}
	a, _ := openRequest(t, sent[0])
	b, _ := openRequest(t, sent[1])
	if a.Nonce == b.Nonce {
		t.Errorf("both registrars got the nonce %q", a.Nonce)
	}
}

// What is out when the power goes is on record for each registrar.
func TestRequestsToSeveralRegistrarsAreResumed(t *testing.T) {
	first := brskitest.New(t)
	second := first.AnotherDomain(t, "Second")
	first.Registrar.StayPending(1)
	second.Registrar.StayPending(2)
	d := newDevice(t, first, func(c *pledge.Config) { c.Registrars, c.NoWait = []string{second.URL}, true })
	d.onboardFails(pledge.ReasonPending, pledge.ErrPending)
	if s := d.status(); s.Stage != pledge.Requested || len(s.Attempts) != 2 || s.Attempts[0].Since.IsZero() || s.Attempts[1].Since.IsZero() {
		t.Errorf("Status = %q with attempts %+v, want two requests out", s.Stage, s.Attempts)
	}
	d.checkWhole(d.onboard())
	for _, w := range []*brskitest.World{first, second} {
		sent := w.Registrar.Requests()
		if len(sent) > 1 && !bytes.Equal(sent[0], sent[1]) {
			t.Errorf("a resumed request differs from the one before")
		}
	}
	if n := len(first.Registrar.Requests()); n != 2 {
		t.Errorf("the first registrar got %d requests, want 2", n)
	}
}

// A hostile registrar is left alone, also after a restart; the operator may insist.
func TestRefusalIsOnRecord(t *testing.T) {
	w := brskitest.New(t)
	truncated(t, w)
	d := newDevice(t, w)
	d.onboardFails(pledge.ReasonVoucherMalformed, pledge.ErrUntrusted)
	s := d.status()
	if len(s.Attempts) != 1 || s.Attempts[0].Reason != pledge.ReasonVoucherMalformed || s.Attempts[0].Failures != 1 || !s.Attempts[0].Since.IsZero() {
		t.Fatalf("Status().Attempts = %+v, want one failure", s.Attempts)
	}
	if pause := time.Until(s.Attempts[0].NotBefore); pause < 4*time.Minute || pause > time.Hour {
		t.Errorf("it is left alone for %v, want more than 4 minutes and at most an hour", pause)
	}
	w.Intercept(nil)
	d.checkWhole(d.onboard())
}

// BRSKI-8995-4.1-05: after all have failed the pledge listens on, and takes up
// who announces itself later.
func TestJoinListensOnAfterAllHaveFailed(t *testing.T) {
	for name, pauses := range map[string]int{"listening": 0, "after it had listened in vain": 3} {
		t.Run(name, func(t *testing.T) {
			good := brskitest.New(t)
			bad := good.AnotherDomain(t, "Bad")
			announced := make(found, 2)
			announced <- bad.URL
			failed := make(chan struct{})
			answerVoucher(bad, func(rw http.ResponseWriter, _ *http.Request) {
				http.Error(rw, "No.", http.StatusForbidden)
				if len(announced) == 0 {
					announced <- good.URL
					close(failed)
				}
			})
			discoverer := &pausing{found: announced, pauses: pauses, after: failed}
			d := newDevice(t, good, func(c *pledge.Config) { c.RegistrarURL, c.Discoverer = "", discoverer })
			result, err := d.pledge().Join(t.Context())
			if err != nil {
				t.Fatalf("Join: %v", err)
			}
			d.checkWhole(result)
		})
	}
}

// pausing is a Discoverer that, once it has returned something and after is
// closed, says a few times that there is nothing.
type pausing struct {
	found
	pauses int
	after  <-chan struct{}
	begun  bool
}

func (p *pausing) Next(ctx context.Context) (pledge.Candidate, error) {
	if p.begun && p.pauses > 0 {
		<-p.after
		p.pauses--
		return pledge.Candidate{}, io.EOF
	}
	p.begun = true
	return p.found.Next(ctx)
}

// What anybody announces is bounded, and does not keep the device from the one that helps.
func TestFloodOfAnnouncementsDoesNotHideTheRegistrar(t *testing.T) {
	w := brskitest.New(t)
	urls := []string{"http://127.0.0.1:2", "garbage", "https://a:b@127.0.0.1:2", "", "https://127.0.0.1:2/path"}
	for port := range 200 {
		urls = append(urls, fmt.Sprintf("https://127.0.0.1:%d", port+2), fmt.Sprintf("https://127.0.0.1:%d/", port+2))
	}
	d := newDevice(t, w, func(c *pledge.Config) { c.RegistrarURL, c.Discoverer = "", foundAll(append(urls, w.URL)...) })
	d.config.Dial = func(ctx context.Context, network, address string) (net.Conn, error) {
		if !strings.HasSuffix(w.URL, address) {
			return nil, errors.New("nobody there")
		}
		return (&net.Dialer{}).DialContext(ctx, network, address)
	}
	d.checkWhole(d.onboard())
}

func TestOnboardWithoutAnyRegistrarSaysSo(t *testing.T) {
	d := newDevice(t, brskitest.New(t), func(c *pledge.Config) { c.RegistrarURL, c.Discoverer = "", foundAll() })
	d.onboardFails(pledge.ReasonNoRegistrar, pledge.ErrUnavailable)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	d.config.Discoverer = make(found)
	if _, err := d.pledge().Onboard(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("Onboard = %v, want the end of its context", err)
	}
}

// deaf is a Discoverer that cannot be asked.
type deaf struct{}

var errDeaf = errors.New("no network interface")

func (deaf) Next(context.Context) (pledge.Candidate, error) { return pledge.Candidate{}, errDeaf }

func TestDiscoveryThatIsNotPossibleIsTold(t *testing.T) {
	w := brskitest.New(t)
	d := newDevice(t, w, func(c *pledge.Config) { c.RegistrarURL, c.Discoverer = "", deaf{} })
	if e := d.onboardFails(pledge.ReasonNoRegistrar, pledge.ErrUnavailable); !errors.Is(e, errDeaf) {
		t.Errorf("Onboard = %v, want the cause %v", e, errDeaf)
	}
	d.config.RegistrarURL = w.URL
	d.checkWhole(d.onboard())
}

// RFC 8995, Section 4.1: join proxies are at link-local addresses.
func TestLinkLocalJoinProxyIsReachedThroughItsInterface(t *testing.T) {
	w := brskitest.New(t)
	at := netip.MustParseAddrPort("[fe80::1%Eth0]:8443")
	d := newDevice(t, w, func(c *pledge.Config) { c.RegistrarURL, c.Discoverer = "", foundAll(pledge.CandidateAt(at).URL) })
	d.config.Dial = func(ctx context.Context, network, address string) (net.Conn, error) {
		if address != at.String() {
			t.Errorf("Dial(%q), want %q", address, at)
		}
		return (&net.Dialer{}).DialContext(ctx, network, strings.TrimPrefix(w.URL, "https://"))
	}
	d.checkWhole(d.onboard())
	if _, err := d.pledge().Renew(t.Context()); err != nil { // there, as far as the state says
		t.Errorf("Renew: %v", err)
	}
}

// The right registrar comes first for a device that has imprinted.
func TestImprintIsResumedAtItsRegistrarFirst(t *testing.T) {
	home := brskitest.New(t)
	stranger := home.AnotherDomain(t, "Stranger")
	home.Registrar.RefuseEnroll(&est.Error{Status: http.StatusServiceUnavailable, Message: "Not now."})
	d := newDevice(t, home, func(c *pledge.Config) { c.RegistrarURL, c.Discoverer = "", foundAll(home.URL) })
	d.onboardFails(pledge.ReasonRegistrarFailed, pledge.ErrUnavailable)
	home.Registrar.RefuseEnroll(nil)
	touched := false
	stranger.Intercept(func(http.ResponseWriter, *http.Request) bool { touched = true; return false })
	d.config.Discoverer = foundAll(stranger.URL)
	d.checkWhole(d.onboard())
	if touched {
		t.Errorf("the stranger was asked")
	}
}

// Its registrar is gone; another one of the domain takes over, a stranger does not.
func TestImprintIsResumedAtAnotherRegistrarOfTheDomain(t *testing.T) {
	home := brskitest.New(t)
	stranger := home.AnotherDomain(t, "Stranger")
	home.Registrar.RefuseEnroll(&est.Error{Status: http.StatusServiceUnavailable, Message: "Not now."})
	d := newDevice(t, home, func(c *pledge.Config) { c.RegistrarURL, c.Discoverer = "", foundAll(home.URL) })
	d.onboardFails(pledge.ReasonRegistrarFailed, pledge.ErrUnavailable)
	home.Registrar.RefuseEnroll(nil)
	moved := brskitest.ESTServer(t, home, home.Issuing.Registrar(t, "second registrar"), "127.0.0.1", func(string) {})
	d.config.Dial = func(ctx context.Context, network, address string) (net.Conn, error) {
		if strings.HasSuffix(home.URL, address) {
			return nil, errors.New("moved out")
		}
		return (&net.Dialer{}).DialContext(ctx, network, address)
	}
	d.config.Discoverer = foundAll(stranger.URL, moved)
	d.onboard()
	if s := d.status(); s.Registrar != moved || s.Stage != pledge.Enrolled {
		t.Errorf("Status = %q at %q, want %q at %q", s.Stage, s.Registrar, pledge.Enrolled, moved)
	}
	if n := len(stranger.Registrar.Enrollments()); n != 0 {
		t.Errorf("the stranger got %d CSRs", n)
	}
}

// N7 of nqminds' peers: the first connection is dropped, and the second is fine.
func TestRegistrarThatDropsItsFirstConnectionIsTriedAgain(t *testing.T) {
	t.Run("before the handshake", func(t *testing.T) {
		w := brskitest.New(t)
		d := newDevice(t, w)
		rude, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		defer rude.Close()
		go func() {
			if conn, err := rude.Accept(); err == nil {
				_ = conn.Close()
			}
		}()
		var dials atomic.Int32
		d.config.Dial = func(ctx context.Context, network, address string) (net.Conn, error) {
			if dials.Add(1) == 1 {
				address = rude.Addr().String()
			}
			return (&net.Dialer{}).DialContext(ctx, network, address)
		}
		d.checkWhole(d.onboard())
	})
	t.Run("on the request", func(t *testing.T) {
		w := brskitest.New(t)
		d := newDevice(t, w)
		var bodies [][]byte
		w.Intercept(func(_ http.ResponseWriter, r *http.Request) bool {
			if !strings.HasSuffix(r.URL.Path, "/requestvoucher") {
				return false
			}
			body, _ := io.ReadAll(r.Body)
			r.Body = io.NopCloser(bytes.NewReader(body))
			if bodies = append(bodies, body); len(bodies) == 1 {
				panic(http.ErrAbortHandler)
			}
			return false
		})
		d.checkWhole(d.onboard())
		if len(bodies) != 2 || !bytes.Equal(bodies[0], bodies[1]) {
			t.Errorf("%d voucher-requests came, want the same twice", len(bodies))
		}
	})
	t.Run("always", func(t *testing.T) {
		w := brskitest.New(t)
		asked := 0
		answerVoucher(w, func(http.ResponseWriter, *http.Request) { asked++; panic(http.ErrAbortHandler) })
		newDevice(t, w).onboardFails(pledge.ReasonUnreachable, pledge.ErrUnavailable)
		if asked != 2 {
			t.Errorf("the registrar was asked %d times in one attempt, want 2", asked)
		}
	})
}

// BRSKI-8995-5.1-01: TLS 1.2 or newer.
func TestRegistrarWithAnOldTLSIsNotTalkedTo(t *testing.T) {
	for version, ok := range map[uint16]bool{tls.VersionTLS10: false, tls.VersionTLS11: false, tls.VersionTLS12: true, tls.VersionTLS13: true} {
		w := brskitest.New(t)
		listener, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		server := &http.Server{Handler: http.NotFoundHandler(), ErrorLog: log.New(io.Discard, "", 0)}
		go func() {
			_ = server.Serve(tls.NewListener(listener, &tls.Config{
				Certificates: []tls.Certificate{w.Identity.TLS()}, MinVersion: version, MaxVersion: version, //nolint:gosec // the point
			}))
		}()
		d := newDevice(t, w, func(c *pledge.Config) { c.RegistrarURL = "https://" + listener.Addr().String() })
		reason, class := pledge.ReasonTLS, pledge.ErrUnavailable
		if ok {
			reason, class = pledge.ReasonRegistrarRefused, pledge.ErrRefused
		}
		d.onboardFails(reason, class)
		if err := server.Close(); err != nil {
			t.Error(err)
		}
	}
}

// dials records when which address was called, and when a call was given up.
type dials struct {
	mu    sync.Mutex
	start time.Time
	begun map[string][]time.Duration // guarded by mu
	ended map[string][]time.Duration // guarded by mu
}

func newDials() *dials {
	return &dials{start: time.Now(), begun: make(map[string][]time.Duration), ended: make(map[string][]time.Duration)}
}

func (d *dials) note(in map[string][]time.Duration, address string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	in[address] = append(in[address], time.Since(d.start))
}

// silent never answers.
func (d *dials) silent(ctx context.Context, _, address string) (net.Conn, error) {
	d.note(d.begun, address)
	<-ctx.Done()
	d.note(d.ended, address)
	return nil, ctx.Err()
}

// refused answers at once that nobody is there.
func (d *dials) refused(_ context.Context, _, address string) (net.Conn, error) {
	d.note(d.begun, address)
	return nil, errors.New("connection refused")
}

// bubbled makes a device with real timers and unreachable registrars A, B, C...
func bubbled(t *testing.T, n int) *device {
	t.Helper()
	d := newDevice(t, brskitest.New(t), func(c *pledge.Config) {
		c.RegistrarURL, c.Wait, c.Report = "", nil, nil
		for i := range n {
			c.Registrars = append(c.Registrars, fmt.Sprintf("https://%c:1", 'a'+i))
		}
	})
	return d
}

// BRSKI-8995-4.1-03: attempts side by side, begun 3 to 5 s apart (RFC 8995, Section 4.1).
func TestAttemptsBegin3To5SecondsApart(t *testing.T) {
	d := bubbled(t, 4)
	synctest.Test(t, func(t *testing.T) {
		calls := newDials()
		d.config.Dial = calls.silent
		_, err := d.pledge().Onboard(t.Context())
		if !errors.Is(err, pledge.ErrUnavailable) {
			t.Errorf("Onboard = %v, want %v", err, pledge.ErrUnavailable)
		}
		last := time.Duration(-1)
		for _, address := range []string{"a:1", "b:1", "c:1", "d:1"} {
			begun := calls.begun[address]
			if len(begun) != 1 || (last >= 0 && (begun[0]-last < 3*time.Second || begun[0]-last > 5*time.Second)) {
				t.Errorf("%s was called at %v, the one before at %v; want once, 3 to 5 s later", address, begun, last)
			}
			if last = begun[0]; len(calls.ended[address]) != 1 || calls.ended[address][0]-last != 90*time.Second {
				t.Errorf("the call of %s at %v ended at %v, want after 90 s", address, last, calls.ended[address])
			}
		}
	})
}

// BRSKI-8995-4.1-02: each has a back-off of its own, doubled up to an hour (RFC 8995, Section 4.1).
func TestFailingRegistrarsAreTriedMoreAndMoreRarely(t *testing.T) {
	d := bubbled(t, 1)
	synctest.Test(t, func(t *testing.T) {
		calls := newDials()
		announced := make(found, 1)
		d.config.Dial, d.config.Discoverer = calls.refused, announced
		ctx, cancel := context.WithTimeout(t.Context(), 24*time.Hour)
		defer cancel()
		go func() {
			time.Sleep(12 * time.Hour) // in the bubble
			announced <- "https://late:1"
		}()
		_, err := d.pledge().Join(ctx)
		if !errors.Is(err, pledge.ErrUnavailable) {
			t.Errorf("Join = %v, want %v", err, pledge.ErrUnavailable)
		}
		for _, address := range []string{"a:1", "late:1"} {
			begun := calls.begun[address]
			if len(begun) < 18 || len(begun) > 40 {
				t.Fatalf("%s was called %d times", address, len(begun))
			}
			for i, want := 1, 5*time.Second; i < len(begun); i, want = i+1, min(2*want, time.Hour) {
				gap := begun[i] - begun[i-1]
				if gap < want || gap > min(want+want/4, time.Hour)+5*time.Second {
					t.Errorf("attempt %d of %s came after %v, want about %v", i, address, gap, want)
				}
			}
		}
	})
}

// RFC 8995, Section 5.1: without progress for 5 s the oldest makes room for one
// that was not tried; without others it is waited for.
func TestSlowRegistrarsMakeRoomForOthers(t *testing.T) {
	d := bubbled(t, 3)
	synctest.Test(t, func(t *testing.T) {
		calls := newDials()
		d.config.Dial, d.config.Parallel = calls.silent, 2
		_, err := d.pledge().Onboard(t.Context())
		if err == nil || !strings.Contains(err.Error(), pledge.ReasonStalled) {
			t.Errorf("Onboard = %v, want %q in it", err, pledge.ReasonStalled)
		}
		second, third, given := calls.begun["b:1"][0], calls.begun["c:1"][0], calls.ended["a:1"][0]
		if third != second+5*time.Second || given != third {
			t.Errorf("second call at %v, third at %v, first given up at %v; want 5 s after the second, both", second, third, given)
		}
		if ended := calls.ended["b:1"][0]; ended != second+90*time.Second {
			t.Errorf("the second call was given up at %v, want after 90 s", ended)
		}
	})
}

// A record of the future, of a clock that was set since, does not keep a device waiting for long.
func TestPauseAfterARefusalOutlivesARestart(t *testing.T) {
	w := brskitest.New(t)
	w.Registrar.Refuse(refusal)
	d := newDevice(t, w)
	d.onboardFails(pledge.ReasonRegistrarRefused, pledge.ErrRefused)
	noted := d.status().Attempts[0].NotBefore
	for name, c := range map[string]struct{ ahead, least, most time.Duration }{
		"same clock":     {0, 30 * time.Second, 75 * time.Second},
		"clock set back": {-1000 * time.Hour, time.Hour, time.Hour},
		"much later":     {1000 * time.Hour, 0, 0},
	} {
		synctest.Test(t, func(t *testing.T) {
			calls, bubble := newDials(), time.Now()
			first := noted.Add(-time.Minute + c.ahead)
			d.config.Dial, d.config.Wait = calls.refused, nil
			d.config.Now = func() time.Time { return first.Add(time.Since(bubble)) }
			ctx, cancel := context.WithTimeout(t.Context(), 2*time.Hour)
			defer cancel()
			_, _ = d.pledge().Join(ctx)
			address := strings.TrimPrefix(w.URL, "https://")
			if begun := calls.begun[address]; len(begun) == 0 || begun[0] < c.least || begun[0] > c.most {
				t.Errorf("%s: first call after %v, want between %v and %v", name, slices.Clip(begun)[:min(1, len(begun))], c.least, c.most)
			}
		})
	}
}
