package vaultca

import (
	"bytes"
	"context"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"strings"
	"sync"

	"github.com/briskest/briskest/ca"
	"github.com/briskest/briskest/ca/delegate"
)

// state is what a ca.Later keeps.
type state struct {
	// Lost: a certificate may be there.
	Lost bool `json:"lost"`
}

// readState takes what it does not know for the worst.
func readState(r *ca.Request) (s state, err error) {
	if r.Asked == nil {
		return s, nil
	}
	if len(r.State) == 0 {
		return state{Lost: true}, nil
	}
	if err := json.Unmarshal(r.State, &s); err != nil {
		return s, fmt.Errorf("%w: the state of %s is none of Vault's; was the issuer of that name changed?", ca.ErrRejected, r.ID)
	}
	return s, nil
}

func (s state) write() []byte {
	if s.Lost {
		return []byte(`{"lost":true}`)
	}
	return []byte(`{"lost":false}`)
}

// wait leaves the intent open.
func wait(err error, s state) error {
	var later *ca.Later
	if errors.As(err, &later) {
		err = later.Err
	}
	return &ca.Later{Err: err, State: s.write()}
}

const (
	// maxList bounds a list of serial numbers, 64 bytes each.
	maxList = 8 << 20
	// readers is how many certificates are read at once.
	readers = 4
)

// find looks for the certificate of an issuance whose answer was lost, among
// those that Vault stored. nil without an error: there is none, or nobody may
// look; the log says what an operator has to know. An error means that looking
// has to be tried again.
func (c *CA) find(ctx context.Context, o *delegate.Order) (*ca.Certificate, error) {
	attributes := []any{slog.String("issuance", o.Request.ID)}
	missing := func(why string) {
		c.log.WarnContext(ctx, "the answer to a signature was lost; a certificate that nobody has may stay valid at Vault",
			append(attributes, slog.String("not_found", why))...)
	}
	if c.config.Search <= 0 {
		missing("no search is configured")
		return nil, nil
	}
	serials, err := c.list(ctx)
	switch {
	case errors.Is(err, errMayNot):
		missing("the token may not list certs")
		return nil, nil
	case err != nil:
		return nil, err
	case len(serials) > c.config.Search:
		missing(fmt.Sprintf("there are %d certificates, and %d are looked at", len(serials), c.config.Search))
		return nil, nil
	}
	found, err := c.search(ctx, o, serials)
	if err != nil {
		return nil, err
	}
	if found != nil {
		c.log.InfoContext(ctx, "found the certificate whose answer was lost", attributes...)
	}
	return found, nil
}

// errMayNot says that our policies do not let us look.
var errMayNot = errors.New("not allowed")

// list returns the serial numbers of all stored certificates.
func (c *CA) list(ctx context.Context) ([]string, error) {
	token, err := c.token(ctx)
	if err != nil {
		return nil, err
	}
	a, err := c.sendUpTo(ctx, maxList, http.MethodGet, c.config.Mount+"/certs?list=true", token, nil)
	if err != nil {
		return nil, err
	}
	switch a.Status {
	case http.StatusNotFound: // nothing is stored
		return nil, nil
	case http.StatusForbidden:
		return nil, errMayNot
	}
	if err := refusal(a); err != nil {
		return nil, err
	}
	var data struct {
		Keys []string `json:"keys"`
	}
	return data.Keys, decode(a, &data)
}

// search reads certificates until one is that of the order.
func (c *CA) search(ctx context.Context, o *delegate.Order, serials []string) (*ca.Certificate, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	var (
		mu    sync.Mutex
		next  int             // guarded by mu
		found *ca.Certificate // guarded by mu
		first error           // guarded by mu
		wg    sync.WaitGroup
	)
	take := func() (string, bool) {
		mu.Lock()
		defer mu.Unlock()
		if next == len(serials) || found != nil || first != nil {
			return "", false
		}
		next++
		return serials[next-1], true
	}
	for range readers {
		wg.Go(func() {
			for serial, ok := take(); ok; serial, ok = take() {
				one, err := c.read(ctx, o, serial)
				mu.Lock()
				if one != nil {
					found = one
				} else if err != nil && first == nil {
					first = err
				}
				mu.Unlock()
			}
		})
	}
	wg.Wait()
	if found != nil {
		return found, nil
	}
	return nil, first
}

// read returns a stored certificate if it is that of the order: its key, its
// names, and the very end that only this order asked for.
func (c *CA) read(ctx context.Context, o *delegate.Order, serial string) (*ca.Certificate, error) {
	if strings.Trim(serial, "0123456789abcdefABCDEF:-") != "" {
		return nil, nil
	}
	a, err := c.call(ctx, http.MethodGet, c.config.Mount+"/cert/"+serial, nil)
	if err != nil {
		return nil, err
	}
	var data struct {
		Certificate string `json:"certificate"`
		Revoked     int64  `json:"revocation_time"`
	}
	if err := decode(a, &data); err != nil {
		return nil, err
	}
	raw, err := decodePEM(data.Certificate)
	if err != nil || data.Revoked != 0 {
		return nil, nil
	}
	cert, err := x509.ParseCertificate(raw)
	if err != nil || !bytes.Equal(cert.RawSubjectPublicKeyInfo, o.CSR.RawSubjectPublicKeyInfo) || !cert.NotAfter.Equal(o.Intent.NotAfter) {
		return nil, nil
	}
	accepted, err := o.Accept(raw, nil)
	if err != nil {
		return nil, nil //nolint:nilerr // it is another's
	}
	return accepted, nil
}
