package registrar

import (
	"context"
	"crypto/x509"
	"encoding/json"
	"log/slog"
	"time"

	"github.com/briskest/briskest/ca"
)

const (
	// pursuers is how many outstanding issuances an issuer is asked about at once.
	pursuers = 16
	// maxPause bounds how long nothing is asked about one, whatever its CA says.
	maxPause = time.Hour
)

// resumeOutstanding takes up what the process before left: called before
// requests are served.
func (s *Service) resumeOutstanding(ctx context.Context) error {
	rows, err := s.store.ListOutstanding(ctx)
	if err != nil {
		return err
	}
	v := s.current.Load()
	for _, kept := range rows {
		if kept.Domain != v.Domain {
			continue
		}
		row, err := s.store.Certificate(ctx, v.Domain, kept.ID)
		if err != nil {
			return err
		}
		device, err := s.store.Device(ctx, v.Domain, row.DeviceID)
		if err != nil {
			return err
		}
		if row.Status != Intended && row.Status != Issued {
			if err := s.store.Commit(ctx, &Change{DropOutstanding: []*Outstanding{kept}}); err != nil {
				return err
			}
			continue
		}
		e := &opening{id: row.ID, of: asking{
			device: deviceKey(device.Manufacturer, device.SerialNumber), key: row.KeyHash, names: row.NamesHash,
			credential: row.Credential, profile: row.Profile, issuer: row.Issuer,
		}}
		s.openings.restore(e)
		s.pursue(e)
	}
	return nil
}

// pursue asks about an outstanding issuance again and again, so that a
// certificate is there when its device comes back, and none stays behind at the
// CA. It ends with the issuance, which is no later than its time is up.
func (s *Service) pursue(e *opening) {
	s.tasks.Go(func() {
		for pause := jitter(s.current.Load().Limits.IssuerRetry); ; {
			timer := time.NewTimer(pause)
			select {
			case <-timer.C:
			case <-e.over:
			case <-s.life.Done():
			}
			timer.Stop()
			if s.openings.find(e.id) != e || s.life.Err() != nil {
				return
			}
			pause = s.pursueOnce(e)
		}
	})
}

// pursueOnce asks once, and returns how long to wait before the next time.
func (s *Service) pursueOnce(e *opening) time.Duration {
	leave, err := s.shares.pursue(s.life, e.of.issuer)
	if err != nil {
		return maxPause
	}
	defer leave()
	unlock, err := s.devices.lock(s.life, e.of.device)
	if err != nil {
		return maxPause
	}
	defer unlock()
	v := s.current.Load()
	next := jitter(min(v.Limits.IssuerRetry<<min(e.tries, 10), maxPause))
	e.tries++
	if s.openings.find(e.id) != e {
		return next
	}
	if wait := e.notYet.Sub(s.now()); wait > 0 {
		return min(max(wait, time.Second), maxPause)
	}
	if err := s.pursueLocked(s.life, v, e); err != nil && s.life.Err() == nil {
		s.log.WarnContext(s.life, "outstanding issuance", slog.String("id", e.id), slog.String("issuer", e.of.issuer), slog.Any("error", err))
	}
	return next
}

// pursueLocked asks the CA; the device is locked.
func (s *Service) pursueLocked(ctx context.Context, v *version, e *opening) error {
	row, kept, decided, err := s.opened(ctx, v, e)
	if err != nil || row == nil {
		return err
	}
	age := s.now().Sub(row.IntendedAt)
	if row.Status == Issued { // waits for its device, for as long as an answer would have been waited for
		if age > v.Limits.IssuerGiveUp || s.now().After(row.NotAfter) {
			s.collected(ctx, e, kept)
		}
		return nil
	}
	if age > v.Limits.IssuerGiveUp {
		s.giveUp(ctx, row, v)
		return nil
	}
	by := v.issuers[row.Issuer]
	if by == nil {
		return nil // it may be configured again
	}
	i, err := s.issuanceOf(ctx, v, by, row, kept, decided)
	if err != nil {
		return err
	}
	i.opening = e
	if _, d := i.ask(ctx); d != nil && d.Verdict != Wait {
		return d.Err
	}
	return nil
}

// issuanceOf makes an issuance of what is on record about it.
func (s *Service) issuanceOf(ctx context.Context, v *version, by *issuer, row *Certificate, kept *Outstanding, decided *decidedIssuance) (*issuance, error) {
	d, key, err := decided.decision(row.Profile)
	if err != nil {
		return nil, err
	}
	device, err := s.store.Device(ctx, v.Domain, row.DeviceID)
	if err != nil {
		return nil, err
	}
	label := v.Labels[decided.Label]
	if label == nil {
		label = &Label{Name: decided.Label}
	}
	c := &Case{
		Domain: v.Domain, Road: "issuer", Operation: row.Operation, Label: label, At: s.now(), Device: device, SerialNumber: device.SerialNumber,
		Identity: Identity{Credential: row.Credential}, CSR: &x509.CertificateRequest{Raw: kept.CSR, PublicKey: key},
		Subject: d.Subject, Names: d.Names, KeyHash: row.KeyHash, NamesHash: row.NamesHash,
	}
	if d := s.outOfService(device, "pursue"); d != nil && decided.Nobody == "" {
		decided.Nobody = "the device is out of service: " + d.Reason
	}
	i := &issuance{s: s, v: v, by: by, c: c, d: d, id: row.ID, row: row, kept: kept, keeps: decided, away: true}
	own := *device
	i.device = &own
	return i, nil
}

// ask asks the issuer for what is on record, once more.
func (i *issuance) ask(ctx context.Context) ([]byte, *Decision) {
	request := &ca.Request{
		ID: i.id, Profile: i.row.Profile, PublicKey: i.c.CSR.PublicKey, Subject: i.d.Subject, Names: i.d.Names, CSR: i.kept.CSR,
		Record: i.record, State: i.kept.State,
		Asked: &ca.Intent{
			Serial: i.row.Serial, TBSHash: i.row.TBSHash, KeyHash: i.row.KeyHash, Profile: i.row.Profile, Version: i.row.Version,
			NotBefore: i.row.NotBefore, NotAfter: i.row.NotAfter,
		},
	}
	return i.asked(context.WithoutCancel(ctx), request)
}

// later keeps what the issuer wants back, and says when to ask again.
func (i *issuance) later(ctx context.Context, l *ca.Later) *Decision {
	if err := i.keepState(ctx, l.State); err != nil {
		i.s.log.ErrorContext(ctx, "state of an outstanding issuance not on record", slog.String("id", i.id), slog.Any("error", err))
	}
	if e := i.opening; e != nil {
		e.last = l
		if e.notYet = (time.Time{}); l.After > 0 {
			e.notYet = i.s.now().Add(min(l.After, maxPause))
		}
	}
	i.begin()
	return i.wait(l)
}

// begin has an issuance that has become outstanding just now be pursued.
func (i *issuance) begin() {
	if i.fresh && i.opening != nil {
		i.fresh = false
		i.s.pursue(i.opening)
	}
}

// maxState bounds what an issuer may have kept for it; see [ca.Later].
const maxState = 64 << 10

func (i *issuance) keepState(ctx context.Context, state []byte) error {
	if len(state) > maxState {
		state = nil
	}
	if i.kept == nil { // the issuer knew the serial number, and yet it takes its time
		if err := i.keep(&Change{}); err != nil {
			return err
		}
		i.opening = &opening{id: i.id, of: i.asking()}
		i.s.openings.restore(i.opening)
		i.fresh = true
	} else if string(i.kept.State) == string(state) {
		return nil
	}
	i.kept.State = state
	return i.s.commit(ctx, &Change{PutOutstanding: []*Outstanding{i.kept}})
}

// keep has the change note that the issuance is outstanding.
func (i *issuance) keep(change *Change) error {
	var err error
	if i.keeps == nil {
		if i.keeps, err = i.decided(); err != nil {
			return err
		}
	}
	i.kept, err = i.keeps.row(i.row, i.c.CSR.Raw, nil)
	change.PutOutstanding = append(change.PutOutstanding, i.kept)
	return err
}

// wait is the answer to a device that has to come again.
func (i *issuance) wait(l *ca.Later) *Decision {
	after := i.v.Limits.PollAfter
	if l.After > 0 {
		after = min(max(l.After, time.Second), maxPause)
	}
	switch {
	case i.c.Generate != nil:
		return &Decision{Reason: ReasonKeyGenLater, Rule: "issuer", RetryAfter: jitter(after), Err: l}
	case isPending(l):
		return &Decision{Verdict: Wait, Reason: ReasonIssuerPending, Rule: "issuer", WaitFor: ForIssuer, RetryAfter: after, Err: l}
	default:
		return &Decision{Reason: ReasonIssuerDown, Rule: "issuer", RetryAfter: jitter(after), Err: l}
	}
}

// ready has the change note that the certificate waits for a device that is
// away, or, given to it, is outstanding no more.
func (i *issuance) ready(change *Change) error {
	if i.kept == nil {
		return nil
	}
	if !i.away {
		change.DropOutstanding = append(change.DropOutstanding, i.kept)
		return nil
	}
	waits := *i.keeps
	waits.Ready = true
	raw, err := json.Marshal(waits)
	change.PutOutstanding = append(change.PutOutstanding, &Outstanding{Domain: i.kept.Domain, ID: i.kept.ID, Decided: raw})
	return err
}
