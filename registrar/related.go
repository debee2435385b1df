package registrar

import (
	"context"
	"encoding/hex"
)

// Commonality is something that a device has in common with others.
type Commonality struct {
	// Of is what: "key", "credential", "issuer" of certificates; "group",
	// "manufacturer", "model", "batch", "firmware", "secure-element", "tpm" or "hardware-module" of devices.
	Of    string
	Value string // of a key the SHA-256 of its SubjectPublicKeyInfo, in hex
	// Devices is how many have it, this one included; counting stops at MaxRelated.
	Devices int
	Serials []string // of the first others, 10 at most
}

// MaxRelated bounds how many devices, or certificates, are looked at for each
// thing that they have in common.
const MaxRelated = 100_000

// firstRelated is how many others are named.
const firstRelated = 10

// Related returns what a device has in common with others, rarest first to be
// looked into: who else has this key, this credential, this issuer, this
// firmware. What it has alone is there too, with one device.
func (s *Service) Related(ctx context.Context, domain, ref string) ([]*Commonality, error) {
	v, err := s.inDomain(domain)
	if err != nil {
		return nil, err
	}
	view, err := s.Device(ctx, v.Domain, ref)
	if err != nil {
		return nil, err
	}
	d := view.Device
	out, err := s.sharedCertificates(ctx, v, view)
	if err != nil {
		return nil, err
	}
	for _, q := range []struct {
		of, value string
		query     DeviceQuery
	}{
		{"hardware-module", d.HardwareModule, DeviceQuery{HardwareModule: d.HardwareModule}},
		{"secure-element", d.SecureElement, DeviceQuery{SecureElement: d.SecureElement}},
		{"tpm", d.TPM, DeviceQuery{TPM: d.TPM}},
		{"firmware", d.Firmware, DeviceQuery{Firmware: d.Firmware}},
		{"batch", d.Batch, DeviceQuery{Batch: d.Batch}},
		{"model", d.Model, DeviceQuery{Model: d.Model}},
		{"group", d.Group, DeviceQuery{Group: d.Group}},
		{"manufacturer", d.Manufacturer, DeviceQuery{Manufacturer: d.Manufacturer}},
	} {
		if q.value == "" {
			continue
		}
		c := &Commonality{Of: q.of, Value: q.value}
		if err := s.countDevices(ctx, v, &q.query, d.ID, c); err != nil {
			return nil, err
		}
		out = append(out, c)
	}
	return out, nil
}

// countDevices counts the devices that a query finds.
func (s *Service) countDevices(ctx context.Context, v *version, q *DeviceQuery, own string, c *Commonality) error {
	q.Domain, q.Limit = v.Domain, maxList
	for {
		page, err := s.store.QueryDevices(ctx, q)
		if err != nil {
			return err
		}
		c.Devices += len(page.Devices)
		for _, d := range page.Devices {
			if d.ID != own && len(c.Serials) < firstRelated {
				c.Serials = append(c.Serials, d.SerialNumber)
			}
		}
		if page.Next == "" || c.Devices >= MaxRelated {
			return nil
		}
		q.After = page.Next
	}
}

// sharedCertificates counts the devices whose certificates have the same key,
// credential or issuer.
func (s *Service) sharedCertificates(ctx context.Context, v *version, view *DeviceView) ([]*Commonality, error) {
	var out []*Commonality
	seen := map[[2]string]bool{}
	for _, row := range view.Certificates {
		for _, q := range []struct {
			of, value string
			query     CertificateQuery
		}{
			{"key", hex.EncodeToString(row.KeyHash[:]), CertificateQuery{KeyHash: row.KeyHash[:]}},
			{"credential", row.Credential, CertificateQuery{Credential: row.Credential}},
			{"issuer", row.Issuer, CertificateQuery{Issuer: row.Issuer}},
		} {
			if key := [2]string{q.of, q.value}; q.value == "" || seen[key] {
				continue
			} else {
				seen[key] = true
			}
			c := &Commonality{Of: q.of, Value: q.value}
			q.query.Domain = v.Domain
			if err := s.countHolders(ctx, v, &q.query, view.Device.ID, c); err != nil {
				return nil, err
			}
			out = append(out, c)
		}
	}
	return out, nil
}

// countHolders counts the devices of the certificates that a query finds.
func (s *Service) countHolders(ctx context.Context, v *version, q *CertificateQuery, own string, c *Commonality) error {
	holders := map[string]bool{}
	looked := 0
	err := s.eachPage(ctx, q, func(page []*Certificate) bool {
		for _, row := range page {
			holders[row.DeviceID] = true
		}
		looked += len(page)
		return looked < MaxRelated
	})
	if err != nil {
		return err
	}
	c.Devices = len(holders)
	for id := range holders {
		if id == own || len(c.Serials) == firstRelated {
			continue
		}
		d, err := found(s.store.Device(ctx, v.Domain, id))
		if err != nil {
			return err
		}
		if d != nil {
			c.Serials = append(c.Serials, d.SerialNumber)
		}
	}
	return nil
}
