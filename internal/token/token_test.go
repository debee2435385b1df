package token_test

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/rand"
	"errors"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/briskest/briskest/internal/token"
)

func pin(text string) func() (string, error) { return func() (string, error) { return text, nil } }

// bed is a token with a key.
type bed struct {
	t testing.TB
	*library
	token *token.Token
	key   *token.Key
}

func newBed(t testing.TB, limits token.Limits) *bed {
	t.Helper()
	b := &bed{t: t, library: newLibrary(t)}
	b.token = opened(t, token.NewModule(b.library, limits), token.Selector{Token: "t"}, pin("4711"))
	var err error
	if b.key, err = b.token.Create(t.Context(), token.Object{Label: "k"}, "p256"); err != nil {
		t.Fatal(err)
	}
	return b
}

func opened(t testing.TB, m *token.Module, s token.Selector, pin func() (string, error)) *token.Token {
	t.Helper()
	tok, err := m.Token(s, "", token.Limits{}, pin)
	if err != nil {
		t.Fatal(err)
	}
	return tok
}

// sign signs, and says when what came out does not verify.
func (b *bed) sign() error {
	digest := make([]byte, 32)
	_, _ = rand.Read(digest)
	signature, err := b.key.Sign(nil, digest, crypto.SHA256)
	if err == nil && !ecdsa.VerifyASN1(b.key.Public().(*ecdsa.PublicKey), digest, signature) {
		b.t.Error("a wrong signature left")
	}
	return err
}

func TestLostSessionsAreMadeAnewWithinTheCall(t *testing.T) {
	b := newBed(t, token.Limits{})
	for range 20 {
		if err := b.sign(); err != nil {
			t.Fatal(err)
		}
		b.loseSessions()
	}
	if b.starts != 1 {
		t.Errorf("the library was started %d times, want once: new sessions are enough", b.starts)
	}
}

func TestEveryCodeThatATokenLosesItselfWithIsOvercomeWithinTheCall(t *testing.T) {
	for _, code := range []token.Code{
		token.DeviceRemoved, token.TokenNotPresent, token.DeviceError, token.SessionHandleInvalid, token.SessionClosed, token.KeyHandleInvalid,
		token.ObjectHandleInvalid, token.UserNotLoggedIn, token.CryptokiNotInitialized, token.GeneralError, token.FunctionFailed, token.OperationActive,
	} {
		b := newBed(t, token.Limits{})
		for _, faults := range [][]token.Code{{code}, {code, code}} {
			b.set(func() { b.faults = faults })
			err := b.sign()
			if err != nil && (len(faults) == 1 || b.starts < 2) {
				t.Errorf("%d times %v: %v, after %d starts", len(faults), code, err, b.starts)
			}
			if err := b.sign(); err != nil {
				t.Errorf("after %v: %v", code, err)
			}
		}
	}
}

func TestATokenThatIsBackIsUsedAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBed(t, token.Limits{})
		for range 20 {
			b.set(func() { b.absent = true })
			for range 10 {
				if err := b.sign(); err == nil {
					t.Fatal("a token that is not there signs")
				}
			}
			b.set(func() { b.absent = false })
			time.Sleep(2 * time.Second)
			if err := b.sign(); err != nil {
				t.Fatalf("after it is back: %v", err)
			}
		}
		if b.starts > 20*6 {
			t.Errorf("the library was started %d times in 200 failing calls, want at most 3 in each row of failures", b.starts)
		}
	})
}

func TestAHungCallEndsAtItsDeadlineAndTheOthersGoOn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBed(t, token.Limits{Sessions: 4})
		hang := make(chan struct{})
		b.set(func() { b.hang = hang })
		begin := time.Now()
		if err := b.sign(); !errors.Is(err, token.ErrHung) || time.Since(begin) != 10*time.Second {
			t.Errorf("a hung call: %v after %v, want ErrHung after 10s", err, time.Since(begin))
		}
		if h := b.token.Health(); h.Hung != 1 || h.Busy != 1 || !h.Usable {
			t.Errorf("health with a hung call: %+v", h)
		}
		b.set(func() { b.hang = nil })
		if err := b.sign(); err != nil {
			t.Errorf("beside a hung call: %v", err)
		}
		b.set(func() { b.faults = []token.Code{token.DeviceRemoved} })
		if err := b.sign(); !errors.Is(err, token.ErrHung) || !errors.Is(err, token.DeviceRemoved) || b.starts != 1 {
			t.Errorf("a removed device beside a hung call: %v after %d starts, want both told and no start", err, b.starts)
		}
		close(hang)
		synctest.Wait()
		if h := b.token.Health(); h.Hung != 0 || h.Busy != 0 {
			t.Errorf("health after the call returned: %+v", h)
		}
		if err := b.sign(); err != nil {
			t.Error(err)
		}
	})
}

func TestWhenAllSessionsHangCallsFailAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBed(t, token.Limits{Sessions: 2})
		hang := make(chan struct{})
		b.set(func() { b.hang = hang })
		var wg sync.WaitGroup
		for range 8 {
			wg.Go(func() {
				if err := b.sign(); !errors.Is(err, token.ErrHung) {
					t.Errorf("a call beside hung ones: %v, want ErrHung", err)
				}
			})
		}
		wg.Wait()
		begin := time.Now()
		err := b.sign()
		if !errors.Is(err, token.ErrUnavailable) || !errors.Is(err, token.ErrHung) || time.Since(begin) != 0 {
			t.Errorf("the next call: %v after %v, want ErrUnavailable, why, and no wait", err, time.Since(begin))
		}
		if h := b.token.Health(); h.Usable || h.Hung != 2 || h.Last == nil {
			t.Errorf("health: %+v", h)
		}
		b.set(func() { b.hang = nil })
		close(hang)
		time.Sleep(2 * time.Second)
		if err := b.sign(); err != nil {
			t.Errorf("after the calls returned: %v", err)
		}
		if h := b.token.Health(); !h.Usable || h.Failures != 0 || h.Last != nil {
			t.Errorf("health: %+v", h)
		}
	})
}

func TestWrongSignaturesNeverLeave(t *testing.T) {
	b := newBed(t, token.Limits{Failures: 1000})
	b.set(func() { b.lies = 1 })
	if err := b.sign(); err != nil {
		t.Errorf("one wrong signature: %v, want another session to make a right one", err)
	}
	b.set(func() { b.lies = 1 << 30 })
	for range 5 {
		if err := b.sign(); !errors.Is(err, token.ErrWrongSignature) {
			t.Errorf("wrong signatures only: %v, want ErrWrongSignature", err)
		}
	}
}

func TestAnotherKeyUnderTheSameNameIsFoundOut(t *testing.T) {
	b := newBed(t, token.Limits{})
	other := newBed(t, token.Limits{})
	b.set(func() { b.keys["k"] = other.keys["k"] })
	b.loseSessions()
	if err := b.sign(); !errors.Is(err, token.ErrWrongSignature) {
		t.Errorf("with another key: %v, want ErrWrongSignature", err)
	}
}

func TestARefusedPINIsSentOnce(t *testing.T) {
	l := newLibrary(t)
	text := "0815"
	tok := opened(t, token.NewModule(l, token.Limits{}), token.Selector{}, func() (string, error) { return text, nil })
	for range 50 {
		if _, err := tok.Open(t.Context(), token.Object{Label: "k"}); !errors.Is(err, token.ErrPIN) {
			t.Fatalf("Open with a wrong PIN: %v, want ErrPIN", err)
		}
	}
	if l.logins != 1 || l.starts != 1 {
		t.Errorf("a wrong PIN was sent %d times, and the library started %d times, want once each", l.logins, l.starts)
	}
	text = "4711"
	if _, err := tok.Create(t.Context(), token.Object{Label: "k"}, "p256"); err != nil {
		t.Errorf("with the right PIN: %v", err)
	}
}

func TestALockedPINSaysWhoUnlocksIt(t *testing.T) {
	l := newLibrary(t)
	l.refuse = token.PINLocked
	tok := opened(t, token.NewModule(l, token.Limits{}), token.Selector{}, pin("0815"))
	_, err := tok.Open(t.Context(), token.Object{Label: "k"})
	if !errors.Is(err, token.ErrPIN) || !errors.Is(err, token.PINLocked) || !strings.Contains(err.Error(), "security officer") || l.starts != 1 {
		t.Errorf("Open with a locked PIN: %v after %d starts, want who unlocks it and one start", err, l.starts)
	}
}

func TestSessionsAreBoundedAndFewerDo(t *testing.T) {
	for _, c := range []struct{ limit, allowed, most int }{{4, 0, 4}, {16, 3, 3}, {16, 1, 1}} {
		b := newBed(t, token.Limits{Sessions: c.limit})
		b.set(func() { b.allowed = c.allowed })
		var wg sync.WaitGroup
		for range 32 {
			wg.Go(func() {
				for range 20 {
					if err := b.sign(); err != nil {
						t.Errorf("a token that allows %d sessions: %v", c.allowed, err)
						return
					}
				}
			})
		}
		wg.Wait()
		if b.most > c.most {
			t.Errorf("%d sessions were open at once, want at most %d", b.most, c.most)
		}
	}
}

func TestWhoGoesAwaySaysNothingAboutTheToken(t *testing.T) {
	b := newBed(t, token.Limits{Failures: 1})
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := b.token.Open(ctx, token.Object{Label: "k"}); !errors.Is(err, context.Canceled) {
		t.Errorf("Open with a cancelled context: %v", err)
	}
	if h := b.token.Health(); !h.Usable || h.Failures != 0 {
		t.Errorf("health: %+v", h)
	}
	if err := b.sign(); err != nil {
		t.Error(err)
	}
}

func TestWhatIsTheCallsFaultRestartsNothing(t *testing.T) {
	b := newBed(t, token.Limits{Failures: 1})
	if _, err := b.token.Open(t.Context(), token.Object{Label: "none"}); !errors.Is(err, token.ErrNotFound) {
		t.Errorf("Open of no key: %v", err)
	}
	if _, err := b.token.Create(t.Context(), token.Object{Label: "xx"}, "p384"); !errors.Is(err, token.ErrAlgorithm) {
		t.Errorf("Create of what the token cannot: %v", err)
	}
	if _, err := b.token.Create(t.Context(), token.Object{Label: "k"}, "p256"); !errors.Is(err, token.ErrExists) {
		t.Errorf("Create of what is there: %v", err)
	}
	b.set(func() { b.faults = []token.Code{token.MechanismInvalid} })
	if err := b.sign(); !errors.Is(err, token.MechanismInvalid) {
		t.Errorf("Sign with no such mechanism: %v", err)
	}
	if h := b.token.Health(); !h.Usable || b.starts != 1 {
		t.Errorf("%d starts, health %+v, want one start and a usable token", b.starts, h)
	}
}

func TestALibraryThatDoesNotStartIsTriedAgain(t *testing.T) {
	l := newLibrary(t)
	l.starting = func() error { return token.GeneralError }
	tok := opened(t, token.NewModule(l, token.Limits{}), token.Selector{}, pin("4711"))
	if _, err := tok.Create(t.Context(), token.Object{Label: "k"}, "p256"); !errors.Is(err, token.GeneralError) {
		t.Errorf("Create while the library does not start: %v", err)
	}
	l.set(func() { l.starting = nil })
	if _, err := tok.Create(t.Context(), token.Object{Label: "k"}, "p256"); err != nil {
		t.Errorf("Create once it starts: %v", err)
	}
}

// Each token has its own limits, the module's where it says nothing.
func TestATokenKeepsTheLimitsItWasOpenedWith(t *testing.T) {
	m := token.NewModule(newLibrary(t), token.Limits{Sessions: 5})
	get := func(label string, limits token.Limits) (*token.Token, error) {
		return m.Token(token.Selector{Token: label}, "", limits, pin("4711"))
	}
	first, err := get("a", token.Limits{Sessions: 2, Deadline: time.Second})
	if err != nil || first.Health().Limit != 2 {
		t.Fatalf("a token opened for 2 sessions has %d, %v", first.Health().Limit, err)
	}
	for name, limits := range map[string]token.Limits{"the same": {Sessions: 2}, "none": {}} {
		if again, err := get("a", limits); err != nil || again != first {
			t.Errorf("opened again with limits that are %s: %v", name, err)
		}
	}
	if _, err := get("a", token.Limits{Sessions: 3}); !errors.Is(err, token.ErrLimits) {
		t.Errorf("opened again with other limits: %v, want ErrLimits", err)
	}
	if other, err := get("b", token.Limits{}); err != nil || other.Health().Limit != 5 {
		t.Errorf("a token that says nothing has %d sessions, want the module's 5; %v", other.Health().Limit, err)
	}
	n := 0
	m.Tokens(func(s token.Selector, tok *token.Token) {
		if s.Token == "a" == (tok == first) {
			n++
		}
	})
	if n != 2 {
		t.Errorf("Tokens tells of %d tokens, want 2", n)
	}
}
