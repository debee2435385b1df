package delegate_test

import (
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"net/url"
	"strings"
	"testing"

	"github.com/briskest/briskest/ca"
	"github.com/briskest/briskest/ca/delegate"
)

func TestNoFormOfASecretIsInASentence(t *testing.T) {
	const secret = "s3cret/with+odd \"chars\\"
	s := delegate.NewSecrets("", secret, "other")
	for _, form := range []string{
		secret, url.QueryEscape(secret), hex.EncodeToString([]byte(secret)), base64.StdEncoding.EncodeToString([]byte(secret)),
		base64.RawURLEncoding.EncodeToString([]byte(secret)), secret[:7] + "...", secret[:9],
	} {
		for _, pad := range []int{0, 190, 195, 4090} {
			got := s.Sentence(strings.Repeat("x", pad) + form)
			if strings.Contains(got, form[:5]) || len(got) > 200 {
				t.Errorf("Sentence(%d times x, %q) = %q", pad, form, got)
			}
		}
	}
	if got := s.Sentence("no such role"); got != "no such role" {
		t.Errorf("Sentence = %q, want it unchanged", got)
	}
	for _, text := range []string{"Authorization: Bearer abcdef0123456", "Basic dXNlcjpwYXNz", `response="0123456789abcdef"`, "eyJhbGciOiJFUzI1NiJ9.eyJzdWIiOiJ4In0.c2ln"} {
		if got := (*delegate.Secrets)(nil).Sentence(text); !strings.Contains(got, "[secret]") || strings.Contains(got, "4567") || strings.Contains(got, "bGciO") {
			t.Errorf("Sentence(%q) = %q", text, got)
		}
	}
}

func TestOldTokensAreForgottenAndErrorsKeepTheirMeaning(t *testing.T) {
	s := delegate.NewSecrets()
	for i := range 100 {
		s.Add(fmt.Sprintf("token-%04d", i))
	}
	if got := s.Sentence("token-0099 token-0036"); strings.Contains(got, "00") {
		t.Errorf("Sentence = %q, want the last 64 hidden", got)
	}
	if got := s.Sentence("token-0001."); !strings.Contains(got, "token-0001") {
		t.Errorf("Sentence = %q, want those of long ago forgotten", got)
	}
	inner := fmt.Errorf("%w: no token-0099", ca.ErrUnavailable)
	err := s.Error(fmt.Errorf("sign: %w", &ca.Later{Err: inner, After: 7, State: []byte("x")}))
	var later *ca.Later
	if !errors.As(err, &later) || later.After != 7 || string(later.State) != "x" || !errors.Is(err, ca.ErrUnavailable) || strings.Contains(err.Error()+later.Err.Error(), "0099") {
		t.Errorf("Error = %v", err)
	}
	err = s.Error(&ca.Mismatch{Raw: []byte("raw"), Problem: errors.New("token-0099")})
	var wrong *ca.Mismatch
	if !errors.As(err, &wrong) || string(wrong.Raw) != "raw" || !errors.Is(err, ca.ErrMismatch) || strings.Contains(err.Error(), "0099") {
		t.Errorf("Error = %v", err)
	}
	if err := s.Error(nil); err != nil {
		t.Errorf("Error(nil) = %v", err)
	}
	same := errors.New("no secret in it")
	if got := s.Error(same); got != same {
		t.Errorf("Error = %v, want the same", got)
	}
}
