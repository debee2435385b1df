package httpauth

import (
	"crypto/rand"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"
	"sync"
)

// ErrNoChallenge says that none of a server's challenges can be answered with
// what the client has and may use.
var ErrNoChallenge = errors.New("no way to authenticate that the server offers can be used")

// Client answers the challenges of one server. Its exported fields do not
// change after the first use. Safe for concurrent use.
type Client struct {
	User, Password string // for Basic and Digest; both empty: neither is answered
	Token          string // for Bearer; empty: not answered
	// AllowMD5 answers Digest challenges for MD5 where there is none for SHA-256.
	AllowMD5 bool
	// RefuseBasic sends no password itself.
	RefuseBasic bool

	mu     sync.Mutex
	scheme string     // that was chosen; empty before the first challenge; guarded by mu
	digest *Challenge // guarded by mu
	count  uint32     // uses of digest's nonce; guarded by mu
}

// Choose takes the best of a server's challenges: Bearer where there is a
// token, Digest with SHA-256, Digest with MD5 if allowed, Basic. What was chosen
// before is forgotten. It returns [ErrNoChallenge] when none will do.
//
// Whether to answer at all is the caller's to decide: never before the server
// is authenticated (RFC 7030, Section 3.2.3), and no more than once, and once
// more when the chosen challenge is stale.
func (c *Client) Choose(challenges []Challenge) (*Challenge, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.scheme, c.digest, c.count = "", nil, 0
	var best *Challenge
	rank := 0
	for i := range challenges {
		if r := c.rank(&challenges[i]); r > rank {
			best, rank = &challenges[i], r
		}
	}
	if best == nil {
		return nil, ErrNoChallenge
	}
	switch {
	case best.Is(SchemeDigest):
		c.scheme, c.digest = SchemeDigest, best
	case best.Is(SchemeBearer):
		c.scheme = SchemeBearer
	default:
		c.scheme = SchemeBasic
	}
	return best, nil
}

// rank is how good a challenge is; 0 for one that cannot be answered.
func (c *Client) rank(o *Challenge) int {
	password := c.User != "" || c.Password != ""
	switch {
	case o.Is(SchemeBearer) && c.Token != "":
		return 4
	case o.Is(SchemeDigest) && password && answerable(o):
		switch a := algorithm(o); {
		case a == SHA256:
			return 3
		case a == MD5 && c.AllowMD5:
			return 2
		}
	case o.Is(SchemeBasic) && password && !c.RefuseBasic:
		return 1
	}
	return 0
}

// answerable tells whether a Digest challenge has what an answer needs and
// asks for nothing that is not known here.
func answerable(o *Challenge) bool {
	if o.Param("nonce") == "" || strings.EqualFold(o.Param("userhash"), "true") {
		return false
	}
	for qop := range strings.SplitSeq(o.Param("qop"), ",") {
		if strings.EqualFold(strings.Trim(qop, " \t"), "auth") {
			return true
		}
	}
	return false // RFC 7616, Section 3.3: without qop a server cannot see replays
}

func algorithm(o *Challenge) Algorithm {
	switch name := o.Param("algorithm"); {
	case strings.EqualFold(name, string(SHA256)):
		return SHA256
	case name == "" || strings.EqualFold(name, string(MD5)):
		return MD5
	default:
		return ""
	}
}

// Authorization returns the value of the Authorization line for a request, or
// "" before a challenge was chosen. target is path and query as the request
// line has them. With Digest each call is one use of the nonce.
func (c *Client) Authorization(method, target string) string {
	c.mu.Lock()
	defer c.mu.Unlock()
	switch c.scheme {
	case SchemeBearer:
		return SchemeBearer + " " + c.Token
	case SchemeDigest:
		c.count++
		return c.answer(method, target, c.count)
	case SchemeBasic:
		return Basic(c.User, c.Password)
	default:
		return ""
	}
}

// Basic returns the value of an Authorization line (RFC 7617, Section 2).
func Basic(user, password string) string {
	return SchemeBasic + " " + base64.StdEncoding.EncodeToString([]byte(user+":"+password))
}

func (c *Client) answer(method, target string, count uint32) string {
	cnonce := make([]byte, 16)
	rand.Read(cnonce) // never fails (crypto/rand)
	a := Answer{
		User: c.User, Realm: c.digest.Param("realm"), Nonce: c.digest.Param("nonce"), URI: target, Algorithm: algorithm(c.digest),
		nc: fmt.Sprintf("%08x", count), cnonce: hex.EncodeToString(cnonce),
	}
	response := a.expected(HA1(a.Algorithm, c.User, a.Realm, c.Password), method)
	out := Challenge{Scheme: SchemeDigest, Params: []Param{
		{"username", a.User}, {"realm", a.Realm}, {"nonce", a.Nonce}, {"uri", a.URI}, {"response", response}, {"cnonce", a.cnonce},
	}}
	if opaque := c.digest.Param("opaque"); opaque != "" {
		out.Params = append(out.Params, Param{"opaque", opaque})
	}
	if c.digest.Param("algorithm") != "" {
		out.Params = append(out.Params, Param{"algorithm", string(a.Algorithm)})
	}
	// RFC 7616, Section 3.4: qop, nc and algorithm are sent without quotes.
	return out.String() + ", qop=auth, nc=" + a.nc
}
