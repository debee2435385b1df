package registrar

import (
	"net/http"

	"github.com/briskest/briskest/est"
)

// The reason ids. They are stable: scripts and the trail rely on them. Those
// that a handler gives before the service is asked (malformed bodies, media
// types, paths, the link of a CSR to its connection, changed names in a renewal)
// are those of est and brski; where both can refuse the same, the id is the same.
const (
	ReasonAllowed      = "allowed"
	ReasonAskedAgain   = "asked-again"   // allowed, and answered with the current certificate
	ReasonInternal     = "internal"      // a fault of ours; the log knows more
	ReasonStore        = "store"         // the record could not be read or written
	ReasonOverload     = "overload"      // more at once than the service takes
	ReasonUnknownLabel = "unknown-label" // no such EST label

	// Who is it?
	ReasonNoCredentials       = "no-credentials"
	ReasonBadCredentials      = "bad-credentials"
	ReasonStaleDigest         = "digest-stale" // right, but its nonce is not, or was used before
	ReasonBadToken            = "bad-token"
	ReasonTokenUnknown        = "token-unknown" // whether it is good cannot be told now
	ReasonCodeExpired         = "code-expired"
	ReasonCodeRevoked         = "code-revoked"
	ReasonCodeSpent           = "code-spent"
	ReasonGuesses             = "code-budget"
	ReasonRevocationUnknown   = "revocation-unknown"
	ReasonNoCertificate       = "no-client-certificate"
	ReasonUntrusted           = "certificate-untrusted"
	ReasonExpired             = "certificate-expired"
	ReasonNotOnRecord         = "certificate-not-on-record"
	ReasonRevoked             = "certificate-revoked"
	ReasonOnHold              = "certificate-on-hold"
	ReasonSuperseded          = "certificate-superseded"
	ReasonUnknownManufacturer = "unknown-manufacturer"
	ReasonNoSerialNumber      = "idevid-without-serial-number"
	ReasonIDevIDMismatch      = "idevid-mismatch"
	ReasonIDevIDRevoked       = "idevid-revoked"
	ReasonIDevIDRevocation    = "idevid-revocation-unknown" // nobody answers whether it is

	// May it?
	ReasonDeviceUnknown        = "device-unknown"
	ReasonDeviceSuspended      = "device-suspended"
	ReasonDeviceDecommissioned = "device-decommissioned"
	ReasonQuarantined          = "device-quarantined"
	ReasonNotVouched           = "device-not-vouched"
	ReasonMethodNotAllowed     = "authentication-not-allowed"
	ReasonForeignName          = "foreign-name"
	ReasonSerialMismatch       = "serial-number-mismatch"
	ReasonNamesRefused         = "names-refused"
	ReasonNoName               = "no-name"
	ReasonKeyRefused           = "key-refused"
	ReasonNameTaken            = "name-taken"
	ReasonNameReserved         = "name-reserved"   // it is the registrar's
	ReasonKeyCompromised       = "key-compromised" // a certificate of it was revoked for that
	ReasonKeyShared            = "key-shared"      // another device has it
	ReasonBindingMissing       = est.ReasonLinkMissing
	ReasonKeyGenNotAllowed     = "serverkeygen-not-allowed"
	ReasonKeyEncryption        = "key-encryption-required"
	ReasonDeviceBudget         = "device-budget"
	ReasonAddressBudget        = "address-budget"
	ReasonDomainBudget         = "domain-budget"
	ReasonDeviceQuota          = "device-quota"
	ReasonGroupDenied          = "group-denied"      // the group's decision
	ReasonGroupRequirement     = "group-requirement" // of the group, that the device does not meet
	ReasonGroupUnknown         = "group-unknown"     // an operator put the device into one that is not there any more
	ReasonGroupProfile         = "group-profile"     // the group's profile is not there any more
	ReasonNoBaseline           = "baseline-none"
	ReasonBaselineAck          = "baseline-not-delivered" // what is acknowledged is not what the device was given
	ReasonBaselineFailed       = "baseline-failed"        // the document makes no text for this device
	ReasonGroupNames           = "group-names"            // the group's profile names another device than the label's does

	// Renewal.
	ReasonRenewalNotAllowed = "renewal-not-allowed"
	ReasonNamesChanged      = "names-changed"
	ReasonOtherProfile      = "other-profile"
	ReasonRenewalTooEarly   = "renewal-too-early"
	ReasonRenewalLimit      = "renewal-limit"
	ReasonSameKey           = "same-key"

	// Waiting.
	ReasonApproval            = "waiting-for-approval"
	ReasonApprovalDenied      = "approval-denied"
	ReasonWebhook             = "waiting-for-webhook"
	ReasonWebhookDenied       = "webhook-denied"
	ReasonWebhookFailed       = "webhook-failed"
	ReasonPendingFull         = "pending-full"
	ReasonIssuerPending       = "waiting-for-issuer"
	ReasonIssuerRejected      = "issuer-rejected"
	ReasonNothingToDistribute = "nothing-to-distribute"
	ReasonIssuerDown          = "issuer-unavailable"
	ReasonCAEnded             = "ca-expired" // its own certificate, or one above it
	ReasonIssuerFailed        = "issuer-failed"
	ReasonKeyGenLater         = "key-generation-issuer-pending" // serverkeygen at an issuer that answers later
	ReasonIssuedForNobody     = "issued-for-nobody"             // a certificate that came when nobody was to get it any more
	ReasonIssuerDisagrees     = "issuer-disagrees"              // it signed something else than was decided

	// The voucher-request.
	ReasonRequestRefused    = "voucher-leaf"
	ReasonSignerMismatch    = "signer-not-client"
	ReasonNonceMissing      = "nonce-missing"
	ReasonNonceUsed         = "nonce-used"
	ReasonCreatedOn         = "created-on"
	ReasonAssertion         = "assertion-refused"
	ReasonProximity         = "proximity-mismatch"
	ReasonDeviceUnlisted    = "device-unlisted"
	ReasonDeviceKind        = "device-kind"
	ReasonOwnerUnknown      = "owner-unknown"   // of a cloud registrar, as are the next two
	ReasonOwnerElsewhere    = "owner-elsewhere" // the device is sent there
	ReasonOwnerBlocked      = "owner-blocked"
	ReasonNotPending        = "no-voucher-exchange"
	ReasonMASAURL           = "masa-url"
	ReasonMASA              = "waiting-for-masa"
	ReasonMASAGaveUp        = "masa-unavailable"
	ReasonMASARefused       = "masa-refused"
	ReasonMASAUnknown       = "masa-unknown-device"
	ReasonMASAFailed        = "masa-answer"
	ReasonMASANotAcceptable = "masa-not-acceptable"
	ReasonVoucherMalformed  = "voucher-malformed"
	ReasonVoucherSigner     = "voucher-signer"
	ReasonVoucherSerial     = "voucher-serial-number"
	ReasonVoucherNonce      = "voucher-nonce"
	ReasonVoucherPin        = "voucher-pin"
	ReasonVoucherExpired    = "voucher-expired"
	ReasonVoucherAssertion  = "voucher-assertion"
	ReasonAuditLog          = "audit-log-unavailable"
	ReasonOtherDomains      = "audit-log-other-domains"
	ReasonNonceless         = "audit-log-nonceless"
	ReasonEarlierEntry      = "audit-log-entry"
)

// ReasonText is what a reason id says and how it is answered.
type ReasonText struct {
	ID      string
	Status  int    // HTTP
	Section string // what it rests on; may be empty
	Message string // for the person at the device; ASCII
}

// Explain returns the text of a reason id; an unknown one is [ReasonInternal].
func Explain(id string) ReasonText {
	for _, r := range Reasons() {
		if r.ID == id {
			return r
		}
	}
	return ReasonText{ReasonInternal, http.StatusInternalServerError, "", "internal error"}
}

// Reasons lists every reason id that ends in an answer to a peer, in the order
// of the constants.
func Reasons() []ReasonText {
	return append(append(append(generalReasons(), identityReasons()...), decisionReasons()...), append(cmcReasons(), voucherReasons()...)...)
}

func generalReasons() []ReasonText {
	return []ReasonText{
		{ReasonAllowed, http.StatusOK, "", "allowed"},
		{ReasonAskedAgain, http.StatusOK, "", "answered with the certificate issued before"},
		{ReasonInternal, http.StatusInternalServerError, "", "internal error"},
		{ReasonStore, http.StatusServiceUnavailable, "", "the registrar cannot reach its records; try again later"},
		{ReasonOverload, http.StatusServiceUnavailable, "", "the registrar is busy; try again later"},
		{ReasonUnknownLabel, http.StatusNotFound, "RFC 7030, Section 3.2.2", "there is no such label at this server; check the URL"},
	}
}

func identityReasons() []ReasonText {
	return []ReasonText{
		{ReasonNoCredentials, http.StatusUnauthorized, "RFC 7030, Section 3.2.3", "authenticate with a client certificate or HTTP credentials"},
		{ReasonBadCredentials, http.StatusUnauthorized, "RFC 7030, Section 3.2.3", "user name or password is wrong"},
		{ReasonStaleDigest, http.StatusUnauthorized, "RFC 7616, Section 3.3", "the nonce of the digest is too old or was used before; answer the new challenge"},
		{ReasonBadToken, http.StatusUnauthorized, "RFC 6750, Section 3.1", "the Bearer token is not good here; get a new one"},
		{ReasonTokenUnknown, http.StatusServiceUnavailable, "", "the keys of the tokens' issuer cannot be had; try again later"},
		{ReasonCodeExpired, http.StatusForbidden, "RFC 7030, Section 3.7", "the enrollment code has expired; ask the operator of this network for a new one"},
		{ReasonCodeRevoked, http.StatusForbidden, "RFC 7030, Section 3.7", "the enrollment code was revoked; ask the operator of this network for a new one"},
		{ReasonCodeSpent, http.StatusForbidden, "RFC 7030, Section 3.7", "the enrollment code was used already, for another key or other names; ask the operator of this network for a new one"},
		{ReasonGuesses, http.StatusServiceUnavailable, "", "too many wrong enrollment codes; try again later"},
		{ReasonRevocationUnknown, http.StatusForbidden, "RFC 5280, Section 6.3", "nobody says whether the client certificate is revoked; ask the operator of this network"},
		{ReasonNoCertificate, http.StatusForbidden, "RFC 7030, Section 3.3.2", "this operation needs a TLS client certificate"},
		{ReasonUntrusted, http.StatusForbidden, "RFC 7030, Section 3.3.2", "the client certificate is from a CA that this registrar does not trust"},
		{ReasonExpired, http.StatusForbidden, "RFC 5280, Section 6.1.3", "the client certificate is expired or not valid yet; enroll anew"},
		{ReasonNotOnRecord, http.StatusForbidden, "RFC 7030, Section 3.7", "the client certificate is not one this registrar has on record"},
		{ReasonRevoked, http.StatusForbidden, "RFC 5280, Section 6.1.3", "the client certificate is revoked"},
		{ReasonOnHold, http.StatusForbidden, "RFC 5280, Section 5.3.1", "the client certificate is on hold; ask the operator of this network to release it"},
		{ReasonSuperseded, http.StatusForbidden, "RFC 7030, Section 4.2.2", "the client certificate was replaced by a newer one that is in use; authenticate with that"},
		{ReasonUnknownManufacturer, http.StatusForbidden, "RFC 8995, Section 5.3", "the device's manufacturer is not known here; ask the operator of this network to add it"},
		{ReasonNoSerialNumber, http.StatusForbidden, "RFC 8995, Section 2.3.1", "the IDevID has no usable serialNumber in its subject"},
		{ReasonIDevIDRevoked, http.StatusForbidden, "RFC 5280, Section 6.3", "the device's manufacturer has revoked its IDevID, or the CA above it; ask the manufacturer"},
		{ReasonIDevIDRevocation, http.StatusForbidden, "RFC 5280, Section 6.3", "whether the device's IDevID is revoked cannot be found out now; try again later, or ask the operator of this network about idevid_revocation"},
		{ReasonIDevIDMismatch, http.StatusForbidden, "RFC 8995, Section 5.3", "another IDevID is on record for this serial number; if the device has a new one, ask the operator of this network to import it"},
	}
}

func decisionReasons() []ReasonText {
	const renewal, linking = "RFC 7030, Section 4.2.2", "RFC 7030, Section 3.5"
	const authorization = "RFC 7030, Section 3.7"
	return []ReasonText{
		{ReasonDeviceUnknown, http.StatusForbidden, authorization, "the device is not in this network's inventory"},
		{ReasonDeviceSuspended, http.StatusForbidden, authorization, "the device is suspended; ask the operator of this network"},
		{ReasonDeviceDecommissioned, http.StatusForbidden, authorization, "the device was decommissioned; ask the operator of this network"},
		{ReasonQuarantined, http.StatusForbidden, authorization, "the device is in quarantine, with others; ask the operator of this network"},
		{ReasonNotVouched, http.StatusForbidden, "RFC 8995, Section 5.9", "the device has no voucher of this network; onboard it with BRSKI first"},
		{ReasonMethodNotAllowed, http.StatusForbidden, authorization, "this way of authenticating is not allowed at this label"},
		{ReasonForeignName, http.StatusForbidden, authorization, "the request names another device than the one that asks"},
		{ReasonSerialMismatch, http.StatusForbidden, authorization, "the serial number in the request is not that of the device's certificate"},
		{ReasonNamesRefused, http.StatusBadRequest, authorization, "the names in the request are not allowed by the profile"},
		{ReasonNoName, http.StatusBadRequest, "RFC 7030, Section 4.2.1", "the request names nobody: put a common name, a serial number or a SubjectAltName into it"},
		{ReasonKeyRefused, http.StatusBadRequest, "RFC 7030, Section 4.2.1", "the kind of key in the request is not allowed by the profile"},
		{ReasonNameTaken, http.StatusForbidden, authorization, "the name belongs to a device that holds a certificate with another key"},
		{ReasonNameReserved, http.StatusForbidden, authorization, "a name in the request is the registrar's own; only its operator gets certificates for it"},
		{ReasonKeyCompromised, http.StatusForbidden, "RFC 5280, Section 5.3.1", "a certificate with this key was revoked because the key is compromised; generate a new key"},
		{ReasonKeyShared, http.StatusForbidden, "RFC 5280, Section 4.1.2.7", "another device holds a certificate for this key; generate a key for each device, or revoke the other certificate first"},
		{ReasonBindingMissing, http.StatusBadRequest, linking, "the request must be linked to its TLS connection: put the channel binding into challengePassword or estIdentityLinking"},
		{ReasonKeyGenNotAllowed, http.StatusForbidden, "RFC 7030, Section 4.4", "keys are not made for devices at this label; make the key on the device and use simpleenroll"},
		{ReasonKeyEncryption, http.StatusForbidden, "RFC 7030, Section 4.4.1", "keys are sent encrypted only at this label: name a key to encrypt with in the CSR (DecryptKeyIdentifier or AsymmetricDecryptKeyIdentifier, and SMIMECapabilities)"},
		{ReasonDeviceBudget, http.StatusServiceUnavailable, "", "this device asked for more certificates than its budget; try again later"},
		{ReasonAddressBudget, http.StatusServiceUnavailable, "", "this address sent more requests than its budget; try again later"},
		{ReasonDomainBudget, http.StatusServiceUnavailable, "", "this network's devices sent more requests than its budget; try again later"},
		{ReasonDeviceQuota, http.StatusForbidden, authorization, "this network holds as many devices as it may; ask its operator"},
		{ReasonGroupDenied, http.StatusForbidden, authorization, "devices of this group get no certificates here; ask the operator of this network"},
		{ReasonGroupRequirement, http.StatusForbidden, authorization, "the device does not meet a requirement of its group"},
		{ReasonGroupUnknown, http.StatusForbidden, authorization, "the device is in a group that is not there any more; ask the operator of this network"},
		{ReasonGroupProfile, http.StatusForbidden, authorization, "the certificate profile of the device's group is not there any more; ask the operator of this network"},
		{ReasonGroupNames, http.StatusForbidden, authorization, "the profile of the device's group gives it the name of another device; ask the operator of this network"},
		{ReasonNoBaseline, http.StatusNotFound, "", "there is no baseline for this device"},
		{ReasonBaselineAck, http.StatusConflict, "", "this version and content were not given to this device last; get the baseline anew, and acknowledge that"},
		{ReasonBaselineFailed, http.StatusInternalServerError, "", "the baseline cannot be made for this device; ask the operator of this network"},
		{ReasonRenewalNotAllowed, http.StatusForbidden, renewal, "certificates are not renewed at this label"},
		{ReasonNamesChanged, http.StatusForbidden, renewal, "subject and SubjectAltName must be those of the certificate that authenticates"},
		{ReasonOtherProfile, http.StatusForbidden, renewal, "the certificate was issued under another label's profile; renew it there"},
		{ReasonRenewalTooEarly, http.StatusForbidden, renewal, "it is too early to renew this certificate"},
		{ReasonRenewalLimit, http.StatusForbidden, renewal, "this certificate was renewed as often as its profile allows; enroll anew"},
		{ReasonSameKey, http.StatusForbidden, renewal, "the profile asks for a new key with each renewal"},
		{ReasonApproval, http.StatusAccepted, "RFC 7030, Section 4.2.3", "waiting for an operator's decision"},
		{ReasonApprovalDenied, http.StatusForbidden, "RFC 7030, Section 4.2.3", "an operator denied this request"},
		{ReasonWebhook, http.StatusAccepted, "RFC 7030, Section 4.2.3", "waiting for another system's decision"},
		{ReasonWebhookDenied, http.StatusForbidden, "RFC 7030, Section 4.2.3", "the system that decides about this request denied it"},
		{ReasonWebhookFailed, http.StatusServiceUnavailable, "", "the system that decides about this request cannot be reached; try again later"},
		{ReasonPendingFull, http.StatusServiceUnavailable, "", "too many requests wait for a decision; try again later"},
		{ReasonIssuerPending, http.StatusAccepted, "RFC 7030, Section 4.2.3", "waiting for the CA"},
		{ReasonIssuerRejected, http.StatusBadRequest, "RFC 7030, Section 4.2.3", "the CA refused the request"},
		{ReasonNothingToDistribute, http.StatusNotFound, "RFC 8295, Section 1", "there is nothing of this kind here"},
		{ReasonIssuerDown, http.StatusServiceUnavailable, "RFC 7030, Section 4.2.3", "the CA cannot be reached; try again later"},
		{ReasonCAEnded, http.StatusServiceUnavailable, "RFC 5280, Section 4.1.2.5", "the CA's own certificate has expired, and its operator has to renew it; try again later"},
		{ReasonIssuerFailed, http.StatusInternalServerError, "", "internal error"},
		{ReasonIssuerDisagrees, http.StatusBadGateway, "", "the CA signed something else than was asked for; nobody is given that certificate"},
		{ReasonKeyGenLater, http.StatusServiceUnavailable, "RFC 7030, Section 4.4", "the CA did not answer at once, and a key that is made here is not kept meanwhile; try again later, or make the key on the device and use simpleenroll"},
		{ReasonIssuedForNobody, http.StatusGone, "", "nobody is to get this certificate any more"},
	}
}

func voucherReasons() []ReasonText {
	const request, answer = "RFC 8995, Section 5.2", "RFC 8995, Section 5.6"
	const cloud = "draft-ietf-anima-brski-cloud-20, Section 3.2"
	return []ReasonText{
		{ReasonRequestRefused, http.StatusBadRequest, request, "the voucher-request has content that is not taken"},
		{ReasonSignerMismatch, http.StatusForbidden, request, "the voucher-request is not signed by the certificate of the TLS connection"},
		{ReasonNonceMissing, http.StatusBadRequest, request, "the voucher-request has no nonce"},
		{ReasonNonceUsed, http.StatusForbidden, request, "this device sent the nonce before, in another voucher-request; make a new nonce for each attempt, or send the same bytes again"},
		{ReasonCreatedOn, http.StatusBadRequest, request, "created-on of the voucher-request is too far from the present time"},
		{ReasonAssertion, http.StatusUnauthorized, request, "the voucher-request does not assert proximity"},
		{ReasonProximity, http.StatusUnauthorized, request, "proximity-registrar-cert is not the certificate of this registrar"},
		{ReasonDeviceUnlisted, http.StatusNotFound, "RFC 8995, Section 5.3", "this device is not expected in this network; ask its operator to import the serial number"},
		{ReasonDeviceKind, http.StatusForbidden, "RFC 8995, Section 5.3", "devices of this kind do not join this network"},
		{ReasonOwnerUnknown, http.StatusUnauthorized, cloud, "the owner of this device is not known yet; ask whoever sold it"},
		{ReasonOwnerElsewhere, http.StatusTemporaryRedirect, cloud, "the device is sent to its owner's registrar"},
		{ReasonOwnerBlocked, http.StatusForbidden, cloud, "the owner's devices are not served; ask whoever sold the device"},
		{ReasonNotPending, http.StatusNotFound, "RFC 8995, Section 5.7", "no voucher was requested by this device"},
		{ReasonMASAURL, http.StatusBadGateway, "RFC 8995, Section 5.4", "the device's certificate names no usable MASA and none is configured"},
		{ReasonMASA, http.StatusAccepted, answer, "waiting for the manufacturer's service"},
		{ReasonMASAGaveUp, http.StatusGatewayTimeout, answer, "the manufacturer's service could not be reached"},
		{ReasonMASARefused, http.StatusForbidden, answer, "the manufacturer's service refused a voucher for this network"},
		{ReasonMASAUnknown, http.StatusNotFound, answer, "the manufacturer's service does not know this device"},
		{ReasonMASANotAcceptable, http.StatusNotAcceptable, answer, "the manufacturer's service finds this device or request not acceptable"},
		{ReasonMASAFailed, http.StatusBadGateway, answer, "the manufacturer's service gave an answer that is of no use"},
		{ReasonVoucherMalformed, http.StatusBadGateway, answer, "the manufacturer's service sent no voucher that can be read"},
		{ReasonVoucherSigner, http.StatusBadGateway, answer, "the voucher is not signed by the device's manufacturer"},
		{ReasonVoucherSerial, http.StatusBadGateway, answer, "the voucher is for another device"},
		{ReasonVoucherNonce, http.StatusBadGateway, answer, "the voucher answers another request"},
		{ReasonVoucherPin, http.StatusBadGateway, answer, "the voucher pins another network"},
		{ReasonVoucherExpired, http.StatusBadGateway, answer, "the voucher is expired"},
		{ReasonVoucherAssertion, http.StatusBadGateway, answer, "the voucher's assertion is not accepted here"},
		{ReasonAuditLog, http.StatusBadGateway, "RFC 8995, Section 5.8", "the manufacturer's service gave no audit-log"},
		{ReasonOtherDomains, http.StatusNotAcceptable, "RFC 8995, Section 5.8.3", "the device's audit-log names other networks"},
		{ReasonNonceless, http.StatusNotAcceptable, "RFC 8995, Section 5.8.3", "another network has a voucher for this device that is good at any time"},
		{ReasonEarlierEntry, http.StatusNotAcceptable, "RFC 8995, Section 5.8.3", "the device's audit-log names vouchers that this network does not know of"},
	}
}
