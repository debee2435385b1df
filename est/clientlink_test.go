package est_test

import (
	"bytes"
	"crypto"
	"crypto/tls"
	"encoding/base64"
	"errors"
	"io"
	"net/http"
	"testing"

	cbasn1 "golang.org/x/crypto/cryptobyte/asn1"

	"github.com/briskest/briskest/est"
	"github.com/briskest/briskest/internal/testpki"
)

func tlsVersions() []*tls.Config {
	return []*tls.Config{{MaxVersion: tls.VersionTLS12}, {MinVersion: tls.VersionTLS13}}
}

// linkedTo makes CSRs for key whose challengePassword is the binding's base64.
func linkedTo(t testing.TB, key crypto.Signer) func([]byte) ([]byte, error) {
	return func(binding []byte) ([]byte, error) {
		return forged{key: key, attributes: [][]byte{attribute(oidChallengePassword, tlv(cbasn1.PrintableString, base64.StdEncoding.EncodeToString(binding)))}}.der(t), nil
	}
}

// linkedCSR is what a server saw of a CSR and of the session it came over.
type linkedCSR struct {
	csr      *est.CSR
	password string
	key      []byte // SubjectPublicKeyInfo
	subject  []byte
	binding  []byte
	version  uint16
}

func (l *linkedCSR) bound() bool {
	size := 32
	if l.version < tls.VersionTLS13 {
		size = 12
	}
	raw, err := base64.StdEncoding.DecodeString(l.password)
	return err == nil && len(raw) == size && string(raw) == string(l.binding)
}

// readLinked reads the CSR and puts the body back.
func readLinked(t testing.TB, r *http.Request) linkedCSR {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		t.Error(err)
	}
	r.Body = io.NopCloser(bytes.NewReader(body))
	der, err := base64.StdEncoding.DecodeString(string(body))
	if err != nil {
		t.Error(err)
	}
	csr, err := est.ParseCSR(der)
	if err != nil {
		t.Error(err)
		return linkedCSR{csr: new(est.CSR)}
	}
	l := linkedCSR{csr: csr, password: csr.ChallengePassword, key: csr.RawSubjectPublicKeyInfo, subject: csr.RawSubject, version: r.TLS.Version, binding: r.TLS.TLSUnique}
	if l.version >= tls.VersionTLS13 {
		// RFC 9266, Section 4.
		if l.binding, err = r.TLS.ExportKeyingMaterial("EXPORTER-Channel-Binding", []byte{}, 32); err != nil {
			t.Error(err)
		}
	}
	return l
}

// EST-7030-3.5-07: the raw binding of the session the request is sent on goes into challengePassword as base64, and
// stays right when the request is repeated on that connection or another one.
func TestALinkedCSRHoldsTheBindingOfItsOwnSession(t *testing.T) {
	for _, version := range tlsVersions() {
		w := newWorld(t)
		var got []linkedCSR
		s := w.net.serve(t, "est.example", named(t, w.own, "est.example"), http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
			got = append(got, readLinked(t, r))
			w.site.handler.ServeHTTP(rw, r)
		}))
		c := w.net.client(t, s, w.own.Pool())
		c.User, c.Password, c.TLSConfig = "device", "secret", version
		for range 2 {
			got = nil
			if _, err := c.Request(t.Context(), &est.CertRequest{Link: true, CSR: linkedTo(t, testpki.NewKey(t))}); err != nil {
				t.Fatalf("Request: %v", err)
			}
			for _, l := range got {
				if !l.bound() {
					t.Errorf("TLS %x: challengePassword %q, the session has %x", l.version, l.password, l.binding)
				}
			}
		}
		failing := errors.New("no key today")
		s.asked()
		_, err := c.Request(t.Context(), &est.CertRequest{Link: true, CSR: func([]byte) ([]byte, error) { return nil, failing }})
		if !errors.Is(err, failing) || len(s.asked()) != 0 {
			t.Errorf("a CSR that cannot be made: %v", err)
		}
	}
	foreign := reply{status: 200}.client()
	_, err := foreign.Request(t.Context(), &est.CertRequest{Link: true, CSR: linkedTo(t, testpki.NewKey(t))})
	if !errors.Is(err, est.ErrLink) {
		t.Errorf("over the caller's own HTTP: %v, want ErrLink", err)
	}
}
