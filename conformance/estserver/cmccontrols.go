package estserver

import (
	"context"
	"crypto"
	_ "crypto/sha256" // for proofs
	"crypto/x509/pkix"
	"fmt"
	"math/big"
	"strings"

	"github.com/briskest/briskest/conformance"
	"github.com/briskest/briskest/internal/cmc"
)

func cmcControls() []check {
	return []check{
		{
			ID: "RFC5272-6-1", Level: must, Text: "the status is reported with CMCStatusInfoV2",
			Requirements: rows("EST-5272-6.1-01", "EST-5274-4.2-01"), Run: good(func(a *cmcAnswer) error {
				if err := a.full(); err != nil {
					return err
				}
				if info := a.status(); info == nil || info.Old {
					return fmt.Errorf("%v without CMCStatusInfoV2", a.Answer)
				}
				return nil
			}, nil),
		},
		{
			ID: "RFC5272-6-2", Level: must, Text: "data to be returned comes back unchanged",
			Requirements: rows("EST-5272-6.4-01", "EST-5274-4.2-01"), Run: good(func(a *cmcAnswer) error {
				if err := a.full(); err != nil {
					return err
				}
				if back, _, _ := cmc.Find[cmc.DataReturn](a.response.Data.Controls); string(back) != opaque {
					return fmt.Errorf("%v with the data %q, want %q", a.Answer, back, opaque)
				}
				return nil
			}, func(m *cmcMessage) error { m.add(cmc.DataReturn(opaque)); return nil }),
		},
		{
			ID: "RFC5272-6-3", Level: must, Text: "a proof of identity that is wrong fails with badIdentity",
			Requirements: rows("EST-5272-6.2-01", "EST-5272-6.2.1-01"), Run: bad("a wrong proof of identity", func(m *cmcMessage) error {
				proof, err := cmc.NewIdentityProofV2(crypto.SHA256, []byte{0x30, 0}, &cmc.Secret{Value: []byte("a secret that nobody knows")})
				if err != nil {
					return err
				}
				m.add(cmc.Identification("briskest-nobody"))
				m.add(proof)
				return nil
			}, cmc.FailBadIdentity),
		},
		{
			ID: "RFC5272-6-4", Level: must, Text: "a certificate that asks for another subject is refused",
			Requirements: rows("EST-5272-6.3.3-01", "EST-5272-8-01"), Run: bad("a request for another subject", func(m *cmcMessage) error {
				subject, err := nameOf(pkix.Name{CommonName: somebodyElse})
				m.csr.subject = subject
				return err
			}),
		},
		{
			ID: "RFC5272-6-5", Level: must, Text: "an ordinary client cannot vouch for the possession of a key",
			Requirements: rows("EST-5272-6.8-01", "EST-5272-8-01"), Run: bad("a CSR with a wrong signature and a word of RA POP Witness", func(m *cmcMessage) error {
				m.csr.badSignature = true
				m.add(&cmc.LRAPOPWitness{Requests: []cmc.BodyPartID{bodyRequest}})
				return nil
			}),
		},
		{
			ID: "RFC5272-6-6", Level: must, Text: "a question about a request that does not wait is refused",
			Requirements: rows("EST-5272-6.13-01"), Run: bad("an unknown token", func(m *cmcMessage) error {
				m.csr = nil
				m.add(cmc.QueryPending("no such token"))
				return nil
			}, cmc.FailBadRequest, cmc.FailBadCertID),
		},
		{
			ID: "RFC5272-6-7", Level: must, Text: "a request to revoke somebody else's certificate is refused",
			Requirements: rows("EST-5272-6.11-01"), Run: bad("a request to revoke another certificate", func(m *cmcMessage) error {
				m.csr = nil
				other := new(big.Int).Add(m.id.certificate.SerialNumber, big.NewInt(1))
				m.add(&cmc.RevokeRequest{RawIssuer: m.id.certificate.RawIssuer, SerialNumber: other, Reason: 1})
				return nil
			}),
		},
		{
			ID: "RFC5272-6-8", Level: must, Text: "the confirmation that a certificate is accepted is answered with a Full PKI Response",
			Requirements: rows("EST-5272-6.14-01", "EST-5274-4.2-01"), Run: func(ctx context.Context, t *Target) error {
				a, err := t.cmc(ctx, func(m *cmcMessage) error {
					m.csr = nil
					m.add(&cmc.ConfirmCertAcceptance{RawIssuer: m.id.certificate.RawIssuer, SerialNumber: m.id.certificate.SerialNumber})
					return nil
				})
				if err != nil {
					return err
				}
				if info := a.status(); !a.OK() || info == nil || info.Status != cmc.StatusSuccess {
					return fmt.Errorf("%v to a confirmation, want a Full PKI Response that says success", a.Answer)
				}
				return nil
			},
		},
		{
			ID: "RFC5272-6-9", Level: should, Text: "a failure is told by failInfo, and not by a reason of the server's own where one exists",
			Requirements: rows("EST-5274-4-03"), Run: func(ctx context.Context, t *Target) error {
				a, err := t.cmc(ctx, tampered)
				if err != nil {
					return err
				}
				info := a.status()
				if info == nil {
					return conformance.Skip("%v without a status (see RFC7030-4.3.2-4)", a.Answer)
				}
				if info.Extended != nil {
					return fmt.Errorf("%v with extendedFailInfo for a signature that is wrong", a.Answer)
				}
				return nil
			},
		},
	}
}

// revocations come last: afterwards the server may have nothing more to do
// with the client.
func revocations() []check {
	return in("RFC 5272, Section 6.11", check{
		ID: "RFC5272-6.11-1", Level: must, Text: "a certificate revokes itself, and is of no use afterwards",
		Requirements: rows("EST-5272-6.11-01", "EST-7030-4.2.2-07", "EST-9325-7.5-01", "EST-7030-3.3.2-07"), Run: runRevoke,
	})
}

const opaque = "the client's own state"

// runRevoke revokes a certificate of its own, and then tries to use it.
func runRevoke(ctx context.Context, t *Target) error {
	first, err := t.enrolled(ctx)
	if err != nil {
		return err
	}
	a, err := t.reenroll(ctx, first, first.key, first.renewal())
	if err != nil {
		return err
	}
	id, err := issued(ctx, a, first.key)
	if err != nil {
		return conformance.Skip("%v (see RFC7030-4.2.2-2)", err)
	}
	id.chain = first.chain
	answer, err := t.cmcAs(ctx, id, with(id), func(m *cmcMessage) error {
		m.csr = nil
		m.add(&cmc.RevokeRequest{RawIssuer: id.certificate.RawIssuer, SerialNumber: id.certificate.SerialNumber, Reason: 4})
		return nil
	})
	if err != nil {
		return err
	}
	if !answer.OK() {
		return fmt.Errorf("%v to a certificate's request to be revoked itself", answer.Answer)
	}
	if a, err = t.reenroll(ctx, id, id.key, id.renewal()); err != nil {
		if ctx.Err() != nil || !strings.Contains(err.Error(), "handshake") && !strings.Contains(err.Error(), "tls:") {
			return err
		}
		return nil // refused with an alert
	}
	return refused(ctx, a, "the holder of a certificate that was revoked")
}
