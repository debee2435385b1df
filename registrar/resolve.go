package registrar

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"time"

	"github.com/briskest/briskest/est"
	"github.com/briskest/briskest/internal/trail"
)

// byWebhook is Pending.DecidedBy of what the other system decided when it was
// asked; it counts until it is asked again.
const byWebhook = "webhook"

// enrollAsking enrolls, and has another system decide where the policy says so.
// The device is not locked while it is asked.
func (s *Service) enrollAsking(ctx context.Context, v *version, c *Case) ([]byte, *Decision) {
	raw, d := s.enrollLocked(ctx, v, c)
	if d == nil || !c.unanswered(d) {
		return raw, d
	}
	if d := s.ask(ctx, v, c); d != nil {
		return nil, d
	}
	return s.enrollLocked(ctx, v, c)
}

// unanswered tells whether the other system has yet to be asked.
func (c *Case) unanswered(d *Decision) bool {
	return d.Verdict == Wait && d.WaitFor == ForWebhook && c.answer == nil
}

// QuestionID is the same whenever the same is asked: domain, kind of request,
// device, key, names, label and who asks; 64 lower-case hex digits. It tells
// nothing about them.
func (c *Case) QuestionID() string {
	p := c.pending()
	hash := sha256.New()
	for _, part := range []string{p.Domain, p.Kind, p.Manufacturer, p.SerialNumber, p.Key} {
		hash.Write([]byte(part))
		hash.Write([]byte{0})
	}
	return hex.EncodeToString(hash.Sum(nil))
}

// ask has the other system decide and keeps what it says in the case, or
// returns why it could not. A device asks one question at a time, so that none
// takes the places of others.
func (s *Service) ask(ctx context.Context, v *version, c *Case) *Decision {
	const rule = "webhook"
	key := deviceKey(c.manufacturer(), c.SerialNumber)
	if !s.asking.take(key) {
		return &Decision{Reason: ReasonOverload, Rule: "one-question", RetryAfter: jitter(v.Limits.PollAfter)}
	}
	defer s.asking.leave(key)
	ask := Ask(nil)
	switch {
	case c.Operation == OpVoucher:
		ask = c.Manufacturer.Ask
	case c.Label != nil:
		ask = c.Label.Ask
	}
	if ask == nil {
		return denyErr(ReasonWebhookFailed, rule, errors.New("no webhook is configured"))
	}
	answer, err := ask(ctx, c)
	if err == nil && answer == nil {
		err = errors.New("the webhook has no answer")
	}
	if err != nil {
		return &Decision{Reason: ReasonWebhookFailed, Rule: rule, RetryAfter: jitter(10 * time.Second), Err: err}
	}
	c.answer = answer
	return nil
}

// resolve finds out whether what a Wait waits for has been decided. It returns
// the decision as an Allow, a refusal, or a Wait that is on record. The caller
// holds the device's lock; one that gets a decision that is [Case.unanswered]
// gives it back, asks and comes again.
//
// What an operator decided about the waiting request counts, also where another
// system is asked: that system may answer that way too.
func (s *Service) resolve(ctx context.Context, v *version, c *Case, d *Decision) *Decision {
	p := c.pending()
	row, err := found(s.store.PendingByKey(ctx, v.Domain, p.Kind, p.Key))
	if err != nil {
		return storeFailed("pending", err)
	}
	if row != nil {
		p = row
		if row.counts(v, c.At) {
			return row.decision(d)
		}
	}
	if d.WaitFor != ForWebhook {
		d.RetryAfter = orDefault(d.RetryAfter, v.Limits.PollAfter)
		return s.keepWaiting(ctx, v, c, p, d)
	}
	if c.answer == nil {
		return d
	}
	return s.resolveAnswer(ctx, v, c, p, d)
}

// resolveAnswer does what the other system said; p is the row that waits for
// it, or would.
func (s *Service) resolveAnswer(ctx context.Context, v *version, c *Case, p *Pending, d *Decision) *Decision {
	said := *c.answer
	said.Rule = d.Rule
	switch said.Verdict {
	case Wait:
		said.WaitFor, said.Reason = ForWebhook, ReasonWebhook
		said.RetryAfter = max(time.Second, orDefault(said.RetryAfter, v.Limits.PollAfter))
		if c.Operation == OpVoucher { // RFC 8995, Section 5.6
			said.RetryAfter = min(said.RetryAfter, time.Minute)
		}
		return s.keepWaiting(ctx, v, c, p, &said)
	case Allow:
		c.Asked = true
		next := s.decidedBy(v, c)
		if next.Verdict == Wait {
			return s.resolve(ctx, v, c, next)
		}
		if next.Verdict == Allow && p.waits() {
			if failed := s.answered(ctx, v, c, p, StateApproved, KindRequestApproved, ""); failed != nil {
				return failed
			}
		}
		return next
	default:
		if p.waits() {
			if failed := s.answered(ctx, v, c, p, StateDenied, KindRequestDenied, said.Message); failed != nil {
				return failed
			}
		}
		return &said
	}
}

// answered takes a row off the list, as the other system has decided.
func (s *Service) answered(ctx context.Context, v *version, c *Case, p *Pending, state, kind, why string) *Decision {
	row := *p
	row.State, row.Reason, row.DecidedAt, row.DecidedBy = state, why, s.now().UTC(), byWebhook
	b := c.facts(v).str("pending", row.ID).str("kind", row.Kind).str("subject", row.Subject).str("message", why)
	entry := c.entry(kind, "", b)
	entry.Actor = byWebhook
	if err := s.commit(ctx, &Change{PutPending: []*Pending{&row}, Trail: []*trail.Entry{entry}}); err != nil {
		return storeFailed("pending", err)
	}
	s.waiting.release(&row)
	return nil
}

// waits tells whether the row is on record and undecided.
func (p *Pending) waits() bool { return p.ID != "" && p.State == StateWaiting }

// counts tells whether an operator's decision on the row holds: a denial does
// for good, an approval for its lifetime.
func (p *Pending) counts(v *version, at time.Time) bool {
	if p.DecidedBy == byWebhook {
		return false
	}
	return p.State == StateDenied || p.State == StateApproved && at.Before(p.expiry(v))
}

// expiry is when an approval ends.
func (p *Pending) expiry(v *version) time.Time { return p.DecidedAt.Add(v.Limits.ApprovalLifetime) }

// decision is what an operator's decision makes of d, which waits for it.
func (p *Pending) decision(d *Decision) *Decision {
	if p.State == StateApproved {
		allowed := *d
		allowed.Verdict, allowed.Reason, allowed.WaitFor, allowed.RetryAfter = Allow, ReasonAllowed, "", 0
		return &allowed
	}
	refused := deny(ReasonApprovalDenied, d.Rule)
	if p.Reason != "" {
		refused.Message = Explain(ReasonApprovalDenied).Message + ": " + p.Reason
	}
	return refused
}

// evidence is what is kept of a CSR, and shown to others, while it waits: all
// of it, unless there is a secret in it.
func evidence(l *Label, csr *est.CSR) []byte {
	if csr.OTPChallenge != "" || csr.RevocationChallenge != "" || csr.ChallengePassword != "" && l.linking() == LinkOff {
		return nil
	}
	return csr.Raw
}
