package registrar

import (
	"bytes"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"errors"
	"slices"

	"github.com/briskest/briskest/voucher"
)

// PinRule says which of our certificates a manufacturer's vouchers may pin, and
// which therefore travel with the registrar's voucher-request: a MASA can pin no
// other (RFC 8995, Sections 5.5 and 5.5.2). The zero value takes any.
type PinRule string

// The rules.
const (
	PinAny       PinRule = ""
	PinCA        PinRule = "ca"        // a CA of this network: the registrar's certificate may be replaced later
	PinRegistrar PinRule = "registrar" // the registrar's own: devices trust nothing else of this network
)

func (r PinRule) takes(cert *x509.Certificate) bool {
	switch r {
	case PinAny:
		return true
	case PinCA:
		return cert.IsCA
	case PinRegistrar:
		return !cert.IsCA
	default:
		return false
	}
}

// Errors of pinned.
var (
	errPinsNothing   = errors.New("it pins nothing")
	errPinsOther     = errors.New("it pins a certificate or key that is none of this network's")
	errPinKind       = errors.New("it pins another kind of certificate than the manufacturer's setting pin names")
	errPinsNoServer  = errors.New("the certificate that the registrar shows to devices does not chain to what it pins; correct tls or ca in the configuration")
	errVoucherOnFile = errors.New("the voucher on record cannot be read")
)

// pinned tells whether the voucher pins this network by every pin it has, as
// the rule says, and such that the device will trust the certificate that the
// registrar shows it (RFC 8995, Section 5.6.2): server, or where that is nil one
// of those there are.
func (v *version) pinned(rule PinRule, server *x509.Certificate, got *voucher.Voucher) error {
	pins := pinsOf(got)
	for _, p := range pins {
		if err := v.pins(rule, server, func(cert *x509.Certificate) bool { return bytes.Equal(p.of(cert), p.value) }); err != nil {
			return err
		}
	}
	if len(pins) == 0 {
		return errPinsNothing
	}
	return nil
}

// pin is one of a voucher's, and what it is of a certificate.
type pin struct {
	value []byte
	of    func(cert *x509.Certificate) []byte
}

func pinsOf(got *voucher.Voucher) []pin {
	return slices.DeleteFunc([]pin{
		{got.PinnedDomainCert, func(cert *x509.Certificate) []byte { return cert.Raw }},
		{got.PinnedDomainPubk, func(cert *x509.Certificate) []byte { return cert.RawSubjectPublicKeyInfo }},
		{got.PinnedDomainPubkSHA256, func(cert *x509.Certificate) []byte {
			sum := sha256.Sum256(cert.RawSubjectPublicKeyInfo)
			return sum[:]
		}},
	}, func(p pin) bool { return len(p.value) == 0 })
}

// pins is pinned for one pin.
func (v *version) pins(rule PinRule, server *x509.Certificate, match func(cert *x509.Certificate) bool) error {
	err := errPinsOther
	for _, cert := range v.ours {
		switch {
		case !match(cert):
		case !rule.takes(cert):
			err = errPinKind
		case !v.reaches(cert, server):
			err = errPinsNoServer
		default:
			return nil
		}
	}
	return err
}

// reaches tells whether the server's certificate, or with nil one of those
// there are, chains to the pin.
func (v *version) reaches(pin, server *x509.Certificate) bool {
	for _, cert := range v.TLSCertificates {
		if (server == nil || server.Equal(cert)) && v.above[string(cert.Raw)][string(pin.Raw)] {
			return true
		}
	}
	return false
}

// chainServers notes for each certificate that devices see which of ours it
// chains to, itself among them. Whether they are within their validity is not
// looked at.
func (v *version) chainServers() {
	v.above = make(map[string]map[string]bool, len(v.TLSCertificates))
	for _, server := range v.TLSCertificates {
		reached := map[string]bool{}
		v.climb(server, reached, 0)
		v.above[string(server.Raw)] = reached
	}
}

func (v *version) climb(cert *x509.Certificate, reached map[string]bool, depth int) {
	const limit = 8
	if reached[string(cert.Raw)] || depth > limit {
		return
	}
	reached[string(cert.Raw)] = true
	for _, parent := range v.ours {
		if bytes.Equal(cert.RawIssuer, parent.RawSubject) && cert.CheckSignatureFrom(parent) == nil {
			v.climb(parent, reached, depth+1)
		}
	}
}

// pinnedOnFile is pinsRight for a voucher on record.
func (v *version) pinnedOnFile(m *Manufacturer, owner *Owner, row *VoucherRecord) *Decision {
	const rule = "voucher"
	format := v.format(row.MediaType)
	if format == nil {
		return denyErr(ReasonVoucherMalformed, rule, errVoucherOnFile)
	}
	got, _, err := format.OpenVoucher(row.Voucher)
	if err != nil {
		return denyErr(ReasonVoucherMalformed, rule, err)
	}
	if err := v.pinsRight(m, nil, owner, got); err != nil {
		return denyErr(ReasonVoucherPin, rule, err)
	}
	return nil
}

// publicKeyBits is the BIT STRING of a SubjectPublicKeyInfo.
func publicKeyBits(der []byte) ([]byte, bool) {
	var info struct {
		Algorithm pkix.AlgorithmIdentifier
		Key       asn1.BitString
	}
	rest, err := asn1.Unmarshal(der, &info)
	return info.Key.RightAlign(), err == nil && len(rest) == 0
}
