package brskipledge

import (
	"crypto"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"errors"
	"fmt"
	"math/big"
	"time"

	"github.com/briskest/briskest/conformance/unkind"
	"github.com/briskest/briskest/voucher"
)

// serialNumber is of the IDevID that is made; its certificate has another one.
const serialNumber = "CONFORM-0001"

// world is what stays the same during a run: a manufacturer and a domain.
type world struct {
	vendor *unkind.Authority // nil where the pledge brings its own
	masa   *tls.Certificate  // signs vouchers
	idevid *x509.Certificate
	serial string // in its subject

	root, issuing *unkind.Authority
	server        *tls.Certificate // the registrar's
	environment   map[string]string
}

func newWorld(t *Target) (*world, error) {
	w := &world{masa: t.Signer, idevid: t.IDevID}
	var key crypto.Signer
	var err error
	switch {
	case (t.Signer == nil) != (t.IDevID == nil):
		return nil, errors.New("a signer of vouchers and the certificate of a pledge that trusts it go together")
	case t.Signer == nil:
		if key, err = w.manufacture(); err != nil {
			return nil, err
		}
	}
	if w.serial, err = voucher.SerialNumber(w.idevid); err != nil {
		return nil, fmt.Errorf("the pledge's certificate: %w", err)
	}
	if w.root, err = unkind.NewRoot("Unkind Domain Root"); err != nil {
		return nil, err
	}
	if w.issuing, err = w.root.Below("Unkind Domain Issuing CA"); err != nil {
		return nil, err
	}
	if w.server, err = w.issuing.Present(unkind.ServerTemplate(t.Name())); err != nil {
		return nil, err
	}
	return w, w.files(&t.House, key)
}

// manufacture makes a manufacturer and its device, and returns the device's key.
func (w *world) manufacture() (crypto.Signer, error) {
	var err error
	if w.vendor, err = unkind.NewRoot("Unkind Manufacturer"); err != nil {
		return nil, err
	}
	if w.masa, err = w.vendor.Present(masaTemplate()); err != nil {
		return nil, err
	}
	key, err := unkind.NewKey()
	if err != nil {
		return nil, err
	}
	url, err := asn1.MarshalWithParams("masa.example", "ia5")
	if err != nil {
		return nil, err
	}
	w.idevid, err = w.vendor.Issue(&x509.Certificate{
		Subject: pkix.Name{SerialNumber: serialNumber, Organization: []string{"Unkind Manufacturer"}}, SerialNumber: big.NewInt(77),
		NotAfter:        time.Date(9999, 12, 31, 23, 59, 59, 0, time.UTC),
		ExtraExtensions: []pkix.Extension{{Id: asn1.ObjectIdentifier{1, 3, 6, 1, 5, 5, 7, 1, 32}, Value: url}}, // RFC 8995, Section 2.3.2
	}, key.Public())
	return key, err
}

func masaTemplate() *x509.Certificate {
	return &x509.Certificate{Subject: pkix.Name{CommonName: "Unkind MASA"}, KeyUsage: x509.KeyUsageDigitalSignature}
}

// files writes what the pledge is given; nothing where it brings its own.
func (w *world) files(h *unkind.House, idevidKey crypto.Signer) error {
	w.environment = map[string]string{}
	if w.vendor == nil {
		return nil
	}
	key, err := unkind.KeyPEM(idevidKey)
	if err != nil {
		return err
	}
	for name, f := range map[string]struct {
		file string
		data []byte
	}{
		"BRISKEST_IDEVID":     {"idevid.pem", unkind.PEM(w.idevid)},
		"BRISKEST_IDEVID_KEY": {"idevid.key", key},
		"BRISKEST_ANCHOR":     {"anchor.pem", unkind.PEM(w.vendor.Certificate)},
	} {
		if w.environment[name], err = h.File(f.file, f.data); err != nil {
			return err
		}
	}
	return nil
}

// elsewhere is a registrar of another domain.
func elsewhere(t *Target) (*tls.Certificate, *unkind.Authority, error) {
	other, err := unkind.NewRoot("Another Domain Root")
	if err != nil {
		return nil, nil, err
	}
	c, err := other.Present(unkind.ServerTemplate(t.Name()))
	return c, other, err
}
