package masa_test

import (
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"errors"
	"math/big"
	"net/netip"
	"slices"
	"testing"
	"time"

	"github.com/briskest/briskest/brski"
	"github.com/briskest/briskest/est"
	"github.com/briskest/briskest/internal/testpki"
	"github.com/briskest/briskest/internal/trail"
	"github.com/briskest/briskest/masa"
	"github.com/briskest/briskest/masa/storetest"
	"github.com/briskest/briskest/voucher"
	"github.com/briskest/briskest/voucher/vouchercms"
)

const serial = "JADA123456789"

// world is a vendor with one product, and two domains that want its devices.
type world struct {
	t        testing.TB
	vendor   *testpki.Identity // IDevID root
	idevidCA *testpki.Identity // below vendor
	idevid   *testpki.Identity
	devices  map[string]*testpki.Identity // further ones, by serial number
	signer   *testpki.Identity            // of vouchers
	mine     *domain
	theirs   *domain
	at       time.Time
	settings *masa.Settings
	store    masa.Store
	memory   *storetest.Memory // store, unless a test has its own
	service  *masa.Service
}

type domain struct {
	root, ca  *testpki.Identity
	registrar *testpki.Identity
}

func newDomain(t testing.TB, name string) *domain {
	t.Helper()
	d := &domain{root: testpki.NewRoot(t, name+" root")}
	d.ca = d.root.NewIntermediate(t, name+" CA")
	d.registrar = d.ca.Registrar(t, name+" registrar")
	return d
}

// newWorld starts a MASA that knows the device. Change may alter its settings.
func newWorld(t testing.TB, change func(*masa.Settings, *masa.Product)) *world {
	t.Helper()
	w := unstarted(t, change)
	w.memory = storetest.NewMemory()
	w.store = w.memory
	w.start()
	w.importSerial(serial)
	return w
}

func unstarted(t testing.TB, change func(*masa.Settings, *masa.Product)) *world {
	t.Helper()
	w := &world{t: t, vendor: testpki.NewRoot(t, "vendor"), signer: testpki.NewRoot(t, "vouchers"), at: time.Now().UTC().Truncate(time.Second)}
	w.idevidCA = w.vendor.NewIntermediate(t, "vendor devices")
	w.idevid = w.idevidCA.IDevID(t, serial, "masa.example.com")
	w.mine, w.theirs = newDomain(t, "mine"), newDomain(t, "theirs")
	product := masa.Product{
		IDevIDAnchors: w.vendor.Pool(),
		Signer:        &voucher.Signer{Key: w.signer.Key, Certificate: w.signer.Certificate},
	}
	w.settings = &masa.Settings{Version: "test", Formats: []voucher.Format{vouchercms.Format{}}}
	if change != nil {
		change(w.settings, &product)
	}
	if w.settings.Products == nil {
		w.settings.Products = map[string]masa.Product{"widget": product}
	}
	return w
}

// start starts the service, or starts it again on the same store.
func (w *world) start() {
	w.t.Helper()
	s, err := masa.New(w.t.Context(), masa.Config{Store: w.store, Settings: w.settings, Now: func() time.Time { return w.at }})
	if err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(s.Close)
	w.service = s
}

func (w *world) importSerial(serials ...string) {
	w.t.Helper()
	in := &masa.Import{Product: "widget", By: "test"}
	for _, s := range serials {
		in.Devices = append(in.Devices, masa.ImportDevice{SerialNumber: s})
	}
	report, err := w.service.ImportDevices(w.t.Context(), in)
	if err != nil || !report.Applied {
		w.t.Fatalf("ImportDevices(%q) = %+v, %v", serials, report, err)
	}
}

// ask is a voucher-request under construction, of pledge and registrar.
type ask struct {
	pledge    *voucher.Request
	idevid    *testpki.Identity // signs the pledge's; nil for none
	registrar *voucher.Request
	signer    *testpki.Identity // signs the registrar's
	chain     []*x509.Certificate
}

func (w *world) ask(d *domain, nonce string) *ask {
	return &ask{
		pledge: &voucher.Request{
			Assertion: voucher.Proximity, CreatedOn: w.at, SerialNumber: serial, Nonce: nonce,
			ProximityRegistrarCert: d.registrar.Certificate.Raw,
		},
		idevid:    w.idevid,
		registrar: &voucher.Request{Assertion: voucher.Proximity, CreatedOn: w.at, SerialNumber: serial, Nonce: nonce},
		signer:    d.registrar,
		chain:     d.registrar.Chain,
	}
}

func sign(t testing.TB, r *voucher.Request, by *testpki.Identity, chain []*x509.Certificate) []byte {
	t.Helper()
	raw, err := vouchercms.Format{}.SignRequest(t.Context(), r, &voucher.Signer{Key: by.Key, Certificate: by.Certificate, Chain: chain})
	if err != nil {
		t.Fatal(err)
	}
	return raw
}

func (a *ask) bytes(t testing.TB) []byte {
	t.Helper()
	r := *a.registrar
	if a.idevid != nil && r.PriorSignedVoucherRequest == nil {
		r.PriorSignedVoucherRequest = sign(t, a.pledge, a.idevid, a.idevid.Chain)
	}
	return sign(t, &r, a.signer, a.chain)
}

// fuzzWorld is a world whose parts outlive a single fuzz call.
type fuzzWorld struct {
	service *masa.Service
	request brski.MASARequest
	good    []byte
	hostile [][]byte // well-formed, and to be refused
}

func newFuzzWorld(f *testing.F) *fuzzWorld {
	f.Helper()
	vendor, signer := testpki.NewRoot(f, "vendor"), testpki.NewRoot(f, "vouchers")
	registrar, idevid := testpki.NewRoot(f, "domain").Registrar(f, "registrar"), vendor.IDevID(f, serial, "")
	s, err := masa.New(f.Context(), masa.Config{Store: storetest.NewMemory(), Settings: &masa.Settings{
		Formats: []voucher.Format{vouchercms.Format{}}, RequestsPerMinute: 1 << 30,
		Products: map[string]masa.Product{"widget": {
			IDevIDAnchors: vendor.Pool(), AllowUnlisted: true,
			Signer: &voucher.Signer{Key: signer.Key, Certificate: signer.Certificate},
		}},
	}})
	if err != nil {
		f.Fatal(err)
	}
	f.Cleanup(s.Close)
	pledge := &voucher.Request{SerialNumber: serial, Nonce: "0123456789abcdef", ProximityRegistrarCert: registrar.Certificate.Raw}
	asked := &voucher.Request{
		SerialNumber: serial, Nonce: pledge.Nonce, PriorSignedVoucherRequest: sign(f, pledge, idevid, idevid.Chain),
	}
	w := &fuzzWorld{
		service: s, request: brski.MASARequest{MediaType: vouchercms.MediaType},
		good: sign(f, asked, registrar, registrar.Chain),
	}
	thief := testpki.NewRoot(f, "thief")
	thiefs := thief.Registrar(f, "registrar")
	certified := thief.Issue(f, &x509.Certificate{UnknownExtKeyUsage: thiefs.Certificate.UnknownExtKeyUsage}, registrar.Key)
	for _, bag := range [][]*x509.Certificate{
		{certified.Certificate, registrar.Certificate},
		slices.Repeat(registrar.Chain, voucher.MaxCertificates+1),
		{hugeKey(f, thief)},
	} {
		w.hostile = append(w.hostile, sign(f, asked, thiefs, append(slices.Clone(thiefs.Chain), bag...)))
	}
	return w
}

// hugeKey issues a certificate for an RSA key of 400,000 bits.
func hugeKey(t testing.TB, by *testpki.Identity) *x509.Certificate {
	t.Helper()
	n := new(big.Int).Lsh(big.NewInt(1), 400000)
	template := &x509.Certificate{SerialNumber: big.NewInt(2), NotAfter: time.Now().Add(time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, template, by.Certificate, &rsa.PublicKey{N: n.SetBit(n, 0, 1), E: 65537}, by.Key)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return cert
}

func (w *world) request(raw []byte) *brski.MASARequest {
	return &brski.MASARequest{
		MediaType: vouchercms.MediaType, Raw: raw, Accept: []string{vouchercms.MediaType}, At: w.at,
		Peer: &est.Peer{Address: netip.MustParseAddrPort("127.0.0.1:4711")},
	}
}

// voucher asks and returns what was issued.
func (w *world) voucher(raw []byte) (*voucher.Voucher, []byte) {
	w.t.Helper()
	got, err := w.service.RequestVoucher(w.t.Context(), w.request(raw))
	if err != nil {
		w.t.Fatalf("RequestVoucher: %v", err)
	}
	v, artifact, err := vouchercms.Format{StrictRFC8366: true}.OpenVoucher(got.Raw)
	if err != nil {
		w.t.Fatalf("OpenVoucher of what was issued: %v", err)
	}
	if _, err := artifact.VerifySigner(w.signer.Pool(), w.at); err != nil {
		w.t.Fatalf("VerifySigner of what was issued: %v", err)
	}
	return v, got.Raw
}

// refused asks and expects a refusal.
func (w *world) refused(raw []byte, status int, reason string) {
	w.t.Helper()
	got, err := w.service.RequestVoucher(w.t.Context(), w.request(raw))
	wantRefusal(w.t, got != nil, err, status, reason)
}

func wantRefusal(t testing.TB, answered bool, err error, status int, reason string) {
	t.Helper()
	var e *est.Error
	switch {
	case answered:
		t.Errorf("an answer was given, want refusal %d %s", status, reason)
	case !errors.As(err, &e):
		t.Errorf("error %v, want refusal %d %s", err, status, reason)
	case e.Status != status || e.Reason != reason:
		t.Errorf("refused with %d %s (%v), want %d %s", e.Status, e.Reason, e.Err, status, reason)
	default:
		checkText(t, e)
	}
}

// checkText holds refusals to what the peer can show a person.
func checkText(t testing.TB, e *est.Error) {
	t.Helper()
	if e.Message == "" || len(e.Message) > 400 || e.Section == "" {
		t.Errorf("refusal %s: message %q of %d bytes, section %q", e.Reason, e.Message, len(e.Message), e.Section)
	}
	for _, r := range e.Message {
		if r < 0x20 || r > 0x7e {
			t.Errorf("refusal %s: message %q is not ASCII", e.Reason, e.Message)
		}
	}
}

// records is the number of issuances on record, in any state.
func (w *world) records() int {
	w.t.Helper()
	list, err := w.service.ListVouchers(w.t.Context(), masa.Page{})
	if err != nil {
		w.t.Fatal(err)
	}
	return len(list)
}

// trail waits for what the service still has to write and returns the entries of a kind.
func (w *world) trail(kind string) []*trail.Entry {
	w.t.Helper()
	w.service.Close()
	entries, err := w.store.TrailEntries(w.t.Context(), masa.DefaultDomain, "", 0, 1000)
	if err != nil {
		w.t.Fatal(err)
	}
	var out []*trail.Entry
	for _, e := range entries {
		if e.Kind == kind {
			out = append(out, e)
		}
	}
	return out
}
