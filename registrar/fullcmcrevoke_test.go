package registrar_test

import (
	"crypto/x509"
	"encoding/asn1"
	"math/big"
	"testing"

	"github.com/briskest/briskest/est"
	"github.com/briskest/briskest/internal/cmc"
	"github.com/briskest/briskest/internal/testpki"
	"github.com/briskest/briskest/registrar"
)

func (h *house) revocation(cert *x509.Certificate, passphrase est.Secret) *cmc.RevokeRequest {
	r := &cmc.RevokeRequest{RawIssuer: cert.RawIssuer, SerialNumber: cert.SerialNumber, Reason: 4}
	if passphrase != "" {
		r.Passphrase = []byte(passphrase)
	}
	return r
}

// onCRL tells whether the certificate is on a CRL signed now.
func (h *house) onCRL(cert *x509.Certificate) bool {
	h.t.Helper()
	crl, err := h.service.GenerateCRL(h.t.Context(), "", "test")
	check(h.t, err)
	list, err := x509.ParseRevocationList(crl.Raw)
	check(h.t, err)
	for _, e := range list.RevokedCertificateEntries {
		if e.SerialNumber.Cmp(cert.SerialNumber) == 0 {
			return true
		}
	}
	return false
}

// EST-5272-6.11-01: by the certificate itself, by an RA, and by the shared secret; the answer is a
// Full Response each time, and the certificate is on the CRL.
func TestACertificateIsRevokedByWhoMay(t *testing.T) {
	h := newCMCHouse(t, nil)
	ra, raKey := h.raCertificate()
	for what, send := range map[string]func() *x509.Certificate{
		"itself": func() *x509.Certificate {
			cert, key := h.enrolled("sensor-1")
			f := h.full().signed(cert, key).with(h.revocation(cert, ""))
			f.send().granted(104)
			f.send().granted(104) // asking again is safe
			return cert
		},
		"an RA": func() *x509.Certificate {
			cert, _ := h.enrolled("sensor-2")
			h.full().signed(ra, raKey).with(h.revocation(cert, "")).send().granted(104)
			return cert
		},
		"the shared secret": func() *x509.Certificate {
			key := testpki.NewKey(t)
			cert := h.full().own(1, "sensor-7", key).proving("sensor-7", sensorSecret).send().granted(1).certificate(key)
			h.full().signed(selfSigned(t, key), key).with(cmc.Identification("sensor-7")).with(h.revocation(cert, sensorSecret)).send().granted(105)
			return cert
		},
	} {
		cert := send()
		if !h.onCRL(cert) {
			t.Errorf("revoked by %s, and not on the CRL", what)
		}
	}
	if n := len(h.entries(registrar.KindCertificateRevoked)); n != 3 {
		t.Errorf("%d revocations on the trail, want 3", n)
	}
}

// R4, EST-5272-6.11-01: what proves the right to revoke names the certificate.
func TestACertificateIsNotRevokedByOthers(t *testing.T) {
	h := newCMCHouse(t, func(h *house) {
		h.settings.Labels["closed"] = &registrar.Label{Profile: h.profile("ldevid"), FullCMC: true, RA: true}
	})
	ra, raKey := h.raCertificate()
	cert, _ := h.enrolled("sensor-1")
	other, otherKey := h.enrolled("sensor-2")
	key := testpki.NewKey(t)
	mine := h.full().own(1, "sensor-7", key).proving("sensor-7", sensorSecret).send().granted(1).certificate(key)
	stranger := selfSigned(t, key)
	h.full().signed(other, otherKey).with(h.revocation(cert, "")).send().refused(registrar.ReasonCMCRevocation, cmc.FailBadIdentity, 104)
	h.full().signed(stranger, key).with(h.revocation(cert, "")).send().refused(registrar.ReasonUntrusted, cmc.FailBadIdentity, 104)
	// HTTP credentials and a group's secret did not get this certificate.
	h.full().basic(group).signed(stranger, key).with(h.revocation(cert, "")).send().refused(registrar.ReasonUntrusted, cmc.FailBadIdentity, 104)
	h.full().signed(stranger, key).with(cmc.Identification("factory")).with(h.revocation(mine, factorySecret)).send().
		refused(registrar.ReasonCMCRevocation, cmc.FailBadIdentity, 105)
	h.full().signed(stranger, key).with(cmc.Identification("sensor-7")).with(h.revocation(cert, sensorSecret)).send().
		refused(registrar.ReasonCMCRevocation, cmc.FailBadIdentity, 105)
	h.full().signed(stranger, key).with(h.revocation(mine, "not the right secret")).send().refused(registrar.ReasonCMCSecret, cmc.FailBadIdentity, 104)
	h.full().signed(stranger, key).with(h.revocation(cert, "not the right secret")).send().refused(registrar.ReasonCMCSecret, cmc.FailBadIdentity, 104)
	f := h.full().signed(ra, raKey).with(h.revocation(cert, ""))
	f.label = "closed" // of another profile
	f.send().refused(registrar.ReasonCMCRevocation, cmc.FailBadIdentity, 104)
	// Nor the certificate of another CA with the same number, one that there is not, or one's own for no reason.
	foreign := h.revocation(cert, "")
	foreign.RawIssuer = h.vendor.Certificate.RawSubject
	h.full().signed(ra, raKey).with(foreign).send().refused(registrar.ReasonCMCCertificate, cmc.FailBadCertID, 104)
	missing := h.revocation(cert, "")
	missing.SerialNumber = big.NewInt(4242)
	h.full().signed(ra, raKey).with(missing).send().refused(registrar.ReasonCMCCertificate, cmc.FailBadCertID, 104)
	odd := h.revocation(other, "")
	odd.Reason = 8
	h.full().signed(other, otherKey).with(odd).send().refused(registrar.ReasonCMCRevokeReason, cmc.FailBadRequest, 104)
	if n := len(h.entries(registrar.KindCertificateRevoked)); n != 0 {
		t.Errorf("%d revocations on the trail", n)
	}
}

// EST-5272-6.14-01: a confirmation is answered, to the holder only.
func TestAConfirmationOfAcceptanceIsAnswered(t *testing.T) {
	h := newCMCHouse(t, nil)
	cert, key := h.enrolled("sensor-1")
	other, otherKey := h.enrolled("sensor-2")
	confirm := &cmc.ConfirmCertAcceptance{RawIssuer: cert.RawIssuer, SerialNumber: cert.SerialNumber}
	if a := h.full().signed(cert, key).with(confirm).send().granted(104); a.simple {
		t.Error("the answer is no Full PKI Response")
	}
	h.full().signed(other, otherKey).with(confirm).send().refused(registrar.ReasonCMCCertificate, cmc.FailBadCertID, 104)
}

// RFC 5272, Sections 6.9 and 6.10.
func TestCertificatesAndCRLsAreHandedOut(t *testing.T) {
	h := newCMCHouse(t, nil)
	cert, key := h.enrolled("sensor-1")
	other, otherKey := h.enrolled("sensor-2")
	general, err := asn1.Marshal(asn1.RawValue{Class: asn1.ClassContextSpecific, Tag: 4, IsCompound: true, Bytes: cert.RawIssuer})
	check(t, err)
	get := &cmc.GetCert{RawIssuer: general, SerialNumber: cert.SerialNumber}
	if got := h.full().signed(cert, key).with(get).send().granted(104).certificate(key); !got.Equal(cert) {
		t.Error("another certificate came")
	}
	h.full().signed(other, otherKey).with(get).send().refused(registrar.ReasonCMCCertificate, cmc.FailBadCertID, 104)
	list := &cmc.GetCRL{RawIssuer: cert.RawIssuer}
	h.full().signed(cert, key).with(list).send().refused(registrar.ReasonCMCNoCRL, cmc.FailBadCertID, 104)
	h.onCRL(cert)
	if a := h.full().signed(cert, key).with(list).send().granted(104); len(a.response.CRLs) != 1 {
		t.Errorf("%d CRLs came", len(a.response.CRLs))
	}
}
