package registrar

import (
	"context"

	"github.com/briskest/briskest/brski"
	"github.com/briskest/briskest/est"
	"github.com/briskest/briskest/voucher"
)

// Bootstrap is the BRSKI side of a Service: a brski.RegistrarBackend with all
// its abilities. It is a type of its own because both protocols' handlers look
// for a method Admit, each with an argument of its own.
type Bootstrap struct{ s *Service }

var (
	_ brski.RegistrarBackend = (*Bootstrap)(nil)
	_ brski.Admitter         = (*Bootstrap)(nil)
	_ brski.Observer         = (*Bootstrap)(nil)
)

// BRSKI returns the service as brski handlers want it.
func (s *Service) BRSKI() *Bootstrap { return &Bootstrap{s} }

// Admit implements brski.Admitter: addresses and domains over their budget, and peers with
// a crowd of certificates, are refused before a body is read.
func (b *Bootstrap) Admit(_ context.Context, call *brski.Call) error {
	v := b.s.current.Load()
	c := callCase(v, call)
	if call.Peer != nil {
		if e := call.Peer.CheckCertificates(); e != nil {
			return e
		}
	}
	if d := b.s.addressBudget(v, c, false); d != nil {
		return d.answer(c)
	}
	if d := b.s.domainBudget(v, c); d != nil {
		return d.answer(c)
	}
	return nil
}

// RequestVoucher implements brski.RegistrarBackend (RFC 8995, Sections 5.2 to
// 5.6). The answer is the MASA's voucher, byte for byte.
func (b *Bootstrap) RequestVoucher(ctx context.Context, r *brski.VoucherRequest) (*brski.Voucher, error) {
	v := b.s.current.Load()
	c := callCase(v, &r.Call)
	out, d := b.s.requestVoucher(ctx, v, c, r)
	if d == nil {
		return out, nil
	}
	err := b.s.refuse(ctx, c, d)
	if c.redirected(d) {
		return nil, &brski.Redirect{URL: c.owner.RegistrarURL}
	}
	return nil, err
}

// VoucherStatus implements brski.RegistrarBackend (RFC 8995, Section 5.7).
func (b *Bootstrap) VoucherStatus(ctx context.Context, r *brski.StatusReport) error {
	return b.s.status(ctx, r, KindVoucherStatus)
}

// EnrollStatus implements brski.RegistrarBackend (RFC 8995, Section 5.9.4).
func (b *Bootstrap) EnrollStatus(ctx context.Context, r *brski.StatusReport) error {
	return b.s.status(ctx, r, KindEnrollStatus)
}

// Refused implements brski.Observer, as [Service.Refused] does for EST.
func (b *Bootstrap) Refused(ctx context.Context, call *brski.Call, e *est.Error) {
	b.s.observe(ctx, &observation{"brski", string(call.Operation), call.ID, "", call.Peer, call.At, e})
}

// shownBy is the certificate that the peer showed, DER, verified or not; nil for none.
func shownBy(p *est.Peer) []byte {
	if len(p.Certificates) == 0 {
		return nil
	}
	return p.Certificates[0].Raw
}

func callCase(v *version, call *brski.Call) *Case {
	c := &Case{RequestID: call.ID, Domain: v.Domain, Road: "brski", Operation: string(call.Operation), At: call.At}
	if call.Peer != nil {
		c.Address, c.shown = call.Peer.Address, shownBy(call.Peer)
	}
	return c
}

// mediaTypes lists the encodings of accept that are also ours; all of ours
// when there are none.
func (v *version) mediaTypes(accept []voucher.Format) []string {
	var types []string
	for _, f := range accept {
		if v.format(f.MediaType()) != nil {
			types = append(types, f.MediaType())
		}
	}
	if types == nil {
		for _, f := range v.Formats {
			types = append(types, f.MediaType())
		}
	}
	return types
}
