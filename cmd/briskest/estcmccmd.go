package main

import (
	"context"
	"crypto"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/base64"
	"encoding/pem"
	"errors"
	"fmt"
	"net"

	"github.com/briskest/briskest/est"
	"github.com/briskest/briskest/internal/cli"
	"github.com/briskest/briskest/internal/keystore"
	"github.com/briskest/briskest/internal/pemfile"
)

// estFullCMCCmd asks for a certificate by a Full PKI Request.
type estFullCMCCmd struct {
	estPeer
	CSR            string   `type:"existingfile" help:"Send this CSR (PEM or DER, - for standard input) instead of making one. Without --sign-cert, --new-key is its key and it asks for a subjectKeyIdentifier."`
	NewKey         string   `help:"Key of the new certificate: a file or keystore URI; made there when it is not there yet." placeholder:"FILE"`
	KeyType        string   `enum:"p256,p384,p521,rsa2048,rsa3072,rsa4096,ed25519" default:"p256" help:"Type of a key that is made."`
	CN             string   `name:"cn" help:"Common name to ask for."`
	Serial         string   `name:"serial-number" help:"X520 serialNumber to ask for."`
	DNS            []string `name:"dns" help:"DNS name to ask for; may be repeated."`
	IP             []net.IP `name:"ip" help:"IP address to ask for; may be repeated."`
	Renew          bool     `help:"Ask for the names of --sign-cert."`
	SignCert       string   `type:"existingfile" help:"PEM file of the certificate that signs the message, and its chain: the one to be renewed, an IDevID, or an RA's. Without, the key of the CSR signs."`
	SignKey        string   `help:"Key of --sign-cert: a file, or a keystore URI."`
	SecretFile     string   `type:"existingfile" help:"File whose first line is a secret that is shared with the server (RFC 5272, Section 6.2)."`
	Identification string   `help:"The name that the shared secret goes by."`
	Token          string   `help:"Ask about a request that waits, by the token that was printed."`
	Out            string   `help:"Write the certificate to this file, as PEM, instead of standard output."`
}

// Run sends one request, or asks about one that waits.
func (c *estFullCMCCmd) Run(ctx context.Context, s streams) error {
	client, err := c.client(ctx, s)
	if err != nil {
		return err
	}
	e, err := c.enrollment(ctx, s)
	if err != nil {
		return err
	}
	got, err := client.EnrollCMC(ctx, e)
	var pending *est.CMCPending
	var refused *est.CMCError
	switch {
	case errors.As(err, &pending):
		token := base64.RawURLEncoding.EncodeToString(pending.Token)
		return cli.Hint(cli.Pending("the server has not decided", pending.RetryAfter), "repeat the command with --token %s, and the same key and credentials", token)
	case errors.As(err, &refused), errors.Is(err, est.ErrNotOffered):
		return cli.Refused(err)
	case err != nil:
		return estFailure(err)
	}
	return writeOut(s, c.Out, pemfile.Encode(got.Certificate.Raw))
}

func (c *estFullCMCCmd) enrollment(ctx context.Context, s streams) (*est.CMCEnrollment, error) {
	e := &est.CMCEnrollment{Identification: c.Identification}
	if c.NewKey == "" && (c.CSR == "" || c.SignCert == "") {
		return nil, required("--new-key")
	}
	var key crypto.Signer
	var err error
	if c.NewKey != "" {
		if key, err = openOrCreate(ctx, keyURI(c.NewKey), keystore.Algorithm(c.KeyType)); err != nil {
			return nil, err
		}
		e.Key, e.PublicKey = key, key.Public()
	}
	if c.SignCert != "" {
		if c.SignKey == "" {
			return nil, required("--sign-key")
		}
		id, err := pemfile.Identity(ctx, c.SignCert, keyURI(c.SignKey))
		if err != nil {
			return nil, err
		}
		if e.Key, err = pemfile.Signer(id); err != nil {
			return nil, err
		}
		e.Certificate = id.Leaf
		for _, der := range id.Certificate[1:] {
			ca, err := x509.ParseCertificate(der)
			if err != nil {
				return nil, fmt.Errorf("%s: %w", c.SignCert, err)
			}
			e.Chain = append(e.Chain, ca)
		}
	}
	if c.SecretFile != "" {
		line, err := firstLine(s, c.SecretFile)
		if err != nil {
			return nil, err
		}
		e.Secret = est.Secret(line)
	}
	if c.Token != "" {
		if e.Token, err = base64.RawURLEncoding.DecodeString(c.Token); err != nil {
			return nil, cli.Usage("--token is not what was printed: %w", err)
		}
		return e, nil
	}
	e.CSR, err = c.csr(s, key, e.Certificate)
	return e, err
}

// csr reads or makes the PKCS#10 request.
func (c *estFullCMCCmd) csr(s streams, key crypto.Signer, signer *x509.Certificate) ([]byte, error) {
	if c.CSR != "" {
		der, err := readBounded(s.In, c.CSR, maxArtifact)
		if err != nil {
			return nil, err
		}
		if block, _ := pem.Decode(der); block != nil {
			der = block.Bytes
		}
		return der, nil
	}
	own := &x509.CertificateRequest{
		Subject: pkix.Name{CommonName: c.CN, SerialNumber: c.Serial}, DNSNames: c.DNS, IPAddresses: c.IP,
	}
	switch {
	case c.Renew && signer == nil:
		return nil, required("--sign-cert")
	case c.Renew:
		own = &x509.CertificateRequest{
			RawSubject: signer.RawSubject, DNSNames: signer.DNSNames, IPAddresses: signer.IPAddresses, EmailAddresses: signer.EmailAddresses, URIs: signer.URIs,
		}
	case c.CN == "" && c.Serial == "" && len(c.DNS) == 0 && len(c.IP) == 0:
		return nil, cli.Usage("say which name to ask for: --cn, --serial-number, --dns or --ip, or --renew for those of --sign-cert")
	}
	id, err := est.SubjectKeyID(key.Public())
	if err != nil {
		return nil, err
	}
	value, err := asn1.Marshal(id)
	if err != nil {
		return nil, err
	}
	own.ExtraExtensions = []pkix.Extension{{Id: asn1.ObjectIdentifier{2, 5, 29, 14}, Value: value}}
	return est.CreateCSR(key, &est.CSRRequest{Own: own})
}
