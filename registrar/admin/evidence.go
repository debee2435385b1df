package admin

import (
	"context"
	"time"

	"github.com/briskest/briskest/registrar"
	"github.com/briskest/briskest/voucher"
)

// Report is one piece of telemetry (RFC 8995, Sections 5.7 and 5.9.4).
type Report struct {
	At      time.Time `json:"at"`
	Kind    string    `json:"kind"` // "voucher-status" or "enroll-status"
	Status  bool      `json:"status"`
	Version int       `json:"version"`
	Reason  string    `json:"reason,omitempty"`
	Context string    `json:"context,omitempty"` // JSON
	Ignored string    `json:"ignored,omitempty"` // names of members that are not known
	// WithOwnCertificate says that it came with the certificate that it speaks
	// of, and not with the IDevID (RFC 8995, Section 5.9.4).
	WithOwnCertificate bool `json:"with_own_certificate"`
}

// Event is one entry of an audit-log.
type Event struct {
	Date      time.Time `json:"date"`
	DomainID  string    `json:"domain_id"` // base64; minerva's registrarID where there is none
	Whose     string    `json:"whose"`     // "own", "known" or "unknown"
	Name      string    `json:"name,omitempty"`
	OnRecord  bool      `json:"on_record"` // of a voucher that this registrar has on record
	Nonceless bool      `json:"nonceless"`
	Assertion string    `json:"assertion"`
	Truncated int       `json:"truncated,omitempty"` // entries that were left out for it
}

// Exchange is one voucher exchange, and what is in its artifacts.
type Exchange struct {
	Voucher
	Assertion string     `json:"assertion,omitempty"` // of the voucher
	CreatedOn *time.Time `json:"created_on,omitempty"`
	ExpiresOn *time.Time `json:"expires_on,omitempty"`
	Pinned    []byte     `json:"pinned,omitempty"` // certificate, DER
	Events    []Event    `json:"events"`
	LeftOut   int        `json:"left_out,omitempty"` // entries that the MASA left out of the audit-log
}

// Evidence is what is on record about how a device got its vouchers.
type Evidence struct {
	Device    Device     `json:"device"`
	Exchanges []Exchange `json:"exchanges"` // oldest first
	Reports   []Report   `json:"telemetry"` // oldest first
}

func evidenceOperations() []operation {
	return []operation{
		define(Operation{ID: "device-evidence", Method: "GET", Path: "/devices/{device}/evidence", Role: Auditor, Summary: "How a device got its vouchers: artifacts, audit-log and telemetry."}, (*api).evidence),
	}
}

func (a *api) evidence(ctx context.Context, in *Ref) (*Evidence, error) {
	found, err := a.s.Evidence(ctx, in.Domain, in.Device)
	if err != nil {
		return nil, err
	}
	return &Evidence{deviceOut(found.Device, true), each(found.Exchanges, exchangeOut), each(found.Reports, reportOut)}, nil
}

func exchangeOut(e *registrar.ExchangeEvidence) Exchange {
	out := Exchange{Voucher: voucherOut(e.Record), Events: each(e.Events, eventOut), LeftOut: e.LeftOut}
	if v := e.Voucher; v != nil {
		out.describe(v)
	}
	return out
}

func (x *Exchange) describe(v *voucher.Voucher) {
	x.Assertion, x.CreatedOn, x.ExpiresOn, x.Pinned = string(v.Assertion), moment(v.CreatedOn), moment(v.ExpiresOn), v.PinnedDomainCert
}

func eventOut(e registrar.AuditedEvent) Event {
	out := Event{
		Date: e.Date, DomainID: e.DomainID, Whose: e.Whose, Name: e.Name, OnRecord: e.OnRecord, Nonceless: e.Nonce == nil,
		Assertion: string(e.Assertion), Truncated: e.Truncated,
	}
	if out.DomainID == "" {
		out.DomainID = e.RegistrarID
	}
	return out
}

func reportOut(r *registrar.Report) Report {
	return Report{r.At, r.Kind, r.Status, r.Version, r.Reason, r.Context, r.Ignored, r.WithOwnCertificate}
}

// Evidence returns what is on record about how a device, by ID or serial number,
// got its vouchers.
func (c *Client) Evidence(ctx context.Context, ref string) (*Evidence, error) {
	return call[Evidence](ctx, c, "device-evidence", &Ref{Device: ref})
}
