package registrar_test

import (
	"bytes"
	"context"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/briskest/briskest/est"
	"github.com/briskest/briskest/internal/testpki"
	"github.com/briskest/briskest/internal/trail"
	"github.com/briskest/briskest/registrar"
	"github.com/briskest/briskest/registrar/policy"
	"github.com/briskest/briskest/registrar/storetest"
)

func TestAnImportTakesAllDevicesOrReportsEachProblem(t *testing.T) {
	h := newHouse(t, nil)
	foreign := testpki.NewRoot(t, "x").IDevID(t, "SN-8", "").Certificate.Raw
	r := &registrar.ImportRequest{Actor: "cli:me", Manufacturer: "acme", Devices: []registrar.ImportDevice{
		{SerialNumber: "SN-1"}, {SerialNumber: "SN-1"}, {}, {SerialNumber: "a\nb"}, {IDevID: foreign}, {IDevID: []byte("junk")},
	}}
	out, err := h.service.ImportDevices(t.Context(), r)
	if !errors.Is(err, registrar.ErrInvalid) || len(out.Problems) != 5 {
		t.Errorf("ImportDevices = %+v, %v; want five problems", out, err)
	}
	if list, _ := h.service.ListDevices(t.Context(), "", "", 0); len(list) != 0 {
		t.Errorf("%d devices were imported beside the problems", len(list))
	}
	r.Devices = []registrar.ImportDevice{{SerialNumber: "SN-1"}, {SerialNumber: "SN-2"}}
	r.DryRun = true
	if out, err = h.service.ImportDevices(t.Context(), r); err != nil || out.Added != 2 {
		t.Errorf("dry run = %+v, %v", out, err)
	}
	r.DryRun = false
	for _, want := range []registrar.ImportResult{{Added: 2}, {Known: 2}} {
		if out, err = h.service.ImportDevices(t.Context(), r); err != nil || out.Added != want.Added || out.Known != want.Known {
			t.Errorf("ImportDevices = %+v, %v; want %+v", out, err, want)
		}
	}
	if e := h.entries(registrar.KindDevicesImported); len(e) != 1 || e[0].Actor != "cli:me" {
		t.Errorf("trail = %+v", e)
	}
	r.Manufacturer = "nobody"
	if _, err = h.service.ImportDevices(t.Context(), r); !errors.Is(err, registrar.ErrNotFound) {
		t.Errorf("unknown manufacturer: %v", err)
	}
}

func TestAnEnrollmentWaitsForApprovalAndIsRecognisedByItsKeyAndNames(t *testing.T) {
	h := newHouse(t, func(h *house) {
		l := h.settings.Labels[""]
		l.Approval = true
		h.settings.Limits.PendingPerDevice, h.settings.Limits.Pending = 2, 3
	})
	r := h.enroll("sensor-7").basic(group)
	r.refusedAs(registrar.ReasonApproval, 202)
	r.refusedAs(registrar.ReasonApproval, 202) // another CSR for the same key and names
	rows, err := h.service.ListPending(t.Context(), "", registrar.StateWaiting, 0)
	if err != nil || len(rows) != 1 || rows[0].Kind != registrar.PendingEnroll {
		t.Fatalf("pending = %+v, %v", rows, err)
	}
	// One device cannot fill the list, nor many.
	h.enroll("sensor-7").basic(group).refusedAs(registrar.ReasonApproval, 202)
	h.enroll("sensor-7").basic(group).refusedAs(registrar.ReasonPendingFull, 503)
	h.enroll("sensor-8").basic(group).refusedAs(registrar.ReasonApproval, 202)
	h.enroll("sensor-9").basic(group).refusedAs(registrar.ReasonPendingFull, 503)
	verdict := &registrar.Verdicting{Actor: "cli:me", ID: rows[0].ID}
	if _, err := h.service.Approve(t.Context(), verdict); err != nil {
		t.Fatal(err)
	}
	if _, err := h.service.Deny(t.Context(), verdict); !errors.Is(err, registrar.ErrConflict) {
		t.Errorf("denying what was approved: %v", err)
	}
	first, second := r.mustSend(), r.mustSend()
	if !first.Equal(second) {
		t.Error("the approved request got two certificates")
	}
	h.enroll("sensor-9").basic(group).refusedAs(registrar.ReasonApproval, 202) // there is room again
	if _, err := h.service.Approve(t.Context(), &registrar.Verdicting{ID: "nope"}); !errors.Is(err, registrar.ErrNotFound) {
		t.Errorf("approving nothing: %v", err)
	}
}

func TestASightingOfAnUnknownManufacturerCannotBeApproved(t *testing.T) {
	h := newHouse(t, nil)
	h.pledge(testpki.NewRoot(t, "x").IDevID(t, "SN-1", ""), nil).refusedAs(registrar.ReasonUnknownManufacturer, 403)
	rows, _ := h.service.ListPending(t.Context(), "", "", 0)
	if _, err := h.service.Approve(t.Context(), &registrar.Verdicting{ID: rows[0].ID}); !errors.Is(err, registrar.ErrInvalid) {
		t.Errorf("Approve: %v", err)
	}
	if _, err := h.service.Deny(t.Context(), &registrar.Verdicting{ID: rows[0].ID}); err != nil {
		t.Errorf("Deny: %v", err)
	}
}

// R12: a CRL holds every revoked certificate that has not expired.
func TestACRLHoldsEveryRevokedUnexpiredCertificate(t *testing.T) {
	h := newHouse(t, nil)
	var revoked [][]byte
	for i := range 5 {
		cert, _ := h.enrolled(fmt.Sprint("sensor-", i))
		if i%2 == 0 {
			h.revoke(cert)
			h.revoke(cert) // twice is once
			revoked = append(revoked, cert.SerialNumber.Bytes())
		}
	}
	last := int64(0)
	for range 2 {
		out, err := h.service.GenerateCRL(t.Context(), "", "cli:me")
		check(t, err)
		list, err := x509.ParseRevocationList(out.Raw)
		check(t, err)
		check(t, list.CheckSignatureFrom(h.ca.Certificate))
		if number := list.Number.Int64(); number <= last || len(list.RevokedCertificateEntries) != len(revoked) {
			t.Errorf("CRL %s after %d has %d entries, want %d", list.Number, last, len(list.RevokedCertificateEntries), len(revoked))
		}
		last = list.Number.Int64()
		for _, e := range list.RevokedCertificateEntries {
			if !slices.ContainsFunc(revoked, func(s []byte) bool { return bytes.Equal(s, e.SerialNumber.Bytes()) }) || e.ReasonCode != 1 {
				t.Errorf("entry %x with reason %d", e.SerialNumber, e.ReasonCode)
			}
		}
	}
	for what, r := range map[string]*registrar.RevokeRequest{
		"unknown": {CertificateRef: registrar.CertificateRef{Serial: []byte{1, 2, 3}}}, "reason 7": {CertificateRef: registrar.CertificateRef{Serial: revoked[0]}, Reason: 7}, "reason 11": {CertificateRef: registrar.CertificateRef{Serial: revoked[0]}, Reason: 11},
	} {
		if _, err := h.service.Revoke(t.Context(), r); err == nil {
			t.Errorf("Revoke took %s", what)
		}
	}
}

// R8: the domain is checked for every verb.
func TestAnotherDomainsObjectsDoNotExistForAnyVerb(t *testing.T) {
	h := newHouse(t, nil)
	h.enrolled("sensor-7")
	ctx, s, other := t.Context(), h.service, "elsewhere"
	for verb, call := range map[string]func() error{
		"ListDevices":  func() error { _, err := s.ListDevices(ctx, other, "", 1); return err },
		"Device":       func() error { _, err := s.Device(ctx, other, "sensor-7"); return err },
		"Why":          func() error { _, err := s.Why(ctx, other, "sensor-7"); return err },
		"ListPending":  func() error { _, err := s.ListPending(ctx, other, "", 1); return err },
		"Approve":      func() error { _, err := s.Approve(ctx, &registrar.Verdicting{Domain: other}); return err },
		"Deny":         func() error { _, err := s.Deny(ctx, &registrar.Verdicting{Domain: other}); return err },
		"Suspend":      func() error { _, err := s.Suspend(ctx, &registrar.StateChange{Domain: other}); return err },
		"Resume":       func() error { _, err := s.Resume(ctx, &registrar.StateChange{Domain: other}); return err },
		"Readmit":      func() error { _, err := s.Readmit(ctx, &registrar.StateChange{Domain: other}); return err },
		"Decommission": func() error { _, err := s.Decommission(ctx, &registrar.Decommissioning{Domain: other}); return err },
		"Quarantine":   func() error { _, err := s.Quarantine(ctx, &registrar.QuarantineRequest{Domain: other}); return err },
		"Quarantines":  func() error { _, err := s.Quarantines(ctx, other, true); return err },
		"LiftQuarantine": func() error {
			_, err := s.LiftQuarantine(ctx, &registrar.Lifting{Domain: other})
			return err
		},
		"ImportDevices": func() error { _, err := s.ImportDevices(ctx, &registrar.ImportRequest{Domain: other}); return err },
		"ListCertificates": func() error {
			_, err := s.ListCertificates(ctx, &registrar.CertificateQuery{Domain: other})
			return err
		},
		"Revoke":       func() error { _, err := s.Revoke(ctx, &registrar.RevokeRequest{Domain: other}); return err },
		"GenerateCRL":  func() error { _, err := s.GenerateCRL(ctx, other, ""); return err },
		"LatestCRL":    func() error { _, err := s.LatestCRL(ctx, other); return err },
		"TrailEntries": func() error { _, err := s.TrailEntries(ctx, other, "", 0, 1); return err },
		"AddCredential": func() error {
			_, err := s.AddCredential(ctx, &registrar.NewCredential{Domain: other, User: "u"})
			return err
		},
		"DisableCredential": func() error { return s.DisableCredential(ctx, other, "", group) },
		"ListCredentials":   func() error { _, err := s.ListCredentials(ctx, other); return err },
		"IssueCertificate":  func() error { _, err := s.IssueCertificate(ctx, &registrar.IssueRequest{Domain: other}); return err },
		"Status":            func() error { _, err := s.Status(ctx, other); return err },

		"ApplyBaseline":    func() error { _, err := s.ApplyBaseline(ctx, &registrar.BaselineChange{Domain: other}); return err },
		"BaselineDocument": func() error { _, err := s.BaselineDocument(ctx, other, "", 0); return err },
		"Baselines":        func() error { _, err := s.Baselines(ctx, other); return err },
		"BaselineVersions": func() error { _, err := s.BaselineVersions(ctx, other, "", 0, 1); return err },
		"BaselineCounts":   func() error { _, err := s.BaselineCounts(ctx, other); return err },
		"BaselinesOf":      func() error { _, _, err := s.BaselinesOf(ctx, &registrar.DeviceQuery{Domain: other}); return err },
		"BaselineOf":       func() error { _, err := s.BaselineOf(ctx, other, "sensor-7"); return err },
		"Events":           func() error { _, err := s.Events(other); return err },
		"QueryDevices":     func() error { _, err := s.QueryDevices(ctx, &registrar.DeviceQuery{Domain: other}); return err },
		"Evidence":         func() error { _, err := s.Evidence(ctx, other, "sensor-7"); return err },
		"Related":          func() error { _, err := s.Related(ctx, other, "sensor-7"); return err },
		"GroupDocument":    func() error { _, err := s.GroupDocument(ctx, other, 0); return err },
		"GroupVersions":    func() error { _, err := s.GroupVersions(ctx, other, 0, 1); return err },
		"Groups":           func() error { _, _, err := s.Groups(other); return err },
		"AssignGroup": func() error {
			_, err := s.AssignGroup(ctx, &registrar.GroupAssignment{Domain: other, Device: "sensor-7"})
			return err
		},
		"ExplainGroup": func() error { _, err := s.ExplainGroup(ctx, other, "sensor-7"); return err },
		"PlanGroups":   func() error { _, err := s.PlanGroups(ctx, &registrar.GroupsChange{Domain: other}); return err },
		"ApplyGroups":  func() error { _, err := s.ApplyGroups(ctx, &registrar.GroupsChange{Domain: other}); return err },
		"RollbackGroups": func() error {
			_, err := s.RollbackGroups(ctx, &registrar.GroupsChange{Domain: other}, 1, true)
			return err
		},
		"Release":    func() error { _, err := s.Release(ctx, &registrar.RevokeRequest{Domain: other}); return err },
		"RevokeMany": func() error { _, err := s.RevokeMany(ctx, &registrar.RevokeManyRequest{Domain: other}); return err },
		"CRL":        func() error { _, err := s.CRL(ctx, other, registrar.CRLScope{}); return err },
		"SignCRL":    func() error { _, err := s.SignCRL(ctx, other, "", registrar.CRLScope{}); return err },
		"AddCode": func() error {
			_, _, err := s.AddCode(ctx, &registrar.NewCode{Domain: other, SerialNumber: "x"})
			return err
		},
		"RevokeCode": func() error { return s.RevokeCode(ctx, other, "", "x") },
		"ListCodes":  func() error { _, err := s.ListCodes(ctx, other, "", 1); return err },
		"AddAPIToken": func() error {
			_, _, err := s.AddAPIToken(ctx, &registrar.NewAPIToken{Domain: other, Name: "x"})
			return err
		},
		"RevokeAPIToken": func() error { _, err := s.RevokeAPIToken(ctx, other, "", "x"); return err },
		"ListAPITokens":  func() error { _, err := s.ListAPITokens(ctx, other, "", 1); return err },
		"BeginReply":     func() error { _, err := s.BeginReply(ctx, &registrar.Reply{Domain: other}); return err },
		"OrderVoucher": func() error {
			_, err := s.OrderVoucher(ctx, &registrar.VoucherOrder{Domain: other, Device: "sensor-7"})
			return err
		},
		"FetchVoucher": func() error {
			_, err := s.FetchVoucher(ctx, &registrar.VoucherOrder{Domain: other, Device: "sensor-7"})
			return err
		},
		"ImportVoucher":     func() error { _, err := s.ImportVoucher(ctx, &registrar.VoucherImport{Domain: other}); return err },
		"ListAheadVouchers": func() error { _, err := s.ListAheadVouchers(ctx, other, "", 1); return err },
	} {
		if err := call(); !errors.Is(err, registrar.ErrNotFound) {
			t.Errorf("%s in another domain: %v, want ErrNotFound", verb, err)
		}
	}
}

// The same store, another domain: certificates and credentials of one open nothing in the other.
func TestACertificateOfAnotherDomainAuthenticatesNothing(t *testing.T) {
	h := newHouse(t, nil)
	cert, _ := h.enrolled("sensor-7")
	s := *h.settings
	s.Domain = "elsewhere"
	other, err := registrar.New(registrar.Config{Store: h.store, Issuer: h.issuer, Policy: policy.Decide, Settings: &s, Now: h.now})
	check(t, err)
	defer other.Close()
	h.service = other
	h.renew(cert).refusedAs(registrar.ReasonNotOnRecord, 403)
	h.enroll("a").basic(group).refusedAs(registrar.ReasonBadCredentials, 401)
}

func TestCredentialsAreKeptAsDigestsAndShownOnce(t *testing.T) {
	h := newHouse(t, nil)
	secret := h.credential("line-1", true, "")
	password := h.credential("person", true, "correct horse battery")
	for user, want := range map[string]string{"line-1": "sha256", "person": "argon2id"} {
		k, err := h.store.Credential(t.Context(), registrar.DefaultDomain, user)
		check(t, err)
		if k.Scheme != want || bytes.Contains(k.Digest, []byte(secret.Reveal())) || len(k.Salt) != 16 {
			t.Errorf("credential %s = %s, salt of %d bytes", user, k.Scheme, len(k.Salt))
		}
	}
	if len(secret.Reveal()) != 22 { // 128 bits in base64url
		t.Errorf("a generated secret has %d characters", len(secret.Reveal()))
	}
	h.passwords["person"], h.passwords["line-1"] = password, secret
	h.enroll("a").basic("person").mustSend()
	h.enroll("b").basic("person").mustSend() // from the cache
	wrong := h.enroll("c").basic("person")
	wrong.peer.Secret = "correct horse"
	wrong.refusedAs(registrar.ReasonBadCredentials, 401)
	if _, err := h.service.AddCredential(t.Context(), &registrar.NewCredential{User: "person"}); !errors.Is(err, registrar.ErrConflict) {
		t.Errorf("AddCredential of a user that exists: %v", err)
	}
	// A replaced password is verified anew, a disabled credential is none.
	if _, err := h.service.AddCredential(t.Context(), &registrar.NewCredential{User: "person", Password: "another password", Replace: true}); err != nil {
		t.Fatal(err)
	}
	h.enroll("a").basic("person").refusedAs(registrar.ReasonBadCredentials, 401)
	check(t, h.service.DisableCredential(t.Context(), "", "cli:me", "line-1"))
	h.enroll("a").basic("line-1").refusedAs(registrar.ReasonBadCredentials, 401)
	for what, r := range map[string]*registrar.NewCredential{
		"no user": {}, "a colon": {User: "a:b"}, "a short password": {User: "u", Password: "short"}, "control characters": {User: "a\x00"},
	} {
		if _, err := h.service.AddCredential(t.Context(), r); !errors.Is(err, registrar.ErrInvalid) {
			t.Errorf("AddCredential with %s: %v", what, err)
		}
	}
	list, err := h.service.ListCredentials(t.Context(), "")
	check(t, err)
	for _, k := range list {
		if k.Digest != nil || k.Salt != nil {
			t.Errorf("ListCredentials shows the digest of %s", k.User)
		}
	}
}

// Promise 4 of the design: before authentication one entry a reason, address
// and minute; after it each refusal.
func TestRefusalsAreOnTheTrailAndFloodsAreNot(t *testing.T) {
	h := newHouse(t, nil)
	refused := func(r *request) {
		t.Helper()
		_, err := r.send()
		var e *est.Error
		if !errors.As(err, &e) {
			t.Fatalf("not refused: %v", err)
		}
		h.service.Refused(t.Context(), &est.Request{ID: "q", Operation: r.op, Peer: r.peer, At: h.now()}, e) // as the handler does
	}
	guess := h.enroll("a")
	guess.peer.User, guess.peer.Secret = "nobody", "guess"
	for range 100 {
		refused(guess)
	}
	h.advance(time.Minute)
	refused(guess)
	for range 22 {
		refused(h.enroll("dev-2").basic(alone))
	}
	refused(h.enroll("dev-3").basic(alone))
	h.advance(time.Minute)
	refused(h.enroll("dev-2").basic(alone))
	h.service.Close() // writes what is queued
	count := map[string]int{}
	for _, e := range h.entries(registrar.KindRefused) {
		count[e.Reason]++
		if strings.Contains(string(e.Body), `"left_out":2`) {
			count["left out"]++
		}
	}
	if count[registrar.ReasonBadCredentials] != 2 || count[registrar.ReasonForeignName] != 22 || count["left out"] != 1 {
		t.Errorf("entries by reason = %v; want 2 before authentication and 22 after: 20 of 22, one, and one for two that were left out", count)
	}
	status, err := h.service.Status(t.Context(), "")
	check(t, err)
	if status.Refused[registrar.ReasonBadCredentials] != 101 {
		t.Errorf("counted = %v", status.Refused)
	}
}

func TestWhyExplainsDevicesOnRecordAndStrangers(t *testing.T) {
	h := newHouse(t, nil)
	cert, _ := h.enrolled("sensor-7")
	h.revoke(cert)
	h.renew(cert).refusedAs(registrar.ReasonRevoked, 403)
	h.pledge(h.idevidCA.IDevID(t, "SN-404", ""), nil).refusedAs(registrar.ReasonDeviceUnlisted, 404)
	last := func(ref string) *trail.Entry {
		t.Helper()
		why, err := h.service.Why(t.Context(), "", ref)
		check(t, err)
		if len(why.Entries) == 0 {
			t.Fatalf("Why(%s) has no entries", ref)
		}
		return why.Entries[len(why.Entries)-1]
	}
	if e := last("sensor-7"); e.Reason != registrar.ReasonRevoked {
		t.Errorf("Why(sensor-7) ends with %+v", e)
	}
	if e := last("SN-404"); e.Reason != registrar.ReasonDeviceUnlisted || !strings.Contains(string(e.Body), `"rule":"join"`) {
		t.Errorf("Why(SN-404) ends with %+v", e)
	}
	if _, err := h.service.Why(t.Context(), "", "never seen"); !errors.Is(err, registrar.ErrNotFound) {
		t.Errorf("Why of a device that never came: %v", err)
	}
}

// R15: canaries.
func TestSecretsAreInNoLogAndNoTrail(t *testing.T) {
	h := newHouse(t, nil)
	h.service.Close()
	var log bytes.Buffer
	s, err := registrar.New(registrar.Config{
		Store: h.store, Issuer: h.issuer, Policy: policy.Decide, Settings: h.settings, Now: h.now,
		Log: slog.New(slog.NewJSONHandler(&log, &slog.HandlerOptions{Level: slog.LevelDebug})),
	})
	check(t, err)
	check(t, s.Start(t.Context()))
	h.service = s
	const canary = "canary-in-the-coal-mine"
	h.passwords["p"] = h.credential("p", false, canary)
	for _, r := range []*request{h.enroll("p").basic("p"), h.enroll("q").basic("p"), h.enroll("p").basic("p").label("nope")} {
		_, err := r.send()
		var e *est.Error
		if errors.As(err, &e) {
			s.Refused(t.Context(), &est.Request{Operation: r.op, Peer: r.peer, At: h.now()}, e)
		}
	}
	s.Close()
	all, err := h.store.TrailEntries(t.Context(), registrar.DefaultDomain, "", 0, 1000)
	check(t, err)
	for _, e := range all {
		log.Write(e.Body)
	}
	if log.Len() == 0 || strings.Contains(log.String(), canary) {
		t.Errorf("the secret is in log or trail, or nothing is: %s", log.String())
	}
}

func TestEveryReasonHasATextAndAStatus(t *testing.T) {
	seen := map[string]bool{}
	for _, r := range registrar.Reasons() {
		if seen[r.ID] || r.Message == "" || r.Status < 200 || r.Status > 599 || len(r.Message) > 400 {
			t.Errorf("reason %+v is doubled or not whole", r)
		}
		seen[r.ID] = true
	}
	if registrar.Explain("no such id").Status != 500 {
		t.Error("an unknown reason id is not an internal error")
	}
}

func BenchmarkEnrollBasic(b *testing.B) {
	h := newHouse(b, nil)
	h.service.Close()
	s, err := registrar.New(registrar.Config{Store: &flatStore{Memory: h.store, k: mustCredential(b, h)}, Issuer: h.issuer, Policy: policy.Decide, Settings: h.settings, Now: h.now})
	check(b, err)
	key := testpki.NewKey(b)
	parsed, err := est.ParseCSR(testpki.CSR(b, &x509.CertificateRequest{Subject: pkix.Name{CommonName: "sensor"}, DNSNames: []string{"sensor.example.com"}}, key))
	check(b, err)
	r := &est.EnrollRequest{Request: est.Request{Operation: est.OpSimpleEnroll, Peer: h.enroll("x").basic(group).peer, At: h.now()}, CSR: parsed}
	b.ReportAllocs()
	for b.Loop() {
		if _, err := s.Enroll(b.Context(), r); err != nil {
			b.Fatal(err)
		}
	}
}

func mustCredential(b *testing.B, h *house) *registrar.Credential {
	k, err := h.store.Credential(b.Context(), registrar.DefaultDomain, group)
	check(b, err)
	return k
}

// flatStore forgets, so that a benchmark measures the service alone.
type flatStore struct {
	*storetest.Memory
	k *registrar.Credential
}

func (s *flatStore) Commit(context.Context, *registrar.Change) error { return nil }
func (s *flatStore) Credential(context.Context, string, string) (*registrar.Credential, error) {
	return s.k, nil
}
func (s *flatStore) FindDevices(context.Context, string, string) ([]*registrar.Device, error) {
	return nil, nil
}
