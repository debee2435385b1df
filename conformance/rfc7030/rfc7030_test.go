package rfc7030_test

import (
	"context"
	"encoding/base64"
	"encoding/pem"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/briskest/briskest/conformance"
	"github.com/briskest/briskest/conformance/rfc7030"
	"github.com/briskest/briskest/internal/cms"
	"github.com/briskest/briskest/internal/testpki"
)

func TestEveryCheckPassesAgainstACorrectServer(t *testing.T) {
	report := run(t, start(t, faults{}))
	for _, r := range report.Checks {
		if r.Verdict != conformance.VerdictPass {
			t.Errorf("%s: %s, want pass: %s", r.ID, r.Verdict, r.Reason)
		}
	}
}

func TestAServerWithCSRAttributesPasses(t *testing.T) {
	attrs := func(w http.ResponseWriter) {
		answer(w, http.StatusOK, "application/csrattrs", []byte{0x30, 0x0b, 6, 9, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 9, 7}, nil)
	}
	expect(t, run(t, start(t, faults{csrattrs: attrs})), nil, nil)
}

// broken is a server with one fault, and the checks that must see it. Checks
// in skips cannot be judged by its answers; all others pass.
type broken struct {
	name  string
	fault faults
	fails string
	skips []string
}

func brokenServers() []broken {
	return []broken{
		{"answers cacerts everywhere", faults{unknownIsCACerts: true}, "RFC7030-3.2.2-1", nil},
		{"answers POST cacerts", faults{anyMethod: true}, "RFC7030-3.2.2-2", nil},
		{"answers GET simpleenroll", faults{getEnrolls: true}, "RFC7030-3.2.2-2", nil},
		{"sends 401 without a challenge", faults{noChallenge: true}, "RFC7030-3.2.3-1", nil},
		{"sends 403 instead of a challenge", faults{forbidsNobody: true}, "RFC7030-3.2.3-1", nil},
		{"enrolls nobody", faults{servesNobody: true}, "RFC7030-3.2.3-1", nil},
		{"takes any media type", faults{anyMediaType: true}, "RFC7030-3.2.4-1", nil},
		{"asks who wants cacerts", faults{cacertsNeedsLogin: true}, "RFC7030-4.1.2-1", nil},
		{"sends cacerts with 203", faults{cacertsStatus: http.StatusNonAuthoritativeInfo}, "RFC7030-4.1.3-1", nil},
		{"sends cacerts as text", faults{cacertsType: "text/plain"}, "RFC7030-4.1.3-2", nil},
		{"sends cacerts in DER", faults{cacertsBody: raw}, "RFC7030-4.1.3-3", []string{"RFC7030-4.1.3-4"}},
		{"sends cacerts in PEM", faults{cacertsBody: armoured}, "RFC7030-4.1.3-3", []string{"RFC7030-4.1.3-4"}},
		{"sends cacerts with bytes after it", faults{cacertsBody: trailing}, "RFC7030-4.1.3-3", []string{"RFC7030-4.1.3-4"}},
		{"sends an empty cacerts", faults{cacertsBody: empty}, "RFC7030-4.1.3-3", []string{"RFC7030-4.1.3-4"}},
		{"sends cacerts without a root", faults{noRoot: true}, "RFC7030-4.1.3-4", nil},
		{"re-enrolls for another subject", faults{anyReenrollSubject: true}, "RFC7030-4.2.2-1", nil},
		{"sends the chain with the certificate", faults{chainToo: true}, "RFC7030-4.2.3-1", nil},
		{"certifies another key", faults{otherKey: true}, "RFC7030-4.2.3-1", []string{"RFC7030-4.2.2-1"}},
		{"sends the certificate with 201", faults{enrollStatus: http.StatusCreated}, "RFC7030-4.2.3-1", nil},
		{"sends the certificate as text", faults{enrollType: "text/plain"}, "RFC7030-4.2.3-1", nil},
		{"sends the certificate in DER", faults{enrollBody: raw}, "RFC7030-4.2.3-1", []string{"RFC7030-4.2.2-1"}},
		{"blames itself for garbage", faults{garbageStatus: http.StatusInternalServerError}, "RFC7030-4.2.3-2", nil},
		{"issues for garbage", faults{garbageEnrolls: true}, "RFC7030-4.2.3-2", nil},
		{"breaks on csrattrs", faults{csrattrs: status(http.StatusInternalServerError)}, "RFC7030-4.5.2-1", nil},
		{"sends csrattrs as text", faults{csrattrs: attrs("text/plain", []byte{0x30, 0})}, "RFC7030-4.5.2-1", nil},
		{"sends csrattrs that are none", faults{csrattrs: attrs("application/csrattrs", []byte("none"))}, "RFC7030-4.5.2-1", nil},
	}
}

func TestABrokenServerFailsTheCheckItBreaksAndNoOther(t *testing.T) {
	for _, b := range brokenServers() {
		t.Run(b.name, func(t *testing.T) {
			t.Parallel()
			expect(t, run(t, start(t, b.fault)), []string{b.fails}, b.skips)
		})
	}
}

func TestEveryCheckHasBeenSeenToFail(t *testing.T) {
	for _, c := range rfc7030.Checks() {
		if !slices.ContainsFunc(brokenServers(), func(b broken) bool { return b.fails == c.ID }) {
			t.Errorf("no broken server fails %s", c.ID)
		}
	}
}

// A signed message is CMS too, and is no certs-only message (RFC 5272, Section 4.1).
func TestCACertsUnderASignatureFailsTheBodyCheck(t *testing.T) {
	signer := testpki.NewRoot(t, "signer")
	for name, detached := range map[string]bool{"with content": false, "without content": true} {
		t.Run(name, func(t *testing.T) {
			signed, err := cms.Sign(&cms.SignRequest{Content: []byte("x"), Detached: detached, Key: signer.Key, Certificate: signer.Certificate})
			if err != nil {
				t.Fatal(err)
			}
			target := start(t, faults{cacertsBody: func([]byte) []byte { return lines(signed) }})
			expect(t, run(t, target), []string{"RFC7030-4.1.3-3"}, []string{"RFC7030-4.1.3-4"})
		})
	}
}

// What a server may choose does not fail it: a new key for every renewal, and
// one key only for a name.
func TestStricterServersPass(t *testing.T) {
	expect(t, run(t, start(t, faults{refusesOldKey: true})), nil, nil)
	expect(t, run(t, start(t, faults{oneKeyAName: true})), nil, nil)
}

// Where the old key is refused, that refusal is not taken for one of the subject.
func TestAServerThatLooksAtTheKeyAloneFailsTheSubjectCheck(t *testing.T) {
	target := start(t, faults{refusesOldKey: true, anyReenrollSubject: true})
	expect(t, run(t, target), []string{"RFC7030-4.2.2-1"}, nil)
}

func TestRefusingEveryRenewalDoesNotPassTheSubjectCheck(t *testing.T) {
	expect(t, run(t, start(t, faults{refusesReenroll: true})), nil, []string{"RFC7030-4.2.2-1"})
}

func TestRefusingTheCredentialsDoesNotPassWhatNeedsThem(t *testing.T) {
	target := start(t, faults{})
	target.Password = "wrong"
	expect(t, run(t, target), nil, []string{"RFC7030-3.2.4-1", "RFC7030-4.2.2-1", "RFC7030-4.2.3-1", "RFC7030-4.2.3-2"})
}

func TestATargetWithoutCredentialsSkipsWhatNeedsThem(t *testing.T) {
	target := start(t, faults{})
	target.User, target.Password = "", ""
	expect(t, run(t, target), nil, []string{"RFC7030-3.2.4-1", "RFC7030-4.2.2-1", "RFC7030-4.2.3-1", "RFC7030-4.2.3-2"})
}

// RFC 7030, Section 3.2.3: a server need not take passwords.
func TestAServerThatForbidsNobodyIsNotBlamedWhenItTakesNoPasswords(t *testing.T) {
	target := start(t, faults{forbidsNobody: true})
	target.Password = ""
	client := testpki.NewRoot(t, "elsewhere").Client(t, "device").TLS()
	target.Certificate = &client
	report := run(t, target)
	if r := result(t, report, "RFC7030-3.2.3-1"); r.Verdict != conformance.VerdictSkip {
		t.Errorf("RFC7030-3.2.3-1: %s, want skip: %s", r.Verdict, r.Reason)
	}
}

// RFC 7030, Section 4.2.3: 202 is no answer yet.
func TestAnUndecidedEnrollmentIsSkipped(t *testing.T) {
	report := run(t, start(t, faults{enrollStatus: http.StatusAccepted}))
	expect(t, report, nil, []string{"RFC7030-4.2.2-1", "RFC7030-4.2.3-1"})
}

func TestMissingCSRAttributesAreSkipped(t *testing.T) {
	expect(t, run(t, start(t, faults{csrattrs: status(http.StatusNotFound)})), nil, []string{"RFC7030-4.5.2-1"})
}

func TestAnUnreachableTargetPassesNothing(t *testing.T) {
	target := start(t, faults{})
	target.URL = "https://127.0.0.1:1"
	report := run(t, target)
	if n := report.Count(conformance.VerdictPass); n != 0 {
		t.Errorf("%d checks passed against nobody", n)
	}
	if !report.Failed() {
		t.Error("no check failed against nobody")
	}
}

func TestAServerUnderAnotherRootPassesNothing(t *testing.T) {
	target := start(t, faults{})
	target.Roots = testpki.NewRoot(t, "other").Pool()
	if n := run(t, target).Count(conformance.VerdictPass); n != 0 {
		t.Errorf("%d checks passed against a server that is not to be trusted", n)
	}
}

func TestALabelIsPartOfThePath(t *testing.T) {
	target := start(t, faults{})
	target.Label = "factory"
	report := run(t, target)
	// The server knows no label, so nothing is found under it.
	if r := result(t, report, "RFC7030-4.1.3-1"); !strings.Contains(r.Reason, "/.well-known/est/factory/cacerts") {
		t.Errorf("the reason %q does not name the path with the label", r.Reason)
	}
}

func TestCheckIDsAreAsPublished(t *testing.T) {
	// IDs never change: this list only grows.
	published := []string{
		"RFC7030-3.2.2-1", "RFC7030-3.2.2-2", "RFC7030-3.2.3-1", "RFC7030-3.2.4-1", "RFC7030-4.1.2-1",
		"RFC7030-4.1.3-1", "RFC7030-4.1.3-2", "RFC7030-4.1.3-3", "RFC7030-4.1.3-4", "RFC7030-4.2.2-1",
		"RFC7030-4.2.3-1", "RFC7030-4.2.3-2", "RFC7030-4.5.2-1",
	}
	var ids []string
	for _, c := range rfc7030.Checks() {
		ids = append(ids, c.ID)
		section, _, _ := strings.Cut(strings.TrimPrefix(c.ID, "RFC7030-"), "-")
		if c.Citation != "RFC 7030, Section "+section {
			t.Errorf("%s cites %q", c.ID, c.Citation)
		}
		if c.Text == "" || c.Role != conformance.RoleESTServer || c.Level == "" || c.Run == nil {
			t.Errorf("%s lacks a text, role, level or run", c.ID)
		}
	}
	if !slices.Equal(ids, published) {
		t.Errorf("IDs are %v, want %v", ids, published)
	}
}

// run asks all checks; a broken server is known within two seconds.
func run(t *testing.T, target *conformance.Target) *conformance.Report {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	report, err := conformance.Run(ctx, target, rfc7030.Checks())
	if err != nil {
		t.Fatalf("Run: %v", err)
	}
	return report
}

// expect holds the verdicts against those wanted; what is in neither list passes.
func expect(t *testing.T, report *conformance.Report, fails, skips []string) {
	t.Helper()
	for _, r := range report.Checks {
		want := conformance.VerdictPass
		switch {
		case slices.Contains(fails, r.ID):
			want = conformance.VerdictFail
		case slices.Contains(skips, r.ID):
			want = conformance.VerdictSkip
		}
		if r.Verdict != want {
			t.Errorf("%s: %s, want %s: %s", r.ID, r.Verdict, want, r.Reason)
		}
		if (r.Reason == "") != (r.Verdict == conformance.VerdictPass) {
			t.Errorf("%s: %s with the reason %q", r.ID, r.Verdict, r.Reason)
		}
	}
}

func result(t *testing.T, report *conformance.Report, id string) conformance.Result {
	t.Helper()
	for _, r := range report.Checks {
		if r.ID == id {
			return r
		}
	}
	t.Fatalf("no result for %s", id)
	return conformance.Result{}
}

func raw(der []byte) []byte    { return der }
func empty([]byte) []byte      { return nil }
func armoured(b []byte) []byte { return pem.EncodeToMemory(&pem.Block{Type: "PKCS7", Bytes: b}) }
func trailing(der []byte) []byte {
	return base64.StdEncoding.AppendEncode(nil, append(slices.Clone(der), 0))
}

func status(code int) func(http.ResponseWriter) {
	return func(w http.ResponseWriter) { w.WriteHeader(code) }
}

func attrs(mediaType string, der []byte) func(http.ResponseWriter) {
	return func(w http.ResponseWriter) { answer(w, http.StatusOK, mediaType, der, nil) }
}
