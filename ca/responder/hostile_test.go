package responder_test

import (
	"bytes"
	"crypto/rand"
	"crypto/x509"
	"math/big"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/briskest/briskest/ca/responder"
	"golang.org/x/crypto/cryptobyte"
	cbasn1 "golang.org/x/crypto/cryptobyte/asn1"
	"golang.org/x/crypto/ocsp"
)

func tlv(tag byte, parts ...[]byte) []byte {
	var b cryptobyte.Builder
	b.AddASN1(cbasn1.Tag(tag), func(b *cryptobyte.Builder) { b.AddBytes(bytes.Join(parts, nil)) })
	return b.BytesOrPanic()
}

// inside returns the content of an element.
func inside(der []byte) []byte {
	s := cryptobyte.String(der)
	var content cryptobyte.String
	var tag cbasn1.Tag
	if !s.ReadAnyASN1(&content, &tag) {
		panic("no element")
	}
	return content
}

// single is the Request in a request that has one.
func singleOf(request []byte) []byte { return inside(inside(inside(request))) }

func requestOf(parts ...[]byte) []byte { return tlv(0x30, tlv(0x30, parts...)) }

func nonceExtension(n int) []byte {
	return tlv(0x30, []byte{6, 9, 0x2b, 6, 1, 5, 5, 7, 0x30, 1, 2}, tlv(4, tlv(4, bytes.Repeat([]byte{0x5a}, n))))
}

// withNonce adds a nonce of n bytes.
func withNonce(request []byte, n int) []byte {
	return requestOf(tlv(0x30, singleOf(request)), tlv(0xa2, tlv(0x30, nonceExtension(n))))
}

// EST-6960-4.4.1-01: a nonce of 1 to 128 bytes comes back as it was sent; 0 and more are malformedRequest.
func TestANonceComesBackUnchanged(t *testing.T) {
	h := newHouse(t)
	h.set(7, good())
	for n, want := range map[int]bool{0: false, 1: true, 16: true, 32: true, 128: true, 129: false, 4000: false} {
		answer := body(t, h.post(withNonce(h.request(7), n)))
		if !want {
			if got := errorStatus(answer); got != ocsp.Malformed {
				t.Errorf("nonce of %d bytes: %v, want malformedRequest", n, got)
			}
			continue
		}
		if _, err := ocsp.ParseResponseForCert(answer, h.ca.device(t, 7), h.ca.cert); err != nil {
			t.Errorf("nonce of %d bytes: %v", n, err)
		}
		if !bytes.Contains(answer, tlv(0xa1, tlv(0x30, nonceExtension(n)))) {
			t.Errorf("the nonce of %d bytes is not in the answer", n)
		}
	}
}

// EST-6960-2.3-01: what is no request is malformedRequest, and other CAs' certificates are unauthorized; none
// of these answers is signed.
func TestRequestsThatCannotBeAnsweredGetTheErrorThatFits(t *testing.T) {
	h := newHouse(t)
	h.set(7, good())
	valid := h.request(7)
	one := singleOf(valid)
	random := make([]byte, 300)
	_, _ = rand.Read(random)
	foreign, err := ocsp.CreateRequest(&x509.Certificate{SerialNumber: big.NewInt(7)}, newAuthority(t, "foreign CA").cert, nil)
	if err != nil {
		t.Fatal(err)
	}
	sameName, err := ocsp.CreateRequest(&x509.Certificate{SerialNumber: big.NewInt(7)}, newAuthority(t, "issuing CA").cert, nil)
	if err != nil {
		t.Fatal(err)
	}
	sequence := tlv(0x30, one)
	critical := tlv(0x30, []byte{6, 3, 0x2a, 3, 4, 1, 1, 0xff}, tlv(4, []byte{5, 0}))
	certID := func(algorithm []byte, hash int, serial ...byte) []byte {
		return requestOf(tlv(0x30, tlv(0x30, tlv(0x30, algorithm, tlv(4, make([]byte, hash)), tlv(4, make([]byte, hash)), serial))))
	}
	sha1 := tlv(0x30, []byte{6, 5, 0x2b, 0x0e, 3, 2, 0x1a, 5, 0})
	for _, c := range []struct {
		name string
		der  []byte
		want ocsp.ResponseStatus
	}{
		{"nothing", nil, ocsp.Malformed},
		{"random bytes", random, ocsp.Malformed},
		{"a certificate", h.ca.cert.Raw, ocsp.Malformed},
		{"trailing bytes", append(bytes.Clone(valid), 0), ocsp.Malformed},
		{"cut short", valid[:len(valid)-1], ocsp.Malformed},
		{"no certificates", requestOf(tlv(0x30)), ocsp.Malformed},
		{"version 2", requestOf(tlv(0xa0, []byte{2, 1, 1}), sequence), ocsp.Malformed},
		{"many certificates", requestOf(tlv(0x30, bytes.Repeat(one, 17))), ocsp.Malformed},
		{"very many certificates", requestOf(tlv(0x30, bytes.Repeat(one, 200))), ocsp.Malformed},
		{"huge", requestOf(sequence, tlv(0xa2, tlv(0x30, tlv(0x30, []byte{6, 3, 0x2a, 3, 4}, tlv(4, make([]byte, 20_000)))))), ocsp.Malformed},
		{"deep", bytes.Repeat([]byte{0x30, 0x80}, 8000), ocsp.Malformed},
		{"two nonces", requestOf(sequence, tlv(0xa2, tlv(0x30, nonceExtension(16), nonceExtension(16)))), ocsp.Malformed},
		{"a critical extension", requestOf(sequence, tlv(0xa2, tlv(0x30, critical))), ocsp.Malformed},
		{"a critical extension of one certificate", requestOf(tlv(0x30, tlv(0x30, inside(one), tlv(0xa0, tlv(0x30, critical))))), ocsp.Malformed},
		{"very many extensions", requestOf(sequence, tlv(0xa2, tlv(0x30, bytes.Repeat(tlv(0x30, []byte{6, 3, 0x2a, 3, 4}, tlv(4)), 200)))), ocsp.Malformed},
		{"a serial number of 100 bytes", certID(sha1, 20, tlv(2, append([]byte{1}, make([]byte, 99)...))...), ocsp.Malformed},
		{"a serial number with needless bytes", certID(sha1, 20, 2, 2, 0, 1), ocsp.Malformed},
		{"a serial number of no bytes", certID(sha1, 20, 2, 0), ocsp.Malformed},
		{"another CA", foreign, ocsp.Unauthorized},
		{"another CA of that name", sameName, ocsp.Unauthorized},
		{"ours and another CA's", requestOf(tlv(0x30, one, singleOf(foreign))), ocsp.Unauthorized},
		{"hashes that are too short", certID(sha1, 4, 2, 1, 1), ocsp.Unauthorized},
		{"an unknown hash", certID(tlv(0x30, []byte{6, 3, 0x2a, 3, 4}), 20, 2, 1, 1), ocsp.Unauthorized},
	} {
		r := h.post(c.der)
		if got := errorStatus(body(t, r)); got != c.want || r.StatusCode != http.StatusOK || r.Header.Get("Content-Type") != "application/ocsp-response" {
			t.Errorf("%s: %v, %d, want %v", c.name, got, r.StatusCode, c.want)
		}
	}
	other := httptest.NewRequest(http.MethodPost, responder.OCSPPath, bytes.NewReader(valid))
	other.Header.Set("Content-Type", "text/plain")
	if r := h.do(other); r.StatusCode != http.StatusUnsupportedMediaType {
		t.Errorf("another media type: %d", r.StatusCode)
	}
}

// Requests may be signed, by anybody; and name themselves and what they take.
func TestWhatIsAllowedInARequestChangesNoAnswer(t *testing.T) {
	h := newHouse(t)
	h.set(7, good())
	valid := h.request(7)
	sequence := tlv(0x30, singleOf(valid))
	harmless := tlv(0x30, []byte{6, 9, 0x2b, 6, 1, 5, 5, 7, 0x30, 1, 4}, tlv(4, tlv(0x30)))
	signature := tlv(0xa0, tlv(0x30, tlv(0x30, []byte{6, 3, 0x2a, 3, 4}), []byte{3, 2, 0, 1}))
	for name, der := range map[string][]byte{
		"signed":                     tlv(0x30, tlv(0x30, sequence), signature),
		"with its version":           requestOf(tlv(0xa0, []byte{2, 1, 0}), sequence),
		"with a name":                requestOf(tlv(0xa1, tlv(0x82, []byte("client.example"))), sequence),
		"with acceptable responses":  requestOf(sequence, tlv(0xa2, tlv(0x30, harmless))),
		"with one certificate's own": requestOf(tlv(0x30, tlv(0x30, inside(singleOf(valid)), tlv(0xa0, tlv(0x30, harmless))))),
	} {
		r, err := ocsp.ParseResponseForCert(body(t, h.post(der)), h.ca.device(t, 7), h.ca.cert)
		if err != nil || r.Status != ocsp.Good {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// Each certificate that is asked about gets its own answer, and serial numbers that no certificate can have get unknown.
func TestSeveralCertificatesAreAnsweredTogether(t *testing.T) {
	h := newHouse(t)
	h.set(7, good())
	h.set(8, revoked(start(), 1))
	der := requestOf(tlv(0x30, singleOf(h.request(7)), singleOf(h.request(8)), singleOf(h.request(9)), singleOf(h.request(-5)), singleOf(h.request(0))))
	answer := body(t, h.post(der))
	for serial, want := range map[int64]int{7: ocsp.Good, 8: ocsp.Revoked, 9: ocsp.Unknown, -5: ocsp.Unknown, 0: ocsp.Unknown} {
		r, err := ocsp.ParseResponseForCert(answer, &x509.Certificate{SerialNumber: big.NewInt(serial)}, h.ca.cert)
		if err != nil || r.Status != want {
			t.Errorf("certificate %d: %v", serial, err)
		}
	}
}

// Whatever is sent, there is an answer, and only our CA's certificates are spoken of.
func FuzzRequest(f *testing.F) {
	h := newHouse(f)
	h.set(7, good())
	valid := h.request(7)
	f.Add(valid)
	f.Add(withNonce(valid, 32))
	f.Add(withNonce(h.request(8), 0))
	f.Add(requestOf(tlv(0x30, bytes.Repeat(singleOf(valid), 3))))
	f.Add(tlv(0x30, tlv(0x30, tlv(0x30, singleOf(valid))), tlv(0xa0, tlv(0x30))))
	f.Fuzz(func(t *testing.T, der []byte) {
		answer := body(t, h.post(der))
		if len(answer) == 5 && answer[4] != byte(ocsp.TryLater) {
			return
		}
		if r, err := ocsp.ParseResponse(answer, h.ca.cert); err != nil && len(answer) < 100 {
			t.Errorf("request %x: %x, %v, %v", der, answer, r, err)
		}
	})
}

// Whatever is in the path, there is an answer.
func FuzzPath(f *testing.F) {
	h := newHouse(f)
	for _, seed := range []string{"/ocsp/MEow//%2B", "/crl/00/16/3.crl", "/crl/00/16/3-delta.crl", "/ca/00.cer", "/ocsp/%", "/ocsp//", "/crl/\x00"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, path string) {
		r := httptest.NewRequest(http.MethodGet, "/", nil)
		r.URL.Path, r.URL.RawPath = path, path
		switch r := h.do(r); r.StatusCode {
		case 200, 404:
		default:
			t.Errorf("%q: %d", path, r.StatusCode)
		}
	})
}
