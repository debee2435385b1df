package registrar

import (
	"bytes"
	"context"
	"crypto/sha1" //nolint:gosec // a key identifier (RFC 5280, Section 4.2.1.2), no signature
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"slices"
	"strings"

	"github.com/briskest/briskest/brski"
	"github.com/briskest/briskest/voucher"
)

// AuditRule says what becomes of a device for what its audit-log says.
type AuditRule string

// The rules. What waits is on record with its voucher, which is handed out when
// an operator has approved.
const (
	AuditRefuse AuditRule = "refuse"
	AuditWait   AuditRule = "wait"
	AuditAllow  AuditRule = "allow"
)

// AuditLogRules are a manufacturer's rules about the audit-log of a device that
// asks for a voucher (RFC 8995, Section 5.8.3). Of several that apply the
// strictest counts.
type AuditLogRules struct {
	// UnknownDomain is for an entry of a domain that is neither ours nor Known,
	// and for entries that the MASA left out of the log; default wait.
	UnknownDomain AuditRule
	// NoncelessEntry is for an entry of such a domain without a nonce: whoever has
	// that voucher can take the device over at any time (RFC 8995, Section 11.4); default wait.
	NoncelessEntry AuditRule
	// AnyEntry is for an entry of any voucher, ours too, that is not on this
	// registrar's record; default allow.
	AnyEntry AuditRule
	// Unavailable is for a MASA that gives no audit-log; default refuse.
	Unavailable AuditRule
	// Known are the names of domains that may have had the device, by their
	// domainID in base64 (RFC 8995, Section 5.8.2).
	Known map[string]string
}

// checked fills in defaults. The keys of Known become the domainIDs' bytes.
func (r AuditLogRules) checked() (AuditLogRules, error) {
	for _, rule := range []struct {
		name      string
		value     *AuditRule
		otherwise AuditRule
	}{
		{"unknown_domain", &r.UnknownDomain, AuditWait}, {"nonceless_entry", &r.NoncelessEntry, AuditWait},
		{"any_entry", &r.AnyEntry, AuditAllow}, {"unavailable", &r.Unavailable, AuditRefuse},
	} {
		switch *rule.value {
		case "":
			*rule.value = rule.otherwise
		case AuditRefuse, AuditWait, AuditAllow:
		default:
			return r, fmt.Errorf("the audit-log rule %s is %q; want refuse, wait or allow", rule.name, *rule.value)
		}
	}
	known := make(map[string]string, len(r.Known))
	for id, name := range r.Known {
		raw, err := base64.StdEncoding.DecodeString(id)
		if err != nil || len(raw) < 16 || len(raw) > 64 {
			return r, fmt.Errorf("the known domain %q has the domainID %.100q, which is not base64 of a key identifier (RFC 8995, Section 5.8.2)", name, id)
		}
		known[string(raw)] = name
	}
	r.Known = known
	return r, nil
}

// Whose domain an entry of an audit-log is of.
const (
	DomainOwn     = "own"
	DomainKnown   = "known" // of AuditLogRules.Known
	DomainUnknown = "unknown"
)

// AuditedEvent is one entry of an audit-log with what the registrar knows about it.
type AuditedEvent struct {
	brski.AuditEvent
	Whose    string // DomainOwn, DomainKnown or DomainUnknown
	Name     string // of a known domain
	OnRecord bool   // of a voucher that this registrar has on record
}

// findings are what an audit-log says of a device's past, as far as rules ask.
type findings struct {
	missing   bool     // there is none
	unknown   []string // domainIDs, hex, each once, sorted; "" for entries that were left out
	nonceless []string // the same, of entries without a nonce
	entries   []string // what identifies each entry that is not on record, sorted
	events    []AuditedEvent
}

// find reads an audit-log. nonces are those of the device's exchanges on record.
func (v *version) find(m *Manufacturer, log *brski.AuditLog, nonces map[string]bool) *findings {
	f := &findings{missing: log == nil}
	if log == nil {
		return f
	}
	for i := range log.Events {
		e := v.audited(m, &log.Events[i], nonces)
		f.events = append(f.events, e)
		id := hex.EncodeToString([]byte(domainKey(e.DomainID + e.RegistrarID)))
		if e.Whose == DomainUnknown {
			f.unknown = append(f.unknown, id)
			if e.Nonce == nil {
				f.nonceless = append(f.nonceless, id)
			}
		}
		if !e.OnRecord {
			f.entries = append(f.entries, fmt.Sprintf("%s %d", id, e.Date.Unix()))
		}
	}
	if t := log.Truncation; t != nil && t.Arbitrary > 0 { // nobody knows of which domains
		f.unknown, f.entries = append(f.unknown, ""), append(f.entries, "")
	}
	for _, list := range []*[]string{&f.unknown, &f.nonceless, &f.entries} {
		slices.Sort(*list)
		*list = slices.Compact(*list)
	}
	return f
}

// audited marks one entry. An entry of ours is on record when its nonce is.
func (v *version) audited(m *Manufacturer, e *brski.AuditEvent, nonces map[string]bool) AuditedEvent {
	out := AuditedEvent{AuditEvent: *e, Whose: DomainUnknown}
	id := domainKey(e.DomainID)
	switch name, known := m.AuditLog.Known[id]; {
	case e.DomainID == "" && e.RegistrarID != "": // minerva's highway
		if v.registrarIDs[domainKey(e.RegistrarID)] {
			out.Whose = DomainOwn
		}
	case v.Cloud != nil && e.Nonce != nil && nonces[*e.Nonce]:
		out.Whose = DomainOwn // asked for here, for who owned the device then
	case v.domainIDs[id]:
		out.Whose = DomainOwn
	case known:
		out.Whose, out.Name = DomainKnown, name
	}
	switch {
	case out.Whose != DomainOwn:
	case e.Nonce == nil:
		out.OnRecord = nonces[""] || m.AllowNonceless && len(nonces) > 0
	default:
		out.OnRecord = nonces[*e.Nonce]
	}
	return out
}

// domainKey is the bytes of a domainID, which is base64; the text where it is not.
func domainKey(text string) string {
	raw, err := base64.RawStdEncoding.DecodeString(strings.TrimRight(text, "="))
	if err != nil {
		return text
	}
	return string(raw)
}

// key tells findings that differ in what an operator decides about apart.
func (f *findings) key() string {
	sum := sha256.Sum256(fmt.Appendf(nil, "%t %q %q %q", f.missing, f.unknown, f.nonceless, f.entries))
	return hex.EncodeToString(sum[:16])
}

// judge holds the findings against the rules: nil, a refusal, or a Wait for an operator.
func (r *AuditLogRules) judge(f *findings) *Decision {
	const rule = "audit-log"
	worst := (*Decision)(nil)
	for _, found := range []struct {
		applies bool
		rule    AuditRule
		reason  string
		err     error
	}{
		{f.missing, r.Unavailable, ReasonAuditLog, fmt.Errorf("there is no audit-log")},
		{len(f.unknown) > 0, r.UnknownDomain, ReasonOtherDomains, fmt.Errorf("entries of %d unknown domains: %.200s", len(f.unknown), strings.Join(f.unknown, " "))},
		{len(f.nonceless) > 0, r.NoncelessEntry, ReasonNonceless, fmt.Errorf("nonceless entries of unknown domains: %.200s", strings.Join(f.nonceless, " "))},
		{len(f.entries) > 0, r.AnyEntry, ReasonEarlierEntry, fmt.Errorf("%d entries of vouchers that are not on record here", len(f.entries))},
	} {
		if !found.applies || found.rule == AuditAllow {
			continue
		}
		d := denyErr(found.reason, rule, found.err)
		if found.rule == AuditRefuse {
			return d
		}
		if worst == nil {
			d.Verdict, d.WaitFor, worst = Wait, ForApproval, d
		}
	}
	return worst
}

// checkAuditLog keeps the device's history and holds it against the policy
// (RFC 8995, Section 5.8.3). It returns nil, a refusal, ReasonMASA for what may
// pass, or a Wait: then the voucher is held for an operator.
func (s *Service) checkAuditLog(ctx context.Context, v *version, m *Manufacturer, out *VoucherRecord, log *brski.AuditLog, err error) *Decision {
	const rule = "audit-log"
	if err != nil {
		log = nil
		if d := masaRefusal(err); d.Reason == ReasonMASA && m.AuditLog.Unavailable != AuditAllow {
			return d // may pass when tried again
		}
	}
	if log != nil {
		raw, bad := brski.MarshalAuditLog(log)
		if bad != nil {
			return denyErr(ReasonAuditLog, rule, bad)
		}
		out.AuditLog = raw
	}
	f, bad := s.findings(ctx, v, m, out, log)
	if bad != nil {
		return denyErr(ReasonMASA, rule, bad) // the record cannot be read; tried again
	}
	d := m.AuditLog.judge(f)
	if d != nil && f.missing && err != nil {
		d.Err = err
	}
	return d
}

// findings reads an audit-log, which is that of an exchange's record. The
// device's other exchanges are looked up only where an entry of ours is not of this one.
func (s *Service) findings(ctx context.Context, v *version, m *Manufacturer, row *VoucherRecord, log *brski.AuditLog) (*findings, error) {
	nonces := map[string]bool{row.Nonce: true}
	f := v.find(m, log, nonces)
	if !slices.ContainsFunc(f.events, func(e AuditedEvent) bool { return e.Whose == DomainOwn && !e.OnRecord }) {
		return f, nil
	}
	rows, err := s.store.ListVouchers(ctx, v.Domain, row.DeviceID)
	if err != nil {
		return nil, err
	}
	for _, r := range rows {
		nonces[r.Nonce] = true
	}
	return v.find(m, log, nonces), nil
}

// identifyDomain notes by which identifiers an audit-log names this network.
func (v *version) identifyDomain() {
	v.domainIDs, v.registrarIDs = map[string]bool{}, map[string]bool{}
	for _, cert := range v.ours {
		v.domainIDs[string(voucher.DomainID(cert))] = true
		if cert.IsCA {
			continue
		}
		v.registrarIDs[string(cert.SubjectKeyId)] = true
		if sum, ok := keyIdentifier(cert); ok {
			v.registrarIDs[string(sum)] = true
		}
	}
	delete(v.registrarIDs, "")
}

// keyIdentifier is the SHA-1 of the key's bits, with which minerva's highway
// names a registrar.
func keyIdentifier(cert *x509.Certificate) ([]byte, bool) {
	bits, ok := publicKeyBits(cert.RawSubjectPublicKeyInfo)
	if !ok {
		return nil, false
	}
	sum := sha1.Sum(bits) //nolint:gosec // as above
	return sum[:], true
}

// foreign counts the entries of other domains than ours.
func (v *version) foreign(m *Manufacturer, log *brski.AuditLog) int {
	if log == nil {
		return 0
	}
	n := 0
	for i := range log.Events {
		if v.audited(m, &log.Events[i], nil).Whose != DomainOwn {
			n++
		}
	}
	return n
}

// recordedLog reads an audit-log on record; nil for none.
func recordedLog(raw []byte) *brski.AuditLog {
	if raw == nil {
		return nil
	}
	log, err := brski.ParseAuditLog(bytes.Clone(raw))
	if err != nil {
		return nil
	}
	return log
}
