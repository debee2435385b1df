package cmc_test

import (
	"bytes"
	"crypto"
	"crypto/x509"
	"encoding/asn1"
	"errors"
	"math/big"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/briskest/briskest/internal/cmc"
	"github.com/briskest/briskest/internal/cms"
	"github.com/briskest/briskest/internal/cmstest"
)

// crmf makes a CRMF request that asks for the same as the PKCS #10 request.
func crmf(t testing.TB, key crypto.Signer, like *x509.CertificateRequest, controls ...cmc.CRMFAttribute) cmc.Request {
	t.Helper()
	r, err := cmc.NewCRMF(&cmc.CRMFRequest{
		ID: 2, Key: key, Controls: controls, Template: cmc.CertTemplate{RawSubject: like.RawSubject, Extensions: like.Extensions},
	})
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// EST-5272-3.2.1.2.2-01: CRMF requests are read, and say to the profile what a PKCS #10 request for the same says; the key's
// signature over the CertRequest proves possession.
func TestBothFormsOfRequestAskTheSame(t *testing.T) {
	for _, kind := range cmstest.Kinds() {
		key := cmstest.New(t, kind).Key
		tcr := pkcs10(t, key, "pledge")
		crm := crmf(t, key, tcr.PKCS10)
		d, err := cmc.ParsePKIData(marshal(t, &cmc.PKIData{Requests: []cmc.Request{tcr, crm}}))
		if err != nil {
			t.Fatal(err)
		}
		want, _ := d.Request(1).Ask()
		got, err := d.Request(2).Ask()
		if err != nil || d.Request(3) != nil {
			t.Fatalf("%s: Ask = %v", kind, err)
		}
		if !bytes.Equal(got.RawSubject, want.RawSubject) || !reflect.DeepEqual(got.Subject, want.Subject) || !slices.Equal(got.DNSNames, want.DNSNames) ||
			!bytes.Equal(got.RawSubjectPublicKeyInfo, want.RawSubjectPublicKeyInfo) || !reflect.DeepEqual(got.Extensions, want.Extensions) ||
			!reflect.DeepEqual(got.PublicKey, want.PublicKey) || len(got.DNSNames) != 1 {
			t.Errorf("%s: CRMF asks for %+v, want %+v", kind, got, want)
		}
		if got.Raw != nil || got.Signature != nil || got.CheckSignature() == nil {
			t.Errorf("%s: what Ask makes of CRMF passes for a signed request", kind)
		}
		for i := range d.Requests {
			r := &d.Requests[i]
			if err := r.VerifyPOP(); err != nil || r.POP() != cmc.POPSignature || !bytes.Equal(r.SubjectKeyID(), keyID(key)) {
				t.Errorf("%s: request %d: VerifyPOP = %v, subject key identifier %x", kind, r.ID, err, r.SubjectKeyID())
			}
		}
	}
}

func TestPOPIsOverTheBytesReceived(t *testing.T) {
	key, other := cmstest.New(t, "P-256").Key, cmstest.New(t, "P-256").Key
	tcr := pkcs10(t, key, "pledge")
	for name, r := range map[string]cmc.Request{"PKCS #10": tcr, "CRMF": crmf(t, key, tcr.PKCS10)} {
		raw := bytes.Replace(r.Raw, []byte("pledge"), []byte("plEdge"), 1)
		d, err := cmc.ParsePKIData(pkiData(nil, raw))
		if err != nil {
			t.Fatal(err)
		}
		if e := failure(t, d.Requests[0].VerifyPOP(), cmc.FailPOPFailed); !errors.Is(e, cmc.ErrPOP) || !named(e, cmc.BodyPartPath{r.ID}) {
			t.Errorf("%s with another subject: %v", name, e)
		}
	}
	spki, _ := x509.MarshalPKIXPublicKey(other.Public())
	r, err := cmc.NewCRMF(&cmc.CRMFRequest{ID: 5, Key: key, Template: cmc.CertTemplate{RawSubjectPublicKeyInfo: spki}})
	if err != nil {
		t.Fatal(err)
	}
	failure(t, r.VerifyPOP(), cmc.FailPOPFailed)
}

func TestOtherProofsAreForTheCallerToDecide(t *testing.T) {
	spki, _ := x509.MarshalPKIXPublicKey(cmstest.New(t, "P-256").Key.Public())
	for _, c := range []struct {
		raVerified bool
		want       cmc.POP
	}{{true, cmc.POPRAVerified}, {false, cmc.POPNone}} {
		r, err := cmc.NewCRMF(&cmc.CRMFRequest{ID: 1, RAVerified: c.raVerified, Template: cmc.CertTemplate{RawSubjectPublicKeyInfo: spki}})
		if err != nil {
			t.Fatal(err)
		}
		d, err := cmc.ParsePKIData(marshal(t, &cmc.PKIData{Requests: []cmc.Request{r}}))
		if err != nil || d.Requests[0].POP() != c.want {
			t.Fatalf("POP of %+v: %v, %v", c, d, err)
		}
		if e := failure(t, d.Requests[0].VerifyPOP(), cmc.FailPOPRequired); !named(e, cmc.BodyPartPath{1}) {
			t.Errorf("VerifyPOP = %v, want it to be about 1", e)
		}
	}
	for tag := byte(0xa2); tag <= 0xa3; tag++ {
		d, err := cmc.ParsePKIData(pkiData(nil, crmfBytes(seq(subject(), publicKey(spki)), cmstest.Element(tag, []byte{0x81, 1, 0}))))
		if err != nil || d.Requests[0].POP() != cmc.POPEncryption {
			t.Errorf("proof of tag %#x: %v, want POPEncryption", tag, err)
		}
	}
}

func subject() []byte { return cmstest.Element(0xa5, seq()) }

// publicKey is field [6] of a template.
func publicKey(spki []byte) []byte {
	var contents asn1.RawValue
	if _, err := asn1.Unmarshal(spki, &contents); err != nil {
		panic(err)
	}
	return cmstest.Element(0xa6, contents.Bytes)
}

// crmfBytes is a TaggedRequest with certReqId 9.
func crmfBytes(template []byte, rest ...[]byte) []byte {
	return cmstest.Element(0xa1, append([][]byte{seq(id(9), template)}, rest...)...)
}

// RFC 5272, Section 3.2.1.2.2, forbids POPOSigningKeyInput: one whose signature is right is refused, because it would leave
// the names of the template open, and so is one beside a signature over the CertRequest.
func TestPOPOSigningKeyInputIsRefused(t *testing.T) {
	key := cmstest.New(t, "Ed25519").Key
	spki, _ := x509.MarshalPKIXPublicKey(key.Public())
	template := seq(subject(), publicKey(spki))
	contents := append(cmstest.Element(0xa0, cmstest.Element(0x82, []byte("sender"))), spki...)
	algorithm := cmstest.Algorithm(asn1.ObjectIdentifier{1, 3, 101, 112})
	for name, signed := range map[string][]byte{"the input": seq(contents), "the CertRequest": seq(id(9), template)} {
		signature, err := key.Sign(nil, signed, crypto.Hash(0))
		if err != nil {
			t.Fatal(err)
		}
		proof := cmstest.Element(0xa1, cmstest.Element(0xa0, contents), algorithm, cmstest.Element(3, []byte{0}, signature))
		d, err := cmc.ParsePKIData(pkiData(nil, crmfBytes(template, proof)))
		if err != nil {
			t.Fatalf("signed is %s: %v", name, err)
		}
		failure(t, d.Requests[0].VerifyPOP(), cmc.FailPOPFailed)
	}
}

func TestTemplatesWithTheServersFieldsAreRefused(t *testing.T) {
	spki, _ := x509.MarshalPKIXPublicKey(cmstest.New(t, "P-256").Key.Public())
	key := publicKey(spki)
	validity := cmstest.Element(0xa4, cmstest.Element(0xa1, cmstest.Element(0x17, []byte("300101000000Z"))))
	issuer := cmstest.Element(0xa3, seq())
	d, err := cmc.ParsePKIData(pkiData(nil, crmfBytes(seq([]byte{0x80, 1, 2}, issuer, validity, subject(), key))))
	if err != nil {
		t.Fatalf("a template with version 3, issuer and validity: %v", err)
	}
	if c := d.Requests[0].CRMF.Template; c.NotAfter != time.Date(2030, 1, 1, 0, 0, 0, 0, time.UTC) || !c.NotBefore.IsZero() || c.RawIssuer == nil {
		t.Errorf("template %+v", c)
	}
	for title, template := range map[string][]byte{
		"version 1":               seq([]byte{0x80, 1, 0}, subject(), key),
		"serial number":           seq([]byte{0x81, 1, 7}, subject(), key),
		"signing algorithm":       seq(cmstest.Element(0xa2, []byte{6, 1, 0x2a}), subject(), key),
		"issuer's unique ID":      seq(subject(), key, []byte{0x87, 1, 0}),
		"subject's unique ID":     seq(subject(), key, []byte{0x88, 1, 0}),
		"no subject":              seq(key),
		"no public key":           seq(subject()),
		"fields in another order": seq(key, subject()),
		"a field of its own":      seq(subject(), key, cmstest.Element(0xaa, nil)),
		"an extension twice":      seq(subject(), key, cmstest.Element(0xa9, seq([]byte{6, 1, 0x2a}, []byte{4, 0}), seq([]byte{6, 1, 0x2a}, []byte{4, 0}))),
	} {
		_, err := cmc.ParsePKIData(pkiData(nil, crmfBytes(template)))
		if e := failure(t, err, cmc.FailBadRequest); !named(e, cmc.BodyPartPath{9}) {
			t.Errorf("%s: %v, want it to be about 9", title, err)
		}
		if server := !strings.Contains(title, "field") && !strings.Contains(title, "twice"); server && !errors.Is(err, cmc.ErrTemplate) {
			t.Errorf("%s: %v, want ErrTemplate", title, err)
		}
	}
	_, err = cmc.ParsePKIData(pkiData(nil, crmfBytes(seq(subject(), key), seq(seq([]byte{6, 1, 0x2a}, []byte{5, 0})))))
	if !errors.Is(err, cmc.ErrTemplate) {
		t.Errorf("regInfo: %v, want ErrTemplate", err)
	}
}

// EST-5272-3.2.1-01: a request of an unknown type is kept, and says noSupport when it is to be used.
func TestAnotherTypeOfRequestSaysNoSupport(t *testing.T) {
	other := &cmc.OtherRequest{Type: asn1.ObjectIdentifier{1, 2, 3}, Value: []byte{5, 0}}
	d, err := cmc.ParsePKIData(marshal(t, &cmc.PKIData{Requests: []cmc.Request{{ID: 3, Other: other}}}))
	if err != nil || !reflect.DeepEqual(d.Requests[0].Other, other) {
		t.Fatalf("%+v, %v", d, err)
	}
	for _, err := range []error{d.Requests[0].VerifyPOP(), second(d.Requests[0].Ask())} {
		if e := failure(t, err, cmc.FailBadRequest); e.Status != cmc.StatusNoSupport || !named(e, cmc.BodyPartPath{3}) {
			t.Errorf("%v, want noSupport about 3", err)
		}
	}
	if d.Requests[0].SubjectKeyID() != nil || d.Requests[0].POP() != cmc.POPNone {
		t.Error("a request of another type has a key")
	}
}

func second[T any](_ T, err error) error { return err }

func TestRequestsThatCannotBeReadAreNamed(t *testing.T) {
	for title, der := range map[string][]byte{
		"a PKCS #10 request that is none": cmstest.Element(0xa0, id(4), seq()),
		"one with more after it":          cmstest.Element(0xa0, id(4), csr(t, cmstest.New(t, "P-256").Key, "x"), []byte{5, 0}),
	} {
		_, err := cmc.ParsePKIData(pkiData(nil, der))
		if e := failure(t, err, cmc.FailBadRequest); !named(e, cmc.BodyPartPath{4}) {
			t.Errorf("%s: %v, want it to be about 4", title, err)
		}
	}
	_, err := cmc.ParsePKIData(pkiData(nil, cmstest.Element(0xa3, id(4))))
	failure(t, err, cmc.FailBadRequest)
	if _, err := cmc.NewPKCS10(1, []byte("no request")); !errors.Is(err, cmc.ErrSyntax) {
		t.Errorf("NewPKCS10 = %v, want ErrSyntax", err)
	}
}

// EST-6402-2.8-02: at least one of the two names is there.
// EST-6402-2.8-04: both encodings of ChangeSubjectName are read, from PKCS #10 and from CRMF, and mean the same.
func TestChangeSubjectNameIsReadInBothEncodings(t *testing.T) {
	for name, want := range map[string]struct{ subject, names bool }{
		"csr-csn-both-tagged-erratum3943": {true, true}, "csr-csn-both-untagged": {true, true}, "csr-csn-subject-only": {true, false},
		"csr-csn-san-only-tagged-erratum3943": {false, true}, "csr-csn-san-only-untagged-rfc6402": {false, true},
	} {
		r, err := cmc.NewPKCS10(1, vector(t, "constructed/"+name+".der"))
		if err != nil {
			t.Fatal(err)
		}
		c, err := r.ChangeSubjectName()
		if err != nil || c == nil || (c.RawSubject != nil) != want.subject || (c.RawAltName != nil) != want.names {
			t.Errorf("%s: %+v, %v, want subject %v, names %v", name, c, err, want.subject, want.names)
			continue
		}
		value, err := c.Marshal()
		if err != nil {
			t.Fatal(err)
		}
		key := cmstest.New(t, "P-256").Key
		crm := crmf(t, key, r.PKCS10, cmc.CRMFAttribute{Type: asn1.ObjectIdentifier{1, 3, 6, 1, 5, 5, 7, 7, 36}, Value: value})
		if again, err := crm.ChangeSubjectName(); err != nil || !reflect.DeepEqual(again, c) {
			t.Errorf("%s by CRMF: %+v, %v, want %+v", name, again, err, c)
		}
	}
	r, err := cmc.NewPKCS10(1, vector(t, "constructed/csr-csn-empty-invalid.der"))
	if err != nil {
		t.Fatal(err)
	}
	failure(t, second(r.ChangeSubjectName()), cmc.FailBadRequest)
	if r, _ = cmc.NewPKCS10(1, vector(t, "constructed/csr-p256-plain.der")); second(r.ChangeSubjectName()) != nil {
		t.Error("a request without the attribute has an error")
	}
}

func TestWeakRequestsAreBadAlg(t *testing.T) {
	for _, name := range []string{"neg-csr-rsa2048-sha1", "neg-csr-rsa1024-sha256", "neg-csr-rsa2048-md5"} {
		r, err := cmc.NewPKCS10(1, vector(t, "constructed/"+name+".der"))
		if err != nil {
			t.Fatal(err)
		}
		failure(t, r.VerifyPOP(), cmc.FailBadAlg)
	}
	r, err := cmc.NewPKCS10(1, vector(t, "constructed/neg-csr-bad-signature.der"))
	if err != nil {
		t.Fatal(err)
	}
	failure(t, r.VerifyPOP(), cmc.FailPOPFailed)
}

func TestTrustAnchorsAreMatchedByHash(t *testing.T) {
	a, b, c := cmstest.New(t, "P-256").Certificate, cmstest.New(t, "P-256").Certificate, cmstest.New(t, "P-256").Certificate
	hash := func(c *x509.Certificate) []byte { return cmstest.Digest(crypto.SHA256, c.Raw) }
	sha256 := cms.AlgorithmIdentifier{OID: asn1.ObjectIdentifier{2, 16, 840, 1, 101, 3, 4, 2, 1}}
	anchors := &cmc.TrustAnchors{Sequence: big.NewInt(1), Hash: sha256, Hashes: [][]byte{hash(b), hash(a)}}
	got, err := anchors.Match([]*x509.Certificate{a, b, c})
	if err != nil || len(got) != 2 || got[0] != b || got[1] != a {
		t.Errorf("Match = %v, %v, want b and a, and not c", got, err)
	}
	if _, err := anchors.Match([]*x509.Certificate{b, c}); !errors.Is(err, cmc.ErrReference) {
		t.Errorf("Match without a = %v, want ErrReference", err)
	}
	anchors.Hash.OID = asn1.ObjectIdentifier{1, 3, 14, 3, 2, 26}
	if _, err := anchors.Match([]*x509.Certificate{a, b}); !errors.Is(err, cmc.ErrWeakAlgorithm) {
		t.Errorf("Match by SHA-1 = %v, want ErrWeakAlgorithm", err)
	}
}
