package registrar

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"fmt"
	"strings"
	"time"

	"github.com/briskest/briskest/est"
	"github.com/briskest/briskest/internal/trail"
)

// What a code is made of: 100 random bits in letters and digits that people do
// not mistake for each other.
const (
	codeAlphabet = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
	codeLength   = 20
	codeGroup    = 5
)

// How long a code is good, and how many wrong ones are looked at in an hour.
// The last bounds what one address can try for one serial number, what it can
// try in all, and what all can try for one serial number.
const (
	codeLifetime                                 = 7 * 24 * time.Hour
	maxCodeLifetime                              = 366 * 24 * time.Hour
	guessesEach, guessesAddress, guessesOfSerial = 10, 50, 200
)

// NewCode asks for a one-time enrollment code.
type NewCode struct {
	Domain       string
	Actor        string
	SerialNumber string        // of the device that may enroll with it
	Expires      time.Duration // from now; zero for seven days, at most a year
}

// AddCode puts a code on record and returns it; only its SHA-256 is kept. It
// replaces the code that the serial number had, spent or not.
func (s *Service) AddCode(ctx context.Context, r *NewCode) (est.Secret, *Code, error) {
	v, err := s.inDomain(r.Domain)
	if err != nil {
		return "", nil, err
	}
	switch {
	case r.SerialNumber == "" || len(r.SerialNumber) > maxUser || ascii(r.SerialNumber) != r.SerialNumber || strings.Contains(r.SerialNumber, ":"):
		// RFC 7617, Section 2: no colon in a user-id, which is how a code is given.
		return "", nil, invalid("a serial number is 1 to %d printable ASCII characters without a colon", maxUser)
	case r.Expires < 0 || r.Expires > maxCodeLifetime:
		return "", nil, invalid("a code is good for at most %d days", maxCodeLifetime/(24*time.Hour))
	}
	old, err := found(s.store.Code(ctx, v.Domain, r.SerialNumber))
	if err != nil {
		return "", nil, err
	}
	now := s.now().UTC()
	secret := newCode()
	k := &Code{
		Domain: v.Domain, SerialNumber: r.SerialNumber, Digest: codeDigest(r.SerialNumber, secret),
		CreatedAt: now, ExpiresAt: now.Add(orDefault(r.Expires, codeLifetime)),
	}
	b := newBody().str("serial_number", k.SerialNumber).time("expires_at", k.ExpiresAt).yes("replaced", old != nil)
	err = s.store.Commit(ctx, &Change{PutCodes: []*Code{k}, Trail: []*trail.Entry{s.act(v, r.Actor, KindCodeAdded, "", b)}})
	return secret, k, err
}

// Now is the service's time, by which codes end.
func (s *Service) Now() time.Time { return s.now() }

// RevokeCode ends a code's use at once.
func (s *Service) RevokeCode(ctx context.Context, domain, actor, serialNumber string) error {
	v, err := s.inDomain(domain)
	if err != nil {
		return err
	}
	// While an enrollment with the code is under way it is either done before
	// or refused after.
	unlock, err := s.devices.lock(ctx, codeKey(serialNumber))
	if err != nil {
		return err
	}
	defer unlock()
	k, err := s.store.Code(ctx, v.Domain, serialNumber)
	if err != nil {
		return fmt.Errorf("code of %q: %w", serialNumber, err)
	}
	k.Revoked = true
	b := newBody().str("serial_number", serialNumber).yes("spent", k.Spent())
	return s.store.Commit(ctx, &Change{PutCodes: []*Code{k}, Trail: []*trail.Entry{s.act(v, actor, KindCodeRevoked, "", b)}})
}

// ListCodes returns up to limit codes (1 to 10000; 0 for 10000) in order of
// serial number, after the given one, without what verifies them.
func (s *Service) ListCodes(ctx context.Context, domain, after string, limit int) ([]*Code, error) {
	v, err := s.inDomain(domain)
	if err != nil {
		return nil, err
	}
	if limit = orDefault(limit, 10000); limit < 1 || limit > 10000 {
		return nil, invalid("a list has 1 to 10000 rows")
	}
	all, err := s.store.ListCodes(ctx, v.Domain, after, limit)
	for _, k := range all {
		k.Digest = nil
	}
	return all, err
}

// identifyCode verifies a code for the serial number. What it may be spent for
// is decided when key and names are known.
func (s *Service) identifyCode(ctx context.Context, v *version, c *Case, serial string, secret est.Secret) (*Identity, *Decision) {
	i, d := s.findCode(ctx, v, c, serial, secret)
	if d != nil && d.Reason == ReasonBadCredentials {
		s.guesses.failed(c, serial)
	}
	return i, d
}

// findCode is identifyCode, but a wrong code is not yet a guess.
func (s *Service) findCode(ctx context.Context, v *version, c *Case, serial string, secret est.Secret) (*Identity, *Decision) {
	const rule = "code"
	if serial == "" || len(serial) > maxUser || len(secret) > maxSecret {
		return nil, deny(ReasonBadCredentials, rule)
	}
	if d := s.guesses.admit(c, serial); d != nil {
		return nil, d
	}
	k, err := found(s.store.Code(ctx, v.Domain, serial))
	if err != nil {
		return nil, storeFailed(rule, err)
	}
	want := s.passwords.key[:] // of a serial number without a code: right for none
	if k != nil {
		want = k.Digest
	}
	given := codeDigest(serial, secret)
	switch right := subtle.ConstantTimeCompare(given, want) == 1; {
	case !right || k == nil:
		return nil, deny(ReasonBadCredentials, rule)
	case k.Revoked:
		return nil, deny(ReasonCodeRevoked, rule)
	case !c.At.Before(k.ExpiresAt):
		return nil, deny(ReasonCodeExpired, rule)
	}
	return &Identity{Kind: OneTimeCode, Credential: "code:" + serial, User: serial, code: k}, nil
}

// codeStill looks again at a code, now that nobody else can spend it.
func (s *Service) codeStill(ctx context.Context, v *version, i *Identity, rule string) *Decision {
	k, err := found(s.store.Code(ctx, v.Domain, i.User))
	switch {
	case err != nil:
		return storeFailed(rule, err)
	case k == nil || subtle.ConstantTimeCompare(k.Digest, i.code.Digest) != 1:
		return deny(ReasonBadCredentials, rule)
	case k.Revoked:
		return deny(ReasonCodeRevoked, rule)
	}
	i.code = k
	return nil
}

// codeSerial is the serial number that a code in the CSR is for: that of the
// IDevID that comes with it, else the one that the request names.
func (c *Case) codeSerial(certificate *Identity) string {
	switch {
	case certificate != nil && certificate.Kind == IDevID:
		return c.SerialNumber
	case c.CSR == nil:
		return ""
	case c.CSR.Subject.SerialNumber != "":
		return c.CSR.Subject.SerialNumber
	default:
		return c.CSR.Subject.CommonName
	}
}

// spending is how the case spends its code; nil for none.
func (c *Case) spending() []*Spending {
	i := c.code()
	if i == nil {
		return nil
	}
	return []*Spending{{
		Domain: c.Domain, SerialNumber: i.User, Digest: i.code.Digest, KeyHash: c.KeyHash, NamesHash: c.NamesHash, At: c.At.UTC(),
	}}
}

func codeKey(serial string) string { return "code\x00" + serial }

func newCode() est.Secret {
	raw := make([]byte, codeLength)
	rand.Read(raw) // never fails (crypto/rand)
	var b strings.Builder
	for i, r := range raw {
		if i > 0 && i%codeGroup == 0 {
			b.WriteByte('-')
		}
		b.WriteByte(codeAlphabet[r%byte(len(codeAlphabet))])
	}
	return est.Secret(b.String())
}

// codeDigest is what is kept of a code. Letter case, hyphens and spaces do not
// count, nor which of the letters that look alike it was typed with.
func codeDigest(serial string, secret est.Secret) []byte {
	h := sha256.New()
	fmt.Fprintf(h, "%d:%s:", len(serial), serial)
	for _, r := range strings.ToUpper(secret.Reveal()) {
		switch r {
		case '-', ' ':
			continue
		case 'O':
			r = '0'
		case 'I', 'L':
			r = '1'
		}
		fmt.Fprintf(h, "%c", r)
	}
	return h.Sum(nil)
}

// looksLikeCode tells whether a password has the form of a code.
func looksLikeCode(secret est.Secret) bool {
	n := 0
	for _, r := range strings.ToUpper(secret.Reveal()) {
		switch {
		case r == '-' || r == ' ':
		case r >= '0' && r <= '9' || r >= 'A' && r <= 'Z':
			n++
		default:
			return false
		}
	}
	return n == codeLength
}

// guesses counts wrong codes.
type guesses struct{ each, address, serial *budget }

func newGuesses() *guesses {
	return &guesses{newBudget(time.Hour, 1<<16), newBudget(time.Hour, 1<<16), newBudget(time.Hour, 1<<16)}
}

func (g *guesses) keys(c *Case, serial string) (each, address, of string) {
	address = addressKey(c.Address.Addr())
	return address + "\x00" + serial, address, serial
}

// admit refuses to look at one more code.
func (g *guesses) admit(c *Case, serial string) *Decision {
	each, address, of := g.keys(c, serial)
	for _, b := range []struct {
		*budget
		key   string
		limit int
	}{{g.each, each, guessesEach}, {g.address, address, guessesAddress}, {g.serial, of, guessesOfSerial}} {
		if wait, over := b.exceeded(b.key, b.limit, c.At); over {
			return &Decision{Reason: ReasonGuesses, Rule: "code-budget", RetryAfter: jitter(wait)}
		}
	}
	return nil
}

func (g *guesses) failed(c *Case, serial string) {
	if serial == "" || len(serial) > maxUser {
		return // no serial number has a code like that, and nothing that long is remembered
	}
	each, address, of := g.keys(c, serial)
	g.each.use(each, c.At)
	g.address.use(address, c.At)
	g.serial.use(of, c.At)
}
