package masa

import (
	"context"
	"crypto/x509"
	"errors"
	"net/http"
	"sync"
	"time"

	"github.com/briskest/briskest/est"
)

const (
	// maxCheckedChains bounds how many chains of a registrar are looked at. One
	// is usual; a CA that is certified by two others makes two.
	maxCheckedChains = 4
	// checksPerAddress is how many requests of one address may wait for others'
	// answers at once: a hostile registrar's certificates may name servers that
	// take their time.
	checksPerAddress = 4
	// unansweredRetry is when to ask again about what nobody answered.
	unansweredRetry = time.Minute
)

// checkRevocation keeps those of the registrar's chains that the settings'
// check takes, and refuses when there is none (RFC 8995, Section 5.5.3). Where
// no device has signed, it is about one on record, so that nobody has servers
// of his choice asked for a made-up serial number.
func (s *Service) checkRevocation(ctx context.Context, x *exchange) error {
	check := x.settings.CheckRegistrar
	if check == nil {
		return nil
	}
	if x.prior == nil && x.device == nil {
		devices, err := s.candidates(ctx, x)
		if err != nil || len(devices) == 0 {
			return err // decide refuses
		}
	}
	done, ok := s.checks.begin(addressKey(x.address))
	if !ok {
		return unanswered("Too many requests from this address wait for revocation lists. Try again later.")
	}
	defer done()
	var good [][]*x509.Certificate
	var first error
	for _, chain := range x.chains[:min(len(x.chains), maxCheckedChains)] {
		until, err := check(ctx, chain, x.at)
		switch {
		case err == nil:
			good = append(good, chain)
			x.goodUntil(until)
		case first == nil:
			first = err
		}
	}
	if len(good) == 0 {
		return refusedByCheck(first)
	}
	x.chains = good
	return nil
}

// goodUntil bounds what is issued for long by what was found out.
func (x *exchange) goodUntil(until time.Time) {
	if !until.IsZero() && (x.until.IsZero() || until.Before(x.until)) {
		x.until = until
	}
}

func unanswered(message string) *est.Error {
	e := refuse(http.StatusServiceUnavailable, ReasonRegistrarAsk, "RFC 8995, Section 5.5.3", message)
	e.RetryAfter = unansweredRetry
	return e
}

func refusedByCheck(err error) error {
	switch {
	case errors.As(err, new(*est.Error)):
		return err
	case errors.Is(err, ErrRegistrarRevoked):
		e := forbid(ReasonRegistrarGone, "RFC 8995, Section 5.5.3",
			"A certificate of the registrar, or of the CAs above it, has been revoked. Give the registrar a new one.")
		e.Err = err
		return e
	case errors.Is(err, ErrRegistrarUnanswered):
		e := unanswered("Nobody says whether the registrar's certificate is revoked. Have the revocation list or the OCSP responder " +
			"that it names answer this MASA, and try again.")
		e.Err = err
		return e
	default:
		e := forbid(ReasonRegistrarPolicy, "RFC 8995, Section 5.5.3", "The registrar's certificate is not accepted.")
		e.Err = err
		return e
	}
}

// underway counts what is under way for each address.
type underway struct {
	mu   sync.Mutex
	used map[string]int // guarded by mu
}

// begin takes a place of the address and returns what gives it back, or false
// when it has none left. In process there is no address and no bound.
func (u *underway) begin(address string) (done func(), ok bool) {
	if address == "" {
		return func() {}, true
	}
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.used[address] >= checksPerAddress {
		return nil, false
	}
	if u.used == nil {
		u.used = make(map[string]int)
	}
	u.used[address]++
	return func() {
		u.mu.Lock()
		defer u.mu.Unlock()
		if u.used[address]--; u.used[address] == 0 {
			delete(u.used, address)
		}
	}, true
}
