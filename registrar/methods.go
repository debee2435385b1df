package registrar

import (
	"fmt"
	"slices"
	"time"

	"github.com/briskest/briskest/est"
	"github.com/briskest/briskest/internal/httpauth"
)

// DefaultRealm is what HTTP challenges are for when Settings.Realm is empty.
const DefaultRealm = "est"

// Method is a kind of credential as Label.Require names it.
type Method string

// The methods. A request carries at most one of those of HTTP: Basic, Digest,
// Bearer, and a code that comes as a Basic password.
const (
	ByCertificate Method = "certificate" // an IDevID, a certificate of ours, or one of Label.ClientAnchors
	ByBasic       Method = "basic"
	ByDigest      Method = "digest"
	ByBearer      Method = "bearer"
	ByCode        Method = "code" // a one-time enrollment code, by HTTP Basic or in the CSR
)

// method is how a kind of identity is named in Label.Require.
func (k IdentityKind) method() Method {
	switch k {
	case IDevID, LDevID, RA, Client:
		return ByCertificate
	case Basic:
		return ByBasic
	case Digest:
		return ByDigest
	case Bearer:
		return ByBearer
	case OneTimeCode:
		return ByCode
	default:
		return ""
	}
}

// takes tells whether the label lets somebody enroll by that method at all.
func (l *Label) takes(m Method) bool {
	switch m {
	case ByCertificate:
		return l.IDevID != IDevIDNever || l.RA || l.Renewal || l.ClientAnchors != nil
	case ByBasic:
		return l.Basic
	case ByDigest:
		return l.Digest || l.DigestMD5
	case ByBearer:
		return l.Tokens != nil
	case ByCode:
		return l.Codes
	default:
		return false
	}
}

// takesKind tells whether the label lets that kind of certificate enroll.
func (l *Label) takesKind(k IdentityKind) bool {
	switch k {
	case IDevID:
		return l.IDevID != IDevIDNever
	case RA:
		return l.RA
	case LDevID:
		return l.Renewal
	case Client:
		return l.ClientAnchors != nil
	default:
		return false
	}
}

// asks tells whether an HTTP challenge for the method would help: it is taken,
// and no other one of HTTP is required.
func (l *Label) asks(m Method) bool {
	if !l.takes(m) {
		return false
	}
	for _, r := range l.Require {
		if r == ByBasic || r == ByDigest || r == ByBearer {
			return r == m // where a code is required too it comes in the CSR
		}
	}
	return true
}

// asksHTTP tells whether HTTP credentials would help.
func (l *Label) asksHTTP() bool {
	return slices.ContainsFunc([]Method{ByBasic, ByDigest, ByBearer, ByCode}, l.asks)
}

// checkMethods refuses combinations that nobody could fulfil.
func (l *Label) checkMethods() error {
	http := 0
	for i, m := range l.Require {
		switch {
		case !slices.Contains([]Method{ByCertificate, ByBasic, ByDigest, ByBearer, ByCode}, m):
			return fmt.Errorf("require names %q; it may name certificate, basic, digest, bearer and code", m)
		case slices.Contains(l.Require[:i], m):
			return fmt.Errorf("require names %s twice", m)
		case !l.takes(m):
			return fmt.Errorf("require names %s, which the label does not take", m)
		}
		if m == ByBasic || m == ByDigest || m == ByBearer {
			http++
		}
	}
	if http > 1 {
		return fmt.Errorf("require names %d HTTP schemes; a request has one Authorization header", http)
	}
	if l.Codes && l.takes(ByDigest) && !slices.Contains(l.Require, ByDigest) {
		return fmt.Errorf("a code comes as a Basic password, and clients prefer Digest where it is offered: give codes a label without digest")
	}
	if l.ClientAnchors == nil && l.ClientRevocation != nil {
		return fmt.Errorf("there are rules for the revocation of clients' certificates and no client anchors")
	}
	return nil
}

// challenges are the WWW-Authenticate lines of a 401 at the label: Basic
// before Digest, since libest reads the first one only, and Digest with MD5
// before that with SHA-256, for Bouncy Castle 1.72.
func (s *Service) challenges(v *version, l *Label, reason string, at time.Time) []string {
	var lines []string
	add := func(c *httpauth.Challenge) { lines = append(lines, c.String()) }
	if l.asks(ByBasic) || l.asks(ByCode) {
		add(httpauth.BasicChallenge(v.Realm))
	}
	stale := reason == ReasonStaleDigest
	if l.asks(ByDigest) && l.DigestMD5 {
		add(httpauth.DigestChallenge(httpauth.MD5, v.Realm, s.nonces.New(at), stale))
	}
	if l.asks(ByDigest) && l.Digest {
		add(httpauth.DigestChallenge(httpauth.SHA256, v.Realm, s.nonces.New(at), stale))
	}
	if l.asks(ByBearer) {
		problem := ""
		if reason == ReasonBadToken {
			problem = "invalid_token"
		}
		add(httpauth.BearerChallenge(v.Realm, problem))
	}
	return lines
}

// challenge gives a 401 its challenges; where there are none, no credentials
// would help, and it is a 403 (RFC 9110, Sections 15.5.2 and 15.5.4).
func (s *Service) challenge(v *version, c *Case, e *est.Error) {
	if e.Status != 401 || c.Label == nil {
		return
	}
	if e.Challenges = s.challenges(v, c.Label, e.Reason, c.At); len(e.Challenges) == 0 {
		e.Status = 403
	}
}
