package main

import (
	"cmp"
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"time"

	"github.com/briskest/briskest/brski"
	"github.com/briskest/briskest/cmd/internal/voucherformat"
	"github.com/briskest/briskest/internal/keystore"
	"github.com/briskest/briskest/internal/pemfile"
	"github.com/briskest/briskest/internal/trail"
	"github.com/briskest/briskest/masa"
	masaadmin "github.com/briskest/briskest/masa/admin"
	masastore "github.com/briskest/briskest/masa/store"
)

// masaRole is a MASA put together, without listeners.
type masaRole struct {
	config   *masaConfig
	log      *slog.Logger
	store    *masastore.Store
	service  *masa.Service
	settings *masa.Settings
	servers  []*tls.Certificate // what the registrars' port shows
	observe  *observing
}

// openMASA opens the store and builds the service a configuration describes.
func openMASA(ctx context.Context, c *masaConfig, logTo io.Writer) (*masaRole, error) {
	r := &masaRole{config: c}
	var err error
	if r.log, err = newLog(c.Log, logTo); err != nil {
		return nil, c.wrong(err)
	}
	if r.settings, r.servers, err = c.build(ctx); err != nil {
		return nil, err
	}
	if r.observe, err = observe(ctx, "masa", c.Tracing); err != nil {
		return nil, c.wrong(err)
	}
	if r.store, err = c.openStore(ctx, r.log); err != nil {
		return nil, err
	}
	r.service, err = masa.New(ctx, masa.Config{Store: countedMASA{r.store, r.observe}, Settings: r.settings, Log: r.log})
	if err != nil {
		discard(r.store.Close)
		return nil, c.wrong(err)
	}
	r.observe.ofMASA(r.service)
	return r, nil
}

// openStore opens the MASA's records.
func (c *masaConfig) openStore(ctx context.Context, log *slog.Logger) (*masastore.Store, error) {
	trailKey, err := keystore.Open(ctx, c.uri(c.TrailKey))
	if err != nil {
		return nil, c.wrong(err)
	}
	store, err := masastore.Open(ctx, masastore.Options{Path: c.path(c.Store), TrailKey: trailKey, Log: log})
	if err != nil {
		return nil, storeFailure(err)
	}
	if err := noteRestoredMASA(ctx, store, c.path(c.Store), cmp.Or(c.Domain, masa.DefaultDomain)); err != nil {
		discard(store.Close)
		return nil, err
	}
	return store, nil
}

// close ends the service, then its store.
func (r *masaRole) close() error {
	r.service.Close()
	r.config.fetcher.Close()
	return r.store.Close()
}

// startMASA opens a MASA and its listeners.
func startMASA(ctx context.Context, c *masaConfig, logTo io.Writer) (*service, *masaRole, error) {
	role, err := openMASA(ctx, c, logTo)
	if err != nil {
		return nil, nil, err
	}
	// It starts all the same: other products' keys may be good, and the command
	// line has to work for whoever mends it (regression R22).
	if err := role.settings.CheckSigners(ctx, time.Now()); err != nil {
		role.log.ErrorContext(ctx, "voucher keys do not sign", slog.Any("error", err))
	}
	for _, restore := range role.service.Restores() {
		if restore.ConfirmedAt.IsZero() {
			role.log.WarnContext(ctx, "restored from a backup and not confirmed: requests without a nonce, or without the pledge's time, are refused (briskest masa confirm-restore)",
				slog.Time("backup", restore.MadeAt), slog.Time("restored", restore.RestoredAt))
		}
	}
	s := &service{
		name: "masa", log: role.log, close: role.close, observe: role.observe,
		routes: map[string]http.Handler{"/.well-known/brski": &brski.MASAHandler{
			MASA: role.service, Formats: voucherformat.All(), Log: role.log, TakeBase64: c.TakeBase64,
		}},
		operators: withKeys(withIntents(masaadmin.Handler(role.service, role.log), role.record)),
	}
	s.certificates.Store(&role.servers)
	reloader := &reloader[*masa.Settings]{
		service: s, record: role.record, apply: role.service.Reload,
		load: func() (configuration[*masa.Settings], error) {
			next, err := loadMASAConfig(c.file)
			next.fetcher = c.fetcher // what was fetched stays
			return next, err
		},
	}
	s.reload = reloader.reload
	s.watch = func(ctx context.Context) { role.reportEnding(ctx, *s.certificates.Load()) }
	begin := func() error { return role.record(ctx, c.notice(kindConfigurationLoaded)) }
	if err := s.open(ctx, begin, c.Listen.Registrars, c.path(c.Listen.Admin)); err != nil {
		return nil, nil, err
	}
	if err := s.listenFor(ctx, c.Listen.Metrics); err != nil {
		return nil, nil, err
	}
	return s, role, nil
}

// reportEnding logs which certificates of the MASA need renewal: those that it
// shows, and those of its voucher keys.
func (r *masaRole) reportEnding(ctx context.Context, servers []*tls.Certificate) {
	var all []watched
	for _, c := range servers {
		all = append(all, watched{"MASA", c.Leaf, renewMASA})
	}
	for _, id := range r.config.identities()[1:] {
		if certs, err := pemfile.Certificates(r.config.path(id.Certificate)); err == nil { // CheckSigners tells of the others
			all = append(all, watched{"voucher signer", certs[0], renewMASA})
		}
	}
	r.observe.ends(all)
	reportEnding(ctx, r.log, all, time.Now())
}

// record puts one entry on the trail.
func (r *masaRole) record(ctx context.Context, e *trail.Entry) error {
	return countedMASA{r.store, r.observe}.Commit(ctx, &masa.Change{Trail: []*trail.Entry{e}})
}

// build turns the file's words into the service's, and opens the MASA's own
// certificate.
func (c *masaConfig) build(ctx context.Context) (*masa.Settings, []*tls.Certificate, error) {
	servers, err := c.servers(ctx, c.TLS, nil)
	if err != nil {
		return nil, nil, c.wrong(err)
	}
	settings, err := c.settings(ctx)
	return settings, servers, c.wrong(err)
}

func (c *masaConfig) settings(ctx context.Context) (*masa.Settings, error) {
	s := &masa.Settings{
		Version: c.stamp(time.Now()), Domain: c.Domain,
		Products: make(map[string]masa.Product), Formats: voucherformat.All(),
		RequestsPerMinute: c.RequestsPerMinute, AuditLogLimit: c.AuditLogEvents,
	}
	if c.RegistrarAnchors != "" {
		pool, err := pemfile.Pool(c.path(c.RegistrarAnchors))
		if err != nil {
			return nil, err
		}
		s.RegistrarAnchors = pool
	}
	if err := c.registrars(s); err != nil {
		return nil, err
	}
	for _, p := range c.Products {
		product, err := c.product(ctx, p)
		if err != nil {
			return nil, fmt.Errorf("product %s: %w", p.Name, err)
		}
		if _, twice := s.Products[p.Name]; twice {
			return nil, fmt.Errorf("product %s is there twice", p.Name)
		}
		s.Products[p.Name] = product
	}
	return s, nil
}
