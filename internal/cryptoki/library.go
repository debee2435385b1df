//go:build pkcs11

package cryptoki

import (
	"errors"
	"fmt"
	"os"
	"strings"
	"unsafe"

	"github.com/miekg/pkcs11"

	"github.com/briskest/briskest/internal/token"
)

// Library is a loaded library.
type Library struct {
	path      string
	reserved  string
	ctx       *pkcs11.Ctx
	functions functions
}

var _ token.Library = (*Library)(nil)

// Load loads the library at an absolute path. It stays loaded: code of it may
// run in threads of its own. What is reserved in C_Initialize, a text for those
// that want one, is mostly "".
func Load(path, reserved string) (*Library, error) {
	if path == "" {
		return nil, errors.New("pkcs11: the URI names no library; add ?module-path= and its absolute path, such as /usr/lib/softhsm/libsofthsm2.so")
	}
	if _, err := os.Stat(path); err != nil {
		return nil, fmt.Errorf("pkcs11: module-path: %v; is the token's library installed?", err) // no fs.ErrNotExist: the key may be there
	}
	ctx := pkcs11.New(path)
	if ctx == nil {
		return nil, fmt.Errorf("pkcs11: module-path: %s is no PKCS#11 library for this machine; ldd shows what it needs", path)
	}
	return &Library{path: path, reserved: reserved, ctx: ctx, functions: functionsOf(ctx, path)}, nil
}

// Initialize is C_Initialize, with locks of the operating system.
func (l *Library) Initialize() error {
	var options []pkcs11.InitializeOption
	if l.reserved != "" {
		text := append([]byte(l.reserved), 0)                                              // C's, and read during the call only
		options = append(options, pkcs11.InitializeWithReserved(unsafe.Pointer(&text[0]))) //nolint:gosec // there is no other way to pass it
	}
	err := code(l.ctx.Initialize(options...))
	if errors.Is(err, token.CryptokiAlreadyInitialized) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("start %s: %w", l.path, err)
	}
	return nil
}

// Finalize is C_Finalize.
func (l *Library) Finalize() error { return code(l.ctx.Finalize()) }

// Find looks through the slots that have a token.
func (l *Library) Find(s token.Selector) (uint, error) {
	slots, err := l.ctx.GetSlotList(true)
	if err != nil {
		return 0, code(err)
	}
	var found []uint
	var seen []string
	for _, slot := range slots {
		if s.Slot != nil && *s.Slot != slot {
			continue
		}
		info, err := l.ctx.GetTokenInfo(slot)
		if err != nil {
			continue // taken out just now, or not initialized
		}
		if info.Flags&pkcs11.CKF_TOKEN_INITIALIZED == 0 {
			continue
		}
		seen = append(seen, fmt.Sprintf("%q", info.Label))
		if is(s.Token, info.Label) && is(s.Serial, info.SerialNumber) && is(s.Manufacturer, info.ManufacturerID) && is(s.Model, info.Model) {
			found = append(found, slot)
		}
	}
	switch {
	case len(found) == 1:
		return found[0], nil
	case len(found) > 1:
		return 0, fmt.Errorf("%w: %d tokens are as the URI says; add serial= to it", token.ErrNoToken, len(found))
	case len(seen) == 0:
		return 0, fmt.Errorf("%w: %s sees none", token.ErrNoToken, l.path)
	default:
		return 0, fmt.Errorf("%w: %s sees %s", token.ErrNoToken, l.path, strings.Join(seen, ", "))
	}
}

// is compares what the URI says with a field, which is padded with blanks
// (RFC 7512, Section 2.3).
func is(want, field string) bool { return want == "" || want == strings.TrimRight(field, " \x00") }

// Open opens a session, and logs in if no other session of this program did.
func (l *Library) Open(slot uint, pin func() (string, error)) (token.Session, error) {
	h, err := l.ctx.OpenSession(slot, pkcs11.CKF_SERIAL_SESSION|pkcs11.CKF_RW_SESSION)
	if err != nil {
		return nil, code(err)
	}
	s := &session{ctx: l.ctx, functions: l.functions, handle: h}
	if err := s.login(pin); err != nil {
		_ = s.Close() // the login's error is the one that says something
		return nil, err
	}
	return s, nil
}

// code gives an error of the wrapper its number.
func code(err error) error {
	var e pkcs11.Error
	if errors.As(err, &e) {
		return token.Code(e)
	}
	return err
}
