package pledge

import (
	"context"
	"crypto"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"time"

	"github.com/briskest/briskest/voucher"
)

// maxRecords bounds what is remembered of places that anybody can make up.
const maxRecords = 64

// record is what is stored of one place that a voucher was asked of: which
// request is out there, or how the last one ended.
type record struct {
	Registrar   string    `json:"registrar"` // URL
	Via         string    `json:"via,omitempty"`
	Request     string    `json:"request_sha256,omitempty"` // of the request that is out; its file is named by the place
	RequestedAt time.Time `json:"requested_at,omitzero"`    // first sent; bounds the waiting
	Failures    int       `json:"failures,omitempty"`       // in a row
	Reason      string    `json:"reason,omitempty"`         // of the last failure
	NotBefore   time.Time `json:"not_before,omitzero"`      // no attempt before
}

// recordOf returns the record of o; nil for none.
func (st *state) recordOf(o origin) *record {
	for _, rec := range st.Attempts {
		if at, err := parseOrigin(rec.Registrar, rec.Via); err == nil && at.same(o) {
			return rec
		}
	}
	return nil
}

// keepRecord returns the record of o, made where there is none. Where that would
// be too many, the oldest goes, one without a request first, and is returned too.
func (st *state) keepRecord(o origin) (rec, gone *record) {
	if rec := st.recordOf(o); rec != nil {
		return rec, nil
	}
	if len(st.Attempts) >= maxRecords {
		i := max(0, slices.IndexFunc(st.Attempts, func(rec *record) bool { return rec.Request == "" }))
		gone = st.Attempts[i]
		st.Attempts = slices.Delete(st.Attempts, i, i+1)
	}
	rec = &record{Registrar: o.base, Via: o.via}
	st.Attempts = append(st.Attempts, rec)
	return rec, gone
}

// settleStage says whether any request is out.
func (st *state) settleStage() {
	st.Stage = Fresh
	if slices.ContainsFunc(st.Attempts, func(rec *record) bool { return rec.Request != "" }) {
		st.Stage = Requested
	}
}

// requestFile is where the request to o is stored while it is out.
func (r *run) requestFile(o origin) string {
	return "request-" + hexHash([]byte(o.address))[:16] + r.extension()
}

// prepareRequest makes sure that a request is stored that names this
// connection's registrar. One that is out already is sent again as it is, so
// that the registrar knows it (RFC 8995, Section 5.6); to another registrar, or
// after MaxWait, goes a new one with a new nonce (RFC 8995, Section 4.1).
func (r *run) prepareRequest(ctx context.Context) error {
	request := &voucher.Request{Assertion: voucher.Proximity, SerialNumber: r.serial, Nonce: voucher.NewNonce()}
	r.c.Proximity.name(request, r.link.server[0])
	resumed := false
	if err := r.commit(func() (err error) { resumed, err = r.resumeRequest(request); return err }); err != nil {
		return err
	}
	if resumed {
		r.step(StepRequested, r.requestName, "the voucher-request of the earlier run names this registrar and is sent again")
		return nil
	}
	if !r.c.NoClock {
		request.CreatedOn = r.c.Now().UTC().Truncate(time.Second)
	}
	raw, err := r.c.Format.SignRequest(ctx, request, r.idevidSigner())
	if err != nil {
		return &Error{Reason: ReasonSigning, Message: "the voucher-request could not be signed with the IDevID", Err: err}
	}
	r.request, r.requestRaw, r.requestedAt, r.requestName = request, raw, r.c.Now(), r.requestFile(r.origin)
	if err := r.commit(r.storeRequest); err != nil {
		return err
	}
	r.step(StepRequested, r.requestName, fmt.Sprintf(
		"a voucher-request for %s with a fresh nonce, naming the certificate of %s, is signed with the IDevID", r.serial, r.address))
	return nil
}

// resumeRequest loads the request that is out at this place, if it names the
// same registrar as fresh does.
func (r *run) resumeRequest(fresh *voucher.Request) (bool, error) {
	name, hash, since := r.requestFile(r.origin), "", time.Time{}
	if rec := r.st.recordOf(r.origin); rec != nil {
		hash, since = rec.Request, rec.RequestedAt
	}
	if at, err := parseOrigin(r.st.Registrar, r.st.Via); hash == "" && err == nil && at.same(r.origin) {
		name, hash, since = r.names().request, r.st.Request, r.st.RequestedAt // of an imprint that was lost
	}
	if hash == "" || r.c.Now().Sub(since) >= r.c.MaxWait {
		return false, nil
	}
	data, err := r.file(name, hash)
	if errors.Is(err, errNotWhole) {
		r.c.Log.Warn("stored voucher-request is not whole", slog.Any("error", err))
		return false, nil
	}
	if err != nil {
		return false, err
	}
	request, _, err := r.c.Format.OpenRequest(data)
	if err != nil || !sameProximity(request, fresh) {
		return false, nil //nolint:nilerr // a new one is made
	}
	r.request, r.requestRaw, r.requestedAt, r.requestName = request, data, since, name
	return true, nil
}

// storeRequest makes the request durable before it is sent.
func (r *run) storeRequest() error {
	if err := r.store(r.requestName, r.requestRaw); err != nil {
		return err
	}
	rec, gone := r.st.keepRecord(r.origin)
	rec.Request, rec.RequestedAt = hexHash(r.requestRaw), r.requestedAt
	if at, err := parseOrigin(r.st.Registrar, r.st.Via); err == nil && at.same(r.origin) {
		r.st.Registrar, r.st.Via, r.st.Request = "", "", ""
	}
	r.st.Stage = Requested
	if err := r.save(); err != nil || gone == nil {
		return err
	}
	return r.removeRequests(gone)
}

// removeRequests removes the requests that records named.
func (r *run) removeRequests(records ...*record) error {
	var files []string
	for _, rec := range records {
		if o, err := parseOrigin(rec.Registrar, rec.Via); err == nil && !rec.RequestedAt.IsZero() {
			files = append(files, r.requestFile(o))
		}
	}
	return r.remove(files...)
}

func (r *run) remove(files ...string) error {
	for _, name := range files {
		if err := r.c.State.Remove(name); err != nil {
			return storageError("removing "+name, err)
		}
	}
	return nil
}

func (r *run) idevidSigner() *voucher.Signer {
	s := &voucher.Signer{Key: r.c.IDevID.PrivateKey.(crypto.Signer), Certificate: r.idevid}
	for _, der := range r.c.IDevID.Certificate[1:] {
		if c, err := x509.ParseCertificate(der); err == nil {
			s.Chain = append(s.Chain, c)
		}
	}
	return s
}
