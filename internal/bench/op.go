package bench

import (
	"context"
	"crypto/tls"
	"fmt"
	"net/http"
)

// Op is an EST operation that is measured, with the floor it is measured
// against: a server that does the operation's cryptography and its TLS, and
// nothing else.
type Op struct {
	Name string // the word of the path (RFC 7030, Section 3.2.2)
	// Kept says that kept connections are measured too: not where each request
	// has a client certificate of its own.
	Kept bool
	// FloorIs tells people what the floor does.
	FloorIs string

	mediaType string
	// prepare makes so many requests, each good once, for the server at t.
	prepare func(ctx context.Context, t *Target, n int) ([]request, error)
	// answers is the floor's side.
	answers func(f *floor) http.HandlerFunc
	// ownClients has the floor verify client certificates that it issued.
	ownClients bool
}

// request is one request of a load.
type request struct {
	body        []byte
	certificate *tls.Certificate // the client's; nil for the target's
}

// Ops are the operations that can be measured.
func Ops() []*Op { return []*Op{simpleEnroll(), simpleReenroll(), serverKeyGen(), fullCMC()} }

// OpNamed returns the operation with that name.
func OpNamed(name string) (*Op, error) {
	for _, op := range Ops() {
		if op.Name == name {
			return op, nil
		}
	}
	return nil, fmt.Errorf("the operation %q is not measured", name)
}

func simpleEnroll() *Op {
	return &Op{
		Name: "simpleenroll", Kept: true, mediaType: "application/pkcs10",
		FloorIs: "TLS as the registrar's, base64, CSR parse and signature check, crypto/x509.CreateCertificate with P-256, certs-only answer; no policy, no database, no disk",
		prepare: func(_ context.Context, _ *Target, n int) ([]request, error) {
			made, _, err := namedRequests(n)
			requests := make([]request, n)
			for i := range made {
				requests[i].body = made[i].body
			}
			return requests, err
		},
		answers: func(f *floor) http.HandlerFunc { return f.enroll },
	}
}
