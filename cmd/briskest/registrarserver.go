package main

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/briskest/briskest/brski"
	"github.com/briskest/briskest/ca/profile"
	"github.com/briskest/briskest/cmd/internal/voucherformat"
	"github.com/briskest/briskest/est"
	"github.com/briskest/briskest/internal/httpserver"
	"github.com/briskest/briskest/internal/keystore"
	"github.com/briskest/briskest/internal/pemfile"
	"github.com/briskest/briskest/internal/tracing"
	"github.com/briskest/briskest/internal/trail"
	"github.com/briskest/briskest/registrar"
	"github.com/briskest/briskest/registrar/baseline"
	"github.com/briskest/briskest/registrar/events"
	"github.com/briskest/briskest/registrar/policy"
	registrarstore "github.com/briskest/briskest/registrar/store"
	"github.com/briskest/briskest/voucher"
)

// registrarRole is a registrar put together, without listeners.
type registrarRole struct {
	config     *registrarConfig
	log        *slog.Logger
	store      *registrarstore.Store
	service    *registrar.Service
	settings   *registrar.Settings
	servers    []*tls.Certificate // what the devices' port shows
	inForce    atomic.Pointer[registrar.Settings]
	revocation *revocationPort // nil: there is none
	api        *apiPort        // nil: there is none
	events     *events.Dispatcher
	others     []*domainRole // further domains
	observe    *observing
	manifests  sync.Mutex // held while one is imported
}

// openRegistrar opens the store and builds the service a configuration describes.
func openRegistrar(ctx context.Context, c *registrarConfig, logTo io.Writer) (*registrarRole, error) {
	r := &registrarRole{config: c}
	var err error
	if r.log, err = newLog(c.Log, logTo); err != nil {
		return nil, c.wrong(err)
	}
	c.log = r.log
	if r.observe, err = observe(ctx, "registrar", c.Tracing); err != nil {
		return nil, c.wrong(err)
	}
	c.tracer = r.observe.tracer
	c.inherit(c, r.log)
	if r.settings, r.servers, err = c.build(ctx); err != nil {
		return nil, err
	}
	r.inForce.Store(r.settings)
	for _, w := range c.warnings {
		r.log.WarnContext(ctx, "configuration", slog.Any("warning", w))
	}
	trailKey, err := keystore.Open(ctx, c.uri(c.TrailKey))
	if err != nil {
		return nil, c.wrong(err)
	}
	if err := r.openStore(ctx, trailKey); err != nil {
		return nil, err
	}
	if err := noteRestored(ctx, r.store, c.path(c.Store), c.allDomains()); err != nil {
		r.events.Close()
		discard(r.store.Close)
		return nil, err
	}
	r.service, err = registrar.New(registrar.Config{
		Store: countedRegistrar{r.store, r.observe}, Policy: policy.Decide, Settings: r.settings, Log: r.log, Tracer: r.observe.tracer, Events: r.events,
		CompileGroups: compileGroups, Baselines: baseline.Maker{},
	})
	if err != nil {
		r.events.Close()
		discard(r.store.Close)
		return nil, c.wrong(err)
	}
	if err := r.openDomains(); err != nil {
		discard(r.close)
		return nil, err
	}
	domains := map[string]*registrar.Service{r.settings.Domain: r.service}
	for _, d := range r.others {
		domains[d.config.Domain] = d.service
	}
	r.observe.ofRegistrar(domains)
	return r, nil
}

// close ends the service and its events, then its store.
func (r *registrarRole) close() error {
	r.service.Close()
	r.events.Close()
	r.closeDomains()
	r.config.fetcher.Close()
	return r.store.Close()
}

// startRegistrar opens a registrar, explains what a crash left open, and opens
// its listeners.
func startRegistrar(ctx context.Context, c *registrarConfig, logTo io.Writer) (*service, *registrarRole, error) {
	role, err := openRegistrar(ctx, c, logTo)
	if err != nil {
		return nil, nil, err
	}
	s := &service{
		name: "registrar", log: role.log, close: role.close, observe: role.observe,
		bounds: c.bounds(),
		routes: map[string]http.Handler{
			"/.well-known/est": &est.Handler{Backend: role.service, Log: role.log},
			"/.well-known/brski": &brski.RegistrarHandler{
				Backend: role.service.BRSKI(), Formats: voucherformat.All(), Log: role.log,
			},
			baseline.Path: &baseline.Handler{Backend: role.service, Log: role.log},
		},
		operators: withKeys(role.operators()),
	}
	if c.Cloud != nil {
		s.routes[est.PathPrefix] = http.HandlerFunc(noEST)
	}
	s.certificates.Store(&role.servers)
	tending := newTending(role.log, role.settings.Issuers)
	loaded := c
	reloader := &reloader[*registrar.Settings]{
		service: s, record: role.record,
		apply: func(settings *registrar.Settings) error {
			if err := role.apply(settings); err != nil {
				return err
			}
			if err := role.applyDomains(ctx, loaded); err != nil {
				return err
			}
			if role.revocation != nil {
				if err := role.revocation.update(); err != nil {
					return err
				}
			}
			tending.set(settings.Issuers)
			if role.api != nil {
				role.api.inForce.Store(loaded.api)
			}
			role.events.Set(loaded.events)
			return nil
		},
		load: func() (configuration[*registrar.Settings], error) {
			next, err := loadRegistrarConfig(c.file)
			next.inherit(c, role.log) // what was fetched stays
			if err == nil {
				err = next.wrong(role.sameDomains(next))
			}
			loaded = next
			return next, err
		},
	}
	s.reload = reloader.reload
	s.watch = func(ctx context.Context) { role.reportEnding(ctx) }
	begin := func() error {
		err := errors.Join(role.record(ctx, c.notice(kindConfigurationLoaded)), role.service.Start(ctx))
		for _, d := range role.others {
			if err == nil {
				err = d.begin(ctx, role)
			}
		}
		return err
	}
	if err := s.open(ctx, begin, c.Listen.Devices, c.path(c.Listen.Admin)); err != nil {
		return nil, nil, err
	}
	if err := s.listenFor(ctx, c.Listen.Metrics); err != nil {
		return nil, nil, err
	}
	if c.Listen.Revocation != "" {
		if role.revocation, err = openRevocationPort(ctx, role, s.bounds); err != nil {
			discard(s.discard)
			return nil, nil, err
		}
		s.public = role.revocation.serve
	}
	if c.Listen.API != "" {
		if role.api, err = openAPIPort(ctx, role, s.bounds); err != nil {
			discard(s.discard)
			return nil, nil, err
		}
		s.operated = role.api.serve
	}
	if announce := &c.Announce.Announcement; announce.MDNS {
		if s.beside, err = announce.announcing(c.Announce.types(), []net.Listener{s.devices}, role.log); err != nil {
			discard(s.discard)
			return nil, nil, err
		}
	}
	s.beside = tending.beside(c.importing(role.service, role.log, s.beside))
	role.events.Start()
	for _, d := range role.others {
		d.events.Start()
		s.tenants = append(s.tenants, d.serve(s))
	}
	return s, role, nil
}

// bounds are those of a devices' port.
func (c *registrarConfig) bounds() httpserver.Config {
	relays, _ := c.Limits.relays() //nolint:errcheck // check did
	return httpserver.Config{
		MaxConnections: c.Limits.Connections, MaxInFlight: c.Limits.InFlight, ConnectionsPerAddress: c.Limits.ConnectionsPerAddress,
		InFlightPerAddress: c.Limits.InFlightPerAddress, BodyPause: time.Duration(c.Limits.BodyPause), Relays: relays,
	}
}

// apply puts other settings of the registrar's own domain into force.
func (r *registrarRole) apply(next *registrar.Settings) error {
	if err := r.service.Reload(next); err != nil {
		return err
	}
	r.inForce.Store(next)
	return nil
}

// reportEnding logs which certificates of the settings in force need renewal.
func (r *registrarRole) reportEnding(ctx context.Context) {
	all := watchRegistrar(ctx, r.inForce.Load())
	for _, d := range r.others {
		for _, w := range watchRegistrar(ctx, d.inForce.Load()) {
			w.role += " of domain " + d.config.Domain
			all = append(all, w)
		}
	}
	r.observe.ends(all)
	reportEnding(ctx, r.log, all, time.Now())
}

// record puts one entry on the trail.
func (r *registrarRole) record(ctx context.Context, e *trail.Entry) error {
	return countedRegistrar{r.store, r.observe}.Commit(ctx, &registrar.Change{Trail: []*trail.Entry{e}})
}

// build turns the file's words into the service's, issuer included, and opens
// the registrar's own certificates.
func (c *registrarConfig) build(ctx context.Context) (*registrar.Settings, []*tls.Certificate, error) {
	servers, err := c.servers(ctx, c.TLS, c.MoreTLS)
	if err != nil {
		return nil, nil, c.wrong(err)
	}
	settings, err := c.settings(ctx, servers[0])
	if err != nil {
		return nil, nil, c.wrong(err)
	}
	if err := c.checkImportFolder(); err != nil {
		return nil, nil, c.wrong(err)
	}
	if c.events, err = c.eventSettings(ctx); err != nil {
		return nil, nil, c.wrong(err)
	}
	if c.api, err = c.loadAPI(ctx, servers[0]); err != nil {
		return nil, nil, c.wrong(err)
	}
	if err := c.buildDomains(ctx); err != nil {
		return nil, nil, err
	}
	for _, server := range servers {
		settings.TLSCertificates = append(settings.TLSCertificates, server.Leaf)
	}
	return settings, servers, nil
}

func (c *registrarConfig) settings(ctx context.Context, id *tls.Certificate) (*registrar.Settings, error) {
	if c.Cloud != nil {
		return c.cloudSettings(ctx)
	}
	profiles, err := c.profiles()
	if err != nil {
		return nil, err
	}
	issuers, chain, err := c.issuers(ctx, profiles)
	if err != nil {
		return nil, err
	}
	key, err := pemfile.Signer(id)
	if err != nil {
		return nil, err
	}
	// The root travels along, so that the MASA can pin it (RFC 8995, Section 5.5.2).
	signer := &voucher.Signer{Key: key, Certificate: id.Leaf, Chain: chain}
	limits, err := c.Limits.registrar()
	if err != nil {
		return nil, err
	}
	s := &registrar.Settings{
		Version: c.stamp(time.Now()), Domain: c.Domain, URL: strings.TrimSuffix(c.URL, "/"),
		Labels: make(map[string]*registrar.Label), Manufacturers: make(map[string]*registrar.Manufacturer),
		Issuers: issuers, Signer: signer, PinnedDomainCert: chain[len(chain)-1],
		Formats: voucherformat.All(), DialMASA: newMASADialer(signer, c.tracer).dial,
		CRLLifetime: c.crlLifetime(),
		Limits:      limits,
	}
	s.Profiles = groupProfiles(profiles)
	if own := profiles[ownProfile]; own != nil {
		s.OwnProfile = policy.Profile(own)
	}
	if err := c.addLists(ctx, s); err != nil {
		return nil, err
	}
	if err := c.addLabels(s, profiles); err != nil {
		return nil, err
	}
	if err := c.addCMC(s); err != nil {
		return nil, err
	}
	if err := c.addKeys(s); err != nil {
		return nil, err
	}
	return s, c.addManufacturers(s)
}

// registrar are those that the service looks after.
func (l *limitsConfig) registrar() (registrar.Limits, error) {
	proxies, err := l.relays()
	return registrar.Limits{
		EnrollmentsPerDevice: l.EnrollmentsPerDevice, EnrollmentsPerAddress: l.EnrollmentsPerAddress,
		Devices: l.Devices, RequestsPerMinute: l.RequestsPerMinute,
		Proxies:          proxies,
		PendingPerDevice: l.PendingPerDevice, Pending: l.Pending,
		MASARetry: time.Duration(l.MASARetry), MASAGiveUp: time.Duration(l.MASAGiveUp),
		IssuerTimeout: time.Duration(l.IssuerTimeout), IssuerRetry: time.Duration(l.IssuerRetry), IssuerGiveUp: time.Duration(l.IssuerGiveUp),
		EnrollmentsAtOnce: l.EnrollmentsAtOnce, ApprovalLifetime: time.Duration(l.ApprovalLifetime),
	}, err
}

func (c *registrarConfig) addLabels(s *registrar.Settings, profiles map[string]*profile.Profile) error {
	for _, l := range c.Labels {
		if s.Labels[l.Name] != nil {
			return fmt.Errorf("label %q is there twice", l.Name)
		}
		p := profiles[l.Profile]
		if p == nil {
			return fmt.Errorf("label %q: there is no profile %q", l.Name, l.Profile)
		}
		if err := l.checkAuthority(p); err != nil {
			return fmt.Errorf("label %q: %w", l.Name, err)
		}
		rule := registrar.IDevIDRule(l.IDevID)
		if l.IDevID == "never" {
			rule = registrar.IDevIDNever
		}
		link, err := l.Linking.policy()
		if err != nil {
			return fmt.Errorf("label %q: %w", l.Name, err)
		}
		ask, err := c.ask(&l.Webhook)
		if err != nil {
			return fmt.Errorf("label %q: %w", l.Name, err)
		}
		wanted, err := objectIdentifiers(l.WantedAttributes)
		if err != nil {
			return fmt.Errorf("label %q: wanted_attributes: %w", l.Name, err)
		}
		s.Labels[l.Name] = &registrar.Label{
			Wanted: wanted, Linking: l.Linking.Mode, Link: link, Ask: ask,
			Profile: policy.Profile(p), Issuer: l.Issuer, Basic: l.Basic, IDevID: rule, RA: l.RA, Renewal: l.Renewal, Approval: l.Approval,
			FullCMC: l.FullCMC, SharedSecret: l.SharedSecret,
		}
		if err := c.authenticate(s.Labels[l.Name], &l.Auth); err != nil {
			return fmt.Errorf("label %q: %w", l.Name, err)
		}
	}
	return nil
}

func (c *registrarConfig) addManufacturers(s *registrar.Settings) error {
	for _, m := range c.Manufacturers {
		if s.Manufacturers[m.Name] != nil {
			return fmt.Errorf("manufacturer %q is there twice", m.Name)
		}
		out := &registrar.Manufacturer{
			MASAURL: m.MASA.URL, Offline: m.MASA.Offline, Unlisted: registrar.UnlistedRule(m.UnlistedSerial), AllowNonceless: m.AllowNonceless,
		}
		for _, a := range m.Assertions {
			out.Assertions = append(out.Assertions, voucher.Assertion(a))
		}
		var err error
		if out.IDevIDAnchors, err = pemfile.Pool(c.path(m.IDevIDAnchors)); err == nil {
			out.VoucherAnchors, err = pemfile.Pool(c.path(m.VoucherAnchors))
		}
		if err == nil && m.ManifestAnchors != "" {
			if out.ManifestAnchors, err = pemfile.Pool(c.path(m.ManifestAnchors)); err != nil {
				err = fmt.Errorf("manifest_anchors: %w", err)
			}
		}
		if err == nil {
			if out.Revocation, err = m.IDevIDRevocation.checker(c.read, c.fetcher); err != nil {
				err = fmt.Errorf("idevid_revocation: %w", err)
			}
		}
		if err == nil {
			err = m.decide(out, c.path)
		}
		if err == nil {
			out.Ask, err = c.ask(&m.Webhook)
		}
		if err == nil && m.MASA.TLSAnchors != "" {
			out.MASATLSRoots, err = pemfile.Pool(c.path(m.MASA.TLSAnchors))
		}
		if err != nil {
			return fmt.Errorf("manufacturer %q: %w", m.Name, err)
		}
		s.Manufacturers[m.Name] = out
	}
	return nil
}

// maxMASAs bounds the MASA clients that one configuration keeps connections
// of. The addresses come from IDevIDs, which their manufacturers vouch for.
const maxMASAs = 256

// masaDialer makes clients that show the registrar's certificate
// (RFC 8995, Section 5.4), one for each manufacturer and address, and keeps them for
// their connections.
type masaDialer struct {
	tracer      *tracing.Tracer
	certificate tls.Certificate

	mu      sync.Mutex
	clients map[string]*brski.MASAClient // by manufacturer and URL; guarded by mu
}

func newMASADialer(signer *voucher.Signer, tracer *tracing.Tracer) *masaDialer {
	d := &masaDialer{tracer: tracer, clients: make(map[string]*brski.MASAClient)}
	d.certificate = tls.Certificate{PrivateKey: signer.Key, Leaf: signer.Certificate, Certificate: [][]byte{signer.Certificate.Raw}}
	for _, ca := range signer.Chain {
		d.certificate.Certificate = append(d.certificate.Certificate, ca.Raw)
	}
	return d
}

// dial is the registrar's Settings.DialMASA.
func (d *masaDialer) dial(m *registrar.Manufacturer, url string) (brski.MASA, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	key := m.Name + " " + url
	if c := d.clients[key]; c != nil {
		return c, nil
	}
	if len(d.clients) >= maxMASAs {
		for old, c := range d.clients {
			c.CloseIdleConnections()
			delete(d.clients, old)
			break
		}
	}
	c := &brski.MASAClient{URL: url, Roots: m.MASATLSRoots, Certificate: &d.certificate, Prepare: d.tracer.Inject}
	d.clients[key] = c
	return c, nil
}
