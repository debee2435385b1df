package estserver_test

import (
	"bytes"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"net/http"
	"slices"

	"github.com/briskest/briskest/est"
)

func csrMutations() []mutation {
	takes := func(m match) fault { return lenient(enroll().and(m)) }
	usage := func(value byte) match {
		return asked(func(csr *x509.CertificateRequest) bool {
			return slices.ContainsFunc(csr.Extensions, func(e pkix.Extension) bool {
				return e.Id.Equal(asn1.ObjectIdentifier{2, 5, 29, 15}) && len(e.Value) == 4 && e.Value[3] == value
			})
		})
	}
	badSignature := asked(func(csr *x509.CertificateRequest) bool { return csr.CheckSignature() != nil })
	ownSignature := func(own bool) match {
		return badSignature.and(func(_ *http.Request, body []byte) bool { return wellSigned(body) == own })
	}
	return []mutation{
		breaks("RFC2986-4.1-1", "takes version 1", takes(holds(func(der []byte) bool { return versionOf(der) == 1 }))),
		breaks("RFC2986-4.1-2", "breaks on a CSR without attributes", replies(enroll().and(holds(noAttributes)), http.StatusInternalServerError, "", "")),
		breaks("RFC2986-4.1-3", "passes over what follows the CSR", takes(holds(func(der []byte) bool { return len(der) > 4 && trailing(der) == 1 }))),
		breaks("RFC2986-4.1-4", "takes a CSR without a key", takes(holds(func(der []byte) bool { return bytes.Contains(der, []byte{0x30, 0, 0xa0, 0}) }))),
		breaks("RFC2986-4.2-1", "sorts attributes before it verifies", replies(enroll().and(holdsAny([]byte("a device of some name"))), http.StatusBadRequest, "text/plain", "The signature is wrong.")),
		breaks("RFC2986-4.2-2", "does not verify what the subject is", takes(badSignature.and(asked(func(csr *x509.CertificateRequest) bool { return csr.Subject.CommonName != "conformance" })))),
		breaks("RFC2985-5.4-1", "takes the first challengePassword", takes(times(2, passwordOID))),
		breaks("RFC2985-5.4-2", "takes the first value", takes(times(1, passwordOID).and(holds(func(der []byte) bool { return bytes.Contains(der, []byte("\x13\x04QUJD\x13\x04REVG")) })))),
		breaks("RFC2985-5.4-3", "takes the first extensionRequest", takes(times(2, requestOID))),
		breaks("RFC2985-5.4-4", "takes the first of two extensions", takes(times(2, keyUsageOID).and(times(1, requestOID)))),
		breaks("RFC5967-2-1", "takes the first of two CSRs", takes(holds(func(der []byte) bool { return trailing(der) > 100 && len(der) < 5000 }))),
		breaks("RFC7030-3.4-1", "takes a wrong signature", takes(ownSignature(true).and(subject("conformance")))),
		breaks("RFC7030-3.4-2", "takes another key's signature", takes(ownSignature(false).and(subject("conformance"))), "RFC7030-3.4-1"),
		breaks("RFC5272-3.1-1", "breaks on extensions", replies(enroll().and(asked(func(csr *x509.CertificateRequest) bool { return len(csr.Extensions) > 3 })), http.StatusInternalServerError, "", "")),
		breaks("RFC5272-3.1-2", "certifies for signatures what is for key agreement", reissues(usage(0x08), &x509.Certificate{KeyUsage: x509.KeyUsageDigitalSignature})),
		breaks("RFC5272-3.1-3", "makes CAs", reissues(usage(0x04), &x509.Certificate{IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign})),
		breaks("RFC5272-3.1-4", "makes registration authorities", reissues(holdsAny(oid(1, 3, 6, 1, 5, 5, 7, 3, 28)), &x509.Certificate{
			UnknownExtKeyUsage: []asn1.ObjectIdentifier{{1, 3, 6, 1, 5, 5, 7, 3, 28}},
		})),
		breaks("RFC5272-3.1-5", "copies names with NUL bytes", reissuesNUL),
		breaks("RFC5272-3.1-6", "certifies for signatures what is for encryption", reissues(usage(0x20), &x509.Certificate{KeyUsage: x509.KeyUsageDigitalSignature})),
		breaks("RFC7030-6-1", "takes what is nested", takes(holds(func(der []byte) bool {
			return len(der) > 30000 && !bytes.Contains(der, []byte("QUFB")) && der[len(der)-2] == 5
		}))),
		breaks("RFC7030-6-2", "takes lengths that lie", takes(holds(func(der []byte) bool { return bytes.HasPrefix(der, []byte{0x30, 0x84, 0x7f}) }))),
		breaks("RFC7030-6-3", "takes BER", takes(holds(func(der []byte) bool { return bytes.HasPrefix(der, []byte{0x30, 0x80}) }))),
		breaks("RFC7030-6-4", "breaks on long bodies", replies(enroll().and(written(func(s string) bool { return len(s) > 500000 })), http.StatusInternalServerError, "", "")),
		breaks("RFC7030-6-5", "does not get up again", fallsOver),
	}
}

func enrollMutations() []mutation {
	chain := func(a *reply) {
		certs, err := certsOf(a.body)
		if err != nil {
			a.h.t.Error(err)
			return
		}
		a.certsOnly(certs[0].Raw, a.h.backend.CA.Certificate.Raw)
	}
	badCSR := enroll().and(contains("dGhpcyBpcyBubyBDU1I"))
	return []mutation{
		breaks("RFC7030-4.2.3-1", "sends the chain too", successes(est.OpSimpleEnroll, chain)),
		breaks("RFC7030-4.2.3-1", "sends the certificate with 201", successes(est.OpSimpleEnroll, status(http.StatusCreated))),
		breaks("RFC7030-4.2.3-2", "issues for garbage", lenient(enroll().and(garbage).and(contains("this is no CSR at all!")))),
		breaks("RFC7030-4.2.3-3", "sends certificates without smime-type", successes(est.OpSimpleEnroll, header("Content-Type", "application/pkcs7-mime"))),
		breaks("RFC7030-4.2.3-4", "issues for nothing", lenient(enroll().and(written(func(s string) bool { return s == "" })).and(method("POST")))),
		breaks("RFC7030-4.2.3-5", "sends bytes without a type", rewrites(badCSR, func(a *reply) {
			header("Content-Type", "")(a)
			a.header["Content-Type"] = nil
			a.body = []byte{0, 1, 2, 0xff}
		}), "RFC8951-5.1-1"),
		breaks("RFC7030-4.2.3-6", "loses what waits", once(path("/pending/simpleenroll"), http.StatusNotFound), "RFC9110-10.2.3-1"),
		breaks("RFC8951-5.1-1", "says that an error is certificates", rewrites(badCSR, header("Content-Type", pkcs7))),
		breaks("RFC5280-4.1-1", "issues version 1", successes(est.OpSimpleEnroll, func(a *reply) { a.version1() }), "RFC7030-4.1.3-5", "RFC7030-4.2.2-2", "RFC7030-4.2.2-3"),
		breaks("RFC5280-4.1-2", "issues long serial numbers", successes(est.OpSimpleEnroll, func(a *reply) { a.longSerial() })),
		breaks("RFC5280-4.1-3", "names another issuer", successes(est.OpSimpleEnroll, func(a *reply) { a.otherIssuer() }), "RFC7030-4.1.3-5", "RFC7030-4.2.2-2", "RFC7030-4.2.2-3", "RFC7030-4.2.2-5"),
		breaks("RFC5280-4.1-4", "issues for ever", successes(est.OpSimpleEnroll, func(a *reply) { a.forEver() })),
		breaks("RFC5280-4.1-5", "issues for servers alone", successes(est.OpSimpleEnroll, func(a *reply) { a.forServers() }), "RFC7030-4.2.2-2", "RFC7030-4.2.2-3"),
	}
}

func nameMutations() []mutation {
	takes := func(m match) fault { return lenient(reenroll().and(m)) }
	changed := holds(func(der []byte) bool { return bytes.Contains(der, changeOID) })
	sequences := func(n int) match {
		return holds(func(der []byte) bool { return bytes.Count(der, []byte("briskest-somebody-else")) == n })
	}
	again := func(same bool) match {
		return func(r *http.Request, body []byte) bool {
			csr := readCSR(body)
			if csr == nil || len(r.TLS.PeerCertificates) == 0 {
				return false
			}
			return bytes.Equal(csr.RawSubjectPublicKeyInfo, r.TLS.PeerCertificates[0].RawSubjectPublicKeyInfo) == same
		}
	}
	return []mutation{
		breaks("RFC7030-4.2.2-1", "re-enrolls for another subject", takes(somebodyElse().and(withCertificate).and(not(changed))), "RFC7030-3.7-5"),
		breaks("RFC7030-4.2.2-2", "sends the old certificate again", rewrites(reenroll().and(again(true)), func(a *reply) {
			if a.status == http.StatusOK {
				a.certsOnly(a.r.TLS.PeerCertificates[0].Raw)
			}
		}), "RFC5272-6.11-1"),
		breaks("RFC7030-4.2.2-3", "does not rekey", refusing(reenroll().and(again(false)))),
		breaks("RFC7030-4.2.2-4", "adds names", takes(asked(func(csr *x509.CertificateRequest) bool {
			return slices.Contains(csr.DNSNames, "briskest-one-more.example")
		}))),
		breaks("RFC7030-4.2.2-5", "compares names byte for byte", refusing(reenroll().and(func(r *http.Request, body []byte) bool {
			csr := readCSR(body)
			return csr != nil && len(r.TLS.PeerCertificates) > 0 && !bytes.Equal(csr.RawSubject, r.TLS.PeerCertificates[0].RawSubject) && csr.Subject.CommonName == "conformance"
		}))),
		breaks("RFC7030-4.2.2-6", "renews what nobody issued", takes(selfSigned), "RFC7030-3.3.2-3"),
		breaks("RFC7030-4.2.2-7", "renews by a password", takes(match(withPassword).and(method("POST")))),
		breaks("RFC6402-2.8-1", "takes ChangeSubjectName beside a changed subject", takes(changed.and(sequences(2)))),
		breaks("RFC6402-2.8-2", "takes an empty ChangeSubjectName", takes(changed.and(sequences(0)))),
		breaks("RFC6402-2.8-3", "passes over what it cannot read", takes(changed.and(sequences(3)))),
		breaks("RFC7030-3.7-1", "knows no registration authorities", replies(enroll().and(isAuthority), http.StatusForbidden, "", "")),
		breaks("RFC7030-3.7-2", "lets devices enroll others", lenient(on(est.OpSimpleEnroll).and(somebodyElse()).and(not(withPassword)))),
		breaks("RFC7030-3.7-3", "wants links of registration authorities' clients", refusing(enroll().and(isAuthority).and(holdsAny(passwordOID)))),
		breaks("RFC7030-3.7-4", "does not mind a wrong password", lenient(on(est.OpSimpleEnroll).and(somebodyElse()).and(withPassword))),
		breaks("RFC7030-3.7-5", "asks who is known", rewrites(reenroll().and(somebodyElse()).and(withCertificate), status(http.StatusUnauthorized))),
	}
}

func authMutations() []mutation {
	stranger := on(est.OpSimpleEnroll).and(not(known)).and(method("POST"))
	wrong := func(header string) match {
		return on(est.OpSimpleEnroll).and(func(r *http.Request, _ []byte) bool { return r.Header.Get("Authorization") == header })
	}
	user := func(name string, right bool) match {
		return on(est.OpSimpleEnroll).and(func(r *http.Request, _ []byte) bool {
			u, p, ok := r.BasicAuth()
			return ok && u == name && (p == "secret") == right
		})
	}
	self := on(est.OpSimpleEnroll).and(selfSigned)
	return []mutation{
		breaks("RFC7030-3.2.3-1", "sends 403 instead of a challenge", rewrites(stranger, status(http.StatusForbidden))),
		breaks("RFC7030-3.2.3-2", "sets cookies", successes(est.OpSimpleEnroll, header("Set-Cookie", "a=b"))),
		breaks("RFC7030-3.2.3-3", "takes no passwords", replies(enroll().and(method("POST")).and(withPassword).and(user("device", true)), http.StatusForbidden, "", "")),
		breaks("RFC7030-3.2.3-4", "cannot read an empty user", replies(user("", false), http.StatusBadRequest, "", "")),
		breaks("RFC9110-11.6.1-1", "sends 401 without a challenge", rewrites(stranger, header("WWW-Authenticate", ""))),
		breaks("RFC9110-11.6.1-2", "sends a challenge without a realm", rewrites(stranger, header("WWW-Authenticate", "Basic"))),
		breaks("RFC9110-11.6.1-3", "takes any password", lenient(user("device", false))),
		breaks("RFC9110-11.6.1-4", "takes any user", lenient(user("briskest-nobody", false).and(not(somebodyElse())))),
		breaks("RFC9110-11.6.1-5", "breaks on what is no base64", replies(wrong("Basic !!!"), http.StatusInternalServerError, "", "")),
		breaks("RFC9110-11.6.1-6", "takes any scheme", lenient(wrong("Briskest x=y"))),
		breaks("RFC7030-4.2-1", "re-enrolls nobody", lenient(reenroll().and(not(known)))),
		breaks("RFC7030-4.2-2", "enrolls nobody", lenient(stranger)),
		breaks("RFC7030-3.3.2-1", "does not ask for certificates", unasked),
		breaks("RFC7030-3.3.2-2", "asks for a password too", rewrites(reenroll().and(withCertificate), status(http.StatusUnauthorized)), "RFC7030-4.2.2-2", "RFC7030-4.2.2-3", "RFC7030-3.7-5", "RFC7030-4.2.2-5", "RFC7030-4.2.2-1"),
		breaks("RFC7030-3.3.2-3", "trusts who signs for himself", lenient(self), "RFC7030-4.2.2-6"),
		breaks("RFC7030-3.3.2-4", "trusts a name", lenient(on(est.OpSimpleEnroll).and(issuerNamed("EST test CA")).and(not(isAuthority)).and(withIssuer(true)).and(not(somebodyElse())))),
		breaks("RFC7030-3.3.2-5", "trusts what an end entity issued", lenient(on(est.OpSimpleEnroll).and(issuerNamed("conformance")).and(withIssuer(false)))),
		breaks("RFC7030-3.3.2-6", "trusts any registration authority", lenient(on(est.OpSimpleEnroll).and(issuerNamed("a CA from elsewhere")))),
	}
}
