package cmc_test

import (
	"bytes"
	"crypto"
	"crypto/hmac"
	"crypto/sha1"
	"crypto/sha256"
	"crypto/sha512"
	"encoding/asn1"
	"encoding/hex"
	"errors"
	"hash"
	"strings"
	"testing"

	"github.com/briskest/briskest/internal/cmc"
	"github.com/briskest/briskest/internal/cms"
	"github.com/briskest/briskest/internal/cmstest"
)

func hmacOf(h func() hash.Hash, key, message []byte) []byte {
	m := hmac.New(h, key)
	m.Write(message)
	return m.Sum(nil)
}

// EST-5272-6.2.1-01: the proof is over the encoded reqSequence as it was sent, tag and length included; secrets of 16
// characters work, and of 64; every hash does.
func TestIdentityProofV2IsOverTheEncodedRequests(t *testing.T) {
	d := &cmc.PKIData{Requests: []cmc.Request{pkcs10(t, cmstest.New(t, "P-256").Key, "pledge")}}
	requests, err := d.MarshalRequests()
	if err != nil {
		t.Fatal(err)
	}
	for _, text := range []string{strings.Repeat("s", cmc.MinSecret), strings.Repeat("ß", 32), strings.Repeat("0123456789abcdef", 4)} {
		for _, h := range []crypto.Hash{crypto.SHA256, crypto.SHA384, crypto.SHA512} {
			s := &cmc.Secret{Value: []byte(text), Identification: "gerät"}
			proof, err := cmc.NewIdentityProofV2(h, requests, s)
			if err != nil {
				t.Fatal(err)
			}
			d.Controls = []cmc.Control{{ID: 9, Value: proof}, {ID: 8, Value: s.Identification}}
			received, err := cmc.ParsePKIData(marshal(t, d))
			if err != nil {
				t.Fatal(err)
			}
			got, _, ok := cmc.Find[*cmc.IdentityProofV2](received.Controls)
			if !ok || !bytes.Equal(received.RawRequests, requests) {
				t.Fatalf("RawRequests = %x, want %x", received.RawRequests, requests)
			}
			if err := got.Verify(received.RawRequests, s); err != nil {
				t.Errorf("Verify with %d characters and %s: %v", len(text), h, err)
			}
			changed := bytes.Clone(requests)
			changed[len(changed)-1] ^= 1
			for title, err := range map[string]error{
				"another secret":               got.Verify(requests, &cmc.Secret{Value: []byte(text + "x"), Identification: "gerät"}),
				"another name":                 got.Verify(requests, &cmc.Secret{Value: []byte(text), Identification: "geräs"}),
				"no name":                      got.Verify(requests, &cmc.Secret{Value: []byte(text)}),
				"one bit of the requests":      got.Verify(changed, s),
				"requests without their tag":   got.Verify(requests[4:], s),
				"requests in BER":              got.Verify(cmstest.Indefinite(requests, 0), s),
				"a witness cut short":          (&cmc.IdentityProofV2{Hash: got.Hash, MAC: got.MAC, Witness: got.Witness[:8]}).Verify(requests, s),
				"no witness":                   (&cmc.IdentityProofV2{Hash: got.Hash, MAC: got.MAC}).Verify(requests, s),
				"a witness with a byte before": (&cmc.IdentityProofV2{Hash: got.Hash, MAC: got.MAC, Witness: append([]byte{0}, got.Witness...)}).Verify(requests, s),
			} {
				if e := failure(t, err, cmc.FailBadIdentity); !errors.Is(e, cmc.ErrProof) || strings.Contains(e.Error(), text) {
					t.Errorf("%s: %v", title, e)
				}
			}
		}
	}
	// The message itself cannot come in BER: which bytes the proof is over would be open.
	if _, err := cmc.ParsePKIData(cmstest.Indefinite(marshal(t, d), 0)); !errors.Is(err, cmc.ErrSyntax) {
		t.Errorf("ParsePKIData of BER = %v, want ErrSyntax", err)
	}
}

// EST-5272-6.2.1-01: the witness by hand: HMAC under the hash of the secret, and of the identification after it where there
// is one (RFC 5272, Section 6.2.3).
func TestIdentityProofV2IsWhatTheRFCComputes(t *testing.T) {
	requests := seq()
	key := sha256.Sum256([]byte("0123456789abcdefwho"))
	p, err := cmc.NewIdentityProofV2(crypto.SHA256, requests, &cmc.Secret{Value: []byte("0123456789abcdef"), Identification: "who"})
	if err != nil || !bytes.Equal(p.Witness, hmacOf(sha256.New, key[:], requests)) {
		t.Errorf("witness %x, %v", p.Witness, err)
	}
	// From: printf '0123456789abcdef' | openssl dgst -sha256 -binary, then HMAC-SHA-256 with that key over 30 00.
	p, err = cmc.NewIdentityProofV2(crypto.SHA256, requests, &cmc.Secret{Value: []byte("0123456789abcdef")})
	if want := "b5f7e93d326ce6f2c02415db374f906ef7abc40de783612e062f082266c4f11c"; err != nil || hex.EncodeToString(p.Witness) != want {
		t.Errorf("witness %x, %v, want %s", p.Witness, err, want)
	}
}

// EST-5272-6.3-01: the POP link witness in each request is found and verified against the random value and the secret alone.
func TestPOPLinkWitnessTiesARequestToTheSecret(t *testing.T) {
	s := &cmc.Secret{Value: []byte("0123456789abcdef"), Identification: "not part of this key"}
	random := cmc.POPLinkRandom(bytes.Repeat([]byte{7}, 64))
	w, err := cmc.NewPOPLinkWitnessV2(crypto.SHA512, random, s)
	if err != nil {
		t.Fatal(err)
	}
	key := sha512.Sum512(s.Value)
	if !bytes.Equal(w.Witness, hmacOf(sha512.New, key[:], random)) {
		t.Errorf("witness %x is not HMAC(H(secret), R)", w.Witness)
	}
	attribute, err := w.Attribute()
	if err != nil {
		t.Fatal(err)
	}
	signer := cmstest.New(t, "P-256").Key
	plain := pkcs10(t, signer, "pledge")
	linked := crmf(t, signer, plain.PKCS10, attribute)
	got, old, err := linked.POPLink()
	if err != nil || got == nil || old != nil {
		t.Fatalf("POPLink of CRMF = %+v, %v, %v", got, old, err)
	}
	if err := got.Verify(random, s); err != nil {
		t.Error(err)
	}
	if err := got.Verify(random, &cmc.Secret{Value: s.Value}); err != nil {
		t.Errorf("the identification is part of the key: %v", err)
	}
	failure(t, got.Verify(random[1:], s), cmc.FailPOPFailed)
	failure(t, got.Verify(random, &cmc.Secret{Value: []byte("0123456789abcdeF")}), cmc.FailPOPFailed)
	if got, old, err := plain.POPLink(); got != nil || old != nil || err != nil {
		t.Errorf("POPLink without one = %v, %v, %v", got, old, err)
	}
	twice := crmf(t, signer, plain.PKCS10, attribute, attribute)
	_, _, err = twice.POPLink()
	failure(t, err, cmc.FailBadRequest)
}

// A PKCS #10 request has the witness as an attribute, which crypto/x509 does not show.
func TestPOPLinkWitnessIsFoundAmongTheAttributes(t *testing.T) {
	s := &cmc.Secret{Value: []byte("0123456789abcdef")}
	w, err := cmc.NewPOPLinkWitnessV2(crypto.SHA256, cmc.POPLinkRandom("random"), s)
	if err != nil {
		t.Fatal(err)
	}
	a, err := w.Attribute()
	if err != nil {
		t.Fatal(err)
	}
	signer := cmstest.New(t, "Ed25519").Key
	make10 := func(attributes ...[]byte) cmc.Request {
		like := pkcs10(t, signer, "pledge").PKCS10
		info := seq([]byte{2, 1, 0}, like.RawSubject, like.RawSubjectPublicKeyInfo, cmstest.Element(0xa0, attributes...))
		signature, err := signer.Sign(nil, info, crypto.Hash(0))
		if err != nil {
			t.Fatal(err)
		}
		r, err := cmc.NewPKCS10(1, seq(info, cmstest.Algorithm(asn1.ObjectIdentifier{1, 3, 101, 112}), cmstest.Element(3, []byte{0}, signature)))
		if err != nil {
			t.Fatal(err)
		}
		return r
	}
	attribute := seq(cmstest.OID(a.Type), cmstest.Element(0x31, a.Value))
	odd := seq(cmstest.OID(asn1.ObjectIdentifier{1, 2, 3}), cmstest.Element(0x31, []byte{5, 0}, []byte{5, 0}))
	r := make10(odd, attribute)
	got, _, err := r.POPLink()
	if err != nil || got == nil || got.Verify(cmc.POPLinkRandom("random"), s) != nil || r.VerifyPOP() != nil {
		t.Errorf("POPLink = %+v, %v", got, err)
	}
	for title, r := range map[string]cmc.Request{
		"twice": make10(attribute, attribute), "two values": make10(seq(cmstest.OID(a.Type), cmstest.Element(0x31, a.Value, a.Value))),
		"no value": make10(seq(cmstest.OID(a.Type), cmstest.Element(0x31))), "of another type": make10(seq(cmstest.OID(a.Type), cmstest.Element(0x31, []byte{5, 0}))),
	} {
		if _, _, err := r.POPLink(); err == nil {
			t.Errorf("a witness that is %s is taken", title)
		}
	}
}

// EST-5274-4.1-01: SHA-1 is badAlg, unless the legacy switch is on.
func TestSHA1ProofsNeedTheLegacySwitch(t *testing.T) {
	requests, random := seq(), cmc.POPLinkRandom("random")
	modern := &cmc.Secret{Value: []byte("0123456789abcdef"), Identification: "who"}
	legacy := &cmc.Secret{Value: modern.Value, Identification: "who", Legacy: true}
	key := sha1.Sum([]byte("0123456789abcdefwho"))
	linkKey := sha1.Sum([]byte("0123456789abcdef"))
	sha := cms.AlgorithmIdentifier{OID: asn1.ObjectIdentifier{1, 3, 14, 3, 2, 26}, Parameters: []byte{5, 0}}
	proof, witness := hmacOf(sha1.New, key[:], requests), hmacOf(sha1.New, linkKey[:], random)
	for _, oid := range []asn1.ObjectIdentifier{{1, 3, 6, 1, 5, 5, 8, 1, 2}, {1, 2, 840, 113549, 2, 7}} {
		keyed := cms.AlgorithmIdentifier{OID: oid}
		for title, verify := range map[string]func(*cmc.Secret) error{
			"IdentityProof": func(s *cmc.Secret) error { return cmc.IdentityProof(proof).Verify(requests, s) },
			"IdentityProofV2": func(s *cmc.Secret) error {
				return (&cmc.IdentityProofV2{Hash: sha, MAC: keyed, Witness: proof}).Verify(requests, s)
			},
			"POPLinkWitness": func(s *cmc.Secret) error { return cmc.POPLinkWitness(witness).Verify(random, s) },
			"POPLinkWitnessV2": func(s *cmc.Secret) error {
				return (&cmc.POPLinkWitnessV2{KeyGeneration: sha, MAC: keyed, Witness: witness}).Verify(random, s)
			},
		} {
			if e := failure(t, verify(modern), cmc.FailBadAlg); !errors.Is(e, cmc.ErrWeakAlgorithm) {
				t.Errorf("%s: %v, want ErrWeakAlgorithm", title, e)
			}
			if err := verify(legacy); err != nil {
				t.Errorf("%s with the legacy switch: %v", title, err)
			}
			if err := verify(&cmc.Secret{Value: []byte("0123456789abcdeF"), Identification: "who", Legacy: true}); !errors.Is(err, cmc.ErrProof) {
				t.Errorf("%s with another secret: %v, want ErrProof", title, err)
			}
		}
	}
	if _, err := cmc.NewIdentityProofV2(crypto.SHA1, requests, legacy); !errors.Is(err, cmc.ErrUnsupportedAlgorithm) {
		t.Errorf("a new proof with SHA-1: %v, want ErrUnsupportedAlgorithm", err)
	}
}

func TestUnusableSecretsAndUnknownAlgorithmsAreToldApart(t *testing.T) {
	good := &cmc.Secret{Value: []byte("0123456789abcdef")}
	p, err := cmc.NewIdentityProofV2(crypto.SHA256, seq(), good)
	if err != nil {
		t.Fatal(err)
	}
	for _, value := range [][]byte{nil, {0xff}, bytes.Repeat([]byte("a"), cmc.MaxText+1)} {
		var e *cmc.Error
		if err := p.Verify(seq(), &cmc.Secret{Value: value}); !errors.Is(err, cmc.ErrSecret) || errors.As(err, &e) {
			t.Errorf("a secret of %d bytes: %v, want ErrSecret, which is not the peer's fault", len(value), err)
		}
		if _, err := cmc.NewPOPLinkWitnessV2(crypto.SHA256, nil, &cmc.Secret{Value: value}); !errors.Is(err, cmc.ErrSecret) {
			t.Errorf("a witness by a secret of %d bytes: %v, want ErrSecret", len(value), err)
		}
	}
	for _, change := range []func(*cmc.IdentityProofV2){
		func(p *cmc.IdentityProofV2) { p.Hash.OID = asn1.ObjectIdentifier{1, 2, 3} }, func(p *cmc.IdentityProofV2) { p.MAC.OID = p.Hash.OID },
		func(p *cmc.IdentityProofV2) { p.MAC.Parameters = []byte{2, 1, 1} }, func(p *cmc.IdentityProofV2) { p.Hash.OID = nil },
	} {
		changed := *p
		change(&changed)
		if e := failure(t, changed.Verify(seq(), good), cmc.FailBadAlg); !errors.Is(e, cmc.ErrUnsupportedAlgorithm) {
			t.Errorf("%v, want ErrUnsupportedAlgorithm", e)
		}
	}
}
