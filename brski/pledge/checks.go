package pledge

import (
	"bytes"
	"crypto/subtle"
	"crypto/x509"
	"encoding/asn1"
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
// of the given time, in the order of RFC 8995, Section 5.6.1. Leaves that are
// not known are ignored.
func (r *run) checkVoucher(raw []byte, at time.Time) (*voucher.Voucher, *Error) {
	v, artifact, err := r.c.Format.OpenVoucher(raw)
	if err != nil {
		return nil, untrusted(ReasonVoucherMalformed, section561, "the answer is not a signed voucher", err)
	}
	if e := r.checkSigner(artifact, at); e != nil {
		return nil, e
	}
	if v.SerialNumber != r.serial {
		return nil, untrusted(ReasonVoucherSerial, section561,
			fmt.Sprintf("the voucher is for serial number %q, this device is %q", printable([]byte(v.SerialNumber), 80), r.serial), nil)
	}
	if e := r.checkIssuer(v); e != nil {
		return nil, e
	}
	if e := r.checkFreshness(v, artifact, at); e != nil {
		return nil, e
	}
	r.made = v.CreatedOn
	if artifact.SigningTime.After(r.made) {
		r.made = artifact.SigningTime
	}
	return v, nil
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

// checkFreshness checks the nonce, and where there is a clock the dates (RFC
// 8995, Sections 2.6.1 and 5.6.1).
func (r *run) checkFreshness(v *voucher.Voucher, artifact *voucher.Artifact, at time.Time) *Error {
	switch {
	case v.Nonce == "" && !r.c.AllowNonceless:
		return untrusted(ReasonVoucherNonceless, "RFC 8995, Section 7.2", "the voucher has no nonce and may be an old one", nil)
	case v.Nonce != "" && subtle.ConstantTimeCompare([]byte(v.Nonce), []byte(r.request.Nonce)) != 1:
		return untrusted(ReasonVoucherNonce, section561, "the voucher's nonce is not the one of this request", nil)
	case r.c.NoClock:
		return nil
	}
	const section = "RFC 8995, Section 2.6.1"
	if !v.ExpiresOn.IsZero() && at.After(v.ExpiresOn) {
		return untrusted(ReasonVoucherExpired, section,
			fmt.Sprintf("the voucher expired on %s; is the device's clock right?", v.ExpiresOn.UTC().Format(time.RFC3339)), nil)
	}
	latest := at.Add(maxClockSkew)
	if v.CreatedOn.After(latest) || artifact.SigningTime.After(latest) {
		return untrusted(ReasonVoucherFuture, section,
			fmt.Sprintf("the voucher was made on %s, which is to come; is the device's clock right?", v.CreatedOn.UTC().Format(time.RFC3339)), nil)
	}
	return nil
}

// pinned returns the certificate that v pins. A voucher that pins something
// else is one for other protocols; that is no error of form (RFC 8995, Section 5.6.1).
//
// One that delegates means more than its pin says; a device that does not know
// what (draft-ietf-anima-voucher-delegation-02, Section 5) leaves it alone.
func pinned(v *voucher.Voucher) (*x509.Certificate, *Error) {
	if v.Delegation != nil {
		return nil, untrusted(ReasonVoucherNoPin, section561, "the voucher delegates to somebody else, which this device does not follow", nil)
	}
	if len(v.PinnedDomainCert) == 0 {
		return nil, untrusted(ReasonVoucherNoPin, section561, "the voucher has no pinned-domain-cert", nil)
	}
	pin, err := x509.ParseCertificate(v.PinnedDomainCert)
	if err != nil {
		return nil, untrusted(ReasonVoucherPin, section561, "the voucher's pinned-domain-cert is not a certificate", err)
	}
	return pin, nil
}

// trustPin trusts a server whose certificate is the pinned one or follows from
// it (RFC 8995, Section 5.6.2).
func (r *run) trustPin(server []*x509.Certificate) *Error {
	return r.checkServer(server, []*x509.Certificate{r.pin})
}

// trustDomain trusts, besides, what follows from the domain's CA certificates
// (RFC 8995, Section 5.6.2: they are more authoritative than the pin).
func (r *run) trustDomain(server []*x509.Certificate) *Error {
	return r.checkServer(server, append(anchors(r.cas), r.pin))
}

// checkServer checks the registrar's chain against the anchors. An anchor may
// be the server's own certificate, or another one of its key: the public key
// is what is pinned (RFC 8995, Section 5.6.2). Under a CA many hold
// certificates: such a server has to be a registration authority (id-kp-cmcRA;
// RFC 7030, Section 3.6.1). Its name does not count. The address that a pledge
// was given is not to be trusted, and any member of the domain may hold a
// certificate for it.
func (r *run) checkServer(server, trusted []*x509.Certificate) *Error {
	leaf, at := server[0], r.c.Now()
	var cause error
	for _, anchor := range trusted {
		if anchor == nil {
			continue
		}
		direct := bytes.Equal(anchor.RawSubjectPublicKeyInfo, leaf.RawSubjectPublicKeyInfo)
		if cause = r.chain(server, anchor, direct, at); cause == nil && (direct || isRegistrar(leaf)) {
			return nil
		}
	}
	message := "the registrar's certificate does not follow from what is pinned; this is another registrar than the one the voucher names"
	if cause == nil {
		message = "the registrar's certificate is of the right domain, but has neither id-kp-cmcRA nor the pinned key"
	}
	return untrusted(ReasonNotPinned, section562, message, cause)
}

// chain verifies a path from server to anchor; a direct one has no steps, only dates.
func (r *run) chain(server []*x509.Certificate, anchor *x509.Certificate, direct bool, at time.Time) error {
	leaf := server[0]
	if direct {
		if !r.c.NoClock && (at.Before(leaf.NotBefore) || at.After(leaf.NotAfter)) {
			return x509.CertificateInvalidError{Cert: leaf, Reason: x509.Expired}
		}
		return nil
	}
	roots := x509.NewCertPool()
	roots.AddCert(anchor)
	intermediates, err := voucher.Intermediates(leaf, append(slices.Clone(server[1:]), r.cas...))
	if err != nil {
		return err
	}
	_, err = leaf.Verify(x509.VerifyOptions{
		Roots: roots, Intermediates: intermediates, CurrentTime: r.validAt(leaf, at),
		KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageAny}, // isRegistrar decides
	})
	return err
}

func isRegistrar(c *x509.Certificate) bool {
	cmcRA := asn1.ObjectIdentifier{1, 3, 6, 1, 5, 5, 7, 3, 28} // RFC 6402, Section 2.10
	return slices.ContainsFunc(c.UnknownExtKeyUsage, cmcRA.Equal)
}

// validAt returns the time at which c is verified: now, or without a clock the
// time when c was issued, at which the CAs above were good too (RFC 8995, Section 2.6.1).
func (r *run) validAt(c *x509.Certificate, now time.Time) time.Time {
	if r.c.NoClock {
		return c.NotBefore
	}
	return now
}
