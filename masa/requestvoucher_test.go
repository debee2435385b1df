package masa_test

import (
	"bytes"
	"context"
	"crypto"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/briskest/briskest/brski"
	"github.com/briskest/briskest/internal/testpki"
	"github.com/briskest/briskest/masa"
	"github.com/briskest/briskest/masa/storetest"
	"github.com/briskest/briskest/voucher"
	"github.com/briskest/briskest/voucher/vouchercms"
)

// RFC 8995, Section 5.6.
// BRSKI-8995-5.6-14: nonce, assertion, pinned-domain-cert and serial-number.
// BRSKI-8366-5.4-01: one signature, by a key that the pledge trusts, which [world.voucher] verifies.
// BRSKI-8995-5.5.5-03: and so does the audit-log, [TestAuditLogHasAnEventForEachVoucher].
func TestVoucherSaysWhatWasShown(t *testing.T) {
	w := newWorld(t, nil)
	const nonce = "a-_b0123456789abcdefgh" // base64url, as reach sends it
	v, _ := w.voucher(w.ask(w.mine, nonce).bytes(t))
	switch {
	case v.SerialNumber != serial:
		t.Errorf("serial-number = %q, want %q", v.SerialNumber, serial)
	case v.Nonce != nonce:
		t.Errorf("nonce = %q, want %q as it came", v.Nonce, nonce)
	case v.Assertion != voucher.Proximity:
		t.Errorf("assertion = %q, want proximity", v.Assertion)
	case !bytes.Equal(v.PinnedDomainCert, w.mine.root.Certificate.Raw):
		t.Error("pinned-domain-cert is not the root of the registrar's chain")
	case !v.CreatedOn.Equal(w.at):
		t.Errorf("created-on = %s, want %s", v.CreatedOn, w.at)
	case !v.ExpiresOn.IsZero():
		t.Errorf("expires-on = %s beside a nonce", v.ExpiresOn)
	case v.IDevIDIssuer != nil:
		t.Error("idevid-issuer is there although the serial number is unique (rfc8366bis, Section 6.2)")
	}
}

func TestVoucherVerifiesWithOpenSSL(t *testing.T) {
	openssl, err := exec.LookPath("openssl")
	if err != nil {
		t.Skip("openssl is not installed")
	}
	w := newWorld(t, nil)
	_, raw := w.voucher(w.ask(w.mine, "0123456789abcdef").bytes(t))
	dir := t.TempDir()
	anchor := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: w.signer.Certificate.Raw})
	for name, data := range map[string][]byte{"voucher.vcj": raw, "anchor.pem": anchor} {
		if err := os.WriteFile(filepath.Join(dir, name), data, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	cmd := exec.CommandContext(t.Context(), openssl, "cms", "-verify", "-inform", "DER", "-in", "voucher.vcj",
		"-CAfile", "anchor.pem", "-purpose", "any")
	cmd.Dir = dir
	out, err := cmd.Output()
	if err != nil || !bytes.Contains(out, []byte(`"0123456789abcdef"`)) {
		t.Errorf("openssl cms -verify: %v, printed %q", err, out)
	}
}

func TestAssertionIsWhatPolicyAndProofAllow(t *testing.T) {
	for _, c := range []struct {
		name   string
		policy voucher.Assertion
		owner  bool
		noPVR  bool
		want   voucher.Assertion
	}{
		{"Default", "", false, false, voucher.Proximity},
		{"LoggedPolicy", voucher.Logged, true, false, voucher.Logged},
		{"VerifiedOwner", voucher.Verified, true, false, voucher.Verified},
		{"VerifiedPolicyWithoutOwner", voucher.Verified, false, false, voucher.Proximity},
		{"ProximityPolicyWithOwner", voucher.Proximity, true, false, voucher.Proximity},
		{"WithoutPledgesSignature", voucher.Verified, false, true, voucher.Logged},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := newWorld(t, func(_ *masa.Settings, p *masa.Product) { p.Assertion, p.AllowNoPriorSigned = c.policy, true })
			if c.owner {
				w.own(w.mine)
			}
			a := w.ask(w.mine, "0123456789abcdef")
			a.registrar.Assertion = voucher.Verified // must not count (RFC 8995, Section 3.4)
			if c.noPVR {
				a.idevid = nil
			}
			v, _ := w.voucher(a.bytes(t))
			if v.Assertion != c.want {
				t.Errorf("assertion = %q, want %q", v.Assertion, c.want)
			}
		})
	}
}

func (w *world) own(d *domain) {
	w.t.Helper()
	_, err := w.service.AddOwner(w.t.Context(), &masa.OwnerClaim{
		DeviceRef: masa.DeviceRef{SerialNumber: serial}, DomainRef: masa.DomainRef{Certificate: d.root.Certificate.Raw}, By: "test",
	})
	if err != nil {
		w.t.Fatal(err)
	}
}

func TestSameRequestGetsTheSameBytesAcrossRestarts(t *testing.T) {
	w := newWorld(t, nil)
	raw := w.ask(w.mine, "0123456789abcdef").bytes(t)
	_, first := w.voucher(raw)
	_, second := w.voucher(raw)
	w.service.Close()
	w.at = w.at.Add(time.Hour)
	w.start()
	_, third := w.voucher(raw)
	if !bytes.Equal(first, second) || !bytes.Equal(first, third) {
		t.Error("the same request got different vouchers")
	}
	// The registrar signed again, as after its own restart: the nonce counts.
	_, fourth := w.voucher(w.ask(w.mine, "0123456789abcdef").bytes(t))
	if !bytes.Equal(first, fourth) {
		t.Error("the same nonce of the same domain got different vouchers")
	}
	if n := w.records(); n != 1 {
		t.Errorf("%d issuances on record, want 1", n)
	}
}

func TestConcurrentRepetitionsAreSignedOnce(t *testing.T) {
	w := newWorld(t, nil)
	raw := w.ask(w.mine, "0123456789abcdef").bytes(t)
	var mu sync.Mutex
	answers := make(map[string]bool)
	var wg sync.WaitGroup
	for range 16 {
		wg.Go(func() {
			v, err := w.service.RequestVoucher(t.Context(), w.request(raw))
			if err != nil {
				t.Errorf("RequestVoucher: %v", err)
				return
			}
			mu.Lock()
			defer mu.Unlock()
			answers[string(v.Raw)] = true
		})
	}
	wg.Wait()
	if len(answers) != 1 || w.records() != 1 {
		t.Errorf("%d different vouchers, %d records; want one each", len(answers), w.records())
	}
}

// Two processes on one store, as with a database server: the records decide.
func TestTwoProcessesIssueOneVoucherForANonce(t *testing.T) {
	for round := range 8 {
		w := newWorld(t, func(_ *masa.Settings, p *masa.Product) { p.AllowUnlisted = true })
		first := w.service
		w.start()
		a := w.ask(w.mine, "0123456789abcdef")
		if round%2 == 1 { // the device's record is made twice at once, too
			a.idevid = w.idevidCA.IDevID(t, "unlisted", "")
			a.pledge.SerialNumber, a.registrar.SerialNumber = "unlisted", "unlisted"
		}
		raw := a.bytes(t)
		var mu sync.Mutex
		answers := make(map[string]int)
		var wg sync.WaitGroup
		for i := range 8 {
			s := []*masa.Service{first, w.service}[i%2]
			wg.Go(func() {
				v, err := s.RequestVoucher(t.Context(), w.request(raw))
				if err != nil {
					t.Errorf("RequestVoucher: %v", err)
					return
				}
				mu.Lock()
				defer mu.Unlock()
				answers[string(v.Raw)]++
			})
		}
		wg.Wait()
		if len(answers) != 1 || w.records() != 1 {
			t.Fatalf("%d different vouchers, %d records; want one each", len(answers), w.records())
		}
	}
}

// Regression R27: an ownership race. Without an owner on record both domains
// may ask, each needs the pledge's own signature towards it, and each sees the
// other in the audit-log.
func TestTwoRegistrarsRacingEachGetOnlyWhatThePledgeSigned(t *testing.T) {
	w := newWorld(t, nil)
	requests := map[*domain][]byte{
		w.mine:   w.ask(w.mine, "nonce-for-mine-0").bytes(t),
		w.theirs: w.ask(w.theirs, "nonce-for-theirs").bytes(t),
	}
	var wg sync.WaitGroup
	for d, raw := range requests {
		wg.Go(func() {
			got, err := w.service.RequestVoucher(t.Context(), w.request(raw))
			if err != nil {
				t.Errorf("RequestVoucher: %v", err)
				return
			}
			v, _, err := vouchercms.Format{}.OpenVoucher(got.Raw)
			if err != nil || !bytes.Equal(v.PinnedDomainCert, d.root.Certificate.Raw) {
				t.Errorf("voucher for another domain, %v", err)
			}
		})
	}
	wg.Wait()
	log, err := w.service.RequestAuditLog(t.Context(), w.request(requests[w.mine]))
	if err != nil || len(log.Events) != 2 {
		t.Errorf("audit-log = %+v, %v; want both domains", log, err)
	}
}

func TestNonceOfAnotherDomainIsRefused(t *testing.T) {
	w := newWorld(t, func(_ *masa.Settings, p *masa.Product) { p.AllowNoPriorSigned = true })
	w.voucher(w.ask(w.mine, "0123456789abcdef").bytes(t))
	a := w.ask(w.theirs, "0123456789abcdef")
	a.idevid = nil
	w.refused(a.bytes(t), 403, masa.ReasonNonceUsed)
}

// brokenSigner fails until it is repaired.
type brokenSigner struct {
	crypto.Signer
	broken bool
}

func (b *brokenSigner) Sign(r io.Reader, digest []byte, opts crypto.SignerOpts) ([]byte, error) {
	if b.broken {
		return nil, errors.New("the token is gone")
	}
	return b.Signer.Sign(r, digest, opts)
}

func TestSignerFailureLeavesAnExplainedRecordAndCanBeRepeated(t *testing.T) {
	var key *brokenSigner
	w := newWorld(t, func(_ *masa.Settings, p *masa.Product) {
		key = &brokenSigner{Signer: p.Signer.Key, broken: true}
		p.Signer.Key = key
	})
	raw := w.ask(w.mine, "0123456789abcdef").bytes(t)
	if v, err := w.service.RequestVoucher(t.Context(), w.request(raw)); err == nil {
		t.Fatalf("RequestVoucher = %v with a broken signer", v)
	}
	list, err := w.service.ListVouchers(t.Context(), masa.Page{})
	if err != nil || len(list) != 1 || list[0].State != masa.Failed || list[0].Reason != masa.ReasonSigner {
		t.Fatalf("ListVouchers = %+v, %v; want one failed by the signer", list, err)
	}
	key.broken = false
	w.voucher(raw)
	if n := w.records(); n != 1 {
		t.Errorf("%d records, want the one", n)
	}
}

// Promise 1: the voucher is on record before it leaves, whatever breaks.
func TestStoreFailureAtAnyStepGivesNoVoucher(t *testing.T) {
	for step := 1; step <= 2; step++ {
		for _, after := range []bool{false, true} {
			w := newWorld(t, nil)
			n := 0
			fail := func(*masa.Change) error {
				if n++; n == step {
					return errors.New("disk full")
				}
				return nil
			}
			if after {
				w.memory.FailAfter(fail)
			} else {
				w.memory.FailBefore(fail)
			}
			raw := w.ask(w.mine, "0123456789abcdef").bytes(t)
			if v, err := w.service.RequestVoucher(t.Context(), w.request(raw)); err == nil {
				t.Errorf("step %d, after %t: voucher %v left without a record", step, after, v)
			}
			w.memory.FailBefore(nil)
			w.memory.FailAfter(nil)
			w.service.Close()
			w.start() // the start-up pass
			open, err := w.store.OpenIntents(t.Context())
			if err != nil || len(open) != 0 {
				t.Errorf("step %d, after %t: %d intents without an outcome after a restart, %v", step, after, len(open), err)
			}
			_, one := w.voucher(raw)
			if _, two := w.voucher(raw); !bytes.Equal(one, two) || w.records() != 1 {
				t.Errorf("step %d, after %t: the repetition did not settle", step, after)
			}
		}
	}
}

// Regression R28 (highway H1): what cannot be answered is not begun.
func TestUnacceptableMediaTypeLeavesNoRecordOfIssuance(t *testing.T) {
	w := newWorld(t, nil)
	raw := w.ask(w.mine, "0123456789abcdef").bytes(t)
	for _, c := range []struct {
		name, contentType string
		accept            []string
		status            int
		reason            string
	}{
		{"OtherAccept", vouchercms.MediaType, []string{"application/voucher+cose"}, 406, masa.ReasonAccept},
		{"MalformedAccept", vouchercms.MediaType, []string{"/;"}, 406, masa.ReasonAccept},
		{"OtherContentType", "application/voucher+cose", []string{vouchercms.MediaType}, 415, masa.ReasonMediaType},
		{"NoContentType", "", nil, 415, masa.ReasonMediaType},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := w.request(raw)
			r.MediaType, r.Accept = c.contentType, c.accept
			got, err := w.service.RequestVoucher(t.Context(), r)
			wantRefusal(t, got != nil, err, c.status, c.reason)
		})
	}
	if n := w.records(); n != 0 {
		t.Fatalf("%d issuances on record, want none", n)
	}
	if got := w.trail(masa.KindVoucherIntended); len(got) != 0 {
		t.Errorf("%d intents on the trail, want none", len(got))
	}
}

func TestAcceptIsTakenInEveryUsualForm(t *testing.T) {
	w := newWorld(t, nil)
	raw := w.ask(w.mine, "0123456789abcdef").bytes(t)
	for _, accept := range [][]string{nil, {"*/*"}, {"application/*"}, {"text/html", vouchercms.MediaType}, {"application/voucher-cms+json; charset=utf-8"}} {
		r := w.request(raw)
		r.Accept, r.MediaType = accept, "application/voucher-cms+json; charset=utf-8"
		if v, err := w.service.RequestVoucher(t.Context(), r); err != nil || v.MediaType != vouchercms.MediaType {
			t.Errorf("Accept %q: %v, %v", accept, v, err)
		}
	}
}

func TestNoncelessVoucherIsForTheOwnerAndExpires(t *testing.T) {
	w := newWorld(t, func(_ *masa.Settings, p *masa.Product) { p.AllowNonceless, p.NoncelessLifetime = true, 48*time.Hour })
	a := w.ask(w.mine, "")
	a.idevid = nil
	w.refused(a.bytes(t), 403, masa.ReasonNonceless)
	w.own(w.mine)
	raw := a.bytes(t)
	v, first := w.voucher(raw)
	if want := w.at.Add(48 * time.Hour); v.Nonce != "" || !v.ExpiresOn.Equal(want) {
		t.Errorf("nonce %q, expires-on %s; want none, %s", v.Nonce, v.ExpiresOn, want)
	}
	w.at = w.at.Add(47 * time.Hour)
	if _, again := w.voucher(raw); !bytes.Equal(first, again) {
		t.Error("the same request got another voucher while the first was good")
	}
	// RFC 8995, Section 5.5.1: an expired voucher is renewed.
	w.at = w.at.Add(2 * time.Hour)
	if v, again := w.voucher(raw); bytes.Equal(first, again) || !v.ExpiresOn.After(w.at) {
		t.Error("an expired voucher was not renewed")
	}
	b := w.ask(w.theirs, "")
	b.idevid = nil
	w.refused(b.bytes(t), 403, masa.ReasonNotOwner)
}

// RFC 8366, Section 5.3: never later than the pinned certificate.
func TestNoncelessVoucherEndsWithTheCertificatesItRestsOn(t *testing.T) {
	w := newWorld(t, func(_ *masa.Settings, p *masa.Product) {
		p.AllowNonceless, p.NoncelessLifetime = true, 100*365*24*time.Hour
	})
	w.own(w.mine)
	a := w.ask(w.mine, "")
	a.idevid = nil
	v, _ := w.voucher(a.bytes(t))
	if want := w.mine.registrar.Certificate.NotAfter; !v.ExpiresOn.Equal(want) {
		t.Errorf("expires-on = %s, want the registrar's notAfter %s", v.ExpiresOn, want)
	}
}

func TestNoncelessIsRefusedWhereTheProductDoesNotAllowIt(t *testing.T) {
	w := newWorld(t, nil)
	w.own(w.mine)
	w.refused(w.ask(w.mine, "").bytes(t), 403, masa.ReasonNonceless)
}

// RFC 8995, Section 5.5.2: the MASA may pin the end-entity certificate alone.
func TestPinRegistrarPinsTheSigner(t *testing.T) {
	w := newWorld(t, func(_ *masa.Settings, p *masa.Product) { p.Pin = masa.PinRegistrar })
	v, _ := w.voucher(w.ask(w.mine, "0123456789abcdef").bytes(t))
	if !bytes.Equal(v.PinnedDomainCert, w.mine.registrar.Certificate.Raw) {
		t.Error("pinned-domain-cert is not the registrar's certificate")
	}
}

// RFC 8995, Section 5.5.2: a chain may be as short as the end-entity
// certificate, or end below the root.
func TestTopmostCertificateThatCameIsPinned(t *testing.T) {
	for _, c := range []struct {
		name  string
		chain func(*domain) []*x509.Certificate
		want  func(*domain) *testpki.Identity
	}{
		{"RegistrarAlone", func(*domain) []*x509.Certificate { return nil }, func(d *domain) *testpki.Identity { return d.registrar }},
		{"WithoutRoot", func(d *domain) []*x509.Certificate { return d.registrar.Chain[:1] }, func(d *domain) *testpki.Identity { return d.ca }},
		{"RootFirst", func(d *domain) []*x509.Certificate {
			return []*x509.Certificate{d.root.Certificate, d.ca.Certificate}
		}, func(d *domain) *testpki.Identity { return d.root }},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := newWorld(t, nil)
			a := w.ask(w.mine, "0123456789abcdef")
			a.chain = c.chain(w.mine)
			v, _ := w.voucher(a.bytes(t))
			if !bytes.Equal(v.PinnedDomainCert, c.want(w.mine).Certificate.Raw) {
				t.Errorf("pinned-domain-cert is not that of %q", c.want(w.mine).Certificate.Subject.CommonName)
			}
		})
	}
}

// RFC 8995, Section 5.5.5: proximity goes by the key.
// BRSKI-8995-5.5.5-01.
func TestProximityIsShownByTheKey(t *testing.T) {
	w := newWorld(t, nil)
	renewed := w.mine.ca.Issue(t, &x509.Certificate{DNSNames: []string{"localhost"}}, w.mine.registrar.Key)
	a := w.ask(w.mine, "0123456789abcde1")
	a.pledge.ProximityRegistrarCert = renewed.Certificate.Raw
	if v, _ := w.voucher(a.bytes(t)); v.Assertion != voucher.Proximity {
		t.Errorf("same key, other certificate: assertion %q", v.Assertion)
	}
	rekeyed := w.mine.ca.Issue(t, &x509.Certificate{Subject: w.mine.registrar.Certificate.Subject, DNSNames: []string{"localhost"}}, testpki.NewKey(t))
	b := w.ask(w.mine, "0123456789abcde2")
	b.pledge.ProximityRegistrarCert = rekeyed.Certificate.Raw
	w.refused(b.bytes(t), 403, masa.ReasonProximity)
	b.chain = append(b.chain, rekeyed.Certificate) // that it is in the chain is not enough: anybody can put it there
	w.refused(b.bytes(t), 403, masa.ReasonProximity)
}

// RFC 8995, Section 5.5.5: any CA can certify any key, so that a certificate
// sent along shows nothing but of a domain that is known.
func TestProximityByATLSCertificateSentAlongIsForKnownDomainsAlone(t *testing.T) {
	for _, c := range []struct {
		name  string
		known func(*world)
		taken bool
	}{
		{"nobody is known", func(*world) {}, false},
		{"anchored", func(w *world) {
			settings := *w.settings
			settings.RegistrarAnchors = w.mine.root.Pool()
			settings.RegistrarAnchors.AddCert(w.theirs.root.Certificate)
			if err := w.service.Reload(&settings); err != nil {
				w.t.Fatal(err)
			}
		}, true},
		{"the owner on record", func(w *world) { w.own(w.mine) }, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := newWorld(t, nil)
			c.known(w)
			own, foreign := w.mine.ca.Registrar(t, "mine TLS"), w.theirs.registrar
			for n, tls := range []*testpki.Identity{own, foreign} {
				a := w.ask(w.mine, "0123456789abcde"+string(rune('0'+n)))
				a.pledge.ProximityRegistrarCert = tls.Certificate.Raw
				w.refused(a.bytes(t), 403, masa.ReasonProximity)
				a.chain = append(append(a.chain, tls.Certificate), tls.Chain...)
				if !c.taken || tls == foreign {
					w.refused(a.bytes(t), 403, masa.ReasonProximity)
					continue
				}
				if v, _ := w.voucher(a.bytes(t)); v.Assertion != voucher.Proximity {
					t.Errorf("assertion %q, want %q", v.Assertion, voucher.Proximity)
				}
			}
		})
	}
}

// rfc8366bis, Section 6.2: the issuer is named where the serial number is not
// unique, and found by the pledge's signature.
// BRSKI-8366BIS-6.3-02: in each of the three encodings of it.
// BRSKI-8366BIS-6.2-01, BRSKI-8366BIS-6.2-04: the leaf is there, and with the serial number names the device.
func TestSerialNumberSharedByProductsIsToldApart(t *testing.T) {
	w := unstarted(t, nil)
	other := testpki.NewRoot(t, "gadget vendor")
	p := w.settings.Products["widget"]
	p.AllowNoPriorSigned = true
	w.settings.Products["widget"] = p
	p.IDevIDAnchors = other.Pool()
	w.settings.Products["gadget"] = p
	w.memory = storetest.NewMemory()
	w.store = w.memory
	w.start()
	gadget := other.IDevID(t, serial, "")
	for product, cert := range map[string]*testpki.Identity{"widget": w.idevid, "gadget": gadget} {
		if _, err := w.service.ImportDevices(t.Context(), &masa.Import{
			Product: product, Devices: []masa.ImportDevice{{IDevID: cert.Certificate.Raw}},
		}); err != nil {
			t.Fatal(err)
		}
	}
	for i, pledge := range []*testpki.Identity{w.idevid, gadget} {
		issuer, err := voucher.IDevIDIssuer(pledge.Certificate)
		if err != nil {
			t.Fatal(err)
		}
		a := w.ask(w.mine, "0123456789abcde"+string(rune('0'+i)))
		a.idevid = pledge
		if v, _ := w.voucher(a.bytes(t)); !bytes.Equal(v.IDevIDIssuer, issuer) {
			t.Errorf("idevid-issuer = %x, want %x", v.IDevIDIssuer, issuer)
		}
		b := w.ask(w.mine, "0123456789abcdf"+string(rune('0'+i)))
		b.idevid = nil
		w.refused(b.bytes(t), 403, masa.ReasonSerialAmbiguous)
		b.registrar.IDevIDIssuer = issuer
		if v, _ := w.voucher(b.bytes(t)); !bytes.Equal(v.IDevIDIssuer, issuer) {
			t.Errorf("by the leaf alone: idevid-issuer = %x, want %x", v.IDevIDIssuer, issuer)
		}
		// What older registrars send (rfc8366bis, Section 6.3): without the OCTET STRING around it, or the identifier alone.
		for n, old := range [][]byte{issuer[2:], pledge.Certificate.AuthorityKeyId} {
			c := w.ask(w.mine, "0123456789abc"+string(rune('0'+n))+"f"+string(rune('0'+i)))
			c.idevid, c.registrar.IDevIDIssuer = nil, old
			if v, _ := w.voucher(c.bytes(t)); !bytes.Equal(v.IDevIDIssuer, issuer) {
				t.Errorf("by idevid-issuer %x: %x in the voucher, want %x", old, v.IDevIDIssuer, issuer)
			}
		}
	}
}

func TestSettingsThatCouldNotWorkAreRefused(t *testing.T) {
	for name, change := range map[string]func(*masa.Settings, *masa.Product){
		"NoFormat":         func(s *masa.Settings, _ *masa.Product) { s.Formats = nil },
		"NegativeLimit":    func(s *masa.Settings, _ *masa.Product) { s.AuditLogLimit = -1 },
		"NoAnchors":        func(_ *masa.Settings, p *masa.Product) { p.IDevIDAnchors = nil },
		"NoSigner":         func(_ *masa.Settings, p *masa.Product) { p.Signer = nil },
		"NoKey":            func(_ *masa.Settings, p *masa.Product) { p.Signer.Key = nil },
		"KeyOfAnother":     func(_ *masa.Settings, p *masa.Product) { p.Signer.Key = testpki.NewKey(t) },
		"BadSecondSigner":  func(_ *masa.Settings, p *masa.Product) { p.NoncelessSigner = &voucher.Signer{} },
		"UnknownAssertion": func(_ *masa.Settings, p *masa.Product) { p.Assertion = voucher.AgentProximity },
		"NegativeLifetime": func(_ *masa.Settings, p *masa.Product) { p.NoncelessLifetime = -1 },
	} {
		t.Run(name, func(t *testing.T) {
			w := unstarted(t, change)
			if s, err := masa.New(t.Context(), masa.Config{Store: storetest.NewMemory(), Settings: w.settings}); err == nil {
				s.Close()
				t.Error("New took the settings")
			}
		})
	}
}

// RFC 8995, Section 11.6.2.2: another key for vouchers that are good for long.
func TestNoncelessVoucherIsSignedWithItsOwnKey(t *testing.T) {
	other := testpki.NewRoot(t, "long-lived vouchers")
	w := newWorld(t, func(_ *masa.Settings, p *masa.Product) {
		p.AllowNonceless = true
		p.NoncelessSigner = &voucher.Signer{Key: other.Key, Certificate: other.Certificate}
	})
	w.own(w.mine)
	a := w.ask(w.mine, "")
	a.idevid = nil
	got, err := w.service.RequestVoucher(t.Context(), w.request(a.bytes(t)))
	if err != nil {
		t.Fatal(err)
	}
	_, artifact, err := vouchercms.Format{}.OpenVoucher(got.Raw)
	if err != nil || !artifact.Signer.Equal(other.Certificate) {
		t.Errorf("signer = %v, %v; want the key for nonceless vouchers", artifact, err)
	}
}

// RFC 8995, Section 5.5.3: where revocation or else is looked at.
func TestCheckRegistrarRefuses(t *testing.T) {
	w := newWorld(t, func(s *masa.Settings, _ *masa.Product) {
		s.CheckRegistrar = func(_ context.Context, chain []*x509.Certificate, _ time.Time) (time.Time, error) {
			if len(chain) != 3 {
				t.Errorf("a chain of %d, want registrar, CA and root", len(chain))
			}
			return time.Time{}, errors.New("not liked")
		}
	})
	w.refused(w.ask(w.mine, "0123456789abcdef").bytes(t), 403, masa.ReasonRegistrarPolicy)
}

func TestReloadIsWholeOrNotAtAll(t *testing.T) {
	w := newWorld(t, nil)
	before := w.service.Settings()
	if err := w.service.Reload(&masa.Settings{Version: "bad", Formats: w.settings.Formats, Products: map[string]masa.Product{"x": {}}}); err == nil {
		t.Error("Reload took a product without anchors")
	}
	if w.service.Settings() != before {
		t.Error("a failed Reload changed the settings")
	}
}

// The service is a brski.MASA in process as the client is over the wire.
func TestServiceNeedsNoTransport(t *testing.T) {
	w := newWorld(t, nil)
	var m brski.MASA = w.service
	if _, err := m.RequestVoucher(context.Background(), &brski.MASARequest{
		MediaType: vouchercms.MediaType, Raw: w.ask(w.mine, "0123456789abcdef").bytes(t),
	}); err != nil {
		t.Errorf("RequestVoucher without peer and time: %v", err)
	}
}
