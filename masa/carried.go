package masa

import (
	"context"
	"fmt"

	"github.com/briskest/briskest/brski"
	"github.com/briskest/briskest/internal/trail"
)

// CarriedRequest is a registrar's voucher-request that somebody brought by
// hand, for a site that does not reach this MASA (RFC 8995, Section 5.5).
type CarriedRequest struct {
	MediaType string `json:"media_type"`
	Raw       []byte `json:"request"` // as the registrar signed it, at most MaxRequest bytes
	By        string `json:"by"`      // who hands it in, for the trail
}

// CarriedAnswer is what is carried back.
type CarriedAnswer struct {
	MediaType string `json:"media_type"`
	Voucher   []byte `json:"voucher"`
	AuditLog  []byte `json:"audit_log"` // of the device (RFC 8995, Section 5.8)
}

// AnswerCarried decides about a request as [Service.RequestVoucher] does, record
// included, and adds the device's audit-log. There is no TLS connection, and
// Settings.ClientCertificate asks for none: an operator answers for where the
// request is from. Errors are those of RequestVoucher and RequestAuditLog.
func (s *Service) AnswerCarried(ctx context.Context, r *CarriedRequest) (*CarriedAnswer, error) {
	asked := &brski.MASARequest{MediaType: r.MediaType, Raw: r.Raw, Accept: []string{r.MediaType}, At: s.now()}
	x := s.newExchange(asked)
	err := s.store.Commit(ctx, &Change{Trail: []*trail.Entry{{
		At: x.at, Domain: x.settings.Domain, Kind: KindRequestCarried, Actor: r.By,
		Body: body{"request_sha256": x.hash[:], "media_type": r.MediaType}.json(),
	}}})
	if err != nil {
		return nil, fmt.Errorf("record who brought the request: %w", err)
	}
	v, err := s.RequestVoucher(ctx, asked)
	if err != nil {
		return nil, err
	}
	log, err := s.RequestAuditLog(ctx, asked)
	if err != nil {
		return nil, err
	}
	return &CarriedAnswer{MediaType: v.MediaType, Voucher: v.Raw, AuditLog: log.Raw}, nil
}
