package masa

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
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
	if err := s.parse(x, &asked); err != nil {
		return nil, err
	}
	if err := x.check(ctx); err != nil {
		return nil, err
	}
	issued, err := s.auditedDevice(ctx, x)
	if err != nil {
		return nil, err
	}
	log, err := newAuditLog(issued, x.settings.AuditLogLimit)
	if err != nil {
		return nil, fmt.Errorf("audit-log of device %s: %w", x.device.ID, err)
	}
	if err := s.noteServed(ctx, x, len(log.Events)); err != nil {
		return nil, fmt.Errorf("audit-log of device %s: %w", x.device.ID, err)
	}
	return log, nil
}

// auditedDevice finds the device among those with the serial number whose log
// the requester may see, and returns its vouchers, newest first.
func (s *Service) auditedDevice(ctx context.Context, x *exchange) ([]*VoucherRecord, error) {
	devices, err := s.store.FindDevices(ctx, x.settings.Domain, x.request.SerialNumber)
	if err != nil {
		return nil, fmt.Errorf("device %q: %w", x.request.SerialNumber, err)
	}
	for _, d := range devices {
		if !x.couldBe(d) {
			continue
		}
		issued, err := s.store.DeviceVouchers(ctx, d.Domain, d.ID, 0)
		if err != nil {
			return nil, fmt.Errorf("vouchers of device %s: %w", d.ID, err)
		}
		owners, err := s.store.Owners(ctx, d.Domain, d.ID)
		if err != nil {
			return nil, fmt.Errorf("owners of device %s: %w", d.ID, err)
		}
		if x.had(issued) || ownedBy(x.chains, owners) != nil {
			x.device, x.known = d, true
			return issued, nil
		}
	}
	return nil, refuse(http.StatusNotFound, ReasonNoAuditLog, "RFC 8995, Section 5.8",
		"This MASA has no audit-log of this device for your domain.")
}

// had tells whether one of the vouchers was given to the requester's domain:
// the certificate pinned has the key of one in its chain.
func (x *exchange) had(issued []*VoucherRecord) bool {
	keys := make(map[[32]byte]bool)
	for _, chain := range x.chains {
		for _, c := range chain {
			keys[keyHash(c)] = true
		}
	}
	return slices.ContainsFunc(issued, func(v *VoucherRecord) bool { return keys[v.PinnedKey] })
}

// newAuditLog makes the document of RFC 8995, Section 5.8.1 from issued
// vouchers, newest first. Events are in the order of their date. Over the
// limit, first older ones of the same domain are left out, with and without
// nonce apart, and then the oldest; both are counted.
func newAuditLog(issued []*VoucherRecord, limit int) (*brski.AuditLog, error) {
	log := &brski.AuditLog{Version: 1, Events: []brski.AuditEvent{}}
	var truncation brski.Truncation
	newest := make(map[string]int) // index into log.Events
	for _, v := range issued {
		event := brski.AuditEvent{
			Date: v.At.UTC().Truncate(time.Second), DomainID: base64.StdEncoding.EncodeToString(v.DomainID), Assertion: v.Assertion,
		}
		if v.Nonce != "" {
			event.Nonce = &v.Nonce
		}
		key := fmt.Sprint(event.DomainID, event.Nonce == nil)
		i, duplicate := newest[key]
		switch {
		case len(issued) > limit && duplicate:
			log.Events[i].Truncated++
			countDuplicate(&truncation, event.Nonce != nil)
		case len(log.Events) >= limit:
			truncation.Arbitrary++
		default:
			newest[key] = len(log.Events)
			log.Events = append(log.Events, event)
		}
	}
	slices.Reverse(log.Events)
	if truncation != (brski.Truncation{}) {
		log.Truncation = &truncation
	}
	raw, err := json.Marshal(log)
	if err != nil {
		return nil, err
	}
	log.Raw = raw
	return log, nil
}

func countDuplicate(t *brski.Truncation, nonced bool) {
	if nonced {
		t.NoncedDuplicates++
	} else {
		t.NoncelessDuplicates++
	}
}
