package masa_test

import (
	"bytes"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"fmt"
	"io"
	"net/http"
	"path/filepath"
	"testing"
	"time"

	"github.com/briskest/briskest/brski"
	"github.com/briskest/briskest/internal/testpki"
	"github.com/briskest/briskest/masa"
	"github.com/briskest/briskest/masa/store"
	"github.com/briskest/briskest/masa/storetest"
	"github.com/briskest/briskest/voucher"
	"github.com/briskest/briskest/voucher/vouchercms"
)

// auditLog asks for the audit-log with a registrar's request.
func (w *world) auditLog(raw []byte) *brski.AuditLog {
	w.t.Helper()
	log, err := w.service.RequestAuditLog(w.t.Context(), w.request(raw))
	if err != nil {
		w.t.Fatalf("RequestAuditLog: %v", err)
	}
	return log
}

func domainIDs(log *brski.AuditLog) []string {
	var out []string
	for _, e := range log.Events {
		out = append(out, e.DomainID)
	}
	return out
}

func fingerprint(c *x509.Certificate) string {
	sum := sha256.Sum256(c.RawSubjectPublicKeyInfo)
	return base64.StdEncoding.EncodeToString(sum[:])
}

// BRSKI-8995-5.8.2-01: the subject key identifier of the pinned certificate, or
// the fingerprint of its key where it has none.
func TestDomainIDIsTheKeyIdentifierOrElseTheFingerprint(t *testing.T) {
	w := newWorld(t, nil)
	whole, alone := w.ask(w.mine, "0123456789abcdef"), w.ask(w.mine, "fedcba9876543210")
	alone.chain = nil // the registrar's own certificate is pinned, which has no identifier
	if len(w.mine.registrar.Certificate.SubjectKeyId) > 0 || len(w.mine.root.Certificate.SubjectKeyId) == 0 {
		t.Fatal("the certificates are not as this test needs them")
	}
	w.voucher(whole.bytes(t))
	w.at = w.at.Add(time.Second)
	w.voucher(alone.bytes(t))
	want := []string{base64.StdEncoding.EncodeToString(w.mine.root.Certificate.SubjectKeyId), fingerprint(w.mine.registrar.Certificate)}
	if got := domainIDs(w.auditLog(whole.bytes(t))); len(got) != 2 || got[0] != want[0] || got[1] != want[1] {
		t.Errorf("domainIDs %q, want %q", got, want)
	}
}

// A thief whose CA has the subject key identifier of its victim's would be taken
// for the victim in the audit-log, which is there to give it away.
func TestADomainIDStandsForOneKeyInALog(t *testing.T) {
	for _, thiefFirst := range []bool{true, false} {
		w := newWorld(t, nil)
		thief := &domain{root: testpki.NewRoot(t, "thief")}
		thief.root = thief.root.Issue(t, &x509.Certificate{
			Subject: pkix.Name{CommonName: "forged"}, IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
			SubjectKeyId: w.mine.root.Certificate.SubjectKeyId,
		}, testpki.NewKey(t))
		thief.root.Chain = nil
		thief.registrar = thief.root.Registrar(t, "registrar")
		order := []*domain{w.mine, thief}
		if thiefFirst {
			order = []*domain{thief, w.mine}
		}
		raws := make(map[*domain][]byte)
		for n, d := range order {
			raws[d] = w.ask(d, fmt.Sprintf("0123456789abcde%d", n)).bytes(t)
			w.voucher(raws[d])
			w.at = w.at.Add(time.Second)
		}
		for i, id := range domainIDs(w.auditLog(raws[w.mine])) {
			want := base64.StdEncoding.EncodeToString(w.mine.root.Certificate.SubjectKeyId)
			if order[i] == thief {
				want = fingerprint(thief.root.Certificate)
			}
			if id != want {
				t.Errorf("thief first %t: event %d is of %s, want %s", thiefFirst, i, id, want)
			}
		}
	}
}

// BRSKI-8995-5.8-07: of two devices with the same serial number each has the
// log of its own issuer's, by the pledge's request or by idevid-issuer.
func TestDevicesWithOneSerialNumberHaveTheirOwnLogs(t *testing.T) {
	w := unstarted(t, nil)
	other := testpki.NewRoot(t, "gadget vendor")
	p := w.settings.Products["widget"]
	p.IDevIDAnchors = other.Pool()
	w.settings.Products["gadget"] = p
	w.store = storetest.NewMemory()
	w.start()
	gadget := other.IDevID(t, serial, "")
	for product, cert := range map[string]*testpki.Identity{"widget": w.idevid, "gadget": gadget} {
		if _, err := w.service.ImportDevices(t.Context(), &masa.Import{
			Product: product, Devices: []masa.ImportDevice{{IDevID: cert.Certificate.Raw}},
		}); err != nil {
			t.Fatal(err)
		}
	}
	pledges := []*testpki.Identity{w.idevid, gadget}
	nonce := func(i int) string { return fmt.Sprintf("0123456789abcde%d", i) }
	for i, pledge := range pledges {
		a := w.ask(w.mine, nonce(i))
		a.idevid = pledge
		w.voucher(a.bytes(t))
	}
	for i, pledge := range pledges {
		signed, named := w.ask(w.mine, nonce(i)), w.ask(w.mine, nonce(i))
		signed.idevid, named.idevid = pledge, nil
		var err error
		if named.registrar.IDevIDIssuer, err = voucher.IDevIDIssuer(pledge.Certificate); err != nil {
			t.Fatal(err)
		}
		for how, raw := range map[string][]byte{"the pledge's request": signed.bytes(t), "idevid-issuer": named.bytes(t)} {
			if log := w.auditLog(raw); len(log.Events) != 1 || *log.Events[0].Nonce != nonce(i) {
				t.Errorf("device %d by %s: %s, want its own voucher", i, how, log.Raw)
			}
		}
	}
	neither := w.ask(w.mine, nonce(0))
	neither.idevid = nil
	got, err := w.service.RequestAuditLog(t.Context(), w.request(neither.bytes(t)))
	wantRefusal(t, got != nil, err, 403, masa.ReasonSerialAmbiguous)
	stranger := w.ask(w.theirs, nonce(0))
	stranger.idevid = nil
	got, err = w.service.RequestAuditLog(t.Context(), w.request(stranger.bytes(t)))
	wantRefusal(t, got != nil, err, 404, masa.ReasonNoAuditLog)
}

// BRSKI-8995-5.8-06: who owned the device once reads on, without ever having
// had a voucher. BRSKI-8995-5.8-05: who never did gets to the byte what is said
// of a device that was never built.
func TestFormerOwnersReadOnAndStrangersLearnNothing(t *testing.T) {
	w := newWorld(t, nil)
	w.own(w.mine)
	if _, err := w.service.AddOwner(t.Context(), &masa.OwnerClaim{
		DeviceRef: masa.DeviceRef{SerialNumber: serial}, DomainRef: masa.DomainRef{Certificate: w.theirs.root.Certificate.Raw}, Replace: true, By: "test",
	}); err != nil {
		t.Fatal(err)
	}
	w.voucher(w.ask(w.theirs, "0123456789abcdef").bytes(t))
	if log := w.auditLog(w.ask(w.mine, "fedcba9876543210").bytes(t)); len(log.Events) != 1 {
		t.Errorf("the former owner reads %s, want the new owner's voucher", log.Raw)
	}
	client, stranger := w.serve(), newDomain(t, "stranger")
	unknown := w.ask(stranger, "0123456789abcdef")
	unknown.idevid = w.idevidCA.IDevID(t, "never built", "")
	unknown.pledge.SerialNumber, unknown.registrar.SerialNumber = "never built", "never built"
	var answers []string
	for _, raw := range [][]byte{w.ask(stranger, "0123456789abcdef").bytes(t), unknown.bytes(t)} {
		res, err := client.HTTP.Post(client.URL+"/requestauditlog", vouchercms.MediaType, bytes.NewReader(raw))
		if err != nil {
			t.Fatal(err)
		}
		body, err := io.ReadAll(res.Body)
		if err != nil || res.StatusCode != http.StatusNotFound {
			t.Fatalf("%d %q, %v; want 404", res.StatusCode, body, err)
		}
		_ = res.Body.Close()
		res.Header.Del("Date")
		answers = append(answers, fmt.Sprint(res.Header, string(body)))
	}
	if answers[0] != answers[1] {
		t.Errorf("a stranger is told %q of a device and %q of none", answers[0], answers[1])
	}
}

// RFC 8995, Section 5.8.1: of a thousand domains the newest are there and the
// rest is counted, up to 1024; a domain that asks often pushes nobody out; and
// the answer is the same each time.
func TestOneDomainPushesNobodyOutOfALongLog(t *testing.T) {
	w := unstarted(t, func(s *masa.Settings, p *masa.Product) { s.AuditLogLimit, p.AllowNonceless = 10, true })
	db, err := store.Open(t.Context(), store.Options{Path: filepath.Join(t.TempDir(), "masa.db"), TrailKey: testpki.NewKey(t)})
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	w.store = db
	w.start()
	defer w.service.Close()
	w.importSerial(serial)
	mine := w.ask(w.mine, "0123456789abcdef").bytes(t)
	w.voucher(mine)
	device, err := w.service.Device(t.Context(), masa.DeviceRef{SerialNumber: serial})
	if err != nil {
		t.Fatal(err)
	}
	// flood has a domain get so many vouchers, as if it had asked for them.
	flood := func(d *domain, n int) {
		t.Helper()
		cert := d.root.Certificate
		var c masa.Change
		for i := range n {
			at := w.at.Add(time.Duration(i) * time.Millisecond)
			c.Intents = append(c.Intents, &masa.VoucherRecord{
				ID: masa.NewID(at), Domain: masa.DefaultDomain, DeviceID: device.Device.ID, Assertion: voucher.Logged,
				Nonce: fmt.Sprintf("nonce %s %d", at, i), DomainID: voucher.DomainID(cert), Pinned: cert.Raw,
				PinnedKey: sha256.Sum256(cert.RawSubjectPublicKeyInfo), At: at.Truncate(time.Second),
			})
		}
		c.Issued = c.Intents
		if err := db.Commit(t.Context(), &c); err != nil {
			t.Fatal(err)
		}
	}
	w.at = w.at.Add(time.Minute)
	flood(w.theirs, 1100)
	log := w.auditLog(mine)
	if got, want := w.describe(log), "mine:0 theirs:1024 &{1024 0 0}"; got != want {
		t.Errorf("after one domain's flood: %s, want %s", got, want)
	}
	for range 12 {
		w.at = w.at.Add(time.Minute)
		flood(newDomain(t, "another"), 2)
	}
	log = w.auditLog(mine)
	if tr := log.Truncation; len(log.Events) != 10 || tr.Arbitrary != 1024 || tr.NoncedDuplicates != 10 || tr.NoncelessDuplicates != 0 {
		t.Errorf("after twelve other domains: %d events, %+v; want 10, of each domain one duplicate, and the others arbitrarily left out", len(log.Events), tr)
	}
	if again := w.auditLog(mine); !bytes.Equal(again.Raw, log.Raw) {
		t.Errorf("the same question is answered %s and then %s", log.Raw, again.Raw)
	}
	w.service.Close()
	if _, err := db.VerifyTrail(t.Context()); err != nil {
		t.Errorf("VerifyTrail: %v", err)
	}
}
