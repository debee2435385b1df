package stepca

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/asn1"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"strconv"
	"time"

	"github.com/briskest/briskest/ca"
	"github.com/briskest/briskest/ca/delegate"
	"github.com/briskest/briskest/internal/jws"
)

// tokenLife is short: a token is sent the moment it is made.
const tokenLife = 5 * time.Minute

// claims are those that step-ca reads (RFC 7519, Section 4.1, and its own).
type claims struct {
	Issuer    string        `json:"iss"`
	Audience  string        `json:"aud"`
	Subject   string        `json:"sub"`
	ID        string        `json:"jti"`
	IssuedAt  int64         `json:"iat"`
	NotBefore int64         `json:"nbf"`
	Expires   int64         `json:"exp"`
	Root      string        `json:"sha"`
	SANs      []string      `json:"sans,omitempty"`
	Bound     *confirmation `json:"cnf,omitempty"`
	Ours      *ours         `json:"briskest,omitempty"`
}

// confirmation binds a token to one CSR.
type confirmation struct {
	CSR string `json:"x5rt#S256"`
}

// ours is what a template of the provisioner may use.
type ours struct {
	Subject []byte `json:"subject"` // DER of the Name, in base64
	Serial  string `json:"serial"`  // 0x and hex
}

// signToken makes the token of the n-th try of an issuance.
func (c *CA) signToken(o *delegate.Order, n int) (string, error) {
	r := o.Request
	sum := sha256.Sum256(r.CSR)
	t := &claims{
		Subject: delegate.CommonName(r.Subject), SANs: sans(&r.Names), ID: c.tokenID(r.ID, n),
		Bound: &confirmation{base64.RawURLEncoding.EncodeToString(sum[:])},
	}
	// step-ca wants a subject; it is one that the CSR may be without.
	if t.Subject == "" && len(t.SANs) > 0 {
		t.Subject = t.SANs[0]
	} else if t.Subject == "" {
		t.Subject = hex.EncodeToString(o.Intent.KeyHash[:16])
	}
	if c.config.Template {
		subject, err := asn1.Marshal(r.Subject)
		if err != nil {
			return "", fmt.Errorf("%w: the subject: %w", ca.ErrRejected, err)
		}
		t.Ours = &ours{subject, "0x" + hex.EncodeToString(c.serial(r.ID, n))}
	}
	return c.token("/1.0/sign", t)
}

// revokeToken makes one for a serial number, in decimal.
func (c *CA) revokeToken(serial string) (string, error) {
	return c.token("/1.0/revoke", &claims{Subject: serial, ID: rand.Text()})
}

// token fills in the rest and signs.
func (c *CA) token(path string, t *claims) (string, error) {
	now := c.now()
	t.Issuer, t.Root = c.config.Provisioner, c.root
	t.Audience = c.base.JoinPath(path).String()
	t.IssuedAt, t.NotBefore, t.Expires = now.Unix(), now.Unix(), now.Add(tokenLife).Unix()
	request := &jws.SignRequest{Key: c.config.Key, Type: "JWT", KeyID: c.config.KeyID}
	if len(c.config.Certificates) > 0 {
		// The fragment is how step-ca finds provisioners that have no kid.
		t.Audience += "#x5c/" + c.config.Provisioner
		request.KeyID, request.Certificates = "", c.config.Certificates
	}
	var err error
	if request.Payload, err = json.Marshal(t); err != nil {
		return "", fmt.Errorf("%w: token: %w", ca.ErrRejected, err)
	}
	text, err := jws.SignCompact(request)
	if err != nil {
		return "", fmt.Errorf("%w: sign the token: %w", ca.ErrUnavailable, err)
	}
	c.secret.Add(text)
	return text, nil
}

// tokenID is the same for each repetition of the n-th try, so that step-ca takes one.
func (c *CA) tokenID(id string, n int) string {
	sum := c.derive("token", id, n)
	return hex.EncodeToString(sum[:])
}

// serial is the serial number that the n-th try asks for: 127 bits, positive.
func (c *CA) serial(id string, n int) []byte {
	sum := c.derive("serial", id, n)
	sum[0] = sum[0]&0x3f | 0x40
	return sum[:16]
}

// derive hashes what only this registrar knows of an issuance, its ID, with the
// provisioner's name.
func (c *CA) derive(what, id string, n int) [32]byte {
	text, err := json.Marshal([]string{"briskest stepca " + what, c.config.Provisioner, id, strconv.Itoa(n)})
	if err != nil {
		panic("stepca: internal error: " + err.Error())
	}
	return sha256.Sum256(text)
}

// state is what a ca.Later keeps: which try the last token was of.
type state struct {
	Try int `json:"try"`
}

func readState(r *ca.Request) (int, error) {
	if r.Asked == nil || len(r.State) == 0 {
		return 0, nil
	}
	var s state
	if err := json.Unmarshal(r.State, &s); err != nil || s.Try < 0 {
		return 0, fmt.Errorf("%w: the state of %s is none of step-ca's; was the issuer of that name changed?", ca.ErrRejected, r.ID)
	}
	return s.Try, nil
}

func writeState(n int) []byte { return []byte(`{"try":` + strconv.Itoa(n) + `}`) }

// wait leaves the intent open with the n-th try.
func wait(err error, n int) error { return &ca.Later{Err: err, State: writeState(n)} }
