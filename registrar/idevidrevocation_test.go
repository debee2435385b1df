package registrar_test

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/pem"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"sync/atomic"
	"testing"
	"time"

	"github.com/briskest/briskest/brski"
	"github.com/briskest/briskest/internal/revocation"
	"github.com/briskest/briskest/internal/testpki"
	"github.com/briskest/briskest/internal/vectors"
	"github.com/briskest/briskest/registrar"
	"github.com/briskest/briskest/voucher"
)

const vendorCRL = "http://crl.vendor.example/devices.crl"

// vendorList signs a list of the vendor's issuing CA, current for a day.
func (h *house) vendorList(revoked ...*testpki.Identity) []byte {
	h.t.Helper()
	return h.listBy(h.idevidCA, revoked...)
}

func (h *house) listBy(by *testpki.Identity, revoked ...*testpki.Identity) []byte {
	h.t.Helper()
	l := &x509.RevocationList{Number: big.NewInt(1), ThisUpdate: h.now().Add(-time.Minute), NextUpdate: h.now().Add(24 * time.Hour)}
	for _, id := range revoked {
		l.RevokedCertificateEntries = append(l.RevokedCertificateEntries, x509.RevocationListEntry{
			SerialNumber: id.Certificate.SerialNumber, RevocationTime: h.now().Add(-time.Hour), ReasonCode: 1,
		})
	}
	der, err := x509.CreateRevocationList(rand.Reader, l, by.Certificate, by.Key)
	if err != nil {
		h.t.Fatal(err)
	}
	return der
}

// reloadRevocation loads the settings again with another Checker of the vendor's.
func (h *house) reloadRevocation(k *revocation.Checker) {
	h.t.Helper()
	s, m := *h.settings, *h.settings.Manufacturers["acme"]
	m.Revocation = k
	s.Manufacturers = map[string]*registrar.Manufacturer{"acme": &m}
	check(h.t, h.service.Reload(&s))
}

func (h *house) enrollWithIDevID(id *testpki.Identity) *request {
	return h.enroll("").cert(id.Certificate, h.idevidCA.Certificate).subject(pkix.Name{SerialNumber: id.Certificate.Subject.SerialNumber})
}

// RFC 8995, Section 11.4; RFC 5280, Section 6.3. The issue asks that a revoked
// IDevID is refused at the first step where it can be seen, with its reason on record.
func TestARevokedIDevIDIsRefusedWhereverItIsShown(t *testing.T) {
	h := newHouse(t, nil)
	id, other := h.vouched("SN-1"), h.vouched("SN-2")
	h.reloadRevocation(checker(t, revocation.Require, h.vendorList(id)))
	e := h.pledge(id, nil).refusedAs(registrar.ReasonIDevIDRevoked, 403)
	if e.Section == "" || e.Message == "" {
		t.Errorf("refusal = %+v, want a text and a section", e)
	}
	h.enrollWithIDevID(id).refusedAs(registrar.ReasonIDevIDRevoked, 403)
	h.enrollWithIDevID(id).basic(group).refusedAs(registrar.ReasonIDevIDRevoked, 403)
	report := &brski.StatusReport{Call: brski.Call{ID: "q", Operation: brski.OpVoucherStatus, At: h.now(), Peer: h.pledge(id, nil).peer}}
	refusal(t, h.service.BRSKI().VoucherStatus(t.Context(), report), registrar.ReasonIDevIDRevoked, 403)
	refused := h.entries(registrar.KindRefused)
	last := refused[len(refused)-1]
	if last.Reason != registrar.ReasonIDevIDRevoked || !bytes.Contains(last.Body, []byte("SN-1")) {
		t.Errorf("the trail's last refusal is %s of %s", last.Reason, last.Body)
	}
	if _, err := h.pledge(other, nil).send(); err != nil {
		t.Errorf("another device: %v", err)
	}
	h.enrollWithIDevID(other).mustSend()

	h.reloadRevocation(checker(t, revocation.Check, h.listBy(h.vendor, h.idevidCA)))
	h.pledge(other, nil).refusedAs(registrar.ReasonIDevIDRevoked, 403) // its CA is
	h.reloadRevocation(checker(t, revocation.Off))
	if _, err := h.pledge(id, nil).send(); err != nil {
		t.Errorf("nobody is asked, and the device is refused: %v", err)
	}
}

// Promise 3 of the design: a missing revocation answer refuses unless the
// policy says otherwise by name. An IDevID that names nobody misses no answer
// (docs/decisions/0012-revocation.md).
func TestAMissingRevocationAnswerRefusesAnIDevID(t *testing.T) {
	h := newHouse(t, nil)
	h.importSerials("SN-1", "SN-2")
	named := h.device(t, func(c *x509.Certificate) { c.CRLDistributionPoints = []string{vendorCRL} })
	responder := h.device(t, func(c *x509.Certificate) { c.OCSPServer = []string{"http://ocsp.vendor.example"} })
	silent := h.idevidCA.IDevID(t, "SN-2", "")
	for _, c := range []struct {
		k       *revocation.Checker
		id      *testpki.Identity
		refused bool
	}{
		{nil, named, true}, {nil, responder, true}, {nil, silent, false},
		{checker(t, revocation.Check), named, false}, {checker(t, revocation.Off), named, false},
		{checker(t, revocation.RequireAll), silent, true},
	} {
		h.reloadRevocation(c.k)
		_, err := h.pledge(c.id, nil).send()
		if c.refused {
			refusal(t, err, registrar.ReasonIDevIDRevocation, 403)
		} else if err != nil {
			t.Errorf("%s: %v", c.id.Certificate.Subject, err)
		}
	}
	h.reloadRevocation(checker(t, revocation.Require, h.vendorList()))
	if _, err := h.pledge(named, nil).send(); err != nil {
		t.Errorf("with a current list at hand: %v", err)
	}
	h.advance(25 * time.Hour)
	h.pledge(named, nil).refusedAs(registrar.ReasonIDevIDRevocation, 403) // it has ended
}

// A device that was verified is not asked about each time, and is refused as
// soon as a newer list has it.
func TestAVerifiedIDevIDIsAskedAboutAgainInTime(t *testing.T) {
	h := newHouse(t, nil)
	h.importSerials("SN-1")
	id := h.device(t, func(c *x509.Certificate) { c.CRLDistributionPoints = []string{vendorCRL} })
	var list atomic.Pointer[[]byte]
	var asked atomic.Int32
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		asked.Add(1)
		_, _ = w.Write(*list.Load())
	}))
	defer server.Close()
	f := revocation.NewFetcher(revocation.FetchConfig{
		Now: h.now,
		Lookup: func(context.Context, string) ([]netip.Addr, error) {
			return []netip.Addr{netip.MustParseAddr("8.8.4.4")}, nil
		},
		Dial: func(ctx context.Context, network, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, network, server.Listener.Addr().String())
		},
	})
	defer f.Close()
	k, err := revocation.New(revocation.Config{Fetcher: f})
	check(t, err)
	h.reloadRevocation(k)
	first := h.vendorList()
	list.Store(&first)
	for range 3 {
		if _, err := h.pledge(id, nil).send(); err != nil {
			t.Fatal(err)
		}
	}
	if n := asked.Load(); n != 1 {
		t.Errorf("the list was fetched %d times, want once", n)
	}
	h.advance(time.Hour)
	if _, err := h.pledge(id, nil).send(); err != nil { // fetches beside, and the old list counts for this one
		t.Fatal(err)
	}
	// The fetch beside has ended when one who asks for the time after the old list has his answer: if it ended
	// after the clock is put forward, it would count as a failure of that moment.
	_ = k.Check(t.Context(), []*x509.Certificate{id.Certificate, h.idevidCA.Certificate, h.vendor.Certificate}, h.now().Add(24*time.Hour))
	h.advance(24 * time.Hour) // to the end of the old list: the next one is waited for
	second := h.vendorList(id)
	list.Store(&second)
	h.pledge(id, nil).refusedAs(registrar.ReasonIDevIDRevoked, 403)
}

// BRSKI-8021AR-extensions-01: an IDevID with an authority key identifier, no
// extended key usage and no end, 99991231235959Z, is taken from the
// voucher-request to the certificate.
func TestAnIDevIDIn8021ARsShapeIsTaken(t *testing.T) {
	h := newHouse(t, nil)
	id := h.idevidCA.IDevID(t, "SN-1", "https://masa.example/.well-known/brski")
	cert := id.Certificate
	if len(cert.AuthorityKeyId) == 0 || len(cert.ExtKeyUsage)+len(cert.UnknownExtKeyUsage) > 0 || !bytes.Contains(cert.RawTBSCertificate, []byte("99991231235959Z")) {
		t.Fatal("the test's IDevID is not what it is to be")
	}
	h.importSerials("SN-1")
	h.advance(40 * 24 * time.Hour)
	if _, err := h.pledge(id, nil).send(); err != nil {
		t.Fatalf("RequestVoucher: %v", err)
	}
	h.enrollWithIDevID(id).mustSend()
}

// realWorld reads an IDevID of somebody's product.
func realWorld(t *testing.T, name string) *x509.Certificate {
	t.Helper()
	block, _ := pem.Decode(vectors.Read(t, "brski/idevid-real-world/"+name))
	if block == nil {
		t.Fatalf("%s is not PEM", name)
	}
	cert, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	return cert
}

// BRSKI-8021AR-extensions-01, with the IDevIDs of products. Their keys are
// not known: the certificate as it is authenticates an enrollment (TLS has
// verified the key by then), and one of the same names, extensions and times of
// our vendor gets a voucher.
func TestIDevIDsOfProductsAreTaken(t *testing.T) {
	for _, name := range []string{"cisco-insieme-sudi.pem", "cisco-sudi1.pem"} {
		real := realWorld(t, name)
		serial, err := voucher.SerialNumber(real)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		anchor := x509.NewCertPool()
		anchor.AddCert(real)
		h := newHouse(t, func(h *house) {
			h.settings.Labels[""].IDevID = registrar.IDevIDInventory
			h.settings.Manufacturers["product"] = &registrar.Manufacturer{IDevIDAnchors: anchor, VoucherAnchors: h.vouchers.Pool(), MASAURL: "https://masa.example"}
		})
		_, err = h.service.ImportDevices(t.Context(), &registrar.ImportRequest{
			Actor: "test", Manufacturer: "product", Devices: []registrar.ImportDevice{{SerialNumber: serial}},
		})
		check(t, err)
		h.importSerials(serial)
		h.enroll("").cert(real).subject(pkix.Name{SerialNumber: serial}).mustSend()

		key, err := rsa.GenerateKey(rand.Reader, 2048)
		if err != nil {
			t.Fatal(err)
		}
		like := h.idevidCA.Issue(t, &x509.Certificate{
			RawSubject: real.RawSubject, NotBefore: real.NotBefore, NotAfter: real.NotAfter, KeyUsage: real.KeyUsage, ExtraExtensions: san(real),
		}, key)
		if _, err := h.pledge(like, nil).send(); err != nil {
			t.Errorf("a voucher for one like %s: %v", name, err)
		}
	}
}

func san(cert *x509.Certificate) (out []pkix.Extension) {
	for _, e := range cert.Extensions {
		if e.Id.Equal(asn1.ObjectIdentifier{2, 5, 29, 17}) {
			out = append(out, e)
		}
	}
	return out
}

// RFC 8995, Section 2.3.1: what names no serial number is no IDevID that can be
// told apart, and a TPM's endorsement key signs nothing.
func TestProductsCertificatesThatAreNoIDevIDsAreRefused(t *testing.T) {
	for name, reason := range map[string]string{"huawei-ek.pem": registrar.ReasonUnknownManufacturer, "huawei-iak.pem": registrar.ReasonNoSerialNumber} {
		real := realWorld(t, name)
		anchor := x509.NewCertPool()
		anchor.AddCert(real)
		h := newHouse(t, func(h *house) {
			h.settings.Manufacturers["product"] = &registrar.Manufacturer{
				IDevIDAnchors: anchor, VoucherAnchors: h.vouchers.Pool(), AllowAnyKeyUsage: true, AllowExpiredIDevID: true,
			}
		})
		a := h.pledgeAs(h.idevidCA.IDevID(t, "SN-1", ""), "SN-1")
		a.peer.Certificates = []*x509.Certificate{real}
		a.refusedAs(reason, 403)
	}
}
