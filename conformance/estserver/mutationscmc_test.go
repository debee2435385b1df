package estserver_test

import (
	"crypto/x509"
	"encoding/asn1"
	"net/http"
	"slices"

	"github.com/briskest/briskest/est"
	"github.com/briskest/briskest/internal/cmc"
)

// bends changes what the house decided about a Full PKI Request.
func bends(f func(b *backend, r *est.CMCRequest, p *cmcReply)) fault {
	return func(h *house) {
		h.backend.bend = func(r *est.CMCRequest, p *cmcReply) { f(h.backend, r, p) }
	}
}

// grants issues where the house refused for that reason and the message fits.
func grants(reason cmc.FailInfo, fits func(r *est.CMCRequest, p *cmcReply) bool) fault {
	return bends(func(b *backend, r *est.CMCRequest, p *cmcReply) {
		if p.info.FailInfo == nil || *p.info.FailInfo != reason || fits != nil && !fits(r, p) {
			return
		}
		p.info, p.status = &cmc.StatusInfo{Status: cmc.StatusSuccess, Bodies: []cmc.BodyPartPath{{0}}}, http.StatusOK
		cert, err := b.issueFor(&x509.Certificate{}, b.lastKey(r))
		if err != nil {
			b.t.Error(err)
			return
		}
		p.certs = []*x509.Certificate{cert}
	})
}

// lastKey is the key of the client's certificate, or the CA's where it has none.
func (b *backend) lastKey(r *est.CMCRequest) any {
	if len(r.Peer.Certificates) > 0 {
		return r.Peer.Certificates[0].PublicKey
	}
	return b.CA.Key.Public()
}

// fails says another reason than the house for a reason.
func fails(from, to cmc.FailInfo, fits func(r *est.CMCRequest, p *cmcReply) bool) fault {
	return bends(func(_ *backend, r *est.CMCRequest, p *cmcReply) {
		if p.info.FailInfo != nil && *p.info.FailInfo == from && (fits == nil || fits(r, p)) {
			p.info.FailInfo = &to
		}
	})
}

func has[T cmc.ControlValue](p *cmcReply) bool {
	if p.data == nil {
		return false
	}
	_, _, ok := cmc.Find[T](p.data.Controls)
	return ok
}

func cmcMutations() []mutation {
	full := on(est.OpFullCMC)
	takesBody := func(m match) fault { return replies(full.and(m), http.StatusOK, pkcs7, "") }
	unknown := func(_ *est.CMCRequest, p *cmcReply) bool { return p.data != nil && len(p.data.Unknown()) > 0 }
	requests := func(n int) func(*est.CMCRequest, *cmcReply) bool {
		return func(_ *est.CMCRequest, p *cmcReply) bool {
			return p.data != nil && len(p.data.Requests) == n && !has[*cmc.RevokeRequest](p)
		}
	}
	witness := func(want bool) func(*est.CMCRequest, *cmcReply) bool {
		return func(_ *est.CMCRequest, p *cmcReply) bool { return has[*cmc.LRAPOPWitness](p) == want && !linkedCMC(p) }
	}
	success := func(f func(p *cmcReply)) fault {
		return bends(func(_ *backend, _ *est.CMCRequest, p *cmcReply) {
			if p.status == http.StatusOK {
				f(p)
			}
		})
	}
	return []mutation{
		breaks("RFC7030-4.3.1-1", "takes CSRs", takesBody(asked2)),
		breaks("RFC7030-4.3.1-2", "takes certificates", takesBody(holds(func(der []byte) bool { c, err := certsOf(lines(der)); return err == nil && len(c) > 0 }))),
		breaks("RFC7030-4.3.1-3", "breaks on what is no message", replies(full.and(contains("dGhpcyBpcyBubyBt")), http.StatusInternalServerError, "", "")),
		breaks("RFC7030-4.3.1-4", "compares smime-type with case", refusing(full.and(func(r *http.Request, _ []byte) bool {
			return r.Header.Get("Content-Type") == `APPLICATION/PKCS7-MIME; SMIME-TYPE="cmc-request"`
		}))),
		breaks("RFC7030-4.3.1-5", "does not look at smime-type", replies(full.and(mediaType(pkcs7)), http.StatusOK, "text/plain", "")),
		breaks("RFC7030-4.3.2-1", "sends 201", successes(est.OpFullCMC, status(http.StatusCreated))),
		breaks("RFC7030-4.3.2-2", "says that a Full Response is a simple one", successes(est.OpFullCMC, header("Content-Type", pkcs7))),
		breaks("RFC7030-4.3.2-3", "refuses with 200", bends(func(_ *backend, r *est.CMCRequest, p *cmcReply) {
			if p.info.FailInfo != nil && *p.info.FailInfo == cmc.FailBadMessageCheck && hasCertificate(r) {
				p.status = http.StatusOK
			}
		}), "RFC5272-3.2-5"),
		breaks("RFC7030-4.3.2-4", "refuses in words", rewrites(full, func(a *reply) {
			if a.status == http.StatusBadRequest {
				a.header.Set("Content-Type", "text/plain")
				a.body = []byte("No.")
			}
		})),
		breaks("RFC7030-4.3.2-5", "does not say which proof failed", fails(cmc.FailPOPFailed, cmc.FailBadRequest, func(_ *est.CMCRequest, p *cmcReply) bool { return linkedCMC(p) })),
		breaks("RFC5272-3.2-1", "does not renew by CMC", bends(func(_ *backend, _ *est.CMCRequest, p *cmcReply) {
			if p.signer != nil {
				p.certs = nil
			}
		}), "RFC7030-4.3.1-4"),
		breaks("RFC5272-3.2-2", "does not repeat the nonce", success(func(p *cmcReply) {
			p.echoes = slices.DeleteFunc(p.echoes, func(c cmc.Control) bool { return c.ID == 3 })
		})),
		breaks("RFC5272-3.2-3", "wants a certificate to sign", bends(func(_ *backend, _ *est.CMCRequest, p *cmcReply) {
			if p.signer == nil {
				p.certs = nil
			}
		})),
		breaks("RFC5272-3.2-4", "takes any subject key identifier", grants(cmc.FailBadMessageCheck, func(r *est.CMCRequest, p *cmcReply) bool { return !hasCertificate(r) })),
		breaks("RFC5272-3.2-5", "does not say that the signature is wrong", fails(cmc.FailBadMessageCheck, cmc.FailBadTime, func(r *est.CMCRequest, _ *cmcReply) bool { return hasCertificate(r) })),
		breaks("RFC5272-3.2-6", "does not verify CSRs", grants(cmc.FailPOPFailed, witness(false))),
		breaks("RFC5272-3.2-7", "passes over controls", grants(cmc.FailBadRequest, unknown)),
		breaks("RFC5272-3.2-8", "does not mind a bodyPartID twice", grants(cmc.FailBadRequest, func(r *est.CMCRequest, p *cmcReply) bool {
			return hasCertificate(r) && (p.data == nil || len(p.data.Unknown()) == 0 && len(p.data.Requests) > 0)
		})),
		breaks("RFC5272-3.2-9", "says failed to what it does not know", bends(func(_ *backend, _ *est.CMCRequest, p *cmcReply) {
			if p.info.Status == cmc.StatusNoSupport {
				p.info.Status = cmc.StatusFailed
			}
		})),
		breaks("RFC5272-3.2-10", "knows no CRMF", bends(func(_ *backend, _ *est.CMCRequest, p *cmcReply) {
			if p.data != nil && len(p.data.Requests) == 1 && p.data.Requests[0].CRMF != nil {
				p.certs = nil
			}
		})),
		breaks("RFC5272-3.2-11", "grants a second name", bends(func(b *backend, r *est.CMCRequest, p *cmcReply) {
			if requests(2)(r, p) {
				name := x509.Certificate{}
				name.Subject.CommonName = "briskest-somebody-else"
				cert, err := b.issueFor(&name, b.lastKey(r))
				if err != nil {
					b.t.Error(err)
				}
				p.info, p.status, p.certs = &cmc.StatusInfo{Status: cmc.StatusSuccess, Bodies: []cmc.BodyPartPath{{0}}}, http.StatusOK, []*x509.Certificate{cert}
			}
		})),
		breaks("RFC5272-3.2-12", "sends no intermediates", bends(func(_ *backend, _ *est.CMCRequest, p *cmcReply) { p.chain = false })),
		breaks("RFC5272-6-1", "says the old status", success(func(p *cmcReply) { p.info.Old = true })),
		breaks("RFC5272-6-2", "does not return data", success(func(p *cmcReply) { p.echoes = p.echoes[:min(len(p.echoes), 2)] })),
		breaks("RFC5272-6-3", "passes over proofs of identity", grants(cmc.FailBadIdentity, func(_ *est.CMCRequest, p *cmcReply) bool { return has[*cmc.IdentityProofV2](p) })),
		breaks("RFC5272-6-4", "certifies any subject", grants(cmc.FailBadIdentity, func(r *est.CMCRequest, p *cmcReply) bool { return requests(1)(r, p) && !has[*cmc.IdentityProofV2](p) })),
		breaks("RFC5272-6-5", "believes everybody's witness", grants(cmc.FailPOPFailed, witness(true))),
		breaks("RFC5272-6-6", "answers any token", grants(cmc.FailBadRequest, func(_ *est.CMCRequest, p *cmcReply) bool { return has[cmc.QueryPending](p) })),
		breaks("RFC5272-6-7", "revokes anybody", bends(func(_ *backend, _ *est.CMCRequest, p *cmcReply) {
			if p.info.FailInfo != nil && *p.info.FailInfo == cmc.FailBadCertID {
				p.info, p.status = &cmc.StatusInfo{Status: cmc.StatusSuccess, Bodies: []cmc.BodyPartPath{{0}}}, http.StatusOK
			}
		})),
		breaks("RFC5272-6-8", "refuses confirmations", bends(func(_ *backend, _ *est.CMCRequest, p *cmcReply) {
			if has[*cmc.ConfirmCertAcceptance](p) {
				p.refuse(cmcError(cmc.FailBadRequest))
			}
		})),
		breaks("RFC5272-6-9", "has reasons of its own", bends(func(_ *backend, _ *est.CMCRequest, p *cmcReply) {
			if p.info.FailInfo != nil && *p.info.FailInfo == cmc.FailBadMessageCheck {
				p.info.FailInfo, p.info.Extended = nil, &cmc.ExtendedFailure{Type: asn1.ObjectIdentifier{1, 3, 6, 1, 4, 1, 32473, 9}, Value: []byte{5, 0}}
			}
		}), "RFC5272-3.2-4", "RFC5272-3.2-5"),
		breaks("RFC5272-6.11-1", "forgets what is revoked", func(h *house) {
			bends(func(b *backend, _ *est.CMCRequest, _ *cmcReply) { b.mu.Lock(); clear(b.revoked); b.mu.Unlock() })(h)
		}),
	}
}

// linkedCMC reports whether the message's CSR has a link.
func linkedCMC(p *cmcReply) bool {
	return p.data != nil && len(p.data.Requests) > 0 && p.data.Requests[0].PKCS10 != nil && link(p.data.Requests[0].PKCS10.Raw, passwordOID) != ""
}

// hasCertificate reports whether the message brings its signer's certificate.
func hasCertificate(r *est.CMCRequest) bool { return len(r.Message) > 900 }
