package webhook_test

import (
	"crypto/tls"
	"io"
	"log"

	"github.com/briskest/briskest/internal/testpki"
)

func newTLS(id *testpki.Identity) *tls.Config {
	return &tls.Config{Certificates: []tls.Certificate{id.TLS()}}
}

func discardLog() *log.Logger { return log.New(io.Discard, "", 0) }
