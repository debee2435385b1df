package registrar

import (
	"bytes"
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"github.com/briskest/briskest/ca"
	"github.com/briskest/briskest/est"
	"github.com/briskest/briskest/internal/httpauth"
	"github.com/briskest/briskest/internal/recent"
	"github.com/briskest/briskest/internal/trail"
)

// Config is what a Service is made of. Store, Policy and Settings are
// required.
type Config struct {
	Store    Store
	Issuer   ca.Issuer // the default one, where Settings has no Issuers
	Policy   Policy    // registrar/policy.Decide
	Settings *Settings
	Now      func() time.Time // nil for time.Now
	Log      *slog.Logger     // nil for none
	Tracer   Tracer           // nil for none
	Events   Events           // nil for none

	// CompileGroups makes a Grouping of a groups document; registrar/groups has the one
	// that is used. Nil: there are no groups.
	CompileGroups func(document []byte) (Grouping, error)
	// Baselines makes what devices are configured with. Nil: there are none.
	Baselines Baselines
}

// Tracer follows what a device asked to those whom the registrar asks about it.
type Tracer interface {
	// Span begins a step of what ctx is about; end takes how it ended. Name is
	// "issuer", a question to a CA, or "masa", one to a MASA.
	Span(ctx context.Context, name string) (within context.Context, end func(error))
	// Continue returns life as a part of the trace that ctx belongs to.
	Continue(life, ctx context.Context) context.Context
}

// untraced is the Tracer of those who have none.
type untraced struct{}

func (untraced) Span(ctx context.Context, _ string) (context.Context, func(error)) {
	return ctx, func(error) {}
}

func (untraced) Continue(life, _ context.Context) context.Context { return life }

// Service is the registrar. It is an est.Backend with all its abilities;
// [Service.BRSKI] is the brski.RegistrarBackend of the same service.
type Service struct {
	store  Store
	issuer ca.Issuer
	policy Policy
	now    func() time.Time
	log    *slog.Logger
	tracer Tracer
	events Events

	current   atomic.Pointer[version] // each request loads it once
	groups    atomic.Pointer[groupsInForce]
	compile   func(document []byte) (Grouping, error)
	baselines Baselines  // nil: there are none
	applied   sync.Mutex // held while groups are being applied

	devices      keyLocks // one holder a device
	enrolling    admission
	asking       keySet   // devices about which another system is being asked
	listLocks    keyLocks // one holder a partition of lists
	lists        heldCRLs
	adopted      atomic.Bool // every revoked certificate from before there were several issuers has its authority
	chains       *chainCache
	passwords    *passwords
	byDevice     *budget
	byAddress    *budget
	byDomain     *budget
	refusals     *refusals
	repeats      *repeats
	reported     *budget  // telemetry, by device and kind
	questions    *budget  // of csrattrs and telemetry, by address
	guesses      *guesses // of one-time codes
	nonces       *httpauth.Nonces
	waiting      *waiting
	quarantined  atomic.Pointer[quarantines]
	quarantining sync.Mutex                    // one who changes them
	confirmed    *recent.Map[string, struct{}] // IDs of renewed certificates seen in use

	life  context.Context // of everything that outlives a request; ended by Close
	end   context.CancelFunc
	tasks sync.WaitGroup // all goroutines of the service

	exchanges  exchanges
	openings   openings      // issuances that are outstanding
	telling    chan struct{} // wakes who tells CAs of revocations
	shares     shares        // what each issuer that asks another CA takes of what all use
	listing    chan struct{} // one place a revocation list that is being signed
	generators chan struct{} // one place a key that is being made

	unsettled chan *Change // outcomes that could not be recorded; tried again by settle
	started   atomic.Bool

	reloading sync.Mutex  // who puts settings into force
	looking   atomic.Bool // somebody looks for absent issuers
}

var (
	_ est.Backend    = (*Service)(nil)
	_ est.CSRAttrser = (*Service)(nil)
	_ est.FullCMCer  = (*Service)(nil)
	_ est.Admitter   = (*Service)(nil)
	_ est.Observer   = (*Service)(nil)

	_ est.KeyGenerator = (*Service)(nil)
	_ est.KeyReceiver  = (*Service)(nil)
)

// nonceLifetime is how long the nonce of a Digest challenge is good.
const nonceLifetime = 5 * time.Minute

// New returns a service that answers requests at once; [Service.Start] begins
// its work in the background.
func New(c Config) (*Service, error) {
	if c.Store == nil || c.Policy == nil {
		return nil, errors.New("registrar: a store and a policy are needed")
	}
	s := &Service{
		store: c.Store, issuer: c.Issuer, policy: c.Policy, now: c.Now, log: c.Log, tracer: c.Tracer, events: c.Events, baselines: c.Baselines,
		chains: newChainCache(8192), passwords: newPasswords(4096), refusals: newRefusals(4096),
		byDevice: newBudget(24*time.Hour, 1<<17), byAddress: newBudget(time.Hour, 1<<16), byDomain: newBudget(time.Minute, 1), questions: newBudget(time.Hour, 1<<16),
		repeats: newRepeats(4096), reported: newBudget(time.Hour, 1<<16),
		guesses: newGuesses(), nonces: httpauth.NewNonces(nonceLifetime, 1<<15),
		waiting: &waiting{}, confirmed: recent.New[string, struct{}](1 << 16),
		unsettled: make(chan *Change, 256), generators: make(chan struct{}, runtime.GOMAXPROCS(0)), listing: make(chan struct{}, listers),
		telling: make(chan struct{}, 1),
	}
	if s.now == nil {
		s.now = time.Now
	}
	if s.log == nil {
		s.log = slog.New(slog.DiscardHandler)
	}
	if s.tracer == nil {
		s.tracer = untraced{}
	}
	s.life, s.end = context.WithCancel(context.Background())
	err := s.Reload(c.Settings)
	if err == nil {
		err = s.loadQuarantines(s.life, s.current.Load().Domain)
	}
	if err != nil {
		s.end()
		return nil, err
	}
	if s.compile = c.CompileGroups; s.compile != nil {
		if err := s.loadGroups(s.life); err != nil {
			s.end()
			return nil, err
		}
	}
	return s, nil
}

// OtherIDevID tells whether the peer's IDevID is another one than the record
// has for its serial number. A new one is imported by an operator.
func (c *Case) OtherIDevID() bool {
	return c.Identity.Kind == IDevID && c.Device != nil && len(c.Device.IDevID) > 0 &&
		!bytes.Equal(c.Device.IDevID, c.Identity.Certificate.Raw)
}

// Reload puts other settings into force, whole or, with an error, not at all.
// Requests that are under way finish with the settings they began with.
//
// A CA that another issuer than [DefaultIssuer] asks, and that does not answer
// (ca.ErrUnavailable) what its chain is, is asked again in the background;
// meanwhile it issues nothing (503), and what it issued authenticates nobody.
func (s *Service) Reload(set *Settings) error {
	s.reloading.Lock()
	defer s.reloading.Unlock()
	return s.reload(set)
}

// reload is Reload; reloading is held.
func (s *Service) reload(set *Settings) error {
	v, err := set.check(s.life, s.issuer, s.current.Load())
	if err == nil {
		v.given = set
	}
	if err != nil {
		return fmt.Errorf("registrar settings: %w", err)
	}
	if old := s.current.Load(); old != nil && old.Domain != v.Domain {
		return fmt.Errorf("registrar settings: the domain cannot change from %q to %q while the registrar runs", old.Domain, v.Domain)
	}
	if s.started.Load() {
		if err := s.recordPartitions(s.life, v); err != nil {
			return err
		}
	}
	s.current.Store(v)
	s.lookForAbsent()
	return nil
}

// reloadAgain loads the settings of v again, if they are in force still.
func (s *Service) reloadAgain(v *version) error {
	s.reloading.Lock()
	defer s.reloading.Unlock()
	if s.current.Load() != v || s.life.Err() != nil {
		return nil
	}
	return s.reload(v.given)
}

// Close ends the work in the background and waits for it. Exchanges that a
// MASA has not answered stay on record for the next Start.
func (s *Service) Close() {
	s.end()
	s.tasks.Wait()
}

// CACerts implements est.Backend: the CA that issues at the label first, then
// those above it, the root last, then what else its clients need, such as the
// links of a rollover (RFC 7030, Section 4.1.3). It needs no authentication (RFC
// 7030, Section 4.1.2).
func (s *Service) CACerts(_ context.Context, r *est.Request) ([]*x509.Certificate, error) {
	v := s.current.Load()
	if v.Labels[r.Label] == nil {
		return nil, deny(ReasonUnknownLabel, "label").answer(s.estCase(v, r))
	}
	by := v.issuerOf(v.Labels[r.Label])
	if by.absent != nil {
		return nil, by.notYet().answer(s.estCase(v, r))
	}
	return by.distributed, nil
}

// questionBudget counts what an address asks and reports without getting
// anything for it: csrattrs and telemetry. A device that joins does so a few
// times, so there is room for four times as many as for enrollments.
func (s *Service) questionBudget(v *version, c *Case) *Decision {
	limit := v.Limits.EnrollmentsPerAddress
	if limit == 0 {
		return nil
	}
	const each = 4
	key := v.budgetKey(c)
	if wait, over := s.questions.exceeded(key, each*limit, c.At); over {
		return &Decision{Reason: ReasonAddressBudget, Rule: "address-budget", RetryAfter: jitter(wait)}
	}
	s.questions.use(key, c.At)
	return nil
}

// Admit implements est.Admitter: unknown labels, and addresses and domains over their
// budget, are refused before a body is read, and a request that has neither body
// nor HTTP credentials is challenged: so curl 7.88 --digest begins.
func (s *Service) Admit(ctx context.Context, r *est.Request) error {
	v := s.current.Load()
	c := s.estCase(v, r)
	if c.Label == nil {
		return deny(ReasonUnknownLabel, "label").answer(c)
	}
	if c.Operation == OpFullCMC && !c.Label.FullCMC {
		return notOffered()
	}
	if d := s.addressBudget(v, c, false); d != nil {
		return d.answer(c)
	}
	if d := s.domainBudget(v, c); d != nil {
		return d.answer(c)
	}
	if r.NoBody && s.awaitsChallenge(v, c, r) {
		return s.refuse(ctx, c, deny(ReasonNoCredentials, "authenticate"))
	}
	return nil
}

// awaitsChallenge tells whether the peer of a request without a body may be
// waiting for a challenge: it has shown no HTTP credentials, and some are taken.
func (s *Service) awaitsChallenge(v *version, c *Case, r *est.Request) bool {
	p := r.Peer
	if p.User != "" || p.Secret != "" || p.Bearer != "" || p.Digest != nil {
		return false
	}
	switch r.Operation {
	case est.OpSimpleEnroll, est.OpServerKeyGen:
		return len(s.challenges(v, c.Label, ReasonNoCredentials, c.At)) > 0
	}
	return false
}

func (s *Service) estCase(v *version, r *est.Request) *Case {
	operation := string(r.Operation)
	if r.Operation == est.OpServerKeyGen { // decided as an enrollment
		operation = OpEnroll
	}
	return &Case{
		RequestID: r.ID, Domain: v.Domain, Road: "est", Operation: operation,
		Label: v.Labels[r.Label], At: r.At, Address: r.Peer.Address, shown: shownBy(r.Peer),
	}
}

// commit writes a change on behalf of a request. A peer that hangs up does not
// undo what was decided.
func (s *Service) commit(ctx context.Context, c *Change) error {
	return s.store.Commit(context.WithoutCancel(ctx), c)
}

// CommitTrail appends one entry of somebody else's making, such as that the
// server started. The domain and time are filled in when empty.
func (s *Service) CommitTrail(ctx context.Context, e *trail.Entry) error {
	if e.Domain == "" {
		e.Domain = s.current.Load().Domain
	}
	if e.At.IsZero() {
		e.At = s.now()
	}
	return s.commit(ctx, &Change{Trail: []*trail.Entry{e}})
}
