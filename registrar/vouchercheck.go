package registrar

import (
	"bytes"
	"crypto/subtle"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"errors"
	"fmt"
	"mime"
	"slices"
	"time"

	"github.com/briskest/briskest/brski"
	"github.com/briskest/briskest/voucher"
)

// checkVoucher checks what a MASA sent before the pledge gets it
// (RFC 8995, Section 5.6): it opens, the manufacturer signed it, and it is for this
// device, this request and this network. Nothing in it is changed.
func (v *version) checkVoucher(m *Manufacturer, x *exchange, answer *brski.Voucher, at time.Time) *Decision {
	const rule = "voucher"
	mediaType, _, err := mime.ParseMediaType(answer.MediaType)
	if err != nil {
		mediaType = answer.MediaType
	}
	format := v.format(mediaType)
	if format == nil {
		return denyErr(ReasonVoucherMalformed, rule, fmt.Errorf("media type %q", answer.MediaType))
	}
	answer.MediaType = mediaType
	got, artifact, err := format.OpenVoucher(answer.Raw)
	if err != nil {
		return denyErr(ReasonVoucherMalformed, rule, err)
	}
	if isDevice(artifact.Signer, x.idevid) {
		return denyErr(ReasonVoucherSigner, rule, errors.New("it is signed by a device"))
	}
	if err := v.signers.verify(m, artifact, at); err != nil {
		return denyErr(ReasonVoucherSigner, rule, err)
	}
	switch {
	case got.SerialNumber != x.row.SerialNumber:
		return denyErr(ReasonVoucherSerial, rule, fmt.Errorf("serial number %q", got.SerialNumber))
	case !sameIssuer(got.IDevIDIssuer, x.idevid):
		return denyErr(ReasonVoucherSerial, rule, errors.New("idevid-issuer is another CA"))
	case got.Nonce == "" && x.row.Nonce != "" && m.AllowNonceless:
		// RFC 8995, Section 5.6: good for the device until it expires.
	case subtle.ConstantTimeCompare([]byte(got.Nonce), []byte(x.row.Nonce)) != 1:
		return deny(ReasonVoucherNonce, rule)
	}
	switch {
	case !got.ExpiresOn.IsZero() && !at.Before(got.ExpiresOn):
		return deny(ReasonVoucherExpired, rule)
	case !m.accepts(got.Assertion):
		return denyErr(ReasonVoucherAssertion, rule, fmt.Errorf("assertion %q", got.Assertion))
	}
	if err := v.pinsRight(m, x.server, x.owner, got); err != nil {
		return denyErr(ReasonVoucherPin, rule, err)
	}
	return nil
}

// isDevice tells whether a voucher's signer is a device and no MASA. IDevIDs
// and vouchers often have one root, and no extended key usage tells them apart.
// A device's certificate names its MASA (RFC 8995, Section 2.3.2), or has a
// serialNumber in its subject (RFC 8995, Section 2.3.1) and either no name
// besides or the issuer of the IDevID at hand.
func isDevice(signer, idevid *x509.Certificate) bool {
	if signer == nil || idevid != nil && bytes.Equal(signer.Raw, idevid.Raw) {
		return true
	}
	if slices.ContainsFunc(signer.Extensions, isMASAURL) {
		return true
	}
	numbered := slices.ContainsFunc(signer.Subject.Names, func(a pkix.AttributeTypeAndValue) bool {
		return a.Type.Equal(asn1.ObjectIdentifier{2, 5, 4, 5})
	})
	return numbered && (signer.Subject.CommonName == "" || idevid != nil && bytes.Equal(signer.RawIssuer, idevid.RawIssuer))
}

// isMASAURL tells whether it is id-pe-masa-url (RFC 8995, Section 2.3.2).
func isMASAURL(e pkix.Extension) bool {
	return e.Id.Equal(asn1.ObjectIdentifier{1, 3, 6, 1, 5, 5, 7, 1, 32})
}

// sameIssuer tells whether idevid-issuer, where the voucher has one we can
// read, is the issuer of the IDevID.
func sameIssuer(leaf []byte, idevid *x509.Certificate) bool {
	id, ok := voucher.IssuerKeyID(leaf)
	if len(leaf) == 0 || !ok || idevid == nil || len(idevid.AuthorityKeyId) == 0 {
		return true // the serial number and the nonce say which device; nqminds sends a name here
	}
	return bytes.Equal(id, idevid.AuthorityKeyId)
}
