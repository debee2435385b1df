package cmpca_test

import (
	"bytes"
	"context"
	"crypto/x509"
	"encoding/json"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/briskest/briskest/ca"
	"github.com/briskest/briskest/ca/catest"
	"github.com/briskest/briskest/ca/cmpca"
	"github.com/briskest/briskest/internal/cmc"
	"github.com/briskest/briskest/internal/cmp"
	"github.com/briskest/briskest/internal/testpki"
)

// RFC 9483, Section 4.1.4.
func TestTheDevicesRequestIsPassedOnByteForByte(t *testing.T) {
	h := newHouse(t)
	var passed []byte
	h.ca.Reply = func(asked *cmp.Message, _ *catest.CMPReply) {
		if asked.Kind == cmp.P10CR {
			passed = asked.Body
		}
	}
	r := h.request("one")
	if _, err := h.issuer().Issue(t.Context(), r); err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(passed, r.CSR) {
		t.Error("the CA was sent another PKCS #10 request than the device made")
	}
	if got := h.ca.Messages(); !slices.Equal(got, []cmp.Kind{cmp.P10CR, cmp.CertConf}) {
		t.Errorf("the CA was sent %v", got)
	}
}

// RFC 9483, Sections 4.1.1 and 5.3.1.
func TestAnIRAsksForWhatWasDecidedAndVouchesForPossession(t *testing.T) {
	h := newHouse(t)
	h.settings.Mode, h.settings.CertProfile, h.settings.ImplicitConfirm, h.ca.Implicit = cmpca.IR, "iot-device", true, true
	checked := false
	h.ca.Reply = func(asked *cmp.Message, _ *catest.CMPReply) {
		request, err := asked.CertReq()
		if err != nil {
			t.Errorf("CertReq: %v", err)
			return
		}
		checked = true
		if request.POP() != cmc.POPRAVerified {
			t.Errorf("popo = %v, want raVerified", request.POP())
		}
		profile := cmp.CertProfile("iot-device")
		if !slices.ContainsFunc(asked.Header.Infos, func(i cmp.Info) bool {
			return i.Type.Equal(profile.Type) && bytes.Equal(i.Value, profile.Value)
		}) {
			t.Error("the header does not name the CA's profile")
		}
	}
	if _, err := h.issuer().Issue(t.Context(), h.request("one")); err != nil || !checked {
		t.Fatalf("Issue: %v, asked: %t", err, checked)
	}
	if got := h.ca.Messages(); !slices.Equal(got, []cmp.Kind{cmp.IR}) {
		t.Errorf("the CA was sent %v, want no confirmation where none is due", got)
	}
}

// RFC 4210, Section 5.1.1.1: it is granted to those that ask.
func TestAConfirmationIsSentUnlessTheCAWasAskedToDoWithout(t *testing.T) {
	h := newHouse(t)
	header(func(h *cmp.Header) { h.Infos = append(h.Infos, cmp.ImplicitConfirm()) })(h)
	if _, err := h.issuer().Issue(t.Context(), h.request("one")); err != nil {
		t.Fatal(err)
	}
	if got := h.ca.Messages(); !slices.Equal(got, []cmp.Kind{cmp.P10CR, cmp.CertConf}) {
		t.Errorf("the CA was sent %v", got)
	}
}

// A restart between any two messages loses nothing: what is kept is the state, and a new issuer goes on with it.
func TestARestartGoesOnWithTheTransaction(t *testing.T) {
	for _, c := range []struct {
		name string
		rig  func(h *house)
		want error
	}{
		{"the answer was lost", func(h *house) { h.ca.Fail(catest.AnswerLost) }, ca.ErrUnavailable},
		{"the CA waits", func(h *house) { h.ca.Fail(catest.Waits) }, ca.ErrPending},
		{"the pkiconf was lost", unprotected(cmp.CertConf, nothing), ca.ErrUnavailable},
	} {
		t.Run(c.name, func(t *testing.T) {
			h := newHouse(t)
			c.rig(h)
			r := h.request("one")
			_, err := h.issuer().Issue(t.Context(), r)
			var later *ca.Later
			if !errors.As(err, &later) || !errors.Is(err, c.want) {
				t.Fatalf("Issue = %v, want a Later with %v", err, c.want)
			}
			h.ca.Fail(catest.None)
			h.ca.Reply = nil
			if _, err := h.issuer().Issue(t.Context(), h.again(r, later.State)); err != nil {
				t.Fatalf("after the restart: %v", err)
			}
			if n := len(h.ca.Signed()); n != 1 {
				t.Errorf("the CA signed %d certificates, want 1", n)
			}
			if n := h.ca.Unconfirmed(); n != 0 {
				t.Errorf("%d certificates are unconfirmed", n)
			}
		})
	}
}

// The crash came before the state was stored: the transaction is the same, because it follows from the issuance.
func TestAnIssuanceWithoutItsStateIsAskedForInTheSameTransaction(t *testing.T) {
	h := newHouse(t)
	h.ca.Fail(catest.AnswerLost)
	r := h.request("one")
	if _, err := h.issuer().Issue(t.Context(), r); err == nil {
		t.Fatal("Issue = nil")
	}
	h.ca.Fail(catest.None)
	if _, err := h.issuer().Issue(t.Context(), h.again(r, nil)); err != nil {
		t.Fatal(err)
	}
	if n := len(h.ca.Signed()); n != 1 {
		t.Errorf("the CA signed %d certificates, want 1", n)
	}
}

func TestAStateThatCannotBeReadIsAnError(t *testing.T) {
	h := newHouse(t)
	r := h.request("one")
	h.ca.Fail(catest.AnswerLost)
	if _, err := h.issuer().Issue(t.Context(), r); err == nil {
		t.Fatal("Issue = nil")
	}
	long, err := json.Marshal(map[string]any{"version": 1, "step": "poll", "peer_nonce": make([]byte, 1000)})
	if err != nil {
		t.Fatal(err)
	}
	for _, state := range []string{"{", `{"version":2,"step":"ask"}`, `{"version":1,"step":"dance"}`, `{"version":1,"step":"confirm"}`, string(long)} {
		if c, err := h.issuer().Issue(t.Context(), h.again(r, []byte(state))); err == nil || c != nil {
			t.Errorf("state %.40q: Issue = %v, %v, want an error", state, c, err)
		}
	}
}

// RFC 9483, Section 4.1.1: what is not taken is refused, so that the CA revokes it.
func TestAWrongCertificateIsRefusedAtTheCA(t *testing.T) {
	for _, fault := range []catest.Fault{catest.WrongKey, catest.MoreNames, catest.MakesCA, catest.TooLong} {
		h := newHouse(t)
		h.ca.Fail(fault)
		_, err := h.issuer().Issue(t.Context(), h.request("one"))
		var wrong *ca.Mismatch
		if !errors.As(err, &wrong) || h.ca.Refused() != 1 {
			t.Errorf("the CA %s: Issue = %v, and %d certificates were refused there, want 1", fault, err, h.ca.Refused())
		}
	}
}

// RFC 4210, Section 5.2.3: certConfirmed.
func TestAConfirmationThatArrivedTwiceIsNoError(t *testing.T) {
	h := newHouse(t)
	unprotected(cmp.CertConf, nothing)(h) // it arrives, and its answer is of no use
	r := h.request("one")
	_, err := h.issuer().Issue(t.Context(), r)
	var later *ca.Later
	if !errors.As(err, &later) {
		t.Fatalf("Issue = %v, want a Later", err)
	}
	h.ca.Reply = nil
	if c, err := h.issuer().Issue(t.Context(), h.again(r, later.State)); err != nil || c == nil {
		t.Errorf("Issue = %v, %v, want the certificate", c, err)
	}
	if got := h.ca.Messages(); !slices.Equal(got, []cmp.Kind{cmp.P10CR, cmp.CertConf, cmp.CertConf}) {
		t.Errorf("the CA was sent %v", got)
	}
}

// RFC 9483, Section 4.2.
func TestRevocationsAreTold(t *testing.T) {
	for name, way := range map[string]func(h *house){"signature": nothing, "MAC": func(h *house) { h.byMAC(false) }} {
		t.Run(name, func(t *testing.T) {
			h := newHouse(t)
			way(h)
			issuer := h.issuer()
			c, err := issuer.Issue(t.Context(), h.request("one"))
			if err != nil {
				t.Fatal(err)
			}
			cert, err := x509.ParseCertificate(c.Raw)
			if err != nil {
				t.Fatal(err)
			}
			tell := func(reason int) error {
				return issuer.Revoke(t.Context(), &ca.Revoked{Raw: c.Raw, At: time.Now(), Reason: reason})
			}
			for _, reason := range []int{6, 8, 1, 1} { // held, released, revoked, and told again
				if err := tell(reason); err != nil {
					t.Errorf("Revoke with reason %d: %v", reason, err)
				}
			}
			told := h.ca.Revoked()
			if len(told) != 3 || told[0].Serial.Cmp(cert.SerialNumber) != 0 || !bytes.Equal(told[0].Issuer, cert.RawIssuer) || told[2].Reason != 1 {
				t.Errorf("the CA was told of %+v", told)
			}
			for _, f := range []struct {
				fault catest.Fault
				want  error
			}{
				{catest.Down, ca.ErrUnavailable}, {catest.Overloaded, ca.ErrUnavailable}, {catest.Garbage, ca.ErrUnavailable},
				{catest.Refuses, ca.ErrRejected}, {catest.RefusesUs, ca.ErrUnavailable}, {catest.Waits, ca.ErrUnavailable},
				{catest.AnswerLost, ca.ErrUnavailable},
			} {
				h.ca.Fail(f.fault)
				err := tell(4)
				var later *ca.Later
				if !errors.Is(err, f.want) || errors.As(err, &later) {
					t.Errorf("the CA %s: Revoke = %v, want %v", f.fault, err, f.want)
				}
			}
			h.ca.Fail(catest.None)
			if err := issuer.Revoke(t.Context(), &ca.Revoked{Raw: []byte("x")}); !errors.Is(err, ca.ErrRejected) {
				t.Errorf("Revoke of nonsense = %v, want ErrRejected", err)
			}
		})
	}
}

// An rp that anybody may have sent revokes nothing.
func TestARevocationNeedsAnAnswerOfTheCA(t *testing.T) {
	for name, rig := range map[string]func(*house){
		"no protection":    unprotected(cmp.RR, nothing),
		"another nonce":    header(func(h *cmp.Header) { h.RecipientNonce = make([]byte, 16) }),
		"signed elsewhere": signedBy(elsewhere, nil),
		"two answers": body(cmp.RR, func(_ *house, _ *cmp.Message, r *catest.CMPReply) {
			r.Body = cmp.NewRevRep(make([]cmp.StatusInfo, 2)...)
		}),
		"no answer":         body(cmp.RR, func(_ *house, _ *cmp.Message, r *catest.CMPReply) { r.Body = cmp.NewRevRep() }),
		"a pkiconf":         body(cmp.RR, func(_ *house, _ *cmp.Message, r *catest.CMPReply) { r.Body = cmp.NewPKIConf() }),
		"an unknown status": body(cmp.RR, func(_ *house, _ *cmp.Message, r *catest.CMPReply) { r.Body = cmp.NewRevRep(cmp.StatusInfo{Status: 17}) }),
		"keyUpdateWarning": body(cmp.RR, func(_ *house, _ *cmp.Message, r *catest.CMPReply) {
			r.Body = cmp.NewRevRep(cmp.StatusInfo{Status: cmp.KeyUpdateWarning})
		}),
		"revoked, unsigned":  unprotected(cmp.RR, failing(cmp.RR, cmp.Rejection, cmp.CertRevoked, "done")),
		"another's question": header(func(h *cmp.Header) { h.TransactionID = make([]byte, 16) }),
	} {
		h := newHouse(t)
		rig(h)
		err := h.issuer().Revoke(t.Context(), &ca.Revoked{Raw: h.ca.Signer.Raw, Reason: 1})
		if err == nil {
			t.Errorf("%s: Revoke = nil", name)
		}
	}
}

func TestSettingsThatCannotWorkAreRefused(t *testing.T) {
	for name, c := range map[string]struct {
		change func(s *cmpca.Settings)
		says   string
	}{
		"no URL":          {func(s *cmpca.Settings) { s.URL = "" }, "URL"},
		"another scheme":  {func(s *cmpca.Settings) { s.URL = "ftp://ca.example.org/" }, "http"},
		"a password":      {func(s *cmpca.Settings) { s.URL = "http://me:secret@ca.example.org/" }, "URL"},
		"no chain":        {func(s *cmpca.Settings) { s.Rules.Chain = nil }, "chain"},
		"half a chain":    {func(s *cmpca.Settings) { s.Rules.Chain = s.Rules.Chain[:1] }, "chain"},
		"another mode":    {func(s *cmpca.Settings) { s.Mode = "kur" }, "p10cr"},
		"no protection":   {func(s *cmpca.Settings) { s.Signature = nil }, "exactly one"},
		"two protections": {func(s *cmpca.Settings) { s.MAC = &cmpca.MACSettings{Secret: make([]byte, 16), Reference: "x"} }, "exactly one"},
		"a short secret": {func(s *cmpca.Settings) {
			s.Signature, s.MAC = nil, &cmpca.MACSettings{Secret: []byte("secret!"), Reference: "x"}
		}, "8 bytes"},
		"no reference":     {func(s *cmpca.Settings) { s.Signature, s.MAC = nil, &cmpca.MACSettings{Secret: make([]byte, 16)} }, "reference"},
		"no key":           {func(s *cmpca.Settings) { s.Signature.Key = nil }, "key"},
		"somebody's key":   {func(s *cmpca.Settings) { s.Signature.Key = newKey(t) }, "certificate"},
		"a key without it": {func(s *cmpca.Settings) { s.Signature.Certificate = nil }, "certificate"},
	} {
		h := newHouse(t)
		c.change(&h.settings)
		_, err := cmpca.New(&h.settings)
		if err == nil || !strings.Contains(err.Error(), c.says) || strings.Contains(err.Error(), "secret!") {
			t.Errorf("%s: New = %v, want an error with %q", name, err, c.says)
		}
	}
}

// Signers that are named are the only ones that count.
func TestNamedSignersAreTheOnlyOnes(t *testing.T) {
	h := newHouse(t)
	key := newKey(t)
	other := h.ca.Certify("plain server", key, 0)
	h.settings.Signature.Signers = []*x509.Certificate{other}
	if c, err := h.issuer().Issue(t.Context(), h.request("one")); verdictOf(c, err) != lost {
		t.Errorf("signed by another: Issue = %v, %v, want %s", c, err, lost)
	}
	h.ca.Signer, h.ca.SignerKey = other, key
	if _, err := h.issuer().Issue(t.Context(), h.request("two")); err != nil {
		t.Errorf("signed by the named one: %v", err)
	}
	h.settings.Rules.Now = func() time.Time { return other.NotAfter.Add(time.Hour) }
	h.settings.Skew = 100 * 365 * 24 * time.Hour
	if err := h.issuer().Revoke(t.Context(), &ca.Revoked{Raw: other.Raw, Reason: 1}); !errors.Is(err, ca.ErrUnavailable) {
		t.Errorf("signed by the named one after its end: Revoke = %v, want ErrUnavailable", err)
	}
}

// A CA that signs its messages with the key that issues needs no purpose for it.
func TestTheIssuingCASignsWithoutAPurpose(t *testing.T) {
	h := newHouse(t)
	h.ca.Signer, h.ca.SignerKey = h.ca.Issuing, h.ca.Key
	if _, err := h.issuer().Issue(t.Context(), h.request("one")); err != nil {
		t.Errorf("signed by the issuing CA: %v", err)
	}
}

func TestASignerBelowAnotherRootNeedsItsAnchor(t *testing.T) {
	h := newHouse(t)
	elsewhere := elsewhere(h)
	signedBy(func(*house) *testpki.Identity { return elsewhere }, nil)(h)
	h.settings.Signature.Anchors = elsewhere.Chain
	if _, err := h.issuer().Issue(t.Context(), h.request("one")); err != nil {
		t.Errorf("signed below an anchor: %v", err)
	}
}

// The end of a call's time ends the call, in every step.
func TestTheEndOfTheTimeLeavesTheIssuanceOpen(t *testing.T) {
	h := newHouse(t)
	h.settings.Timeout = 50 * time.Millisecond
	h.ca.Fail(catest.Slow)
	c, err := h.issuer().Issue(t.Context(), h.request("one"))
	if verdictOf(c, err) != lost || !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("Issue = %v, %v, want %s", c, err, lost)
	}
}
