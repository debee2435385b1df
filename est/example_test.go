package est_test

import (
	"context"
	"crypto/rand"
	"crypto/subtle"
	"crypto/x509"
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

// enroll asks until the server has decided.
func enroll(ctx context.Context, c *est.Client, csr []byte) (*x509.Certificate, error) {
	for {
		cert, err := c.SimpleEnroll(ctx, csr)
		var pending *est.PendingError
		if !errors.As(err, &pending) {
			return cert, err
		}
		select {
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-time.After(max(pending.RetryAfter, time.Second)):
		}
	}
}

// A client that has the CA's root and a password enrolls with a CSR from crypto/x509.
func ExampleClient_SimpleEnroll() {
	roots := x509.NewCertPool() // the CA's root, from a file
	c := &est.Client{URL: "https://est.example:8443", Roots: roots, User: "device-7", Password: "correct horse"}
	defer c.CloseIdleConnections()
	ctx, cancel := context.WithTimeout(context.Background(), time.Hour)
	defer cancel()
	var csr []byte // from x509.CreateCertificateRequest
	cert, err := enroll(ctx, c, csr)
	if err != nil {
		log.Println(err)
		return
	}
	fmt.Println("valid until", cert.NotAfter)
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
