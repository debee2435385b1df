package main

import (
	"context"
	"crypto"
	"crypto/x509"
	"crypto/x509/pkix"
	"fmt"

	"github.com/briskest/briskest/ca"
	"github.com/briskest/briskest/ca/localca"
	"github.com/briskest/briskest/ca/profile"
	"github.com/briskest/briskest/internal/keystore"
	"github.com/briskest/briskest/internal/trail"
	"github.com/briskest/briskest/masa"
	masastore "github.com/briskest/briskest/masa/store"
)

// masaSetup says what MASA to make.
type masaSetup struct {
	Name    string   // of the vendor, in the CA's name
	Hosts   []string // DNS names and addresses in the MASA's certificate
	Listen  string
	Product string
}

// MASAURL is where the MASA is found, as IDevIDs name it.
func (s *masaSetup) MASAURL() string { return masaURLFor(s.Listen, s.Hosts) }

// masaMaker makes a MASA's keys, CA, certificates and configuration.
type masaMaker struct {
	folder
	setup *masaSetup
	store *masastore.Store
	root  *x509.Certificate
	key   crypto.Signer
}

// makeMASA sets up a MASA in dir: the vendor's CA for IDevIDs, vouchers and
// TLS, and masa.yaml. Everything issued is on the trail.
func makeMASA(ctx context.Context, dir folder, setup *masaSetup) error {
	if err := dir.make("masa"); err != nil {
		return err
	}
	trailKey, err := dir.key(ctx, "masa/trail.key", keystore.Ed25519)
	if err != nil {
		return err
	}
	if !dir.has("masa/tls.pem") || !dir.has("masa/voucher.pem") {
		store, err := masastore.Open(ctx, masastore.Options{Path: dir.path("masa/masa.db"), TrailKey: trailKey})
		if err != nil {
			return err
		}
		m := &masaMaker{folder: dir, setup: setup, store: store}
		err = m.make(ctx)
		if closing := store.Close(); err == nil {
			err = closing
		}
		if err != nil {
			return fmt.Errorf("set up the MASA: %w", err)
		}
	}
	return dir.fill("masa.yaml", "masa.yaml", setup)
}

func (m *masaMaker) make(ctx context.Context) error {
	var err error
	if m.root, m.key, err = m.folder.root(ctx, "masa/idevid-ca.pem", "masa/idevid-ca.key", authority(m.setup.Name+" CA", "7300d", m.record)); err != nil {
		return err
	}
	if _, err := m.certificates("masa/anchor.pem", func() ([]*x509.Certificate, error) { return []*x509.Certificate{m.root}, nil }); err != nil {
		return err
	}
	dns, ips := hosts(m.setup.Hosts)
	if err := m.issue(ctx, "masa/tls", profile.MASA(), pkix.Name{CommonName: m.setup.Name + " MASA"}, ca.Names{DNS: dns, IP: ips}); err != nil {
		return err
	}
	// Vouchers carry the anchor too, for who looks at them without having it
	// (RFC 8366, Section 5.4).
	return m.issue(ctx, "masa/voucher", profile.VoucherSigner(), pkix.Name{CommonName: m.setup.Name + " Vouchers"}, ca.Names{}, m.root)
}

// record puts a certificate that is about to be signed on the MASA's trail.
func (m *masaMaker) record(ctx context.Context, in *ca.Intent) error {
	entry, err := intentOf(in).entry()
	if err != nil {
		return err
	}
	return m.store.Commit(ctx, &masa.Change{Trail: []*trail.Entry{entry}})
}

// issue makes NAME.key and NAME.pem, the latter with the certificates above.
func (m *masaMaker) issue(ctx context.Context, name string, d *profile.Document, subject pkix.Name, names ca.Names, above ...*x509.Certificate) error {
	key, err := m.folder.key(ctx, name+".key", keystore.P256)
	if err != nil {
		return err
	}
	_, err = m.certificates(name+".pem", func() ([]*x509.Certificate, error) {
		cert, err := certify(ctx, m.root, m.key, d, &ca.Request{
			PublicKey: key.Public(), Subject: subject.ToRDNSequence(), Names: names, Record: m.record,
		})
		return append([]*x509.Certificate{cert}, above...), err
	})
	return err
}

// certify issues one certificate under a built-in profile.
func certify(ctx context.Context, root *x509.Certificate, key crypto.Signer, d *profile.Document, r *ca.Request) (*x509.Certificate, error) {
	p, err := profile.New(d)
	if err != nil {
		return nil, err
	}
	issuer, err := localca.New(localca.Config{
		Certificate: root, Key: key, Profiles: map[string]*profile.Profile{p.Name(): p},
	})
	if err != nil {
		return nil, err
	}
	r.Profile = p.Name()
	return issuer.Certify(ctx, r)
}
