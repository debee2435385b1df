package voucher_test

import (
	"bytes"
	"crypto/sha1"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"strings"
	"testing"

	"github.com/briskest/briskest/internal/testpki"
	"github.com/briskest/briskest/internal/vectors"
	"github.com/briskest/briskest/voucher"
)

// RFC 8366, Section 5.3: 8 to 32 bytes, of base64, else base64url, else text.
func TestNonceLengthCountsBase64ThenBase64URLThenText(t *testing.T) {
	for _, c := range []struct {
		nonce string
		want  int
	}{
		{"yrtSQhecSZPc4PVZDes6xw==", 16},             // nqminds
		{"-_XE9zK9q8Ll1qylMtLKeg", 16},               // RFC 8995, Appendix C.2.1
		{"62a2e7693d82fcda2624de58fb6722e5", 24},     // hex text is base64 too
		{"abcd1234", 6},                              // highway
		{"abcd123!", 8},                              // text
		{"r\u00e9sum\u00e9-x", 10},                   // bytes, not characters
		{"AAAA\nAAAAAAA", 12},                        // no base64: a line feed
		{"550e8400-e29b-41d4-a716-446655440000", 27}, // a UUID is base64url
		{base64.StdEncoding.EncodeToString(make([]byte, 32)), 32},
		{"", 0},
	} {
		if got := voucher.NonceLength(c.nonce); got != c.want {
			t.Errorf("NonceLength(%q) = %d, want %d", c.nonce, got, c.want)
		}
		inRange := c.want >= 8 && c.want <= 32
		if err := voucher.CheckNonce(c.nonce); (err == nil) != inRange || err != nil && !errors.Is(err, voucher.ErrNonce) {
			t.Errorf("CheckNonce(%q) = %v, want accepted: %t", c.nonce, err, inRange)
		}
	}
	if err := voucher.CheckNonce(strings.Repeat("A", 1<<20)); !errors.Is(err, voucher.ErrNonce) {
		t.Errorf("CheckNonce of a megabyte = %v, want %v", err, voucher.ErrNonce)
	}
}

func TestNewNoncesAreOf16BytesAndDiffer(t *testing.T) {
	seen := make(map[string]bool)
	for range 1000 {
		n := voucher.NewNonce()
		if voucher.NonceLength(n) != 16 || seen[n] {
			t.Fatalf("NewNonce() = %q, want 16 bytes never seen", n)
		}
		seen[n] = true
	}
}

// RFC 8995, Section 2.3.1: the subject's attribute, not the certificate's number.
func TestSerialNumberIsTheOneAttributeOfTheSubject(t *testing.T) {
	ca := testpki.NewRoot(t, "Vendor CA")
	got, err := voucher.SerialNumber(ca.IDevID(t, "A-1", "").Certificate)
	if err != nil || got != "A-1" {
		t.Errorf("SerialNumber() = %q, %v, want A-1", got, err)
	}
	oid := asn1.ObjectIdentifier{2, 5, 4, 5}
	for name, subject := range map[string]pkix.Name{
		"none":    {CommonName: "A-1"},
		"several": {ExtraNames: []pkix.AttributeTypeAndValue{{Type: oid, Value: "A-1"}, {Type: oid, Value: "A-2"}}},
		"NUL":     {ExtraNames: []pkix.AttributeTypeAndValue{{Type: oid, Value: "A\x001"}}},
		"long":    {SerialNumber: strings.Repeat("x", 300)},
	} {
		cert := ca.Issue(t, &x509.Certificate{Subject: subject}, testpki.NewKey(t)).Certificate
		if got, err := voucher.SerialNumber(cert); !errors.Is(err, voucher.ErrSerialNumber) {
			t.Errorf("%s: SerialNumber() = %q, %v, want %v", name, got, err, voucher.ErrSerialNumber)
		}
	}
}

// BRSKI-8366BIS-6.3-01: the whole value of the extension, byte for byte as in derived-values.json.
// rfc8366bis, Sections 6.1 and 6.3, over certificates that others have made.
func TestIDevIDIssuerSerialNumberAndMASAURLEqualTheGoldenValues(t *testing.T) {
	var golden struct {
		Devices map[string]struct {
			Cert    string   `json:"cert"`
			Issuer  string   `json:"idevid_issuer_base64"`
			MASAURL string   `json:"masa_url"`
			Serial  []string `json:"serial_number"`
		} `json:"idevid_issuer_and_masa_url"`
		Domains map[string]struct {
			Cert string `json:"cert"`
			ID   string `json:"domainID_base64"`
		} `json:"domainID"`
	}
	if err := json.Unmarshal(vectors.Read(t, "brski/derived-values.json"), &golden); err != nil {
		t.Fatal(err)
	}
	for name, d := range golden.Devices {
		cert := vectors.Certificates(t, "brski/"+d.Cert)[0]
		issuer, err := voucher.IDevIDIssuer(cert)
		if got := base64.StdEncoding.EncodeToString(issuer); err != nil || got != d.Issuer {
			t.Errorf("%s: IDevIDIssuer() = %s, %v, want %s", name, got, err, d.Issuer)
		}
		if serial, err := voucher.SerialNumber(cert); err != nil || serial != d.Serial[0] {
			t.Errorf("%s: SerialNumber() = %s, %v, want %s", name, serial, err, d.Serial[0])
		}
		want := "https://" + d.MASAURL + "/.well-known/brski"
		if got, err := voucher.MASAURL(cert); err != nil || got != want {
			t.Errorf("%s: MASAURL() = %s, %v, want %s", name, got, err, want)
		}
	}
	for name, d := range golden.Domains {
		got := base64.StdEncoding.EncodeToString(voucher.DomainID(vectors.Certificates(t, "brski/"+d.Cert)[0]))
		if got != d.ID {
			t.Errorf("%s: DomainID() = %s, want %s", name, got, d.ID)
		}
	}
	t.Logf("%d devices and %d domains compared", len(golden.Devices), len(golden.Domains))
}

// BRSKI-8366BIS-6.1-02: the value of the extension, or built with SHA-1 of the key.
// rfc8366bis, Section 6.1: SHA-1 of the key where the extension is absent.
func TestIDevIDIssuerIsOneOctetStringWithAndWithoutTheExtension(t *testing.T) {
	ca := testpki.NewRoot(t, "Vendor CA")
	for name, cert := range map[string]*x509.Certificate{"with": ca.IDevID(t, "A-1", "").Certificate, "without": ca.Certificate} {
		issuer, err := voucher.IDevIDIssuer(cert)
		if err != nil || !strings.HasPrefix(hex.EncodeToString(issuer), "041830168014") || len(issuer) != 26 {
			t.Errorf("%s: IDevIDIssuer() = %x, %v, want 0418 3016 8014 and 20 bytes", name, issuer, err)
		}
		want := cert.AuthorityKeyId
		if name == "without" {
			var info struct {
				Algorithm asn1.RawValue
				Key       asn1.BitString
			}
			if _, err := asn1.Unmarshal(cert.RawSubjectPublicKeyInfo, &info); err != nil {
				t.Fatal(err)
			}
			sum := sha1.Sum(info.Key.Bytes) // RFC 5280, Section 4.2.1.2, method 1
			want = sum[:]
		}
		if id, ok := voucher.IssuerKeyID(issuer); !ok || len(want) != 20 || !bytes.Equal(id, want) {
			t.Errorf("%s: IssuerKeyID() = %x, %t, want %x", name, id, ok, want)
		}
	}
}

// BRSKI-8366BIS-6.3-02: the whole form, the bare SEQUENCE and the key identifier are one issuer.
// rfc8366bis, Section 6.3, and nqminds N6: the encodings of one issuer are one issuer.
func TestIssuerKeyIDReadsTheOldFormsAsWell(t *testing.T) {
	id := strings.Repeat("ab", 20)
	for name, c := range map[string]struct {
		issuer string
		ok     bool
	}{
		"extension value":     {"041830168014" + id, true},
		"sequence":            {"30168014" + id, true},
		"octet string":        {"0414" + id, true},
		"key identifier":      {id, true},
		"text":                {hex.EncodeToString([]byte("C = IE, CN = idevca")), false},
		"empty octet string":  {"0400", false},
		"extension and more":  {"041830168014" + id + "00", false},
		"sequence without id": {"04023000", true}, // opaque bytes in an OCTET STRING
	} {
		issuer, err := hex.DecodeString(c.issuer)
		if err != nil {
			t.Fatal(err)
		}
		got, ok := voucher.IssuerKeyID(issuer)
		if ok != c.ok || ok && name != "sequence without id" && hex.EncodeToString(got) != id {
			t.Errorf("%s: IssuerKeyID() = %x, %t, want %t", name, got, ok, c.ok)
		}
	}
}

func ia5(t testing.TB, text string) []byte {
	t.Helper()
	der, err := asn1.MarshalWithParams(text, "ia5")
	if err != nil {
		t.Fatal(err)
	}
	return der
}

// RFC 8995, Section 2.3.2.
// BRSKI-8995-2.3.2-01, BRSKI-8995-2.3.2-02: HTTPS only, and the default path for an authority alone.
func TestMASAURLIsHTTPSWhateverTheExtensionHolds(t *testing.T) {
	for text, want := range map[string]string{
		"masa.example":                             "https://masa.example/.well-known/brski",
		"masa.example:9443":                        "https://masa.example:9443/.well-known/brski",
		"MASA.example.":                            "https://masa.example./.well-known/brski",
		"[2001:db8::1]:8443":                       "https://[2001:db8::1]:8443/.well-known/brski",
		"192.0.2.1":                                "https://192.0.2.1/.well-known/brski",
		"https://masa.example/x":                   "https://masa.example/x",
		"HTTPS://masa.example/x/":                  "https://masa.example/x",
		"https://masa.example":                     "https://masa.example/.well-known/brski",
		"https://masa.example/":                    "https://masa.example/.well-known/brski",
		"https://masa.example/a/.well-known/brski": "https://masa.example/a/.well-known/brski",
		"https://masa.example/a%20b":               "https://masa.example/a%20b",
	} {
		if got, err := voucher.ParseMASAURL(ia5(t, text)); err != nil || got != want {
			t.Errorf("ParseMASAURL(%q) = %q, %v, want %q", text, got, err, want)
		}
	}
	for _, text := range []string{
		"http://masa.example/", "ftp://masa.example/x", "ldap://masa.example/", "//masa.example/", "masa.example/brski", "/x",
		"user@masa.example", "https://user:pw@masa.example/", "masa.example?x", "https://masa.example/?x", "https://masa.example/#x",
		"masa.example:", "masa.example:0", "masa.example:65536", "masa.example:x", "https:masa.example", ":443",
		"https://", "https:///x", "https://masa.example/a/../b", "https://masa.example//b", "https://masa.example/%2e%2e/b",
		"https://masa.example/a\\b", "-masa.example", "masa..example", "masa%2eexample", "[::1%25eth0]:443", "[::1", "[masa.example]",
		"masa example", "masa.example\r\nHost: x", "masa.example\x00", strings.Repeat("a", 2000), strings.Repeat("a", 64) + ".example", "",
	} {
		if got, err := voucher.ParseMASAURL(ia5(t, text)); !errors.Is(err, voucher.ErrMASAURL) {
			t.Errorf("ParseMASAURL(%q) = %q, %v, want %v", text, got, err, voucher.ErrMASAURL)
		}
	}
	for name, value := range map[string][]byte{
		"bare text":      []byte("masa.example"),
		"UTF8String":     append([]byte{0x0c, 12}, "masa.example"...),
		"trailing bytes": append(ia5(t, "masa.example"), 0),
		"cut off":        ia5(t, "masa.example")[:6],
		"nothing":        nil,
	} {
		if got, err := voucher.ParseMASAURL(value); !errors.Is(err, voucher.ErrMASAURL) {
			t.Errorf("%s: ParseMASAURL() = %q, %v, want %v", name, got, err, voucher.ErrMASAURL)
		}
	}
}

func TestMASAURLOfACertificateWithoutOneIsItsOwnError(t *testing.T) {
	ca := testpki.NewRoot(t, "Vendor CA")
	if _, err := voucher.MASAURL(ca.IDevID(t, "A-1", "").Certificate); !errors.Is(err, voucher.ErrNoMASAURL) {
		t.Errorf("MASAURL() = %v, want %v", err, voucher.ErrNoMASAURL)
	}
	got, err := voucher.MASAURL(ca.IDevID(t, "A-1", "127.0.0.1:9443").Certificate)
	if want := "https://127.0.0.1:9443/.well-known/brski"; err != nil || got != want {
		t.Errorf("MASAURL() = %q, %v, want %q", got, err, want)
	}
}

func FuzzMASAURL(f *testing.F) {
	for _, text := range []string{"masa.example:9443", "https://masa.example/x", "[2001:db8::1]:8443", "http://user@x/?#"} {
		f.Add(ia5(f, text))
	}
	f.Fuzz(func(t *testing.T, value []byte) {
		got, err := voucher.ParseMASAURL(value)
		if err != nil {
			return
		}
		again, err := voucher.ParseMASAURL(ia5(t, got))
		if !strings.HasPrefix(got, "https://") || err != nil || again != got {
			t.Errorf("ParseMASAURL(%q) = %q, and of that %q, %v", value, got, again, err)
		}
	})
}
