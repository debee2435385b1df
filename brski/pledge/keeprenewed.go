package pledge

import (
	"context"
	"crypto/sha256"
	"crypto/x509"
	"encoding/binary"
	"errors"
	"fmt"
	"log/slog"
	"time"
)

const (
	// A day that a clock jumped, or a machine slept, is noticed within this.
	maxRenewalWait = time.Hour
	// After a renewal that failed, doubled each time (RFC 8995, Section 4.1, ends at an hour too).
	minRenewalRetry = time.Minute
	maxRenewalRetry = time.Hour
)

// RenewAt returns when the LDevID is to be renewed: between two thirds and three
// quarters of its life. Where in between follows from the IDevID and the LDevID,
// so that devices that were onboarded together do not come back together, and
// one that restarts keeps its turn. A time in the past means now. A device
// without an LDevID gets an *[Error] with [ReasonNotEnrolled].
func (p *Pledge) RenewAt() (time.Time, error) {
	cert, err := p.enrolledCertificate()
	if err != nil {
		return time.Time{}, err
	}
	return p.renewAt(cert), nil
}

func (p *Pledge) enrolledCertificate() (*x509.Certificate, error) {
	status, err := p.Status()
	if err != nil {
		return nil, err
	}
	if status.Stage != Enrolled {
		return nil, notEnrolled()
	}
	return status.Certificate, nil
}

func (p *Pledge) renewAt(cert *x509.Certificate) time.Time {
	life := cert.NotAfter.Sub(cert.NotBefore)
	earliest := cert.NotBefore.Add(life / 3 * 2)
	return earliest.Add(p.spread(cert, 0, life/12))
}

// spread returns a duration from 0 to below within: always the same one for the
// same device, certificate and attempt, and unrelated to that of any other.
func (p *Pledge) spread(cert *x509.Certificate, attempt int, within time.Duration) time.Duration {
	h := sha256.New()
	h.Write(p.idevid.Raw)
	h.Write(cert.Raw)
	h.Write(binary.BigEndian.AppendUint64(nil, uint64(attempt)))
	if within <= 0 {
		return 0
	}
	return time.Duration(binary.BigEndian.Uint64(h.Sum(nil)) % uint64(within))
}

// KeepRenewed renews the LDevID whenever [Pledge.RenewAt] says so, until ctx
// ends, whose error it then returns. A renewal that fails is reported
// ([StepRenewalFailed]) and tried again after a minute, then two, up to an hour,
// or when the registrar said; each wait is cut as the end of the certificate comes
// near, so that there are several attempts before it. Once the certificate has
// expired it returns an *[Error] with [ReasonExpired]: what to do then, such as
// [Pledge.Reset] and [Pledge.Onboard], is the caller's to decide. Without an LDevID
// it returns at once ([ReasonNotEnrolled]).
//
// It waits with Config.Wait and reads the time with Config.Now. With NoClock the
// time counts as no earlier than [Status.NotEarlier]: such a device renews by the
// time that it was running since it was last enrolled or started.
func (p *Pledge) KeepRenewed(ctx context.Context) error {
	k := &keeper{Pledge: p, since: p.c.Now()}
	for {
		if err := k.turn(ctx); err != nil {
			return err
		}
	}
}

// keeper is one KeepRenewed.
type keeper struct {
	*Pledge
	since    time.Time     // of the current certificate, or start
	failures int           // in a row
	pause    time.Duration // that is left after the last of them
}

// turn waits for some of the time that is left, or renews.
func (k *keeper) turn(ctx context.Context) error {
	status, err := k.Status()
	if err != nil {
		return err
	}
	if status.Stage != Enrolled {
		return notEnrolled()
	}
	now, cert := k.now(status), status.Certificate
	left := cert.NotAfter.Sub(now)
	if left <= 0 {
		return k.expired(ctx, cert)
	}
	d := k.pause
	if k.failures == 0 {
		d = k.renewAt(cert).Sub(now)
	}
	if d > 0 {
		d = min(d, left, maxRenewalWait)
		k.pause -= d
		return k.c.Wait(ctx, d)
	}
	err = k.renewOnce(ctx, cert, left)
	if ctx.Err() != nil {
		return ctx.Err()
	}
	if err != nil {
		k.failures++
		k.pause = k.renewalPause(cert, k.failures, left, err)
		k.reportRenewalFailed(ctx, cert, k.pause, err)
		return nil
	}
	k.failures, k.since = 0, k.c.Now()
	return nil
}

// now is the time as far as the device knows it.
func (k *keeper) now(status *Status) time.Time {
	now := k.c.Now()
	if k.c.NoClock && now.Before(status.NotEarlier) {
		return status.NotEarlier.Add(now.Sub(k.since))
	}
	return now
}

// renewOnce renews, and ends when the certificate does.
func (p *Pledge) renewOnce(ctx context.Context, old *x509.Certificate, left time.Duration) error {
	within, cancel := context.WithTimeout(ctx, left)
	defer cancel()
	result, err := p.Renew(within)
	if err != nil {
		return err
	}
	// A registrar may answer with the certificate that it gave before.
	if !result.Certificate.NotAfter.After(old.NotAfter) {
		return &Error{
			Reason: ReasonNotRenewed, class: ErrUnavailable, Section: "RFC 7030, Section 4.2.2",
			Message: "the certificate that the registrar gave ends no later than the one before",
		}
	}
	return nil
}

// renewalPause is how long to wait after a number of failures in a row: with
// spread, never so long that fewer than some attempts are left.
func (p *Pledge) renewalPause(cert *x509.Certificate, failures int, left time.Duration, err error) time.Duration {
	d := minRenewalRetry << min(failures-1, 10)
	d = min(d, maxRenewalRetry)
	var e *Error
	if errors.As(err, &e) && e.RetryAfter > d {
		d = min(e.RetryAfter, maxRenewalRetry)
	}
	d = min(d, left/4)
	return max(d-p.spread(cert, failures, d/4), time.Second)
}

func (p *Pledge) reportRenewalFailed(ctx context.Context, cert *x509.Certificate, pause time.Duration, err error) {
	proven := fmt.Sprintf("the certificate until %s stays; the next attempt is in %s: %v",
		cert.NotAfter.UTC().Format(time.RFC3339), pause.Round(time.Second), err)
	p.c.Report(Step{Name: StepRenewalFailed, Proven: proven, At: p.c.Now()})
	p.c.Log.WarnContext(ctx, "renewal failed", slog.Duration("pause", pause), slog.Time("not_after", cert.NotAfter), slog.Any("error", err))
}

func (p *Pledge) expired(ctx context.Context, cert *x509.Certificate) error {
	err := &Error{
		Reason: ReasonExpired, Section: "RFC 7030, Section 4.2.2",
		Message: fmt.Sprintf("the LDevID ended on %s without having been renewed; reset and onboard again",
			cert.NotAfter.UTC().Format(time.RFC3339)),
	}
	p.c.Report(Step{Name: StepRenewalFailed, Proven: err.Message, At: p.c.Now()})
	p.c.Log.ErrorContext(ctx, "LDevID expired", slog.Time("not_after", cert.NotAfter))
	return err
}

func notEnrolled() *Error {
	return &Error{Reason: ReasonNotEnrolled, Message: "there is no LDevID to renew; onboard first"}
}
