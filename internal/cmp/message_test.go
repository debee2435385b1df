package cmp_test

import (
	"bytes"
	"crypto/x509"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/briskest/briskest/internal/cmp"
	"github.com/briskest/briskest/internal/testpki"
)

// RFC 4210, Sections 5.1 to 5.3.
func TestEveryBodyIsReadAsItWasWritten(t *testing.T) {
	w := newWorld(t)
	bodies := w.bodies(t)
	open := func(name string) *cmp.Message {
		return parse(t, marshal(t, &w.header, bodies[name], &cmp.Signature{Key: w.ra.Key}, w.ra.Certificate.Raw, w.ca.Certificate.Raw))
	}
	for name := range bodies {
		m := open(name)
		h := m.Header
		if h.Algorithm.OID == nil || h.Version != 2 {
			t.Errorf("%s: protectionAlg = %v, pvno = %d", name, h.Algorithm.OID, h.Version)
		}
		h.Algorithm, h.Version = w.header.Algorithm, 0
		if !reflect.DeepEqual(h, w.header) {
			t.Errorf("%s: header = %+v, want %+v", name, h, w.header)
		}
		if !h.ImplicitConfirm() || len(m.ExtraCerts) != 2 || !bytes.Equal(m.ExtraCerts[0], w.ra.Certificate.Raw) {
			t.Errorf("%s: implicitConfirm or extraCerts were lost", name)
		}
		if err := m.VerifySignature(w.ra.Certificate.PublicKey); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	if m := open("p10cr"); !bytes.Equal(m.Body, w.csr) || m.Kind != cmp.P10CR {
		t.Error("the PKCS #10 request was not passed byte for byte")
	}
	rep, err := open("ip").CertRep()
	if err != nil || len(rep.Responses) != 1 || !bytes.Equal(rep.Responses[0].Certificate, w.device.Certificate.Raw) || rep.Responses[0].RequestID != 0 ||
		rep.Responses[0].StatusInfo.Status != cmp.GrantedWithMods || len(rep.CAPubs) != 1 {
		t.Errorf("CertRep = %+v, %v", rep, err)
	}
	rep, err = open("cp refused").CertRep()
	if err != nil || rep.Responses[0].RequestID != -1 || rep.Responses[0].StatusInfo.Failure != cmp.BadPOP|cmp.DuplicateCertReq || rep.Responses[0].Certificate != nil {
		t.Errorf("CertRep = %+v, %v", rep, err)
	}
	conf, err := open("certConf").CertConf()
	if err != nil || !bytes.Equal(conf.Hash.Value, cmp.HashCertificate(w.device.Certificate).Value) || conf.StatusInfo.Status != cmp.Rejection {
		t.Errorf("CertConf = %+v, %v", conf, err)
	}
	if id, err := open("pollReq").PollReq(); id != -1 || err != nil {
		t.Errorf("PollReq = %d, %v", id, err)
	}
	polls, err := open("pollRep").PollRep()
	if err != nil || len(polls) != 1 || polls[0].After != time.Minute || polls[0].Reason[0] != "an operator decides" {
		t.Errorf("PollRep = %+v, %v", polls, err)
	}
	rr, err := open("rr").RevReq()
	if err != nil || rr.Serial.Int64() != 1<<40 || rr.Reason != 4 || !bytes.Equal(rr.Issuer, w.ca.Certificate.RawSubject) {
		t.Errorf("RevReq = %+v, %v", rr, err)
	}
	if statuses, err := open("rp").RevRep(); err != nil || len(statuses) != 1 || statuses[0].Status != cmp.Accepted {
		t.Errorf("RevRep = %+v, %v", statuses, err)
	}
	e, err := open("error").ErrorContent()
	if err != nil || e.Code != 7 || e.StatusInfo.Failure != cmp.SystemFailure || e.Details[0] != "because" || e.StatusInfo.Text[0] != "no" {
		t.Errorf("ErrorContent = %+v, %v", e, err)
	}
	if _, err := open("error").CertRep(); !errors.Is(err, cmp.ErrKind) {
		t.Errorf("CertRep of an error message: %v, want ErrKind", err)
	}
}

// RFC 4210, Section 5.1.3; RFC 9481, Sections 3 and 6.1.
func TestAProtectionVerifiesOnlyWithItsOwnKeyAndOverTheWholeMessage(t *testing.T) {
	w := newWorld(t)
	body := w.bodies(t)["ip"]
	ownMAC, otherMAC := &cmp.MAC{Secret: []byte("correct horse"), Iterations: 100}, &cmp.MAC{Secret: []byte("battery staple")}
	ownPBMAC1 := &cmp.MAC{Secret: []byte("correct horse"), Iterations: 100, PBMAC1: true}
	for name, c := range map[string]struct {
		protection cmp.Protection
		own, other func(*cmp.Message) error
	}{
		"signature": {
			&cmp.Signature{Key: w.ra.Key},
			func(m *cmp.Message) error { return m.VerifySignature(w.ra.Certificate.PublicKey) },
			func(m *cmp.Message) error { return m.VerifySignature(w.device.Certificate.PublicKey) },
		},
		"password-based MAC": {
			ownMAC, func(m *cmp.Message) error { return m.VerifyMAC(ownMAC) }, func(m *cmp.Message) error { return m.VerifyMAC(otherMAC) },
		},
		"PBMAC1": {
			ownPBMAC1, func(m *cmp.Message) error { return m.VerifyMAC(ownMAC) }, func(m *cmp.Message) error { return m.VerifyMAC(otherMAC) },
		},
	} {
		t.Run(name, func(t *testing.T) {
			der := marshal(t, &w.header, body, c.protection)
			if err := c.own(parse(t, der)); err != nil {
				t.Errorf("with the own key: %v", err)
			}
			if err := c.other(parse(t, der)); !errors.Is(err, cmp.ErrProtection) {
				t.Errorf("with another key: %v, want ErrProtection", err)
			}
			for i := range der {
				changed := slices.Clone(der)
				changed[i] ^= 1
				m, err := cmp.Parse(changed)
				if err != nil {
					continue
				}
				if c.own(m) == nil {
					t.Fatalf("byte %d was changed and the protection verifies", i)
				}
			}
		})
	}
	m := parse(t, marshal(t, &w.header, body, nil))
	if m.Protected() || !errors.Is(m.VerifyMAC(ownMAC), cmp.ErrUnprotected) || !errors.Is(m.VerifySignature(w.ra.Key.Public()), cmp.ErrUnprotected) {
		t.Error("a message without protection verifies")
	}
	m = parse(t, marshal(t, &w.header, body, &cmp.Signature{Key: w.ra.Key}))
	if err := m.VerifyMAC(ownMAC); !errors.Is(err, cmp.ErrUnsupportedAlgorithm) {
		t.Errorf("VerifyMAC of a signed message: %v, want ErrUnsupportedAlgorithm", err)
	}
}

// RFC 9480, Section 2.10; RFC 9481, Section 2.1.
func TestACertHashNamesItsAlgorithmWhereTheSignatureDoesNot(t *testing.T) {
	w := newWorld(t)
	if h := cmp.HashCertificate(w.device.Certificate); h.Algorithm != nil || len(h.Value) != 32 {
		t.Errorf("the hash for ECDSA with SHA-256 has %d bytes and algorithm %x", len(h.Value), h.Algorithm)
	}
	odd := *w.device.Certificate
	odd.SignatureAlgorithm = x509.PureEd25519
	if h := cmp.HashCertificate(&odd); h.Algorithm == nil || len(h.Value) != 64 {
		t.Errorf("the hash for Ed25519 has %d bytes and algorithm %x, want SHA-512, named", len(h.Value), h.Algorithm)
	}
}

func TestWhatIsBeyondTheLimitsIsRefusedBeforeItCosts(t *testing.T) {
	w := newWorld(t)
	many := func(n int) []cmp.CertResponse { return make([]cmp.CertResponse, n) }
	wide := w.header
	wide.SenderNonce = make([]byte, cmp.MaxOctets+1)
	texts := w.header
	texts.FreeText = make([]string, cmp.MaxTexts+1)
	long := w.header
	long.FreeText = []string{strings.Repeat("x", cmp.MaxText+1)}
	infos := w.header
	infos.Infos = slices.Repeat(w.header.Infos, cmp.MaxInfos)
	certificates := slices.Repeat([][]byte{w.ca.Certificate.Raw}, cmp.MaxCertificates+1)
	conf := cmp.NewPKIConf()
	for name, der := range map[string][]byte{
		"nonce":        marshal(t, &wide, conf, nil),
		"texts":        marshal(t, &texts, conf, nil),
		"a text":       marshal(t, &long, conf, nil),
		"generalInfo":  marshal(t, &infos, conf, nil),
		"extraCerts":   marshal(t, &w.header, conf, nil, certificates...),
		"size":         make([]byte, cmp.MaxSize+1),
		"responses":    marshal(t, &w.header, cmp.NewCertRep(cmp.IP, &cmp.CertRep{Responses: many(cmp.MaxResponses + 1)}), nil),
		"caPubs":       marshal(t, &w.header, cmp.NewCertRep(cmp.IP, &cmp.CertRep{CAPubs: certificates}), nil),
		"polls":        marshal(t, &w.header, cmp.NewPollRep(make([]cmp.Poll, cmp.MaxResponses+1)...), nil),
		"revocations":  marshal(t, &w.header, cmp.NewRevRep(make([]cmp.StatusInfo, cmp.MaxResponses+1)...), nil),
		"status texts": marshal(t, &w.header, cmp.NewRevRep(cmp.StatusInfo{Text: make([]string, cmp.MaxTexts+1)}), nil),
	} {
		if err := readAll(der); !errors.Is(err, cmp.ErrTooLarge) {
			t.Errorf("%s: %v, want ErrTooLarge", name, err)
		}
	}
	m := parse(t, marshal(t, &w.header, conf, &cmp.MAC{Secret: []byte("x"), Iterations: cmp.MaxIterations + 1}))
	// The making of our own is slow; what is looked at is the refusal.
	if err := m.VerifyMAC(&cmp.MAC{Secret: []byte("x")}); !errors.Is(err, cmp.ErrTooLarge) {
		t.Errorf("VerifyMAC with too many iterations: %v, want ErrTooLarge", err)
	}
}

// readAll parses a message and its body.
func readAll(der []byte) error {
	m, err := cmp.Parse(der)
	if err != nil {
		return err
	}
	switch m.Kind {
	case cmp.IP, cmp.CP:
		_, err = m.CertRep()
	case cmp.PollRep:
		_, err = m.PollRep()
	case cmp.PollReq:
		_, err = m.PollReq()
	case cmp.RP:
		_, err = m.RevRep()
	case cmp.RR:
		_, err = m.RevReq()
	case cmp.CertConf:
		_, err = m.CertConf()
	case cmp.IR, cmp.CR:
		_, err = m.CertReq()
	case cmp.ErrorMsg:
		_, err = m.ErrorContent()
	default:
	}
	return err
}

func TestMessagesThatAreNoneAreRefused(t *testing.T) {
	w := newWorld(t)
	good := marshal(t, &w.header, cmp.NewPKIConf(), &cmp.Signature{Key: w.ra.Key})
	for n := range good {
		if _, err := cmp.Parse(good[:n]); err == nil {
			t.Fatalf("a message cut off after %d bytes was read", n)
		}
	}
	if _, err := cmp.Parse(append(slices.Clone(good), 0)); !errors.Is(err, cmp.ErrSyntax) {
		t.Errorf("trailing byte: %v, want ErrSyntax", err)
	}
	old := w.header
	old.Version = 9
	if _, err := cmp.Parse(marshal(t, &old, cmp.NewPKIConf(), nil)); !errors.Is(err, cmp.ErrVersion) {
		t.Errorf("pvno 9: %v, want ErrVersion", err)
	}
	for name, der := range map[string][]byte{
		"nothing": {}, "short": {0x30}, "long form": {0x30, 0x84, 0xff, 0xff, 0xff, 0xff}, "indefinite": {0x30, 0x80, 0, 0},
		"deep": bytes.Repeat([]byte{0x30, 0x80}, 64<<10), "BER length": append([]byte{0x30, 0x82, 0, byte(len(good) - 3)}, good[3:]...),
	} {
		if _, err := cmp.Parse(der); err == nil {
			t.Errorf("%s: read", name)
		}
	}
}

// RFC 4210, Section 5.2.3.
func TestFailureBitsHaveTheirNames(t *testing.T) {
	if got := (cmp.BadAlg | cmp.DuplicateCertReq | 1<<30).String(); got != "badAlg, duplicateCertReq, bit 30" {
		t.Errorf("String = %q", got)
	}
	for n := range 27 {
		w := newWorldHeader()
		m := parse(t, marshal(t, &w, cmp.NewRevRep(cmp.StatusInfo{Status: cmp.Rejection, Failure: 1 << n}), nil))
		statuses, err := m.RevRep()
		if err != nil || statuses[0].Failure != 1<<n {
			t.Errorf("bit %d came back as %v, %v", n, statuses, err)
		}
	}
	if got := fmt.Sprint(cmp.Accepted, cmp.KeyUpdateWarning, cmp.Status(9), cmp.P10CR, cmp.Kind(20)); got != "accepted keyUpdateWarning status(9) p10cr body(20)" {
		t.Errorf("names = %q", got)
	}
}

func newWorldHeader() cmp.Header {
	return cmp.Header{Sender: cmp.DirectoryName(nil), Recipient: cmp.DirectoryName(nil)}
}

func TestNamesOfHeadersAreFoundInside(t *testing.T) {
	ca := testpki.NewRoot(t, "name").Certificate
	if name, ok := cmp.Name(cmp.DirectoryName(ca.RawSubject)); !ok || !bytes.Equal(name, ca.RawSubject) {
		t.Errorf("Name = %x, %v", name, ok)
	}
	if name, ok := cmp.Name(cmp.DirectoryName(nil)); !ok || !bytes.Equal(name, []byte{0x30, 0}) {
		t.Errorf("Name of NULL-DN = %x, %v", name, ok)
	}
	if _, ok := cmp.Name([]byte{0x82, 1, 'a'}); ok {
		t.Error("a dNSName was taken for a name")
	}
}
