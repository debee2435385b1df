package registrar_test

import (
	"bytes"
	"crypto/sha256"
	"crypto/x509"
	"log/slog"
	"strings"
	"testing"

	"github.com/briskest/briskest/brski"
	"github.com/briskest/briskest/registrar"
	"github.com/briskest/briskest/registrar/policy"
	"github.com/briskest/briskest/voucher"
)

// R27; RFC 8995, Section 5.2: a nonce is for one attempt. The same bytes are
// answered with the same voucher, before and after a restart, and another
// request with the nonce is refused whatever became of the first one.
func TestANonceIsAnsweredWithOneVoucher(t *testing.T) {
	for what, answers := range map[string]func(m *fakeMASA){
		"issued": func(*fakeMASA) {}, "refused": func(m *fakeMASA) { m.history = []brski.AuditEvent{entry(strangersDomain, "n1")} }, "unanswered": func(m *fakeMASA) { m.fail = brski.ErrMASAUnavailable },
	} {
		t.Run(what, func(t *testing.T) {
			h := newHouse(t, func(h *house) { h.settings.Manufacturers["acme"].AuditLog.UnknownDomain = registrar.AuditRefuse })
			h.importSerials("SN-1", "SN-2")
			h.masa.set(answers)
			idevid := h.idevidCA.IDevID(t, "SN-1", "")
			first := h.pledge(idevid, nil)
			got, _ := first.send()
			if (got != nil) != (what == "issued") {
				t.Fatalf("the first answer = %v", got)
			}
			again := h.pledge(idevid, func(q *voucher.Request) { q.Nonce = first.q.Nonce })
			asked := h.masa.count()
			again.refusedAs(registrar.ReasonNonceUsed, 403)
			h.service.Close()
			h.start()
			again.refusedAs(registrar.ReasonNonceUsed, 403)
			if what == "issued" {
				if repeated, err := first.send(); err != nil || !bytes.Equal(repeated.Raw, got.Raw) {
					t.Errorf("the same request after a restart: %v", err)
				}
			}
			if what == "unanswered" {
				return // the MASA is being asked still
			}
			if h.masa.count() != asked {
				t.Error("the MASA was asked for a used nonce")
			}
			h.masa.set(func(m *fakeMASA) { m.history = nil })
			other := h.pledge(h.idevidCA.IDevID(t, "SN-2", ""), func(q *voucher.Request) { q.Nonce = first.q.Nonce })
			if _, err := other.send(); err != nil {
				t.Errorf("another device's nonce: %v", err)
			}
		})
	}
}

// BRSKI-8366BIS-9-01: the hash of the key, then the key, then the certificate.
func TestTheFirstWayToNameTheRegistrarDecidesAndAConflictIsLogged(t *testing.T) {
	h := newHouse(t, nil)
	h.importSerials("SN-1")
	idevid := h.idevidCA.IDevID(t, "SN-1", "")
	hash := func(spki []byte) []byte { sum := sha256.Sum256(spki); return sum[:] }
	ours, other := h.registrar.Certificate, h.ca.Certificate
	// The registrar has another certificate for another name, and one with the same key.
	second := h.ca.Registrar(t, "registrar of another name").Certificate
	renewed := h.ca.Issue(t, &x509.Certificate{Subject: ours.Subject, DNSNames: ours.DNSNames, ExtKeyUsage: ours.ExtKeyUsage}, h.registrar.Key).Certificate
	h.settings.TLSCertificates = []*x509.Certificate{ours, second, renewed}
	for _, c := range []struct {
		what               string
		change             func(q *voucher.Request)
		admitted, conflict bool
	}{
		{"hash right, certificate wrong", func(q *voucher.Request) {
			q.ProximityRegistrarPubkSHA256, q.ProximityRegistrarCert = hash(ours.RawSubjectPublicKeyInfo), other.Raw
		}, true, true},
		{"hash wrong, certificate right", func(q *voucher.Request) {
			q.ProximityRegistrarPubkSHA256, q.ProximityRegistrarCert = hash(other.RawSubjectPublicKeyInfo), ours.Raw
		}, false, true},
		{"key right, certificate wrong", func(q *voucher.Request) {
			q.ProximityRegistrarPubk, q.ProximityRegistrarCert = ours.RawSubjectPublicKeyInfo, other.Raw
		}, true, true},
		{"hash wrong, key right", func(q *voucher.Request) {
			q.ProximityRegistrarPubkSHA256, q.ProximityRegistrarPubk = hash(other.RawSubjectPublicKeyInfo), ours.RawSubjectPublicKeyInfo
		}, false, true},
		{"hash right, key wrong", func(q *voucher.Request) {
			q.ProximityRegistrarPubkSHA256, q.ProximityRegistrarPubk = hash(ours.RawSubjectPublicKeyInfo), other.RawSubjectPublicKeyInfo
		}, true, true},
		{"hash of one of ours, another one's certificate", func(q *voucher.Request) {
			q.ProximityRegistrarPubkSHA256, q.ProximityRegistrarCert = hash(ours.RawSubjectPublicKeyInfo), second.Raw
		}, true, true},
		{"hash of a key with two certificates, and the later one", func(q *voucher.Request) {
			q.ProximityRegistrarPubkSHA256, q.ProximityRegistrarCert = hash(ours.RawSubjectPublicKeyInfo), renewed.Raw
		}, true, false},
		{"all right", func(q *voucher.Request) {
			q.ProximityRegistrarPubkSHA256, q.ProximityRegistrarPubk = hash(ours.RawSubjectPublicKeyInfo), ours.RawSubjectPublicKeyInfo
		}, true, false},
		{"all wrong", func(q *voucher.Request) {
			q.ProximityRegistrarPubkSHA256, q.ProximityRegistrarCert = hash(other.RawSubjectPublicKeyInfo), other.Raw
		}, false, false},
	} {
		var log bytes.Buffer
		s, err := registrar.New(registrar.Config{
			Store: h.store, Issuer: h.issuer, Policy: policy.Decide, Settings: h.settings, Now: h.now, Log: slog.New(slog.NewTextHandler(&log, nil)),
		})
		if err != nil {
			t.Fatal(err)
		}
		h.service = s
		a := h.pledge(idevid, c.change)
		if c.admitted {
			if _, err := a.send(); err != nil {
				t.Errorf("%s: %v", c.what, err)
			}
			requested := h.entries(registrar.KindVoucherRequested)
			if got := strings.Contains(string(requested[len(requested)-1].Body), `"proximity_conflict":true`); got != c.conflict {
				t.Errorf("%s: the trail tells of a conflict: %t, want %t", c.what, got, c.conflict)
			}
		} else {
			a.refusedAs(registrar.ReasonProximity, 401)
		}
		s.Close()
		if got := strings.Contains(log.String(), "contradict each other"); got != c.conflict {
			t.Errorf("%s: the log tells of a conflict: %t, want %t", c.what, got, c.conflict)
		}
	}
}
