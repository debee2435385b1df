package brskiregistrar

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/briskest/briskest/brski"
	"github.com/briskest/briskest/conformance/wire"
)

// auditLogs: the registrar asks what the MASA has on record (RFC 8995, Section 5.8).
func auditLogs() []check {
	return slices.Concat(
		in("RFC 8995, Section 5.8",
			check{
				ID: "RFC8995-5.8-REG-1", Level: should, Text: "the registrar asks for the audit-log when the voucher has come to the pledge",
				Requirements: rows("BRSKI-8995-5.8-01"), Run: logged(nil, func(_ *exchange, logs []*arrival) error {
					if len(logs) == 0 {
						return errors.New("the MASA was not asked for the audit-log within five seconds of voucher_status")
					}
					return nil
				}),
			},
			check{
				ID: "RFC8995-5.8-REG-2", Level: should, Text: "the audit-log is asked for with the bytes of the voucher-request",
				Requirements: rows("BRSKI-8995-5.8-02"), Run: logged(nil, func(x *exchange, logs []*arrival) error {
					switch asked := x.requested(); {
					case len(logs) == 0 || len(asked) == 0:
						return skipf("there is no audit-log to compare with (see RFC8995-5.8-REG-1)")
					case !bytes.Equal(logs[0].body, asked[0].body):
						return errors.New("the bytes differ")
					case logs[0].header.Get("Content-Type") != asked[0].header.Get("Content-Type"):
						return fmt.Errorf("Content-Type is %q, and was %q", logs[0].header.Get("Content-Type"), asked[0].header.Get("Content-Type"))
					}
					return nil
				}),
			},
			check{
				ID: "RFC8995-5.8-REG-3", Level: must, Text: "an audit-log that is at the Location of a 201 is fetched there",
				Requirements: rows("BRSKI-8995-5.8-10"), Run: runLogElsewhere,
			},
			check{
				ID: "RFC8995-5.8-REG-4", Level: must, Text: "the audit-log is asked for by POST",
				Requirements: rows("BRSKI-8995-5.8-01"), Run: logged(nil, func(_ *exchange, logs []*arrival) error {
					if len(logs) == 0 {
						return skipf("there is none (see RFC8995-5.8-REG-1)")
					}
					if logs[0].method != http.MethodPost {
						return fmt.Errorf("it is a %s", logs[0].method)
					}
					return nil
				}),
			},
		),
		in("RFC 8995, Section 5.8.1", check{
			ID: "RFC8995-5.8.1-REG-1", Level: must, Text: "an audit-log with its numbers in strings, as in the RFC's example, is as good as another",
			Requirements: rows("BRSKI-8995-5.8.1-02"), Run: logged(stringNumbers, stillGood),
		}),
		in("RFC 8995, Section 5.8.2", check{
			ID: "RFC8995-5.8.2-REG-1", Level: must, Text: "an audit-log that names the registrar's own domain alone lets the pledge enroll",
			Requirements: rows("BRSKI-8995-5.8.2-02"), Run: runOwnLog,
		}),
		in("RFC 8995, Section 5.8.3", check{
			ID: "RFC8995-5.8.3-REG-1", Level: may, Text: "a device that another domain's nonceless entry shows is not enrolled without more ado",
			Requirements: rows("BRSKI-8995-5.8.3-01", "BRSKI-8995-5.8.3-02"), Run: runForeignLog,
		}),
	)
}

// logged asks for a voucher, reports its success, and waits for the registrar to
// ask for the log.
func logged(answer answering, judge func(*exchange, []*arrival) error) run {
	return func(ctx context.Context, t *Target) error {
		if err := t.need(ctx); err != nil {
			return err
		}
		pledge, err := t.another()
		if err != nil {
			return err
		}
		x, err := t.ask(ctx, asking{pledge: pledge, masa: answer, again: t.reportAndWait})
		if err != nil {
			return err
		}
		x.record(ctx)
		return judge(x, operation(x.seen, brski.OpRequestAuditLog))
	}
}

func (t *Target) reportAndWait(ctx context.Context, _ *wire.Conn, x *exchange) error {
	r := status(pathVoucherStatus, goodStatus)
	if _, err := t.Do(ctx, &wire.Options{Certificate: x.pledge, Untrusted: true}, &r); err != nil {
		return err
	}
	ticker := time.NewTicker(50 * time.Millisecond)
	defer ticker.Stop()
	for deadline := time.Now().Add(5 * time.Second); time.Now().Before(deadline); {
		if len(operation(t.MASA.arrivals(), brski.OpRequestAuditLog)) > 0 {
			return nil
		}
		select {
		case <-ticker.C:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return nil
}

func stillGood(x *exchange, logs []*arrival) error {
	switch {
	case len(logs) == 0:
		return skipf("the audit-log was not asked for (see RFC8995-5.8-REG-1)")
	case x.answer.Status != http.StatusOK:
		return fmt.Errorf("%v, want 200", x.answer)
	}
	return nil
}

// runOwnLog enrolls after a log that has nobody else in it.
func runOwnLog(ctx context.Context, t *Target) error {
	return logged(nil, func(x *exchange, logs []*arrival) error {
		if err := stillGood(x, logs); err != nil {
			return err
		}
		a, _, err := t.enroll(ctx, x.pledge)
		if err == nil && a.Status != http.StatusOK && a.Status != http.StatusAccepted {
			err = fmt.Errorf("%v, want 200", a)
		}
		return err
	})(ctx, t)
}

// stringNumbers writes the log as RFC 8995, Section 5.8.1 shows it.
func stringNumbers(m *MASA, w http.ResponseWriter, a *arrival) {
	if !a.isLog() || a.request == nil {
		m.issue(w, a)
		return
	}
	raw, err := brski.MarshalAuditLog(m.auditLog(a))
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	text := strings.Replace(string(raw), `"version":1`, `"version":"1"`, 1)
	says(http.StatusOK, "application/json", []byte(text))(m, w, a)
}

// elsewhere answers 201, and the log where it says.
func elsewhere(m *MASA, w http.ResponseWriter, a *arrival) {
	switch {
	case a.method == http.MethodGet && strings.HasSuffix(a.path, "/conformance-log"):
		for _, earlier := range m.arrivals() {
			if earlier.isLog() {
				m.log(w, earlier, http.StatusOK, nil)
				return
			}
		}
		http.NotFound(w, nil)
	case a.isLog():
		w.Header().Set("Location", strings.TrimSuffix(a.path, string(brski.OpRequestAuditLog))+"conformance-log")
		w.WriteHeader(http.StatusCreated)
	default:
		m.issue(w, a)
	}
}

func runLogElsewhere(ctx context.Context, t *Target) error {
	return logged(elsewhere, func(x *exchange, logs []*arrival) error {
		if len(logs) == 0 {
			return skipf("the audit-log was not asked for (see RFC8995-5.8-REG-1)")
		}
		if !slices.ContainsFunc(x.seen, func(a *arrival) bool { return strings.HasSuffix(a.path, "/conformance-log") }) {
			return errors.New("the MASA said where it is, and nobody came there")
		}
		return nil
	})(ctx, t)
}

// foreign adds another domain's entry without a nonce.
func foreign(m *MASA, w http.ResponseWriter, a *arrival) {
	if !a.isLog() {
		m.issue(w, a)
		return
	}
	m.log(w, a, http.StatusOK, func(l *brski.AuditLog) {
		l.Events = append(l.Events, brski.AuditEvent{Date: time.Now().UTC().Add(-time.Hour), DomainID: "AAAAAAAAAAAAAAAAAAAAAAAAAAA=", Assertion: "logged"})
	})
}

func runForeignLog(ctx context.Context, t *Target) error {
	if t.Manufacturer == nil {
		_, err := t.made(nil)
		return err
	}
	if err := t.need(ctx); err != nil {
		return err
	}
	pledge, err := t.another()
	if err != nil {
		return err
	}
	x, err := t.askOnce(ctx, asking{pledge: pledge, masa: foreign, again: t.reportAndWait})
	if err != nil {
		return err
	}
	x.record(ctx)
	if !x.answer.OK() {
		return nil // held or refused already
	}
	a, _, err := t.enroll(ctx, pledge)
	if err == nil && a.Status == http.StatusOK {
		err = fmt.Errorf("%v to a device that somebody else has a voucher without a nonce for", a)
	}
	return err
}
