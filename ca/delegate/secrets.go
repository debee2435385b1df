package delegate

import (
	"encoding/base64"
	"encoding/hex"
	"errors"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"sync"

	"github.com/briskest/briskest/ca"
)

// Secrets are what an issuer proves itself with to its CA. A CA may repeat in an
// answer what it was sent, and answers are logged, recorded and shown: what comes
// from a CA passes through [Secrets.Sentence] or [Secrets.Error] first. The zero
// value masks what looks like a credential, as does a nil pointer. It may be used
// by many at once.
type Secrets struct {
	mu    sync.Mutex
	forms []string // what is masked, the longest first; guarded by mu
	added []string // secrets, the oldest first; guarded by mu
}

// maxSecrets bounds those that are kept: tokens come and go.
const maxSecrets = 64

// mask stands where a secret was.
const mask = "[secret]"

// NewSecrets returns a set that holds the secrets. Empty ones are none.
func NewSecrets(secrets ...string) *Secrets {
	s := new(Secrets)
	s.Add(secrets...)
	return s
}

// Add has further secrets masked from now on. Of all that were added the last 64 are.
func (s *Secrets) Add(secrets ...string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	added := slices.Clone(s.added)
	for _, one := range secrets {
		if one != "" && !slices.Contains(added, one) {
			added = append(added, one)
		}
	}
	if len(added) == len(s.added) {
		return
	}
	added = added[max(0, len(added)-maxSecrets):]
	var forms []string
	for _, one := range added {
		forms = append(forms, formsOf(one)...)
	}
	slices.SortFunc(forms, func(a, b string) int { return len(b) - len(a) })
	s.added, s.forms = added, slices.Compact(forms)
}

// formsOf are the ways in which servers repeat what they were sent.
func formsOf(secret string) []string {
	raw := []byte(secret)
	forms := []string{
		secret, url.QueryEscape(secret), url.PathEscape(secret), hex.EncodeToString(raw), strings.ToUpper(hex.EncodeToString(raw)),
		base64.RawStdEncoding.EncodeToString(raw), base64.RawURLEncoding.EncodeToString(raw),
		strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(secret),
	}
	slices.Sort(forms)
	return slices.Compact(forms)
}

// credential is what looks like one: a JWT (RFC 7519, Section 3), the value of a
// header that authenticates, and the answer to a Digest challenge (RFC 7616, Section 3.4).
var credential = regexp.MustCompile(`eyJ[A-Za-z0-9_-]{6,}(\.[A-Za-z0-9_-]*)*|(?i:\b(?:basic|bearer)\s+[A-Za-z0-9+/_.~=-]{6,})|(?i:\b(?:response|cnonce)="?[0-9a-f]{8,}"?)`)

// minPrefix is how much of a secret at the end of a text, which may have been cut, is masked.
const minPrefix = 4

// hide masks a text.
func (s *Secrets) hide(text string) string {
	var forms []string
	if s != nil {
		s.mu.Lock()
		forms = s.forms
		s.mu.Unlock()
	}
	for _, form := range forms {
		text = strings.ReplaceAll(text, form, mask)
	}
	// Who cut a text may have said so.
	body := strings.TrimRight(text, "."+`"`)
	for _, form := range forms {
		for n := min(len(form)-1, len(text)); n >= minPrefix; n-- {
			if strings.HasSuffix(text, form[:n]) || strings.HasSuffix(body, form[:n]) {
				text = text[:max(strings.LastIndex(text, form[:n]), 0)] + mask
				body = text
				break
			}
		}
	}
	return credential.ReplaceAllLiteralString(text, mask)
}

// Sentence makes another's text fit for a log: without the secrets, printable
// ASCII, up to 200 bytes.
func (s *Secrets) Sentence(text string) string {
	text = s.hide(text[:min(len(text), maxText)])
	out := make([]byte, 0, min(len(text), 200))
	for i := 0; i < len(text) && len(out) < 200; i++ {
		c := text[i]
		if c < ' ' || c > '~' {
			c = ' '
		}
		out = append(out, c)
	}
	return string(out)
}

// maxText bounds what is searched for secrets, in bytes.
const maxText = 4 << 10

// Error returns an error without the secrets, for whatever another's text got
// into. errors.Is says of it what it says of err; a *ca.Later and a *ca.Mismatch
// stay one. nil stays nil.
func (s *Secrets) Error(err error) error {
	if err == nil {
		return nil
	}
	var later *ca.Later
	if errors.As(err, &later) {
		return &ca.Later{Err: s.Error(later.Err), After: later.After, State: later.State}
	}
	var wrong *ca.Mismatch
	if errors.As(err, &wrong) {
		return &ca.Mismatch{Raw: wrong.Raw, Problem: s.Error(wrong.Problem)}
	}
	text := err.Error()
	hidden := s.hide(text)
	if hidden == text {
		return err
	}
	return &masked{hidden, err}
}

// masked is an error whose text was changed. Nothing unwraps to the one before.
type masked struct {
	text  string
	cause error
}

// Error is the text without secrets.
func (m *masked) Error() string { return m.text }

// Is asks the cause.
func (m *masked) Is(target error) bool { return errors.Is(m.cause, target) }
