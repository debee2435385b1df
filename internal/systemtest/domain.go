package systemtest

import (
	"context"
	"crypto/tls"
	"net/http"
	"strings"
	"testing"

	"github.com/briskest/briskest/brski"
	"github.com/briskest/briskest/ca/localca"
	"github.com/briskest/briskest/ca/profile"
	"github.com/briskest/briskest/est"
	"github.com/briskest/briskest/internal/testpki"
	"github.com/briskest/briskest/internal/trail"
	"github.com/briskest/briskest/registrar"
	"github.com/briskest/briskest/registrar/policy"
	"github.com/briskest/briskest/registrar/storetest"
	"github.com/briskest/briskest/voucher"
	"github.com/briskest/briskest/voucher/vouchercms"
)

// Maker is what a domain calls the vendor.
const Maker = "acme"

// Domain is somebody's network with its CA and registrar, which takes every
// device of the vendor's.
type Domain struct {
	Name      string
	Root, CA  *testpki.Identity
	Registrar *testpki.Identity // signs, and is the TLS server
	Settings  *registrar.Settings
	Service   *registrar.Service
	URL       string
	MASA      *brski.MASAClient // as the registrar asks it

	t       testing.TB
	world   *World
	store   registrar.Store
	handler http.Handler
}

// Domain starts a domain's registrar. change may alter its settings for the
// vendor's devices, and all others by the domain.
func (w *World) Domain(name string, change ...func(*Domain, *registrar.Manufacturer)) *Domain {
	t := w.t
	t.Helper()
	d := &Domain{Name: name, t: t, world: w, Root: testpki.NewRoot(t, name+" root"), store: storetest.NewMemory()}
	d.CA = d.Root.NewIntermediate(t, name+" CA")
	d.Registrar = d.CA.Registrar(t, name+" registrar")
	issuer := d.issuer()
	d.MASA = w.masaClient(d.Registrar)
	maker := &registrar.Manufacturer{
		IDevIDAnchors: w.Vendor.Root.Pool(), VoucherAnchors: w.Vendor.Vouchers.Pool(), MASAURL: w.Vendor.URL, Unlisted: registrar.UnlistedAdmit,
	}
	d.Settings = &registrar.Settings{
		Version:       "1",
		Labels:        map[string]*registrar.Label{"": {Profile: policy.Profile(issuer.Profile("device")), IDevID: registrar.IDevIDVouched, Renewal: true}},
		Manufacturers: map[string]*registrar.Manufacturer{Maker: maker},
		Signer:        &voucher.Signer{Key: d.Registrar.Key, Certificate: d.Registrar.Certificate, Chain: d.Registrar.Chain},
		Formats:       []voucher.Format{vouchercms.Format{}},
		DialMASA:      func(*registrar.Manufacturer, string) (brski.MASA, error) { return d.MASA, nil },
	}
	for _, f := range change {
		f(d, maker)
	}
	var err error
	d.Service, err = registrar.New(registrar.Config{Store: d.store, Issuer: issuer, Policy: policy.Decide, Settings: d.Settings, Now: w.Now})
	if err != nil {
		t.Fatalf("systemtest: registrar of %s: %v", name, err)
	}
	if err := d.Service.Start(t.Context()); err != nil {
		t.Fatalf("systemtest: registrar of %s: %v", name, err)
	}
	t.Cleanup(d.Service.Close)
	d.handler = d.newHandler()
	d.URL = w.Serve(d.Registrar, d.handler)
	return d
}

func (d *Domain) issuer() *localca.CA {
	d.t.Helper()
	device, err := profile.New(profile.Device())
	if err != nil {
		d.t.Fatalf("systemtest: profile: %v", err)
	}
	issuer, err := localca.New(localca.Config{
		Certificate: d.CA.Certificate, Chain: d.CA.Chain, Key: d.CA.Key, Now: d.world.Now,
		Profiles: map[string]*profile.Profile{"device": device},
	})
	if err != nil {
		d.t.Fatalf("systemtest: CA of %s: %v", d.Name, err)
	}
	return issuer
}

func (w *World) masaClient(id *testpki.Identity) *brski.MASAClient {
	certificate := id.TLS()
	transport := &http.Transport{
		DialContext:     w.Dial,
		TLSClientConfig: &tls.Config{MinVersion: tls.VersionTLS12, RootCAs: w.Vendor.Web.Pool(), Certificates: []tls.Certificate{certificate}},
	}
	w.t.Cleanup(transport.CloseIdleConnections)
	return &brski.MASAClient{URL: w.Vendor.URL, HTTP: &http.Client{Transport: transport}}
}

// newHandler is what the registrar's port answers with, as in the program.
func (d *Domain) newHandler() http.Handler {
	estSide := &est.Handler{Backend: d.Service, Now: d.world.Now}
	brskiSide := &brski.RegistrarHandler{Backend: d.Service.BRSKI(), Formats: d.Settings.Formats, Now: d.world.Now}
	return http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		if strings.HasPrefix(r.URL.Path, brski.PathPrefix+"/") {
			brskiSide.ServeHTTP(rw, r)
			return
		}
		estSide.ServeHTTP(rw, r)
	})
}

// Handler is what the registrar answers with, for a port that somebody else has.
func (d *Domain) Handler() http.Handler { return d.handler }

// Reload changes the rules about the vendor's devices.
func (d *Domain) Reload(change func(*registrar.Manufacturer)) {
	d.t.Helper()
	settings, maker := *d.Settings, *d.Settings.Manufacturers[Maker]
	change(&maker)
	settings.Manufacturers = map[string]*registrar.Manufacturer{Maker: &maker}
	if err := d.Service.Reload(&settings); err != nil {
		d.t.Fatalf("systemtest: reload %s: %v", d.Name, err)
	}
	d.Settings = &settings
}

// Device is what the registrar has on record about a device; nil for nothing.
func (d *Domain) Device(device *Device) *registrar.DeviceView {
	d.t.Helper()
	view, err := d.Service.Device(d.t.Context(), "", device.Serial)
	if err != nil {
		return nil
	}
	return view
}

// Certificates are those that were issued or were about to be.
func (d *Domain) Certificates() []*registrar.Certificate {
	d.t.Helper()
	list, err := d.Service.ListCertificates(d.t.Context(), &registrar.CertificateQuery{})
	if err != nil {
		d.t.Fatalf("systemtest: certificates of %s: %v", d.Name, err)
	}
	return list
}

// Refusals ends the registrar, which may have to write something still, and
// returns the reasons of the refusals on its trail, in order.
func (d *Domain) Refusals() []string {
	d.t.Helper()
	d.Service.Close()
	return reasons(d.Entries(), registrar.KindRefused)
}

// Entries is the registrar's trail.
func (d *Domain) Entries() []*trail.Entry {
	d.t.Helper()
	all, err := d.store.TrailEntries(d.t.Context(), registrar.DefaultDomain, "", 0, 1<<20)
	if err != nil {
		d.t.Fatalf("systemtest: trail of %s: %v", d.Name, err)
	}
	return all
}

// MASARequest wraps what a device has signed as the domain's registrar does,
// for a registrar that sends what it likes. change may falsify it.
func (d *Domain) MASARequest(prior []byte, change func(*voucher.Request)) *brski.MASARequest {
	d.t.Helper()
	format := vouchercms.Format{}
	q := &voucher.Request{Assertion: voucher.Proximity, CreatedOn: d.world.Now(), PriorSignedVoucherRequest: prior}
	if prior != nil {
		inner, artifact, err := format.OpenRequest(prior)
		if err != nil {
			d.t.Fatalf("systemtest: the pledge's request: %v", err)
		}
		q.SerialNumber, q.Nonce = inner.SerialNumber, inner.Nonce
		if q.IDevIDIssuer, err = voucher.IDevIDIssuer(artifact.Signer); err != nil {
			d.t.Fatalf("systemtest: IDevID: %v", err)
		}
	}
	if change != nil {
		change(q)
	}
	raw, err := format.SignRequest(context.Background(), q, &voucher.Signer{Key: d.Registrar.Key, Certificate: d.Registrar.Certificate, Chain: d.Registrar.Chain})
	if err != nil {
		d.t.Fatalf("systemtest: registrar's request: %v", err)
	}
	return &brski.MASARequest{MediaType: format.MediaType(), Raw: raw, Accept: []string{format.MediaType()}, Registrar: d.Registrar.Certificate, At: d.world.Now()}
}
