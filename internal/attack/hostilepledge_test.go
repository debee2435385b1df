package attack_test

import (
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"math/big"
	"net/http"
	"testing"
	"time"

	"github.com/briskest/briskest/internal/revocation"
	"github.com/briskest/briskest/internal/testpki"
	"github.com/briskest/briskest/registrar"
	"github.com/briskest/briskest/voucher"
)

// hostilePledges is what a device may do that wants into a network. Each of
// them is refused before the MASA is asked.
func hostilePledges() []*hostile {
	lies := func(change func(t *testing.T, s *scene, q *voucher.Request)) func(t *testing.T, s *scene) {
		return func(t *testing.T, s *scene) {
			s.status, s.text = s.device.Post(s.home.URL, s.device.Request(s.home.Registrar, func(q *voucher.Request) { change(t, s, q) }))
			s.noVouchers(t, 0)
			s.enrollsNothing(t, registrar.ReasonDeviceUnknown)
		}
	}
	list := []*hostile{
		{does: "lies about its serial number", reason: registrar.ReasonSerialMismatch,
			play: lies(func(_ *testing.T, _ *scene, q *voucher.Request) { q.SerialNumber = "SN-2" })},
		{does: "replays a nonce", reason: registrar.ReasonNonceUsed, play: replaysANonce},
		{does: "claims proximity to another registrar", reason: registrar.ReasonProximity, status: http.StatusUnauthorized,
			play: lies(func(t *testing.T, s *scene, q *voucher.Request) {
				q.ProximityRegistrarCert = s.home.CA.Registrar(t, "another of the same network").Certificate.Raw
			})},
		{does: "has a revoked IDevID", reason: registrar.ReasonIDevIDRevoked, play: isRevoked},
		{does: "has an expired IDevID", reason: registrar.ReasonExpired, play: isExpired},
	}
	for _, c := range list {
		c.actor, c.at = "A pledge that", atRegistrar
		if c.status == 0 {
			c.status = http.StatusForbidden
		}
	}
	return list
}

func replaysANonce(t *testing.T, s *scene) {
	nonce := voucher.NewNonce()
	ask := func() {
		s.status, s.text = s.device.Post(s.home.URL, s.device.Request(s.home.Registrar, func(q *voucher.Request) { q.Nonce = nonce }))
	}
	if ask(); s.status != http.StatusOK {
		t.Fatalf("the first request: %d %s", s.status, s.text)
	}
	s.Advance(time.Hour) // created-on, and with it the bytes, are others
	ask()
	s.noVouchers(t, 1)
}

// shows has a device with another IDevID ask two hours later.
func (s *scene) shows(t *testing.T, idevid *testpki.Identity, want string) {
	t.Helper()
	s.device = s.Vendor.BuildWith(idevid, idevid.Certificate.Subject.SerialNumber)
	s.Advance(2 * time.Hour)
	s.status, s.text = s.device.Post(s.home.URL, s.device.Request(s.home.Registrar, nil))
	s.noVouchers(t, 0)
	s.enrollsNothing(t, want)
}

func isRevoked(t *testing.T, s *scene) {
	idevid := s.Vendor.Devices.IDevID(t, "SN-revoked", "")
	der, err := x509.CreateRevocationList(rand.Reader, &x509.RevocationList{
		Number: big.NewInt(1), ThisUpdate: s.Now().Add(-time.Minute), NextUpdate: s.Now().Add(24 * time.Hour),
		RevokedCertificateEntries: []x509.RevocationListEntry{{SerialNumber: idevid.Certificate.SerialNumber, RevocationTime: s.Now().Add(-time.Hour)}},
	}, s.Vendor.Devices.Certificate, s.Vendor.Devices.Key)
	if err != nil {
		t.Fatal(err)
	}
	lists, err := revocation.ParseLists("vendor.crl", der)
	if err != nil {
		t.Fatal(err)
	}
	checker, err := revocation.New(revocation.Config{Mode: revocation.Require, Lists: lists})
	if err != nil {
		t.Fatal(err)
	}
	s.home.Reload(func(m *registrar.Manufacturer) { m.Revocation = checker })
	s.shows(t, idevid, registrar.ReasonIDevIDRevoked)
}

func isExpired(t *testing.T, s *scene) {
	idevid := s.Vendor.Devices.Issue(t, &x509.Certificate{
		Subject: pkix.Name{SerialNumber: "SN-expired"}, NotAfter: s.Now().Add(time.Hour),
	}, testpki.NewKey(t))
	s.shows(t, idevid, registrar.ReasonExpired)
}
