package masa

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"time"

	"github.com/briskest/briskest/brski"
	"github.com/briskest/briskest/internal/trail"
	"github.com/briskest/briskest/voucher"
)

// RequestVoucher decides about a registrar's voucher-request
// (RFC 8995, Sections 5.5 and 5.6). The voucher is on record before it is returned, and
// asking again with the same request, or with another one of the same domain
// for the same nonce, returns the same bytes. Refusals are *est.Error with 400,
// 403, 404, 406, 413, 415, 429 or 503.
func (s *Service) RequestVoucher(ctx context.Context, r *brski.MASARequest) (*brski.Voucher, error) {
	x := s.newExchange(r)
	v, err := s.requestVoucher(ctx, x, r)
	if err != nil {
		return nil, s.refused(ctx, x, brski.OpRequestVoucher, err)
	}
	return v, nil
}

func (s *Service) requestVoucher(ctx context.Context, x *exchange, r *brski.MASARequest) (*brski.Voucher, error) {
	if err := s.understand(ctx, x, r); err != nil {
		return nil, err
	}
	if err := s.checkRevocation(ctx, x); err != nil {
		return nil, err
	}
	defer s.lockDevice(x.request.SerialNumber)()
	// Where the nonce is on record already, or another process on the same store
	// was faster with it, that record is the one: look at it. One of two gets
	// through in each round.
	const attempts = 32
	for n := 1; ; n++ {
		if err := s.decide(ctx, x); err != nil {
			return nil, err
		}
		v, err := s.issue(ctx, x)
		if n < attempts && errors.Is(err, ErrConflict) {
			x.recorded = true
			continue
		}
		return v, err
	}
}

// check verifies both signatures' signers and compares the two requests.
func (s *Service) check(ctx context.Context, x *exchange) error {
	if err := x.checkRegistrar(s.memory); err != nil {
		return err
	}
	if err := x.checkCloud(); err != nil {
		return err
	}
	if x.settings.ClientCertificate == ClientCertificateAlways {
		if err := x.checkClient(); err != nil {
			return err
		}
	}
	return s.checkPrior(ctx, x)
}

// checkClient wants the TLS connection to be of who signed the request.
func (x *exchange) checkClient() error {
	if !x.remote || x.client != nil && keyHash(x.client) == keyHash(x.artifact.Signer) {
		return nil
	}
	return forbid(ReasonOtherClient, "RFC 8995, Section 5.4",
		"This is answered only over a TLS connection with the certificate that signed the request. Have the registrar present it.")
}

// issue returns the voucher that is on record for the request, or else makes
// one: intent, signature, outcome.
func (s *Service) issue(ctx context.Context, x *exchange) (*brski.Voucher, error) {
	x.written = nil
	over := s.withinDeviceBudget(x)
	v, err := s.issueWithin(ctx, x, over)
	if over == nil && x.written == nil { // nothing came to be kept
		s.devices.giveBack(x.deviceBudgetKey())
	}
	return v, err
}

// issueWithin is issue, with the refusal if a new voucher is one too many. Most
// nonces are new, so that the first to look for one is the store, which takes no
// second intent for it: that is ErrConflict.
func (s *Service) issueWithin(ctx context.Context, x *exchange, over error) (*brski.Voucher, error) {
	var earlier *VoucherRecord
	doubt := s.askedBefore(x)
	if over != nil || doubt != nil || x.recorded || x.request.Nonce == "" {
		var err error
		earlier, err = s.earlier(ctx, x)
		switch {
		case err != nil:
			return nil, err
		case earlier != nil && earlier.State == Issued:
			return x.repeat(earlier)
		case doubt != nil:
			return nil, doubt
		case over != nil:
			return nil, over
		}
	}
	if earlier != nil {
		if err := s.lost(earlier); err != nil {
			return nil, err
		}
	}
	record := x.newRecord(earlier)
	content, err := x.voucher(record)
	if err != nil {
		return nil, err
	}
	// From here on the answer is worth having even if the registrar has gone.
	ctx = context.WithoutCancel(ctx)
	if err := s.intend(ctx, x, record); err != nil {
		return nil, err
	}
	if record.Voucher, err = x.answer.SignVoucher(ctx, content, x.signer()); err != nil {
		return nil, s.signingFailed(ctx, record, err)
	}
	return s.complete(ctx, x, record)
}

// earlier returns the record that x repeats: that of the nonce, or without a
// nonce that of the same bytes while its voucher is good (an expired one is
// renewed: RFC 8995, Section 5.5.1). Nil for none.
func (s *Service) earlier(ctx context.Context, x *exchange) (*VoucherRecord, error) {
	var v *VoucherRecord
	var err error
	if x.request.Nonce != "" {
		v, err = s.store.VoucherByNonce(ctx, x.settings.Domain, x.device.ID, x.request.Nonce)
	} else {
		v, err = s.store.NoncelessByRequest(ctx, x.settings.Domain, x.hash)
	}
	if errors.Is(err, ErrNotFound) {
		return nil, nil //nolint:nilnil // no earlier record is no error
	}
	if err != nil {
		return nil, fmt.Errorf("earlier voucher of device %s: %w", x.device.ID, err)
	}
	if v.PinnedKey != keyHash(x.domain) {
		return nil, forbid(ReasonNonceUsed, "RFC 8995, Section 5.6",
			"A voucher with this nonce is of another domain. Have the pledge ask with a new nonce.")
	}
	if x.request.Nonce == "" && (v.State != Issued || !v.ExpiresOn.After(x.at) || x.signedByRevoked(v)) {
		return nil, nil //nolint:nilnil // it is done with
	}
	return v, nil
}

// repeat answers with the bytes on record.
func (x *exchange) repeat(v *VoucherRecord) (*brski.Voucher, error) {
	if !x.accepts(v.MediaType) {
		return nil, refuse(http.StatusNotAcceptable, ReasonAccept, "RFC 8995, Section 5.6",
			"The voucher for this request was issued as "+v.MediaType+". Accept that.")
	}
	// There is one voucher for a nonce, so that another key cannot sign instead.
	if x.signedByRevoked(v) {
		return nil, forbid(ReasonSignerRevoked, "RFC 8995, Section 11.6.2.2",
			"The voucher for this nonce was signed with a key that has been revoked since. Have the pledge ask with a new nonce.")
	}
	return &brski.Voucher{MediaType: v.MediaType, Raw: v.Voucher}, nil
}

func (x *exchange) newRecord(earlier *VoucherRecord) *VoucherRecord {
	v := &VoucherRecord{
		ID: NewID(x.at), Domain: x.settings.Domain, DeviceID: x.device.ID, Product: x.product,
		SerialNumber: x.request.SerialNumber, State: Intended, Assertion: x.assertion, Nonce: x.request.Nonce,
		DomainID: voucher.DomainID(x.pinned), Pinned: x.pinned.Raw, PinnedKey: keyHash(x.domain),
		Request: x.artifact.Raw, RequestHash: x.hash, MediaType: x.answer.MediaType(),
		Address: x.address, Version: x.settings.Version, At: x.at.Truncate(time.Second),
	}
	if earlier != nil {
		v.ID = earlier.ID // an attempt whose voucher never left
	}
	v.ExpiresOn = x.expiresOn(v.At)
	return v
}

// intend makes the intent durable. The first signed sight of a device fixes
// its IDevID, and notes that its signature was verified.
func (s *Service) intend(ctx context.Context, x *exchange, v *VoucherRecord) error {
	x.details = asJSON(x.issuance(v))
	change := &Change{Intents: []*VoucherRecord{v}, Trail: []*trail.Entry{x.entry(v, KindVoucherIntended)}}
	if x.unlisted || len(x.device.IDevID) == 0 && x.prior != nil {
		device := *x.device
		device.IDevID, device.IDevIDSigned = x.idevid.Raw, x.signed
		change.PutDevices = []*Device{&device}
	}
	if err := s.store.Commit(ctx, change); err != nil {
		return fmt.Errorf("voucher intent for device %s: %w", v.DeviceID, err)
	}
	x.written = v
	return nil
}

func (s *Service) signingFailed(ctx context.Context, v *VoucherRecord, cause error) error {
	v.State, v.Reason, v.Voucher = Failed, ReasonSigner, nil
	err := s.store.Commit(ctx, &Change{
		Failed: []*VoucherRecord{v},
		Trail: []*trail.Entry{{
			At: s.now(), Domain: v.Domain, Kind: KindVoucherFailed, Device: v.DeviceID, Actor: "brski",
			Reason: v.Reason, Body: body{"voucher": v.ID}.json(),
		}},
	})
	return errors.Join(fmt.Errorf("sign the voucher for device %s: %w", v.DeviceID, cause), err)
}

// complete puts the voucher on record and only then hands it out.
func (s *Service) complete(ctx context.Context, x *exchange, v *VoucherRecord) (*brski.Voucher, error) {
	v.State = Issued
	err := s.store.Commit(ctx, &Change{Issued: []*VoucherRecord{v}, Trail: []*trail.Entry{x.entry(v, KindVoucherIssued)}})
	if err != nil {
		return nil, fmt.Errorf("record the voucher for device %s: %w", v.DeviceID, err)
	}
	s.served.note(x.servedKey(), x.at)
	s.log.InfoContext(ctx, "voucher issued", slog.String("product", v.Product), slog.String("serial_number", v.SerialNumber),
		slog.String("assertion", string(v.Assertion)), slog.String("voucher", v.ID), slog.String("address", v.Address),
		slog.Bool("proximity_conflict", x.conflict))
	return &brski.Voucher{MediaType: v.MediaType, Raw: v.Voucher}, nil
}

// entry is the line on the trail about an issuance.
func (x *exchange) entry(v *VoucherRecord, kind string) *trail.Entry {
	return &trail.Entry{At: x.at, Domain: v.Domain, Kind: kind, Device: v.DeviceID, Actor: "brski", Body: x.details}
}

// issuance is what the trail says about one, at the intent and at the outcome.
type issuance struct {
	Address   string            `json:"address"`
	Assertion voucher.Assertion `json:"assertion"`
	DomainID  []byte            `json:"domain_id"`
	ESTDomain *string           `json:"est_domain,omitempty"` // where a cloud registrar sends the device
	Owner     bool              `json:"owner"`
	Product   string            `json:"product"`
	Proximity bool              `json:"proximity"`
	Conflict  bool              `json:"proximity_conflict,omitempty"`
	Registrar string            `json:"registrar"`
	Request   []byte            `json:"request_sha256"`
	Serial    string            `json:"serial_number"`
	Settings  string            `json:"settings"`
	Voucher   string            `json:"voucher"`
}

func (x *exchange) issuance(v *VoucherRecord) *issuance {
	i := &issuance{
		Voucher: v.ID, Product: v.Product, Serial: v.SerialNumber, Assertion: v.Assertion, DomainID: v.DomainID,
		Request: v.RequestHash[:], Owner: x.owned, Proximity: x.proximity, Registrar: x.registrarName(), Address: v.Address,
		Settings: v.Version, Conflict: x.conflict,
	}
	if x.cloud {
		i.ESTDomain = &x.request.ESTDomain
	}
	return i
}
