package voucher

import (
	"encoding/json"
	"fmt"
)

// The containers (RFC 8366, Section 5.3; RFC 8995, Section 3.4).
const (
	rootVoucher = "ietf-voucher:voucher"
	rootRequest = "ietf-voucher-request:voucher"
)

// Mode says what to do with a deviation that a named peer is known for.
type Mode int

// The modes of reading.
const (
	// Tolerant takes the deviation and reports it as a [Finding].
	Tolerant Mode = iota
	// StrictRFC8366 refuses it. It also wants RFC 8366's pinned-domain-cert
	// where rfc8366bis has alternatives, and its three assertions. Unknown
	// leaves stay a finding: they are the receiver's to judge.
	StrictRFC8366
)

// ParseVoucher reads the JSON text of a voucher. It returns the findings in
// order of appearance. The text has to be one object with the one member
// "ietf-voucher:voucher", or "ietf-delegated-voucher:voucher" with the leaves
// of [Delegation]; serial-number, assertion and one of the pins are mandatory. The certificates in it are not parsed: bytes are returned.
//
// Limits: MaxPayload, MaxDepth, MaxMembers. Errors: the sentinels of this
// package, in a [LeafError] where they are about a leaf.
func ParseVoucher(payload []byte, mode Mode) (*Voucher, []Finding, error) {
	root, err := openRoot(payload)
	if err != nil {
		return nil, nil, fmt.Errorf("voucher: %w", err)
	}
	delegated := root.name == rootDelegated
	if root.name != rootVoucher && !delegated {
		return nil, nil, fmt.Errorf("voucher: %w: %q, not %q", ErrRoot, clip(root.name, 64), rootVoucher)
	}
	var v Voucher
	findings, err := v.read(root.value, mode, delegated)
	if err != nil {
		return nil, nil, fmt.Errorf("voucher: %w", err)
	}
	return &v, findings, nil
}

// ParseRequest reads the JSON text of a voucher-request like [ParseVoucher].
// The container is "ietf-voucher-request:voucher"; that of a voucher, or of
// older drafts of BRSKI with pledge in responder mode, is a finding. serial-number is mandatory (RFC 8995, Section 3.4).
func ParseRequest(payload []byte, mode Mode) (*Request, []Finding, error) {
	root, err := openRoot(payload)
	if err != nil {
		return nil, nil, fmt.Errorf("voucher-request: %w", err)
	}
	var findings []Finding
	switch {
	case root.name == rootRequest:
	case root.name == rootVoucher && mode == Tolerant:
		findings = []Finding{{
			ID:   FindingVoucherRootInRequest,
			Text: fmt.Sprintf("the request is in the container %q, not %q", rootVoucher, rootRequest),
		}}
	case root.name == rootPRMRequest && mode == Tolerant:
		findings = []Finding{{
			ID:   FindingPRMRootInRequest,
			Text: fmt.Sprintf("the request is in the container %q, not %q", rootPRMRequest, rootRequest),
		}}
	default:
		return nil, nil, fmt.Errorf("voucher-request: %w: %q, not %q", ErrRoot, clip(root.name, 64), rootRequest)
	}
	var r Request
	more, err := r.read(root.value, mode)
	if err != nil {
		return nil, nil, fmt.Errorf("voucher-request: %w", err)
	}
	return &r, append(findings, more...), nil
}

// openRoot returns the only member of the outer object.
func openRoot(payload []byte) (member, error) {
	members, err := scanObject(payload)
	if err != nil {
		return member{}, err
	}
	if len(members) != 1 {
		return member{}, fmt.Errorf("%w: the outer object has %d members, not one", ErrRoot, len(members))
	}
	if members[0].value[0] != '{' {
		return member{}, leafError(members[0].name, fmt.Errorf("%w: an object was expected", ErrLeafType))
	}
	return members[0], nil
}

func (v *Voucher) read(object []byte, mode Mode, delegated bool) ([]Finding, error) {
	l, err := newLeaves(object, mode)
	if err != nil {
		return nil, err
	}
	if delegated {
		l.delegation(v)
	}
	l.shared(v.shared())
	l.rest(v.shared())
	l.check(v.shared())
	l.checkVoucher(v)
	return l.findings(), l.err
}

func (r *Request) read(object []byte, mode Mode) ([]Finding, error) {
	l, err := newLeaves(object, mode)
	if err != nil {
		return nil, err
	}
	l.prior(r)
	l.shared(r.shared())
	l.binary("prior-signed-voucher-request", &r.PriorSignedVoucherRequest)
	l.binary("proximity-registrar-cert", &r.ProximityRegistrarCert)
	l.binary("proximity-registrar-pubk", &r.ProximityRegistrarPubk)
	l.binary("proximity-registrar-pubk-sha256", &r.ProximityRegistrarPubkSHA256)
	l.binary("agent-provided-proximity-registrar-cert", &r.AgentProvidedProximityRegistrarCert)
	l.binaries("agent-sign-cert", &r.AgentSignCert)
	l.binary("agent-signed-data", &r.AgentSignedData)
	l.rest(r.shared())
	l.check(r.shared())
	l.checkHash("proximity-registrar-pubk-sha256", r.ProximityRegistrarPubkSHA256)
	return l.findings(), l.err
}

// shared takes the leaves that vouchers and requests have in common.
func (l *leaves) shared(s *shared) {
	l.text("assertion", (*string)(s.assertion))
	l.date("created-on", s.createdOn)
	l.date("expires-on", s.expiresOn)
	l.text("serial-number", s.serialNumber)
	l.binary("idevid-issuer", s.idevidIssuer)
	l.binary("pinned-domain-cert", s.pinnedCert)
	l.binary("pinned-domain-pubk", s.pinnedPubk)
	l.binary("pinned-domain-pubk-sha256", s.pinnedPubkHash)
	l.flag("domain-cert-revocation-checks", s.revocationChecks)
	l.text("nonce", s.nonce)
	l.date("last-renewal-date", s.lastRenewalDate)
	l.text("est-domain", s.estDomain)
	l.text("additional-configuration-url", s.configurationURL)
	l.raw("manufacturer-proprietary", s.proprietary)
	l.extensions(s.extensions)
}

// prior sets a prior-signed-voucher-request aside that is an object: see FindingPriorNotArtifact.
func (l *leaves) prior(r *Request) {
	const name = "prior-signed-voucher-request"
	m, ok := l.left[name]
	if !ok || m.value[0] != '{' || l.mode != Tolerant {
		return
	}
	delete(l.left, name)
	r.Unknown = map[string]json.RawMessage{name: json.RawMessage(m.value)}
	l.found(m, FindingPriorNotArtifact, "%s is an object and not a signed artifact", name)
}

// check applies the rules between leaves and on values that both kinds share.
func (l *leaves) check(s *shared) {
	if !l.has("serial-number") {
		l.fail("serial-number", ErrMissingLeaf)
	}
	if err := checkSerialNumber(*s.serialNumber); err != nil {
		l.fail("serial-number", err)
	}
	l.checkAssertion(*s.assertion)
	l.checkNonce(*s.nonce)
	l.checkHash("pinned-domain-pubk-sha256", *s.pinnedPubkHash)
	l.checkURI("est-domain", *s.estDomain)
	l.checkURI("additional-configuration-url", *s.configurationURL)
	// RFC 8366, Section 5.3: each of the two leaves is there only without the
	// other. rfc8366bis dropped the rule.
	if *s.nonce != "" && !s.expiresOn.IsZero() {
		l.deviation("expires-on", ErrNonceWithExpiresOn, FindingNonceWithExpiresOn, "nonce and expires-on are both there")
	}
	if !s.lastRenewalDate.IsZero() && s.expiresOn.IsZero() {
		l.deviation("last-renewal-date", fmt.Errorf("%w: only together with expires-on", ErrLeafValue),
			FindingLastRenewalDate, "last-renewal-date is there without expires-on")
	}
	// RFC 8366 did not say which bytes are meant (erratum 7263), so this is never an error.
	if *s.idevidIssuer != nil && !isIssuerExtension(*s.idevidIssuer) {
		l.found(l.seen["idevid-issuer"], FindingIDevIDIssuerForm,
			"idevid-issuer is not the whole value of the authority key identifier extension")
	}
}

func (l *leaves) checkAssertion(a Assertion) {
	switch {
	case a == "" && !l.has("assertion"):
	case !a.known(), l.mode == StrictRFC8366 && a == AgentProximity:
		l.fail("assertion", fmt.Errorf("%w: %q", ErrLeafValue, clip(string(a), 32)))
	}
}

func (l *leaves) checkNonce(nonce string) {
	err := CheckNonce(nonce)
	switch {
	case err == nil, !l.has("nonce"):
	case !countedAsText(nonce):
		l.fail("nonce", err)
	default:
		l.deviation("nonce", err, FindingNonceLength, "the nonce has fewer than 8 bytes, though 8 or more characters")
	}
}

// checkHash wants the 32 bytes of SHA-256 (rfc8366bis, Sections 8.4 and 9.2).
func (l *leaves) checkHash(name string, value []byte) {
	if err := checkHash(value); err != nil {
		l.fail(name, err)
	}
}

func (l *leaves) checkURI(name, value string) {
	if l.has(name) {
		if err := checkURI(value); err != nil {
			l.fail(name, err)
		}
	}
}

// checkVoucher applies the rules of a voucher alone (RFC 8366, Section 5.3).
func (l *leaves) checkVoucher(v *Voucher) {
	if v.Assertion == "" {
		l.fail("assertion", ErrMissingLeaf)
	}
	anyPin := v.PinnedDomainCert != nil || v.PinnedDomainPubk != nil || v.PinnedDomainPubkSHA256 != nil ||
		v.Delegation.pins()
	if !anyPin || l.mode == StrictRFC8366 && v.PinnedDomainCert == nil {
		l.fail("pinned-domain-cert", ErrMissingLeaf)
	}
	if v.CreatedOn.IsZero() {
		l.deviation("created-on", ErrMissingLeaf, FindingCreatedOnMissing, "created-on is absent")
	}
}
