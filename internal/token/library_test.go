package token_test

import (
	"cmp"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/asn1"
	"math/big"
	"sync"
	"testing"

	"github.com/briskest/briskest/internal/token"
)

// library is a small PKCS#11 library with one token, which fails the test when
// it is called as it must not be, and does wrong when told to.
type library struct {
	t testing.TB

	mu       sync.Mutex
	up       bool
	absent   bool
	epoch    int // of sessions: one from another is gone
	login    bool
	keys     map[string]*ecdsa.PrivateKey
	open     int
	most     int // sessions that were open at once
	allowed  int // sessions; 0 is any number
	starts   int
	calls    int
	logins   int
	pin      string
	refuse   token.Code         // a wrong PIN is refused so; default PINIncorrect
	hang     chan struct{}      // signing waits for it
	lies     int                // wrong signatures to come
	faults   []token.Code       // of the next signatures
	starting func() (err error) // what Initialize says
}

func newLibrary(t testing.TB) *library {
	return &library{t: t, keys: make(map[string]*ecdsa.PrivateKey), pin: "4711"}
}

func (l *library) Initialize() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.calls > 0 {
		l.t.Error("Initialize beside a call")
	}
	if l.starting != nil {
		if err := l.starting(); err != nil {
			return err
		}
	}
	l.up = true
	l.starts++
	return nil
}

func (l *library) Finalize() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.calls > 0 {
		l.t.Error("Finalize beside a call")
	}
	l.up, l.login, l.open = false, false, 0
	l.epoch++
	return nil
}

// enter begins a call; what it returns ends it.
func (l *library) enter() func() {
	l.mu.Lock()
	if !l.up {
		l.t.Error("a call into a library that is not started")
	}
	l.calls++
	return func() { l.calls--; l.mu.Unlock() }
}

func (l *library) Find(token.Selector) (uint, error) {
	defer l.enter()()
	if l.absent {
		return 0, token.ErrNoToken
	}
	return 7, nil
}

func (l *library) Open(slot uint, pin func() (string, error)) (token.Session, error) {
	defer l.enter()()
	switch {
	case slot != 7:
		l.t.Errorf("Open(%d)", slot)
	case l.absent:
		return nil, token.TokenNotPresent
	case l.allowed > 0 && l.open >= l.allowed:
		return nil, token.SessionCount
	}
	if !l.login {
		text, err := pin()
		if err != nil {
			return nil, err
		}
		l.logins++
		if text != l.pin {
			return nil, cmp.Or(l.refuse, token.PINIncorrect)
		}
		l.login = true
	}
	l.open++
	l.most = max(l.most, l.open)
	return &fakeSession{library: l, epoch: l.epoch}, nil
}

type fakeSession struct {
	library *library
	epoch   int
	busy    bool
}

func (s *fakeSession) enter() (func(), error) {
	leave := s.library.enter()
	if s.busy {
		s.library.t.Error("two calls in one session")
	}
	if s.epoch != s.library.epoch {
		return leave, token.SessionHandleInvalid
	}
	return leave, nil
}

func (s *fakeSession) Key(o token.Object) (token.Handle, error) {
	leave, err := s.enter()
	defer leave()
	if err != nil {
		return 0, err
	}
	if s.library.keys[o.Label] == nil {
		return 0, token.ErrNotFound
	}
	return token.Handle(len(o.Label)), nil
}

// key finds a key by its handle: the length of its label.
func (l *library) key(h token.Handle) *ecdsa.PrivateKey {
	for label, key := range l.keys {
		if len(label) == int(h) {
			return key
		}
	}
	l.t.Errorf("no key with the handle %d", h)
	return nil
}

func (s *fakeSession) Public(h token.Handle) (crypto.PublicKey, error) {
	leave, err := s.enter()
	defer leave()
	if err != nil {
		return nil, err
	}
	return s.library.key(h).Public(), nil
}

func (s *fakeSession) Sign(h token.Handle, m token.Mechanism, data []byte) ([]byte, error) {
	leave, err := s.enter()
	defer leave()
	l := s.library
	if err != nil {
		return nil, err
	}
	if l.absent {
		return nil, token.DeviceRemoved
	}
	if len(l.faults) > 0 {
		err := l.faults[0]
		l.faults = l.faults[1:]
		return nil, err
	}
	if hang := l.hang; hang != nil {
		s.busy = true
		l.mu.Unlock()
		<-hang
		l.mu.Lock()
		s.busy = false
	}
	if l.lies > 0 {
		l.lies--
		data = append([]byte{^data[0]}, data[1:]...)
	}
	if m.Kind != token.ECDSA {
		return nil, token.MechanismInvalid
	}
	der, err := ecdsa.SignASN1(rand.Reader, l.key(h), data)
	if err != nil {
		return nil, err
	}
	var v struct{ R, S *big.Int }
	if _, err := asn1.Unmarshal(der, &v); err != nil {
		return nil, err
	}
	raw := make([]byte, 64)
	v.R.FillBytes(raw[:32])
	v.S.FillBytes(raw[32:])
	return raw, nil
}

func (s *fakeSession) Generate(a token.Algorithm, o token.Object) (token.Handle, error) {
	leave, err := s.enter()
	defer leave()
	if err != nil {
		return 0, err
	}
	if a != "p256" {
		return 0, token.ErrAlgorithm
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return 0, err
	}
	s.library.keys[o.Label] = key
	return token.Handle(len(o.Label)), nil
}

func (s *fakeSession) Close() error {
	leave, err := s.enter()
	defer leave()
	if err != nil {
		return err
	}
	s.library.open--
	return nil
}

// loseSessions ends all sessions behind everybody's back.
func (l *library) loseSessions() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.epoch++
	l.login, l.open = false, 0
}

// set changes what the library does.
func (l *library) set(change func()) {
	l.mu.Lock()
	defer l.mu.Unlock()
	change()
}
