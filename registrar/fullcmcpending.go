package registrar

import (
	"bytes"
	"context"
	"crypto/subtle"
	"crypto/x509"

	"golang.org/x/crypto/cryptobyte"
	cryptobyte_asn1 "golang.org/x/crypto/cryptobyte/asn1"

	"github.com/briskest/briskest/est"
	"github.com/briskest/briskest/internal/cmc"
)

// query asks what has become of a request that waits (RFC 5272, Section 6.13).
// The request is taken from the record and decided about once more, as if its
// sender had sent it again: so a token is answered the same each time until
// somebody has decided, survives a restart, and is of use to its sender only.
func (x *cmcExchange) query(ctx context.Context, m *cmcMessage, id cmc.BodyPartID, token cmc.QueryPending) {
	c := *m.c
	raw, d := x.queried(ctx, m, &c, token)
	if d == nil {
		m.issued = append(m.issued, raw)
		m.grant(id)
		return
	}
	f := refuseParts(d, id)
	if d.Verdict == Wait {
		f.token = token
		d.RetryAfter = orDefault(d.RetryAfter, x.v.Limits.PollAfter)
	}
	x.refuse(ctx, m, &c, f)
}

func (x *cmcExchange) queried(ctx context.Context, m *cmcMessage, c *Case, token cmc.QueryPending) ([]byte, *Decision) {
	const rule = "cmc-query"
	if m.denied != nil {
		return nil, m.denied
	}
	x.decided++
	if d := x.s.addressBudget(x.v, c, x.decided > 1); d != nil {
		return nil, d
	}
	w, d := x.waitsAs(ctx, token)
	if d != nil {
		return nil, d
	}
	csr, d := w.request(m)
	if d != nil {
		return nil, d
	}
	if m.ra() {
		own := *m.own.c
		own.Operation = OpEnroll
		*c = own
	}
	c.Evidence = w.evidence
	c.CSR = csr.CertificateRequest
	if d := x.s.place(ctx, x.v, c); d != nil {
		return nil, d
	}
	if w.row != nil && !sentBy(c, csr, w.row) {
		return nil, deny(ReasonCMCTokenOther, rule)
	}
	if w.row == nil { // nobody has compared it with the connection
		if d := x.checkLink(m, c, &cmcRequest{csr: csr}); d != nil {
			return nil, d
		}
	}
	return x.s.enrollCSR(ctx, x.v, c, csr)
}

// waited is a request that waits, by its token.
type waited struct {
	row      *Pending // nil where the token is the request itself
	evidence []byte
}

func (x *cmcExchange) waitsAs(ctx context.Context, token []byte) (*waited, *Decision) {
	const rule = "cmc-query"
	if request, ok := bytes.CutPrefix(token, []byte(tokenRepeats)); ok {
		return &waited{evidence: request}, nil
	}
	row, err := found(x.s.store.Pending(ctx, x.v.Domain, string(token)))
	switch {
	case err != nil:
		return nil, storeFailed(rule, err)
	case row == nil || row.Kind != PendingEnroll:
		return nil, deny(ReasonCMCToken, rule)
	}
	return &waited{row, row.Evidence}, nil
}

// request reads what was asked for. What a token brings along proves possession
// anew; what is on record has done so.
func (w *waited) request(m *cmcMessage) (*est.CSR, *Decision) {
	csr, q, d := waitingRequest(w.evidence)
	if d != nil || q == nil || w.row != nil {
		return csr, d
	}
	if d := (&cmcRequest{request: q}).possession(m); d != nil {
		return nil, d
	}
	return csr, nil
}

// sentBy tells whether who asks is who asked, which is part of the row's key.
func sentBy(c *Case, csr *est.CSR, row *Pending) bool {
	probe := *c
	probe.CSR = csr.CertificateRequest
	if renamed(&probe) != nil || decideNames(&probe) != nil {
		return false
	}
	return subtle.ConstantTimeCompare([]byte(probe.pending().Key), []byte(row.Key)) == 1
}

// waitingRequest reads evidence: a PKCS#10 request, or an element of a
// reqSequence, which it returns too.
func waitingRequest(evidence []byte) (*est.CSR, *cmc.Request, *Decision) {
	if csr, err := est.ParseCSR(evidence); err == nil {
		return csr, nil, nil
	}
	q := taggedEvidence(evidence)
	if q == nil {
		return nil, nil, deny(ReasonCMCToken, "cmc-query")
	}
	csr, d := asked(q)
	return csr, q, d
}

// taggedEvidence reads an element of a reqSequence.
func taggedEvidence(evidence []byte) *cmc.Request {
	var b cryptobyte.Builder
	b.AddASN1(cryptobyte_asn1.SEQUENCE, func(b *cryptobyte.Builder) {
		for i := range 4 { // controls, requests, messages, others
			b.AddASN1(cryptobyte_asn1.SEQUENCE, func(b *cryptobyte.Builder) {
				if i == 1 {
					b.AddBytes(evidence)
				}
			})
		}
	})
	der, err := b.Bytes()
	if err != nil {
		return nil
	}
	data, err := cmc.ParsePKIData(der)
	if err != nil || len(data.Requests) != 1 {
		return nil
	}
	return &data.Requests[0]
}

// waitingKeys are the keys of requests that the message asks about: who has none
// but the key to be certified signs with that, as he did before. They are
// candidates for the signer, and count for nobody's certificate.
func (x *cmcExchange) waitingKeys(ctx context.Context, peeked *cmc.PKIData) []*x509.Certificate {
	const atMost = 8
	if len(peeked.Requests) > 0 {
		return nil
	}
	var keys []*x509.Certificate
	for i := range peeked.Controls {
		token, ok := peeked.Controls[i].Value.(cmc.QueryPending)
		if !ok || len(keys) == atMost {
			continue
		}
		w, d := x.waitsAs(ctx, token)
		if d != nil {
			continue
		}
		if csr, _, d := waitingRequest(w.evidence); d == nil {
			keys = append(keys, &x509.Certificate{PublicKey: csr.PublicKey, SubjectKeyId: subjectKeyID(csr)})
		}
	}
	return keys
}

// subjectKeyID is the identifier that the request asks for (RFC 5280, Section
// 4.2.1.2); nil for none.
func subjectKeyID(csr *est.CSR) []byte {
	for _, e := range csr.Extensions {
		if len(e.Id) == 4 && e.Id[0] == 2 && e.Id[1] == 5 && e.Id[2] == 29 && e.Id[3] == 14 {
			in := cryptobyte.String(e.Value)
			var id cryptobyte.String
			if in.ReadASN1(&id, cryptobyte_asn1.OCTET_STRING) {
				return id
			}
		}
	}
	return nil
}

// derContent returns what an element holds; nil for what is none.
func derContent(element []byte) []byte {
	in := cryptobyte.String(element)
	var content cryptobyte.String
	var tag cryptobyte_asn1.Tag
	if !in.ReadAnyASN1(&content, &tag) || !in.Empty() {
		return nil
	}
	return content
}
