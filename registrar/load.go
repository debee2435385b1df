package registrar

import "context"

// forgetRecord drops what was read of the device.
func (c *Case) forgetRecord() {
	c.Device, c.NameOwner, c.Voucher, c.Current, c.Held, c.KeyCompromised, c.KeyElsewhere = nil, nil, nil, nil, nil, false, false
	c.loadRepeatable()
}

// loadEnrollment reads the facts about the device, and with key whether the key
// is known to be compromised.
func (s *Service) loadEnrollment(ctx context.Context, v *version, c *Case, key bool) *Decision {
	const rule = "inventory"
	var err error
	switch {
	case c.aboutItself():
		if c.Device, err = s.store.Device(ctx, v.Domain, c.Identity.Device.ID); err == nil && c.NewNames != nil {
			err = s.loadOwner(ctx, v, c)
		}
	case c.Identity.Kind == IDevID:
		c.Device, err = found(s.store.DeviceBySerialNumber(ctx, v.Domain, c.Manufacturer.Name, c.SerialNumber))
	default:
		err = s.loadNamed(ctx, v, c)
	}
	if err == nil && c.Device != nil && c.Identity.Kind == IDevID && c.Device.IDevID != nil {
		c.Voucher, err = found(s.store.LatestVoucher(ctx, v.Domain, c.Device.ID))
	}
	if err == nil && key {
		c.KeyCompromised, err = s.compromised(ctx, v, c.KeyHash)
	}
	if err == nil && c.Label.Profile.Rules().RefuseSharedKey && c.Generate == nil {
		c.KeyElsewhere, err = s.keyElsewhere(ctx, v, c)
	}
	// A device that never got a certificate has none to look for; a state
	// other than these is refused by the policy.
	if err == nil && c.Device != nil {
		err = s.loadCertificates(ctx, v, c)
	}
	if err != nil {
		return storeFailed(rule, err)
	}
	return nil
}

// loadNamed finds the device by the name the request enrolls.
func (s *Service) loadNamed(ctx context.Context, v *version, c *Case) error {
	devices, err := s.store.FindDevices(ctx, v.Domain, c.SerialNumber)
	for _, d := range devices {
		if d.Manufacturer == "" {
			c.Device = d
		} else {
			c.NameOwner = d
		}
	}
	for _, name := range c.foreignNames() {
		if err != nil || c.NameOwner != nil {
			break
		}
		if devices, err = s.store.FindIDevIDs(ctx, v.Domain, name); len(devices) > 0 {
			c.NameOwner = devices[0]
		}
	}
	return err
}

// loadOwner finds another device that the new names of a renewal are of: the
// one known by the name that counts, or one with an IDevID.
func (s *Service) loadOwner(ctx context.Context, v *version, c *Case) error {
	devices, err := s.store.FindDevices(ctx, v.Domain, EnrolledName(c.Subject, &c.Names))
	names := c.foreignNames()
	for i := 0; err == nil; i++ {
		for _, d := range devices {
			if d.ID != c.Identity.Device.ID {
				c.NameOwner = d
				return nil
			}
		}
		if i == len(names) {
			return nil
		}
		devices, err = s.store.FindIDevIDs(ctx, v.Domain, names[i])
	}
	return err
}

// foreignNames are the names that must not be those of a device with an IDevID,
// for who asks by a name: an operator may, and who may where the label says so.
func (c *Case) foreignNames() []string {
	if c.Identity.Kind == Operator || c.Label.AllowForeignNames {
		return nil
	}
	return claimedNames(c.Subject, &c.Names)
}

func (s *Service) loadCertificates(ctx context.Context, v *version, c *Case) error {
	var err error
	c.Current, err = found(s.store.CurrentCertificate(ctx, &CurrentQuery{
		Domain: v.Domain, DeviceID: c.Device.ID, KeyHash: c.KeyHash, NamesHash: c.NamesHash,
	}))
	rules := c.Label.Profile.Rules()
	if err != nil || rules.AllowSameNameOtherKey && rules.MaxRenewals == 0 && c.Generate == nil {
		return err
	}
	var status CertificateStatus // replaced ones count only where renewals, or generated keys, are counted
	if rules.MaxRenewals == 0 && c.Generate == nil {
		status = Issued
	}
	c.Held, err = s.heldBy(ctx, v, c.Device.ID, status)
	c.loadRepeatable()
	return err
}

// compromised tells whether a certificate of the key was revoked because others
// have the key. The store looks once more when the intent is recorded, which is
// all that is done where the case is supposed.
func (s *Service) compromised(ctx context.Context, v *version, key [32]byte) (bool, error) {
	found := false
	err := s.eachCertificate(ctx, &CertificateQuery{Domain: v.Domain, KeyHash: key[:], Status: Revoked}, func(row *Certificate) {
		found = found || row.RevokeReason == 1 || row.RevokeReason == 2 || row.RevokeReason == 10 // RFC 5280, Section 5.3.1
	})
	return found, err
}

// keyElsewhere tells whether another device holds a certificate of the case's key
// that is valid, or on hold.
func (s *Service) keyElsewhere(ctx context.Context, v *version, c *Case) (bool, error) {
	const onHold = 6 // RFC 5280, Section 5.3.1
	found := false
	err := s.eachCertificate(ctx, &CertificateQuery{Domain: v.Domain, KeyHash: c.KeyHash[:]}, func(row *Certificate) {
		valid := row.Status == Issued || row.Status == Intended || row.Status == Revoked && row.RevokeReason == onHold
		other := c.Device == nil || row.DeviceID != c.Device.ID
		found = found || valid && other && c.At.Before(row.NotAfter)
	})
	return found, err
}

// heldBy returns every certificate of a device in a status, "" for any.
func (s *Service) heldBy(ctx context.Context, v *version, device string, status CertificateStatus) ([]*Certificate, error) {
	var held []*Certificate
	err := s.eachCertificate(ctx, &CertificateQuery{Domain: v.Domain, DeviceID: device, Status: status}, func(row *Certificate) {
		held = append(held, row)
	})
	return held, err
}

// eachCertificate calls do for every certificate that q asks for, a page at a time.
func (s *Service) eachCertificate(ctx context.Context, q *CertificateQuery, do func(row *Certificate)) error {
	q.Limit = maxHeld
	for {
		page, err := s.store.ListCertificates(ctx, q)
		if err != nil {
			return err
		}
		for _, row := range page {
			do(row)
		}
		if len(page) < q.Limit {
			return nil
		}
		q.After = page[len(page)-1].ID
	}
}
