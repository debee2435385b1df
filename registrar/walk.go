package registrar

import "context"

// DeviceFacts are what rules say of devices on record, beside the ID, the domain, the
// serial number and the group, which are known of each.
type DeviceFacts uint16

// Facts that a rule may look at.
const (
	FactIDevID DeviceFacts = 1 << iota
	FactManufacturer
	FactModel
	FactFirmware
	FactBatch
	FactHardwareModule
	FactSecureElement
	FactTPM
	FactSource
	FactAttributes
)

// DeviceWalk goes through all devices of a domain.
type DeviceWalk struct {
	Domain string
	// Facts are those that the devices have; their other fields are zero.
	Facts DeviceFacts
	// Look is called for each page, by several goroutines at once. What it returns is
	// called one page after the other, in the order of the devices; its error ends the walk.
	Look func(page []*Device) (then func() error)
}

// Walks goes through devices.
type Walks interface {
	// WalkDevices shows each device once, in an order that stays the same from walk to walk.
	// Devices that come on record meanwhile are the last; those that came before the
	// end are shown as well. Others may change before they are shown. When it returns,
	// no Look is under way.
	WalkDevices(ctx context.Context, w *DeviceWalk) error
}

// Only is the device with no more than those facts.
func (f DeviceFacts) Only(d *Device) *Device {
	out := &Device{ID: d.ID, Domain: d.Domain, SerialNumber: d.SerialNumber, Group: d.Group, GroupPinned: d.GroupPinned}
	for _, t := range []struct {
		fact     DeviceFacts
		to, from *string
	}{
		{FactManufacturer, &out.Manufacturer, &d.Manufacturer}, {FactModel, &out.Model, &d.Model}, {FactFirmware, &out.Firmware, &d.Firmware},
		{FactBatch, &out.Batch, &d.Batch}, {FactHardwareModule, &out.HardwareModule, &d.HardwareModule},
		{FactSecureElement, &out.SecureElement, &d.SecureElement}, {FactTPM, &out.TPM, &d.TPM}, {FactSource, &out.Source, &d.Source},
	} {
		if f&t.fact != 0 {
			*t.to = *t.from
		}
	}
	if f&FactIDevID != 0 {
		out.IDevID = d.IDevID
	}
	if f&FactAttributes != 0 {
		out.Attributes = d.Attributes
	}
	return out
}
