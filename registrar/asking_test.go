package registrar_test

import (
	"context"
	"errors"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/briskest/briskest/est"
	"github.com/briskest/briskest/internal/testpki"
	"github.com/briskest/briskest/registrar"
)

// oracle is another system: it answers as it is told, and counts.
type oracle struct {
	answer *registrar.Decision
	err    error
	asked  atomic.Int64
	during func(ctx context.Context, c *registrar.Case) // while it is asked
}

func (o *oracle) ask(ctx context.Context, c *registrar.Case) (*registrar.Decision, error) {
	o.asked.Add(1)
	if o.during != nil {
		o.during(ctx, c)
	}
	return o.answer, o.err
}

var (
	allowed = &registrar.Decision{Verdict: registrar.Allow}
	waiting = &registrar.Decision{Verdict: registrar.Wait, RetryAfter: 42 * time.Second}
	denied  = &registrar.Decision{Reason: registrar.ReasonWebhookDenied, Message: "denied: not on the purchase order"}
)

func askingHouse(t *testing.T, change func(h *house)) (*house, *oracle) {
	t.Helper()
	o := &oracle{answer: allowed}
	return newHouse(t, func(h *house) {
		h.settings.Labels[""].Ask = o.ask
		if change != nil {
			change(h)
		}
	}), o
}

// waitingRow is the one request that waits.
func (h *house) waitingRow() *registrar.Pending {
	h.t.Helper()
	rows, err := h.service.ListPending(h.t.Context(), "", registrar.StateWaiting, 0)
	if err != nil || len(rows) != 1 {
		h.t.Fatalf("%d requests wait, %v; want one", len(rows), err)
	}
	return rows[0]
}

func (h *house) nobodyWaits() {
	h.t.Helper()
	if rows, err := h.service.ListPending(h.t.Context(), "", registrar.StateWaiting, 0); err != nil || len(rows) != 0 {
		h.t.Errorf("%d requests wait, %v; want none", len(rows), err)
	}
}

func TestAnotherSystemDecides(t *testing.T) {
	h, o := askingHouse(t, nil)
	var asked *registrar.Case
	o.during = func(_ context.Context, c *registrar.Case) { asked = c }
	r := h.enroll("sensor-7").basic(group)
	o.answer = denied
	if e := r.refusedAs(registrar.ReasonWebhookDenied, 403); !strings.Contains(e.Message, "purchase order") {
		t.Errorf("the refusal says %q", e.Message)
	}
	if asked.SerialNumber != "sensor-7" || asked.Identity.Kind != registrar.Basic || len(asked.Evidence) == 0 || len(asked.QuestionID()) != 64 {
		t.Errorf("case = %+v", asked)
	}
	h.nobodyWaits()
	// R13: what is allowed is what the policy decided, whatever the answer has in it.
	o.answer = &registrar.Decision{Verdict: registrar.Allow, Subject: testpki.NewRoot(t, "evil").Certificate.Subject.ToRDNSequence(), Profile: "ra", Again: true}
	cert := r.mustSend()
	if cert.Subject.CommonName != "sensor-7" {
		t.Errorf("the certificate is for %s", cert.Subject)
	}
	if e := h.entries(registrar.KindCertificateIssued); len(e) != 1 || !strings.Contains(string(e[0].Body), `"asked":true`) {
		t.Errorf("the trail does not say that somebody was asked: %s", e[0].Body)
	}
	o.answer = denied
	if again := r.mustSend(); !again.Equal(cert) { // what there is is not asked about
		t.Error("asking again gave another certificate")
	}
}

// R3: an answer that cannot be had is a refusal, and nothing is issued.
func TestASystemThatCannotBeAskedRefusesForNow(t *testing.T) {
	h, o := askingHouse(t, nil)
	for what, set := range map[string]func(){
		"no connection": func() { o.answer, o.err = allowed, errors.New("no connection") },
		"no answer":     func() { o.answer, o.err = nil, nil },
	} {
		set()
		if e := h.enroll("sensor-7").basic(group).refusedAs(registrar.ReasonWebhookFailed, 503); e.RetryAfter < 10*time.Second {
			t.Errorf("%s: Retry-After %s", what, e.RetryAfter)
		}
	}
	if n := len(h.certificates("")); n != 0 {
		t.Errorf("%d issuances are on record", n)
	}
	h.nobodyWaits()
}

// The other system may answer as late as it likes, and by being asked again.
func TestADecisionThatTakesTimeIsOnRecordAndAskedForAgain(t *testing.T) {
	h, o := askingHouse(t, nil)
	o.answer = waiting
	r := h.enroll("sensor-7").basic(group)
	ids := map[string]bool{}
	o.during = func(_ context.Context, c *registrar.Case) { ids[c.QuestionID()] = true }
	for range 3 {
		if e := r.refusedAs(registrar.ReasonWebhook, 202); e.RetryAfter != 42*time.Second {
			t.Errorf("Retry-After %s, want what the system said", e.RetryAfter)
		}
	}
	h.waitingRow()
	h.start() // survives a restart
	h.advance(1000 * 24 * time.Hour)
	r.refusedAs(registrar.ReasonWebhook, 202)
	if len(ids) != 1 || o.asked.Load() != 4 {
		t.Errorf("asked %d times with %d ids, want 4 and 1", o.asked.Load(), len(ids))
	}
	row := h.waitingRow()
	o.answer = denied
	r.refusedAs(registrar.ReasonWebhookDenied, 403)
	h.nobodyWaits()
	o.answer = waiting // it changes its mind
	r.refusedAs(registrar.ReasonWebhook, 202)
	if again := h.waitingRow(); again.ID != row.ID || !again.DecidedAt.IsZero() {
		t.Errorf("the request waits anew as %+v", again)
	}
	o.answer = allowed
	first, second := r.mustSend(), r.mustSend()
	if !first.Equal(second) {
		t.Error("two certificates")
	}
	rows, err := h.service.ListPending(t.Context(), "", registrar.StateApproved, 0)
	if err != nil || len(rows) != 1 || rows[0].DecidedBy != "webhook" {
		t.Errorf("approved = %+v, %v", rows, err)
	}
}

// The other system may also answer by the operator's interface; then nobody is asked.
func TestWhatAnOperatorDecidesIsNotAskedAbout(t *testing.T) {
	for _, approve := range []bool{true, false} {
		h, o := askingHouse(t, nil)
		o.answer = waiting
		r := h.enroll("sensor-7").basic(group)
		r.refusedAs(registrar.ReasonWebhook, 202)
		verdict := &registrar.Verdicting{Actor: "system", ID: h.waitingRow().ID, Reason: "sold twice"}
		decide := h.service.Deny
		if approve {
			decide = h.service.Approve
		}
		if _, err := decide(t.Context(), verdict); err != nil {
			t.Fatal(err)
		}
		o.err = errors.New("down")
		if approve {
			r.mustSend()
		} else if e := r.refusedAs(registrar.ReasonApprovalDenied, 403); !strings.Contains(e.Message, "sold twice") {
			t.Errorf("the refusal says %q", e.Message)
		}
		if o.asked.Load() != 1 {
			t.Errorf("asked %d times", o.asked.Load())
		}
	}
}

// Asking holds neither the device nor its place: an operator decides meanwhile,
// and what is decided meanwhile counts.
func TestADeviceIsNotLockedWhileSomebodyIsAsked(t *testing.T) {
	h, o := askingHouse(t, nil)
	h.enroll("sensor-7").basic(group).mustSend()
	o.during = func(ctx context.Context, _ *registrar.Case) {
		ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
		defer cancel()
		_, err := h.service.Suspend(ctx, &registrar.StateChange{Device: "sensor-7"})
		if err != nil {
			t.Errorf("suspending the device while its request is asked about: %v", err)
		}
	}
	h.reprofileAllowingOtherKeys()
	h.enroll("sensor-7").basic(group).refusedAs(registrar.ReasonDeviceSuspended, 403)
	if n := len(h.certificates(registrar.Issued)); n != 1 {
		t.Errorf("%d certificates, want the first one", n)
	}
}

// reprofileAllowingOtherKeys lets a name that has a certificate enroll with another key.
func (h *house) reprofileAllowingOtherKeys() {
	h.t.Helper()
	s := *h.settings
	label := *s.Labels[""]
	label.Profile = otherKeys{label.Profile}
	s.Labels = map[string]*registrar.Label{"": &label}
	check(h.t, h.service.Reload(&s))
}

type otherKeys struct{ registrar.Profile }

func (p otherKeys) Rules() registrar.ProfileRules {
	rules := p.Profile.Rules()
	rules.AllowSameNameOtherKey = true
	return rules
}

func TestADeviceAsksOneQuestionAtATime(t *testing.T) {
	h, o := askingHouse(t, nil)
	inside, release := make(chan struct{}), make(chan struct{})
	o.during = func(_ context.Context, c *registrar.Case) {
		if c.SerialNumber == "sensor-7" {
			inside <- struct{}{}
			<-release
		}
	}
	done := make(chan error, 1)
	first := h.enroll("sensor-7").basic(group)
	go func() { _, err := first.send(); done <- err }()
	<-inside
	h.enroll("sensor-7").basic(group).refusedAs(registrar.ReasonOverload, 503)
	h.enroll("sensor-8").basic(group).mustSend() // others are not held up
	close(release)
	if err := <-done; err != nil {
		t.Errorf("the first request: %v", err)
	}
}

func TestAWebhookAndAnOperatorBothHaveToAllow(t *testing.T) {
	h, o := askingHouse(t, func(h *house) { h.settings.Labels[""].Approval = true })
	r := h.enroll("sensor-7").basic(group)
	o.answer = denied
	r.refusedAs(registrar.ReasonWebhookDenied, 403)
	o.answer = allowed
	r.refusedAs(registrar.ReasonApproval, 202)
	if _, err := h.service.Approve(t.Context(), &registrar.Verdicting{ID: h.waitingRow().ID}); err != nil {
		t.Fatal(err)
	}
	r.mustSend()
}

func TestRenewalsAreAskedAboutToo(t *testing.T) {
	h, o := askingHouse(t, nil)
	cert, key := h.enrolled("sensor-7")
	o.answer = denied
	h.renew(cert).withKey(key).refusedAs(registrar.ReasonWebhookDenied, 403)
	o.answer = allowed
	h.renew(cert).mustSend()
}

// RFC 8995, Section 5.6: a pledge is told to come again within a minute.
func TestAVoucherRequestIsAskedAbout(t *testing.T) {
	o := &oracle{answer: &registrar.Decision{Verdict: registrar.Wait, RetryAfter: time.Hour}}
	h := newHouse(t, func(h *house) {
		h.settings.Manufacturers["acme"].Ask, h.settings.Manufacturers["acme"].Unlisted = o.ask, registrar.UnlistedAdmit
	})
	p := h.pledge(h.idevidCA.IDevID(t, "SN-1", ""), nil)
	if e := p.refusedAs(registrar.ReasonWebhook, 202); e.RetryAfter != time.Minute {
		t.Errorf("Retry-After %s", e.RetryAfter)
	}
	if row := h.waitingRow(); row.Kind != registrar.PendingVoucher {
		t.Errorf("waiting = %+v", row)
	}
	o.err = errors.New("down")
	p.refusedAs(registrar.ReasonWebhookFailed, 503)
	o.answer, o.err = allowed, nil
	if _, err := p.send(); err != nil {
		t.Errorf("allowed: %v", err)
	}
}

// What waits is kept and shown without secrets.
func TestARequestWithASecretIsNotKept(t *testing.T) {
	h, o := askingHouse(t, func(h *house) { h.settings.Labels[""].Linking = registrar.LinkOff })
	o.answer = waiting
	kept := func(change func(csr *est.CSR)) bool {
		o.during = nil
		var evidence []byte
		o.during = func(_ context.Context, c *registrar.Case) { evidence = c.Evidence }
		r := h.enroll("sensor-" + testpki.NewRoot(t, "x").Certificate.SerialNumber.String()).basic(group)
		csr, err := est.ParseCSR(testpki.CSR(t, r.csr, r.key))
		check(t, err)
		change(csr)
		_, err = h.service.Enroll(t.Context(), &est.EnrollRequest{Request: est.Request{ID: "q", Operation: r.op, Peer: r.peer, At: h.now()}, CSR: csr})
		refusal(t, err, registrar.ReasonWebhook, 202)
		return len(evidence) > 0
	}
	if !kept(func(*est.CSR) {}) {
		t.Error("a CSR without a secret is not kept")
	}
	for what, change := range map[string]func(csr *est.CSR){
		"revocationChallenge": func(csr *est.CSR) { csr.RevocationChallenge = "123456" },
		"a shared secret":     func(csr *est.CSR) { csr.ChallengePassword = "123456" },
	} {
		if kept(change) {
			t.Errorf("a CSR with %s is kept whole", what)
		}
	}
}

// EST-7894-2-04: an otpChallenge has to hold where it is present; where nobody evaluates codes it does not.
// A revocationChallenge holds in every form it may have: it is for later.
func TestAChallengeThatNobodyEvaluatesIsRefused(t *testing.T) {
	h := newHouse(t, nil)
	send := func(change func(csr *est.CSR)) error {
		r := h.enroll("sensor-7").basic(group)
		csr, err := est.ParseCSR(testpki.CSR(t, r.csr, r.key))
		check(t, err)
		change(csr)
		_, err = h.service.Enroll(t.Context(), &est.EnrollRequest{Request: est.Request{ID: "q", Operation: r.op, Peer: r.peer, At: h.now()}, CSR: csr})
		return err
	}
	refusal(t, send(func(csr *est.CSR) { csr.OTPChallenge = "123456" }), registrar.ReasonMethodNotAllowed, 403)
	if n := len(h.certificates("")); n != 0 {
		t.Errorf("%d issuances", n)
	}
	check(t, send(func(csr *est.CSR) { csr.RevocationChallenge = "123456" }))
}

// An approval is for who asked: another peer with the same key and names waits itself.
func TestAnApprovalIsOfNoUseToAnotherPeer(t *testing.T) {
	h := newHouse(t, func(h *house) { h.settings.Labels[""].Approval = true })
	h.passwords["other"] = h.credential("other", true, "")
	r := h.enroll("sensor-7").basic(group)
	r.refusedAs(registrar.ReasonApproval, 202)
	_, err := h.service.Approve(t.Context(), &registrar.Verdicting{ID: h.waitingRow().ID})
	check(t, err)
	h.enroll("sensor-7").withKey(r.key).basic("other").refusedAs(registrar.ReasonApproval, 202)
	h.enroll("sensor-7").basic(group).refusedAs(registrar.ReasonApproval, 202) // nor with another key
	h.enroll("sensor-8").withKey(r.key).basic(group).refusedAs(registrar.ReasonApproval, 202)
	r.mustSend()
}
