package attack_test

import (
	"context"
	"crypto"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"net/netip"
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
	"github.com/briskest/briskest/registrar/policy"
	"github.com/briskest/briskest/registrar/storetest"
	"github.com/briskest/briskest/voucher"
	"github.com/briskest/briskest/voucher/vouchercms"
)

// house is a registrar with the quickstart's rules, its vendor, and a MASA
// that does what the test says.
type house struct {
	t                testing.TB
	root, ca         *testpki.Identity
	registrar        *testpki.Identity
	vendor, idevidCA *testpki.Identity
	vouchers         *testpki.Identity
	issuer           *localca.CA
	store            registrar.Store
	settings         *registrar.Settings
	policy           registrar.Policy
	service          *registrar.Service
	masa             brski.MASA
	secret           est.Secret // of the group credential
	clock            atomic.Int64
}

const groupUser = "line-1"

// newHouse starts one; change may alter what it is made of.
func newHouse(t testing.TB, change func(h *house)) *house {
	t.Helper()
	h := &house{t: t, root: testpki.NewRoot(t, "house root"), vendor: testpki.NewRoot(t, "vendor root"), vouchers: testpki.NewRoot(t, "vouchers"), policy: policy.Decide}
	h.ca = h.root.NewIntermediate(t, "house CA")
	h.registrar = h.ca.Registrar(t, "registrar")
	h.idevidCA = h.vendor.NewIntermediate(t, "vendor devices")
	h.clock.Store(time.Now().Truncate(time.Second).UnixNano())
	h.store = storetest.NewMemory()
	h.issues(profile.Device(), profile.RAClient())
	h.settings = &registrar.Settings{
		Version: "1",
		Labels: map[string]*registrar.Label{
			"":   {Profile: h.profile("device"), Basic: true, IDevID: registrar.IDevIDVouched, RA: true, Renewal: true},
			"ra": {Profile: h.profile("ra-client"), Renewal: true},
		},
		Manufacturers: map[string]*registrar.Manufacturer{"acme": {
			IDevIDAnchors: h.vendor.Pool(), VoucherAnchors: h.vouchers.Pool(), MASAURL: "https://masa.example/.well-known/brski",
		}},
		Signer:   &voucher.Signer{Key: h.registrar.Key, Certificate: h.registrar.Certificate, Chain: h.registrar.Chain},
		Formats:  []voucher.Format{vouchercms.Format{}},
		DialMASA: func(*registrar.Manufacturer, string) (brski.MASA, error) { return h.masa, nil },
	}
	h.masa = &honestMASA{h}
	if change != nil {
		change(h)
	}
	s, err := registrar.New(registrar.Config{Store: h.store, Issuer: h.issuer, Policy: h.policy, Settings: h.settings, Now: h.now})
	if err != nil {
		t.Fatal(err)
	}
	h.service = s
	if err := s.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	if h.secret, err = s.AddCredential(t.Context(), &registrar.NewCredential{Actor: "test", User: groupUser, Group: true}); err != nil {
		t.Fatal(err)
	}
	return h
}

func (h *house) now() time.Time          { return time.Unix(0, h.clock.Load()).UTC() }
func (h *house) advance(d time.Duration) { h.clock.Add(int64(d)) }

func (h *house) issues(documents ...*profile.Document) {
	h.t.Helper()
	profiles := map[string]*profile.Profile{}
	for _, d := range documents {
		p, err := profile.New(d)
		if err != nil {
			h.t.Fatal(err)
		}
		profiles[d.Name] = p
	}
	var err error
	h.issuer, err = localca.New(localca.Config{Certificate: h.ca.Certificate, Chain: h.ca.Chain, Key: h.ca.Key, Profiles: profiles, Now: h.now})
	if err != nil {
		h.t.Fatal(err)
	}
}

func (h *house) profile(name string) registrar.Profile { return policy.Profile(h.issuer.Profile(name)) }

// reprofile changes the profile of the label "".
func (h *house) reprofile(change func(d *profile.Document)) {
	d := profile.Device()
	change(d)
	h.issues(d, profile.RAClient())
	h.settings.Labels[""].Profile = h.profile("device")
}

// request is one enrollment under construction.
type request struct {
	h    *house
	op   est.Operation
	peer *est.Peer
	csr  *x509.CertificateRequest
	key  crypto.Signer
}

func (h *house) enroll(name pkix.Name) *request {
	return &request{
		h: h, op: est.OpSimpleEnroll, key: testpki.NewKey(h.t),
		peer: &est.Peer{Address: netip.MustParseAddrPort("192.0.2.1:4711")},
		csr:  &x509.CertificateRequest{Subject: name},
	}
}

func (r *request) basic() *request {
	r.peer.User, r.peer.Secret = groupUser, r.h.secret
	return r
}

func (r *request) cert(certs ...*x509.Certificate) *request { r.peer.Certificates = certs; return r }

func (r *request) withKey(key crypto.Signer) *request { r.key = key; return r }

func (r *request) send() (*x509.Certificate, error) {
	r.h.t.Helper()
	csr, err := est.ParseCSR(testpki.CSR(r.h.t, r.csr, r.key))
	if err != nil {
		r.h.t.Fatal(err)
	}
	raw, err := r.h.service.Enroll(context.Background(), &est.EnrollRequest{
		Request: est.Request{ID: "q", Operation: r.op, Peer: r.peer, At: r.h.now()}, CSR: csr,
	})
	if err != nil {
		return nil, err
	}
	return x509.ParseCertificate(raw)
}

func (r *request) must() *x509.Certificate {
	r.h.t.Helper()
	cert, err := r.send()
	if err != nil {
		r.h.t.Fatal(err)
	}
	return cert
}

// enrolled returns a device of the group credential with its certificate.
func (h *house) enrolled(name string) (*x509.Certificate, crypto.Signer) {
	h.t.Helper()
	r := h.enroll(pkix.Name{CommonName: name}).basic()
	return r.must(), r.key
}

// with asks for the certificate's own names by the given operation.
func (h *house) with(cert *x509.Certificate, op est.Operation) *request {
	r := h.enroll(cert.Subject).cert(cert)
	r.csr.DNSNames, r.op = cert.DNSNames, op
	return r
}

func (h *house) renew(cert *x509.Certificate) *request { return h.with(cert, est.OpSimpleReenroll) }

func (h *house) importSerials(serials ...string) {
	h.t.Helper()
	r := &registrar.ImportRequest{Actor: "test", Manufacturer: "acme"}
	for _, s := range serials {
		r.Devices = append(r.Devices, registrar.ImportDevice{SerialNumber: s})
	}
	if _, err := h.service.ImportDevices(h.t.Context(), r); err != nil {
		h.t.Fatal(err)
	}
}

func chainOf(id *testpki.Identity) []*x509.Certificate {
	return append([]*x509.Certificate{id.Certificate}, id.Chain[:len(id.Chain)-1]...)
}

// pledge is one voucher-request under construction.
type pledge struct {
	h      *house
	idevid *testpki.Identity
	peer   *est.Peer
	q      *voucher.Request
}

func (h *house) pledge(idevid *testpki.Identity) *pledge {
	h.t.Helper()
	serial, err := voucher.SerialNumber(idevid.Certificate)
	if err != nil {
		h.t.Fatal(err)
	}
	return &pledge{h: h, idevid: idevid,
		peer: &est.Peer{Address: netip.MustParseAddrPort("192.0.2.9:1"), TLS: &tls.ConnectionState{}, Certificates: chainOf(idevid)},
		q: &voucher.Request{
			Assertion: voucher.Proximity, CreatedOn: h.now(), SerialNumber: serial, Nonce: voucher.NewNonce(),
			ProximityRegistrarCert: h.registrar.Certificate.Raw,
		},
	}
}

func (p *pledge) send() (*brski.Voucher, error) {
	p.h.t.Helper()
	format := vouchercms.Format{}
	raw, err := format.SignRequest(context.Background(), p.q, &voucher.Signer{Key: p.idevid.Key, Certificate: p.idevid.Certificate})
	if err != nil {
		p.h.t.Fatal(err)
	}
	return p.post(raw)
}

// post sends bytes that somebody has signed.
func (p *pledge) post(raw []byte) (*brski.Voucher, error) {
	p.h.t.Helper()
	format := vouchercms.Format{}
	q, artifact, err := format.OpenRequest(raw)
	if err != nil {
		p.h.t.Fatal(err)
	}
	return p.h.service.BRSKI().RequestVoucher(context.Background(), &brski.VoucherRequest{
		Call:   brski.Call{ID: "v", Operation: brski.OpRequestVoucher, Peer: p.peer, At: p.h.now()},
		Format: format, Request: q, Artifact: artifact, Accept: []voucher.Format{format},
	})
}

// honestMASA vouches as asked.
type honestMASA struct{ h *house }

func (m *honestMASA) RequestVoucher(ctx context.Context, r *brski.MASARequest) (*brski.Voucher, error) {
	return m.h.vouch(ctx, r, nil)
}

func (m *honestMASA) RequestAuditLog(context.Context, *brski.MASARequest) (*brski.AuditLog, error) {
	return &brski.AuditLog{Version: 1, Events: []brski.AuditEvent{}}, nil
}

// vouch makes the voucher that a request asks for; change may falsify it.
func (h *house) vouch(ctx context.Context, r *brski.MASARequest, change func(v *voucher.Voucher)) (*brski.Voucher, error) {
	format := vouchercms.Format{}
	q, _, err := format.OpenRequest(r.Raw)
	if err != nil {
		return nil, err
	}
	v := &voucher.Voucher{
		Assertion: voucher.Proximity, CreatedOn: h.now(), SerialNumber: q.SerialNumber, Nonce: q.Nonce, PinnedDomainCert: h.root.Certificate.Raw,
	}
	if change != nil {
		change(v)
	}
	raw, err := format.SignVoucher(ctx, v, &voucher.Signer{Key: h.vouchers.Key, Certificate: h.vouchers.Certificate})
	return &brski.Voucher{MediaType: format.MediaType(), Raw: raw}, err
}

// entries returns the trail's entries of a kind, "" for all.
func (h *house) entries(kind string) []*trail.Entry {
	h.t.Helper()
	all, err := h.store.TrailEntries(context.Background(), registrar.DefaultDomain, "", 0, 1000000)
	if err != nil {
		h.t.Fatal(err)
	}
	var out []*trail.Entry
	for _, e := range all {
		if kind == "" || e.Kind == kind {
			out = append(out, e)
		}
	}
	return out
}

func (h *house) certificates(status registrar.CertificateStatus) []*registrar.Certificate {
	h.t.Helper()
	list, err := h.service.ListCertificates(context.Background(), &registrar.CertificateQuery{Status: status})
	if err != nil {
		h.t.Fatal(err)
	}
	return list
}

func (h *house) revoke(cert *x509.Certificate) {
	h.t.Helper()
	if _, err := h.service.Revoke(context.Background(), &registrar.RevokeRequest{Actor: "test", CertificateRef: registrar.CertificateRef{Serial: cert.SerialNumber.Bytes()}, Reason: 1}); err != nil {
		h.t.Fatal(err)
	}
}

// reason is the reason id of a refusal, "" for none.
func reason(err error) string {
	var e *est.Error
	if errors.As(err, &e) {
		return e.Reason
	}
	return ""
}

func asError(err error, e **est.Error) bool { return errors.As(err, e) }
