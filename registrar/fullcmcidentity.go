package registrar

import (
	"bytes"
	"context"
	"crypto/x509"

	"github.com/briskest/briskest/est"
	"github.com/briskest/briskest/internal/cmc"
)

// cmcOwner is the certificate that has signed a message, and whether it counts.
type cmcOwner struct {
	certificate *x509.Certificate
	c           *Case     // identified by the certificate alone
	denied      *Decision // nil where it counts
}

// identify finds out who asks with the message: m.c, or m.denied.
func (x *cmcExchange) identify(ctx context.Context, m *cmcMessage) {
	c := *x.base
	c.Operation = OpEnroll
	m.c = &c
	// A one-time code is in the one request that there is (RFC 7894, Section 2.1).
	if len(m.requests) == 1 && c.Label.Codes {
		if csr, d := m.requests[0].parsed(); d == nil {
			c.CSR, c.otp = csr.CertificateRequest, csr.OTPChallenge
		}
	}
	peer := *x.r.Peer
	if m.parent != nil { // the connection is the RA's
		peer = est.Peer{Address: peer.Address}
	}
	if cert := signerOf(m.full); cert != nil {
		x.identifySigner(ctx, m, &peer, cert)
		if m.denied != nil {
			return
		}
	}
	secret, d := x.proveIdentity(m)
	if d != nil {
		if m.denied = d; m.owned() { // it is refused as the known peer that it is
			own := *m.own.c
			m.c = &own
		}
		return
	}
	switch {
	case m.parent != nil:
		x.identifyNested(m, secret)
	case secret != nil && !m.owned() && len(c.Label.Require) == 0:
		m.bySecret(secret)
	default:
		m.denied = x.s.identify(ctx, x.v, m.c, &peer)
	}
	if m.denied == nil && m.c.Identity.Kind == LDevID {
		m.c.Operation = OpRenew // whatever else it asks is refused as another name
	}
}

// owned tells whether a certificate that counts has signed the message.
func (m *cmcMessage) owned() bool { return m.own != nil && m.own.denied == nil }

func (m *cmcMessage) bySecret(k *CMCSecret) {
	m.c.Identity = Identity{Kind: SharedSecret, Credential: secretCredential(k.Name), User: k.Name, Group: k.Group}
}

func secretCredential(name string) string { return "secret:" + name }

// identifySigner takes the signer for the client, as simpleenroll takes the TLS
// client certificate. A connection with another certificate must be an RA's.
func (x *cmcExchange) identifySigner(ctx context.Context, m *cmcMessage, peer *est.Peer, cert *x509.Certificate) {
	m.c.Replayable = true
	if m.parent == nil && len(peer.Certificates) > 0 {
		if peer.Certificates[0].Equal(cert) {
			m.c.Replayable = false
		} else if m.denied = x.brings(ctx, m, peer); m.denied != nil {
			return
		}
	}
	peer.Certificates = signerChain(cert, m.full.Certificates)
	if x.renewsItself(m, cert) {
		m.c.Operation = OpRenew
	}
	alone := *m.c
	m.own = &cmcOwner{certificate: cert, c: &alone}
	only := *peer
	only.User, only.Secret = "", ""
	m.own.denied = x.s.identifyCertificate(ctx, x.v, &alone, &only)
}

// brings refuses a connection whose certificate is not that of the signer,
// unless it is an RA's that passes on what others have signed
// (RFC 7030, Section 3.7). Refused is who made the connection.
func (x *cmcExchange) brings(ctx context.Context, m *cmcMessage, peer *est.Peer) *Decision {
	c := *x.base
	c.Operation = OpEnroll
	if d := x.s.identifyCertificate(ctx, x.v, &c, peer); d != nil || c.Identity.Kind != RA || !c.Label.RA {
		refusal := deny(ReasonCMCIdentity, "cmc-two-identities")
		if d != nil {
			refusal.Err = d.Err
		}
		m.c = &c
		return refusal
	}
	x.relayed = true
	return nil
}

// signerChain is the signer with those certificates of the message that could
// be above it: no more than a TLS client may present.
func signerChain(signer *x509.Certificate, bag []*x509.Certificate) []*x509.Certificate {
	chain := []*x509.Certificate{signer}
	for at := signer; len(chain) < est.MaxCertificates; {
		var above *x509.Certificate
		for _, c := range bag {
			if bytes.Equal(c.RawSubject, at.RawIssuer) && !bytes.Equal(c.RawSubject, c.RawIssuer) {
				above = c
				break
			}
		}
		if above == nil {
			break
		}
		chain = append(chain, above)
		at = above
	}
	return chain
}

// renewsItself tells whether all that is asked for are the names of a signer
// that seems to be of our CA: a renewal, which is allowed more to an expired
// certificate.
func (x *cmcExchange) renewsItself(m *cmcMessage, signer *x509.Certificate) bool {
	if !x.v.issuesAs(signer.RawIssuer) || len(m.requests) == 0 {
		return false
	}
	for _, q := range m.requests {
		csr, d := q.parsed()
		if d != nil || est.SameNames(csr.CertificateRequest, signer) != nil {
			return false
		}
	}
	return true
}

// identifyNested says who asks with a message that an RA passes on: who proves
// it in the message itself, and for all others the RA, whose word it is.
func (x *cmcExchange) identifyNested(m *cmcMessage, secret *CMCSecret) {
	switch {
	case m.vouched():
		m.c = m.spokenFor()
	case m.owned():
		own := *m.own.c
		m.c = &own
	case m.own != nil && m.own.denied.Reason != ReasonUntrusted && m.own.denied.Reason != ReasonExpired:
		m.denied, m.c = m.own.denied, m.own.c
	case secret != nil:
		m.bySecret(secret)
	default:
		m.c = m.spokenFor()
	}
}

// spokenFor is the case of the RA around the message.
func (m *cmcMessage) spokenFor() *Case {
	c := *m.parent.own.c
	c.Operation = OpEnroll
	return &c
}

// vouched tells whether an RA around the message has checked who its sender is
// (RFC 6402, Section 2.9).
func (m *cmcMessage) vouched() bool {
	for outer := m.parent; outer != nil; outer = outer.parent {
		for i := range outer.fromRA {
			if path, ok := outer.fromRA[i].Value.(cmc.RAIdentityWitness); ok {
				if _, ok := m.below(outer, cmc.BodyPartPath(path)); ok {
					return true
				}
			}
		}
	}
	return false
}

// proveIdentity verifies the identity proof of a message that has one (RFC
// 5272, Section 6.2). A proof that is there and wrong refuses whoever else
// vouches for the message, but an RA that has said that it checked it.
func (x *cmcExchange) proveIdentity(m *cmcMessage) (*CMCSecret, *Decision) {
	if m.proof == nil && m.oldProof == nil || m.parent != nil && m.vouched() {
		return nil, nil
	}
	const rule = "cmc-identity-proof"
	k, known := x.v.cmc.secret(m.identification)
	shared := x.v.cmc.shared(k, m.identification)
	var err error
	if m.oldProof != nil {
		err = m.oldProof.Verify(m.data.RawRequests, shared)
	}
	if err == nil && m.proof != nil {
		err = m.proof.Verify(m.data.RawRequests, shared)
	}
	switch {
	case err != nil:
		f := malformed(err)
		f.d.Rule = rule
		return nil, f.d
	case !known || !x.base.Label.SharedSecret:
		return nil, deny(ReasonCMCSecret, rule)
	}
	return k, nil
}

// secret returns the secret of a name. Of an unknown one it is one that nobody
// knows, so that it takes as long to refuse.
func (k *cmcSide) secret(name cmc.Identification) (*CMCSecret, bool) {
	if s := k.secrets[string(name)]; s != nil {
		return s, true
	}
	return &CMCSecret{Name: string(name), Secret: k.nobody}, false
}

func (k *cmcSide) shared(s *CMCSecret, name cmc.Identification) *cmc.Secret {
	return &cmc.Secret{Value: []byte(s.Secret.Reveal()), Identification: name, Legacy: k.legacy}
}
