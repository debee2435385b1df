package masa_test

import (
	"bytes"
	"encoding/base64"
	"slices"
	"testing"

	"github.com/briskest/briskest/internal/testpki"
	"github.com/briskest/briskest/masa"
	"github.com/briskest/briskest/voucher"
)

const estDomain = "https://est.mine.example"

// cloudWorld is a world with a cloud registrar, which is not the domain of
// anybody, and a device that is mine and goes to my EST server.
type cloudWorld struct {
	*world
	cloud *domain
	est   *testpki.Identity // my EST server
}

func newCloudWorld(t *testing.T, change func(*masa.Settings, *masa.Product)) *cloudWorld {
	t.Helper()
	c := &cloudWorld{cloud: newDomain(t, "cloud")}
	c.world = newWorld(t, func(s *masa.Settings, p *masa.Product) {
		s.Registrars = []masa.KnownRegistrar{{Name: "cloud", Certificates: c.cloud.registrar.Chain, RequestsPerMinute: 600, Cloud: true}}
		if change != nil {
			change(s, p)
		}
	})
	c.est = c.mine.ca.Server(t, "est.mine.example")
	return c
}

// sold notes that the device is a domain's, to be sent to its EST server.
func (c *cloudWorld) sold(ca *testpki.Identity, estDomain string, replace bool) {
	c.t.Helper()
	_, err := c.service.AddOwner(c.t.Context(), &masa.OwnerClaim{
		DeviceRef: masa.DeviceRef{SerialNumber: serial}, Replace: replace, By: "test",
		DomainRef: masa.DomainRef{Certificate: ca.Certificate.Raw, ESTDomain: estDomain},
	})
	if err != nil {
		c.t.Fatal(err)
	}
}

// askCloud is what the cloud registrar makes of a pledge's request.
func (c *cloudWorld) askCloud(nonce string, pins ...*testpki.Identity) *ask {
	tls := testpki.NewRoot(c.t, "public CA").Server(c.t, "cloud.example")
	a := c.ask(c.cloud, nonce)
	a.pledge.ProximityRegistrarCert = tls.Certificate.Raw
	a.registrar.ESTDomain = estDomain
	a.chain = slices.Clone(a.chain)
	for _, pin := range pins {
		a.chain = append(a.chain, pin.Certificate)
	}
	return a
}

// BRSKI-CLOUD-3.2.3-01, BRSKI-CLOUD-5-01: what a cloud registrar gets sends the
// device to the EST server on record, and pins what is on record of it.
func TestVoucherForCloudRegistrarPinsTheOwnerOnRecord(t *testing.T) {
	c := newCloudWorld(t, func(s *masa.Settings, p *masa.Product) {
		s.RegistrarAnchors = testpki.NewRoot(t, "somebody").Pool()
		p.Pin, p.RequireOwner, p.Assertion = masa.PinRegistrar, true, voucher.Proximity
	})
	c.sold(c.est, estDomain, false)
	v, _ := c.issue(c.askCloud("0123456789abcdef", c.theirs.root, c.est).bytes(t))
	switch {
	case v.ESTDomain != estDomain:
		t.Errorf("est-domain is %q", v.ESTDomain)
	case !bytes.Equal(v.PinnedDomainCert, c.est.Certificate.Raw):
		t.Error("another certificate than the owner's EST server's is pinned")
	case v.Assertion != voucher.Logged:
		t.Errorf("the assertion is %q: the pledge was connected to the cloud registrar, not to what is pinned", v.Assertion)
	}
	renewed := c.mine.ca.Server(t, "est.mine.example")
	c.sold(renewed, estDomain, true)
	v, _ = c.issue(c.askCloud("fedcba9876543210", renewed, c.est).bytes(t))
	if !bytes.Equal(v.PinnedDomainCert, renewed.Certificate.Raw) {
		t.Error("after the certificate was replaced the old one is pinned")
	}
}

// BRSKI-CLOUD-9.4-01: the event is in the audit-log that the domain gets, and
// in the cloud registrar's.
func TestVoucherForCloudRegistrarIsInTheAuditLogOfTheOwner(t *testing.T) {
	c := newCloudWorld(t, nil)
	c.sold(c.mine.ca, estDomain, false)
	asked := c.askCloud("0123456789abcdef", c.mine.ca).bytes(t)
	c.issue(asked)
	want := base64.StdEncoding.EncodeToString(voucher.DomainID(c.mine.ca.Certificate))
	own := c.ask(c.mine, "aaaaaaaaaaaaaaaa").bytes(t)
	for who, raw := range map[string][]byte{"owner": own, "cloud registrar": asked} {
		log := c.auditLog(raw)
		if len(log.Events) != 1 || log.Events[0].DomainID != want || *log.Events[0].Nonce != "0123456789abcdef" {
			t.Errorf("the %s sees %s", who, c.describe(log))
		}
	}
	_, err := c.service.RequestAuditLog(t.Context(), c.request(c.ask(c.theirs, "bbbbbbbbbbbbbbbb").bytes(t)))
	wantRefusal(t, err == nil, err, 404, masa.ReasonNoAuditLog)
}

func TestCloudRegistrarCannotGiveADeviceAway(t *testing.T) {
	for name, test := range map[string]struct {
		change func(c *cloudWorld, a *ask)
		status int
		reason string
	}{
		"another est-domain": {func(_ *cloudWorld, a *ask) { a.registrar.ESTDomain = "https://est.theirs.example" }, 403, masa.ReasonNotOwner},
		"another pin":        {func(c *cloudWorld, a *ask) { a.chain = append(c.cloud.registrar.Chain, c.theirs.ca.Certificate) }, 403, masa.ReasonNotOwner},
		"no pin":             {func(c *cloudWorld, a *ask) { a.chain = c.cloud.registrar.Chain }, 403, masa.ReasonNotOwner},
		"without est-domain": {func(c *cloudWorld, a *ask) {
			a.registrar.ESTDomain, a.pledge.ProximityRegistrarCert = "", c.cloud.registrar.Certificate.Raw
		}, 403, masa.ReasonNotOwner},
		"somebody else": {func(c *cloudWorld, a *ask) {
			a.signer, a.chain = c.theirs.registrar, append(slices.Clone(c.theirs.registrar.Chain), c.mine.ca.Certificate)
		}, 403, masa.ReasonCloud},
		"cross-certified": {func(c *cloudWorld, a *ask) { // by whose CA the cloud's CA is below one's own
			a.signer = c.theirs.registrar
			a.chain = append(slices.Clone(c.theirs.registrar.Chain), c.mine.ca.Certificate, c.cloud.ca.Certificate, c.cloud.root.Certificate)
		}, 403, masa.ReasonCloud},
		"without the pledge": {func(_ *cloudWorld, a *ask) { a.idevid = nil }, 403, masa.ReasonPriorMissing},
		"without a nonce":    {func(_ *cloudWorld, a *ask) { a.registrar.Nonce, a.pledge.Nonce = "", "" }, 403, masa.ReasonNonceless},
		"another vendor's device": {func(c *cloudWorld, a *ask) {
			a.idevid = testpki.NewRoot(c.t, "other vendor").IDevID(c.t, serial, "")
		}, 403, masa.ReasonIDevIDUntrusted},
	} {
		t.Run(name, func(t *testing.T) {
			c := newCloudWorld(t, func(_ *masa.Settings, p *masa.Product) { p.AllowNonceless, p.AllowNoPriorSigned = true, true })
			c.sold(c.mine.ca, estDomain, false)
			a := c.askCloud("0123456789abcdef", c.mine.ca)
			test.change(c, a)
			c.refused(a.bytes(t), test.status, test.reason)
			if n := c.records(); n != 0 {
				t.Errorf("%d issuances are on record", n)
			}
		})
	}
}

func TestCloudRegistrarGetsNoVoucherForADeviceWithoutOwner(t *testing.T) {
	c := newCloudWorld(t, nil)
	c.refused(c.askCloud("0123456789abcdef", c.mine.ca).bytes(t), 403, masa.ReasonNoOwner)
	c.sold(c.mine.ca, estDomain, false)
	c.endOwner()
	c.refused(c.askCloud("0123456789abcdef", c.mine.ca).bytes(t), 403, masa.ReasonNoOwner)
}
