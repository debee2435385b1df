package attack_test

import (
	"testing"
	"time"

	"crypto/x509"

	"github.com/briskest/briskest/brski"
	"github.com/briskest/briskest/internal/testpki"
	"github.com/briskest/briskest/masa"
	"github.com/briskest/briskest/masa/storetest"
	"github.com/briskest/briskest/voucher"
	"github.com/briskest/briskest/voucher/vouchercms"
)

const deviceSerial = "JADA123456789"

// vendor is a MASA with the template's rules: any registrar is heard, devices
// are imported, no owner is needed.
type vendor struct {
	t       *testing.T
	root    *testpki.Identity
	idevid  *testpki.Identity
	store   *storetest.Memory
	service *masa.Service
	at      time.Time
}

func newVendor(t *testing.T, change func(*masa.Product)) *vendor {
	t.Helper()
	v := &vendor{t: t, root: testpki.NewRoot(t, "vendor"), store: storetest.NewMemory(), at: time.Now().UTC().Truncate(time.Second)}
	v.idevid = v.root.NewIntermediate(t, "vendor devices").IDevID(t, deviceSerial, "masa.example.com")
	signer := testpki.NewRoot(t, "vouchers")
	product := masa.Product{IDevIDAnchors: v.root.Pool(), Signer: &voucher.Signer{Key: signer.Key, Certificate: signer.Certificate}}
	if change != nil {
		change(&product)
	}
	var err error
	v.service, err = masa.New(t.Context(), masa.Config{
		Store: v.store, Now: func() time.Time { return v.at },
		Settings: &masa.Settings{Version: "1", Formats: []voucher.Format{vouchercms.Format{}}, Products: map[string]masa.Product{"widget": product}},
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(v.service.Close)
	report, err := v.service.ImportDevices(t.Context(), &masa.Import{Product: "widget", By: "test", Devices: []masa.ImportDevice{{SerialNumber: deviceSerial}}})
	if err != nil || !report.Applied {
		t.Fatalf("import: %+v, %v", report, err)
	}
	return v
}

// domain is somebody's network.
type domain struct{ root, ca, registrar *testpki.Identity }

func newDomain(t *testing.T, name string) *domain {
	t.Helper()
	d := &domain{root: testpki.NewRoot(t, name+" root")}
	d.ca = d.root.NewIntermediate(t, name+" CA")
	d.registrar = d.ca.Registrar(t, name+" registrar")
	return d
}

func signRequest(t testing.TB, q *voucher.Request, by *testpki.Identity, bag ...*x509.Certificate) []byte {
	t.Helper()
	raw, err := vouchercms.Format{}.SignRequest(t.Context(), q, &voucher.Signer{Key: by.Key, Certificate: by.Certificate, Chain: bag})
	if err != nil {
		t.Fatal(err)
	}
	return raw
}

// pledgeRequest is what the device signs when it is connected to a registrar.
func (v *vendor) pledgeRequest(connectedTo *testpki.Identity, nonce string) []byte {
	return signRequest(v.t, &voucher.Request{
		Assertion: voucher.Proximity, CreatedOn: v.at, SerialNumber: deviceSerial, Nonce: nonce, ProximityRegistrarCert: connectedTo.Certificate.Raw,
	}, v.idevid, v.idevid.Chain...)
}

// registrarRequest is what d's registrar sends on, with bag in the CMS.
func (v *vendor) registrarRequest(d *domain, prior []byte, nonce string, bag ...*x509.Certificate) *brski.MASARequest {
	raw := signRequest(v.t, &voucher.Request{
		Assertion: voucher.Proximity, CreatedOn: v.at, SerialNumber: deviceSerial, Nonce: nonce, PriorSignedVoucherRequest: prior,
	}, d.registrar, append(append([]*x509.Certificate{}, d.registrar.Chain...), bag...)...)
	return &brski.MASARequest{MediaType: vouchercms.MediaType, Raw: raw, Accept: []string{vouchercms.MediaType}, Registrar: d.registrar.Certificate, At: v.at}
}
