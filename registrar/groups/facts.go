package groups

import (
	"crypto/x509"
	"strings"

	"github.com/google/cel-go/cel"
	"github.com/google/cel-go/interpreter"

	"github.com/briskest/briskest/registrar"
)

// maxFact bounds a fact, in bytes; a longer one is empty, so that it equals nothing.
const maxFact = 256

// fact is one variable of the expressions whose value is text.
type fact struct {
	name string
	of   func(a *activation) string
}

// facts lists the text variables. Those of device, idevid and auth are verified or on
// record; request is what the peer says.
func facts() []fact {
	list := []fact{
		{"idevid.common_name", func(a *activation) string {
			return a.subject(func(c *x509.Certificate) string { return c.Subject.CommonName })
		}},
		{"idevid.serial_number", func(a *activation) string {
			return a.subject(func(c *x509.Certificate) string { return c.Subject.SerialNumber })
		}},
		{"idevid.organization", func(a *activation) string {
			return a.subject(func(c *x509.Certificate) string { return first(c.Subject.Organization) })
		}},
		{"idevid.organizational_unit", func(a *activation) string {
			return a.subject(func(c *x509.Certificate) string { return first(c.Subject.OrganizationalUnit) })
		}},
		{"idevid.issuer_common_name", func(a *activation) string {
			return a.subject(func(c *x509.Certificate) string { return c.Issuer.CommonName })
		}},
		{"idevid.issuer_organization", func(a *activation) string {
			return a.subject(func(c *x509.Certificate) string { return first(c.Issuer.Organization) })
		}},
	}
	device := map[string]func(d *registrar.Device) string{
		"manufacturer":    func(d *registrar.Device) string { return d.Manufacturer },
		"model":           func(d *registrar.Device) string { return d.Model },
		"firmware":        func(d *registrar.Device) string { return d.Firmware },
		"batch":           func(d *registrar.Device) string { return d.Batch },
		"hardware_module": func(d *registrar.Device) string { return d.HardwareModule },
		"secure_element":  func(d *registrar.Device) string { return d.SecureElement },
		"tpm":             func(d *registrar.Device) string { return d.TPM },
		"source":          func(d *registrar.Device) string { return d.Source },
	}
	for name, of := range device {
		list = append(list, fact{"device." + name, func(a *activation) string {
			if a.f.Device == nil {
				return ""
			}
			return of(a.f.Device)
		}})
	}
	list = append(list, fact{"device.serial_number", func(a *activation) string {
		if a.f.Device == nil || a.f.SelfNamed() {
			return ""
		}
		return a.f.Device.SerialNumber
	}})
	auth := map[string]func(f *registrar.AuthFacts) string{
		"method": func(f *registrar.AuthFacts) string { return f.Method },
		"user":   func(f *registrar.AuthFacts) string { return f.User },
	}
	for name, of := range auth {
		list = append(list, fact{"auth." + name, func(a *activation) string {
			if a.f.Auth == nil {
				return ""
			}
			return of(a.f.Auth)
		}})
	}
	request := map[string]func(f *registrar.RequestFacts) string{
		"name":      func(f *registrar.RequestFacts) string { return f.Name },
		"label":     func(f *registrar.RequestFacts) string { return f.Label },
		"operation": func(f *registrar.RequestFacts) string { return f.Operation },
		"road":      func(f *registrar.RequestFacts) string { return f.Road },
		"address":   func(f *registrar.RequestFacts) string { return f.Address },
		"key_type":  func(f *registrar.RequestFacts) string { return f.KeyType },
	}
	for name, of := range request {
		list = append(list, fact{"request." + name, func(a *activation) string {
			if a.f.Request == nil {
				return ""
			}
			return of(a.f.Request)
		}})
	}
	return list
}

// recordedFacts are what has to be known of a device on record for a variable.
func recordedFacts(variable string) registrar.DeviceFacts {
	switch variable {
	case "device.manufacturer":
		return registrar.FactManufacturer
	case "device.model":
		return registrar.FactModel
	case "device.firmware":
		return registrar.FactFirmware
	case "device.batch":
		return registrar.FactBatch
	case "device.hardware_module":
		return registrar.FactHardwareModule
	case "device.secure_element":
		return registrar.FactSecureElement
	case "device.tpm":
		return registrar.FactTPM
	case "device.source":
		return registrar.FactSource
	case "device.serial_number":
		return registrar.FactManufacturer | registrar.FactSource // see GroupFacts.SelfNamed
	case varAttributes:
		return registrar.FactAttributes
	}
	if strings.HasPrefix(variable, "idevid.") {
		return registrar.FactIDevID
	}
	return 0
}

// The variables that are not text.
const (
	varAttributes = "device.attributes" // map(string, string)
	varIDevID     = "idevid.present"    // bool
	varKeyBits    = "request.key_bits"  // int
)

// variables declares what expressions may use.
func variables(list []fact) []cel.EnvOption {
	out := []cel.EnvOption{
		cel.Variable(varAttributes, cel.MapType(cel.StringType, cel.StringType)),
		cel.Variable(varIDevID, cel.BoolType),
		cel.Variable(varKeyBits, cel.IntType),
	}
	for _, f := range list {
		out = append(out, cel.Variable(f.name, cel.StringType))
	}
	return out
}

// activation gives expressions their variables. It is for one device, and one goroutine.
type activation struct {
	f      *registrar.GroupFacts
	values map[string]func(a *activation) string // of the Set; not to be changed

	cert   *x509.Certificate
	looked bool // for cert
}

var _ interpreter.Activation = (*activation)(nil)

// ResolveName implements interpreter.Activation.
func (a *activation) ResolveName(name string) (any, bool) {
	if of := a.values[name]; of != nil {
		return bounded(of(a)), true
	}
	switch name {
	case varAttributes:
		if a.f.Device == nil || a.f.Device.Attributes == nil {
			return map[string]string{}, true
		}
		return a.f.Device.Attributes, true
	case varIDevID:
		return a.certificate() != nil, true
	case varKeyBits:
		if a.f.Request == nil {
			return int64(0), true
		}
		return int64(a.f.Request.KeyBits), true
	default:
		return nil, false
	}
}

// Parent implements interpreter.Activation.
func (a *activation) Parent() interpreter.Activation { return nil }

func (a *activation) certificate() *x509.Certificate {
	if !a.looked && a.f.IDevID != nil {
		a.cert = a.f.IDevID()
	}
	a.looked = true
	return a.cert
}

func (a *activation) subject(of func(*x509.Certificate) string) string {
	if cert := a.certificate(); cert != nil {
		return of(cert)
	}
	return ""
}

func bounded(value string) string {
	if len(value) > maxFact {
		return ""
	}
	return value
}

func first(values []string) string {
	if len(values) == 0 {
		return ""
	}
	return values[0]
}
