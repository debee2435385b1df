package est_test

import (
	"context"
	"crypto/rand"
	"crypto/subtle"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"fmt"
	"log"
	"math/big"
	"net/http"
	"time"

	"github.com/briskest/briskest/est"
)

// counterCA is a Backend with one device and a CA that counts.
type counterCA struct {
	certificate *x509.Certificate
	signer      any
}

func (b *counterCA) CACerts(context.Context, *est.Request) ([]*x509.Certificate, error) {
	return []*x509.Certificate{b.certificate}, nil
}

func (b *counterCA) Enroll(_ context.Context, r *est.EnrollRequest) ([]byte, error) {
	if r.Peer.User != "device-7" || subtle.ConstantTimeCompare([]byte(r.Peer.Secret.Reveal()), []byte("correct horse")) != 1 {
		return nil, &est.Error{Status: http.StatusUnauthorized, Reason: "unknown-device", Message: "Unknown device or wrong password."}
	}
	return x509.CreateCertificate(rand.Reader, &x509.Certificate{
		SerialNumber: big.NewInt(r.At.UnixNano()), Subject: r.CSR.Subject,
		NotBefore: r.At, NotAfter: r.At.AddDate(1, 0, 0),
	}, b.certificate, r.CSR.PublicKey, b.signer)
}

// A server needs a Backend of two methods and a TLS configuration that asks for client certificates.
func ExampleHandler() {
	server := &http.Server{
		Addr:              "127.0.0.1:8443",
		Handler:           &est.Handler{Backend: &counterCA{}, Realm: "factory"},
		ReadHeaderTimeout: 10 * time.Second,
		ReadTimeout:       30 * time.Second,
		WriteTimeout:      30 * time.Second,
	}
	fmt.Println("serving", est.PathPrefix, "on", server.Addr)
	// server.ListenAndServeTLS("server.pem", "server.key")

	// Output: serving /.well-known/est on 127.0.0.1:8443
}

// A device that knows the fingerprint of the CA and a password gets a certificate: the kind of key, the CSR and the wait
// are as the server asks.
func ExampleClient_Enroll() {
	ctx, server := context.Background(), "https://est.example:8443"
	confirm, err := est.Fingerprint("5E:3A:...") // of the CA's root, from its operator
	if err != nil {
		fmt.Println(err)
		return
	}
	set, err := (&est.Client{URL: server}).Bootstrap(ctx, confirm) // keep set.Anchors for later
	if err != nil {
		fmt.Println(err)
		return
	}
	c := &est.Client{URL: server, Roots: set.Pool(), User: "device-7", Password: "correct horse"}
	defer c.CloseIdleConnections()
	names := &x509.CertificateRequest{Subject: pkix.Name{CommonName: "device-7"}}
	got, err := c.Enroll(ctx, &est.Enrollment{Names: names, MaxWait: time.Hour})
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println("valid until", got.Certificate.NotAfter)

	// Output: a SHA-256 fingerprint has 64 hexadecimal digits; "openssl x509 -in ca.pem -noout -fingerprint -sha256" prints it
}

// A CSR that was made elsewhere is sent as it is.
func ExampleClient_SimpleEnroll() {
	roots := x509.NewCertPool() // the CA's root, from a file
	c := &est.Client{URL: "https://est.example:8443", Roots: roots, User: "device-7", Password: "correct horse"}
	defer c.CloseIdleConnections()
	var csr []byte // from x509.CreateCertificateRequest
	cert, err := c.SimpleEnroll(context.Background(), csr)
	var pending *est.PendingError
	switch {
	case errors.As(err, &pending):
		log.Println("ask again in", pending.RetryAfter)
	case err != nil:
		log.Println(err)
	default:
		fmt.Println("valid until", cert.NotAfter)
	}
}

// A password that is printed by accident stays secret.
func ExampleSecret() {
	peer := est.Peer{User: "device-7", Secret: "correct horse"}
	fmt.Println(peer.User, peer.Secret)
	fmt.Println(peer.Secret.Reveal())

	// Output:
	// device-7 [redacted]
	// correct horse
}

// What a server would like to find in a CSR (RFC 8951, Section 4).
func ExampleParseCSRAttrs() {
	der := []byte("\x30\x0b\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x09\x07")
	attrs, err := est.ParseCSRAttrs(der)
	if err != nil {
		log.Fatal(err)
	}
	for _, item := range attrs.Items {
		fmt.Println(item.OID)
	}

	// Output: 1.2.840.113549.1.9.7
}
