package admin

import (
	"encoding/hex"
	"encoding/json"
	"strings"
	"time"

	"github.com/briskest/briskest/internal/trail"
	"github.com/briskest/briskest/registrar"
)

// Device is one inventory record.
type Device struct {
	ID           string     `json:"id"`
	Manufacturer string     `json:"manufacturer"`
	SerialNumber string     `json:"serial_number"`
	State        string     `json:"state"`
	Source       string     `json:"source"`
	CreatedAt    time.Time  `json:"created_at"`
	SeenAt       *time.Time `json:"seen_at,omitempty"`
	IDevID       []byte     `json:"idevid,omitempty"` // DER; not in lists

	Model          string            `json:"model,omitempty"`
	Firmware       string            `json:"firmware,omitempty"`
	Batch          string            `json:"batch,omitempty"`
	HardwareModule string            `json:"hardware_module,omitempty"` // hwType ":" hwSerialNum in hex (RFC 4108, Section 5)
	SecureElement  string            `json:"secure_element,omitempty"`
	TPM            string            `json:"tpm,omitempty"` // SHA-256 of the endorsement key's SubjectPublicKeyInfo, in hex
	Attributes     map[string]string `json:"attributes,omitempty"`
	Group          string            `json:"group,omitempty"`
	GroupPinned    bool              `json:"group_pinned,omitempty"` // an operator put it there; rules do not move it
}

// Certificate is one issuance.
type Certificate struct {
	ID           string     `json:"id"`
	Issuer       string     `json:"issuer"`
	Authority    string     `json:"authority,omitempty"` // the key of the CA that signed it
	Serial       string     `json:"serial,omitempty"`    // lower-case hex; none until another CA has chosen it
	Subject      string     `json:"subject"`
	NotBefore    time.Time  `json:"not_before"`
	NotAfter     time.Time  `json:"not_after"`
	Status       string     `json:"status"`
	Profile      string     `json:"profile"`
	Version      string     `json:"profile_version"`
	Device       string     `json:"device"`
	Operation    string     `json:"operation"`
	Credential   string     `json:"credential"`
	IntendedAt   time.Time  `json:"intended_at"`
	IssuedAt     *time.Time `json:"issued_at,omitempty"`
	RevokedAt    *time.Time `json:"revoked_at,omitempty"`
	RevokeReason int        `json:"revoke_reason,omitempty"`
	Explanation  string     `json:"explanation,omitempty"`
	Raw          []byte     `json:"certificate,omitempty"` // DER; where asked for
}

// Voucher is one voucher exchange.
type Voucher struct {
	ID            string          `json:"id"`
	State         string          `json:"state"`
	Reason        string          `json:"reason,omitempty"`
	SerialNumber  string          `json:"serial_number"`
	Nonce         string          `json:"nonce,omitempty"`
	At            time.Time       `json:"at"`
	MediaType     string          `json:"media_type"`
	PledgeRequest []byte          `json:"pledge_request,omitempty"`
	RegistrarReq  []byte          `json:"registrar_request,omitempty"`
	Voucher       []byte          `json:"voucher,omitempty"`
	AuditLog      json.RawMessage `json:"audit_log,omitempty"`
	PledgeStatus  json.RawMessage `json:"voucher_status,omitempty"`
	EnrollStatus  json.RawMessage `json:"enroll_status,omitempty"`
}

// Pending is a request that waits or waited for a decision.
type Pending struct {
	ID           string     `json:"id"`
	Kind         string     `json:"kind"`
	State        string     `json:"state"`
	Manufacturer string     `json:"manufacturer"`
	SerialNumber string     `json:"serial_number"`
	Subject      string     `json:"subject"`
	Address      string     `json:"address"`
	Reason       string     `json:"reason,omitempty"`
	Seen         int64      `json:"seen"`
	FirstAt      time.Time  `json:"first_at"`
	LastAt       time.Time  `json:"last_at"`
	DecidedAt    *time.Time `json:"decided_at,omitempty"`
	DecidedBy    string     `json:"decided_by,omitempty"`
	ExpiresAt    *time.Time `json:"expires_at,omitempty"` // of an approval
}

// Credential is an HTTP credential without its secret.
type Credential struct {
	User      string    `json:"user"`
	Scheme    string    `json:"scheme"`
	Group     bool      `json:"group"`
	Disabled  bool      `json:"disabled"`
	CreatedAt time.Time `json:"created_at"`
}

// Entry is one line of the trail.
type Entry struct {
	Seq    int64           `json:"seq"`
	At     time.Time       `json:"at"`
	Kind   string          `json:"kind"`
	Device string          `json:"device,omitempty"`
	Actor  string          `json:"actor"`
	Reason string          `json:"reason,omitempty"`
	Body   json.RawMessage `json:"body,omitempty"`
}

// CRL is one certificate revocation list.
type CRL struct {
	Number     int64     `json:"number"`
	ThisUpdate time.Time `json:"this_update"`
	NextUpdate time.Time `json:"next_update"`
	Raw        []byte    `json:"crl"` // DER
}

func deviceOut(d *registrar.Device, whole bool) Device {
	out := Device{
		ID: d.ID, Manufacturer: d.Manufacturer, SerialNumber: d.SerialNumber, State: string(d.State), Source: d.Source,
		CreatedAt: d.CreatedAt, SeenAt: moment(d.SeenAt),
		Model: d.Model, Firmware: d.Firmware, Batch: d.Batch,
		HardwareModule: d.HardwareModule, SecureElement: d.SecureElement, TPM: d.TPM,
		Attributes: d.Attributes, Group: d.Group, GroupPinned: d.GroupPinned,
	}
	if whole {
		out.IDevID = d.IDevID
	}
	return out
}

func certificateOut(c *registrar.Certificate, raw bool) Certificate {
	out := Certificate{
		ID: c.ID, Issuer: c.Issuer, Authority: c.Authority, Serial: hex.EncodeToString(c.Serial), Subject: c.Subject, NotBefore: c.NotBefore, NotAfter: c.NotAfter, Status: string(c.Status),
		Profile: c.Profile, Version: c.Version, Device: c.DeviceID, Operation: c.Operation, Credential: c.Credential,
		IntendedAt: c.IntendedAt, IssuedAt: moment(c.IssuedAt), RevokedAt: moment(c.RevokedAt), RevokeReason: c.RevokeReason, Explanation: c.Explanation,
	}
	if raw {
		out.Raw = c.Raw
	}
	return out
}

func voucherOut(v *registrar.VoucherRecord) Voucher {
	return Voucher{
		ID: v.ID, State: v.State, Reason: v.Reason, SerialNumber: v.SerialNumber, Nonce: v.Nonce, At: v.At, MediaType: v.MediaType,
		PledgeRequest: v.PledgeRequest, RegistrarReq: v.RegistrarReq, Voucher: v.Voucher,
		AuditLog: document(v.AuditLog), PledgeStatus: document(v.PledgeStatus), EnrollStatus: document(v.EnrollmentState),
	}
}

func pendingOut(p *registrar.Pending) Pending {
	return Pending{
		ID: p.ID, Kind: p.Kind, State: p.State, Manufacturer: p.Manufacturer, SerialNumber: p.SerialNumber, Subject: p.Subject, Address: p.Address,
		Reason: p.Reason, Seen: p.Seen, FirstAt: p.FirstAt, LastAt: p.LastAt, DecidedAt: moment(p.DecidedAt), DecidedBy: p.DecidedBy,
		ExpiresAt: moment(p.ExpiresAt),
	}
}

func entryOut(e *trail.Entry) Entry {
	return Entry{Seq: e.Seq, At: e.At, Kind: e.Kind, Device: e.Device, Actor: e.Actor, Reason: e.Reason, Body: document(e.Body)}
}

func crlOut(c *registrar.CRL) *CRL {
	return &CRL{Number: c.Number, ThisUpdate: c.ThisUpdate, NextUpdate: c.NextUpdate, Raw: c.Raw}
}

func each[In, Out any](in []In, f func(In) Out) []Out {
	out := make([]Out, 0, len(in))
	for _, v := range in {
		out = append(out, f(v))
	}
	return out
}

func moment(t time.Time) *time.Time {
	if t.IsZero() {
		return nil
	}
	return &t
}

// document passes a peer's JSON on, as a string when it is none.
func document(b []byte) json.RawMessage {
	switch {
	case len(b) == 0:
		return nil
	case json.Valid(b):
		return b
	default:
		text, err := json.Marshal(strings.ToValidUTF8(string(b), "?"))
		if err != nil {
			return nil
		}
		return text
	}
}
