package brskipledge

import (
	"bytes"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/briskest/briskest/brski"
	"github.com/briskest/briskest/conformance"
	"github.com/briskest/briskest/conformance/unkind"
)

// answers: what a registrar may say to a voucher-request besides a voucher.
func answers() []check {
	return slices.Concat(
		in("RFC 8995, Section 5.6",
			scene("RFC8995-5.6-P-1", must, "After \"not yet\" the same voucher-request is sent again, byte for byte",
				rows("BRSKI-8995-5.6-08"), notYet(func() *unkind.Answer { return unkind.Later(1) }), repeats),
			scene("RFC8995-5.6-P-2", must, "After \"not yet\" the voucher-request is not sent again before Retry-After has passed",
				rows("EST-7030-4.2.3-10"), notYet(func() *unkind.Answer { return unkind.Later(1) }), waits(time.Second)),
			refusal("RFC8995-5.6-P-3", must, "No more than one redirect to another origin is followed",
				rows("BRSKI-8995-5.6-09"), redirecting(3), staysBelow(2)),
			refusal("RFC8995-5.6-P-4", must, "Two registrars that redirect to one another do not keep a pledge busy",
				rows("BRSKI-8995-5.6-09"), circle(), endsSoon(4)),
			refusal("RFC8995-5.6-P-5", should, "A registrar that redirects to itself does not keep a pledge busy",
				rows("BRSKI-8995-5.6-09"), script{answer: on(brski.OpRequestVoucher, func(a *asked) *unkind.Answer { return unkind.Elsewhere(a.Path) })}, endsSoon(20)),
			refusal("RFC8995-5.6-P-6", must, "A voucher-request that follows a redirect names the certificate of the registrar that it goes to",
				rows("BRSKI-8995-5.2-06", "BRSKI-8995-5.6-09"), redirecting(2), namesEach),
			refusal("RFC8995-5.6-P-7", must, "A registrar that refuses with 403 is not joined",
				rows("BRSKI-8995-5.6.2-01"), says(unkind.Text(http.StatusForbidden, "No.")), refuses),
			refusal("RFC8995-5.6-P-8", must, "What comes with a status of failure is no voucher, whatever it looks like",
				rows("BRSKI-8995-5.1-06"), bent(func(a *unkind.Answer) *unkind.Answer { a.Status = http.StatusBadRequest; return a }), refuses),
			refusal("RFC8995-5.6-P-9", should, "A registrar that answers 503 is not asked again before Retry-After has passed",
				rows("EST-7030-4.2.3-10"), notYet(busy), waits(time.Second)),
			refusal("RFC8995-5.6-P-10", should, "A registrar that fails without saying for how long is not asked again and again",
				rows("BRSKI-8995-5.1-06"), says(unkind.Text(http.StatusInternalServerError, "Broken.")), endsSoon(5)),
			refusal("RFC8995-5.6-P-11", should, "An answer of another type is no voucher",
				rows("BRSKI-8995-5.1-06"), bent(func(a *unkind.Answer) *unkind.Answer { return a.With("Content-Type", "text/html") }), refuses),
			refusal("RFC8995-5.6-P-12", should, "A registrar that ends the connection instead of answering is not asked again and again",
				rows("BRSKI-8995-5.1-06"), says(&unkind.Answer{}), endsSoon(5)),
		),
		in("RFC 9110, Section 5.1",
			scene("RFC9110-5.1-P-1", must, "Names of header lines are understood in lower case",
				rows("EST-7030-3.1-01"), every(func(a *unkind.Answer) *unkind.Answer { a.Lower = true; return a }), joins),
		),
		in("RFC 9110, Section 8.3.1",
			scene("RFC9110-8.3.1-P-1", should, "The type of the voucher is understood in capitals and with a parameter",
				rows("BRSKI-8995-5.2-04"), bent(func(a *unkind.Answer) *unkind.Answer {
					return a.With("Content-Type", strings.ToUpper(a.Header[0][1])+"; charset=utf-8")
				}), joins),
		),
		in("RFC 9112, Section 7.1",
			scene("RFC9112-7.1-P-1", must, "Answers that come in chunks are read", rows("EST-7030-3.1-01"), every(func(a *unkind.Answer) *unkind.Answer {
				a.Chunked = a.Status != http.StatusNoContent
				return a
			}), joins),
			scene("RFC9112-7.1-P-2", should, "Answers that come slowly are waited for", rows("EST-7030-3.1-01"), every(func(a *unkind.Answer) *unkind.Answer {
				a.Pause = 20 * time.Millisecond
				return a
			}), joins),
		),
	)
}

// every changes each answer of the kind registrar.
func every(f func(*unkind.Answer) *unkind.Answer) script {
	return script{answer: func(a *asked) *unkind.Answer { return f(a.world.kindly(a.Request)) }}
}

func busy() *unkind.Answer {
	return unkind.Text(http.StatusServiceUnavailable, "Later.").With("Retry-After", "1")
}

// redirecting is a chain of that many registrars, of which each redirects to the
// next and the last is kind.
func redirecting(n int) script {
	return script{
		origins: func(t *Target, w *world) ([]unkind.Origin, error) {
			origins := []unkind.Origin{unkind.Always(unkind.Serving(w.server))}
			for range n - 1 {
				c, err := w.issuing.Present(unkind.ServerTemplate(t.Name()))
				if err != nil {
					return nil, err
				}
				origins = append(origins, unkind.Always(unkind.Serving(c)))
			}
			return origins, nil
		},
		answer: on(brski.OpRequestVoucher, func(a *asked) *unkind.Answer {
			if a.Origin == n-1 {
				return nil
			}
			return unkind.Elsewhere(a.server.URL(a.Origin+1) + a.Path)
		}),
	}
}

// circle is two registrars that redirect to one another.
func circle() script {
	s := redirecting(2)
	s.answer = on(brski.OpRequestVoucher, func(a *asked) *unkind.Answer { return unkind.Elsewhere(a.server.URL(1-a.Origin) + a.Path) })
	return s
}

func repeats(r *run) error {
	found, err := r.requested()
	if err != nil {
		return err
	}
	switch {
	case len(found) == 1 && r.outcome.Known && r.outcome.Took:
		return errors.New("the pledge reports success without a voucher")
	case len(found) == 1:
		return conformance.Skip("the pledge did not ask again%s", r.said())
	case !bytes.Equal(found[0].Body, found[1].Body):
		return fmt.Errorf("the second voucher-request differs from the first: %s", difference(found[0], found[1]))
	default:
		return nil
	}
}

func difference(a, b *unkind.Request) string {
	x, err1 := open(a)
	y, err2 := open(b)
	switch {
	case err1 != nil || err2 != nil:
		return fmt.Sprintf("%d bytes and %d", len(a.Body), len(b.Body))
	case x.Nonce != y.Nonce:
		return "the nonce is another one"
	default:
		return "it was signed again"
	}
}

// waits wants that long between the voucher-requests.
func waits(least time.Duration) func(*run) error {
	const slack = 50 * time.Millisecond // between the clocks' ticks
	return func(r *run) error {
		found, err := r.requested()
		switch {
		case err != nil:
			return err
		case len(found) == 1 && r.outcome.Known && r.outcome.Took:
			return errors.New("the pledge reports success without a voucher")
		case len(found) == 1:
			return nil // it may leave the repetition to somebody else
		}
		if waited := found[1].At.Sub(found[0].At); waited < least-slack {
			return fmt.Errorf("the pledge asked again after %v, want %v at least", waited.Round(time.Millisecond), least)
		}
		return nil
	}
}

// staysBelow wants no request at the origin of that number.
func staysBelow(origin int) func(*run) error {
	return func(r *run) error {
		if _, err := r.requested(); err != nil {
			return err
		}
		for _, q := range r.requests {
			if q.Origin >= origin {
				return fmt.Errorf("the pledge followed %d redirects", q.Origin)
			}
		}
		return nil
	}
}

// endsSoon wants no more voucher-requests than that.
func endsSoon(most int) func(*run) error {
	return func(r *run) error {
		found, err := r.requested()
		if err != nil {
			return err
		}
		if len(found) > most {
			return fmt.Errorf("the pledge sent %d voucher-requests, want %d at most", len(found), most)
		}
		return refuses(r)
	}
}

// namesEach wants each voucher-request to name the registrar that it went to.
func namesEach(r *run) error {
	found, err := r.requested()
	if err != nil {
		return err
	}
	for _, q := range found {
		if q.Origin == 0 {
			continue
		}
		opened, err := open(q)
		if err != nil {
			return conformance.Skip("the voucher-request does not open (see RFC8995-5.2-P-1): %v", err)
		}
		if !bytes.Equal(opened.ProximityRegistrarCert, r.server(q)) {
			return errors.New("after a redirect the voucher-request names another registrar than the one that it was sent to")
		}
		return nil
	}
	return nil // it need not follow
}
