package baseline

import (
	"context"
	"encoding/hex"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"mime"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/briskest/briskest/est"
	"github.com/briskest/briskest/internal/strictjson"
	"github.com/briskest/briskest/registrar"
)

// Path is where a device gets its baseline, and AckPath where it acknowledges it.
const (
	Path    = "/.well-known/briskest/baseline"
	AckPath = Path + "/ack"
)

// maxAck bounds an acknowledgement, in bytes.
const maxAck = 4 << 10

// Ack is what a device sends to AckPath.
type Ack struct {
	Version int64  `json:"version"`
	SHA256  string `json:"sha256"` // of the text, in hex
	Status  string `json:"status"` // "received", "applied" or "failed"
	Message string `json:"message,omitempty"`
}

// Backend is who decides; *registrar.Service is one. Errors are *est.Error.
type Backend interface {
	Baseline(ctx context.Context, r *registrar.BaselineCall, known int64) (*registrar.BaselineText, error)
	AcknowledgeBaseline(ctx context.Context, r *registrar.BaselineCall, ack *registrar.BaselineAck) error
	BaselineRefused(ctx context.Context, r *registrar.BaselineCall, e *est.Error)
}

// Handler serves Path and AckPath on the devices' port. The device is whoever the TLS
// client certificate says; nothing else in a request names one.
type Handler struct {
	Backend Backend
	Log     *slog.Logger     // nil for none
	Now     func() time.Time // nil for time.Now
}

// ServeHTTP answers one request.
func (h *Handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	now := time.Now
	if h.Now != nil {
		now = h.Now
	}
	call := &registrar.BaselineCall{ID: est.NewRequestID(), Peer: est.NewPeer(r), At: now(), Ack: r.URL.EscapedPath() == AckPath}
	err := h.serve(w, r, call)
	if err == nil {
		return
	}
	var e *est.Error
	if !errors.As(err, &e) {
		e = &est.Error{Status: http.StatusInternalServerError, Reason: registrar.ReasonInternal, Message: "internal error", Err: err}
	}
	if h.Log != nil {
		level := slog.LevelInfo
		if e.Status >= http.StatusInternalServerError {
			level = slog.LevelError
		}
		h.Log.Log(r.Context(), level, "request refused", slog.String("request", call.ID), slog.String("operation", "baseline"),
			slog.Int("status", e.Status), slog.String("reason", e.Reason), slog.Any("peer", call.Peer), slog.Any("error", e))
	}
	h.Backend.BaselineRefused(r.Context(), call, e)
	est.WriteError(w, r, "", e)
}

func refuse(status int, reason, message string) error {
	return &est.Error{Status: status, Reason: reason, Message: message}
}

func (h *Handler) serve(w http.ResponseWriter, r *http.Request, call *registrar.BaselineCall) error {
	path := r.URL.EscapedPath()
	switch {
	case path != Path && path != AckPath:
		return refuse(http.StatusNotFound, est.ReasonPathOperation, "Served here: GET "+Path+" and POST "+AckPath+".")
	case r.URL.RawQuery != "":
		return refuse(http.StatusBadRequest, est.ReasonPathOperation, "The baseline takes no parameters: it is that of the device whose certificate is shown.")
	case r.TLS == nil:
		return refuse(http.StatusForbidden, est.ReasonTLSRequired, "The baseline is given over TLS only. Connect with https.")
	}
	method := http.MethodGet
	if call.Ack {
		method = http.MethodPost
	}
	if r.Method != method {
		w.Header().Set("Allow", method)
		return refuse(http.StatusMethodNotAllowed, est.ReasonMethod, path+" is a "+method+".")
	}
	if e := call.Peer.CheckCertificates(); e != nil {
		return e
	}
	if call.Ack {
		return h.acknowledge(w, r, call)
	}
	return h.give(w, r, call)
}

func (h *Handler) give(w http.ResponseWriter, r *http.Request, call *registrar.BaselineCall) error {
	format := accepted(r.Header.Values("Accept"))
	if format == "" {
		return refuse(http.StatusNotAcceptable, est.ReasonNotAcceptable, "The baseline is given as "+string(JWS)+" or "+string(CMS)+".")
	}
	got, err := h.Backend.Baseline(r.Context(), call, known(r.Header.Values("If-None-Match")))
	if err != nil {
		return err
	}
	header := w.Header()
	header.Set("ETag", tag(got.Version))
	header.Set("Vary", "Accept")
	header.Set("Cache-Control", "private, no-cache")
	if got.Unchanged {
		w.WriteHeader(http.StatusNotModified)
		return nil
	}
	signed, err := Sign(format, got.Text, got.Signer, call.At)
	if err != nil {
		return err
	}
	header.Set("Content-Type", string(format))
	header.Set("Content-Length", strconv.Itoa(len(signed)))
	_, _ = w.Write(signed) // who hung up asks again
	return nil
}

// tag is weak: the same version is signed anew for each answer (RFC 9110, Section 8.8.1).
func tag(version int64) string { return `W/"` + strconv.FormatInt(version, 10) + `"` }

// known is the version that If-None-Match names (RFC 9110, Section 13.1.2); 0 for none.
func known(fields []string) int64 {
	for _, one := range strings.Split(strings.Join(fields, ","), ",") {
		text := strings.TrimPrefix(strings.TrimSpace(one), "W/")
		if len(text) < 2 || text[0] != '"' || text[len(text)-1] != '"' {
			continue
		}
		if n, err := strconv.ParseInt(text[1:len(text)-1], 10, 64); err == nil && n > 0 {
			return n
		}
	}
	return 0
}

// accepted is the format that Accept prefers (RFC 9110, Section 12.5.1); JWS among equals
// and where nothing is said, "" for neither.
func accepted(fields []string) Format {
	if len(fields) == 0 {
		return JWS
	}
	quality := map[Format]float64{}
	specific := map[Format]int{}
	for _, one := range strings.Split(strings.Join(fields, ","), ",") {
		name, parameters, err := mime.ParseMediaType(one)
		if err != nil {
			continue
		}
		q := 1.0
		if text, ok := parameters["q"]; ok {
			if q, err = strconv.ParseFloat(text, 64); err != nil {
				continue
			}
		}
		for _, f := range []Format{JWS, CMS} {
			rank := map[string]int{"*/*": 1, "application/*": 2, string(f): 3}[name]
			if rank > specific[f] {
				specific[f], quality[f] = rank, q
			}
		}
	}
	switch {
	case quality[JWS] > 0 && quality[JWS] >= quality[CMS]:
		return JWS
	case quality[CMS] > 0:
		return CMS
	default:
		return ""
	}
}

func (h *Handler) acknowledge(w http.ResponseWriter, r *http.Request, call *registrar.BaselineCall) error {
	if name, _, err := mime.ParseMediaType(r.Header.Get("Content-Type")); err != nil || name != "application/json" {
		return refuse(http.StatusUnsupportedMediaType, est.ReasonMediaType, "An acknowledgement is application/json.")
	}
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxAck))
	if err != nil {
		return refuse(http.StatusRequestEntityTooLarge, est.ReasonBodyTooLarge, "An acknowledgement has at most 4096 bytes.")
	}
	ack, err := parseAck(body)
	if err != nil {
		return &est.Error{Status: http.StatusBadRequest, Reason: registrar.ReasonBaselineAck, Message: err.Error()}
	}
	if err := h.Backend.AcknowledgeBaseline(r.Context(), call, ack); err != nil {
		return err
	}
	w.WriteHeader(http.StatusNoContent)
	return nil
}

// parseAck reads an acknowledgement.
func parseAck(body []byte) (*registrar.BaselineAck, error) {
	const want = `an acknowledgement is {"version": N, "sha256": "HEX", "status": "applied", "message": "..."}`
	members, err := strictjson.Object(body, strictjson.Limits{Bytes: maxAck, Depth: 2, Members: 16})
	if err != nil {
		return nil, errors.New(want)
	}
	for _, m := range members { // encoding/json takes other cases for the same name
		if !slices.Contains([]string{"version", "sha256", "status", "message"}, m.Name) {
			return nil, errors.New("it has a member that none has; " + want)
		}
	}
	var in Ack
	if err := json.Unmarshal(body, &in); err != nil {
		return nil, errors.New(want)
	}
	out := &registrar.BaselineAck{Version: in.Version, Status: registrar.BaselineStatus(in.Status), Message: in.Message}
	sum, err := hex.DecodeString(in.SHA256)
	if err != nil || len(sum) != len(out.SHA256) {
		return nil, errors.New("sha256 is not the SHA-256 of the text in hex; " + want)
	}
	copy(out.SHA256[:], sum)
	return out, nil
}
