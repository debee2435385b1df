// Package brski implements Bootstrapping Remote Secure Key Infrastructure (RFC
// 8995) on the wire: the registrar's and the MASA's handlers, and the client a
// registrar speaks to a MASA with. The pledge is in brski/pledge.
//
// Start with [RegistrarHandler] over your own [RegistrarBackend], or
// [MASAHandler] over your own [MASA]. The package stores nothing and trusts
// nobody by default.
package brski

import (
	"context"
	"crypto/x509"
	"time"

	"github.com/briskest/briskest/est"
	"github.com/briskest/briskest/voucher"
)

// RegistrarBackend is what a [RegistrarHandler] asks. An error that is an
// *est.Error reaches the peer as it says; one that wraps [ErrMASAUnavailable]
// and is none becomes 504, every other one a bare 500. It may also be an
// [Admitter], and an [Observer] or an est.Observer.
type RegistrarBackend interface {
	// RequestVoucher decides about a pledge's voucher-request
	// (RFC 8995, Section 5.2) and returns the MASA's voucher, byte for byte. The handler
	// has opened the artifact and checked that its signer is the certificate of
	// the TLS connection; trust in that certificate, serial number, nonce and
	// proximity are the backend's to decide.
	RequestVoucher(ctx context.Context, r *VoucherRequest) (*Voucher, error)
	// VoucherStatus records the pledge's verdict on a voucher (RFC 8995, Section 5.7).
	VoucherStatus(ctx context.Context, r *StatusReport) error
	// EnrollStatus records the pledge's verdict on its enrollment (RFC 8995, Section 5.9.4).
	EnrollStatus(ctx context.Context, r *StatusReport) error
}

// Admitter is a backend that looks at each request before its body is read.
type Admitter interface {
	Admit(ctx context.Context, c *Call) error
}

// Observer is a RegistrarBackend or MASA that is told of every refusal the peer
// got, once, with the error as it was sent. It must not block. Call.Operation
// is empty when the path names none. A backend that is an est.Observer is told
// in that form instead.
type Observer interface {
	Refused(ctx context.Context, c *Call, e *est.Error)
}

// Operation is the last path word under /.well-known/brski (RFC 8995, Section 8.3.1).
type Operation string

// The operations of RFC 8995, Section 8.3.1.
const (
	OpRequestVoucher  Operation = "requestvoucher"
	OpVoucherStatus   Operation = "voucher_status"
	OpRequestAuditLog Operation = "requestauditlog"
	OpEnrollStatus    Operation = "enrollstatus"
)

// Call is what is known of a request before its body is read.
type Call struct {
	ID        string // for logs; unique in this process
	Operation Operation
	Peer      *est.Peer
	At        time.Time // when the request arrived; read once
}

// VoucherRequest is a voucher-request as it reached a registrar or a MASA.
type VoucherRequest struct {
	Call
	Format   voucher.Format // of Artifact
	Request  *voucher.Request
	Artifact *voucher.Artifact
	// Accept holds the formats the peer takes, best first, never empty.
	Accept []voucher.Format
}

// Voucher is a signed voucher as bytes.
type Voucher struct {
	MediaType string
	Raw       []byte
}

// Status is the telemetry of RFC 8995, Sections 5.7 and 5.9.4. Keys are lower case (erratum 6834).
type Status struct {
	Version       int            `json:"version"`
	Status        bool           `json:"status"`
	Reason        string         `json:"reason,omitempty"`
	ReasonContext map[string]any `json:"reason-context,omitempty"`
	// Ignored are the keys that [ParseStatus] does not know, in order, at most 16.
	Ignored []string `json:"-"`
}

// StatusReport is a Status as it reached a registrar.
type StatusReport struct {
	Call
	Status Status
	Raw    []byte // as received
}

// MASA answers registrars. *MASAClient satisfies it over the wire and a MASA
// service in process. An error that is an *est.Error carries the HTTP status;
// ErrMASAUnavailable wraps what may pass when tried again.
type MASA interface {
	// RequestVoucher asks for a voucher with a signed registrar
	// voucher-request (RFC 8995, Section 5.5).
	RequestVoucher(ctx context.Context, r *MASARequest) (*Voucher, error)
	// RequestAuditLog asks for the device's audit-log with the same signed
	// request (RFC 8995, Section 5.8).
	RequestAuditLog(ctx context.Context, r *MASARequest) (*AuditLog, error)
}

// MASARequest is a signed registrar voucher-request on its way to a MASA.
type MASARequest struct {
	MediaType string            // of Raw
	Raw       []byte            // the registrar's artifact
	Accept    []string          // media types of the voucher the registrar takes, best first
	Registrar *x509.Certificate // TLS client certificate of the registrar, where the transport has one
	Peer      *est.Peer         // nil in process
	At        time.Time
}

// AuditLog is the document of RFC 8995, Section 5.8.1.
type AuditLog struct {
	Version    int          `json:"version"`
	Events     []AuditEvent `json:"events"`
	Truncation *Truncation  `json:"truncation,omitempty"`
	Raw        []byte       `json:"-"` // as received; kept as evidence
}

// AuditEvent is one entry of an AuditLog.
type AuditEvent struct {
	Date      time.Time         `json:"date"`
	DomainID  string            `json:"domainID"` // base64 as in RFC 8995, Section 5.8.2
	Nonce     *string           `json:"nonce"`    // nil for a nonceless voucher
	Assertion voucher.Assertion `json:"assertion"`
	Truncated int               `json:"truncated,omitempty"`
	// RegistrarID is what minerva's highway sends in place of DomainID and
	// Assertion: the key identifier of the registrar's certificate, as received.
	RegistrarID string `json:"registrarID,omitempty"`
}

// Truncation says what the MASA left out (RFC 8995, Section 5.8.1).
type Truncation struct {
	NoncedDuplicates    int `json:"nonced duplicates,omitempty"`
	NoncelessDuplicates int `json:"nonceless duplicates,omitempty"`
	Arbitrary           int `json:"arbitrary,omitempty"`
}
