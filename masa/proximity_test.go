package masa_test

import (
	"bytes"
	"crypto/sha256"
	"testing"

	"github.com/briskest/briskest/internal/testpki"
	"github.com/briskest/briskest/masa"
	"github.com/briskest/briskest/voucher"
)

// seen is what a pledge says about the registrar that it was connected to.
type seen struct{ certificate, key, hash *testpki.Identity }

func (s seen) into(r *voucher.Request) {
	r.ProximityRegistrarCert = nil
	if s.certificate != nil {
		r.ProximityRegistrarCert = s.certificate.Certificate.Raw
	}
	if s.key != nil {
		r.ProximityRegistrarPubk = s.key.Certificate.RawSubjectPublicKeyInfo
	}
	if s.hash != nil {
		sum := sha256.Sum256(s.hash.Certificate.RawSubjectPublicKeyInfo)
		r.ProximityRegistrarPubkSHA256 = sum[:]
	}
}

// BRSKI-8366BIS-9.2-01: each leaf by itself. BRSKI-8366BIS-9-02: of several the
// hash counts before the key and the key before the certificate, and that they
// name different keys is on the trail, whatever the outcome.
func TestTheFirstLeafAboutTheRegistrarDecidesAndAConflictIsNoted(t *testing.T) {
	for _, c := range []struct {
		name            string
		seen            func(own, other *testpki.Identity) seen
		taken, conflict bool
	}{
		{"Certificate", func(own, _ *testpki.Identity) seen { return seen{certificate: own} }, true, false},
		{"Key", func(own, _ *testpki.Identity) seen { return seen{key: own} }, true, false},
		{"Hash", func(own, _ *testpki.Identity) seen { return seen{hash: own} }, true, false},
		{"AllOfThem", func(own, _ *testpki.Identity) seen { return seen{own, own, own} }, true, false},
		{"HashBeforeTheOthers", func(own, other *testpki.Identity) seen { return seen{other, other, own} }, true, true},
		{"OtherHashBeforeTheOthers", func(own, other *testpki.Identity) seen { return seen{own, own, other} }, false, true},
		{"KeyBeforeCertificate", func(own, other *testpki.Identity) seen { return seen{certificate: other, key: own} }, true, true},
		{"OtherKeyBeforeCertificate", func(own, other *testpki.Identity) seen { return seen{certificate: own, key: other} }, false, true},
		{"OtherHash", func(_, other *testpki.Identity) seen { return seen{hash: other} }, false, false},
		{"OtherKey", func(_, other *testpki.Identity) seen { return seen{key: other} }, false, false},
		{"None", func(_, _ *testpki.Identity) seen { return seen{} }, false, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := newWorld(t, nil)
			a := w.ask(w.mine, "0123456789abcdef")
			c.seen(w.mine.registrar, w.theirs.registrar).into(a.pledge)
			kind := masa.KindRefused
			if c.taken {
				kind = masa.KindVoucherIssued
				if v, _ := w.voucher(a.bytes(t)); v.Assertion != voucher.Proximity {
					t.Errorf("assertion %q, want proximity", v.Assertion)
				}
			} else {
				w.refused(a.bytes(t), 403, masa.ReasonProximity)
			}
			entries := w.trail(kind)
			if len(entries) != 1 || bytes.Contains(entries[0].Body, []byte(`"proximity_conflict":true`)) != c.conflict {
				t.Errorf("%s on the trail: %+v; want one, and that it tells of a conflict: %t", kind, entries, c.conflict)
			}
		})
	}
}
