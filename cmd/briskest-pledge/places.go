package main

import (
	"context"
	"errors"
	"io"
	"sync"
	"time"

	"github.com/briskest/briskest/brski/discovery"
	"github.com/briskest/briskest/brski/pledge"
	"github.com/briskest/briskest/internal/cli"
	"github.com/briskest/briskest/internal/pemfile"
)

// places are where to look for a registrar besides those that are named.
type places struct {
	Discover    bool     `help:"Look for join proxies by mDNS (RFC 8995, Appendix B)."`
	Interface   []string `help:"The network interface to look on; may be repeated. Default: all that can multicast." placeholder:"NAME"`
	Cloud       string   `help:"The manufacturer's cloud registrar, as https://HOST:PORT, for when there is no other." placeholder:"URL"`
	CloudAnchor string   `type:"existingfile" help:"PEM file of the CAs that authenticate cloud registrars; required with --cloud." placeholder:"FILE"`

	finder *finder // nil: not looked for
	// links opens the links; nil: discovery.Multicast. For tests.
	links func(interfaces ...string) ([]*discovery.Link, error)
}

// find puts the places into c.
func (p *places) find(c *pledge.Config) error {
	if (p.Cloud == "") != (p.CloudAnchor == "") {
		return cli.Usage("--cloud and --cloud-anchor belong together")
	}
	if p.Cloud != "" {
		anchors, err := pemfile.Pool(p.CloudAnchor)
		if err != nil {
			return err
		}
		c.CloudURL, c.CloudAnchors = p.Cloud, anchors
	}
	if p.Discover {
		open := p.links
		if open == nil {
			open = discovery.Multicast
		}
		p.finder = &finder{open: func() ([]*discovery.Link, error) { return open(p.Interface...) }}
		c.Discoverer = p.finder
	}
	return nil
}

// stop ends looking.
func (p *places) stop() {
	if p.finder != nil {
		p.finder.stop()
	}
}

// patience is how long to listen before other ways are tried, too: some times
// as long as a proxy needs to answer.
const patience = 10 * time.Second

// finder is mDNS as a pledge's way to find registrars. It sends nothing before
// it is asked: a device that is onboarded keeps quiet (RFC 8995, Section 5).
type finder struct {
	open func() ([]*discovery.Link, error)

	querier *discovery.Querier // nil: not begun
	cancel  context.CancelFunc
	failed  chan error
	done    sync.WaitGroup
	queue   []pledge.Candidate
	offered map[pledge.Candidate]bool
}

var _ pledge.Discoverer = (*finder)(nil)

// Next implements [pledge.Discoverer]. Each candidate is returned once between
// two times that nothing new was heard for as long as patience.
func (f *finder) Next(ctx context.Context) (pledge.Candidate, error) {
	if err := f.start(); err != nil {
		return pledge.Candidate{}, err
	}
	timer := time.NewTimer(patience)
	defer timer.Stop()
	for {
		changed := f.querier.Changed()
		f.fill()
		if len(f.queue) > 0 {
			next := f.queue[0]
			f.queue = f.queue[1:]
			return next, nil
		}
		select {
		case <-changed:
		case err := <-f.failed:
			f.stop()
			return pledge.Candidate{}, err
		case <-timer.C:
			clear(f.offered)
			return pledge.Candidate{}, io.EOF
		case <-ctx.Done():
			return pledge.Candidate{}, ctx.Err()
		}
	}
}

func (f *finder) start() error {
	if f.querier != nil {
		return nil
	}
	links, err := f.open()
	if err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(context.Background()) // looking goes on between two calls, until stop
	f.querier = &discovery.Querier{Service: discovery.ServiceProxy, Links: links}
	f.cancel, f.failed, f.offered = cancel, make(chan error, 1), make(map[pledge.Candidate]bool)
	run, failed := f.querier.Run, f.failed
	f.done.Go(func() {
		if err := run(ctx); err != nil {
			failed <- err
		} else {
			failed <- errors.New("looking for registrars has ended")
		}
	})
	return nil
}

// fill queues what is known and was not returned yet.
func (f *finder) fill() {
	for _, c := range f.querier.Candidates() {
		for _, at := range c.Endpoints() {
			candidate := pledge.CandidateAt(at)
			if !f.offered[candidate] {
				f.offered[candidate] = true
				f.queue = append(f.queue, candidate)
			}
		}
	}
}

// stop ends looking; the next Next begins anew. Not while Next runs.
func (f *finder) stop() {
	if f.querier == nil {
		return
	}
	f.cancel()
	f.done.Wait()
	f.querier, f.queue = nil, nil
}
