package estclient

import (
	"mime"
	"strings"
	"sync/atomic"
)

// flag is raised by one request and seen by the next connection.
type flag struct{ state atomic.Bool }

func (f *flag) raise()   { f.state.Store(true) }
func (f *flag) up() bool { return f.state.Load() }

// mediaType is the value of Content-Type without parameters, in lower case.
func mediaType(value string) string {
	if t, _, err := mime.ParseMediaType(value); err == nil {
		return t
	}
	t, _, _ := strings.Cut(value, ";")
	return strings.ToLower(strings.TrimSpace(t))
}
