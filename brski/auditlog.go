package brski

import (
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/briskest/briskest/voucher"
)

// AuditLogVersion is the version of audit-log that this package writes and
// knows (RFC 8995, Section 5.8.1).
const AuditLogVersion = 1

// Limits of an audit-log that is read.
const (
	MaxAuditLog    = 1 << 20 // bytes
	MaxAuditEvents = 4096
)

// ErrAuditLog is wrapped by what ParseAuditLog returns.
var ErrAuditLog = errors.New("not an audit-log")

// MarshalAuditLog encodes l as RFC 8995, Section 5.8.1 defines it in CDDL: its
// numbers are numbers, an absent nonce is null and truncation is always there.
// A log with Raw is one that was received: Raw is returned as it is.
func MarshalAuditLog(l *AuditLog) ([]byte, error) {
	if len(l.Raw) > 0 {
		return l.Raw, nil
	}
	out := *l
	if out.Version == 0 {
		out.Version = AuditLogVersion
	}
	if out.Events == nil {
		out.Events = []AuditEvent{}
	}
	if out.Truncation == nil {
		out.Truncation = &Truncation{}
	}
	data, err := json.Marshal(&out)
	if err != nil {
		return nil, fmt.Errorf("audit-log: %w", err)
	}
	return data, nil
}

// ParseAuditLog reads an audit-log of at most [MaxAuditLog] bytes and
// [MaxAuditEvents] events (RFC 8995, Section 5.8.1). Numbers may be strings,
// as in the example there, and the nonce null, absent or "NULL". Keys that are
// not known are ignored; domainID and assertion may be absent, as minerva's
// highway leaves them out. A version above [AuditLogVersion] is taken: what it
// means is for an operator to decide.
func ParseAuditLog(data []byte) (*AuditLog, error) {
	if len(data) > MaxAuditLog {
		return nil, fmt.Errorf("%w: %d bytes, the limit is %d", ErrAuditLog, len(data), MaxAuditLog)
	}
	members, err := parseObject(data)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrAuditLog, err)
	}
	l := AuditLog{Raw: data}
	var hasVersion, hasEvents bool
	for _, m := range members {
		switch m.name {
		case "version":
			hasVersion = true
			l.Version, err = parseCount(m.value)
		case "events":
			hasEvents = true
			l.Events, err = parseEvents(m.value)
		case "truncation":
			l.Truncation, err = parseTruncation(m.value)
		default:
		}
		if err != nil {
			return nil, fmt.Errorf("%w: key %q: %w", ErrAuditLog, m.name, err)
		}
	}
	if !hasVersion || !hasEvents {
		return nil, fmt.Errorf("%w: version and events are both needed", ErrAuditLog)
	}
	return &l, nil
}

func parseEvents(value json.RawMessage) ([]AuditEvent, error) {
	var raw []json.RawMessage
	if err := json.Unmarshal(value, &raw); err != nil {
		return nil, errors.New("a list was expected")
	}
	if len(raw) > MaxAuditEvents {
		return nil, fmt.Errorf("%d events, the limit is %d", len(raw), MaxAuditEvents)
	}
	events := make([]AuditEvent, len(raw))
	for i := range raw {
		e, err := parseEvent(raw[i])
		if err != nil {
			return nil, fmt.Errorf("event %d: %w", i, err)
		}
		events[i] = *e
	}
	return events, nil
}

func parseEvent(value json.RawMessage) (*AuditEvent, error) {
	members, err := parseObject(value)
	if err != nil {
		return nil, err
	}
	var e AuditEvent
	for _, m := range members {
		if err := e.set(m); err != nil {
			return nil, fmt.Errorf("key %q: %w", m.name, err)
		}
	}
	if e.Date.IsZero() {
		return nil, errors.New("date is missing")
	}
	return &e, nil
}

func (e *AuditEvent) set(m member) (err error) {
	switch m.name {
	case "date":
		var text string
		if text, err = parseString(m.value); err == nil {
			e.Date, err = time.Parse(time.RFC3339, text)
		}
		if err != nil {
			return errors.New("an RFC 3339 date was expected")
		}
	case "domainID":
		e.DomainID, err = parseString(m.value)
	case "registrarID":
		e.RegistrarID, err = parseString(m.value)
	case "nonce":
		if string(m.value) == "null" {
			return nil
		}
		var nonce string
		if nonce, err = parseString(m.value); err == nil && nonce != "NULL" {
			e.Nonce = &nonce
		}
	case "assertion":
		var text string
		text, err = parseString(m.value)
		e.Assertion = voucher.Assertion(text)
	case "truncated":
		e.Truncated, err = parseCount(m.value)
	default:
	}
	return err
}

func parseTruncation(value json.RawMessage) (*Truncation, error) {
	if string(value) == "null" {
		return nil, nil
	}
	members, err := parseObject(value)
	if err != nil {
		return nil, err
	}
	var t Truncation
	for _, m := range members {
		switch m.name {
		case "nonced duplicates":
			t.NoncedDuplicates, err = parseCount(m.value)
		case "nonceless duplicates":
			t.NoncelessDuplicates, err = parseCount(m.value)
		case "arbitrary":
			t.Arbitrary, err = parseCount(m.value)
		default:
		}
		if err != nil {
			return nil, fmt.Errorf("key %q: %w", m.name, err)
		}
	}
	return &t, nil
}
