package main

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/briskest/briskest/cmd/internal/voucherformat"
	"github.com/briskest/briskest/internal/config"
	"github.com/briskest/briskest/internal/pemfile"
	"github.com/briskest/briskest/registrar"
	"github.com/briskest/briskest/voucher"
)

// cloudConfig makes a registrar a cloud registrar (draft-ietf-anima-brski-cloud-20):
// it sends the manufacturers' devices to their owners. It has no CA, profiles
// and labels; tls is a certificate that devices know from the factory.
type cloudConfig struct {
	// Signer signs voucher-requests, and is shown to MASAs: a registrar's
	// certificate (id-kp-cmcRA) with the CAs above it, and its key.
	Signer identityConfig `yaml:"signer"`
	// AskAgain is after what time a device asks again whose owner is not known
	// yet; default 1h. 0s: it does not.
	AskAgain *config.Duration `yaml:"ask_again"`
	// Owners are who devices are given to with briskest device import --owner.
	Owners []ownerConfig `yaml:"owners"`
}

// ownerConfig is one owner; exactly one of registrar_url, est_domain and blocked.
type ownerConfig struct {
	Name string `yaml:"name"`
	// RegistrarURL is the owner's registrar, https://HOST[:PORT]: devices are redirected.
	RegistrarURL string `yaml:"registrar_url"`
	// ESTDomain is the owner's EST server, https://HOST[:PORT]: devices get a
	// voucher that names it. The MASA has the same on record.
	ESTDomain string `yaml:"est_domain"`
	// Certificate is a PEM file of what vouchers pin: the EST server's certificate
	// or the CA above it, as the MASA has it on record, and beside the present
	// one those that come after it.
	Certificate string `yaml:"certificate"`
	// Blocked refuses the owner's devices; they are told this text.
	Blocked string `yaml:"blocked"`
}

// checkCloud refuses what a cloud registrar does not have.
func (c *registrarConfig) checkCloud() error {
	for _, unused := range []struct {
		key string
		set bool
	}{
		{"issuers", len(c.Issuers) > 0}, {"profiles", len(c.Profiles) > 0}, {"labels", len(c.Labels) > 0}, {"key_encryption_keys", len(c.KeyEncryptionKeys) > 0},
		{"announce", c.Announce.Announcement.MDNS},
	} {
		if unused.set {
			return fmt.Errorf("the key %s is for a registrar with a network of its own, and cloud makes this a cloud registrar; leave one of them out", unused.key)
		}
	}
	for _, m := range c.Manufacturers {
		if m.Pin != "" {
			return fmt.Errorf("manufacturer %s: a cloud registrar's vouchers pin the owner; leave pin out", m.Name)
		}
	}
	return nil
}

// cloudSettings are the settings of a cloud registrar.
func (c *registrarConfig) cloudSettings(ctx context.Context) (*registrar.Settings, error) {
	id, err := c.identity(ctx, c.Cloud.Signer)
	if err != nil {
		return nil, fmt.Errorf("cloud.signer: %w", err)
	}
	key, err := pemfile.Signer(id)
	if err != nil {
		return nil, fmt.Errorf("cloud.signer: %w", err)
	}
	signer := &voucher.Signer{Key: key, Certificate: id.Leaf}
	for _, der := range id.Certificate[1:] {
		ca, err := x509.ParseCertificate(der)
		if err != nil {
			return nil, fmt.Errorf("cloud.signer: %w", err)
		}
		signer.Chain = append(signer.Chain, ca)
	}
	s := &registrar.Settings{
		Version: c.stamp(time.Now()), Domain: c.Domain, URL: c.URL, Manufacturers: make(map[string]*registrar.Manufacturer),
		Signer: signer, Formats: voucherformat.All(), DialMASA: newMASADialer(signer, c.tracer).dial,
	}
	if s.Limits, err = c.Limits.registrar(); err != nil {
		return nil, err
	}
	if s.Cloud, err = c.cloud(); err != nil {
		return nil, err
	}
	return s, c.addManufacturers(s)
}

func (c *registrarConfig) cloud() (*registrar.Cloud, error) {
	out := &registrar.Cloud{Owners: make(map[string]*registrar.Owner), AskAgain: time.Hour}
	if c.Cloud.AskAgain != nil {
		out.AskAgain = time.Duration(*c.Cloud.AskAgain)
	}
	for i, o := range c.Cloud.Owners {
		switch {
		case o.Name == "":
			return nil, fmt.Errorf("cloud: owner %d has no name", i+1)
		case out.Owners[o.Name] != nil:
			return nil, fmt.Errorf("cloud: the owner %q is there twice", o.Name)
		}
		owner := &registrar.Owner{RegistrarURL: o.RegistrarURL, ESTDomain: o.ESTDomain, Blocked: o.Blocked}
		if o.Certificate != "" {
			var err error
			if owner.Certificates, err = pemfile.Certificates(c.path(o.Certificate)); err != nil {
				return nil, fmt.Errorf("cloud: owner %q: %w", o.Name, err)
			}
		}
		out.Owners[o.Name] = owner
	}
	if len(c.Manufacturers) == 0 {
		return nil, errors.New("cloud: there are no manufacturers, so no device would be known")
	}
	if err := out.Check(c.URL); err != nil {
		return nil, fmt.Errorf("cloud: %w", err)
	}
	return out, nil
}

// noEST answers what a cloud registrar does not have (draft-ietf-anima-brski-cloud-20, Section 2.2).
func noEST(w http.ResponseWriter, _ *http.Request) {
	http.Error(w, "This is a cloud registrar: there is no EST here. Ask it for a voucher, and enroll where it sends the device.", http.StatusNotFound)
}
