package inventory_test

import (
	"bytes"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/base64"
	"encoding/csv"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/briskest/briskest/brski"
	"github.com/briskest/briskest/ca/catest"
	"github.com/briskest/briskest/internal/manifest"
	"github.com/briskest/briskest/internal/testpki"
	"github.com/briskest/briskest/internal/trail"
	"github.com/briskest/briskest/registrar"
	"github.com/briskest/briskest/registrar/inventory"
	"github.com/briskest/briskest/registrar/storetest"
	"github.com/briskest/briskest/voucher"
	"github.com/briskest/briskest/voucher/vouchercms"
)

// house is a registrar that knows one manufacturer.
type house struct {
	store    *storetest.Memory
	service  *registrar.Service
	settings *registrar.Settings
	maker    *testpki.Identity
}

func newHouse(t testing.TB) *house {
	t.Helper()
	h := &house{store: storetest.NewMemory(), maker: testpki.NewRoot(t, "maker")}
	var err error
	own := h.maker.Registrar(t, "registrar")
	h.settings = &registrar.Settings{Version: "1", Signer: &voucher.Signer{Key: own.Key, Certificate: own.Certificate, Chain: own.Chain}, Formats: []voucher.Format{vouchercms.Format{}},
		DialMASA: func(*registrar.Manufacturer, string) (brski.MASA, error) { return nil, errors.New("no MASA here") }, Manufacturers: map[string]*registrar.Manufacturer{"acme": {
			IDevIDAnchors: h.maker.Pool(), VoucherAnchors: h.maker.Pool(), MASAURL: "https://masa.example",
		}}}
	h.service, err = registrar.New(registrar.Config{
		Store: h.store, Issuer: catest.NewMemory(t),
		Policy:   func(*registrar.Settings, *registrar.Case) *registrar.Decision { return nil },
		Settings: h.settings,
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(h.service.Close)
	return h
}

func (h *house) importer() *inventory.Importer {
	return &inventory.Importer{Import: h.service.ImportDevices, Actor: "cli:me", Manufacturer: "acme", Anchors: h.maker.Pool()}
}

// imported imports the text, which has to succeed.
func (h *house) imported(t *testing.T, text string) *inventory.Report {
	t.Helper()
	report, err := h.importer().Run(t.Context(), strings.NewReader(text), "/home/me/list")
	if err != nil {
		t.Fatalf("Run = %+v, %v", report, err)
	}
	return report
}

// devices are those on record by serial number.
func (h *house) devices(t *testing.T) map[string]*registrar.Device {
	t.Helper()
	out := map[string]*registrar.Device{}
	q := &registrar.DeviceQuery{WithIDevID: true}
	for more := true; more; more = q.After != "" {
		page, err := h.service.QueryDevices(t.Context(), q)
		if err != nil {
			t.Fatal(err)
		}
		for _, d := range page.Devices {
			out[d.SerialNumber] = d
		}
		q.After = page.Next
	}
	return out
}

// idevid is a certificate with a HardwareModuleName.
func (h *house) idevid(t testing.TB, serial string, module ...byte) []byte {
	t.Helper()
	template := &x509.Certificate{Subject: pkix.Name{SerialNumber: serial}}
	if len(module) > 0 {
		value, err := asn1.Marshal(struct {
			Type   asn1.ObjectIdentifier
			Serial []byte
		}{asn1.ObjectIdentifier{1, 3, 6, 1, 4, 1, 99, 7}, module})
		if err != nil {
			t.Fatal(err)
		}
		other, err := asn1.Marshal(struct {
			Type  asn1.ObjectIdentifier
			Value asn1.RawValue
		}{asn1.ObjectIdentifier{1, 3, 6, 1, 5, 5, 7, 8, 4}, asn1.RawValue{Class: 2, Tag: 0, IsCompound: true, Bytes: value}})
		if err != nil {
			t.Fatal(err)
		}
		var name asn1.RawValue
		if _, err := asn1.Unmarshal(other, &name); err != nil {
			t.Fatal(err)
		}
		san, err := asn1.Marshal([]asn1.RawValue{{Class: 2, Tag: 0, IsCompound: true, Bytes: name.Bytes}})
		if err != nil {
			t.Fatal(err)
		}
		template.ExtraExtensions = []pkix.Extension{{Id: asn1.ObjectIdentifier{2, 5, 29, 17}, Value: san}}
	}
	return h.maker.Issue(t, template, testpki.NewKey(t)).Certificate.Raw
}

// M25: the same devices come from CSV, JSON lines, PEM and a signed manifest.
func TestDevicesComeFromFilesOfEveryFormat(t *testing.T) {
	h := newHouse(t)
	der := h.idevid(t, "P-1", 0xca, 0xfe)
	text := string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}))
	lines := `{"serial_number":"M-1","model":"x","attribute.site":"north"}` + "\n"
	signer := h.maker.Issue(t, &x509.Certificate{Subject: pkix.Name{CommonName: "line 4"}}, testpki.NewKey(t))
	signed, err := manifest.Sign("acme", time.Now(), []byte(lines), signer.Key, []*x509.Certificate{signer.Certificate})
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		text, format string
		want         registrar.Device
	}{
		"CSV": {"serial_number,Model,firmware,batch,hardware_module,secure_element,tpm,attribute.Site,attributes\n" +
			"C-1,m,1.2,b,1.2.3:0A,se," + strings.Repeat("AB", 32) + ",north,\"{\"\"floor\"\":\"\"2\"\"}\"\n", inventory.CSV, registrar.Device{
			SerialNumber: "C-1", Model: "m", Firmware: "1.2", Batch: "b", HardwareModule: "1.2.3:0a", SecureElement: "se",
			TPM: strings.Repeat("ab", 32), Attributes: map[string]string{"Site": "north", "floor": "2"},
		}},
		"plain": {"# delivery 7\nL-1\n", inventory.CSV, registrar.Device{SerialNumber: "L-1"}},
		"JSON lines": {`{"serial_number":"J-1","idevid":null,"batch":"b","attribute.site":"'=north"}`, inventory.JSONLines, registrar.Device{
			SerialNumber: "J-1", Batch: "b", Attributes: map[string]string{"site": "'=north"},
		}},
		"PEM":      {text, inventory.PEM, registrar.Device{SerialNumber: "P-1", IDevID: der, HardwareModule: "1.3.6.1.4.1.99.7:cafe"}},
		"manifest": {string(signed), inventory.Manifest, registrar.Device{SerialNumber: "M-1", Model: "x", Attributes: map[string]string{"site": "north"}}},
	} {
		t.Run(name, func(t *testing.T) {
			report := h.imported(t, c.text)
			if report.Format != c.format || report.Rows != 1 || report.Added != 1 || report.SHA256 != fmt.Sprintf("%x", sha256.Sum256([]byte(c.text))) {
				t.Errorf("report = %+v", report)
			}
			d := h.devices(t)[c.want.SerialNumber]
			if d == nil {
				t.Fatal("the device is not on record")
			}
			got := *d
			got.ID, got.CreatedAt = "", time.Time{}
			c.want.Domain, c.want.Manufacturer, c.want.State, c.want.Source = "default", "acme", registrar.Expected, "import"
			if fmt.Sprintf("%+v", got) != fmt.Sprintf("%+v", c.want) {
				t.Errorf("device = %+v\nwant     %+v", got, c.want)
			}
		})
	}
}

// M14: rows are many transactions, each with one entry that has the file's hash
// and the root over its rows, and importing again changes nothing.
func TestEachBatchHasOneEntryWithTheFilesHashAndTheRowsRoot(t *testing.T) {
	h := newHouse(t)
	const n = inventory.BatchRows + 10
	var text strings.Builder
	var first trail.Edge
	for i := range n {
		fmt.Fprintf(&text, "SN-%05d\n", i)
		if i < inventory.BatchRows {
			first.Append([]byte(fmt.Sprintf(`{"serial_number":"SN-%05d"}`, i)))
		}
	}
	if report := h.imported(t, text.String()); report.Added != n || report.Batches != 2 {
		t.Errorf("report = %+v", report)
	}
	entries, err := h.store.TrailEntries(t.Context(), "default", "", 0, 100)
	if err != nil || len(entries) != 2 {
		t.Fatalf("%d entries, %v; want 2", len(entries), err)
	}
	root, sum := first.Root(), sha256.Sum256([]byte(text.String()))
	want := fmt.Sprintf(`{"manufacturer":"acme","added":%d,"changed":0,"known":0,"first":"SN-00000","last":"SN-01999","file":"list","format":"csv","file_sha256":"%x","rows_root":"%x","row":1,"rows":%d}`,
		inventory.BatchRows, sum, root, inventory.BatchRows)
	if string(entries[0].Body) != want || entries[0].Kind != registrar.KindDevicesImported {
		t.Errorf("entry = %s %s\nwant %s", entries[0].Kind, entries[0].Body, want)
	}
	if report := h.imported(t, text.String()); report.Added != 0 || report.Known != n || report.Changed != 0 {
		t.Errorf("report of the second import = %+v", report)
	}
	if entries, err = h.store.TrailEntries(t.Context(), "default", "", 0, 100); err != nil || len(entries) != 2 {
		t.Errorf("%d entries after the second import, %v; want 2", len(entries), err)
	}
}

// M40: all rows or none, with what is wrong with each, and a dry run changes nothing.
func TestAFileWithAProblemIsReportedAndNothingOfItImported(t *testing.T) {
	h := newHouse(t)
	stranger := testpki.NewRoot(t, "x").IDevID(t, "SN-9", "").Certificate.Raw
	var text strings.Builder
	text.WriteString("serial_number,tpm,hardware_module,manufacturer,idevid,attribute.x,attributes\n")
	for i := range inventory.BatchRows + 1 {
		fmt.Fprintf(&text, "SN-%d\n", i)
	}
	for _, bad := range []string{
		"SN-5", // two batches away
		"A-1,00ff", "A-2,,1.2.3", "A-3,,,other", "A-4,,,,%%%", "A-5,,,," + base64.StdEncoding.EncodeToString(stranger), "\"A\n6\"",
		"A-7,,,,,\"" + strings.Repeat("v", 257) + "\"", "A-8,,,,,,[]", "A-9,,,,,\xff", "\u202eA-10", ",,,,,v",
	} {
		text.WriteString(bad + "\n")
	}
	report, err := h.importer().Run(t.Context(), strings.NewReader(text.String()), "list")
	if !errors.Is(err, inventory.ErrProblems) || report.Bad < 11 || len(h.devices(t)) != 0 {
		t.Errorf("Run = %d bad, %v; %d devices on record", report.Bad, err, len(h.devices(t)))
	}
	if p := report.Problems[0]; p.SerialNumber != "SN-5" || p.Line != inventory.BatchRows+3 || p.Text != "is there twice" {
		t.Errorf("first problem = %+v", p)
	}
	im := h.importer()
	im.DryRun = true
	if report, err := im.Run(t.Context(), strings.NewReader("SN-1\nSN-2\n"), "list"); err != nil || report.Added != 2 || len(h.devices(t)) != 0 {
		t.Errorf("dry run = %+v, %v; %d devices on record", report, err, len(h.devices(t)))
	}
}

func TestAnImportCompletesWhatIsOnRecordAndLeavesTheRest(t *testing.T) {
	h := newHouse(t)
	h.imported(t, "serial_number,model,attribute.a,attribute.b\nSN-1,m,1,2\nSN-2,m\n")
	d := *h.devices(t)["SN-1"]
	d.State, d.Group = registrar.Enrolled, "pumps"
	if err := h.store.Commit(t.Context(), &registrar.Change{PutDevices: []*registrar.Device{&d}}); err != nil {
		t.Fatal(err)
	}
	report := h.imported(t, "serial_number,firmware,attribute.b\nSN-1,2.0,3\nSN-2\nSN-3\n")
	if report.Added != 1 || report.Known != 2 || report.Changed != 1 {
		t.Errorf("report = %+v", report)
	}
	got := h.devices(t)["SN-1"]
	if got.State != registrar.Enrolled || got.Model != "m" || got.Firmware != "2.0" || got.Attributes["a"] != "1" || got.Attributes["b"] != "3" {
		t.Errorf("device = %+v", got)
	}
}

// A manifest that nobody who may has signed, or that was changed, or is for others.
func TestAManifestOfNobodyIsRefused(t *testing.T) {
	h := newHouse(t)
	signer := h.maker.Issue(t, &x509.Certificate{Subject: pkix.Name{CommonName: "line 4"}}, testpki.NewKey(t))
	stranger := testpki.NewRoot(t, "x")
	lines := []byte(`{"serial_number":"M-1"}`)
	sign := func(manufacturer string, by *testpki.Identity) string {
		m, err := manifest.Sign(manufacturer, time.Now(), lines, by.Key, []*x509.Certificate{by.Certificate})
		if err != nil {
			t.Fatal(err)
		}
		return string(m)
	}
	good := sign("acme", signer)
	other, err := manifest.Sign("acme", time.Now(), lines, signer.Key, nil)
	if err != nil {
		t.Fatal(err)
	}
	swapped, err := manifest.Sign("acme", time.Now(), lines, stranger.Key, []*x509.Certificate{signer.Certificate})
	if err != nil {
		t.Fatal(err)
	}
	payload := base64.RawURLEncoding.EncodeToString([]byte(`{"version":"1","manufacturer":"acme","created_at":"x","devices":[{"serial_number":"M-2"}]}`))
	cut := strings.Index(good, `","signatures"`)
	for name, text := range map[string]string{
		"stranger": sign("acme", stranger), "another manufacturer": sign("other", signer), "no certificate": string(other), "another key": string(swapped),
		"another payload": `{"payload":"` + payload + good[cut:], "cut": good[:len(good)-10], "empty": `{"payload":"","signatures":[]}`,
	} {
		if report, err := h.importer().Run(t.Context(), strings.NewReader(text), name); err == nil {
			t.Errorf("%s: imported %+v", name, report)
		}
	}
	im := h.importer()
	im.Anchors = nil
	if _, err := im.Run(t.Context(), strings.NewReader(good), "manifest"); err == nil {
		t.Error("a manifest was taken although nobody may sign one")
	}
	if len(h.devices(t)) != 0 {
		t.Errorf("%d devices are on record", len(h.devices(t)))
	}
}

// turncoat is another file when it is read again.
type turncoat struct {
	*bytes.Reader
	texts [][]byte
}

func (f *turncoat) Seek(offset int64, whence int) (int64, error) {
	f.Reader = bytes.NewReader(f.texts[0])
	if len(f.texts) > 1 {
		f.texts = f.texts[1:]
	}
	return f.Reader.Seek(offset, whence)
}

func TestAFileThatChangesBetweenTheCheckAndTheImportIsNotImported(t *testing.T) {
	for name, second := range map[string]string{"another row": "SN-1\nSN-3\n", "a row more": "SN-1\nSN-2\nSN-3\n", "a row less": "SN-1\n", "nothing": "# a\n"} {
		h := newHouse(t)
		_, err := h.importer().Run(t.Context(), &turncoat{nil, [][]byte{[]byte("SN-1\nSN-2\n"), []byte(second)}}, "list")
		if err == nil || len(h.devices(t)) != 0 {
			t.Errorf("%s: %v, %d devices on record", name, err, len(h.devices(t)))
		}
	}
}

// endless is a line, or a row, without an end.
type endless struct {
	start string
	read  int
}

func (e *endless) Read(p []byte) (int, error) {
	n := copy(p, e.start)
	e.start = e.start[n:]
	for i := n; i < len(p); i++ {
		p[i] = 'x'
	}
	e.read += len(p)
	return len(p), nil
}

func (e *endless) Seek(int64, int) (int64, error) { return 0, nil }

func TestARowWithoutAnEndIsRefusedSoon(t *testing.T) {
	h := newHouse(t)
	for _, start := range []string{"SN-1\n", "\"", "serial_number\n\"", `{"serial_number":"`, "-----BEGIN CERTIFICATE-----\n", "SN-1\n\xef\xbb\xbf"} {
		in := &endless{start: start}
		_, err := h.importer().Run(t.Context(), in, "list")
		if err == nil || in.read > 1<<20 {
			t.Errorf("%q: %v after %d bytes", start, err, in.read)
		}
	}
}

// What is exported is imported as it was, and no field of CSV is a formula.
func TestWhatIsExportedIsImportedAsItWas(t *testing.T) {
	h := newHouse(t)
	odd := []string{"=cmd|' /C calc'!A0", "+1", "-1", "@SUM(1)", "'", "''", "'=1", "a,b", "a\"b", " ", "a;b"}
	var lines bytes.Buffer
	for i, value := range odd {
		row, err := json.Marshal(map[string]string{
			"serial_number": fmt.Sprintf("-%d", i), "model": value, "attribute." + value: value, "idevid": "", "attribute.x": "1",
		})
		if err != nil {
			t.Fatal(err)
		}
		lines.Write(append(row, '\n'))
	}
	h.imported(t, lines.String())
	want := h.devices(t)
	for _, format := range []string{inventory.CSV, inventory.JSONLines} {
		var out bytes.Buffer
		w, err := inventory.NewWriter(&out, format)
		if err != nil {
			t.Fatal(err)
		}
		for _, d := range want {
			if err := w.Write(d); err != nil {
				t.Fatal(err)
			}
		}
		if err := w.Flush(); err != nil {
			t.Fatal(err)
		}
		if format == inventory.CSV {
			noFormulas(t, out.String())
		}
		again := newHouse(t)
		again.imported(t, out.String())
		got := again.devices(t)
		if len(got) != len(want) {
			t.Fatalf("%s: %d devices, want %d", format, len(got), len(want))
		}
		for serial, d := range want {
			g := got[serial]
			if g == nil || g.Model != d.Model || fmt.Sprint(g.Attributes) != fmt.Sprint(d.Attributes) {
				t.Errorf("%s: %+v\nwas %+v", format, g, d)
			}
		}
	}
}

func noFormulas(t *testing.T, text string) {
	t.Helper()
	records, err := csv.NewReader(strings.NewReader(text)).ReadAll()
	if err != nil {
		t.Fatal(err)
	}
	for _, field := range slices.Concat(records...) {
		if field != "" && strings.ContainsRune("=+-@\t\r", rune(field[0])) {
			t.Errorf("the field %q is a formula", field)
		}
	}
}

func FuzzImport(f *testing.F) {
	h := newHouse(f)
	for _, seed := range []string{
		"SN-1\n", "serial_number,attributes\na,\"{\"\"b\"\":\"\"c\"\"}\"\n", `{"serial_number":"a","attribute.b":"c"}`, "-----BEGIN CERTIFICATE-----\nAA==\n-----END CERTIFICATE-----\n",
		`{"payload":"e30","signatures":[{"protected":"e30","signature":"AA"}]}`, "\xff\xfe", "\"", "serial_number,owner\na,b\n",
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		im := h.importer()
		im.DryRun = true
		report, err := im.Run(t.Context(), bytes.NewReader(data), "list")
		if err == nil && report.Rows != report.Added {
			t.Errorf("%d rows, %d added", report.Rows, report.Added)
		}
	})
}

var _ io.ReadSeeker = (*endless)(nil)

// The quota is looked at before the first batch: a list that is too long leaves nothing on record.
func TestAListLongerThanThereIsRoomForIsNotImportedInPart(t *testing.T) {
	h := newHouse(t)
	var list strings.Builder
	for n := range inventory.BatchRows + 10 {
		fmt.Fprintf(&list, "SN-%d\n", n)
	}
	settings := *h.settings
	settings.Limits.Devices = inventory.BatchRows + 9
	if err := h.service.Reload(&settings); err != nil {
		t.Fatal(err)
	}
	_, err := h.importer().Run(t.Context(), strings.NewReader(list.String()), "list")
	if !errors.Is(err, registrar.ErrFull) || len(h.devices(t)) != 0 {
		t.Errorf("Run: %v, and %d devices on record; want ErrFull and none", err, len(h.devices(t)))
	}
	settings = *h.settings
	settings.Limits.Devices = inventory.BatchRows + 10
	if err := h.service.Reload(&settings); err != nil {
		t.Fatal(err)
	}
	h.imported(t, list.String())
}
