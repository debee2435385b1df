package baseline_test

import (
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/briskest/briskest/internal/testpki"
	"github.com/briskest/briskest/registrar"
	"github.com/briskest/briskest/registrar/baseline"
	"github.com/briskest/briskest/voucher"
)

func document(settings string) *registrar.BaselineDocument {
	return &registrar.BaselineDocument{Domain: "default", Version: 1, Document: []byte(`{"schema":1,"settings":` + settings + `}`)}
}

func text(t *testing.T, serial string, version int64, settings string) []byte {
	t.Helper()
	out, err := baseline.Maker{}.Text(&registrar.BaselineFacts{
		Domain: "default", Document: document(settings), Device: &registrar.Device{SerialNumber: serial}, Version: version, At: time.Unix(version, 0).UTC(),
	})
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// signer is a holder of a certificate of the CA, with or without id-kp-cmcRA.
func signer(t *testing.T, root *testpki.Identity, name string, ra bool) *voucher.Signer {
	t.Helper()
	template := &x509.Certificate{Subject: pkix.Name{CommonName: name}, KeyUsage: x509.KeyUsageDigitalSignature}
	if ra {
		template.UnknownExtKeyUsage = []asn1.ObjectIdentifier{{1, 3, 6, 1, 5, 5, 7, 3, 28}}
	}
	id := root.Issue(t, template, testpki.NewKey(t))
	return &voucher.Signer{Key: id.Key, Certificate: id.Certificate, Chain: []*x509.Certificate{root.Certificate}}
}

// M04: a device takes a baseline that a registrar of its domain signed for it, and none
// that is another device's, older, changed, or signed by anybody else.
func TestDeviceTakesNoBaselineButItsOwnAndNewest(t *testing.T) {
	root, other := testpki.NewRoot(t, "domain"), testpki.NewRoot(t, "other domain")
	ra := signer(t, root, "registrar", true)
	pool := x509.NewCertPool()
	pool.AddCert(root.Certificate)
	now := ra.Certificate.NotBefore.Add(time.Hour)
	mine := text(t, "SN-1", 7, `{"a":1}`)
	for _, c := range []struct {
		name    string
		text    []byte
		by      *voucher.Signer
		has     int64
		hasText []byte
		want    error
	}{
		{"its own", mine, ra, 0, nil, nil},
		{"the same again", mine, ra, 7, mine, nil},
		{"a newer one", mine, ra, 6, nil, nil},
		{"a replayed older one", mine, ra, 8, nil, baseline.ErrOlder},
		{"another text of the same version", mine, ra, 7, text(t, "SN-1", 7, `{"a":2}`), baseline.ErrOlder},
		{"another device's", text(t, "SN-2", 7, `{}`), ra, 0, nil, baseline.ErrOtherDevice},
		{"signed by another device of the domain", mine, signer(t, root, "SN-9", false), 0, nil, baseline.ErrSigner},
		{"signed by another domain's registrar", mine, signer(t, other, "registrar", true), 0, nil, baseline.ErrSigner},
		{"something else that the registrar signed", []byte(`{"type":"x","version":9,"device":{"serial_number":"SN-1"}}`), ra, 0, nil, baseline.ErrText},
	} {
		for _, f := range []baseline.Format{baseline.JWS, baseline.CMS} {
			signed, err := baseline.Sign(f, c.text, c.by, now)
			if err != nil {
				t.Fatal(err)
			}
			e := &baseline.Expect{Anchors: pool, SerialNumbers: []string{"SN-1"}, Version: c.has, SHA256: sha256.Sum256(c.hasText), Now: now}
			_, err = baseline.Verify(f, signed, e)
			if !errors.Is(err, c.want) || (c.want == nil) != (err == nil) {
				t.Errorf("%s, %s: error %v, want %v", c.name, f, err, c.want)
			}
		}
	}
}

// M31: what a device chose for its name adds no setting, no path and no template.
func TestFactsOfADeviceCannotInject(t *testing.T) {
	for _, name := range []string{`x","admin":true,"y":"`, "../../etc", "a/b#+", "..", "${manufacturer}", "$(reboot)", "<script>", "\x00\n"} {
		var got baseline.Text
		if err := json.Unmarshal(text(t, name, 1, `{"alone":"${serial_number}","topic":"devices/${serial_number}/state"}`), &got); err != nil {
			t.Fatalf("%q: %v", name, err)
		}
		var settings map[string]string
		if err := json.Unmarshal(got.Settings, &settings); err != nil || len(settings) != 2 {
			t.Errorf("%q: settings %s, error %v", name, got.Settings, err)
		}
		if settings["alone"] != name {
			t.Errorf("%q alone is %q", name, settings["alone"])
		}
		inside := strings.TrimSuffix(strings.TrimPrefix(settings["topic"], "devices/"), "/state")
		if inside == ".." || strings.ContainsAny(inside, "/#+$\"<>\x00\n {}()") {
			t.Errorf("%q is %q within words", name, inside)
		}
	}
}

func FuzzVerifyTakesNothingUnsigned(f *testing.F) {
	f.Add([]byte(`{"payload":"e30","signatures":[{"protected":"e30","signature":""}]}`))
	f.Add([]byte{0x30, 0x80})
	pool := x509.NewCertPool()
	f.Fuzz(func(t *testing.T, signed []byte) {
		for _, format := range []baseline.Format{baseline.JWS, baseline.CMS} {
			if _, err := baseline.Verify(format, signed, &baseline.Expect{Anchors: pool, SerialNumbers: []string{"x"}}); err == nil {
				t.Errorf("%s: taken without any anchors", format)
			}
		}
	})
}
