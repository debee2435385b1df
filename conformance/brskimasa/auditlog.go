package brskimasa

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"time"

	"github.com/briskest/briskest/conformance/wire"
	"github.com/briskest/briskest/voucher"
)

// document is an audit-log as it stands.
type document struct {
	answer *wire.Answer
	outer  map[string]any
	events []map[string]any
}

// event is the one with that nonce, nil for none.
func (d *document) event(nonce string) map[string]any {
	for _, e := range d.events {
		if e["nonce"] == nonce {
			return e
		}
	}
	return nil
}

// log asks for a device's audit-log, follows a 201, and skips what cannot be read.
func (t *Target) log(ctx context.Context, a asking) (*document, error) {
	x, err := t.ask(ctx, log(a))
	if err != nil {
		return nil, err
	}
	answer := x.answer
	if answer.Status == http.StatusCreated {
		if answer, err = t.follow(ctx, answer); err != nil {
			return nil, err
		}
	}
	if answer.Status != http.StatusOK {
		return nil, skipf("%v (see RFC8995-5.8-MASA-1)", answer)
	}
	d := &document{answer: answer}
	if err := json.Unmarshal(answer.Body, &d.outer); err != nil {
		return nil, skipf("the audit-log is no JSON object (see RFC8995-5.8.1-MASA-1): %v", err)
	}
	list, _ := d.outer["events"].([]any)
	for _, e := range list {
		if event, ok := e.(map[string]any); ok {
			d.events = append(d.events, event)
		}
	}
	return d, nil
}

// follow fetches the log that a 201 leads to (RFC 8995, Section 5.8), from the same server.
func (t *Target) follow(ctx context.Context, created *wire.Answer) (*wire.Answer, error) {
	base, err := url.Parse(t.URL)
	if err != nil {
		return nil, err
	}
	where, err := base.Parse(created.Header.Get("Location"))
	if err != nil || where.Host != base.Host {
		return nil, skipf("%v with Location %q, which is another server", created, created.Header.Get("Location"))
	}
	return t.plain(ctx, wire.Request{Method: http.MethodGet, Path: where.RequestURI(), Header: [][2]string{{"Accept", "application/json"}}})
}

// document is the log with the first good voucher in it, asked for once.
func (t *Target) document(ctx context.Context) (*exchange, *document, error) {
	x, err := t.good(ctx)
	if err != nil {
		return nil, nil, err
	}
	t.logged.Do(func() { t.latest, t.logErr = t.log(context.WithoutCancel(ctx), asking{nonce: x.nonce}) })
	return x, t.latest, t.logErr
}

// inTheLog looks at the log with the first good voucher in it.
func inTheLog(judge func(x *exchange, d *document) error) run {
	return func(ctx context.Context, t *Target) error {
		x, d, err := t.document(ctx)
		if err != nil {
			return err
		}
		return judge(x, d)
	}
}

// issued asks for a new voucher, and then for the log.
func issued(make making, judge func(x *exchange, d *document) error) run {
	return func(ctx context.Context, t *Target) error {
		a, err := t.following(ctx, make)
		if err != nil {
			return err
		}
		x, err := t.ask(ctx, a)
		if err != nil {
			return err
		}
		if x.answer.Status != http.StatusOK {
			return skipf("%v: the checks of it say more", x.answer)
		}
		d, err := t.log(ctx, asking{pledge: a.pledge, registrar: a.registrar, nonce: x.nonce, none: a.none})
		if err != nil {
			return err
		}
		return judge(x, d)
	}
}

// auditLogs: requestauditlog (RFC 8995, Section 5.8).
func auditLogs() []check {
	return slices.Concat(
		in("RFC 8995, Section 5.8",
			check{
				ID: "RFC8995-5.8-MASA-1", Level: must, Text: "the registrar that got a voucher is answered 200, or 201 with where the audit-log is",
				Requirements: rows("BRSKI-8995-9.1.1-03", "BRSKI-8995-5.8-08"), Run: runLogServed,
			},
			check{
				ID: "RFC8995-5.8-MASA-2", Level: must, Text: "a domain that never had a voucher for the device is answered 404",
				Requirements: rows("BRSKI-8995-5.8-05"), Run: refused(neverHere, http.StatusNotFound),
			},
			check{
				ID: "RFC8995-5.8-MASA-3", Level: must, Text: "a device that the MASA does not know is answered 404",
				Requirements: rows("BRSKI-8995-5.8-05"), Run: refused(just(log(asking{content: unknownDevice})), http.StatusNotFound),
			},
			check{
				ID: "RFC8995-5.8-MASA-4", Level: must, Text: "a stranger cannot tell a device of the MASA's from one that is none",
				Requirements: rows("BRSKI-8995-5.8-05"), Run: runNoOracle,
			},
			check{
				ID: "RFC8995-5.8-MASA-5", Level: must, Text: "who had a voucher reads the log on after another domain has one",
				Requirements: rows("BRSKI-8995-5.8-06"), Run: runReadsOn,
			},
			check{
				ID: "RFC8995-5.8-MASA-6", Level: must, Text: "who owned the device reads its log",
				Requirements: rows("BRSKI-8995-5.8-06"), Run: device("--former", "a device that the registrar's domain owned once", func(t *Target) *tls.Certificate { return t.Former }, func(a asking) run {
					return judged(just(log(a)), func(x *exchange) error {
						if !x.answer.OK() {
							return fmt.Errorf("%v, want 200", x.answer)
						}
						return nil
					})
				}),
			},
			check{
				ID: "RFC8995-5.8-MASA-7", Level: must, Text: "the log of a device is not served under the idevid-issuer of another CA",
				Requirements: rows("BRSKI-8995-5.8-07"), Run: refused(just(log(asking{content: otherIssuer}))),
			},
			check{
				ID: "RFC8995-5.8-MASA-8", Level: must, Text: "who cannot sign as the registrar is served no log",
				Requirements: rows("BRSKI-8995-5.8-05", "BRSKI-8995-5.5.3-01"), Run: refused(just(log(asking{body: tamper}))),
			},
			check{
				ID: "RFC8995-5.8-MASA-9", Level: must, Text: "a request for the log in base64 is refused",
				Requirements: rows("BRSKI-8995-6-02"), Run: refused(just(log(asking{body: func(b []byte) []byte {
					return []byte(base64.StdEncoding.EncodeToString(b))
				}}))),
			},
			check{
				ID: "RFC8995-5.8-MASA-10", Level: should, Text: "a media type that is no voucher-request's is answered 415",
				Requirements: rows("BRSKI-8995-5.5-02"), Run: refused(just(log(asking{edit: field("Content-Type", "application/json")})), http.StatusUnsupportedMediaType),
			},
			check{
				ID: "RFC8995-5.8-MASA-11", Level: must, Text: "the pledge that asks for its own log is served none",
				Requirements: rows("BRSKI-8995-5.5.4-01", "BRSKI-8995-5.8-05"), Run: refused(func(_ context.Context, t *Target) (asking, error) {
					return log(asking{registrar: t.Pledge}), nil
				}),
			},
			check{
				ID: "RFC8995-5.8-MASA-12", Level: must, Text: "asking for the log leaves no voucher in it",
				Requirements: rows("BRSKI-8995-5.6-15"), Run: runAskingIsNoVoucher,
			},
		),
		in("RFC 8995, Section 5.8.1", logForm()...),
		in("RFC 8995, Section 5.8.2",
			check{
				ID: "RFC8995-5.8.2-MASA-1", Level: must, Text: "domainID is the key identifier of the certificate that is pinned",
				Requirements: rows("BRSKI-8995-5.8.2-01"), Run: inTheLog(domainIDOfPin),
			},
			check{
				ID: "RFC8995-5.8.2-MASA-2", Level: must, Text: "domainID is the SHA-256 of the key of a certificate without a key identifier",
				Requirements: rows("BRSKI-8995-5.8.2-01"), Run: issued(withoutKeyID, domainIDOfPin),
			},
		),
	)
}

func unknownDevice(r *voucher.Request) {
	r.SerialNumber, r.PriorSignedVoucherRequest = "conformance-no-such-device", nil
}

// neverHere is a domain that has not asked for anything.
func neverHere(context.Context, *Target) (asking, error) {
	d, err := newDomain("never here", nil)
	if err != nil {
		return asking{}, err
	}
	return log(asking{registrar: d.registrar}), nil
}

func runLogServed(ctx context.Context, t *Target) error {
	x, err := t.good(ctx)
	if err != nil {
		return err
	}
	// The identical request, as RFC 8995, Section 5.8 suggests.
	asked := *x
	asked.operation = log(asking{}).operation
	if err := t.send(ctx, &asked); err != nil {
		return err
	}
	answer := asked.answer
	if answer.Status == http.StatusCreated {
		if answer, err = t.follow(ctx, answer); err != nil {
			return err
		}
	}
	if answer.Status != http.StatusOK {
		return fmt.Errorf("%v, want 200", answer)
	}
	return nil
}

func runNoOracle(ctx context.Context, t *Target) error {
	if _, err := t.good(ctx); err != nil {
		return err
	}
	a, err := neverHere(ctx, t)
	if err != nil {
		return err
	}
	known := a
	known.prior = func([]byte) []byte { return nil }
	unknown := a
	unknown.content = unknownDevice
	of, err := t.ask(ctx, known)
	if err != nil {
		return err
	}
	no, err := t.ask(ctx, unknown)
	switch {
	case err != nil:
		return err
	case of.answer.OK() || no.answer.OK():
		return skipf("%v (see RFC8995-5.8-MASA-2)", of.answer)
	case of.answer.Status != no.answer.Status || string(of.answer.Body) != string(no.answer.Body):
		return fmt.Errorf("%v for a device that is there, and %v for one that is not", of.answer, no.answer)
	}
	return nil
}

func runReadsOn(ctx context.Context, t *Target) error {
	x, err := t.good(ctx)
	if err != nil {
		return err
	}
	if _, err := t.strangers(ctx); err != nil { // which have a voucher by now
		return err
	}
	asked := *x
	asked.operation = log(asking{}).operation
	if err := t.send(ctx, &asked); err != nil {
		return err
	}
	if !asked.answer.OK() {
		return fmt.Errorf("%v after another domain had a voucher, want 200", asked.answer)
	}
	return nil
}

func runAskingIsNoVoucher(ctx context.Context, t *Target) error {
	if _, err := t.good(ctx); err != nil {
		return err
	}
	nonce := voucher.NewNonce()
	for range 2 {
		d, err := t.log(ctx, asking{nonce: nonce})
		if err != nil {
			return err
		}
		if d.event(nonce) != nil {
			return errors.New("the nonce of a request for the log alone is in the log")
		}
	}
	return nil
}

// logForm: the document (RFC 8995, Section 5.8.1).
func logForm() []check {
	event := func(judge func(x *exchange, e map[string]any) error) run {
		return inTheLog(func(x *exchange, d *document) error {
			e := d.event(x.nonce)
			if e == nil {
				return skipf("the voucher's nonce is not in the log (see RFC8995-5.8.1-MASA-4)")
			}
			return judge(x, e)
		})
	}
	return []check{
		{
			ID: "RFC8995-5.8.1-MASA-1", Level: should, Text: "the audit-log is application/json",
			Requirements: rows("BRSKI-8995-5.8.1-01"), Run: inTheLog(func(_ *exchange, d *document) error {
				if d.answer.MediaType() != "application/json" {
					return fmt.Errorf("%v of %q", d.answer, d.answer.MediaType())
				}
				return nil
			}),
		},
		{
			ID: "RFC8995-5.8.1-MASA-2", Level: should, Text: "version is the number 1",
			Requirements: rows("BRSKI-8995-5.8.1-01"), Run: inTheLog(func(_ *exchange, d *document) error {
				if d.outer["version"] != float64(1) {
					return fmt.Errorf("version is %#v", d.outer["version"])
				}
				return nil
			}),
		},
		{
			ID: "RFC8995-5.8.1-MASA-3", Level: should, Text: "events have a date, a domainID in base64 and an assertion, and nonce as a string or null",
			Requirements: rows("BRSKI-8995-5.8.1-01"), Run: inTheLog(func(_ *exchange, d *document) error {
				if list, ok := d.outer["events"].([]any); !ok || len(list) != len(d.events) {
					return fmt.Errorf("events is no list of objects")
				}
				for _, e := range d.events {
					if err := wellFormed(e); err != nil {
						return err
					}
				}
				return nil
			}),
		},
		{
			ID: "RFC8995-5.8.1-MASA-4", Level: must, Text: "a voucher that was issued is in the log, with its nonce",
			Requirements: rows("BRSKI-8995-5.6-15", "BRSKI-8995-5.5.6-02"), Run: inTheLog(func(x *exchange, d *document) error {
				if d.event(x.nonce) == nil {
					return fmt.Errorf("none of the %d events has the nonce %q", len(d.events), x.nonce)
				}
				return nil
			}),
		},
		{
			ID: "RFC8995-5.8.1-MASA-5", Level: must, Text: "the log says of a voucher the assertion that is in it",
			Requirements: rows("BRSKI-8995-5.5.5-03"), Run: event(func(x *exchange, e map[string]any) error {
				if x.voucher != nil && e["assertion"] != string(x.voucher.Assertion) {
					return fmt.Errorf("it says %v, and the voucher says %q", e["assertion"], x.voucher.Assertion)
				}
				return nil
			}),
		},
		{
			ID: "RFC8995-5.8.1-MASA-6", Level: must, Text: "the date of an event is when its voucher was issued",
			Requirements: rows("BRSKI-8995-5.6-15"), Run: event(func(_ *exchange, e map[string]any) error {
				text, _ := e["date"].(string)
				date, err := time.Parse(time.RFC3339, text)
				if err != nil {
					return skipf("the date %q does not parse (see RFC8995-5.8.1-MASA-3)", text)
				}
				if off := time.Since(date); off < -10*time.Minute || off > 10*time.Minute {
					return fmt.Errorf("the date is %s, and here it is %s", text, time.Now().UTC().Format(time.RFC3339))
				}
				return nil
			}),
		},
		{
			ID: "RFC8995-5.8.1-MASA-7", Level: must, Text: "a voucher that was asked for twice is in the log once",
			Requirements: rows("BRSKI-8995-5.6-15"), Run: runOnceInTheLog,
		},
		{
			ID: "RFC8995-5.8.1-MASA-8", Level: should, Text: "a voucher without a nonce is in the log, with null",
			Requirements: rows("BRSKI-8995-5.8.1-03", "BRSKI-8995-5.5.6-02"), Run: device("--nonceless", "a device that the registrar gets vouchers without a nonce for", func(t *Target) *tls.Certificate { return t.Nonceless }, func(a asking) run {
				a.none = true
				return issued(just(a), func(_ *exchange, d *document) error {
					for _, e := range d.events {
						if nonce, there := e["nonce"]; there && nonce == nil {
							return nil
						}
					}
					return fmt.Errorf("none of the %d events has the nonce null", len(d.events))
				})
			}),
		},
		{
			ID: "RFC8995-5.8.1-MASA-9", Level: should, Text: "truncation is an object of numbers where it is there",
			Requirements: rows("BRSKI-8995-5.8.1-05"), Run: inTheLog(truncation),
		},
		{
			ID: "RFC8995-5.8.1-MASA-10", Level: must, Text: "another domain's voucher is in the log too, under its own domainID",
			Requirements: rows("BRSKI-8995-5.6-15"), Run: runOtherDomainInTheLog,
		},
	}
}

func wellFormed(e map[string]any) error {
	date, _ := e["date"].(string)
	id, _ := e["domainID"].(string)
	raw, err := base64.StdEncoding.DecodeString(id)
	_, assertion := e["assertion"].(string)
	nonce, there := e["nonce"]
	_, text := nonce.(string)
	if _, bad := time.Parse(time.RFC3339, date); bad != nil {
		return fmt.Errorf("the date is %v", e["date"])
	}
	switch {
	case err != nil || len(raw) == 0:
		return fmt.Errorf("domainID is %v", e["domainID"])
	case !assertion:
		return fmt.Errorf("the assertion is %v", e["assertion"])
	case !there || nonce != nil && !text:
		return fmt.Errorf("the nonce is %v", nonce)
	}
	return nil
}

func truncation(_ *exchange, d *document) error {
	value, there := d.outer["truncation"]
	if !there {
		return nil
	}
	counts, ok := value.(map[string]any)
	if !ok {
		return fmt.Errorf("truncation is %v", value)
	}
	for name, n := range counts {
		if _, ok := n.(float64); !ok {
			return fmt.Errorf("%q is %#v", name, n)
		}
	}
	return nil
}

func runOnceInTheLog(ctx context.Context, t *Target) error {
	if _, err := t.good(ctx); err != nil {
		return err
	}
	x, err := t.ask(ctx, asking{})
	if err != nil {
		return err
	}
	again := *x
	if err := t.send(ctx, &again); err != nil {
		return err
	}
	d, err := t.log(ctx, asking{nonce: x.nonce})
	if err != nil {
		return err
	}
	n := 0
	for _, e := range d.events {
		if e["nonce"] == x.nonce {
			n++
		}
	}
	if n > 1 {
		return fmt.Errorf("the nonce is in the log %d times", n)
	}
	return nil
}

func runOtherDomainInTheLog(ctx context.Context, t *Target) error {
	other, err := t.strangers(ctx)
	if err != nil {
		return err
	}
	d, err := t.log(ctx, asking{})
	if err != nil {
		return err
	}
	for _, der := range other.registrar.Certificate {
		want := base64.StdEncoding.EncodeToString(voucher.DomainID(parse(der)))
		if slices.ContainsFunc(d.events, func(e map[string]any) bool { return e["domainID"] == want }) {
			return nil
		}
	}
	return fmt.Errorf("none of the %d events has a domainID of the other domain", len(d.events))
}

func domainIDOfPin(x *exchange, d *document) error {
	e := d.event(x.nonce)
	if e == nil {
		return skipf("the voucher's nonce is not in the log (see RFC8995-5.8.1-MASA-4)")
	}
	if x.voucher == nil {
		return skipf("the voucher does not open (see RFC8366-5.4-MASA-1): %v", x.openErr)
	}
	pinned, err := x.pinned()
	if err != nil {
		return skipf("%v (see RFC8995-5.6-MASA-13)", err)
	}
	if want := base64.StdEncoding.EncodeToString(voucher.DomainID(pinned)); e["domainID"] != want {
		return fmt.Errorf("domainID is %v, want %s", e["domainID"], want)
	}
	return nil
}

// withoutKeyID is a domain whose CA has no subject key identifier.
func withoutKeyID(ctx context.Context, t *Target) (asking, error) {
	if _, err := t.strangers(ctx); err != nil {
		return asking{}, err
	}
	d, err := newDomain("without a key identifier", func(c *x509.Certificate) {
		// crypto/x509 adds one to CAs that it is told of.
		c.IsCA, c.BasicConstraintsValid = false, false
		c.ExtraExtensions = []pkix.Extension{{Id: []int{2, 5, 29, 19}, Critical: true, Value: []byte{0x30, 3, 1, 1, 0xff}}}
	})
	if err != nil {
		return asking{}, err
	}
	return asking{registrar: d.registrar}, nil
}
