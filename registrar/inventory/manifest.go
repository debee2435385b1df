package inventory

import (
	"crypto/sha256"
	"fmt"
	"io"
	"time"

	"github.com/briskest/briskest/internal/manifest"
)

// manifest verifies a manifest of im.Manufacturer, and returns its devices as JSON lines
// and its signer.
func (im *Importer) manifest(in io.Reader) (list []byte, signer string, err error) {
	now := time.Now
	if im.Now != nil {
		now = im.Now
	}
	data, err := io.ReadAll(io.LimitReader(in, manifest.MaxBytes+1))
	if err != nil {
		return nil, "", err
	}
	m, err := manifest.Open(data, im.Anchors, now())
	if err != nil {
		return nil, "", err
	}
	if m.Manufacturer != "" && m.Manufacturer != im.Manufacturer {
		return nil, "", fmt.Errorf("it is of the manufacturer %.64q, not %q", m.Manufacturer, im.Manufacturer)
	}
	sum := sha256.Sum256(m.Signer.Raw)
	return m.Devices, fmt.Sprintf("%x", sum), nil
}
