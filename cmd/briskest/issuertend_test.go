package main

import (
	"bytes"
	"context"
	"crypto/x509"
	"errors"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/briskest/briskest/ca"
)

// tended is an issuer that notes what is done to it and issues nothing.
type tended struct {
	sick         error
	kept, ended  bool
	closed       bool
	checkedFirst bool
}

func (*tended) Issue(context.Context, *ca.Request) (*ca.Certificate, error) {
	return nil, ca.ErrUnavailable
}

func (*tended) Chain(context.Context) ([]*x509.Certificate, error) { return nil, nil }

func (i *tended) Check(context.Context) error {
	i.checkedFirst = !i.kept
	return i.sick
}

func (i *tended) KeepAlive(ctx context.Context) {
	i.kept = true
	<-ctx.Done()
	i.ended = true
}

func (i *tended) Close() { i.closed = i.ended }

func TestIssuersAreLookedAfterUntilOthersAreLoaded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var log bytes.Buffer
		first, second := &tended{sick: errors.New("it is sealed")}, &tended{}
		tending := newTending(slog.New(slog.NewTextHandler(&log, nil)), map[string]ca.Issuer{"default": first})
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error)
		go func() { done <- tending.beside(nil)(ctx) }()
		synctest.Wait()
		if !first.checkedFirst || !first.kept || first.ended {
			t.Errorf("the first issuer: %+v, want it checked and kept", first)
		}
		if !strings.Contains(log.String(), "an issuer is not well") || !strings.Contains(log.String(), "it is sealed") {
			t.Errorf("the operator is not told:\n%s", &log)
		}
		tending.set(map[string]ca.Issuer{"default": second})
		synctest.Wait()
		if !first.closed || !second.kept || second.ended {
			t.Errorf("after a reload: the first %+v, the second %+v; want one ended and closed, the other kept", first, second)
		}
		cancel()
		if err := <-done; err != nil || !second.closed {
			t.Errorf("in the end: %v, %+v; want it ended", err, second)
		}
	})
}

func TestWhatRunsBesideEndsTheTending(t *testing.T) {
	issuer, broken := &tended{}, errors.New("no socket")
	tending := newTending(slog.New(slog.DiscardHandler), map[string]ca.Issuer{"default": issuer})
	err := tending.beside(func(context.Context) error { return broken })(t.Context())
	if !errors.Is(err, broken) || issuer.kept && !issuer.ended {
		t.Errorf("beside = %v, %+v; want its error, and nothing left running", err, issuer)
	}
}
