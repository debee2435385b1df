package revocation

import (
	"bytes"
	"context"
	"crypto/sha256"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"sync"
	"sync/atomic"
	"time"
)

// FetchConfig bounds a Fetcher. The zero value is usable.
type FetchConfig struct {
	Timeout  time.Duration // of one fetch; default 5s
	MaxList  int64         // bytes of one list; default 8 MiB
	MaxBytes int           // of all that is kept; default 64 MiB
	MaxKept  int           // lists and answers kept; default 4096
	// MaxAge is how long something fetched is used before a newer one is fetched
	// beside it, though it has not ended; default 1h.
	MaxAge time.Duration
	// Retry is how long a failure counts, and the least time between two fetches
	// of the same; default 1m.
	Retry time.Duration
	// Roots verify servers of https addresses; nil for the system's.
	Roots *x509.CertPool

	// Lookup resolves a host name; nil for the system's resolver.
	Lookup func(ctx context.Context, host string) ([]netip.Addr, error)
	// Dial connects to a resolved address; nil for a net.Dialer.
	Dial func(ctx context.Context, network, address string) (net.Conn, error)
	Now  func() time.Time // nil for time.Now
}

// How many connections a Fetcher has at once, and how many to one neighborhood
// (of IPv4 a /24, of IPv6 a /48); more wait. A server that answers nobody, and
// that certificates of a stranger name, so holds up its own.
const (
	atOnce       = 64
	neighborhood = 8
)

// maxAnswer is the most bytes of an OCSP answer that are read.
const maxAnswer = 64 << 10

// Fetcher fetches lists and OCSP answers from addresses that certificates
// name, and keeps them. It fetches each once at a time, and again in the
// background when it is used and becomes old. Certificates come from peers
// before they are trusted with anything, so it connects to public addresses only
// (but for Config.AllowedHosts), follows no redirect to another host, and uses
// no proxy. Safe for concurrent use.
type Fetcher struct {
	config  FetchConfig
	public  *http.Client // public addresses only
	any     *http.Client
	changes atomic.Uint64 // counts what has changed by fetching
	places  chan struct{} // atOnce

	ctx  context.Context // of fetches; ended by Close
	stop context.CancelFunc
	wait sync.WaitGroup

	mu     sync.Mutex
	closed bool                        // guarded by mu
	kept   map[[sha256.Size]byte]*slot // guarded by mu
	bytes  int                         // of the values kept; guarded by mu
	uses   uint64                      // guarded by mu
	near   map[netip.Prefix]*near      // connections by neighborhood; guarded by mu
}

// evidence is a list or an OCSP answer whose signature was checked.
type evidence interface {
	made() time.Time  // thisUpdate
	until() time.Time // nextUpdate
	size() int        // bytes
	same(evidence) bool
}

// slot is the place of one list or answer; guarded by Fetcher.mu.
type slot struct {
	value     evidence      // the newest there was; nil for none
	err       error         // of the last fetch
	refreshAt time.Time     // when to fetch again
	flight    chan struct{} // closed when the fetch under way ends; nil for none
	used      uint64
}

// NewFetcher returns a Fetcher. Close it when it is used no more.
func NewFetcher(c FetchConfig) *Fetcher {
	c.Timeout = orDefault(c.Timeout, 5*time.Second)
	c.MaxList = orDefault(c.MaxList, 8<<20)
	c.MaxBytes = orDefault(c.MaxBytes, 64<<20)
	c.MaxKept = orDefault(c.MaxKept, 4096)
	c.MaxAge = orDefault(c.MaxAge, time.Hour)
	c.Retry = orDefault(c.Retry, time.Minute)
	if c.Now == nil {
		c.Now = time.Now
	}
	f := &Fetcher{config: c, places: make(chan struct{}, atOnce), kept: make(map[[sha256.Size]byte]*slot), near: make(map[netip.Prefix]*near)}
	f.ctx, f.stop = context.WithCancel(context.Background())
	f.public, f.any = f.client(onlyPublic), f.client(nil)
	return f
}

func orDefault[T int | int64 | time.Duration](value, otherwise T) T {
	if value <= 0 {
		return otherwise
	}
	return value
}

// Close ends fetches under way and waits for them. What was kept is still
// there, and nothing is fetched any more.
func (f *Fetcher) Close() {
	f.mu.Lock()
	f.closed = true
	f.mu.Unlock()
	f.stop()
	f.wait.Wait()
}

// found is what a Fetcher has.
type found struct {
	value   evidence  // nil for none
	recheck time.Time // when it ends, or something newer is fetched
	err     error     // of the last fetch; never nil without a value
}

// get returns what is kept under key, and fetches it when there is none that
// counts at the given time.
func (f *Fetcher) get(ctx context.Context, key [sha256.Size]byte, at time.Time, fetch func(context.Context) (evidence, error)) found {
	f.mu.Lock()
	s := f.kept[key]
	if s == nil {
		s = &slot{}
		f.kept[key] = s
	}
	f.uses++
	s.used = f.uses
	now := f.config.Now()
	useful := s.value != nil && current(s.value, at) == nil
	if s.flight == nil && !now.Before(s.refreshAt) {
		f.start(key, s, fetch)
	}
	flight := s.flight
	if useful || flight == nil {
		defer f.mu.Unlock()
		return s.found(now.Add(f.config.Retry))
	}
	f.mu.Unlock()
	select {
	case <-flight:
	case <-ctx.Done():
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if s.value == nil && s.err == nil {
		return found{err: fmt.Errorf("no answer in time: %w", context.Cause(ctx))}
	}
	return s.found(now.Add(f.config.Retry))
}

// found returns the slot's value. While it is being fetched anew, it is to be
// looked at again soon.
func (s *slot) found(soon time.Time) found {
	out := found{value: s.value, err: s.err, recheck: s.refreshAt}
	if s.flight != nil {
		out.recheck = soon
	}
	if s.value != nil && s.value.until().Before(out.recheck) {
		out.recheck = s.value.until()
	}
	return out
}

// start begins a fetch; f.mu is held.
func (f *Fetcher) start(key [sha256.Size]byte, s *slot, fetch func(context.Context) (evidence, error)) {
	if f.closed {
		s.err = errors.New("nothing is fetched any more")
		return
	}
	s.flight = make(chan struct{})
	f.wait.Add(1)
	go func() {
		defer f.wait.Done()
		// Not the first asker's context: others wait for the same fetch.
		value, err := fetch(f.ctx)
		f.mu.Lock()
		defer f.mu.Unlock()
		f.store(key, s, value, err)
		close(s.flight)
		s.flight = nil
	}()
}

// store puts the outcome of a fetch into its slot; f.mu is held. An older list
// or answer than the one that is there is somebody's replay.
func (f *Fetcher) store(key [sha256.Size]byte, s *slot, value evidence, err error) {
	now := f.config.Now()
	if err == nil && s.value != nil && value.made().Before(s.value.made()) {
		err = errors.New("older than the one that was there before")
	}
	s.err = err
	defer f.shrink(s)
	if err != nil {
		s.refreshAt = now.Add(f.config.Retry)
		return
	}
	if s.value != nil && !s.value.same(value) {
		f.changes.Add(1)
	}
	if s.value != nil && f.kept[key] == s {
		f.bytes -= s.value.size()
	}
	s.value = value
	if f.kept[key] == s {
		f.bytes += value.size()
	}
	// Somewhat before its end, so that the next one is there then.
	s.refreshAt = now.Add(max(f.config.Retry, min(f.config.MaxAge, value.until().Sub(now)*3/4)))
}

// shrink forgets what was not used for longest; f.mu is held.
func (f *Fetcher) shrink(keep *slot) {
	for len(f.kept) > f.config.MaxKept || f.bytes > f.config.MaxBytes {
		var oldest [sha256.Size]byte
		var least *slot
		for key, s := range f.kept {
			if s != keep && s.flight == nil && (least == nil || s.used < least.used) {
				oldest, least = key, s
			}
		}
		if least == nil {
			return
		}
		if least.value != nil {
			f.bytes -= least.value.size()
		}
		delete(f.kept, oldest)
	}
}

// list fetches a list and checks that it is the issuer's.
func (f *Fetcher) list(ctx context.Context, u *url.URL, anywhere bool, issuer *x509.Certificate) (evidence, error) {
	r, err := http.NewRequest(http.MethodGet, u.String(), nil)
	if err != nil {
		return nil, err
	}
	body, err := f.do(ctx, r, anywhere, f.config.MaxList)
	if err != nil {
		return nil, err
	}
	l, err := parseList(u.String(), body)
	if err != nil {
		return nil, err
	}
	if !bytes.Equal(l.issuer, issuer.RawSubject) {
		return nil, errors.New("a list of another issuer: indirect lists are not read here")
	}
	if err := l.signedBy(issuer); err != nil {
		return nil, fmt.Errorf("its signature: %w", err)
	}
	l.release()
	return l, nil
}

// post sends an OCSP request (RFC 6960, Appendix A.1).
func (f *Fetcher) post(ctx context.Context, u *url.URL, anywhere bool, request []byte) ([]byte, error) {
	r, err := http.NewRequest(http.MethodPost, u.String(), bytes.NewReader(request))
	if err != nil {
		return nil, err
	}
	r.Header.Set("Content-Type", "application/ocsp-request")
	r.Header.Set("Accept", "application/ocsp-response")
	return f.do(ctx, r, anywhere, maxAnswer)
}

func (f *Fetcher) do(ctx context.Context, r *http.Request, anywhere bool, limit int64) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, f.config.Timeout)
	defer cancel()
	client := f.public
	if anywhere {
		client = f.any
	}
	res, err := client.Do(r.WithContext(ctx))
	if err != nil {
		return nil, err
	}
	defer res.Body.Close()
	switch {
	case res.StatusCode != http.StatusOK:
		return nil, fmt.Errorf("the server says %d", res.StatusCode)
	case res.ContentLength > limit:
		return nil, fmt.Errorf("%d bytes, at most %d are taken", res.ContentLength, limit)
	}
	body, err := io.ReadAll(io.LimitReader(res.Body, limit+1))
	if err == nil && int64(len(body)) > limit {
		err = fmt.Errorf("more than %d bytes", limit)
	}
	return body, err
}
