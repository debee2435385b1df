package est_test

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/briskest/briskest/est"
)

// badRequest is a request as it goes over the wire, and what it must get.
type badRequest struct {
	what    string
	request string
	status  int
	reason  string
}

func get(path string) string { return "GET " + path + " HTTP/1.1\r\nHost: est.example\r\n\r\n" }

// badPaths: RFC 7030, Section 3.2.2, and R17 of the incidents that are kept as tests.
func badPaths(csr string) []badRequest {
	to := func(path string) string { return post(path, pkcs10+"BASIC\r\n", csr) }
	return []badRequest{
		{"the root", get("/"), 404, est.ReasonPathPrefix},
		{"another service", get("/.well-known/brski/requestvoucher"), 404, est.ReasonPathPrefix},
		{"a longer word than est", get("/.well-known/esta/cacerts"), 404, est.ReasonPathPrefix},
		{"the prefix in capitals", get("/.WELL-KNOWN/EST/cacerts"), 404, est.ReasonPathPrefix},
		{"an encoded prefix", get("/.well%2Dknown/est/cacerts"), 404, est.ReasonPathPrefix},
		{"dots before the prefix", get("/x/../.well-known/est/cacerts"), 404, est.ReasonPathPrefix},
		{"no operation", get("/.well-known/est"), 404, est.ReasonPathOperation},
		{"no operation after a slash", get("/.well-known/est/"), 404, est.ReasonPathOperation},
		{"an unknown operation", get("/.well-known/est/certs"), 404, est.ReasonPathOperation},
		{"fountain's csrattributes", get("/.well-known/est/csrattributes"), 404, est.ReasonPathOperation},
		{"an operation in capitals", to("/.well-known/est/SimpleEnroll"), 404, est.ReasonPathOperation},
		{"an operation with parameters", to("/.well-known/est/simpleenroll;v=1"), 404, est.ReasonPathOperation},
		{"an operation with a dot", to("/.well-known/est/simpleenroll."), 404, est.ReasonPathOperation},
		{"an encoded letter", to("/.well-known/est/simple%65nroll"), 404, est.ReasonPathEncoding},
		{"an encoded NUL", to("/.well-known/est/simpleenroll%00"), 404, est.ReasonPathEncoding},
		{"an encoded slash", to("/.well-known/est/a%2Fb/simpleenroll"), 404, est.ReasonPathEncoding},
		{"an encoded dot segment", to("/.well-known/est/%2e%2e/simpleenroll"), 404, est.ReasonPathEncoding},
		{"strongSwan's doubled slash in front", to("//.well-known/est/simpleenroll"), 404, est.ReasonPathSlash},
		{"a doubled slash", to("/.well-known/est//simpleenroll"), 404, est.ReasonPathSlash},
		{"a doubled slash in the prefix", to("/.well-known//est/simpleenroll"), 404, est.ReasonPathSlash},
		{"a slash at the end", to("/.well-known/est/simpleenroll/"), 404, est.ReasonPathSlash},
		{"a dot segment", to("/.well-known/est/./simpleenroll"), 404, est.ReasonPathDots},
		{"two dots", to("/.well-known/est/cacerts/../simpleenroll"), 404, est.ReasonPathDots},
		{"two dots as a label", to("/.well-known/est/../simpleenroll"), 404, est.ReasonPathDots},
		{"two labels", to("/.well-known/est/a/b/simpleenroll"), 404, est.ReasonPathSegments},
		{"a segment after the operation", to("/.well-known/est/simpleenroll/ca1/x"), 404, est.ReasonPathSegments},
		{"an unknown operation after a label", to("/.well-known/est/ca1/enroll"), 404, est.ReasonPathOperation},
		{"an operation as the label", to("/.well-known/est/cacerts/simpleenroll"), 404, est.ReasonPathLabel},
		{"fullcmc as the label", to("/.well-known/est/fullcmc/simpleenroll"), 404, est.ReasonPathLabel},
		{"a label with a semicolon", to("/.well-known/est/ca1;x/simpleenroll"), 404, est.ReasonPathLabel},
		{"a label of 65 characters", to("/.well-known/est/" + strings.Repeat("a", 65) + "/simpleenroll"), 404, est.ReasonPathLabel},
		{"a label that is not known", to("/.well-known/est/nosuchca/simpleenroll"), 404, "label-unknown"},
		{"fullcmc", to("/.well-known/est/fullcmc"), 501, est.ReasonOperationMissing},
		{"serverkeygen", to("/.well-known/est/serverkeygen"), 501, est.ReasonOperationMissing},
		{"serverkeygen with a label", to("/.well-known/est/ca1/serverkeygen"), 501, est.ReasonOperationMissing},
	}
}

func badMethodsAndHeaders(csr string) []badRequest {
	var out []badRequest
	for _, method := range []string{"GET", "PUT", "DELETE", "PATCH", "HEAD", "OPTIONS", "BREW", "post"} {
		out = append(out, badRequest{method + " simpleenroll", method + " " + enrollPath + " HTTP/1.1\r\nHost: a\r\n\r\n", 405, est.ReasonMethod})
	}
	for _, op := range []string{"cacerts", "csrattrs"} {
		out = append(out, badRequest{"POST " + op, post("/.well-known/est/"+op, pkcs10, csr), 405, est.ReasonMethod})
	}
	typed := func(v string) string { return post(enrollPath, "BASIC\r\n"+v, csr) }
	return append(out, []badRequest{
		{"no Content-Type", typed(""), 415, est.ReasonMediaType},
		{"curl's own Content-Type", typed("Content-Type: application/x-www-form-urlencoded\r\n"), 415, est.ReasonMediaType},
		{"text/plain", typed("Content-Type: text/plain\r\n"), 415, est.ReasonMediaType},
		{"an empty Content-Type", typed("Content-Type: \r\n"), 415, est.ReasonMediaType},
		{"a type that only begins so", typed("Content-Type: application/pkcs10x\r\n"), 415, est.ReasonMediaType},
		{"two Content-Types", typed(pkcs10 + pkcs10), 415, est.ReasonMediaType},
		{"CMC", typed("Content-Type: application/pkcs7-mime; smime-type=CMC-request\r\n"), 415, est.ReasonMediaType},
		{"a compressed body", typed(pkcs10 + "Content-Encoding: gzip\r\n"), 415, est.ReasonContentEncoding},
		{"no credentials", post(enrollPath, pkcs10, csr), 401, "unauthenticated"},
		{"a wrong password", post(enrollPath, pkcs10+"Authorization: Basic ZGV2aWNlOndyb25n\r\n", csr), 401, "unauthenticated"},
		{"credentials that are not base64", post(enrollPath, pkcs10+"Authorization: Basic ####\r\n", csr), 401, "unauthenticated"},
		{"Digest", post(enrollPath, pkcs10+"Authorization: Digest username=\"device\"\r\n", csr), 401, "unauthenticated"},
		{"a password for a re-enrollment", post("/.well-known/est/simplereenroll", pkcs10+"BASIC\r\n", csr), 403, "reenroll-without-certificate"},
		{"the address of a friend in a header", post(enrollPath, pkcs10+"X-Forwarded-For: 127.0.0.1\r\nX-Client-Cert: yes\r\nX-Forwarded-User: device\r\n", csr), 401, "unauthenticated"},
	}...)
}

func badBodies(t *testing.T) []badRequest {
	t.Helper()
	der := goodCSR(t, "bad-bodies")
	csr := b64(der)
	body := func(s string) string { return post(enrollPath, pkcs10+"BASIC\r\n", s) }
	chunked := func(s string) string {
		return "POST " + enrollPath + " HTTP/1.1\r\nHost: a\r\n" + pkcs10 + "BASIC\r\nTransfer-Encoding: chunked\r\n\r\n" +
			fmt.Sprintf("%x\r\n%s\r\n0\r\n\r\n", len(s), s)
	}
	armoured := "-----BEGIN CERTIFICATE REQUEST-----\n" + lines(csr, 64, "\n") + "-----END CERTIFICATE REQUEST-----\n"
	return []badRequest{
		{"no body", body(""), 400, est.ReasonBodyEmpty},
		{"no body and no length", "POST " + enrollPath + " HTTP/1.1\r\nHost: a\r\n" + pkcs10 + "BASIC\r\n\r\n", 400, est.ReasonBodyEmpty},
		{"white space only", body(" \r\n\t\n"), 400, est.ReasonBodyEmpty},
		{"an empty chunked body", "POST " + enrollPath + " HTTP/1.1\r\nHost: a\r\n" + pkcs10 + "BASIC\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400, est.ReasonBodyEmpty},
		{"PEM", body(armoured), 400, est.ReasonBodyPEM},
		{"PEM after blank lines", body("\r\n\r\n" + armoured), 400, est.ReasonBodyPEM},
		{"bare DER", body(string(der)), 400, est.ReasonBodyDER},
		{"bare DER called binary", post(enrollPath, pkcs10+"BASIC\r\nContent-Transfer-Encoding: binary\r\n", string(der)), 400, est.ReasonBodyDER},
		{"base64url", body(strings.NewReplacer("+", "-", "/", "_").Replace("+/" + csr)), 400, est.ReasonBodyBase64},
		{"a NUL at the end", body(csr + "\x00"), 400, est.ReasonBodyBase64},
		{"a comma inside", body(csr[:40] + "," + csr[40:]), 400, est.ReasonBodyBase64},
		{"one character short", body(strings.TrimRight(csr, "=")[:len(strings.TrimRight(csr, "="))-1]), 400, est.ReasonBodyBase64},
		{"padding in the middle", body("MA==" + csr), 400, est.ReasonBodyBase64},
		{"a byte order mark", body("\xef\xbb\xbf" + csr), 400, est.ReasonBodyBase64},
		{"JSON", body(`{"csr":"` + csr + `"}`), 400, est.ReasonBodyBase64},
		{"base64 twice", body(b64([]byte(csr))), 400, est.ReasonCSRSyntax},
		{"half a CSR", body(b64(der[:len(der)/2])), 400, est.ReasonCSRSyntax},
		{"the CA's certificate", body(b64(newSite(t).CA.Certificate.Raw)), 400, est.ReasonCSRSyntax},
		{"two CSRs", body(b64(append(slices.Clone(der), der...))), 400, est.ReasonCSRTrailing},
		{"a CSR that is not signed by its key", body(b64(forged{badSig: true}.der(t))), 400, est.ReasonCSRSignature},
		{"a CSR of version 1", body(b64(forged{version: 1}.der(t))), 400, est.ReasonCSRVersion},
		{"a CSR bound to another connection", body(b64(forged{attributes: [][]byte{attribute(oidChallengePassword, tlv(19, "AAECAwQFBgcICQoL"))}}.der(t))), 400, est.ReasonLinkMismatch},
		{"128 KiB and a byte, announced", body(strings.Repeat("A", 128<<10+1)), 413, est.ReasonBodyTooLarge},
		{"128 KiB and a byte, chunked", chunked(strings.Repeat("A", 128<<10+1)), 413, est.ReasonBodyTooLarge},
		{"96 KiB of zeros", body(strings.Repeat("A", 128<<10)), 400, est.ReasonCSRSyntax},
	}
}

// EST-7030-3.2.1-01, EST-7030-3.2.4-01, EST-7030-4.2.3-05, EST-7030-4.2.3-07, EST-8951-3.1-04, EST-9110-15.5.6-01, R2 (every path, method and media type), R17.
func TestEveryBadRequestGetsItsStatusAndReasonAndNothingIsIssued(t *testing.T) {
	s := newSite(t)
	s.Labels = []string{"ca1"}
	csr := lines(b64(goodCSR(t, "bad")), 64, "\n")
	table := slices.Concat(badPaths(csr), badMethodsAndHeaders(csr), badBodies(t))
	t.Logf("%d bad requests", len(table))
	for _, c := range table {
		got := s.raw(t, c.request)
		if got.status != c.status {
			t.Errorf("%s: status %d, want %d (%q)", c.what, got.status, c.status, got.body)
		}
		refusals := s.TakeRefusals()
		if len(refusals) != 1 || refusals[0].Error.Reason != c.reason {
			t.Errorf("%s: observed %v, want one refusal for %q", c.what, refusals, c.reason)
		}
		checkRefusal(t, c, got)
	}
	if issued := s.Issued(); len(issued) != 0 {
		t.Errorf("%d certificates were issued", len(issued))
	}
}

// checkRefusal holds the form of a refusal to what all known clients can read.
func checkRefusal(t *testing.T, c badRequest, got wire) {
	t.Helper()
	if got.header.Get("Content-Length") == "" {
		t.Errorf("%s: no Content-Length", c.what)
	}
	if n := strings.Count(got.head, "\r\n"); n > 16 {
		t.Errorf("%s: %d header lines, libest reads 16", c.what, n)
	}
	if got.header.Get("Location") != "" {
		t.Errorf("%s: redirected to %s", c.what, got.header.Get("Location"))
	}
	if got.status == http.StatusMethodNotAllowed && got.header.Get("Allow") == "" {
		t.Errorf("%s: 405 without Allow", c.what)
	}
	if got.status == http.StatusUnauthorized {
		if got.body != "" || !strings.Contains(got.head, "\r\nWWW-Authenticate: Basic realm=\"est\"\r\n") {
			t.Errorf("%s: a challenge with body %q or another spelling: %q", c.what, got.body, got.head)
		}
		return
	}
	if strings.HasPrefix(c.request, "HEAD ") {
		return
	}
	if got.header.Get("Content-Type") != "text/plain; charset=utf-8" || len(got.body) < 20 || len(got.body) > 600 {
		t.Errorf("%s: no short text, but %q of type %q", c.what, got.body, got.header.Get("Content-Type"))
	}
	if !strings.Contains(got.body, "reason: "+c.reason) {
		t.Errorf("%s: %q does not name the reason %s", c.what, got.body, c.reason)
	}
	for i := range len(got.body) {
		if b := got.body[i]; (b < ' ' && b != '\n') || b > '~' {
			t.Errorf("%s: byte %#x in the text", c.what, b)
		}
	}
}
