package attack_test

import (
	"bytes"
	"errors"
	"net/http"
	"slices"
	"testing"
	"testing/synctest"

	brskipledge "github.com/briskest/briskest/brski/pledge"
	"github.com/briskest/briskest/internal/systemtest"
	"github.com/briskest/briskest/masa"
)

// hostile is one way in which an actor lies, and what has to become of it.
type hostile struct {
	actor, does string
	at          string // who sees it first: atRegistrar, atMASA or atPledge
	reason      string // that is on record there
	status      int    // that who lies, or who asked it, is told by HTTP; 0 where nobody is
	pledge      string // what the pledge of ours ends with; empty where the pledge is the liar
	careless    string // what it ends with at a registrar that hands on whatever the MASA says; empty where that is no question
	silent      bool   // it is about time passing, and happens in memory
	product     func(*masa.Product)
	settings    func(*systemtest.Vendor)
	before      int // vouchers and certificates from before the lie
	play        func(t *testing.T, s *scene)
}

const (
	atRegistrar = "the registrar"
	atMASA      = "the MASA"
	atPledge    = "the pledge"
)

// scene is where a lie takes place.
type scene struct {
	*systemtest.World
	home   *systemtest.Domain // an honest registrar
	device *systemtest.Device

	err    error  // of the pledge
	status int    // of the answer to who lied, where that is no pledge of ours
	text   []byte // the same
	told   [][]byte
}

// RFC 8995, Section 11; R27; the list of hostile actors. Each lie of a MASA, a
// registrar or a pledge is refused at the first step where it can be seen, with
// its reason on record there; nothing is issued and nobody is vouched for.
//
// These are whole systems. The same and more of each part alone: of a MASA
// TestAVoucherThatIsNotForThisRequestIsNotHandedOn, TestEachFailureOfAMASAIsTruthfulToThePledge
// and TestAMASAThatIsDownForAnHourCostsAnHour (registrar), TestAHostileMASALetsNobodyIn
// (here), TestAMASAThatIsSilentForAnHourIsGivenUp (internal/systemtest),
// TestVoucherIsCheckedInOrder and TestVoucherThatDoesNotHoldIsRefused (brski/pledge); of a registrar
// TestHostileRegistrarIsRefused and TestARequestWithOtherCertificatesAroundItIsRefused (masa),
// TestCAThatIsSwappedAfterTheVoucherIsNotTaken, TestOldVoucherPlayedAgainIsRefused and
// TestRegistrarThatImprintsWithAnotherCertificateIsNotTrusted (brski/pledge); of a pledge
// TestAVoucherRequestOfAnotherDeviceIsRefused (here), TestANonceIsAnsweredWithOneVoucher and
// TestARevokedIDevIDIsRefusedWhereverItIsShown (registrar).
func TestEveryHostileActorIsRefusedWithItsReasonOnRecord(t *testing.T) {
	all := slices.Concat(hostileMASAs(), hostileRegistrars(), hostilePledges())
	for _, c := range all {
		t.Run(c.actor+" "+c.does, func(t *testing.T) {
			if !c.silent {
				c.run(t, systemtest.New)
				return
			}
			synctest.Test(t, func(t *testing.T) { c.run(t, systemtest.NewInMemory) })
		})
		if c.careless == "" {
			continue
		}
		t.Run(c.actor+" "+c.does+", behind a careless registrar", func(t *testing.T) {
			if !c.silent {
				c.runCareless(t, systemtest.New)
				return
			}
			synctest.Test(t, func(t *testing.T) { c.runCareless(t, systemtest.NewInMemory) })
		})
	}
}

type newWorld func(t testing.TB, change ...func(*systemtest.Vendor)) *systemtest.World

func (c *hostile) scene(t *testing.T, start newWorld) *scene {
	t.Helper()
	w := start(t, func(v *systemtest.Vendor) {
		if c.product != nil {
			systemtest.ChangeProduct(c.product)(v)
		}
		if c.settings != nil {
			c.settings(v)
		}
	})
	s := &scene{World: w, home: w.Domain("home"), device: w.Vendor.Build("SN-1")}
	if c.silent {
		s.device.Config.NoWait, s.device.Config.Wait = false, nil
	}
	return s
}

func (c *hostile) run(t *testing.T, start newWorld) {
	s := c.scene(t, start)
	c.play(t, s)
	if c.pledge != "" {
		s.checkPledge(t, c.pledge)
	}
	var e *brskipledge.Error
	if errors.As(s.err, &e) && s.status == 0 && c.at != atPledge {
		s.status, s.text = e.Status, []byte(e.Message)
	}
	silent := s.status == 0 || s.status == http.StatusUnauthorized // which stays empty for Bouncy Castle's sake
	if s.status != c.status || len(s.text) == 0 && !silent {
		t.Errorf("the answer is %d %q, want %d and a text", s.status, s.text, c.status)
	}
	if n := len(s.home.Certificates()); n != c.before {
		t.Errorf("%d certificates were issued, want %d", n, c.before)
	}
	switch c.at {
	case atRegistrar:
		s.checkRecord(t, s.home.Refusals(), c.reason)
	case atMASA:
		s.checkRecord(t, s.Vendor.Refusals(), c.reason)
	case atPledge:
		s.checkTold(t, c.reason)
	}
}

// checkRecord wants the reason to be the first on a trail: nobody before refused
// the lie for something else, or let it pass to be refused later.
func (s *scene) checkRecord(t *testing.T, reasons []string, want string) {
	t.Helper()
	if len(reasons) == 0 || reasons[0] != want {
		t.Errorf("on record is %q, want %s", reasons, want)
	}
}

// checkPledge wants the pledge to have ended with the reason, to have it on
// record unless it is silence, and to trust nobody for it.
func (s *scene) checkPledge(t *testing.T, want string) {
	t.Helper()
	if got := systemtest.Reason(s.err); got != want {
		t.Errorf("the pledge ends with %q (%v), want %s", got, s.err, want)
	}
	status, err := s.device.Pledge().Status()
	if err != nil {
		t.Fatal(err)
	}
	if status.Certificate != nil || status.Stage == brskipledge.Enrolled {
		t.Errorf("the pledge is %q", status.Stage)
	}
	if want == brskipledge.ReasonCACerts {
		return // the voucher before it held
	}
	if status.Pinned != nil || status.Stage == brskipledge.Imprinted {
		t.Errorf("the pledge is %q and trusts %v", status.Stage, status.Pinned)
	}
	if want == brskipledge.ReasonUnreachable {
		return // nobody said anything
	}
	if !slices.ContainsFunc(status.Attempts, func(a brskipledge.AttemptStatus) bool { return a.Reason == want }) {
		t.Errorf("the pledge has %+v on record, want %s", status.Attempts, want)
	}
}

// checkTold wants the pledge to have told the registrar why it believes nothing
// (RFC 8995, Sections 5.7 and 5.9.4).
func (s *scene) checkTold(t *testing.T, want string) {
	t.Helper()
	if !slices.ContainsFunc(s.told, func(report []byte) bool { return bytes.Contains(report, []byte(want)) }) {
		t.Errorf("the registrar was told %q, want %s", s.told, want)
	}
}

// noVouchers wants the MASA to have vouched for nobody but n times.
func (s *scene) noVouchers(t *testing.T, n int) {
	t.Helper()
	if log := s.Vendor.AuditLog(s.device); len(log.Events) != n {
		t.Errorf("audit-log = %+v, want %d vouchers", log.Events, n)
	}
}
