package systemtest

import (
	"net/http"
	"sync/atomic"
	"testing"

	"github.com/briskest/briskest/brski"
	"github.com/briskest/briskest/internal/testpki"
	"github.com/briskest/briskest/internal/trail"
	"github.com/briskest/briskest/masa"
	"github.com/briskest/briskest/masa/storetest"
	"github.com/briskest/briskest/voucher"
	"github.com/briskest/briskest/voucher/vouchercms"
)

// Product is the name of the vendor's one product.
const Product = "widget"

// Vendor builds devices and runs a MASA.
type Vendor struct {
	Root, Devices *testpki.Identity // of the IDevIDs
	Vouchers      *testpki.Identity // signs the vouchers
	Web           *testpki.Identity // the root above the MASA's TLS certificate
	Settings      *masa.Settings    // those that the MASA starts with
	Service       *masa.Service
	URL           string // of the MASA, as an IDevID names it

	t       testing.TB
	world   *World
	store   *storetest.Memory
	handler http.Handler
	instead atomic.Pointer[http.Handler]
}

func newVendor(w *World, change []func(*Vendor)) *Vendor {
	t := w.t
	t.Helper()
	v := &Vendor{t: t, world: w, Root: testpki.NewRoot(t, "vendor root"), Vouchers: testpki.NewRoot(t, "vendor vouchers"), Web: testpki.NewRoot(t, "vendor web")}
	v.Devices, v.store = v.Root.NewIntermediate(t, "vendor devices"), storetest.NewMemory()
	v.Settings = &masa.Settings{
		Version: "1", Formats: []voucher.Format{vouchercms.Format{}},
		Products: map[string]masa.Product{Product: {
			IDevIDAnchors: v.Root.Pool(), Signer: &voucher.Signer{Key: v.Vouchers.Key, Certificate: v.Vouchers.Certificate},
		}},
	}
	for _, f := range change {
		f(v)
	}
	var err error
	if v.Service, err = masa.New(t.Context(), masa.Config{Store: v.store, Now: w.Now, Settings: v.Settings}); err != nil {
		t.Fatalf("systemtest: MASA: %v", err)
	}
	t.Cleanup(v.Service.Close)
	v.handler = &brski.MASAHandler{MASA: v.Service, Formats: v.Settings.Formats, Now: w.Now}
	v.URL = w.Serve(v.Web.Server(t, "masa"), http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		if h := v.instead.Load(); h != nil {
			(*h).ServeHTTP(rw, r)
			return
		}
		v.handler.ServeHTTP(rw, r)
	})) + brski.PathPrefix
	return v
}

// ChangeProduct alters the product before the vendor starts; for New.
func ChangeProduct(change func(*masa.Product)) func(*Vendor) {
	return func(v *Vendor) {
		p := v.Settings.Products[Product]
		change(&p)
		v.Settings.Products[Product] = p
	}
}

// Instead has h answer in place of the MASA, which it may still ask; nil ends that.
func (v *Vendor) Instead(h func(masa http.Handler) http.Handler) {
	if h == nil {
		v.instead.Store(nil)
		return
	}
	handler := h(v.handler)
	v.instead.Store(&handler)
}

// Build makes a device, which the MASA knows.
func (v *Vendor) Build(serial string) *Device {
	v.t.Helper()
	return v.BuildWith(v.Devices.IDevID(v.t, serial, ""), serial)
}

// BuildWith makes a device with an IDevID that somebody else has made.
func (v *Vendor) BuildWith(idevid *testpki.Identity, serial string) *Device {
	v.t.Helper()
	report, err := v.Service.ImportDevices(v.t.Context(), &masa.Import{
		Product: Product, By: "test", Devices: []masa.ImportDevice{{SerialNumber: serial, IDevID: idevid.Certificate.Raw}},
	})
	if err != nil || !report.Applied {
		v.t.Fatalf("systemtest: build %s: %+v, %v", serial, report, err)
	}
	return newDevice(v, idevid, serial)
}

// Sell notes that a device is d's alone.
func (v *Vendor) Sell(device *Device, d *Domain) {
	v.t.Helper()
	claim := &masa.OwnerClaim{
		DeviceRef: masa.DeviceRef{Product: Product, SerialNumber: device.Serial}, By: "test", Replace: true,
		DomainRef: masa.DomainRef{Certificate: d.Root.Certificate.Raw, Name: d.Name},
	}
	if _, err := v.Service.AddOwner(v.t.Context(), claim); err != nil {
		v.t.Fatalf("systemtest: sell %s: %v", device.Serial, err)
	}
}

// AuditLog is the log of a device as the vendor sees it.
func (v *Vendor) AuditLog(device *Device) *brski.AuditLog {
	v.t.Helper()
	log, err := v.Service.AuditLog(v.t.Context(), masa.DeviceRef{Product: Product, SerialNumber: device.Serial})
	if err != nil {
		v.t.Fatalf("systemtest: audit-log of %s: %v", device.Serial, err)
	}
	return log
}

// Refusals ends the MASA, which may have to write something still, and returns
// the reasons of the refusals on its trail, in order.
func (v *Vendor) Refusals() []string {
	v.t.Helper()
	v.Service.Close()
	all, err := v.store.TrailEntries(v.t.Context(), masa.DefaultDomain, "", 0, 1<<20)
	if err != nil {
		v.t.Fatalf("systemtest: trail: %v", err)
	}
	return reasons(all, masa.KindRefused)
}

func reasons(all []*trail.Entry, kind string) []string {
	var out []string
	for _, e := range all {
		if e.Kind == kind {
			out = append(out, e.Reason)
		}
	}
	return out
}
