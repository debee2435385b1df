package registrar

import (
	"crypto"
	"crypto/rand"
	"crypto/x509"
	"errors"
	"fmt"

	"github.com/briskest/briskest/est"
	"github.com/briskest/briskest/internal/cms"
	"github.com/briskest/briskest/voucher"
)

// CMC is what the operation fullcmc needs (RFC 7030, Section 4.3). The zero
// value answers with Settings.Signer and knows no secrets.
type CMC struct {
	// Signer signs responses, and opens requests that are encrypted to its
	// certificate. Nil for Settings.Signer. Clients look for id-kp-cmcRA or
	// id-kp-cmcCA in it, or for the CA itself (RFC 6402, Sections 2.10 and 2.11).
	Signer *voucher.Signer
	// Secrets are shared with devices that have nothing else.
	Secrets []CMCSecret
	// AllowSHA1 takes identity proofs and POP link witnesses by HMAC-SHA1, which
	// RFC 5274, Section 4.1, made mandatory. Signatures with SHA-1 are not taken.
	AllowSHA1 bool
}

// CMCSecret is a secret that is shared with a device, or with a group of
// devices, out of band (RFC 5272, Section 6.2).
type CMCSecret struct {
	Name   string     // what the Identification control says
	Secret est.Secret // at least 16 characters
	Group  bool       // may enroll any name the profile allows, and not Name alone
}

// Bounds of a shared secret, in bytes. 16 characters are what RFC 5272, Section
// 6.2.1, has everybody support; fewer could be found by trying.
const (
	minShared = 16
	maxShared = 1024
)

// cmcSide is a checked CMC.
type cmcSide struct {
	key         crypto.Signer
	certificate *x509.Certificate
	chain       []*x509.Certificate // what goes into responses: CAs without roots
	keys        []*cms.RecipientKey
	secrets     map[string]*CMCSecret
	nobody      est.Secret // of the names that there are not
	legacy      bool
	probe       signerProbe
}

// checkCMC checks what the labels with FullCMC need.
func (v *version) checkCMC() error {
	offered := false
	for name, l := range v.Labels {
		offered = offered || l.FullCMC
		if l.SharedSecret && !l.FullCMC {
			return fmt.Errorf("label %q takes shared secrets and offers no fullcmc, which alone has them", name)
		}
	}
	if !offered {
		return nil
	}
	set := v.CMC
	if set == nil {
		set = &CMC{}
	}
	signer := set.Signer
	if signer == nil {
		signer = v.Signer
	}
	if signer == nil || signer.Key == nil || signer.Certificate == nil {
		return errors.New("a label offers fullcmc and there is no key to sign its responses with")
	}
	v.cmc = &cmcSide{
		key: signer.Key, certificate: signer.Certificate, legacy: set.AllowSHA1, secrets: make(map[string]*CMCSecret, len(set.Secrets)),
		nobody: est.Secret(rand.Text()),
		keys:   []*cms.RecipientKey{{Certificate: signer.Certificate, Key: signer.Key}},
	}
	for _, c := range signer.Chain {
		if c.CheckSignatureFrom(c) != nil {
			v.cmc.chain = append(v.cmc.chain, c)
		}
	}
	for i := range set.Secrets {
		k := set.Secrets[i]
		switch {
		case k.Name == "" || len(k.Name) > maxUser || ascii(k.Name) != k.Name:
			return fmt.Errorf("shared secret %d: a name is 1 to %d printable ASCII characters", i+1, maxUser)
		case len(k.Secret) < minShared || len(k.Secret) > maxShared:
			return fmt.Errorf("shared secret of %q: it is %d to %d bytes long", k.Name, minShared, maxShared)
		case v.cmc.secrets[k.Name] != nil:
			return fmt.Errorf("shared secret of %q: it is there twice", k.Name)
		}
		v.cmc.secrets[k.Name] = &k
	}
	return nil
}
