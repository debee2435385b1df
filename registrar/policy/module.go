package policy

import (
	"bytes"

	"golang.org/x/crypto/cryptobyte"
	"golang.org/x/crypto/cryptobyte/asn1"

	"github.com/briskest/briskest/registrar"
)

// oidHardwareModule is the content of id-on-hardwareModuleName (RFC 4108, Section 5).
const oidHardwareModule = "\x2b\x06\x01\x05\x05\x07\x08\x04"

// ownModule tells whether each HardwareModuleName (RFC 4108, Section 5) that the
// request asks for has the device's own serial number. One that the profile gives
// by itself is the profile's to choose.
func ownModule(c *registrar.Case, name string) bool {
	for _, der := range c.Names.Other {
		if serial, ok := moduleSerial(der); ok && serial != name && requested(c, der) {
			return false
		}
	}
	return true
}

// requested tells whether the request asks for the name: in a ChangeSubjectName,
// where there is one, since its other names are those of the certificate then.
func requested(c *registrar.Case, der []byte) bool {
	if c.NewNames != nil {
		return bytes.Contains(c.NewNames.AltNames, der)
	}
	for _, e := range c.CSR.Extensions {
		if bytes.Contains(e.Value, der) {
			return true
		}
	}
	return false
}

// moduleSerial returns the hwSerialNum of a GeneralName that has one.
func moduleSerial(der []byte) (string, bool) {
	in := cryptobyte.String(der)
	var other, oid, value, module, serial cryptobyte.String
	context := asn1.Tag(0).ContextSpecific().Constructed()
	ok := in.ReadASN1(&other, context) && other.ReadASN1(&oid, asn1.OBJECT_IDENTIFIER) && string(oid) == oidHardwareModule &&
		other.ReadASN1(&value, context) && value.ReadASN1(&module, asn1.SEQUENCE) && module.SkipASN1(asn1.OBJECT_IDENTIFIER) &&
		module.ReadASN1(&serial, asn1.OCTET_STRING)
	return string(serial), ok
}
