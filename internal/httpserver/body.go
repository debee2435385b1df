package httpserver

import (
	"io"
	"net/http"
	"time"
)

// steadyBody is a request's body that has to keep coming: each read gets some
// seconds, and all of them together what the server gives a request.
type steadyBody struct {
	io.ReadCloser
	connection *http.ResponseController
	pause      time.Duration
	end        time.Time
	unable     bool // the connection has no deadlines
}

// steady has r's body end when nothing of it comes for the given time.
func steady(w http.ResponseWriter, r *http.Request, pause time.Duration) {
	if r.Body == nil || r.Body == http.NoBody {
		return
	}
	r.Body = &steadyBody{ReadCloser: r.Body, connection: http.NewResponseController(w), pause: pause, end: time.Now().Add(readTimeout)}
}

func (b *steadyBody) Read(p []byte) (int, error) {
	b.until(time.Now().Add(b.pause))
	n, err := b.ReadCloser.Read(p)
	if err == io.EOF {
		// What the connection reads from now on is not the body's.
		b.until(b.end)
	}
	return n, err
}

func (b *steadyBody) until(at time.Time) {
	if b.unable {
		return
	}
	if at.After(b.end) {
		at = b.end
	}
	b.unable = b.connection.SetReadDeadline(at) != nil
}
