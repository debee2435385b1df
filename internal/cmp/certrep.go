package cmp

import (
	"golang.org/x/crypto/cryptobyte"
	cryptobyte_asn1 "golang.org/x/crypto/cryptobyte/asn1"
)

// CertRep is CertRepMessage, the body of ip and cp (RFC 4210, Section 5.3.4).
type CertRep struct {
	// CAPubs are certificates that the sender would have trusted, unparsed. Nothing makes them trustworthy.
	CAPubs    [][]byte
	Responses []CertResponse
}

// CertResponse answers one request.
type CertResponse struct {
	RequestID  int64 // certReqId; -1 where the request had none (RFC 9480, Section 2.9)
	StatusInfo StatusInfo
	// Certificate is what was issued, unparsed; nil when none came.
	Certificate []byte
	// Other tells that there is something that is not read here: an encrypted certificate, a private key or publication info.
	Other bool
}

// CertRep reads the body of an ip or cp. Errors: ErrKind, ErrSyntax, ErrTooLarge.
func (m *Message) CertRep() (*CertRep, error) {
	if err := m.expect(IP, CP); err != nil {
		return nil, err
	}
	rep := &CertRep{}
	return rep, read(m.Body, "CertRepMessage", func(r *reader) {
		inner := r.sequence("CertRepMessage")
		inner.explicit(1, "caPubs", func(r *reader) { rep.CAPubs = r.certificates("caPubs") })
		list := inner.sequence("response")
		for list.more() {
			if len(rep.Responses) == MaxResponses {
				list.broken(ErrTooLarge, "response")
				return
			}
			rep.Responses = append(rep.Responses, readCertResponse(list.sequence("CertResponse")))
		}
		inner.end("CertRepMessage")
	})
}

func readCertResponse(r *reader) CertResponse {
	c := CertResponse{RequestID: r.integer("certReqId"), StatusInfo: readStatusInfo(r)}
	if r.is(cryptobyte_asn1.SEQUENCE) {
		pair := r.sequence("CertifiedKeyPair")
		if pair.is(contextTag(0)) {
			pair.explicit(0, "certificate", func(r *reader) { c.Certificate = r.element(cryptobyte_asn1.SEQUENCE, "certificate") })
		} else {
			pair.explicit(1, "encryptedCert", func(r *reader) { r.anything("encryptedCert"); c.Other = true })
		}
		for n := range uint8(2) {
			pair.explicit(n, "CertifiedKeyPair", func(r *reader) { r.anything("CertifiedKeyPair"); c.Other = true })
		}
		pair.end("CertifiedKeyPair")
	}
	if r.more() {
		r.element(cryptobyte_asn1.OCTET_STRING, "rspInfo")
	}
	r.end("CertResponse")
	return c
}

// NewCertRep is the body of an ip or cp. Other is not written.
func NewCertRep(kind Kind, rep *CertRep) Body {
	return listBody(kind, func(b *cryptobyte.Builder) {
		if len(rep.CAPubs) > 0 {
			b.AddASN1(contextTag(1), func(b *cryptobyte.Builder) { addCertificates(b, rep.CAPubs) })
		}
		b.AddASN1(cryptobyte_asn1.SEQUENCE, func(b *cryptobyte.Builder) {
			for _, c := range rep.Responses {
				b.AddASN1(cryptobyte_asn1.SEQUENCE, c.add)
			}
		})
	})
}

func (c *CertResponse) add(b *cryptobyte.Builder) {
	b.AddASN1Int64(c.RequestID)
	c.StatusInfo.add(b)
	if c.Certificate != nil {
		b.AddASN1(cryptobyte_asn1.SEQUENCE, func(b *cryptobyte.Builder) {
			b.AddASN1(contextTag(0), func(b *cryptobyte.Builder) { addElement(b, c.Certificate, "certificate") })
		})
	}
}
