package registrar

import (
	"crypto/x509"
	"encoding/asn1"
	"encoding/hex"

	"golang.org/x/crypto/cryptobyte"
	cbasn1 "golang.org/x/crypto/cryptobyte/asn1"
)

// HardwareModule returns the HardwareModuleName of a certificate's
// SubjectAltName as [Device] has it: the hwType as dotted numbers, ":" and the
// hwSerialNum in hex (RFC 4108, Section 5; RFC 8995, Section 2.3.1). Without
// one, with more than one, or one that cannot be read or is too long, it is "".
func HardwareModule(cert *x509.Certificate) string {
	found := ""
	for _, e := range cert.Extensions {
		if !e.Id.Equal(asn1.ObjectIdentifier{2, 5, 29, 17}) {
			continue
		}
		in := cryptobyte.String(e.Value)
		var names, name cryptobyte.String
		if !in.ReadASN1(&names, cbasn1.SEQUENCE) || !in.Empty() {
			return ""
		}
		for !names.Empty() {
			if !names.ReadAnyASN1Element(&name, nil) {
				return ""
			}
			module, is := moduleText(name)
			if is && (found != "" || module == "") {
				return ""
			}
			found += module
		}
	}
	return found
}

// knowModule notes the hardware module of the device's IDevID, where it has one.
func (d *Device) knowModule(idevid *x509.Certificate) {
	if module := HardwareModule(idevid); module != "" {
		d.HardwareModule = module
	}
}

// oidHardwareModule is the content of id-on-hardwareModuleName (RFC 4108, Section 5).
const oidHardwareModule = "\x2b\x06\x01\x05\x05\x07\x08\x04"

// moduleText tells whether a GeneralName is a HardwareModuleName, and which.
func moduleText(der cryptobyte.String) (text string, is bool) {
	var other, oid, value, module, serial cryptobyte.String
	var kind asn1.ObjectIdentifier
	context := cbasn1.Tag(0).ContextSpecific().Constructed()
	if !der.ReadASN1(&other, context) || !other.ReadASN1(&oid, cbasn1.OBJECT_IDENTIFIER) || string(oid) != oidHardwareModule {
		return "", false
	}
	ok := other.ReadASN1(&value, context) && other.Empty() && value.ReadASN1(&module, cbasn1.SEQUENCE) && value.Empty() &&
		module.ReadASN1ObjectIdentifier(&kind) && module.ReadASN1(&serial, cbasn1.OCTET_STRING) && module.Empty() && len(serial) > 0
	text = kind.String() + ":" + hex.EncodeToString(serial)
	if !ok || len(text) > MaxDetail {
		return "", true
	}
	return text, true
}
