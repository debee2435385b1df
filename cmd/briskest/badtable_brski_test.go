package main_test

import (
	"bytes"
	"crypto/tls"
	"encoding/base64"
	"path/filepath"
)

const (
	brskiRoot  = "/.well-known/brski"
	voucherCMS = "application/voucher-cms+json"
)

// brskiRequests are aimed at the registrar's and the MASA's BRSKI operations.
func (b *badBench) brskiRequests() []badRequest {
	return append(append(b.pledgeRequests(), b.telemetryRequests()...), b.masaRequests()...)
}

func (b *badBench) pledgeRequests() []badRequest {
	t := b.t
	request := readFile(t, filepath.Join(b.bed.Dir, "pledge", "request.vcj"))
	issued := readFile(t, filepath.Join(b.bed.Dir, "pledge", "voucher.vcj"))
	cms := map[string]string{"Content-Type": voucherCMS}
	path := brskiRoot + "/requestvoucher"
	var table []badRequest
	post := func(name string, header map[string]string, body []byte, cert *tls.Certificate, status int, reason string) {
		table = append(table, badRequest{"requestvoucher " + name, "POST", path, header, body, cert, status, reason})
	}
	table = append(table,
		badRequest{name: "requestvoucher GET", method: "GET", path: path, cert: b.idevid, status: 405, reason: "method-not-allowed"},
		badRequest{name: "requestvoucher//", method: "POST", path: brskiRoot + "//requestvoucher", cert: b.idevid, status: 404, reason: "path-slash"},
		badRequest{name: "requestvoucher, wrong word", method: "POST", path: brskiRoot + "/voucherrequest", cert: b.idevid, status: 404, reason: "path-operation"})
	post("without a certificate", cms, request, nil, 403, "no-client-certificate")
	post("empty", cms, nil, b.idevid, 400, "body-empty")
	post("as JSON", map[string]string{"Content-Type": "application/json"}, request, b.idevid, 415, "media-type")
	post("for an answer we do not have", map[string]string{"Content-Type": voucherCMS, "Accept": "image/png"}, request, b.idevid, 406, "not-acceptable")
	post("of 2 MB", cms, bytes.Repeat([]byte{0x30, 0x80}, 1<<20), b.idevid, 413, "body-too-large")
	post("truncated", cms, request[:len(request)/2], b.idevid, 400, "voucher-request")
	post("changed", cms, changed(request), b.idevid, 403, "voucher-signature")
	post("that is a voucher", cms, issued, b.idevid, 403, "signer-not-client")
	post("that is a CSR", cms, csr(t, "x"), b.idevid, 400, "voucher-request")
	post("of somebody else", cms, request, b.foreign, 403, "signer-not-client")
	post("by an LDevID", cms, request, b.ldevid, 403, "signer-not-client")
	return table
}

func (b *badBench) telemetryRequests() []badRequest {
	jsonType := map[string]string{"Content-Type": "application/json"}
	good := []byte(`{"version":1,"status":true}`)
	var table []badRequest
	for _, op := range []string{"voucher_status", "enrollstatus"} {
		path := brskiRoot + "/" + op
		post := func(name string, header map[string]string, body []byte, cert *tls.Certificate, status int, reason string) {
			table = append(table, badRequest{op + " " + name, "POST", path, header, body, cert, status, reason})
		}
		table = append(table, badRequest{name: op + " GET", method: "GET", path: path, cert: b.idevid, status: 405, reason: "method-not-allowed"})
		post("without a certificate", jsonType, good, nil, 403, "no-client-certificate")
		post("by a foreign certificate", jsonType, good, b.foreign, 403, "certificate-untrusted")
		post("as text", map[string]string{"Content-Type": "text/plain"}, good, b.idevid, 415, "media-type")
		post("empty", jsonType, nil, b.idevid, 400, "body-empty")
		post("not JSON", jsonType, []byte(`{"version":1,`), b.idevid, 400, "telemetry")
		post("with a word for a status", jsonType, []byte(`{"version":1,"status":"yes"}`), b.idevid, 400, "telemetry")
		post("of 1 MB", jsonType, bytes.Repeat([]byte("[["), 1<<19), b.idevid, 413, "body-too-large")
	}
	return table
}

func (b *badBench) masaRequests() []badRequest {
	t := b.t
	request := readFile(t, filepath.Join(b.bed.Dir, "pledge", "request.vcj"))
	registrar := b.registrarIdentity()
	cms := map[string]string{"Content-Type": voucherCMS}
	var table []badRequest
	for _, op := range []string{"requestvoucher", "requestauditlog"} {
		path := "masa:" + brskiRoot + "/" + op
		post := func(name string, header map[string]string, body []byte, cert *tls.Certificate, status int, reason string) {
			table = append(table, badRequest{"masa " + op + " " + name, "POST", path, header, body, cert, status, reason})
		}
		table = append(table, badRequest{name: "masa " + op + " GET", method: "GET", path: path, cert: registrar, status: 405, reason: "method-not-allowed"})
		post("empty", cms, nil, registrar, 400, "body-empty")
		post("as text", map[string]string{"Content-Type": "text/plain"}, request, registrar, 415, "media-type")
		post("for an answer it does not have", map[string]string{"Content-Type": voucherCMS, "Accept": "image/png"}, request, registrar, 406, "not-acceptable")
		post("garbage", cms, []byte("garbage"), registrar, 400, "request-form")
		post("base64", cms, base64.StdEncoding.AppendEncode(nil, request), registrar, 400, "request-form")
		post("by a pledge", cms, request, registrar, 403, "registrar-role")
		post("of 2 MB", cms, bytes.Repeat([]byte{0x30, 0x80}, 1<<20), registrar, 413, "body-too-large")
	}
	return table
}

// registrarIdentity is the registrar's own certificate, as a MASA sees it.
func (b *badBench) registrarIdentity() *tls.Certificate {
	return b.pair("registrar/registrar.pem", "registrar/registrar.key")
}

// changed flips one bit in the middle of an artifact.
func changed(artifact []byte) []byte {
	out := bytes.Clone(artifact)
	out[len(out)/2] ^= 1
	return out
}
