package masa

import (
	"bytes"
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"net/http"
	"slices"

	"github.com/briskest/briskest/voucher"
)

// decide says whether this domain gets a voucher for this device, and which.
func (s *Service) decide(ctx context.Context, x *exchange) error {
	if err := s.findDevice(ctx, x); err != nil {
		return err
	}
	if err := s.withinRegistrarBudget(x); err != nil {
		return err
	}
	if err := x.checkRenewal(); err != nil {
		return err
	}
	if err := s.decideOwner(ctx, x); err != nil {
		return err
	}
	if err := s.checkRenewed(ctx, x); err != nil {
		return err
	}
	if err := x.settleProximity(); err != nil {
		return err
	}
	x.choosePin()
	if x.device.State != Known {
		return forbid(ReasonDeviceBlocked, "RFC 8995, Section 5.6",
			"The manufacturer has blocked this device. Ask the manufacturer's support.")
	}
	if err := x.decideNonceless(); err != nil {
		return err
	}
	x.assertion = x.strongest()
	return nil
}

// decideNonceless wants to know who a registrar is that asks without a nonce:
// by its domain CA, which is the owner on record, and where the settings say so
// by its TLS connection as well (RFC 8995, Sections 5.5.4 and 7.4.1).
func (x *exchange) decideNonceless() error {
	switch {
	case x.request.Nonce != "":
		return nil
	case !x.settings.Products[x.product].AllowNonceless || !x.owned:
		return noncelessRefused()
	case x.settings.ClientCertificate == ClientCertificateNonceless:
		return x.checkClient()
	default:
		return x.checkLastRenewal()
	}
}

func noncelessRefused() error {
	return forbid(ReasonNonceless, "RFC 8995, Section 5.5.4",
		"Vouchers without a nonce are issued only where the product allows them and only to the owner on record. "+
			"Ask the manufacturer to note your domain as owner.")
}

// findDevice finds the one device that is meant: with the pledge's signature
// among the products that its IDevID belongs to, else by serial number and
// idevid-issuer (rfc8366bis, Section 6.2).
func (s *Service) findDevice(ctx context.Context, x *exchange) error {
	devices, err := s.candidates(ctx, x)
	if err != nil {
		return err
	}
	switch len(devices) {
	case 0:
		return x.unlistedDevice()
	case 1:
		return x.takeDevice(devices[0])
	default:
		return serialAmbiguous()
	}
}

// candidates returns the devices with the serial number that can be meant.
// Where several products share anchors, the certificate on record decides.
func (s *Service) candidates(ctx context.Context, x *exchange) ([]*Device, error) {
	devices, err := s.store.FindDevices(ctx, x.settings.Domain, x.request.SerialNumber)
	if err != nil {
		return nil, fmt.Errorf("device %q: %w", x.request.SerialNumber, err)
	}
	x.ambiguous, x.unlisted = len(devices) > 1, false
	devices = slices.DeleteFunc(devices, func(d *Device) bool { return !x.couldBe(d) })
	if x.prior != nil && len(devices) > 1 {
		same := func(d *Device) bool { return bytes.Equal(d.IDevID, x.idevid.Raw) }
		if i := slices.IndexFunc(devices, same); i >= 0 {
			devices = devices[i : i+1]
		}
	}
	return devices, nil
}

func serialAmbiguous() error {
	return forbid(ReasonSerialAmbiguous, "RFC 8366, Section 5.3",
		"Several devices have this serial number. Send the pledge's own request, or the leaf idevid-issuer.")
}

func (x *exchange) couldBe(d *Device) bool {
	if _, configured := x.settings.Products[d.Product]; !configured {
		return false
	}
	if x.prior != nil {
		return slices.Contains(x.products, d.Product)
	}
	idevid, err := x509.ParseCertificate(d.IDevID)
	return err != nil || issuerAgrees(x.request.IDevIDIssuer, idevid)
}

// unlistedDevice makes a record for a device that was not imported, where its
// product allows that and it has signed.
func (x *exchange) unlistedDevice() error {
	for _, name := range x.products {
		if x.settings.Products[name].AllowUnlisted {
			x.product, x.unlisted = name, true
			x.device = &Device{
				ID: NewID(x.at), Domain: x.settings.Domain, Product: name, SerialNumber: x.request.SerialNumber,
				State: Known, IDevID: x.idevid.Raw, Source: "voucher", CreatedAt: x.at,
			}
			return nil
		}
	}
	return refuse(http.StatusNotFound, ReasonDeviceUnknown, "RFC 8995, Section 5.6",
		"This MASA knows no device with this serial number.")
}

func (x *exchange) takeDevice(d *Device) error {
	x.device, x.product = d, d.Product
	product := x.settings.Products[d.Product]
	if x.prior == nil {
		switch {
		case product.AllowNoPriorSigned:
		case x.request.Nonce == "" && !product.AllowNonceless:
			return noncelessRefused()
		case x.request.Nonce != "":
			return forbid(ReasonPriorMissing, "RFC 8995, Section 5.5.5",
				"The voucher-request has no prior-signed-voucher-request, which this product's devices can make. Include the pledge's request.")
		}
		if len(d.IDevID) > 0 {
			cert, err := x509.ParseCertificate(d.IDevID)
			if err != nil {
				return fmt.Errorf("IDevID of device %s: %w", d.ID, err)
			}
			x.idevid = cert
		}
		return nil
	}
	if len(d.KeyHash) > 0 {
		if key := keyHash(x.idevid); !bytes.Equal(d.KeyHash, key[:]) {
			return forbid(ReasonIDevIDMismatch, "RFC 8995, Section 5.5.5",
				"The device with this serial number has an IDevID with another key on record. Ask the manufacturer's support.")
		}
	}
	// Compare the whole certificate, not its serial number (regression R11).
	if len(d.IDevID) > 0 && !bytes.Equal(d.IDevID, x.idevid.Raw) {
		return forbid(ReasonIDevIDMismatch, "RFC 8995, Section 5.5.5",
			"The device with this serial number has another IDevID on record. Ask the manufacturer's support.")
	}
	return nil
}

// decideOwner finds out which domain it is, and refuses where another one owns
// the device.
func (s *Service) decideOwner(ctx context.Context, x *exchange) error {
	owners, err := s.store.Owners(ctx, x.settings.Domain, x.device.ID)
	if err != nil && !errors.Is(err, ErrNotFound) {
		return fmt.Errorf("owners of device %s: %w", x.device.ID, err)
	}
	owners = slices.DeleteFunc(owners, func(o *Owner) bool { return !o.Until.IsZero() })
	if x.cloud {
		return x.decideCloud(owners)
	}
	ca := ownedBy(x.chains, owners)
	x.owner, x.owned = ca, ca != nil
	if x.owned {
		x.since = owners[slices.IndexFunc(owners, func(o *Owner) bool { return o.owns(ca) })].Since
	}
	x.known = x.known || x.owned
	switch {
	case x.owned:
		x.domain = ca
	case len(owners) > 0:
		return forbid(ReasonNotOwner, "RFC 8995, Section 5.6",
			"The manufacturer has another owner on record for this device. Ask whoever sold it to have the change of owner noted.")
	case x.settings.Products[x.product].RequireOwner:
		return forbid(ReasonNoOwner, "RFC 8995, Section 5.6",
			"The manufacturer has no owner on record for this device. Ask whoever sold it to have your domain noted.")
	default:
		// The certificate farthest from the registrar's own (RFC 8995, Section 5.5.2).
		x.domain = x.chains[0][len(x.chains[0])-1]
	}
	return nil
}

// choosePin chooses what is pinned of the domain that decideOwner found. A
// pledge that pins a registrar compares with the one it is connected to.
func (x *exchange) choosePin() {
	x.pinned = x.domain
	if x.cloud || x.settings.Products[x.product].Pin == PinDomainCA {
		return
	}
	x.pinned = x.artifact.Signer
	if x.connected != nil {
		x.pinned = x.connected
	}
}

// ownedBy returns the CA in the chains that a claim names, the farthest from
// the registrar first, or nil. The certificates in an artifact are not signed
// along with it, but a chain through the owner's own CA ends at its registrar.
func ownedBy(chains [][]*x509.Certificate, owners []*Owner) *x509.Certificate {
	for _, chain := range chains {
		for _, ca := range slices.Backward(chain) {
			if slices.ContainsFunc(owners, func(o *Owner) bool { return o.owns(ca) }) {
				return ca
			}
		}
	}
	return nil
}

// strongest returns the strongest assertion that was shown and that the
// product makes (RFC 8366, Section 5.3). What the registrar's request asserts
// does not count (RFC 8995, Section 3.4).
func (x *exchange) strongest() voucher.Assertion {
	limit := x.settings.Products[x.product].Assertion
	switch {
	case limit == voucher.Verified && x.owned:
		return voucher.Verified
	case limit != voucher.Logged && x.proximity:
		return voucher.Proximity
	default:
		return voucher.Logged
	}
}
