package main

import (
	"context"
	"crypto/x509"
	"crypto/x509/pkix"
	"fmt"

	"github.com/briskest/briskest/ca"
	"github.com/briskest/briskest/ca/localca"
	"github.com/briskest/briskest/ca/profile"
	"github.com/briskest/briskest/internal/keystore"
	"github.com/briskest/briskest/internal/trail"
	"github.com/briskest/briskest/registrar"
	"github.com/briskest/briskest/registrar/policy"
	registrarstore "github.com/briskest/briskest/registrar/store"
)

// registrarSetup says what registrar to make.
type registrarSetup struct {
	Name          string   // of the operator, in the CAs' names
	Hosts         []string // DNS names and addresses in the registrar's certificate
	Listen        string
	Revocation    string // address of OCSP and lists, which certificates name; empty for none
	PerDevice     int
	PerAddress    int
	Manufacturers []manufacturerSetup
}

// manufacturerSetup is a manufacturer as the configuration's template wants it.
type manufacturerSetup struct {
	Name, IDevIDAnchors, VoucherAnchors, MASAURL, TLSAnchors string
}

// registrarMaker makes a registrar's keys, CAs, certificates and configuration.
type registrarMaker struct {
	folder
	setup    *registrarSetup
	store    *registrarstore.Store
	profiles map[string]*profile.Profile
	chain    []*x509.Certificate // issuing CA, root
	service  *registrar.Service
}

// makeRegistrar sets up a registrar in dir: a root and an issuing CA, its own
// certificate, an RA's, and registrar.yaml. Everything issued is on record.
func makeRegistrar(ctx context.Context, dir folder, setup *registrarSetup) error {
	if err := dir.make("registrar", "registrar/ca", "registrar/profiles"); err != nil {
		return err
	}
	trailKey, err := dir.key(ctx, "registrar/trail.key", keystore.Ed25519)
	if err != nil {
		return err
	}
	if !dir.has("registrar.yaml") || !dir.has("registrar/registrar.pem") || !dir.has("ra.pem") {
		store, err := registrarstore.Open(ctx, registrarstore.Options{Path: dir.path("registrar/registrar.db"), TrailKey: trailKey})
		if err != nil {
			return err
		}
		m := &registrarMaker{folder: dir, setup: setup, store: store}
		err = m.make(ctx)
		if closing := store.Close(); err == nil {
			err = closing
		}
		if err != nil {
			return fmt.Errorf("set up the registrar: %w", err)
		}
	}
	return dir.fill("registrar.yaml", "registrar.yaml", setup)
}

func (m *registrarMaker) make(ctx context.Context) error {
	for _, step := range []func(context.Context) error{m.makeProfiles, m.makeCAs, m.open, m.makeIdentity, m.makeRA} {
		if err := step(ctx); err != nil {
			return err
		}
	}
	m.service.Close()
	return nil
}

func (m *registrarMaker) makeProfiles(context.Context) error {
	m.profiles = make(map[string]*profile.Profile)
	for _, d := range []*profile.Document{profile.Device(), profile.Registrar(), profile.RAClient()} {
		if d.Name == "device" { // whoever meets the registrar may not reach that address: a MASA, say
			nameRevocation(d, m.setup.Revocation)
		}
		p, err := m.profile("registrar/profiles/"+d.Name+".yaml", d)
		if err != nil {
			return err
		}
		m.profiles[p.Name()] = p
	}
	return nil
}

// nameRevocation has devices' certificates say where to ask about them.
func nameRevocation(d *profile.Document, address string) {
	if address == "" {
		return
	}
	d.CRL = []string{"http://" + address + "/crl/{authority}/{crl_partition}.crl"}
	d.OCSP = []string{"http://" + address + "/ocsp"}
	d.CAIssuers = []string{"http://" + address + "/ca/{authority}.cer"}
}

// makeCAs makes the root, which devices pin, and the issuing CA below it.
func (m *registrarMaker) makeCAs(ctx context.Context) error {
	root, rootKey, err := m.root(ctx, "registrar/ca/root.pem", "registrar/ca/root.key", authority(m.setup.Name+" Root CA", "7300d", m.recordCA))
	if err != nil {
		return err
	}
	if m.chain, err = m.issuing(ctx, "ca.pem", "registrar/ca/issuing.key", root, rootKey, &localca.Authority{
		Subject: pkix.Name{CommonName: m.setup.Name + " CA"}, Lifetime: "3650d", Record: m.recordCA,
	}); err != nil || m.has("registrar/ca/"+caFile) {
		return err
	}
	return m.describeCA()
}

// describeCA writes ca.yaml, by which briskest ca goes on.
func (m *registrarMaker) describeCA() error {
	key, err := m.keyURI("registrar/ca/issuing.key")
	if err != nil {
		return err
	}
	rootKey, err := m.keyURI("registrar/ca/root.key")
	if err != nil {
		return err
	}
	f := &caFolder{folder: folder(m.path("registrar/ca"))}
	f.source.file = f.path(caFile)
	f.caFolderConfig = caFolderConfig{Version: 1, Certificate: "../../ca.pem", Publish: "../../ca.pem"}
	if f.Key, err = f.uriFor(key); err == nil {
		f.RootKey, err = f.uriFor(rootKey)
	}
	if err != nil {
		return err
	}
	return f.save()
}

// recordCA puts a CA certificate that is about to be signed on the trail.
func (m *registrarMaker) recordCA(ctx context.Context, in *ca.Intent) error {
	entry, err := intentOf(in).entry()
	if err != nil {
		return err
	}
	return m.store.Commit(ctx, &registrar.Change{Trail: []*trail.Entry{entry}})
}

// open builds the service that issues the registrar's own certificates.
func (m *registrarMaker) open(ctx context.Context) error {
	key, err := m.key(ctx, "registrar/ca/issuing.key", keystore.P256)
	if err != nil {
		return err
	}
	issuer, err := localca.New(localca.Config{Certificate: m.chain[0], Chain: m.chain[1:], Key: key, Profiles: m.profiles})
	if err != nil {
		return err
	}
	m.service, err = registrar.New(registrar.Config{
		Store: m.store, Issuer: issuer, Policy: policy.Decide, Settings: &registrar.Settings{Version: "setup", Domain: registrar.DefaultDomain},
	})
	return err
}

// makeIdentity issues the registrar's certificate.
func (m *registrarMaker) makeIdentity(ctx context.Context) error {
	dns, ips := hosts(m.setup.Hosts)
	return m.issue(ctx, "registrar/registrar", "registrar", &x509.CertificateRequest{
		Subject: pkix.Name{CommonName: m.setup.Name + " Registrar"}, DNSNames: dns, IPAddresses: ips,
	})
}

// makeRA issues a client certificate that may enroll others.
func (m *registrarMaker) makeRA(ctx context.Context) error {
	return m.issue(ctx, "ra", "ra-client", &x509.CertificateRequest{Subject: pkix.Name{CommonName: m.setup.Name + " RA"}})
}

// issue makes NAME.key and NAME.pem, the latter with the issuing CA after it.
func (m *registrarMaker) issue(ctx context.Context, name, profileName string, template *x509.CertificateRequest) error {
	key, err := m.key(ctx, name+".key", keystore.P256)
	if err != nil {
		return err
	}
	_, err = m.certificates(name+".pem", func() ([]*x509.Certificate, error) {
		csr, err := newCSR(template, key)
		if err != nil {
			return nil, err
		}
		raw, err := m.service.IssueCertificate(ctx, &registrar.IssueRequest{
			Domain: registrar.DefaultDomain, Actor: actor(), Profile: policy.Profile(m.profiles[profileName]), CSR: csr,
		})
		if err != nil {
			return nil, err
		}
		cert, err := x509.ParseCertificate(raw)
		return []*x509.Certificate{cert, m.chain[0]}, err
	})
	return err
}
