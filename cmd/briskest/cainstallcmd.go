package main

import (
	"bytes"
	"context"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/briskest/briskest/ca/localca"
	"github.com/briskest/briskest/ca/profile"
	"github.com/briskest/briskest/internal/cli"
	"github.com/briskest/briskest/internal/pemfile"
)

type caInstallCmd struct {
	caDir
	Certificate string `arg:"" type:"existingfile" help:"PEM: the CA's certificate, and the CAs above it unless the folder has them."`
	NewRoot     bool   `help:"Take a certificate below another root than before: who trusts the old one has to be told."`
	output
}

// Run puts a certificate in that was made elsewhere.
func (c *caInstallCmd) Run(ctx context.Context, s streams) error {
	f, err := changeCAFolder(c.Dir)
	if err != nil {
		return err
	}
	defer f.release()
	given, err := pemfile.Certificates(c.Certificate)
	if err != nil {
		return err
	}
	var old []*x509.Certificate
	if f.Certificate != "" {
		if old, err = f.chain(); err != nil {
			return err
		}
	}
	chain, isNext, err := f.choose(ctx, given, old)
	if err == nil {
		err = checkCAChain(chain, f.now())
	}
	if err != nil {
		return cli.Refused(fmt.Errorf("%s: %w; nothing was changed", c.Certificate, err))
	}
	if len(old) > 0 && !sameRoot(old, chain) && !c.NewRoot {
		return cli.Hint(cli.Refused(fmt.Errorf("%s stands below %q, which is not the root of before; nothing was changed", c.Certificate, chain[len(chain)-1].Subject)),
			"--new-root takes it all the same: then give its root to those who trust the old one")
	}
	if err := f.replace(chain, old, isNext); err != nil {
		return err
	}
	return cli.PrintOne(s.Out, c.Format, f.files())
}

// choose finds the certificate of the folder's key, or of the key that one was
// asked for, and puts what is above it in order.
func (f *caFolder) choose(ctx context.Context, given, old []*x509.Certificate) (chain []*x509.Certificate, isNext bool, err error) {
	for _, uri := range []string{f.NextKey, f.Key} {
		if uri == "" {
			continue
		}
		key, err := f.signer(ctx, uri)
		if err != nil {
			return nil, false, err
		}
		i := slices.IndexFunc(given, func(c *x509.Certificate) bool { return sameKey(key.Public(), c.PublicKey) })
		if i < 0 {
			continue
		}
		chain := chainFrom(given[i], slices.Concat(given, old))
		// localca has the last word on whether key and CAs belong together.
		_, err = localca.New(localca.Config{Certificate: chain[0], Chain: chain[1:], Key: key})
		return chain, uri == f.NextKey, err
	}
	return nil, false, errors.New("none of its certificates is for the key of this CA; it has to be made of the request of briskest ca csr")
}

// chainFrom adds to cert its issuers, as far as they are among pool.
func chainFrom(cert *x509.Certificate, pool []*x509.Certificate) []*x509.Certificate {
	chain := []*x509.Certificate{cert}
	for top := cert; !bytes.Equal(top.RawIssuer, top.RawSubject) && len(chain) < 8; top = chain[len(chain)-1] {
		i := slices.IndexFunc(pool, func(c *x509.Certificate) bool {
			return bytes.Equal(c.RawSubject, top.RawIssuer) && top.CheckSignatureFrom(c) == nil
		})
		if i < 0 {
			break
		}
		chain = append(chain, pool[i])
	}
	return chain
}

// checkCAChain says what keeps a chain from being a CA's today: how many CAs may
// stand below each (RFC 5280, Section 4.2.1.9; those that are self-issued do not
// count), and when it is valid.
func checkCAChain(chain []*x509.Certificate, now time.Time) error {
	below := 0
	for i, c := range chain {
		switch limited := c.MaxPathLen > 0 || c.MaxPathLen == 0 && c.MaxPathLenZero; {
		case limited && below > c.MaxPathLen:
			return fmt.Errorf("%q allows %d CAs below it, and here are %d (RFC 5280, Section 4.2.1.9)", c.Subject, c.MaxPathLen, below)
		case c.KeyUsage&x509.KeyUsageCRLSign == 0 && i == 0:
			return fmt.Errorf("%q may not sign revocation lists: its key usage lacks cRLSign", c.Subject)
		case len(c.UnhandledCriticalExtensions) > 0:
			return fmt.Errorf("%q has the critical extension %s, which nobody here understands, so that many would not trust what it issues (RFC 5280, Section 4.2); have it made without", c.Subject, c.UnhandledCriticalExtensions[0])
		case now.After(c.NotAfter):
			return fmt.Errorf("%q ended at %s", c.Subject, c.NotAfter.Format(time.RFC3339))
		case now.Before(c.NotBefore):
			return fmt.Errorf("%q begins at %s; is the clock right?", c.Subject, c.NotBefore.Format(time.RFC3339))
		}
		if !bytes.Equal(c.RawIssuer, c.RawSubject) {
			below++
		}
	}
	return nil
}

func sameRoot(a, b []*x509.Certificate) bool {
	return bytes.Equal(a[len(a)-1].RawSubjectPublicKeyInfo, b[len(b)-1].RawSubjectPublicKeyInfo)
}

// replace makes chain the CA's; ca.yaml decides, so that a reader sees the old
// or the new one. With newKey the old CA stays for its lists.
func (f *caFolder) replace(chain, old []*x509.Certificate, newKey bool) error {
	file, err := f.store("ca", chain...)
	if err != nil {
		return err
	}
	if len(old) > 0 {
		if err := f.keep(old, newKey); err != nil {
			return err
		}
	}
	if newKey {
		f.Key, f.NextKey = f.NextKey, ""
	}
	f.Certificate = file
	if err := f.issued(kindInstalled, chain[0]); err != nil {
		return err
	}
	return f.save()
}

// keep notes the CA of before: as one that signs lists, when its key is another
// one, else for cacerts alone, where its root is another one.
func (f *caFolder) keep(old []*x509.Certificate, newKey bool) error {
	if !newKey {
		return nil
	}
	file, err := f.store("previous", old...)
	if err != nil {
		return err
	}
	f.Previous = slices.Insert(f.Previous, 0, previousCAConfig{Certificate: file, Key: f.Key})
	return nil
}

// readCACSR reads a CSR, PEM or DER, whose signature holds.
func readCACSR(s streams, file string) (*x509.CertificateRequest, error) {
	data, err := readBounded(s.In, file, 64<<10)
	if err != nil {
		return nil, err
	}
	if block, _ := pem.Decode(data); block != nil && strings.HasSuffix(block.Type, "CERTIFICATE REQUEST") {
		data = block.Bytes
	}
	csr, err := x509.ParseCertificateRequest(data)
	if err == nil {
		err = csr.CheckSignature()
	}
	if err != nil {
		return nil, cli.Refused(fmt.Errorf("%s is no CSR whose signature holds: %w", file, err))
	}
	return csr, nil
}

// certificatePEM writes one certificate.
func certificatePEM(c *x509.Certificate) []byte { return pemfile.Encode(c.Raw) }

// lifetimeOf is how long a certificate was made for, as [profile.Validity] has it.
func lifetimeOf(c *x509.Certificate) string {
	if !c.NotAfter.Before(profile.Never()) {
		return "never"
	}
	const backdate = time.Hour // of every CA that is made here
	return (c.NotAfter.Sub(c.NotBefore) - backdate + time.Second).String()
}
