package masa

import (
	"encoding/json"
	"net/http"

	"github.com/briskest/briskest/est"
)

// The reason ids of refusals.
const (
	ReasonMediaType       = "media-type"          // Content-Type is no voucher format spoken here
	ReasonAccept          = "accept"              // none of the formats accepted is spoken here
	ReasonTooLarge        = "too-large"           // more bytes than MaxRequest
	ReasonBudget          = "request-budget"      // too many requests of one address or registrar
	ReasonRequestForm     = "request-form"        // the registrar's request cannot be read
	ReasonRequestSigned   = "request-signature"   // its signature does not hold
	ReasonRequestLeaf     = "request-leaf"        // a leaf that is unknown, or a nonce of a wrong length
	ReasonRegistrarChain  = "registrar-chain"     // the signer's certificates do not form a chain
	ReasonRegistrarAnchor = "registrar-anchor"    // the chain ends at no CA that is configured
	ReasonRegistrarRole   = "registrar-role"      // no id-kp-cmcRA
	ReasonRegistrarPolicy = "registrar-policy"    // Settings.CheckRegistrar refused
	ReasonOtherClient     = "client-certificate"  // the TLS connection is not of who signed
	ReasonRegistrarGone   = "registrar-revoked"   // by its issuer
	ReasonRegistrarAsk    = "registrar-unknown"   // (503) nobody says whether it is revoked
	ReasonPriorMissing    = "prior-missing"       // no request signed by the pledge
	ReasonPriorForm       = "prior-form"          // it cannot be read
	ReasonPriorSigned     = "prior-signature"     // its signature does not hold
	ReasonIDevIDUntrusted = "idevid-untrusted"    // its signer is no device of ours
	ReasonIDevIDMismatch  = "idevid-mismatch"     // another certificate than the one on record
	ReasonIDevIDIssuer    = "idevid-issuer"       // leaf idevid-issuer names another CA
	ReasonSerialMismatch  = "serial-mismatch"     // serial numbers differ
	ReasonSerialAmbiguous = "serial-ambiguous"    // devices of several products answer to it
	ReasonNonceMismatch   = "nonce-mismatch"      // nonces differ
	ReasonNonceUsed       = "nonce-used"          // a voucher for another domain has that nonce
	ReasonNonceless       = "nonceless"           // nonceless vouchers are not for this product or domain
	ReasonProximity       = "proximity-mismatch"  // the pledge was connected to somebody else
	ReasonDeviceUnknown   = "device-unknown"      // not built by us
	ReasonDeviceBlocked   = "device-blocked"      // stolen or recalled
	ReasonNotOwner        = "not-owner"           // another domain is the owner on record
	ReasonNoOwner         = "no-owner"            // an owner on record is required and there is none
	ReasonCloud           = "cloud-registrar"     // est-domain in the request of who is no cloud registrar
	ReasonNoAuditLog      = "audit-log-not-yours" // the requester never owned the device
	ReasonNotRenewable    = "not-renewable"       // not this domain's voucher, or the time of renewals is over
	ReasonSignerRevoked   = "signer-revoked"      // the voucher on record was signed with a key revoked since
	ReasonAskedBefore     = "asked-before"        // it may have been answered by a voucher that a restore lost
	ReasonUnconfirmed     = "restore-unconfirmed" // as above, until an operator confirms the restore
	ReasonSigner          = "signer"              // the voucher key did not sign (of an issuance)
	ReasonInterrupted     = "interrupted"         // the process ended before the voucher left (of an issuance)
)

// The kinds of the MASA's trail entries.
const (
	KindVoucherIntended = "voucher-intended"
	KindVoucherIssued   = "voucher-issued"
	KindVoucherFailed   = "voucher-failed"
	KindRefused         = "refused"
	KindRequestCarried  = "request-carried" // a registrar's request was brought by hand
	KindAuditLogServed  = "audit-log-served"
	KindDevicesImported = "devices-imported"
	KindOwnerAdded      = "owner-added"
	KindOwnersImported  = "owners-imported"
	KindOwnerEnded      = "owner-ended"
	KindClaimCreated    = "claim-created"
	KindClaimRedeemed   = "claim-redeemed"
	KindDeviceBlocked   = "device-blocked"
	KindDeviceUnblocked = "device-unblocked"
	KindRestored        = "restored-from-backup"
	KindConfirmed       = "restore-confirmed"
)

// body is the details of a trail entry. No secrets, no nonce-bearing artifacts.
type body map[string]any

func (b body) json() json.RawMessage { return asJSON(b) }

func asJSON(details any) json.RawMessage {
	text, err := json.Marshal(details)
	if err != nil { // nothing in it is beyond JSON
		panic("masa: internal error: trail entry: " + err.Error())
	}
	return text
}

func refuse(status int, reason, section, message string) *est.Error {
	return &est.Error{Status: status, Reason: reason, Section: section, Message: message}
}

// forbid is the 403 of RFC 8995, Section 5.6.
func forbid(reason, section, message string) *est.Error {
	return refuse(http.StatusForbidden, reason, section, message)
}
