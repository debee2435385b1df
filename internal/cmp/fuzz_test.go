package cmp_test

import (
	"errors"
	"testing"

	"github.com/briskest/briskest/internal/cmp"
)

// FuzzParse reads messages, their bodies and their protections: nothing panics, nothing unknown verifies.
func FuzzParse(f *testing.F) {
	w := newWorld(f)
	secret := &cmp.MAC{Secret: []byte("correct horse"), Iterations: 2, AllowHMACSHA1: true}
	for _, b := range w.bodies(f) {
		for _, p := range []cmp.Protection{nil, &cmp.Signature{Key: w.ra.Key}, secret, &cmp.MAC{Secret: secret.Secret, Iterations: 2, PBMAC1: true}} {
			f.Add(marshal(f, &w.header, b, p, w.ra.Certificate.Raw))
		}
	}
	other := &cmp.MAC{Secret: []byte("another"), AllowHMACSHA1: true}
	f.Fuzz(func(t *testing.T, der []byte) {
		_ = readAll(der)
		m, err := cmp.Parse(der)
		if err != nil {
			return
		}
		if m.VerifySignature(w.device.Certificate.PublicKey) == nil {
			t.Error("a signature verifies by a key that never signed")
		}
		if err := m.VerifyMAC(other); err == nil || errors.Is(err, cmp.ErrBuild) {
			t.Errorf("VerifyMAC = %v with a secret that nobody used", err)
		}
	})
}
