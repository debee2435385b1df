package main

import (
	"bytes"
	"context"
	"crypto"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/briskest/briskest/internal/cli"
	"github.com/briskest/briskest/internal/pemfile"
	"github.com/briskest/briskest/internal/testbed"
	"github.com/briskest/briskest/internal/testpki"
	"github.com/briskest/briskest/masa"
	masaadmin "github.com/briskest/briskest/masa/admin"
	"github.com/briskest/briskest/voucher"
)

// vendor is a folder with a MASA, and a CA of its own for IDevIDs.
type vendor struct {
	t   testing.TB
	dir folder
}

const hwType = "1.3.6.1.4.1.32473.7.1" // of the number for documentation (RFC 5612, Section 2)

func newVendor(t testing.TB) *vendor {
	t.Helper()
	v := &vendor{t, folder(t.TempDir())}
	v.must("init", "masa", "--dir", string(v.dir), "--host", "masa.example", "--listen", ":9443", "--product", "widget", "--name", "Acme")
	v.must("masa", "idevid", "init", "--config", v.dir.path("masa.yaml"), "--name", "Acme", "-o", "json")
	v.edit("masa/idevid-ca.pem\n      key: file:masa/idevid-ca.key", "masa/idevid/ca.pem\n      key: file:masa/idevid/ca.key")
	v.edit("idevid_anchors: masa/idevid-ca.pem", "idevid_anchors: masa/idevid/ca.pem")
	v.edit("hw_types: []", "hw_types: ["+hwType+", 1.3.6.1.4.1.32473.7.2]")
	return v
}

func (v *vendor) edit(old, new string) {
	v.t.Helper()
	file := v.dir.path("masa.yaml")
	data, err := os.ReadFile(file)
	if err != nil || !bytes.Contains(data, []byte(old)) {
		v.t.Fatalf("masa.yaml has no %q: %v", old, err)
	}
	v.file("masa.yaml", strings.Replace(string(data), old, new, 1))
}

// file writes a file of the folder and returns its path.
func (v *vendor) file(name, content string) string {
	v.t.Helper()
	path := v.dir.path(name)
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		v.t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		v.t.Fatal(err)
	}
	return path
}

func (v *vendor) csr(name, serial string, key crypto.Signer) string {
	v.t.Helper()
	return v.file(name, string(testpki.CSR(v.t, &x509.CertificateRequest{
		Subject: pkix.Name{CommonName: "ignored", SerialNumber: serial}, DNSNames: []string{"ignored.example"},
	}, key)))
}

func (v *vendor) run(args ...string) (out, errs string, code int) {
	v.t.Helper()
	var stdout, stderr bytes.Buffer
	err := run(v.t.Context(), args, streams{In: strings.NewReader(""), Out: &stdout, Err: &stderr})
	code = cli.Report(&stderr, "briskest", err)
	return stdout.String(), stderr.String(), code
}

func (v *vendor) must(args ...string) string {
	v.t.Helper()
	out, errs, code := v.run(args...)
	if code != cli.ExitDone {
		v.t.Fatalf("briskest %s: exit %d %s", strings.Join(args, " "), code, errs)
	}
	return out
}

// issue runs masa idevid issue into out/.
func (v *vendor) issue(args ...string) (out, errs string, code int) {
	v.t.Helper()
	return v.run(append([]string{"masa", "idevid", "issue", "--config", v.dir.path("masa.yaml"), "--product", "widget", "--out", v.dir.path("out"), "-o", "json"}, args...)...)
}

func (v *vendor) issued(args ...string) idevidResult {
	v.t.Helper()
	out, errs, code := v.issue(args...)
	var r idevidResult
	if err := json.Unmarshal([]byte(out), &r); code != cli.ExitDone || err != nil {
		v.t.Fatalf("issue %v: exit %d %s%s", args, code, out, errs)
	}
	return r
}

func (v *vendor) chain(serial string) []*x509.Certificate {
	v.t.Helper()
	chain, err := pemfile.Certificates(v.dir.path("out/" + fileName(serial) + "/idevid.pem"))
	if err != nil {
		v.t.Fatal(err)
	}
	return chain
}

// intents counts what was to be signed, by the trail.
func (v *vendor) intents() int {
	v.t.Helper()
	cfg, err := loadMASAConfig(v.dir.path("masa.yaml"))
	if err != nil {
		v.t.Fatal(err)
	}
	store, err := cfg.openStore(v.t.Context(), slog.New(slog.DiscardHandler))
	if err != nil {
		v.t.Fatal(err)
	}
	entries, err := store.TrailEntries(v.t.Context(), "default", "", 0, 100_000)
	if err := errors.Join(err, store.Close()); err != nil {
		v.t.Fatal(err)
	}
	n := 0
	for _, e := range entries {
		if e.Kind == "ca-certificate-intended" {
			n++
		}
	}
	return n
}

// BRSKI-8021AR-extensions-01: what we issue has the shape that registrars are
// to take. RFC 8995, Sections 2.3.1 and 2.3.2; RFC 4108, Section 5.
func TestAnIDevIDIsIssuedFromACSR(t *testing.T) {
	v := newVendor(t)
	key := testpki.NewKey(t)
	csr := v.csr("device.csr", "W-1", key)
	if r := v.issued("--batch", "B1", csr); r.Issued != 1 || r.Kept != 0 {
		t.Fatalf("issue = %+v", r)
	}
	chain := v.chain("W-1")
	leaf := chain[0]
	if len(chain) != 2 || leaf.CheckSignatureFrom(chain[1]) != nil || bytes.Equal(chain[1].RawIssuer, chain[1].RawSubject) {
		t.Errorf("the file has %d certificates; want the IDevID and the CA that signed it, without the root", len(chain))
	}
	url, err := voucher.MASAURL(leaf)
	if leaf.Subject.String() != "SERIALNUMBER=W-1,O=Acme" || err != nil || url != "https://masa.example:9443/.well-known/brski" {
		t.Errorf("subject %q, MASA at %q, %v", leaf.Subject, url, err)
	}
	if !bytes.Contains(leaf.RawTBSCertificate, []byte("99991231235959Z")) || leaf.KeyUsage != x509.KeyUsageDigitalSignature ||
		len(leaf.ExtKeyUsage)+len(leaf.UnknownExtKeyUsage) > 0 || leaf.IsCA || len(leaf.SubjectKeyId) == 0 ||
		!bytes.Equal(leaf.AuthorityKeyId, chain[1].SubjectKeyId) || len(leaf.DNSNames) > 0 {
		t.Errorf("ends %s, usage %d, %v, SKI %x, AKI %x", leaf.NotAfter, leaf.KeyUsage, leaf.ExtKeyUsage, leaf.SubjectKeyId, leaf.AuthorityKeyId)
	}
	if got, want := hardwareModule(t, leaf), hwType+" W-1"; got != want {
		t.Errorf("hardware module %q, want %q", got, want)
	}
	for _, e := range leaf.Extensions {
		if e.Id.Equal(asn1.ObjectIdentifier{1, 3, 6, 1, 5, 5, 7, 1, 32}) && (e.Critical || e.Value[0] != asn1.TagIA5String) {
			t.Errorf("the MASA URL is critical %t, tag %d", e.Critical, e.Value[0])
		}
	}
	show := v.must("masa", "device", "show", "W-1", "--config", v.dir.path("masa.yaml"), "-o", "json")
	var onRecord masa.DeviceCase
	if err := json.Unmarshal([]byte(show), &onRecord); err != nil || !bytes.Equal(onRecord.Device.IDevID, leaf.Raw) || onRecord.Device.Batch != "B1" {
		t.Errorf("the MASA has %+v, %v", onRecord.Device, err)
	}
}

// hardwareModule reads the HardwareModuleName of the SubjectAltName.
func hardwareModule(t *testing.T, cert *x509.Certificate) string {
	t.Helper()
	for _, e := range cert.Extensions {
		if !e.Id.Equal(asn1.ObjectIdentifier{2, 5, 29, 17}) {
			continue
		}
		var names struct {
			Other struct {
				Type  asn1.ObjectIdentifier
				Value struct {
					Type   asn1.ObjectIdentifier
					Serial []byte
				} `asn1:"explicit,tag:0"`
			} `asn1:"tag:0"`
		}
		if _, err := asn1.Unmarshal(e.Value, &names); err != nil || e.Critical || !names.Other.Type.Equal(asn1.ObjectIdentifier{1, 3, 6, 1, 5, 5, 7, 8, 4}) {
			t.Fatalf("SubjectAltName %x, critical %t: %v", e.Value, e.Critical, err)
		}
		return names.Other.Value.Type.String() + " " + string(names.Other.Value.Serial)
	}
	return ""
}

// Promises 1 and 2 of the design: what is issued is on record, and asking
// again gives the same.
func TestASerialNumberIsIssuedForOneKeyOnly(t *testing.T) {
	v := newVendor(t)
	key := testpki.NewKey(t)
	csr := v.csr("a.csr", "W-1", key)
	v.issued(csr)
	first, intents := v.chain("W-1")[0], v.intents()
	if r := v.issued(csr); r.Issued != 0 || r.Kept != 1 || !bytes.Equal(v.chain("W-1")[0].Raw, first.Raw) {
		t.Errorf("the same CSR again: %+v", r)
	}
	if err := os.RemoveAll(v.dir.path("out")); err != nil {
		t.Fatal(err)
	}
	if r := v.issued(csr); r.Kept != 1 || !bytes.Equal(v.chain("W-1")[0].Raw, first.Raw) {
		t.Errorf("the same CSR again, its file lost: %+v", r)
	}
	_, errs, code := v.issue(v.csr("b.csr", "W-1", testpki.NewKey(t)))
	if code != cli.ExitRefused || !strings.Contains(errs, "another key") || !strings.Contains(errs, "b.csr") {
		t.Errorf("another key: exit %d %s", code, errs)
	}
	if n := v.intents(); n != intents {
		t.Errorf("%d certificates were to be signed, want %d", n, intents)
	}
}

func TestACSRWithoutItsKeyGetsNothing(t *testing.T) {
	v := newVendor(t)
	good, err := os.ReadFile(v.csr("good.csr", "W-1", testpki.NewKey(t)))
	if err != nil {
		t.Fatal(err)
	}
	forged := bytes.Replace(good, []byte("W-1"), []byte("W-2"), 1) // the signature is no longer good
	for name, c := range map[string]struct {
		data []byte
		args []string
		want string
	}{
		"forged":           {forged, nil, "not a good CSR"},
		"no CSR":           {[]byte("0hello"), nil, "not a good CSR"},
		"of another":       {good, []string{"--serial-number", "W-9"}, `is for serial number "W-1"`},
		"without a serial": {testpki.CSR(t, &x509.CertificateRequest{}, testpki.NewKey(t)), nil, "there is no serial number"},
		"too large":        {append([]byte{0x30}, make([]byte, maxCSR)...), nil, "more than"},
	} {
		_, errs, code := v.issue(append(c.args, v.file("x.csr", string(c.data)))...)
		if code == cli.ExitDone || !strings.Contains(errs, c.want) {
			t.Errorf("%s: exit %d %s, want %q", name, code, errs, c.want)
		}
	}
	if _, err := os.Stat(v.dir.path("out")); err == nil {
		t.Error("something was written")
	}
}

// A list with CSRs, hardware of its own and keys to be made here; first with
// nothing changed, then beside the MASA that runs.
func TestIDevIDsAreIssuedInBulk(t *testing.T) {
	v := newVendor(t)
	key := testpki.NewKey(t)
	spki, err := x509.MarshalPKIXPublicKey(key.Public())
	if err != nil {
		t.Fatal(err)
	}
	sum := sha256.Sum256(spki)
	v.csr("csrs/one.csr", "W-0001", key)
	list := &strings.Builder{}
	fmt.Fprintf(list, "serial_number,csr,key_sha256,hw_type,hw_serial,batch\n,one.csr,%s,1.3.6.1.4.1.32473.7.2,HW 77,B7\n", hex.EncodeToString(sum[:]))
	const n = 300
	for i := 2; i <= n; i++ {
		fmt.Fprintf(list, "W-%04d\n", i)
	}
	file := v.file("csrs/list.csv", list.String())
	before := v.intents()
	if r := v.issued("--generate-keys", "--dry-run", file); r.Devices != n || r.Issued != 0 || v.intents() != before {
		t.Errorf("a dry run: %+v", r)
	}
	if _, errs, code := v.issue(file); code != cli.ExitUsage || !strings.Contains(errs, "line 3") || !strings.Contains(errs, "--generate-keys") {
		t.Errorf("devices without CSRs: exit %d %s", code, errs)
	}
	cfg, err := loadMASAConfig(v.dir.path("masa.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	cfg.Listen.Registrars = "127.0.0.1:0"
	server, _, err := startMASA(t.Context(), cfg, io.Discard)
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- server.serve(ctx) }()
	r := v.issued("--generate-keys", file)
	stop()
	if err := <-ended; err != nil {
		t.Error(err)
	}
	if r.Issued != n || v.intents() != before+n {
		t.Errorf("issue = %+v, %d intents", r, v.intents()-before)
	}
	if got, want := hardwareModule(t, v.chain("W-0001")[0]), "1.3.6.1.4.1.32473.7.2 HW 77"; got != want {
		t.Errorf("hardware module %q, want %q", got, want)
	}
	images, err := filepath.Glob(v.dir.path("out/*"))
	if err != nil || len(images) != n {
		t.Fatalf("%d folders, %v", len(images), err)
	}
	v.must(append([]string{"masa", "idevid", "lint", "--idevid-anchors", v.dir.path("masa/idevid/root.pem"), "--voucher-anchor", v.dir.path("masa/anchor.pem")}, images...)...)
	if r := v.issued("--generate-keys", file); r.Kept != n {
		t.Errorf("the same list again: %+v", r)
	}
}

func TestAListThatIsWrongIsRefusedWhole(t *testing.T) {
	v := newVendor(t)
	v.csr("one.csr", "W-1", testpki.NewKey(t))
	for text, want := range map[string]string{
		"serial_number\nW-1\nW-1\n":                              "list.csv: line 2",
		"serial_number,csr\nW-2,one.csr\n":                       `serial number "W-1"`,
		"serial_number,csr,key_sha256\nW-1,one.csr,00\n":         "another key",
		"serial_number,hw_type\nW-1,1.2.3\n":                     "none of the product's",
		"serial_number,hw_type\nW-1,hello\n":                     "hw_type",
		"serial_number,csr\nW-1,gone.csr\n":                      "gone.csr",
		"serial_number,key_sha256\nW-1,00\n":                     "there is none",
		"serial_number\n" + strings.Repeat("x", 300) + "\n":      "xxx",
		"serial_number,colour\nW-1,red\n":                        "colour",
		"serial_number,csr\nW-1,one.csr\nW-5,one.csr\n":          "line 3",
		"{\"serial_number\":\"W-1\",\"csr\":\"one.csr\"}\n[oops": "line 2",
	} {
		before := v.intents()
		_, errs, code := v.issue("--generate-keys", v.file("list.csv", text))
		if code == cli.ExitDone || !strings.Contains(errs, want) || v.intents() != before {
			t.Errorf("%q: exit %d %s, want %q and nothing signed", text, code, errs, want)
		}
	}
}

// faulty is a MASA whose import of certificates fails.
type faulty struct {
	masaadmin.Inventory
	fail bool
}

func (f *faulty) ImportDevices(ctx context.Context, in *masa.Import) (*masa.ImportReport, error) {
	if f.fail && len(in.Devices[0].IDevID) > 0 {
		return nil, errors.New("the disk is full")
	}
	return f.Inventory.ImportDevices(ctx, in)
}

// Promise 1 of the design: a crash between any two steps is explained by the
// record, and running the command again goes on.
func TestIssuingGoesOnWhereItStopped(t *testing.T) {
	v := newVendor(t)
	requests := []idevidRequest{{serial: "W-1", key: testpki.NewKey(t).Public()}}
	data := masaData{Config: v.dir.path("masa.yaml")}
	err := data.issuing(t.Context(), streams{Err: io.Discard}, func(c *masaConfig, op masaadmin.Operator, rec record) error {
		store := &faulty{op, true}
		maker, err := c.idevidCA(t.Context(), "widget", store, rec)
		if err != nil {
			return err
		}
		if _, _, err := maker.issue(t.Context(), requests); err == nil || !strings.Contains(err.Error(), "run the same command again") {
			t.Errorf("issue with a full disk = %v", err)
		}
		other := []idevidRequest{{serial: "W-1", key: testpki.NewKey(t).Public()}}
		if _, problems, err := maker.issue(t.Context(), other); err != nil || len(problems) != 1 {
			t.Errorf("another key for a serial number that is reserved: %v, %v", problems, err)
		}
		store.fail = false
		made, problems, err := maker.issue(t.Context(), requests)
		if err != nil || len(problems) > 0 || made[0].kept {
			t.Errorf("issue again = %+v, %v, %v", made, problems, err)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

// A serial number is unique to its issuer (RFC 8366, Section 5.3), whatever the product.
func TestProductsThatShareACAShareNoSerialNumber(t *testing.T) {
	v := newVendor(t)
	data, err := os.ReadFile(v.dir.path("masa.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	text := string(data)
	from := strings.Index(text, "  - name: \"widget\"")
	to := strings.Index(text[from:], "\n\n") + from
	gadget := strings.Replace(text[from:to], "widget", "gadget", 1)
	v.file("masa.yaml", text[:to]+"\n"+gadget+text[to:])
	v.issued(v.csr("a.csr", "W-1", testpki.NewKey(t)))
	_, errs, code := v.run("masa", "idevid", "issue", "--config", v.dir.path("masa.yaml"), "--product", "gadget", "--out", v.dir.path("other"), v.csr("b.csr", "W-1", testpki.NewKey(t)))
	if code != cli.ExitRefused || !strings.Contains(errs, "of product widget") {
		t.Errorf("the other product's W-1: exit %d %s", code, errs)
	}
}

func TestAnAddressThatNamesNoMASAIsRefused(t *testing.T) {
	v := newVendor(t)
	v.edit("https://masa.example:9443/", "http://masa.example/")
	_, errs, code := v.issue(v.csr("a.csr", "W-1", testpki.NewKey(t)))
	if code != cli.ExitUsage || !strings.Contains(errs, "masa_url") {
		t.Errorf("issue: exit %d %s", code, errs)
	}
}

func TestOpenSSLVerifiesIDevIDs(t *testing.T) {
	openssl := testbed.Require(t, "openssl")
	v := newVendor(t)
	file := v.dir.path("device.csr")
	out, err := exec.Command(openssl, "req", "-new", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-keyout", v.dir.path("device.key"),
		"-subj", "/serialNumber=W-1", "-out", file).CombinedOutput()
	if err != nil {
		t.Fatalf("openssl req: %v %s", err, out)
	}
	v.issued(file)
	idevid := v.dir.path("out/W-1/idevid.pem")
	out, err = exec.Command(openssl, "verify", "-x509_strict", "-CAfile", v.dir.path("masa/idevid/root.pem"), "-untrusted", idevid, idevid).CombinedOutput()
	if err != nil {
		t.Errorf("openssl verify: %v %s", err, out)
	}
	out, err = exec.Command(openssl, "x509", "-in", idevid, "-noout", "-text").CombinedOutput()
	for _, want := range []string{"Dec 31 23:59:59 9999 GMT", "serialNumber = W-1", "1.3.6.1.5.5.7.1.32", "X509v3 Subject Alternative Name"} {
		if err != nil || !strings.Contains(string(out), want) {
			t.Errorf("openssl x509: %v, want %q in\n%s", err, want, out)
		}
	}
}
