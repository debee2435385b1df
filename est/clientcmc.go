package est

import (
	"bytes"
	"context"
	"crypto"
	"crypto/rand"
	"crypto/subtle"
	"crypto/x509"
	"encoding/asn1"
	"errors"
	"fmt"
	"math/big"
	"net/http"
	"slices"
	"time"

	"github.com/briskest/briskest/internal/cmc"
)

// ErrNotOffered is matched by the error of a client that asks for an operation that the server does not have: status 404
// or 501 (RFC 7030, Section 4.3.2).
var ErrNotOffered = errors.New("the server does not offer this operation")

// CMCReply is a PKI Response as it came (RFC 7030, Section 4.3.2).
type CMCReply struct {
	Status     int           // HTTP status; a CMC error comes with 4xx or 5xx, a request that waits with 202
	Message    []byte        // ContentInfo, DER or BER; nobody has looked at it
	Simple     bool          // it is labelled certs-only
	RetryAfter time.Duration // zero when the server named no time
}

// FullCMC sends a Full PKI Request, DER, and returns what the server answered with, a CMC error too (RFC 7030, Section
// 4.3). Nothing in it is verified; [Client.EnrollCMC] makes the request and judges the answer.
//
// Errors: [*StatusError], which matches [ErrNotOffered] for 404 and 501, when the answer is no PKI Response; others as
// CACerts.
func (c *Client) FullCMC(ctx context.Context, message []byte) (*CMCReply, error) {
	q := post(OpFullCMC, typeCMCRequest, message)
	q.whole = true
	a, err := c.call(ctx, q)
	if err != nil {
		return nil, err
	}
	if a.status != http.StatusOK && mediaType(a.contentType) != typePKCS7 {
		if a.status == http.StatusNotFound || a.status == http.StatusNotImplemented {
			return nil, fmt.Errorf("%w: %w", ErrNotOffered, a.refusal())
		}
		return nil, a.refusal()
	}
	der, err := a.der(typePKCS7)
	if err != nil {
		return nil, err
	}
	return &CMCReply{Status: a.status, Message: der, Simple: smimeType(a.contentType) == "certs-only", RetryAfter: a.retryAfter}, nil
}

// CMCEnrollment is what [Client.EnrollCMC] asks for, and how it says who asks.
type CMCEnrollment struct {
	// CSR is a PKCS#10 request in DER. Nil with Token.
	CSR []byte
	// Key signs the message: that of Certificate, or without one that of the CSR, which then asks for a subject key
	// identifier (RFC 5272, Section 3.2).
	Key crypto.Signer
	// Certificate is who asks: the one to be renewed, an IDevID, or an RA's. Nil where the connection or Secret says it.
	Certificate *x509.Certificate
	// Chain are the CAs above Certificate, where the server may not have them.
	Chain []*x509.Certificate
	// Identification and Secret are shared with the server: an identity proof is made of them (RFC 5272, Section 6.2.1).
	Identification string
	Secret         Secret
	// Token asks about a request that waits, from [CMCPending] (RFC 5272, Section 6.13).
	Token []byte
	// PublicKey is the key of the certificate that is wanted; nil for that of CSR, and with Token for that of Key.
	PublicKey crypto.PublicKey
}

// CMCEnrolled is what a server has granted.
type CMCEnrolled struct {
	// Certificate is that of the key, wherever it was in the answer (RFC 5272, Section 4.1: the order says nothing).
	Certificate *x509.Certificate
	// TrustAnchors are what the server publishes to be trusted (RFC 5272, Section 6.15), by an authorized signature, and
	// with certificates that have the published hashes; nil otherwise. Whether to trust them is for the caller; the other
	// certificates of an answer, self-signed ones too, are not to be trusted for being there.
	TrustAnchors []*x509.Certificate
}

// CMCPending is a request that waits: ask again with Token after RetryAfter. It matches [ErrPending].
type CMCPending struct {
	Token      []byte
	RetryAfter time.Duration
}

// Error says when to ask again.
func (e *CMCPending) Error() string {
	return fmt.Sprintf("%v; ask again in %v", ErrPending, e.RetryAfter)
}

// Is reports whether target is [ErrPending].
func (e *CMCPending) Is(target error) bool { return target == ErrPending }

// CMCError is a PKI Response that refuses.
type CMCError struct {
	Status   int    // HTTP
	FailInfo string // the RFC's name, such as "badIdentity" (RFC 5272, Section 6.1.4); empty when there is none
	Message  string // what the server wrote, one line of printable ASCII, 400 bytes at most
}

// Error returns what the server said.
func (e *CMCError) Error() string {
	s := "fullcmc: the server refused"
	if e.FailInfo != "" {
		s += " with " + e.FailInfo
	}
	if e.Message != "" {
		s += ": " + e.Message
	}
	return s
}

// EnrollCMC asks for a certificate by a Full PKI Request (RFC 5272; RFC 7030, Section 4.3). The answer counts if it is
// signed by an RA or CA below the client's Roots and repeats the request's nonce and transaction identifier, or is a
// Simple PKI Response, which the TLS connection alone vouches for.
//
// Errors: [*CMCPending], [*CMCError]; one that matches [ErrAnswer] for an answer that does not count; those of FullCMC.
func (c *Client) EnrollCMC(ctx context.Context, e *CMCEnrollment) (*CMCEnrolled, error) {
	s := &cmcExchange{c: c, e: e, key: e.PublicKey, transaction: new(big.Int).SetBytes(random(16)), nonce: random(16)}
	message, err := s.message()
	if err != nil {
		return nil, fmt.Errorf("%s: %w", OpFullCMC, err)
	}
	reply, err := c.FullCMC(ctx, message)
	if err != nil {
		return nil, err
	}
	got, err := s.judge(reply)
	if err != nil {
		return nil, err
	}
	if got.Certificate == nil {
		return nil, fmt.Errorf("%s: %w: no certificate for the key", OpFullCMC, ErrAnswer)
	}
	return got, nil
}

// cmcExchange is one request of a client, and what its answer has to repeat.
type cmcExchange struct {
	c           *Client
	e           *CMCEnrollment
	key         crypto.PublicKey
	transaction *big.Int
	nonce       []byte
}

func random(n int) []byte {
	b := make([]byte, n)
	rand.Read(b) // never fails (crypto/rand)
	b[0] |= 1
	return b
}

// message makes the Full PKI Request.
func (s *cmcExchange) message() ([]byte, error) {
	data := &cmc.PKIData{}
	signing := &cmc.Signing{Key: s.e.Key, Certificate: s.e.Certificate, Chain: s.e.Chain}
	if s.e.Key == nil {
		return nil, errors.New("a key to sign the message is needed")
	}
	values := []cmc.ControlValue{&cmc.TransactionID{Number: s.transaction}, cmc.SenderNonce(s.nonce)}
	if s.e.Token == nil {
		request, err := cmc.NewPKCS10(1, s.e.CSR)
		if err != nil {
			return nil, err
		}
		data.Requests = []cmc.Request{request}
		if s.key == nil {
			s.key = request.PKCS10.PublicKey
		}
		if signing.SubjectKeyID = request.SubjectKeyID(); s.e.Certificate == nil && signing.SubjectKeyID == nil {
			return nil, errors.New("the CSR asks for no subject key identifier, by which its key would sign the message (RFC 5272, Section 3.2)")
		}
	} else {
		values = append(values, cmc.QueryPending(s.e.Token))
		if s.key == nil {
			s.key = s.e.Key.Public()
		}
		var err error
		if signing.SubjectKeyID, err = SubjectKeyID(s.e.Key.Public()); err != nil {
			return nil, err
		}
	}
	if s.e.Certificate != nil {
		signing.SubjectKeyID = nil
	}
	proof, err := s.proof(data)
	if err != nil {
		return nil, err
	}
	for i, value := range append(values, proof...) {
		data.Controls = append(data.Controls, cmc.Control{ID: cmc.BodyPartID(101 + i), Value: value})
	}
	return cmc.SignRequest(data, signing)
}

// proof is the identity proof over the requests (RFC 5272, Section 6.2.1).
func (s *cmcExchange) proof(data *cmc.PKIData) ([]cmc.ControlValue, error) {
	if s.e.Secret == "" {
		return nil, nil
	}
	requests, err := data.MarshalRequests()
	if err != nil {
		return nil, err
	}
	name := cmc.Identification(s.e.Identification)
	proof, err := cmc.NewIdentityProofV2(crypto.SHA256, requests, &cmc.Secret{Value: []byte(s.e.Secret.Reveal()), Identification: name})
	if err != nil {
		return nil, err
	}
	if name == "" {
		return []cmc.ControlValue{proof}, nil
	}
	return []cmc.ControlValue{name, proof}, nil
}

// judge reads a reply and says what it comes to. Certificate is nil in the result when there is none for the key.
func (s *cmcExchange) judge(reply *CMCReply) (*CMCEnrolled, error) {
	invalid := func(err error) error { return fmt.Errorf("%s: %w: %w", OpFullCMC, ErrAnswer, err) }
	response, err := cmc.OpenResponse(reply.Message, nil)
	switch {
	case err != nil:
		return nil, invalid(err)
	case response.Simple != reply.Simple:
		return nil, invalid(errors.New("its smime-type says another kind of response than its content"))
	case response.Simple && reply.Status != http.StatusOK:
		return nil, &CMCError{Status: reply.Status}
	}
	got := &CMCEnrolled{Certificate: response.CertificateFor(s.key)}
	if response.Simple {
		return got, nil
	}
	if err := s.outcome(response, reply); err != nil {
		return nil, err
	}
	if err := s.authorized(response); err != nil {
		return nil, invalid(err)
	}
	if err := s.answersUs(response.Data); err != nil {
		return nil, invalid(err)
	}
	if anchors, _, ok := cmc.Find[*cmc.TrustAnchors](response.Data.Controls); ok {
		if got.TrustAnchors, err = anchors.Match(response.Certificates); err != nil {
			return nil, invalid(err)
		}
	}
	return got, nil
}

// outcome is the first status that is no success. A refusal is believed whoever signed it: it gives nothing away.
func (s *cmcExchange) outcome(response *cmc.Response, reply *CMCReply) error {
	statuses := response.Data.Statuses()
	if len(statuses) == 0 {
		return fmt.Errorf("%s: %w: it has no status", OpFullCMC, ErrAnswer)
	}
	for _, status := range statuses {
		switch status.Status {
		case cmc.StatusSuccess:
		case cmc.StatusPending, cmc.StatusPartial:
			if status.Pending == nil {
				return fmt.Errorf("%s: %w: it is pending without a token", OpFullCMC, ErrAnswer)
			}
			if err := errors.Join(s.authorized(response), s.answersUs(response.Data)); err != nil {
				return fmt.Errorf("%s: %w: %w", OpFullCMC, ErrAnswer, err)
			}
			retry := max(reply.RetryAfter, status.Pending.Time.Sub(s.c.now()), 0)
			return &CMCPending{Token: status.Pending.Token, RetryAfter: min(retry, maxRetryAfter)}
		default:
			e := &CMCError{Status: reply.Status, Message: printable(status.Text, maxMessage)}
			if e.FailInfo = status.Status.String(); status.FailInfo != nil {
				e.FailInfo = status.FailInfo.String()
			}
			return e
		}
	}
	if reply.Status != http.StatusOK {
		return &CMCError{Status: reply.Status, Message: "success is said with an HTTP error"}
	}
	return nil
}

// authorized wants a signer that the client's explicit anchors vouch for, and that is a CA or may answer for one: with
// id-kp-cmcRA or id-kp-cmcCA (RFC 6402, Section 2.10). Certificates that came along help to build the chain, and are
// anchors of none (RFC 5272, Section 4.1).
func (s *cmcExchange) authorized(response *cmc.Response) error {
	if len(response.Signers) != 1 || response.Signers[0].Certificate == nil {
		return errors.New("it is not signed")
	}
	signer := response.Signers[0].Certificate
	if s.c.Roots == nil {
		return errors.New("there are no anchors to verify its signer with")
	}
	opts := x509.VerifyOptions{
		Roots: s.c.Roots, Intermediates: x509.NewCertPool(), KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageAny}, CurrentTime: s.c.now(),
	}
	for _, cert := range response.Certificates {
		if !bytes.Equal(cert.RawIssuer, cert.RawSubject) {
			opts.Intermediates.AddCert(cert)
		}
	}
	if _, err := signer.Verify(opts); err != nil {
		return fmt.Errorf("its signer: %w", err)
	}
	cmcCA := asn1.ObjectIdentifier{1, 3, 6, 1, 5, 5, 7, 3, 27}
	if signer.IsCA || isRA(signer) || slices.ContainsFunc(signer.UnknownExtKeyUsage, cmcCA.Equal) {
		return nil
	}
	return errors.New("its signer is neither a CA nor an RA")
}

// answersUs compares what the answer repeats (RFC 5272, Section 6.6).
func (s *cmcExchange) answersUs(data *cmc.PKIResponse) error {
	nonce, _, _ := cmc.Find[cmc.RecipientNonce](data.Controls)
	id, _, found := cmc.Find[*cmc.TransactionID](data.Controls)
	if subtle.ConstantTimeCompare(nonce, s.nonce) != 1 || !found || id.Number.Cmp(s.transaction) != 0 {
		return errors.New("it answers another request: nonce or transaction identifier differs")
	}
	return nil
}

// SubjectKeyID is the subject key identifier that names a key in a CSR and in the message that it signs: the first 160
// bits of SHA-256 over the key (RFC 7093, Section 2).
func SubjectKeyID(key crypto.PublicKey) ([]byte, error) {
	der, err := x509.MarshalPKIXPublicKey(key)
	if err != nil {
		return nil, fmt.Errorf("key identifier: %w", err)
	}
	var spki struct {
		Algorithm asn1.RawValue
		Key       asn1.BitString
	}
	if _, err := asn1.Unmarshal(der, &spki); err != nil {
		return nil, fmt.Errorf("key identifier: %w", err)
	}
	h := crypto.SHA256.New()
	h.Write(spki.Key.Bytes)
	return h.Sum(nil)[:20], nil
}
