package registrar

import (
	"bytes"
	"context"
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"time"

	"github.com/briskest/briskest/brski"
	"github.com/briskest/briskest/est"
	"github.com/briskest/briskest/internal/trail"
	"github.com/briskest/briskest/voucher"
)

func (s *Service) requestVoucher(ctx context.Context, v *version, c *Case, r *brski.VoucherRequest) (*brski.Voucher, *Decision) {
	if d := s.addressBudget(v, c, true); d != nil {
		return nil, d
	}
	c.Evidence = r.Artifact.Raw
	if d := s.identifyPledge(ctx, v, c, r.Peer); d != nil {
		return nil, d
	}
	d := v.checkRequest(c, r)
	if c.conflict {
		s.log.WarnContext(ctx, "the leaves of a voucher-request that name the registrar contradict each other",
			slog.String("request", c.RequestID), slog.String("serial_number", c.SerialNumber), slog.Bool("ours", d == nil))
	}
	if d != nil {
		return nil, d
	}
	x, row, d := s.beginExchange(ctx, v, c, r)
	if d != nil && c.unanswered(d) {
		if d = s.ask(ctx, v, c); d == nil {
			x, row, d = s.beginExchange(ctx, v, c, r)
		}
	}
	if d != nil {
		return nil, d
	}
	if x != nil {
		row, d = s.awaitExchange(ctx, v, x)
		if d != nil {
			return nil, d
		}
	}
	return s.handOut(ctx, v, c, row)
}

// identifyPledge authenticates a pledge by its IDevID (RFC 8995, Section 5.1).
// One of an unknown manufacturer leaves a sighting for the operator.
func (s *Service) identifyPledge(ctx context.Context, v *version, c *Case, p *est.Peer) *Decision {
	if len(p.Certificates) == 0 {
		return denyText(ReasonNoCertificate, "idevid", "a pledge authenticates with its IDevID as TLS client certificate")
	}
	d := s.identifyCertificate(ctx, v, c, p)
	switch {
	case d != nil && d.Reason == ReasonUntrusted && v.Cloud != nil:
		// Any device in the world finds it, so that nobody is to be told of one.
		return denyErr(ReasonDeviceUnlisted, "manufacturer", d.Err)
	case d != nil && d.Reason == ReasonUntrusted:
		if err := s.sighting(ctx, v, c, p.Certificates[0]); err != nil {
			s.log.ErrorContext(ctx, "sighting not recorded", slog.Any("error", err))
		}
		return denyErr(ReasonUnknownManufacturer, "manufacturer", d.Err)
	case d != nil:
		return d
	case c.Identity.Kind != IDevID:
		c.Device, c.SerialNumber = c.Identity.Device, c.Identity.Device.SerialNumber
		return denyText(ReasonMethodNotAllowed, "idevid", "a voucher is requested with the IDevID, not with a certificate of this network")
	}
	return nil
}

// sighting shows an operator that a device of an unknown manufacturer came by:
// one row a manufacturer, as its issuer's name and key identifier tell them apart.
func (s *Service) sighting(ctx context.Context, v *version, c *Case, leaf *x509.Certificate) error {
	key := sha256.New()
	key.Write(leaf.RawIssuer)
	key.Write(leaf.AuthorityKeyId)
	p := &Pending{Domain: v.Domain, Kind: PendingSighting, Key: hex.EncodeToString(key.Sum(nil))}
	row, err := found(s.store.PendingByKey(ctx, v.Domain, p.Kind, p.Key))
	if err != nil {
		return err
	}
	claimed, err := voucher.SerialNumber(leaf)
	if err == nil {
		c.SerialNumber = claimed
	}
	if row == nil {
		row = p
		row.State, row.Reason, row.Address = StateWaiting, ReasonUnknownManufacturer, c.Address.Addr().String()
		row.SerialNumber, row.Subject, row.Evidence = claimed, clip(leaf.Issuer.String()), leaf.Raw
	}
	if d := s.keepWaiting(ctx, v, c, row, &Decision{Reason: ReasonUnknownManufacturer}); d.Err != nil {
		return d.Err
	}
	return nil
}

func clip(s string) string {
	const limit = 512
	return s[:min(len(s), limit)]
}

// checkRequest checks what a pledge says in its voucher-request (RFC 8995, Section 5.2).
func (v *version) checkRequest(c *Case, r *brski.VoucherRequest) *Decision {
	const rule = "voucher-request"
	leaf, q := c.Identity.Certificate, r.Request
	if r.Artifact.Signer == nil || !bytes.Equal(r.Artifact.Signer.Raw, leaf.Raw) {
		return deny(ReasonSignerMismatch, rule)
	}
	if v.format(r.Format.MediaType()) == nil {
		return denyText(ReasonRequestRefused, rule, "voucher-requests of this media type are not taken")
	}
	if err := voucher.CheckRequest(q); err != nil {
		return &Decision{Reason: ReasonRequestRefused, Rule: rule, Message: sentence(ReasonRequestRefused, err), Err: err}
	}
	if q.SerialNumber != c.SerialNumber { // RFC 8995, Section 5.5
		return denyText(ReasonSerialMismatch, rule, "serial-number of the voucher-request is not that of the IDevID")
	}
	if q.Nonce == "" && !c.Manufacturer.AllowNonceless {
		return deny(ReasonNonceMissing, rule)
	}
	// A pledge without a clock is welcome: its nonce shows that the request
	// is fresh. Without a nonce the date has to.
	const window = 24 * time.Hour
	if q.Nonce == "" && q.CreatedOn.Sub(c.At).Abs() > window {
		return deny(ReasonCreatedOn, rule)
	}
	if q.Assertion != voucher.Proximity {
		// What an agent vouches for needs the agent's certificate in our request
		// (rfc8366bis, Section 9.2), and no agent comes here. A cloud registrar is
		// not near.
		if (c.Manufacturer.AllowNoProximity || v.Cloud != nil) && q.Assertion != voucher.AgentProximity {
			return nil
		}
		return deny(ReasonAssertion, rule)
	}
	if c.server, c.conflict = v.proximate(q); c.server == nil {
		return deny(ReasonProximity, rule)
	}
	return nil
}

// proximate returns the certificate that the request names of those that this
// registrar presents; nil for none. Of several ways to name it the hash of the key
// counts first, then the key, then the certificate (rfc8366bis, Section 9). A
// conflict is that there is none that all of them name, and some name one.
func (v *version) proximate(q *voucher.Request) (server *x509.Certificate, conflict bool) {
	agreed := v.TLSCertificates // by every way there is
	var first []*x509.Certificate
	ways, some := 0, false
	for _, way := range []struct {
		leaf []byte
		of   func(*x509.Certificate) []byte
	}{
		{q.ProximityRegistrarPubkSHA256, func(cert *x509.Certificate) []byte {
			sum := sha256.Sum256(cert.RawSubjectPublicKeyInfo)
			return sum[:]
		}},
		{q.ProximityRegistrarPubk, func(cert *x509.Certificate) []byte { return cert.RawSubjectPublicKeyInfo }},
		{q.ProximityRegistrarCert, func(cert *x509.Certificate) []byte { return cert.Raw }},
	} {
		if len(way.leaf) == 0 {
			continue
		}
		isOther := func(cert *x509.Certificate) bool { return !bytes.Equal(way.of(cert), way.leaf) }
		named := slices.DeleteFunc(slices.Clone(v.TLSCertificates), isOther)
		if ways == 0 {
			first = named
		}
		ways++
		some = some || len(named) > 0
		agreed = slices.DeleteFunc(slices.Clone(agreed), isOther)
	}
	switch {
	case ways == 0:
		return nil, false
	case len(agreed) > 0:
		return agreed[0], false
	case len(first) > 0:
		return first[0], true
	default:
		return nil, some
	}
}

// beginExchange decides about the request and puts it on record. It returns
// the exchange that is under way for these bytes, or the row that has their
// outcome already.
func (s *Service) beginExchange(ctx context.Context, v *version, c *Case, r *brski.VoucherRequest) (*exchange, *VoucherRecord, *Decision) {
	key := deviceKey(c.Manufacturer.Name, c.SerialNumber)
	unlock, err := s.devices.lockAmong(ctx, key, perDeviceQueue)
	if err != nil {
		d := overloaded("device-lock")
		d.Err = err
		return nil, nil, d
	}
	defer unlock()
	if c.Device, err = found(s.store.DeviceBySerialNumber(ctx, v.Domain, c.Manufacturer.Name, c.SerialNumber)); err != nil {
		return nil, nil, storeFailed("inventory", err)
	}
	if g := s.groups.Load(); g != nil && c.Placement == nil {
		s.placeCase(v, g, c, c.Device)
	}
	d := s.decidedBy(v, c)
	if d.Verdict == Wait {
		d = s.resolve(ctx, v, c, d)
	}
	if d.Verdict != Allow {
		return nil, nil, d
	}
	if v.Cloud != nil {
		if d := s.sendToOwner(ctx, v, c); d != nil {
			return nil, nil, d
		}
	}
	hash := sha256.Sum256(r.Artifact.Raw)
	if c.Device.met() {
		if x, row, d := s.earlier(ctx, v, c, r, hash); row != nil || d != nil {
			return x, row, d
		}
	}
	if d := s.deviceBudget(v, c, key, true); d != nil {
		return nil, nil, d
	}
	x, d := s.recordRequest(ctx, v, c, r, hash)
	if d != nil && errors.Is(d.Err, ErrConflict) { // the record knows of one after all
		if x, row, d := s.earlier(ctx, v, c, r, hash); row != nil || d != nil {
			return x, row, d
		}
	}
	return x, nil, d
}

// met tells whether there may be exchanges of the device: each notes on record
// when its device was seen. Where that is wrong the record refuses what
// [Service.recordRequest] puts there.
func (d *Device) met() bool { return d != nil && !d.SeenAt.IsZero() }

// earlier looks for an exchange that leaves no room for a new one: that of the
// same bytes, with what is under way of it, or one of the same nonce.
func (s *Service) earlier(ctx context.Context, v *version, c *Case, r *brski.VoucherRequest, hash [32]byte) (*exchange, *VoucherRecord, *Decision) {
	row, err := found(s.store.VoucherByRequest(ctx, v.Domain, hash))
	switch {
	case err != nil:
		return nil, nil, storeFailed("vouchers", err)
	case row != nil:
		return s.rejoin(ctx, v, c, r, row), row, nil
	default:
		return nil, nil, s.freshNonce(ctx, v, c, r.Request.Nonce)
	}
}

// freshNonce refuses a nonce that the device sent before in another request:
// each attempt has one of its own (RFC 8995, Section 5.2), and none is answered
// with two vouchers.
func (s *Service) freshNonce(ctx context.Context, v *version, c *Case, nonce string) *Decision {
	if nonce == "" || c.Device == nil {
		return nil
	}
	earlier, err := found(s.store.VoucherByNonce(ctx, v.Domain, c.Device.ID, nonce))
	switch {
	case err != nil:
		return storeFailed("vouchers", err)
	case earlier != nil:
		return denyErr(ReasonNonceUsed, "voucher-request", fmt.Errorf("the nonce is that of exchange %s", earlier.ID))
	default:
		return nil
	}
}

// rejoin finds the exchange that a request asked again belongs to, and starts
// it again when it stopped without an outcome. Nil leaves the answer to the record.
func (s *Service) rejoin(ctx context.Context, v *version, c *Case, r *brski.VoucherRequest, row *VoucherRecord) *exchange {
	if row.State != voucherAsked {
		return nil
	}
	if x := s.exchanges.find(row.ID); x != nil {
		return x
	}
	if s.life.Err() != nil || !s.exchanges.reserve(v, row.Manufacturer, row.SerialNumber) {
		return nil
	}
	return s.startExchange(ctx, row, c.Identity.Certificate, c.server, v.mediaTypes(r.Accept))
}

// The states of a VoucherRecord.
const (
	voucherAsked   = "asked"
	voucherIssued  = "issued"
	voucherHeld    = "held" // checked, and waits for an operator because of the audit-log
	voucherRefused = "refused"
	voucherFailed  = "failed"
)

// recordRequest signs the registrar's voucher-request (RFC 8995, Section 5.5),
// puts the exchange on record and sets it going.
func (s *Service) recordRequest(ctx context.Context, v *version, c *Case, r *brski.VoucherRequest, hash [32]byte) (*exchange, *Decision) {
	const rule = "voucher-request"
	if _, err := v.masaURL(c.Manufacturer, c.Identity.Certificate); err != nil && !c.Manufacturer.Offline {
		return nil, denyErr(ReasonMASAURL, rule, err)
	}
	if !s.exchanges.reserve(v, c.Manufacturer.Name, c.SerialNumber) {
		return nil, &Decision{Reason: ReasonOverload, Rule: "exchanges", RetryAfter: jitter(v.Limits.PollAfter)}
	}
	signed, err := v.signRequest(ctx, c, r)
	if err != nil {
		s.exchanges.release(c.Manufacturer.Name, c.SerialNumber)
		return nil, denyErr(ReasonInternal, rule, err)
	}
	device := c.Device
	if device == nil {
		device = &Device{
			ID: NewID(c.At), Domain: v.Domain, Manufacturer: c.Manufacturer.Name, SerialNumber: c.SerialNumber,
			State: Expected, Source: "voucher", CreatedAt: c.At.UTC(),
		}
	}
	seen := *device
	seen.SeenAt, seen.IDevID = c.At.UTC(), c.Identity.Certificate.Raw
	seen.knowModule(c.Identity.Certificate)
	row := &VoucherRecord{
		ID: NewID(c.At), Domain: v.Domain, DeviceID: seen.ID, Manufacturer: c.Manufacturer.Name, SerialNumber: c.SerialNumber,
		Nonce: r.Request.Nonce, PledgeRequest: r.Artifact.Raw, RegistrarReq: signed, MediaType: r.Format.MediaType(),
		RequestHash: hash, State: voucherAsked, At: c.At.UTC(),
	}
	again := seen.State == Enrolled
	c.Device = &seen
	b := c.facts(v).str("voucher", row.ID).hex("request_sha256", hash[:]).str("assertion", string(r.Request.Assertion)).yes("enrolled_before", again).
		yes("proximity_conflict", c.conflict)
	change := &Change{
		PutDevices: []*Device{&seen}, PutVouchers: []*VoucherRecord{row},
		Trail: []*trail.Entry{c.entry(KindVoucherRequested, "", b)},
	}
	if device.SeenAt.IsZero() && device.Source == "voucher" { // new
		change.Quota = v.quota()
	}
	c.regroup(change, &seen, device.Source == "voucher" && device.SeenAt.IsZero())
	if err := s.commit(ctx, change); err != nil {
		s.exchanges.release(c.Manufacturer.Name, c.SerialNumber)
		return nil, storeFailed(rule, err)
	}
	if again {
		// RFC 8995, Section 11.4: somebody else may have reset it.
		s.log.WarnContext(ctx, "enrolled device bootstraps again", slog.String("device", seen.ID), slog.String("serial_number", c.SerialNumber))
	}
	return s.startExchange(ctx, row, c.Identity.Certificate, c.server, v.mediaTypes(r.Accept)), nil
}

// signRequest makes the registrar's voucher-request. Serial number and issuer
// come from the IDevID, never from the pledge's request; the nonce is the
// pledge's, verbatim; proximity-registrar-cert and what RFC 8995, Section 3.4
// tells to ignore are left out.
func (v *version) signRequest(ctx context.Context, c *Case, r *brski.VoucherRequest) ([]byte, error) {
	issuer, err := voucher.IDevIDIssuer(c.Identity.Certificate)
	if err != nil {
		return nil, err
	}
	request := &voucher.Request{
		Assertion: r.Request.Assertion, CreatedOn: c.At.UTC(), SerialNumber: c.SerialNumber, IDevIDIssuer: issuer,
		Nonce: r.Request.Nonce, PriorSignedVoucherRequest: r.Artifact.Raw,
	}
	signer := v.signerFor(c.Manufacturer, r)
	if c.owner != nil {
		request.ESTDomain, signer = c.owner.ESTDomain, c.owner.cloudSigner(signer)
	}
	return r.Format.SignRequest(ctx, request, signer)
}

// signerFor is the registrar's signer with the certificates that may be pinned:
// its own alone, or its whole chain (RFC 8995, Section 5.5). It adds the
// certificates of the connection, the IDevID first, when the pledge's request has none inside: the MASA has no
// other way to them (draft-ietf-anima-constrained-voucher, Section 9.2.1).
func (v *version) signerFor(m *Manufacturer, r *brski.VoucherRequest) *voucher.Signer {
	signer := *v.Signer
	if m.Pin == PinRegistrar {
		signer.Chain = nil
	}
	if len(r.Artifact.Certificates) > 0 {
		return &signer
	}
	room := max(0, voucher.MaxCertificates-1-len(signer.Chain))
	signer.Chain = slices.Concat(signer.Chain, r.Peer.Certificates[:min(room, len(r.Peer.Certificates))])
	return &signer
}

// masaURL is where the MASA of a device is (RFC 8995, Section 5.4). Devices of
// a kind name the same one: what was read once is not read again.
func (v *version) masaURL(m *Manufacturer, idevid *x509.Certificate) (string, error) {
	if m.MASAURL != "" {
		return m.MASAURL, nil
	}
	i := slices.IndexFunc(idevid.Extensions, isMASAURL)
	if i < 0 {
		return voucher.MASAURL(idevid)
	}
	named := string(idevid.Extensions[i].Value)
	if url, known := v.masas.Get(named); known {
		return url, nil
	}
	url, err := voucher.MASAURL(idevid)
	if err == nil {
		v.masas.Put(named, url)
	}
	return url, err
}

// answerFromRecord answers with the outcome of an exchange.
func answerFromRecord(v *version, c *Case, row *VoucherRecord) (*brski.Voucher, *Decision) {
	const rule = "voucher-exchange"
	switch row.State {
	case voucherIssued:
		return &brski.Voucher{MediaType: row.MediaType, Raw: row.Voucher}, nil
	case voucherRefused, voucherFailed:
		return nil, &Decision{Reason: row.Reason, Rule: rule}
	case voucherAsked:
		if c.At.Sub(row.At) > v.Limits.MASAGiveUp {
			return nil, deny(ReasonMASAGaveUp, rule)
		}
		return nil, &Decision{Verdict: Wait, Reason: ReasonMASA, Rule: rule, WaitFor: ForMASA, RetryAfter: v.Limits.PollAfter}
	default:
		return nil, denyErr(ReasonInternal, rule, fmt.Errorf("exchange %s is %q", row.ID, row.State))
	}
}

// awaitExchange waits for an outcome, or for the news that the MASA does not
// answer at present.
func (s *Service) awaitExchange(ctx context.Context, v *version, x *exchange) (*VoucherRecord, *Decision) {
	const rule = "voucher-exchange"
	patience := time.NewTimer(v.Limits.MASATimeout)
	defer patience.Stop()
	select {
	case <-x.done:
		return x.outcome, nil
	default:
	}
	select {
	case <-x.done:
		return x.outcome, nil
	case <-x.tried:
	case <-patience.C:
	case <-ctx.Done():
	case <-s.life.Done():
	}
	select {
	case <-x.done: // the two may come together
		return x.outcome, nil
	default:
	}
	return nil, &Decision{
		Verdict: Wait, Reason: ReasonMASA, Rule: rule, WaitFor: ForMASA, RetryAfter: v.Limits.PollAfter,
		Err: errors.New("the MASA has not answered yet"),
	}
}
