package registrar

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"maps"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/briskest/briskest/brski"
	"github.com/briskest/briskest/est"
)

// Cloud makes a registrar a cloud registrar (draft-ietf-anima-brski-cloud-20;
// RFC 8995, Section 2.7): devices come to it that know nobody else, and it sends
// each to its owner. It has no network of its own, and so no labels and no issuer.
type Cloud struct {
	Owners map[string]*Owner // by name
	// AskAgain is after what time a device asks again whose owner is not known
	// yet. Zero: it does not (Section 3.2 of the draft).
	AskAgain time.Duration
}

// Owner is who devices are sent to. Exactly one of RegistrarURL, ESTDomain and
// Blocked is set.
type Owner struct {
	Name string // set from the key of Cloud.Owners
	// RegistrarURL is the owner's registrar, as brski.CheckRegistrarURL takes it
	// (Section 3.2.2 of the draft).
	RegistrarURL string
	// ESTDomain is the owner's EST server, https://HOST[:PORT] or that with
	// /.well-known/est, and Certificates are what vouchers may pin: the server's
	// own, or the CA that it follows from (Sections 3.2.3 and 5 of the draft). The
	// device's MASA has the same on record.
	ESTDomain    string
	Certificates []*x509.Certificate
	// Blocked refuses the owner's devices. It is what they are told.
	Blocked string
}

// DeviceOwner says whose a device is.
type DeviceOwner struct {
	Domain   string
	DeviceID string
	Owner    string // name in Cloud.Owners; empty for nobody's
}

// maxPins is how many certificates an owner has: the present one and those that come after it.
const maxPins = 4

// checkCloud says what is wrong with the settings of a cloud registrar.
func (v *version) checkCloud() error {
	if len(v.issuers) > 0 || len(v.Labels) > 0 {
		return errors.New("a cloud registrar issues nothing: it has neither a CA nor labels")
	}
	for name, m := range v.Manufacturers {
		if m != nil && (m.Offline || m.AllowNonceless) {
			return fmt.Errorf("manufacturer %q: a cloud registrar asks the MASA while the device waits: no vouchers are offline or without a nonce", name)
		}
	}
	cloud, err := v.Cloud.checked(v.URL)
	v.Cloud = cloud
	return err
}

// Check says what is wrong with it, of a registrar that devices reach at own;
// empty for anywhere.
func (c *Cloud) Check(own string) error {
	_, err := c.checked(own)
	return err
}

// checked returns a copy whose owners have their names, or what is wrong.
func (c *Cloud) checked(own string) (*Cloud, error) {
	if c.AskAgain < 0 {
		return nil, fmt.Errorf("devices without an owner are to ask again after %s", c.AskAgain)
	}
	out := *c
	out.Owners = make(map[string]*Owner, len(c.Owners))
	for _, name := range slices.Sorted(maps.Keys(c.Owners)) {
		o, err := c.Owners[name].checked(name, own)
		if err != nil {
			return nil, fmt.Errorf("owner %q: %w", name, err)
		}
		out.Owners[name] = o
	}
	return &out, nil
}

// checked returns a copy with its name, or what is wrong.
func (o *Owner) checked(name, own string) (*Owner, error) {
	if name == "" || len(name) > maxUser || o == nil {
		return nil, fmt.Errorf("it needs a name of at most %d bytes", maxUser)
	}
	c := *o
	c.Name = name
	named := 0
	for _, text := range []string{o.RegistrarURL, o.ESTDomain, o.Blocked} {
		named += min(len(text), 1)
	}
	switch {
	case named != 1:
		return nil, errors.New("it needs exactly one of a registrar's URL, an EST domain, and why it is blocked")
	case o.ESTDomain == "" && len(o.Certificates) > 0:
		return nil, errors.New("it has certificates to pin and no EST domain")
	case o.ESTDomain != "" && (len(o.Certificates) == 0 || len(o.Certificates) > maxPins):
		return nil, fmt.Errorf("it needs 1 to %d certificates of its EST server or the CA above that, and has %d", maxPins, len(o.Certificates))
	}
	if o.RegistrarURL != "" {
		u, err := brski.CheckRegistrarURL(o.RegistrarURL)
		if err != nil {
			return nil, err
		}
		if sameHost(u, own) {
			return nil, fmt.Errorf("the URL %s is this registrar's own", o.RegistrarURL)
		}
	}
	if o.ESTDomain != "" {
		if _, err := brski.CheckRegistrarURL(strings.TrimSuffix(o.ESTDomain, est.PathPrefix)); err != nil {
			return nil, fmt.Errorf("EST domain: %w", err)
		}
	}
	return &c, nil
}

func sameHost(u *url.URL, own string) bool {
	o, err := url.Parse(own)
	return err == nil && own != "" && strings.EqualFold(u.Hostname(), o.Hostname()) && orDefaultPort(u) == orDefaultPort(o)
}

func orDefaultPort(u *url.URL) string {
	if port := u.Port(); port != "" {
		return port
	}
	return "443"
}

// ownerOf is the owner of a device as the record and the settings say at present; nil for none.
func (s *Service) ownerOf(ctx context.Context, v *version, deviceID string) (*Owner, error) {
	row, err := found(s.store.DeviceOwner(ctx, v.Domain, deviceID))
	switch {
	case err != nil:
		return nil, err
	case row == nil || row.Owner == "":
		return nil, nil //nolint:nilnil // nobody's
	case v.Cloud.Owners[row.Owner] == nil:
		return nil, fmt.Errorf("%w: %q, on record for device %s", errOwnerGone, row.Owner, deviceID)
	default:
		return v.Cloud.Owners[row.Owner], nil
	}
}

var errOwnerGone = errors.New("the owner is not configured")

// sendToOwner decides what becomes of a device that may come (Section 3.2 of
// the draft): nil has a voucher asked for.
func (s *Service) sendToOwner(ctx context.Context, v *version, c *Case) *Decision {
	const rule = "owner"
	if c.Device != nil {
		o, err := s.ownerOf(ctx, v, c.Device.ID)
		if err != nil && !errors.Is(err, errOwnerGone) {
			return storeFailed(rule, err)
		}
		if err != nil {
			return &Decision{Reason: ReasonOwnerUnknown, Rule: rule, RetryAfter: v.askAgain(), Err: err}
		}
		c.owner = o
	}
	switch o := c.owner; {
	case o == nil:
		return &Decision{Reason: ReasonOwnerUnknown, Rule: rule, RetryAfter: v.askAgain()}
	case o.Blocked != "":
		return denyText(ReasonOwnerBlocked, rule, o.Blocked)
	case o.RegistrarURL != "":
		return denyErr(ReasonOwnerElsewhere, rule, fmt.Errorf("owner %q", o.Name))
	default:
		return nil
	}
}

// askAgain spreads what would otherwise come at one time.
func (v *version) askAgain() time.Duration {
	if v.Cloud.AskAgain == 0 {
		return 0
	}
	return jitter(v.Cloud.AskAgain)
}

// redirected tells whether the decision sends the device to its owner's registrar.
func (c *Case) redirected(d *Decision) bool {
	return d.Reason == ReasonOwnerElsewhere && c.owner != nil
}
