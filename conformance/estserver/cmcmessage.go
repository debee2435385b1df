package estserver

import (
	"bytes"
	"context"
	"crypto"
	"crypto/rand"
	"crypto/x509"
	"encoding/asn1"
	"fmt"
	"math/big"
	"net/http"

	"github.com/briskest/briskest/conformance"
	"github.com/briskest/briskest/conformance/wire"
	"github.com/briskest/briskest/est"
	"github.com/briskest/briskest/internal/cmc"
	"github.com/briskest/briskest/internal/cms"
)

const typeCMCRequest = "application/pkcs7-mime; smime-type=CMC-request"

// cmcMessage is a Full PKI Request that is being built: it renews the
// certificate that signs it.
type cmcMessage struct {
	id     *identity
	key    crypto.Signer // to be certified
	csr    *forgedCSR
	data   *cmc.PKIData
	sign   *cmc.Signing
	nonce  []byte
	number *big.Int
	raw    func(pkiData []byte) []byte // changes the PKIData before it is signed
	signed func(message []byte) []byte // changes the message
}

// cmcAnswer is what came, read as far as it can be.
type cmcAnswer struct {
	*wire.Answer
	request  *cmcMessage
	response *cmc.Response // nil where err says why
	err      error
}

// Identifiers of the parts of a message.
const (
	bodyTransaction = 1000001
	bodyNonce       = 1000002
	bodyRequest     = 1000003
	bodyExtra       = 1000004
)

// cmc sends a renewal that build may change, and skips where fullcmc is not
// offered.
func (t *Target) cmc(ctx context.Context, build func(*cmcMessage) error) (*cmcAnswer, error) {
	id, err := t.enrolled(ctx)
	if err != nil {
		return nil, err
	}
	return t.cmcAs(ctx, id, with(id), build)
}

// cmcAs is cmc for a client, over a connection of its own.
func (t *Target) cmcAs(ctx context.Context, id *identity, who as, build func(*cmcMessage) error) (*cmcAnswer, error) {
	m, err := newCMC(id)
	if err != nil {
		return nil, err
	}
	if build != nil {
		if err := build(m); err != nil {
			return nil, err
		}
	}
	message, err := m.bytes()
	if err != nil {
		return nil, err
	}
	a, err := t.fullcmc(ctx, who, typeCMCRequest, message)
	if err != nil {
		return nil, err
	}
	answer := &cmcAnswer{Answer: a, request: m}
	answer.read(ctx)
	return answer, nil
}

// fullcmc posts a message, and skips where that is not offered.
func (t *Target) fullcmc(ctx context.Context, who as, contentType string, message []byte) (*wire.Answer, error) {
	r := t.request(est.OpFullCMC, encode(message))
	r.Header = [][2]string{{"Content-Type", contentType}}
	a, err := t.do(ctx, who, r)
	if err != nil {
		return nil, err
	}
	if (a.Status == http.StatusNotFound || a.Status == http.StatusNotImplemented) && a.MediaType() != typePKCS7 {
		return nil, conformance.Skip("%v: fullcmc is not offered, which a server may choose", a)
	}
	return a, undecided(a)
}

func newCMC(id *identity) (*cmcMessage, error) {
	nonce := make([]byte, 16)
	if _, err := rand.Read(nonce); err != nil {
		return nil, err
	}
	csr, err := id.forgeRenewal()
	if err != nil {
		return nil, err
	}
	m := &cmcMessage{id: id, key: id.key, csr: csr, nonce: nonce, number: new(big.Int).SetBytes(nonce[:8])}
	m.data = &cmc.PKIData{Controls: []cmc.Control{
		{ID: bodyTransaction, Value: &cmc.TransactionID{Number: m.number}}, {ID: bodyNonce, Value: cmc.SenderNonce(nonce)},
	}}
	m.sign = &cmc.Signing{Key: id.key, Certificate: id.certificate}
	return m, nil
}

// add puts a control into the message.
func (m *cmcMessage) add(value cmc.ControlValue) {
	m.data.Controls = append(m.data.Controls, cmc.Control{ID: cmc.BodyPartID(bodyExtra + len(m.data.Controls)), Value: value})
}

// bytes makes the message.
func (m *cmcMessage) bytes() ([]byte, error) {
	if m.csr != nil {
		der, err := m.csr.der(m.key)
		if err != nil {
			return nil, err
		}
		request, err := cmc.NewPKCS10(bodyRequest, der)
		if err != nil {
			return nil, err
		}
		m.data.Requests = append(m.data.Requests, request)
	}
	message, err := m.signedData()
	if err != nil || m.signed == nil {
		return message, err
	}
	return m.signed(message), nil
}

func (m *cmcMessage) signedData() ([]byte, error) {
	if m.raw == nil {
		return cmc.SignRequest(m.data, m.sign)
	}
	der, err := m.data.Marshal()
	if err != nil {
		return nil, err
	}
	return cms.Sign(&cms.SignRequest{ContentType: cms.OIDPKIData(), Content: m.raw(der), Key: m.sign.Key, Certificate: m.sign.Certificate})
}

// renumber gives one part the identifier of another.
func renumber(from, to int) func([]byte) []byte {
	return func(der []byte) []byte {
		return bytes.ReplaceAll(der, number(from), number(to))
	}
}

// number is an INTEGER of three bytes.
func number(n int) []byte { return []byte{2, 3, byte(n >> 16), byte(n >> 8), byte(n)} }

// bySubjectKey has the message signed by the key that is to be certified, which
// the CSR and the signature name alike (RFC 5272, Section 3.2).
func (m *cmcMessage) bySubjectKey(named []byte) error {
	id, err := est.SubjectKeyID(m.key.Public())
	if err != nil {
		return err
	}
	asked := extensionRequest(extension(asn1.ObjectIdentifier{2, 5, 29, 14}, false, tlv(tagOctets, id)))
	m.csr.attributes = [][]byte{asked}
	if named == nil {
		named = id
	}
	m.sign = &cmc.Signing{Key: m.key, SubjectKeyID: named}
	return nil
}

// read takes the answer apart, and names the certificate as left.
func (a *cmcAnswer) read(ctx context.Context) {
	der, err := decode(a.Body)
	if err != nil {
		a.err = err
		return
	}
	a.response, a.err = cmc.OpenResponse(der, nil)
	if a.err == nil {
		if cert := a.certificate(); cert != nil {
			leave(ctx, cert)
		}
	}
}

// certificate is the one for the request's key; nil for none.
func (a *cmcAnswer) certificate() *x509.Certificate {
	if a.response == nil || !a.OK() {
		return nil
	}
	for _, c := range a.response.Certificates {
		if owns(a.request.key, c) && c.SerialNumber.Cmp(a.request.id.certificate.SerialNumber) != 0 {
			return c
		}
	}
	return nil
}

// status is the status control; nil for none.
func (a *cmcAnswer) status() *cmc.StatusInfo {
	if a.response == nil || a.response.Data == nil {
		return nil
	}
	info, _, _ := cmc.Find[*cmc.StatusInfo](a.response.Data.Controls)
	return info
}

// full skips where the answer is no Full PKI Response.
func (a *cmcAnswer) full() error {
	switch {
	case a.response == nil:
		return conformance.Skip("%v, and its body cannot be read: %v (see RFC7030-4.3.2-2 and -4)", a.Answer, a.err)
	case a.response.Simple:
		return conformance.Skip("%v with a Simple PKI Response (see RFC5272-3.2-2)", a.Answer)
	default:
		return nil
	}
}

// failed wants a refusal with one of these failInfos.
func (a *cmcAnswer) failed(what string, want ...cmc.FailInfo) error {
	if a.certificate() != nil {
		return fmt.Errorf("%v with a certificate to %s", a.Answer, what)
	}
	if a.OK() {
		return fmt.Errorf("%v to %s, want a 4xx", a.Answer, what)
	}
	if len(want) == 0 {
		return nil
	}
	if err := a.full(); err != nil {
		return err
	}
	info := a.status()
	if info == nil || info.FailInfo == nil {
		return fmt.Errorf("%v to %s without a failInfo, want %v", a.Answer, what, want)
	}
	for _, f := range want {
		if *info.FailInfo == f {
			return nil
		}
	}
	return fmt.Errorf("%v to %s with the failInfo %v, want %v", a.Answer, what, *info.FailInfo, want)
}
