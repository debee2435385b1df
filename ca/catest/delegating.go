package catest

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/x509"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/briskest/briskest/ca"
)

// Fault is a way in which another CA fails those that ask it.
type Fault string

// The faults. After each the CA works again with the next call of
// [Upstream.Fail] for [None].
const (
	None         Fault = "works"
	Down         Fault = "is down"                              // nobody listens
	Refuses      Fault = "refuses the request"                  // by its own rules
	RefusesUs    Fault = "refuses our credential"               //
	Overloaded   Fault = "is overloaded"                        // 503, or what it has for it
	Slow         Fault = "does not answer in time"              // nothing was signed
	AnswerLost   Fault = "signs and the answer is lost"         // the connection ends
	Garbage      Fault = "answers garbage"                      //
	Huge         Fault = "answers without end"                  //
	Truncated    Fault = "signs and answers half"               //
	WrongKey     Fault = "signs another key"                    //
	WrongNames   Fault = "signs other names"                    //
	MoreNames    Fault = "signs one name more"                  //
	TooLong      Fault = "signs for too long"                   //
	MakesCA      Fault = "makes a CA of the device"             //
	MakesRA      Fault = "makes an RA of the device"            // id-kp-cmcRA (RFC 6402, Section 2.10)
	WrongIssuer  Fault = "signs with a key that is not its own" // the same names
	AnswersTwice Fault = "answers with two certificates"        // the right one and another's
	Waits        Fault = "does not decide"                      // pending, until None
)

// Faults are all of them but None.
func Faults() []Fault {
	var all []Fault
	for _, c := range faultCases() {
		all = append(all, c.fault)
	}
	return all
}

// Upstream is another CA as tests rig it. It is asked by one issuer only, and
// may be used by many at once.
type Upstream interface {
	// Fail makes it behave that way from now on.
	Fail(f Fault)
	// Signed returns every certificate that it signed, DER.
	Signed() [][]byte
}

// Delegated is an issuer that asks another CA, and that CA.
type Delegated struct {
	Fixture
	Upstream Upstream
	// Impossible are faults that its protocol does not have, with the reason.
	Impossible map[Fault]string
	// TwoAfterLoss says why a lost answer leaves a certificate that nobody has,
	// beside the one that the device gets; empty: it does not.
	TwoAfterLoss string
}

// TestDelegating checks what the comments of ca.Issuer promise of an issuer
// that asks another CA, with each fault of it.
func TestDelegating(t *testing.T, newDelegated func(t *testing.T) Delegated) {
	for _, c := range faultCases() {
		t.Run("The CA "+string(c.fault), func(t *testing.T) {
			d := newDelegated(t)
			if why := d.Impossible[c.fault]; why != "" {
				t.Logf("not in this protocol: %s", why)
				return
			}
			c.run(&faulty{harness: &harness{Fixture: d.Fixture, t: t}, d: &d, fault: c.fault})
		})
	}
}

type faultCase struct {
	fault Fault
	run   func(f *faulty)
}

func faultCases() []faultCase {
	return []faultCase{
		{Down, (*faulty).unavailable},
		{Overloaded, (*faulty).unavailable},
		{RefusesUs, (*faulty).unavailable},
		{Slow, (*faulty).slow},
		{AnswerLost, (*faulty).lost},
		{Truncated, (*faulty).lost},
		{Garbage, (*faulty).useless},
		{Huge, (*faulty).useless},
		{Refuses, (*faulty).refused},
		{WrongKey, (*faulty).mismatch},
		{WrongNames, (*faulty).mismatch},
		{MoreNames, (*faulty).mismatch},
		{TooLong, (*faulty).mismatch},
		{MakesCA, (*faulty).mismatch},
		{MakesRA, (*faulty).mismatch},
		{WrongIssuer, (*faulty).mismatch},
		{AnswersTwice, (*faulty).twice},
		{Waits, (*faulty).waits},
	}
}

// faulty is one run.
type faulty struct {
	*harness
	d     *Delegated
	fault Fault
}

// patience is how long an issuer may take to notice the end of its context.
const patience = 5 * time.Second

// fail asks once with the fault, which must give an error and no certificate.
func (f *faulty) fail(r *ca.Request) error {
	f.t.Helper()
	f.d.Upstream.Fail(f.fault)
	c, err := f.ask(r, patience)
	if err == nil || c != nil {
		f.t.Fatalf("Issue = %v, %v, want an error and no certificate", c, err)
	}
	return err
}

// ask calls Issue with a context of that length. It may outlast it by patience.
func (f *faulty) ask(r *ca.Request, length time.Duration) (*ca.Certificate, error) {
	f.t.Helper()
	ctx, cancel := context.WithTimeout(f.t.Context(), length)
	defer cancel()
	began := time.Now()
	c, err := f.Issuer.Issue(ctx, r)
	if took := time.Since(began); took > length+patience {
		f.t.Errorf("Issue took %s with a context of %s", took, length)
	}
	return c, err
}

// again asks for the same issuance once more, as err demands: with the intent
// when it is a ca.Later, as a new one when not.
func (f *faulty) again(r *ca.Request, err error) *ca.Request {
	f.t.Helper()
	next := *r
	var later *ca.Later
	if !errors.As(err, &later) {
		next.ID += "-anew"
		return &next
	}
	if len(later.State) > 64<<10 {
		f.t.Errorf("the state has %d bytes, want 64 KiB at most", len(later.State))
	}
	intents := f.recorded()
	if len(intents) != 1 {
		f.t.Fatalf("%d intents on record, want one to ask again with", len(intents))
	}
	next.Asked, next.State = intents[0], bytes.Clone(later.State)
	next.Record = func(context.Context, *ca.Intent) error {
		f.t.Error("Record was called for an intent that is on record")
		return nil
	}
	return &next
}

// heals lets the CA work and wants the certificate.
func (f *faulty) heals(r *ca.Request, err error) []byte {
	f.t.Helper()
	f.d.Upstream.Fail(None)
	next := f.again(r, err)
	for range 20 { // those that wait may be told to come again
		c, err := f.ask(next, time.Minute)
		if errors.Is(err, ca.ErrPending) {
			next = f.again(r, err)
			continue
		}
		if err != nil {
			f.t.Fatalf("once the CA works, Issue = %v", err)
		}
		parsed, err := x509.ParseCertificate(c.Raw)
		if err != nil || !parsed.PublicKey.(*ecdsa.PublicKey).Equal(r.PublicKey) {
			f.t.Fatalf("once the CA works, the certificate has another key, or is none: %v", err)
		}
		return c.Raw
	}
	f.t.Fatal("once the CA works, it is pending for ever")
	return nil
}

// signed is how many certificates the CA signed for the key of r.
func (f *faulty) signed(r *ca.Request) int {
	n := 0
	for _, raw := range f.d.Upstream.Signed() {
		c, err := x509.ParseCertificate(raw)
		if key, ok := r.PublicKey.(*ecdsa.PublicKey); err == nil && ok && key.Equal(c.PublicKey) {
			n++
		}
	}
	return n
}

func (f *faulty) unavailable() {
	r := f.request(1)
	err := f.fail(r)
	if !errors.Is(err, ca.ErrUnavailable) {
		f.t.Errorf("Issue = %v, want ErrUnavailable", err)
	}
	f.heals(r, err)
	if n := f.signed(r); n != 1 {
		f.t.Errorf("the CA signed %d certificates for the request, want 1", n)
	}
}

func (f *faulty) slow() {
	r := f.request(1)
	f.d.Upstream.Fail(Slow)
	c, err := f.ask(r, 300*time.Millisecond)
	var later *ca.Later
	if c != nil || !errors.Is(err, ca.ErrUnavailable) || !errors.As(err, &later) {
		f.t.Fatalf("Issue = %v, %v, want a Later with ErrUnavailable: the request arrived", c, err)
	}
	f.heals(r, err)
}

func (f *faulty) lost() {
	r := f.request(1)
	err := f.fail(r)
	var later *ca.Later
	if !errors.Is(err, ca.ErrUnavailable) || !errors.As(err, &later) {
		f.t.Errorf("Issue = %v, want a Later with ErrUnavailable: nobody knows whether it was signed", err)
	}
	f.heals(r, err)
	n := f.signed(r)
	if f.d.TwoAfterLoss == "" && n != 1 {
		f.t.Errorf("the CA signed %d certificates for the request, want 1", n)
	}
	if f.d.TwoAfterLoss != "" {
		f.t.Logf("the CA signed %d: %s", n, f.d.TwoAfterLoss)
	}
}

func (f *faulty) useless() {
	r := f.request(1)
	err := f.fail(r)
	if !errors.Is(err, ca.ErrUnavailable) && !errors.Is(err, ca.ErrMismatch) {
		f.t.Errorf("Issue = %v, want ErrUnavailable or ErrMismatch", err)
	}
	f.heals(r, err)
}

func (f *faulty) refused() {
	err := f.fail(f.request(1))
	var later *ca.Later
	if !errors.Is(err, ca.ErrRejected) || errors.As(err, &later) {
		f.t.Errorf("Issue = %v, want ErrRejected, for good", err)
	}
}

func (f *faulty) mismatch() {
	r := f.request(1)
	err := f.fail(r)
	var wrong *ca.Mismatch
	if !errors.As(err, &wrong) || !errors.Is(err, ca.ErrMismatch) {
		f.t.Fatalf("Issue = %v, want a Mismatch", err)
	}
	signed := f.d.Upstream.Signed()
	if len(signed) == 0 || !bytes.Equal(wrong.Raw, signed[len(signed)-1]) {
		f.t.Error("the Mismatch does not hold the certificate that the CA signed, so that nobody can revoke it")
	}
	if n := len(f.recorded()); n != 1 {
		f.t.Errorf("%d intents on record, want 1", n)
	}
}

// twice: the right one may be taken; the other must not.
func (f *faulty) twice() {
	r := f.request(1)
	f.d.Upstream.Fail(AnswersTwice)
	c, err := f.ask(r, patience)
	if err != nil {
		if c != nil || !errors.Is(err, ca.ErrMismatch) && !errors.Is(err, ca.ErrUnavailable) {
			f.t.Errorf("Issue = %v, %v, want the right certificate, ErrMismatch or ErrUnavailable", c, err)
		}
		return
	}
	if parsed, err := x509.ParseCertificate(c.Raw); err != nil || !parsed.PublicKey.(*ecdsa.PublicKey).Equal(r.PublicKey) {
		f.t.Errorf("Issue took the certificate of somebody else: %v", err)
	}
}

// waits: each answer is pending, nothing is recorded twice, and the certificate
// comes when the CA has decided.
func (f *faulty) waits() {
	r := f.request(1)
	err := f.fail(r)
	for i := range 3 {
		var later *ca.Later
		if !errors.Is(err, ca.ErrPending) || !errors.As(err, &later) {
			f.t.Fatalf("answer %d: Issue = %v, want a Later with ErrPending", i+1, err)
		}
		if later.After < 0 || later.After > 24*time.Hour {
			f.t.Errorf("answer %d: come again in %s", i+1, later.After)
		}
		var c *ca.Certificate
		if c, err = f.ask(f.again(r, err), patience); c != nil || err == nil {
			f.t.Fatalf("answer %d: Issue = %v, %v, want it to be pending", i+2, c, err)
		}
	}
	f.heals(r, err)
	if n := f.signed(r); n != 1 {
		f.t.Errorf("the CA signed %d certificates for the request, want 1", n)
	}
}

// String names the fault.
func (f Fault) String() string { return fmt.Sprintf("the CA %s", string(f)) }
