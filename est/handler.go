package est

import (
	"log/slog"
	"net/http"
	"time"
)

// Handler stub.
type Handler struct {
	Backend Backend
	Realm   string
	Log     *slog.Logger
	MaxBody int64
	Now     func() time.Time
}

// ServeHTTP implements http.Handler.
func (h *Handler) ServeHTTP(w http.ResponseWriter, r *http.Request) { w.WriteHeader(500) }

// NewRequestID stub.
func NewRequestID() string { return "0" }
