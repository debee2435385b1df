package main

import (
	"bytes"
	"context"
	"crypto"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"fmt"
	"path/filepath"

	"github.com/briskest/briskest/ca"
	"github.com/briskest/briskest/ca/profile"
	"github.com/briskest/briskest/internal/cli"
	"github.com/briskest/briskest/internal/keystore"
	"github.com/briskest/briskest/internal/pemfile"
	masaadmin "github.com/briskest/briskest/masa/admin"
)

type masaRenewCmd struct {
	masaData
	CA    string `name:"ca" help:"PEM: the vendor's CA that made them. Default: masa/idevid-ca.pem beside masa.yaml."`
	CAKey string `name:"ca-key" placeholder:"URI" help:"Its key. Default: as init made it."`
	output
}

// masaIdentity is a certificate of the MASA and how it is made.
type masaIdentity struct {
	identityConfig
	profile *profile.Document
}

// identities lists the MASA's certificates, each file once.
func (c *masaConfig) identities() []masaIdentity {
	out := []masaIdentity{{c.TLS, profile.MASA()}}
	seen := map[string]bool{c.TLS.Certificate: true, "": true}
	add := func(id identityConfig) {
		if !seen[id.Certificate] {
			seen[id.Certificate] = true
			out = append(out, masaIdentity{id, profile.VoucherSigner()})
		}
	}
	for i := range c.Products {
		add(c.Products[i].Voucher)
		add(c.Products[i].NoncelessVoucher)
	}
	return out
}

// Run renews what the CA made; every certificate is on the MASA's trail before
// it is signed. What another CA made is left alone and named.
func (c *masaRenewCmd) Run(ctx context.Context, s streams) error {
	return c.issuing(ctx, s, func(cfg *masaConfig, _ masaadmin.Operator, rec record) error {
		authority, err := c.open(ctx)
		if err != nil {
			return err
		}
		made := 0
		for _, id := range cfg.identities() {
			old, err := cfg.identity(ctx, id.identityConfig)
			if err != nil {
				return err
			}
			if !bytes.Equal(old.Leaf.RawIssuer, authority.cert.RawSubject) {
				fmt.Fprintf(s.Err, "%s was issued by %q and is left alone\n", id.Certificate, old.Leaf.Issuer)
				continue
			}
			cert, err := authority.renew(ctx, old.Leaf, id.profile, rec)
			if err != nil {
				return fmt.Errorf("%s: %w", id.Certificate, err)
			}
			above, err := pemfile.Chain(old)
			if err != nil {
				return err
			}
			if err := writeRenewed(s, c.Format, cfg.path(id.Certificate), append([]*x509.Certificate{cert}, above...)); err != nil {
				return err
			}
			made++
		}
		if made == 0 {
			return cli.Usage("%q made none of the MASA's certificates; name the CA that did with --ca and --ca-key", authority.cert.Subject)
		}
		return nil
	})
}

// renewer is a CA that renews certificates of a server beside it.
type renewer struct {
	key  crypto.Signer
	cert *x509.Certificate
}

// open opens the vendor's CA.
func (c *masaRenewCmd) open(ctx context.Context) (*renewer, error) {
	dir := folder(filepath.Dir(c.Config))
	file, uri := c.CA, c.CAKey
	if file == "" {
		file = dir.path("masa/idevid-ca.pem")
	}
	if uri == "" {
		var err error
		if uri, err = dir.keyURI("masa/idevid-ca.key"); err != nil {
			return nil, err
		}
	}
	certs, err := pemfile.Certificates(file)
	if err != nil {
		return nil, err
	}
	key, err := keystore.Open(ctx, uri)
	if err != nil {
		return nil, err
	}
	return &renewer{key, certs[0]}, nil
}

// renew issues a certificate of the same names for the same key.
func (r *renewer) renew(ctx context.Context, old *x509.Certificate, d *profile.Document, rec record) (*x509.Certificate, error) {
	var subject pkix.RDNSequence
	if rest, err := asn1.Unmarshal(old.RawSubject, &subject); err != nil || len(rest) > 0 {
		return nil, fmt.Errorf("the name %q cannot be read: %w", old.Subject, err)
	}
	return certify(ctx, r.cert, r.key, d, &ca.Request{
		PublicKey: old.PublicKey, Subject: subject, Names: ca.Names{DNS: old.DNSNames, IP: old.IPAddresses}, Record: rec,
	})
}
