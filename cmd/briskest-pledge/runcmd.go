package main

import (
	"context"
	"errors"

	"github.com/briskest/briskest/brski/pledge"
)

type runCmd struct {
	device
	output
	Rejoin bool `help:"When the certificate has ended without having been renewed, forget the domain and join anew."`
}

// Run is a device's life: a factory-new one joins without being told to, one that
// is configured does nothing but renew (RFC 8995, Section 5). It ends without an
// error when it is stopped.
func (c *runCmd) Run(ctx context.Context, s streams) error {
	p, err := c.pledge(ctx, progress(s.Out, c.output))
	if err != nil {
		return err
	}
	defer c.stop()
	for {
		if err := c.turn(ctx, p); ctx.Err() != nil {
			return nil //nolint:nilerr // told to stop
		} else if err != nil {
			return failure(err)
		}
	}
}

// turn joins if need be and renews for as long as that is possible.
func (c *runCmd) turn(ctx context.Context, p *pledge.Pledge) error {
	status, err := p.Status()
	if err != nil {
		return err
	}
	if status.Stage != pledge.Enrolled {
		if _, err := p.Join(ctx); err != nil {
			return err
		}
		c.stop()
	}
	err = p.KeepRenewed(ctx)
	var e *pledge.Error
	if c.Rejoin && errors.As(err, &e) && e.Reason == pledge.ReasonExpired {
		return p.Reset()
	}
	return err
}
