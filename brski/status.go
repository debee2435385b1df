package brski

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"strconv"

	"github.com/briskest/briskest/est"
)

// StatusVersion is the version of telemetry that this package writes and knows
// (RFC 8995, Section 5.7).
const StatusVersion = 1

// jsonMediaType is the type of telemetry and audit-logs (RFC 8995, Sections 5.7 and 5.8.1).
const jsonMediaType = "application/json"

const maxReason = 1024 // bytes

// ErrStatus is wrapped by what ParseStatus returns.
var ErrStatus = errors.New("not a status document")

// ParseStatus reads the telemetry of RFC 8995, Sections 5.7 and 5.9.4: a JSON
// object of at most 16 KiB with the keys version (an unsigned number) and
// status (a boolean), and perhaps reason and reason-context. Keys are lower
// case (erratum 6834) and none occurs twice; other keys are ignored and
// listed in Ignored. A reason of more than 1024 bytes is cut there. A
// reason-context that is a plain value, which the text allows and the CDDL does
// not, is kept under the key "value". A version above [StatusVersion] is taken:
// the caller has to tell a human.
func ParseStatus(data []byte) (*Status, error) {
	if len(data) > maxStatusBody {
		return nil, fmt.Errorf("%w: %d bytes, the limit is %d", ErrStatus, len(data), maxStatusBody)
	}
	members, err := parseObject(data)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrStatus, err)
	}
	var s Status
	var hasVersion, hasStatus bool
	for _, m := range members {
		switch m.name {
		case "version":
			hasVersion = true
			s.Version, err = parseUint(m.value)
		case "status":
			hasStatus = true
			s.Status, err = strconv.ParseBool(string(m.value))
			if err != nil || len(m.value) < len("true") {
				err = errors.New("true or false was expected")
			}
		case "reason":
			s.Reason, err = parseString(m.value)
			s.Reason = clip(s.Reason, maxReason)
		case "reason-context":
			s.ReasonContext, err = parseContext(m.value)
		default:
			if len(s.Ignored) < 16 {
				s.Ignored = append(s.Ignored, clip(m.name, 64))
			}
		}
		if err != nil {
			return nil, fmt.Errorf("%w: key %q: %w", ErrStatus, clip(m.name, 64), err)
		}
	}
	switch {
	case !hasVersion:
		return nil, fmt.Errorf("%w: key %q is missing; keys are lower case (erratum 6834)", ErrStatus, "version")
	case !hasStatus:
		return nil, fmt.Errorf("%w: key %q is missing; keys are lower case (erratum 6834)", ErrStatus, "status")
	}
	return &s, nil
}

func parseContext(value json.RawMessage) (map[string]any, error) {
	d := json.NewDecoder(bytes.NewReader(value))
	d.UseNumber()
	var v any
	if err := d.Decode(&v); err != nil {
		return nil, err
	}
	switch v := v.(type) {
	case nil:
		return nil, nil
	case map[string]any:
		return v, nil
	default:
		return map[string]any{"value": v}, nil
	}
}

// status answers one post of telemetry.
func (h *RegistrarHandler) status(ctx context.Context, x *exchange, record func(context.Context, *StatusReport) error) error {
	if e := x.notEncoded(); e != nil {
		return e
	}
	if mediaType(x.r.Header["Content-Type"]) != jsonMediaType {
		return &est.Error{
			Status: http.StatusUnsupportedMediaType, Reason: est.ReasonMediaType, Section: "RFC 8995, Section 5.7",
			Message: "Status is posted as application/json.",
		}
	}
	// Accept is not looked at: the answer has no body.
	if err := x.admit(ctx); err != nil {
		return err
	}
	body, e := x.body(min(x.maxBody, maxStatusBody))
	if e != nil {
		return e
	}
	s, err := ParseStatus(body)
	if err != nil {
		return &est.Error{
			Status: http.StatusBadRequest, Reason: ReasonTelemetry, Section: "RFC 8995, Section 5.7",
			Message: "The body is " + bounded(err.Error(), 250) + ".", Err: err,
		}
	}
	h.noteStatus(ctx, x, s)
	if err := record(ctx, &StatusReport{Call: x.call, Status: *s, Raw: body}); err != nil {
		return err
	}
	x.answer("", nil)
	return nil
}

// noteStatus logs what the text wants seen: a larger version (a human should
// look) and unknown fields (RFC 8995, Section 5.7).
func (h *RegistrarHandler) noteStatus(ctx context.Context, x *exchange, s *Status) {
	attrs := []slog.Attr{
		slog.String("request", x.call.ID), slog.String("operation", string(x.call.Operation)), slog.Any("peer", x.call.Peer),
		slog.Int("version", s.Version), slog.Bool("status", s.Status), slog.String("reason", s.Reason),
	}
	level, text := slog.LevelInfo, "telemetry received"
	if len(s.Ignored) > 0 {
		attrs = append(attrs, slog.Any("ignored", s.Ignored))
	}
	if s.Version > StatusVersion {
		level, text = slog.LevelWarn, "telemetry of a version that is not known"
	}
	x.log.LogAttrs(ctx, level, text, attrs...)
}
