package registrar

import (
	"context"
	"fmt"
)

// checkOwner says what is wrong with whom an import gives a device to.
func (v *version) checkOwner(d *ImportDevice) error {
	switch {
	case d.Owner == nil:
		return nil
	case v.Cloud == nil:
		return fmt.Errorf("has the owner %.100q, and this is no cloud registrar: its devices are its own", *d.Owner)
	case *d.Owner != "" && v.Cloud.Owners[*d.Owner] == nil:
		return fmt.Errorf("has the owner %.100q, who is not configured", *d.Owner)
	default:
		return nil
	}
}

// give has the change note whose a device is, unless it is so already.
func (s *Service) give(ctx context.Context, v *version, actor string, change *Change, device *Device, owner *string) error {
	if owner == nil {
		return nil
	}
	before, err := found(s.store.DeviceOwner(ctx, v.Domain, device.ID))
	switch {
	case err != nil:
		return err
	case before == nil && *owner == "", before != nil && before.Owner == *owner:
		return nil
	case before == nil:
		before = &DeviceOwner{}
	}
	change.PutOwners = append(change.PutOwners, &DeviceOwner{Domain: v.Domain, DeviceID: device.ID, Owner: *owner})
	b := newBody().str("manufacturer", device.Manufacturer).str("serial_number", device.SerialNumber).
		str("owner_before", before.Owner).str("owner", *owner)
	change.Trail = append(change.Trail, s.act(v, actor, KindDeviceOwner, device.ID, b))
	return nil
}
