package estserver_test

import (
	"bytes"
	"encoding/asn1"
	"net/http"

	"github.com/briskest/briskest/conformance/estserver"
	"github.com/briskest/briskest/est"
)

// wants answers csrattrs with these entries.
func wants(entries ...[]byte) fault {
	return rewrites(on(est.OpCSRAttrs).and(method("GET")), func(a *reply) {
		a.body = lines(estserver.TLV(0x30, entries...))
		a.header.Set("Content-Type", "application/csrattrs")
		a.status = http.StatusOK
	})
}

// templated answers csrattrs with one template of these parts.
func templated(parts ...[]byte) fault {
	id := asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 9, 16, 2, 61}
	return wants(estserver.AttributeOf(id, estserver.TLV(0x30, parts...)))
}

func planMutations() []mutation {
	usage := estserver.ExtensionOf(asn1.ObjectIdentifier{2, 5, 29, 15}, true, []byte{3, 2, 7, 0x80})
	extensions := asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 9, 14}
	open := asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 9, 16, 2, 62}
	ec, rsa := asn1.ObjectIdentifier{1, 2, 840, 10045, 2, 1}, asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 1, 1}
	curve := oid(1, 2, 840, 10045, 3, 1, 7)
	version := []byte{2, 1, 0}
	list := estserver.TLV(0x30, usage)
	keyOf := func(parts ...[]byte) []byte { return estserver.TLV(0xa0, parts...) }
	attributes := func(parts ...[]byte) []byte { return estserver.TLV(0xa1, parts...) }
	return []mutation{
		breaks("RFC9908-3.2-1", "wants an extension by its own name", wants(estserver.AttributeOf(asn1.ObjectIdentifier{2, 5, 29, 17}, []byte{5, 0}))),
		breaks("RFC9908-3.2-2", "wants extensions twice", wants(estserver.ExtensionRequest(usage), estserver.ExtensionRequest(usage))),
		breaks("RFC9908-3.2-3", "wants two lists of extensions", wants(estserver.AttributeOf(extensions, list, list))),
		breaks("RFC9908-3.2-4", "wants an extension twice", wants(estserver.ExtensionRequest(usage, usage))),
		breaks("RFC9908-3.2-5", "wants two kinds of key", wants(estserver.AttributeOf(ec, curve), estserver.AttributeOf(rsa, []byte{2, 2, 8, 0}))),
		breaks("RFC9908-3.2-6", "wants RSA keys on a curve", wants(estserver.AttributeOf(rsa, curve))),
		breaks("RFC9908-3.4-1", "has a template of two values", wants(estserver.AttributeOf(asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 9, 16, 2, 61}, estserver.TLV(0x30, version), estserver.TLV(0x30, version)))),
		breaks("RFC9908-3.4-2", "has a template of version 1", templated([]byte{2, 1, 1})),
		breaks("RFC9908-3.4-3", "has a template for nobody", templated(version, estserver.TLV(0x30))),
		breaks("RFC9908-3.4-4", "puts bits into a key of EC", templated(version, keyOf(estserver.TLV(0x30, oid(ec...), curve), []byte{3, 1, 0}))),
		breaks("RFC9908-3.4-5", "has both kinds of extension requests", templated(version, attributes(estserver.ExtensionRequest(usage), estserver.AttributeOf(open, list)))),
		breaks("RFC9908-3.4-6", "leaves nothing open in an open request", templated(version, attributes(estserver.AttributeOf(open, list)))),
	}
}

func packageMutations() []mutation {
	json := on(est.OpPAL).and(field("Accept", "application/json")).and(withCertificate)
	entry := func(from, to string) fault {
		return rewrites(json, func(a *reply) { a.body = bytes.Replace(a.body, []byte(from), []byte(to), 1) })
	}
	body := func(text string) fault { return rewrites(json, func(a *reply) { a.body = []byte(text) }) }
	return []mutation{
		breaks("RFC8295-2-1", "lists packages for nobody", replies(on(est.OpPAL).and(not(known)), http.StatusOK, "application/json", "[]")),
		breaks("RFC8295-2-2", "knows no XML", replies(on(est.OpPAL).and(field("Accept", "application/xml")), http.StatusNotAcceptable, "", "")),
		breaks("RFC8295-2-3", "has types of three digits", entry(`"0002"`, `"002"`)),
		breaks("RFC8295-2-4", "describes packages twice", entry(`"uri":`, `"ski":"AA==","uri":`)),
		breaks("RFC8295-2-5", "has dates of the place", entry(`2026-01-02T03:04:05Z`, `2026-01-02T03:04:05+01:00`)),
		breaks("RFC8295-2-6", "has a pointer alone", body(`[{"type":"0001","size":1,"info":{"uri":"https://est.example/2"}}]`)),
		breaks("RFC8295-2-7", "enrolls before it distributes", body(`[{"type":"0007","size":1,"info":{"uri":"https://est.example/simpleenroll"}},{"type":"0002","size":1,"info":{"uri":"https://est.example/cacerts"}}]`)),
		breaks("RFC8295-3-1", "sends eecerts as text", rewrites(on(est.OpEECerts), header("Content-Type", "text/plain"))),
		breaks("RFC8295-4-1", "sends certificates for lists", rewrites(on(est.OpCRLs), func(a *reply) { a.certsOnly(a.h.backend.CA.Certificate.Raw) })),
	}
}
