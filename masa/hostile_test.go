package masa_test

import (
	"bytes"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/json"
	"errors"
	"net/netip"
	"slices"
	"testing"
	"time"

	"github.com/briskest/briskest/est"
	"github.com/briskest/briskest/internal/testpki"
	"github.com/briskest/briskest/masa"
	"github.com/briskest/briskest/voucher"
	"github.com/briskest/briskest/voucher/vouchercms"
)

// Regression R27: a registrar that lies. Each row changes one thing in a
// request that would else be answered.
// BRSKI-8995-5.5-12, BRSKI-8995-5.5.3-01, BRSKI-8995-5.5.4-01, BRSKI-8995-5.5.5-02, BRSKI-8995-5.5.5-04,
// BRSKI-8995-5.5.6-01: the rows below, one thing wrong in each.
func TestHostileRegistrarIsRefused(t *testing.T) {
	const nonce = "0123456789abcdef"
	for _, c := range []struct {
		name   string
		change func(*world, *ask)
		status int
		reason string
	}{
		{"OtherSerialInRegistrarRequest", func(_ *world, a *ask) { a.registrar.SerialNumber = "another" }, 403, masa.ReasonSerialMismatch},
		{"OtherSerialInBoth", func(_ *world, a *ask) {
			a.registrar.SerialNumber, a.pledge.SerialNumber = "another", "another"
		}, 403, masa.ReasonSerialMismatch},
		{"OtherDevicesSignature", func(w *world, a *ask) { a.idevid = w.idevidCA.IDevID(w.t, "another", "") }, 403, masa.ReasonSerialMismatch},
		{"IDevIDWithoutSerial", func(w *world, a *ask) {
			a.idevid = w.idevidCA.Issue(w.t, &x509.Certificate{Subject: pkix.Name{CommonName: serial}}, testpki.NewKey(w.t))
		}, 403, masa.ReasonSerialMismatch},
		{"OtherNonce", func(_ *world, a *ask) { a.registrar.Nonce = "0123456789abcdeF" }, 403, masa.ReasonNonceMismatch},
		{"NonceDropped", func(_ *world, a *ask) { a.registrar.Nonce = "" }, 403, masa.ReasonNonceMismatch},
		{"NonceAdded", func(_ *world, a *ask) { a.pledge.Nonce = "" }, 403, masa.ReasonNonceMismatch},
		{"PledgesUnknownLeaf", func(w *world, a *ask) {
			a.registrar.PriorSignedVoucherRequest = signPayload(w.t, `{"ietf-voucher-request:voucher":{"serial-number":"x","surprise":1}}`, a.idevid)
		}, 400, masa.ReasonPriorForm},
		{"PriorSignedByAnotherVendor", func(w *world, a *ask) {
			a.idevid = testpki.NewRoot(w.t, "another vendor").IDevID(w.t, serial, "")
		}, 403, masa.ReasonIDevIDUntrusted},
		{"PriorSignedByLookalikeVendor", func(w *world, a *ask) {
			a.idevid = testpki.NewRoot(w.t, "vendor").NewIntermediate(w.t, "vendor devices").IDevID(w.t, serial, "")
		}, 403, masa.ReasonIDevIDUntrusted},
		{"PriorSignedByTheRegistrar", func(_ *world, a *ask) { a.idevid = a.signer }, 403, masa.ReasonIDevIDUntrusted},
		{"PriorAbsent", func(_ *world, a *ask) { a.idevid = nil }, 403, masa.ReasonPriorMissing},
		{"PriorIsGarbage", func(_ *world, a *ask) { a.registrar.PriorSignedVoucherRequest = []byte("garbage") }, 400, masa.ReasonPriorForm},
		{"PriorWithTrailingByte", func(w *world, a *ask) {
			a.registrar.PriorSignedVoucherRequest = append(sign(w.t, a.pledge, a.idevid, a.idevid.Chain), 0)
		}, 400, masa.ReasonPriorForm},
		{"PriorWithBrokenSignature", func(w *world, a *ask) {
			prior := sign(w.t, a.pledge, a.idevid, a.idevid.Chain)
			a.registrar.PriorSignedVoucherRequest = bytes.Replace(prior, []byte(nonce), []byte("0123456789abcdeg"), 1)
		}, 403, masa.ReasonPriorSigned},
		{"PriorOfAnotherDomain", func(w *world, a *ask) {
			a.pledge.ProximityRegistrarCert = w.theirs.registrar.Certificate.Raw
		}, 403, masa.ReasonProximity},
		{"ProximityWithTheSameNameAndOtherKey", func(w *world, a *ask) {
			a.pledge.ProximityRegistrarCert = newDomain(w.t, "mine").registrar.Certificate.Raw
		}, 403, masa.ReasonProximity},
		{"ProximityAbsent", func(_ *world, a *ask) { a.pledge.ProximityRegistrarCert = nil }, 403, masa.ReasonProximity},
		{"ProximityIsGarbage", func(_ *world, a *ask) { a.pledge.ProximityRegistrarCert = []byte("garbage") }, 403, masa.ReasonProximity},
		{"ProximityHashDecidesBeforeCertificate", func(_ *world, a *ask) {
			sum := sha256.Sum256([]byte("somebody else's key"))
			a.pledge.ProximityRegistrarPubkSHA256 = sum[:]
		}, 403, masa.ReasonProximity},
		{"StolenCertificateInTheBag", func(w *world, a *ask) {
			// The pledge was connected to theirs; its certificate travels along but is of another domain.
			a.pledge.ProximityRegistrarCert = w.theirs.registrar.Certificate.Raw
			a.chain = append(append(a.chain, w.theirs.registrar.Certificate), w.theirs.registrar.Chain...)
		}, 403, masa.ReasonProximity},
		{"SignedByAnLDevID", func(w *world, a *ask) {
			a.signer = w.mine.ca.Client(w.t, "a device")
			a.pledge.ProximityRegistrarCert = a.signer.Certificate.Raw
		}, 403, masa.ReasonRegistrarRole},
		{"ExpiredRegistrar", func(w *world, a *ask) { w.at = w.mine.registrar.Certificate.NotAfter.Add(time.Second) }, 403, masa.ReasonRegistrarChain},
		{"ChainWithAHole", func(w *world, a *ask) { a.chain = []*x509.Certificate{w.mine.root.Certificate} }, 403, masa.ReasonRegistrarChain},
		{"ForeignChain", func(w *world, a *ask) { a.chain = w.theirs.registrar.Chain }, 403, masa.ReasonRegistrarChain},
		{"OtherIDevIDIssuer", func(w *world, a *ask) {
			issuer, err := voucher.IDevIDIssuer(w.mine.registrar.Certificate)
			if err != nil {
				w.t.Fatal(err)
			}
			a.registrar.IDevIDIssuer = issuer
		}, 403, masa.ReasonIDevIDIssuer},
		{"UnknownDevice", func(w *world, a *ask) {
			a.idevid = w.idevidCA.IDevID(w.t, "never built", "")
			a.pledge.SerialNumber, a.registrar.SerialNumber = "never built", "never built"
		}, 404, masa.ReasonDeviceUnknown},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := newWorld(t, nil)
			a := w.ask(w.mine, nonce)
			c.change(w, a)
			w.refused(a.bytes(t), c.status, c.reason)
			if n := w.records(); n != 0 {
				t.Errorf("%d issuances on record, want none", n)
			}
			if got := w.trail(masa.KindRefused); len(got) != 1 || got[0].Reason != c.reason {
				t.Errorf("refusals on the trail: %v, want one for %s", got, c.reason)
			}
		})
	}
}

func signPayload(t testing.TB, payload string, by *testpki.Identity) []byte {
	t.Helper()
	raw, err := vouchercms.Format{}.SignPayload(t.Context(), []byte(payload), time.Time{},
		&voucher.Signer{Key: by.Key, Certificate: by.Certificate, Chain: by.Chain})
	if err != nil {
		t.Fatal(err)
	}
	return raw
}

// BRSKI-8995-5.5-12, BRSKI-8995-5.5.3-01: the signature has to hold, and to be of this content.
func TestBadArtifactsAreRefused(t *testing.T) {
	w := newWorld(t, nil)
	good := w.ask(w.mine, "0123456789abcdef").bytes(t)
	signature := bytes.Clone(good)
	signature[len(good)-1] ^= 1 // it is what comes last
	content := func(leaves string) []byte {
		return signPayload(t, `{"ietf-voucher-request:voucher":{"serial-number":"`+serial+`",`+leaves+`}}`, w.mine.registrar)
	}
	for _, c := range []struct {
		name   string
		raw    []byte
		status int
		reason string
	}{
		{"Empty", nil, 400, masa.ReasonRequestForm},
		{"Garbage", []byte("garbage"), 400, masa.ReasonRequestForm},
		{"TwoMegabytes", make([]byte, 2<<20), 413, masa.ReasonTooLarge},
		{"PaddedToTheLimit", append(bytes.Clone(good), make([]byte, masa.MaxRequest-len(good))...), 400, masa.ReasonRequestForm},
		{"TrailingByte", append(bytes.Clone(good), 0), 400, masa.ReasonRequestForm},
		{"Truncated", good[:len(good)-1], 400, masa.ReasonRequestForm},
		{"Certificate", w.mine.registrar.Certificate.Raw, 400, masa.ReasonRequestForm},
		{"UnknownLeaf", content(`"nonce":"0123456789abcdef","surprise":1`), 400, masa.ReasonRequestLeaf},
		{"NonceOf7Bytes", content(`"nonce":"MTIzNDU2Nw=="`), 400, masa.ReasonRequestForm},
		{"NonceOf33Bytes", content(`"nonce":"` + base64.StdEncoding.EncodeToString(make([]byte, 33)) + `"`), 400, masa.ReasonRequestForm},
		{"ShortNonceWithoutPadding", content(`"nonce":"abcd1234"`), 400, masa.ReasonRequestLeaf},
		{"NonceAsNumber", content(`"nonce":12345678`), 400, masa.ReasonRequestForm},
		{"SignatureChanged", signature, 403, masa.ReasonRequestSigned},
		{"ContentChanged", bytes.Replace(good, []byte(serial), []byte("JADA123456780"), 1), 403, masa.ReasonRequestSigned},
	} {
		t.Run(c.name, func(t *testing.T) { w.refused(c.raw, c.status, c.reason) })
	}
	if n := w.records(); n != 0 {
		t.Errorf("%d issuances on record, want none", n)
	}
}

func TestExtensionsAndProprietaryLeavesAreTaken(t *testing.T) {
	w := newWorld(t, nil)
	a := w.ask(w.mine, "0123456789abcdef")
	a.registrar.ManufacturerProprietary = json.RawMessage(`"AAAA"`)
	a.registrar.Extensions = map[string]json.RawMessage{"extension:example": json.RawMessage(`{"a":1}`)}
	w.voucher(a.bytes(t))
}

// RFC 8995, Section 3.4: a pin that the registrar names does not count, and a
// request is not copied into the voucher.
// BRSKI-8995-3.4-02.
func TestPinNamedByTheRegistrarDoesNotCount(t *testing.T) {
	w := newWorld(t, func(_ *masa.Settings, p *masa.Product) { p.AllowNonceless = true })
	w.own(w.mine)
	never := false
	nonced, nonceless := w.ask(w.mine, "0123456789abcdef"), w.ask(w.mine, "")
	nonceless.idevid = nil
	nonceless.registrar.ExpiresOn, nonceless.registrar.LastRenewalDate = w.at.AddDate(5, 0, 0), w.at.AddDate(4, 0, 0)
	for _, a := range []*ask{nonced, nonceless} {
		a.registrar.PinnedDomainCert, a.registrar.DomainCertRevocationChecks = w.theirs.root.Certificate.Raw, &never
		v, _ := w.voucher(a.bytes(t))
		if !bytes.Equal(v.PinnedDomainCert, w.mine.root.Certificate.Raw) {
			t.Error("the pin is not the registrar's own domain CA")
		}
		if !v.LastRenewalDate.IsZero() || v.DomainCertRevocationChecks != nil || v.ExpiresOn.After(w.at.AddDate(1, 0, 0)) {
			t.Errorf("last-renewal-date %s, domain-cert-revocation-checks %v, expires-on %s; want none of the registrar's",
				v.LastRenewalDate, v.DomainCertRevocationChecks, v.ExpiresOn)
		}
	}
}

func TestRegistrarAnchorsShutOutOtherDomains(t *testing.T) {
	w := newWorld(t, nil)
	settings := *w.settings
	settings.RegistrarAnchors = w.mine.root.Pool()
	if err := w.service.Reload(&settings); err != nil {
		t.Fatal(err)
	}
	w.refused(w.ask(w.theirs, "0123456789abcdef").bytes(t), 403, masa.ReasonRegistrarAnchor)
	a := w.ask(w.mine, "0123456789abcdef")
	a.chain = a.chain[:1] // the root is known
	if v, _ := w.voucher(a.bytes(t)); !bytes.Equal(v.PinnedDomainCert, w.mine.root.Certificate.Raw) {
		t.Error("the pin is not the anchor")
	}
}

func TestBlockedDeviceGetsNoVoucherAndNoRepetition(t *testing.T) {
	w := newWorld(t, nil)
	raw := w.ask(w.mine, "0123456789abcdef").bytes(t)
	_, before := w.voucher(raw)
	ref := masa.DeviceRef{SerialNumber: serial}
	if _, err := w.service.Block(t.Context(), &masa.BlockRequest{DeviceRef: ref, Reason: "stolen", By: "test"}); err != nil {
		t.Fatal(err)
	}
	w.refused(raw, 403, masa.ReasonDeviceBlocked)
	w.refused(w.ask(w.mine, "fedcba9876543210").bytes(t), 403, masa.ReasonDeviceBlocked)
	if _, err := w.service.RequestAuditLog(t.Context(), w.request(raw)); err != nil {
		t.Errorf("the audit-log of a blocked device: %v", err)
	}
	if _, err := w.service.Unblock(t.Context(), &masa.BlockRequest{DeviceRef: ref, By: "test"}); err != nil {
		t.Fatal(err)
	}
	if _, after := w.voucher(raw); !bytes.Equal(before, after) {
		t.Error("after unblocking the same request got another voucher")
	}
}

// BRSKI-8995-5.8-06: the audit-log after resale.
func TestOwnerOnRecordShutsOutEverybodyElse(t *testing.T) {
	w := newWorld(t, nil)
	w.own(w.theirs)
	w.refused(w.ask(w.mine, "0123456789abcdef").bytes(t), 403, masa.ReasonNotOwner)
	w.voucher(w.ask(w.theirs, "0123456789abcdef").bytes(t))
	// Sold on: the claim is replaced, and the former owner still sees the audit-log.
	theirs := w.ask(w.theirs, "fedcba9876543210").bytes(t)
	if _, err := w.service.AddOwner(t.Context(), &masa.OwnerClaim{
		DeviceRef: masa.DeviceRef{Product: "widget", SerialNumber: serial}, DomainRef: masa.DomainRef{Certificate: w.mine.root.Certificate.Raw}, Replace: true, By: "test",
	}); err != nil {
		t.Fatal(err)
	}
	w.refused(theirs, 403, masa.ReasonNotOwner)
	w.voucher(w.ask(w.mine, "abcdef0123456789").bytes(t))
	if log, err := w.service.RequestAuditLog(t.Context(), w.request(theirs)); err != nil || len(log.Events) != 2 {
		t.Errorf("audit-log for the former owner = %+v, %v; want two events", log, err)
	}
}

func TestRequireOwnerRefusesWithoutOne(t *testing.T) {
	w := newWorld(t, func(_ *masa.Settings, p *masa.Product) { p.RequireOwner = true })
	w.refused(w.ask(w.mine, "0123456789abcdef").bytes(t), 403, masa.ReasonNoOwner)
	w.own(w.mine)
	w.voucher(w.ask(w.mine, "0123456789abcdef").bytes(t))
}

func TestOwnerIsKnownByEveryKindOfClaim(t *testing.T) {
	fingerprint := func(d *domain) []byte { sum := sha256.Sum256(d.root.Certificate.Raw); return sum[:] }
	for name, claim := range map[string]func(*domain) masa.DomainRef{
		"Certificate": func(d *domain) masa.DomainRef { return masa.DomainRef{Certificate: d.root.Certificate.Raw} },
		"PublicKey": func(d *domain) masa.DomainRef {
			return masa.DomainRef{PublicKey: d.root.Certificate.RawSubjectPublicKeyInfo}
		},
		"KeyHash": func(d *domain) masa.DomainRef {
			sum := sha256.Sum256(d.root.Certificate.RawSubjectPublicKeyInfo)
			return masa.DomainRef{KeyHash: sum[:]}
		},
		"Fingerprint": func(d *domain) masa.DomainRef { return masa.DomainRef{Fingerprint: fingerprint(d)} },
		"DomainID": func(d *domain) masa.DomainRef {
			return masa.DomainRef{DomainID: voucher.DomainID(d.root.Certificate)}
		},
		"Intermediate": func(d *domain) masa.DomainRef { return masa.DomainRef{Certificate: d.ca.Certificate.Raw} },
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, func(_ *masa.Settings, p *masa.Product) { p.Assertion = voucher.Verified })
			c := &masa.OwnerClaim{DeviceRef: masa.DeviceRef{SerialNumber: serial}, DomainRef: claim(w.mine)}
			if _, err := w.service.AddOwner(t.Context(), c); err != nil {
				t.Fatal(err)
			}
			w.refused(w.ask(w.theirs, "0123456789abcdef").bytes(t), 403, masa.ReasonNotOwner)
			v, _ := w.voucher(w.ask(w.mine, "0123456789abcdef").bytes(t))
			pin := w.mine.root
			if name == "Intermediate" {
				pin = w.mine.ca
			}
			if v.Assertion != voucher.Verified || !bytes.Equal(v.PinnedDomainCert, pin.Certificate.Raw) {
				t.Errorf("assertion %q, pinned-domain-cert is the claimed CA: %t", v.Assertion, bytes.Equal(v.PinnedDomainCert, pin.Certificate.Raw))
			}
		})
	}
}

// A domainID is a subject key identifier, and any CA writes what it likes there.
func TestCopiedKeyIdentifierDoesNotMakeAnOwner(t *testing.T) {
	w := newWorld(t, nil)
	if _, err := w.service.AddOwner(t.Context(), &masa.OwnerClaim{
		DeviceRef: masa.DeviceRef{SerialNumber: serial}, DomainRef: masa.DomainRef{DomainID: voucher.DomainID(w.mine.root.Certificate)},
	}); err != nil {
		t.Fatal(err)
	}
	forged := &domain{root: testpki.NewRoot(t, "helper")}
	key := testpki.NewKey(t)
	forged.root = forged.root.Issue(t, &x509.Certificate{
		Subject: pkix.Name{CommonName: "forged"}, IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
		SubjectKeyId: w.mine.root.Certificate.SubjectKeyId,
	}, key)
	forged.root.Chain = nil // its issuer stays at home: the forged CA is the topmost certificate
	forged.registrar = forged.root.Registrar(t, "forged registrar")
	if !bytes.Equal(voucher.DomainID(forged.root.Certificate), voucher.DomainID(w.mine.root.Certificate)) {
		t.Fatal("the forged CA has another domainID: the test tests nothing")
	}
	raw := w.ask(forged, "0123456789abcdef").bytes(t)
	w.refused(raw, 403, masa.ReasonNotOwner)
	w.voucher(w.ask(w.mine, "0123456789abcdef").bytes(t))
	got, err := w.service.RequestAuditLog(t.Context(), w.request(raw))
	wantRefusal(t, got != nil, err, 404, masa.ReasonNoAuditLog)
}

// Regression R11: the IDevID on record is compared as a whole.
func TestSecondIDevIDForASerialNumberIsRefused(t *testing.T) {
	w := newWorld(t, nil)
	w.voucher(w.ask(w.mine, "0123456789abcdef").bytes(t)) // fixes the IDevID
	a := w.ask(w.mine, "fedcba9876543210")
	a.idevid = w.idevidCA.IDevID(t, serial, "masa.example.com")
	w.refused(a.bytes(t), 403, masa.ReasonIDevIDMismatch)
}

func TestUnlistedDeviceIsServedOnlyWhereAllowed(t *testing.T) {
	w := newWorld(t, func(_ *masa.Settings, p *masa.Product) { p.AllowUnlisted = true })
	a := w.ask(w.mine, "0123456789abcdef")
	a.idevid = w.idevidCA.IDevID(t, "unlisted", "")
	a.pledge.SerialNumber, a.registrar.SerialNumber = "unlisted", "unlisted"
	w.voucher(a.bytes(t))
	got, err := w.service.Device(t.Context(), masa.DeviceRef{SerialNumber: "unlisted"})
	if err != nil || got.Device.Source != "voucher" || !bytes.Equal(got.Device.IDevID, a.idevid.Certificate.Raw) || len(got.Vouchers) != 1 {
		t.Errorf("Device = %+v, %v; want a record made by the voucher", got, err)
	}
	a.idevid = nil
	a.registrar.SerialNumber = "unlisted and unsigned"
	w.refused(a.bytes(t), 404, masa.ReasonDeviceUnknown)
}

// Promise 4: one entry for each reason and address a minute before
// authentication, every refusal of a registrar that is known.
func TestRefusalsOnTheTrailAreThinnedOutOnlyForStrangers(t *testing.T) {
	w := newWorld(t, nil)
	ask := func(d *domain, address string) {
		r := w.request(w.ask(d, "").bytes(t))
		r.Peer = &est.Peer{Address: netip.MustParseAddrPort(address)}
		if _, err := w.service.RequestVoucher(t.Context(), r); err == nil {
			t.Fatal("a nonceless request was answered")
		}
	}
	for range 3 {
		ask(w.mine, "127.0.0.1:1")
		ask(w.mine, "127.0.0.2:1")
	}
	w.at = w.at.Add(61 * time.Second)
	ask(w.mine, "127.0.0.1:2")
	if n := w.service.RefusalCounts()[masa.ReasonNonceless]; n != 7 {
		t.Errorf("%d refusals counted, want 7", n)
	}
	w.own(w.mine)
	for range 3 {
		ask(w.mine, "127.0.0.1:3")
	}
	if got := w.trail(masa.KindRefused); len(got) != 3+3 {
		t.Errorf("%d refusals on the trail, want 3 for the stranger and 3 for the owner", len(got))
	}
}

func TestObserverNotesWhatTheHandlerRefusedAndNothingTwice(t *testing.T) {
	w := newWorld(t, nil)
	peer := &est.Request{Peer: &est.Peer{Address: netip.MustParseAddrPort("[::1]:1")}, At: w.at}
	w.service.Refused(t.Context(), peer, &est.Error{Status: 405, Reason: "method", Message: "POST only."})
	w.service.Refused(t.Context(), peer, &est.Error{Status: 405, Reason: "method", Message: "POST only."})
	_, err := w.service.RequestVoucher(t.Context(), w.request([]byte("garbage")))
	e, ok := err.(*est.Error)
	if !ok {
		t.Fatalf("error %v, want an *est.Error", err)
	}
	w.service.Refused(t.Context(), peer, e)
	counts := w.service.RefusalCounts()
	if counts["method"] != 2 || counts[masa.ReasonRequestForm] != 1 {
		t.Errorf("counts = %v, want method 2, request-form 1", counts)
	}
	if got := w.trail(masa.KindRefused); len(got) != 2 {
		t.Errorf("%d refusals on the trail, want one of each", len(got))
	}
}

// R18: one entry for each registrar and device a minute, with the number of the
// rest; that about a voucher stands for the logs of its minute.
func TestAuditLogsServedAreOnTheTrailOnceAMinute(t *testing.T) {
	w := newWorld(t, nil)
	mine, theirs := w.ask(w.mine, "0123456789abcdef").bytes(t), w.ask(w.theirs, "fedcba9876543210").bytes(t)
	w.voucher(mine)
	w.voucher(theirs)
	read := func(raws ...[]byte) {
		for _, raw := range raws {
			if _, err := w.service.RequestAuditLog(t.Context(), w.request(raw)); err != nil {
				t.Fatal(err)
			}
		}
	}
	read(mine, mine, theirs)
	if got := w.trail(masa.KindAuditLogServed); len(got) != 0 {
		t.Fatalf("%d entries in the minute of the vouchers' own", len(got))
	}
	w.at = w.at.Add(time.Minute)
	read(mine, mine, theirs, mine)
	w.at = w.at.Add(time.Minute)
	read(mine, theirs)
	got := w.trail(masa.KindAuditLogServed)
	if len(got) != 4 {
		t.Fatalf("%d entries, want 2 for each registrar", len(got))
	}
	for i, want := range []bool{true, false, true, false} {
		if bytes.Contains(got[i].Body, []byte(`"served_since_last_entry":2`)) != want {
			t.Errorf("entry %d: %s; tells of 2 more: want %v", i, got[i].Body, want)
		}
	}
}

// R18: an address, and a registrar wherever it is, has so many requests a minute.
func TestBudgetsAreOfAddressesAndOfRegistrars(t *testing.T) {
	w := newWorld(t, func(s *masa.Settings, _ *masa.Product) { s.RequestsPerMinute = 3 })
	raw := w.ask(w.mine, "0123456789abcdef").bytes(t)
	ask := func(address string, raw []byte) string {
		r := w.request(raw)
		r.Peer = &est.Peer{Address: netip.MustParseAddrPort(address)}
		_, err := w.service.RequestVoucher(t.Context(), r)
		var e *est.Error
		if errors.As(err, &e) {
			if e.Reason == masa.ReasonBudget && (e.Status != 429 || e.RetryAfter < time.Second) {
				t.Errorf("refusal %d, try again after %v; want 429 and a time", e.Status, e.RetryAfter)
			}
			return e.Reason
		}
		return ""
	}
	for n, c := range []struct {
		address string
		raw     []byte
		want    string
	}{
		{"[2001:db8::1]:1", nil, masa.ReasonRequestForm},
		{"[2001:db8::2]:1", nil, masa.ReasonRequestForm},
		{"[2001:db8::3]:1", raw, ""},
		{"[2001:db8::4]:1", raw, masa.ReasonBudget}, // the /64's fourth
		{"127.0.0.1:1", raw, ""},
		{"127.0.0.1:2", raw, ""},
		{"127.0.0.2:1", raw, masa.ReasonBudget}, // the registrar's fourth
		{"127.0.0.2:1", nil, masa.ReasonRequestForm},
	} {
		if got := ask(c.address, c.raw); got != c.want {
			t.Errorf("request %d, from %s: %q, want %q", n, c.address, got, c.want)
		}
	}
	w.at = w.at.Add(time.Minute)
	if got := ask("[2001:db8::1]:1", raw); got != "" {
		t.Errorf("a minute later: %q, want a voucher", got)
	}
}

func FuzzRequestVoucher(f *testing.F) {
	f.Add([]byte("garbage"))
	f.Add([]byte{0x30, 0x80})
	w := newFuzzWorld(f)
	f.Add(w.good)
	for _, raw := range w.hostile {
		f.Add(raw)
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		r := &w.request
		request := *r
		request.Raw = raw
		v, err := w.service.RequestVoucher(t.Context(), &request)
		if err == nil && !bytes.Equal(raw, w.good) && len(v.Raw) == 0 {
			t.Error("an empty voucher")
		}
		if err == nil && slices.ContainsFunc(w.hostile, func(h []byte) bool { return bytes.Equal(raw, h) }) {
			t.Error("a voucher for a hostile request")
		}
	})
}
