package vouchercose_test

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/briskest/briskest/internal/testpki"
	"github.com/briskest/briskest/voucher"
	"github.com/briskest/briskest/voucher/vouchercose"
	"github.com/briskest/briskest/voucher/vouchertest"
)

// es256 is the protected header of most.
func es256() []byte { return object(number(1), number(-7)) }

// requestOf is a payload of these leaves, keys and values in turn.
func requestOf(leaves ...[]byte) []byte { return object(number(2501), object(leaves...)) }

func voucherOf(leaves ...[]byte) []byte { return object(number(2451), object(leaves...)) }

// minimal is a request with what it must have.
func minimal() []byte { return requestOf(number(13), text("PEER-0001")) }

func signer(t testing.TB) *testpki.Identity {
	t.Helper()
	return testpki.NewRoot(t, "Vendor CA").NewIntermediate(t, "CA").Client(t, "signer")
}

// openRequest signs a payload by hand and opens it.
func openRequest(t testing.TB, payload []byte) (*voucher.Request, *voucher.Artifact, error) {
	t.Helper()
	id := signer(t)
	data := envelope{es256(), object(number(33), certificates(id.Certificate)), payload, id.Key}.bytes(t)
	return vouchercose.Format{}.OpenRequest(data)
}

func ids(findings []voucher.Finding) []string {
	var out []string
	for _, f := range findings {
		out = append(out, f.ID)
	}
	return out
}

// RFC 9360, Section 2.
func TestCertificatesAreFoundAsChainOrBagInEitherHeader(t *testing.T) {
	id := signer(t)
	all := append([]*x509.Certificate{id.Certificate}, id.Chain...)
	shuffled := slices.Clone(all)
	slices.Reverse(shuffled)
	for _, c := range []struct {
		name                   string
		protected, unprotected []byte
		inside                 int
	}{
		{"x5chain protected", object(number(1), number(-7), number(33), certificates(all...)), object(), len(all)},
		{"x5chain unprotected", es256(), object(number(33), certificates(all...)), len(all)},
		{"x5bag protected", object(number(1), number(-7), number(32), certificates(shuffled...)), object(), len(all)},
		{"x5bag unprotected", es256(), object(number(32), certificates(shuffled...)), len(all)},
		{"x5chain of one", es256(), object(number(33), certificates(all[0])), 1},
		{"x5chain of one in an array", es256(), object(number(33), list(octets(all[0].Raw))), 1},
		{"x5chain of one, and x5bag", es256(), object(number(33), certificates(all[0]), number(32), certificates(shuffled...)), len(all)},
		{"crit with what is understood", object(number(1), number(-7), number(2), list(number(33)), number(33), certificates(all...)), object(), len(all)},
		{"kid and x5t besides", es256(), object(number(4), octets([]byte{1}), number(34), list(number(-16), octets([]byte{2})), number(33), certificates(all...)), len(all)},
	} {
		data := envelope{c.protected, c.unprotected, minimal(), id.Key}.bytes(t)
		r, a, err := vouchercose.Format{}.OpenRequest(data)
		if err != nil || !a.Signer.Equal(id.Certificate) || len(a.Certificates) != c.inside || r.SerialNumber != "PEER-0001" {
			t.Errorf("%s: OpenRequest() = %+v, %+v, %v", c.name, r, a, err)
		}
	}
}

// BRSKI-CBRSKI-12.1-01, BRSKI-CBRSKI-15.2.2-01, BRSKI-CBRSKI-12.3-01: numbers and names, also in one map.
func TestKeysAreNumbersAndNamesAlsoInOneMap(t *testing.T) {
	nonce := octets([]byte{0, 1, 2, 3, 4, 5, 6, 7})
	for name, payload := range map[string][]byte{
		"numbers":       requestOf(number(1), number(2), number(7), nonce, number(13), text("PEER-0001")),
		"names":         object(text("ietf-voucher-request:voucher"), object(text("assertion"), number(2), text("nonce"), nonce, text("serial-number"), text("PEER-0001"))),
		"mixed":         requestOf(number(13), text("PEER-0001"), text("nonce"), nonce, number(1), number(2)),
		"absolute SIDs": requestOf(tagged(47, number(2502)), number(2), tagged(47, number(2508)), nonce, number(13), text("PEER-0001")),
	} {
		r, a, err := openRequest(t, payload)
		if err != nil || r.SerialNumber != "PEER-0001" || r.Nonce != "AAECAwQFBgc=" || r.Assertion != voucher.Proximity || len(a.Findings) != 0 {
			t.Errorf("%s: OpenRequest() = %+v, %+v, %v", name, r, a, err)
		}
	}
	// 11 is the serial number of a voucher; a request in a voucher's container is numbered like one.
	r, a, err := openRequest(t, voucherOf(number(11), text("PEER-0001")))
	if err != nil || r.SerialNumber != "PEER-0001" || !slices.Equal(ids(a.Findings), []string{voucher.FindingVoucherRootInRequest}) {
		t.Errorf("OpenRequest(voucher container) = %+v, %+v, %v", r, a, err)
	}
}

func TestExtensionsByDeltaAreKnownByTheList(t *testing.T) {
	r, a, err := openRequest(t, requestOf(number(2), text("2026-11-22T22:21:07Z"), number(13), text("x"),
		number(21), list(number(60000)), number(60000-2501), object(number(1), octets([]byte{0xff, 0xfe})),
		tagged(47, number(70000)), text("unlisted"), number(40), number(-3)))
	if err != nil {
		t.Fatal(err)
	}
	if got := string(r.Extensions["extension:60000"]); got != `{"1":"__4"}` {
		t.Errorf("the extension listed is %s", got)
	}
	if string(r.Extensions["extension:70000"]) != `"unlisted"` || string(r.Unknown["2541"]) != "-3" {
		t.Errorf("the rest is %v, %v", r.Extensions, r.Unknown)
	}
	want := []string{voucher.FindingExtensionUnlisted, voucher.FindingUnknownLeaf}
	if got := ids(a.Findings); !slices.Equal(got, want) {
		t.Errorf("findings %v, want %v", got, want)
	}
}

// What minerva's programs write, each a finding.
func TestFormsOfMinervaAreTakenAndReported(t *testing.T) {
	id := signer(t)
	pin := testpki.NewRoot(t, "Domain CA").Certificate.Raw
	payload := voucherOf(number(1), text("logged"), number(2), tagged(1, number(1599525239)), number(7), text("r_nxO6eY1SqtTUBNlNlWJQ"),
		number(8), text(base64Of(pin)), number(11), octets([]byte("PEER-0001")))
	data := envelope{es256(), object(), payload, id.Key}.bytes(t)
	v, a, err := vouchercose.Format{Known: []*x509.Certificate{id.Certificate}}.OpenVoucher(data)
	if err != nil {
		t.Fatal(err)
	}
	if v.Assertion != voucher.Logged || !v.CreatedOn.Equal(time.Date(2020, 9, 8, 0, 33, 59, 0, time.UTC)) ||
		v.Nonce != "r_nxO6eY1SqtTUBNlNlWJQ" || !bytes.Equal(v.PinnedDomainCert, pin) || v.SerialNumber != "PEER-0001" {
		t.Errorf("OpenVoucher() = %+v", v)
	}
	want := []string{
		vouchercose.FindingAssertionText, vouchercose.FindingEpochDate, vouchercose.FindingNonceText,
		vouchercose.FindingBinaryText, vouchercose.FindingTextBytes,
	}
	if got := ids(a.Findings); !slices.Equal(got, want) {
		t.Errorf("findings %v, want %v", got, want)
	}
}

// BRSKI-CBRSKI-9.2.2-02: a kid is ignored.
func TestASignerWhoseCertificateIsNotInsideIsFoundAmongTheKnown(t *testing.T) {
	id, other := signer(t), signer(t)
	for name, unprotected := range map[string][]byte{
		"none inside":      object(),
		"a kid of no use":  object(number(4), octets([]byte("key-1"))),
		"another's inside": object(number(32), certificates(other.Certificate)),
	} {
		data := envelope{es256(), unprotected, minimal(), id.Key}.bytes(t)
		_, _, err := vouchercose.Format{Known: []*x509.Certificate{other.Certificate}}.OpenRequest(data)
		if !errors.Is(err, voucher.ErrSigned) {
			t.Errorf("%s, another known: OpenRequest() = %v, want %v", name, err, voucher.ErrSigned)
		}
		f := voucher.WithKnown(vouchercose.Format{}, []*x509.Certificate{other.Certificate, id.Certificate})
		if _, a, err := f.OpenRequest(data); err != nil || !a.Signer.Equal(id.Certificate) {
			t.Errorf("%s, known: OpenRequest() = %v", name, err)
		}
	}
}

// sameKey returns another certificate for id's key.
func sameKey(t *testing.T, id *testpki.Identity) *x509.Certificate {
	t.Helper()
	return testpki.NewRoot(t, "Other CA").Issue(t, &x509.Certificate{Subject: pkix.Name{CommonName: "other"}}, id.Key).Certificate
}

// DER signatures are those of the vanderstok set, see the published artifacts.
func TestWhatIsNotSignedAsItSaysIsRefusedByName(t *testing.T) {
	id, other := signer(t), signer(t)
	chain := object(number(33), certificates(id.Certificate))
	p384, err := ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	wrongCurve := testpki.NewRoot(t, "CA").Issue(t, &x509.Certificate{Subject: pkix.Name{CommonName: "p384"}}, p384)
	spoil := func(at int) []byte {
		data := envelope{es256(), chain, minimal(), id.Key}.bytes(t)
		data[len(data)-at] ^= 1
		return data
	}
	sealed := func(protected, unprotected []byte) []byte {
		return envelope{protected, unprotected, minimal(), id.Key}.bytes(t)
	}
	signed := []error{voucher.ErrSigned}
	for _, c := range []struct {
		name string
		data []byte
		want []error
	}{
		{"signature changed", spoil(1), append(signed, vouchercose.ErrSignature)},
		{"payload changed", spoil(70), append(signed, vouchercose.ErrSignature)},
		{"another's chain", sealed(es256(), object(number(33), certificates(other.Certificate, id.Certificate))), append(signed, vouchercose.ErrSignature)},
		{"another's bag", sealed(es256(), object(number(32), certificates(other.Certificate))), append(signed, vouchercose.ErrSignature)},
		{"others' bag", sealed(es256(), object(number(32), certificates(other.Certificate, signer(t).Certificate))), append(signed, vouchercose.ErrSignature)},
		{"no certificate", sealed(es256(), object()), append(signed, vouchercose.ErrNoSignerCertificate)},
		{"two of one key in the bag", sealed(es256(), object(number(32), certificates(id.Certificate, sameKey(t, id)))), append(signed, vouchercose.ErrAmbiguousSigner)},
		{"no algorithm", sealed(object(), chain), append(signed, vouchercose.ErrNoAlgorithm)},
		{"empty protected header", envelope{nil, chain, minimal(), id.Key}.bytes(t), append(signed, vouchercose.ErrNoAlgorithm)},
		{"algorithm unprotected", sealed(object(), object(number(1), number(-7), number(33), certificates(id.Certificate))), append(signed, vouchercose.ErrNoAlgorithm)},
		{"ES384 with P-256", sealed(object(number(1), number(-35)), chain), append(signed, vouchercose.ErrKey)},
		{"ES256 with P-384", envelope{es256(), object(number(33), certificates(wrongCurve.Certificate)), minimal(), p384}.bytes(t), append(signed, vouchercose.ErrKey)},
		{"EdDSA with P-256", sealed(object(number(1), number(-8)), chain), append(signed, vouchercose.ErrKey)},
		{"PS256 with P-256", sealed(object(number(1), number(-37)), chain), append(signed, vouchercose.ErrKey)},
		{"ES256K", sealed(object(number(1), number(-47)), chain), append(signed, vouchercose.ErrUnsupportedAlgorithm)},
		{"RS256", sealed(object(number(1), number(-257)), chain), append(signed, vouchercose.ErrUnsupportedAlgorithm)},
		{"RS1", sealed(object(number(1), number(-65535)), chain), append(signed, vouchercose.ErrUnsupportedAlgorithm)},
		{"HMAC", sealed(object(number(1), number(5)), chain), append(signed, vouchercose.ErrUnsupportedAlgorithm)},
		{"algorithm by name", sealed(object(number(1), text("ES256")), chain), append(signed, vouchercose.ErrUnsupportedAlgorithm)},
		{"algorithm null", sealed(object(number(1), []byte{0xf6}), chain), []error{vouchercose.ErrSyntax}},
		{"both headers have the algorithm", sealed(es256(), object(number(1), number(-7), number(33), certificates(id.Certificate))), []error{vouchercose.ErrDuplicateHeader}},
		{"two chains", sealed(object(number(1), number(-7), number(33), certificates(id.Certificate)), chain), []error{vouchercose.ErrDuplicateHeader}},
		{"one header has two chains", sealed(es256(), object(number(33), certificates(id.Certificate), number(33), certificates(other.Certificate))), []error{vouchercose.ErrDuplicateKey}},
		{"two algorithms", sealed(object(number(1), number(-7), number(1), number(-35)), chain), []error{vouchercose.ErrDuplicateKey}},
		{"crit not understood", sealed(object(number(1), number(-7), number(2), list(number(99)), number(99), number(1)), chain), []error{vouchercose.ErrCritical}},
		{"crit with a name", sealed(object(number(1), number(-7), number(2), list(text("b64")), text("b64"), number(1)), chain), []error{vouchercose.ErrCritical}},
		{"crit empty", sealed(object(number(1), number(-7), number(2), list()), chain), []error{vouchercose.ErrSyntax}},
		{"crit of what is absent", sealed(object(number(1), number(-7), number(2), list(number(33))), chain), []error{vouchercose.ErrSyntax}},
		{"crit unprotected", sealed(es256(), object(number(2), list(number(33)), number(33), certificates(id.Certificate))), []error{vouchercose.ErrSyntax}},
		{"chain of nothing", sealed(es256(), object(number(33), list())), []error{vouchercose.ErrCertificate}},
		{"chain of numbers", sealed(es256(), object(number(33), list(number(1)))), []error{vouchercose.ErrCertificate}},
		{"chain of bytes that are no certificate", sealed(es256(), object(number(33), octets([]byte{0x30, 0}))), []error{vouchercose.ErrCertificate}},
		{"17 certificates", sealed(es256(), object(number(32), certificates(slices.Repeat([]*x509.Certificate{id.Certificate}, 17)...))), []error{voucher.ErrTooManyCertificates}},
		{"17 in both", sealed(es256(), object(number(33), certificates(id.Certificate), number(32), certificates(slices.Repeat([]*x509.Certificate{id.Certificate}, 16)...))), []error{voucher.ErrTooManyCertificates}},
	} {
		for _, want := range c.want {
			if _, _, err := (vouchercose.Format{}).OpenRequest(c.data); !errors.Is(err, want) {
				t.Errorf("%s: OpenRequest() = %v, want %v", c.name, err, want)
			}
			if _, _, err := (vouchercose.Format{}).OpenVoucher(c.data); !errors.Is(err, want) {
				t.Errorf("%s: OpenVoucher() = %v, want %v", c.name, err, want)
			}
		}
	}
}

func TestContentThatIsNotAsDefinedIsRefusedByName(t *testing.T) {
	serial := func(more ...[]byte) []byte { return requestOf(append([][]byte{number(13), text("x")}, more...)...) }
	for _, c := range []struct {
		name    string
		payload []byte
		want    error
	}{
		{"nothing", nil, vouchercose.ErrSyntax},
		{"no map", list(number(2501)), vouchercose.ErrSyntax},
		{"bytes follow", append(minimal(), 0xf6), vouchercose.ErrTrailingData},
		{"an empty map", object(), voucher.ErrRoot},
		{"two containers", object(number(2501), object(), number(2451), object()), voucher.ErrRoot},
		{"SIDs before allocation", object(number(1001154), object(number(10), text("x"))), voucher.ErrRoot},
		{"the module's SID", object(number(2500), object(number(14), text("x"))), voucher.ErrRoot},
		{"a misspelt container", object(text("ietf-request-voucher:voucher"), object(text("serial-number"), text("x"))), voucher.ErrRoot},
		{"content that is no map", object(number(2501), list()), vouchercose.ErrSyntax},
		{"no serial number", requestOf(number(1), number(2)), voucher.ErrMissingLeaf},
		{"a key twice", serial(number(13), text("y")), vouchercose.ErrDuplicateKey},
		{"a key twice, once longer", serial([]byte{0x18, 13}, text("y")), vouchercose.ErrDuplicateKey},
		{"a leaf twice, by number and name", serial(text("serial-number"), text("y")), voucher.ErrDuplicateLeaf},
		{"a leaf twice, by delta and SID", serial(tagged(47, number(2514)), text("y")), voucher.ErrDuplicateLeaf},
		{"a key twice in an unknown leaf", serial(number(40), object(number(1), number(1), number(1), number(2))), vouchercose.ErrDuplicateKey},
		{"a key twice in JSON", serial(number(40), object(number(1), number(1), text("1"), number(2))), vouchercose.ErrDuplicateKey},
		{"a key of bytes", serial(octets([]byte{1}), number(1)), vouchercose.ErrSyntax},
		{"a key that is a list", serial(list(number(1)), number(1)), vouchercose.ErrSyntax},
		{"a key with a fraction", serial([]byte{0xf9, 0x3e, 0x00}, number(1)), vouchercose.ErrSyntax},
		{"a key in tag 1", serial(tagged(1, number(5)), number(1)), vouchercose.ErrSyntax},
		{"a key out of range", serial(head(0, 1<<63-1), number(1)), vouchercose.ErrSyntax},
		{"a key beyond", serial(head(0, 1<<63), number(1)), vouchercose.ErrSyntax},
		{"a key below any SID", serial(number(-2600), number(1)), vouchercose.ErrSyntax},
		{"a tag around a leaf", requestOf(number(13), tagged(47, text("x"))), vouchercose.ErrTag},
		{"an unknown tag", serial(number(40), tagged(24, number(1))), vouchercose.ErrTag},
		{"a date in tag 0", serial(number(2), tagged(0, text("2026-11-22T22:21:07Z"))), vouchercose.ErrTag},
		{"a date with a fraction in tag 1", serial(number(2), tagged(1, []byte{0xf9, 0x3e, 0x00})), voucher.ErrDate},
		{"a date before 1970 in tag 1", serial(number(2), tagged(1, number(-1))), voucher.ErrDate},
		{"a date that is a number", serial(number(2), number(1599525239)), voucher.ErrLeafType},
		{"a date that is none", serial(number(2), text("yesterday")), voucher.ErrDate},
		{"an assertion without name", serial(number(1), number(4)), voucher.ErrLeafValue},
		{"a negative assertion", serial(number(1), number(-1)), voucher.ErrLeafValue},
		{"an assertion that is bytes", serial(number(1), octets([]byte("logged"))), voucher.ErrLeafType},
		{"a serial number that is a number", requestOf(number(13), number(7)), voucher.ErrLeafType},
		{"a serial number that is no UTF-8", requestOf(number(13), octets([]byte{0xff})), voucher.ErrLeafValue},
		{"text that is no UTF-8", requestOf(number(13), []byte{0x61, 0xff}), vouchercose.ErrSyntax},
		{"a URL that is bytes", serial(number(20), octets([]byte("https://a.example"))), voucher.ErrLeafType},
		{"a certificate that is a number", serial(number(10), number(1)), voucher.ErrLeafType},
		{"a certificate of no bytes", serial(number(10), octets(nil)), voucher.ErrLeafValue},
		{"a nonce of 7 bytes", serial(number(7), octets(make([]byte, 7))), voucher.ErrNonce},
		{"a nonce of 33 bytes", serial(number(7), octets(make([]byte, 33))), voucher.ErrNonce},
		{"a nonce that is a number", serial(number(7), number(1)), voucher.ErrLeafType},
		{"a flag that is a number", serial(number(3), number(1)), voucher.ErrLeafType},
		{"vendor data that is text", serial(number(22), text("x")), voucher.ErrLeafType},
		{"extensions that are a map", serial(number(21), object()), voucher.ErrLeafType},
		{"extensions of bytes", serial(number(21), list(octets([]byte{1}))), voucher.ErrLeafType},
		{"agents' certificates that are text", serial(number(15), list(text("x"))), voucher.ErrLeafType},
		{"an indefinite map", object(number(2501), []byte{0xbf, 0xff}), vouchercose.ErrIndefinite},
		{"indefinite text", requestOf(number(13), []byte{0x7f, 0x61, 'x', 0xff}), vouchercose.ErrIndefinite},
		{"nested 17 deep", serial(number(40), append(bytes.Repeat([]byte{0x81}, 17), 0xf6)), vouchercose.ErrTooDeep},
		{"nested 10,000 deep", serial(number(40), append(bytes.Repeat([]byte{0x81}, 10000), 0xf6)), vouchercose.ErrTooDeep},
		{"5,000 items", serial(number(40), list(slices.Repeat([][]byte{{0xf6}}, 5000)...)), vouchercose.ErrTooLarge},
		{"a map that claims 2^32 entries", object(number(2501), head(5, 1<<32)), vouchercose.ErrSyntax},
		{"an array that claims 2^63 items", serial(number(40), head(4, 1<<63)), vouchercose.ErrSyntax},
		{"text that claims 2^64-1 bytes", requestOf(number(13), head(3, 1<<64-1)), vouchercose.ErrSyntax},
		{"257 kB", serial(number(40), octets(make([]byte, voucher.MaxPayload))), vouchercose.ErrTooLarge},
	} {
		if _, _, err := openRequest(t, c.payload); !errors.Is(err, c.want) {
			t.Errorf("%s: OpenRequest() = %v, want %v", c.name, err, c.want)
		}
	}
}

func TestTheEnvelopeIsRefusedByNameForItsForm(t *testing.T) {
	id := signer(t)
	chain := object(number(33), certificates(id.Certificate))
	good := envelope{es256(), chain, minimal(), id.Key}.bytes(t)
	parts := [][]byte{octets(es256()), chain, octets(minimal()), good[len(good)-66:]}
	with := func(i int, part []byte) []byte {
		changed := slices.Clone(parts)
		changed[i] = part
		return tagged(18, list(changed...))
	}
	if _, _, err := (vouchercose.Format{}).OpenRequest(with(0, parts[0])); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name string
		data []byte
		want error
	}{
		{"nothing", nil, vouchercose.ErrSyntax},
		{"base64", []byte("0oRDoQEm"), vouchercose.ErrTag},
		{"no tag", good[1:], vouchercose.ErrTag},
		{"tag 98", tagged(98, good[1:]), vouchercose.ErrTag},
		{"tag 18 twice", tagged(18, good), vouchercose.ErrSyntax},
		{"self-described", tagged(55799, good), vouchercose.ErrTag},
		{"tag 18 in a longer form", append([]byte{0xd8, 18}, good[1:]...), vouchercose.ErrTag},
		{"bytes follow", append(bytes.Clone(good), 0), vouchercose.ErrTrailingData},
		{"three parts", tagged(18, list(parts[:3]...)), vouchercose.ErrSyntax},
		{"five parts", tagged(18, list(append(slices.Clone(parts), parts[0])...)), vouchercose.ErrSyntax},
		{"detached", with(2, []byte{0xf6}), vouchercose.ErrDetached},
		{"undefined payload", with(2, []byte{0xf7}), vouchercose.ErrPayload},
		{"payload that is a map", with(2, minimal()), vouchercose.ErrPayload},
		{"payload that is text", with(2, text("x")), vouchercose.ErrPayload},
		{"protected header that is a map", with(0, es256()), vouchercose.ErrSyntax},
		{"protected header with bytes after it", with(0, octets(append(es256(), 0))), vouchercose.ErrTrailingData},
		{"protected header of indefinite length", with(0, octets([]byte{0xbf, 1, 0x26, 0xff})), vouchercose.ErrIndefinite},
		{"protected header with a tag", with(0, octets(object(number(1), number(-7), number(40), tagged(1, number(1))))), vouchercose.ErrTag},
		{"unprotected header that is bytes", with(1, octets(chain)), vouchercose.ErrSyntax},
		{"unprotected header with a tag", with(1, object(number(40), tagged(1, number(1)))), vouchercose.ErrTag},
		{"unprotected header of indefinite length", with(1, []byte{0xbf, 0xff}), vouchercose.ErrIndefinite},
		{"unprotected header nested 10,000 deep", with(1, object(number(40), append(bytes.Repeat([]byte{0x81}, 10000), 0xf6))), vouchercose.ErrTooDeep},
		{"unprotected header with 5,000 entries", with(1, hugeMap(5000)), vouchercose.ErrTooLarge},
		{"no signature", with(3, octets(nil)), vouchercose.ErrSyntax},
		{"signature that is null", with(3, []byte{0xf6}), vouchercose.ErrSyntax},
		{"short signature", with(3, octets(make([]byte, 63))), vouchercose.ErrSignature},
		{"zero signature", with(3, octets(make([]byte, 64))), vouchercose.ErrSignature},
		{"arrays 10,000 deep", append(append([]byte{0xd2}, bytes.Repeat([]byte{0x81}, 10000)...), 0xf6), vouchercose.ErrTooDeep},
		{"tags 10,000 deep", append(bytes.Repeat([]byte{0xd2}, 10000), 0xf6), vouchercose.ErrTooDeep},
		{"2 MB", make([]byte, 2<<20), vouchercose.ErrTooLarge},
		{"2 MB that begin well", append(bytes.Clone(good), make([]byte, 2<<20)...), vouchercose.ErrTooLarge},
	} {
		if _, _, err := (vouchercose.Format{}).OpenVoucher(c.data); !errors.Is(err, c.want) {
			t.Errorf("%s: OpenVoucher() = %v, want %v", c.name, err, c.want)
		}
		if _, _, err := (vouchercose.Format{}).OpenRequest(c.data); !errors.Is(err, c.want) {
			t.Errorf("%s: OpenRequest() = %v, want %v", c.name, err, c.want)
		}
	}
}

func hugeMap(n int) []byte {
	var items [][]byte
	for i := range n {
		items = append(items, number(int64(100+i)), number(1))
	}
	return object(items...)
}

// Names of unknown leaves come from the peer and end in logs.
func TestErrorsQuoteLittleOfWhatThePeerSent(t *testing.T) {
	long := strings.Repeat("x", 10000)
	for name, payload := range map[string][]byte{
		"container": object(text(long), object()),
		"leaf":      requestOf(number(13), text("x"), text(long), tagged(1, text("y"))),
		"twice":     requestOf(text(long), number(1), text(long), number(1)),
	} {
		if _, _, err := openRequest(t, payload); err == nil || len(err.Error()) > 300 {
			t.Errorf("%s: OpenRequest() = %.400v", name, err)
		}
	}
}

// What hostile bytes cost is bounded by their length.
func TestHostileBytesAllocateLittle(t *testing.T) {
	inputs := [][]byte{
		append(append([]byte{0xd2}, bytes.Repeat([]byte{0x81}, 512<<10-2)...), 0xf6),
		append(append([]byte{0xd2, 0x84}, head(4, 500<<10)...), make([]byte, 500<<10)...),
		append([]byte{0xd2, 0x84}, head(2, 1<<40)...),
	}
	for i, in := range inputs {
		if n := testing.AllocsPerRun(5, func() { discard(vouchercose.Format{}.OpenVoucher(in)) }); n > 20 {
			t.Errorf("input %d: %v allocations", i, n)
		}
	}
}

func discard(*voucher.Voucher, *voucher.Artifact, error) {}

func fuzzSeeds(f *testing.F) {
	_, s := vouchertest.NewSigner(f, "MASA")
	data, err := vouchercose.Format{}.SignVoucher(f.Context(), vouchertest.Voucher(f), s)
	if err != nil {
		f.Fatal(err)
	}
	request, err := vouchercose.Format{}.SignRequest(f.Context(), vouchertest.Request(f), s)
	if err != nil {
		f.Fatal(err)
	}
	for _, seed := range [][]byte{data, request, data[:len(data)/2], bytes.Replace(data, []byte("PEER-0001"), []byte("PEER-0002"), 1)} {
		f.Add(seed)
	}
	for _, payload := range [][]byte{minimal(), voucherOf(number(1), text("logged")), {0xf6}} {
		seed, err := vouchercose.Format{}.SignPayload(f.Context(), payload, s)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(seed)
	}
	f.Add([]byte{0xd2, 0x84, 0x43, 0xa1, 0x01, 0x26, 0xa0, 0x40, 0x40})
}

func FuzzOpenVoucher(f *testing.F) {
	fuzzSeeds(f)
	f.Fuzz(func(t *testing.T, data []byte) {
		v, a, err := vouchercose.Format{}.OpenVoucher(data)
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
		r, a, err := vouchercose.Format{}.OpenRequest(data)
		if (err == nil) != (r != nil) || (err == nil) != (a != nil) {
			t.Fatalf("OpenRequest() = %v, %v, %v: a result or an error", r, a, err)
		}
		if err == nil && (a.Signer == nil || r.SerialNumber == "") {
			t.Errorf("OpenRequest() has no signer or no serial number: %+v, %+v", r, a)
		}
	})
}

// FuzzPayload reaches what a signature keeps fuzzers from: the content. What
// is turned into JSON and read can be written again and says the same.
func FuzzPayload(f *testing.F) {
	_, s := vouchertest.NewSigner(f, "MASA")
	for _, payload := range [][]byte{
		minimal(), voucherOf(number(1), text("logged"), number(2), tagged(1, number(1599525239))),
		requestOf(number(21), list(number(60000), text("a")), tagged(47, number(60000)), object(number(1), octets([]byte{1}))),
		object(text("ietf-delegated-voucher:voucher"), object(text("delegation-countdown"), number(2))),
	} {
		f.Add(payload)
	}
	f.Fuzz(func(t *testing.T, payload []byte) {
		format := vouchercose.Format{}
		content, err := format.PayloadJSON(payload)
		if err != nil {
			return
		}
		r, _, err := voucher.ParseRequest(content, voucher.Tolerant)
		if err != nil {
			return
		}
		data, err := format.SignRequest(t.Context(), r, s)
		if err != nil {
			return // written more strictly than read
		}
		again, _, err := format.OpenRequest(data)
		if err != nil || again.SerialNumber != r.SerialNumber || again.Nonce != r.Nonce || !bytes.Equal(again.ProximityRegistrarCert, r.ProximityRegistrarCert) {
			t.Errorf("%s\nbecame %+v, %v", content, again, err)
		}
	})
}
