package estserver_test

import (
	"bytes"
	"net/http"
	"slices"
	"strings"

	"github.com/briskest/briskest/est"
)

func pathMutations() []mutation {
	hello := func(p ...string) fault { return replies(path(p...), http.StatusOK, "text/plain", "welcome") }
	return []mutation{
		breaks("RFC7030-3.2.2-1", "answers everywhere", hello("/briskest-no-such-operation")),
		breaks("RFC7030-3.2.2-2", "answers GET simpleenroll", replies(on(est.OpSimpleEnroll).and(method("GET")), http.StatusOK, "text/plain", ""), "RFC9110-15.5.6-2"),
		breaks("RFC7030-3.2.2-3", "wants a label", both(labelled, replies(path("/cacerts").and(method("GET")), http.StatusBadRequest, "text/plain", "label?"))),
		breaks("RFC7030-3.2.2-4", "takes any label", hello("/briskest-no-such-label/cacerts")),
		breaks("RFC7030-3.2.2-5", "takes two labels", hello("/a/b/cacerts")),
		breaks("RFC7030-3.2.2-6", "takes an operation for a label", hello("/cacerts/cacerts")),
		breaks("RFC7030-3.2.2-7", "unescapes labels", hello("/a%2Fb/cacerts")),
		breaks("RFC7030-3.2.2-8", "breaks on what it does not have", replies(on(est.OpFullCMC).and(not(known)), http.StatusInternalServerError, "", "")),
		breaks("RFC7030-3.2.2-9", "has no simplereenroll for strangers", replies(reenroll().and(not(known)), http.StatusNotFound, "", "")),
		breaks("RFC7030-3.2.2-10", "has no simpleenroll for strangers", replies(on(est.OpSimpleEnroll).and(not(known)), http.StatusNotFound, "", "")),
		breaks("RFC7030-3.2.2-11", "has no CA for its label", both(labelled, replies(path("/label/cacerts").and(method("GET")), http.StatusNotFound, "", "")), "RFC7030-4.1.3-1", "RFC7030-4.1.2-1", "RFC7030-4.1.2-2"),
		breaks("RFC9110-15.5.6-1", "answers POST cacerts with 400", replies(on(est.OpCACerts).and(method("POST")), http.StatusBadRequest, "", "")),
		breaks("RFC9110-15.5.6-2", "does not say what is allowed", rewrites(on(est.OpSimpleEnroll).and(method("GET")), header("Allow", ""))),
		breaks("RFC9110-15.5.6-3", "says that GET is allowed", rewrites(reenroll().and(method("GET")), header("Allow", "GET, POST"))),
		breaks("RFC9110-15.5.6-4", "answers DELETE", replies(method("DELETE"), http.StatusOK, "", "")),
		breaks("RFC9110-15.5.6-5", "answers POST csrattrs", replies(on(est.OpCSRAttrs).and(method("POST")), http.StatusOK, "", "")),
		breaks("RFC9110-15.5.6-6", "answers GET fullcmc", replies(on(est.OpFullCMC).and(method("GET")), http.StatusOK, "", "")),
		breaks("RFC9110-15.5.6-7", "answers GET serverkeygen", replies(on(est.OpServerKeyGen).and(method("GET")), http.StatusOK, "", "")),
	}
}

func httpMutations() []mutation {
	noLength := func(a *reply) { a.header.Del("Content-Length"); a.chunked = true }
	return []mutation{
		breaks("RFC9110-5.1-1", "compares header names with case", spelled),
		breaks("RFC9110-8.3.1-1", "compares media types with case", refusing(enroll().and(mediaType("Application/PKCS10")))),
		breaks("RFC9110-8.3.1-2", "refuses parameters", refusing(enroll().and(func(r *http.Request, _ []byte) bool {
			return strings.Contains(r.Header.Get("Content-Type"), "charset=")
		}))),
		breaks("RFC9110-9.3.2-1", "does not know HEAD", replies(method("HEAD"), http.StatusMethodNotAllowed, "", "")),
		breaks("RFC9112-6.2-1", "sends cacerts in chunks", successes(est.OpCACerts, noLength)),
		breaks("RFC9112-6.2-2", "sends certificates in chunks", successes(est.OpSimpleEnroll, noLength)),
		breaks("RFC9112-6.2-3", "sends refusals in chunks", rewrites(enroll().and(contains("no CSR")), noLength)),
		breaks("RFC9112-7.1-1", "wants a length", refusing(enroll().and(func(r *http.Request, body []byte) bool { return r.ContentLength < 0 && len(body) > 0 }))),
		breaks("RFC9112-7.1-2", "loses what comes in pieces", refusing(enroll().and(func(r *http.Request, _ []byte) bool { return r.ContentLength < 0 }))),
		breaks("RFC9112-9.3-1", "answers a second request otherwise", second),
		breaks("RFC9112-9.3-2", "keeps connections that are to be closed", keepsOpen(closing)),
		breaks("RFC9112-9.3-3", "keeps connections of HTTP/1.0", keepsOpen(ofHTTP10)),
		breaks("RFC9110-10.2.3-1", "does not say when to come again", rewrites(path("/pending/simpleenroll"), header("Retry-After", ""))),
		breaks("RFC9110-10.2.3-1", "says when to come again in words", rewrites(path("/pending/simpleenroll"), header("Retry-After", "soon"))),
	}
}

func mediaMutations() []mutation {
	return []mutation{
		breaks("RFC7030-3.2.4-1", "takes any media type", lenient(enroll().and(mediaType("text/plain")))),
		breaks("RFC7030-4.1.2-1", "asks who wants cacerts", replies(on(est.OpCACerts).and(not(known)), http.StatusUnauthorized, "", "")),
		breaks("RFC7030-4.1.2-2", "refuses cacerts to strangers with a certificate", replies(on(est.OpCACerts).and(withCertificate), http.StatusForbidden, "", "")),
		breaks("RFC7030-4.1.3-1", "sends cacerts with 203", successes(est.OpCACerts, status(http.StatusNonAuthoritativeInfo))),
		breaks("RFC7030-4.1.3-2", "sends cacerts as text", successes(est.OpCACerts, header("Content-Type", "text/plain"))),
		breaks("RFC7030-4.1.3-3", "sends cacerts with bytes after it", successes(est.OpCACerts, der(func(b []byte) []byte { return append(b, 0) }))),
		breaks("RFC7030-4.1.3-4", "sends cacerts without a root", successes(est.OpCACerts, func(a *reply) { a.certsOnly(a.h.backend.CA.Certificate.Raw) })),
		breaks("RFC7030-4.1.3-5", "sends cacerts without the intermediate", successes(est.OpCACerts, func(a *reply) { a.certsOnly(a.h.backend.CA.Chain[0].Raw) })),
		breaks("RFC7030-4.1.3-6", "sends cacerts without smime-type", successes(est.OpCACerts, header("Content-Type", "application/pkcs7-mime"))),
		breaks("RFC7030-4.1.3-7", "forgets one of the certificates between the roots", func(h *house) { h.backend.rollover = h.backend.rollover[:2] }),
		breaks("RFC7030-4.1.3-8", "sends an end entity's certificate among the CAs'", func(h *house) { h.backend.rollover = append(h.backend.rollover, h.backend.signer.Certificate) }),
		breaks("RFC5652-5.1-1", "sends SignedData of version 3", successes(est.OpCACerts, der(replaced([]byte{2, 1, 1, 0x31, 0}, []byte{2, 1, 3, 0x31, 0})))),
		breaks("RFC5652-5.1-2", "sends BER", successes(est.OpCACerts, der(indefinite))),
		breaks("RFC7030-4.5-1", "asks who wants csrattrs", replies(on(est.OpCSRAttrs).and(not(known)), http.StatusUnauthorized, "", "")),
		breaks("RFC7030-4.5.2-1", "breaks on csrattrs", replies(on(est.OpCSRAttrs).and(method("GET")), http.StatusInternalServerError, "", "")),
		breaks("RFC7030-4.5.2-2", "sends csrattrs as text", successes(est.OpCSRAttrs, header("Content-Type", "text/plain"))),
		breaks("RFC7030-4.5.2-3", "sends no csrattrs with 200", replies(on(est.OpCSRAttrs).and(method("GET")), http.StatusOK, "application/csrattrs", "")),
		breaks("RFC7030-4.5.2-4", "wants links and does not say so", func(h *house) { // and so enrolls nobody without one
			replies(enroll().and(not(holdsAny(passwordOID, linkOID))).and(method("POST")).and(rightPassword), http.StatusBadRequest, "text/plain", "no link")(h)
			replies(on(est.OpCSRAttrs).and(method("GET")), http.StatusNoContent, "", "")(h)
		}, "RFC7030-4.2.3-1"),
		breaks("RFC8951-4-1", "sends csrattrs that are a SET", successes(est.OpCSRAttrs, der(func([]byte) []byte { return []byte{0x31, 0} }))),
	}
}

func withPassword(r *http.Request, _ []byte) bool { return r.Header.Get("Authorization") != "" }

// rightPassword picks who has the right one.
func rightPassword(r *http.Request, _ []byte) bool {
	_, p, _ := r.BasicAuth()
	return p == "secret"
}

func withCertificate(r *http.Request, _ []byte) bool { return len(r.TLS.PeerCertificates) > 0 }

func holdsAny(parts ...[]byte) match {
	return holds(func(der []byte) bool {
		return slices.ContainsFunc(parts, func(p []byte) bool { return strings.Contains(string(der), string(p)) })
	})
}

func base64Mutations() []mutation {
	cte := func(value string) match { return enroll().and(field("Content-Transfer-Encoding", value)) }
	refusesText := func(f func(text string) bool) fault { return refusing(enroll().and(written(f))) }
	leftOver := func(m match) fault { return lenient(enroll().and(m)) }
	raw := match(func(_ *http.Request, body []byte) bool { return len(body) > 2 && body[0] == 0x30 && body[1] >= 0x80 })
	plainBase64 := field("Content-Transfer-Encoding", "")
	return []mutation{
		breaks("RFC8951-3-1", "wants Content-Transfer-Encoding", refusing(enroll().and(plainBase64).and(method("POST")))),
		breaks("RFC8951-3-2", "refuses Content-Transfer-Encoding: base64", refusing(cte("base64"))),
		breaks("RFC8951-3-3", "takes binary at its word", refusing(cte("binary").and(not(raw)))),
		breaks("RFC8951-3-4", "refuses quoted-printable", refusing(cte("quoted-printable"))),
		breaks("RFC8951-3-5", "takes DER that says it is binary", leftOver(raw.and(field("Content-Transfer-Encoding", "binary")))),
		breaks("RFC8951-3-6", "takes DER", leftOver(raw.and(plainBase64))),
		breaks("RFC8951-3-7", "sends cacerts in PEM", successes(est.OpCACerts, func(a *reply) { a.body = append([]byte("-----BEGIN PKCS7-----\n"), a.body...) })),
		breaks("RFC8951-3-8", "sends certificates in DER", successes(est.OpSimpleEnroll, func(a *reply) { a.body = []byte("0\x82\x01\x01") })),
		breaks("RFC8951-3-9", "sends csrattrs in DER", successes(est.OpCSRAttrs, func(a *reply) { a.body = []byte("0\x82\x01\x01") })),
		breaks("RFC8951-3-10", "says that base64 is binary", successes(est.OpCACerts, header("Content-Transfer-Encoding", "binary"))),
		breaks("RFC8951-3.1-1", "refuses line feeds", refusesText(func(s string) bool { return strings.Count(s, "\n") > 2 && !strings.Contains(s, "\r") })),
		breaks("RFC8951-3.1-2", "refuses CR LF", refusesText(func(s string) bool { return strings.Count(s, "\r\n") > 3 })),
		breaks("RFC8951-3.1-3", "refuses spaces", refusesText(func(s string) bool { return strings.Contains(s, " \t") })),
		breaks("RFC8951-3.1-4", "wants a line feed at the end", refusesText(func(s string) bool { return len(s) > 100 && !strings.ContainsAny(s, " \n") })),
		breaks("RFC8951-3.1-5", "refuses white space at the beginning", refusesText(func(s string) bool { return strings.HasPrefix(s, "\r\n") })),
		breaks("RFC8951-3.1-6", "takes PEM", leftOver(contains("BEGIN CERTIFICATE REQUEST"))),
		breaks("RFC8951-3.1-7", "takes base64url", leftOver(not(raw).and(written(func(s string) bool { return strings.ContainsAny(s, "-_") && !strings.Contains(s, "BEGIN") })))),
		breaks("RFC8951-3.1-8", "passes over NUL bytes", leftOver(contains("\x00").and(not(raw)))),
		breaks("RFC8951-3.1-9", "passes over what is no base64", leftOver(not(raw).and(contains("*")))),
		breaks("RFC8951-3.1-10", "stops at the padding", leftOver(not(raw).and(contains("==QUFB")))),
	}
}

// replaced changes bytes of DER for as many others.
func replaced(from, to []byte) func([]byte) []byte {
	return func(der []byte) []byte { return bytes.Replace(der, from, to, 1) }
}

// indefinite gives the outermost SEQUENCE no definite length.
func indefinite(der []byte) []byte {
	return append(append([]byte{0x30, 0x80}, der[4:]...), 0, 0)
}
