package cmc

import (
	"fmt"

	"golang.org/x/crypto/cryptobyte"
	cryptobyte_asn1 "golang.org/x/crypto/cryptobyte/asn1"
)

// How the controls are written. Each returns the contents of attrValues: one value, or those of an unknown control.

func (u *UnknownControl) value() ([]byte, error) {
	for _, v := range u.Values {
		if _, err := encode(func(b *cryptobyte.Builder) { addDER(b, v, "value of a control") }); err != nil {
			return nil, err
		}
	}
	return setOf(u.Values), nil
}

func octetString(value []byte) ([]byte, error) {
	return encode(func(b *cryptobyte.Builder) { b.AddASN1OctetString(value) })
}

func (c IdentityProof) value() ([]byte, error)  { return octetString(c) }
func (c DataReturn) value() ([]byte, error)     { return octetString(c) }
func (c SenderNonce) value() ([]byte, error)    { return octetString(c) }
func (c RecipientNonce) value() ([]byte, error) { return octetString(c) }
func (c RegInfo) value() ([]byte, error)        { return octetString(c) }
func (c ResponseInfo) value() ([]byte, error)   { return octetString(c) }
func (c QueryPending) value() ([]byte, error)   { return octetString(c) }
func (c POPLinkRandom) value() ([]byte, error)  { return octetString(c) }
func (c POPLinkWitness) value() ([]byte, error) { return octetString(c) }

func (c Identification) value() ([]byte, error) {
	return encode(func(b *cryptobyte.Builder) { addText(b, string(c)) })
}

func (c *TransactionID) value() ([]byte, error) {
	return encode(func(b *cryptobyte.Builder) { addInteger(b, c.Number, "transaction identifier") })
}

func (c ControlsProcessed) value() ([]byte, error) {
	return encodeSequence(func(b *cryptobyte.Builder) { addReferences(b, c) })
}

func (c BatchRequests) value() ([]byte, error) {
	return encode(func(b *cryptobyte.Builder) { addSome(b, c) })
}

func (c BatchResponses) value() ([]byte, error) {
	return encode(func(b *cryptobyte.Builder) { addSome(b, c) })
}

func (c RAIdentityWitness) value() ([]byte, error) {
	return encode(func(b *cryptobyte.Builder) { addSome(b, c) })
}

func (c ResponseBody) value() ([]byte, error) {
	return encode(func(b *cryptobyte.Builder) { addSome(b, c) })
}

func (c AuthData) value() ([]byte, error) {
	return encode(func(b *cryptobyte.Builder) { b.AddASN1Uint64(uint64(c)) })
}

func (c *LRAPOPWitness) value() ([]byte, error) {
	return encodeSequence(func(b *cryptobyte.Builder) {
		b.AddASN1Uint64(uint64(c.PKIData))
		addBodyParts(b, c.Requests)
	})
}

func (s *StatusInfo) value() ([]byte, error) {
	return encodeSequence(func(b *cryptobyte.Builder) {
		b.AddASN1Int64(int64(s.Status))
		s.addBodies(b)
		if s.Text != "" {
			addText(b, s.Text)
		}
		switch {
		case s.FailInfo != nil && s.Pending == nil && s.Extended == nil:
			b.AddASN1Int64(int64(*s.FailInfo))
		case s.Pending != nil && s.FailInfo == nil && s.Extended == nil:
			b.AddASN1(cryptobyte_asn1.SEQUENCE, func(b *cryptobyte.Builder) {
				b.AddASN1OctetString(s.Pending.Token)
				addTime(b, s.Pending.Time)
			})
		case s.Extended != nil && s.FailInfo == nil && s.Pending == nil && !s.Old:
			b.AddASN1(contextTag(1), func(b *cryptobyte.Builder) {
				b.AddASN1ObjectIdentifier(s.Extended.Type)
				addDER(b, s.Extended.Value, "failInfoValue")
			})
		case s.FailInfo != nil || s.Pending != nil || s.Extended != nil:
			b.SetError(fmt.Errorf("a status has one of failInfo, pendInfo and, in the new form, extendedFailInfo"))
		}
	})
}

func (s *StatusInfo) addBodies(b *cryptobyte.Builder) {
	if !s.Old {
		addReferences(b, s.Bodies)
		return
	}
	var ids []BodyPartID
	for _, p := range s.Bodies {
		if len(p) != 1 {
			b.SetError(fmt.Errorf("the old status info has no paths"))
			return
		}
		ids = append(ids, p[0])
	}
	addSome(b, ids)
}

func (c *AddExtensions) value() ([]byte, error) {
	return encodeSequence(func(b *cryptobyte.Builder) {
		b.AddASN1Uint64(uint64(c.PKIData))
		addBodyParts(b, c.Requests)
		b.AddASN1(cryptobyte_asn1.SEQUENCE, func(b *cryptobyte.Builder) { addExtensions(b, c.Extensions) })
	})
}

func (c *ModCertTemplate) value() ([]byte, error) {
	return encodeSequence(func(b *cryptobyte.Builder) {
		if c.Template == nil {
			b.SetError(fmt.Errorf("a modification has a template"))
			return
		}
		addSome(b, c.PKIData)
		addSome(b, c.Requests)
		if !c.Replace {
			b.AddASN1Boolean(false)
		}
		b.AddASN1(cryptobyte_asn1.SEQUENCE, func(b *cryptobyte.Builder) { addCertTemplate(b, c.Template) })
	})
}

func (c *EncryptedPOP) value() ([]byte, error) {
	request, err := c.Request.marshal()
	if err != nil {
		return nil, err
	}
	return encodeSequence(func(b *cryptobyte.Builder) {
		b.AddBytes(request)
		addDER(b, c.ContentInfo, "challenge")
		addAlgorithm(b, c.POPAlgorithm)
		addAlgorithm(b, c.WitnessAlgorithm)
		b.AddASN1OctetString(c.Witness)
	})
}

func (c *DecryptedPOP) value() ([]byte, error) {
	return encodeSequence(func(b *cryptobyte.Builder) {
		b.AddASN1Uint64(uint64(c.Request))
		addAlgorithm(b, c.POPAlgorithm)
		b.AddASN1OctetString(c.POP)
	})
}

func (c *GetCert) value() ([]byte, error) {
	return encodeSequence(func(b *cryptobyte.Builder) {
		addDER(b, c.RawIssuer, "issuer")
		addInteger(b, c.SerialNumber, "serial number")
	})
}

func (c *GetCRL) value() ([]byte, error) {
	return encodeSequence(func(b *cryptobyte.Builder) {
		addDER(b, c.RawIssuer, "issuer")
		if c.RawName != nil {
			addDER(b, c.RawName, "name of a CRL")
		}
		if !c.Time.IsZero() {
			addTime(b, c.Time)
		}
		if unused := len(c.Reasons.Bytes)*8 - c.Reasons.BitLength; c.Reasons.BitLength > 0 {
			if unused < 0 || unused > 7 {
				b.SetError(fmt.Errorf("reasons of a CRL are no bit string"))
			}
			b.AddASN1(cryptobyte_asn1.BIT_STRING, func(b *cryptobyte.Builder) {
				b.AddUint8(uint8(unused))
				b.AddBytes(c.Reasons.Bytes)
			})
		}
	})
}

func (c *RevokeRequest) value() ([]byte, error) {
	return encodeSequence(func(b *cryptobyte.Builder) {
		addDER(b, c.RawIssuer, "issuer")
		addInteger(b, c.SerialNumber, "serial number")
		b.AddASN1Enum(int64(c.Reason))
		if !c.InvalidityDate.IsZero() {
			addTime(b, c.InvalidityDate)
		}
		if c.Passphrase != nil {
			b.AddASN1OctetString(c.Passphrase)
		}
		if c.Comment != "" {
			addText(b, c.Comment)
		}
	})
}

func (c *ConfirmCertAcceptance) value() ([]byte, error) {
	return encodeSequence(func(b *cryptobyte.Builder) {
		addDER(b, c.RawIssuer, "issuer")
		addInteger(b, c.SerialNumber, "serial number")
	})
}

func (t *TrustAnchors) value() ([]byte, error) {
	return encodeSequence(func(b *cryptobyte.Builder) {
		addInteger(b, t.Sequence, "sequence number")
		addAlgorithm(b, t.Hash)
		addHashes(b, t.Hashes)
	})
}

func (c *PublishCert) value() ([]byte, error) {
	return encodeSequence(func(b *cryptobyte.Builder) {
		addAlgorithm(b, c.Hash)
		addHashes(b, c.CertHashes)
		addDER(b, c.Publication, "publication info")
	})
}

func (w *POPLinkWitnessV2) value() ([]byte, error) {
	return encodeSequence(func(b *cryptobyte.Builder) {
		addAlgorithm(b, w.KeyGeneration)
		addAlgorithm(b, w.MAC)
		b.AddASN1OctetString(w.Witness)
	})
}

func (p *IdentityProofV2) value() ([]byte, error) {
	return encodeSequence(func(b *cryptobyte.Builder) {
		addAlgorithm(b, p.Hash)
		addAlgorithm(b, p.MAC)
		b.AddASN1OctetString(p.Witness)
	})
}
