// Package revocation tells whether the certificates of a verified chain have
// been revoked: by revocation lists that are at hand or at the distribution
// points the certificates name (RFC 5280, Section 6.3), and by OCSP (RFC 6960).
//
// Start at [New] for a [Checker], and at [NewFetcher] if it may ask over the
// network. A Checker holds the policy ([Mode]) and the lists at hand; a Fetcher
// holds what was fetched, for any number of Checkers, and outlives them when a
// configuration is loaded again.
//
// The package does not build chains: [Checker.Check] takes one that was
// verified, leaf first. Delta and indirect lists are refused by name, as are
// lists with critical extensions that are not known here (RFC 5280, Section 5.2).
package revocation

import (
	"context"
	"crypto/x509"
	"encoding/hex"
	"errors"
	"fmt"
	"math/big"
	"slices"
	"strings"
	"time"
)

// Mode says what becomes of a certificate about which nobody answers. A
// revoked one is refused in all of them but [Off].
type Mode string

// The modes. A certificate has somewhere to ask if it names a distribution
// point or an OCSP responder, or if a list of its issuer is at hand.
const (
	// Require refuses a certificate that has somewhere to ask and gets no
	// answer. One with nowhere to ask misses none: that it names nowhere is its
	// issuer's word, which its holder cannot change. The zero Mode is this one.
	Require Mode = "require"
	// RequireAll refuses every certificate without an answer, those with nowhere
	// to ask included.
	RequireAll Mode = "require-all"
	// Check refuses what is known to be revoked, and nothing else.
	Check Mode = "check"
	// Off asks nobody.
	Off Mode = "off"
)

// ParseMode reads a Mode from a configuration; "" is [Require].
func ParseMode(text string) (Mode, error) {
	switch m := Mode(text); m {
	case "":
		return Require, nil
	case Require, RequireAll, Check, Off:
		return m, nil
	default:
		return "", fmt.Errorf("revocation mode %q; it may be require, require-all, check or off", text)
	}
}

// ErrUnavailable says that nobody answered whether a certificate is revoked.
var ErrUnavailable = errors.New("no revocation answer")

// Revoked is the error about a certificate that was revoked.
type Revoked struct {
	Certificate *x509.Certificate
	At          time.Time // when it was revoked, by its issuer's word
	Reason      int       // CRLReason (RFC 5280, Section 5.3.1); 0 also when none was given
	Source      string    // the name or address of what says so
}

// Error names the certificate, the time, the reason and the source.
func (r *Revoked) Error() string {
	return fmt.Sprintf("certificate %s of %q was revoked at %s (%s), says %s", serialText(r.Certificate.SerialNumber),
		r.Certificate.Subject, r.At.UTC().Format(time.RFC3339), ReasonText(r.Reason), r.Source)
}

// ReasonText returns the word for a CRLReason (RFC 5280, Section 5.3.1).
func ReasonText(reason int) string {
	words := []string{
		"unspecified", "keyCompromise", "cACompromise", "affiliationChanged", "superseded", "cessationOfOperation",
		"certificateHold", "", "removeFromCRL", "privilegeWithdrawn", "aACompromise",
	}
	if reason < 0 || reason >= len(words) || words[reason] == "" {
		return fmt.Sprintf("reason %d", reason)
	}
	return words[reason]
}

// Config is what a Checker goes by. The zero value requires an answer and has
// nobody to ask.
type Config struct {
	Mode  Mode
	Lists []*List // at hand, from [ParseLists]
	// Fetcher asks where the certificates say; nil asks nobody.
	Fetcher *Fetcher
	// AllowedHosts are names or addresses that may be asked although they are at
	// an address of this machine or of a private network. Lower case, without a port.
	AllowedHosts []string
}

// Checker answers for chains. Safe for concurrent use.
type Checker struct {
	mode    Mode
	lists   map[string][]*List // by RawIssuer, the newest first
	fetcher *Fetcher
	allowed []string
}

// New returns a Checker, or an error about the mode.
func New(c Config) (*Checker, error) {
	mode, err := ParseMode(string(c.Mode))
	if err != nil {
		return nil, err
	}
	k := &Checker{mode: mode, lists: make(map[string][]*List), fetcher: c.Fetcher}
	for _, host := range c.AllowedHosts {
		k.allowed = append(k.allowed, strings.ToLower(host))
	}
	for _, l := range c.Lists {
		issuer := string(l.issuer)
		k.lists[issuer] = append(k.lists[issuer], l)
	}
	for _, lists := range k.lists {
		slices.SortStableFunc(lists, func(a, b *List) int { return b.made().Compare(a.made()) })
	}
	return k, nil
}

// Mode returns the mode.
func (c *Checker) Mode() Mode { return c.mode }

// Answer is what a [Checker] found out about a chain that is not refused.
type Answer struct {
	// Missing says what was not answered although there was somewhere to ask;
	// always nil where the mode refuses that. It wraps [ErrUnavailable].
	Missing error
	// Until is when the first of the answers ends (nextUpdate); zero when there was none.
	Until time.Time
	// Recheck is when to ask again at the latest: Until, or when something newer
	// ought to be fetched. Zero for never.
	Recheck time.Time

	generation uint64
}

// Still tells whether an answer of this Checker that was given before for the
// same chain holds at the given time, without asking anybody: nothing that was
// fetched has changed since, and it is not yet time to ask again.
func (c *Checker) Still(a Answer, at time.Time) bool {
	return a.generation == c.generation() && (a.Recheck.IsZero() || at.Before(a.Recheck))
}

func (c *Checker) generation() uint64 {
	if c.fetcher == nil {
		return 0
	}
	return c.fetcher.changes.Load()
}

// Check is [Checker.Status] without the details.
func (c *Checker) Check(ctx context.Context, chain []*x509.Certificate, at time.Time) error {
	_, err := c.Status(ctx, chain, at)
	return err
}

// Status tells whether a certificate of the chain is revoked at the given time.
// The chain was verified, has the leaf first and the trust anchor last; the
// anchor is not asked about (RFC 5280, Section 6.3). The error is a [*Revoked],
// or wraps [ErrUnavailable] where the mode refuses that. It waits for fetches
// under way, for twice the Fetcher's timeout at most.
func (c *Checker) Status(ctx context.Context, chain []*x509.Certificate, at time.Time) (Answer, error) {
	a := Answer{generation: c.generation()}
	if c.mode == Off || len(chain) < 2 {
		return a, nil
	}
	var deadline time.Time
	if c.fetcher != nil {
		deadline = time.Now().Add(2 * c.fetcher.config.Timeout)
	}
	for i, cert := range chain[:len(chain)-1] {
		q := &question{Checker: c, cert: cert, issuer: chain[i+1], at: at, deadline: deadline, answer: &a, ocsp: true}
		err := q.ask(ctx)
		if errors.As(err, new(*Revoked)) {
			return a, err
		}
		if err != nil {
			a.Missing = errors.Join(a.Missing, err)
		}
	}
	if a.Missing == nil || c.mode == Check {
		return a, nil
	}
	return a, a.Missing
}

// ends notes the end of an answer, and when to ask again.
func (a *Answer) ends(until, recheck time.Time) {
	if !until.IsZero() && (a.Until.IsZero() || until.Before(a.Until)) {
		a.Until = until
	}
	if !recheck.IsZero() && (a.Recheck.IsZero() || recheck.Before(a.Recheck)) {
		a.Recheck = recheck
	}
}

func serialText(n *big.Int) string { return hex.EncodeToString(n.Bytes()) }
