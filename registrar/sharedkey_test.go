package registrar_test

import (
	"fmt"
	"sync"
	"testing"

	"github.com/briskest/briskest/ca/profile"
	"github.com/briskest/briskest/internal/testpki"
	"github.com/briskest/briskest/registrar"
)

// R9: a key is of one device, where the profile wants that: neither another one's
// enrollment gets it nor its renewal, until the first certificate is revoked for a reason
// that says nothing against the key.
func TestAKeyIsOfOneDeviceOnly(t *testing.T) {
	h := newHouse(t, func(h *house) { h.reprofile(func(d *profile.Document) { d.SharedKey = "refuse" }) })
	key := testpki.NewKey(t)
	first := h.enroll("sensor-1").basic(group).withKey(key).mustSend()
	h.enroll("sensor-2").basic(group).withKey(key).refusedAs(registrar.ReasonKeyShared, 403)
	// The device itself keeps it.
	h.enroll("sensor-1").basic(group).withKey(key).mustSend()
	h.enroll("sensor-1").cert(first).renewing().withKey(key).mustSend()
	other := h.enroll("sensor-2").basic(group).mustSend()
	h.enroll("sensor-2").cert(other).renewing().withKey(key).refusedAs(registrar.ReasonKeyShared, 403)
	if n := len(h.certificates("")); n != 3 {
		t.Errorf("%d certificates on record, want 3", n)
	}
}

// R9: nor when many ask at once.
func TestAKeyIsOfOneDeviceWhenManyAskAtOnce(t *testing.T) {
	h := newHouse(t, func(h *house) { h.reprofile(func(d *profile.Document) { d.SharedKey = "refuse" }) })
	key := testpki.NewKey(t)
	var wait sync.WaitGroup
	for i := range 8 {
		r := h.enroll(fmt.Sprintf("sensor-%d", i)).basic(group).withKey(key)
		wait.Go(func() { _, _ = r.send() })
	}
	wait.Wait()
	if n := len(h.certificates(registrar.Issued)); n != 1 {
		t.Errorf("%d devices have a certificate of one key", n)
	}
}

// Where the profile says nothing a key may be of several names.
func TestAKeyIsOfSeveralDevicesWhereTheProfileAllowsIt(t *testing.T) {
	h := newHouse(t, nil)
	key := testpki.NewKey(t)
	h.enroll("sensor-1").basic(group).withKey(key).mustSend()
	h.enroll("sensor-2").basic(group).withKey(key).mustSend()
}
