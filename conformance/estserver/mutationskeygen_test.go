package estserver_test

import (
	"bytes"
	"encoding/base64"
	"net/http"
	"strings"
	"sync"

	"github.com/briskest/briskest/est"
)

func keygenMutations() []mutation {
	keys := on(est.OpServerKeyGen)
	good := keys.and(known).and(method("POST"))
	gives := func(m match) fault {
		return replies(good.and(m), http.StatusOK, "multipart/mixed; boundary=b", "--b\r\nContent-Type: application/pkcs8\r\n\r\nMAA=\r\n--b--\r\n")
	}
	part := func(from, to string) fault {
		return successes(est.OpServerKeyGen, func(a *reply) { a.body = bytes.Replace(a.body, []byte(from), []byte(to), 1) })
	}
	pfx := good.and(field("Accept", "application/pkcs12"))
	bad := good.and(contains("dGhpcyBpcyBubyBDU1I"))
	return []mutation{
		breaks("RFC7030-4.4-1", "makes keys for nobody", replies(keys.and(not(known)).and(method("POST")), http.StatusOK, "text/plain", "")),
		breaks("RFC7030-4.4-2", "has one key", repeats()),
		breaks("RFC7030-4.4.1-1", "verifies the signature", refusing(good.and(asked2).and(not(wellSignedNow)))),
		breaks("RFC7030-4.4.1-2", "certifies the CSR's key", certifiesOwn, "RFC7030-4.4.2-4"),
		breaks("RFC7030-4.4.1-3", "sends in the clear what is to be encrypted", gives(holdsAny(sharedKeyOID).and(not(holdsAny(capsOID))))),
		breaks("RFC7030-4.4.1-4", "sends in the clear what it has no key for", gives(holdsAny(sharedKeyOID).and(holdsAny(capsOID)))),
		breaks("RFC7030-4.4.1-5", "sends in the clear what it has no certificate for", gives(holdsAny(asymKeyOID))),
		breaks("RFC7030-4.4.1-6", "breaks on what is no CSR", replies(bad, http.StatusInternalServerError, "", "")),
		breaks("RFC7030-4.4.2-1", "sends the key alone", gives(not(field("Accept", "application/pkcs12")).and(not(holdsAny(sharedKeyOID, asymKeyOID))).and(asked2))),
		breaks("RFC7030-4.4.2-2", "sends the key as PEM", part("application/pkcs8", "application/x-pem")),
		breaks("RFC7030-4.4.2-3", "sends no certs-only message", successes(est.OpServerKeyGen, spoilCertificate)),
		breaks("RFC7030-4.4.2-4", "sends another's certificate", successes(est.OpServerKeyGen, otherCertificate)),
		breaks("RFC7030-4.4.2-5", "sends certificates without smime-type", part("; smime-type=certs-only", "")),
		breaks("RFC8951-5.2-1", "sends bytes without a type", rewrites(bad, func(a *reply) { a.header["Content-Type"] = nil; a.body = []byte{0, 1, 0xff} })),
		breaks("RFC8295-8-1", "sends PKCS#12 as it is", rewrites(pfx, func(a *reply) { a.body = []byte("0\x82\x01\x01\x02\x01\x03") })),
		breaks("RFC8295-8-2", "takes anything for a receipt", replies(on("return"), http.StatusNoContent, "", "")),
	}
}

// asked2 is a CSR that can be read.
func asked2(_ *http.Request, body []byte) bool { return readCSR(body) != nil }

// wellSignedNow is a CSR whose signature is right.
func wellSignedNow(_ *http.Request, body []byte) bool {
	csr := readCSR(body)
	return csr != nil && csr.CheckSignature() == nil
}

// repeats answers every request for a key with the first answer.
func repeats() fault {
	var mu sync.Mutex
	var first []byte
	return successes(est.OpServerKeyGen, func(a *reply) {
		mu.Lock()
		defer mu.Unlock()
		if !strings.HasPrefix(a.header.Get("Content-Type"), "multipart/") {
			return
		}
		if first == nil {
			first = append([]byte(a.header.Get("Content-Type")+"\n"), a.body...)
		}
		contentType, body, _ := bytes.Cut(first, []byte("\n"))
		a.header.Set("Content-Type", string(contentType))
		a.body = body
	})
}

// certificatePart replaces the base64 of the certificate part.
func certificatePart(a *reply, text string) {
	at := bytes.Index(a.body, []byte("application/pkcs7-mime"))
	if at < 0 {
		return
	}
	begin := at + bytes.Index(a.body[at:], []byte("\r\n\r\n")) + 4
	end := begin + bytes.Index(a.body[begin:], []byte("\r\n--"))
	a.body = append(append(bytes.Clone(a.body[:begin]), text...), a.body[end:]...)
}

func spoilCertificate(a *reply) {
	certificatePart(a, base64.StdEncoding.EncodeToString([]byte{0x30, 0}))
}

// otherCertificate puts in the server's own.
func otherCertificate(a *reply) {
	inner := &reply{h: a.h, header: http.Header{}}
	inner.certsOnly(a.h.backend.signer.Certificate.Raw)
	certificatePart(a, strings.TrimSpace(string(inner.body)))
}

// certifiesOwn puts in a certificate for the CSR's key.
func certifiesOwn(h *house) {
	rewrites(on(est.OpServerKeyGen).and(asked2), func(a *reply) {
		if a.status != http.StatusOK {
			return
		}
		inner := &reply{h: a.h, header: http.Header{}, csr: a.csr}
		issues(inner)
		certificatePart(a, strings.TrimSpace(string(inner.body)))
	})(h)
}
