package estserver_test

import (
	"context"
	"crypto"
	"crypto/rand"
	"crypto/x509"
	"errors"
	"math/big"
	"net/http"
	"time"

	"github.com/briskest/briskest/est"
	"github.com/briskest/briskest/internal/cmc"
	"github.com/briskest/briskest/internal/cms"
)

// cmcReply is what the house has decided about a Full PKI Request.
type cmcReply struct {
	data   *cmc.PKIData // of the request; nil when it could not be read
	signer *x509.Certificate
	status int
	info   *cmc.StatusInfo
	echoes []cmc.Control
	certs  []*x509.Certificate // issued
	chain  bool
	simple bool
}

// FullCMC decides, and answers.
func (b *backend) FullCMC(_ context.Context, r *est.CMCRequest) (*est.CMCAnswer, error) {
	reply := &cmcReply{status: http.StatusOK, info: &cmc.StatusInfo{Status: cmc.StatusSuccess, Bodies: []cmc.BodyPartPath{{0}}}, chain: true}
	if err := b.decide(r, reply); err != nil {
		reply.refuse(err)
	}
	reply.echo()
	if b.bend != nil {
		b.bend(r, reply)
	}
	return b.send(reply)
}

// cmcError is a refusal.
func cmcError(f cmc.FailInfo) error {
	return &cmc.Error{FailInfo: f, Status: cmc.StatusFailed, Bodies: []cmc.BodyPartPath{{0}}, Err: errors.New("no")}
}

func (p *cmcReply) refuse(err error) {
	var e *cmc.Error
	if !errors.As(err, &e) {
		e = &cmc.Error{FailInfo: cmc.FailBadRequest, Status: cmc.StatusFailed, Bodies: []cmc.BodyPartPath{{0}}, Err: err}
	}
	if p.data == nil {
		p.data = e.Received
	}
	p.status, p.info, p.certs = http.StatusBadRequest, e.StatusInfo(), nil
}

func (b *backend) decide(r *est.CMCRequest, p *cmcReply) error {
	f, err := cmc.OpenRequest(r.Message, nil)
	if err != nil {
		return err
	}
	p.data, p.signer = f.Data, f.Signers[0].Certificate
	if len(f.Data.Unknown()) > 0 {
		return cmcError(cmc.FailBadRequest)
	}
	if _, _, ok := cmc.Find[*cmc.IdentityProofV2](f.Data.Controls); ok {
		return cmcError(cmc.FailBadIdentity)
	}
	if err := b.controls(p); err != nil {
		return err
	}
	for i := range f.Data.Requests {
		if err := b.grant(r, &f.Data.Requests[i], p); err != nil {
			return err
		}
	}
	return nil
}

// controls does what the controls ask for.
func (b *backend) controls(p *cmcReply) error {
	if _, _, ok := cmc.Find[cmc.QueryPending](p.data.Controls); ok {
		return cmcError(cmc.FailBadRequest)
	}
	revoke, _, ok := cmc.Find[*cmc.RevokeRequest](p.data.Controls)
	if !ok {
		return nil
	}
	if p.signer == nil || revoke.SerialNumber.Cmp(p.signer.SerialNumber) != 0 {
		return cmcError(cmc.FailBadCertID)
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.revoked[revoke.SerialNumber.String()] = true
	return nil
}

// grant issues one certificate.
func (b *backend) grant(r *est.CMCRequest, q *cmc.Request, p *cmcReply) error {
	ask, err := q.Ask()
	if err != nil {
		return err
	}
	if q.VerifyPOP() != nil {
		return cmcError(cmc.FailPOPFailed)
	}
	if q.PKCS10 != nil {
		csr, err := est.ParseCSR(q.PKCS10.Raw)
		if err != nil {
			return cmcError(cmc.FailBadRequest)
		}
		if (est.LinkPolicy{}).Check(r.Enrollment(csr)) != nil {
			return cmcError(cmc.FailPOPFailed)
		}
	}
	if p.signer != nil && string(p.signer.RawSubject) != string(ask.RawSubject) || p.signer == nil && b.Users[r.Peer.User] != r.Peer.Secret.Reveal() {
		return cmcError(cmc.FailBadIdentity)
	}
	cert, err := b.issueFor(&x509.Certificate{RawSubject: ask.RawSubject}, ask.PublicKey)
	p.certs = append(p.certs, cert)
	return err
}

// issueFor signs with the CA.
func (b *backend) issueFor(template *x509.Certificate, key crypto.PublicKey) (*x509.Certificate, error) {
	serial, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 120))
	if err != nil {
		return nil, err
	}
	template.SerialNumber, template.NotBefore, template.NotAfter = serial, time.Now().Add(-time.Minute), time.Now().Add(time.Hour)
	if template.KeyUsage == 0 {
		template.KeyUsage = x509.KeyUsageDigitalSignature
	}
	template.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}
	der, err := x509.CreateCertificate(rand.Reader, template, b.CA.Certificate, key, b.CA.Key)
	if err != nil {
		return nil, err
	}
	return x509.ParseCertificate(der)
}

// echo repeats transaction, nonce and returned data.
func (p *cmcReply) echo() {
	if p.data == nil {
		return
	}
	if id, _, ok := cmc.Find[*cmc.TransactionID](p.data.Controls); ok {
		p.echoes = append(p.echoes, cmc.Control{ID: 2, Value: id})
	}
	if nonce, _, ok := cmc.Find[cmc.SenderNonce](p.data.Controls); ok {
		p.echoes = append(p.echoes, cmc.Control{ID: 3, Value: cmc.RecipientNonce(nonce)})
	}
	if data, _, ok := cmc.Find[cmc.DataReturn](p.data.Controls); ok {
		p.echoes = append(p.echoes, cmc.Control{ID: 4, Value: data})
	}
}

// send signs the response.
func (b *backend) send(p *cmcReply) (*est.CMCAnswer, error) {
	sign := &cmc.Signing{Key: b.signer.Key, Certificate: b.signer.Certificate, Chain: p.certs}
	if p.chain {
		sign.Chain = append(sign.Chain, b.signer.Chain...)
	}
	response := &cmc.PKIResponse{Controls: append([]cmc.Control{{ID: 1, Value: p.info}}, p.echoes...)}
	der, err := cmc.SignResponse(response, sign)
	if err != nil {
		return nil, err
	}
	if p.simple {
		return b.simple(p)
	}
	if p.status != http.StatusOK {
		return nil, &est.Error{Status: p.status, Reason: "cmc", Message: "no", CMC: der}
	}
	return &est.CMCAnswer{Message: der}, nil
}

// simple answers with certificates alone.
func (b *backend) simple(p *cmcReply) (*est.CMCAnswer, error) {
	var raw [][]byte
	for _, c := range append(p.certs, b.signer.Chain...) {
		raw = append(raw, c.Raw)
	}
	der, err := cms.CertsOnly(raw...)
	return &est.CMCAnswer{Message: der, Simple: true}, err
}
