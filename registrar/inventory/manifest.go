package inventory

import (
	"bytes"
	"crypto"
	"crypto/sha256"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/briskest/briskest/internal/jws"
	"github.com/briskest/briskest/internal/strictjson"
)

// ManifestType is the header typ of a manifest (RFC 7515, Section 4.1.9).
const ManifestType = "manufacturing-manifest+jws"

// MaxManifest is the most bytes of a manifest, which is verified as a whole
// before any of it is used.
const MaxManifest = 256 << 20

// manifestVersion is member "version" of the payload.
const manifestVersion = "1"

// manifest verifies a JWS in the general serialization (RFC 7515, Section
// 7.2.1): every signature, with the certificate that it comes with; at least one
// chains to the anchors. It returns the devices as JSON lines, and that signer.
func (im *Importer) manifest(in io.Reader) (list []byte, signer string, err error) {
	if im.Anchors == nil {
		return nil, "", errors.New("no certificates are configured that manifests may be signed with")
	}
	data, err := io.ReadAll(io.LimitReader(in, MaxManifest+1))
	switch {
	case err != nil:
		return nil, "", err
	case len(data) > MaxManifest:
		return nil, "", fmt.Errorf("more than %d bytes; divide it, or use CSV or JSON lines", MaxManifest)
	}
	message, err := jws.Parse(data, jws.Limits{Bytes: MaxManifest, Signatures: 4, Certificates: 8})
	if err != nil {
		return nil, "", err
	}
	cert, err := im.signer(message)
	if err != nil {
		return nil, "", err
	}
	list, err = im.payload(message.Payload)
	sum := sha256.Sum256(cert.Raw)
	return list, fmt.Sprintf("%x", sum), err
}

func (im *Importer) signer(message *jws.Message) (*x509.Certificate, error) {
	now := time.Now
	if im.Now != nil {
		now = im.Now
	}
	var trusted *x509.Certificate
	last := errors.New("it comes without the certificate of who signed it (header x5c)")
	for _, s := range message.Signatures {
		if len(s.Certificates) == 0 || s.HasType && s.Type != ManifestType {
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
			Roots: im.Anchors, Intermediates: others, CurrentTime: now(), KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageAny},
		})
		if last = err; err == nil && trusted == nil {
			trusted = s.Certificates[0]
		}
	}
	if trusted == nil {
		return nil, fmt.Errorf("nobody who may has signed it: %w", last)
	}
	return trusted, nil
}

// payload is an object of version, manufacturer, created_at and devices.
func (im *Importer) payload(data []byte) ([]byte, error) {
	limits := strictjson.Limits{Bytes: MaxManifest, Depth: 4, Members: 1 << 25}
	members, err := strictjson.Object(data, limits)
	if err != nil {
		return nil, err
	}
	var devices []byte
	for _, m := range members {
		text := ""
		if m.Name != "devices" {
			if text, err = strictjson.Text(m.Value); err != nil {
				return nil, fmt.Errorf("member %.64q is not text: %w", m.Name, err)
			}
		}
		switch {
		case m.Name == "devices":
			devices = m.Value
		case m.Name == "version" && text != manifestVersion:
			return nil, fmt.Errorf("version %.64q; this program reads %s", text, manifestVersion)
		case m.Name == columnManufacturer && text != im.Manufacturer:
			return nil, fmt.Errorf("it is of the manufacturer %.64q, not %q", text, im.Manufacturer)
		}
	}
	if devices == nil {
		return nil, errors.New("it has no member devices")
	}
	elements, err := strictjson.Array(devices, limits)
	if err != nil {
		return nil, err
	}
	if len(elements) == 0 {
		return nil, errors.New("it has no devices")
	}
	var lines bytes.Buffer
	for _, e := range elements {
		if err := json.Compact(&lines, e); err != nil {
			return nil, err
		}
		lines.WriteByte('\n')
	}
	return lines.Bytes(), nil
}

// SignManifest signs a manifest of JSON lines, as [Writer] writes them, with a
// key whose certificate, and those between it and an anchor, come first.
func SignManifest(manufacturer string, at time.Time, lines []byte, key crypto.Signer, chain []*x509.Certificate) ([]byte, error) {
	payload := struct {
		Version      string            `json:"version"`
		Manufacturer string            `json:"manufacturer"`
		CreatedAt    string            `json:"created_at"`
		Devices      []json.RawMessage `json:"devices"`
	}{manifestVersion, manufacturer, at.UTC().Format(time.RFC3339), []json.RawMessage{}}
	for line := range bytes.Lines(lines) {
		if line = bytes.TrimSpace(line); len(line) > 0 {
			payload.Devices = append(payload.Devices, line)
		}
	}
	text, err := json.Marshal(payload)
	if err != nil {
		return nil, err
	}
	return jws.Sign(&jws.SignRequest{Payload: text, Key: key, Certificates: chain, Type: ManifestType})
}
