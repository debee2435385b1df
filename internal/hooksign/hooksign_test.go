package hooksign_test

import (
	"errors"
	"testing"
	"time"

	"github.com/briskest/briskest/internal/hooksign"
)

func TestVerifyTakesOnlyWhatWasSignedForThatBodySecretAndTime(t *testing.T) {
	secret, body, at := []byte("0123456789abcdef"), []byte(`{"id":"1"}`), time.Unix(1_800_000_000, 0)
	good := hooksign.Sign(secret, at, body)
	for _, c := range []struct {
		name, header, secret, body string
		now                        time.Time
		want                       error
	}{
		{"as it was sent", good, string(secret), string(body), at, nil},
		{"at the end of the window", good, string(secret), string(body), at.Add(5 * time.Minute), nil},
		{"after the window", good, string(secret), string(body), at.Add(5*time.Minute + time.Second), hooksign.ErrWindow},
		{"from the future", good, string(secret), string(body), at.Add(-6 * time.Minute), hooksign.ErrWindow},
		{"another secret", good, "0123456789abcdeX", string(body), at, hooksign.ErrSignature},
		{"another body", good, string(secret), `{"id":"2"}`, at, hooksign.ErrSignature},
		{"another time", "t=1800000001" + good[12:], string(secret), string(body), at, hooksign.ErrSignature},
		{"no time", good[13:], string(secret), string(body), at, hooksign.ErrSignature},
		{"cut", good[:len(good)-2], string(secret), string(body), at, hooksign.ErrSignature},
		{"nothing", "", string(secret), string(body), at, hooksign.ErrSignature},
	} {
		if err := hooksign.Verify([]byte(c.secret), c.header, []byte(c.body), c.now, 5*time.Minute); !errors.Is(err, c.want) {
			t.Errorf("%s: Verify = %v, want %v", c.name, err, c.want)
		}
	}
}

func FuzzVerify(f *testing.F) {
	secret, at := []byte("0123456789abcdef"), time.Unix(1_800_000_000, 0)
	f.Add(hooksign.Sign(secret, at, []byte("{}")), []byte("{}"))
	f.Add("t=,v1=", []byte(nil))
	f.Fuzz(func(t *testing.T, header string, body []byte) {
		if err := hooksign.Verify(secret, header, body, at, time.Minute); err == nil && header != hooksign.Sign(secret, at, body) {
			// The time may be another one in the window; the body and the secret may not.
			if hooksign.Verify([]byte("fedcba9876543210"), header, body, at, time.Minute) == nil {
				t.Errorf("Verify(%q) takes two secrets", header)
			}
		}
	})
}
