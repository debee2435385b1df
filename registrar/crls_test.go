package registrar_test

import (
	"bytes"
	"crypto/sha256"
	"crypto/x509"
	"encoding/asn1"
	"encoding/binary"
	"errors"
	"fmt"
	"maps"
	"math/big"
	"slices"
	"testing"
	"time"

	"github.com/briskest/briskest/ca/localca"
	"github.com/briskest/briskest/ca/profile"
	"github.com/briskest/briskest/internal/testpki"
	"github.com/briskest/briskest/registrar"
	"github.com/briskest/briskest/registrar/storetest"
	"pgregory.net/rapid"
)

const pki = "http://pki.example"

// listed reads a list and checks whose it is.
func listed(t testing.TB, l *registrar.CRL, by *x509.Certificate) *x509.RevocationList {
	t.Helper()
	list, err := x509.ParseRevocationList(l.Raw)
	if err != nil {
		t.Fatal(err)
	}
	if err := list.CheckSignatureFrom(by); err != nil {
		t.Fatal(err)
	}
	return list
}

func reasonsOf(list *x509.RevocationList) map[string]int {
	out := map[string]int{}
	for _, e := range list.RevokedCertificateEntries {
		out[string(e.SerialNumber.Bytes())] = e.ReasonCode
	}
	return out
}

func (h *house) crl(scope registrar.CRLScope) *x509.RevocationList {
	h.t.Helper()
	l, err := h.service.CRL(h.t.Context(), "", scope)
	if err != nil {
		h.t.Fatalf("CRL(%+v): %v", scope, err)
	}
	return listed(h.t, l, h.ca.Certificate)
}

func (h *house) revokeFor(cert *x509.Certificate, reason int) {
	h.t.Helper()
	_, err := h.service.Revoke(h.t.Context(), &registrar.RevokeRequest{Actor: "test", CertificateRef: registrar.CertificateRef{Serial: cert.SerialNumber.Bytes()}, Reason: reason})
	check(h.t, err)
}

func (h *house) release(cert *x509.Certificate) {
	h.t.Helper()
	_, err := h.service.Release(h.t.Context(), &registrar.RevokeRequest{Actor: "test", CertificateRef: registrar.CertificateRef{Serial: cert.SerialNumber.Bytes()}})
	check(h.t, err)
}

func withLists(count int, deltas bool) func(h *house) {
	return func(h *house) { h.settings.Lists = registrar.Lists{URL: pki, Partitions: count, Deltas: deltas} }
}

// EST-5280-5.2.3-01, EST-5280-5.1-01: numbers rise, from list to list, from delta to list, after a restart, and
// after the record was set back; every list has its number, nextUpdate and the key of its issuer.
func TestNumbersOfListsRiseWhateverHappens(t *testing.T) {
	h := newHouse(t, withLists(4, true))
	last := big.NewInt(0)
	next := func(scope registrar.CRLScope) {
		t.Helper()
		l, err := h.service.SignCRL(t.Context(), "", "test", scope)
		check(t, err)
		list := listed(t, l, h.ca.Certificate)
		if list.Number.Cmp(last) <= 0 || len(list.Number.Bytes()) > 20 {
			t.Errorf("%+v: number %v after %v", scope, list.Number, last)
		}
		if !list.NextUpdate.After(list.ThisUpdate) || !bytes.Equal(list.AuthorityKeyId, h.ca.Certificate.SubjectKeyId) {
			t.Errorf("%+v: %s to %s, key %x", scope, list.ThisUpdate, list.NextUpdate, list.AuthorityKeyId)
		}
		last = list.Number
	}
	full, delta := registrar.CRLScope{Count: 4, Index: 2}, registrar.CRLScope{Count: 4, Index: 2, Delta: true}
	for range 3 { // within a second
		next(full)
		next(delta)
		next(delta)
	}
	h.service.Close() // it reads h.reads, which is changed below
	h.start()
	next(full)
	h.advance(time.Hour)
	next(delta)
	h.service.Close()
	h.store = storetest.NewMemory() // as after a restore of a backup
	h.reads.Store = h.store
	h.start()
	h.advance(time.Second)
	next(full)
}

// EST-5280-5.3-01: an entry stays until a list after the certificate's end has had it.
func TestARevokedCertificateStaysUntilAListAfterItsEnd(t *testing.T) {
	h := newHouse(t, nil)
	cert, _ := h.enrolled("sensor-7")
	h.revokeFor(cert, 4)
	has := func() bool {
		return slices.ContainsFunc(h.crl(registrar.CRLScope{}).RevokedCertificateEntries, func(e x509.RevocationListEntry) bool {
			return e.SerialNumber.Cmp(cert.SerialNumber) == 0
		})
	}
	h.clock.Store(cert.NotAfter.Add(-time.Hour).UnixNano())
	if !has() {
		t.Error("before its end it is missing")
	}
	h.clock.Store(cert.NotAfter.Add(5 * 24 * time.Hour).UnixNano())
	if !has() {
		t.Error("the first list after its end does not have it")
	}
	h.advance(30 * 24 * time.Hour)
	has() // a list that was signed long after its end
	h.advance(30 * 24 * time.Hour)
	if has() {
		t.Error("it is there for ever")
	}
}

// RFC 5280, Section 5.2.4: whoever has a list and its delta knows what a list of now says.
func TestADeltaMakesAnOldListANewOne(t *testing.T) {
	h := newHouse(t, withLists(1, true))
	var certs []*x509.Certificate
	for n := range 6 {
		cert, _ := h.enrolled(fmt.Sprint("sensor-", n))
		certs = append(certs, cert)
	}
	h.revokeFor(certs[0], 1)
	h.revokeFor(certs[1], registrar.ReasonHold)
	h.revokeFor(certs[2], registrar.ReasonHold)
	old := h.crl(registrar.CRLScope{})
	h.advance(time.Hour)
	h.release(certs[1])
	h.revokeFor(certs[3], 4)
	h.revokeFor(certs[4], registrar.ReasonHold)
	between := h.crl(registrar.CRLScope{})
	h.advance(time.Hour)
	h.release(certs[4])
	h.revokeFor(certs[2], 4)
	delta := h.crl(registrar.CRLScope{Delta: true})
	now := reasonsOf(h.crl(registrar.CRLScope{}))
	for what, base := range map[string]*x509.RevocationList{"the oldest list": old, "a list between": between} {
		if baseNumber(t, delta).Cmp(base.Number) > 0 {
			t.Errorf("the delta is to %v and cannot be applied to %s, %v", baseNumber(t, delta), what, base.Number)
		}
		got := reasonsOf(base)
		for serial, reason := range reasonsOf(delta) {
			if got[serial] = reason; reason == registrar.ReasonRelease {
				delete(got, serial)
			}
		}
		if !maps.Equal(got, now) {
			t.Errorf("%s with the delta: %v, want %v", what, got, now)
		}
	}
	if !delta.NextUpdate.Before(old.NextUpdate) {
		t.Error("the delta lives as long as a full list")
	}
	h.advance(6 * 24 * time.Hour)
	h.crl(registrar.CRLScope{})
	h.advance(3 * 24 * time.Hour) // the oldest list has ended
	if got := baseNumber(t, h.crl(registrar.CRLScope{Delta: true})); got.Cmp(old.Number) <= 0 {
		t.Errorf("the delta is to a list that has ended, %v", got)
	}
}

func baseNumber(t *testing.T, list *x509.RevocationList) *big.Int {
	t.Helper()
	for _, e := range list.Extensions {
		if e.Id.Equal(asn1.ObjectIdentifier{2, 5, 29, 27}) {
			var n *big.Int
			if _, err := asn1.Unmarshal(e.Value, &n); err != nil || !e.Critical {
				t.Fatalf("delta CRL indicator: %v, critical %t", err, e.Critical)
			}
			return n
		}
	}
	t.Fatal("no delta")
	return nil
}

// Every count that certificates name stays servable; others are not to be had.
func TestListsOfEveryCountThatWasUsedAreServed(t *testing.T) {
	h := newHouse(t, withLists(4, false))
	cert, _ := h.enrolled("sensor-7")
	h.revokeFor(cert, 1)
	h.settings.Lists.Partitions = 16
	check(t, h.service.Reload(h.settings))
	h.start()
	sum := sha256.Sum256(cert.SerialNumber.Bytes())
	for _, count := range []int{1, 4, 16} {
		for index := range count {
			got := len(h.crl(registrar.CRLScope{Count: count, Index: index}).RevokedCertificateEntries)
			want := 0
			if int(binary.BigEndian.Uint16(sum[:]))*count>>16 == index {
				want = 1
			}
			if got != want {
				t.Errorf("list %d of %d has %d entries, want %d", index, count, got, want)
			}
		}
	}
	for _, scope := range []registrar.CRLScope{{Count: 8}, {Count: 4, Index: 4}, {Count: 3}, {Count: 1 << 17}, {Count: 4, Index: -1}, {Count: -4}, {Authority: "other"}, {Delta: true}} {
		if l, err := h.service.CRL(t.Context(), "", scope); !errors.Is(err, registrar.ErrNotFound) {
			t.Errorf("CRL(%+v) = %v, %v, want ErrNotFound", scope, l, err)
		}
	}
}

// Partitions cost nothing until somebody asks for one.
func TestAPartitionIsSignedWhenItIsAskedFor(t *testing.T) {
	h := newHouse(t, withLists(1024, false))
	h.crl(registrar.CRLScope{Count: 1024, Index: 1023})
	h.crl(registrar.CRLScope{Count: 1024, Index: 1023})
	if n := len(h.entries(registrar.KindCRLSigned)); n != 1 {
		t.Errorf("%d lists were signed, want 1", n)
	}
}

// EST-6960-4.2.2.2-01: the certificate of the OCSP responder is issued by the CA's own key, and on record.
func TestTheRespondersCertificateIsOnRecord(t *testing.T) {
	h := newHouse(t, nil)
	responder, err := h.issuer.WithProfiles(map[string]*profile.Profile{registrar.ResponderProfile: mustProfile(t, profile.OCSPResponder())})
	check(t, err)
	h.settings.Lists.Authorities = []*registrar.Authority{{Issuer: registrar.DefaultIssuer, Certificate: h.ca.Certificate, Lists: h.issuer, Responder: responder}}
	check(t, h.service.Reload(h.settings))
	key := testpki.NewKey(t)
	id := registrar.AuthorityOf(h.ca.Certificate)
	for range 2 { // as after a restart
		raw, err := h.service.CertifyResponder(t.Context(), id, key.Public())
		check(t, err)
		cert, err := x509.ParseCertificate(raw)
		check(t, err)
		check(t, cert.CheckSignatureFrom(h.ca.Certificate))
		if !slices.Contains(cert.ExtKeyUsage, x509.ExtKeyUsageOCSPSigning) {
			t.Error("it is not for OCSP")
		}
		state, err := h.service.CertificateState(t.Context(), id, cert.SerialNumber.Bytes())
		if err != nil || !state.Issued {
			t.Errorf("it is not on record: %+v, %v", state, err)
		}
	}
	if _, err := h.service.CertifyResponder(t.Context(), "other", key.Public()); !errors.Is(err, registrar.ErrNotFound) {
		t.Errorf("of another CA: %v", err)
	}
}

func mustProfile(t testing.TB, d *profile.Document) *profile.Profile {
	t.Helper()
	p, err := profile.New(d)
	check(t, err)
	return p
}

// R12: whatever is issued, revoked, held, released, signed, rolled over and restarted, in whatever order and at whatever
// time: each revoked certificate that has not ended is on the lists of its CA, in the partition that its serial number says,
// and on no other; and who follows full lists and deltas knows the same.
func TestEveryRevokedCertificateIsOnItsListsWhateverHappens(t *testing.T) {
	everyListIsWhole(t, func(*rapid.T, *house) (registrar.Store, func()) { return storetest.NewMemory(), func() {} })
}

// everyListIsWhole runs sequences, each on a store of its own that begin makes and end takes away.
func everyListIsWhole(t *testing.T, begin func(rt *rapid.T, h *house) (s registrar.Store, end func())) {
	t.Helper()
	h := newHouse(t, withLists(4, true))
	h.service.Close() // each sequence has services and a store of its own
	seen := 0
	rapid.Check(t, func(rt *rapid.T) {
		fresh, end := begin(rt, h)
		defer end()
		h.reads.Store = fresh
		h.clock.Store(time.Now().Truncate(time.Second).UnixNano())
		h.settings.Lists.Authorities = nil
		h.settings.Lists.Partitions = 4
		w := &listWorld{t: rt, house: h, status: map[string]*listedCert{}, followed: map[registrar.CRLScope]map[string]int{}}
		defer w.stop()
		w.rollOver()
		rt.Repeat(w.actions())
		seen += len(w.status)
	})
	if seen == 0 {
		t.Error("nothing was issued")
	}
}

// actions are what may happen.
func (w *listWorld) actions() map[string]func(*rapid.T) {
	return map[string]func(*rapid.T){
		"issue":   func(rt *rapid.T) { w.issue(rapid.IntRange(1, 60).Draw(rt, "days")) },
		"revoke":  func(rt *rapid.T) { w.move(rt, rapid.SampledFrom([]int{0, 1, 4, 5, 9}).Draw(rt, "reason")) },
		"hold":    func(rt *rapid.T) { w.move(rt, registrar.ReasonHold) },
		"release": func(rt *rapid.T) { w.move(rt, registrar.ReasonRelease) },
		"wait": func(rt *rapid.T) {
			w.advance(time.Duration(rapid.IntRange(1, 20*24*3600).Draw(rt, "seconds")) * time.Second)
		},
		"follow":  func(*rapid.T) { w.follow() },
		"restart": func(*rapid.T) { w.restart() },
		"roll over": func(*rapid.T) {
			if len(w.cas) < 3 {
				w.rollOver()
			}
		},
		"split": func(rt *rapid.T) {
			w.settings.Lists.Partitions = rapid.SampledFrom([]int{1, 2, 4, 8}).Draw(rt, "partitions")
			w.restart()
		},
		"": func(*rapid.T) { w.check() },
	}
}

// listedCert is what the test knows of a certificate.
type listedCert struct {
	serial   []byte
	ca       string
	reason   int // -1: good
	notAfter time.Time
}

// listWorld is one run of the property test.
type listWorld struct {
	*house
	t        *rapid.T
	service  *registrar.Service
	cas      []*registrar.Authority
	status   map[string]*listedCert
	order    []string
	followed map[registrar.CRLScope]map[string]int // by full scope: what a client that takes deltas knows
}

func (w *listWorld) must(err error) {
	if err != nil {
		w.t.Fatalf("%v", err)
	}
}

// rollOver puts another CA in the place of the one there is.
func (w *listWorld) rollOver() {
	id := w.root.NewIntermediate(w.house.t, fmt.Sprint("house CA ", len(w.cas)))
	p, err := profile.New(profile.Device())
	w.must(err)
	issuer, err := localca.New(localca.Config{
		Certificate: id.Certificate, Chain: id.Chain, Key: id.Key, Profiles: map[string]*profile.Profile{"device": p}, Now: w.now,
	})
	w.must(err)
	w.issuer = issuer
	w.cas = append(w.cas, &registrar.Authority{Issuer: registrar.DefaultIssuer, Certificate: id.Certificate, Lists: issuer})
	w.settings.Lists.Authorities = w.cas
	w.restart()
}

func (w *listWorld) restart() {
	w.stop()
	w.house.start()
	w.service = w.house.service
}

func (w *listWorld) stop() {
	if w.service != nil {
		w.service.Close()
	}
}

func (w *listWorld) issue(days int) {
	n := len(w.order) + 1
	a := w.cas[len(w.cas)-1]
	serial := sha256.Sum256(fmt.Append(nil, "serial ", n))
	serial[0] = serial[0]&0x7f | 1
	row := &registrar.Certificate{
		Domain: registrar.DefaultDomain, ID: fmt.Sprintf("%032x", n), Issuer: registrar.DefaultIssuer, Authority: a.ID(), Serial: serial[:16],
		DeviceID: fmt.Sprintf("%032x", 1), Status: registrar.Intended, KeyHash: sha256.Sum256(serial[:]), TBSHash: serial,
		NotBefore: w.now(), NotAfter: w.now().Add(time.Duration(days) * 24 * time.Hour), IntendedAt: w.now(),
	}
	device := &registrar.Device{ID: row.DeviceID, Domain: row.Domain, SerialNumber: "all", State: registrar.Enrolled, CreatedAt: w.now()}
	w.must(w.reads.Commit(w.house.t.Context(), &registrar.Change{PutDevices: []*registrar.Device{device}, Intents: []*registrar.Certificate{row}}))
	issued := *row
	issued.Status, issued.Raw, issued.IssuedAt = registrar.Issued, serial[:], w.now()
	w.must(w.reads.Commit(w.house.t.Context(), &registrar.Change{Issued: []*registrar.Certificate{&issued}}))
	w.status[row.ID] = &listedCert{serial: row.Serial, ca: a.ID(), reason: -1, notAfter: row.NotAfter}
	w.order = append(w.order, row.ID)
}

func (w *listWorld) move(t *rapid.T, reason int) {
	if len(w.order) == 0 {
		return
	}
	id := rapid.SampledFrom(w.order).Draw(t, "certificate")
	c := w.status[id]
	r := &registrar.RevokeRequest{Actor: "test", CertificateRef: registrar.CertificateRef{ID: id}, Reason: reason}
	var err error
	if reason == registrar.ReasonRelease {
		if _, err = w.service.Release(w.house.t.Context(), r); (err == nil) != (c.reason == registrar.ReasonHold) {
			w.t.Fatalf("Release of one with reason %d: %v", c.reason, err)
		}
		if err == nil {
			c.reason = -1
		}
		return
	}
	_, err = w.service.Revoke(w.house.t.Context(), r)
	w.must(err)
	if c.reason == -1 || c.reason == registrar.ReasonHold && reason != registrar.ReasonHold {
		c.reason = reason
	}
}

// sign returns the entries of a new list.
func (w *listWorld) sign(scope registrar.CRLScope, by *registrar.Authority) map[string]int {
	l, err := w.service.SignCRL(w.house.t.Context(), "", "test", scope)
	w.must(err)
	return reasonsOf(listed(w.house.t, l, by.Certificate))
}

// follow has the client take a full list of each scope that it has none of.
func (w *listWorld) follow() {
	for _, a := range w.cas {
		scope := registrar.CRLScope{Authority: a.ID(), Count: 1}
		w.followed[scope] = w.sign(scope, a)
	}
}

// expect compares entries with what has to be in them, and must not be.
func (w *listWorld) expect(what string, got map[string]int, a *registrar.Authority, count, index int) {
	for id, c := range w.status {
		sum := sha256.Sum256(c.serial)
		here := c.ca == a.ID() && int(binary.BigEndian.Uint16(sum[:]))*count>>16 == index
		reason, there := got[string(c.serial)]
		switch {
		case here && c.reason >= 0 && w.now().Before(c.notAfter) && (!there || reason != c.reason):
			w.t.Fatalf("%s lacks %s, which is revoked for reason %d, or says %d", what, id, c.reason, reason)
		case there && (!here || c.reason < 0):
			w.t.Fatalf("%s has %s, which is not revoked or not its own", what, id)
		}
	}
}

func (w *listWorld) check() {
	for _, a := range w.cas {
		for _, count := range []int{1, w.settings.Lists.Partitions} {
			for index := range count {
				scope := registrar.CRLScope{Authority: a.ID(), Count: count, Index: index}
				w.expect(fmt.Sprintf("list %d of %d", index, count), w.sign(scope, a), a, count, index)
			}
		}
		whole := registrar.CRLScope{Authority: a.ID(), Count: 1}
		if known := w.followed[whole]; known != nil {
			delta := whole
			delta.Delta = true
			l, err := w.service.SignCRL(w.house.t.Context(), "", "test", delta)
			w.must(err)
			got := maps.Clone(known)
			for serial, reason := range reasonsOf(listed(w.house.t, l, a.Certificate)) {
				if got[serial] = reason; reason == registrar.ReasonRelease {
					delete(got, serial)
				}
			}
			w.followed[whole] = got
			w.expect("the client with deltas", got, a, 1, 0)
		}
	}
	w.advance(time.Second)
}
