package registrar_test

import (
	"bytes"
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"testing"
	"time"

	"github.com/briskest/briskest/ca/profile"
	"github.com/briskest/briskest/est"
	"github.com/briskest/briskest/registrar"
)

// changing makes the profile let renewals change names.
func changing(change func(d *profile.Document)) func(h *house) {
	return func(h *house) {
		h.reprofile(func(d *profile.Document) {
			d.Renewal.ChangeNames = true
			if change != nil {
				change(d)
			}
		})
	}
}

// rename renews cert with a ChangeSubjectName (RFC 6402, Section 2.8) in the form of erratum 3943; a nil name is absent.
func (h *house) rename(cert *x509.Certificate, subject *pkix.Name, dns ...string) (*x509.Certificate, error) {
	h.t.Helper()
	var value []byte
	if subject != nil {
		value = append(value, marshal(h.t, subject.ToRDNSequence())...)
	}
	if len(dns) > 0 {
		var names []byte
		for _, name := range dns {
			names = append(append(names, 0x82, byte(len(name))), name...)
		}
		value = append(value, marshal(h.t, asn1.RawValue{Class: asn1.ClassContextSpecific, Tag: 1, IsCompound: true, Bytes: names})...)
	}
	return h.renewRaw(cert, &x509.CertificateRequest{RawSubject: cert.RawSubject, ExtraExtensions: sanOf(cert)}, nil, value)
}

// renewRaw renews with this request and, unless nil, the content of a ChangeSubjectName.
func (h *house) renewRaw(cert *x509.Certificate, own *x509.CertificateRequest, key crypto.Signer, change []byte) (*x509.Certificate, error) {
	h.t.Helper()
	r := &est.CSRRequest{Own: own}
	if change != nil {
		r.Attributes = []est.Attribute{{
			OID: asn1.ObjectIdentifier{1, 3, 6, 1, 5, 5, 7, 7, 36}, Values: [][]byte{marshal(h.t, asn1.RawValue{Tag: asn1.TagSequence, IsCompound: true, Bytes: change})},
		}}
	}
	request := h.enroll("").cert(cert).renewing()
	if key == nil {
		key = request.key
	}
	der, err := est.CreateCSR(key, r)
	if err != nil {
		h.t.Fatal(err)
	}
	csr, err := est.ParseCSR(der)
	if err != nil {
		return nil, err
	}
	raw, err := h.service.Enroll(h.t.Context(), &est.EnrollRequest{
		Request: est.Request{ID: "q", Operation: est.OpSimpleReenroll, Peer: request.peer, At: h.now()}, CSR: csr,
	})
	if err != nil {
		return nil, err
	}
	return x509.ParseCertificate(raw)
}

func marshal(t testing.TB, value any) []byte {
	t.Helper()
	der, err := asn1.Marshal(value)
	if err != nil {
		t.Fatal(err)
	}
	return der
}

func sanOf(cert *x509.Certificate) []pkix.Extension {
	for _, e := range cert.Extensions {
		if e.Id.Equal(asn1.ObjectIdentifier{2, 5, 29, 17}) {
			return []pkix.Extension{e}
		}
	}
	return nil
}

// EST-7030-4.2.2-04, EST-6402-2.8-03: new names are issued where the profile allows it; what is absent is removed.
func TestARenewalChangesNamesWhereTheProfileLetsIt(t *testing.T) {
	h := newHouse(t, changing(func(d *profile.Document) {
		d.Subject.Attributes = append(d.Subject.Attributes, profile.AttributeRule{Type: "organization"})
	}))
	cert, _ := h.enrolled("sensor-7")
	subject := &pkix.Name{CommonName: "sensor-7", Organization: []string{"moved"}}
	got, err := h.rename(cert, subject, "sensor-7.new.example")
	if err != nil {
		t.Fatalf("renewal with new names: %v", err)
	}
	if got.Subject.String() != subject.String() || len(got.DNSNames) != 1 || got.DNSNames[0] != "sensor-7.new.example" {
		t.Errorf("names are %s %v", got.Subject, got.DNSNames)
	}
	if got, err = h.rename(got, subject); err != nil || len(got.DNSNames) != 0 {
		t.Errorf("renewal without alternative names: %v %v", got, err)
	}
	if _, err := h.renewRaw(got, &x509.CertificateRequest{RawSubject: got.RawSubject}, nil, nil); err != nil {
		t.Errorf("renewal with the names that were changed: %v", err)
	}
	// An empty subject: a device that is known by its common name loses it.
	_, err = h.rename(cert, nil, "sensor-7.example.com")
	refusal(t, err, registrar.ReasonSuperseded, 403)
}

// EST-7030-4.2.2-04: refused by a profile that says nothing, with what to do.
func TestARenewalKeepsItsNamesWhereTheProfileSaysNothing(t *testing.T) {
	h := newHouse(t, nil)
	cert, _ := h.enrolled("sensor-7")
	before := len(h.certificates(""))
	_, err := h.rename(cert, &pkix.Name{CommonName: "sensor-7"}, "other.example.com")
	e := refusal(t, err, est.ReasonReenrollChangeSubject, 403)
	if !bytes.Contains([]byte(e.Message), []byte("change_names")) || len(h.certificates("")) != before {
		t.Errorf("%q, %d certificates more", e.Message, len(h.certificates(""))-before)
	}
}

// EST-6402-2.8-01: the CSR's own names stay those of the certificate.
func TestANameChangeWithTheNewNamesInTheRequestItselfIsRefused(t *testing.T) {
	h := newHouse(t, changing(nil))
	cert, _ := h.enrolled("sensor-7")
	fresh := marshal(t, pkix.Name{CommonName: "sensor-7", SerialNumber: "1"}.ToRDNSequence())
	_, err := h.renewRaw(cert, &x509.CertificateRequest{RawSubject: fresh, ExtraExtensions: sanOf(cert)}, nil, fresh)
	refusal(t, err, est.ReasonReenrollSubject, 403)
	_, err = h.renewRaw(cert, &x509.CertificateRequest{RawSubject: cert.RawSubject}, nil, fresh)
	refusal(t, err, est.ReasonReenrollSAN, 403)
}

// R13: a renewal does not become another device, nor the registrar, by asking for its name.
func TestANameChangeGivesNoNameOfOthers(t *testing.T) {
	h := newHouse(t, changing(nil))
	cert, _ := h.enrolled("sensor-7")
	h.enrolled("sensor-8")
	h.importSerials("JADA1")
	for what, c := range map[string]struct {
		subject *pkix.Name
		dns     []string
		reason  string
		status  int
	}{
		"another device's common name":                    {&pkix.Name{CommonName: "sensor-8"}, nil, registrar.ReasonNameTaken, 403},
		"a name that nobody has":                          {&pkix.Name{CommonName: "sensor-9"}, nil, registrar.ReasonForeignName, 403},
		"no subject":                                      {nil, []string{"sensor-9.example.com"}, registrar.ReasonForeignName, 403},
		"a name that the profile refuses":                 {&pkix.Name{CommonName: "sensor-7", Country: []string{"DE"}}, nil, registrar.ReasonNamesRefused, 400},
		"the registrar's name":                            {&pkix.Name{CommonName: "sensor-7"}, []string{"registrar"}, registrar.ReasonNameReserved, 403},
		"the serial number of an device in the inventory": {&pkix.Name{CommonName: "sensor-7", SerialNumber: "JADA1"}, nil, registrar.ReasonNameTaken, 403},
	} {
		before := len(h.certificates(""))
		if _, err := h.rename(cert, c.subject, c.dns...); err == nil {
			t.Errorf("%s: issued", what)
		} else {
			refusal(t, err, c.reason, c.status)
		}
		if len(h.certificates("")) != before {
			t.Errorf("%s: something was issued", what)
		}
	}
}

// RFC 6402, Section 2.8: the attribute is for renewals.
func TestANameChangeOutsideARenewalIsRefused(t *testing.T) {
	h := newHouse(t, changing(nil))
	r := h.enroll("sensor-7").basic(group)
	der, err := est.CreateCSR(r.key, &est.CSRRequest{Own: r.csr, Attributes: []est.Attribute{{
		OID: asn1.ObjectIdentifier{1, 3, 6, 1, 5, 5, 7, 7, 36}, Values: [][]byte{{0x30, 2, 0x30, 0}},
	}}})
	if err != nil {
		t.Fatal(err)
	}
	csr, err := est.ParseCSR(der)
	if err != nil {
		t.Fatal(err)
	}
	_, err = h.service.Enroll(t.Context(), &est.EnrollRequest{Request: est.Request{Operation: est.OpSimpleEnroll, Peer: r.peer, At: h.now()}, CSR: csr})
	refusal(t, err, est.ReasonReenrollChangeSubject, 403)
}

// R9: there is no way around the limit of renewals by other names each time.
func TestANameChangeDoesNotResetTheLimitOfRenewals(t *testing.T) {
	h := newHouse(t, changing(func(d *profile.Document) { d.Renewal.Max = 2 }))
	cert, _ := h.enrolled("sensor-7")
	var err error
	for _, name := range []string{"sensor-7.a.example", "sensor-7.b.example"} {
		h.advance(time.Hour)
		if cert, err = h.rename(cert, &pkix.Name{CommonName: "sensor-7"}, name); err != nil {
			t.Fatalf("renewal as %s: %v", name, err)
		}
	}
	h.advance(time.Hour)
	_, err = h.rename(cert, &pkix.Name{CommonName: "sensor-7"}, "sensor-7.c.example")
	refusal(t, err, registrar.ReasonRenewalLimit, 403)
}

// R10: device A's certificate with B's request renews neither.
func TestDeviceAsCertificateWithBsRequestRenewsNeither(t *testing.T) {
	h := newHouse(t, changing(nil))
	a, _ := h.enrolled("a")
	b, key := h.enrolled("b")
	own := &x509.CertificateRequest{RawSubject: b.RawSubject, ExtraExtensions: sanOf(b)}
	for what, change := range map[string][]byte{"as it is": nil, "with B's names in ChangeSubjectName": b.RawSubject} {
		before := len(h.certificates(""))
		if _, err := h.renewRaw(a, own, key, change); err == nil || len(h.certificates("")) != before {
			t.Errorf("%s: %v", what, err)
		}
	}
	mine := &x509.CertificateRequest{RawSubject: a.RawSubject, ExtraExtensions: sanOf(a)}
	_, err := h.renewRaw(a, mine, nil, b.RawSubject)
	refusal(t, err, registrar.ReasonNameTaken, 403)
}

// R13: the certificate has the names that were decided, whatever the request says beside them.
func TestTheCertificateHasTheDecidedNamesWhateverTheRequestSays(t *testing.T) {
	h := newHouse(t, func(h *house) {
		h.reprofile(func(d *profile.Document) {
			d.Subject = profile.SubjectRules{Others: "ignore", Attributes: []profile.AttributeRule{{Type: "common_name", Required: true}, {Type: "organization", Value: "Example Ltd"}}}
			d.SAN = profile.NameRules{Others: "ignore", DNS: &profile.NameRule{Request: true, Patterns: []string{`[a-z0-9-]+\.example\.com`}}}
		})
	})
	r := h.enroll("sensor-7").basic(group).dns("sensor-7.example.com")
	r.csr.Subject.Organization, r.csr.Subject.Country = []string{"Somebody Else"}, []string{"XX"}
	r.csr.EmailAddresses = []string{"root@example.com"}
	cert := r.mustSend()
	if got := cert.Subject.String(); got != "CN=sensor-7,O=Example Ltd" || len(cert.DNSNames) != 1 || cert.EmailAddresses != nil {
		t.Errorf("names are %s %v %v", got, cert.DNSNames, cert.EmailAddresses)
	}
}

func usageExtension(bits byte, unused byte) pkix.Extension {
	return pkix.Extension{Id: asn1.ObjectIdentifier{2, 5, 29, 15}, Critical: true, Value: []byte{3, 2, unused, bits}}
}

// EST-7030-4.2.1-04: a self-signed RSA request whose key is not for signatures is taken, and so is its certificate's.
func TestAnRSARequestForKeyEnciphermentAloneIsTaken(t *testing.T) {
	h := newHouse(t, func(h *house) {
		h.reprofile(func(d *profile.Document) {
			d.Keys, d.KeyUsage = []profile.KeyRule{{Type: "rsa"}}, []string{"key_encipherment"}
			d.ServerKeyGeneration = profile.ServerKeyGeneration{}
		})
	})
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	r := h.enroll("sensor-7").basic(group).withKey(key)
	r.csr.ExtraExtensions = []pkix.Extension{usageExtension(0x20, 5)}
	if cert := r.mustSend(); cert.KeyUsage != x509.KeyUsageKeyEncipherment {
		t.Errorf("KeyUsage = %b", cert.KeyUsage)
	}
}

// EST-5272-3.1-02: keyAgreement does not become digitalSignature.
func TestAKeyUsageIsNotTurnedIntoAnotherOne(t *testing.T) {
	h := newHouse(t, nil)
	r := h.enroll("sensor-7").basic(group)
	r.csr.ExtraExtensions = []pkix.Extension{usageExtension(0x08, 3)}
	r.refusedAs(registrar.ReasonKeyRefused, 400)
	r.csr.ExtraExtensions = []pkix.Extension{usageExtension(0x88, 3)} // and digitalSignature
	if cert := r.mustSend(); cert.KeyUsage&x509.KeyUsageDigitalSignature == 0 {
		t.Errorf("KeyUsage = %b", cert.KeyUsage)
	}
}

// EST-5272-3.1-01: every extension of RFC 5280, Section 4.2, is understood, critical or not; a critical one that nobody
// knows is refused.
func TestEveryExtensionOfRFC5280IsUnderstoodInARequest(t *testing.T) {
	h := newHouse(t, nil)
	r := h.enroll("sensor-7").basic(group)
	for _, id := range []asn1.ObjectIdentifier{
		{2, 5, 29, 9}, {2, 5, 29, 14}, {2, 5, 29, 18}, {2, 5, 29, 19}, {2, 5, 29, 30}, {2, 5, 29, 31}, {2, 5, 29, 32}, {2, 5, 29, 33}, {2, 5, 29, 35},
		{2, 5, 29, 36}, {2, 5, 29, 37}, {2, 5, 29, 46}, {2, 5, 29, 54}, {1, 3, 6, 1, 5, 5, 7, 1, 1}, {1, 3, 6, 1, 5, 5, 7, 1, 11},
	} {
		r.csr.ExtraExtensions = append(r.csr.ExtraExtensions, pkix.Extension{Id: id, Critical: true, Value: []byte{0x30, 0}})
	}
	r.csr.ExtraExtensions = append(r.csr.ExtraExtensions, usageExtension(0x80, 7), pkix.Extension{Id: asn1.ObjectIdentifier{2, 999, 1}, Value: []byte{5, 0}})
	r.mustSend()
	other := h.enroll("sensor-8").basic(group)
	other.csr.ExtraExtensions = []pkix.Extension{{Id: asn1.ObjectIdentifier{2, 999, 1}, Critical: true, Value: []byte{5, 0}}}
	other.refusedAs(registrar.ReasonExtension, 400)
}
