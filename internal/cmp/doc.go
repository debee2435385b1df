// Package cmp is the message layer of the Certificate Management Protocol (RFC 4210, with RFC 9480 and RFC 9810), as far as the
// Lightweight CMP Profile (RFC 9483) has an RA speak to a CA:
//
//   - PKIMessage: Parse, Marshal
//   - bodies: requests by PKCS #10 and CRMF, CertRep, CertConf, PollReq and PollRep, RevReq and RevRep, ErrorContent
//   - protection by signature and by MAC (password-based MAC and PBMAC1, RFC 9481, Section 6.1): Signature, MAC,
//     Message.VerifySignature, Message.VerifyMAC
//
// The package decides nothing: a protection that verifies says who held the key or knew the secret. Whether that is the CA, and
// whether the message answers what was asked, is for the caller. Everything received is bounded in size, depth and count.
package cmp
