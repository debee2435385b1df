// Package profile holds named certificate profiles (RFC 5280, Section 4): which names and
// keys are taken, what the certificate says, how long it lasts.
//
// A [Document] is what a person writes. [New] checks it in full, down to
// running zlint over certificates with generated names, and returns a
// [Profile], which never changes. The checks that each certificate pays are
// then structural: [Profile.Names] decides the names of a request,
// [Profile.CheckKey] its key, [Profile.Period] its validity, [Profile.TBS]
// builds what is signed and [Profile.CheckTBS] reads that back and compares it
// with the decision. Nothing here signs, stores or keeps time.
package profile

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"time"
)

// maxDocument bounds the JSON of a document, in bytes.
const maxDocument = 256 << 10

// Profile is a checked document. It may be used by many at once.
type Profile struct {
	doc      Document
	version  string
	subject  subjectRules
	san      nameRules
	keys     []keyRule
	sigAlg   SignatureAlgorithm
	content  fixedContent
	period   period
	policy   Policy
	warnings []string
	blocked  *BlockedKeys // nil: none
}

// Policy is what a profile says to those who decide about requests, beyond
// names, keys and validity.
type Policy struct {
	// ServerKeyGeneration is "off", "cleartext" or "encrypted" (RFC 7030, Section 4.4).
	ServerKeyGeneration string
	// ServerKeyAlgorithm is a keystore algorithm; empty when off.
	ServerKeyAlgorithm string
	// ServerKeyWishes are further ones, for clients that ask for them.
	ServerKeyWishes []string
	// ExpiredGrace is how long after its end a certificate renews itself.
	ExpiredGrace time.Duration
	// MaxRenewals in a row; 0: no limit.
	MaxRenewals int
	// RenewalWindow before the certificate's end; 0: at any time.
	RenewalWindow time.Duration
	// RefuseSameKey makes a renewal bring a new key.
	RefuseSameKey bool
	// RefuseSharedKey refuses a key that another device holds a valid certificate of.
	RefuseSharedKey bool
	// ChangeNames lets a renewal ask for other names, by the ChangeSubjectName of RFC 6402, Section 2.8.
	ChangeNames bool
	// Linking is "if-present", "required" or "off" (RFC 7030, Section 3.5).
	Linking string
	// AllowSameNameOtherKey lets a name enroll again with another key.
	AllowSameNameOtherKey bool
}

// New checks the document in full and returns the profile. Each error wraps
// [ErrDocument] and names the field; there may be several in one. The document
// is copied.
func New(d *Document) (*Profile, error) {
	canonical, err := json.Marshal(d)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrDocument, err)
	}
	if len(canonical) > maxDocument {
		return nil, fmt.Errorf("%w: the document takes %d bytes, more than %d", ErrDocument, len(canonical), maxDocument)
	}
	p := new(Profile)
	if err := json.Unmarshal(canonical, &p.doc); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrDocument, err)
	}
	digest := sha256.Sum256(canonical)
	p.version = p.doc.Version + "-" + hex.EncodeToString(digest[:6])
	c := compiler{doc: &p.doc}
	c.compile(p)
	if err := errors.Join(c.problems...); err != nil {
		return nil, err
	}
	if p.warnings, err = p.lint(); err != nil {
		return nil, err
	}
	return p, nil
}

// Load decodes a document with decode, which must refuse keys that the
// [Document] does not have, and checks it as [New] does.
func Load(data []byte, decode func(data []byte, into any) error) (*Profile, error) {
	if len(data) > maxDocument {
		return nil, fmt.Errorf("%w: the document takes %d bytes, more than %d", ErrDocument, len(data), maxDocument)
	}
	var d Document
	if err := decode(data, &d); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrDocument, err)
	}
	return New(&d)
}

// ParseJSON is [Load] for a document in JSON.
func ParseJSON(data []byte) (*Profile, error) {
	return Load(data, func(data []byte, into any) error {
		dec := json.NewDecoder(bytes.NewReader(data))
		dec.DisallowUnknownFields()
		if err := dec.Decode(into); err != nil {
			return err
		}
		if _, err := dec.Token(); !errors.Is(err, io.EOF) {
			return errors.New("there is more after the document")
		}
		return nil
	})
}

// Name returns the profile's name.
func (p *Profile) Name() string { return p.doc.Name }

// Version returns the document's version, "-", and 12 hex digits of its
// digest: two documents that differ in anything have different versions.
func (p *Profile) Version() string { return p.version }

// Document returns a copy of the document.
func (p *Profile) Document() *Document {
	data, err := json.Marshal(&p.doc)
	d := new(Document)
	if err = errors.Join(err, json.Unmarshal(data, d)); err != nil {
		panic("profile: internal error: " + err.Error())
	}
	return d
}

// Policy returns what the profile says beyond names, keys and validity.
func (p *Profile) Policy() Policy { return p.policy }

// Warnings returns what the linter found that is no error, one line each.
func (p *Profile) Warnings() []string { return append([]string(nil), p.warnings...) }

// Authority says whether the profile makes CAs and how many may stand below
// each; -1 is any number.
func (p *Profile) Authority() (isCA bool, pathLength int) {
	b := p.doc.BasicConstraints
	switch {
	case b == nil || !b.CA:
		return false, -1
	case b.PathLength == nil:
		return true, -1
	default:
		return true, *b.PathLength
	}
}
