// Package manifest is the signed list of devices that a manufacturer hands to those who
// buy them: a JWS (RFC 7515) whose payload is a JSON object of version, manufacturer,
// created_at and devices, each of which is a row as registrars import them.
//
// [Sign] makes one, and [Open] verifies one: every signature, of which one at least is by
// a certificate that chains to the anchors. What the rows mean it does not know.
package manifest

import (
	"bytes"
	"crypto"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/briskest/briskest/internal/jws"
	"github.com/briskest/briskest/internal/strictjson"
)

const (
	// Type is the header typ of a manifest (RFC 7515, Section 4.1.9).
	Type = "manufacturing-manifest+jws"
	// MediaType is that of a JWS in JSON (RFC 7515, Section 9.2.1).
	MediaType = "application/jose+json"
	// MaxBytes is the most bytes of a manifest, which is verified as a whole before any of
	// it is used.
	MaxBytes = 256 << 20

	version = "1"
)

// ErrUntrusted says that nobody signed the manifest who may.
var ErrUntrusted = errors.New("nobody who may has signed the manifest")

// Manifest is one that was verified.
type Manifest struct {
	Manufacturer string
	CreatedAt    string // as it says; RFC 3339
	Devices      []byte // JSON objects, one a line
	Signer       *x509.Certificate
}

// Is tells whether a file that begins so is a JWS in JSON, and not a line of JSON.
func Is(start []byte) bool {
	start = bytes.TrimSpace(bytes.TrimPrefix(start, []byte("\xef\xbb\xbf")))
	if !bytes.HasPrefix(start, []byte("{")) {
		return false
	}
	first := bytes.TrimSpace(start[1:])
	for _, member := range []string{`"payload"`, `"signatures"`, `"protected"`, `"signature"`} { // RFC 7515, Section 7.2
		if bytes.HasPrefix(first, []byte(member)) {
			return true
		}
	}
	return false
}

// Open verifies a manifest of at most MaxBytes, at a time, against the anchors of who may
// sign it; nil anchors trust nobody. An error that is about the signer wraps [ErrUntrusted].
func Open(data []byte, anchors *x509.CertPool, at time.Time) (*Manifest, error) {
	if anchors == nil {
		return nil, fmt.Errorf("%w: no certificates are configured that manifests may be signed with", ErrUntrusted)
	}
	if len(data) > MaxBytes {
		return nil, fmt.Errorf("more than %d bytes; divide it, or use CSV or JSON lines", MaxBytes)
	}
	message, err := jws.Parse(data, jws.Limits{Bytes: MaxBytes, Signatures: 4, Certificates: 8})
	if err != nil {
		return nil, err
	}
	signer, err := trusted(message, anchors, at)
	if err != nil {
		return nil, err
	}
	m, err := payload(message.Payload)
	if err != nil {
		return nil, err
	}
	m.Signer = signer
	return m, nil
}

// trusted verifies every signature, and returns the first signer who chains to the anchors.
func trusted(message *jws.Message, anchors *x509.CertPool, at time.Time) (*x509.Certificate, error) {
	var signer *x509.Certificate
	last := errors.New("it comes without the certificate of who signed it (header x5c)")
	for _, s := range message.Signatures {
		if len(s.Certificates) == 0 || s.HasType && s.Type != Type {
			continue
		}
		if err := s.Verify(s.Certificates[0].PublicKey); err != nil {
			return nil, err // it was changed
		}
		others := x509.NewCertPool()
		for _, c := range s.Certificates[1:] {
			others.AddCert(c)
		}
		_, err := s.Certificates[0].Verify(x509.VerifyOptions{
			Roots: anchors, Intermediates: others, CurrentTime: at, KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageAny},
		})
		if last = err; err == nil && signer == nil {
			signer = s.Certificates[0]
		}
	}
	if signer == nil {
		return nil, fmt.Errorf("%w: %w", ErrUntrusted, last)
	}
	return signer, nil
}

func payload(data []byte) (*Manifest, error) {
	limits := strictjson.Limits{Bytes: MaxBytes, Depth: 4, Members: 1 << 25}
	members, err := strictjson.Object(data, limits)
	if err != nil {
		return nil, err
	}
	m := &Manifest{}
	var devices []byte
	for _, member := range members {
		if member.Name == "devices" {
			devices = member.Value
			continue
		}
		text, err := strictjson.Text(member.Value)
		if err != nil {
			return nil, fmt.Errorf("member %.64q is not text: %w", member.Name, err)
		}
		switch member.Name {
		case "version":
			if text != version {
				return nil, fmt.Errorf("version %.64q; this program reads %s", text, version)
			}
		case "manufacturer":
			m.Manufacturer = text
		case "created_at":
			m.CreatedAt = text
		}
	}
	if devices == nil {
		return nil, errors.New("it has no member devices")
	}
	m.Devices, err = lines(devices, limits)
	return m, err
}

// lines writes the elements of a JSON array one a line.
func lines(array []byte, limits strictjson.Limits) ([]byte, error) {
	elements, err := strictjson.Array(array, limits)
	if err != nil {
		return nil, err
	}
	if len(elements) == 0 {
		return nil, errors.New("it has no devices")
	}
	var out bytes.Buffer
	for _, e := range elements {
		if err := json.Compact(&out, e); err != nil {
			return nil, err
		}
		out.WriteByte('\n')
	}
	return out.Bytes(), nil
}

// Sign makes a manifest of JSON objects, one a line, with a key whose certificate, and
// those between it and an anchor, come first in chain. What [Open] would not take for its
// size is an error.
func Sign(manufacturer string, at time.Time, lines []byte, key crypto.Signer, chain []*x509.Certificate) ([]byte, error) {
	text := struct {
		Version      string            `json:"version"`
		Manufacturer string            `json:"manufacturer"`
		CreatedAt    string            `json:"created_at"`
		Devices      []json.RawMessage `json:"devices"`
	}{version, manufacturer, at.UTC().Format(time.RFC3339), []json.RawMessage{}}
	for line := range bytes.Lines(lines) {
		if line = bytes.TrimSpace(line); len(line) > 0 {
			text.Devices = append(text.Devices, line)
		}
	}
	payload, err := json.Marshal(text)
	if err != nil {
		return nil, err
	}
	out, err := jws.Sign(&jws.SignRequest{Payload: payload, Key: key, Certificates: chain, Type: Type})
	if err == nil && len(out) > MaxBytes {
		err = fmt.Errorf("the manifest has %d bytes; at most %d are taken: divide it", len(out), MaxBytes)
	}
	return out, err
}
