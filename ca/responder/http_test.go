package responder_test

import (
	"bytes"
	"crypto/x509/pkix"
	"encoding/base64"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/briskest/briskest/ca/responder"
	"golang.org/x/crypto/ocsp"
)

type pkixExtension = pkix.Extension

func (h *house) fetch(path string, headers ...string) *http.Response {
	r := httptest.NewRequest(http.MethodGet, path, nil)
	for i := 0; i+1 < len(headers); i += 2 {
		r.Header.Set(headers[i], headers[i+1])
	}
	return h.do(r)
}

// EST-5019-5-01: GET works with every character that base64 has, escaped or not, "//" included.
func TestRequestsMayBeInThePath(t *testing.T) {
	h := newHouse(t)
	seen := map[string]bool{}
	for _, serial := range []int64{1, 0x7fffffffffffffff, 0x7bfbefbefbefbefb, 0x3efbefbefbefbefb, 0x6fbefbefbefbefbe} {
		h.set(serial, good())
		text := base64.StdEncoding.EncodeToString(h.request(serial))
		for _, mark := range []string{"/", "+", "=", "//"} {
			seen[mark] = seen[mark] || strings.Contains(text, mark)
		}
		for how, path := range map[string]string{
			"escaped": url.QueryEscape(text), "in lower case": strings.NewReplacer("%2F", "%2f", "%2B", "%2b", "%3D", "%3d").Replace(url.QueryEscape(text)),
			"as it is": text, "slashes only": strings.ReplaceAll(text, "/", "%2F"), "without padding": strings.TrimRight(text, "="),
		} {
			answer, err := ocsp.ParseResponseForCert(body(t, h.fetch("/ocsp/"+path)), h.ca.device(t, serial), h.ca.cert)
			if err != nil || answer.Status != ocsp.Good {
				t.Errorf("%s, %s: %v", text, how, err)
			}
		}
	}
	if len(seen) != 4 || !seen["/"] || !seen["+"] || !seen["="] || !seen["//"] {
		t.Errorf("only %v were tried", seen)
	}
}

// EST-5019-6.2-01: caches are told how long an answer is good, and never not to keep it.
func TestCachesLearnHowLongAnAnswerIsGood(t *testing.T) {
	h := newHouse(t)
	h.set(7, good())
	path := "/ocsp/" + url.QueryEscape(base64.StdEncoding.EncodeToString(h.request(7)))
	h.fetch(path)
	h.advance(10 * time.Minute)
	r := h.fetch(path)
	for header, want := range map[string]string{
		"Content-Type": "application/ocsp-response", "Cache-Control": "max-age=3000, public, no-transform, must-revalidate",
		"Last-Modified": start().Format(http.TimeFormat), "Expires": start().Add(time.Hour).Format(http.TimeFormat),
		"Date": h.now().Format(http.TimeFormat), "Pragma": "",
	} {
		if got := r.Header.Get(header); got != want {
			t.Errorf("%s = %q, want %q", header, got, want)
		}
	}
	tag := r.Header.Get("ETag")
	if again := h.fetch(path, "If-None-Match", tag); again.StatusCode != http.StatusNotModified || len(body(t, again)) != 0 {
		t.Errorf("with the ETag: %d", again.StatusCode)
	}
	h.set(7, revoked(h.now(), 1))
	if again := h.fetch(path, "If-None-Match", tag); again.StatusCode != http.StatusOK {
		t.Errorf("with the ETag, after the revocation: %d", again.StatusCode)
	}
}

// An answer with a nonce is for one, and errors are for nobody to keep.
func TestWhatIsForOneIsNotForCaches(t *testing.T) {
	h := newHouse(t)
	h.set(7, good())
	for name, der := range map[string][]byte{"nonce": withNonce(h.request(7), 16), "malformed": {1}} {
		r := h.fetch("/ocsp/" + url.QueryEscape(base64.StdEncoding.EncodeToString(der)))
		if r.Header.Get("Cache-Control")+r.Header.Get("Expires")+r.Header.Get("Last-Modified")+r.Header.Get("ETag") != "" {
			t.Errorf("%s: %v", name, r.Header)
		}
	}
}

func TestListsAreServedUnderTheOneSpellingOfTheirPath(t *testing.T) {
	h := newHouse(t)
	name := h.ca.name()
	list := func(b byte) *responder.List {
		return &responder.List{Raw: []byte{0x30, 1, b}, ThisUpdate: start(), NextUpdate: start().Add(7 * 24 * time.Hour)}
	}
	h.lists[responder.Scope{Authority: name, Count: 1}] = list(1)
	h.lists[responder.Scope{Authority: name, Count: 16, Index: 3}] = list(2)
	h.lists[responder.Scope{Authority: name, Count: 16, Index: 3, Delta: true}] = list(3)
	for path, want := range map[string]byte{"/1/0.crl": 1, "/16/3.crl": 2, "/16/3-delta.crl": 3} {
		r := h.fetch("/crl/" + name + path)
		if data := body(t, r); r.StatusCode != 200 || !bytes.Equal(data, []byte{0x30, 1, want}) {
			t.Errorf("%s = %d, %x", path, r.StatusCode, data)
		}
		if r.Header.Get("Content-Type") != "application/pkix-crl" || r.Header.Get("Last-Modified") != start().Format(http.TimeFormat) || !strings.HasPrefix(r.Header.Get("Cache-Control"), "max-age=3600") {
			t.Errorf("%s: %v", path, r.Header)
		}
		if again := h.fetch("/crl/"+name+path, "If-None-Match", r.Header.Get("ETag")); again.StatusCode != http.StatusNotModified {
			t.Errorf("%s with its ETag = %d", path, again.StatusCode)
		}
		if again := h.fetch("/crl/"+name+path, "If-Modified-Since", start().Format(http.TimeFormat)); again.StatusCode != http.StatusNotModified {
			t.Errorf("%s since its date = %d", path, again.StatusCode)
		}
	}
	for _, path := range []string{
		"/crl/" + name + "/1/1.crl", "/crl/" + name + "/3/0.crl", "/crl/" + name + "/16/03.crl", "/crl/" + name + "/016/3.crl",
		"/crl/" + name + "/16/-1.crl", "/crl/" + name + "/131072/0.crl", "/crl/" + name + "/0/0.crl", "/crl/" + name + "/16/3", "/crl/" + name + "/16/3-delta-delta.crl",
		"/crl/" + name + "/16/+3.crl", "/crl/00/16/3.crl", "/crl/" + name + "//3.crl", "/crl", "/crl/", "/crl/" + strings.Repeat("a", 5000) + "/1/0.crl", "/other", "/",
		"/crl/" + name + "/99999999999999999999/0.crl", "/crlx", "/ocspx", "/ca", "/ca/", "/ca/00.cer", "/ca/" + name,
	} {
		if r := h.fetch(path); r.StatusCode != http.StatusNotFound {
			t.Errorf("%.80s = %d, want 404", path, r.StatusCode)
		}
	}
	h.broken = http.ErrAbortHandler
	if r := h.fetch("/crl/" + name + "/1/0.crl"); r.StatusCode != http.StatusServiceUnavailable || r.Header.Get("Retry-After") == "" {
		t.Errorf("without the record = %d", r.StatusCode)
	}
}

func TestTheCAsCertificateIsServed(t *testing.T) {
	h := newHouse(t)
	r := h.fetch("/ca/" + h.ca.name() + ".cer")
	if r.StatusCode != 200 || r.Header.Get("Content-Type") != "application/pkix-cert" || !bytes.Equal(body(t, r), h.ca.cert.Raw) {
		t.Errorf("the certificate = %d, %v", r.StatusCode, r.Header)
	}
}
