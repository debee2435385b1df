package registrar

import (
	"encoding/hex"
	"encoding/json"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/briskest/briskest/internal/trail"
)

// The kinds of trail entries.
const (
	KindCertificateIssued    = "certificate-issued"
	KindCertificateRevoked   = "certificate-revoked"
	KindCertificateReleased  = "certificate-released" // from hold
	KindCATold               = "issuer-told"          // of a revocation, hold or release
	KindCARefused            = "issuer-refused-revocation"
	KindIssuanceStopped      = "issuance-stopped"    // what comes of it is for nobody
	KindCertificateRetired   = "certificate-retired" // replaced by a newer one that was seen in use
	KindIssuanceAbandoned    = "issuance-abandoned"
	KindCertificatesAdopted  = "certificates-adopted" // from before there were several issuers
	KindVoucherRequested     = "voucher-requested"
	KindVoucherIssued        = "voucher-issued"
	KindVoucherHeld          = "voucher-held" // it is on record and waits for an operator
	KindVoucherRefused       = "voucher-refused"
	KindVoucherOrdered       = "voucher-ordered" // ahead of its device
	KindVoucherReady         = "voucher-ready"   // the same
	KindVoucherStatus        = "voucher-status"
	KindEnrollStatus         = "enroll-status"
	KindRefused              = "refused"
	KindRedirected           = "device-redirected" // to its owner's registrar
	KindRequestWaiting       = "request-waiting"
	KindRequestApproved      = "request-approved"
	KindRequestDenied        = "request-denied"
	KindDevicesImported      = "devices-imported"
	KindDeviceOwner          = "device-owner" // at a cloud registrar
	KindDeviceState          = "device-state"
	KindGroupsApplied        = "groups-applied"
	KindDevicesMoved         = "devices-moved" // into other groups, by a groups document
	KindDeviceGroup          = "device-group"  // an operator put a device into a group, or left it to the rules
	KindQuarantined          = "quarantined"   // devices that have something in common
	KindQuarantineLifted     = "quarantine-lifted"
	KindReceipt              = "decommission-receipt"
	KindBaselineApplied      = "baseline-applied" // a document for a group's devices
	KindBaselineDelivered    = "baseline-delivered"
	KindBaselineAcknowledged = "baseline-acknowledged"
	KindCredentialAdded      = "credential-added"
	KindCredentialDisabled   = "credential-disabled"
	KindTokenAdded           = "token-added"
	KindTokenRevoked         = "token-revoked"
	KindCodeAdded            = "code-added"
	KindCodeRevoked          = "code-revoked"
	KindCRLSigned            = "crl-signed"
	KindKeyReceipt           = "key-receipt" // of a client, for a generated key (RFC 8295, Section 8)
)

// body writes a JSON object member by member. It is on the path of every
// enrollment; encoding/json costs several times as much.
type body struct{ b []byte }

func newBody() *body { return &body{b: make([]byte, 0, 512)} }

func (o *body) key(name string) {
	if len(o.b) == 0 {
		o.b = append(o.b, '{')
	} else {
		o.b = append(o.b, ',')
	}
	o.b = appendJSONString(o.b, name)
	o.b = append(o.b, ':')
}

// str adds a member unless it is empty.
func (o *body) str(name, value string) *body {
	if value != "" {
		o.key(name)
		o.b = appendJSONString(o.b, value)
	}
	return o
}

func (o *body) hex(name string, value []byte) *body {
	o.key(name)
	o.b = append(o.b, '"')
	o.b = hex.AppendEncode(o.b, value)
	o.b = append(o.b, '"')
	return o
}

func (o *body) num(name string, value int) *body {
	o.key(name)
	o.b = strconv.AppendInt(o.b, int64(value), 10)
	return o
}

// yes adds a member that is true, or nothing.
func (o *body) yes(name string, value bool) *body {
	if value {
		o.key(name)
		o.b = append(o.b, "true"...)
	}
	return o
}

func (o *body) boolean(name string, value bool) *body {
	o.key(name)
	o.b = strconv.AppendBool(o.b, value)
	return o
}

func (o *body) time(name string, value time.Time) *body {
	o.key(name)
	o.b = append(o.b, '"')
	o.b = value.UTC().AppendFormat(o.b, time.RFC3339)
	o.b = append(o.b, '"')
	return o
}

func (o *body) done() json.RawMessage {
	if len(o.b) == 0 {
		return json.RawMessage("{}")
	}
	return append(o.b, '}')
}

func appendJSONString(b []byte, s string) []byte {
	const digits = "0123456789abcdef"
	b = append(b, '"')
	for i := 0; i < len(s); {
		c := s[i]
		if c >= ' ' && c < utf8.RuneSelf && c != '"' && c != '\\' {
			b = append(b, c)
			i++
			continue
		}
		if c < utf8.RuneSelf {
			if c == '"' || c == '\\' {
				b = append(b, '\\', c)
			} else {
				b = append(b, '\\', 'u', '0', '0', digits[c>>4], digits[c&15])
			}
			i++
			continue
		}
		r, size := utf8.DecodeRuneInString(s[i:])
		b = utf8.AppendRune(b, r) // U+FFFD for what is no UTF-8
		i += size
	}
	return append(b, '"')
}

// entry begins a trail entry about the case.
func (c *Case) entry(kind, reason string, b *body) *trail.Entry {
	return &trail.Entry{
		At: c.At.UTC(), Domain: c.Domain, Kind: kind, Device: c.trailDevice(), Actor: c.actor(), Reason: reason, Body: b.done(),
	}
}

// actor is who caused it: "est", "brski" or the operator's name.
func (c *Case) actor() string {
	if c.Identity.Kind == Operator {
		return c.Identity.Credential
	}
	return c.Road
}

// facts are the members every entry about a request has.
func (c *Case) facts(v *version) *body {
	operation := c.Operation
	if c.Generate != nil {
		operation = OpKeyGen
	}
	b := newBody().str("operation", operation).str("request", c.RequestID).str("settings", v.Version)
	if c.Label != nil {
		b.str("label", c.Label.Name)
	}
	if p := c.Placement; p != nil && p.Name != "" {
		b.str("group", p.Name).str("group_rule", p.Rule).num("groups_version", int(p.Version))
	}
	if c.Address.IsValid() {
		b.str("address", c.Address.Addr().String())
	}
	b.str("credential", c.Identity.Credential)
	others := make([]string, len(c.Also))
	for n := range c.Also {
		others[n] = c.Also[n].Credential
	}
	b.str("with", strings.Join(others, " "))
	for _, i := range append([]Identity{c.Identity}, c.Also...) {
		if t := i.token; t != nil {
			b.str("token_issuer", t.Issuer).str("token_subject", t.Subject).str("token_id", t.ID)
		}
	}
	return b.str("serial_number", c.SerialNumber)
}
