package vouchercose_test

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/json"
	"errors"
	"reflect"
	"testing"
	"time"

	"github.com/briskest/briskest/internal/testpki"
	"github.com/briskest/briskest/internal/vectors"
	"github.com/briskest/briskest/voucher"
	"github.com/briskest/briskest/voucher/vouchercose"
	"github.com/briskest/briskest/voucher/vouchertest"
)

func TestFormatKeepsTheContract(t *testing.T) {
	vouchertest.TestFormat(t, vouchercose.Format{})
}

// keys are one of each kind, with the number of its algorithm.
func keys(t testing.TB) map[int64]*testpki.Identity {
	t.Helper()
	root := testpki.NewRoot(t, "Vendor CA")
	ids := make(map[int64]*testpki.Identity)
	issue := func(alg int64, curve elliptic.Curve) {
		key, err := ecdsa.GenerateKey(curve, rand.Reader)
		if err != nil {
			t.Fatal(err)
		}
		ids[alg] = root.Issue(t, &x509.Certificate{Subject: pkix.Name{CommonName: "MASA"}}, key)
	}
	issue(-7, elliptic.P256())
	issue(-35, elliptic.P384())
	issue(-36, elliptic.P521())
	rsaKey, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	ids[-37] = root.Issue(t, &x509.Certificate{Subject: pkix.Name{CommonName: "MASA"}}, rsaKey)
	_, edKey, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	ids[-8] = root.Issue(t, &x509.Certificate{Subject: pkix.Name{CommonName: "MASA"}}, edKey)
	return ids
}

// BRSKI-CBRSKI-9.2-01 (tag 18, the payload a byte string, ES256 and EdDSA), BRSKI-CBRSKI-9.2-02 (r and s raw),
// BRSKI-CBRSKI-9.2.3-01 and BRSKI-CBRSKI-9.2.3-02 (the chain in the unprotected x5bag, no kid): what we sign
// holds over a Sig_structure made by hand, for each kind of key.
func TestWhatWeSignVerifiesByHandWithEachKindOfKey(t *testing.T) {
	for alg, id := range keys(t) {
		s := &voucher.Signer{Key: id.Key, Certificate: id.Certificate, Chain: id.Chain}
		data, err := vouchercose.Format{}.SignVoucher(t.Context(), vouchertest.Voucher(t), s)
		if err != nil {
			t.Errorf("algorithm %d: SignVoucher() = %v", alg, err)
			continue
		}
		m := takeApart(t, data)
		if err := m.verify(id.Certificate.PublicKey); err != nil || m.algorithm != alg {
			t.Errorf("algorithm %d, want %d: %v", m.algorithm, alg, err)
		}
		if len(m.bag) != 1+len(s.Chain) || !bytes.Equal(m.bag[0], id.Certificate.Raw) {
			t.Errorf("algorithm %d: x5bag has %d certificates, want the signer's and %d", alg, len(m.bag), len(s.Chain))
		}
		if _, a, err := (vouchercose.Format{}).OpenVoucher(data); err != nil || !a.Signer.Equal(id.Certificate) {
			t.Errorf("algorithm %d: OpenVoucher() = %v", alg, err)
		}
	}
}

// fullVoucher has every leaf.
func fullVoucher(t testing.TB) *voucher.Voucher {
	t.Helper()
	yes := true
	at := time.Date(2026, 11, 22, 22, 21, 7, 0, time.UTC)
	return &voucher.Voucher{
		Assertion: voucher.Verified, CreatedOn: at, ExpiresOn: at.Add(time.Hour), SerialNumber: "PEER-0001",
		IDevIDIssuer: []byte{4, 4, 0x30, 2, 0x80, 0}, PinnedDomainCert: testpki.NewRoot(t, "Domain CA").Certificate.Raw,
		PinnedDomainPubk: []byte{0x30, 1}, PinnedDomainPubkSHA256: bytes.Repeat([]byte{7}, 32), DomainCertRevocationChecks: &yes,
		LastRenewalDate: at.Add(2 * time.Hour), ESTDomain: "https://est.example/", AdditionalConfigurationURL: "https://conf.example/",
		ManufacturerProprietary: json.RawMessage(`"gwECAw"`),
	}
}

// fullRequest has every leaf of a request that is not in fullVoucher, and a nonce.
func fullRequest(t testing.TB) *voucher.Request {
	t.Helper()
	cert := testpki.NewRoot(t, "Registrar").Certificate.Raw
	return &voucher.Request{
		Assertion: voucher.AgentProximity, CreatedOn: time.Date(2026, 11, 22, 22, 21, 7, 0, time.UTC), SerialNumber: "PEER-0001",
		Nonce: "AAECAwQFBgc=", PriorSignedVoucherRequest: []byte{0xd2}, ProximityRegistrarCert: cert,
		ProximityRegistrarPubk: []byte{0x30, 2}, ProximityRegistrarPubkSHA256: bytes.Repeat([]byte{8}, 32),
		AgentProvidedProximityRegistrarCert: cert, AgentSignCert: [][]byte{cert, cert}, AgentSignedData: []byte("{}"),
	}
}

// BRSKI-8366BIS-8.7-01: vendor data is a byte string. The two tables of rfc8366bis, Sections 8.5 and 9.3 number
// the leaves differently.
func TestEveryLeafHasTheNumberOfItsModule(t *testing.T) {
	_, s := vouchertest.NewSigner(t, "signer")
	v, r := fullVoucher(t), fullRequest(t)
	data, err := vouchercose.Format{}.SignVoucher(t.Context(), v, s)
	if err != nil {
		t.Fatal(err)
	}
	want := object(number(2451), object(
		number(1), number(0),
		number(2), text("2026-11-22T22:21:07Z"),
		number(3), []byte{0xf5},
		number(4), text("2026-11-22T23:21:07Z"),
		number(5), octets(v.IDevIDIssuer),
		number(6), text("2026-11-23T00:21:07Z"),
		number(8), octets(v.PinnedDomainCert),
		number(9), octets(v.PinnedDomainPubk),
		number(10), octets(v.PinnedDomainPubkSHA256),
		number(11), text("PEER-0001"),
		number(12), text("https://conf.example/"),
		number(13), text("https://est.example/"),
		number(14), octets([]byte{0x83, 1, 2, 3}),
	))
	if got := takeApart(t, data).payload; !bytes.Equal(got, want) {
		t.Errorf("voucher is\n%x, want\n%x", got, want)
	}
	if got, _, err := (vouchercose.Format{}).OpenVoucher(data); err != nil || !reflect.DeepEqual(got, v) {
		t.Errorf("OpenVoucher() = %+v, %v, want %+v", got, err, v)
	}
	if data, err = (vouchercose.Format{}).SignRequest(t.Context(), r, s); err != nil {
		t.Fatal(err)
	}
	want = object(number(2501), object(
		number(1), number(3),
		number(2), text("2026-11-22T22:21:07Z"),
		number(7), octets([]byte{0, 1, 2, 3, 4, 5, 6, 7}),
		number(9), octets(r.PriorSignedVoucherRequest),
		number(10), octets(r.ProximityRegistrarCert),
		number(11), octets(r.ProximityRegistrarPubkSHA256),
		number(12), octets(r.ProximityRegistrarPubk),
		number(13), text("PEER-0001"),
		number(14), octets(r.AgentProvidedProximityRegistrarCert),
		number(15), list(octets(r.AgentSignCert[0]), octets(r.AgentSignCert[1])),
		number(16), octets(r.AgentSignedData),
	))
	if got := takeApart(t, data).payload; !bytes.Equal(got, want) {
		t.Errorf("request is\n%x, want\n%x", got, want)
	}
	if got, _, err := (vouchercose.Format{}).OpenRequest(data); err != nil || !reflect.DeepEqual(got, r) {
		t.Errorf("OpenRequest() = %+v, %v, want %+v", got, err, r)
	}
}

// The leaves that a request shares with a voucher have their numbers in a request.
func TestLeavesOfAVoucherHaveOtherNumbersInARequest(t *testing.T) {
	_, s := vouchertest.NewSigner(t, "signer")
	v := fullVoucher(t)
	data, err := vouchercose.Format{}.SignRequest(t.Context(), &voucher.Request{
		SerialNumber: "x", PinnedDomainCert: v.PinnedDomainCert, PinnedDomainPubk: v.PinnedDomainPubk,
		PinnedDomainPubkSHA256: v.PinnedDomainPubkSHA256, ESTDomain: v.ESTDomain,
		AdditionalConfigurationURL: v.AdditionalConfigurationURL, ManufacturerProprietary: v.ManufacturerProprietary,
		Extensions: map[string]json.RawMessage{"extension:a": nil},
	}, s)
	if err != nil {
		t.Fatal(err)
	}
	want := object(number(2501), object(
		number(8), octets(v.PinnedDomainCert),
		number(13), text("x"),
		number(17), octets(v.PinnedDomainPubk),
		number(18), octets(v.PinnedDomainPubkSHA256),
		number(19), text("https://conf.example/"),
		number(20), text("https://est.example/"),
		number(21), list(text("a")),
		number(22), octets([]byte{0x83, 1, 2, 3}),
	))
	if got := takeApart(t, data).payload; !bytes.Equal(got, want) {
		t.Errorf("request is\n%x, want\n%x", got, want)
	}
}

// BRSKI-8366BIS-8.5-01: the assertion is a number in CBOR.
func TestAssertionsAreTheNumbersOfTheirEnumeration(t *testing.T) {
	_, s := vouchertest.NewSigner(t, "signer")
	for n, a := range []voucher.Assertion{voucher.Verified, voucher.Logged, voucher.Proximity, voucher.AgentProximity} {
		v := vouchertest.Voucher(t)
		v.Assertion = a
		data, err := vouchercose.Format{}.SignVoucher(t.Context(), v, s)
		if err != nil {
			t.Fatal(err)
		}
		// The first key of the payload is 1, the assertion's.
		begin := append([]byte{0xa1, 0x19, 0x09, 0x93, 0xa5, 0x01}, byte(n))
		if got := takeApart(t, data).payload; !bytes.HasPrefix(got, begin) {
			t.Errorf("%s: payload begins %x, want %x", a, got[:len(begin)], begin)
		}
		if got, _, err := (vouchercose.Format{}).OpenVoucher(data); err != nil || got.Assertion != a {
			t.Errorf("OpenVoucher() has assertion %v, %v, want %s", got, err, a)
		}
	}
}

// BRSKI-8366BIS-8.6-01: an extension is listed, and its data is under its module's SID in tag 47.
func TestExtensionsAreListedAndTheirDataIsUnderTheirSIDOrName(t *testing.T) {
	_, s := vouchertest.NewSigner(t, "signer")
	v := vouchertest.Voucher(t)
	v.Extensions = map[string]json.RawMessage{
		"extension:example-my-extension": json.RawMessage(`{"my-ext-leaf1":"data"}`),
		"extension:fuubar.example.com":   json.RawMessage(`[1,2.5,null,true]`),
		"extension:empty":                nil,
		"extension:60000":                json.RawMessage(`"by number"`),
	}
	format := vouchercose.Format{ExtensionSIDs: map[string]int64{"example-my-extension": 305823299950}}
	data, err := format.SignVoucher(t.Context(), v, s)
	if err != nil {
		t.Fatal(err)
	}
	payload := takeApart(t, data).payload
	for _, want := range [][]byte{
		append(number(15), list(number(60000), text("empty"), number(305823299950), text("fuubar.example.com"))...),
		append(tagged(47, number(305823299950)), object(text("my-ext-leaf1"), text("data"))...),
		append(text("extension:fuubar.example.com"), list(number(1), []byte{0xf9, 0x41, 0x00}, []byte{0xf6}, []byte{0xf5})...),
		append(tagged(47, number(60000)), text("by number")...),
	} {
		if !bytes.Contains(payload, want) {
			t.Errorf("payload %x has no %x", payload, want)
		}
	}
	if got, a, err := format.OpenVoucher(data); err != nil || !reflect.DeepEqual(got, v) || len(a.Findings) != 0 {
		t.Errorf("OpenVoucher() = %+v, %v, want %+v and no findings", got, err, v)
	}
	// Who does not know the name has the number.
	got, _, err := (vouchercose.Format{}).OpenVoucher(data)
	if err != nil || string(got.Extensions["extension:305823299950"]) != `{"my-ext-leaf1":"data"}` {
		t.Errorf("OpenVoucher() = %+v, %v, want the extension under its number", got, err)
	}
}

func TestDelegatedVouchersAndUnknownLeavesAreKept(t *testing.T) {
	_, s := vouchertest.NewSigner(t, "signer")
	v := vouchertest.Voucher(t)
	v.Delegation = &voucher.Delegation{Enabled: true, CertAuthority: []byte{0x30, 1}, CertName: []byte("d@example"), Voucher: []byte{0xd2}, Countdown: 2}
	v.Unknown = map[string]json.RawMessage{"color": json.RawMessage(`"red"`)}
	data, err := vouchercose.Format{}.SignVoucher(t.Context(), v, s)
	if err != nil {
		t.Fatal(err)
	}
	if got, _, err := (vouchercose.Format{}).OpenVoucher(data); err != nil || !reflect.DeepEqual(got, v) {
		t.Errorf("OpenVoucher() = %+v, %v, want %+v", got, err, v)
	}
	r := vouchertest.Request(t)
	r.Unknown = map[string]json.RawMessage{"2549": json.RawMessage(`{"1":[true]}`), "color": json.RawMessage(`"red"`)}
	if data, err = (vouchercose.Format{}).SignRequest(t.Context(), r, s); err != nil {
		t.Fatal(err)
	}
	got, a, err := (vouchercose.Format{}).OpenRequest(data)
	if err != nil || !reflect.DeepEqual(got, r) || len(a.Findings) != 2 {
		t.Errorf("OpenRequest() = %+v, %v, want %+v and two findings", got, err, r)
	}
}

func TestWhatCBORCannotSayIsNotSigned(t *testing.T) {
	_, s := vouchertest.NewSigner(t, "signer")
	for _, private := range []string{`{"a":1}`, `"not base64url!"`, `1`, `"gwECAx"`} {
		v := vouchertest.Voucher(t)
		v.ManufacturerProprietary = json.RawMessage(private)
		if _, err := (vouchercose.Format{}).SignVoucher(t.Context(), v, s); !errors.Is(err, voucher.ErrLeafValue) {
			t.Errorf("SignVoucher(manufacturer-proprietary %s) = %v, want %v", private, err, voucher.ErrLeafValue)
		}
	}
	for _, r := range []*voucher.Request{
		{SerialNumber: "x", Unknown: map[string]json.RawMessage{"2514": json.RawMessage(`"y"`)}},
		{SerialNumber: "x", Extensions: map[string]json.RawMessage{"extension:2514": json.RawMessage(`"y"`)}},
		{SerialNumber: "x", Extensions: map[string]json.RawMessage{"extension:a": json.RawMessage(`1`), "extension:60000": json.RawMessage(`2`)}},
	} {
		f := vouchercose.Format{ExtensionSIDs: map[string]int64{"a": 60000}}
		if _, err := f.SignRequest(t.Context(), r, s); !errors.Is(err, voucher.ErrDuplicateLeaf) {
			t.Errorf("SignRequest(%+v) = %v, want %v", r, err, voucher.ErrDuplicateLeaf)
		}
	}
	s.Chain = make([]*x509.Certificate, voucher.MaxCertificates)
	if _, err := (vouchercose.Format{}).SignVoucher(t.Context(), vouchertest.Voucher(t), s); !errors.Is(err, vouchercose.ErrSigner) {
		t.Errorf("SignVoucher with %d certificates = %v, want %v", 1+len(s.Chain), err, vouchercose.ErrSigner)
	}
}

// The pledge's request of the draft has no certificate inside, and what we make of its content is its payload.
func TestThePayloadOfTheDraftsRequestComesBackByteForByte(t *testing.T) {
	format := vouchercose.Format{Known: vectors.Certificates(t, "brski/cbrski-draft31/pledge.crt.der")}
	r, _, err := format.OpenRequest(vectors.Read(t, "brski/cbrski-draft31/pvr.cose"))
	if err != nil {
		t.Fatal(err)
	}
	_, s := vouchertest.NewSigner(t, "signer")
	data, err := format.SignRequest(t.Context(), r, s)
	if err != nil {
		t.Fatal(err)
	}
	if got, want := takeApart(t, data).payload, vectors.Read(t, "brski/cbrski-draft31/pvr.payload.cbor"); !bytes.Equal(got, want) {
		t.Errorf("payload %x, want %x", got, want)
	}
}

func TestSignPayloadSignsWhateverItIsGiven(t *testing.T) {
	_, s := vouchertest.NewSigner(t, "unkind MASA")
	data, err := vouchercose.Format{}.SignPayload(t.Context(), []byte("no voucher"), s)
	if err != nil {
		t.Fatal(err)
	}
	if _, _, err := (vouchercose.Format{}).OpenVoucher(data); !errors.Is(err, vouchercose.ErrSyntax) && !errors.Is(err, vouchercose.ErrTrailingData) {
		t.Errorf("OpenVoucher() = %v, want no CBOR", err)
	}
}
