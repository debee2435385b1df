package voucher_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"maps"
	"reflect"
	"slices"
	"testing"
	"time"

	"github.com/briskest/briskest/internal/testpki"
	"github.com/briskest/briskest/voucher"
)

func agentRequest() *voucher.Request {
	return &voucher.Request{
		Assertion: voucher.AgentProximity, SerialNumber: "PEER-0001", Nonce: voucher.NewNonce(),
		AgentProvidedProximityRegistrarCert: []byte{1}, AgentSignedData: []byte{2},
	}
}

func isLeaf(err error, name string, want error) bool {
	var leaf *voucher.LeafError
	return errors.Is(err, want) && errors.As(err, &leaf) && leaf.Leaf == name
}

// BRSKI-8366BIS-9.2-02: a registrar's request for agent-proximity has agent-sign-cert, and none is written or taken without.
// draft-ietf-anima-brski-prm, Section 7.1.2.1: a pledge's has the registrar certificate and the data the agent provided.
func TestAgentProximityIsNotAskedForWithoutTheLeavesThatProveIt(t *testing.T) {
	if _, err := voucher.MarshalRequest(agentRequest()); err != nil {
		t.Errorf("MarshalRequest(complete) = %v", err)
	}
	for name, c := range map[string]struct {
		spoil func(*voucher.Request)
		leaf  string
	}{
		"pledge without registrar certificate": {func(r *voucher.Request) { r.AgentProvidedProximityRegistrarCert = nil }, "agent-provided-proximity-registrar-cert"},
		"pledge without signed data":           {func(r *voucher.Request) { r.AgentSignedData = nil }, "agent-signed-data"},
		"registrar without agent certificate":  {func(r *voucher.Request) { r.PriorSignedVoucherRequest = []byte{3} }, "agent-sign-cert"},
	} {
		r := agentRequest()
		c.spoil(r)
		if _, err := voucher.MarshalRequest(r); !isLeaf(err, c.leaf, voucher.ErrMissingLeaf) {
			t.Errorf("%s: MarshalRequest() = %v, want %s missing", name, err, c.leaf)
		}
		if err := voucher.CheckRequest(r); !isLeaf(err, c.leaf, voucher.ErrMissingLeaf) {
			t.Errorf("%s: CheckRequest() = %v, want %s missing", name, err, c.leaf)
		}
	}
	r := agentRequest()
	r.PriorSignedVoucherRequest, r.AgentSignCert = []byte{3}, [][]byte{{4}}
	if err := voucher.CheckRequest(r); err != nil {
		t.Errorf("CheckRequest(complete registrar's) = %v", err)
	}
	proximity := &voucher.Request{Assertion: voucher.Proximity, SerialNumber: "PEER-0001", ProximityRegistrarCert: []byte{1}}
	if text, err := voucher.MarshalRequest(proximity); err != nil || bytes.Contains(text, []byte("agent-")) {
		t.Errorf("MarshalRequest(proximity) = %s, %v; want no leaf of an agent", text, err)
	}
}

func TestAgentSignCertIsReadAsOneOrAsList(t *testing.T) {
	for value, want := range map[string]any{
		`"AQ=="`:          [][]byte{{1}},
		`["AQ=="]`:        [][]byte{{1}},
		`["AQ==","Ag=="]`: [][]byte{{1}, {2}},
		`[]`:              voucher.ErrLeafValue,
		`[1]`:             voucher.ErrLeafType,
		`[null]`:          voucher.ErrLeafType,
		`{}`:              voucher.ErrLeafType,
		`["AQ"]`:          voucher.ErrBase64,
		`["A\nQ=="]`:      voucher.ErrBase64,
		`[""]`:            voucher.ErrBase64,
	} {
		r, _, err := voucher.ParseRequest(payload("ietf-voucher-request:voucher", map[string]string{
			"serial-number": `"PEER-0001"`, "agent-sign-cert": value,
		}), voucher.Tolerant)
		if wantErr, isErr := want.(error); isErr {
			if !isLeaf(err, "agent-sign-cert", wantErr) {
				t.Errorf("agent-sign-cert %s: %v, want %v", value, err, wantErr)
			}
			continue
		}
		if err != nil || !reflect.DeepEqual(r.AgentSignCert, want) {
			t.Errorf("agent-sign-cert %s = %v, %v; want %v", value, r, err, want)
		}
	}
}

// draft-ietf-anima-brski-prm-23, Appendix A has requests in the container of older drafts.
func TestTheContainerOfOlderPRMDraftsIsTakenAsAFinding(t *testing.T) {
	text := payload("ietf-voucher-request-prm:voucher", map[string]string{"serial-number": `"PEER-0001"`})
	_, findings, err := voucher.ParseRequest(text, voucher.Tolerant)
	if err != nil || len(findings) != 1 || findings[0].ID != voucher.FindingPRMRootInRequest {
		t.Errorf("ParseRequest() = %v, %v; want the finding %s", findings, err, voucher.FindingPRMRootInRequest)
	}
	if _, _, err := voucher.ParseRequest(text, voucher.StrictRFC8366); !errors.Is(err, voucher.ErrRoot) {
		t.Errorf("ParseRequest(strict) = %v, want %v", err, voucher.ErrRoot)
	}
}

// draft-ietf-anima-brski-prm, Section 7.1.1.1.
func TestAgentSignedDataIsReadBareAndInItsOldContainer(t *testing.T) {
	want := &voucher.AgentSignedData{CreatedOn: time.Date(2022, 9, 22, 5, 43, 50, 125e6, time.UTC), SerialNumber: "0123456789"}
	const bare = `{"created-on":"2022-09-22T05:43:50.125Z","serial-number":"0123456789"}`
	for text, finding := range map[string]string{
		bare: "",
		`{"ietf-voucher-request-prm:agent-signed-data":` + bare + `}`: voucher.FindingAgentDataContainer,
	} {
		got, findings, err := voucher.ParseAgentSignedData([]byte(text))
		if err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("ParseAgentSignedData(%s) = %+v, %v; want %+v", text, got, err, want)
		}
		has := slices.ContainsFunc(findings, func(f voucher.Finding) bool { return f.ID == finding })
		if has != (finding != "") || len(findings) > 1 {
			t.Errorf("ParseAgentSignedData(%s) has findings %v, want %q", text, findings, finding)
		}
	}
	for text, want := range map[string]error{
		`{"serial-number":"0123456789"}`:                                                voucher.ErrMissingLeaf,
		`{"created-on":"2022-09-22T05:43:50Z"}`:                                         voucher.ErrMissingLeaf,
		`{"created-on":"2022-09-22T05:43:50Z","serial-number":"1","serial-number":"2"}`: voucher.ErrDuplicateLeaf,
		`{"ietf-voucher-request-prm:agent-signed-data":[]}`:                             voucher.ErrLeafType,
		`[]`: voucher.ErrSyntax,
	} {
		if _, _, err := voucher.ParseAgentSignedData([]byte(text)); !errors.Is(err, want) {
			t.Errorf("ParseAgentSignedData(%s) = %v, want %v", text, err, want)
		}
	}
}

// draft-ietf-anima-voucher-delegation-02, Section 5: the leaves are only valid
// with the flag, and in no voucher of RFC 8366.
func TestDelegationLeavesAreTakenOnlyTogetherAndInTheirContainer(t *testing.T) {
	leaves := map[string]string{
		"serial-number": `"PEER-0001"`, "assertion": `"logged"`, "created-on": `"2026-11-22T22:21:07Z"`, "nonce": `"AAAAAAAAAAA="`,
		"delegation-enable-flag": `true`, "pinned-delegation-cert-authority": `"AQ=="`, "pinned-delegation-cert-name": `"Ag=="`,
		"delegation-voucher": `"Aw=="`, "intermediate-identities": `"BA=="`, "delegation-countdown": `3`,
	}
	v, findings, err := voucher.ParseVoucher(payload("ietf-delegated-voucher:voucher", leaves), voucher.Tolerant)
	want := &voucher.Delegation{
		Enabled: true, CertAuthority: []byte{1}, CertName: []byte{2}, Voucher: []byte{3}, IntermediateIdentities: []byte{4}, Countdown: 3,
	}
	if err != nil || len(findings) > 0 || !reflect.DeepEqual(v.Delegation, want) {
		t.Fatalf("ParseVoucher(delegated) = %+v, %v, %v; want %+v", v, findings, err, want)
	}
	if text, err := voucher.MarshalVoucher(v); err != nil || !bytes.HasPrefix(text, []byte(`{"ietf-delegated-voucher:voucher":`)) {
		t.Errorf("MarshalVoucher(delegated) = %s, %v; want the container of delegated vouchers", text, err)
	}
	for _, c := range []struct {
		leaf, value, named string
		want               error
	}{
		{"delegation-enable-flag", `false`, "pinned-delegation-cert-authority", voucher.ErrLeafValue},
		{"delegation-enable-flag", ``, "pinned-delegation-cert-authority", voucher.ErrLeafValue},
		{"delegation-enable-flag", `"true"`, "delegation-enable-flag", voucher.ErrLeafType},
		{"delegation-countdown", `-1`, "delegation-countdown", voucher.ErrLeafValue},
		{"delegation-countdown", `32768`, "delegation-countdown", voucher.ErrLeafType},
		{"delegation-countdown", `1.5`, "delegation-countdown", voucher.ErrLeafType},
		{"delegation-voucher", `7`, "delegation-voucher", voucher.ErrLeafType},
	} {
		if _, _, err := voucher.ParseVoucher(payload("ietf-delegated-voucher:voucher", with(maps.Clone(leaves), c.leaf, c.value)), voucher.Tolerant); !isLeaf(err, c.named, c.want) {
			t.Errorf("%s %s: %v, want %s: %v", c.leaf, c.value, err, c.named, c.want)
		}
	}
	// In an ordinary voucher they are unknown leaves, and no pin.
	if _, _, err := voucher.ParseVoucher(payload("ietf-voucher:voucher", leaves), voucher.Tolerant); !isLeaf(err, "pinned-domain-cert", voucher.ErrMissingLeaf) {
		t.Errorf("ParseVoucher(delegation in an ordinary voucher) = %v, want no pin", err)
	}
	v.Delegation.Enabled = false
	if _, err := voucher.MarshalVoucher(v); !isLeaf(err, "pinned-delegation-cert-authority", voucher.ErrLeafValue) {
		t.Errorf("MarshalVoucher(not enabled) = %v, want it refused", err)
	}
}

// rfc8366bis, Sections 8.4 and 9.2: the hashes are of SHA-256.
func TestHashesOfKeysHave32Bytes(t *testing.T) {
	r := &voucher.Request{SerialNumber: "PEER-0001", ProximityRegistrarPubkSHA256: make([]byte, 31)}
	if _, err := voucher.MarshalRequest(r); !isLeaf(err, "proximity-registrar-pubk-sha256", voucher.ErrLeafValue) {
		t.Errorf("MarshalRequest(31 bytes) = %v, want it refused", err)
	}
	text := payload("ietf-voucher-request:voucher", map[string]string{"serial-number": `"x"`, "proximity-registrar-pubk-sha256": `"AQID"`})
	if _, _, err := voucher.ParseRequest(text, voucher.Tolerant); !isLeaf(err, "proximity-registrar-pubk-sha256", voucher.ErrLeafValue) {
		t.Errorf("ParseRequest(3 bytes) = %v, want it refused", err)
	}
	v := &voucher.Voucher{
		Assertion: voucher.Logged, CreatedOn: time.Date(2026, 11, 22, 0, 0, 0, 0, time.UTC), SerialNumber: "x",
		PinnedDomainCert: testpki.NewRoot(t, "Domain CA").Certificate.Raw, PinnedDomainPubkSHA256: make([]byte, 33),
	}
	if _, err := voucher.MarshalVoucher(v); !isLeaf(err, "pinned-domain-pubk-sha256", voucher.ErrLeafValue) {
		t.Errorf("MarshalVoucher(33 bytes) = %v, want it refused", err)
	}
}

// BRSKI-8366BIS-8.6-01: an extension is listed by its name, and its data is under "extension:NAME" in JSON.
func TestAnExtensionIsListedAndItsDataStandsUnderItsName(t *testing.T) {
	r := &voucher.Request{SerialNumber: "PEER-0001", Extensions: map[string]json.RawMessage{
		"extension:example-module": json.RawMessage(`{"a":[1]}`), "extension:bare": nil,
	}}
	const want = `{"ietf-voucher-request:voucher":{"serial-number":"PEER-0001","extensions":["bare","example-module"],"extension:example-module":{"a":[1]}}}`
	text, err := voucher.MarshalRequest(r)
	if err != nil || string(text) != want {
		t.Errorf("MarshalRequest() = %s, %v; want %s", text, err, want)
	}
	got, findings, err := voucher.ParseRequest([]byte(want), voucher.StrictRFC8366)
	if err != nil || len(findings) > 0 || !reflect.DeepEqual(got, r) {
		t.Errorf("ParseRequest() = %+v, %v, %v; want %+v", got, findings, err, r)
	}
}
