package registrar

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"net/http"
	"time"

	"github.com/briskest/briskest/est"
	"github.com/briskest/briskest/internal/trail"
)

// The operations of a Case about a baseline.
const (
	OpBaseline    = "baseline"
	OpBaselineAck = "baseline-ack"
)

// BaselineCall is one request of a device about its baseline.
type BaselineCall struct {
	ID   string
	Peer *est.Peer
	At   time.Time
	Ack  bool // of an acknowledgement
}

func (r *BaselineCall) operation() string {
	if r.Ack {
		return OpBaselineAck
	}
	return OpBaseline
}

// BaselineAck is what a device says of the text that it was given.
type BaselineAck struct {
	Version int64
	SHA256  [32]byte
	Status  BaselineStatus // not BaselineDelivered
	Message string
}

// Baseline gives the device that shows a certificate of ours what it is to be
// configured with. What it was not given before is on record first. Known is the
// version that it says it has, 0 for none. Errors are *est.Error.
func (s *Service) Baseline(ctx context.Context, r *BaselineCall, known int64) (*BaselineText, error) {
	v := s.current.Load()
	c := s.baselineCase(v, r)
	out, d := s.baseline(ctx, v, c, r, known)
	if d != nil {
		return nil, s.refuse(ctx, c, d)
	}
	return out, nil
}

// AcknowledgeBaseline records what the device says of the text that it was given
// last. The same again changes nothing. Errors are *est.Error.
func (s *Service) AcknowledgeBaseline(ctx context.Context, r *BaselineCall, ack *BaselineAck) error {
	v := s.current.Load()
	c := s.baselineCase(v, r)
	if d := s.acknowledge(ctx, v, c, r, ack); d != nil {
		return s.refuse(ctx, c, d)
	}
	return nil
}

// BaselineRefused counts a refusal, and has those of strangers on the trail, as
// [Service.Refused] does for EST.
func (s *Service) BaselineRefused(ctx context.Context, r *BaselineCall, e *est.Error) {
	s.observe(ctx, &observation{"baseline", r.operation(), r.ID, "", r.Peer, r.At, e})
}

func (s *Service) baselineCase(v *version, r *BaselineCall) *Case {
	return &Case{
		RequestID: r.ID, Domain: v.Domain, Road: "baseline", Operation: r.operation(), At: r.At,
		Address: r.Peer.Address, shown: shownBy(r.Peer),
	}
}

// identifyHolder authenticates the device by its certificate of ours, as EST does, and
// locks it. Nobody can name another device: there is nothing in a request to do so.
func (s *Service) identifyHolder(ctx context.Context, v *version, c *Case, p *est.Peer) (func(), *Decision) {
	const rule = "baseline"
	if d := s.questionBudget(v, c); d != nil {
		return nil, d
	}
	if d := s.domainBudget(v, c); d != nil {
		return nil, d
	}
	if len(p.Certificates) == 0 {
		return nil, denyText(ReasonNoCertificate, rule, "the baseline is for devices that show the certificate that they got here as TLS client certificate")
	}
	if d := s.identifyCertificate(ctx, v, c, p); d != nil {
		return nil, d
	}
	if c.Identity.Kind != LDevID {
		return nil, denyText(ReasonMethodNotAllowed, rule, "the baseline is for devices that show the certificate that they got here; enroll first")
	}
	c.Device, c.SerialNumber = c.Identity.Device, c.Identity.Device.SerialNumber
	unlock, err := s.devices.lockAmong(ctx, deviceKey(c.Device.Manufacturer, c.Device.SerialNumber), perDeviceQueue)
	if err != nil {
		d := overloaded("device-lock")
		d.Err = err
		return nil, d
	}
	if d := s.stillGood(ctx, v, c); d != nil {
		unlock()
		return nil, d
	}
	c.Device = c.Identity.Device
	return unlock, nil
}

func (s *Service) baseline(ctx context.Context, v *version, c *Case, r *BaselineCall, known int64) (*BaselineText, *Decision) {
	const rule = "baseline"
	unlock, d := s.identifyHolder(ctx, v, c, r.Peer)
	if d != nil {
		return nil, d
	}
	defer unlock()
	f, d := s.baselineFacts(ctx, v, c)
	if d != nil {
		return nil, d
	}
	last, err := found(s.store.BaselineDelivery(ctx, v.Domain, c.Device.ID))
	if err != nil {
		return nil, storeFailed(rule, err)
	}
	f.Version, f.At = last.nextVersion(c.At), c.At.UTC().Truncate(time.Second)
	if last != nil { // as it was, if it is the same
		f.Version, f.At = last.Version, last.At
	}
	text, content, err := textOf(s.baselines, *f)
	if err == nil && last != nil && content != last.Content {
		f.Version, f.At = last.nextVersion(c.At), c.At.UTC().Truncate(time.Second)
		text, content, err = textOf(s.baselines, *f)
	}
	if err != nil {
		return nil, denyErr(ReasonBaselineFailed, rule, err)
	}
	out := &BaselineText{Version: f.Version, SHA256: sha256.Sum256(text), Text: text, Signer: v.Signer}
	next := &BaselineDelivery{
		Domain: v.Domain, DeviceID: c.Device.ID, Version: f.Version, Group: f.Document.Group, DocumentVersion: f.Document.Version,
		Content: content, SHA256: out.SHA256, At: f.At,
	}
	if last != nil && next.same(last) {
		if out.Unchanged = known == last.Version; out.Unchanged {
			out.Text = nil
		}
		return out, nil
	}
	return out, s.recordDelivery(ctx, v, c, next)
}

// same tells whether a device that has the one has the other.
func (d *BaselineDelivery) same(last *BaselineDelivery) bool {
	return d.Version == last.Version && d.SHA256 == last.SHA256 && d.Content == last.Content
}

// recordDelivery puts on record that the device is given the text, before it is.
func (s *Service) recordDelivery(ctx context.Context, v *version, c *Case, d *BaselineDelivery) *Decision {
	if refused := s.baselineBudget(c); refused != nil {
		return refused
	}
	b := d.facts(c.facts(v))
	change := &Change{PutDeliveries: []*BaselineDelivery{d}, Trail: []*trail.Entry{c.entry(KindBaselineDelivered, "", b)}}
	if err := s.commit(ctx, change); err != nil {
		return storeFailed("baseline", err)
	}
	return nil
}

func (d *BaselineDelivery) facts(b *body) *body {
	return b.str("baseline_group", d.Group).num("baseline_version", int(d.DocumentVersion)).num("version", int(d.Version)).
		str("sha256", hex.EncodeToString(d.SHA256[:]))
}

// baselinesPerHour bounds the texts and acknowledgements of one device that are new.
const baselinesPerHour = 60

// baselineBudget bounds what one device can have recorded.
func (s *Service) baselineBudget(c *Case) *Decision {
	key := c.Operation + "\x00" + c.Device.ID
	if wait, over := s.reported.exceeded(key, baselinesPerHour, c.At); over {
		return &Decision{Reason: ReasonDeviceBudget, Rule: "baseline-budget", Message: "this device asked for, or reported, too much about its baseline; try again later", RetryAfter: jitter(wait)}
	}
	s.reported.use(key, c.At)
	return nil
}

// baselineFacts finds the document that is for the device: that of its group, or the
// one which the group names in place of its own, else the domain's.
func (s *Service) baselineFacts(ctx context.Context, v *version, c *Case) (*BaselineFacts, *Decision) {
	const rule = "baseline"
	if s.baselines == nil || v.Signer == nil {
		return nil, deny(ReasonNoBaseline, rule)
	}
	f := &BaselineFacts{Domain: v.Domain, Device: c.Device}
	if subject, names, err := certificateNames(c.Identity.Certificate); err == nil {
		f.Name = EnrolledName(subject, names)
	}
	of := ""
	if g := s.groups.Load(); g != nil {
		c.Placement = g.placeDevice(recordFacts(c.Device))
		placed := *c.Device
		placed.Group = c.Placement.Name
		switch f.Group = c.Placement.Group; {
		case c.Placement.Problem != "":
			return nil, deny(c.Placement.Problem, "group")
		case f.Group != nil && f.Group.Decision == GroupDeny:
			return nil, denyText(ReasonGroupDenied, "group", "devices of this group get nothing here; ask the operator of this network")
		}
		if d := s.barred(placed.Manufacturer, &placed); d != nil {
			return nil, d
		}
		f.Device, of = &placed, c.Placement.Name
	}
	if f.Group != nil && f.Group.Baseline != "" {
		of = f.Group.Baseline
	}
	var err error
	if f.Document, err = s.documentFor(ctx, v.Domain, of, f.Group != nil && f.Group.Baseline != ""); err != nil {
		if errors.Is(err, ErrNotFound) {
			return nil, deny(ReasonNoBaseline, rule)
		}
		return nil, storeFailed(rule, err)
	}
	return f, nil
}

// documentFor is the newest document of a group, else that of the domain, unless it is
// that one and no other which is wanted.
func (s *Service) documentFor(ctx context.Context, domain, group string, only bool) (*BaselineDocument, error) {
	d, err := s.store.BaselineDocument(ctx, domain, group, 0)
	if errors.Is(err, ErrNotFound) && group != "" && !only {
		return s.store.BaselineDocument(ctx, domain, "", 0)
	}
	return d, err
}

func (s *Service) acknowledge(ctx context.Context, v *version, c *Case, r *BaselineCall, ack *BaselineAck) *Decision {
	const rule = "baseline-ack"
	unlock, d := s.identifyHolder(ctx, v, c, r.Peer)
	if d != nil {
		return d
	}
	defer unlock()
	switch ack.Status {
	case BaselineReceived, BaselineApplied, BaselineFailed:
	default:
		return &Decision{Status: http.StatusBadRequest, Reason: ReasonBaselineAck, Rule: rule, Message: `the status is not "received", "applied" or "failed"`}
	}
	last, err := found(s.store.BaselineDelivery(ctx, v.Domain, c.Device.ID))
	switch {
	case err != nil:
		return storeFailed(rule, err)
	case last == nil || last.Version != ack.Version || last.SHA256 != ack.SHA256:
		return deny(ReasonBaselineAck, rule)
	case last.Status == ack.Status && last.Message == clip(ack.Message):
		return nil // said again
	}
	if d := s.baselineBudget(c); d != nil {
		return d
	}
	next := *last
	next.Status, next.Message, next.AcknowledgedAt = ack.Status, clip(ack.Message), c.At.UTC()
	b := next.facts(c.facts(v)).str("status", string(next.Status)).str("message", next.Message)
	change := &Change{PutDeliveries: []*BaselineDelivery{&next}, Trail: []*trail.Entry{c.entry(KindBaselineAcknowledged, "", b)}}
	if err := s.commit(ctx, change); err != nil {
		return storeFailed(rule, err)
	}
	return nil
}
