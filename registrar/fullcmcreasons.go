package registrar

import (
	"errors"
	"net/http"

	"github.com/briskest/briskest/est"
	"github.com/briskest/briskest/internal/cmc"
	"github.com/briskest/briskest/internal/cms"
)

// Reason ids of fullcmc alone. Whatever simpleenroll refuses too has the reason
// id that it has there.
const (
	ReasonCMCMalformed    = "cmc-malformed"
	ReasonCMCSignature    = "cmc-signature"
	ReasonCMCAlgorithm    = "cmc-algorithm"
	ReasonCMCEncrypted    = "cmc-encrypted"
	ReasonCMCSigners      = "cmc-signers"
	ReasonCMCControl      = "cmc-control"
	ReasonCMCReference    = "cmc-reference"
	ReasonCMCRequestType  = "cmc-request-type"
	ReasonCMCTooMany      = "cmc-too-many-requests"
	ReasonCMCNested       = "cmc-nested-request"
	ReasonCMCNotRA        = "cmc-not-ra"
	ReasonCMCIdentity     = "cmc-two-identities"
	ReasonCMCSecret       = "cmc-identity-proof"
	ReasonCMCPOPRequired  = "cmc-pop-required"
	ReasonCMCPOPFailed    = "cmc-pop-failed"
	ReasonCMCPOPLink      = "cmc-pop-link"
	ReasonCMCTemplate     = "cmc-template"
	ReasonCMCToken        = "cmc-token"
	ReasonCMCTokenOther   = "cmc-token-of-another"
	ReasonCMCCertificate  = "cmc-certificate-unknown"
	ReasonCMCRevocation   = "cmc-revocation-not-allowed"
	ReasonCMCRevokeReason = "cmc-revocation-reason"
	ReasonCMCNoCRL        = "cmc-no-crl"
	ReasonCMCSigner       = "cmc-signer-unavailable"
	ReasonCMCStopped      = "cmc-not-processed"
	// ReasonExtension is for every road.
	ReasonExtension = "extension-unsupported"
)

func cmcReasons() []ReasonText {
	const fullRequest, controls, identity = "RFC 5272, Section 3.2", "RFC 5272, Section 3.2.1.1", "RFC 5272, Section 6.2"
	const ra, revocation = "RFC 5272, Section 7", "RFC 5272, Section 6.11"
	return []ReasonText{
		{ReasonCMCMalformed, http.StatusBadRequest, "RFC 7030, Section 4.3.1", "the body is not a Full PKI Request"},
		{ReasonCMCSignature, http.StatusBadRequest, fullRequest, "a signature on the request does not verify, or whose it is cannot be told"},
		{ReasonCMCAlgorithm, http.StatusBadRequest, "RFC 5274, Section 4.1", "an algorithm of the request is unknown or too weak; use SHA-256 or better"},
		{ReasonCMCEncrypted, http.StatusBadRequest, "RFC 5272, Section 5", "the request is encrypted, and not to this registrar's certificate"},
		{ReasonCMCSigners, http.StatusBadRequest, fullRequest, "the request must have exactly one signer, and an envelope around it the same"},
		{ReasonCMCControl, http.StatusBadRequest, controls, "the request has a control that is not understood or not taken here"},
		{ReasonCMCReference, http.StatusBadRequest, "RFC 5272, Section 3.2.2", "a control names a part that the request does not have"},
		{ReasonCMCRequestType, http.StatusBadRequest, "RFC 5272, Section 3.2.1.2.3", "this type of certification request is not supported; send PKCS#10 or CRMF"},
		{ReasonCMCTooMany, http.StatusRequestEntityTooLarge, ra, "the message has too many requests; send fewer in one"},
		{ReasonCMCNested, http.StatusForbidden, ra, "only an RA passes on the requests of others"},
		{ReasonCMCNotRA, http.StatusForbidden, "RFC 6402, Section 2.10", "only an RA of this network may use this control"},
		{ReasonCMCIdentity, http.StatusForbidden, "RFC 7030, Section 3.7", "the certificate of the TLS connection is not the one that signed the request; only an RA sends what others have signed"},
		{ReasonCMCSecret, http.StatusForbidden, identity, "the identity proof does not match: name or shared secret is wrong"},
		{ReasonCMCPOPRequired, http.StatusBadRequest, "RFC 5272, Section 3.2.1.2.2", "the request does not prove possession of its private key by a signature"},
		{ReasonCMCPOPFailed, http.StatusBadRequest, "RFC 5272, Section 3.2.1.2.2", "the proof of possession does not verify"},
		{ReasonCMCPOPLink, http.StatusForbidden, "RFC 5272, Section 6.3.1", "the POP link witness does not match, or there is nothing to verify it with"},
		{ReasonCMCTemplate, http.StatusBadRequest, "RFC 5272, Section 6.5.1", "an RA's template may change subject and extensions only"},
		{ReasonCMCToken, http.StatusNotFound, "RFC 5272, Section 6.13", "no request waits under this token; send the request itself again"},
		{ReasonCMCTokenOther, http.StatusForbidden, "RFC 5272, Section 6.13", "the request under this token is somebody else's"},
		{ReasonCMCCertificate, http.StatusNotFound, "RFC 5272, Section 6.1.4", "there is no such certificate of this CA"},
		{ReasonCMCRevocation, http.StatusForbidden, revocation, "a certificate is revoked by who has its key, by an RA of its profile, or with the shared secret it was issued for"},
		{ReasonCMCRevokeReason, http.StatusBadRequest, "RFC 5280, Section 5.3.1", "this revocation reason is not taken here"},
		{ReasonCMCNoCRL, http.StatusNotFound, "RFC 5272, Section 6.10", "there is no such CRL of this CA"},
		{ReasonCMCSigner, http.StatusInternalServerError, "RFC 5272, Section 3.2.1.3.4", "the registrar cannot sign its answers at the moment"},
		{ReasonCMCStopped, http.StatusBadRequest, "RFC 5272, Section 3.2.1", "not processed, because another part of the message was refused"},
		{ReasonExtension, http.StatusBadRequest, "RFC 5272, Section 3.1", "the request asks for a critical extension that is not known here"},
	}
}

// failInfo is what CMC says for a decision (RFC 5272, Section 6.1.4).
func failInfo(d *Decision) cmc.FailInfo {
	switch d.Reason {
	case ReasonCMCAlgorithm, ReasonKeyRefused, est.ReasonCSRWeakSignature, est.ReasonCSRSignatureAlgorithm, est.ReasonCSRKeyType, est.ReasonCSRKeySize:
		return cmc.FailBadAlg
	case ReasonCMCSignature:
		return cmc.FailBadMessageCheck
	case ReasonCMCCertificate, ReasonCMCNoCRL:
		return cmc.FailBadCertID
	case ReasonExtension:
		return cmc.FailUnsupportedExt
	case ReasonCMCPOPRequired, est.ReasonLinkMissing:
		return cmc.FailPOPRequired
	case ReasonCMCPOPFailed, ReasonCMCPOPLink, est.ReasonCSRSignature, est.ReasonLinkMismatch, est.ReasonLinkUsed:
		return cmc.FailPOPFailed
	case ReasonSameKey, ReasonKeyCompromised, ReasonKeyShared:
		return cmc.FailNoKeyReuse
	case ReasonInternal, ReasonIssuerFailed, ReasonIssuerDisagrees, ReasonCMCSigner:
		return cmc.FailInternalCAError
	case ReasonStore, ReasonOverload, ReasonDeviceBudget, ReasonAddressBudget, ReasonDomainBudget, ReasonPendingFull, ReasonIssuerDown, ReasonCAEnded, ReasonWebhookFailed:
		return cmc.FailTryLater
	}
	status := d.Status
	if status == 0 {
		status = Explain(d.Reason).Status
	}
	if status == http.StatusUnauthorized || status == http.StatusForbidden {
		return cmc.FailBadIdentity
	}
	return cmc.FailBadRequest
}

// malformed is the refusal for what package cmc found.
func malformed(err error) *refused {
	var e *cmc.Error
	if !errors.As(err, &e) {
		return &refused{d: denyErr(ReasonCMCMalformed, "cmc", err), info: cmc.FailBadRequest, bodies: wholeMessage()}
	}
	out := &refused{d: denyErr(reasonOf(e), "cmc", err), info: e.FailInfo, bodies: e.Bodies}
	if e.Status == cmc.StatusNoSupport {
		out.status = e.Status
	}
	return out
}

// reasonOf is the reason id for an error of package cmc.
func reasonOf(e *cmc.Error) string {
	switch {
	case errors.Is(e, cmc.ErrEncrypted), errors.Is(e, cms.ErrDecrypt), errors.Is(e, cms.ErrNoRecipient):
		return ReasonCMCEncrypted
	case errors.Is(e, cmc.ErrTooLarge):
		return ReasonCMCTooMany
	case errors.Is(e, cmc.ErrSigners):
		return ReasonCMCSigners
	case errors.Is(e, cmc.ErrReference):
		return ReasonCMCReference
	}
	switch e.FailInfo {
	case cmc.FailBadAlg:
		return ReasonCMCAlgorithm
	case cmc.FailBadMessageCheck:
		return ReasonCMCSignature
	case cmc.FailPOPFailed:
		return ReasonCMCPOPFailed
	case cmc.FailPOPRequired:
		return ReasonCMCPOPRequired
	case cmc.FailBadIdentity:
		return ReasonCMCSecret
	default:
		if e.Status == cmc.StatusNoSupport {
			return ReasonCMCRequestType
		}
		return ReasonCMCMalformed
	}
}

func wholeMessage() []cmc.BodyPartPath { return []cmc.BodyPartPath{{0}} }

// refused is a part of a message that is not granted, or not yet.
type refused struct {
	d      *Decision
	status cmc.Status // zero for failed
	info   cmc.FailInfo
	bodies []cmc.BodyPartPath
	token  []byte     // of one that waits
	e      *est.Error // what HTTP says; set when it is on record
}

// asRefusal is the est.Error that Service.refuse returns.
func asRefusal(err error, d *Decision, c *Case) *est.Error {
	var e *est.Error
	if errors.As(err, &e) {
		return e
	}
	return d.answer(c)
}

// refuseParts refuses parts of a message.
func refuseParts(d *Decision, ids ...cmc.BodyPartID) *refused {
	f := &refused{d: d, info: failInfo(d)}
	for _, id := range ids {
		f.bodies = append(f.bodies, cmc.BodyPartPath{id})
	}
	if len(ids) == 0 {
		f.bodies = wholeMessage()
	}
	return f
}

// notOffered is the answer of a label without fullcmc: a client takes 501 for
// an operation that there is not (RFC 7030, Section 4.3.2).
func notOffered() error {
	return &est.Error{
		Status: http.StatusNotImplemented, Reason: est.ReasonOperationMissing, Section: "RFC 7030, Section 4.3",
		Message: "Full CMC is not offered at this label. simpleenroll and simplereenroll are.",
	}
}
