package main

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"sync"

	"github.com/briskest/briskest/brski/discovery"
	"github.com/briskest/briskest/brski/joinproxy"
	"github.com/briskest/briskest/internal/cli"
)

type joinProxyCmd struct {
	Config    string   `type:"existingfile" help:"joinproxy.yaml; without it, --listen and --registrar say all."`
	Listen    []string `placeholder:"HOST:PORT" help:"Where pledges connect."`
	Registrar []string `placeholder:"HOST:PORT" help:"Where the registrar is; several are tried in turn."`
	Check     bool     `help:"Load the configuration, say what is wrong with it, and exit."`
}

// Run passes on what pledges and registrar say until it is told to stop.
func (c *joinProxyCmd) Run(ctx context.Context, s streams) error {
	cfg, err := c.load()
	if err != nil || c.Check {
		return err
	}
	proxy, err := startJoinProxy(ctx, cfg, s.Err)
	if err != nil {
		return err
	}
	return proxy.serve(ctx)
}

// load reads the file, or makes a configuration of the flags.
func (c *joinProxyCmd) load() (*joinProxyConfig, error) {
	flags := len(c.Listen)+len(c.Registrar) != 0
	switch {
	case c.Config != "" && flags:
		return nil, cli.Usage("the flags --listen and --registrar are for running without --config; write them into %s", c.Config)
	case c.Config != "":
		return loadJoinProxyConfig(c.Config)
	case len(c.Listen) == 0 || len(c.Registrar) == 0:
		return nil, cli.Usage("the flags --listen and --registrar are missing, or --config")
	}
	cfg := &joinProxyConfig{Version: 1, Registrars: c.Registrar}
	cfg.Listen.Addresses = c.Listen
	cfg.file = "the command line"
	return cfg, cfg.wrong(cfg.check())
}

// joinProxyRole is a join proxy with open listeners and links.
type joinProxyRole struct {
	config    *joinProxyConfig
	proxy     *joinproxy.Proxy
	listeners []net.Listener
	querier   *discovery.Querier   // nil: only named registrars
	announcer *discovery.Responder // nil: not announced; without links yet
	log       *slog.Logger
}

// startJoinProxy opens what the configuration names.
func startJoinProxy(ctx context.Context, c *joinProxyConfig, logTo io.Writer) (*joinProxyRole, error) {
	log, err := newLog(c.Log, logTo)
	if err != nil {
		return nil, c.wrong(err)
	}
	r := &joinProxyRole{config: c, log: log}
	if r.listeners, err = c.listeners(ctx); err != nil {
		return nil, err
	}
	if c.Announce.MDNS {
		if len(c.Announce.Interfaces) == 0 {
			c.Announce.Interfaces = c.Listen.Interfaces
		}
		r.announcer, err = c.Announce.responder([]string{discovery.ServiceProxy}, r.listeners, log)
	}
	if err == nil && c.Discover.MDNS {
		r.querier = &discovery.Querier{Service: discovery.ServiceRegistrar, Log: log}
		r.querier.Links, err = c.Announce.open(c.Discover.Interfaces)
	}
	if err != nil {
		for _, l := range r.listeners {
			discard(l.Close)
		}
		return nil, err
	}
	r.proxy = &joinproxy.Proxy{Registrars: r.registrars, Limits: c.limits(), Log: log}
	return r, nil
}

// registrars are the named ones, then those found.
func (r *joinProxyRole) registrars() []string {
	list := append([]string(nil), r.config.Registrars...)
	if r.querier != nil {
		list = append(list, joinproxy.Discovered(r.querier)()...)
	}
	return list
}

// serve runs until ctx ends, or something cannot go on.
func (r *joinProxyRole) serve(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	var wg sync.WaitGroup
	failed := make(chan error, 3)
	run := func(serve func(context.Context) error) {
		wg.Go(func() {
			defer cancel()
			failed <- serve(ctx)
		})
	}
	for _, l := range r.listeners {
		r.log.InfoContext(ctx, "serving", slog.String("role", "join-proxy"), slog.String("address", l.Addr().String()))
	}
	run(func(ctx context.Context) error { return r.proxy.Serve(ctx, r.listeners...) })
	if r.querier != nil {
		run(r.querier.Run)
	}
	if r.announcer != nil {
		run(r.announce)
	}
	wg.Wait()
	close(failed)
	var err error
	for e := range failed {
		err = errors.Join(err, e)
	}
	return err
}

// announce announces the proxy while there is somewhere to connect to.
func (r *joinProxyRole) announce(ctx context.Context) error {
	once := func(ctx context.Context) error {
		var err error
		a := *r.announcer
		if a.Links, err = r.config.Announce.open(r.config.Announce.Interfaces); err != nil {
			return err
		}
		return a.Run(ctx)
	}
	if len(r.config.Registrars) != 0 {
		return once(ctx)
	}
	return joinproxy.AnnounceWhile(ctx, r.querier, once)
}
