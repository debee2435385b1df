package masa_test

import (
	"bytes"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"testing"
	"time"

	"github.com/briskest/briskest/internal/testpki"
	"github.com/briskest/briskest/masa"
)

// spoiled returns the identity with another signature on its certificate, which
// no key made.
func spoiled(t *testing.T, id *testpki.Identity) *testpki.Identity {
	t.Helper()
	raw := bytes.Clone(id.Certificate.Raw)
	raw[len(raw)-1] ^= 1
	cert, err := x509.ParseCertificate(raw)
	if err != nil {
		t.Fatal(err)
	}
	return &testpki.Identity{Certificate: cert, Key: id.Key, Chain: id.Chain}
}

func signedMark(idevid, issuer *testpki.Identity) []byte {
	key := sha256.Sum256(issuer.Certificate.RawSubjectPublicKeyInfo)
	mark := sha256.Sum256(append(key[:], idevid.Certificate.Raw...))
	return mark[:]
}

// askOf is a request for the device with that IDevID.
func (w *world) askOf(idevid *testpki.Identity, nonce string) *ask {
	a := w.ask(w.mine, nonce)
	a.idevid = idevid
	a.pledge.SerialNumber = idevid.Certificate.Subject.SerialNumber
	a.registrar.SerialNumber = a.pledge.SerialNumber
	return a
}

// putDevice puts a row on record as it stands.
func (w *world) putDevice(idevid *testpki.Identity, signed []byte) *masa.Device {
	w.t.Helper()
	name := idevid.Certificate.Subject.SerialNumber
	d := &masa.Device{
		ID: name, Domain: masa.DefaultDomain, Product: "widget", SerialNumber: name, State: masa.Known,
		IDevID: idevid.Certificate.Raw, IDevIDSigned: signed, Source: "import", CreatedAt: w.at,
	}
	if err := w.store.Commit(w.t.Context(), &masa.Change{PutDevices: []*masa.Device{d}}); err != nil {
		w.t.Fatal(err)
	}
	return d
}

// signedOnRecord is what is on record about the IDevID of the device.
func (w *world) signedOnRecord(idevid *testpki.Identity) []byte {
	w.t.Helper()
	d, err := w.store.DeviceBySerialNumber(w.t.Context(), masa.DefaultDomain, "widget", idevid.Certificate.Subject.SerialNumber)
	if err != nil {
		w.t.Fatal(err)
	}
	return d.IDevIDSigned
}

// newSeenWorld is one whose MASA has seen the CA of the IDevIDs.
func newSeenWorld(t *testing.T, change func(*masa.Settings, *masa.Product)) *world {
	t.Helper()
	w := newWorld(t, change)
	w.voucher(w.ask(w.mine, "nonce of the first").bytes(t))
	return w
}

// No key made the signature, which shows that nobody looked.
func TestSignatureThatWasVerifiedIsNotVerifiedAgain(t *testing.T) {
	w := newSeenWorld(t, nil)
	device := spoiled(t, w.idevidCA.IDevID(t, "noted", ""))
	w.putDevice(device, signedMark(device, w.idevidCA))
	w.voucher(w.askOf(device, "0123456789abcdef").bytes(t))
}

// RFC 8995, Section 5.5.5: what is on record about another certificate, another
// key or a CA that is not the product's says nothing.
func TestForgedIDevIDIsRefusedWhateverElseIsOnRecord(t *testing.T) {
	w := newSeenWorld(t, nil)
	good := w.idevidCA.IDevID(t, "good", "")
	forged := spoiled(t, w.idevidCA.IDevID(t, "forged", ""))
	thief := testpki.NewRoot(t, "vendor").NewIntermediate(t, "vendor devices") // of the same names
	stolen := thief.IDevID(t, "stolen", "")
	for name, device := range map[string]struct {
		idevid *testpki.Identity
		signed []byte
	}{
		"Nothing":           {forged, nil},
		"OfAnotherIDevID":   {forged, signedMark(good, w.idevidCA)},
		"ByTheRoot":         {forged, signedMark(forged, w.vendor)},
		"ByAnotherCA":       {forged, signedMark(forged, thief)},
		"TrulyByAnotherCA":  {stolen, signedMark(stolen, thief)},
		"AnotherCAsAsOurs":  {stolen, signedMark(forged, w.idevidCA)},
		"Short":             {forged, signedMark(forged, w.idevidCA)[:31]},
		"LongerThanThatIs":  {forged, append(signedMark(forged, w.idevidCA), 0)},
		"OfTheRootsNothing": {stolen, nil},
	} {
		t.Run(name, func(t *testing.T) {
			w.putDevice(device.idevid, device.signed)
			w.refused(w.askOf(device.idevid, "0123456789abcdef").bytes(t), 403, masa.ReasonIDevIDUntrusted)
		})
	}
}

// RFC 8995, Section 5.5.5: a certificate with serial number and subject of one
// on record, made by whoever, is not that one.
func TestForgeryOfAnIDevIDOnRecordIsRefused(t *testing.T) {
	w := newSeenWorld(t, nil)
	good := w.idevidCA.IDevID(t, "good", "")
	w.putDevice(good, signedMark(good, w.idevidCA))
	thief := testpki.NewRoot(t, "vendor").NewIntermediate(t, "vendor devices")
	forged := thief.Issue(t, &x509.Certificate{
		SerialNumber: good.Certificate.SerialNumber, Subject: good.Certificate.Subject, KeyUsage: good.Certificate.KeyUsage,
		AuthorityKeyId: good.Certificate.AuthorityKeyId, NotBefore: good.Certificate.NotBefore, NotAfter: good.Certificate.NotAfter,
	}, testpki.NewKey(t))
	for _, chain := range [][]*x509.Certificate{forged.Chain, good.Chain} {
		forged.Chain = chain
		w.refused(w.askOf(forged, "0123456789abcdef").bytes(t), 403, masa.ReasonIDevIDUntrusted)
	}
	w.refused(w.askOf(spoiled(t, good), "0123456789abcdef").bytes(t), 403, masa.ReasonIDevIDUntrusted)
	w.voucher(w.askOf(good, "0123456789abcdef").bytes(t))
}

func TestImportNotesOnlySignaturesThatItVerified(t *testing.T) {
	w := newSeenWorld(t, nil)
	direct := w.vendor.IDevID(t, "direct", "")               // by the anchor
	below := w.idevidCA.IDevID(t, "below", "")               // by a CA that the import does not know
	forged := spoiled(t, w.idevidCA.IDevID(t, "forged", "")) // by nobody
	report := w.imports(masa.ImportDevice{IDevID: direct.Certificate.Raw}, masa.ImportDevice{IDevID: below.Certificate.Raw},
		masa.ImportDevice{IDevID: forged.Certificate.Raw})
	if !report.Applied {
		t.Fatalf("report %+v", report)
	}
	if got := w.signedOnRecord(direct); !bytes.Equal(got, signedMark(direct, w.vendor)) {
		t.Errorf("of the one by the anchor %x is on record", got)
	}
	for _, id := range []*testpki.Identity{below, forged} {
		if got := w.signedOnRecord(id); got != nil {
			t.Errorf("of %s, which was not verified, %x is on record", id.Certificate.Subject, got)
		}
	}
	w.refused(w.askOf(forged, "0123456789abcdef").bytes(t), 403, masa.ReasonIDevIDUntrusted)
	w.voucher(w.askOf(below, "0123456789abcdef").bytes(t))
	if got := w.signedOnRecord(w.idevid); !bytes.Equal(got, signedMark(w.idevid, w.idevidCA)) {
		t.Errorf("of the one whose IDevID came with its request %x is on record", got)
	}
}

// A list that is imported again, with the issuing CA among the anchors now,
// notes what it verifies.
func TestImportAgainNotesWhatIsVerifiedNow(t *testing.T) {
	w := newWorld(t, nil)
	device := w.idevidCA.IDevID(t, "again", "")
	w.imports(masa.ImportDevice{IDevID: device.Certificate.Raw})
	w.reanchor(w.idevidCA.Pool())
	report := w.imports(masa.ImportDevice{IDevID: device.Certificate.Raw})
	if got := w.signedOnRecord(device); report.Changed != 1 || !bytes.Equal(got, signedMark(device, w.idevidCA)) {
		t.Errorf("report %+v; on record is %x", report, got)
	}
	if report = w.imports(masa.ImportDevice{IDevID: device.Certificate.Raw}); report.Unchanged != 1 {
		t.Errorf("a third time: report %+v, want nothing changed", report)
	}
}

// reanchor reloads the settings with other anchors.
func (w *world) reanchor(anchors *x509.CertPool) {
	w.t.Helper()
	settings := *w.settings
	product := settings.Products["widget"]
	product.IDevIDAnchors = anchors
	settings.Products = map[string]masa.Product{"widget": product}
	if err := w.service.Reload(&settings); err != nil {
		w.t.Fatal(err)
	}
}

func TestAnchorThatIsTakenAwayVouchesForNobodyAnyMore(t *testing.T) {
	w := newSeenWorld(t, nil)
	device := w.vendor.IDevID(t, "device", "")
	w.imports(masa.ImportDevice{IDevID: device.Certificate.Raw})
	w.voucher(w.askOf(device, "nonce number one").bytes(t))
	w.voucher(w.askOf(device, "nonce number two").bytes(t))
	w.reanchor(testpki.NewRoot(t, "vendor").Pool())
	w.refused(w.askOf(device, "nonce number three").bytes(t), 403, masa.ReasonIDevIDUntrusted)
	w.reanchor(w.vendor.Pool())
	w.voucher(w.askOf(device, "nonce number four").bytes(t))
}

// What is remembered of the CA is no substitute for its certificate, and the
// dates of an IDevID are looked at each time.
func TestIDevIDWithAVerifiedSignatureIsCheckedForAllElse(t *testing.T) {
	w := newSeenWorld(t, nil)
	device := w.idevidCA.IDevID(t, "device", "")
	w.putDevice(device, signedMark(device, w.idevidCA))
	alone := *device
	alone.Chain = nil
	w.refused(w.askOf(&alone, "0123456789abcdef").bytes(t), 403, masa.ReasonIDevIDUntrusted)

	short := w.idevidCA.Issue(t, &x509.Certificate{
		Subject: pkix.Name{SerialNumber: "short"}, KeyUsage: x509.KeyUsageDigitalSignature,
		NotBefore: w.at.Add(-time.Hour), NotAfter: w.at.Add(-time.Minute),
	}, testpki.NewKey(t))
	w.putDevice(short, signedMark(short, w.idevidCA))
	w.refused(w.askOf(short, "0123456789abcdef").bytes(t), 403, masa.ReasonIDevIDUntrusted)

	w.voucher(w.askOf(device, "0123456789abcdef").bytes(t))
}

// A CA that says what names may be below it is asked about each:
// RFC 5280, Section 4.2.1.10.
func TestIDevIDBelowACAWithNameConstraintsIsVerifiedEachTime(t *testing.T) {
	w := newWorld(t, nil)
	ca := w.vendor.Issue(t, &x509.Certificate{
		Subject: pkix.Name{CommonName: "of names"}, IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
		PermittedDNSDomains: []string{"example.com"},
	}, testpki.NewKey(t))
	named := func(serial, dns string) *testpki.Identity {
		return ca.Issue(t, &x509.Certificate{
			Subject: pkix.Name{SerialNumber: serial}, DNSNames: []string{dns}, KeyUsage: x509.KeyUsageDigitalSignature,
		}, testpki.NewKey(t))
	}
	inside, outside := named("inside", "a.example.com"), named("outside", "a.example.net")
	for _, d := range []*testpki.Identity{inside, outside} {
		w.putDevice(d, signedMark(d, ca))
	}
	for _, nonce := range []string{"nonce number one", "nonce number two"} {
		w.voucher(w.askOf(inside, nonce).bytes(t))
		w.refused(w.askOf(outside, nonce).bytes(t), 403, masa.ReasonIDevIDUntrusted)
	}
}

// Two products below one vendor: the CA of the one is none of the other.
func TestCAOfOneProductVouchesForNoOther(t *testing.T) {
	w := newSeenWorld(t, func(s *masa.Settings, p *masa.Product) {
		other := *p
		other.IDevIDAnchors = testpki.NewRoot(t, "vendor").Pool()
		s.Products = map[string]masa.Product{"gadget": other, "widget": *p}
	})
	device := w.idevidCA.IDevID(t, "device", "")
	d := w.putDevice(device, signedMark(device, w.idevidCA))
	d.Product = "gadget"
	if err := w.store.Commit(t.Context(), &masa.Change{PutDevices: []*masa.Device{d}}); err != nil {
		t.Fatal(err)
	}
	w.refused(w.askOf(device, "0123456789abcdef").bytes(t), 404, masa.ReasonDeviceUnknown)
}
