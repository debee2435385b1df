package revocation_test

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/briskest/briskest/internal/revocation"
)

func TestAListIsFetchedFromItsDistributionPointOnce(t *testing.T) {
	w := newWorld(t)
	w.says(listURL, serves(w.sign(w.list(), w.issuer)))
	k := w.fetching(revocation.Require)
	for range 3 {
		chain := w.device([]string{listURL}, nil)
		if err := k.Check(t.Context(), chain, w.time()); err != nil {
			t.Fatalf("Check = %v", err)
		}
	}
	if n := w.timesAsked(listURL); n != 1 {
		t.Errorf("the server was asked %d times for the same list, want once", n)
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if len(w.dialed) != 1 || w.dialed[0] != "8.8.4.4:80" {
		t.Errorf("connected to %v, want the resolved address", w.dialed)
	}
}

func TestARevokedCertificateIsFoundOnAFetchedList(t *testing.T) {
	w := newWorld(t)
	chain := w.device([]string{listURL}, nil)
	w.says(listURL, serves(w.sign(w.list(chain[0].SerialNumber), w.issuer)))
	var revoked *revocation.Revoked
	if err := w.fetching(revocation.Check).Check(t.Context(), chain, w.time()); !errors.As(err, &revoked) || revoked.Source != listURL {
		t.Errorf("Check = %v, want *Revoked by %s", err, listURL)
	}
}

func TestAnswersThatAreNoneAreNotTaken(t *testing.T) {
	w := newWorld(t)
	ended := w.list()
	ended.ThisUpdate, ended.NextUpdate = w.time().Add(-48*time.Hour), w.time().Add(-time.Hour)
	for name, tt := range map[string]struct {
		answer http.HandlerFunc
		want   string
	}{
		"not there":         {http.NotFound, "404"},
		"no list":           {serves([]byte("<html>")), "not a revocation list"},
		"another signer":    {serves(w.sign(w.list(), w.root)), "another issuer"},
		"ended":             {serves(w.sign(ended, w.issuer)), "ended at"},
		"too long":          {serves(make([]byte, 70_000)), "65536"},
		"too long in parts": {flushed(70_000), "65536"},
		"sent elsewhere":    {http.RedirectHandler("http://elsewhere.example.com/", http.StatusFound).ServeHTTP, "sends on to another address"},
		"sent on for ever":  {http.RedirectHandler("/ca.crl", http.StatusFound).ServeHTTP, "sends on to another address"},
	} {
		w.says(listURL, tt.answer)
		k := w.checker(revocation.Config{Fetcher: w.fetcher(func(c *revocation.FetchConfig) { c.MaxList = 1 << 16 })})
		err := k.Check(t.Context(), w.device([]string{listURL}, nil), w.time())
		if !errors.Is(err, revocation.ErrUnavailable) || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: Check = %v, want ErrUnavailable with %q", name, err, tt.want)
		}
	}
}

// flushed sends n bytes without saying how many there will be.
func flushed(n int) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		_, _ = w.Write(make([]byte, n/2))
		_ = http.NewResponseController(w).Flush()
		_, _ = w.Write(make([]byte, n/2))
	}
}

func TestAHostMaySendOnToItself(t *testing.T) {
	w := newWorld(t)
	w.says(listURL, http.RedirectHandler("/new.crl", http.StatusMovedPermanently).ServeHTTP)
	w.says("http://crl.example.com/new.crl", serves(w.sign(w.list(), w.issuer)))
	if err := w.fetching(revocation.Require).Check(t.Context(), w.device([]string{listURL}, nil), w.time()); err != nil {
		t.Errorf("Check = %v", err)
	}
}

// Certificates come from peers: what they name must not make us talk to what
// only we can reach.
func TestOnlyPublicAddressesAreAsked(t *testing.T) {
	w := newWorld(t)
	list := serves(w.sign(w.list(), w.issuer))
	for _, address := range []string{
		"127.0.0.1", "127.9.9.9", "10.1.2.3", "172.16.0.1", "192.168.1.1", "169.254.169.254", "0.0.0.0", "100.64.0.1", "224.0.0.1",
		"255.255.255.255", "198.18.0.1", "::1", "::", "fe80::1", "fc00::1", "fd12::1", "ff02::1", "::ffff:127.0.0.1", "::ffff:10.0.0.1",
		"64:ff9b::7f00:1", "2002:7f00:1::", "::127.0.0.1", "fec0::1",
	} {
		host := address
		if strings.Contains(host, ":") {
			host = "[" + host + "]"
		}
		w.mu.Lock()
		w.where["inside.example.com"] = address
		w.mu.Unlock()
		for _, url := range []string{"http://inside.example.com/ca.crl", "http://" + host + "/ca.crl"} {
			w.says(url, list)
			err := w.fetching(revocation.Require).Check(t.Context(), w.device([]string{url}, nil), w.time())
			if !errors.Is(err, revocation.ErrUnavailable) || !strings.Contains(err.Error(), "no public address") {
				t.Errorf("%s at %s: Check = %v, want no public address", url, address, err)
			}
		}
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if len(w.dialed) != 0 {
		t.Errorf("connected to %v", w.dialed)
	}
}

func TestAHostThatIsNamedMayBeAnywhere(t *testing.T) {
	w := newWorld(t)
	w.where["pki.factory.example"] = "10.0.0.7"
	const url = "http://PKI.factory.example:8080/ca.crl"
	w.says(url, serves(w.sign(w.list(), w.issuer)))
	f := w.fetcher(nil)
	chain := w.device([]string{url}, nil)
	if err := w.checker(revocation.Config{Fetcher: f, AllowedHosts: []string{"pki.factory.example"}}).Check(t.Context(), chain, w.time()); err != nil {
		t.Errorf("Check = %v", err)
	}
	if err := w.checker(revocation.Config{Fetcher: f}).Check(t.Context(), chain, w.time()); err == nil {
		t.Error("another Checker takes what it may not fetch itself")
	}
}

func TestAddressesOfOtherKindsAreNotFetched(t *testing.T) {
	w := newWorld(t)
	for _, url := range []string{"ldap://crl.example.com/cn=ca", "file:///etc/passwd", "http://user:word@crl.example.com/", "http:///ca.crl", "::"} {
		err := w.fetching(revocation.Require).Check(t.Context(), w.device([]string{url}, nil), w.time())
		if !errors.Is(err, revocation.ErrUnavailable) {
			t.Errorf("%s: Check = %v, want ErrUnavailable", url, err)
		}
	}
}

func TestTheNextDistributionPointIsAskedWhenOneFails(t *testing.T) {
	w := newWorld(t)
	w.says(listURL, serves(w.sign(w.list(), w.issuer)))
	chain := w.device([]string{"ldap://crl.example.com/x", "http://crl.example.com/gone", listURL}, nil)
	if err := w.fetching(revocation.Require).Check(t.Context(), chain, w.time()); err != nil {
		t.Errorf("Check = %v", err)
	}
}

func TestManyAskersWaitForOneFetch(t *testing.T) {
	w := newWorld(t)
	started, release := make(chan struct{}), make(chan struct{})
	list := w.sign(w.list(), w.issuer)
	w.says(listURL, func(out http.ResponseWriter, _ *http.Request) {
		close(started) // twice would panic
		<-release
		_, _ = out.Write(list)
	})
	k := w.fetching(revocation.Require)
	chain := w.device([]string{listURL}, nil)
	var askers sync.WaitGroup
	for range 20 {
		askers.Go(func() {
			if err := k.Check(context.Background(), chain, w.time()); err != nil {
				t.Errorf("Check = %v", err)
			}
		})
	}
	<-started
	gone, cancel := context.WithCancel(t.Context())
	cancel()
	if err := k.Check(gone, chain, w.time()); !errors.Is(err, revocation.ErrUnavailable) {
		t.Errorf("Check by one who went away = %v, want ErrUnavailable", err)
	}
	close(release)
	askers.Wait()
}

// Certificates of a stranger name a server that never answers.
func TestAServerThatDoesNotAnswerHoldsUpItsOwn(t *testing.T) {
	w := newWorld(t)
	w.where["tarpit.example.com"], w.where["next.example.com"] = "9.9.9.1", "9.9.9.200"
	hung, release := make(chan struct{}, 100), make(chan struct{})
	defer close(release)
	k := w.fetching(revocation.Require)
	gone, cancel := context.WithCancel(t.Context())
	defer cancel()
	var askers sync.WaitGroup
	defer askers.Wait()
	defer cancel()
	hang := func(url string) {
		w.says(url, func(http.ResponseWriter, *http.Request) { hung <- struct{}{}; <-release })
		chain := w.device([]string{url}, nil)
		askers.Go(func() { _ = k.Check(gone, chain, w.time()) })
		<-hung
	}
	for _, name := range strings.Split("abcdefgh", "") {
		hang("http://tarpit.example.com/" + name)
	}
	// What waits for the same neighborhood takes no place of the others.
	const next = "http://next.example.com/"
	w.says(next, serves(w.sign(w.list(), w.issuer)))
	chain := w.device([]string{next}, nil)
	askers.Go(func() {
		if err := k.Check(gone, chain, w.time()); !errors.Is(err, revocation.ErrUnavailable) {
			t.Errorf("a ninth fetch from there = %v, want none", err)
		}
	})
	w.says(listURL, serves(w.sign(w.list(), w.issuer)))
	if err := k.Check(t.Context(), w.device([]string{listURL}, nil), w.time()); err != nil {
		t.Errorf("a fetch from elsewhere: %v", err)
	}
	if n := w.timesAsked(next); n != 0 {
		t.Errorf("the ninth fetch has begun %d times", n)
	}
}

func TestAServerThatDoesNotAnswerIsGivenUp(t *testing.T) {
	w := newWorld(t)
	release := make(chan struct{})
	w.says(listURL, func(http.ResponseWriter, *http.Request) { <-release })
	defer close(release)
	k := w.checker(revocation.Config{Fetcher: w.fetcher(func(c *revocation.FetchConfig) { c.Timeout = 20 * time.Millisecond })})
	if err := k.Check(t.Context(), w.device([]string{listURL}, nil), w.time()); !errors.Is(err, revocation.ErrUnavailable) {
		t.Errorf("Check = %v, want ErrUnavailable", err)
	}
}

func TestAFailureIsNotTriedAgainAtOnce(t *testing.T) {
	w := newWorld(t)
	k := w.fetching(revocation.Check)
	chain := w.device([]string{listURL}, nil)
	for range 5 {
		a, err := k.Status(t.Context(), chain, w.time())
		if err != nil || !errors.Is(a.Missing, revocation.ErrUnavailable) || !k.Still(a, w.time()) || k.Still(a, w.time().Add(time.Minute)) {
			t.Fatalf("Status = %+v, %v", a, err)
		}
	}
	if n := w.timesAsked(listURL); n != 1 {
		t.Errorf("the server was asked %d times within a minute, want once", n)
	}
	w.says(listURL, serves(w.sign(w.list(), w.issuer)))
	w.advance(time.Minute)
	if a, err := k.Status(t.Context(), chain, w.time()); err != nil || a.Missing != nil {
		t.Errorf("after a minute: Status = %+v, %v", a, err)
	}
}

// A list is replaced in the background while it is good, so that nobody waits
// for the next one and a revocation is seen before the list ends.
func TestAnOldListIsReplacedInTheBackground(t *testing.T) {
	w := newWorld(t)
	chain := w.device([]string{listURL}, nil)
	w.says(listURL, serves(w.sign(w.list(), w.issuer)))
	f := w.fetcher(nil)
	k := w.checker(revocation.Config{Fetcher: f})
	a, err := k.Status(t.Context(), chain, w.time())
	if err != nil || !k.Still(a, w.time().Add(59*time.Minute)) || k.Still(a, w.time().Add(time.Hour)) {
		t.Fatalf("Status = %+v, %v", a, err)
	}
	w.advance(time.Hour)
	next := w.sign(w.list(chain[0].SerialNumber), w.issuer)
	served := make(chan struct{})
	w.says(listURL, func(out http.ResponseWriter, _ *http.Request) {
		<-served
		_, _ = out.Write(next)
	})
	// The fetch has begun, and the answer of the old list counts meanwhile.
	if err := k.Check(t.Context(), chain, w.time()); err != nil {
		t.Errorf("Check while the next list is fetched = %v", err)
	}
	close(served)
	f.Idle()
	if k.Still(a, w.time().Add(-time.Hour)) {
		t.Error("an answer from before the new list still holds")
	}
	if err := k.Check(t.Context(), chain, w.time()); !errors.As(err, new(*revocation.Revoked)) {
		t.Errorf("Check = %v, want *Revoked", err)
	}
}

func TestAListIsUsedToItsEndWhenTheServerIsDown(t *testing.T) {
	w := newWorld(t)
	chain := w.device([]string{listURL}, nil)
	w.says(listURL, serves(w.sign(w.list(), w.issuer)))
	f := w.fetcher(nil)
	k := w.checker(revocation.Config{Fetcher: f})
	if err := k.Check(t.Context(), chain, w.time()); err != nil {
		t.Fatalf("Check = %v", err)
	}
	w.says(listURL, nil)
	w.advance(23 * time.Hour)
	if err := k.Check(t.Context(), chain, w.time()); err != nil {
		t.Errorf("before the list's end: Check = %v", err)
	}
	f.Idle()
	w.advance(time.Hour)
	if err := k.Check(t.Context(), chain, w.time()); !errors.Is(err, revocation.ErrUnavailable) {
		t.Errorf("after the list's end: Check = %v, want ErrUnavailable", err)
	}
}

func TestAnOlderListDoesNotReplaceANewerOne(t *testing.T) {
	w := newWorld(t)
	chain := w.device([]string{listURL}, nil)
	old := w.list()
	old.ThisUpdate = w.time().Add(-2 * time.Hour)
	w.says(listURL, serves(w.sign(w.list(chain[0].SerialNumber), w.issuer)))
	f := w.fetcher(nil)
	k := w.checker(revocation.Config{Fetcher: f})
	for range 2 {
		if err := k.Check(t.Context(), chain, w.time()); !errors.As(err, new(*revocation.Revoked)) {
			t.Fatalf("Check = %v, want *Revoked", err)
		}
		f.Idle()
		w.says(listURL, serves(w.sign(old, w.issuer)))
		w.advance(time.Hour)
	}
	if n := w.timesAsked(listURL); n != 2 {
		t.Errorf("the server was asked %d times, want twice", n)
	}
}

func TestWhatIsKeptIsBounded(t *testing.T) {
	w := newWorld(t)
	list := serves(w.sign(w.list(), w.issuer))
	f := w.fetcher(func(c *revocation.FetchConfig) { c.MaxKept = 4 })
	k := w.checker(revocation.Config{Fetcher: f})
	for i := range 20 {
		url := "http://crl.example.com/" + strings.Repeat("x", i+1)
		if i%2 == 0 {
			w.says(url, list)
		}
		err := k.Check(t.Context(), w.device([]string{url}, nil), w.time())
		if (err == nil) != (i%2 == 0) {
			t.Fatalf("Check = %v", err)
		}
		f.Idle()
	}
	if n := f.Kept(); n > 4 {
		t.Errorf("%d lists and failures are kept, want 4 at most", n)
	}
}

func TestAClosedFetcherFetchesNothing(t *testing.T) {
	w := newWorld(t)
	w.says(listURL, serves(w.sign(w.list(), w.issuer)))
	f := w.fetcher(nil)
	f.Close()
	err := w.checker(revocation.Config{Fetcher: f}).Check(t.Context(), w.device([]string{listURL}, nil), w.time())
	if !errors.Is(err, revocation.ErrUnavailable) || w.timesAsked(listURL) != 0 {
		t.Errorf("Check = %v after %d fetches, want ErrUnavailable after none", err, w.timesAsked(listURL))
	}
}
