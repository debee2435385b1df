// Package policy holds the rules that turn the facts of a case into a
// decision. [Decide] is a registrar.Policy: every road (EST, BRSKI, the
// operator's interface) asks it, so that the same case gets the same answer
// everywhere. It reads nothing but its arguments.
//
// Rules are asked in order, the first that answers decides, and where none
// does the case is denied.
package policy

import (
	"slices"
	"time"

	"github.com/briskest/briskest/registrar"
)

// rule returns a decision, or nil for no opinion.
type rule struct {
	name  string
	judge func(c *registrar.Case) *registrar.Decision
}

// Decide decides about a case; see registrar.Policy.
func Decide(s *registrar.Settings, c *registrar.Case) *registrar.Decision {
	for _, r := range rulesFor(s, c) {
		if d := r.judge(c); d != nil {
			d.Rule = r.name
			if d.Verdict != registrar.Deny && c.Label != nil {
				d.Profile, d.Subject, d.Names = c.Label.Profile.Name(), c.Subject, c.Names
			}
			return d
		}
	}
	return &registrar.Decision{Reason: registrar.ReasonMethodNotAllowed, Rule: "default"}
}

// Rules lists the names of the rules for an operation in the order in which
// they are asked.
func Rules(operation string) []string {
	var names []string
	for _, r := range rulesFor(&registrar.Settings{}, &registrar.Case{Operation: operation}) {
		names = append(names, r.name)
	}
	return names
}

func rulesFor(s *registrar.Settings, c *registrar.Case) []rule {
	reserved := func(c *registrar.Case) *registrar.Decision { return reservedNames(s, c) }
	sameProfile := func(c *registrar.Case) *registrar.Decision { return sameProfile(s, c) }
	switch c.Operation {
	case registrar.OpEnroll:
		return []rule{
			{"same-idevid", sameIDevID}, {"device-state", deviceState}, {"group", group}, {"method", method}, {"required", required}, {"idevid-serial-number", idevidSerialNumber},
			{"reserved-names", reserved}, {"own-names", ownNames}, {"together", together}, {"key-compromised", compromised}, {"key-shared", shared},
			{"code", spendable}, {"join", joinRefused}, {"idevid-vouched", vouched}, {"same-profile", sameProfile}, {"asked-again", askedAgain}, {"name-taken", nameTaken},
			{"renewal-limits", renewalLimits}, {"webhook", labelWebhook}, {"approval", approval}, {"enroll", allow},
		}
	case registrar.OpRenew:
		return []rule{
			{"device-state", deviceState}, {"group", group}, {"method", method}, {"same-profile", sameProfile}, {"reserved-names", reserved},
			{"same-names", sameNames}, {"new-names", newNames}, {"key-compromised", compromised}, {"key-shared", shared},
			{"asked-again", askedAgain}, {"repeated-renewal", repeatedRenewal}, {"renewal-limits", renewalLimits}, {"webhook", labelWebhook}, {"renew", allow},
		}
	case registrar.OpVoucher:
		return []rule{
			{"same-idevid", sameIDevID}, {"device-state", deviceState}, {"group", group}, {"join", joins}, {"webhook", manufacturerWebhook}, {"approval", groupApproval}, {"voucher", allow},
		}
	default:
		return nil
	}
}

func deny(reason string) *registrar.Decision { return &registrar.Decision{Reason: reason} }

func denyText(reason, message string) *registrar.Decision {
	return &registrar.Decision{Reason: reason, Message: message}
}

func allow(*registrar.Case) *registrar.Decision {
	return &registrar.Decision{Verdict: registrar.Allow, Reason: registrar.ReasonAllowed}
}

// sameIDevID refuses a device that comes with another IDevID than the one on
// record for its serial number.
func sameIDevID(c *registrar.Case) *registrar.Decision {
	if c.OtherIDevID() {
		return deny(registrar.ReasonIDevIDMismatch)
	}
	return nil
}

// deviceState refuses devices that an operator has taken out of service.
func deviceState(c *registrar.Case) *registrar.Decision {
	if c.Device == nil {
		return nil
	}
	switch c.Device.State {
	case registrar.Suspended:
		return deny(registrar.ReasonDeviceSuspended)
	case registrar.Decommissioned:
		return deny(registrar.ReasonDeviceDecommissioned)
	case registrar.Expected, registrar.Vouched, registrar.Enrolled:
		return nil
	default:
		return denyText(registrar.ReasonDeviceUnknown, "the device's record has a state that is not known here")
	}
}

// method refuses ways to authenticate that the label does not name.
func method(c *registrar.Case) *registrar.Decision {
	renews := c.Operation == registrar.OpRenew
	switch c.Identity.Kind {
	case registrar.Basic:
		if c.Label.Basic && !renews {
			return nil
		}
	case registrar.SharedSecret:
		if c.Label.SharedSecret && !renews {
			return nil
		}
	case registrar.Digest:
		if (c.Label.Digest || c.Label.DigestMD5) && !renews {
			return nil
		}
	case registrar.Bearer:
		if c.Label.Tokens != nil && !renews {
			return nil
		}
	case registrar.OneTimeCode:
		if c.Label.Codes && !renews {
			return nil
		}
	case registrar.Client:
		if renews {
			return denyText(registrar.ReasonRenewalNotAllowed, "certificates of other CAs are not renewed here; use simpleenroll")
		}
		if c.Label.ClientAnchors != nil {
			return nil
		}
	case registrar.IDevID:
		if renews {
			// strongSwan's pki posts to simplereenroll with any certificate.
			return denyText(registrar.ReasonRenewalNotAllowed, "a manufacturer's certificate is not renewed here; use simpleenroll")
		}
		if c.Label.IDevID != registrar.IDevIDNever {
			return nil
		}
	case registrar.LDevID:
		if c.Label.Renewal {
			return nil
		}
		return deny(registrar.ReasonRenewalNotAllowed)
	case registrar.RA:
		if renews && c.Label.Renewal || !renews && c.Label.RA {
			return nil
		}
		if renews {
			return deny(registrar.ReasonRenewalNotAllowed)
		}
		return denyText(registrar.ReasonMethodNotAllowed, "RA certificates do not enroll others at this label")
	case registrar.Operator:
		if !renews {
			return nil
		}
	}
	return deny(registrar.ReasonMethodNotAllowed)
}

// idevidSerialNumber holds a serial number that is asked for against that of the IDevID.
func idevidSerialNumber(c *registrar.Case) *registrar.Decision {
	if c.Identity.Kind != registrar.IDevID {
		return nil
	}
	if asked := c.CSR.Subject.SerialNumber; asked != "" && asked != c.SerialNumber {
		return deny(registrar.ReasonSerialMismatch)
	}
	return nil
}

// ownNames refuses names of others.
func ownNames(c *registrar.Case) *registrar.Decision {
	free := c.Label.AllowForeignNames
	switch c.Identity.Kind {
	case registrar.IDevID:
		if !free && !(registrar.OwnNames(c.SerialNumber, c.Subject, &c.Names) && ownModule(c, c.SerialNumber)) {
			return denyText(registrar.ReasonForeignName, "the names in the request must be the serial number of the device's certificate")
		}
	case registrar.Basic, registrar.SharedSecret, registrar.Digest, registrar.Bearer, registrar.OneTimeCode:
		if d := namedOnly(c, &c.Identity); d != nil {
			return d
		}
		return provenOwner(c)
	case registrar.Client:
		if !registrar.BearsNames(c.Identity.Certificate, c.Subject, &c.Names) {
			return denyText(registrar.ReasonForeignName, "the names in the request must be names of the client certificate")
		}
		return provenOwner(c)
	case registrar.RA:
		return provenOwner(c)
	case registrar.LDevID, registrar.Operator:
		// LDevID: compared with the certificate before; the operator speaks for all.
	}
	return nil
}

// namedOnly refuses other names than the one that the identity is for. A token
// or code is for one device whatever the label says.
func namedOnly(c *registrar.Case, i *registrar.Identity) *registrar.Decision {
	name, only := i.Named()
	bound := i.Kind == registrar.Bearer || i.Kind == registrar.OneTimeCode
	if !only || c.Label.AllowForeignNames && !bound || registrar.OwnNames(name, c.Subject, &c.Names) && ownModule(c, name) {
		return nil
	}
	what := "user name of the credential"
	switch i.Kind {
	case registrar.Bearer:
		what = "device that the token is for"
	case registrar.OneTimeCode:
		what = "serial number that the enrollment code is for"
	}
	return denyText(registrar.ReasonForeignName, "the names in the request must be the "+what)
}

// required refuses an enrollment that lacks a method which the label requires
// together with others, whatever road it came.
func required(c *registrar.Case) *registrar.Decision {
	if c.Identity.Kind == registrar.Operator || c.Proves(c.Label.Require...) {
		return nil
	}
	return denyText(registrar.ReasonMethodNotAllowed, "this label requires several ways to authenticate together, which this request does not have")
}

// together holds the names against the other credentials, where the label
// requires several, and against a code, wherever it comes with another.
func together(c *registrar.Case) *registrar.Decision {
	for n := range c.Also {
		i := &c.Also[n]
		if len(c.Label.Require) == 0 && i.Kind != registrar.OneTimeCode {
			continue
		}
		if d := namedOnly(c, i); d != nil {
			return d
		}
	}
	return nil
}

// spendable refuses a code that was spent for another key or other names. For
// the same it answers with the certificate that it was spent for, and issues none.
func spendable(c *registrar.Case) *registrar.Decision {
	code := c.Code()
	if code == nil || !code.Spent() {
		return nil
	}
	if !code.For(c.KeyHash, c.NamesHash) || !answersAgain(c) {
		return deny(registrar.ReasonCodeSpent)
	}
	return nil
}

// provenOwner refuses the names of a device that can prove who it is by its
// IDevID: a credential, a group's too, and an RA do not speak for it.
func provenOwner(c *registrar.Case) *registrar.Decision {
	if c.NameOwner == nil || c.Label.AllowForeignNames {
		return nil
	}
	return denyText(registrar.ReasonForeignName, "a name in the request is the serial number of a device that enrolls with its own certificate")
}

// compromised refuses a key that somebody else is known to have, or that may
// have been: a certificate of it was revoked for that reason.
func compromised(c *registrar.Case) *registrar.Decision {
	if c.KeyCompromised {
		return deny(registrar.ReasonKeyCompromised)
	}
	return nil
}

// shared refuses a key of another device, where the profile wants each to have its own.
func shared(c *registrar.Case) *registrar.Decision {
	if c.KeyElsewhere && c.Label.Profile.Rules().RefuseSharedKey {
		return deny(registrar.ReasonKeyShared)
	}
	return nil
}

// vouched says which devices with an IDevID may enroll.
func vouched(c *registrar.Case) *registrar.Decision {
	if c.Identity.Kind != registrar.IDevID {
		return nil
	}
	switch {
	case c.Device == nil:
		return deny(registrar.ReasonDeviceUnknown)
	case c.Label.IDevID == registrar.IDevIDInventory && !c.Voucher.Violates():
		return nil
	case c.Label.IDevID == registrar.IDevIDVouched && c.Voucher != nil && c.Voucher.State == "issued":
		return nil
	default:
		return deny(registrar.ReasonNotVouched)
	}
}

// sameProfile refuses to renew at a label what another profile issued.
func sameProfile(s *registrar.Settings, c *registrar.Case) *registrar.Decision {
	if itself(c) && c.Identity.Record.Profile != c.Label.Profile.Name() && !moved(s, c) {
		return deny(registrar.ReasonOtherProfile)
	}
	return nil
}

// itself tells whether a certificate of ours asks for its own device.
func itself(c *registrar.Case) bool {
	return c.Identity.Kind == registrar.LDevID || c.Identity.Kind == registrar.RA && c.Operation == registrar.OpRenew
}

// sameNames refuses a renewal for which the profile, as it is now, decides
// other names than those on record (RFC 7030, Section 4.2.2).
func sameNames(c *registrar.Case) *registrar.Decision {
	if c.NewNames == nil && c.NamesHash != c.Identity.Record.NamesHash {
		return denyText(registrar.ReasonNamesChanged, "the profile gives other names by now; enroll anew")
	}
	return nil
}

// askedAgain answers a repeated enrollment with the certificate there is, one
// that a certificate of ours authenticates too.
func askedAgain(c *registrar.Case) *registrar.Decision {
	if c.Operation == registrar.OpRenew && c.Posted != registrar.OpEnroll || c.Own {
		return nil
	}
	if !answersAgain(c) {
		return nil
	}
	return again()
}

// answersAgain tells whether there is a certificate to answer a repetition with.
func answersAgain(c *registrar.Case) bool {
	return c.Current != nil && c.Current.Profile == c.Label.Profile.Name() && c.At.Before(c.Current.NotAfter) && !raRenews(c)
}

// raRenews tells a renewal from a repetition where an RA asks, which has no
// certificate of the device's to authenticate a renewal with: it is one within
// the profile's renewal window.
func raRenews(c *registrar.Case) bool {
	window := c.Label.Profile.Rules().RenewalWindow
	return c.Identity.Kind == registrar.RA && c.Operation == registrar.OpEnroll && window > 0 && !c.At.Before(c.Current.NotAfter.Add(-window))
}

// repeatedRenewal answers a renewal whose answer may have been lost: the same
// certificate, key and names within ten minutes. What may be a copy in
// somebody else's hands gets nothing new at any time: neither certificates to
// use up the device's budget, nor renewals to use up their number.
func repeatedRenewal(c *registrar.Case) *registrar.Decision {
	const window = 10 * time.Minute
	if c.Current == nil || c.Current.Operation != registrar.OpRenew || c.Current.Credential != c.Identity.Credential ||
		c.At.Sub(c.Current.IssuedAt) > window && !(c.Replayable && c.At.Before(c.Current.NotAfter)) {
		return nil
	}
	return again()
}

func again() *registrar.Decision {
	return &registrar.Decision{Verdict: registrar.Allow, Reason: registrar.ReasonAskedAgain, Again: true}
}

// nameTaken refuses another key for a name that holds a valid certificate,
// unless the profile allows it. A device that proves by a certificate that it
// is the one that has the name, an IDevID after a reset say, may have another key.
func nameTaken(c *registrar.Case) *registrar.Decision {
	switch c.Identity.Kind {
	case registrar.LDevID, registrar.IDevID, registrar.Operator, registrar.OneTimeCode:
		return nil // of a code: an operator made it for this device, and for one key
	}
	if c.Label.Profile.Rules().AllowSameNameOtherKey {
		return nil
	}
	for _, held := range c.Held {
		if c.Generate != nil && slices.Contains(c.Generate.Repeatable, held) {
			continue // whose key got lost on the way
		}
		if held.Status == registrar.Issued && held.KeyHash != c.KeyHash && held.Profile == c.Label.Profile.Name() && c.At.Before(held.NotAfter) {
			return deny(registrar.ReasonNameTaken)
		}
	}
	return nil
}

// renewalLimits are those of the profile.
func renewalLimits(c *registrar.Case) *registrar.Decision {
	if !itself(c) {
		return nil
	}
	limits, old := c.Label.Profile.Rules(), c.Identity.Record
	switch {
	case limits.RefuseSameKey && c.KeyHash == old.KeyHash:
		return deny(registrar.ReasonSameKey)
	case limits.RenewalWindow > 0 && c.At.Before(old.NotAfter.Add(-limits.RenewalWindow)):
		return deny(registrar.ReasonRenewalTooEarly)
	case limits.MaxRenewals > 0 && renewals(c) >= limits.MaxRenewals:
		return deny(registrar.ReasonRenewalLimit)
	default:
		return nil
	}
}

// renewals counts the renewals in a row that led to the certificate that asks:
// those of the device with the same names since it last enrolled otherwise,
// replaced ones included.
func renewals(c *registrar.Case) int {
	// Where names change, those of before count too: there is no way around the limit.
	changing := c.Label.Profile.Rules().ChangeNames
	counts := func(held *registrar.Certificate) bool { return changing || held.NamesHash == c.NamesHash }
	var enrolled time.Time
	for _, held := range c.Held {
		if counts(held) && held.Operation == registrar.OpEnroll && held.IssuedAt.After(enrolled) {
			enrolled = held.IssuedAt
		}
	}
	n := 0
	for _, held := range c.Held {
		if counts(held) && held.Raw != nil && held.Operation == registrar.OpRenew && held.IssuedAt.After(enrolled) {
			n++
		}
	}
	return n
}

// approval has an operator decide, unless the peer shows that it is who was
// approved: it has the key of the device's certificate of this profile. Renewals,
// which the certificate itself authenticates, are not asked about.
func approval(c *registrar.Case) *registrar.Decision {
	approved := c.Current != nil && c.Current.Profile == c.Label.Profile.Name()
	if !c.Label.Approval && !grouped(c, registrar.GroupApprove) || c.Identity.Kind == registrar.Operator || approved {
		return nil
	}
	return &registrar.Decision{Verdict: registrar.Wait, Reason: registrar.ReasonApproval, WaitFor: registrar.ForApproval}
}

func labelWebhook(c *registrar.Case) *registrar.Decision {
	if c.Label.Ask == nil && !grouped(c, registrar.GroupAsk) || c.Identity.Kind == registrar.Operator {
		return nil
	}
	return webhook(c)
}

func manufacturerWebhook(c *registrar.Case) *registrar.Decision {
	if c.Manufacturer.Ask == nil && !grouped(c, registrar.GroupAsk) {
		return nil
	}
	return webhook(c)
}

// webhook has another system decide, unless it has allowed the case already.
func webhook(c *registrar.Case) *registrar.Decision {
	if c.Asked {
		return nil
	}
	return &registrar.Decision{Verdict: registrar.Wait, Reason: registrar.ReasonWebhook, WaitFor: registrar.ForWebhook}
}
