package registrar

import (
	"context"
	"crypto"
	"crypto/sha256"
	"crypto/x509"
	"errors"

	"github.com/briskest/briskest/est"
)

// Enroll implements est.Backend (RFC 7030, Section 4.2).
//
// What a peer may enroll: a device with HTTP credentials its user name, or any
// name the profile allows where they are a group's; with a Bearer token or a
// one-time code the device that it is for; a manufacturer's IDevID
// its own serial number; a third party's certificate the names it has; a certificate of ours exactly the names it has, in
// both operations, which are both its renewal; an RA anything the profile
// allows, where the label says so.
func (s *Service) Enroll(ctx context.Context, r *est.EnrollRequest) ([]byte, error) {
	v := s.current.Load()
	c := s.estCase(v, &r.Request)
	raw, d := s.enroll(ctx, v, c, r)
	if d != nil {
		return nil, s.refuse(ctx, c, d)
	}
	return raw, nil
}

func (s *Service) enroll(ctx context.Context, v *version, c *Case, r *est.EnrollRequest) ([]byte, *Decision) {
	if c.Label == nil {
		return nil, deny(ReasonUnknownLabel, "label")
	}
	if d := s.addressBudget(v, c, true); d != nil {
		return nil, d
	}
	c.CSR, c.otp = r.CSR.CertificateRequest, r.CSR.OTPChallenge
	if d := s.identify(ctx, v, c, r.Peer); d != nil {
		return nil, d
	}
	// Who shows a certificate of ours and asks for its names renews it, whatever
	// path it posts to (RFC 7030, Section 4.2.2).
	if c.Identity.Kind == LDevID {
		c.Operation, c.Posted = OpRenew, c.Operation
	}
	if d := s.place(ctx, v, c); d != nil {
		return nil, d
	}
	if c.Generate != nil {
		if d := c.mayGenerate(); d != nil {
			return nil, d
		}
	}
	if d := checkBinding(c.Label, c, r); d != nil {
		return nil, d
	}
	return s.enrollCSR(ctx, v, c, r.CSR)
}

// enrollCSR decides about a request whose sender is known, and issues: here all
// roads come together.
func (s *Service) enrollCSR(ctx context.Context, v *version, c *Case, csr *est.CSR) ([]byte, *Decision) {
	// An attribute that is present has to hold (RFC 7894, Section 2): a code that nobody has looked at does not.
	if csr.OTPChallenge != "" && (c.otp != csr.OTPChallenge || c.code() == nil) {
		return nil, denyText(ReasonMethodNotAllowed, "otp-challenge", "one-time codes are not taken here; leave otpChallenge out of the CSR")
	}
	if c.CSR = csr.CertificateRequest; c.Evidence == nil {
		c.Evidence = evidence(c.Label, csr)
	}
	if d := s.place(ctx, v, c); d != nil {
		return nil, d
	}
	if d := renamed(c); d != nil {
		return nil, d
	}
	if d := decideNames(c); d != nil {
		return nil, d
	}
	if c.placedAs != "" && c.SerialNumber != c.placedAs {
		return nil, deny(ReasonGroupNames, "group")
	}
	return s.enrollAsking(ctx, v, c)
}

// decideNames has the profile decide key and names, and finds out which device
// the request is about.
func decideNames(c *Case) *Decision {
	p := c.Label.Profile
	if d := checkExtensions(c.CSR); d != nil {
		return d
	}
	if d := checkUsage(c); d != nil {
		return d
	}
	if c.Generate == nil { // otherwise there is none yet
		if err := p.CheckKey(c.CSR.PublicKey); err != nil {
			return &Decision{Reason: ReasonKeyRefused, Rule: "key", Message: sentence(ReasonKeyRefused, err), Err: err}
		}
		c.KeyHash = sha256.Sum256(c.CSR.RawSubjectPublicKeyInfo)
	}
	var err error
	if c.Subject, c.Names, err = p.Names(c.knownFacts(), c.asked()); err != nil {
		return &Decision{Reason: ReasonNamesRefused, Rule: "names", Message: sentence(ReasonNamesRefused, err), Err: err}
	}
	c.NamesHash = namesHash(c.Subject, &c.Names)
	switch {
	case c.aboutItself():
		c.SerialNumber = c.Identity.Device.SerialNumber
	case c.Identity.Kind != IDevID:
		if c.SerialNumber = EnrolledName(c.Subject, &c.Names); c.SerialNumber == "" {
			return deny(ReasonNoName, "name")
		}
	}
	if len(c.SerialNumber) > maxUser {
		return denyText(ReasonNamesRefused, "name", "the device's name is too long")
	}
	return nil
}

// sentence is the reason's text with the profile's explanation after it.
func sentence(reason string, err error) string { return Explain(reason).Message + ": " + err.Error() }

// knownFacts is what the record, and not the request, says about the device.
func (c *Case) knownFacts() *Facts {
	f := &Facts{Domain: c.Domain, Label: c.Label.Name, IDevID: c.idevid}
	switch {
	case c.Identity.Kind == IDevID:
		f.Manufacturer, f.SerialNumber = c.Manufacturer.Name, c.SerialNumber
	case c.aboutItself():
		d := c.Identity.Device
		f.DeviceID, f.Manufacturer, f.SerialNumber = d.ID, d.Manufacturer, d.SerialNumber
	case c.Identity.Kind == Client:
		if subject, names, err := certificateNames(c.Identity.Certificate); err == nil {
			f.SerialNumber = EnrolledName(subject, names)
		}
	default:
		f.SerialNumber, _ = c.Identity.Named()
	}
	if c.grouped != nil {
		f.Model = c.grouped.Model
	}
	if c.Placement != nil && c.Placement.Group != nil {
		f.Group, f.GroupNames = c.Placement.Name, c.Placement.Group.Names
	}
	return f
}

// idevid is the device's IDevID as it authenticates or as it is on record; nil for none.
func (c *Case) idevid() *x509.Certificate {
	switch {
	case c.Identity.Kind == IDevID:
		return c.Identity.Certificate
	case c.aboutItself() && c.Identity.Device.IDevID != nil:
		cert, err := x509.ParseCertificate(c.Identity.Device.IDevID)
		if err == nil {
			return cert
		}
	}
	return nil
}

// manufacturer is the name under which the case's device is in the inventory.
func (c *Case) manufacturer() string {
	switch {
	case c.Manufacturer != nil:
		return c.Manufacturer.Name
	case c.aboutItself():
		return c.Identity.Device.Manufacturer
	default:
		return ""
	}
}

// aboutItself tells whether the peer's certificate of ours asks for its own device.
func (c *Case) aboutItself() bool {
	return c.Identity.Kind == LDevID || c.Identity.Kind == RA && c.Operation == OpRenew
}

// enrollLocked decides and issues while nobody else does for the same device.
func (s *Service) enrollLocked(ctx context.Context, v *version, c *Case) ([]byte, *Decision) {
	key := deviceKey(c.manufacturer(), c.SerialNumber)
	spender := c.spender(key)
	unlock, err := s.devices.lockAmong(ctx, key, perDeviceQueue)
	if err != nil {
		d := overloaded("device-lock")
		d.Err = err
		return nil, d
	}
	defer unlock()
	if code := c.code(); code != nil { // always after the device's lock, so that nobody waits for each other
		unlockCode, err := s.devices.lock(ctx, codeKey(code.User))
		if err != nil {
			return nil, &Decision{Reason: ReasonOverload, Rule: "code-lock", RetryAfter: v.Limits.PollAfter, Err: err}
		}
		defer unlockCode()
	}
	if c.Label.Profile.Rules().RefuseSharedKey && c.Generate == nil { // last, for the same reason
		unlockKey, err := s.devices.lock(ctx, "key\x00"+string(c.KeyHash[:]))
		if err != nil {
			return nil, &Decision{Reason: ReasonOverload, Rule: "key-lock", RetryAfter: v.Limits.PollAfter, Err: err}
		}
		defer unlockKey()
	}
	leave, d := s.admit(ctx, v, c)
	if d != nil {
		return nil, d
	}
	defer leave()
	if d := s.stillGood(ctx, v, c); d != nil {
		return nil, d
	}
	// The record may say something else when it is written than when it was
	// read, or supposed; the second round sees what it says.
	for round := 0; ; round++ {
		if round > 0 && c.code() != nil { // it may be the code that is not as it was
			if d := s.stillGood(ctx, v, c); d != nil {
				return nil, d
			}
		}
		d := s.decide(ctx, v, c, round == 0)
		if d.Verdict != Deny {
			if bad := s.protectKey(ctx, v, c); bad != nil {
				return nil, bad
			}
		}
		if d.Verdict == Wait {
			d = s.resolve(ctx, v, c, d)
		}
		switch {
		case d.Verdict != Allow:
			return nil, d
		case d.Again:
			return c.Current.Raw, nil
		}
		if d := s.deviceBudget(v, c, spender, false); d != nil {
			return nil, d
		}
		if d := s.makeKey(ctx, c); d != nil {
			return nil, d
		}
		raw, refused := s.issue(ctx, v, c, d)
		if refused == nil {
			_ = s.deviceBudget(v, c, spender, true) // there was room a moment ago
		}
		if refused == nil || round > 0 || !errors.Is(refused.Err, ErrConflict) {
			return raw, refused
		}
	}
}

// decide loads the facts and has the policy decide. Most enrollments by name
// are of a name that nobody has: with suppose, that is taken for granted where
// the policy then allows, and the intent is recorded only if it is so.
func (s *Service) decide(ctx context.Context, v *version, c *Case, suppose bool) *Decision {
	c.forgetRecord()
	known := c.aboutItself() || c.Identity.Kind == IDevID || c.Generate != nil && c.Generate.request.CertificateKeyID != nil ||
		c.Label.Profile.Rules().RefuseSharedKey || s.openings.has(deviceKey(c.manufacturer(), c.SerialNumber))
	if c.Supposed = suppose && !known; c.Supposed {
		if d := s.decidedBy(v, c); d.Verdict == Allow {
			return d
		}
		c.Supposed = false
	}
	// Nothing is issued to a compromised key: the record refuses the intent. So
	// it is looked for here only where that may not be asked.
	if d := s.loadEnrollment(ctx, v, c, !suppose); d != nil {
		return d
	}
	d := s.decidedBy(v, c)
	if !suppose || d.Verdict == Deny || d.Verdict == Allow && !d.Again {
		return d
	}
	var err error
	if c.KeyCompromised, err = s.compromised(ctx, v, c.KeyHash); err != nil {
		return storeFailed("inventory", err)
	}
	return s.decidedBy(v, c)
}

// checkIssued refuses what an issuer signed when it is not what was decided:
// names and key are the decision's, whatever happened on the way.
func checkIssued(c *Case, raw []byte) error {
	cert, err := x509.ParseCertificate(raw)
	if err != nil {
		return err
	}
	key, ok := cert.PublicKey.(interface {
		Equal(key crypto.PublicKey) bool
	})
	if !ok || !key.Equal(c.CSR.PublicKey) {
		return errors.New("the certificate has another key")
	}
	subject, names, err := certificateNames(cert)
	if err != nil {
		return err
	}
	names.Other = c.Names.Other // crypto/x509 does not show these; the issuer checks them
	if namesHash(subject, names) != c.NamesHash {
		return errors.New("the certificate has other names")
	}
	return nil
}
