package main

import (
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"reflect"
	"sync/atomic"

	"github.com/briskest/briskest/brski"
	"github.com/briskest/briskest/cmd/internal/voucherformat"
	"github.com/briskest/briskest/est"
	"github.com/briskest/briskest/internal/httpserver"
	"github.com/briskest/briskest/registrar"
	"github.com/briskest/briskest/registrar/baseline"
	"github.com/briskest/briskest/registrar/events"
	"github.com/briskest/briskest/registrar/policy"
)

// domainRole is one more domain of a registrar: a tenant with its own CA, identity, labels, limits and
// devices' port, in the same store and on the same trail.
type domainRole struct {
	config   *registrarConfig
	service  *registrar.Service
	events   *events.Dispatcher
	servers  atomic.Pointer[[]*tls.Certificate]
	listener net.Listener
	tending  *tending
	inForce  atomic.Pointer[registrar.Settings]
}

// loadDomains reads the files of further domains. What there is one of, they do not say.
func (c *registrarConfig) loadDomains() error {
	names := map[string]bool{c.Domain: true}
	for _, file := range c.Domains {
		d := &registrarConfig{fetcher: c.fetcher, of: c}
		if err := d.load(c.path(file), "BRISKEST_DOMAIN", d); err != nil {
			return err
		}
		if names[d.Domain] {
			return d.wrong(fmt.Errorf("the domain %q is there twice", d.Domain))
		}
		names[d.Domain] = true
		c.others = append(c.others, d)
	}
	return nil
}

// checkDomain finds what a further domain cannot have of its own.
func (c *registrarConfig) checkDomain() error {
	switch {
	case c.Domain == "" || c.Domain == registrar.DefaultDomain && c.of.Domain == registrar.DefaultDomain:
		return errors.New("the key domain is missing: it is this tenant's name")
	case c.Store != "" || c.TrailKey != "" || c.Listen.Admin != "" || c.Listen.API != "" || c.Listen.Metrics != "" || c.Listen.Revocation != "":
		return errors.New("store, trail_key and listen.admin, api, metrics and revocation are those of the registrar, and not of one domain")
	case len(c.Domains) > 0 || c.Cloud != nil:
		return errors.New("domains and cloud belong into the registrar's own file")
	case c.Revocation.OCSPLifetime != 0 && c.Revocation.OCSPLifetime != c.of.Revocation.OCSPLifetime:
		return errors.New("revocation.ocsp_lifetime is the registrar's: one responder answers for all domains")
	}
	for _, part := range []struct {
		key          string
		mine, theirs any
	}{{"api", c.API, c.of.API}, {"announce", c.Announce, c.of.Announce}, {"log", c.Log, c.of.Log}, {"tracing", c.Tracing, c.of.Tracing}} {
		if !reflect.ValueOf(part.mine).IsZero() && !reflect.DeepEqual(part.mine, part.theirs) {
			return fmt.Errorf("%s has no effect in the file of one domain: there is one for all, in the registrar's own file; leave it out here", part.key)
		}
	}
	return nil
}

// inherit gives a configuration what outlives a reload, and its further domains as well.
func (c *registrarConfig) inherit(from *registrarConfig, log *slog.Logger) {
	c.fetcher, c.tracer, c.log = from.fetcher, from.tracer, log
	for _, d := range c.others {
		d.inherit(from, log)
	}
}

// allDomains are the names of the domains that the configuration has.
func (c *registrarConfig) allDomains() []string {
	names := []string{cmp.Or(c.Domain, registrar.DefaultDomain)}
	for _, d := range c.others {
		names = append(names, d.Domain)
	}
	return names
}

// buildDomains builds the further domains, all or none.
func (c *registrarConfig) buildDomains(ctx context.Context) error {
	for _, d := range c.others {
		var err error
		if d.built, d.shown, err = d.build(ctx); err != nil {
			return err
		}
	}
	return nil
}

// openDomains makes the services of the further domains.
func (r *registrarRole) openDomains() error {
	for _, c := range r.config.others {
		d := &domainRole{config: c}
		d.events = events.New(events.Config{Domain: c.Domain, Store: r.store, Records: r.store, Log: r.log})
		d.events.Set(c.events)
		var err error
		d.service, err = registrar.New(registrar.Config{
			Store: countedRegistrar{r.store, r.observe}, Policy: policy.Decide, Settings: c.built, Log: r.log, Tracer: r.observe.tracer, Events: d.events,
			CompileGroups: compileGroups, Baselines: baseline.Maker{},
		})
		if err != nil {
			d.events.Close()
			return c.wrong(err)
		}
		d.servers.Store(&c.shown)
		d.inForce.Store(c.built)
		r.others = append(r.others, d)
	}
	return nil
}

// begin starts a further domain, and opens its devices' port.
func (d *domainRole) begin(ctx context.Context, r *registrarRole) error {
	entry := d.config.notice(kindConfigurationLoaded)
	entry.Domain = d.config.Domain
	if err := errors.Join(r.record(ctx, entry), d.service.Start(ctx)); err != nil {
		return err
	}
	d.tending = newTending(r.log, d.config.built.Issuers)
	var err error
	if d.listener, err = new(net.ListenConfig).Listen(ctx, "tcp", d.config.Listen.Devices); err != nil {
		return fmt.Errorf("domain %s: %w", d.config.Domain, err)
	}
	return nil
}

// serve answers the domain's devices until ctx ends.
func (d *domainRole) serve(s *service) func(context.Context) error {
	return d.tending.beside(d.config.importing(d.service, s.log, func(ctx context.Context) error {
		bounds := d.config.bounds()
		bounds.Certificates = func() []*tls.Certificate { return *d.servers.Load() }
		bounds.Log, bounds.ConnContext = s.log, est.ConnContext
		bounds.Routes = s.observe.around(map[string]http.Handler{
			"/.well-known/est":   &est.Handler{Backend: d.service, Log: s.log},
			"/.well-known/brski": &brski.RegistrarHandler{Backend: d.service.BRSKI(), Formats: voucherformat.All(), Log: s.log},
			baseline.Path:        &baseline.Handler{Backend: d.service, Log: s.log},
		})
		s.log.InfoContext(ctx, "serving", slog.String("domain", d.config.Domain), slog.String("address", d.listener.Addr().String()))
		return serveUntil(ctx, httpserver.New(d.listener, bounds))
	}))
}

// serveUntil answers until ctx ends, then drains.
func serveUntil(ctx context.Context, server *httpserver.Server) error {
	done := make(chan error, 1)
	go func() { done <- server.Serve() }()
	select {
	case err := <-done:
		return err
	case <-ctx.Done():
		drain, cancel := context.WithTimeout(context.WithoutCancel(ctx), drainTime)
		defer cancel()
		return errors.Join(server.Shutdown(drain), <-done)
	}
}

// applyDomains puts what was loaded into force in each further domain. Domains come and go with a restart.
func (r *registrarRole) applyDomains(ctx context.Context, next *registrarConfig) error {
	for i, d := range r.others {
		c := next.others[i]
		entry := c.notice(kindConfigurationLoaded)
		entry.Domain = c.Domain
		if err := r.record(ctx, entry); err != nil {
			return err
		}
		if err := d.service.Reload(c.built); err != nil {
			return fmt.Errorf("domain %s: %w", c.Domain, err)
		}
		servers := c.shown
		d.servers.Store(&servers)
		d.inForce.Store(c.built)
		d.tending.set(c.built.Issuers)
		d.events.Set(c.events)
	}
	return nil
}

// sameDomains refuses a reload that has other domains.
func (r *registrarRole) sameDomains(next *registrarConfig) error {
	if len(next.others) != len(r.others) {
		return errors.New("domains: they come and go with a restart")
	}
	for i, d := range r.others {
		if next.others[i].Domain != d.config.Domain {
			return fmt.Errorf("domains: %s is where %s was; they come and go with a restart", next.others[i].Domain, d.config.Domain)
		}
	}
	return nil
}

// wake tells the events of all domains that there is something new.
func (r *registrarRole) wake() {
	r.events.Wake()
	for _, d := range r.others {
		d.events.Wake()
	}
}

// closeDomains ends the further domains.
func (r *registrarRole) closeDomains() {
	for _, d := range r.others {
		d.service.Close()
		d.events.Close()
		if d.listener != nil {
			_ = d.listener.Close() // closed already, where it served
		}
	}
}
