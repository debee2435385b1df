package registrar

import (
	"context"
	"crypto"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"fmt"

	"github.com/briskest/briskest/ca"
	"github.com/briskest/briskest/internal/trail"
)

// responderName is the name of OCSP responders, and of the device that their
// certificates belong to on record.
const responderName = "OCSP responder"

// CertifyResponder has an authority (its ID) issue a certificate for the key of its
// OCSP responder, by ResponderProfile, on record like every other. It returns DER.
func (s *Service) CertifyResponder(ctx context.Context, authority string, key crypto.PublicKey) ([]byte, error) {
	v := s.current.Load()
	a := v.authorities[authority]
	if a == nil || a.Responder == nil {
		return nil, fmt.Errorf("OCSP responder of the CA %s: %w", authority, ErrNotFound)
	}
	unlock, err := s.devices.lock(ctx, deviceKey("", responderName))
	if err != nil {
		return nil, err
	}
	defer unlock()
	device, err := found(s.store.DeviceBySerialNumber(ctx, v.Domain, "", responderName))
	if err != nil {
		return nil, err
	}
	now := s.now().UTC()
	change := &Change{}
	if device == nil {
		device = &Device{
			ID: NewID(now), Domain: v.Domain, SerialNumber: responderName, State: Enrolled, Source: sourceResponder, CreatedAt: now, SeenAt: now,
		}
		change.PutDevices = []*Device{device}
	}
	spki, err := x509.MarshalPKIXPublicKey(key)
	if err != nil {
		return nil, err
	}
	subject := pkix.Name{CommonName: responderName}.ToRDNSequence()
	row := &Certificate{
		Domain: v.Domain, ID: NewID(now), Issuer: a.Issuer, Authority: authority, DeviceID: device.ID, Status: Intended, Operation: "responder",
		Subject: subject.String(), KeyHash: sha256.Sum256(spki), Credential: "server", IntendedAt: now,
	}
	recorded := false
	cert, err := a.Responder.Issue(ctx, &ca.Request{
		ID: row.ID, Profile: ResponderProfile, PublicKey: key, Subject: subject,
		Record: func(ctx context.Context, in *ca.Intent) error {
			row.Serial, row.TBSHash, row.Profile, row.Version = in.Serial, in.TBSHash, in.Profile, in.Version
			row.NotBefore, row.NotAfter = in.NotBefore, in.NotAfter
			change.Intents = []*Certificate{row}
			err := s.store.Commit(ctx, change)
			recorded = err == nil
			return err
		},
	})
	if err != nil {
		if recorded {
			s.abandon(ctx, row, "server", s.now(), "the issuer was asked and gave no certificate: "+ascii(err.Error()))
		}
		return nil, err
	}
	if !recorded {
		return nil, errors.New("the issuer signed without recording the intent")
	}
	issued := *row
	issued.Raw, issued.IssuedAt, issued.Status = cert.Raw, s.now().UTC(), Issued
	b := newBody().str("id", row.ID).hex("serial", row.Serial).str("issuer", row.Issuer).str("profile", row.Profile).
		str("profile_version", row.Version).str("subject", row.Subject).time("not_after", row.NotAfter)
	done := &Change{Issued: []*Certificate{&issued}, Trail: []*trail.Entry{s.act(v, "server", KindCertificateIssued, device.ID, b)}}
	if err := s.store.Commit(context.WithoutCancel(ctx), done); err != nil {
		s.settleLater(done)
		return nil, fmt.Errorf("record the certificate %x: %w", row.Serial, err)
	}
	return cert.Raw, nil
}
