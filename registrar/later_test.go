package registrar_test

import (
	"context"
	"crypto"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"fmt"
	"math/big"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/briskest/briskest/ca"
	"github.com/briskest/briskest/internal/testpki"
	"github.com/briskest/briskest/registrar"
)

// upstream is an issuer that asks another CA, which does what a test says.
type upstream struct {
	t  testing.TB
	h  *house
	ca *testpki.Identity

	mu     sync.Mutex
	answer func(r *ca.Request) (*ca.Certificate, error) // nil signs; guarded by mu
	asked  []*ca.Request                                // guarded by mu
	tell   func(*ca.Revoked) error                      // guarded by mu
	told   []*ca.Revoked                                // guarded by mu
	number int64                                        // guarded by mu
}

var _ ca.Revoker = (*upstream)(nil)

func newUpstream(t testing.TB) *upstream {
	t.Helper()
	return &upstream{t: t, ca: testpki.NewRoot(t, "upstream root").NewIntermediate(t, "upstream CA"), number: 0x70}
}

// Issue keeps what it was asked for, and breaks the test where that is not what was asked for before.
func (u *upstream) Issue(ctx context.Context, r *ca.Request) (*ca.Certificate, error) {
	hash := sha256.Sum256(r.CSR)
	if r.Asked == nil {
		spki, err := x509.MarshalPKIXPublicKey(r.PublicKey)
		check(u.t, err)
		in := &ca.Intent{TBSHash: hash, KeyHash: sha256.Sum256(spki), Profile: r.Profile, Version: "1", NotBefore: u.h.now(), NotAfter: u.h.now().Add(time.Hour)}
		if err := r.Record(ctx, in); err != nil {
			return nil, err
		}
	} else if r.Asked.TBSHash != hash || r.Asked.Profile != r.Profile {
		u.t.Errorf("issuance %s is asked for again with another CSR or profile", r.ID)
	}
	u.mu.Lock()
	defer u.mu.Unlock()
	u.asked = append(u.asked, r)
	if u.answer != nil {
		return u.answer(r)
	}
	return u.sign(r)
}

// sign signs for what was decided; mu is held.
func (u *upstream) sign(r *ca.Request) (*ca.Certificate, error) {
	subject, err := asn1.Marshal(r.Subject)
	check(u.t, err)
	return u.signAs(&x509.Certificate{RawSubject: subject, DNSNames: r.Names.DNS}, &publicOnly{r}), nil
}

func (u *upstream) signAs(template *x509.Certificate, key crypto.Signer) *ca.Certificate {
	u.number++
	template.SerialNumber = big.NewInt(u.number)
	template.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}
	cert := u.ca.Issue(u.t, template, key).Certificate
	return &ca.Certificate{Raw: cert.Raw, Serial: cert.SerialNumber.Bytes(), NotBefore: cert.NotBefore, NotAfter: cert.NotAfter, Profile: "device", Version: "1"}
}

func (u *upstream) Chain(context.Context) ([]*x509.Certificate, error) {
	return append([]*x509.Certificate{u.ca.Certificate}, u.ca.Chain...), nil
}

func (u *upstream) Revoke(_ context.Context, c *ca.Revoked) error {
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.tell != nil {
		if err := u.tell(c); err != nil {
			return err
		}
	}
	u.told = append(u.told, c)
	return nil
}

func (u *upstream) does(answer func(r *ca.Request) (*ca.Certificate, error)) {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.answer = answer
}

// requests returns how often it was asked, and for how many issuances.
func (u *upstream) requests() (times, issuances int) {
	u.mu.Lock()
	defer u.mu.Unlock()
	var ids []string
	for _, r := range u.asked {
		ids = append(ids, r.ID)
	}
	slices.Sort(ids)
	return len(ids), len(slices.Compact(ids))
}

func (u *upstream) heard() []*ca.Revoked {
	u.mu.Lock()
	defer u.mu.Unlock()
	return slices.Clone(u.told)
}

func later(err error, after time.Duration, state string) func(*ca.Request) (*ca.Certificate, error) {
	return func(*ca.Request) (*ca.Certificate, error) {
		return nil, &ca.Later{Err: err, After: after, State: []byte(state)}
	}
}

// delegating runs a test in a bubble, in a house whose label "" issues through an
// upstream, with the house's clock that of the bubble.
func delegating(t *testing.T, test func(t *testing.T, h *house, u *upstream)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		u := newUpstream(t)
		h := newHouse(t, func(h *house) {
			u.h = h
			h.settings.Issuers = map[string]ca.Issuer{registrar.DefaultIssuer: h.issuer, "upstream": u}
			h.settings.Labels[""].Issuer = "upstream"
			h.settings.Labels["here"] = &registrar.Label{Profile: h.profile("device"), Basic: true, Renewal: true}
		})
		test(t, h, u)
		h.service.Close()
	})
}

// pass lets the time of bubble and house go by.
func (h *house) pass(d time.Duration) {
	for ; d > 0; d -= 10 * time.Second {
		step := min(d, 10*time.Second)
		h.advance(step)
		time.Sleep(step)
	}
	synctest.Wait()
}

func (h *house) restart() {
	h.service.Close()
	h.start()
}

// one returns the one issuance of the upstream that there is.
func (h *house) one(status registrar.CertificateStatus) *registrar.Certificate {
	h.t.Helper()
	list := slices.DeleteFunc(h.certificates(""), func(c *registrar.Certificate) bool { return c.Issuer != "upstream" })
	if len(list) != 1 || list[0].Status != status {
		h.t.Fatalf("%d issuances: %+v; want one that is %s", len(list), list, status)
	}
	return list[0]
}

func TestAPendingIssuanceIsGoneOnWithWhenTheDeviceAsksAgain(t *testing.T) {
	for _, restart := range []bool{false, true} {
		delegating(t, func(t *testing.T, h *house, u *upstream) {
			u.does(later(ca.ErrPending, 0, "order 7"))
			key := testpki.NewKey(t)
			ask := func() *request { return h.enroll("sensor-7").basic(group).withKey(key) }
			if e := ask().refusedAs(registrar.ReasonIssuerPending, 202); e.RetryAfter <= 0 {
				t.Error("202 without Retry-After")
			}
			row := h.one(registrar.Intended)
			if row.Serial != nil || row.Authority != "" || !row.Elsewhere {
				t.Errorf("the intent has serial %x and authority %q", row.Serial, row.Authority)
			}
			if restart {
				h.restart()
			}
			ask().refusedAs(registrar.ReasonIssuerPending, 202)
			u.does(func(r *ca.Request) (*ca.Certificate, error) {
				if r.Asked == nil || string(r.State) != "order 7" {
					t.Errorf("asked again with state %q and intent %v", r.State, r.Asked)
				}
				return u.sign(r)
			})
			cert := ask().mustSend()
			row = h.one(registrar.Issued)
			if _, issuances := u.requests(); issuances != 1 {
				t.Errorf("%d issuances", issuances)
			}
			if row.Authority != registrar.AuthorityOf(u.ca.Certificate) || string(row.Raw) != string(cert.Raw) {
				t.Errorf("on record by %s", row.Authority)
			}
			if again := ask().mustSend(); !again.Equal(cert) {
				t.Error("asked once more, the device got another certificate")
			}
			if left, err := h.store.ListOutstanding(t.Context()); err != nil || len(left) != 0 {
				t.Errorf("%d issuances are outstanding still, %v", len(left), err)
			}
			u.does(nil)
			h.renew(cert).withKey(key).mustSend() // it authenticates
		})
	}
}

func TestACertificateThatComesWhileItsDeviceIsAwayIsThereWhenItComesBack(t *testing.T) {
	for _, restart := range []bool{false, true} {
		delegating(t, func(t *testing.T, h *house, u *upstream) {
			u.does(later(ca.ErrUnavailable, 0, ""))
			key := testpki.NewKey(t)
			e := h.enroll("sensor-7").basic(group).withKey(key).refusedAs(registrar.ReasonIssuerDown, 503)
			if e.RetryAfter <= 0 {
				t.Error("503 without Retry-After")
			}
			if restart {
				h.restart()
			}
			u.does(nil)
			h.pass(time.Minute)
			row := h.one(registrar.Issued)
			if device, err := h.store.Device(t.Context(), row.Domain, row.DeviceID); err != nil || device.State != registrar.Enrolled {
				t.Errorf("the device is %+v, %v", device, err)
			}
			before, _ := u.requests()
			if restart {
				h.restart()
			}
			cert := h.enroll("sensor-7").basic(group).withKey(key).mustSend()
			if string(cert.Raw) != string(row.Raw) {
				t.Error("the device got another certificate")
			}
			if now, _ := u.requests(); now != before {
				t.Errorf("the CA was asked %d times more", now-before)
			}
			// A renewal that came so is handed out too, however late.
			u.does(later(ca.ErrPending, 0, ""))
			fresh := testpki.NewKey(t)
			h.renew(cert).withKey(fresh).refusedAs(registrar.ReasonIssuerPending, 202)
			u.does(nil)
			h.pass(30 * time.Minute)
			renewed := h.renew(cert).withKey(fresh).mustSend()
			if _, issuances := u.requests(); issuances != 2 || renewed.Equal(cert) {
				t.Errorf("%d issuances", issuances)
			}
		})
	}
}

func TestTheCAIsAskedNoSoonerThanItWants(t *testing.T) {
	delegating(t, func(t *testing.T, h *house, u *upstream) {
		u.does(later(ca.ErrPending, 20*time.Minute, ""))
		key := testpki.NewKey(t)
		for range 5 {
			e := h.enroll("sensor-7").basic(group).withKey(key).refusedAs(registrar.ReasonIssuerPending, 202)
			if e.RetryAfter < 10*time.Minute || e.RetryAfter > 20*time.Minute {
				t.Errorf("Retry-After %s", e.RetryAfter)
			}
			h.pass(time.Minute)
		}
		if times, _ := u.requests(); times != 1 {
			t.Errorf("asked %d times", times)
		}
		h.pass(20 * time.Minute)
		if times, _ := u.requests(); times != 2 {
			t.Errorf("after the time it was asked %d times in all, want 2", times)
		}
	})
}

func TestAnIssuanceThatIsOutstandingForTooLongIsAbandoned(t *testing.T) {
	delegating(t, func(t *testing.T, h *house, u *upstream) {
		u.does(later(ca.ErrPending, time.Hour, ""))
		h.enroll("sensor-7").basic(group).refusedAs(registrar.ReasonIssuerPending, 202)
		h.advance(7*24*time.Hour + time.Minute)
		h.pass(2 * time.Hour)
		if row := h.one(registrar.Abandoned); row.Explanation == "" {
			t.Error("no explanation")
		}
		times, _ := u.requests()
		h.pass(3 * time.Hour)
		if now, _ := u.requests(); now != times {
			t.Errorf("asked %d times more", now-times)
		}
		if n := len(h.entries(registrar.KindIssuanceAbandoned)); n != 1 {
			t.Errorf("%d entries about it", n)
		}
	})
}

func TestADeviceHasNoMoreOutstandingIssuancesThanItMay(t *testing.T) {
	delegating(t, func(t *testing.T, h *house, u *upstream) {
		u.does(later(ca.ErrPending, 0, ""))
		for range 4 {
			h.enroll("sensor-7").basic(group).refusedAs(registrar.ReasonIssuerPending, 202)
		}
		h.enroll("sensor-7").basic(group).refusedAs(registrar.ReasonPendingFull, 503)
		h.enroll("sensor-8").basic(group).refusedAs(registrar.ReasonIssuerPending, 202)
		if _, issuances := u.requests(); issuances != 5 {
			t.Errorf("%d issuances were asked for", issuances)
		}
		h.enroll("sensor-9").basic(group).label("here").mustSend() // the other issuer is as it was
	})
}

// R13: what another CA signed beside what was asked for is put on record, revoked
// here and there, and given to nobody.
func TestAWrongCertificateIsRevokedHereAndAtTheCA(t *testing.T) {
	delegating(t, func(t *testing.T, h *house, u *upstream) {
		u.does(func(r *ca.Request) (*ca.Certificate, error) {
			wrong := u.signAs(&x509.Certificate{Subject: pkix.Name{CommonName: "root"}}, testpki.NewKey(t))
			return nil, &ca.Mismatch{Raw: wrong.Raw, Problem: fmt.Errorf("it has another key")}
		})
		h.enroll("sensor-7").basic(group).refusedAs(registrar.ReasonIssuerDisagrees, 502)
		row := h.one(registrar.Revoked)
		if row.Raw == nil || row.Serial == nil || row.Authority != registrar.AuthorityOf(u.ca.Certificate) {
			t.Errorf("on record: %+v", row)
		}
		synctest.Wait()
		if told := u.heard(); len(told) != 1 || string(told[0].Raw) != string(row.Raw) {
			t.Errorf("the CA was told of %d certificates", len(told))
		}
		entries := h.entries(registrar.KindCertificateRevoked)
		if len(entries) != 1 || entries[0].Reason != registrar.ReasonIssuerDisagrees {
			t.Errorf("trail: %+v", entries)
		}
	})
}

// A CA that answers with somebody else's certificate does not get that revoked.
func TestAnAnswerThatIsAnotherDevicesCertificateHarmsNobody(t *testing.T) {
	delegating(t, func(t *testing.T, h *house, u *upstream) {
		innocent := h.enroll("sensor-1").basic(group).mustSend()
		u.does(func(*ca.Request) (*ca.Certificate, error) {
			return nil, &ca.Mismatch{Raw: innocent.Raw, Problem: fmt.Errorf("it has another key")}
		})
		h.enroll("sensor-7").basic(group).refusedAs(registrar.ReasonIssuerDisagrees, 502)
		synctest.Wait()
		if n := len(u.heard()); n != 0 {
			t.Errorf("the CA was told to revoke %d certificates", n)
		}
		abandoned := h.certificates(registrar.Abandoned)
		if len(abandoned) != 1 || abandoned[0].Explanation == "" || len(h.certificates(registrar.Revoked)) != 0 {
			t.Errorf("abandoned %+v", abandoned)
		}
		u.does(nil)
		h.renew(innocent).mustSend()
	})
}

func TestACertificateForADeviceThatLeftMeanwhileIsRevokedWhenItComes(t *testing.T) {
	delegating(t, func(t *testing.T, h *house, u *upstream) {
		u.does(later(ca.ErrPending, 0, ""))
		h.enroll("sensor-7").basic(group).refusedAs(registrar.ReasonIssuerPending, 202)
		_, err := h.service.Decommission(t.Context(), &registrar.Decommissioning{Actor: "test", Device: "sensor-7"})
		check(t, err)
		u.does(nil)
		h.pass(time.Minute)
		row := h.one(registrar.Revoked)
		if told := u.heard(); len(told) != 1 || string(told[0].Raw) != string(row.Raw) {
			t.Errorf("the CA was told of %d certificates", len(told))
		}
	})
}

// A revocation counts here at once; the CA is told until it has answered, by the
// next process too; what it refuses for good is on the trail.
func TestARevocationIsToldUntilTheCAHasAnswered(t *testing.T) {
	delegating(t, func(t *testing.T, h *house, u *upstream) {
		cert := h.enroll("sensor-7").basic(group).mustSend()
		u.mu.Lock()
		u.tell = func(*ca.Revoked) error { return ca.ErrUnavailable }
		u.mu.Unlock()
		ref := registrar.CertificateRef{Serial: cert.SerialNumber.Bytes()}
		_, err := h.service.Revoke(t.Context(), &registrar.RevokeRequest{Actor: "test", CertificateRef: ref, Reason: registrar.ReasonHold})
		check(t, err)
		h.renew(cert).refusedAs(registrar.ReasonOnHold, 403)
		h.pass(time.Minute)
		if left, err := h.store.ListUntold(t.Context(), registrar.DefaultDomain, "", 9); err != nil || len(left) != 1 {
			t.Fatalf("%d are untold, %v", len(left), err)
		}
		h.restart()
		u.mu.Lock()
		u.tell = nil
		u.mu.Unlock()
		h.pass(time.Minute)
		if told := u.heard(); len(told) != 1 || told[0].Reason != registrar.ReasonHold {
			t.Fatalf("the CA has heard %+v", told)
		}
		_, err = h.service.Release(t.Context(), &registrar.RevokeRequest{Actor: "test", CertificateRef: ref})
		check(t, err)
		synctest.Wait()
		h.renew(cert).mustSend()
		if told := u.heard(); len(told) != 2 || told[1].Reason != registrar.ReasonRelease {
			t.Fatalf("the CA has heard %+v", told)
		}
		u.mu.Lock()
		u.tell = func(*ca.Revoked) error { return ca.ErrRejected }
		u.mu.Unlock()
		_, err = h.service.Revoke(t.Context(), &registrar.RevokeRequest{Actor: "test", CertificateRef: ref, Reason: 1})
		check(t, err)
		synctest.Wait()
		if n := len(h.entries(registrar.KindCARefused)); n != 1 {
			t.Errorf("%d entries about the refusal", n)
		}
		if left, err := h.store.ListUntold(t.Context(), registrar.DefaultDomain, "", 9); err != nil || len(left) != 0 {
			t.Errorf("%d are untold, %v", len(left), err)
		}
		if n := len(h.entries(registrar.KindCATold)); n != 2 {
			t.Errorf("%d entries about what it was told, want 2", n)
		}
	})
}

// The label's issuer changes: what the old one issued renews, at the new one.
func TestARenewalGoesOnAtTheIssuerThatTheLabelHasNow(t *testing.T) {
	delegating(t, func(t *testing.T, h *house, u *upstream) {
		old := h.enroll("sensor-7").basic(group).mustSend()
		s := *h.settings
		labels := map[string]*registrar.Label{}
		for name, l := range s.Labels {
			c := *l
			c.Issuer = ""
			labels[name] = &c
		}
		s.Labels = labels
		check(t, h.service.Reload(&s))
		renewed := h.renew(old).mustSend()
		if renewed.CheckSignatureFrom(h.ca.Certificate) != nil {
			t.Errorf("renewed by %s", renewed.Issuer)
		}
		h.renew(renewed).mustSend()
		s.Issuers = map[string]ca.Issuer{registrar.DefaultIssuer: h.issuer}
		check(t, h.service.Reload(&s))
		h.renew(old).refusedAs(registrar.ReasonUntrusted, 403)
	})
}
