package voucher

import (
	"encoding/base64"
	"fmt"
	"time"

	"github.com/briskest/briskest/internal/strictjson"
)

// This file has what is only in BRSKI with pledge in responder mode
// (draft-ietf-anima-brski-prm): the leaves agent-*, and the document that a
// registrar-agent signs.

// rootPRMRequest is the container of older drafts, and of the examples in the newest.
const rootPRMRequest = "ietf-voucher-request-prm:voucher"

// agentDataRoot is the container of older drafts for agent-signed-data.
const agentDataRoot = "ietf-voucher-request-prm:agent-signed-data"

const (
	// FindingPRMRootInRequest: a request in the container "ietf-voucher-request-prm:voucher" of older drafts; the
	// examples of draft-ietf-anima-brski-prm-23, Appendix A have it.
	FindingPRMRootInRequest = "prm-root-in-request"
	// FindingAgentDataContainer: agent-signed-data whose content is in a container where draft-ietf-anima-brski-prm-23,
	// Section 7.1.1.1.1 has a bare object; the examples of its Appendix A do so.
	FindingAgentDataContainer = "agent-signed-data-in-container"
)

// maxAgentCertificates bounds the leaf agent-sign-cert, a certificate and what is above it.
const maxAgentCertificates = MaxCertificates

// AgentSignedData is what a registrar-agent signs to show that it has been
// with the pledge (draft-ietf-anima-brski-prm, Section 7.1.1.1).
type AgentSignedData struct {
	CreatedOn    time.Time
	SerialNumber string // of the pledge
}

// ParseAgentSignedData reads the JSON text that a registrar-agent has signed,
// bare or in the container of older drafts, which is a finding. Both leaves are
// mandatory; others are findings. Limits and errors as for [ParseVoucher].
func ParseAgentSignedData(payload []byte) (*AgentSignedData, []Finding, error) {
	const what = "agent-signed-data"
	members, err := scanObject(payload)
	if err != nil {
		return nil, nil, fmt.Errorf("%s: %w", what, err)
	}
	var findings []Finding
	if len(members) == 1 && members[0].name == agentDataRoot {
		payload = members[0].value
		if payload[0] != '{' {
			return nil, nil, fmt.Errorf("%s: %w", what, leafError(agentDataRoot, fmt.Errorf("%w: an object was expected", ErrLeafType)))
		}
		findings = []Finding{{ID: FindingAgentDataContainer, Text: fmt.Sprintf("the data is in the container %q", agentDataRoot)}}
	}
	l, err := newLeaves(payload, Tolerant)
	if err != nil {
		return nil, nil, fmt.Errorf("%s: %w", what, err)
	}
	var d AgentSignedData
	l.date("created-on", &d.CreatedOn)
	l.text("serial-number", &d.SerialNumber)
	for _, name := range []string{"created-on", "serial-number"} {
		if !l.has(name) {
			l.fail(name, ErrMissingLeaf)
		}
	}
	if err := checkSerialNumber(d.SerialNumber); err != nil {
		l.fail("serial-number", err)
	}
	for name, m := range l.left {
		l.found(m, FindingUnknownLeaf, "unknown leaf %q", clip(name, 64))
	}
	if l.err != nil {
		return nil, nil, fmt.Errorf("%s: %w", what, l.err)
	}
	return &d, append(findings, l.findings()...), nil
}

// checkAgentProximity refuses a request for the assertion agent-proximity
// without what proves it: in a pledge's the registrar certificate and the data
// that the agent provided, in a registrar's, which has the pledge's inside, the
// agent's certificate (rfc8366bis, Section 9.2; draft-ietf-anima-brski-prm,
// Sections 7.1.2.1 and 7.3.4.1).
func checkAgentProximity(r *Request) error {
	switch {
	case r.Assertion != AgentProximity:
		return nil
	case len(r.PriorSignedVoucherRequest) > 0:
		if len(r.AgentSignCert) == 0 {
			return leafError("agent-sign-cert", ErrMissingLeaf)
		}
	case len(r.AgentProvidedProximityRegistrarCert) == 0:
		return leafError("agent-provided-proximity-registrar-cert", ErrMissingLeaf)
	case len(r.AgentSignedData) == 0:
		return leafError("agent-signed-data", ErrMissingLeaf)
	}
	return nil
}

// binaries takes one leaf of the type binary, or a list of them.
// draft-ietf-anima-brski-prm, Section 7.3.4.1 has agent-sign-cert as an array,
// the YANG module of rfc8366bis, Section 9.2 as binary: both are right.
func (l *leaves) binaries(name string, into *[][]byte) {
	m, there := l.left[name]
	if !there || l.err != nil || m.value[0] != '[' {
		var one []byte
		if l.binary(name, &one); one != nil {
			*into = [][]byte{one}
		}
		return
	}
	delete(l.left, name)
	elements, err := strictjson.Array(m.value, limits())
	switch {
	case err != nil:
		l.fail(name, err)
	case len(elements) == 0 || len(elements) > maxAgentCertificates:
		l.fail(name, fmt.Errorf("%w: %d certificates, 1 to %d were expected", ErrLeafValue, len(elements), maxAgentCertificates))
	}
	for _, element := range elements {
		if element[0] != '"' {
			l.fail(name, fmt.Errorf("%w: an array of strings was expected", ErrLeafType))
			return
		}
		text, err := strictjson.Text(element)
		if err != nil {
			l.fail(name, err)
			return
		}
		value, err := decodeBase64(text)
		if err != nil || len(value) == 0 {
			l.fail(name, fmt.Errorf("%w: an element of the array", ErrBase64))
			return
		}
		*into = append(*into, value)
	}
}

// binaries writes one value as the type binary, several as an array.
func (b *builder) binaries(name string, values [][]byte) {
	if len(values) > maxAgentCertificates {
		b.fail(name, fmt.Errorf("%w: %d certificates, the limit is %d", ErrLeafValue, len(values), maxAgentCertificates))
	}
	if len(values) == 1 {
		b.binary(name, values[0])
		return
	}
	for i, value := range values {
		if i == 0 {
			b.key(name)
		}
		b.buf.WriteByte("[,"[min(i, 1)])
		b.quote(name, base64.StdEncoding.EncodeToString(value))
	}
	if len(values) > 0 {
		b.buf.WriteByte(']')
	}
}
