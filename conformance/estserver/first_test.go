package estserver_test

import (
	"net/http"

	"github.com/briskest/briskest/est"
)

func firstMutations() []mutation {
	other := match(func(r *http.Request, _ []byte) bool {
		return r.URL.Path == "/.well-known/est/briskest-no-such-operation"
	})
	return []mutation{
		breaks("RFC7030-3.2.2-1", "answers everywhere", replies(other, http.StatusOK, "text/plain", "welcome")),
		breaks("RFC7030-3.2.2-2", "answers GET simpleenroll", replies(on(est.OpSimpleEnroll).and(method("GET")), http.StatusOK, pkcs7, "")),
		breaks("RFC7030-3.2.3-1", "sends 401 without a challenge", rewrites(on(est.OpSimpleEnroll), header("Www-Authenticate", ""))),
		breaks("RFC7030-3.2.3-1", "sends 403 instead of a challenge", rewrites(on(est.OpSimpleEnroll), func(a *reply) {
			if a.status == http.StatusUnauthorized {
				a.status = http.StatusForbidden
			}
		})),
		breaks("RFC7030-3.2.4-1", "takes any media type", lenient(on(est.OpSimpleEnroll).and(mediaType("text/plain")))),
		breaks("RFC7030-4.1.2-1", "asks who wants cacerts", rewrites(on(est.OpCACerts), func(a *reply) {
			if a.r.Header.Get("Authorization") == "" {
				a.status = http.StatusUnauthorized
			}
		})),
		breaks("RFC7030-4.1.3-1", "sends cacerts with 203", successes(est.OpCACerts, status(http.StatusNonAuthoritativeInfo))),
		breaks("RFC7030-4.1.3-2", "sends cacerts as text", successes(est.OpCACerts, header("Content-Type", "text/plain"))),
		breaks("RFC7030-4.1.3-3", "sends cacerts with bytes after it", successes(est.OpCACerts, der(func(b []byte) []byte { return append(b, 0) }))),
		breaks("RFC7030-4.1.3-4", "sends cacerts without a root", successes(est.OpCACerts, func(a *reply) {
			a.certsOnly(a.h.backend.CA.Certificate.Raw)
		})),
		breaks("RFC7030-4.2.2-1", "re-enrolls for another subject", lenient(on(est.OpSimpleReenroll).and(subject("briskest-somebody-else")))),
		breaks("RFC7030-4.2.3-1", "sends the certificate with 201", successes(est.OpSimpleEnroll, status(http.StatusCreated))),
		breaks("RFC7030-4.2.3-2", "issues for garbage", lenient(on(est.OpSimpleEnroll).and(garbage))),
		breaks("RFC7030-4.5.2-1", "breaks on csrattrs", rewrites(on(est.OpCSRAttrs), status(http.StatusInternalServerError))),
	}
}

func method(name string) match {
	return func(r *http.Request, _ []byte) bool { return r.Method == name }
}

func mediaType(name string) match {
	return func(r *http.Request, _ []byte) bool { return r.Header.Get("Content-Type") == name }
}

func subject(commonName string) match {
	return func(_ *http.Request, body []byte) bool {
		csr := readCSR(body)
		return csr != nil && csr.Subject.CommonName == commonName
	}
}

// garbage is what holds no CSR.
func garbage(r *http.Request, body []byte) bool {
	return r.Method == http.MethodPost && readCSR(body) == nil
}
