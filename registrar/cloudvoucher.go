package registrar

import (
	"bytes"
	"crypto/x509"
	"errors"
	"fmt"
	"slices"

	"github.com/briskest/briskest/voucher"
)

// cloudSigner is the registrar's signer with the certificates that the voucher
// is to pin, of which the MASA takes the one that it has on record.
func (o *Owner) cloudSigner(signer *voucher.Signer) *voucher.Signer {
	out := *signer
	out.Chain = slices.Concat(signer.Chain, o.Certificates)
	return &out
}

// Errors of vouchesFor.
var (
	errNoOwnerNow  = errors.New("the device has no owner any more whose EST server a voucher could name")
	errOtherServer = errors.New("its est-domain is not the owner's; have the manufacturer note the one that is configured")
)

// vouchesFor tells whether a voucher sends the device to the owner's EST server
// and pins that by every pin it has (draft-ietf-anima-brski-cloud-20, Sections
// 3.2.3 and 5).
func (o *Owner) vouchesFor(got *voucher.Voucher) error {
	switch {
	case o == nil || o.ESTDomain == "":
		return errNoOwnerNow
	case got.ESTDomain != o.ESTDomain:
		return fmt.Errorf("%w: it is %.100q", errOtherServer, got.ESTDomain)
	}
	pins := pinsOf(got)
	if len(pins) == 0 {
		return errPinsNothing
	}
	for _, cert := range o.Certificates {
		isCert := func(p pin) bool { return bytes.Equal(p.of(cert), p.value) }
		if !slices.ContainsFunc(pins, func(p pin) bool { return !isCert(p) }) {
			return nil
		}
	}
	return errPinsOther
}

// pinsRight tells whether a voucher pins what it has to: the owner's EST server
// at a cloud registrar, else this network.
func (v *version) pinsRight(m *Manufacturer, server *x509.Certificate, owner *Owner, got *voucher.Voucher) error {
	if v.Cloud != nil {
		return owner.vouchesFor(got)
	}
	return v.pinned(m.Pin, server, got)
}
