package voucher

import (
	"fmt"
	"strconv"
)

// rootDelegated is the container of a delegated voucher. RFC 7951, Section 4
// names a container for the module that defines it, and that is the one of
// draft-ietf-anima-voucher-delegation, Section 5.
const rootDelegated = "ietf-delegated-voucher:voucher"

// Delegation are the leaves that a delegated voucher has besides those of
// [Voucher]: the manufacturer lets somebody else make vouchers for the device
// (draft-ietf-anima-voucher-delegation-02, Section 5). Whoever does not know
// what that means must not act on a voucher that has them. Zero values are
// absent leaves.
type Delegation struct {
	Enabled                bool   // delegation-enable-flag; all others are only valid with it
	CertAuthority          []byte // pinned-delegation-cert-authority: DER SubjectPublicKeyInfo of the CA above the delegate
	CertName               []byte // pinned-delegation-cert-name: the delegate's rfc822Name
	Voucher                []byte // delegation-voucher: the artifact that delegates to the signer of this one
	IntermediateIdentities []byte // intermediate-identities
	Countdown              int16  // delegation-countdown: how many delegations may follow
}

// leaves are the names of those that are there and only valid with the flag.
func (d *Delegation) leaves() []string {
	var names []string
	add := func(name string, there bool) {
		if there {
			names = append(names, name)
		}
	}
	add("pinned-delegation-cert-authority", len(d.CertAuthority) > 0)
	add("pinned-delegation-cert-name", len(d.CertName) > 0)
	add("delegation-voucher", len(d.Voucher) > 0)
	add("intermediate-identities", len(d.IntermediateIdentities) > 0)
	add("delegation-countdown", d.Countdown != 0)
	return names
}

// check applies the rules of draft-ietf-anima-voucher-delegation-02, Section 5.
func (d *Delegation) check() error {
	if d.Countdown < 0 {
		return leafError("delegation-countdown", fmt.Errorf("%w: %d", ErrLeafValue, d.Countdown))
	}
	if names := d.leaves(); !d.Enabled && len(names) > 0 {
		return leafError(names[0], fmt.Errorf("%w: only together with delegation-enable-flag", ErrLeafValue))
	}
	return nil
}

// pins tells whether the delegation names somebody, as a pin does.
func (d *Delegation) pins() bool {
	return d != nil && (len(d.CertAuthority) > 0 || len(d.CertName) > 0)
}

// delegation takes the leaves of a delegated voucher.
func (l *leaves) delegation(v *Voucher) {
	d := new(Delegation)
	var enabled *bool
	l.flag("delegation-enable-flag", &enabled)
	d.Enabled = enabled != nil && *enabled
	l.binary("pinned-delegation-cert-authority", &d.CertAuthority)
	l.binary("pinned-delegation-cert-name", &d.CertName)
	l.binary("delegation-voucher", &d.Voucher)
	l.binary("intermediate-identities", &d.IntermediateIdentities)
	if m, ok := l.take("delegation-countdown"); ok {
		n, err := strconv.ParseInt(string(m.value), 10, 16)
		if err != nil {
			l.fail("delegation-countdown", fmt.Errorf("%w: a number of 16 bits was expected", ErrLeafType))
		}
		d.Countdown = int16(n)
	}
	if err := d.check(); err != nil && l.err == nil {
		l.err = err
	}
	v.Delegation = d
}

// delegation writes the leaves of a delegated voucher.
func (b *builder) delegation(d *Delegation) {
	if d == nil {
		return
	}
	if err := d.check(); err != nil && b.err == nil {
		b.err = err
	}
	if d.Enabled {
		b.flag("delegation-enable-flag", &d.Enabled)
	}
	b.binary("pinned-delegation-cert-authority", d.CertAuthority)
	b.binary("pinned-delegation-cert-name", d.CertName)
	b.binary("delegation-voucher", d.Voucher)
	b.binary("intermediate-identities", d.IntermediateIdentities)
	if d.Countdown != 0 {
		b.key("delegation-countdown")
		b.buf.WriteString(strconv.Itoa(int(d.Countdown)))
	}
}
