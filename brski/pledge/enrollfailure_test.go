package pledge_test

import (
	"crypto"
	"errors"
	"io"
	"strings"
	"testing"

	"github.com/briskest/briskest/brski/brskitest"
	"github.com/briskest/briskest/brski/pledge"
	"github.com/briskest/briskest/internal/testpki"
)

// BRSKI-8995-5.9.4-03: so is a failure that is the device's own.
func TestEnrollmentThatTheDeviceCannotMakeIsReported(t *testing.T) {
	for name, c := range map[string]struct {
		spoil  func(*device)
		reason string
	}{
		"no key": {func(d *device) {
			d.config.NewKey = func() (crypto.Signer, error) { return nil, errors.New("no entropy") }
		}, pledge.ReasonKey},
		"a key that does not sign": {func(d *device) {
			d.config.Key = mute{testpki.NewKey(d.t)}
		}, pledge.ReasonSigning},
		"no space": {func(d *device) { d.config.State = full{d.memory} }, pledge.ReasonStorage},
	} {
		t.Run(name, func(t *testing.T) {
			w := brskitest.New(t)
			d := newDevice(t, w)
			c.spoil(d)
			d.onboardFails(c.reason, nil)
			s, v := w.Registrar.EnrollStatuses(), w.Registrar.VoucherStatuses()
			if len(s) != 1 || s[0].Status.Status || s[0].Status.Reason != c.reason {
				t.Fatalf("enrollstatus = %+v, want one with false and reason %q", s, c.reason)
			}
			if s[0].Peer.Address != v[0].Peer.Address {
				t.Errorf("enrollstatus came from %v, want the connection of the attempt, %v", s[0].Peer.Address, v[0].Peer.Address)
			}
		})
	}
}

// mute is a key in a token that has gone.
type mute struct{ crypto.Signer }

func (mute) Sign(io.Reader, []byte, crypto.SignerOpts) ([]byte, error) {
	return nil, errors.New("the token is gone")
}

// full is a Storage without space for keys.
type full struct{ *memory }

func (f full) Save(name string, data []byte) error {
	if strings.HasPrefix(name, "ldevid") {
		return errors.New("no space left")
	}
	return f.memory.Save(name, data)
}
