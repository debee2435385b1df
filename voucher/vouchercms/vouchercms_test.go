package vouchercms_test

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/base64"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"math/big"
	"slices"
	"testing"
	"time"

	"github.com/briskest/briskest/internal/cms"
	"github.com/briskest/briskest/internal/testpki"
	"github.com/briskest/briskest/voucher"
	"github.com/briskest/briskest/voucher/vouchercms"
	"github.com/briskest/briskest/voucher/vouchertest"
)

func TestFormatKeepsTheContract(t *testing.T) {
	vouchertest.TestFormat(t, vouchercms.Format{})
}

func TestStrictFormatKeepsTheContract(t *testing.T) {
	vouchertest.TestFormat(t, vouchercms.Format{StrictRFC8366: true})
}

// message is SignedData, to be taken apart and put together.
type message struct {
	Version int
	Digests asn1.RawValue
	Content struct {
		Type  asn1.ObjectIdentifier
		Value asn1.RawValue `asn1:"optional,explicit,tag:0"`
	}
	Certificates asn1.RawValue   `asn1:"optional,tag:0"`
	Signers      []asn1.RawValue `asn1:"set"`
}

type contentInfo struct {
	Type    asn1.ObjectIdentifier
	Content message `asn1:"explicit,tag:0"`
}

func sign(t testing.TB) (der []byte, s *voucher.Signer) {
	t.Helper()
	_, s = vouchertest.NewSigner(t, "MASA")
	der, err := vouchercms.Format{}.SignVoucher(t.Context(), vouchertest.Voucher(t), s)
	if err != nil {
		t.Fatal(err)
	}
	return der, s
}

func takeApart(t testing.TB, der []byte) *contentInfo {
	t.Helper()
	info := new(contentInfo)
	if rest, err := asn1.Unmarshal(der, info); err != nil || len(rest) > 0 {
		t.Fatalf("what we sign: %v, %d bytes left", err, len(rest))
	}
	return info
}

func putTogether(t testing.TB, info *contentInfo) []byte {
	t.Helper()
	der, err := asn1.Marshal(*info)
	if err != nil {
		t.Fatal(err)
	}
	return der
}

// BRSKI-8366BIS-7.1-01, BRSKI-8366BIS-7.1-02: version 3, in DER, id-ct-animaJSONVoucher, content-type and message-digest signed.
// rfc8366bis, Section 7.1.
func TestSignedVoucherIsVersion3WithTheVoucherContentTypeAndSignedAttributes(t *testing.T) {
	der, s := sign(t)
	if again := putTogether(t, takeApart(t, der)); !bytes.Equal(again, der) {
		t.Error("what we sign differs from its DER")
	}
	sd, err := cms.ParseSignedData(der)
	if err != nil {
		t.Fatal(err)
	}
	want := asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 9, 16, 1, 40}
	if sd.Version != 3 || !sd.ContentType.Equal(want) || len(sd.Signers) != 1 || !sd.Signers[0].HasSignedAttributes {
		t.Errorf("version %d, content type %v, %d signers", sd.Version, sd.ContentType, len(sd.Signers))
	}
	if len(sd.Certificates) != 1+len(s.Chain) {
		t.Errorf("%d certificates inside, want the signer's and its chain of %d", len(sd.Certificates), len(s.Chain))
	}
	var types []string
	for _, a := range sd.Signers[0].SignedAttributes {
		types = append(types, a.Type.String())
	}
	slices.Sort(types)
	if !slices.Equal(types, []string{"1.2.840.113549.1.9.3", "1.2.840.113549.1.9.4", "1.2.840.113549.1.9.5"}) {
		t.Errorf("signed attributes %v, want content-type, message-digest and signing-time", types)
	}
}

// BRSKI-8366BIS-7.1-06: a registrar's request is SignedData version 3 in DER with one signer, the voucher content type and signed attributes.
func TestSignedRequestIsVersion3WithTheVoucherContentTypeAndSignedAttributes(t *testing.T) {
	_, s := vouchertest.NewSigner(t, "registrar")
	r := vouchertest.Request(t)
	r.ProximityRegistrarCert, r.PriorSignedVoucherRequest = nil, []byte("the pledge's")
	der, err := vouchercms.Format{}.SignRequest(t.Context(), r, s)
	if err != nil {
		t.Fatal(err)
	}
	if again := putTogether(t, takeApart(t, der)); !bytes.Equal(again, der) {
		t.Error("what we sign differs from its DER")
	}
	sd, err := cms.ParseSignedData(der)
	if err != nil {
		t.Fatal(err)
	}
	want := asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 9, 16, 1, 40}
	if sd.Version != 3 || !sd.ContentType.Equal(want) || len(sd.Signers) != 1 || !sd.Signers[0].HasSignedAttributes {
		t.Errorf("version %d, content type %v, %d signers", sd.Version, sd.ContentType, len(sd.Signers))
	}
}

func TestSigningTimeIsCreatedOnAndAbsentWithoutIt(t *testing.T) {
	der, s := sign(t)
	v, a, err := vouchercms.Format{}.OpenVoucher(der)
	if err != nil || !a.SigningTime.Equal(v.CreatedOn) {
		t.Errorf("SigningTime = %v, %v, want created-on %v", a.SigningTime, err, v.CreatedOn)
	}
	r := vouchertest.Request(t)
	r.CreatedOn = time.Time{}
	if der, err = (vouchercms.Format{}).SignRequest(t.Context(), r, s); err != nil {
		t.Fatal(err)
	}
	if _, a, err = (vouchercms.Format{}).OpenRequest(der); err != nil || !a.SigningTime.IsZero() {
		t.Errorf("SigningTime = %v, %v, want none", a, err)
	}
}

func TestVouchersAreSignedAndOpenedWithEachKindOfKey(t *testing.T) {
	p384, err := ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	rsaKey, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	_, edKey, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	root := testpki.NewRoot(t, "Vendor CA")
	template := func() *x509.Certificate { return &x509.Certificate{Subject: pkix.Name{CommonName: "MASA"}} }
	for name, id := range map[string]*testpki.Identity{
		"P-384": root.Issue(t, template(), p384), "RSA": root.Issue(t, template(), rsaKey), "Ed25519": root.Issue(t, template(), edKey),
	} {
		s := &voucher.Signer{Key: id.Key, Certificate: id.Certificate}
		der, err := vouchercms.Format{}.SignVoucher(t.Context(), vouchertest.Voucher(t), s)
		if err != nil {
			t.Errorf("%s: SignVoucher() = %v", name, err)
			continue
		}
		if _, a, err := (vouchercms.Format{}).OpenVoucher(der); err != nil || len(a.Findings) > 0 {
			t.Errorf("%s: OpenVoucher() = %v, %v", name, a, err)
		}
	}
}

// nqminds N3, minerva, RFC 8995, Appendix C.2.
// BRSKI-8366-5.4-02: version 1, as PKCS #7 has it.
func TestVersion1WithIDDataIsAFindingAndRefusedWhenStrict(t *testing.T) {
	id := testpki.NewRoot(t, "Vendor CA").Issue(t, &x509.Certificate{SubjectKeyId: []byte{1, 2, 3}}, testpki.NewKey(t))
	payload, err := voucher.MarshalVoucher(vouchertest.Voucher(t))
	if err != nil {
		t.Fatal(err)
	}
	for want, byKeyID := range map[string]bool{vouchercms.FindingV1IDData: false, vouchercms.FindingIDData: true} {
		der, err := cms.Sign(&cms.SignRequest{Content: payload, Key: id.Key, Certificate: id.Certificate, UseSubjectKeyID: byKeyID})
		if err != nil {
			t.Fatal(err)
		}
		_, a, err := vouchercms.Format{}.OpenVoucher(der)
		if err != nil || !slices.Equal(findingIDs(a), []string{want}) {
			t.Errorf("OpenVoucher() = %+v, %v, want finding %s", a, err, want)
		}
		if _, _, err := (vouchercms.Format{StrictRFC8366: true}).OpenVoucher(der); !errors.Is(err, vouchercms.ErrContentType) {
			t.Errorf("strict OpenVoucher() = %v, want %v", err, vouchercms.ErrContentType)
		}
	}
}

// RFC 8366, Section 5.4: any CMSVersion is read.
// BRSKI-8366-5.4-02.
func TestTheRightContentTypeInVersion1IsAFinding(t *testing.T) {
	der, _ := sign(t)
	info := takeApart(t, der)
	info.Content.Version = 1
	_, a, err := vouchercms.Format{StrictRFC8366: true}.OpenVoucher(putTogether(t, info))
	if err != nil || !slices.Equal(findingIDs(a), []string{vouchercms.FindingVersion}) {
		t.Errorf("OpenVoucher(version 1) = %+v, %v, want finding %s", a, err, vouchercms.FindingVersion)
	}
}

func findingIDs(a *voucher.Artifact) []string {
	if a == nil {
		return nil
	}
	var ids []string
	for _, f := range a.Findings {
		ids = append(ids, f.ID)
	}
	return ids
}

// BRSKI-8366BIS-7.1-03, BRSKI-8366BIS-7.1-04: without signed attributes it is refused, as voucher and as request.
// Each way in which the envelope is wrong is its own error.
func TestOpenRefusesEnvelopesByName(t *testing.T) {
	der, s := sign(t)
	_, other := sign(t)
	edit := func(change func(*contentInfo)) []byte {
		info := takeApart(t, der)
		change(info)
		return putTogether(t, info)
	}
	custom := func(r *cms.SignRequest) []byte {
		r.Key, r.Certificate = s.Key, s.Certificate
		out, err := cms.Sign(r)
		if err != nil {
			t.Fatal(err)
		}
		return out
	}
	voucherType := cms.OIDAnimaJSONVoucher()
	for _, c := range []struct {
		name string
		data []byte
		want error
	}{
		{"nothing", nil, vouchercms.ErrSyntax},
		{"PEM", pem.EncodeToMemory(&pem.Block{Type: "CMS", Bytes: der}), vouchercms.ErrSyntax},
		{"base64", []byte(base64.StdEncoding.EncodeToString(der)), vouchercms.ErrTrailingData}, // "MI" is a tag and a length,
		{"JSON", []byte(`{"ietf-voucher:voucher":{}}`), vouchercms.ErrSyntax},
		{"one byte more", append(bytes.Clone(der), 0), vouchercms.ErrTrailingData},
		{"too large", make([]byte, vouchercms.MaxArtifact+1), vouchercms.ErrTooLarge},
		{"a certificate", s.Certificate.Raw, vouchercms.ErrSyntax},
		{"other CMS", edit(func(i *contentInfo) { i.Type = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 7, 3} }), vouchercms.ErrNotSignedData},
		{"detached", custom(&cms.SignRequest{ContentType: voucherType, Content: []byte("x"), Detached: true}), vouchercms.ErrNoContent},
		{"no signer", edit(func(i *contentInfo) { i.Content.Signers = nil }), vouchercms.ErrSigners},
		{"two signers", edit(func(i *contentInfo) {
			i.Content.Signers = append(i.Content.Signers, i.Content.Signers[0])
		}), vouchercms.ErrSigners},
		{"another content type", custom(&cms.SignRequest{ContentType: cms.OIDPKIData(), Content: []byte("x")}), vouchercms.ErrContentType},
		{"content type changed", edit(func(i *contentInfo) { i.Content.Content.Type = cms.OIDData() }), vouchercms.ErrContentTypeMismatch},
		{"content changed", bytes.Replace(der, []byte("PEER-0001"), []byte("PEER-0002"), 1), vouchercms.ErrDigestMismatch},
		{"attributes cut away", edit(withoutAttributes(t)), vouchercms.ErrNoSignedAttributes},
		{"certificates cut away", edit(func(i *contentInfo) { i.Content.Certificates = asn1.RawValue{} }), vouchercms.ErrNoSignerCertificate},
		{"another's certificate", custom(&cms.SignRequest{ContentType: voucherType, Content: []byte("x"), OmitCertificates: true,
			Chain: []*x509.Certificate{other.Certificate}}), vouchercms.ErrNoSignerCertificate},
		{"content is no JSON", custom(&cms.SignRequest{ContentType: voucherType, Content: []byte("x")}), voucher.ErrSyntax},
		{"a crowd of certificates", custom(&cms.SignRequest{ContentType: voucherType, Content: []byte("x"),
			Chain: slices.Repeat([]*x509.Certificate{other.Certificate}, voucher.MaxCertificates)}), vouchercms.ErrTooManyCertificates},
		{"a huge key", custom(&cms.SignRequest{ContentType: voucherType, Content: []byte("x"),
			Chain: []*x509.Certificate{hugeKey(t)}}), vouchercms.ErrKeySize},
		{"content is empty", custom(&cms.SignRequest{ContentType: voucherType, Content: []byte{}}), voucher.ErrSyntax},
	} {
		if _, _, err := (vouchercms.Format{}).OpenVoucher(c.data); !errors.Is(err, c.want) {
			t.Errorf("%s: OpenVoucher() = %v, want %v", c.name, err, c.want)
		}
		if _, _, err := (vouchercms.Format{}).OpenRequest(c.data); !errors.Is(err, c.want) {
			t.Errorf("%s: OpenRequest() = %v, want %v", c.name, err, c.want)
		}
	}
}

// hugeKey returns a certificate whose RSA key is one bit too long, and no key at all: nobody is to find out.
func hugeKey(t *testing.T) *x509.Certificate {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	n := new(big.Int).Lsh(big.NewInt(1), 8192)
	template := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "huge"}, NotAfter: time.Now().Add(time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &rsa.PublicKey{N: n.SetBit(n, 0, 1), E: 65537}, key)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return cert
}

// withoutAttributes removes the signed attributes and leaves the signature, also for id-data, where CMS allows it.
func withoutAttributes(t *testing.T) func(*contentInfo) {
	return func(info *contentInfo) {
		var fields []asn1.RawValue
		if _, err := asn1.Unmarshal(info.Content.Signers[0].FullBytes, &fields); err != nil {
			t.Fatal(err)
		}
		fields = slices.DeleteFunc(fields, func(f asn1.RawValue) bool { return f.Class == asn1.ClassContextSpecific })
		signer, err := asn1.Marshal(fields)
		if err != nil {
			t.Fatal(err)
		}
		info.Content.Signers[0] = asn1.RawValue{FullBytes: signer}
		info.Content.Content.Type = cms.OIDData()
	}
}

// R6, and nested inputs.
func TestHostileBytesAreErrors(t *testing.T) {
	inputs := [][]byte{bytes.Repeat([]byte{0x30, 0x80}, 128<<10), bytes.Repeat([]byte{0xa0, 0x80}, 64<<10)}
	for _, text := range []string{"1f80", "1f05", "3081", "308401", "308206", "5f4d"} {
		b, err := hex.DecodeString(text)
		if err != nil {
			t.Fatal(err)
		}
		inputs = append(inputs, b)
	}
	for _, in := range inputs {
		if _, _, err := (vouchercms.Format{}).OpenVoucher(in); err == nil {
			t.Errorf("OpenVoucher(%.12x) = nil, want an error", in)
		}
		if _, _, err := (vouchercms.Format{}).OpenRequest(in); err == nil {
			t.Errorf("OpenRequest(%.12x) = nil, want an error", in)
		}
	}
}

func TestASignerWhoseCertificateIsNotInsideIsFoundAmongTheKnown(t *testing.T) {
	der, s := sign(t)
	info := takeApart(t, der)
	info.Content.Certificates = asn1.RawValue{}
	der = putTogether(t, info)
	_, other := vouchertest.NewSigner(t, "other")
	if _, _, err := (vouchercms.Format{Known: []*x509.Certificate{other.Certificate}}).OpenVoucher(der); !errors.Is(err, vouchercms.ErrNoSignerCertificate) {
		t.Errorf("OpenVoucher(another known) = %v, want %v", err, vouchercms.ErrNoSignerCertificate)
	}
	_, a, err := vouchercms.Format{Known: []*x509.Certificate{other.Certificate, s.Certificate}}.OpenVoucher(der)
	if err != nil || !a.Signer.Equal(s.Certificate) || !slices.Equal(findingIDs(a), []string{vouchercms.FindingSignerNotInside}) {
		t.Errorf("OpenVoucher(known) = %+v, %v, want the signer and a finding", a, err)
	}
}

func TestSignPayloadSignsWhateverItIsGiven(t *testing.T) {
	_, s := vouchertest.NewSigner(t, "unkind MASA")
	der, err := vouchercms.Format{}.SignPayload(t.Context(), []byte("no voucher"), time.Time{}, s)
	if err != nil {
		t.Fatal(err)
	}
	if _, _, err := (vouchercms.Format{}).OpenVoucher(der); !errors.Is(err, voucher.ErrSyntax) {
		t.Errorf("OpenVoucher() = %v, want %v", err, voucher.ErrSyntax)
	}
}

func fuzzSeeds(f *testing.F) {
	der, s := sign(f)
	f.Add(der)
	f.Add(der[:len(der)/2])
	f.Add(bytes.Replace(der, []byte("PEER-0001"), []byte("PEER-0002"), 1))
	for _, data := range [][]byte{[]byte("x"), []byte(`{"ietf-voucher:voucher":{"serial-number":"x"}}`)} {
		seed, err := vouchercms.Format{}.SignPayload(f.Context(), data, time.Time{}, s)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(seed)
	}
	f.Add([]byte{0x30, 0x80, 0x06, 0x09})
}

func FuzzOpenVoucher(f *testing.F) {
	fuzzSeeds(f)
	f.Fuzz(func(t *testing.T, data []byte) {
		v, a, err := vouchercms.Format{}.OpenVoucher(data)
		if (err == nil) != (v != nil) || (err == nil) != (a != nil) {
			t.Fatalf("OpenVoucher() = %v, %v, %v: a result or an error", v, a, err)
		}
		if err == nil && (a.Signer == nil || v.SerialNumber == "") {
			t.Errorf("OpenVoucher() has no signer or no serial number: %+v, %+v", v, a)
		}
	})
}

func FuzzOpenRequest(f *testing.F) {
	fuzzSeeds(f)
	f.Fuzz(func(t *testing.T, data []byte) {
		r, a, err := vouchercms.Format{}.OpenRequest(data)
		if (err == nil) != (r != nil) || (err == nil) != (a != nil) {
			t.Fatalf("OpenRequest() = %v, %v, %v: a result or an error", r, a, err)
		}
		if err == nil && (a.Signer == nil || r.SerialNumber == "") {
			t.Errorf("OpenRequest() has no signer or no serial number: %+v, %+v", r, a)
		}
	})
}
