package cmc_test

import (
	"bytes"
	"crypto/x509"
	"encoding/asn1"
	"errors"
	"math/big"
	"slices"
	"testing"
	"time"

	"github.com/briskest/briskest/internal/cmc"
	"github.com/briskest/briskest/internal/cms"
	"github.com/briskest/briskest/internal/cmstest"
)

// message is a SignedData over PKIData as the test wants it.
func message(t testing.TB, content []byte, signers ...cmstest.Signer) []byte {
	t.Helper()
	m := &cmstest.Message{Version: 3, ContentType: cms.OIDPKIData(), Content: content}
	for _, s := range signers {
		if s.Attributes == nil {
			s.Attributes = [][]byte{cmstest.ContentType(cms.OIDPKIData()), cmstest.MessageDigest(crypto256, content)}
		}
		if s.Digest == nil {
			s.Digest = cmstest.SHA256()
		}
		if s.Algorithm == nil {
			s.Algorithm = cmstest.Algorithm(asn1.ObjectIdentifier{1, 2, 840, 10045, 4, 3, 2})
		}
		m.Certificates = append(m.Certificates, s.Identity.Certificate.Raw)
		m.Signers = append(m.Signers, s)
	}
	return m.Bytes(t)
}

// contentOf is the content of a ContentInfo.
func contentOf(t testing.TB, der []byte) []byte {
	t.Helper()
	var info struct {
		Type    asn1.ObjectIdentifier
		Content asn1.RawValue
	}
	if _, err := asn1.Unmarshal(der, &info); err != nil {
		t.Fatal(err)
	}
	return info.Content.Bytes
}

// EST-5272-5-01: signed only, enveloped, and signed again outside of the envelope are opened, with the same result.
func TestThreeFormsOfEnvelopeOpenToTheSame(t *testing.T) {
	ra := cmstest.New(t, "P-256")
	d := &cmc.PKIData{
		Controls: []cmc.Control{{ID: 7, Value: cmc.SenderNonce("nonce")}},
		Requests: []cmc.Request{pkcs10(t, cmstest.New(t, "P-256").Key, "pledge")},
	}
	signed := sign(t, d, ra)
	for _, kind := range []string{"P-256", "P-384", "RSA"} {
		server := cmstest.New(t, kind)
		o := &cmc.OpenOptions{Keys: []*cms.RecipientKey{
			{Certificate: ra.Certificate, Key: ra.Key}, {Certificate: server.Certificate, Key: server.Key},
		}}
		enveloped, err := cmc.Envelop(signed, []*x509.Certificate{server.Certificate}, nil)
		if err != nil {
			t.Fatal(err)
		}
		outer, err := cmc.Envelop(signed, []*x509.Certificate{server.Certificate}, &cmc.Signing{Key: ra.Key, Certificate: ra.Certificate})
		if err != nil {
			t.Fatal(err)
		}
		for name, der := range map[string][]byte{"signed": signed, "enveloped": enveloped, "signed outside": outer, "BER outside": cmstest.Indefinite(outer, 100)} {
			f := open(t, der, o)
			if !bytes.Equal(marshal(t, f.Data), marshal(t, d)) || len(f.Signers) != 1 || !f.Signers[0].Certificate.Equal(ra.Certificate) {
				t.Errorf("%s for %s: not what was sent", name, kind)
			}
			if f.Encrypted == (name == "signed") || (len(f.OuterSigners) == 1) != (name == "signed outside" || name == "BER outside") {
				t.Errorf("%s for %s: encrypted %v, %d outer signers", name, kind, f.Encrypted, len(f.OuterSigners))
			}
		}
		// RFC 5272, Section 3.2.1.3.3: an envelope that does not open is badMessageCheck.
		_, err = cmc.OpenRequest(enveloped, nil)
		if e := failure(t, err, cmc.FailBadMessageCheck); !errors.Is(e, cmc.ErrEncrypted) || !named(e, cmc.BodyPartPath{0}) {
			t.Errorf("an envelope for somebody else: %v", err)
		}
		changed := bytes.Clone(outer)
		changed[len(changed)-1] ^= 1
		_, err = cmc.OpenRequest(changed, o)
		failure(t, err, cmc.FailBadMessageCheck)
		nobody := &cmstest.Message{Version: 3, ContentType: cms.OIDEnvelopedData(), Content: contentOf(t, enveloped)}
		_, err = cmc.OpenRequest(nobody.Bytes(t), o)
		if e := failure(t, err, cmc.FailBadMessageCheck); !errors.Is(e, cmc.ErrUnsigned) {
			t.Errorf("an outer SignedData that nobody signed: %v", err)
		}
	}
}

func TestOtherNestingIsNoRequest(t *testing.T) {
	server := cmstest.New(t, "P-256")
	o := &cmc.OpenOptions{Keys: []*cms.RecipientKey{{Certificate: server.Certificate, Key: server.Key}}}
	recipients := []*x509.Certificate{server.Certificate}
	envelop := func(kind asn1.ObjectIdentifier, content []byte) []byte {
		der, err := cms.Encrypt(&cms.EncryptRequest{ContentType: kind, Content: content, Recipients: recipients, Authenticated: true})
		if err != nil {
			t.Fatal(err)
		}
		return der
	}
	signAs := func(kind asn1.ObjectIdentifier, content []byte) []byte {
		der, err := cms.Sign(&cms.SignRequest{ContentType: kind, Content: content, Key: server.Key, Certificate: server.Certificate})
		if err != nil {
			t.Fatal(err)
		}
		return der
	}
	d := marshal(t, &cmc.PKIData{})
	signed := sign(t, &cmc.PKIData{}, server)
	body := func(der []byte) []byte { return contentOf(t, der) }
	open(t, envelop(cms.OIDSignedData(), body(signed)), o) // AuthEnvelopedData opens
	signedEnvelope := signAs(cms.OIDAuthEnvelopedData(), body(envelop(cms.OIDSignedData(), body(signed))))
	for title, der := range map[string][]byte{
		"an envelope around bare PKIData":     envelop(cms.OIDPKIData(), d),
		"a signature around bare enveloped":   signAs(cms.OIDEnvelopedData(), body(envelop(cms.OIDPKIData(), d))),
		"a ContentInfo in an envelope":        envelop(cms.OIDSignedData(), signed),
		"an envelope in a signed envelope":    envelop(cms.OIDSignedData(), body(signedEnvelope)),
		"two signatures":                      signAs(cms.OIDSignedData(), body(signed)),
		"a voucher":                           signAs(cms.OIDAnimaJSONVoucher(), []byte("{}")),
		"a response":                          signAs(cms.OIDPKIResponse(), seq(seq(), seq(), seq())),
		"nothing in an envelope":              envelop(cms.OIDSignedData(), nil),
		"id-data":                             seq(cmstest.OID(cms.OIDData()), cmstest.Element(0xa0, []byte{4, 0})),
		"AuthenticatedData":                   seq(cmstest.OID(asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 9, 16, 1, 2}), cmstest.Element(0xa0, seq())),
		"EnvelopedData without content":       seq(cmstest.OID(cms.OIDEnvelopedData())),
		"SignedData without content (R5, R7)": message(t, nil, cmstest.Signer{Identity: server}),
		"a PKCS #10 request":                  csr(t, server.Key, "pledge"),
		"a certs-only message":                (&cmstest.Message{ContentType: cms.OIDData(), Certificates: [][]byte{server.Certificate.Raw}}).Bytes(t),
		"bytes after it":                      append(bytes.Clone(signed), 0),
		"nothing":                             nil,
	} {
		f, err := cmc.OpenRequest(der, o)
		var e *cmc.Error
		if f != nil || !errors.As(err, &e) || e.FailInfo != cmc.FailBadRequest || !named(e, cmc.BodyPartPath{0}) {
			t.Errorf("%s: %v, %v, want badRequest about the message", title, f, err)
		}
		if title == "AuthenticatedData" && !errors.Is(err, cmc.ErrAuthenticatedData) {
			t.Errorf("%s: %v, want ErrAuthenticatedData", title, err)
		}
	}
}

// EST-5272-3.2-04: a message signed with the key being certified names it by the subject key identifier that the request asks
// for, and has one signer; other forms are refused.
func TestRequestKeySignsByItsSubjectKeyIdentifier(t *testing.T) {
	for _, kind := range cmstest.Kinds() {
		pledge := cmstest.New(t, kind)
		tcr := pkcs10(t, pledge.Key, "pledge")
		for name, r := range map[string]cmc.Request{"PKCS #10": tcr, "CRMF": crmf(t, pledge.Key, tcr.PKCS10)} {
			d := &cmc.PKIData{Requests: []cmc.Request{r}}
			der, err := cmc.SignRequest(d, &cmc.Signing{Key: pledge.Key, SubjectKeyID: keyID(pledge.Key)})
			if err != nil {
				t.Fatal(err)
			}
			f := open(t, der, nil)
			if s := f.Signers; len(s) != 1 || s[0].Certificate != nil || s[0].Request != f.Data.Request(r.ID) || len(f.Certificates) != 0 {
				t.Errorf("%s by %s: signers %+v", name, kind, s)
			}
			wrong, err := cmc.SignRequest(d, &cmc.Signing{Key: pledge.Key, SubjectKeyID: []byte("another")})
			if err != nil {
				t.Fatal(err)
			}
			_, err = cmc.OpenRequest(wrong, nil)
			if e := failure(t, err, cmc.FailBadMessageCheck); !errors.Is(e, cmc.ErrNoSignerKey) || e.Received == nil {
				t.Errorf("%s by another subject key identifier: %v", name, err)
			}
			thief := cmstest.New(t, kind)
			stolen, err := cmc.SignRequest(d, &cmc.Signing{Key: thief.Key, SubjectKeyID: keyID(pledge.Key)})
			if err != nil {
				t.Fatal(err)
			}
			_, err = cmc.OpenRequest(stolen, nil)
			if e := failure(t, err, cmc.FailBadMessageCheck); !errors.Is(e, cms.ErrSignature) {
				t.Errorf("%s signed by another key: %v", name, err)
			}
		}
	}
	pledge, other := cmstest.New(t, "P-256"), cmstest.New(t, "P-256")
	ski := keyID(pledge.Key)
	named := &cmstest.Identity{Key: pledge.Key, Certificate: &x509.Certificate{SubjectKeyId: ski, RawIssuer: seq(), SerialNumber: big.NewInt(1)}}
	content := marshal(t, &cmc.PKIData{Requests: []cmc.Request{pkcs10(t, pledge.Key, "pledge")}})
	_, err := cmc.OpenRequest(withoutCertificates(t, content, cmstest.Signer{Identity: named}), nil)
	if e := failure(t, err, cmc.FailBadMessageCheck); !errors.Is(e, cmc.ErrNoSignerKey) {
		t.Errorf("issuer and serial number without a certificate: %v", err)
	}
	_, err = cmc.OpenRequest(message(t, content, cmstest.Signer{Identity: other}, cmstest.Signer{Identity: named, BySubjectKeyID: true}), nil)
	if e := failure(t, err, cmc.FailBadRequest); !errors.Is(e, cmc.ErrSigners) {
		t.Errorf("a certificate's signature beside that of the request's key: %v, want ErrSigners", err)
	}
	// Two requests for different keys with one subject key identifier leave open whose signature it is.
	second, err := cmc.NewPKCS10(2, csr(t, other.Key, "other", keyIDExtension(ski)))
	if err != nil {
		t.Fatal(err)
	}
	der, err := cmc.SignRequest(&cmc.PKIData{Requests: []cmc.Request{pkcs10(t, pledge.Key, "pledge"), second}}, &cmc.Signing{Key: pledge.Key, SubjectKeyID: ski})
	if err != nil {
		t.Fatal(err)
	}
	_, err = cmc.OpenRequest(der, nil)
	failure(t, err, cmc.FailBadMessageCheck)
	// Without the extension in the request there is no subject key identifier to agree with.
	bare, err := cmc.NewPKCS10(1, csr(t, pledge.Key, "pledge"))
	if err != nil {
		t.Fatal(err)
	}
	if der, err = cmc.SignRequest(&cmc.PKIData{Requests: []cmc.Request{bare}}, &cmc.Signing{Key: pledge.Key, SubjectKeyID: ski}); err != nil {
		t.Fatal(err)
	}
	_, err = cmc.OpenRequest(der, nil)
	failure(t, err, cmc.FailBadMessageCheck)
}

// withoutCertificates is message with an empty certificates field.
func withoutCertificates(t testing.TB, content []byte, s cmstest.Signer) []byte {
	s.Attributes = [][]byte{cmstest.ContentType(cms.OIDPKIData()), cmstest.MessageDigest(crypto256, content)}
	s.Digest, s.Algorithm = cmstest.SHA256(), cmstest.Algorithm(asn1.ObjectIdentifier{1, 2, 840, 10045, 4, 3, 2})
	return (&cmstest.Message{Version: 3, ContentType: cms.OIDPKIData(), Content: content, Signers: []cmstest.Signer{s}}).Bytes(t)
}

// EST-5272-3.2.1.3.4-01: every signature is verified, whichever of them is wrong.
func TestAllSignaturesAreVerified(t *testing.T) {
	a, b := cmstest.New(t, "P-256"), cmstest.New(t, "P-256")
	content := marshal(t, &cmc.PKIData{Controls: []cmc.Control{{ID: 1, Value: cmc.SenderNonce("n")}}})
	good := message(t, content, cmstest.Signer{Identity: a}, cmstest.Signer{Identity: b, BySubjectKeyID: true})
	if f := open(t, good, nil); len(f.Signers) != 2 || !f.Signers[0].Certificate.Equal(a.Certificate) || !f.Signers[1].Certificate.Equal(b.Certificate) {
		t.Errorf("signers %+v, want a and b", f.Signers)
	}
	for i := range 2 {
		signers := []cmstest.Signer{{Identity: a}, {Identity: b}}
		signers[i].Signed = []byte("something else")
		_, err := cmc.OpenRequest(message(t, content, signers...), nil)
		if e := failure(t, err, cmc.FailBadMessageCheck); !named(e, cmc.BodyPartPath{0}) || e.Received == nil || len(e.Received.Controls) != 1 {
			t.Errorf("signature %d is wrong: %v", i, err)
		}
	}
	_, err := cmc.OpenRequest(message(t, content), nil)
	if e := failure(t, err, cmc.FailBadMessageCheck); !errors.Is(e, cmc.ErrUnsigned) {
		t.Errorf("no signer: %v, want ErrUnsigned", err)
	}
	// EST-5274-4.1-01 for signatures: SHA-1 is badAlg, and no switch takes it.
	sha1 := cmstest.Algorithm(asn1.ObjectIdentifier{1, 3, 14, 3, 2, 26})
	_, err = cmc.OpenRequest(message(t, content, cmstest.Signer{Identity: a, Digest: sha1}), nil)
	failure(t, err, cmc.FailBadAlg)
}

// Who cannot sign is not told what is wrong with the content, and what is malformed is refused although it is signed.
func TestSignatureIsJudgedBeforeContent(t *testing.T) {
	a := cmstest.New(t, "P-256")
	broken := pkiData(control(7, 5, []byte{5, 0}), nil)
	_, err := cmc.OpenRequest(message(t, broken, cmstest.Signer{Identity: a, Signed: []byte("x")}), nil)
	failure(t, err, cmc.FailBadMessageCheck)
	_, err = cmc.OpenRequest(message(t, broken, cmstest.Signer{Identity: a}), nil)
	if e := failure(t, err, cmc.FailBadRequest); !named(e, cmc.BodyPartPath{7}) {
		t.Errorf("malformed and signed: %v", err)
	}
}

func TestCertificatesOfTheCallerFindSigners(t *testing.T) {
	a := cmstest.New(t, "P-256")
	der := withoutCertificates(t, marshal(t, &cmc.PKIData{}), cmstest.Signer{Identity: a})
	f := open(t, der, &cmc.OpenOptions{Certificates: []*x509.Certificate{cmstest.New(t, "P-256").Certificate, a.Certificate}})
	if len(f.Signers) != 1 || f.Signers[0].Certificate != a.Certificate {
		t.Errorf("signers %+v, want the caller's certificate", f.Signers)
	}
	_, err := cmc.OpenRequest(der, nil)
	failure(t, err, cmc.FailBadMessageCheck)
}

// RFC 5272, Section 6.11: a revocation by passphrase may come unsigned, and nothing else beside it.
func TestRevocationByPassphraseMayBeUnsigned(t *testing.T) {
	revoke := func(passphrase string) *cmc.RevokeRequest {
		return &cmc.RevokeRequest{RawIssuer: seq(), SerialNumber: big.NewInt(7), Reason: 1, Passphrase: []byte(passphrase)}
	}
	d := &cmc.PKIData{Controls: []cmc.Control{{ID: 1, Value: revoke("sesame")}, {ID: 2, Value: cmc.SenderNonce("n")}}}
	der, err := cmc.UnsignedRequest(d)
	if err != nil {
		t.Fatal(err)
	}
	if f := open(t, der, nil); len(f.Signers) != 0 || len(cmc.Values[*cmc.RevokeRequest](f.Data.Controls)) != 1 {
		t.Errorf("unsigned revocation: %+v", f)
	}
	for title, d := range map[string]*cmc.PKIData{
		"no passphrase":           {Controls: []cmc.Control{{ID: 1, Value: revoke("")}}},
		"one without":             {Controls: []cmc.Control{{ID: 1, Value: revoke("sesame")}, {ID: 2, Value: revoke("")}}},
		"a request beside it":     {Controls: []cmc.Control{{ID: 9, Value: revoke("sesame")}}, Requests: []cmc.Request{pkcs10(t, cmstest.New(t, "P-256").Key, "x")}},
		"a message beside it":     {Controls: []cmc.Control{{ID: 9, Value: revoke("sesame")}}, Messages: []cmc.Message{{ID: 1, ContentInfo: der}}},
		"something else entirely": {Controls: []cmc.Control{{ID: 9, Value: cmc.QueryPending("token")}}},
	} {
		_, err := cmc.OpenRequest(message(t, marshal(t, d)), nil)
		if e := failure(t, err, cmc.FailBadMessageCheck); !errors.Is(e, cmc.ErrUnsigned) {
			t.Errorf("%s: %v, want ErrUnsigned", title, err)
		}
		if _, err := cmc.UnsignedRequest(d); !errors.Is(err, cmc.ErrBuild) {
			t.Errorf("UnsignedRequest with %s: %v, want ErrBuild", title, err)
		}
	}
}

// EST-5272-3.2.3-01: at most one CMC Unsigned Data attribute in a SignerInfo, and the same in all of them.
func TestCMCUnsignedDataIsUniqueAndEqual(t *testing.T) {
	a, b := cmstest.New(t, "P-256"), cmstest.New(t, "P-256")
	content := marshal(t, &cmc.PKIData{})
	oid := asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 9, 16, 2, 34}
	value := func(last byte) []byte {
		return seq(seq([]byte{2, 1, 7}, []byte{2, 1, 8}), []byte{6, 1, 0x2a}, []byte{2, 1, last})
	}
	one, two := cmstest.Attribute(oid, value(1)), cmstest.Attribute(oid, value(1), value(2))
	with := func(first, second [][]byte) []byte {
		return message(t, content, cmstest.Signer{Identity: a, Unsigned: first}, cmstest.Signer{Identity: b, Unsigned: second})
	}
	f := open(t, with([][]byte{two}, [][]byte{cmstest.Attribute(oid, value(2), value(1))}), nil)
	if u := f.UnsignedData; len(u) != 2 || !slices.Equal(u[0].Path, cmc.BodyPartPath{7, 8}) || !bytes.Equal(u[1].Content, []byte{2, 1, 2}) {
		t.Errorf("unsigned data %+v", u)
	}
	for title, der := range map[string][]byte{
		"two attributes":       with([][]byte{one, one}, [][]byte{one, one}),
		"in one signer only":   with([][]byte{one}, nil),
		"in the other only":    with(nil, [][]byte{one}),
		"different values":     with([][]byte{one}, [][]byte{two}),
		"no value":             with([][]byte{cmstest.Attribute(oid)}, [][]byte{cmstest.Attribute(oid)}),
		"of another structure": with([][]byte{cmstest.Attribute(oid, []byte{5, 0})}, [][]byte{cmstest.Attribute(oid, []byte{5, 0})}),
	} {
		_, err := cmc.OpenRequest(der, nil)
		failure(t, err, cmc.FailBadRequest)
		if err == nil {
			t.Errorf("%s: taken", title)
		}
	}
}

// An RA passes on what its clients signed, byte by byte; errors inside are named by a path; nesting ends.
func TestNestedRequestsAreOpenedWithPathsAndAnEnd(t *testing.T) {
	pledge, ra := cmstest.New(t, "P-256"), cmstest.New(t, "P-256")
	inner := sign(t, &cmc.PKIData{Requests: []cmc.Request{pkcs10(t, pledge.Key, "pledge")}}, pledge)
	bad := bytes.Clone(inner)
	bad[len(bad)-1] ^= 1
	duplicate := message(t, pkiData(append(control(4, 6, []byte{4, 0}), control(4, 4, []byte{4, 0})...), nil), cmstest.Signer{Identity: pledge})
	batch, err := cmc.NewBatch(10, inner, bad, duplicate)
	if err != nil {
		t.Fatal(err)
	}
	f := open(t, sign(t, batch, ra), nil)
	ids, _, ok := cmc.Find[cmc.BatchRequests](f.Data.Controls)
	if !ok || !slices.Equal(ids, cmc.BatchRequests{11, 12, 13}) {
		t.Fatalf("batch %v", ids)
	}
	g, err := f.OpenNested(f.Data.Message(11), nil)
	if err != nil || !g.Signers[0].Certificate.Equal(pledge.Certificate) || !bytes.Equal(f.Data.Message(11).ContentInfo, inner) {
		t.Fatalf("OpenNested = %v", err)
	}
	_, err = f.OpenNested(f.Data.Message(12), nil)
	if e := failure(t, err, cmc.FailBadMessageCheck); !named(e, cmc.BodyPartPath{12}) || e.Received != nil {
		t.Errorf("a bad signature inside: %v", err)
	}
	_, err = f.OpenNested(f.Data.Message(13), nil)
	if e := failure(t, err, cmc.FailBadRequest); !named(e, cmc.BodyPartPath{13, 4}) {
		t.Errorf("a bodyPartID twice inside: %v, want path {13, 4}", err)
	}
	if f.Data.Message(10) != nil {
		t.Error("a control is taken for a message")
	}
	der := inner
	for range cmc.MaxNesting {
		d, err := cmc.NewBatch(1, der)
		if err != nil {
			t.Fatal(err)
		}
		der = sign(t, d, ra)
	}
	f = open(t, der, nil)
	for level := 1; ; level++ {
		f, err = f.OpenNested(f.Data.Message(2), nil)
		if err != nil {
			if !errors.Is(err, cmc.ErrTooLarge) || level != cmc.MaxNesting {
				t.Errorf("level %d: %v, want ErrTooLarge at %d", level, err, cmc.MaxNesting)
			}
			break
		}
	}
	for _, first := range []cmc.BodyPartID{0, 4294967295} {
		if _, err := cmc.NewBatch(first, inner); !errors.Is(err, cmc.ErrBuild) {
			t.Errorf("NewBatch(%d) = %v, want ErrBuild", first, err)
		}
	}
}

func TestSigningNeedsAKeyAndANameForIt(t *testing.T) {
	a := cmstest.New(t, "P-256")
	for _, s := range []*cmc.Signing{
		{}, {Key: a.Key}, {SubjectKeyID: []byte("x")}, {Key: a.Key, SubjectKeyID: []byte("x"), Chain: []*x509.Certificate{a.Certificate}},
	} {
		if _, err := cmc.SignRequest(&cmc.PKIData{}, s); !errors.Is(err, cmc.ErrBuild) {
			t.Errorf("SignRequest by %+v = %v, want ErrBuild", s, err)
		}
	}
	if _, err := cmc.Envelop([]byte("no message"), []*x509.Certificate{a.Certificate}, nil); !errors.Is(err, cmc.ErrBuild) {
		t.Errorf("Envelop = %v, want ErrBuild", err)
	}
	at := time.Date(2030, 1, 1, 0, 0, 0, 0, time.UTC)
	der, err := cmc.SignRequest(&cmc.PKIData{}, &cmc.Signing{Key: a.Key, Certificate: a.Certificate, Time: at})
	if err != nil || !open(t, der, nil).Signers[0].Info.SigningTime.Equal(at) {
		t.Errorf("signing time: %v", err)
	}
}
