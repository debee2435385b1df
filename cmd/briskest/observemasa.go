package main

import (
	"context"

	"github.com/briskest/briskest/masa"
	masastore "github.com/briskest/briskest/masa/store"
)

// countedMASA is a MASA's store whose commits are counted and traced.
type countedMASA struct {
	*masastore.Store
	by *observing
}

var _ masa.Store = countedMASA{}

// Commit implements masa.Committer.
func (s countedMASA) Commit(ctx context.Context, c *masa.Change) error {
	begin := s.by.now()
	within, end := s.by.tracer.Span(ctx, "store")
	err := s.Store.Commit(within, c)
	end(err)
	m := s.by.metrics
	m.Committed(begin, err)
	if err != nil {
		return err
	}
	for range c.Issued {
		m.Voucher("issued")
	}
	for range c.Failed {
		m.Voucher("failed")
	}
	for _, e := range c.Trail {
		m.Entry(e.Kind)
	}
	return nil
}

// ofMASA has the readiness look at a MASA's records.
func (o *observing) ofMASA(s *masa.Service) {
	o.store = func(ctx context.Context) error {
		_, err := s.ListVouchers(ctx, masa.Page{Limit: 1})
		return err
	}
}
