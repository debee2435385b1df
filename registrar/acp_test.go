package registrar_test

import (
	"bytes"
	"crypto/x509/pkix"
	"encoding/asn1"
	"testing"

	"github.com/briskest/briskest/ca/profile"
	"github.com/briskest/briskest/est"
	"github.com/briskest/briskest/registrar"
)

// BRSKI-8995-5.9.2-01: a profile for the ACP has csrattrs name the AcpNodeName.
func TestCSRAttrsOfAProfileForTheACPNamesTheNode(t *testing.T) {
	const node = "fd89b714f3db00000200000064000000+area51.research@acp.example.com"
	h := newHouse(t, func(h *house) {
		h.reprofile(func(d *profile.Document) { d.SAN.ACP = &profile.NameRule{Values: []string{node}} })
	})
	_, der := h.csrAttrs(h.serve())
	plan, err := est.ParseCSRPlan(der)
	if err != nil {
		t.Fatal(err)
	}
	// One otherName 1.3.6.1.5.5.7.8.10 with an IA5String of 64 characters (RFC 8994, Section 6.2.2.1).
	want := append([]byte("\x30\x50\xa0\x4e\x06\x08\x2b\x06\x01\x05\x05\x07\x08\x0a\xa0\x42\x16\x40"), node...)
	for _, e := range plan.Extensions {
		if e.ID.String() == "2.5.29.17" && bytes.Equal(e.Value, want) {
			return
		}
	}
	t.Errorf("csrattrs has no SubjectAltName with the AcpNodeName: %+v", plan.Extensions)
}

// BRSKI-8995-5.9-02: a CSR that lacks what csrattrs told the pledge is refused with
// 400 and the reason. BRSKI-8995-5.9.2-02: and before the CA sees it.
func TestACSRWithoutTheNameThatWasAskedForDoesNotReachTheCA(t *testing.T) {
	h := newHouse(t, func(h *house) {
		h.reprofile(func(d *profile.Document) { d.SAN.ACP = &profile.NameRule{Request: true, Required: true} })
	})
	_, der := h.csrAttrs(h.serve())
	plan, err := est.ParseCSRPlan(der)
	if err != nil || len(plan.Extensions) == 0 {
		t.Fatalf("csrattrs asks for no extension: %+v, %v", plan, err)
	}
	e := h.enroll("node-1").basic(group).refusedAs(registrar.ReasonNamesRefused, 400)
	if e.Message == "" {
		t.Error("the refusal does not say why")
	}
	if n := len(h.certificates("")); n != 0 {
		t.Errorf("%d intents are on record: the CA was asked", n)
	}
	name, err := profile.ACPNodeName("fd89b714f3db00000200000064000000+area51.research@acp.example.com")
	if err != nil {
		t.Fatal(err)
	}
	value, err := asn1.Marshal([]asn1.RawValue{{FullBytes: name}})
	if err != nil {
		t.Fatal(err)
	}
	r := h.enroll("node-1").basic(group)
	r.csr.ExtraExtensions = append(r.csr.ExtraExtensions, pkix.Extension{Id: asn1.ObjectIdentifier{2, 5, 29, 17}, Value: value})
	if _, err := r.send(); err != nil {
		t.Errorf("with the name: %v", err)
	}
}
