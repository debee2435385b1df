package webhook

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"time"
	"unicode/utf8"

	"github.com/briskest/briskest/registrar"
)

// version of what is sent.
const version = 1

// question is a case as the other system sees it. It holds no secret.
type question struct {
	Version      int       `json:"version"`
	ID           string    `json:"id"`
	At           time.Time `json:"at"`
	Domain       string    `json:"domain"`
	Operation    string    `json:"operation"`
	Label        string    `json:"label,omitempty"`
	Profile      string    `json:"profile,omitempty"`
	Manufacturer string    `json:"manufacturer,omitempty"`
	SerialNumber string    `json:"serial_number"`
	DeviceID     string    `json:"device_id,omitempty"`
	DeviceState  string    `json:"device_state,omitempty"`
	Address      string    `json:"address"`
	Identity     identity  `json:"identity"`
	Subject      string    `json:"subject,omitempty"`
	DNS          []string  `json:"dns_names,omitempty"`
	IP           []string  `json:"ip_addresses,omitempty"`
	Email        []string  `json:"email_addresses,omitempty"`
	URI          []string  `json:"uris,omitempty"`
	KeyHash      string    `json:"public_key_sha256,omitempty"`
	// Request is the CSR or voucher-request; left out when there is a secret in it.
	Request     []byte `json:"request,omitempty"`
	RequestHash string `json:"request_sha256,omitempty"`
}

// identity is who asks.
type identity struct {
	Kind        string `json:"kind"`
	Credential  string `json:"credential"`
	Certificate []byte `json:"certificate,omitempty"` // DER
}

func newQuestion(c *registrar.Case) *question {
	q := &question{
		Version: version, ID: c.QuestionID(), At: c.At.UTC(), Domain: c.Domain, Operation: c.Operation, SerialNumber: c.SerialNumber,
		Address:  c.Address.Addr().String(),
		Identity: identity{Kind: string(c.Identity.Kind), Credential: c.Identity.Credential},
		Subject:  c.Subject.String(), DNS: c.Names.DNS, Email: c.Names.Email, Request: c.Evidence,
	}
	for _, ip := range c.Names.IP {
		q.IP = append(q.IP, ip.String())
	}
	for _, u := range c.Names.URI {
		q.URI = append(q.URI, u.String())
	}
	if c.Label != nil {
		q.Label, q.Profile = c.Label.Name, c.Label.Profile.Name()
	}
	if c.Manufacturer != nil {
		q.Manufacturer = c.Manufacturer.Name
	}
	if d := c.Device; d != nil {
		q.DeviceID, q.DeviceState, q.Manufacturer = d.ID, string(d.State), d.Manufacturer
	}
	if c.Identity.Certificate != nil {
		q.Identity.Certificate = c.Identity.Certificate.Raw
	}
	if c.CSR != nil {
		q.KeyHash = hex.EncodeToString(c.KeyHash[:])
	}
	if q.Request != nil {
		hash := sha256.Sum256(q.Request)
		q.RequestHash = hex.EncodeToString(hash[:])
	}
	return q
}

// answer is what the other system says.
type answer struct {
	Decision   string `json:"decision"`    // "allow", "deny" or "wait"
	Reason     string `json:"reason"`      // of a denial: for the person at the device
	RetryAfter int64  `json:"retry_after"` // of a wait: seconds; 0 for the registrar's own
}

const (
	maxReason     = 300              // bytes
	maxRetryAfter = 7 * 24 * 60 * 60 // seconds
)

// parseAnswer reads an answer. Whatever is not clearly one is an error: unknown
// decisions, unknown members, something after the object.
func parseAnswer(body []byte) (*answer, error) {
	if len(body) > maxAnswer {
		return nil, fmt.Errorf("the answer is larger than %d bytes", maxAnswer)
	}
	if err := uniqueMembers(body); err != nil {
		return nil, err
	}
	d := json.NewDecoder(bytes.NewReader(body))
	d.DisallowUnknownFields()
	a := &answer{}
	if err := d.Decode(a); err != nil {
		return nil, fmt.Errorf("the answer is not the JSON of one: %w", err)
	}
	switch {
	case a.Decision != "allow" && a.Decision != "deny" && a.Decision != "wait":
		return nil, errors.New(`the answer's decision is none of "allow", "deny" and "wait"`)
	case !utf8.ValidString(a.Reason) || len(a.Reason) > maxReason:
		return nil, fmt.Errorf("the answer's reason is longer than %d bytes", maxReason)
	case a.RetryAfter < 0 || a.RetryAfter > maxRetryAfter:
		return nil, fmt.Errorf("the answer's retry_after is not between 0 and %d", maxRetryAfter)
	}
	return a, nil
}

// uniqueMembers refuses what two readers may read in two ways: an object with a
// member twice, one in another letter case included, or anything but one flat object.
func uniqueMembers(body []byte) error {
	d := json.NewDecoder(bytes.NewReader(body))
	if t, err := d.Token(); err != nil || t != json.Delim('{') {
		return errors.New("the answer is no JSON object")
	}
	seen := make(map[string]bool)
	for d.More() {
		name, err := d.Token()
		if err != nil {
			return errors.New("the answer is no JSON object")
		}
		key, _ := name.(string)
		switch {
		case key != "decision" && key != "reason" && key != "retry_after":
			return fmt.Errorf("the answer has a member %.40q; it may have decision, reason and retry_after", key)
		case seen[key]:
			return fmt.Errorf("the answer has %s twice", key)
		}
		seen[key] = true
		value, err := d.Token()
		if _, nested := value.(json.Delim); err != nil || nested {
			return fmt.Errorf("the answer's %s is neither text nor number", key)
		}
	}
	if _, err := d.Token(); err != nil {
		return errors.New("the answer ends early")
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return errors.New("something follows the answer")
	}
	return nil
}

func (a *answer) decision() *registrar.Decision {
	switch a.Decision {
	case "allow":
		return &registrar.Decision{Verdict: registrar.Allow, Reason: registrar.ReasonAllowed}
	case "wait":
		return &registrar.Decision{Verdict: registrar.Wait, RetryAfter: time.Duration(a.RetryAfter) * time.Second}
	default:
		d := &registrar.Decision{Reason: registrar.ReasonWebhookDenied}
		if a.Reason != "" {
			d.Message = registrar.Explain(d.Reason).Message + ": " + a.Reason
		}
		return d
	}
}
