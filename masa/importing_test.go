package masa_test

import (
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"strings"
	"testing"
	"time"

	"github.com/briskest/briskest/internal/testpki"
	"github.com/briskest/briskest/masa"
	"github.com/briskest/briskest/masa/storetest"
)

func spkiHash(id *testpki.Identity) []byte {
	sum := sha256.Sum256(id.Certificate.RawSubjectPublicKeyInfo)
	return sum[:]
}

// imports imports rows and returns the report.
func (w *world) imports(rows ...masa.ImportDevice) *masa.ImportReport {
	w.t.Helper()
	report, err := w.service.ImportDevices(w.t.Context(), &masa.Import{Product: "widget", Batch: "2030-01", Devices: rows, By: "test"})
	if err != nil {
		w.t.Fatal(err)
	}
	return report
}

// RFC 8995, Section 5.5.5: a device whose key manufacturing has noted is known
// by it, although its certificate was not imported.
func TestKeyNotedByManufacturingIsHeldAgainstTheDevice(t *testing.T) {
	w := unstarted(t, nil)
	w.memory = storetest.NewMemory()
	w.store = w.memory
	w.start()
	w.imports(masa.ImportDevice{SerialNumber: serial, KeyHash: spkiHash(w.idevid)})
	impostor := w.ask(w.mine, "0123456789abcdef")
	impostor.idevid = w.idevidCA.IDevID(t, serial, "")
	w.refused(impostor.bytes(t), 403, masa.ReasonIDevIDMismatch)
	w.voucher(w.ask(w.mine, "0123456789abcdef").bytes(t))
}

func TestImportAddsWhatItKnowsBetterAndContradictsNothing(t *testing.T) {
	w := newWorld(t, nil) // has the serial number alone
	other := w.idevidCA.IDevID(t, serial, "")
	built := w.at.AddDate(0, -1, 0)
	for _, c := range []struct {
		name    string
		row     masa.ImportDevice
		changed int
		problem string
	}{
		{"ShortHash", masa.ImportDevice{SerialNumber: serial, KeyHash: make([]byte, 20)}, 0, "32 bytes"},
		{"HashOfAnotherKey", masa.ImportDevice{IDevID: w.idevid.Certificate.Raw, KeyHash: spkiHash(other)}, 0, "another key"},
		{"Hash", masa.ImportDevice{SerialNumber: serial, KeyHash: spkiHash(w.idevid), BuiltAt: built}, 1, ""},
		{"HashAgain", masa.ImportDevice{SerialNumber: serial, KeyHash: spkiHash(w.idevid)}, 0, ""},
		{"OtherHash", masa.ImportDevice{SerialNumber: serial, KeyHash: spkiHash(other)}, 0, "another key"},
		{"OtherCertificate", masa.ImportDevice{IDevID: other.Certificate.Raw}, 0, "another key"},
		{"Certificate", masa.ImportDevice{IDevID: w.idevid.Certificate.Raw}, 1, ""},
		{"CertificateAndHash", masa.ImportDevice{IDevID: w.idevid.Certificate.Raw, KeyHash: spkiHash(w.idevid)}, 0, ""},
		{"LongBatch", masa.ImportDevice{SerialNumber: serial, Batch: strings.Repeat("x", 401)}, 0, "batch"},
	} {
		report := w.imports(c.row)
		switch {
		case report.Changed != c.changed || report.Applied != (c.problem == ""):
			t.Errorf("%s: report %+v, want %d changed", c.name, report, c.changed)
		case c.problem != "" && !strings.Contains(report.Problems[0].Problem, c.problem):
			t.Errorf("%s: problem %q, want %q in it", c.name, report.Problems[0].Problem, c.problem)
		}
	}
	d := w.show().Device
	if d.Batch != "2030-01" || !d.BuiltAt.Equal(built) || len(d.IDevID) == 0 || len(d.KeyHash) == 0 {
		t.Errorf("device = %+v, want batch, day, certificate and key", d)
	}
}

// A hash on record without a certificate holds against a certificate too.
func TestKeyOnRecordByItsCertificateHoldsAgainstAHash(t *testing.T) {
	w := newWorld(t, nil)
	w.imports(masa.ImportDevice{IDevID: w.idevid.Certificate.Raw})
	report := w.imports(masa.ImportDevice{SerialNumber: serial, KeyHash: spkiHash(w.idevidCA.IDevID(t, serial, ""))})
	if report.Applied || len(report.Problems) != 1 {
		t.Errorf("report = %+v, want the other key refused", report)
	}
}

// IEEE 802.1AR-2018, Section 8.10.4: the names of an IDevID may be in a
// critical SubjectAltName, which crypto/x509 does not know.
func TestIDevIDWithACriticalHardwareModuleNameIsImported(t *testing.T) {
	w := newWorld(t, nil)
	// otherName hardwareModuleName of RFC 4108, Section 5.
	name, err := asn1.Marshal(struct {
		Names asn1.RawValue
	}{asn1.RawValue{Class: asn1.ClassContextSpecific, Tag: 0, IsCompound: true, Bytes: []byte{
		0x06, 0x08, 0x2b, 0x06, 0x01, 0x05, 0x05, 0x07, 0x08, 0x04, // id-on-hardwareModuleName
		0xa0, 0x09, 0x30, 0x07, 0x06, 0x02, 0x2a, 0x03, 0x04, 0x01, 0x07,
	}}})
	if err != nil {
		t.Fatal(err)
	}
	id := w.idevidCA.Issue(t, &x509.Certificate{
		Subject: pkix.Name{SerialNumber: "HW-1"}, NotAfter: time.Date(9999, 12, 31, 23, 59, 59, 0, time.UTC),
		ExtraExtensions: []pkix.Extension{{Id: asn1.ObjectIdentifier{2, 5, 29, 17}, Critical: true, Value: name}},
	}, testpki.NewKey(t))
	if report := w.imports(masa.ImportDevice{IDevID: id.Certificate.Raw}); report.Added != 1 {
		t.Errorf("report = %+v, want it added", report)
	}
}
