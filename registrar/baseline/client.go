package baseline

import (
	"bytes"
	"context"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"mime"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/briskest/briskest/est"
)

// Client gets a device's baseline over the connection of an EST client, whose
// certificate is the one that the device got there.
type Client struct {
	EST    *est.Client
	Format Format // that is asked for; empty for JWS
}

// Fetch gets the baseline and verifies it; nil when e.Version is still the one.
func (c *Client) Fetch(ctx context.Context, e *Expect) (*Verified, []byte, error) {
	format := c.Format
	if format == "" {
		format = JWS
	}
	r, err := c.request(ctx, http.MethodGet, Path, nil)
	if err != nil {
		return nil, nil, err
	}
	r.Header.Set("Accept", string(format))
	if e.Version > 0 {
		r.Header.Set("If-None-Match", tag(e.Version))
	}
	response, body, err := c.do(r)
	switch {
	case err != nil:
		return nil, nil, err
	case response.StatusCode == http.StatusNotModified && e.Version > 0:
		return nil, nil, nil
	case response.StatusCode != http.StatusOK:
		return nil, nil, refused(response, body)
	}
	if name, _, err := mime.ParseMediaType(response.Header.Get("Content-Type")); err != nil || name != string(format) {
		return nil, nil, fmt.Errorf("%w: the server answered with %q", ErrText, response.Header.Get("Content-Type"))
	}
	got, err := Verify(format, body, e)
	return got, body, err
}

// Acknowledge says what became of a baseline.
func (c *Client) Acknowledge(ctx context.Context, v *Verified, status, message string) error {
	body, err := json.Marshal(&Ack{Version: v.Text.Version, SHA256: hex.EncodeToString(v.SHA256[:]), Status: status, Message: message})
	if err != nil {
		return err
	}
	r, err := c.request(ctx, http.MethodPost, AckPath, body)
	if err != nil {
		return err
	}
	r.Header.Set("Content-Type", "application/json")
	response, answer, err := c.do(r)
	if err == nil && response.StatusCode != http.StatusNoContent {
		err = refused(response, answer)
	}
	return err
}

// callTimeout bounds one question.
const callTimeout = time.Minute

func (c *Client) request(ctx context.Context, method, path string, body []byte) (*http.Request, error) {
	origin, err := c.EST.Origin()
	if err != nil {
		return nil, err
	}
	r, err := http.NewRequestWithContext(ctx, method, origin+path, bytes.NewReader(body))
	if err == nil && body == nil {
		r.Body = http.NoBody
	}
	return r, err
}

func (c *Client) do(r *http.Request) (*http.Response, []byte, error) {
	ctx, cancel := context.WithTimeout(r.Context(), callTimeout)
	defer cancel()
	response, err := c.EST.Do(r.WithContext(ctx))
	if err != nil {
		return nil, nil, fmt.Errorf("%s: %w", r.URL.Path, err)
	}
	defer response.Body.Close()
	body, err := io.ReadAll(io.LimitReader(response.Body, maxSigned+1))
	if err != nil {
		return nil, nil, fmt.Errorf("%s: %w", r.URL.Path, err)
	}
	return response, body, nil
}

// refused is what the server said, as far as it can be shown.
func refused(response *http.Response, body []byte) error {
	text := strings.Map(func(c rune) rune {
		switch {
		case c == '\n':
			return ' '
		case c < ' ' || c > '~':
			return -1
		default:
			return c
		}
	}, string(body[:min(len(body), 400)]))
	e := &est.StatusError{Operation: "baseline", Status: response.StatusCode, Message: strings.TrimSpace(text)}
	if seconds, err := strconv.Atoi(response.Header.Get("Retry-After")); err == nil && seconds > 0 {
		e.RetryAfter = time.Duration(min(seconds, 86400)) * time.Second
	}
	return e
}
