package admin

import (
	"crypto/sha256"
	"errors"
	"net/http"
	"strings"

	"github.com/briskest/briskest/registrar"
)

// Bounds on idempotency keys.
const (
	maxKey        = 128
	maxKeptAnswer = 256 << 10
)

// once looks at Idempotency-Key. It returns a non-nil reply to be ended when the operation is to be done, and
// done = true when the answer was given from the record. A key belongs to its principal and to what was asked: nobody else's answer is ever
// given. After a crash between the beginning and the end nobody knows whether it was done: that is said, and nothing is done again.
func (h *Handler) once(c *exchange) (reply *registrar.Reply, done bool, err error) {
	keys, ok := c.r.Header["Idempotency-Key"]
	switch {
	case !ok:
		return nil, false, nil
	case c.op.Method != http.MethodPost || c.op.upload != nil:
		return nil, false, refuse(http.StatusBadRequest, "invalid", "%s takes no Idempotency-Key", c.op.ID)
	case len(keys) != 1 || len(keys[0]) == 0 || len(keys[0]) > maxKey || strings.ContainsFunc(keys[0], func(r rune) bool { return r < '!' || r > '~' }):
		return nil, false, refuse(http.StatusBadRequest, "invalid", "Idempotency-Key is 1 to %d printable ASCII characters, once", maxKey)
	}
	r := &registrar.Reply{Domain: c.values["domain"], Principal: c.api.who.Method + " " + c.api.who.Name, Key: keys[0], Operation: c.op.ID}
	if !c.op.Secret {
		r.RequestHash = c.hash()
	}
	on, err := c.api.s.BeginReply(c.r.Context(), r)
	switch {
	case err == nil:
		return on, false, nil
	case on == nil || !errors.Is(err, registrar.ErrConflict):
		return nil, false, err
	case on.Operation != r.Operation || string(on.RequestHash) != string(r.RequestHash):
		return nil, false, refuse(http.StatusUnprocessableEntity, "idempotency-key-reused", "this Idempotency-Key was used for something else; take a new one")
	case on.Status == 0:
		return nil, false, refuse(http.StatusConflict, "idempotency-key-in-progress", "what was asked under this Idempotency-Key has begun and has no outcome on record; look at the object before you ask again under another key")
	case on.Body == nil:
		return nil, false, refuse(http.StatusConflict, "idempotency-key-spent", "what was asked under this Idempotency-Key is done; its answer was shown once and is not kept")
	}
	c.w.Header().Set("Idempotent-Replayed", "true")
	answer(c.w, on.Status, "application/json", on.Body)
	return nil, true, nil
}

// hash is the SHA-256 of what was asked.
func (c *exchange) hash() []byte {
	sum := sha256.New()
	for _, part := range []string{c.op.ID, c.r.URL.EscapedPath(), c.r.URL.RawQuery} {
		sum.Write([]byte(part))
		sum.Write([]byte{0})
	}
	sum.Write(c.body)
	return sum.Sum(nil)
}

// remember records how an operation with an idempotency key ended. A failed one may be tried again.
func (h *Handler) remember(c *exchange, reply *registrar.Reply, data []byte, failed error) {
	if reply == nil {
		return
	}
	reply.Status, reply.Body = http.StatusOK, data
	if c.op.Secret || len(data) > maxKeptAnswer {
		reply.Body = nil
	}
	if failed != nil {
		reply.Status, reply.Body = 0, nil
		if asError(failed).Status >= http.StatusInternalServerError {
			return // nobody knows what of it was done
		}
	}
	if err := c.api.s.EndReply(c.r.Context(), reply); err != nil {
		h.log.ErrorContext(c.r.Context(), "outcome of an idempotency key not recorded", "error", err.Error(), "request_id", c.id)
	}
}
