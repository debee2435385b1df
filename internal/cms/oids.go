package cms

import "encoding/asn1"

// The object identifiers are functions so that nobody can change one for everybody else.

// OIDData is id-data (RFC 5652, Section 4).
func OIDData() asn1.ObjectIdentifier { return asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 7, 1} }

// OIDSignedData is id-signedData (RFC 5652, Section 5.1).
func OIDSignedData() asn1.ObjectIdentifier { return asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 7, 2} }

// OIDEnvelopedData is id-envelopedData (RFC 5652, Section 6.1).
func OIDEnvelopedData() asn1.ObjectIdentifier {
	return asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 7, 3}
}

// OIDAuthEnvelopedData is id-ct-authEnvelopedData (RFC 5083, Section 2.1).
func OIDAuthEnvelopedData() asn1.ObjectIdentifier {
	return asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 9, 16, 1, 23}
}

// OIDAnimaJSONVoucher is id-ct-animaJSONVoucher (RFC 8366, Section 8.4).
func OIDAnimaJSONVoucher() asn1.ObjectIdentifier {
	return asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 9, 16, 1, 40}
}

// OIDPKIData is id-cct-PKIData (RFC 5272, Section 3.2.1).
func OIDPKIData() asn1.ObjectIdentifier { return asn1.ObjectIdentifier{1, 3, 6, 1, 5, 5, 7, 12, 2} }

// OIDPKIResponse is id-cct-PKIResponse (RFC 5272, Section 3.2.2).
func OIDPKIResponse() asn1.ObjectIdentifier { return asn1.ObjectIdentifier{1, 3, 6, 1, 5, 5, 7, 12, 3} }

// OIDAsymmetricKeyPackage is id-ct-KP-aKeyPackage (RFC 5958, Section 2).
func OIDAsymmetricKeyPackage() asn1.ObjectIdentifier {
	return asn1.ObjectIdentifier{2, 16, 840, 1, 101, 2, 1, 2, 78, 5}
}

// OIDAttributeContentType is the content-type attribute (RFC 5652, Section 11.1).
func OIDAttributeContentType() asn1.ObjectIdentifier {
	return asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 9, 3}
}

// OIDAttributeMessageDigest is the message-digest attribute (RFC 5652, Section 11.2).
func OIDAttributeMessageDigest() asn1.ObjectIdentifier {
	return asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 9, 4}
}

// OIDAttributeSigningTime is the signing-time attribute (RFC 5652, Section 11.3).
func OIDAttributeSigningTime() asn1.ObjectIdentifier {
	return asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 9, 5}
}
