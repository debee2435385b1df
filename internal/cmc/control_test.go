package cmc_test

import (
	"bytes"
	"crypto/x509/pkix"
	"encoding/asn1"
	"errors"
	"math/big"
	"reflect"
	"testing"
	"time"

	"github.com/briskest/briskest/internal/cmc"
	"github.com/briskest/briskest/internal/cms"
	"github.com/briskest/briskest/internal/cmstest"
)

// everyControl is one value of each type, with every optional field set somewhere.
func everyControl(t *testing.T) []cmc.ControlValue {
	name := seq(cmstest.Element(0x31, seq(cmstest.OID(asn1.ObjectIdentifier{2, 5, 4, 3}), cmstest.Element(0x0c, []byte("CA")))))
	directory := cmstest.Element(0xa4, name)
	at := time.Date(2030, 1, 2, 3, 4, 5, 0, time.UTC)
	sha256 := cms.AlgorithmIdentifier{OID: asn1.ObjectIdentifier{2, 16, 840, 1, 101, 3, 4, 2, 1}}
	hmac := cms.AlgorithmIdentifier{OID: asn1.ObjectIdentifier{1, 2, 840, 113549, 2, 9}, Parameters: []byte{5, 0}}
	serial, popFailed := big.NewInt(4242), cmc.FailPOPFailed
	extension := pkix.Extension{Id: asn1.ObjectIdentifier{2, 5, 29, 15}, Critical: true, Value: []byte{3, 2, 7, 0x80}}
	plain := pkix.Extension{Id: asn1.ObjectIdentifier{2, 5, 29, 37}, Value: []byte{0x30, 0}}
	request := pkcs10(t, cmstest.New(t, "P-256").Key, "pledge")
	two := []cmc.BodyPartPath{{1}, {7, 8}}
	return []cmc.ControlValue{
		&cmc.StatusInfo{Status: cmc.StatusSuccess, Bodies: two},
		&cmc.StatusInfo{Status: cmc.StatusFailed, Bodies: two, Text: "so nicht", FailInfo: &popFailed},
		&cmc.StatusInfo{Status: cmc.StatusPartial, Bodies: two, Pending: &cmc.Pending{Token: []byte("token"), Time: at}},
		&cmc.StatusInfo{Status: 1234, Bodies: two, Extended: &cmc.ExtendedFailure{Type: asn1.ObjectIdentifier{1, 2, 3}, Value: []byte{5, 0}}},
		&cmc.StatusInfo{Status: cmc.StatusPending, Bodies: []cmc.BodyPartPath{{0}}, Old: true, Text: "x", Pending: &cmc.Pending{Token: []byte{}, Time: at}},
		cmc.Identification("gerät 7"), cmc.IdentityProof("proof"), &cmc.IdentityProofV2{Hash: sha256, MAC: hmac, Witness: []byte("w")},
		cmc.DataReturn("state"), cmc.DataReturn{}, &cmc.TransactionID{Number: big.NewInt(-5)}, cmc.SenderNonce("n"), cmc.RecipientNonce("n"),
		&cmc.AddExtensions{PKIData: 0, Requests: []cmc.BodyPartID{1, 4294967295}, Extensions: []pkix.Extension{extension, plain}},
		&cmc.ModCertTemplate{PKIData: cmc.BodyPartPath{0}, Requests: []cmc.BodyPartID{1}, Replace: true, Template: &cmc.CertTemplate{RawSubject: name}},
		&cmc.ModCertTemplate{PKIData: cmc.BodyPartPath{3, 4}, Requests: []cmc.BodyPartID{1}, Template: &cmc.CertTemplate{
			RawIssuer: name, NotBefore: at, NotAfter: at.AddDate(30, 0, 0), Extensions: []pkix.Extension{extension},
		}},
		&cmc.EncryptedPOP{Request: request, ContentInfo: seq(cmstest.OID(cms.OIDData())), POPAlgorithm: hmac, WitnessAlgorithm: sha256, Witness: []byte("w")},
		&cmc.DecryptedPOP{Request: 1, POPAlgorithm: hmac, POP: []byte("pop")}, &cmc.LRAPOPWitness{PKIData: 2, Requests: []cmc.BodyPartID{1, 3}},
		&cmc.GetCert{RawIssuer: directory, SerialNumber: serial}, &cmc.GetCRL{RawIssuer: name},
		&cmc.GetCRL{RawIssuer: name, RawName: directory, Time: at, Reasons: asn1.BitString{Bytes: []byte{0x60}, BitLength: 3}},
		&cmc.RevokeRequest{RawIssuer: name, SerialNumber: serial, Reason: 1},
		&cmc.RevokeRequest{RawIssuer: name, SerialNumber: serial, Reason: 4, InvalidityDate: at, Passphrase: []byte("sesame"), Comment: "lost"},
		cmc.RegInfo("r"), cmc.ResponseInfo("r"), cmc.QueryPending("token"), cmc.POPLinkRandom("random"), cmc.POPLinkWitness("w"),
		&cmc.POPLinkWitnessV2{KeyGeneration: sha256, MAC: hmac, Witness: []byte("w")}, &cmc.ConfirmCertAcceptance{RawIssuer: name, SerialNumber: serial},
		cmc.ControlsProcessed(two), cmc.BatchRequests{5, 6}, cmc.BatchResponses{5}, cmc.AuthData(9), cmc.RAIdentityWitness{1, 2}, cmc.ResponseBody{3},
		&cmc.PublishCert{Hash: sha256, CertHashes: [][]byte{make([]byte, 32)}, Publication: seq([]byte{2, 1, 1})},
		&cmc.TrustAnchors{Sequence: big.NewInt(3), Hash: sha256, Hashes: [][]byte{make([]byte, 32), make([]byte, 32)}},
		&cmc.UnknownControl{Type: asn1.ObjectIdentifier{1, 3, 6, 1, 4, 1, 99999, 1}, Values: [][]byte{{2, 1, 1}, {5, 0}}},
		&cmc.UnknownControl{Type: asn1.ObjectIdentifier{1, 3, 6, 1, 5, 5, 7, 7, 99}},
	}
}

// EST-5274-4.2-01: every control that a CA must know is read, and comes back as it was written.
func TestEveryControlComesBackAsItWasWritten(t *testing.T) {
	known := 0
	for _, v := range everyControl(t) {
		var der, again []byte
		var got cmc.ControlValue
		controls := []cmc.Control{{ID: 4294967295, Value: v}}
		if _, response := v.(cmc.ResponseBody); response {
			r := &cmc.PKIResponse{Controls: controls}
			der, _ = r.Marshal()
			back, err := cmc.ParsePKIResponse(der)
			if err != nil {
				t.Fatalf("ParsePKIResponse of %T: %v", v, err)
			}
			got = back.Controls[0].Value
			again, _ = back.Marshal()
		} else {
			d := &cmc.PKIData{Controls: controls}
			der = marshal(t, d)
			back, err := cmc.ParsePKIData(der)
			if err != nil {
				t.Fatalf("ParsePKIData of %T %+v: %v", v, v, err)
			}
			got, again = back.Controls[0].Value, marshal(t, back)
			if back.Controls[0].Known() {
				known++
			}
		}
		if !reflect.DeepEqual(got, v) {
			t.Errorf("%T came back as %+v, want %+v", v, got, v)
		}
		if !bytes.Equal(der, again) || len(der) == 0 {
			t.Errorf("%T is written as %x, then as %x", v, der, again)
		}
	}
	t.Logf("figures: %d values of known controls", known)
}

func TestMalformedControlsAreRefusedWithTheirBodyPart(t *testing.T) {
	octets := cmstest.Element(4, []byte("x"))
	name, serial := seq(), []byte{2, 1, 1}
	for title, der := range map[string][]byte{
		"no value":                        control(7, 5),
		"two values":                      control(7, 6, octets, octets),
		"another type":                    control(7, 5, octets),
		"a status about nothing":          control(7, 25, seq([]byte{2, 1, 0}, seq())),
		"an old status with a path":       control(7, 1, seq([]byte{2, 1, 0}, seq(seq([]byte{2, 1, 1})))),
		"an empty path":                   control(7, 25, seq([]byte{2, 1, 0}, seq(seq()))),
		"a path of nine":                  control(7, 35, seq(bytes.Repeat([]byte{2, 1, 1}, 9))),
		"a bodyPartID of 33 bits":         control(7, 27, []byte{2, 5, 1, 0, 0, 0, 0}),
		"a negative bodyPartID":           control(7, 27, []byte{2, 1, 0xff}),
		"an INTEGER with a leading zero":  control(7, 5, []byte{2, 2, 0, 1}),
		"text that is no UTF-8":           control(7, 2, cmstest.Element(0x0c, []byte{0xff})),
		"text of 4,097 bytes":             control(7, 2, cmstest.Element(0x0c, bytes.Repeat([]byte("a"), 4097))),
		"a nonce of 1,025 bytes":          control(7, 6, cmstest.Element(4, make([]byte, 1025))),
		"a nonce of half a megabyte":      control(7, 6, cmstest.Element(4, make([]byte, 1<<19))),
		"a transaction of 100,000 bytes":  control(7, 5, cmstest.Element(2, bytes.Repeat([]byte{1}, 100_000))),
		"257 requests in a batch":         control(7, 28, seq(bytes.Repeat([]byte{2, 1, 1}, 257))),
		"an empty batch":                  control(7, 28, seq()),
		"a revocation with more":          control(7, 17, seq(name, serial, []byte{10, 1, 1}, []byte{5, 0})),
		"a revocation in the wrong order": control(7, 17, seq(name, serial, []byte{10, 1, 1}, cmstest.Element(0x0c, nil), octets)),
		"a reason of five bytes":          control(7, 17, seq(name, serial, []byte{10, 5, 1, 0, 0, 0, 0})),
		"extensions twice":                control(7, 8, seq([]byte{2, 1, 0}, seq(), seq(seq([]byte{6, 1, 0x2a}, octets), seq([]byte{6, 1, 0x2a}, octets)))),
		"a critical FALSE":                control(7, 8, seq([]byte{2, 1, 0}, seq(), seq(seq([]byte{6, 1, 0x2a}, []byte{1, 1, 0}, octets)))),
		"a replace of TRUE":               control(7, 31, seq(seq([]byte{2, 1, 0}), seq([]byte{2, 1, 1}), []byte{1, 1, 255}, seq())),
		"a status of two reasons":         control(7, 25, seq([]byte{2, 1, 2}, seq([]byte{2, 1, 1}), []byte{2, 1, 1}, []byte{2, 1, 1})),
		"17 values of an unknown control": control(7, 99, bytes.Repeat([]byte{5, 0}, 17)),
		"a hash of 65 bytes":              control(7, 26, seq(serial, cmstest.SHA256(), seq(cmstest.Element(4, make([]byte, 65))))),
		"a response body in a request":    control(7, 37, seq([]byte{2, 1, 1})),
	} {
		_, err := cmc.ParsePKIData(pkiData(der, nil))
		var e *cmc.Error
		if !errors.As(err, &e) || e.FailInfo != cmc.FailBadRequest || !named(e, cmc.BodyPartPath{7}) {
			t.Errorf("%s: %v, want badRequest about body part 7", title, err)
		}
	}
	_, err := cmc.ParsePKIResponse(seq(seq(control(7, 35, seq([]byte{2, 1, 1}))), seq(), seq()))
	if !errors.Is(err, cmc.ErrMisplaced) {
		t.Errorf("an RA's identity witness in a response: %v, want ErrMisplaced", err)
	}
}

// Two of a control that occurs once are refused with the second one's bodyPartID; others may occur again.
func TestControlsThatOccurOnceDo(t *testing.T) {
	octets := cmstest.Element(4, []byte("x"))
	text, number := cmstest.Element(0x0c, []byte("x")), []byte{2, 1, 1}
	algorithms := seq(cmstest.SHA256(), cmstest.SHA256(), octets)
	for arc, value := range map[int][]byte{2: text, 3: octets, 34: algorithms, 5: number, 6: octets, 7: octets, 22: octets} {
		_, err := cmc.ParsePKIData(pkiData(append(control(7, arc, value), control(8, arc, value)...), nil))
		if e := failure(t, err, cmc.FailBadRequest); !errors.Is(err, cmc.ErrDuplicateControl) || !named(e, cmc.BodyPartPath{8}) {
			t.Errorf("id-cmc %d twice: %v, want ErrDuplicateControl about 8", arc, err)
		}
	}
	for arc, value := range map[int][]byte{4: octets, 18: octets, 21: octets, 35: seq(number), 99: number} {
		if _, err := cmc.ParsePKIData(pkiData(append(control(7, arc, value), control(8, arc, value)...), nil)); err != nil {
			t.Errorf("id-cmc %d twice: %v", arc, err)
		}
	}
}

// EST-5272-3.2.2-01: bodyPartIDs are unique over all parts of a PKIData, and 0 is none of them; all culprits are named. We make
// no such message either.
func TestBodyPartIDsAreUniqueAndNotZero(t *testing.T) {
	key := cmstest.New(t, "P-256").Key
	request := pkcs10(t, key, "pledge").Raw
	nonce := cmstest.Element(4, []byte("x"))
	message := seq(id(1), seq(cmstest.OID(cms.OIDData())))
	other := seq(id(1), []byte{6, 1, 0x2a}, []byte{5, 0})
	for title, der := range map[string][]byte{
		"control and request":     pkiData(control(1, 6, nonce), request),
		"two requests":            pkiData(nil, append(bytes.Clone(request), request...)),
		"request and CMS message": seq(seq(), seq(request), seq(message), seq()),
		"two other messages":      seq(seq(), seq(), seq(), seq(other, other)),
	} {
		_, err := cmc.ParsePKIData(der)
		if e := failure(t, err, cmc.FailBadRequest); !errors.Is(err, cmc.ErrBodyPartID) || !named(e, cmc.BodyPartPath{1}) {
			t.Errorf("%s: %v, want ErrBodyPartID about 1", title, err)
		}
	}
	_, err := cmc.ParsePKIData(pkiData(append(control(0, 6, nonce), append(control(5, 4, nonce), control(5, 4, nonce)...)...), nil))
	if e := failure(t, err, cmc.FailBadRequest); !named(e, cmc.BodyPartPath{0}, cmc.BodyPartPath{5}) {
		t.Errorf("two culprits: %v, want 0 and 5 named", err)
	}
	for _, ids := range [][2]cmc.BodyPartID{{0, 1}, {2, 2}} {
		d := &cmc.PKIData{Controls: []cmc.Control{{ID: ids[0], Value: cmc.SenderNonce("x")}, {ID: ids[1], Value: cmc.DataReturn("x")}}}
		if der, err := d.Marshal(); !errors.Is(err, cmc.ErrBodyPartID) {
			t.Errorf("Marshal with bodyPartIDs %v = %x, %v, want ErrBodyPartID", ids, der, err)
		}
	}
}

func TestUnknownControlsCountUnlessMarkedProcessed(t *testing.T) {
	unknown := func(id cmc.BodyPartID) cmc.Control {
		return cmc.Control{ID: id, Value: &cmc.UnknownControl{Type: asn1.ObjectIdentifier{1, 3, 6, 1, 4, 1, 99999, 1}}}
	}
	d := &cmc.PKIData{Controls: []cmc.Control{unknown(3), unknown(4), {ID: 9, Value: cmc.ControlsProcessed{{4}, {7, 3}}}}}
	back, err := cmc.ParsePKIData(marshal(t, d))
	if err != nil {
		t.Fatal(err)
	}
	if got := back.Unknown(); len(got) != 1 || got[0] != 3 {
		t.Errorf("Unknown() = %v, want 3", got)
	}
	if !back.Processed(cmc.BodyPartPath{7, 3}) || back.Processed(cmc.BodyPartPath{3}) || back.Processed(nil) {
		t.Error("Processed does not tell {7, 3} from {3}")
	}
}

func TestValuesThatMakeNoSenseAreNotWritten(t *testing.T) {
	info := cmc.FailBadAlg
	for _, v := range []cmc.ControlValue{
		nil, &cmc.StatusInfo{}, &cmc.StatusInfo{Bodies: []cmc.BodyPartPath{{}}}, &cmc.StatusInfo{Old: true, Bodies: []cmc.BodyPartPath{{1, 2}}},
		&cmc.StatusInfo{Bodies: []cmc.BodyPartPath{{1}}, FailInfo: &info, Pending: &cmc.Pending{}}, &cmc.TransactionID{}, cmc.BatchRequests{},
		&cmc.ModCertTemplate{PKIData: cmc.BodyPartPath{0}, Requests: []cmc.BodyPartID{1}}, &cmc.GetCert{RawIssuer: []byte{1}, SerialNumber: big.NewInt(1)},
		&cmc.EncryptedPOP{}, cmc.RAIdentityWitness{}, cmc.ControlsProcessed{}, &cmc.UnknownControl{Type: asn1.ObjectIdentifier{1, 2, 3}, Values: [][]byte{{1}}},
		&cmc.GetCRL{RawIssuer: seq(), Reasons: asn1.BitString{BitLength: 9, Bytes: []byte{1}}}, &cmc.UnknownControl{},
	} {
		d := &cmc.PKIData{Controls: []cmc.Control{{ID: 1, Value: v}}}
		if der, err := d.Marshal(); !errors.Is(err, cmc.ErrBuild) {
			t.Errorf("Marshal of %T %+v = %x, %v, want ErrBuild", v, v, der, err)
		}
	}
}
