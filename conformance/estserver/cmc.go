package estserver

import (
	"bytes"
	"context"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"fmt"
	"slices"

	"github.com/briskest/briskest/conformance"
	"github.com/briskest/briskest/internal/cmc"
	"github.com/briskest/briskest/internal/cms"
)

// fullCMC: Full PKI Requests (RFC 7030, Section 4.3). It is optional: where it
// is not offered, its checks are skipped.
func fullCMC() []check {
	return slices.Concat(
		in("RFC 7030, Section 4.3.1", cmcBodies()...),
		in("RFC 7030, Section 4.3.2", cmcAnswers()...),
		in("RFC 5272, Section 3.2", cmcRequests()...),
		in("RFC 5272, Section 6", cmcControls()...),
	)
}

// cmcGarbage is a check that a body is refused.
func cmcGarbage(what string, make func(t *Target, id *identity) ([]byte, error)) func(context.Context, *Target) error {
	return func(ctx context.Context, t *Target) error {
		id, err := t.enrolled(ctx)
		if err != nil {
			return err
		}
		message, err := make(t, id)
		if err != nil {
			return err
		}
		a, err := t.fullcmc(ctx, with(id), typeCMCRequest, message)
		if err != nil {
			return err
		}
		return refused(ctx, a, what)
	}
}

func cmcBodies() []check {
	typed := func(contentType string) func(context.Context, *Target) error {
		return func(ctx context.Context, t *Target) error { return t.cmcTyped(ctx, contentType, true) }
	}
	return []check{
		{
			ID: "RFC7030-4.3.1-1", Level: must, Text: "a bare CSR is refused by fullcmc",
			Requirements: rows("EST-7030-4.3.1-01"), Run: cmcGarbage("a bare CSR", func(t *Target, id *identity) ([]byte, error) {
				return newCSR(id.key, id.renewal())
			}),
		},
		{
			ID: "RFC7030-4.3.1-2", Level: must, Text: "a certs-only message is refused by fullcmc",
			Requirements: rows("EST-7030-4.3.1-01"), Run: cmcGarbage("a certs-only message", func(_ *Target, id *identity) ([]byte, error) {
				return cms.CertsOnly(id.certificate.Raw)
			}),
		},
		{
			ID: "RFC7030-4.3.1-3", Level: must, Text: "bytes that are no message are refused by fullcmc",
			Requirements: rows("EST-7030-4.3.1-01"), Run: cmcGarbage("bytes that are no message", func(*Target, *identity) ([]byte, error) {
				return []byte("this is no message"), nil
			}),
		},
		{
			ID: "RFC7030-4.3.1-4", Level: must, Text: "smime-type=CMC-request is taken in any case, and quoted",
			Requirements: rows("EST-7030-4.3.1-02", "EST-9110-8.3.1-01"), Run: func(ctx context.Context, t *Target) error {
				for _, contentType := range []string{typeCMCRequest, `APPLICATION/PKCS7-MIME; SMIME-TYPE="cmc-request"`} {
					if err := typed(contentType)(ctx, t); err != nil {
						return err
					}
				}
				return nil
			},
		},
		{
			ID: "RFC7030-4.3.1-5", Level: must, Text: "another smime-type than CMC-request is refused",
			Requirements: rows("EST-7030-4.3.1-02"), Run: func(ctx context.Context, t *Target) error {
				return t.cmcTyped(ctx, "application/pkcs7-mime; smime-type=certs-only", false)
			},
		},
	}
}

// cmcTyped sends a good message with that Content-Type.
func (t *Target) cmcTyped(ctx context.Context, contentType string, take bool) error {
	id, err := t.enrolled(ctx)
	if err != nil {
		return err
	}
	m, err := newCMC(id)
	if err != nil {
		return err
	}
	message, err := m.bytes()
	if err != nil {
		return err
	}
	a, err := t.fullcmc(ctx, with(id), contentType, message)
	if err != nil {
		return err
	}
	answer := &cmcAnswer{Answer: a, request: m}
	answer.read(ctx)
	switch {
	case take && answer.certificate() == nil:
		return fmt.Errorf("%v to a message of Content-Type %q, want a certificate", a, contentType)
	case !take && !a.Refused():
		return fmt.Errorf("%v to a message of Content-Type %q, want a 4xx", a, contentType)
	}
	return nil
}

// good is a check of the answer to a renewal.
func good(judge func(*cmcAnswer) error, build func(*cmcMessage) error) func(context.Context, *Target) error {
	return func(ctx context.Context, t *Target) error {
		a, err := t.cmc(ctx, build)
		if err != nil {
			return err
		}
		if !a.OK() {
			return conformance.Skip("%v to a renewal (see RFC5272-3.2-1)", a.Answer)
		}
		return judge(a)
	}
}

// bad is a check that a message is refused with one of these failInfos.
func bad(what string, build func(*cmcMessage) error, want ...cmc.FailInfo) func(context.Context, *Target) error {
	return func(ctx context.Context, t *Target) error {
		a, err := t.cmc(ctx, nil)
		if err != nil {
			return err
		}
		if !a.OK() {
			return conformance.Skip("%v to a renewal that is right (see RFC5272-3.2-1)", a.Answer)
		}
		if a, err = t.cmc(ctx, build); err != nil {
			return err
		}
		return a.failed(what, want...)
	}
}

// tampered has a wrong signature.
func tampered(m *cmcMessage) error {
	m.signed = func(b []byte) []byte { b[len(b)-1] ^= 1; return b }
	return nil
}

func cmcAnswers() []check {
	return []check{
		{
			ID: "RFC7030-4.3.2-1", Level: must, Text: "success of fullcmc is 200 with application/pkcs7-mime",
			Requirements: rows("EST-7030-4.3.2-01", "EST-5273-5-01"), Run: good(func(a *cmcAnswer) error {
				if a.Status != 200 || a.MediaType() != typePKCS7 {
					return fmt.Errorf("%v with Content-Type %q", a.Answer, a.Header.Get("Content-Type"))
				}
				return nil
			}, nil),
		},
		{
			ID: "RFC7030-4.3.2-2", Level: must, Text: "the answer of fullcmc is labelled as what it is: certs-only or CMC-response",
			Requirements: rows("EST-7030-4.3.2-02", "EST-5273-5-02", "EST-5274-4-01"), Run: good(func(a *cmcAnswer) error {
				if a.response == nil {
					return fmt.Errorf("%v, and its body: %w", a.Answer, a.err)
				}
				want := "cmc-response"
				if a.response.Simple {
					want = "certs-only"
				}
				if got := a.Parameter("smime-type"); a.MediaType() == typePKCS7 && got != want {
					return fmt.Errorf("%v with smime-type=%s, want %s", a.Answer, got, want)
				}
				return nil
			}, nil),
		},
		{
			ID: "RFC7030-4.3.2-3", Level: must, Text: "a refusal of fullcmc has a status of 4xx or 5xx",
			Requirements: rows("EST-7030-4.3.2-03"), Run: func(ctx context.Context, t *Target) error {
				a, err := t.cmc(ctx, tampered)
				if err != nil {
					return err
				}
				if info := a.status(); a.OK() && info != nil && info.Status == cmc.StatusFailed {
					return fmt.Errorf("%v, and the message says failed", a.Answer)
				}
				return nil
			},
		},
		{
			ID: "RFC7030-4.3.2-4", Level: must, Text: "a CMC error comes with a Full PKI Response in application/pkcs7-mime",
			Requirements: rows("EST-7030-4.3.2-04", "EST-5272-3.2-02", "EST-7030-4.2.3-06"), Run: func(ctx context.Context, t *Target) error {
				a, err := t.cmc(ctx, tampered)
				if err != nil {
					return err
				}
				if a.MediaType() != typePKCS7 || a.status() == nil {
					return fmt.Errorf("%v with Content-Type %q and no status to read (%v)", a.Answer, a.Header.Get("Content-Type"), a.err)
				}
				return nil
			},
		},
		{
			ID: "RFC7030-4.3.2-5", Level: must, Text: "a CSR inside fullcmc that is linked to another connection fails with popFailed",
			Requirements: rows("EST-7030-3.5-11"), Run: bad("a CSR with a link to another connection", func(m *cmcMessage) error {
				m.csr.attributes = append(m.csr.attributes, password(tagPrintable, "QUJDREVGR0hJSktM"))
				return nil
			}, cmc.FailPOPFailed),
		},
	}
}

func cmcRequests() []check {
	return []check{
		{
			ID: "RFC5272-3.2-1", Level: must, Text: "a certificate renews itself by the message that it signs",
			Requirements: rows("EST-5272-3.2-01", "EST-5274-4-02", "EST-5652-5.4-01"), Run: func(ctx context.Context, t *Target) error {
				a, err := t.cmc(ctx, nil)
				if err != nil {
					return err
				}
				if a.certificate() == nil {
					return fmt.Errorf("%v to a renewal, want a certificate for its key (%v)", a.Answer, a.err)
				}
				return nil
			},
		},
		{
			ID: "RFC5272-3.2-2", Level: must, Text: "controls that want an answer get a Full PKI Response, with the transaction and the nonce",
			Requirements: rows("EST-5272-3.2-03", "EST-5272-6.6-01"), Run: good(runEchoes, nil),
		},
		{
			ID: "RFC5272-3.2-3", Level: must, Text: "a message that is signed with the key that is being certified is taken",
			Requirements: rows("EST-5272-3.2-04"), Run: runBySubjectKey,
		},
		{
			ID: "RFC5272-3.2-4", Level: must, Text: "a signature that names another subject key identifier than the CSR is refused",
			Requirements: rows("EST-5272-3.2-04"), Run: bad("a signature by another subject key identifier", func(m *cmcMessage) error {
				return m.bySubjectKey([]byte("another subject key."))
			}, cmc.FailBadMessageCheck, cmc.FailBadRequest),
		},
		{
			ID: "RFC5272-3.2-5", Level: must, Text: "a message whose signature is wrong fails with badMessageCheck",
			Requirements: rows("EST-5272-3.2.1.3.4-01"), Run: bad("a message with a wrong signature", tampered, cmc.FailBadMessageCheck),
		},
		{
			ID: "RFC5272-3.2-6", Level: must, Text: "a CSR inside whose signature is wrong is refused",
			Requirements: rows("EST-5272-3.2.1.3.4-01", "EST-5272-6.7-01"), Run: bad("a CSR with a wrong signature", func(m *cmcMessage) error {
				m.csr.badSignature = true
				return nil
			}, cmc.FailBadMessageCheck, cmc.FailPOPFailed, cmc.FailBadRequest),
		},
		{
			ID: "RFC5272-3.2-7", Level: must, Text: "a control that is not known fails the whole message with badRequest",
			Requirements: rows("EST-5272-3.2.1.1-01"), Run: bad("an unknown control", func(m *cmcMessage) error {
				m.add(&cmc.UnknownControl{Type: asn1.ObjectIdentifier{1, 3, 6, 1, 4, 1, 32473, 7}, Values: [][]byte{{5, 0}}})
				return nil
			}, cmc.FailBadRequest),
		},
		{
			ID: "RFC5272-3.2-8", Level: must, Text: "two parts with one bodyPartID fail with badRequest",
			Requirements: rows("EST-5272-3.2.2-01"), Run: bad("a bodyPartID that occurs twice", func(m *cmcMessage) error {
				m.raw = renumber(bodyNonce, bodyTransaction)
				return nil
			}, cmc.FailBadRequest),
		},
		{
			ID: "RFC5272-3.2-9", Level: must, Text: "a request of an unknown kind is not supported",
			Requirements: rows("EST-5272-3.2.1-01"), Run: runUnknownRequest,
		},
		{
			ID: "RFC5272-3.2-10", Level: must, Text: "a CRMF request is processed",
			Requirements: rows("EST-5272-3.2.1.2.2-01"), Run: runCRMF,
		},
		{
			ID: "RFC5272-3.2-11", Level: should, Text: "requests for two subjects in one message are refused to who is no registration authority",
			Requirements: rows("EST-5272-3.2.1-02"), Run: runTwoSubjects,
		},
		{
			ID: "RFC5272-3.2-12", Level: should, Text: "the answer of fullcmc has the intermediate certificates too",
			Requirements: rows("EST-5272-4.1-01"), Run: runCMCChain,
		},
	}
}

func runEchoes(a *cmcAnswer) error {
	switch {
	case a.response == nil:
		return conformance.Skip("%v, and its body: %v (see RFC7030-4.3.2-2)", a.Answer, a.err)
	case a.response.Simple:
		return fmt.Errorf("%v with a Simple PKI Response to a message with a transaction and a nonce", a.Answer)
	}
	id, _, _ := cmc.Find[*cmc.TransactionID](a.response.Data.Controls)
	nonce, _, _ := cmc.Find[cmc.RecipientNonce](a.response.Data.Controls)
	if id == nil || id.Number.Cmp(a.request.number) != 0 || !bytes.Equal(nonce, a.request.nonce) {
		return fmt.Errorf("%v without the transaction identifier %v and the nonce that were sent", a.Answer, a.request.number)
	}
	return nil
}

// runBySubjectKey is a first enrollment: the client has its password alone.
func runBySubjectKey(ctx context.Context, t *Target) error {
	id, err := t.enrolled(ctx)
	if err != nil {
		return err
	}
	a, err := t.cmcAs(ctx, id, t.self(), func(m *cmcMessage) error {
		subject, err := nameOf(t.subject())
		m.csr.subject = subject
		if err != nil {
			return err
		}
		return m.bySubjectKey(nil)
	})
	if err != nil {
		return err
	}
	if a.certificate() == nil {
		return fmt.Errorf("%v to a message that the key to be certified signed, want a certificate", a.Answer)
	}
	return nil
}

func runUnknownRequest(ctx context.Context, t *Target) error {
	a, err := t.cmc(ctx, func(m *cmcMessage) error {
		m.csr = nil
		m.data.Requests = []cmc.Request{{ID: bodyRequest, Other: &cmc.OtherRequest{Type: asn1.ObjectIdentifier{1, 3, 6, 1, 4, 1, 32473, 8}, Value: []byte{5, 0}}}}
		return nil
	})
	if err != nil {
		return err
	}
	if a.OK() {
		return fmt.Errorf("%v to a request of an unknown kind", a.Answer)
	}
	if err := a.full(); err != nil {
		return err
	}
	if info := a.status(); info == nil || info.Status != cmc.StatusNoSupport {
		return fmt.Errorf("%v to a request of an unknown kind, want the status noSupport", a.Answer)
	}
	return nil
}

func runCRMF(ctx context.Context, t *Target) error {
	a, err := t.cmc(ctx, func(m *cmcMessage) error {
		m.csr = nil
		request, err := cmc.NewCRMF(&cmc.CRMFRequest{ID: bodyRequest, Key: m.key, Template: cmc.CertTemplate{
			RawSubject: m.id.certificate.RawSubject, Extensions: m.id.renewal().ExtraExtensions,
		}})
		m.data.Requests = []cmc.Request{request}
		return err
	})
	if err != nil {
		return err
	}
	if a.certificate() == nil {
		return fmt.Errorf("%v to a CRMF request, want a certificate", a.Answer)
	}
	return nil
}

// runTwoSubjects asks for the certificate's own name and for another: the one
// may be granted alone.
func runTwoSubjects(ctx context.Context, t *Target) error {
	a, err := t.cmc(ctx, func(m *cmcMessage) error {
		der, err := newCSR(m.key, &x509.CertificateRequest{Subject: pkix.Name{CommonName: somebodyElse}})
		if err != nil {
			return err
		}
		request, err := cmc.NewPKCS10(bodyExtra+100, der)
		m.data.Requests = append(m.data.Requests, request)
		return err
	})
	if err != nil {
		return err
	}
	if a.response == nil {
		if a.OK() {
			return conformance.Skip("%v, and its body: %v (see RFC7030-4.3.2-2)", a.Answer, a.err)
		}
		return nil
	}
	for _, c := range a.response.Certificates {
		if c.Subject.CommonName == somebodyElse {
			return fmt.Errorf("%v with a certificate for %q beside that for %q", a.Answer, c.Subject, a.request.id.certificate.Subject)
		}
	}
	return nil
}

func runCMCChain(ctx context.Context, t *Target) error {
	a, err := t.cmc(ctx, nil)
	if err != nil {
		return err
	}
	cert := a.certificate()
	if cert == nil {
		return conformance.Skip("%v without a certificate (see RFC5272-3.2-1)", a.Answer)
	}
	if issuerOf(cert, a.response.Certificates) == nil {
		return fmt.Errorf("%v without the certificate of the issuer %q", a.Answer, cert.Issuer)
	}
	return nil
}
