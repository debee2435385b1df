package main

import (
	"context"

	"github.com/briskest/briskest/internal/metrics"
	"github.com/briskest/briskest/registrar"
	registrarstore "github.com/briskest/briskest/registrar/store"
)

// countedRegistrar is a registrar's store whose commits are counted and traced.
type countedRegistrar struct {
	*registrarstore.Store
	by *observing
}

var _ registrar.Store = countedRegistrar{}

// Commit implements registrar.Committer.
func (s countedRegistrar) Commit(ctx context.Context, c *registrar.Change) error {
	begin := s.by.now()
	within, end := s.by.tracer.Span(ctx, "store")
	err := s.Store.Commit(within, c)
	end(err)
	m := s.by.metrics
	m.Committed(begin, err)
	if err != nil {
		return err
	}
	for _, all := range []struct {
		rows   []*registrar.Certificate
		status string
	}{{c.Issued, "issued"}, {c.Abandoned, "abandoned"}, {c.Revoked, "revoked"}, {c.Released, "released"}} {
		for _, row := range all.rows {
			m.Certificate(row.Issuer, all.status)
		}
	}
	for _, v := range c.PutVouchers {
		m.Voucher(v.State)
	}
	for _, e := range c.Trail {
		m.Entry(e.Kind)
	}
	return nil
}

// ofRegistrar has the figures of a registrar's domains collected too, by the name of the
// domain, which the configuration gives.
func (o *observing) ofRegistrar(domains map[string]*registrar.Service) {
	status := func(read func(*registrar.Status, func(float64, ...string))) func(func(float64, ...string)) {
		return func(set func(float64, ...string)) {
			ctx, cancel := context.WithTimeout(context.Background(), readyTime)
			defer cancel()
			for _, s := range domains {
				if now, err := s.Status(ctx, ""); err == nil { // the readiness tells of the store
					read(now, set)
				}
			}
		}
	}
	value := func(of func(*registrar.Status) int) func(func(float64, ...string)) {
		return status(func(now *registrar.Status, set func(float64, ...string)) { set(float64(of(now)), now.Domain) })
	}
	domain := []string{"domain"}
	o.metrics.Add(
		metrics.NewCounters("refused_total", "Refusals by their reason id.", []string{"domain", "reason"}, status(func(now *registrar.Status, set func(float64, ...string)) {
			for reason, n := range now.Refused {
				set(float64(n), now.Domain, reason)
			}
		})),
		metrics.NewCounters("trail_dropped_total", "Refusals that the trail did not get, because there were too many.", domain,
			value(func(now *registrar.Status) int { return int(now.Dropped) })),
		metrics.NewGauges("requests_waiting", "Requests that wait for an operator's decision.", domain, value(func(now *registrar.Status) int { return now.Waiting })),
		metrics.NewGauges("voucher_exchanges", "Exchanges with MASAs under way.", domain, value(func(now *registrar.Status) int { return now.Exchanges })),
		metrics.NewGauges("devices", "Devices that the domain holds, decommissioned ones apart.", domain, value(func(now *registrar.Status) int { return now.Devices })),
		metrics.NewGauges("devices_limit", "How many devices the domain may hold; 0: any number.", domain, value(func(now *registrar.Status) int { return now.MaxDevices })),
		metrics.NewGauges("requests_per_minute_limit", "How many requests of devices the domain has a minute; 0: any number.", domain,
			value(func(now *registrar.Status) int { return now.RequestsPerMinute })),
	)
	o.store = func(ctx context.Context) error {
		for _, s := range domains {
			if _, err := s.Status(ctx, ""); err != nil {
				return err
			}
		}
		return nil
	}
}
