package registrar

import (
	"context"
	"crypto/rand"
	"crypto/x509"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/briskest/briskest/ca"
	"github.com/briskest/briskest/est"
	"github.com/briskest/briskest/internal/recent"
	"github.com/briskest/briskest/internal/revocation"
	"github.com/briskest/briskest/voucher"
)

// version is a checked Settings with what follows from it.
type version struct {
	Settings
	given         *Settings // as Reload got them
	issuers       map[string]*issuer
	authorities   map[string]*Authority // by ID: who signs lists
	chain         []*x509.Certificate   // the default issuer's
	anchors       *x509.CertPool        // DeviceAnchors
	manufacturers []*Manufacturer       // by name, so that every choice is the same each time
	cmc           *cmcSide              // of CMC; nil where no label offers it
	ours          []*x509.Certificate   // that a voucher may pin, if the manufacturer's rule takes them

	above        map[string]map[string]bool  // which of ours each of TLSCertificates chains to, by DER
	domainIDs    map[string]bool             // of ours, as audit-logs name a domain
	registrarIDs map[string]bool             // of the registrar's own, as minerva's highway names them
	signers      *signers                    // of vouchers
	masas        *recent.Map[string, string] // URLs by the extension that names them
	importKey    [32]byte                    // tells what was checked with these settings; see checkedIDevIDs
}

// check fills in defaults and says what is wrong. before, which may be nil, is in
// force now.
func (s *Settings) check(ctx context.Context, otherwise ca.Issuer, before *version) (*version, error) {
	if s == nil {
		return nil, errors.New("there are none")
	}
	v := &version{Settings: *s, signers: newSigners(), masas: recent.New[string, string](256)}
	rand.Read(v.importKey[:]) // never fails (crypto/rand)
	if v.Domain == "" {
		v.Domain = DefaultDomain
	}
	if err := v.checkIssuers(ctx, otherwise, before); err != nil {
		return nil, err
	}
	if v.anchors = s.DeviceAnchors; v.anchors == nil {
		v.anchors = v.issued()
	}
	if v.Realm == "" {
		v.Realm = DefaultRealm
	}
	var err error
	if v.Limits, err = s.Limits.checked(); err != nil {
		return nil, err
	}
	v.CRLLifetime = orDefault(v.CRLLifetime, 7*24*time.Hour)
	if err := v.checkLists(); err != nil {
		return nil, err
	}
	if err := v.checkLabels(); err != nil {
		return nil, err
	}
	if err := v.checkCMC(); err != nil {
		return nil, err
	}
	if err := v.checkKeys(); err != nil {
		return nil, err
	}
	return v, v.checkManufacturers()
}

func (v *version) checkLabels() error {
	labels := make(map[string]*Label, len(v.Labels))
	for name, l := range v.Labels {
		if est.IsOperation(name) {
			return fmt.Errorf("label %q has the name of an EST operation (RFC 7030, Section 3.2.2)", name)
		}
		if l == nil || l.Profile == nil {
			return fmt.Errorf("label %q has no profile", name)
		}
		switch l.IDevID {
		case IDevIDNever, IDevIDVouched, IDevIDInventory:
		default:
			return fmt.Errorf("label %q: the IDevID rule is %q; want voucher or inventory", name, l.IDevID)
		}
		if err := l.checkMethods(); err != nil {
			return fmt.Errorf("label %q: %w", name, err)
		}
		c := *l
		c.Name = name
		if v.issuerOf(&c) == nil {
			return fmt.Errorf("label %q: there is no issuer %q", name, c.Issuer)
		}
		switch c.Linking {
		case "", LinkIfPresent, LinkRequired, LinkOff:
		default:
			return fmt.Errorf("label %q: linking is %q; want if-present, required or off", name, c.Linking)
		}
		var err error
		if c.ClientRevocation == nil {
			if c.ClientRevocation, err = revocation.New(revocation.Config{Mode: revocation.RequireAll}); err != nil {
				return err
			}
		}
		if c.csrAttrs, err = c.makeCSRAttrs(); err != nil {
			return fmt.Errorf("label %q: CSR attributes: %w", name, err)
		}
		labels[name] = &c
	}
	v.Labels = labels
	return nil
}

func (v *version) checkManufacturers() error {
	manufacturers := make(map[string]*Manufacturer, len(v.Manufacturers))
	for _, name := range slices.Sorted(maps.Keys(v.Manufacturers)) {
		m, err := v.Manufacturers[name].checked(name)
		if err != nil {
			return err
		}
		manufacturers[name] = m
		v.manufacturers = append(v.manufacturers, m)
	}
	v.Manufacturers = manufacturers
	return v.checkIdentity()
}

// checkIdentity checks what voucher-requests need.
func (v *version) checkIdentity() error {
	if v.PinnedDomainCert == nil && len(v.chain) > 0 {
		v.PinnedDomainCert = v.chain[len(v.chain)-1]
	}
	if v.PinnedDomainCert != nil {
		v.ours = append(v.ours, v.PinnedDomainCert)
	}
	if standard := v.issuers[DefaultIssuer]; standard != nil {
		for _, c := range standard.distributed[len(v.chain):] { // roots before the one of today
			if c.CheckSignatureFrom(c) == nil {
				v.ours = append(v.ours, c)
			}
		}
	}
	if v.Cloud != nil {
		for _, o := range v.Cloud.Owners {
			v.ours = append(v.ours, o.Certificates...)
		}
	}
	if v.Signer != nil && v.Signer.Certificate != nil {
		v.ours = append(append(v.ours, v.Signer.Certificate), v.Signer.Chain...)
		if len(v.TLSCertificates) == 0 {
			v.TLSCertificates = []*x509.Certificate{v.Signer.Certificate}
		}
		v.ours = append(v.ours, v.TLSCertificates...)
	}
	v.chainServers()
	v.identifyDomain()
	if len(v.manufacturers) == 0 {
		return nil
	}
	switch {
	case v.Signer == nil || v.Signer.Key == nil || v.Signer.Certificate == nil:
		return errors.New("there are manufacturers and no key to sign voucher-requests with")
	case !isRA(v.Signer.Certificate) || v.Cloud == nil && !slices.ContainsFunc(v.TLSCertificates, isRA):
		return errors.New("the registrar's certificate lacks the extended key usage id-kp-cmcRA, by which MASAs and devices tell a registrar (RFC 8995, Section 5.5.4); issue it with the profile registrar")
	case len(v.Formats) == 0:
		return errors.New("there are manufacturers and no voucher format")
	case v.DialMASA == nil:
		return errors.New("there are manufacturers and no way to reach their MASAs")
	}
	return nil
}

// format returns the encoding with that media type, or nil.
func (v *version) format(mediaType string) voucher.Format {
	for _, f := range v.Formats {
		if f.MediaType() == mediaType {
			return f
		}
	}
	return nil
}
