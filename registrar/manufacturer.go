package registrar

import (
	"encoding/asn1"
	"errors"
	"fmt"
	"strings"

	"github.com/briskest/briskest/internal/revocation"
	"github.com/briskest/briskest/voucher"
)

// JoinRule decides which devices of a manufacturer may join, by what their
// IDevID says (RFC 8995, Section 5.3). It is about the devices that match all
// that it names; one that names nothing is about every device.
type JoinRule struct {
	Name string // for the trail
	// HardwareTypes are of the HardwareModuleName (RFC 4108, Section 5); any of them.
	HardwareTypes []asn1.ObjectIdentifier
	// Subject are attributes that the IDevID's subject has; all of them.
	Subject []SubjectMatch
	// SerialNumbers of the IDevID; any of them. One that ends in * is a prefix.
	SerialNumbers []string
	// Verdict: UnlistedDeny refuses a device that is in the inventory too,
	// UnlistedPending has an operator decide about one that is not.
	Verdict UnlistedRule
}

// SubjectMatch is one attribute of a subject.
type SubjectMatch struct {
	Type  asn1.ObjectIdentifier
	Value string // the whole value; one that ends in * is a prefix
}

func (r *JoinRule) check() error {
	switch r.Verdict {
	case UnlistedDeny, UnlistedPending, UnlistedAdmit:
	default:
		return fmt.Errorf("the join rule %q says %q; want deny, pending or admit", r.Name, r.Verdict)
	}
	values := r.SerialNumbers
	for _, m := range r.Subject {
		if len(m.Type) == 0 {
			return fmt.Errorf("the join rule %q has an attribute without a type", r.Name)
		}
		values = append(values[:len(values):len(values)], m.Value)
	}
	for _, value := range values {
		if value == "" || strings.Contains(strings.TrimSuffix(value, "*"), "*") {
			return fmt.Errorf("the join rule %q has the value %q; a * may be at its end only, and it is not empty", r.Name, value)
		}
	}
	return nil
}

// checked fills in defaults and says what is wrong.
func (m *Manufacturer) checked(name string) (*Manufacturer, error) {
	switch {
	case name == "":
		return nil, errors.New("a manufacturer has no name")
	case m == nil || m.IDevIDAnchors == nil || m.VoucherAnchors == nil:
		return nil, fmt.Errorf("manufacturer %q needs IDevID anchors and voucher anchors", name)
	case m.Offline && !m.AllowNonceless:
		return nil, fmt.Errorf("manufacturer %q: without its MASA only vouchers without a nonce can be had; allow them", name)
	}
	c := *m
	c.Name = name
	if err := c.fill(); err != nil {
		return nil, fmt.Errorf("manufacturer %q: %w", name, err)
	}
	return &c, nil
}

func (m *Manufacturer) fill() (err error) {
	switch m.Unlisted {
	case "":
		m.Unlisted = UnlistedDeny
	case UnlistedDeny, UnlistedPending, UnlistedAdmit:
	default:
		return fmt.Errorf("unlisted serial numbers are %q; want deny, pending or admit", m.Unlisted)
	}
	for i := range m.Join {
		if err := m.Join[i].check(); err != nil {
			return err
		}
	}
	switch m.Pin {
	case PinAny, PinCA, PinRegistrar:
	default:
		return fmt.Errorf("the pin is %q; want ca, registrar, or nothing for any", m.Pin)
	}
	if m.Assertions == nil {
		m.Assertions = []voucher.Assertion{voucher.Logged, voucher.Proximity, voucher.Verified}
	}
	if m.Revocation == nil {
		if m.Revocation, err = revocation.New(revocation.Config{}); err != nil {
			return err
		}
	}
	m.AuditLog, err = m.AuditLog.checked()
	return err
}
