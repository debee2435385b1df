package est

import (
	"errors"
	"io"
	"net/http"
	"os"
)

// defaultMaxBody is four thirds of the largest CSR that ParseCSR takes.
const defaultMaxBody = 128 << 10

// keepBuffer is the largest buffer that goes back to the pool.
const keepBuffer = 64 << 10

// readBody reads all of r's body into buf, limit bytes at most. buf grows with what arrives, not with what the
// Content-Length promises. A body that comes slowly is the server's ReadTimeout's to end.
func readBody(r *http.Request, buf []byte, limit int64) ([]byte, *Error) {
	if r.ContentLength > limit {
		return buf, tooLarge()
	}
	buf = buf[:0]
	for {
		if len(buf) == cap(buf) {
			buf = append(buf, 0)[:len(buf)]
		}
		n, err := r.Body.Read(buf[len(buf):cap(buf)])
		buf = buf[:len(buf)+n]
		if int64(len(buf)) > limit {
			return buf, tooLarge()
		}
		switch {
		case errors.Is(err, io.EOF):
			return buf, nil
		case errors.Is(err, os.ErrDeadlineExceeded):
			return buf, &Error{
				Status: http.StatusRequestTimeout, Reason: ReasonBodyTimeout, Err: err,
				Message: "The body took too long to arrive. Send the request again.",
			}
		case err != nil:
			return buf, &Error{
				Status: http.StatusBadRequest, Reason: ReasonBodyRead, Err: err,
				Message: "The body broke off before its end. Send the request again.",
			}
		}
	}
}

func tooLarge() *Error {
	return refuse(http.StatusRequestEntityTooLarge, ReasonBodyTooLarge, "",
		"The body is too large for a certificate request. Send one PKCS#10 request and nothing else.")
}
