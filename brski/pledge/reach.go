package pledge

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
)

// reach connects to a registrar of the domain that the device belongs to: where
// this run has been already, else where the imprint was made, else what is given
// and what is found, one after the other (RFC 8995, Section 4.1). Others are
// passed over.
func (r *run) reach(ctx context.Context, certificate *tls.Certificate, trust func([]*x509.Certificate) *Error) error {
	list := r.known()
	if r.address != "" {
		list = []origin{r.origin}
	}
	var tried []origin
	var errs []error
	try := func(o origin) bool {
		if len(tried) > 0 {
			if err := r.c.Wait(ctx, r.c.interval()); err != nil {
				errs = append(errs, r.unreachable(ctx, "connecting", err))
				return false
			}
		}
		tried, r.origin = append(tried, o), o
		l, err := r.connect(ctx, certificate, trust)
		if err != nil {
			errs = append(errs, err)
			return false
		}
		r.link = l
		return true
	}
	for _, o := range list {
		if try(o) {
			return nil
		}
		if ctx.Err() != nil {
			return verdict(errs)
		}
	}
	for r.c.Discoverer != nil && ctx.Err() == nil && len(tried) < maxTargets && (len(list) == 0 || list[0].via != viaESTDomain) {
		c, err := r.c.Discoverer.Next(ctx)
		if err != nil {
			break
		}
		if o, err := r.read(c); err == nil && !slices.ContainsFunc(tried, o.same) && try(o) {
			return nil
		}
	}
	r.origin = origin{}
	return verdict(errs)
}

// read reads what a discoverer returned, which is from anybody.
func (p *Pledge) read(c Candidate) (origin, error) {
	o, err := parseOrigin(c.URL, viaDiscovered)
	if err != nil {
		p.c.Log.Warn("discovered registrar passed over", slog.String("url", printable([]byte(c.URL), 200)), slog.Any("error", err))
	}
	return o, err
}

// verdict makes one error of those of several registrars: of the most hopeful
// class, with all of them as its cause.
func verdict(errs []error) error {
	if len(errs) == 0 {
		return &Error{
			Reason: ReasonNoRegistrar, class: ErrUnavailable, Section: "RFC 8995, Section 4.1",
			Message: "no registrar was found; name one, or see that a registrar or join proxy announces itself on this network",
		}
	}
	if len(errs) == 1 {
		return errs[0]
	}
	best := errs[0]
	for _, class := range []error{ErrUntrusted, ErrRefused, ErrUnavailable, ErrPending} {
		if i := slices.IndexFunc(errs, func(err error) bool { return errors.Is(err, class) }); i >= 0 {
			best = errs[i]
		}
	}
	var e *Error
	if !errors.As(best, &e) {
		return errors.Join(errs...)
	}
	whole := *e
	whole.Message = fmt.Sprintf("none of %d registrars let the device in", len(errs))
	whole.Err = attemptErrors(errs)
	return &whole
}

// attemptErrors are the errors of several registrars.
type attemptErrors []error

func (errs attemptErrors) Error() string {
	var texts []string
	for _, err := range errs {
		texts = append(texts, err.Error())
	}
	return strings.Join(texts, "; ")
}

func (errs attemptErrors) Unwrap() []error { return errs }
