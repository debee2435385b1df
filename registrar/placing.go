package registrar

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rsa"
	"crypto/x509"
	"strconv"
	"strings"
	"time"
)

// groupsInForce are the groups of one version of the domain's document.
type groupsInForce struct {
	Grouping
	document *GroupDocument
}

// Placement is where the rules, or an operator, put a device.
type Placement struct {
	Group   *Group // nil: none
	Name    string // of the group, also of one that is not there any more
	Rule    string // for people
	Version int64  // of the groups document
	Pinned  bool
	// LabelProfile is the name of the label's own profile.
	LabelProfile string
	// Problem is a reason id: that the group, or its profile, is not there. Nothing
	// is issued to the device then.
	Problem string
}

// placeDevice says where a device belongs: where an operator pinned it, else where
// the rules put it.
func (g *groupsInForce) placeDevice(f *GroupFacts) *Placement {
	p := &Placement{Version: g.document.Version}
	if f.Device != nil && f.Device.GroupPinned {
		p.Name, p.Rule, p.Pinned = f.Device.Group, "an operator put it there", true
	} else {
		p.Name, p.Rule = g.Place(f)
	}
	if p.Name == "" {
		return p
	}
	if p.Group = g.Group(p.Name); p.Group == nil {
		p.Problem = ReasonGroupUnknown
	}
	return p
}

// place puts an enrollment's device into its group, and has the group's profile take
// the place of the label's. At the first contact rules see what the request says, later
// they do not. It is done once a case, before names are decided; a case for the
// registrar itself is in no group.
func (s *Service) place(ctx context.Context, v *version, c *Case) *Decision {
	g := s.groups.Load()
	if g == nil || c.Placement != nil || c.Own {
		return nil
	}
	device, d := s.placedDevice(ctx, v, c)
	if d != nil {
		return d
	}
	s.placeCase(v, g, c, device)
	return nil
}

// placeCase does so when the device, or that there is none, is known.
func (s *Service) placeCase(v *version, g *groupsInForce, c *Case, device *Device) {
	c.grouped = device
	f := c.GroupFacts()
	if device != nil && !device.SeenAt.IsZero() {
		f.Auth, f.Request = nil, nil // it was here before
	}
	c.Placement = g.placeDevice(f)
	if c.Label == nil {
		return
	}
	profile, group := c.Label.Profile, c.Placement.Group
	if c.Placement.LabelProfile = profile.Name(); group == nil {
		return
	}
	if group.Profile != "" {
		if profile = v.Profiles[group.Profile]; profile == nil {
			c.Placement.Problem = ReasonGroupProfile
			return
		}
	}
	label := *c.Label
	label.Profile = &groupProfile{profile, group}
	c.Label = &label
}

// placedDevice finds the device that the case is about before its names are decided:
// by who authenticates or, where that is nobody's device, by the names that the
// label's profile gives it.
func (s *Service) placedDevice(ctx context.Context, v *version, c *Case) (*Device, *Decision) {
	var device *Device
	var err error
	name, bound := c.Identity.Named()
	switch {
	case c.aboutItself():
		device, err = s.store.Device(ctx, v.Domain, c.Identity.Device.ID)
	case c.Identity.Kind == IDevID:
		device, err = found(s.store.DeviceBySerialNumber(ctx, v.Domain, c.Manufacturer.Name, c.SerialNumber))
	default:
		if !bound {
			probe := *c
			if d := decideNames(&probe); d != nil {
				return nil, d
			}
			name, c.placedAs = probe.SerialNumber, probe.SerialNumber
		}
		device, err = found(s.store.DeviceBySerialNumber(ctx, v.Domain, "", name))
	}
	if err != nil {
		return nil, storeFailed("group", err)
	}
	return device, nil
}

// GroupFacts are what rules and requirements can say of the case.
func (c *Case) GroupFacts() *GroupFacts {
	f := &GroupFacts{Device: c.grouped, IDevID: c.groupIDevID, Auth: &AuthFacts{Method: string(c.Identity.Kind)}}
	if f.Device == nil && c.Identity.Kind == IDevID {
		f.Device = &Device{Domain: c.Domain, Manufacturer: c.Manufacturer.Name, SerialNumber: c.SerialNumber, IDevID: c.Identity.Certificate.Raw}
	}
	switch name, bound := c.Identity.Named(); {
	case bound:
		f.Auth.User = name
	case c.Identity.Kind == Client:
		if subject, names, err := certificateNames(c.Identity.Certificate); err == nil {
			f.Auth.User = EnrolledName(subject, names)
		}
	}
	r := &RequestFacts{Name: c.SerialNumber, Operation: c.Operation, Road: c.Road}
	if c.placedAs != "" {
		r.Name = c.placedAs
	} else if name, bound := c.Identity.Named(); bound && r.Name == "" {
		r.Name = name
	}
	if c.Label != nil {
		r.Label = c.Label.Name
	}
	if c.Address.IsValid() {
		r.Address = c.Address.Addr().Unmap().String()
	}
	switch {
	case c.Generate != nil:
		r.KeyType, r.KeyBits = namedKey(c.Generate.Type)
	case c.CSR != nil:
		r.KeyType, r.KeyBits = keyKind(c.CSR.PublicKey)
	}
	f.Request = r
	return f
}

// groupIDevID is the device's IDevID as it authenticates or as it is on record.
func (c *Case) groupIDevID() *x509.Certificate {
	if c.Identity.Kind == IDevID {
		return c.Identity.Certificate
	}
	return recordedIDevID(c.grouped)
}

// recordedIDevID is the IDevID on record, which was verified before it got there; nil
// for none.
func recordedIDevID(d *Device) *x509.Certificate {
	if d == nil || len(d.IDevID) == 0 {
		return nil
	}
	cert, err := x509.ParseCertificate(d.IDevID)
	if err != nil {
		return nil
	}
	return cert
}

// keyKind names a public key for requirements.
func keyKind(key crypto.PublicKey) (kind string, bits int) {
	switch k := key.(type) {
	case *ecdsa.PublicKey:
		return "ecdsa", k.Curve.Params().BitSize
	case *rsa.PublicKey:
		return "rsa", k.N.BitLen()
	case ed25519.PublicKey:
		return "ed25519", 256
	default:
		return "", 0
	}
}

// namedKey is keyKind for a key that is yet to be made, of an est.KeyType.
func namedKey(name string) (kind string, bits int) {
	switch {
	case name == "ed25519":
		return name, 256
	case strings.HasPrefix(name, "rsa"):
		bits, _ = strconv.Atoi(name[3:])
		return "rsa", bits
	case strings.HasPrefix(name, "p"):
		bits, _ = strconv.Atoi(name[1:])
		return "ecdsa", bits
	default:
		return "", 0
	}
}

// groupProfile is a profile as a group's devices have it.
type groupProfile struct {
	Profile
	group *Group
}

// Rules returns the profile's rules with the group's renewal window.
func (p *groupProfile) Rules() ProfileRules {
	rules := p.Profile.Rules()
	if p.group.RenewalWindow > 0 {
		rules.RenewalWindow = p.group.RenewalWindow
	}
	return rules
}

// CheckUsage implements usageChecker, where the profile does.
func (p *groupProfile) CheckUsage(csr *x509.CertificateRequest) error {
	if checker, ok := p.Profile.(usageChecker); ok {
		return checker.CheckUsage(csr)
	}
	return nil
}

// regroup has the change note where the case's device is now. A device that the change
// makes anew has it in its row.
func (c *Case) regroup(change *Change, device *Device, made bool) {
	p := c.Placement
	if p == nil || p.Pinned || p.Group == nil && p.Name != "" {
		return
	}
	if device.Group == p.Name {
		return
	}
	if made {
		device.Group = p.Name
		return
	}
	change.Regroup = append(change.Regroup, &Regrouping{Domain: device.Domain, DeviceID: device.ID, From: device.Group, Group: p.Name})
}

// notAfter is the end that the case's group gives to certificates; zero for none.
func (c *Case) notAfter() time.Time {
	if c.Placement == nil || c.Placement.Group == nil || c.Placement.Group.Lifetime == 0 {
		return time.Time{}
	}
	return c.At.Add(c.Placement.Group.Lifetime)
}
