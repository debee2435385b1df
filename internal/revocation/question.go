package revocation

import (
	"context"
	"crypto/sha256"
	"crypto/x509"
	"encoding/asn1"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"time"
)

// Bounds of what one certificate makes a Checker ask.
const (
	maxPoints     = 4 // distribution points
	maxResponders = 2
)

// question is about one certificate.
type question struct {
	*Checker
	cert, issuer *x509.Certificate
	at           time.Time
	deadline     time.Time // of all that is asked elsewhere
	answer       *Answer
	ocsp         bool // false for an OCSP responder's own certificate

	problems []string
}

// ask returns nil for a certificate that is not revoked or has nowhere to
// ask, a *Revoked, or an error that wraps ErrUnavailable.
func (q *question) ask(ctx context.Context) error {
	// The issuer says that it will never say (RFC 9608, Section 2).
	if !q.cert.IsCA && has(q.cert, asn1.ObjectIdentifier{2, 5, 29, 56}) {
		return nil
	}
	known, err := q.askLists()
	if known || err != nil {
		return err
	}
	named := has(q.cert, oidDistributionPoints) || q.ocsp && len(q.cert.OCSPServer) > 0
	if named && q.fetcher != nil {
		known, err = q.askOut(ctx)
		if known || err != nil {
			return err
		}
	}
	switch {
	case named && q.fetcher == nil:
		q.problem("it names where to ask, and fetching is off")
	case named:
	case len(q.problems) > 0:
	case q.mode == RequireAll:
		q.problem("it names nowhere to ask, and no list of its issuer is at hand")
	default:
		return nil
	}
	q.retry()
	return fmt.Errorf("%w for certificate %s of %q: %s", ErrUnavailable, serialText(q.cert.SerialNumber), q.cert.Subject,
		strings.Join(q.problems, "; "))
}

// retry has a missing answer asked for again soon.
func (q *question) retry() {
	if q.fetcher != nil {
		q.answer.ends(time.Time{}, q.at.Add(q.fetcher.config.Retry))
	}
}

func (q *question) problem(format string, args ...any) {
	q.problems = append(q.problems, fmt.Sprintf(format, args...))
}

// askLists looks into the lists at hand. known tells that one of them is
// current and does not have the certificate. Of lists with the same scope only
// the newest counts.
func (q *question) askLists() (known bool, err error) {
	var seen [][]byte
	for _, l := range q.lists[string(q.cert.RawIssuer)] {
		if slices.ContainsFunc(seen, l.sameScope) {
			continue
		}
		if err := l.signedBy(q.issuer); err != nil {
			q.problem("%s is not signed by its issuer", l.name)
			continue
		}
		seen = append(seen, l.scopeDER)
		good, err := q.look(l)
		if err != nil {
			return false, err
		}
		if good {
			q.answer.ends(l.until(), l.until())
			known = true
		}
	}
	return known, nil
}

// look looks into one list of the certificate's issuer.
func (q *question) look(l *List) (good bool, err error) {
	if err := l.covers(q.cert); err != nil {
		q.problem("%s: %v", l.name, err)
		return false, nil
	}
	// Also a list past its end says what was revoked.
	if e, found := l.entry(q.cert.SerialNumber); found {
		return false, &Revoked{Certificate: q.cert, At: e.at, Reason: e.reason, Source: l.name}
	}
	if err := current(l, q.at); err != nil {
		q.problem("%s: %v", l.name, err)
		return false, nil
	}
	if l.someReasons {
		q.problem("%s is about some reasons only", l.name)
		return false, nil
	}
	return true, nil
}

// askOut asks where the certificate says: lists first, which answer for all
// certificates of the issuer, then OCSP.
func (q *question) askOut(ctx context.Context) (known bool, err error) {
	ctx, cancel := context.WithDeadline(ctx, q.deadline)
	defer cancel()
	for _, address := range first(q.cert.CRLDistributionPoints, maxPoints) {
		good, err := q.askPoint(ctx, address)
		if good || err != nil {
			return good, err
		}
	}
	if q.ocsp {
		for _, address := range first(q.cert.OCSPServer, maxResponders) {
			good, err := q.askResponder(ctx, address)
			if good || err != nil {
				return good, err
			}
		}
	}
	if len(q.problems) == 0 {
		q.problem("none of its distribution points has an address")
	}
	return false, nil
}

func (q *question) askPoint(ctx context.Context, address string) (good bool, err error) {
	u, err := fetchable(address)
	if err != nil {
		q.problem("%v", err)
		return false, nil
	}
	key := sha256.Sum256([]byte("list\x00" + q.reach(u) + address + "\x00" + string(q.issuer.RawSubjectPublicKeyInfo) + string(q.issuer.RawSubject)))
	got := q.fetcher.get(ctx, key, q.at, func(ctx context.Context) (evidence, error) {
		return q.fetcher.list(ctx, u, q.permits(u), q.issuer)
	})
	if got.value == nil {
		q.problem("%s: %v", address, got.err)
		return false, nil
	}
	l, ok := got.value.(*List)
	if !ok {
		return false, fmt.Errorf("revocation: internal error: a %T where a list was asked for", got.value)
	}
	good, err = q.look(l)
	if good {
		q.answer.ends(l.until(), got.recheck)
	} else if err == nil && got.err != nil {
		q.problem("%s: %v", address, got.err)
	}
	return good, err
}

func (q *question) askResponder(ctx context.Context, address string) (good bool, err error) {
	u, err := fetchable(address)
	if err != nil {
		q.problem("%v", err)
		return false, nil
	}
	id, err := newCertID(q.cert, q.issuer)
	if err != nil {
		q.problem("%s: %v", address, err)
		return false, nil
	}
	key := sha256.Sum256([]byte("ocsp\x00" + q.reach(u) + address + "\x00" + string(id.request)))
	got := q.fetcher.get(ctx, key, q.at, func(ctx context.Context) (evidence, error) {
		return q.askOCSP(ctx, u, id)
	})
	if got.value == nil {
		q.problem("%s: %v", address, got.err)
		return false, nil
	}
	s, ok := got.value.(*ocspStatus)
	if !ok {
		return false, fmt.Errorf("revocation: internal error: a %T where an OCSP answer was asked for", got.value)
	}
	if s.revoked {
		return false, &Revoked{Certificate: q.cert, At: s.at, Reason: s.reason, Source: address}
	}
	if err := current(s, q.at); err != nil {
		q.problem("%s: %v", address, errors.Join(err, got.err))
		return false, nil
	}
	q.answer.ends(s.until(), got.recheck)
	return true, nil
}

// permits tells whether the host may be at any address.
func (q *question) permits(u *url.URL) bool {
	return slices.Contains(q.allowed, strings.ToLower(u.Hostname()))
}

// reach keeps apart what was fetched under different rules.
func (q *question) reach(u *url.URL) string {
	if q.permits(u) {
		return "any\x00"
	}
	return "public\x00"
}

// skew is how far ahead the clock of who makes an answer may be.
const skew = 5 * time.Minute

// current tells whether evidence counts at the given time.
func current(e evidence, at time.Time) error {
	switch {
	case e.made().After(at.Add(skew)):
		return fmt.Errorf("made at %s, which is still to come", e.made().UTC().Format(time.RFC3339))
	case !at.Before(e.until()):
		return fmt.Errorf("ended at %s", e.until().UTC().Format(time.RFC3339))
	}
	return nil
}

var oidDistributionPoints = asn1.ObjectIdentifier{2, 5, 29, 31} // RFC 5280, Section 4.2.1.13

func has(cert *x509.Certificate, oid asn1.ObjectIdentifier) bool {
	for _, e := range cert.Extensions {
		if e.Id.Equal(oid) {
			return true
		}
	}
	return false
}

func first(list []string, n int) []string { return list[:min(n, len(list))] }
