package pledge

import (
	"bytes"
	"crypto/subtle"
	"encoding/asn1"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/briskest/briskest/voucher"
)

// untrusted makes the error of a check that failed.
func untrusted(reason, section, message string, err error) *Error {
	return &Error{Reason: reason, class: ErrUntrusted, Section: section, Message: message, Err: err}
}

const (
	section561 = "RFC 8995, Section 5.6.1"
	section562 = "RFC 8995, Section 5.6.2"
)

// checkAnswer checks what surrounds the voucher.
func (r *run) checkAnswer(a *answer) *Error {
	switch {
	case a.tooLarge:
		return untrusted(ReasonVoucherTooLarge, "", fmt.Sprintf("the voucher has more than %d bytes", maxVoucher), nil)
	case a.mediaType != r.c.Format.MediaType():
		return untrusted(ReasonVoucherMediaType, "RFC 8995, Section 5.6",
			fmt.Sprintf("the registrar answered with %q and not with a voucher of type %s",
				printable([]byte(a.mediaType), 80), r.c.Format.MediaType()), nil)
	case len(a.body) == 0:
		return untrusted(ReasonVoucherEmpty, "RFC 8995, Section 5.6", "the registrar answered 200 without a voucher", nil)
	default:
		return nil
	}
}

// checkVoucher opens raw and checks it against this device and its request, as
// of the given time: signature and signer, serial number and what makes it
// unique, nonce (RFC 8995, Section 5.6.1), dates (Section 2.6.1), assertion (RFC
// 8366, Section 5.3), pin. Leaves that are not known are ignored. What is
// believed afterwards is in r: voucher, pin, made.
func (r *run) checkVoucher(raw []byte, at time.Time) *Error {
	v, artifact, err := r.c.Format.OpenVoucher(raw)
	var leaf *voucher.LeafError
	switch {
	case errors.As(err, &leaf) && leaf.Leaf == "pinned-domain-cert" && errors.Is(err, voucher.ErrMissingLeaf):
		return noPin(err)
	case err != nil:
		return untrusted(ReasonVoucherMalformed, section561, "the answer is not a signed voucher", err)
	}
	for _, check := range []func() *Error{
		func() *Error { return r.checkSigner(artifact, at) },
		func() *Error { return r.checkSerialNumber(v) },
		func() *Error { return r.checkIssuer(v) },
		func() *Error { return r.checkNonce(v) },
		func() *Error { return r.checkDates(v, artifact, at) },
		func() *Error { return r.checkAssertion(v) },
	} {
		if e := check(); e != nil {
			return e
		}
	}
	p, e := pinned(v, r.request)
	if e != nil {
		return e
	}
	r.voucher, r.pin, r.made = v, p, v.CreatedOn
	if artifact.SigningTime.After(r.made) {
		r.made = artifact.SigningTime
	}
	return nil
}

// checkSigner trusts the manufacturer's anchors and nobody else. They often
// are those of the IDevIDs too; a device does not make vouchers, so a
// certificate that names a MASA, as only an IDevID does, is refused.
func (r *run) checkSigner(artifact *voucher.Artifact, at time.Time) *Error {
	if artifact.Signer == nil {
		return untrusted(ReasonVoucherSigner, section561, "the voucher does not say who signed it", nil)
	}
	isMASAURL := func(oid asn1.ObjectIdentifier) bool {
		return oid.Equal(asn1.ObjectIdentifier{1, 3, 6, 1, 5, 5, 7, 1, 32})
	}
	for _, extension := range artifact.Signer.Extensions {
		if isMASAURL(extension.Id) {
			return untrusted(ReasonVoucherSigner, section561, "the voucher is signed by a device", nil)
		}
	}
	if _, err := artifact.VerifySigner(r.c.Anchors, r.validAt(artifact.Signer, at)); err != nil {
		return untrusted(ReasonVoucherSigner, section561, "the voucher's signer is not one that the manufacturer's anchors vouch for", err)
	}
	return nil
}

func (r *run) checkSerialNumber(v *voucher.Voucher) *Error {
	if v.SerialNumber == r.serial {
		return nil
	}
	return untrusted(ReasonVoucherSerial, section561,
		fmt.Sprintf("the voucher is for serial number %q, this device is %q", printable([]byte(v.SerialNumber), 80), r.serial), nil)
}

// checkIssuer compares idevid-issuer, which tells manufacturers with equal
// serial numbers apart (RFC 8366, Section 5.3).
func (r *run) checkIssuer(v *voucher.Voucher) *Error {
	if len(v.IDevIDIssuer) == 0 {
		return nil
	}
	own, err := voucher.IDevIDIssuer(r.idevid)
	if err == nil {
		theirs, readable := voucher.IssuerKeyID(v.IDevIDIssuer)
		ours, known := voucher.IssuerKeyID(own)
		if readable && known && bytes.Equal(theirs, ours) {
			return nil
		}
	}
	return untrusted(ReasonVoucherIssuer, section561, "the voucher's idevid-issuer is not the issuer of this device's IDevID", err)
}

// checkNonce wants the nonce of the request, or none: a voucher without one is
// taken, which may be an old one, unless the policy is otherwise
// (RFC 8995, Sections 5.6.1 and 7.2).
func (r *run) checkNonce(v *voucher.Voucher) *Error {
	switch {
	case v.Nonce == "" && r.c.RefuseNonceless:
		return untrusted(ReasonVoucherNonceless, "RFC 8995, Section 7.2", "the voucher has no nonce and may be an old one", nil)
	case v.Nonce != "" && subtle.ConstantTimeCompare([]byte(v.Nonce), []byte(r.request.Nonce)) != 1:
		return untrusted(ReasonVoucherNonce, section561, "the voucher's nonce is not the one of this request", nil)
	default:
		return nil
	}
}

// checkDates checks the voucher's dates where there is a clock (RFC 8995, Section 2.6.1).
func (r *run) checkDates(v *voucher.Voucher, artifact *voucher.Artifact, at time.Time) *Error {
	if r.c.NoClock {
		return nil
	}
	const section = "RFC 8995, Section 2.6.1"
	if !v.ExpiresOn.IsZero() && at.After(v.ExpiresOn) {
		return untrusted(ReasonVoucherExpired, section,
			fmt.Sprintf("the voucher expired on %s; is the device's clock right?", v.ExpiresOn.UTC().Format(time.RFC3339)), nil)
	}
	latest := at.Add(maxClockSkew)
	for _, made := range []time.Time{v.CreatedOn, artifact.SigningTime} {
		if made.After(latest) {
			return untrusted(ReasonVoucherFuture, section,
				fmt.Sprintf("the voucher was made on %s, which is to come; is the device's clock right?", made.UTC().Format(time.RFC3339)), nil)
		}
	}
	return nil
}

// checkAssertion holds the MASA's assertion against the policy (RFC 8366, Section 5.3).
func (r *run) checkAssertion(v *voucher.Voucher) *Error {
	if len(r.c.Assertions) == 0 || slices.Contains(r.c.Assertions, v.Assertion) {
		return nil
	}
	return untrusted(ReasonVoucherAssertion, "RFC 8366, Section 5.3",
		fmt.Sprintf("the voucher says %q of the ownership, this device takes %q alone", printable([]byte(v.Assertion), 40), r.c.Assertions), nil)
}
