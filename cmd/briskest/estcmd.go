package main

import (
	"context"
	"crypto"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"net"
	"os"
	"strings"

	"github.com/briskest/briskest/est"
	"github.com/briskest/briskest/internal/cli"
	"github.com/briskest/briskest/internal/keystore"
	"github.com/briskest/briskest/internal/pemfile"
)

type estCmd struct {
	CACerts  estCACertsCmd  `cmd:"" name:"cacerts" help:"Get the CA certificates (RFC 7030, Section 4.1)."`
	CSRAttrs estCSRAttrsCmd `cmd:"" name:"csrattrs" help:"Get what a CSR should hold (RFC 7030, Section 4.5)."`
	Enroll   estEnrollCmd   `cmd:"" help:"Get a certificate (RFC 7030, Section 4.2)."`
	Reenroll estReenrollCmd `cmd:"" help:"Renew or rekey a certificate (RFC 7030, Section 4.2.2)."`
}

// estPeer says which server, and who asks.
type estPeer struct {
	URL   string `required:"" help:"The server, as https://HOST[:PORT], with or without /.well-known/est."`
	Label string `help:"The CA label, for servers with several."`
	CA    string `name:"ca" required:"" type:"existingfile" help:"PEM file the server's certificate must chain to."`
	User  string `help:"HTTP Basic user; the password is the first line of --password-file. A file named user:password pairs, such as est-user.txt, is taken by --user-file."`
	// A password on the command line is seen by everybody on the machine.
	PasswordFile string `type:"existingfile" help:"File whose first line is the password."`
	UserFile     string `type:"existingfile" help:"File whose first line is user:password."`
	Cert         string `type:"existingfile" help:"PEM file of the client certificate and its chain."`
	Key          string `help:"Key of --cert: a file, or a keystore URI."`
}

// maxSecretFile bounds a password file, in bytes.
const maxSecretFile = 4096

func (p *estPeer) client(ctx context.Context, s streams) (*est.Client, error) {
	roots, err := pemfile.Pool(p.CA)
	if err != nil {
		return nil, err
	}
	c := &est.Client{URL: p.URL, Label: p.Label, Roots: roots, User: p.User}
	if p.Cert != "" {
		if p.Key == "" {
			return nil, required("--key")
		}
		if c.Certificate, err = pemfile.Identity(ctx, p.Cert, keyURI(p.Key)); err != nil {
			return nil, err
		}
	}
	switch {
	case p.UserFile != "":
		line, err := firstLine(s, p.UserFile)
		if err != nil {
			return nil, err
		}
		user, password, ok := strings.Cut(line, ":")
		if !ok {
			return nil, cli.Usage("%s: its first line is not user:password", p.UserFile)
		}
		c.User, c.Password = user, est.Secret(password)
	case p.PasswordFile != "":
		line, err := firstLine(s, p.PasswordFile)
		if err != nil {
			return nil, err
		}
		c.Password = est.Secret(line)
	case p.User != "":
		return nil, required("--password-file")
	}
	return c, nil
}

func firstLine(s streams, file string) (string, error) {
	data, err := readBounded(s.In, file, maxSecretFile)
	if err != nil {
		return "", err
	}
	line, _, _ := strings.Cut(string(data), "\n")
	return strings.TrimSuffix(line, "\r"), nil
}

// keyURI takes a plain path for a file: URI.
func keyURI(key string) string {
	if strings.Contains(key, ":") {
		return key
	}
	return "file:" + key
}

// estFailure turns what the server said into an exit code.
func estFailure(err error) error {
	var pending *est.PendingError
	if errors.As(err, &pending) {
		return cli.Pending("the server has not decided", pending.RetryAfter)
	}
	var status *est.StatusError
	if errors.As(err, &status) {
		return cli.Refused(err)
	}
	return err
}

type estCACertsCmd struct {
	estPeer
	Out string `help:"Write the PEM certificates to this file instead of standard output."`
}

// Run gets the CA certificates.
func (c *estCACertsCmd) Run(ctx context.Context, s streams) error {
	client, err := c.client(ctx, s)
	if err != nil {
		return err
	}
	certs, err := client.CACerts(ctx)
	if err != nil {
		return estFailure(err)
	}
	var out []byte
	for _, cert := range certs {
		out = append(out, pemfile.Encode(cert.Raw)...)
	}
	return writeOut(s, c.Out, out)
}

type estCSRAttrsCmd struct {
	estPeer
	output
}

type csrAttrsRow struct {
	OID    string `json:"oid"`
	Values int    `json:"values"`
}

// Run gets the CSR attributes and prints their object identifiers.
func (c *estCSRAttrsCmd) Run(ctx context.Context, s streams) error {
	client, err := c.client(ctx, s)
	if err != nil {
		return err
	}
	der, err := client.CSRAttrs(ctx)
	if err != nil {
		return estFailure(err)
	}
	var rows []csrAttrsRow
	if der != nil {
		attrs, err := est.ParseCSRAttrs(der)
		if err != nil {
			return err
		}
		for _, a := range attrs.Items {
			rows = append(rows, csrAttrsRow{OID: a.OID.String(), Values: len(a.Values)})
		}
	}
	return cli.PrintList(s.Out, c.Format, rows)
}

// estRequest is what both enroll commands need to make a CSR.
type estRequest struct {
	CSR     string   `type:"existingfile" help:"Send this CSR (PEM or DER) instead of making one; - for standard input is not taken."`
	NewKey  string   `help:"Key of the new certificate: a file or keystore URI; made there when it is not there yet." placeholder:"FILE"`
	KeyType string   `default:"p256" help:"Type of a key that is made: p256, p384, p521, rsa2048, rsa3072, rsa4096 or ed25519."`
	Out     string   `required:"" help:"Write the certificate to this file, as PEM; - for standard output."`
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
	client, err := c.client(ctx, s)
	if err != nil {
		return err
	}
	csr, err := c.request(ctx, s, nil)
	if err != nil {
		return err
	}
	cert, err := client.SimpleEnroll(ctx, csr)
	if err != nil {
		return estFailure(err)
	}
	return writeOut(s, c.Out, pemfile.Encode(cert.Raw))
}

type estReenrollCmd struct {
	estPeer
	estRequest
}

// Run renews --cert, with its own key, or with --new-key.
func (c *estReenrollCmd) Run(ctx context.Context, s streams) error {
	client, err := c.client(ctx, s)
	if err != nil {
		return err
	}
	var current *x509.Certificate
	if client.Certificate != nil {
		current = client.Certificate.Leaf
		if c.NewKey == "" {
			c.NewKey = c.Key
		}
	}
	csr, err := c.request(ctx, s, current)
	if err != nil {
		return err
	}
	cert, err := client.SimpleReenroll(ctx, csr)
	if err != nil {
		return estFailure(err)
	}
	return writeOut(s, c.Out, pemfile.Encode(cert.Raw))
}

// request reads or makes the CSR. A renewal keeps the names of the current
// certificate (RFC 7030, Section 4.2.2).
func (r *estRequest) request(ctx context.Context, s streams, current *x509.Certificate) ([]byte, error) {
	if r.CSR != "" {
		data, err := readBounded(s.In, r.CSR, maxArtifact)
		if err != nil {
			return nil, err
		}
		if block, _ := pem.Decode(data); block != nil {
			return block.Bytes, nil
		}
		return data, nil
	}
	if r.NewKey == "" {
		return nil, cli.Usage("say which key the certificate is for: --new-key FILE (made when it is not there), or --csr FILE")
	}
	template := &x509.CertificateRequest{
		Subject: pkix.Name{CommonName: r.CN, SerialNumber: r.Serial}, DNSNames: r.DNS, IPAddresses: r.IP,
	}
	if current != nil {
		template = &x509.CertificateRequest{
			RawSubject: current.RawSubject, DNSNames: current.DNSNames, IPAddresses: current.IPAddresses,
			EmailAddresses: current.EmailAddresses, URIs: current.URIs,
		}
	} else if r.CN == "" && r.Serial == "" && len(r.DNS) == 0 && len(r.IP) == 0 {
		return nil, cli.Usage("say which name to ask for: --cn, --serial-number, --dns or --ip")
	}
	key, err := openOrCreate(ctx, keyURI(r.NewKey), keystore.Algorithm(r.KeyType))
	if err != nil {
		return nil, err
	}
	return x509.CreateCertificateRequest(rand.Reader, template, key)
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
