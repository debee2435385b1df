package bench

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"net/url"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/briskest/briskest/internal/cms"
)

// Storm is many devices that all want to enroll now, as after a power cut:
// each with its own key, name and address, each until it is enrolled.
type Storm struct {
	Clients int
	Sockets int           // open at once
	Timeout time.Duration // of one attempt
	// Progress is told once a second; may be nil.
	Progress func(done, busy int)
}

// StormResult is what a Storm came to.
type StormResult struct {
	Clients   int     `json:"clients"`
	Sockets   int     `json:"sockets"`
	Seconds   float64 `json:"seconds"`
	PerSecond float64 `json:"per_second"`
	Enrolled  int     `json:"enrolled"`
	// Twice counts certificates beyond one a client, as the clients saw them.
	Twice int `json:"twice"`
	// Busy counts answers 503 and 202; each client came back when it was told to.
	Busy int `json:"busy"`
	// Resets and Timeouts are attempts that the network, or the server, ended;
	// After is how many of both were attempts after a back-off.
	Resets   int `json:"resets"`
	Timeouts int `json:"timeouts"`
	After    int `json:"failed_after_back_off"`
	// BusyP99 is how long it took to be told to come back, from the request.
	BusyP99 float64 `json:"busy_p99_ms"`
	P50     float64 `json:"p50_ms"` // from the first attempt to the certificate
	P99     float64 `json:"p99_ms"`
	// Memory is the server's resident memory in MB: before, and at its highest.
	MemoryBefore float64 `json:"memory_before_mb"`
	MemoryPeak   float64 `json:"memory_peak_mb"`
	// Names begin with Prefix, and a number of six digits follows.
	Prefix string `json:"prefix"`
}

// Run has them all enroll at t, and ends when each is, or with ctx.
func (s Storm) Run(ctx context.Context, t *Target) (*StormResult, error) {
	made, prefix, err := namedRequests(s.Clients)
	if err != nil {
		return nil, err
	}
	r := &stormRun{Storm: s, target: t, places: make(chan struct{}, s.Sockets), serials: make(map[string]bool)}
	if r.host, err = hostOf(t.URL); err != nil {
		return nil, err
	}
	r.result = StormResult{Clients: s.Clients, Sockets: s.Sockets, Prefix: prefix}
	if r.result.MemoryBefore, err = memory(t.PID, "VmRSS"); err != nil {
		return nil, err
	}
	start := time.Now()
	stop := r.watch(ctx)
	var wg sync.WaitGroup
	for i, m := range made {
		wg.Go(func() { r.device(ctx, i, m.body) })
	}
	wg.Wait()
	stop()
	r.result.Seconds = time.Since(start).Seconds()
	r.result.PerSecond = float64(r.result.Enrolled) / r.result.Seconds
	if r.result.MemoryPeak, err = memory(t.PID, "VmHWM"); err != nil {
		return nil, err
	}
	r.result.P50, r.result.P99 = percentile(r.latencies, 50), percentile(r.latencies, 99)
	r.result.BusyP99 = percentile(r.busy, 99)
	return &r.result, errors.Join(context.Cause(ctx), r.failed)
}

// stormRun is a Storm under way.
type stormRun struct {
	Storm
	target *Target
	host   string
	places chan struct{} // a value for each open socket
	done   atomic.Int64
	waits  atomic.Int64

	mu        sync.Mutex
	result    StormResult     // guarded by mu, and so are the rest
	serials   map[string]bool // of the certificates that were handed out
	latencies []time.Duration
	busy      []time.Duration
	failed    error
}

func (r *stormRun) watch(ctx context.Context) (stop func()) {
	ended := make(chan struct{})
	var wg sync.WaitGroup
	wg.Go(func() {
		tick := time.NewTicker(time.Second)
		defer tick.Stop()
		for {
			select {
			case <-ended:
				return
			case <-ctx.Done():
				return
			case <-tick.C:
				if r.Progress != nil {
					r.Progress(int(r.done.Load()), int(r.waits.Load()))
				}
			}
		}
	})
	return func() { close(ended); wg.Wait() }
}

// device asks until it is enrolled.
func (r *stormRun) device(ctx context.Context, i int, body []byte) {
	start := time.Now()
	backOff := time.Duration(0)
	for ctx.Err() == nil {
		a := r.attempt(ctx, i, body)
		wait, ended := r.record(&a, backOff > 0, start)
		if ended {
			return
		}
		if a.err != nil { // twice as long each time, and not all at once
			backOff = min(max(time.Second, 2*backOff), 32*time.Second)
			wait = backOff + time.Duration(rand.Int64N(int64(backOff)))
		}
		select {
		case <-time.After(wait):
		case <-ctx.Done():
		}
	}
}

// record counts an attempt, and says how long to wait where it was not the last.
func (r *stormRun) record(a *attempt, backedOff bool, start time.Time) (wait time.Duration, ended bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	switch {
	case a.err != nil:
		if timedOut(a.err) {
			r.result.Timeouts++
		} else {
			r.result.Resets++
		}
		if backedOff {
			r.result.After++
		}
		return 0, false
	case a.status == http.StatusOK:
		r.done.Add(1)
		r.result.Enrolled++
		if r.serials[a.serial] {
			r.result.Twice++
		}
		r.serials[a.serial] = true
		r.latencies = append(r.latencies, time.Since(start))
		return 0, true
	case a.status == http.StatusServiceUnavailable || a.status == http.StatusAccepted:
		r.waits.Add(1)
		r.result.Busy++
		r.busy = append(r.busy, a.took)
		return a.retry, false
	default:
		r.failed = fmt.Errorf("a client got %d: %s", a.status, a.text)
		return 0, true
	}
}

// attempt is one connection with one request.
type attempt struct {
	err    error // of the network
	status int
	took   time.Duration // from the request to the answer
	retry  time.Duration
	serial string
	text   string
}

// attempt enrolls once over a new connection, from the device's own address.
func (r *stormRun) attempt(ctx context.Context, i int, body []byte) (a attempt) {
	r.places <- struct{}{}
	defer func() { <-r.places }()
	ctx, cancel := context.WithTimeout(ctx, r.Timeout)
	defer cancel()
	// Any address of 127.0.0.0/8 is this machine's: each device has one of its own.
	from := &net.TCPAddr{IP: net.IPv4(127, byte(1+i>>16), byte(i>>8), byte(i))}
	conn, err := (&net.Dialer{LocalAddr: from}).DialContext(ctx, "tcp", r.host)
	if err != nil {
		return attempt{err: err}
	}
	defer conn.Close()
	deadline, _ := ctx.Deadline()
	if err := conn.SetDeadline(deadline); err != nil {
		return attempt{err: err}
	}
	name, _, _ := strings.Cut(r.host, ":")
	secured := tls.Client(conn, &tls.Config{RootCAs: r.target.Roots, ServerName: name, NextProtos: []string{"http/1.1"}})
	if err := secured.HandshakeContext(ctx); err != nil {
		return attempt{err: err}
	}
	return r.post(secured, body)
}

func (r *stormRun) post(conn net.Conn, body []byte) (a attempt) {
	var request bytes.Buffer
	path := strings.TrimPrefix(r.target.URL, "https://"+r.host) + "/simpleenroll"
	fmt.Fprintf(&request, "POST %s HTTP/1.1\r\nHost: %s\r\nContent-Type: application/pkcs10\r\nConnection: close\r\n", path, r.host)
	fmt.Fprintf(&request, "Authorization: Basic %s\r\n", base64.StdEncoding.EncodeToString([]byte(r.target.User+":"+r.target.Password)))
	fmt.Fprintf(&request, "Content-Length: %d\r\n\r\n%s", len(body), body)
	start := time.Now()
	if _, a.err = conn.Write(request.Bytes()); a.err != nil {
		return a
	}
	var res *http.Response
	if res, a.err = http.ReadResponse(bufio.NewReader(conn), nil); a.err != nil {
		return a
	}
	defer res.Body.Close()
	var text []byte
	if text, a.err = io.ReadAll(io.LimitReader(res.Body, 64<<10)); a.err != nil {
		return a
	}
	a.took, a.status, a.text = time.Since(start), res.StatusCode, string(bytes.TrimSpace(text))
	seconds, err := strconv.Atoi(res.Header.Get("Retry-After"))
	if err != nil || seconds < 1 {
		seconds = 1
	}
	a.retry = time.Duration(seconds)*time.Second + time.Duration(rand.Int64N(int64(time.Second)))
	if a.status == http.StatusOK {
		a.serial, a.err = serialOf(text)
	}
	return a
}

func serialOf(text []byte) (string, error) {
	der, err := base64.StdEncoding.DecodeString(strings.Map(notSpace, string(text)))
	if err != nil {
		return "", err
	}
	certs, err := cms.ParseCertsOnly(der)
	if err != nil {
		return "", err
	}
	return certs[0].SerialNumber.String(), nil
}

func notSpace(r rune) rune {
	if r == '\n' || r == '\r' {
		return -1
	}
	return r
}

func timedOut(err error) bool {
	var n net.Error
	return errors.Is(err, context.DeadlineExceeded) || errors.Is(err, syscall.ETIMEDOUT) || errors.As(err, &n) && n.Timeout()
}

func hostOf(text string) (string, error) {
	u, err := url.Parse(text)
	if err != nil {
		return "", err
	}
	return u.Host, nil
}

// percentile returns the nth percentile in milliseconds; zero of nothing.
func percentile(all []time.Duration, n int) float64 {
	if len(all) == 0 {
		return 0
	}
	slices.Sort(all)
	return micros(all[min(len(all)*n/100, len(all)-1)]) / 1e3
}

// memory returns a figure of a process's memory in MB, such as VmHWM.
func memory(pid int, figure string) (float64, error) {
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return 0, err
	}
	for line := range strings.Lines(string(status)) {
		if text, ok := strings.CutPrefix(line, figure+":"); ok {
			kb, err := strconv.ParseFloat(strings.TrimSuffix(strings.TrimSpace(text), " kB"), 64)
			return kb / 1024, err
		}
	}
	return 0, fmt.Errorf("process %d does not show its %s", pid, figure)
}
