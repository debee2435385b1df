package main

import (
	"context"
	"crypto"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"net"
	"os"

	"github.com/briskest/briskest/est"
	"github.com/briskest/briskest/internal/cli"
	"github.com/briskest/briskest/internal/keystore"
	"github.com/briskest/briskest/internal/pemfile"
)

// estRequest is what both enroll commands need to make a CSR.
type estRequest struct {
	estWait
	CSR     string   `type:"existingfile" help:"Send this CSR (PEM or DER, - for standard input) instead of making one."`
	NewKey  string   `help:"Key of the new certificate: a file or keystore URI; made there when it is not there yet." placeholder:"FILE"`
	KeyType string   `enum:",p256,p384,p521,rsa2048,rsa3072,rsa4096,ed25519" default:"" help:"Type of a key that is made: p256, p384, p521, rsa2048, rsa3072, rsa4096 or ed25519. Default: what the server wants, else p256."`
	Link    bool     `help:"Link the CSR to the TLS session, even if the server does not ask for it (RFC 7030, Section 3.5)."`
	Out     string   `help:"Write the certificate to this file, as PEM, instead of standard output."`
	CN      string   `name:"cn" help:"Common name to ask for."`
	Serial  string   `name:"serial-number" help:"X520 serialNumber to ask for."`
	DNS     []string `name:"dns" help:"DNS name to ask for; may be repeated."`
	IP      []net.IP `name:"ip" help:"IP address to ask for; may be repeated."`
}

type estEnrollCmd struct {
	estPeer
	estRequest
}

// Run enrolls: one certificate for a new or a given key.
func (c *estEnrollCmd) Run(ctx context.Context, s streams) error {
	if err := c.check(); err != nil {
		return err
	}
	client, err := c.client(ctx, s)
	if err != nil {
		return err
	}
	if c.CSR != "" {
		return c.send(ctx, s, client, est.OpSimpleEnroll)
	}
	if c.NewKey == "" {
		return cli.Usage("say which key the certificate is for: --new-key FILE (made when it is not there), or --csr FILE")
	}
	if c.CN == "" && c.Serial == "" && len(c.DNS) == 0 && len(c.IP) == 0 {
		return cli.Usage("say which name to ask for: --cn, --serial-number, --dns or --ip")
	}
	got, err := client.Enroll(ctx, &est.Enrollment{
		Names: &x509.CertificateRequest{
			Subject: pkix.Name{CommonName: c.CN, SerialNumber: c.Serial}, DNSNames: c.DNS, IPAddresses: c.IP,
		},
		Key: c.key(ctx), Link: c.Link, MaxWait: c.Wait,
	})
	return c.write(s, got, err)
}

type estReenrollCmd struct {
	estPeer
	estRequest
}

// Run renews --cert, with its own key, or with --new-key.
func (c *estReenrollCmd) Run(ctx context.Context, s streams) error {
	if err := c.check(); err != nil {
		return err
	}
	client, err := c.client(ctx, s)
	if err != nil {
		return err
	}
	if c.CSR != "" {
		return c.send(ctx, s, client, est.OpSimpleReenroll)
	}
	if client.Certificate == nil {
		return required("--cert")
	}
	if c.CN != "" || c.Serial != "" || len(c.DNS) > 0 || len(c.IP) > 0 {
		return cli.Usage("a re-enrollment keeps the names of the certificate (RFC 7030, Section 4.2.2): leave --cn, --serial-number, --dns and --ip out")
	}
	e := &est.Enrollment{Link: c.Link, MaxWait: c.Wait}
	if c.NewKey != "" {
		e.Key = c.key(ctx)
	}
	got, err := client.Reenroll(ctx, e)
	return c.write(s, got, err)
}

func (r *estRequest) check() error {
	if r.CSR != "" && (r.Link || r.NewKey != "") {
		return cli.Usage("--csr is sent as it is: leave --link and --new-key out")
	}
	return nil
}

// key opens the key to certify, or makes it as the server wants.
func (r *estRequest) key(ctx context.Context) func(*est.KeyPlan) (crypto.Signer, error) {
	return func(kind *est.KeyPlan) (crypto.Signer, error) {
		alg := r.KeyType
		if alg == "" {
			alg = kind.Name()
		}
		return openOrCreate(ctx, keyURI(r.NewKey), keystore.Algorithm(alg))
	}
}

// send sends a CSR that somebody else made.
func (r *estRequest) send(ctx context.Context, s streams, client *est.Client, op est.Operation) error {
	csr, err := readBounded(s.In, r.CSR, maxArtifact)
	if err != nil {
		return err
	}
	if block, _ := pem.Decode(csr); block != nil {
		csr = block.Bytes
	}
	cert, err := client.Request(ctx, &est.CertRequest{
		Operation: op, MaxWait: r.Wait, CSR: func([]byte) ([]byte, error) { return csr, nil },
	})
	return r.write(s, &est.Enrolled{Certificate: cert}, err)
}

func (r *estRequest) write(s streams, got *est.Enrolled, err error) error {
	if err != nil {
		return estFailure(err)
	}
	return writeOut(s, r.Out, pemfile.Encode(got.Certificate.Raw))
}

// openOrCreate opens the key, or makes it when it is a file that is not there.
func openOrCreate(ctx context.Context, uri string, alg keystore.Algorithm) (crypto.Signer, error) {
	key, err := keystore.Open(ctx, uri)
	if errors.Is(err, os.ErrNotExist) {
		return keystore.Create(ctx, uri, alg)
	}
	return key, err
}

// writeOut writes data to a file at once and whole, or to standard output for
// "" and "-".
func writeOut(s streams, file string, data []byte) error {
	if file == "" || file == "-" {
		_, err := s.Out.Write(data)
		return err
	}
	return pemfile.Write(file, data, 0o644)
}
