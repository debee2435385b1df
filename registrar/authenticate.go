package registrar

import (
	"context"
	"crypto/sha256"
	"crypto/x509"
	"encoding/asn1"
	"encoding/hex"
	"errors"
	"log/slog"

	"github.com/briskest/briskest/est"
	"github.com/briskest/briskest/internal/revocation"
	"github.com/briskest/briskest/voucher"
)

// identifyCertificate authenticates the peer by its certificate: a
// manufacturer's, one of ours that is on record, whole, and not revoked, or one
// of the label's client anchors.
func (s *Service) identifyCertificate(ctx context.Context, v *version, c *Case, p *est.Peer) *Decision {
	const rule = "certificate"
	leaf := p.Certificates[0]
	hash := sha256.Sum256(leaf.Raw)
	chain, err := s.chains.verify(ctx, v, p, hash, c.At)
	var refused *idevidError
	if errors.As(err, &refused) {
		return refuseIDevID(c, refused, leaf, hash)
	}
	if err != nil && c.inGrace(p) {
		chain, err = v.verifyExpired(p)
	}
	if err != nil && c.Label != nil && c.Label.ClientAnchors != nil {
		if d := s.identifyClient(ctx, v, c, p, leaf, hash); d == nil || d.Reason != ReasonUntrusted {
			return d
		}
	}
	var expired *expiredError
	switch {
	case errors.As(err, &expired):
		return denyErr(ReasonExpired, rule, err)
	case err != nil:
		return denyErr(ReasonUntrusted, rule, err)
	case chain.manufacturer != nil:
		if missing := chain.answer.Missing; missing != nil {
			s.log.WarnContext(ctx, "nobody says whether the IDevID is revoked, and it is taken nevertheless",
				slog.String("manufacturer", chain.manufacturer.Name), slog.Any("error", missing))
		}
		return identifyDevice(c, chain.manufacturer, leaf, hash)
	default:
		return s.identifyOurs(ctx, v, c, leaf, hash)
	}
}

// inGrace tells whether the peer's certificate is past its end, and its
// profile lets it renew itself nevertheless.
func (c *Case) inGrace(p *est.Peer) bool {
	if c.Operation != OpRenew || c.Label == nil {
		return false
	}
	end := p.Certificates[0].NotAfter
	return c.At.After(end) && c.At.Sub(end) <= c.Label.Profile.Rules().ExpiredGrace
}

func (v *version) verifyExpired(p *est.Peer) (*chained, error) {
	chain, err := p.Verify(x509.VerifyOptions{
		Roots: v.anchors, CurrentTime: p.Certificates[0].NotAfter, KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
	})
	if err != nil {
		return nil, err
	}
	return newChained(v, nil, chain), nil
}

func identifyDevice(c *Case, m *Manufacturer, leaf *x509.Certificate, hash [32]byte) *Decision {
	serial, err := voucher.SerialNumber(leaf)
	if err != nil {
		return denyErr(ReasonNoSerialNumber, "idevid", err)
	}
	c.Manufacturer, c.SerialNumber = m, serial
	c.Identity = Identity{Kind: IDevID, Credential: credentialName(hash), Certificate: leaf}
	return nil
}

// refuseIDevID refuses a manufacturer's certificate for what is known, or not
// known, of its revocation. Whose it is has been proven.
func refuseIDevID(c *Case, refused *idevidError, leaf *x509.Certificate, hash [32]byte) *Decision {
	const rule = "idevid-revocation"
	if d := identifyDevice(c, refused.manufacturer, leaf, hash); d != nil {
		return d
	}
	if errors.As(refused, new(*revocation.Revoked)) {
		return denyErr(ReasonIDevIDRevoked, rule, refused)
	}
	return denyErr(ReasonIDevIDRevocation, rule, refused)
}

// identifyOurs looks the certificate up. The whole certificate is compared:
// the same serial number, names or key identifier under another CA or with
// another key is another certificate.
func (s *Service) identifyOurs(ctx context.Context, v *version, c *Case, leaf *x509.Certificate, hash [32]byte) *Decision {
	const rule = "certificate-status"
	row, err := found(s.store.CertificateOf(ctx, v.Domain, leaf.SerialNumber.Bytes(), leaf.Raw))
	switch {
	case err != nil:
		return storeFailed(rule, err)
	case row == nil:
		return deny(ReasonNotOnRecord, rule)
	}
	device, err := found(s.store.Device(ctx, v.Domain, row.DeviceID))
	if err != nil {
		return storeFailed(rule, err)
	}
	if device == nil {
		return deny(ReasonNotOnRecord, rule)
	}
	// From here on the peer is known; what is wrong with it is its own case.
	kind := LDevID
	if isRA(leaf) {
		kind = RA
	}
	c.Identity = Identity{Kind: kind, Credential: credentialName(hash), Certificate: leaf, Record: row, Device: device}
	if d := s.goodStatus(c, row, device); d != nil {
		return d
	}
	s.seenInUse(ctx, v, c, row)
	return nil
}

// goodStatus refuses a certificate of ours that counts no more.
func (s *Service) goodStatus(c *Case, row *Certificate, device *Device) *Decision {
	const rule = "certificate-status"
	switch {
	case row.Status == Revoked && row.RevokeReason == reasonSuperseded:
		return s.refuseOurs(c, device, ReasonSuperseded, rule)
	case row.OnHold():
		return s.refuseOurs(c, device, ReasonOnHold, rule)
	case row.Status == Revoked:
		return s.refuseOurs(c, device, ReasonRevoked, rule)
	case row.Status != Issued:
		return s.refuseOurs(c, device, ReasonNotOnRecord, rule)
	}
	if d := s.outOfService(device, rule); d != nil {
		return s.refuseOurs(c, device, d.Reason, d.Rule)
	}
	return nil
}

// stillGood looks again at what has authenticated the peer, now that the
// case's device is locked: it may have been taken away while the request
// waited for the lock. Revoke takes the lock of the certificate's device, so
// that after its return nothing is issued to a device's own certificate. An
// RA's certificate and a credential are looked at here for the last time.
func (s *Service) stillGood(ctx context.Context, v *version, c *Case) *Decision {
	if d := s.identityStill(ctx, v, c, &c.Identity); d != nil {
		return d
	}
	for n := range c.Also {
		if d := s.identityStill(ctx, v, c, &c.Also[n]); d != nil {
			return d
		}
	}
	return nil
}

func (s *Service) identityStill(ctx context.Context, v *version, c *Case, i *Identity) *Decision {
	const rule = "authenticated-still"
	switch i.Kind {
	case LDevID, RA:
		row, err := s.store.Certificate(ctx, v.Domain, i.Record.ID)
		if err != nil {
			return storeFailed(rule, err)
		}
		device, err := s.store.Device(ctx, v.Domain, row.DeviceID)
		if err != nil {
			return storeFailed(rule, err)
		}
		i.Record, i.Device = row, device
		return s.goodStatus(c, row, device)
	case Basic, Digest:
		return s.credentialStill(ctx, v, i, rule)
	case OneTimeCode:
		return s.codeStill(ctx, v, i, rule)
	case IDevID, Client, Bearer, SharedSecret, Operator:
		// None is on record as a credential.
	}
	return nil
}

func (s *Service) refuseOurs(c *Case, device *Device, reason, rule string) *Decision {
	c.Device, c.SerialNumber = device, device.SerialNumber
	return deny(reason, rule)
}

// seenInUse retires the certificate that this one renewed, and the other
// certificates that it was renewed by: this one has now been seen in use
// (promise 6 of the design). What cannot be recorded now is tried again at the
// next use.
func (s *Service) seenInUse(ctx context.Context, v *version, c *Case, row *Certificate) {
	if _, known := s.confirmed.Get(row.ID); known || row.Operation != OpRenew {
		return
	}
	err := s.retireOthers(ctx, v, c, row)
	if err != nil && !errors.Is(err, ErrConflict) { // of a conflict the next use sees the outcome
		s.log.WarnContext(ctx, "renewed certificate not confirmed", slog.String("device", row.DeviceID), slog.Any("error", err))
		return
	}
	s.confirmed.Put(row.ID, struct{}{})
}

// retireOthers does so while nothing is issued to the device, so that no
// renewal of the old certificate comes after it.
func (s *Service) retireOthers(ctx context.Context, v *version, c *Case, row *Certificate) error {
	device := c.Identity.Device
	unlock, err := s.devices.lock(ctx, deviceKey(device.Manufacturer, device.SerialNumber))
	if err != nil {
		return err
	}
	defer unlock()
	if now, err := s.store.Certificate(ctx, v.Domain, row.ID); err != nil || now.Status != Issued {
		return err // another one was seen before; this one retires nobody
	}
	held, err := s.heldBy(ctx, v, row.DeviceID, Issued)
	if err != nil {
		return err
	}
	change := &Change{}
	for _, old := range held {
		sibling := old.Operation == OpRenew && old.Credential == row.Credential
		if old.ID != row.ID && (sibling || credentialName(sha256.Sum256(old.Raw)) == row.Credential) {
			retired := *old
			retired.Status, retired.RevokedAt, retired.RevokeReason = Revoked, c.At.UTC(), reasonSuperseded
			change.Revoked = append(change.Revoked, &retired)
			by := *c
			by.Device = device
			b := newBody().hex("serial", old.Serial).hex("successor", row.Serial)
			change.Trail = append(change.Trail, by.entry(KindCertificateRetired, "", b))
		}
	}
	if len(change.Revoked) == 0 {
		return nil
	}
	v.tell(change)
	err = s.commit(ctx, change)
	s.tellSoon(change)
	return err
}

// maxHeld is how many certificates of one device are read at once.
const maxHeld = 1000

// reasonSuperseded is the CRLReason of a certificate that was renewed (RFC 5280, Section 5.3.1).
const reasonSuperseded = 4

func credentialName(hash [32]byte) string { return "cert:" + hex.EncodeToString(hash[:]) }

// isRA tells whether the certificate has id-kp-cmcRA (RFC 6402, Section 2.10).
func isRA(cert *x509.Certificate) bool {
	for _, usage := range cert.UnknownExtKeyUsage {
		if usage.Equal(asn1.ObjectIdentifier{1, 3, 6, 1, 5, 5, 7, 3, 28}) {
			return true
		}
	}
	return false
}
