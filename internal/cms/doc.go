// Package cms implements the parts of the Cryptographic Message Syntax that device provisioning needs:
//
//   - SignedData (RFC 5652, Section 5): [ParseSignedData], [SignedData.Verify], [Sign]
//   - certs-only SignedData (RFC 5272, Section 4.1): [CertsOnly], [ParseCertsOnly]
//   - EnvelopedData and AuthEnvelopedData (RFC 5652, Section 6; RFC 5083): [Encrypt], [ParseEnveloped]
//
// Everything received is bounded in size, depth and count before memory is given to it ([ToDER]). Both BER
// and DER are read; only DER is written, but for the order of the certificates in [CertsOnly], which is the caller's.
//
// The package decides neither about trust nor about time: it says which key signed, and the caller says
// whether that key may. It knows no SHA-1, MD5, PKCS#1 v1.5 encryption or Triple-DES: what names them is refused.
package cms
