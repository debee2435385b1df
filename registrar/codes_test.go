package registrar_test

import (
	"context"
	"crypto"
	"crypto/x509/pkix"
	"errors"
	"net/netip"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/briskest/briskest/ca"
	"github.com/briskest/briskest/est"
	"github.com/briskest/briskest/internal/testpki"
	"github.com/briskest/briskest/registrar"
)

// codeHouse takes codes at the label "codes" and nothing else there.
func codeHouse(t *testing.T) *house {
	return newHouse(t, func(h *house) {
		h.settings.Labels["codes"] = &registrar.Label{Profile: h.profile("device"), Codes: true, Renewal: true}
	})
}

func (h *house) code(serial string) est.Secret {
	h.t.Helper()
	secret, _, err := h.service.AddCode(h.t.Context(), &registrar.NewCode{Actor: "test", SerialNumber: serial})
	check(h.t, err)
	return secret
}

// coded is a request with a code: as a Basic password, or in the CSR.
func (h *house) coded(name, user string, code est.Secret, inCSR bool) *request {
	r := h.enroll(name).label("codes")
	if inCSR {
		r.otp = code
	} else {
		r.peer.User, r.peer.Secret = user, code
	}
	return r
}

// RFC 7894, Section 2.1: a code by HTTP and by otpChallenge is the same code.
func TestACodeEnrollsItsSerialNumberForOneKey(t *testing.T) {
	for _, inCSR := range []bool{false, true} {
		h := codeHouse(t)
		code := h.code("dev-9")
		r := h.coded("dev-9", "dev-9", code, inCSR)
		first := r.mustSend()
		if again := r.mustSend(); !again.Equal(first) {
			t.Error("the same key and names got another certificate")
		}
		h.coded("dev-9", "dev-9", code, inCSR).refusedAs(registrar.ReasonCodeSpent, 403)
		h.coded("dev-9", "dev-9", code, inCSR).withKey(r.key).dns("dev-9.example.com").refusedAs(registrar.ReasonCodeSpent, 403)
		k, err := h.store.Code(t.Context(), registrar.DefaultDomain, "dev-9")
		if err != nil || !k.Spent() || strings.Contains(string(k.Digest), code.Reveal()) {
			t.Errorf("code on record = %+v, %v", k, err)
		}
		issued := h.entries(registrar.KindCertificateIssued)
		if len(issued) != 1 || !strings.Contains(string(issued[0].Body), `"credential":"code:dev-9"`) {
			t.Errorf("trail = %v", issued)
		}
		// What it got renews itself like every other certificate.
		h.enroll("dev-9").label("codes").cert(first).renewing().mustSend()
	}
}

func TestACodeIsGoodForItsSerialNumberOnly(t *testing.T) {
	h := codeHouse(t)
	code := h.code("dev-9")
	h.coded("dev-8", "dev-9", code, false).refusedAs(registrar.ReasonForeignName, 403)
	h.coded("dev-8", "dev-8", code, false).refusedAs(registrar.ReasonBadCredentials, 401)
	h.coded("dev-8", "", code, true).refusedAs(registrar.ReasonBadCredentials, 401)
	h.coded("", "", code, true).subject(pkix.Name{SerialNumber: "dev-9", CommonName: "dev-8"}).refusedAs(registrar.ReasonForeignName, 403)
	h.coded("dev-9", "dev-9", code, false).label("").refusedAs(registrar.ReasonBadCredentials, 401) // a label without codes
	h.coded("dev-9", "", code, true).label("").refusedAs(registrar.ReasonNoCredentials, 401)
	h.importSerials("SN-1") // a device that has an IDevID enrolls with that
	h.coded("SN-1", "SN-1", h.code("SN-1"), false).refusedAs(registrar.ReasonForeignName, 403)
	if n := len(h.certificates("")); n != 0 {
		t.Errorf("%d issuances", n)
	}
	typed := strings.ToLower(strings.ReplaceAll(code.Reveal(), "-", " "))
	h.coded("dev-9", "dev-9", est.Secret(strings.NewReplacer("0", "o", "1", "l").Replace(typed)), false).mustSend()
}

func TestACodeEnds(t *testing.T) {
	h := codeHouse(t)
	old := h.code("dev-9")
	code := h.code("dev-9")
	h.coded("dev-9", "dev-9", old, false).refusedAs(registrar.ReasonBadCredentials, 401) // replaced
	check(t, h.service.RevokeCode(t.Context(), "", "test", "dev-9"))
	h.coded("dev-9", "dev-9", code, false).refusedAs(registrar.ReasonCodeRevoked, 403)
	code = h.code("dev-9")
	h.advance(7*24*time.Hour - time.Second)
	r := h.coded("dev-9", "dev-9", code, false)
	r.mustSend()
	h.advance(time.Second)
	r.refusedAs(registrar.ReasonCodeExpired, 403)
	// The certificate that it was spent for is revoked: the code brings none in its place.
	code = h.code("dev-9")
	r = h.coded("dev-9", "dev-9", code, false)
	cert := r.mustSend()
	_, err := h.service.Revoke(t.Context(), &registrar.RevokeRequest{Actor: "test", CertificateRef: registrar.CertificateRef{Serial: cert.SerialNumber.Bytes()}, Reason: 5})
	check(t, err)
	r.refusedAs(registrar.ReasonCodeSpent, 403)
	for _, bad := range []registrar.NewCode{{SerialNumber: ""}, {SerialNumber: "a:b"}, {SerialNumber: "x", Expires: -1}, {SerialNumber: "x", Expires: 1e6 * time.Hour}, {SerialNumber: "x", Domain: "other"}} {
		if _, _, err := h.service.AddCode(t.Context(), &bad); err == nil {
			t.Errorf("AddCode(%+v) was taken", bad)
		}
	}
	list, err := h.service.ListCodes(t.Context(), "", "", 0)
	if err != nil || len(list) != 1 || list[0].Digest != nil {
		t.Errorf("ListCodes = %+v, %v", list, err)
	}
}

// The code is spent in the transaction that puts the certificate on record:
// without that it is not spent, and who comes again gets its certificate.
func TestACodeIsSpentWithTheCertificateOrNotAtAll(t *testing.T) {
	h := codeHouse(t)
	code := h.code("dev-9")
	h.store.FailBefore(func(c *registrar.Change) error {
		if len(c.Issued) > 0 {
			if len(c.Spend) != 1 {
				t.Errorf("the issuing change spends %d codes", len(c.Spend))
			}
			return errDown
		}
		return nil
	})
	r := h.coded("dev-9", "dev-9", code, false)
	r.refusedAs(registrar.ReasonStore, 503)
	if k, err := h.store.Code(t.Context(), registrar.DefaultDomain, "dev-9"); err != nil || k.Spent() {
		t.Errorf("code = %+v, %v", k, err)
	}
}

// Attack: a code that is spent twice at once, for different keys, by HTTP and
// in the CSR: one certificate comes of it.
func TestACodeSpentTwiceAtOnceGetsOneCertificate(t *testing.T) {
	h := codeHouse(t)
	code := h.code("dev-9")
	requests := make([]*request, 12)
	for i := range requests {
		requests[i] = h.coded("dev-9", "dev-9", code, i%2 == 0)
		if i%3 == 0 {
			requests[i].subject(pkix.Name{SerialNumber: "dev-9"}).dns("dev-9.example.com")
		}
	}
	var wg sync.WaitGroup
	errs := make([]error, len(requests))
	for i, r := range requests {
		wg.Go(func() { _, errs[i] = r.send() })
	}
	wg.Wait()
	won := 0
	for _, err := range errs {
		var e *est.Error
		switch {
		case err == nil:
			won++
		case !errors.As(err, &e) || e.Reason != registrar.ReasonCodeSpent:
			t.Errorf("refusal = %v", err)
		}
	}
	if n := len(h.certificates(registrar.Issued)); won != 1 || n != 1 {
		t.Errorf("%d won, %d certificates, want 1", won, n)
	}
}

// Another registrar on the same store spends the code between decision and record.
func TestACertificateForACodeThatIsGoneIsHandedToNobody(t *testing.T) {
	h := codeHouse(t)
	code := h.code("dev-9")
	k, err := h.store.Code(t.Context(), registrar.DefaultDomain, "dev-9")
	check(t, err)
	spent := *k
	spent.SpentAt, spent.SpentKey = h.now(), [32]byte{1}
	var once sync.Once
	h.store.FailAfter(func(c *registrar.Change) error {
		if len(c.Intents) > 0 {
			once.Do(func() {
				go func() {
					_ = h.store.Commit(context.Background(), &registrar.Change{PutCodes: []*registrar.Code{&spent}})
				}()
			})
		}
		return nil
	})
	h.issuerWaits(func() bool {
		k, err := h.store.Code(t.Context(), registrar.DefaultDomain, "dev-9")
		return err == nil && k.Spent()
	})
	h.coded("dev-9", "dev-9", code, false).refusedAs(registrar.ReasonCodeSpent, 403)
	if n := len(h.certificates(registrar.Revoked)); n != 1 {
		t.Errorf("%d revoked certificates, want the one that nobody got", n)
	}
}

// Attack: guessing. Wrong codes are looked at up to a budget for each serial
// number and address, and a right one is not either once it is used up.
func TestWrongCodesHaveABudget(t *testing.T) {
	h := codeHouse(t)
	code := h.code("dev-9")
	for range 10 {
		h.coded("dev-9", "dev-9", "AAAAA-AAAAA-AAAAA-AAAAA", false).refusedAs(registrar.ReasonBadCredentials, 401)
	}
	if e := h.coded("dev-9", "dev-9", code, false).refusedAs(registrar.ReasonGuesses, 503); e.RetryAfter <= 0 {
		t.Error("no Retry-After")
	}
	elsewhere := h.coded("dev-9", "dev-9", code, true)
	elsewhere.peer.Address = netip.MustParseAddrPort("192.0.2.2:1")
	elsewhere.mustSend()
	for i := range 40 { // other serial numbers, up to the address's own budget
		serial := "dev-" + string(rune('a'+i%26)) + string(rune('a'+i/26))
		h.coded(serial, serial, "AAAAA-AAAAA-AAAAA-AAAAA", i%2 == 0).refusedAs(registrar.ReasonBadCredentials, 401)
	}
	h.coded("dev-x", "dev-x", h.code("dev-x"), false).refusedAs(registrar.ReasonGuesses, 503)
	h.advance(2 * time.Hour)
	h.coded("dev-x", "dev-x", h.code("dev-x"), false).mustSend()
}

// both makes a label that requires methods together.
func both(t *testing.T, methods ...registrar.Method) *house {
	return newHouse(t, func(h *house) {
		h.settings.Labels["both"] = &registrar.Label{
			Profile: h.profile("device"), Basic: true, Codes: true, RA: true, Renewal: true, IDevID: registrar.IDevIDInventory, Require: methods,
		}
	})
}

func (h *house) withIDevID(r *request, serial string) *request {
	idevid := h.idevids[serial]
	if idevid == nil {
		idevid = h.idevidCA.IDevID(h.t, serial, "")
		h.idevids[serial] = idevid
	}
	return r.label("both").cert(idevid.Certificate, h.idevidCA.Certificate).subject(pkix.Name{SerialNumber: serial})
}

// EST-7030-3.7-03: device certificate A with the password of user B. Where both
// are required the names must be good for both, and the trail has both.
func TestACertificateAndAPasswordTogetherMustBothBeGoodForTheNames(t *testing.T) {
	h := both(t, registrar.ByCertificate, registrar.ByBasic)
	h.importSerials("SN-1", alone)
	h.withIDevID(h.enroll(""), "SN-1").refusedAs(registrar.ReasonNoCredentials, 401)
	h.enroll("SN-1").basic(group).label("both").refusedAs(registrar.ReasonNoCertificate, 403)
	h.withIDevID(h.enroll("").basic(alone), "SN-1").refusedAs(registrar.ReasonForeignName, 403)
	h.withIDevID(h.enroll("").basic(group), "SN-2").refusedAs(registrar.ReasonDeviceUnknown, 403)
	wrong := h.enroll("")
	wrong.peer.User, wrong.peer.Secret = group, "guess"
	h.withIDevID(wrong, "SN-1").refusedAs(registrar.ReasonBadCredentials, 401)
	stranger := testpki.NewRoot(t, "stranger").Client(t, "x").Certificate
	h.enroll("SN-1").basic(group).label("both").cert(stranger).refusedAs(registrar.ReasonUntrusted, 403)
	if n := len(h.certificates("")); n != 0 {
		t.Errorf("%d issuances", n)
	}
	refused := h.entries(registrar.KindRefused)
	if last := string(refused[len(refused)-1].Body); !strings.Contains(last, `"credential":"cert:`) {
		t.Errorf("the refusal of a known peer is not on the trail: %s", last)
	}

	cert := h.withIDevID(h.enroll("").basic(group), "SN-1").mustSend()
	h.withIDevID(h.enroll("").basic(alone), alone).mustSend()
	for i, e := range h.entries(registrar.KindCertificateIssued) {
		if with := []string{`"with":"basic:factory"`, `"with":"basic:dev-1"`}[i]; !strings.Contains(string(e.Body), with) || !strings.Contains(string(e.Body), `"credential":"cert:`) {
			t.Errorf("trail = %s, want %s", e.Body, with)
		}
	}
	// A renewal needs the certificate that is renewed, and nothing else.
	h.enroll("").subject(pkix.Name{SerialNumber: "SN-1"}).label("both").cert(cert).renewing().mustSend()
}

func TestAnRAWithAPersonsPasswordEnrollsWhatThePersonMay(t *testing.T) {
	h := both(t, registrar.ByCertificate, registrar.ByBasic)
	ra, _ := h.raCertificate()
	h.enroll("sensor-7").cert(ra).label("both").refusedAs(registrar.ReasonNoCredentials, 401)
	h.enroll("sensor-7").cert(ra).label("both").basic(alone).refusedAs(registrar.ReasonForeignName, 403)
	h.enroll(alone).cert(ra).label("both").basic(alone).mustSend()
	h.enroll("sensor-7").cert(ra).label("both").basic(group).mustSend()
}

// An HTTP credential and a code: the code comes in the CSR, and Digest may be the HTTP scheme.
func TestACodeTogetherWithAPasswordComesInTheCSR(t *testing.T) {
	h := newHouse(t, func(h *house) {
		h.settings.Labels["codes"] = &registrar.Label{
			Profile: h.profile("device"), Basic: true, Codes: true, Require: []registrar.Method{registrar.ByBasic, registrar.ByCode},
		}
	})
	code := h.code("dev-9")
	h.coded("dev-9", "dev-9", code, false).refusedAs(registrar.ReasonNoCredentials, 401)
	h.coded("dev-9", "", code, true).refusedAs(registrar.ReasonNoCredentials, 401)
	h.coded("dev-9", "", "", true).basic(group).refusedAs(registrar.ReasonMethodNotAllowed, 403)
	h.coded("dev-9", "", code, true).basic(alone).refusedAs(registrar.ReasonForeignName, 403)
	h.coded("dev-9", "", code, true).basic(group).mustSend()
}

func TestACodeTogetherWithAnIDevIDIsForThatDevice(t *testing.T) {
	h := both(t, registrar.ByCertificate, registrar.ByCode)
	h.importSerials("SN-1", "SN-2")
	one, two := h.code("SN-1"), h.code("SN-2")
	send := func(serial string, code est.Secret, key crypto.Signer) *request {
		r := h.withIDevID(h.enroll(""), serial).withKey(key)
		r.otp = code
		return r
	}
	key := testpki.NewKey(t)
	h.withIDevID(h.enroll(""), "SN-1").refusedAs(registrar.ReasonNoCredentials, 401)
	send("SN-1", two, key).refusedAs(registrar.ReasonBadCredentials, 401)
	basic := h.withIDevID(h.enroll(""), "SN-1")
	basic.peer.User, basic.peer.Secret = "SN-2", two
	basic.refusedAs(registrar.ReasonForeignName, 403)
	first := send("SN-1", one, key).mustSend()
	if again := send("SN-1", one, key).mustSend(); !again.Equal(first) {
		t.Error("asking again issued another certificate")
	}
	send("SN-1", one, testpki.NewKey(t)).refusedAs(registrar.ReasonCodeSpent, 403)
}

// issuerWaits has the issuer sign only once done is true.
func (h *house) issuerWaits(done func() bool) {
	h.t.Helper()
	s := *h.settings
	s.Issuers = map[string]ca.Issuer{registrar.DefaultIssuer: &slowIssuer{Issuer: h.issuer, done: done}}
	check(h.t, h.service.Reload(&s))
}

// slowIssuer lets other things happen between intent and record.
type slowIssuer struct {
	ca.Issuer
	done func() bool
}

func (i *slowIssuer) Issue(ctx context.Context, r *ca.Request) (*ca.Certificate, error) {
	cert, err := i.Issuer.Issue(ctx, r)
	for !i.done() {
		runtime.Gosched()
	}
	return cert, err
}
