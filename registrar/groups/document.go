// Package groups puts devices into groups by rules that operators write. Start with
// [Parse], which reads a [Document], and [New], which compiles it into a [Set]: a
// registrar.Grouping.
//
// Rules are CEL expressions over what is known of a device; see docs/groups.md for
// the facts, and whom each may be believed. They are compiled once and bounded
// before: no loops, patterns that are written out, and at most [MaxEvaluated]
// evaluations a device. Rules that ask for equality, a list or a prefix are found by
// index, so that their number costs nothing. Nothing here stores, signs or keeps time.
package groups

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/briskest/briskest/internal/strictjson"
)

// Limits of a document.
const (
	MaxDocument    = 4 << 20   // bytes of JSON
	MaxGroups      = 10_000    // in a document
	MaxExpression  = 2048      // characters of one expression
	MaxExpressions = 512 << 10 // characters of all expressions together
	MaxRequire     = 16        // requirements of a group
	MaxEvaluated   = 256       // expressions that may have to be evaluated to place a device
	maxName        = 64
	maxText        = 512
	maxValues      = 64 // applications of a group, and values in each list
)

// ErrDocument says what is wrong with a document; the text names the group.
var ErrDocument = errors.New("the groups document")

// Document is what a person writes, in YAML or JSON.
type Document struct {
	Schema int     `yaml:"schema" json:"schema"` // 1
	Groups []Group `yaml:"groups" json:"groups"`
}

// Group is one group of a document.
type Group struct {
	// Name is 1 to 64 lower-case letters, digits, "-", "_" and ".", the first a letter or digit; unique.
	Name        string `yaml:"name" json:"name"`
	Description string `yaml:"description,omitempty" json:"description,omitempty"`
	// Priority orders groups, the highest first; equal ones are asked in the order of the document.
	Priority int `yaml:"priority,omitempty" json:"priority,omitempty"`
	// Match is the rule, a CEL expression; empty for a group that operators put devices into by name.
	Match string `yaml:"match,omitempty" json:"match,omitempty"`
	// AllowRequestFacts lets Match read request.*, which devices choose freely.
	AllowRequestFacts bool `yaml:"allow_request_facts,omitempty" json:"allow_request_facts,omitempty"`
	// Decision is "" (the label's rules decide), "deny", "approve" or "webhook".
	Decision string `yaml:"decision,omitempty" json:"decision,omitempty"`
	// Profile, Lifetime and RenewalWindow replace the label's; empty leaves them.
	Profile       string   `yaml:"profile,omitempty" json:"profile,omitempty"`
	Lifetime      Duration `yaml:"lifetime,omitempty" json:"lifetime,omitempty"`
	RenewalWindow Duration `yaml:"renewal_window,omitempty" json:"renewal_window,omitempty"`
	// Names are values for the profile's templates: {attribute.group_KEY}.
	Names        map[string]string      `yaml:"names,omitempty" json:"names,omitempty"`
	Applications map[string]Application `yaml:"applications,omitempty" json:"applications,omitempty"`
	// Baseline is the reference of a baseline document.
	Baseline string        `yaml:"baseline,omitempty" json:"baseline,omitempty"`
	Require  []Requirement `yaml:"require,omitempty" json:"require,omitempty"`
}

// Application is an entitlement of a group's devices.
type Application struct {
	Profile   string   `yaml:"profile,omitempty" json:"profile,omitempty"`
	Names     []string `yaml:"names,omitempty" json:"names,omitempty"`
	Endpoints []string `yaml:"endpoints,omitempty" json:"endpoints,omitempty"`
	Publish   []string `yaml:"publish,omitempty" json:"publish,omitempty"`
	Subscribe []string `yaml:"subscribe,omitempty" json:"subscribe,omitempty"`
}

// Requirement is a condition that the group's devices have to meet when they enroll,
// renew or ask for a voucher.
type Requirement struct {
	Name    string `yaml:"name" json:"name"`
	That    string `yaml:"that" json:"that"`       // a CEL expression that must be true
	Message string `yaml:"message" json:"message"` // what to do where it is not
}

// Duration is a time.Duration written as "36h" or, in days of 24 hours, "30d".
type Duration time.Duration

// UnmarshalText reads a duration that is positive and at most 100 years.
func (d *Duration) UnmarshalText(text []byte) error {
	const days = 36500
	var n int
	if got, err := fmt.Sscanf(string(text), "%dd", &n); got == 1 && err == nil && string(text) == fmt.Sprintf("%dd", n) && n > 0 && n <= days {
		*d = Duration(time.Duration(n) * 24 * time.Hour)
		return nil
	}
	parsed, err := time.ParseDuration(string(text))
	if err != nil || parsed <= 0 || parsed > days*24*time.Hour {
		return fmt.Errorf("%.40q is not a duration such as 12h or 30d", text)
	}
	*d = Duration(parsed)
	return nil
}

// MarshalText writes what UnmarshalText reads.
func (d Duration) MarshalText() ([]byte, error) {
	const day = 24 * time.Hour
	if t := time.Duration(d); t > 0 && t%day == 0 {
		return fmt.Appendf(nil, "%dd", t/day), nil
	}
	return []byte(time.Duration(d).String()), nil
}

// Parse reads a document in JSON. Unknown and repeated members are refused, and
// what is larger than the limits before it is decoded. Errors wrap [ErrDocument].
func Parse(data []byte) (*Document, error) {
	limits := strictjson.Limits{Bytes: MaxDocument, Depth: 8, Members: 500_000}
	if err := strictjson.Value(data, limits, 1); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrDocument, err)
	}
	dec := json.NewDecoder(bytes.NewReader(data))
	dec.DisallowUnknownFields()
	d := new(Document)
	if err := dec.Decode(d); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrDocument, err)
	}
	return d, nil
}

// JSON returns the document as it is stored: the same for equal documents.
func (d *Document) JSON() ([]byte, error) {
	data, err := json.Marshal(d)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrDocument, err)
	}
	return data, nil
}
