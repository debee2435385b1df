//go:build pkcs11

package keystore

import (
	"cmp"
	"context"
	"crypto"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"path/filepath"
	"slices"
	"sync"

	"github.com/briskest/briskest/internal/cryptoki"
	"github.com/briskest/briskest/internal/pkcs11uri"
	"github.com/briskest/briskest/internal/token"
)

// schemes are what this build has.
const schemes = "file: and pkcs11:"

// modules are the libraries that this process has loaded. A library is loaded,
// started and ended once for a whole process, whoever calls (PKCS#11 v2.40,
// Section 5.4), and so there can be no two of these; see
// docs/decisions/0014-pkcs11.md.
var modules struct {
	mu     sync.Mutex
	loaded map[string]*token.Module // by path; guarded by mu
}

// module returns the library at a path, told reserved when it is started first.
// Two names of one file are one library.
func module(path, reserved string) (*token.Module, error) {
	name := path
	if real, err := filepath.EvalSymlinks(path); err == nil {
		name = real
	}
	modules.mu.Lock()
	defer modules.mu.Unlock()
	if m := modules.loaded[name]; m != nil {
		return m, nil
	}
	library, err := cryptoki.Load(path, reserved)
	if err != nil {
		return nil, err
	}
	if modules.loaded == nil {
		modules.loaded = make(map[string]*token.Module)
	}
	m := token.NewModule(library, token.Limits{})
	modules.loaded[name] = m
	return m, nil
}

func openToken(ctx context.Context, uri string) (crypto.Signer, error) {
	t, object, err := locate(uri)
	if err != nil {
		return nil, err
	}
	key, err := t.Open(ctx, object)
	if err != nil {
		return nil, inKeystore(object, err)
	}
	return key, nil
}

func createToken(ctx context.Context, uri string, alg Algorithm) (crypto.Signer, error) {
	t, object, err := locate(uri)
	if err != nil {
		return nil, err
	}
	if object.Label == "" {
		return nil, fmt.Errorf("%w: a key to be made in a token needs object= in its URI", ErrScheme)
	}
	if alg == "" {
		alg = P256
	}
	key, err := t.Create(ctx, object, token.Algorithm(alg))
	if err != nil {
		return nil, inKeystore(object, err)
	}
	return key, nil
}

// locate returns the token and the name of the key in it.
func locate(uri string) (*token.Token, token.Object, error) {
	u, err := pkcs11uri.Parse(uri)
	if err != nil {
		return nil, token.Object{}, fmt.Errorf("%w: %w", ErrScheme, err)
	}
	object := token.Object{Label: u.Object, ID: u.ID}
	if object == (token.Object{}) {
		return nil, object, fmt.Errorf("%w: the pkcs11: URI names no key; add object= or id=", ErrScheme)
	}
	m, err := module(u.ModulePath, u.InitReserved)
	if err != nil {
		return nil, object, err
	}
	t, err := m.Token(token.Selector{
		Token: u.Token, Serial: u.Serial, Manufacturer: u.Manufacturer, Model: u.Model, Slot: u.Slot,
	}, u.PINSource, token.Limits{Sessions: u.Sessions, Deadline: u.Deadline, Failures: u.Failures, Pause: u.Pause}, u.PIN)
	return t, object, err
}

// tokens tells how each token is doing.
func tokens() []TokenHealth {
	modules.mu.Lock()
	loaded := maps.Clone(modules.loaded)
	modules.mu.Unlock()
	var out []TokenHealth
	for path, m := range loaded {
		m.Tokens(func(s token.Selector, t *token.Token) {
			h := t.Health()
			name := pkcs11uri.URI{Token: s.Token, Serial: s.Serial, Manufacturer: s.Manufacturer, Model: s.Model, Slot: s.Slot, ModulePath: path}
			row := TokenHealth{
				Token: name.String(), Usable: h.Usable, Failures: h.Failures, Sessions: h.Sessions, Busy: h.Busy, Hung: h.Hung, Limit: h.Limit,
			}
			if h.Last != nil {
				row.Last = h.Last.Error()
			}
			out = append(out, row)
		})
	}
	slices.SortFunc(out, func(a, b TokenHealth) int { return cmp.Compare(a.Token, b.Token) })
	return out
}

// inKeystore gives an error the sentinel that Open and Create promise.
func inKeystore(o token.Object, err error) error {
	name := o.Label
	if name == "" {
		name = fmt.Sprintf("with the id %x", o.ID)
	}
	sentinel := error(nil)
	switch {
	case errors.Is(err, token.ErrNotFound):
		sentinel = fs.ErrNotExist
	case errors.Is(err, token.ErrExists):
		sentinel = fs.ErrExist
	case errors.Is(err, token.ErrAlgorithm):
		sentinel = ErrAlgorithm
	default:
		return fmt.Errorf("keystore: the key %s: %w", name, err)
	}
	return fmt.Errorf("keystore: the key %s: %w: %w", name, err, sentinel)
}
