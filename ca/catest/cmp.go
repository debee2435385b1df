package catest

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"errors"
	"io"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/briskest/briskest/internal/cmp"
)

// CMP is a CA that takes CMP over HTTP, for tests: every [Fault], p10cr, ir, cr,
// certConf, polling and rr, protected by signature or MAC. It fails the test when
// its caller breaks the protocol. Fields are set before use.
type CMP struct {
	*Foreign
	// Signer signs its answers; it has id-kp-cmcCA below the root.
	Signer    *x509.Certificate
	SignerKey *ecdsa.PrivateKey
	// Secret protects both ways instead, when it is set.
	Secret *cmp.MAC
	// RA is whose requests it takes, without a Secret.
	RA *x509.Certificate
	// Repeated says what becomes of a request in a transaction that it knows.
	Repeated Repetition
	// P10CRID is the certReqId of answers to a p10cr; -1 from NewCMP.
	P10CRID int64
	// Implicit grants implicit confirmation to those that ask for it.
	Implicit bool
	// Wished may change what a request wishes for, as a CA's own profile does.
	Wished func(w *Wish)
	// Reply may change an answer before it is protected, or stand in for it.
	Reply func(asked *cmp.Message, r *CMPReply)

	t   testing.TB
	url string

	mu       sync.Mutex
	open     map[string]*cmpTransaction // by transactionID; guarded by mu
	revoked  []*cmp.Revocation          // guarded by mu
	messages []cmp.Kind                 // guarded by mu
}

// Repetition is what a CA does with a request that it has already.
type Repetition int

// The repetitions.
const (
	AnswersAgain  Repetition = iota // the same certificate
	SignsAgain                      // another one
	RefusesRepeat                   // transactionIdInUse; the answer may be polled for
)

// CMPReply is an answer before it is protected.
type CMPReply struct {
	Header     cmp.Header
	Body       cmp.Body
	Protection cmp.Protection // nil: none
	ExtraCerts [][]byte
	// Bytes are sent as they are instead, when they are set.
	Bytes []byte
}

type cmpTransaction struct {
	wish      *Wish
	requestID int64
	kind      cmp.Kind // of the answer
	cert      []byte
	nonces    map[string]bool // of our messages
	seen      map[string]bool // nonces of theirs
	confirmed bool
	refused   bool
}

// NewCMP starts one on 127.0.0.1 that signs its answers.
func NewCMP(t testing.TB) *CMP {
	t.Helper()
	s := &CMP{Foreign: NewForeign(t), P10CRID: -1, t: t, open: make(map[string]*cmpTransaction), SignerKey: newKey(t)}
	s.Signer = s.Certify("CMP server", s.SignerKey, 27)
	server := httptest.NewServer(http.HandlerFunc(s.serve))
	t.Cleanup(server.Close)
	s.url = server.URL + "/.well-known/cmp"
	return s
}

// Certify issues a certificate for CMP's messages; purpose is the last arc of
// id-kp (RFC 6402, Section 2.10: 27 is a CA, 28 an RA), 0 for none.
func (s *CMP) Certify(name string, key *ecdsa.PrivateKey, purpose int) *x509.Certificate {
	s.t.Helper()
	template := &x509.Certificate{
		SerialNumber: s.next(), Subject: pkix.Name{CommonName: name}, KeyUsage: x509.KeyUsageDigitalSignature,
		NotBefore: time.Date(2020, 1, 1, 0, 0, 0, 0, time.UTC), NotAfter: time.Date(2040, 1, 1, 0, 0, 0, 0, time.UTC),
	}
	if purpose != 0 {
		template.UnknownExtKeyUsage = []asn1.ObjectIdentifier{{1, 3, 6, 1, 5, 5, 7, 3, purpose}}
	}
	return s.create(template, s.Issuing, key.Public(), s.Key)
}

// URL is where it takes CMP.
func (s *CMP) URL() string { return s.url }

// Client reaches it, and nothing while it is [Down].
func (s *CMP) Client() *http.Client {
	dial := func(ctx context.Context, network, address string) (net.Conn, error) {
		if s.Fault() == Down {
			return nil, errors.New("connection refused")
		}
		var d net.Dialer
		return d.DialContext(ctx, network, address)
	}
	return &http.Client{Transport: &http.Transport{DialContext: dial, DisableKeepAlives: true}}
}

// Revoked are the revocations that it was told of.
func (s *CMP) Revoked() []*cmp.Revocation {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]*cmp.Revocation(nil), s.revoked...)
}

// Messages are the kinds that it was sent, in order.
func (s *CMP) Messages() []cmp.Kind {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]cmp.Kind(nil), s.messages...)
}

// Unconfirmed is how many transactions have a certificate that was neither confirmed
// nor refused.
func (s *CMP) Unconfirmed() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	n := 0
	for _, t := range s.open {
		if t.cert != nil && !t.confirmed {
			n++
		}
	}
	return n
}

// Refused is how many certificates a certConf refused.
func (s *CMP) Refused() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	n := 0
	for _, t := range s.open {
		if t.refused {
			n++
		}
	}
	return n
}

func (s *CMP) serve(w http.ResponseWriter, r *http.Request) {
	der, err := io.ReadAll(io.LimitReader(r.Body, cmp.MaxSize))
	if err != nil {
		return // its sender went away
	}
	if got := r.Header.Get("Content-Type"); got != "application/pkixcmp" || r.Method != http.MethodPost {
		s.t.Errorf("the CA was sent a %s of %q, want a POST of application/pkixcmp (RFC 6712, Section 3.4)", r.Method, got)
	}
	switch s.Fault() {
	case Overloaded:
		w.Header().Set("Retry-After", "7")
		w.WriteHeader(http.StatusServiceUnavailable)
		return
	case Slow:
		<-r.Context().Done()
		return
	case Garbage:
		w.Header().Set("Content-Type", "application/pkixcmp")
		_, _ = w.Write([]byte("0\x82 this is not the DER that was expected"))
		return
	case Huge:
		w.Header().Set("Content-Type", "application/pkixcmp")
		for block := make([]byte, 64<<10); err == nil; {
			_, err = w.Write(block)
		}
		return
	}
	answer := s.answer(der)
	w.Header().Set("Content-Type", "application/pkixcmp")
	w.Header().Set("Content-Length", strconv.Itoa(len(answer)))
	switch s.Fault() {
	case AnswerLost:
		panic(http.ErrAbortHandler)
	case Truncated:
		answer = answer[:len(answer)/2]
	}
	_, _ = w.Write(answer) // its reader may go away
}

// answer is one message for another.
func (s *CMP) answer(der []byte) []byte {
	m, err := cmp.Parse(der)
	if err != nil {
		s.t.Errorf("the CA was sent what is no CMP: %v", err)
		return nil
	}
	s.check(m)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.messages = append(s.messages, m.Kind)
	one := s.open[string(m.Header.TransactionID)]
	known := one != nil
	if !known {
		one = &cmpTransaction{seen: make(map[string]bool), nonces: make(map[string]bool)}
		s.open[string(m.Header.TransactionID)] = one
	}
	if one.seen[string(m.Header.SenderNonce)] {
		s.t.Errorf("the senderNonce of a %s was used before in the transaction (RFC 9483, Section 3.1)", m.Kind)
	}
	one.seen[string(m.Header.SenderNonce)] = true
	reply := &CMPReply{Header: s.header(m)}
	reply.Body = s.body(m, one, known, reply)
	reply.Protection, reply.ExtraCerts = &cmp.Signature{Key: s.SignerKey}, [][]byte{s.Signer.Raw}
	if s.Secret != nil {
		reply.Protection, reply.ExtraCerts = s.Secret, nil
	}
	if s.Reply != nil {
		s.Reply(m, reply)
	}
	one.nonces[string(reply.Header.SenderNonce)] = true
	if reply.Bytes != nil {
		return reply.Bytes
	}
	out, err := cmp.Marshal(&reply.Header, reply.Body, reply.Protection, reply.ExtraCerts)
	if err != nil {
		s.t.Errorf("catest: %v", err)
	}
	return out
}

// check holds a message against RFC 9483, Section 3.5.
func (s *CMP) check(m *cmp.Message) {
	h := &m.Header
	if len(h.TransactionID) != 16 || len(h.SenderNonce) != 16 || h.Time.IsZero() {
		s.t.Errorf("a %s has a transactionID of %d bytes, a nonce of %d and messageTime %s", m.Kind, len(h.TransactionID), len(h.SenderNonce), h.Time)
	}
	if s.Secret != nil {
		if err := m.VerifyMAC(s.Secret); err != nil {
			s.t.Errorf("a %s: %v", m.Kind, err)
		}
		return
	}
	if len(m.ExtraCerts) == 0 || !bytes.Equal(m.ExtraCerts[0], s.RA.Raw) {
		s.t.Errorf("the first of extraCerts of a %s is not the RA's certificate (RFC 9483, Section 3.3)", m.Kind)
	}
	if err := m.VerifySignature(s.RA.PublicKey); err != nil {
		s.t.Errorf("a %s: %v", m.Kind, err)
	}
	if name, ok := cmp.Name(h.Sender); !ok || !bytes.Equal(name, s.RA.RawSubject) {
		s.t.Errorf("the sender of a %s is not the RA", m.Kind)
	}
}

func (s *CMP) header(m *cmp.Message) cmp.Header {
	nonce := make([]byte, 16)
	rand.Read(nonce)
	h := cmp.Header{
		Sender: cmp.DirectoryName(s.Signer.RawSubject), Recipient: m.Header.Sender, Time: time.Now(),
		TransactionID: m.Header.TransactionID, SenderNonce: nonce, RecipientNonce: m.Header.SenderNonce,
	}
	if s.Secret != nil {
		h.Sender = cmp.DirectoryName(nil)
	}
	return h
}

// body decides; guarded by mu.
func (s *CMP) body(m *cmp.Message, one *cmpTransaction, known bool, reply *CMPReply) cmp.Body {
	switch m.Kind {
	case cmp.P10CR, cmp.IR, cmp.CR:
		return s.request(m, one, known, reply)
	case cmp.PollReq:
		s.follows(m, one)
		if id, err := m.PollReq(); err != nil || one.wish == nil || id != one.requestID {
			return refuses(cmp.BadRequest, "nothing to poll for")
		}
		if s.Fault() == Waits {
			return cmp.NewPollRep(cmp.Poll{RequestID: one.requestID, After: 30 * time.Second, Reason: []string{"a person looks at it"}})
		}
		return s.issue(one, reply, m)
	case cmp.CertConf:
		s.follows(m, one)
		return s.confirm(m, one)
	case cmp.RR:
		v, err := m.RevReq()
		if err != nil {
			s.t.Errorf("rr: %v", err)
		}
		return s.revoke(v)
	default:
		s.t.Errorf("the CA was sent a %s", m.Kind)
		return refuses(cmp.BadRequest, "what is that")
	}
}

func refuses(f cmp.Failure, text string) cmp.Body {
	return cmp.NewError(&cmp.ErrorContent{StatusInfo: cmp.StatusInfo{Status: cmp.Rejection, Failure: f, Text: []string{text}}})
}

// follows: recipNonce is the nonce of a message of ours (RFC 9483, Section 3.5); the
// last may not have arrived.
func (s *CMP) follows(m *cmp.Message, one *cmpTransaction) {
	if len(one.nonces) > 0 && !one.nonces[string(m.Header.RecipientNonce)] {
		s.t.Errorf("the recipNonce of a %s is no nonce of the messages before", m.Kind)
	}
}

func (s *CMP) request(m *cmp.Message, one *cmpTransaction, known bool, reply *CMPReply) cmp.Body {
	if known && s.Repeated == RefusesRepeat {
		return refuses(cmp.TransactionIDInUse, "seen before")
	}
	if known && s.Repeated == SignsAgain {
		one.cert = nil
	}
	one.kind = cmp.CP
	if m.Kind == cmp.IR {
		one.kind = cmp.IP
	}
	one.wish = s.wish(m)
	if m.Kind == cmp.P10CR {
		one.requestID = s.P10CRID
	}
	if s.Wished != nil && one.wish != nil {
		s.Wished(one.wish)
	}
	answer := func(info cmp.StatusInfo) cmp.Body {
		return cmp.NewCertRep(one.kind, &cmp.CertRep{Responses: []cmp.CertResponse{{RequestID: one.requestID, StatusInfo: info}}})
	}
	switch {
	case one.wish == nil:
		return answer(cmp.StatusInfo{Status: cmp.Rejection, Failure: cmp.BadDataFormat})
	case s.Fault() == RefusesUs:
		return refuses(cmp.NotAuthorized, "who are you")
	case s.Fault() == Refuses:
		return answer(cmp.StatusInfo{Status: cmp.Rejection, Failure: cmp.BadCertTemplate, Text: []string{"not on a Wednesday"}})
	case s.Fault() == Waits:
		return answer(cmp.StatusInfo{Status: cmp.Waiting})
	}
	return s.issue(one, reply, m)
}

// wish reads a request.
func (s *CMP) wish(m *cmp.Message) *Wish {
	end := time.Now().AddDate(1, 0, 0)
	if m.Kind == cmp.P10CR {
		csr, err := x509.ParseCertificateRequest(m.Body)
		if err != nil || csr.CheckSignature() != nil {
			s.t.Errorf("a p10cr without proof of possession: %v", err)
			return nil
		}
		return &Wish{PublicKey: csr.PublicKey, RawSubject: csr.RawSubject, DNS: csr.DNSNames, NotBefore: time.Now(), NotAfter: end.Add(-time.Hour)}
	}
	request, err := m.CertReq()
	if err != nil {
		s.t.Errorf("%s: %v", m.Kind, err)
		return nil
	}
	key, err := x509.ParsePKIXPublicKey(request.Template.RawSubjectPublicKeyInfo)
	if err != nil {
		s.t.Errorf("%s: %v", m.Kind, err)
		return nil
	}
	w := &Wish{PublicKey: key, RawSubject: request.Template.RawSubject, NotBefore: request.Template.NotBefore, NotAfter: request.Template.NotAfter}
	for _, e := range request.Template.Extensions {
		// crypto/x509 reads the names out of a certificate that has them.
		read := s.create(&x509.Certificate{SerialNumber: big.NewInt(1), ExtraExtensions: []pkix.Extension{e}}, s.Issuing, key, s.Key)
		w.DNS = append(w.DNS, read.DNSNames...)
	}
	return w
}

// issue answers with a certificate.
func (s *CMP) issue(one *cmpTransaction, reply *CMPReply, m *cmp.Message) cmp.Body {
	if one.cert == nil {
		one.cert = s.Sign(one.wish)
	}
	if s.Implicit && m.Header.ImplicitConfirm() {
		reply.Header.Infos = append(reply.Header.Infos, cmp.ImplicitConfirm())
		one.confirmed = true
	}
	rep := &cmp.CertRep{Responses: []cmp.CertResponse{{RequestID: one.requestID, Certificate: one.cert}}}
	if s.Fault() == AnswersTwice {
		rep.Responses = append(rep.Responses, cmp.CertResponse{RequestID: one.requestID, Certificate: s.Other(one.wish)})
	}
	return cmp.NewCertRep(one.kind, rep)
}

func (s *CMP) confirm(m *cmp.Message, one *cmpTransaction) cmp.Body {
	c, err := m.CertConf()
	if err != nil || one.cert == nil {
		return refuses(cmp.BadRequest, "nothing to confirm")
	}
	if c.StatusInfo != nil && c.StatusInfo.Status == cmp.Rejection {
		one.confirmed, one.refused = true, true
		return cmp.NewPKIConf()
	}
	cert, err := x509.ParseCertificate(one.cert)
	if err != nil || !bytes.Equal(c.Hash.Value, cmp.HashCertificate(cert).Value) || c.RequestID != one.requestID {
		s.t.Errorf("the certConf is not about the certificate, or has the certReqId %d", c.RequestID)
		return refuses(cmp.BadCertID, "another certificate")
	}
	if one.confirmed {
		return refuses(cmp.CertConfirmed, "confirmed before")
	}
	one.confirmed = true
	return cmp.NewPKIConf()
}

func (s *CMP) revoke(v *cmp.Revocation) cmp.Body {
	for _, before := range s.revoked {
		if before.Serial.Cmp(v.Serial) == 0 && before.Reason == v.Reason {
			return cmp.NewRevRep(cmp.StatusInfo{Status: cmp.Rejection, Failure: cmp.CertRevoked})
		}
	}
	switch s.Fault() {
	case Refuses:
		return cmp.NewRevRep(cmp.StatusInfo{Status: cmp.Rejection, Failure: cmp.BadCertID, Text: []string{"not ours"}})
	case RefusesUs:
		return refuses(cmp.NotAuthorized, "who are you")
	case Waits:
		return cmp.NewRevRep(cmp.StatusInfo{Status: cmp.Waiting})
	}
	s.revoked = append(s.revoked, v)
	return cmp.NewRevRep(cmp.StatusInfo{Status: cmp.Accepted})
}
