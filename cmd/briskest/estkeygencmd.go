package main

import (
	"context"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"strings"

	"github.com/briskest/briskest/est"
	"github.com/briskest/briskest/internal/cli"
	"github.com/briskest/briskest/internal/pemfile"
)

type estKeyGenCmd struct {
	estPeer
	KeyOut  string   `required:"" help:"Write the private key to this file, as PEM (PKCS#8), readable by you alone. It must not be there yet." placeholder:"FILE"`
	Out     string   `required:"" help:"Write the certificate to this file, as PEM; - for standard output."`
	KeyType string   `default:"p256" help:"Type of key to ask for: p256, p384, p521, rsa2048, rsa3072, rsa4096 or ed25519. The server decides."`
	CN      string   `name:"cn" help:"Common name to ask for."`
	Serial  string   `name:"serial-number" help:"X520 serialNumber to ask for."`
	DNS     []string `name:"dns" help:"DNS name to ask for; may be repeated."`
	IP      []net.IP `name:"ip" help:"IP address to ask for; may be repeated."`

	SharedKeyID   string `name:"shared-key-id" help:"Have the key encrypted with a key that the server knows by this name: text, or hex: and hex digits."`
	SharedKeyFile string `type:"existingfile" help:"File of that key: 32 bytes, or 64 hex digits."`
	DecryptCert   string `type:"existingfile" help:"Have the key encrypted to this certificate (PEM), which the server knows."`
	DecryptKey    string `help:"Private key of --decrypt-cert: a file, or a keystore URI."`
	PKCS12        bool   `name:"pkcs12" help:"Ask for a PKCS#12 file on the wire (RFC 8295, Section 8); the files written are the same."`
}

// Run asks for the key and writes it, then its certificate.
func (c *estKeyGenCmd) Run(ctx context.Context, s streams) error {
	client, err := c.client(ctx, s)
	if err != nil {
		return err
	}
	r, err := c.request(ctx, client)
	if err != nil {
		return err
	}
	// The server makes the key once: what it is written to has to be there before.
	file, err := os.OpenFile(c.KeyOut, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if errors.Is(err, fs.ErrExist) {
		return cli.Usage("%s is there already, and no key is overwritten: name another file with --key-out", c.KeyOut)
	}
	if err != nil {
		return err
	}
	k, err := client.ServerKeyGen(ctx, r)
	if err == nil {
		err = writeKey(file, k)
	}
	if closing := file.Close(); err == nil {
		err = closing
	}
	if err != nil {
		_ = os.Remove(c.KeyOut) // it holds no key, or half of one
		return estFailure(err)
	}
	return writeOut(s, c.Out, pemfile.Encode(k.Certificate.Raw))
}

// request turns the flags into a request.
func (c *estKeyGenCmd) request(ctx context.Context, client *est.Client) (*est.KeyGenRequest, error) {
	names := &x509.CertificateRequest{
		Subject: pkix.Name{CommonName: c.CN, SerialNumber: c.Serial}, DNSNames: c.DNS, IPAddresses: c.IP,
	}
	if c.CN == "" && c.Serial == "" && len(c.DNS) == 0 && len(c.IP) == 0 {
		if client.Certificate == nil || client.Certificate.Leaf == nil {
			return nil, cli.Usage("say which name to ask for: --cn, --serial-number, --dns or --ip")
		}
		old := client.Certificate.Leaf // a renewal keeps its names (RFC 7030, Section 4.2.2)
		names = &x509.CertificateRequest{
			RawSubject: old.RawSubject, DNSNames: old.DNSNames, IPAddresses: old.IPAddresses, EmailAddresses: old.EmailAddresses, URIs: old.URIs,
		}
	}
	r := &est.KeyGenRequest{Names: names, Type: est.KeyType(c.KeyType), PKCS12: c.PKCS12}
	if (c.SharedKeyID == "") != (c.SharedKeyFile == "") {
		return nil, cli.Usage("--shared-key-id and --shared-key-file go together")
	}
	if (c.DecryptCert == "") != (c.DecryptKey == "") {
		return nil, cli.Usage("--decrypt-cert and --decrypt-key go together")
	}
	if c.SharedKeyID != "" {
		id := []byte(c.SharedKeyID)
		if digits, ok := strings.CutPrefix(c.SharedKeyID, "hex:"); ok {
			var err error
			if id, err = hex.DecodeString(digits); err != nil {
				return nil, cli.Usage("--shared-key-id: what follows hex: is not hexadecimal")
			}
		}
		data, err := os.ReadFile(c.SharedKeyFile)
		if err != nil {
			return nil, err
		}
		key, err := sharedKey(data)
		if err != nil {
			return nil, fmt.Errorf("%s %w", c.SharedKeyFile, err)
		}
		r.SharedKey = &est.SharedKey{ID: id, Key: key}
	}
	if c.DecryptCert != "" {
		var err error
		if r.Recipient, err = pemfile.Identity(ctx, c.DecryptCert, keyURI(c.DecryptKey)); err != nil {
			return nil, err
		}
	}
	return r, nil
}

func writeKey(file *os.File, k *est.ServerKey) error {
	der, err := x509.MarshalPKCS8PrivateKey(k.Key)
	if err != nil {
		return err
	}
	defer clear(der)
	if err := pem.Encode(file, &pem.Block{Type: "PRIVATE KEY", Bytes: der}); err != nil {
		return err
	}
	return file.Sync()
}
