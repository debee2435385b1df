package cmc

import (
	"encoding/asn1"
	"strconv"
	"time"
)

// Status is CMCStatus (RFC 5272, Section 6.1.3).
type Status int

// The values of CMCStatus (RFC 5272, Section 6.1.3).
const (
	StatusSuccess         Status = 0
	StatusFailed          Status = 2
	StatusPending         Status = 3
	StatusNoSupport       Status = 4
	StatusConfirmRequired Status = 5
	StatusPOPRequired     Status = 6
	StatusPartial         Status = 7
)

// String returns the RFC's name of the status, or its number.
func (s Status) String() string {
	switch s {
	case StatusSuccess:
		return "success"
	case StatusFailed:
		return "failed"
	case StatusPending:
		return "pending"
	case StatusNoSupport:
		return "noSupport"
	case StatusConfirmRequired:
		return "confirmRequired"
	case StatusPOPRequired:
		return "popRequired"
	case StatusPartial:
		return "partial"
	}
	return "status(" + strconv.Itoa(int(s)) + ")"
}

// FailInfo is CMCFailInfo (RFC 5272, Section 6.1.4).
type FailInfo int

// The values of CMCFailInfo (RFC 5272, Section 6.1.4).
const (
	FailBadAlg          FailInfo = 0
	FailBadMessageCheck FailInfo = 1
	FailBadRequest      FailInfo = 2
	FailBadTime         FailInfo = 3
	FailBadCertID       FailInfo = 4
	FailUnsupportedExt  FailInfo = 5
	FailMustArchiveKeys FailInfo = 6
	FailBadIdentity     FailInfo = 7
	FailPOPRequired     FailInfo = 8
	FailPOPFailed       FailInfo = 9
	FailNoKeyReuse      FailInfo = 10
	FailInternalCAError FailInfo = 11
	FailTryLater        FailInfo = 12
	FailAuthDataFail    FailInfo = 13
)

// String returns the RFC's name of the failure, or its number.
func (f FailInfo) String() string {
	names := [...]string{
		"badAlg", "badMessageCheck", "badRequest", "badTime", "badCertId", "unsupportedExt", "mustArchiveKeys",
		"badIdentity", "popRequired", "popFailed", "noKeyReuse", "internalCAError", "tryLater", "authDataFail",
	}
	if f >= 0 && int(f) < len(names) {
		return names[f]
	}
	return "failInfo(" + strconv.Itoa(int(f)) + ")"
}

// StatusInfo is the control CMCStatusInfoV2 (RFC 5272, Section 6.1.1), and, with Old set, CMCStatusInfo (Section 6.1.2).
// At most one of FailInfo, Pending and Extended is set.
type StatusInfo struct {
	// Status is the outcome. A value this package does not know is kept.
	Status Status
	// Bodies are what the status is about: at least one; {0} is the message itself.
	Bodies []BodyPartPath
	// Text is for people; empty when absent. At most MaxText bytes.
	Text string
	// FailInfo says why; nil when absent.
	FailInfo *FailInfo
	// Pending says how to ask again; set with StatusPending and StatusPartial.
	Pending *Pending
	// Extended is a reason of somebody's own; nil when absent.
	Extended *ExtendedFailure
	// Old is the form of RFC 2797, which this package reads and writes only on request.
	Old bool
}

// Pending is PendInfo (RFC 5272, Section 6.1.1).
type Pending struct {
	// Token is what QueryPending repeats, at most MaxOctets bytes.
	Token []byte
	// Time is when to ask again, in whole seconds.
	Time time.Time
}

// ExtendedFailure is extendedFailInfo (RFC 5272, Section 6.1.1).
type ExtendedFailure struct {
	Type  asn1.ObjectIdentifier
	Value []byte // DER
}
