package main

import (
	"context"
	"crypto"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"

	"github.com/briskest/briskest/ca/localca"
	"github.com/briskest/briskest/internal/cli"
	"github.com/briskest/briskest/internal/keystore"
)

// caDir names the folder that a command works on.
type caDir struct {
	Dir string `required:"" help:"The CA's folder, with its ca.yaml."`
}

type caInitCmd struct {
	Dir           string             `required:"" help:"The CA's folder; made when it is not there."`
	Name          string             `required:"" help:"The operator, in the CAs' names."`
	Key           string             `placeholder:"URI" help:"Where the issuing CA's key is made, or is: file:PATH or pkcs11:token=T;object=O?module-path=/LIB.so&pin-source=file:/PIN. Default: issuing.key in the folder."`
	RootKey       string             `placeholder:"URI" help:"Where the root's key is made, or is. Default: root.key in the folder."`
	Algorithm     keystore.Algorithm `default:"p256" help:"Of keys that are made: p256, p384, p521, rsa2048, rsa3072, rsa4096 or ed25519."`
	RootAlgorithm keystore.Algorithm `help:"Of the root's; default that of --algorithm."`
	Lifetime      string             `default:"3650d" help:"Of the issuing CA."`
	RootLifetime  string             `default:"7300d" help:"Of the root."`
	RootOnly      bool               `help:"Make the root alone, for a machine that stays offline: it certifies CAs with briskest ca certify."`
	Publish       string             `placeholder:"FILE" help:"Keep a copy of the CA certificates there, for those that are to trust them."`
	output
}

// caFiles is what a command prints.
type caFiles struct {
	Folder      string `json:"folder"`
	Certificate string `json:"certificate"`
	Key         string `json:"key"`
	RootKey     string `json:"root_key,omitempty"`
	Record      string `json:"record"`
}

func (f *caFolder) files() caFiles {
	out := caFiles{Folder: string(f.folder), Key: f.Key, RootKey: f.RootKey, Record: f.path(caRecordFile)}
	if f.Certificate != "" {
		out.Certificate = f.source.path(f.Certificate)
	}
	return out
}

// Run makes the CAs. A folder that is a CA's already stays as it is.
func (c *caInitCmd) Run(ctx context.Context, s streams) error {
	f, err := newCAFolder(c.Dir)
	if err != nil {
		return err
	}
	defer f.release()
	if c.RootAlgorithm == "" {
		c.RootAlgorithm = c.Algorithm
	}
	if c.RootOnly && c.Key != "" {
		return cli.Usage("--root-only makes no issuing CA; leave out --key")
	}
	rootKey, err := f.make(ctx, c.RootKey, "root.key", c.RootAlgorithm, &f.RootKey)
	if err != nil {
		return err
	}
	root, err := f.newRoot(ctx, rootKey, pkix.Name{CommonName: c.Name + " Root CA"}, c.RootLifetime)
	if err != nil {
		return err
	}
	chain := []*x509.Certificate{root}
	f.Key = f.RootKey
	if !c.RootOnly {
		key, err := f.make(ctx, c.Key, "issuing.key", c.Algorithm, &f.Key)
		if err != nil {
			return err
		}
		if sameKey(key.Public(), rootKey.Public()) {
			return cli.Usage("--key and --root-key name one key; give each CA its own")
		}
		issuing, err := f.newIssuing(ctx, root, rootKey, key.Public(), pkix.Name{CommonName: c.Name + " CA"}, c.Lifetime, 0)
		if err != nil {
			return err
		}
		chain = []*x509.Certificate{issuing, root}
	}
	if err := f.publishTo(c.Publish); err != nil {
		return err
	}
	if f.Certificate, err = f.store("ca", chain...); err != nil {
		return err
	}
	if err := f.save(); err != nil {
		return err
	}
	return cli.PrintOne(s.Out, c.Format, f.files())
}

// newCAFolder makes a folder that is to be a CA's, and refuses one that is. The
// caller calls release at its end.
func newCAFolder(dir string) (*caFolder, error) {
	f := &caFolder{folder: folder(dir), caFolderConfig: caFolderConfig{Version: 1}}
	f.source = source{file: f.path(caFile), digests: make(map[string]string)}
	if err := f.folder.make(); err != nil {
		return nil, err
	}
	if err := f.hold(); err != nil {
		return nil, err
	}
	if f.has(caFile) {
		f.release()
		return nil, cli.Hint(cli.Usage("%s is a CA's already", dir), "briskest ca status --dir %s shows it; renew and rollover go on with it", dir)
	}
	return f, nil
}

// publishTo notes where a copy of the CA certificates is kept.
func (f *caFolder) publishTo(file string) error {
	if file == "" {
		return nil
	}
	uri, err := f.uriFor("file:" + file)
	f.Publish, _ = cutFile(uri)
	return err
}

// make opens or makes the key at uri, in the folder's file of that name by
// default, and notes where it is.
func (f *caFolder) make(ctx context.Context, uri, name string, alg keystore.Algorithm, noted *string) (crypto.Signer, error) {
	*noted = "file:" + name
	if uri != "" {
		var err error
		if *noted, err = f.uriFor(uri); err != nil {
			return nil, err
		}
	}
	return openOrCreate(ctx, f.source.uri(*noted), alg)
}

// newRoot certifies a root, with the intent and the outcome on record.
func (f *caFolder) newRoot(ctx context.Context, key crypto.Signer, name pkix.Name, lifetime string) (*x509.Certificate, error) {
	root, err := localca.NewRoot(ctx, key, &localca.Authority{Subject: name, Lifetime: lifetime, PathLength: -1, Record: f.record, Now: f.now})
	if err != nil {
		return nil, err
	}
	return root, f.issued(kindIssued, root)
}

// newIssuing certifies a CA below root.
func (f *caFolder) newIssuing(ctx context.Context, root *x509.Certificate, rootKey crypto.Signer, pub crypto.PublicKey, name pkix.Name, lifetime string, pathLength int) (*x509.Certificate, error) {
	parent, err := localca.New(localca.Config{Certificate: root, Key: rootKey, VerifySignatures: true})
	if err != nil {
		return nil, err
	}
	issuing, err := localca.NewIntermediate(ctx, parent, pub, &localca.Authority{Subject: name, Lifetime: lifetime, PathLength: pathLength, Record: f.record})
	if err != nil {
		return nil, err
	}
	return issuing, f.issued(kindIssued, issuing)
}

func sameKey(a, b crypto.PublicKey) bool {
	k, ok := a.(interface{ Equal(crypto.PublicKey) bool })
	return ok && k.Equal(b)
}

type caCSRCmd struct {
	Dir       string             `required:"" help:"The CA's folder; made when it is not there."`
	Name      string             `help:"Common name of the CA. Default: that of the certificate it has."`
	Key       string             `placeholder:"URI" help:"The key, made when it is not there. Default: the one the CA has, or issuing.key in a new folder."`
	Algorithm keystore.Algorithm `default:"p256" help:"Of a key that is made."`
	Out       string             `help:"Write to this file instead of standard output."`
	Publish   string             `placeholder:"FILE" help:"Keep a copy of the CA certificates there once there are some."`
}

// Run makes a CSR (RFC 2986, Section 4) for a CA below somebody else's.
func (c *caCSRCmd) Run(ctx context.Context, s streams) error {
	f, err := changeCAFolder(c.Dir)
	if errors.Is(err, fs.ErrNotExist) {
		f, err = newCAFolder(c.Dir)
	}
	if err != nil {
		return err
	}
	defer f.release()
	subject := pkix.Name{CommonName: c.Name}
	if f.Certificate != "" {
		chain, err := f.chain()
		if err != nil {
			return err
		}
		if c.Name == "" {
			subject = chain[0].Subject
		}
	} else if c.Name == "" {
		return required("--name")
	}
	key, err := f.keyForCSR(ctx, c.Key, c.Algorithm)
	if err != nil {
		return err
	}
	if err := f.publishTo(c.Publish); err != nil {
		return err
	}
	csr, err := newCSR(&x509.CertificateRequest{Subject: subject}, key)
	if err != nil {
		return err
	}
	if err := f.save(); err != nil {
		return err
	}
	return writeOut(s, c.Out, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE REQUEST", Bytes: csr.Raw}))
}

// keyForCSR opens or makes the key that a certificate is asked for, and notes it.
func (f *caFolder) keyForCSR(ctx context.Context, uri string, alg keystore.Algorithm) (crypto.Signer, error) {
	switch {
	case f.Key == "":
		return f.make(ctx, uri, "issuing.key", alg, &f.Key)
	case uri == "":
		return f.signer(ctx, f.Key)
	}
	var noted string
	key, err := f.make(ctx, uri, "", alg, &noted)
	if err == nil && noted != f.Key {
		f.NextKey = noted
	}
	return key, err
}

type caCertifyCmd struct {
	caDir
	CSR        string `arg:"" help:"The CSR, PEM or DER; - for standard input."`
	Name       string `help:"Common name of the CA, in place of the name in the CSR."`
	Lifetime   string `default:"3650d" help:"Of the certificate."`
	PathLength int    `default:"0" help:"How many CAs may stand below it."`
	Out        string `help:"Write the certificate and the CAs above it to this file instead of standard output."`
}

// Run has the root of the folder certify a CA.
func (c *caCertifyCmd) Run(ctx context.Context, s streams) error {
	f, err := changeCAFolder(c.Dir)
	if err != nil {
		return err
	}
	defer f.release()
	chain, err := f.chain()
	if err != nil {
		return err
	}
	csr, err := readCACSR(s, c.CSR)
	if err != nil {
		return err
	}
	root, rootKey, err := f.root(ctx, chain)
	if err != nil {
		return err
	}
	name := csr.Subject
	if c.Name != "" {
		name = pkix.Name{CommonName: c.Name}
	}
	cert, err := f.newIssuing(ctx, root, rootKey, csr.PublicKey, name, c.Lifetime, c.PathLength)
	if err != nil {
		return err
	}
	return writeOut(s, c.Out, append(certificatePEM(cert), certificatePEM(root)...))
}

// root opens the root's key.
func (f *caFolder) root(ctx context.Context, chain []*x509.Certificate) (*x509.Certificate, crypto.Signer, error) {
	if f.RootKey == "" {
		return nil, nil, cli.Hint(fmt.Errorf("%s does not say where the root's key is", f.path(caFile)),
			"where the root is: briskest ca certify on a request of briskest ca csr --dir %s; here: briskest ca install. Or write its URI as root_key into that file", f.folder)
	}
	key, err := f.signer(ctx, f.RootKey)
	if errors.Is(err, fs.ErrNotExist) {
		err = cli.Hint(err, "bring the root's key back, or certify a request of briskest ca csr where it is")
	}
	return chain[len(chain)-1], key, err
}
