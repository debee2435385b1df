// Package hooksign signs what is posted to other people's webhooks: an HMAC-SHA256
// over the time and the body, in one header.
package hooksign

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"strconv"
	"strings"
	"time"
)

// Header is "t=SECONDS,v1=HEX": the HMAC-SHA256 of SECONDS, "." and the body.
const Header = "Briskest-Signature"

// MinSecret is how many bytes a secret has at least.
const MinSecret = 16

// Sign makes the value of [Header] for a body that is sent at a time.
func Sign(secret []byte, at time.Time, body []byte) string {
	seconds := strconv.FormatInt(at.Unix(), 10)
	return "t=" + seconds + ",v1=" + hex.EncodeToString(sum(secret, seconds, body))
}

func sum(secret []byte, seconds string, body []byte) []byte {
	mac := hmac.New(sha256.New, secret)
	mac.Write([]byte(seconds))
	mac.Write([]byte{'.'})
	mac.Write(body)
	return mac.Sum(nil)
}

// Errors of Verify.
var (
	ErrSignature = errors.New("hooksign: the signature is not that of the body and the secret")
	ErrWindow    = errors.New("hooksign: the signature is from another time")
)

// Verify checks a value of [Header] as a receiver does: it was made with the secret
// for the body, no longer before now, or after it, than the window.
func Verify(secret []byte, header string, body []byte, now time.Time, window time.Duration) error {
	t, mac, ok := strings.Cut(header, ",")
	seconds, isTime := strings.CutPrefix(t, "t=")
	mac, isMAC := strings.CutPrefix(mac, "v1=")
	given, err := hex.DecodeString(mac)
	if !ok || !isTime || !isMAC || err != nil || !hmac.Equal(given, sum(secret, seconds, body)) {
		return ErrSignature
	}
	at, err := strconv.ParseInt(seconds, 10, 64)
	if err != nil {
		return ErrSignature
	}
	if off := now.Sub(time.Unix(at, 0)); off > window || off < -window {
		return ErrWindow
	}
	return nil
}
