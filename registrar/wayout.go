package registrar

// WayOut says what an operator can do about a refusal, or a wait, by its reason id: what
// would change the answer. Empty for an id that is none.
func WayOut(reason string) string {
	for _, ways := range [][][2]string{identityWays(), deviceWays(), renewalWays(), waitingWays(), voucherWays(), serviceWays(), cmcWays(), wireWays()} {
		for _, w := range ways {
			if w[0] == reason {
				return w[1]
			}
		}
	}
	return ""
}

func identityWays() [][2]string {
	return [][2]string{
		{"no-credentials", "Have the device authenticate: with its client certificate, or with a credential made by: briskest credential add."},
		{"bad-credentials", "Give the device the right user and password; a lost one is replaced by: briskest credential add."},
		{"digest-stale", "Nothing, as a rule: the client answers the new challenge. Where it does not, set its clock and update it."},
		{"bad-token", "Have the token's issuer give the device a new one, for the audience and key that the label's tokens name."},
		{"token-unknown", "See that the registrar reaches the issuer's keys (labels: tokens), then have the device try again."},
		{"code-expired", "Make a new enrollment code: briskest credential code SERIAL."},
		{"code-revoked", "Make a new enrollment code: briskest credential code SERIAL."},
		{"code-spent", "If the device has a new key on purpose, make a new enrollment code: briskest credential code SERIAL."},
		{"code-budget", "Wait an hour; if nobody should be guessing codes, look for the address on the trail."},
		{"revocation-unknown", "See that the CRL or OCSP responder of the client's CA can be reached, or say in the label's client_revocation what may pass without."},
		{"no-client-certificate", "Have the device show a client certificate: its IDevID, or the one that it got here."},
		{"certificate-untrusted", "Add the CA to the manufacturer's anchors, or to the label's client_anchors, and reload; or enroll the device with another credential."},
		{"certificate-expired", "Enroll the device anew, or raise the profile's renewal.expired_grace; if the device's clock or ours is wrong, set it."},
		{"certificate-not-on-record", "Enroll the device anew; a certificate that this registrar did not issue does not renew here."},
		{"certificate-revoked", "Enroll the device anew with its IDevID, a credential or a code; a revoked certificate stays revoked."},
		{"certificate-on-hold", "Release it: briskest ca release SERIAL."},
		{"certificate-superseded", "Have the device use its newest certificate; if it lost that, enroll it anew."},
		{"unknown-manufacturer", "Add the manufacturer with its IDevID anchors to manufacturers in registrar.yaml, and reload."},
		{"idevid-without-serial-number", "Ask the manufacturer: its IDevIDs have no serialNumber, which RFC 8995 asks for; until then enroll by credential or code."},
		{"idevid-mismatch", "If the device has a new IDevID, import that: briskest device import. If not, somebody else uses its serial number."},
		{"idevid-revoked", "Ask the manufacturer why; a device whose IDevID is revoked does not join."},
		{"idevid-revocation-unknown", "See that the manufacturer's CRL or OCSP can be reached, or set idevid_revocation for it."},
	}
}

func deviceWays() [][2]string {
	return [][2]string{
		{"device-unknown", "Import its serial number: briskest device import --manufacturer NAME FILE."},
		{"device-suspended", "Resume it: briskest device resume SERIAL."},
		{"device-quarantined", "Lift what bars it: briskest quarantine list, then briskest quarantine lift ID."},
		{"device-decommissioned", "Bring it back by name: briskest device readmit SERIAL; it does not come back by itself."},
		{"device-not-vouched", "Have the device ask for a voucher first (BRSKI), or set idevid: inventory at the label."},
		{"authentication-not-allowed", "Use a way that the label takes, or add this one to the label in registrar.yaml and reload."},
		{"foreign-name", "Have the device ask for its own name, or use a credential for the name that it asks for; allow_foreign_names lifts this for a label."},
		{"serial-number-mismatch", "Have the device put the serial number of its certificate into the request, or none."},
		{"names-refused", "Change the request's names, or the profile's patterns (briskest ca profile show), as the message says."},
		{"no-name", "Have the device put a common name, serial number or SubjectAltName into the request."},
		{"key-refused", "Have the device make a key that the profile takes, or add that kind to the profile's keys."},
		{"name-taken", "Revoke the certificate that has the name, or wait for its end; allow_same_name_other_key lifts this for a profile."},
		{"name-reserved", "Give the device another name; the registrar's own names are issued to operators only."},
		{"key-compromised", "Have the device make a new key; this one was revoked as compromised."},
		{"key-shared", "Have each device make its own key, or revoke the other device's certificate first."},
		{"link-missing", "Have the client link the request to its TLS connection, or set linking for the label."},
		{"serverkeygen-not-allowed", "Have the device make its own key, or set server_key_generation in the profile."},
		{"key-encryption-required", "Have the client name a key to encrypt with, or set server_key_generation to cleartext."},
		{"device-budget", "Wait, find out why the device asks so often, or raise limits.enrollments_per_device."},
		{"address-budget", "Wait, name a join proxy in limits.proxies, or raise limits.enrollments_per_address."},
		{"domain-budget", "Wait a minute, find out which devices ask so often (briskest trail export), or raise limits.requests_per_minute of the domain."},
		{"device-quota", "Decommission devices that have left (briskest report never-seen, briskest report silent, briskest device decommission SERIAL), or raise limits.devices of the domain and reload."},
		{"group-denied", "Move the device to another group (briskest group assign SERIAL GROUP, or its rules), or change the group's decision; briskest group explain SERIAL says which rule put it there."},
		{"group-requirement", "Do what the message says and update the record (firmware and attributes by briskest device import), or change the group's require."},
		{"group-unknown", "Put the device elsewhere: briskest group assign SERIAL GROUP, or --rules; or apply a document that has the group again."},
		{"group-profile", "Add the profile to profiles in registrar.yaml and reload, or apply groups that name another one."},
		{"baseline-none", "Apply a baseline for the device's group, or for the domain: briskest baseline apply FILE --group GROUP."},
		{"baseline-not-delivered", "Nothing, as a rule: the device gets its baseline anew and acknowledges that. If not, it acknowledges what another device was given."},
		{"baseline-failed", "See in the log why: with this device's facts the text is too large, or a fact is missing. Change the document: briskest baseline apply."},
		{"group-names", "Give the group a profile that names devices as the label's does, or use a credential that is for this device alone."},
	}
}

func renewalWays() [][2]string {
	return [][2]string{
		{"renewal-not-allowed", "Set renewal at the label, or have the device enroll with another credential."},
		{"names-changed", "Have the device ask for the names that it has; for others, enroll anew or set renewal.change_names in the profile."},
		{"other-profile", "Have the device renew at the label that issued its certificate, or enroll anew here."},
		{"renewal-too-early", "Wait for the renewal window, or widen renewal.window in the profile or renewal_window in the group."},
		{"renewal-limit", "Enroll the device anew with its IDevID, a credential or a code, or raise renewal.max in the profile."},
		{"same-key", "Have the device renew with a new key."},
	}
}

func waitingWays() [][2]string {
	return [][2]string{
		{"waiting-for-approval", "Decide: briskest request list, then briskest request approve ID or deny ID."},
		{"approval-denied", "An operator denied it for good; another request needs another key or name, or an operator who issues it by hand."},
		{"waiting-for-webhook", "Have the system at the webhook's URL decide; briskest request approve ID decides in its place."},
		{"webhook-denied", "Change what the system at the webhook's URL decides; it is asked again at the next request."},
		{"webhook-failed", "See that the webhook of the label, or manufacturer, is configured and answers; the device tries again."},
		{"pending-full", "Decide waiting requests (briskest request list), or raise limits.pending."},
		{"waiting-for-issuer", "Nothing here: the CA has not answered yet; look there, or at briskest ca status."},
		{"issuer-rejected", "See in the message and log why the CA refused, and change its policy or the profile; a group's lifetime may be longer than the profile or CA gives."},
		{"nothing-to-distribute", "Nothing: there is nothing of that kind for devices here."},
		{"issuer-unavailable", "Bring the CA back, or mend the way to it; devices try again. briskest doctor says what is wrong."},
		{"ca-expired", "Renew the CA: briskest ca renew, or briskest ca rollover."},
		{"issuer-failed", "See the log: the CA's answer made no sense. briskest doctor says more."},
		{"key-generation-issuer-pending", "Have the device make its own key, or use a CA that answers at once for this label."},
		{"issued-for-nobody", "Nothing: the certificate came too late and was revoked; the device asks again."},
		{"issuer-disagrees", "Mend the CA's profile so that it signs the names and key that are asked for; the certificate it made is revoked there."},
	}
}

func voucherWays() [][2]string {
	return [][2]string{
		{"voucher-leaf", "Have the pledge's software send a voucher-request as RFC 8995, Section 5.2 has it; the message names the leaf."},
		{"signer-not-client", "Have the pledge sign its voucher-request with the key of its TLS client certificate."},
		{"nonce-missing", "Update the pledge, or set allow_nonceless for its manufacturer."},
		{"nonce-used", "Have the pledge make a new nonce for each attempt."},
		{"created-on", "Set the pledge's clock, or have it use nonces."},
		{"assertion-refused", "Have the pledge assert proximity, or set allow_no_proximity for its manufacturer."},
		{"proximity-mismatch", "Somebody is between the pledge and this registrar, or another certificate is presented (several listeners, a proxy that ends TLS); let TLS through to the registrar."},
		{"device-unlisted", "Import its serial number (briskest device import --manufacturer NAME FILE), or set unlisted for the manufacturer."},
		{"device-kind", "Change the manufacturer's join rules in registrar.yaml, and reload; the cause names the rule."},
		{"owner-unknown", "Say whose it is: briskest device import --owner NAME."},
		{"owner-elsewhere", "Nothing: the device was sent to its owner's registrar."},
		{"owner-blocked", "Unblock the owner in registrar.yaml, and reload."},
		{"no-voucher-exchange", "Have the device ask for a voucher before it reports about one."},
		{"masa-url", "Set masa_url for the manufacturer: its IDevIDs name no MASA that can be used."},
		{"waiting-for-masa", "Nothing: the manufacturer's service is asked again; see that it can be reached from here."},
		{"masa-unavailable", "See that the manufacturer's service can be reached (firewall, DNS, tls roots), then have the device ask again."},
		{"masa-refused", "Ask the manufacturer: it does not take this network for the owner of the device."},
		{"masa-unknown-device", "Ask the manufacturer: it does not know the serial number."},
		{"masa-answer", "Ask the manufacturer: its service gave an answer that is of no use; the cause is in the log."},
		{"masa-not-acceptable", "Ask the manufacturer: its service does not take this device, request or media type."},
		{"voucher-malformed", "Ask the manufacturer: its voucher cannot be read."},
		{"voucher-signer", "Add the CA of the voucher's signer to the manufacturer's voucher_anchors, if it is the manufacturer's."},
		{"voucher-serial-number", "Ask the manufacturer: its voucher is for another device."},
		{"voucher-nonce", "Ask the manufacturer: its voucher answers another request."},
		{"voucher-pin", "See that the voucher pins what the manufacturer's pin rule takes; a registrar with a new CA needs new vouchers."},
		{"voucher-expired", "Set the registrar's clock, or ask the manufacturer for vouchers that last longer."},
		{"voucher-assertion", "Add the assertion to the manufacturer's assertions, if it is enough for you."},
		{"audit-log-unavailable", "Ask the manufacturer for the audit-log, or relax its audit_log rules."},
		{"audit-log-other-domains", "See whose the device was (briskest device evidence SERIAL), then approve it, or relax the manufacturer's audit_log rules."},
		{"audit-log-nonceless", "Another network can take the device at any time: ask for it to be given up, or approve it knowing that."},
		{"audit-log-entry", "See the audit-log (briskest device evidence SERIAL): vouchers that we did not ask for; approve it if they are explained."},
	}
}

func serviceWays() [][2]string {
	return [][2]string{
		{"allowed", "Nothing: it was allowed."},
		{"asked-again", "Nothing: it got the certificate that it has."},
		{"internal", "See the log at the time of the entry; it is a fault of the registrar's, and worth a report."},
		{"store", "See the log and the disk: the record could not be read or written. briskest doctor says more."},
		{"overload", "Nothing if it passes; else a larger machine, or limits.enrollments_at_once."},
		{"unknown-label", "Use a label that there is (briskest doctor), or add it to labels in registrar.yaml and reload."},
	}
}

func cmcWays() [][2]string {
	return [][2]string{
		{"cmc-malformed", "Have the client send a Full PKI Request as RFC 5272, Section 3.2 has it."},
		{"cmc-signature", "Have the client sign the request with the key whose certificate, or key identifier, it names."},
		{"cmc-algorithm", "Have the client use SHA-256 or better."},
		{"cmc-encrypted", "Have the client encrypt to this registrar's certificate, which cacerts gives, or not at all."},
		{"cmc-signers", "Have the client sign once, with one signer."},
		{"cmc-control", "Have the client leave out the control that the message names."},
		{"cmc-reference", "Have the client name parts that its request has."},
		{"cmc-request-type", "Have the client send PKCS#10 or CRMF."},
		{"cmc-too-many-requests", "Have the client send fewer requests in a message."},
		{"cmc-nested-request", "Give the client an RA certificate (a profile with id-kp-cmcRA), and set ra at the label."},
		{"cmc-not-ra", "Give the client an RA certificate (a profile with id-kp-cmcRA), and set ra at the label."},
		{"cmc-two-identities", "Have one certificate make the connection and sign, or use an RA certificate for the connection."},
		{"cmc-identity-proof", "Give the client the right name and shared secret, as registrar.yaml has them."},
		{"cmc-pop-required", "Have the client sign the request with the key that it asks for."},
		{"cmc-pop-failed", "Have the client sign the request with the key that it asks for."},
		{"cmc-pop-link", "Have the client make the witness with the shared secret that its identity proof uses."},
		{"cmc-template", "Have the RA change subject and extensions only."},
		{"cmc-token", "Have the client send its request again, and not the token."},
		{"cmc-token-of-another", "Have the client that made the request ask about it."},
		{"cmc-certificate-unknown", "Have the client name a certificate of this CA by issuer and serial number."},
		{"cmc-revocation-not-allowed", "Revoke it here: briskest ca revoke SERIAL; or have who has the key, or the shared secret, ask."},
		{"cmc-revocation-reason", "Have the client give a reason that is taken: unspecified, keyCompromise, affiliationChanged, superseded or cessationOfOperation."},
		{"cmc-no-crl", "Have the client ask for the CRL of this CA; briskest ca crl signs one."},
		{"cmc-signer-unavailable", "See the log and the key of the registrar's certificate: briskest doctor."},
		{"cmc-not-processed", "Mend the other part of the message, which the entry beside this one names."},
		{"extension-unsupported", "Have the client leave the critical extension out."},
	}
}

func wireWays() [][2]string {
	return [][2]string{
		{"path-prefix", "Have the client use /.well-known/est/ or /.well-known/brski/."},
		{"path-operation", "Have the client name an operation of RFC 7030, Section 3.2.2."},
		{"path-segments", "Have the client use /.well-known/est/LABEL/OPERATION, and nothing more."},
		{"path-slash", "Have the client leave out doubled and trailing slashes."},
		{"path-dots", "Have the client leave \".\" and \"..\" out of the path."},
		{"path-encoding", "Have the client send the path without percent-encoding."},
		{"path-label", "Have the client use a label of letters, digits and ._:- that is no operation's name."},
		{"operation-missing", "Have the client use another operation, or offer this one at the label (fullcmc, server_key_generation)."},
		{"method-not-allowed", "Have the client use GET for what it reads and POST for what it asks."},
		{"tls-required", "Have the client connect with TLS, or let TLS through to the registrar."},
		{"not-acceptable", "Have the client's Accept name what the operation answers with, or leave it out."},
		{"pal-page", "Have the client ask for the first page of the package list."},
		{"media-type", "Have the client send the Content-Type that the operation asks for."},
		{"content-encoding", "Have the client send the body uncompressed."},
		{"body-too-large", "Have the client send less; the limit is in the message."},
		{"body-timeout", "See the network: the body did not come in time."},
		{"body-read", "See the network: the connection broke off."},
		{"body-empty", "Have the client send its request in the body."},
		{"body-pem", "Have the client send base64 of DER, without the PEM lines around it."},
		{"body-der", "Have the client send base64 (RFC 8951, Section 3.1), not bare DER."},
		{"body-base64", "Have the client send base64 with its padding and nothing else."},
		{"csr-syntax", "Have the client send a PKCS#10 request (RFC 2986)."},
		{"csr-too-large", "Have the client ask for fewer names and extensions."},
		{"csr-trailing-bytes", "Have the client send the request and nothing after it."},
		{"csr-version", "Have the client send version 0 (RFC 2986, Section 4.1)."},
		{"csr-extension-request", "Have the client put its extensions into one extensionRequest."},
		{"csr-duplicate-extension", "Have the client ask for each extension once."},
		{"csr-challenge-password", "Have the client send one challengePassword of 1 to 255 characters, or none."},
		{"csr-challenge", "Have the client send each attribute of RFC 7894 once."},
		{"csr-name", "Take control characters out of the device's name."},
		{"csr-change-subject-name", "Have the client send one ChangeSubjectName as RFC 6402, Section 2.8 has it."},
		{"csr-key-type", "Have the client make a key of a kind that the profile takes."},
		{"csr-key-size", "Have the client make a longer key."},
		{"csr-signature", "Have the client sign the request with the key in it."},
		{"csr-signature-algorithm", "Have the client sign with an algorithm that fits its key."},
		{"csr-weak-signature", "Have the client sign with SHA-256 or better."},
		{"key-attribute", "Have the client send the attributes of RFC 7030, Section 4.4.1 as they are defined."},
		{"key-capabilities", "Have the client name a cipher that is known here: AES in SMIMECapabilities."},
		{"key-identifier", "Have the client name a key that it shares with this registrar, or that its own certificate has."},
		{"key-pkcs12", "Have the client ask for PKCS#8, or for the key encrypted."},
		{"key-receipt", "Have the client send its receipt for the key that it got, signed with that."},
		{"key-strength", "Have the client name a stronger key to encrypt with."},
		{"link-mismatch", "Something ends TLS between device and registrar, or the client computes the channel binding wrongly: let TLS through, or see linking at the label."},
		{"link-used", "Have the client make a new connection for each request, or set linking.keep_connection."},
		{"reenroll-bad-certificate", "Have the client renew with its certificate on the TLS connection."},
		{"reenroll-change-subject", "Have the client leave ChangeSubjectName out, or set renewal.change_names in the profile."},
		{"reenroll-san", "Have the client ask for the SubjectAltName of the certificate that it renews."},
		{"reenroll-subject", "Have the client ask for the subject of the certificate that it renews."},
		{"telemetry", "Have the pledge send its status as RFC 8995, Sections 5.7 and 5.9.4 have it."},
		{"too-many-certificates", "Have the client send a shorter chain."},
		{"voucher-request", "Have the pledge send a signed voucher-request (RFC 8995, Section 3)."},
		{"voucher-signature", "Have the pledge sign with the key of the certificate that it names."},
		{"voucher-container", "Have the pledge send a voucher-request and not a voucher."},
	}
}
