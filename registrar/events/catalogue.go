package events

import (
	"path"
	"slices"

	"github.com/briskest/briskest/registrar"
)

// Type is one type of event, with its version in the name: a type's schema only ever
// grows by optional members.
type Type struct {
	Name string // such as "briskest.device.enrolled.v1"
	Text string // what has happened, one sentence
	// Members are those of data beside "domain", the required ones first.
	Members  []string
	Required int // how many of Members are always there

	kind string             // of the trail's entry
	when func(b *body) bool // nil: always
	to   registrar.DeviceState
}

// SchemaURI is the dataschema of its events.
func (t *Type) SchemaURI() string { return "urn:briskest:schema:" + t.Name }

// Test is the type of an event that is sent by hand to see whether it arrives. It
// is on no trail.
const Test = "briskest.test.v1"

// Types returns the catalogue, in order of name.
func Types() []*Type {
	certificate := []string{"device", "certificate", "actor", "reason", "message", "operation", "request"}
	pending := []string{"pending", "actor", "device", "reason", "message", "operation", "request"}
	state := func(name, text string, to registrar.DeviceState, when func(*body) bool) *Type {
		return &Type{Name: name, Text: text, kind: registrar.KindDeviceState, when: when, to: to, Members: []string{"device", "actor", "message"}, Required: 2}
	}
	to := func(states ...registrar.DeviceState) func(*body) bool {
		return func(b *body) bool { return slices.Contains(states, registrar.DeviceState(b.To)) }
	}
	renewal := func(b *body) bool { return b.Operation == registrar.OpRenew }
	first := func(b *body) bool { return b.Operation != registrar.OpRenew }
	issued := []string{"device", "certificate", "actor", "access", "operation", "request"}
	all := []*Type{
		{Name: "briskest.device.enrolled.v1", Text: "A device got a certificate with an enrollment, or an operator got one.", kind: registrar.KindCertificateIssued, when: first, to: registrar.Enrolled, Members: issued, Required: 3},
		{Name: "briskest.device.renewed.v1", Text: "A device renewed its certificate.", kind: registrar.KindCertificateIssued, when: renewal, to: registrar.Enrolled, Members: issued, Required: 3},
		{Name: "briskest.certificate.revoked.v1", Text: "A certificate was revoked or put on hold (revocation_reason 6).", kind: registrar.KindCertificateRevoked, Members: certificate, Required: 2},
		{Name: "briskest.certificate.released.v1", Text: "A certificate was released from hold.", kind: registrar.KindCertificateReleased, Members: certificate, Required: 2},
		{Name: "briskest.certificate.retired.v1", Text: "A certificate was revoked because a newer one of the device was seen in use.", kind: registrar.KindCertificateRetired, Members: certificate, Required: 2},
		{Name: "briskest.device.vouched.v1", Text: "The manufacturer's MASA vouched for a device.", kind: registrar.KindVoucherIssued, to: registrar.Vouched, Members: []string{"device", "voucher", "actor", "operation", "request"}, Required: 2},
		{Name: "briskest.voucher.refused.v1", Text: "A device gets no voucher.", kind: registrar.KindVoucherRefused, Members: []string{"device", "voucher", "actor", "reason", "operation", "request"}, Required: 1},
		{Name: "briskest.voucher.held.v1", Text: "A voucher waits for an operator's decision.", kind: registrar.KindVoucherHeld, Members: []string{"device", "voucher", "actor", "reason"}, Required: 2},
		{Name: "briskest.request.refused.v1", Text: "A request was refused; repeated ones are counted on the trail and told once a minute.", kind: registrar.KindRefused, Members: []string{"reason", "actor", "device", "message", "operation", "request"}, Required: 2},
		{Name: "briskest.request.waiting.v1", Text: "A request waits for an operator's decision.", kind: registrar.KindRequestWaiting, Members: pending, Required: 1},
		{Name: "briskest.request.approved.v1", Text: "A waiting request was approved.", kind: registrar.KindRequestApproved, Members: pending, Required: 2},
		{Name: "briskest.request.denied.v1", Text: "A waiting request was denied.", kind: registrar.KindRequestDenied, Members: pending, Required: 2},
		{Name: "briskest.device.redirected.v1", Text: "A device was sent to its owner's registrar.", kind: registrar.KindRedirected, Members: []string{"device", "actor", "owner", "operation", "request"}, Required: 2},
		{Name: "briskest.device.owner.v1", Text: "A device has another owner.", kind: registrar.KindDeviceOwner, Members: []string{"device", "actor", "owner"}, Required: 2},
		{Name: "briskest.devices.imported.v1", Text: "Devices were imported, or one was changed by an import.", kind: registrar.KindDevicesImported, Members: []string{"actor", "import", "device"}, Required: 1},
		{Name: "briskest.device.imprinted.v1", Text: "A device reported what became of its voucher (RFC 8995, Section 5.7).", kind: registrar.KindVoucherStatus, Members: []string{"report", "actor", "device", "message", "request"}, Required: 2},
		{Name: "briskest.device.reported.v1", Text: "A device reported what became of its enrollment (RFC 8995, Section 5.9.4).", kind: registrar.KindEnrollStatus, Members: []string{"report", "actor", "device", "message", "request"}, Required: 2},
		{Name: "briskest.baseline.delivered.v1", Text: "A device was given a baseline that is new for it.", kind: registrar.KindBaselineDelivered, Members: []string{"device", "baseline", "actor", "operation", "request"}, Required: 3},
		{Name: "briskest.baseline.acknowledged.v1", Text: "A device said what became of its baseline: received, applied or failed.", kind: registrar.KindBaselineAcknowledged, Members: []string{"device", "baseline", "actor", "message", "operation", "request"}, Required: 3},
		state("briskest.device.suspended.v1", "A device was suspended: it authenticates nothing.", registrar.Suspended, to(registrar.Suspended)),
		state("briskest.device.decommissioned.v1", "A device left.", registrar.Decommissioned, to(registrar.Decommissioned)),
		state("briskest.device.resumed.v1", "A device is no longer suspended or decommissioned.", "", to(registrar.Expected, registrar.Vouched, registrar.Enrolled)),
		{Name: "briskest.quarantine.placed.v1", Text: "Devices that have something in common were put into quarantine: they authenticate nothing.", kind: registrar.KindQuarantined, Members: []string{"actor", "message", "device"}, Required: 1},
		{Name: "briskest.quarantine.lifted.v1", Text: "A quarantine was lifted.", kind: registrar.KindQuarantineLifted, Members: []string{"actor", "message", "device"}, Required: 1},
		{Name: "briskest.crl.signed.v1", Text: "A revocation list was signed.", kind: registrar.KindCRLSigned, Members: []string{"crl", "actor"}, Required: 2},
		{Name: Test, Text: "Somebody tries whether events arrive: briskest events test.", Members: []string{"actor", "message"}, Required: 1},
	}
	slices.SortFunc(all, func(a, b *Type) int {
		if a.Name < b.Name {
			return -1
		}
		return 1
	})
	return all
}

// TypeNamed returns a type of the catalogue, or nil.
func TypeNamed(name string) *Type {
	for _, t := range Types() {
		if t.Name == name {
			return t
		}
	}
	return nil
}

// catalogue finds types by the kind of entry.
type catalogue map[string][]*Type

func newCatalogue() catalogue {
	c := make(catalogue)
	for _, t := range Types() {
		if t.kind != "" {
			c[t.kind] = append(c[t.kind], t)
		}
	}
	return c
}

// match says whether a pattern, a type's name with "*" for any number of characters,
// names the type.
func match(pattern, name string) bool {
	ok, err := path.Match(pattern, name)
	return err == nil && ok
}
