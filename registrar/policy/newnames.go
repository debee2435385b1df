package policy

import "github.com/briskest/briskest/registrar"

// newNames decides about the names that a renewal asks for instead of those it
// has (RFC 6402, Section 2.8). A device stays who it is: the names that it did
// not have must be its own, whatever the credential that it enrolled with could
// do, and the one that the record knows it by stays. Where the label lets devices
// choose names it may take any that is nobody else's.
func newNames(c *registrar.Case) *registrar.Decision {
	if c.NewNames == nil {
		return nil
	}
	switch {
	case !c.Label.Profile.Rules().ChangeNames || c.Device == nil:
		return deny(registrar.ReasonNamesChanged)
	case c.NameOwner != nil:
		return denyText(registrar.ReasonNameTaken, "a name that the renewal asks for is another device's")
	case c.Label.AllowForeignNames:
		return nil
	case c.Device.Manufacturer != "" && !(registrar.OwnNames(c.Device.SerialNumber, c.Subject, &c.Names) && ownModule(c, c.Device.SerialNumber)),
		c.Device.Manufacturer == "" && !namesDevice(c):
		return denyText(registrar.ReasonForeignName, "the new names must name the device as the record does: "+c.Device.SerialNumber)
	}
	return nil
}

// namesDevice holds names against what a device without an IDevID is known by.
func namesDevice(c *registrar.Case) bool {
	name := c.Device.SerialNumber
	if registrar.EnrolledName(c.Subject, &c.Names) != name {
		return false
	}
	others := c.Names
	others.Other = nil // what the profile gives by itself is among them; see ownModule
	subject, names, n := registrar.NamesAdded(c.Identity.Certificate, c.Subject, &others)
	return (n == 0 || registrar.OwnNames(name, subject, names)) && ownModule(c, name)
}
