package registrar

import (
	"bytes"
	"crypto/sha256"
	"crypto/subtle"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"mime"
	"slices"
	"time"

	"github.com/briskest/briskest/brski"
	"github.com/briskest/briskest/voucher"
)

// checkVoucher checks what a MASA sent before the pledge gets it (RFC 8995,
// Section 5.6): it opens, the manufacturer signed it, and it is for this
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
	if _, err := artifact.VerifySigner(m.VoucherAnchors, at); err != nil {
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
	case !v.pinned(got):
		return deny(ReasonVoucherPin, rule)
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
	isMASAURL := func(e pkix.Extension) bool { return e.Id.Equal(asn1.ObjectIdentifier{1, 3, 6, 1, 5, 5, 7, 1, 32}) }
	if slices.ContainsFunc(signer.Extensions, isMASAURL) {
		return true
	}
	numbered := slices.ContainsFunc(signer.Subject.Names, func(a pkix.AttributeTypeAndValue) bool {
		return a.Type.Equal(asn1.ObjectIdentifier{2, 5, 4, 5})
	})
	return numbered && (signer.Subject.CommonName == "" || idevid != nil && bytes.Equal(signer.RawIssuer, idevid.RawIssuer))
}

// pinned tells whether the voucher pins this network by every pin it has.
func (v *version) pinned(got *voucher.Voucher) bool {
	pins := 0
	for _, pin := range []struct {
		value []byte
		match func(cert []byte) bool
	}{
		{got.PinnedDomainCert, sameBytes(got.PinnedDomainCert)},
		{got.PinnedDomainPubk, withKey(func(key []byte) bool { return bytes.Equal(key, got.PinnedDomainPubk) })},
		{got.PinnedDomainPubkSHA256, withKey(func(key []byte) bool {
			sum := sha256.Sum256(key)
			return bytes.Equal(sum[:], got.PinnedDomainPubkSHA256)
		})},
	} {
		if len(pin.value) == 0 {
			continue
		}
		if pins++; !v.pinsUs(pin.match) {
			return false
		}
	}
	return pins > 0
}

func withKey(match func(key []byte) bool) func(cert []byte) bool {
	return func(der []byte) bool {
		cert, err := x509.ParseCertificate(der)
		return err == nil && match(cert.RawSubjectPublicKeyInfo)
	}
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

// checkAuditLog keeps the device's history and holds it against the policy
// (RFC 8995, Section 5.8.3).
func (v *version) checkAuditLog(m *Manufacturer, out *VoucherRecord, log *brski.AuditLog, err error) *Decision {
	const rule = "audit-log"
	switch {
	case (err != nil || log == nil) && m.AllowMissingAuditLog:
		return nil
	case err != nil:
		if d := masaRefusal(err); d.Reason == ReasonMASA {
			return d // may pass when tried again
		}
		return denyErr(ReasonAuditLog, rule, err)
	case log == nil:
		return deny(ReasonAuditLog, rule)
	}
	out.AuditLog = log.Raw
	if out.AuditLog == nil {
		if out.AuditLog, err = json.Marshal(log); err != nil {
			return denyErr(ReasonAuditLog, rule, err)
		}
	}
	if n := v.foreign(log); n > 0 && m.RefuseOtherDomains {
		return denyErr(ReasonOtherDomains, rule, fmt.Errorf("%d entries of other domains", n))
	}
	return nil
}

// foreign counts the entries of other domains than ours.
func (v *version) foreign(log *brski.AuditLog) int {
	ours := make(map[string]bool, len(v.ours))
	for _, der := range v.ours {
		if cert, err := x509.ParseCertificate(der); err == nil {
			ours[base64.StdEncoding.EncodeToString(voucher.DomainID(cert))] = true
		}
	}
	n := 0
	for _, e := range log.Events {
		if !ours[e.DomainID] {
			n++
		}
	}
	return n
}

// otherDomains is foreign for a log on record, for the trail.
func (v *version) otherDomains(raw []byte) int {
	var log brski.AuditLog
	if raw == nil || json.Unmarshal(raw, &log) != nil {
		return 0
	}
	return v.foreign(&log)
}
