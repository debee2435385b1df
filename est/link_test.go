package est_test

import (
	"bufio"
	"context"
	"crypto/tls"
	"encoding/base64"
	"io"
	"log"
	"strings"
	"testing"

	cbasn1 "golang.org/x/crypto/cryptobyte/asn1"

	"github.com/briskest/briskest/est"
	"github.com/briskest/briskest/est/esttest"
)

func discardLog() *log.Logger { return log.New(io.Discard, "", 0) }

// RFC 7030, Section 3.5; RFC 9266, Section 2, since TLS 1.3 has no tls-unique.
// EST-7030-3.5-03: a prefix of the binding is refused. EST-7030-3.5-08: so is what is no base64.
// EST-9266-2-02: TLS 1.3 has tls-exporter. EST-9266-2-03: tls-exporter is refused in TLS 1.2 unless the policy says otherwise.
// EST-5929-3-02: tls-unique's twelve bytes are refused in TLS 1.3.
func TestAChallengePasswordMustBeTheBindingOfItsConnection(t *testing.T) {
	s := newSite(t)
	exporter := func(cs tls.ConnectionState) []byte {
		b, err := cs.ExportKeyingMaterial("EXPORTER-Channel-Binding", []byte{}, 32)
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	unique := func(cs tls.ConnectionState) []byte { return cs.TLSUnique }
	for what, c := range map[string]struct {
		version uint16
		binding func(tls.ConnectionState) []byte
		change  func(string) string
		status  int
	}{
		"tls-unique in TLS 1.2 (libest, Bouncy Castle)": {tls.VersionTLS12, unique, nil, 200},
		"tls-exporter in TLS 1.3":                       {tls.VersionTLS13, exporter, nil, 200},
		"tls-exporter in TLS 1.2":                       {tls.VersionTLS12, exporter, nil, 400},
		"tls-unique in TLS 1.3":                         {tls.VersionTLS13, func(tls.ConnectionState) []byte { return make([]byte, 12) }, nil, 400},
		"a prefix of tls-exporter":                      {tls.VersionTLS13, exporter, func(s string) string { return s[:4] }, 400},
		"a prefix of it (libest takes one)":             {tls.VersionTLS12, unique, func(s string) string { return s[:4] }, 400},
		"more than it":                                  {tls.VersionTLS12, unique, func(s string) string { return s + "AA==" }, 400},
		"another letter case":                           {tls.VersionTLS12, unique, strings.ToLower, 400},
		"the binding itself, no base64":                 {tls.VersionTLS13, func(tls.ConnectionState) []byte { return nil }, func(string) string { return "%%%" }, 400},
		"a shared secret":                               {tls.VersionTLS13, exporter, func(string) string { return "secret" }, 400},
	} {
		conn := s.dial(t, &tls.Config{MinVersion: c.version, MaxVersion: c.version})
		password := base64.StdEncoding.EncodeToString(c.binding(conn.ConnectionState()))
		if c.change != nil {
			password = c.change(password)
		}
		csr := forged{attributes: [][]byte{attribute(oidChallengePassword, tlv(cbasn1.UTF8String, password))}}.der(t)
		auth := "Authorization: Basic " + b64([]byte("device:secret")) + "\r\n"
		if _, err := io.WriteString(conn, post(enrollPath, pkcs10+auth, b64(csr))); err != nil {
			t.Fatal(err)
		}
		got := readWire(t, bufio.NewReader(conn), "POST")
		if got.status != c.status {
			t.Errorf("%s: %d %q, want %d", what, got.status, got.body, c.status)
		}
		refusals := s.TakeRefusals()
		if c.status == 400 && (len(refusals) != 1 || refusals[0].Error.Reason != est.ReasonLinkMismatch) {
			t.Errorf("%s: observed %v", what, refusals)
		}
	}
}

// linker is a Backend that takes a shared secret in challengePassword and demands one.
type linker struct{ *esttest.Backend }

func (linker) CheckLink(_ context.Context, r *est.EnrollRequest) error {
	switch {
	case r.CSR.ChallengePassword == "shared":
		return nil
	case r.CSR.ChallengePassword == "":
		return &est.Error{Status: 400, Reason: "link-required", Message: "Identity and proof-of-possession must be linked."}
	}
	return r.CheckLink()
}

// RFC 7030, Sections 3.5 and 3.7.
func TestALinkerDecidesInPlaceOfTheHandler(t *testing.T) {
	s := newSite(t)
	s.url = s.Serve(&est.Handler{Backend: linker{s.Backend}})
	for password, want := range map[string]int{"shared": 200, "": 400, "wrong": 400} {
		f := forged{}
		if password != "" {
			f.attributes = [][]byte{attribute(oidChallengePassword, tlv(cbasn1.PrintableString, password))}
		}
		if got := s.raw(t, post(enrollPath, pkcs10+"BASIC\r\n", b64(f.der(t)))); got.status != want {
			t.Errorf("challengePassword %q: %d, want %d", password, got.status, want)
		}
	}
}

func TestWithoutTLSNoLinkHolds(t *testing.T) {
	csr, err := est.ParseCSR(forged{attributes: [][]byte{attribute(oidChallengePassword, tlv(cbasn1.PrintableString, "AAAA"))}}.der(t))
	if err != nil {
		t.Fatal(err)
	}
	for what, cs := range map[string]*tls.ConnectionState{
		"plain HTTP": nil, "TLS 1.2 without tls-unique": {Version: tls.VersionTLS12},
	} {
		r := &est.EnrollRequest{Request: est.Request{Peer: &est.Peer{TLS: cs}}, CSR: csr}
		if got := reasonOf(r.CheckLink()); got != est.ReasonLinkMismatch {
			t.Errorf("CheckLink over %s: %q", what, got)
		}
	}
}
