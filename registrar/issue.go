package registrar

import (
	"bytes"
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/briskest/briskest/ca"
)

// issuance is one certificate on its way from decision to record.
type issuance struct {
	s      *Service
	v      *version
	by     *issuer
	c      *Case
	d      *Decision
	id     string
	device *Device      // as it is to be recorded
	made   bool         // device is new
	row    *Certificate // nil until the intent is on record
	failed error        // why the intent could not be recorded

	// Of an issuance that another CA takes its time for:
	kept    *Outstanding     // as it is on record; nil for none
	keeps   *decidedIssuance // what kept says
	fresh   bool             // nobody pursues it yet
	opening *opening
	away    bool // its device is not waiting for an answer
}

// issue has a certificate signed and recorded: the intent is durable before
// the issuer signs, and certificate, device and trail entry are durable, in
// one transaction, before the peer sees a byte (promise 1 of the design).
func (s *Service) issue(ctx context.Context, v *version, c *Case, d *Decision) ([]byte, *Decision) {
	i := &issuance{s: s, v: v, by: v.issuerOf(c.Label), c: c, d: d, id: NewID(c.At)}
	leave, busy := s.shares.enter(v, i.by)
	if busy != nil {
		return nil, busy
	}
	defer leave()
	i.prepareDevice()
	if raw, d, known := s.takeUp(ctx, i); known {
		return raw, d
	}
	// From here on a peer that hangs up stops nothing: it asks again and gets
	// what was issued.
	return i.asked(context.WithoutCancel(ctx), &ca.Request{
		ID: i.id, Profile: d.Profile, PublicKey: c.CSR.PublicKey, Subject: d.Subject, Names: d.Names,
		CSR: c.CSR.Raw, NotAfter: c.notAfter(), Record: i.record,
	})
}

// asked has the issuer issue, and records what becomes of it.
func (i *issuance) asked(ctx context.Context, r *ca.Request) ([]byte, *Decision) {
	until := ctx
	if i.away {
		until = i.s.life
	}
	waiting, end := context.WithTimeout(until, i.v.Limits.IssuerTimeout)
	waiting, ended := i.s.tracer.Span(waiting, "issuer")
	var cert *ca.Certificate
	err := i.by.absent
	if err == nil {
		cert, err = i.by.Issue(waiting, r)
	} else if i.row != nil { // it was asked before
		err = &ca.Later{Err: err}
	}
	ended(err)
	end()
	if err != nil {
		return nil, i.fail(ctx, err)
	}
	if i.row == nil {
		return nil, denyErr(ReasonIssuerFailed, "issuer", errors.New("the issuer signed without recording the intent"))
	}
	return i.finish(ctx, cert)
}

func (i *issuance) prepareDevice() {
	c := i.c
	if c.Device != nil {
		d := *c.Device
		i.device = &d
	} else {
		i.made = true
		i.device = &Device{
			ID: NewID(c.At), Domain: i.v.Domain, Manufacturer: c.manufacturer(), SerialNumber: c.SerialNumber,
			State: Expected, Source: "enroll", CreatedAt: c.At.UTC(),
		}
	}
	i.device.SeenAt = c.At.UTC()
	if c.Identity.Kind == IDevID && i.device.IDevID == nil {
		i.device.IDevID = c.Identity.Certificate.Raw
		i.device.knowModule(c.Identity.Certificate)
	}
}

// seenPrecision is how exactly the record knows when a device was last seen: a
// device's row is not written for less.
const seenPrecision = time.Hour

// changesDevice tells whether the record is to learn something of the device.
func (i *issuance) changesDevice(now *Device) bool {
	was := i.c.Device
	return was == nil || was.State != now.State || !bytes.Equal(was.IDevID, now.IDevID) || now.SeenAt.Sub(was.SeenAt) >= seenPrecision
}

// record is ca.Request.Record.
func (i *issuance) record(ctx context.Context, in *ca.Intent) error {
	c := i.c
	row := &Certificate{
		Domain: i.v.Domain, ID: i.id, Issuer: i.by.name, Authority: i.by.authority, Serial: in.Serial, DeviceID: i.device.ID, Status: Intended, Profile: in.Profile, Version: in.Version,
		Operation: c.rowOperation(), Subject: i.d.Subject.String(), TBSHash: in.TBSHash, KeyHash: c.KeyHash, NamesHash: c.NamesHash,
		Credential: c.Identity.Credential, NotBefore: in.NotBefore, NotAfter: in.NotAfter, IntendedAt: c.At.UTC(),
	}
	change := &Change{Intents: []*Certificate{row}, Spendable: i.spending()}
	if i.made {
		i.c.regroup(change, i.device, true)
		change.PutDevices = []*Device{i.device}
		if !c.Own { // the registrar itself
			change.Quota = i.v.quota()
		}
	}
	if c.Supposed {
		change.Unclaimed = []DeviceName{{i.v.Domain, c.SerialNumber}}
		for _, name := range c.foreignNames() {
			change.NoIDevIDs = append(change.NoIDevIDs, DeviceName{i.v.Domain, name})
		}
	}
	row.Elsewhere = len(in.Serial) == 0
	if row.Elsewhere {
		row.Authority, i.row = "", row
		i.failed = i.recordOutstanding(ctx, change)
	} else {
		i.failed = i.s.store.Commit(ctx, change)
	}
	if i.failed != nil {
		i.row = nil
		return i.failed
	}
	i.row = row
	return nil
}

// errOutstanding says that too many issuances are outstanding.
var errOutstanding = errors.New("too many issuances of this device, or in all, wait for another CA")

// recordOutstanding records an intent that may take long: with it goes what is
// needed to ask again, whatever becomes of this process.
func (i *issuance) recordOutstanding(ctx context.Context, change *Change) error {
	i.opening = &opening{id: i.id, of: i.asking()}
	if !i.s.openings.reserve(i.v, i.opening) {
		return errOutstanding
	}
	err := i.keep(change)
	if err == nil {
		err = i.s.store.Commit(ctx, change)
	}
	if err != nil {
		i.s.openings.remove(i.id)
		i.kept, i.opening = nil, nil
		return err
	}
	i.fresh = true
	return nil
}

// spending is how the issuance spends a code; nil for none.
func (i *issuance) spending() []*Spending {
	if i.keeps == nil || i.keeps.Code == nil || !i.away {
		return i.c.spending()
	}
	return []*Spending{{
		Domain: i.v.Domain, SerialNumber: i.keeps.Code.SerialNumber, Digest: i.keeps.Code.Digest,
		KeyHash: i.c.KeyHash, NamesHash: i.c.NamesHash, At: i.c.At.UTC(),
	}}
}

// finish records what was signed.
func (i *issuance) finish(ctx context.Context, cert *ca.Certificate) ([]byte, *Decision) {
	now := i.s.now().UTC()
	row := *i.row
	row.Raw, row.IssuedAt, row.Status = cert.Raw, now, Issued
	change := &Change{Issued: []*Certificate{&row}, Spend: i.spending()}
	problem := checkIssued(i.c, cert.Raw)
	if row.Elsewhere {
		if d := i.again(ctx, cert.Serial, cert.Raw); d != nil {
			return nil, d
		}
		row.Serial = cert.Serial
		if problem == nil {
			row.Authority, problem = i.authority(ctx, cert.Raw)
		}
	}
	if problem == nil && !bytes.Equal(cert.Serial, row.Serial) {
		problem = errors.New("the certificate has another serial number than the intent")
	}
	if problem != nil {
		return nil, i.disown(ctx, change, &row, problem)
	}
	// A key that was made here can still be handed out with it as long as the
	// device waits for this answer.
	if i.away && i.keeps != nil && i.keeps.Nobody != "" {
		return nil, i.discard(ctx, change, &row)
	}
	if err := i.ready(change); err != nil {
		return nil, storeFailed("record", err)
	}
	device := *i.device
	device.State = Enrolled
	if i.made || i.changesDevice(&device) {
		change.PutDevices = []*Device{&device}
	}
	i.c.regroup(change, &device, false)
	i.c.Device = &device
	change.Trail = append(change.Trail, i.c.entry(KindCertificateIssued, "", i.issuedBody(&row)))
	i.c.retireRepeatable(change, &row)
	i.v.tell(change)
	if err := i.s.store.Commit(ctx, change); err != nil {
		if errors.Is(err, ErrConflict) && change.Spend != nil {
			// Another registrar spent the code meanwhile: nobody gets this certificate.
			_ = i.disown(ctx, &Change{Issued: change.Issued}, &row, err)
			return nil, denyErr(ReasonCodeSpent, "code", err)
		}
		if !errors.Is(err, ErrConflict) {
			i.s.settleLater(change)
		}
		i.begin()
		return nil, storeFailed("record", fmt.Errorf("certificate %x: %w", row.Serial, err))
	}
	if i.kept != nil && !i.away {
		i.s.openings.remove(i.id)
	}
	i.s.tellSoon(change)
	return cert.Raw, nil
}

// authority is the key of the issuer's CA that signed a certificate elsewhere.
func (i *issuance) authority(ctx context.Context, raw []byte) (string, error) {
	cert, err := x509.ParseCertificate(raw)
	if err != nil {
		return "", err
	}
	if by := i.by.signer(cert); by != nil {
		return AuthorityOf(by), nil
	}
	// The CA behind it may have another key since the settings were loaded.
	now, err := newIssuer(ctx, i.by.name, i.by.Issuer)
	if err != nil {
		return "", fmt.Errorf("the CA that signed it: %w", err)
	}
	by := now.signer(cert)
	if by == nil {
		return "", errors.New("no CA of the issuer's has signed the certificate")
	}
	i.s.refreshLater(i.v)
	return AuthorityOf(by), nil
}

func (i *issuance) issuedBody(row *Certificate) *body {
	b := i.c.Generate.generated(i.c.facts(i.v))
	return b.hex("serial", row.Serial).str("profile", row.Profile).str("profile_version", row.Version).
		str("subject", row.Subject).num("names", len(sanParts(&i.d.Names))).str("rule", i.d.Rule).yes("asked", i.c.Asked).time("not_after", row.NotAfter)
}

// disown records a certificate that is not what was decided, as revoked at
// once: it exists, and nobody gets it.
func (i *issuance) disown(ctx context.Context, change *Change, row *Certificate, problem error) *Decision {
	i.s.log.ErrorContext(ctx, "the issuer disagrees", slog.String("issuer", i.by.name), slog.String("id", i.id), slog.Any("error", problem))
	return i.revokeAtOnce(ctx, change, row, ReasonIssuerDisagrees, problem)
}

// discard is disown for a certificate that is as it was decided, and that
// nobody is to get any more.
func (i *issuance) discard(ctx context.Context, change *Change, row *Certificate) *Decision {
	return i.revokeAtOnce(ctx, change, row, ReasonIssuedForNobody, errors.New(i.keeps.Nobody))
}

func (i *issuance) revokeAtOnce(ctx context.Context, change *Change, row *Certificate, reason string, problem error) *Decision {
	revoked := *row
	revoked.Status, revoked.RevokedAt, revoked.RevokeReason = Revoked, row.IssuedAt, 0
	change.Revoked = []*Certificate{&revoked}
	if i.kept != nil {
		change.DropOutstanding = []*Outstanding{i.kept}
	}
	i.c.Device = i.device
	b := i.c.facts(i.v).str("id", row.ID).hex("serial", row.Serial).str("issuer", row.Issuer).str("problem", ascii(problem.Error()))
	change.Trail = append(change.Trail, i.c.entry(KindCertificateRevoked, reason, b))
	i.v.tell(change)
	if err := i.s.store.Commit(ctx, change); err != nil {
		i.s.settleLater(change)
		problem = errors.Join(problem, err)
	} else {
		i.s.openings.remove(i.id)
		i.s.tellSoon(change)
	}
	return denyErr(reason, "issuer", problem)
}

// fail maps an issuer's error, and explains the intent that got no certificate,
// or leaves it open.
func (i *issuance) fail(ctx context.Context, err error) *Decision {
	switch {
	case errors.Is(i.failed, errOutstanding):
		return &Decision{Reason: ReasonPendingFull, Rule: "outstanding-limit", RetryAfter: jitter(time.Minute), Err: i.failed}
	case i.failed != nil:
		return storeFailed("intent", i.failed)
	}
	if i.row != nil {
		var later *ca.Later
		var wrong *ca.Mismatch
		switch {
		case errors.As(err, &later):
			return i.later(ctx, later)
		case errors.As(err, &wrong):
			return i.mismatch(ctx, wrong)
		}
		i.s.abandon(ctx, i.row, i.c.actor(), i.s.now(), "the issuer was asked and gave no certificate: "+ascii(err.Error()))
	}
	switch {
	case isPending(err):
		return &Decision{Verdict: Wait, Reason: ReasonIssuerPending, Rule: "issuer", WaitFor: ForIssuer, RetryAfter: i.v.Limits.PollAfter, Err: err}
	case errors.Is(err, ca.ErrUnavailable):
		if d := endedCA(i.by.chain, i.c.At, err); d != nil {
			return d
		}
		return &Decision{Reason: ReasonIssuerDown, Rule: "issuer", RetryAfter: jitter(10 * time.Second), Err: err}
	case errors.Is(err, ca.ErrRejected):
		return denyErr(ReasonIssuerRejected, "issuer", err)
	case errors.Is(err, ca.ErrMismatch):
		return denyErr(ReasonIssuerDisagrees, "issuer", err)
	default:
		return denyErr(ReasonIssuerFailed, "issuer", err)
	}
}

func isPending(err error) bool { return errors.Is(err, ca.ErrPending) }

// abandon explains an intent that has no certificate.
func (s *Service) abandon(ctx context.Context, row *Certificate, actor string, at time.Time, explanation string) {
	change := abandonment(row, actor, at, explanation)
	err := s.store.Commit(ctx, change)
	if err != nil && !errors.Is(err, ErrConflict) {
		s.log.ErrorContext(ctx, "intent not explained", slog.String("id", row.ID), slog.Any("error", err))
		s.settleLater(change)
		return
	}
	s.openings.remove(row.ID)
}

// IssueRequest asks for a certificate on an operator's word.
type IssueRequest struct {
	Domain  string // must be the service's
	Actor   string // who asks, such as "cli:root"
	Label   string // whose profile decides
	Profile Profile
	CSR     *x509.CertificateRequest // its signature verified by the caller
	// Own says that it is for the registrar itself: Settings.OwnProfile decides, and
	// there is another one even where one of the same names and key is current.
	Own bool
}

// IssueCertificate issues to an operator, such as a certificate for an RA or
// for the registrar itself: names as the profile decides, on record like every
// other. Profile replaces that of the label when not nil. Asked again with the
// same names and key it returns the current certificate.
func (s *Service) IssueCertificate(ctx context.Context, r *IssueRequest) ([]byte, error) {
	v, err := s.inDomain(r.Domain)
	if err != nil {
		return nil, err
	}
	label := &Label{Name: r.Label, Profile: r.Profile}
	switch {
	case r.Own && v.OwnProfile == nil:
		return nil, fmt.Errorf("the configuration has no profile for the registrar's own certificates: %w", ErrNotFound)
	case r.Own:
		label.Profile = v.OwnProfile
	case r.Profile == nil:
		known := v.Labels[r.Label]
		if known == nil {
			return nil, fmt.Errorf("label %q: %w", r.Label, ErrNotFound)
		}
		label.Profile = known.Profile
	}
	c := &Case{
		Domain: v.Domain, Road: "operator", Operation: OpEnroll, Label: label, At: s.now(), CSR: r.CSR, Own: r.Own,
		Identity: Identity{Kind: Operator, Credential: r.Actor},
	}
	d := decideNames(c)
	var raw []byte
	if d == nil {
		raw, d = s.enrollAsking(ctx, v, c)
	}
	if d != nil {
		return nil, s.refuse(ctx, c, d)
	}
	return raw, nil
}
