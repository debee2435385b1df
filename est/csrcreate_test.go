package est_test

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/base64"
	"errors"
	"net"
	"strings"
	"testing"

	cbasn1 "golang.org/x/crypto/cryptobyte/asn1"

	"github.com/briskest/briskest/est"
)

func ecKey(t *testing.T, curve elliptic.Curve) *ecdsa.PrivateKey {
	t.Helper()
	key, err := ecdsa.GenerateKey(curve, rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

func newRSAKey(t *testing.T, bits int) *rsa.PrivateKey {
	t.Helper()
	key, err := rsa.GenerateKey(rand.Reader, bits)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

// created makes a CSR and reads it by the rules for those of others.
func created(t *testing.T, key crypto.Signer, r *est.CSRRequest) *est.CSR {
	t.Helper()
	der, err := est.CreateCSR(key, r)
	if err != nil {
		t.Fatalf("CreateCSR: %v", err)
	}
	csr, err := est.ParseCSR(der)
	if err != nil {
		t.Fatalf("ParseCSR of %x: %v", der, err)
	}
	return csr
}

func planOf(t *testing.T, name string) *est.CSRPlan {
	t.Helper()
	plan, err := est.ParseCSRPlan(vector(t, name))
	if err != nil {
		t.Fatalf("ParseCSRPlan(%s): %v", name, err)
	}
	return plan
}

// device is what a client knows of itself.
func device() *x509.CertificateRequest {
	return &x509.CertificateRequest{
		Subject:     pkix.Name{CommonName: "device-7", SerialNumber: "0007", Organization: []string{"mine"}},
		DNSNames:    []string{"device-7.example"},
		IPAddresses: []net.IP{net.ParseIP("192.0.2.7")},
	}
}

func extensionOf(csr *est.CSR, oid asn1.ObjectIdentifier) *pkix.Extension {
	for i := range csr.Extensions {
		if csr.Extensions[i].Id.Equal(oid) {
			return &csr.Extensions[i]
		}
	}
	return nil
}

func TestCreateCSRSignsWithEveryKindOfKey(t *testing.T) {
	_, edwards, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		key       crypto.Signer
		hash      crypto.Hash
		algorithm x509.SignatureAlgorithm
	}{
		{ecKey(t, elliptic.P256()), 0, x509.ECDSAWithSHA256},
		{ecKey(t, elliptic.P384()), 0, x509.ECDSAWithSHA384},
		{ecKey(t, elliptic.P521()), 0, x509.ECDSAWithSHA512},
		{ecKey(t, elliptic.P256()), crypto.SHA512, x509.ECDSAWithSHA512},
		{newRSAKey(t, 2048), 0, x509.SHA256WithRSA},
		{newRSAKey(t, 2048), crypto.SHA384, x509.SHA384WithRSA},
		{edwards, 0, x509.PureEd25519},
		{edwards, crypto.SHA512, x509.PureEd25519},
	} {
		csr := created(t, c.key, &est.CSRRequest{Own: device(), Plan: &est.CSRPlan{Hash: c.hash}, ChallengePassword: "dGVzdA=="})
		if csr.SignatureAlgorithm != c.algorithm || csr.ChallengePassword != "dGVzdA==" {
			t.Errorf("%T with %v: %v, challengePassword %q; want %v", c.key, c.hash, csr.SignatureAlgorithm, csr.ChallengePassword, c.algorithm)
		}
		if csr.Subject.CommonName != "device-7" || len(csr.DNSNames) != 1 || len(csr.IPAddresses) != 1 {
			t.Errorf("names are %v %v %v", csr.Subject, csr.DNSNames, csr.IPAddresses)
		}
	}
	csr := created(t, ecKey(t, elliptic.P256()), &est.CSRRequest{Own: &x509.CertificateRequest{DNSNames: []string{"a.example"}}})
	if e := extensionOf(csr, oidSAN); e == nil || !e.Critical {
		t.Errorf("a CSR without subject has the alternative names %+v, want them critical", e)
	}
}

// EST-9908-3.4-05, EST-9908-3.4-13, EST-9908-3.4-14, EST-9908-3.4-15, EST-9908-3.4-16, EST-9908-4-02: the template of RFC
// 9908, Section 3.4, is filled in, with either identifier, and wins over a list that says otherwise.
func TestCreateCSRFillsInTheTemplateOfRFC9908(t *testing.T) {
	for _, file := range []string{
		"constructed/csrattrs-template-9908-3.4.der", "constructed/csrattrs-template-9908-3.4-figure-oid.der",
		"constructed/csrattrs-template-plus-legacy.der", // its list wants P-384
	} {
		plan := planOf(t, file)
		if plan.Link || plan.Key.Name() != "p256" {
			t.Errorf("%s: Link %v, key %s", file, plan.Link, plan.Key.Name())
		}
		csr := created(t, ecKey(t, elliptic.P256()), &est.CSRRequest{Own: device(), Plan: plan})
		want := name(atv(oidCommonName, cbasn1.PrintableString, "device-7"), atv(oidOrgUnit, cbasn1.UTF8String, "myDept"), atv(oidOrgUnit, cbasn1.UTF8String, "myGroup"))
		if !bytes.Equal(csr.RawSubject, want) {
			t.Errorf("%s: subject %x, want %x", file, csr.RawSubject, want)
		}
		if len(csr.IPAddresses) != 1 || csr.IPAddresses[0].String() != "192.0.2.7" || len(csr.DNSNames) != 1 || csr.DNSNames[0] != "www.myServer.com" {
			t.Errorf("%s: names %v %v", file, csr.DNSNames, csr.IPAddresses)
		}
		if e := extensionOf(csr, oidKeyUsage); e == nil || !e.Critical || !bytes.Equal(e.Value, []byte{3, 2, 3, 0x88}) {
			t.Errorf("%s: keyUsage %+v", file, e)
		}
		if e := extensionOf(csr, oidExtKeyUsage); e == nil || e.Critical || len(e.Value) == 0 {
			t.Errorf("%s: extKeyUsage %+v", file, e)
		}
	}
}

// EST-9908-3.4-08: the placeholder gives the length of the key and nothing else.
func TestCreateCSRNeverUsesThePlaceholder(t *testing.T) {
	plan := planOf(t, "constructed/csrattrs-template-rsa3072.der")
	if plan.Key.Name() != "rsa3072" {
		t.Fatalf("key is %s", plan.Key.Name())
	}
	key := newRSAKey(t, 3072)
	csr := created(t, key, &est.CSRRequest{Own: device(), Plan: plan})
	if !key.PublicKey.Equal(csr.PublicKey) {
		t.Error("the CSR has another key than the client's")
	}
	if _, err := est.CreateCSR(newRSAKey(t, 2048), &est.CSRRequest{Own: device(), Plan: plan}); !errors.Is(err, est.ErrCSRPlan) {
		t.Errorf("CreateCSR with a shorter key: %v", err)
	}
}

// EST-9908-3.2-08: the identical otherName.
func TestCreateCSRCopiesGivenExtensions(t *testing.T) {
	plan := planOf(t, "rfc9908/5.1-acp-san.der")
	csr := created(t, ecKey(t, elliptic.P256()), &est.CSRRequest{Own: device(), Plan: plan})
	if e := extensionOf(csr, oidSAN); e == nil || !e.Critical || !bytes.Equal(e.Value, plan.Extensions[0].Value) {
		t.Errorf("subjectAltName = %+v, want that of the list", e)
	}
}

// EST-7030-4.5.2-06, EST-9908-3.2-06, EST-9908-3.2-09: old, odd and unknown lists give a plan and a CSR.
func TestAPlanSurvivesOldLists(t *testing.T) {
	p384, sha384 := "p384", crypto.SHA384
	for file, want := range map[string]struct {
		key  string
		hash crypto.Hash
		link bool
	}{
		"rfc7030/a2-csrattrs-response.der":      {"p256", sha384, true}, // a hash, and a curve that nobody here has
		"rfc8951/4-csrattrs-example.der":        {p384, sha384, true},   // an identifier in id-ExtensionReq
		"rfc9908/5.2-rfc7030-corrected.der":     {p384, sha384, true},
		"rfc9908/5.4-rsa4096.der":               {"rsa4096", crypto.SHA256, true},
		"rfc9908/5.6-p521-attrs.der":            {"p521", crypto.SHA512, true},
		"constructed/csrattrs-empty.der":        {"p256", 0, false},
		"constructed/csrattrs-rfc7894.der":      {"p256", 0, true},
		"rfc9908/5.3-published-san-example.der": {"p521", crypto.SHA512, true},
	} {
		plan := planOf(t, file)
		if plan.Key.Name() != want.key || plan.Hash != want.hash || plan.Link != want.link {
			t.Errorf("%s: key %s, hash %v, link %v; want %+v", file, plan.Key.Name(), plan.Hash, plan.Link, want)
		}
		if want.key != "p256" {
			continue
		}
		created(t, ecKey(t, elliptic.P256()), &est.CSRRequest{Own: device(), Plan: plan})
	}
	ec, null := sequence(oidValue(t, oidECPublicKey), tlv(cbasn1.SET, "")), []byte{5, 0}
	secp521r1 := oidValue(t, asn1.ObjectIdentifier{1, 3, 132, 0, 35})
	rsaOID := asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 1, 1}
	for what, c := range map[string]struct {
		der []byte
		key string
	}{
		"a key type with an empty set":        {sequence(ec), "p256"},
		"a bare curve, as libest lists it":    {sequence(oidValue(t, oidSecp384r1)), "p384"},
		"a key type, then a bare curve":       {sequence(oidValue(t, oidECPublicKey), oidValue(t, oidSecp384r1)), "p384"},
		"two key types":                       {sequence(attribute(rsaOID, []byte{2, 2, 0x10, 0}), attribute(oidECPublicKey, secp521r1)), "rsa4096"},
		"a NULL for parameters":               {sequence(attribute(rsaOID, null)), "rsa2048"},
		"an unknown curve, then a known one":  {sequence(attribute(oidECPublicKey, oidValue(t, oidMacAddress), secp521r1)), "p521"},
		"a signature algorithm alone":         {sequence(oidValue(t, asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 1, 11})), "rsa2048"},
		"SHA-1, which nobody gets from us":    {sequence(oidValue(t, asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 1, 5})), "p256"},
		"an id-ExtensionReq that is a string": {sequence(attribute(oidExtensionRequest, tlv(cbasn1.UTF8String, "x"))), "p256"},
	} {
		plan, err := est.ParseCSRPlan(c.der)
		if err != nil || plan.Key.Name() != c.key || plan.Hash == crypto.SHA1 {
			t.Errorf("ParseCSRPlan of %s: key %s, %v; want %s", what, plan.Key.Name(), err, c.key)
		}
	}
}

// EST-7030-4.2.2-01: a re-enrollment repeats subject and alternative names of the certificate, whatever the server's list
// says, byte by byte.
func TestCreateCSRKeepsNamesInAReenrollment(t *testing.T) {
	raw := name(atv(oidCommonName, cbasn1.T61String, "Device 7"))
	names := sequence(general(2, "B.example"), general(2, "a.example"))
	csr := created(t, ecKey(t, elliptic.P256()), &est.CSRRequest{
		Own:       &x509.CertificateRequest{RawSubject: raw, ExtraExtensions: []pkix.Extension{{Id: oidSAN, Value: names}}},
		Plan:      planOf(t, "constructed/csrattrs-template-9908-3.4.der"),
		KeepNames: true,
	})
	if e := extensionOf(csr, oidSAN); !bytes.Equal(csr.RawSubject, raw) || e == nil || !bytes.Equal(e.Value, names) {
		t.Errorf("subject %x, subjectAltName %+v", csr.RawSubject, e)
	}
	if extensionOf(csr, oidKeyUsage) == nil {
		t.Error("the rest of the template was not followed")
	}
}

func TestCreateCSRSaysWhatIsMissing(t *testing.T) {
	key := ecKey(t, elliptic.P256())
	empty := &est.CSRPlan{Extensions: []est.PlannedExtension{{ID: oidSAN, Value: []byte("\x30\x04\xa4\x02\x30\x00")}}}
	for what, c := range map[string]struct {
		r    est.CSRRequest
		want string
	}{
		"no common name": {est.CSRRequest{Plan: &est.CSRPlan{Subject: [][]est.SubjectAttribute{{{Type: oidCommonName}}}}}, "2.5.4.3"},
		"no address":     {est.CSRRequest{Plan: &est.CSRPlan{Extensions: []est.PlannedExtension{{ID: oidSAN, Value: []byte("\x30\x02\x87\x00")}}}}, "IP address"},
		"no subject":     {est.CSRRequest{Plan: empty}, "subject"},
		"another curve":  {est.CSRRequest{Plan: &est.CSRPlan{Key: &est.KeyPlan{Algorithm: x509.ECDSA, Curve: elliptic.P384()}}}, "p384"},
		"another type":   {est.CSRRequest{Plan: &est.CSRPlan{Key: &est.KeyPlan{Algorithm: x509.RSA}}}, "rsa2048"},
	} {
		der, err := est.CreateCSR(key, &c.r)
		if der != nil || !errors.Is(err, est.ErrCSRPlan) || !strings.Contains(err.Error(), c.want) {
			t.Errorf("CreateCSR with %s = %x, %v; want an error about %s", what, der, err, c.want)
		}
	}
	csr := created(t, key, &est.CSRRequest{Own: device(), Plan: empty})
	if e := extensionOf(csr, oidSAN); e == nil || !bytes.Contains(e.Value, csr.RawSubject) {
		t.Errorf("an empty directoryName became %+v, want the subject", e)
	}
}

func TestCreateCSRCopiesGivenAttributesButNoChallengePassword(t *testing.T) {
	own := est.Attribute{OID: asn1.ObjectIdentifier{2, 999, 1}, Values: [][]byte{{0x0c, 1, 'o'}}}
	plan, err := est.ParseCSRPlan(sequence(attribute(oidTemplate, sequence([]byte{2, 1, 0}, tagged(1, attributesDER(
		est.Attribute{OID: oidChallengePassword, Values: [][]byte{{0x0c, 1, 'x'}}},
		est.Attribute{OID: asn1.ObjectIdentifier{2, 999, 1}, Values: [][]byte{{0x0c, 1, 'g'}}},
		est.Attribute{OID: asn1.ObjectIdentifier{2, 999, 2}, Values: [][]byte{{0x0c, 1, 'G'}}},
		est.Attribute{OID: asn1.ObjectIdentifier{2, 999, 3}},
	))))))
	if err != nil || !plan.Link || len(plan.Given) != 2 || len(plan.Wanted) != 1 {
		t.Fatalf("ParseCSRPlan = %+v, %v", plan, err)
	}
	csr := created(t, ecKey(t, elliptic.P256()), &est.CSRRequest{Own: device(), Plan: plan, Attributes: []est.Attribute{own}})
	if csr.ChallengePassword != "" {
		t.Errorf("challengePassword %q was copied from the server", csr.ChallengePassword)
	}
	for what, has := range map[string]bool{"\x0c\x01o": true, "\x0c\x01G": true, "\x0c\x01g": false} {
		if bytes.Contains(csr.Raw, []byte(what)) != has {
			t.Errorf("%q in the CSR: %v, want %v", what, !has, has)
		}
	}
}

// A server that means no good gets errors, or a CSR that is none the worse: no weak or endless key, no SHA-1, no
// amplification, no challengePassword of its making.
func TestAHostileServerGetsNoBadCSROutOfUs(t *testing.T) {
	rsaOID := asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 1, 1}
	inTemplate := func(parts ...[]byte) []byte { return sequence(attribute(oidTemplate, sequence(parts...))) }
	v1, none := []byte{2, 1, 0}, tagged(1, nil)
	for what, der := range map[string][]byte{
		"RSA with 512 bits":           sequence(attribute(rsaOID, []byte{2, 2, 2, 0})),
		"RSA with 65536 bits":         sequence(attribute(rsaOID, []byte{2, 3, 1, 0, 0})),
		"RSA with 2^63 bits":          sequence(attribute(rsaOID, append([]byte{2, 9, 0x00, 0x80}, make([]byte, 7)...))),
		"RSA with negative bits":      sequence(attribute(rsaOID, []byte{2, 1, 0x80})),
		"a curve that is not known":   sequence(attribute(oidECPublicKey, oidValue(t, oidMacAddress))),
		"a placeholder of 64 bits":    inTemplate(v1, tagged(0, append(sequence(oidValue(t, rsaOID), []byte{5, 0}), placeholder(8)...)), none),
		"a placeholder of 32768 bits": inTemplate(v1, tagged(0, append(sequence(oidValue(t, rsaOID), []byte{5, 0}), placeholder(4096)...)), none),
		"an unknown type of key":      inTemplate(v1, tagged(0, sequence(oidValue(t, oidMacAddress))), none),
		"an unknown curve":            inTemplate(v1, tagged(0, sequence(oidValue(t, oidECPublicKey), oidValue(t, oidMacAddress))), none),
		"two templates":               sequence(attribute(oidTemplate, sequence(v1, none)), attribute(oidTemplate, sequence(v1, none))),
		"a template that is none":     sequence(attribute(oidTemplate, []byte{5, 0})),
		"a template with two values":  sequence(attribute(oidTemplate, sequence(v1, none), sequence(v1, none))),
	} {
		if plan, err := est.ParseCSRPlan(der); plan != nil || err == nil {
			t.Errorf("ParseCSRPlan of %s = %+v, %v", what, plan, err)
		}
	}
	open := bytes.Repeat([]byte("\x87\x00\xa4\x02\x30\x00"), 5000)
	plan := &est.CSRPlan{Extensions: []est.PlannedExtension{{ID: oidSAN, Value: tlv(cbasn1.SEQUENCE, string(open))}}}
	der, err := est.CreateCSR(ecKey(t, elliptic.P256()), &est.CSRRequest{Own: device(), Plan: plan})
	if err != nil || len(der) > 1000 {
		t.Errorf("10,000 open names gave a CSR of %d bytes, %v", len(der), err)
	}
}

// placeholder is the BIT STRING of an RSAPublicKey whose modulus has so many bytes.
func placeholder(size int) []byte {
	modulus := bytes.Repeat([]byte{0x7f}, size)
	return tlv(cbasn1.BIT_STRING, "\x00"+string(sequence(tlv(cbasn1.INTEGER, string(modulus)), []byte{2, 3, 1, 0, 1})))
}

// FuzzCreateCSR has any list become a plan, and the plan a CSR that our own server takes or an error.
func FuzzCreateCSR(f *testing.F) {
	for _, s := range []string{
		"MAsGCSqGSIb3DQEJBw==",
		"MIGpMIGmBgsqhkiG9w0BCRACPTGBljCBkwIBADAsMQcwBQYDVQQDMQ8wDQYDVQQLDAZteURlcHQxEDAOBgNVBAsMB215R3JvdXCgFTATBgcqhkjOPQIBBggqhkjOPQMBB6FJMEcGCyqGSIb3DQEJEAI+MTgwNjAdBgNVHREEFjAUghB3d3cubXlTZXJ2ZXIuY29thwAwDgYDVR0PAQH/BAQDAgOIMAUGA1UdJQ==",
	} {
		der, err := base64.StdEncoding.DecodeString(s)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(der)
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, der []byte) {
		plan, err := est.ParseCSRPlan(der)
		if err != nil {
			return
		}
		if attrs, err := plan.CSRAttrs(); err == nil {
			if _, err := attrs.Plan(); err != nil {
				t.Errorf("what was read as %+v is written as %+v, which is refused: %v", plan, attrs, err)
			}
		}
		csr, err := est.CreateCSR(key, &est.CSRRequest{Own: device(), Plan: plan})
		if err == nil && len(csr) > len(der)+1000 {
			t.Errorf("%d bytes of wishes gave a CSR of %d", len(der), len(csr))
		}
	})
}
