package main

import (
	"context"
	"crypto/tls"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"net/http/pprof"
	"os"
	"os/signal"
	"runtime/debug"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/briskest/briskest/est"
	"github.com/briskest/briskest/internal/cli"
	"github.com/briskest/briskest/internal/httpserver"
	"github.com/briskest/briskest/internal/sqlitedb"
)

// drainTime is how long running requests may take when a server is told to stop.
const drainTime = 20 * time.Second

// service is one role, ready to serve: what listens, and what a reload changes.
type service struct {
	name      string
	devices   net.Listener // EST and BRSKI
	admin     net.Listener // the operators' unix socket
	routes    map[string]http.Handler
	operators http.Handler
	// certificates are what the devices' port shows, the default one first.
	certificates atomic.Pointer[[]*tls.Certificate]
	bounds       httpserver.Config // limits; its other fields are filled in
	// watch looks, at the start, after each reload and once a day, whether something
	// of the server's own is about to end; nil: nothing is.
	watch func(ctx context.Context)
	// beside runs while the service does, such as an announcement; nil: nothing.
	beside func(ctx context.Context) error
	// observe is what watchers are told.
	observe *observing
	// watched serves the port for watchers; nil: there is none.
	watched func(ctx context.Context) error
	// public serves the port for anybody; nil: there is none.
	public func(ctx context.Context) error
	// tenants serve the devices' ports of further domains.
	tenants []func(ctx context.Context) error
	// operated serves the operators' port; nil: there is none.
	operated func(ctx context.Context) error
	log      *slog.Logger
	hangup   chan os.Signal
	// reload loads the configuration again, whole or not at all.
	reload func(ctx context.Context) error
	// close ends what the role runs in the background, then its store.
	close func() error
}

// open does what must be done before anybody is answered, then opens the
// listeners: HOST:PORT for devices, a unix socket for operators. On an error
// the role is closed.
func (s *service) open(ctx context.Context, begin func() error, address, socket string) error {
	s.hangup = make(chan os.Signal, 1)
	signal.Notify(s.hangup, syscall.SIGHUP) // before anybody can know that the server is there
	err := begin()
	if err == nil {
		s.devices, err = new(net.ListenConfig).Listen(ctx, "tcp", address)
	}
	if errors.Is(err, syscall.EADDRINUSE) {
		err = cli.Hint(err, "end the program that listens there, or change listen in the configuration")
	}
	if err == nil {
		if s.admin, err = listenUnix(ctx, socket); err != nil {
			discard(s.devices.Close)
		}
	}
	if err != nil {
		discard(s.close)
	}
	return err
}

// serve answers until ctx ends, then drains and closes. SIGHUP reloads.
func (s *service) serve(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer signal.Stop(s.hangup)
	spareCollector()

	devices := s.bounds
	devices.Certificates = func() []*tls.Certificate { return *s.certificates.Load() }
	devices.Routes, devices.ConnContext, devices.Log = s.observe.around(s.routes), est.ConnContext, s.log
	server := httpserver.New(s.devices, devices)
	admin := &http.Server{Handler: s.forOperators(cancel), ReadHeaderTimeout: 10 * time.Second, ConnContext: withPeer}
	failed := make(chan error, 2)
	var wg sync.WaitGroup
	run := func(serve func() error) {
		wg.Go(func() {
			if err := serve(); err != nil && !errors.Is(err, http.ErrServerClosed) {
				failed <- err
				cancel()
			}
		})
	}
	run(server.Serve)
	run(func() error { return admin.Serve(s.admin) })
	for _, more := range append([]func(context.Context) error{s.beside, s.public, s.watched, s.operated}, s.tenants...) {
		if more != nil {
			run(func() error { return more(ctx) })
		}
	}
	s.log.InfoContext(ctx, "serving", slog.String("role", s.name), slog.String("address", s.devices.Addr().String()))
	daily := time.NewTicker(watchPeriod)
	defer daily.Stop()
	for ctx.Err() == nil {
		if s.watch != nil {
			s.watch(ctx)
		}
		select {
		case <-ctx.Done():
		case <-daily.C:
		case <-s.hangup:
			s.reloaded(ctx)
		}
	}
	s.log.InfoContext(context.WithoutCancel(ctx), "stopping", slog.String("role", s.name))
	drain, done := context.WithTimeout(context.WithoutCancel(ctx), drainTime)
	defer done()
	err := errors.Join(server.Shutdown(drain), admin.Shutdown(drain))
	_ = s.observe.tracer.Close(drain) // a collector that is away keeps nobody from ending
	wg.Wait()
	close(failed)
	for e := range failed {
		err = errors.Join(err, e)
	}
	return errors.Join(err, s.close())
}

// spareCollector lets the heap of a busy server grow to four times what it
// keeps before garbage is collected: that costs some 30 MB under load, nothing
// when idle, and saves a tenth of the CPU of an enrollment. GOGC has the last word.
func spareCollector() {
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(300)
	}
}

// forOperators serves, on the socket that only operators may connect to, the
// Go runtime's profiles, what watchers are told, and draining beside their calls.
func (s *service) forOperators(stop func()) http.Handler {
	mux := s.observe.handler()
	mux.Handle("/", s.operators)
	mux.HandleFunc("/debug/pprof/", pprof.Index)
	mux.HandleFunc("/debug/pprof/profile", pprof.Profile)
	mux.HandleFunc("POST "+drainPath, s.observe.drained(s.log, stop))
	return mux
}

// listenFor opens the watchers' port, HOST:PORT, where there is to be one. On an
// error the service is discarded.
func (s *service) listenFor(ctx context.Context, watchers string) error {
	if watchers == "" {
		return nil
	}
	var err error
	if s.watched, err = s.observe.listen(ctx, watchers, s.log); err != nil {
		discard(s.discard)
	}
	return err
}

// reloaded reports a reload; a failed one changes nothing.
func (s *service) reloaded(ctx context.Context) {
	if err := s.reload(ctx); err != nil {
		s.log.ErrorContext(ctx, "configuration not loaded; the old one stays", slog.String("error", err.Error()))
		return
	}
	s.log.InfoContext(ctx, "configuration loaded")
}

// discard closes a service that was never served.
func (s *service) discard() error {
	return errors.Join(s.devices.Close(), s.admin.Close(), s.close())
}

// discard closes what was opened when a role could not be put together.
func discard(closers ...func() error) {
	for _, c := range closers {
		_ = c() // the first error is the one to report
	}
}

// storeFailure says what to do about a store that cannot be opened; nil stays nil.
func storeFailure(err error) error {
	if errors.Is(err, sqlitedb.ErrLocked) {
		return cli.Hint(err, "a server or another command has the store open, and no server answers on its admin socket yet; try again, or end it")
	}
	return err
}
