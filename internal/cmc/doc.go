// Package cmc is the message layer of Certificate Management over CMS (RFC 5272, with the corrections of RFC 6402):
//
//   - PKIData and PKIResponse with their controls: ParsePKIData, ParsePKIResponse, Marshal
//   - certificate requests inside: PKCS #10, and CRMF (RFC 4211): Request
//   - proofs: IdentityProofV2, POPLinkWitnessV2 (RFC 5272, Sections 6.2 and 6.3)
//   - Full PKI Requests and Responses in their CMS envelopes: OpenRequest, OpenResponse, SignRequest, SignResponse
//   - the media types of RFC 5273: KindOf
//
// A server starts with OpenRequest and answers with SignResponse; a client puts what NewPKCS10 or NewCRMF returns into a
// PKIData, and has SignRequest and OpenResponse. Controls are found by Find and Values.
//
// The package decides nothing: OpenRequest says which certificate or which bare key signed, and a proof that verifies
// says that somebody knew the secret. Whether that somebody may have what is asked is for the caller. Nothing is stored.
// Everything received is bounded in size, depth and count.
package cmc
