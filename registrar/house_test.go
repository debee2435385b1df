package registrar_test

import (
	"context"
	"crypto"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/json"
	"errors"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/briskest/briskest/brski"
	"github.com/briskest/briskest/ca/localca"
	"github.com/briskest/briskest/ca/profile"
	"github.com/briskest/briskest/est"
	"github.com/briskest/briskest/internal/testpki"
	"github.com/briskest/briskest/internal/trail"
	"github.com/briskest/briskest/registrar"
	"github.com/briskest/briskest/registrar/baseline"
	"github.com/briskest/briskest/registrar/policy"
	"github.com/briskest/briskest/registrar/storetest"
	"github.com/briskest/briskest/voucher"
	"github.com/briskest/briskest/voucher/vouchercms"
)

// house is a domain with its CA and registrar, and a vendor whose devices may join.
type house struct {
	t         testing.TB
	root, ca  *testpki.Identity
	registrar *testpki.Identity
	vendor    *testpki.Identity // IDevID root
	vouchers  *testpki.Identity // root of the voucher signer
	idevidCA  *testpki.Identity
	masa      *fakeMASA
	issuer    *localca.CA
	store     *storetest.Memory
	settings  *registrar.Settings
	service   *registrar.Service
	reads     *faultyStore
	clock     atomic.Int64 // unix nanoseconds
	passwords map[string]est.Secret
	idevids   map[string]*testpki.Identity // by serial number

	compileGroups func(document []byte) (registrar.Grouping, error) // nil: no groups
}

const (
	group = "factory"
	alone = "dev-1"
)

// newHouse starts a registrar; change may alter its settings before.
func newHouse(t testing.TB, change func(h *house)) *house {
	t.Helper()
	h := &house{t: t, root: testpki.NewRoot(t, "house root"), vendor: testpki.NewRoot(t, "vendor root"), vouchers: testpki.NewRoot(t, "voucher root")}
	h.ca = h.root.NewIntermediate(t, "house CA")
	h.registrar = h.ca.Registrar(t, "registrar")
	h.idevidCA = h.vendor.NewIntermediate(t, "vendor devices")
	h.clock.Store(time.Now().Truncate(time.Second).UnixNano())
	h.store = storetest.NewMemory()
	h.idevids = map[string]*testpki.Identity{}
	h.reads = &faultyStore{Store: h.store}
	h.masa = &fakeMASA{house: h, signer: h.vouchers.Issue(t, &x509.Certificate{Subject: pkix.Name{CommonName: "vouchers"}}, testpki.NewKey(t))}
	h.issuer = h.newIssuer(profile.Device(), profile.LDevID(), raProfile())
	h.settings = &registrar.Settings{
		Version: "1",
		Labels: map[string]*registrar.Label{
			"":   {Profile: h.profile("device"), Basic: true, IDevID: registrar.IDevIDVouched, RA: true, Renewal: true},
			"ra": {Profile: h.profile("ra")},
		},
		Manufacturers: map[string]*registrar.Manufacturer{"acme": {
			IDevIDAnchors: h.vendor.Pool(), VoucherAnchors: h.vouchers.Pool(), MASAURL: "https://masa.example/.well-known/brski",
		}},
		Signer:   &voucher.Signer{Key: h.registrar.Key, Certificate: h.registrar.Certificate, Chain: h.registrar.Chain},
		Formats:  []voucher.Format{vouchercms.Format{}},
		DialMASA: func(*registrar.Manufacturer, string) (brski.MASA, error) { return h.masa, nil },
	}
	if change != nil {
		change(h)
	}
	if t, ok := t.(*testing.T); ok {
		t.Cleanup(func() { h.checkEvents() }) // what this test has the registrar tell other systems
	}
	h.start()
	h.passwords = map[string]est.Secret{group: h.credential(group, true, ""), alone: h.credential(alone, false, "")}
	return h
}

// start makes a service on the store there is, as after a restart.
func (h *house) start() {
	h.t.Helper()
	s, err := registrar.New(registrar.Config{Store: h.reads, Issuer: h.issuer, Policy: policy.Decide, Settings: h.settings, Now: h.now, CompileGroups: h.compileGroups, Baselines: baseline.Maker{}})
	if err != nil {
		h.t.Fatalf("New: %v", err)
	}
	if err := s.Start(h.t.Context()); err != nil {
		h.t.Fatalf("Start: %v", err)
	}
	h.service = s
	h.t.Cleanup(s.Close)
}

func (h *house) now() time.Time          { return time.Unix(0, h.clock.Load()).UTC() }
func (h *house) advance(d time.Duration) { h.clock.Add(int64(d)) }

func (h *house) newIssuer(documents ...*profile.Document) *localca.CA {
	h.t.Helper()
	profiles := map[string]*profile.Profile{}
	for _, d := range documents {
		p, err := profile.New(d)
		if err != nil {
			h.t.Fatalf("profile %s: %v", d.Name, err)
		}
		profiles[d.Name] = p
	}
	issuer, err := localca.New(localca.Config{
		Certificate: h.ca.Certificate, Chain: h.ca.Chain, Key: h.ca.Key, Profiles: profiles, Now: h.now,
	})
	if err != nil {
		h.t.Fatalf("localca.New: %v", err)
	}
	return issuer
}

func (h *house) profile(name string) registrar.Profile { return policy.Profile(h.issuer.Profile(name)) }

// reprofile replaces the profile of the label "" by a changed one.
func (h *house) reprofile(change func(d *profile.Document)) {
	d := profile.Device()
	change(d)
	h.issuer = h.newIssuer(d, profile.LDevID(), raProfile())
	h.settings.Labels[""].Profile = h.profile("device")
}

func raProfile() *profile.Document {
	d := profile.Registrar()
	d.Name = "ra"
	d.SAN.Required = false
	return d
}

// credential adds an HTTP credential and returns its secret.
func (h *house) credential(user string, group bool, password est.Secret) est.Secret {
	h.t.Helper()
	secret, err := h.service.AddCredential(h.t.Context(), &registrar.NewCredential{Actor: "test", User: user, Group: group, Password: password})
	if err != nil {
		h.t.Fatalf("AddCredential(%s): %v", user, err)
	}
	return secret
}

// request is one enrollment to be made.
type request struct {
	h    *house
	op   est.Operation
	peer *est.Peer
	csr  *x509.CertificateRequest
	key  crypto.Signer
	link string
	name string // label
	otp  est.Secret
}

func (h *house) enroll(commonName string) *request {
	return &request{
		h: h, op: est.OpSimpleEnroll, key: testpki.NewKey(h.t),
		peer: &est.Peer{Address: netip.MustParseAddrPort("192.0.2.1:4711")},
		csr:  &x509.CertificateRequest{Subject: pkix.Name{CommonName: commonName}},
	}
}

func (r *request) basic(user string) *request {
	r.peer.User, r.peer.Secret = user, r.h.passwords[user]
	return r
}

func (r *request) cert(certs ...*x509.Certificate) *request { r.peer.Certificates = certs; return r }

func (r *request) renewing() *request { r.op = est.OpSimpleReenroll; return r }

func (r *request) withKey(key crypto.Signer) *request { r.key = key; return r }

func (r *request) subject(name pkix.Name) *request { r.csr.Subject = name; return r }

func (r *request) dns(names ...string) *request { r.csr.DNSNames = names; return r }

func (r *request) ip(ips ...net.IP) *request { r.csr.IPAddresses = ips; return r }

func (r *request) label(name string) *request { r.name = name; return r }

// send enrolls and returns the certificate.
func (r *request) send() (*x509.Certificate, error) {
	r.h.t.Helper()
	csr, err := est.ParseCSR(testpki.CSR(r.h.t, r.csr, r.key))
	if err != nil {
		r.h.t.Fatalf("ParseCSR: %v", err)
	}
	csr.ChallengePassword, csr.OTPChallenge = r.link, r.otp
	raw, err := r.h.service.Enroll(r.h.t.Context(), &est.EnrollRequest{
		Request: est.Request{ID: "q", Operation: r.op, Label: r.name, Peer: r.peer, At: r.h.now()}, CSR: csr,
	})
	if err != nil {
		return nil, err
	}
	return x509.ParseCertificate(raw)
}

func (r *request) mustSend() *x509.Certificate {
	r.h.t.Helper()
	cert, err := r.send()
	if err != nil {
		r.h.t.Fatalf("Enroll(%s): %v", r.csr.Subject, err)
	}
	return cert
}

// refusedAs sends, and fails the test unless it is refused with that reason and status.
func (r *request) refusedAs(reason string, status int) *est.Error {
	r.h.t.Helper()
	_, err := r.send()
	return refusal(r.h.t, err, reason, status)
}

func refusal(t testing.TB, err error, reason string, status int) *est.Error {
	t.Helper()
	var e *est.Error
	if !errors.As(err, &e) {
		t.Fatalf("error = %v, want a refusal with reason %q", err, reason)
	}
	if e.Reason != reason || e.Status != status {
		t.Fatalf("refusal = %d %q (%v), want %d %q", e.Status, e.Reason, e, status, reason)
	}
	return e
}

// entries returns the trail's entries of a kind.
func (h *house) entries(kind string) []*trail.Entry {
	h.t.Helper()
	all, err := h.store.TrailEntries(h.t.Context(), registrar.DefaultDomain, "", 0, 100000)
	if err != nil {
		h.t.Fatal(err)
	}
	var out []*trail.Entry
	for _, e := range all {
		if e.Kind == kind {
			if !json.Valid(e.Body) {
				h.t.Errorf("trail entry %d has a body that is not JSON: %s", e.Seq, e.Body)
			}
			out = append(out, e)
		}
	}
	return out
}

func (h *house) certificates(status registrar.CertificateStatus) []*registrar.Certificate {
	h.t.Helper()
	list, err := h.service.ListCertificates(h.t.Context(), &registrar.CertificateQuery{Status: status})
	if err != nil {
		h.t.Fatal(err)
	}
	return list
}

// raCertificate issues an RA's certificate on the operator's word.
func (h *house) raCertificate() (*x509.Certificate, crypto.Signer) {
	h.t.Helper()
	key := testpki.NewKey(h.t)
	csr, err := x509.ParseCertificateRequest(testpki.CSR(h.t, &x509.CertificateRequest{Subject: pkix.Name{CommonName: "factory RA"}}, key))
	if err != nil {
		h.t.Fatal(err)
	}
	raw, err := h.service.IssueCertificate(h.t.Context(), &registrar.IssueRequest{Actor: "test", Label: "ra", CSR: csr})
	if err != nil {
		h.t.Fatalf("IssueCertificate: %v", err)
	}
	cert, err := x509.ParseCertificate(raw)
	if err != nil {
		h.t.Fatal(err)
	}
	return cert, key
}

// faultyStore is a store whose reads can be made to fail by name.
type faultyStore struct {
	registrar.Store
	mu   sync.Mutex
	fail string // guarded by mu
}

var errDown = errors.New("the store is down")

func (s *faultyStore) failing(name string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.fail = name
}

func (s *faultyStore) check(name string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.fail == name {
		return errDown
	}
	return nil
}

func (s *faultyStore) Device(ctx context.Context, domain, id string) (*registrar.Device, error) {
	if err := s.check("Device"); err != nil {
		return nil, err
	}
	return s.Store.Device(ctx, domain, id)
}

func (s *faultyStore) DeviceBySerialNumber(ctx context.Context, domain, m, sn string) (*registrar.Device, error) {
	if err := s.check("DeviceBySerialNumber"); err != nil {
		return nil, err
	}
	return s.Store.DeviceBySerialNumber(ctx, domain, m, sn)
}

func (s *faultyStore) FindDevices(ctx context.Context, domain, sn string) ([]*registrar.Device, error) {
	if err := s.check("FindDevices"); err != nil {
		return nil, err
	}
	return s.Store.FindDevices(ctx, domain, sn)
}

func (s *faultyStore) CertificateOf(ctx context.Context, domain string, serial, raw []byte) (*registrar.Certificate, error) {
	if err := s.check("Certificate"); err != nil {
		return nil, err
	}
	return s.Store.CertificateOf(ctx, domain, serial, raw)
}

func (s *faultyStore) Certificate(ctx context.Context, domain, id string) (*registrar.Certificate, error) {
	if err := s.check("Certificate"); err != nil {
		return nil, err
	}
	return s.Store.Certificate(ctx, domain, id)
}

func (s *faultyStore) CurrentCertificate(ctx context.Context, q *registrar.CurrentQuery) (*registrar.Certificate, error) {
	if err := s.check("CurrentCertificate"); err != nil {
		return nil, err
	}
	return s.Store.CurrentCertificate(ctx, q)
}

func (s *faultyStore) ListCertificates(ctx context.Context, q *registrar.CertificateQuery) ([]*registrar.Certificate, error) {
	if err := s.check("ListCertificates"); err != nil {
		return nil, err
	}
	return s.Store.ListCertificates(ctx, q)
}

func (s *faultyStore) Credential(ctx context.Context, domain, user string) (*registrar.Credential, error) {
	if err := s.check("Credential"); err != nil {
		return nil, err
	}
	return s.Store.Credential(ctx, domain, user)
}

func (s *faultyStore) LatestVoucher(ctx context.Context, domain, id string) (*registrar.VoucherRecord, error) {
	if err := s.check("LatestVoucher"); err != nil {
		return nil, err
	}
	return s.Store.LatestVoucher(ctx, domain, id)
}

func (s *faultyStore) ListVouchers(ctx context.Context, domain, id string) ([]*registrar.VoucherRecord, error) {
	if err := s.check("ListVouchers"); err != nil {
		return nil, err
	}
	return s.Store.ListVouchers(ctx, domain, id)
}

func (s *faultyStore) VoucherByRequest(ctx context.Context, domain string, hash [32]byte) (*registrar.VoucherRecord, error) {
	if err := s.check("VoucherByRequest"); err != nil {
		return nil, err
	}
	return s.Store.VoucherByRequest(ctx, domain, hash)
}

func (s *faultyStore) VoucherByNonce(ctx context.Context, domain, id, nonce string) (*registrar.VoucherRecord, error) {
	if err := s.check("VoucherByNonce"); err != nil {
		return nil, err
	}
	return s.Store.VoucherByNonce(ctx, domain, id, nonce)
}

func (s *faultyStore) PendingByKey(ctx context.Context, domain, kind, key string) (*registrar.Pending, error) {
	if err := s.check("PendingByKey"); err != nil {
		return nil, err
	}
	return s.Store.PendingByKey(ctx, domain, kind, key)
}

func (s *faultyStore) Code(ctx context.Context, domain, serial string) (*registrar.Code, error) {
	if err := s.check("Code"); err != nil {
		return nil, err
	}
	return s.Store.Code(ctx, domain, serial)
}
