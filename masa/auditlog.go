package masa

import (
	"cmp"
	"context"
	"encoding/base64"
	"fmt"
	"iter"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/briskest/briskest/brski"
)

// RequestAuditLog returns the audit-log of a device to a registrar of a domain
// that has or had a voucher for it, or is or was its owner (RFC 8995, Section
// 5.8). The request is verified as in [Service.RequestVoucher]. Everybody else
// gets the same 404 as for a device that does not exist. On the trail is one
// entry for each registrar and device a minute, with the number of the others.
func (s *Service) RequestAuditLog(ctx context.Context, r *brski.MASARequest) (*brski.AuditLog, error) {
	x := s.newExchange(r)
	log, err := s.requestAuditLog(ctx, x, r)
	if err != nil {
		return nil, s.refused(ctx, x, brski.OpRequestAuditLog, err)
	}
	return log, nil
}

func (s *Service) requestAuditLog(ctx context.Context, x *exchange, r *brski.MASARequest) (*brski.AuditLog, error) {
	asked := *r
	asked.Accept = nil // of a log, not of a voucher
	if err := s.understand(ctx, x, &asked); err != nil {
		return nil, err
	}
	if err := s.auditedDevice(ctx, x); err != nil {
		return nil, err
	}
	if err := s.withinRegistrarBudget(x); err != nil {
		return nil, err
	}
	// A stranger does not have anybody asked, whether there is a device or not.
	if err := s.checkRevocation(ctx, x); err != nil {
		return nil, err
	}
	log, err := s.auditLog(ctx, x)
	if err != nil {
		return nil, fmt.Errorf("audit-log of device %s: %w", x.device.ID, err)
	}
	if err := s.noteServed(ctx, x, len(log.Events)); err != nil {
		return nil, fmt.Errorf("audit-log of device %s: %w", x.device.ID, err)
	}
	return log, nil
}

// auditedDevice finds the device among those with the serial number whose log
// the requester may see.
func (s *Service) auditedDevice(ctx context.Context, x *exchange) error {
	devices, err := s.candidates(ctx, x)
	if err != nil {
		return err
	}
	for _, d := range devices {
		few, may, err := s.mayAudit(ctx, x, d)
		switch {
		case err != nil:
			return fmt.Errorf("audit-log of device %s: %w", d.ID, err)
		case !may:
		case x.device != nil:
			x.device = nil
			return serialAmbiguous()
		default:
			x.device, x.product, x.known, x.vouchers = d, d.Product, true, few
		}
	}
	if x.device == nil {
		return refuse(http.StatusNotFound, ReasonNoAuditLog, "RFC 8995, Section 5.8",
			"This MASA has no audit-log of this device for your domain.")
	}
	return nil
}

// fewVouchers is how many most devices have at most: those are read at once,
// for the question whose they are and for the log.
const fewVouchers = 16

// mayAudit tells whether the requester's domain has or had a voucher for the
// device, or is or was its owner (RFC 8995, Section 5.8). A domain is known by
// the key of a CA in the requester's chains. It returns the vouchers too where
// they are few, and else nil.
func (s *Service) mayAudit(ctx context.Context, x *exchange, d *Device) (few []*VoucherRecord, may bool, err error) {
	keys := slices.Collect(x.domainKeys())
	few, err = s.store.DeviceVouchers(ctx, d.Domain, d.ID, fewVouchers+1)
	if err != nil {
		return nil, false, err
	}
	if len(few) <= fewVouchers {
		may = slices.ContainsFunc(few, func(v *VoucherRecord) bool { return slices.Contains(keys, v.PinnedKey) })
	} else {
		few = nil
		for _, key := range slices.Backward(keys) { // a domain's CA is the one on top
			if may, err = s.store.HadVoucher(ctx, d.Domain, d.ID, key); may || err != nil {
				break
			}
		}
	}
	if may || err != nil {
		return few, may, err
	}
	owners, err := s.store.Owners(ctx, d.Domain, d.ID)
	if x.cloud && err == nil {
		o, _ := x.sentTo(owners)
		return few, o != nil, nil
	}
	return few, ownedBy(x.chains, owners) != nil, err
}

// domainKeys yields the key of each certificate in the requester's chains, once.
func (x *exchange) domainKeys() iter.Seq[[32]byte] {
	return func(yield func([32]byte) bool) {
		seen := make(map[[32]byte]bool)
		for _, chain := range x.chains {
			for _, c := range chain {
				key := keyHash(c)
				if !seen[key] && !yield(key) {
					return
				}
				seen[key] = true
			}
		}
	}
}

// maxTruncated is the highest number of events left out that an audit-log says
// (RFC 8995, Section 5.8.1): it stands for that many and more.
const maxTruncated = 1024

// auditLog makes the document of RFC 8995, Section 5.8.1: an event for each
// voucher of the device, in the order of their date. Over the limit it has the
// newest of each domain, with a nonce and without, and over the limit again the
// newest of those; what is left out is counted.
func (s *Service) auditLog(ctx context.Context, x *exchange) (*brski.AuditLog, error) {
	d, limit := x.device, x.settings.AuditLogLimit
	all := x.vouchers
	if all == nil {
		var err error
		if all, err = s.store.DeviceVouchers(ctx, d.Domain, d.ID, limit+1); err != nil {
			return nil, err
		}
	}
	if len(all) <= limit {
		var newest []*DomainVouchers
		for _, v := range all {
			newest = append(newest, &DomainVouchers{Newest: v, Issued: 1})
		}
		return x.document(newest, brski.Truncation{})
	}
	newest, rest, err := s.store.NewestVouchers(ctx, d.Domain, d.ID, limit)
	if err != nil {
		return nil, err
	}
	truncation := brski.Truncation{Arbitrary: atMost(rest)}
	for _, d := range newest {
		left := &truncation.NoncedDuplicates
		if d.Newest.Nonce == "" {
			left = &truncation.NoncelessDuplicates
		}
		*left = atMost(*left + d.Issued - 1)
	}
	return x.document(newest, truncation)
}

func atMost(n int) int { return min(n, maxTruncated) }

func (x *exchange) document(listed []*DomainVouchers, truncation brski.Truncation) (*brski.AuditLog, error) {
	slices.SortFunc(listed, func(a, b *DomainVouchers) int {
		return cmp.Or(a.Newest.At.Compare(b.Newest.At), strings.Compare(a.Newest.ID, b.Newest.ID))
	})
	log := &brski.AuditLog{Version: brski.AuditLogVersion, Events: []brski.AuditEvent{}, Truncation: &truncation}
	names := x.domainNames(listed)
	for _, d := range listed {
		v := d.Newest
		event := brski.AuditEvent{
			Date: v.At.UTC().Truncate(time.Second), DomainID: base64.StdEncoding.EncodeToString(names.of(v)),
			Assertion: v.Assertion, Truncated: atMost(d.Issued - 1),
		}
		if v.Nonce != "" {
			event.Nonce = &v.Nonce
		}
		log.Events = append(log.Events, event)
	}
	var err error
	log.Raw, err = brski.MarshalAuditLog(log)
	return log, err
}
