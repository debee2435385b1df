package cmc

import (
	"errors"
	"fmt"

	"golang.org/x/crypto/cryptobyte"
	cryptobyte_asn1 "golang.org/x/crypto/cryptobyte/asn1"
)

// Marshal returns the PKIData in DER. Requests and messages that were parsed are written as they were received. Errors: ErrBuild,
// ErrBodyPartID.
func (d *PKIData) Marshal() ([]byte, error) {
	ids := partIDs(d.Controls, d.Messages, d.Others)
	for i := range d.Requests {
		ids = append(ids, d.Requests[i].ID)
	}
	requests, err := d.MarshalRequests()
	if err != nil {
		return nil, err
	}
	return marshalMessage(ids, d.Controls, requests, d.Messages, d.Others)
}

// MarshalRequests returns the reqSequence in DER, tag and length included: what identity proofs are computed over before
// the message is complete. Errors: ErrBuild.
func (d *PKIData) MarshalRequests() ([]byte, error) {
	var failed error
	der, err := encodeSequence(func(b *cryptobyte.Builder) {
		for i := range d.Requests {
			raw, err := d.Requests[i].marshal()
			failed = errors.Join(failed, err)
			b.AddBytes(raw)
		}
	})
	if failed != nil {
		return nil, failed
	}
	return der, err
}

// Marshal returns the PKIResponse in DER. Errors: ErrBuild, ErrBodyPartID.
func (r *PKIResponse) Marshal() ([]byte, error) {
	return marshalMessage(partIDs(r.Controls, r.Messages, r.Others), r.Controls, nil, r.Messages, r.Others)
}

func partIDs(controls []Control, messages []Message, others []OtherMessage) []BodyPartID {
	var ids []BodyPartID
	for i := range controls {
		ids = append(ids, controls[i].ID)
	}
	for i := range messages {
		ids = append(ids, messages[i].ID)
	}
	for i := range others {
		ids = append(ids, others[i].ID)
	}
	return ids
}

// marshalMessage writes a PKIData, or a PKIResponse when requests is nil. It holds us to what ParsePKIData asks of others.
func marshalMessage(ids []BodyPartID, controls []Control, requests []byte, messages []Message, others []OtherMessage) ([]byte, error) {
	seen := make(map[BodyPartID]bool)
	for _, id := range ids {
		if id == 0 || seen[id] {
			return nil, fmt.Errorf("%w: %d", ErrBodyPartID, id)
		}
		seen[id] = true
	}
	if len(ids) > MaxBodyParts {
		return nil, fmt.Errorf("%w: %d parts, the limit is %d", ErrBuild, len(ids), MaxBodyParts)
	}
	var failed error
	der, err := encodeSequence(func(b *cryptobyte.Builder) {
		b.AddASN1(cryptobyte_asn1.SEQUENCE, func(b *cryptobyte.Builder) {
			for i := range controls {
				failed = errors.Join(failed, addControl(b, &controls[i]))
			}
		})
		b.AddBytes(requests)
		b.AddASN1(cryptobyte_asn1.SEQUENCE, func(b *cryptobyte.Builder) {
			for _, m := range messages {
				b.AddASN1(cryptobyte_asn1.SEQUENCE, func(b *cryptobyte.Builder) {
					b.AddASN1Uint64(uint64(m.ID))
					addDER(b, m.ContentInfo, "CMS message")
				})
			}
		})
		b.AddASN1(cryptobyte_asn1.SEQUENCE, func(b *cryptobyte.Builder) {
			for _, m := range others {
				b.AddASN1(cryptobyte_asn1.SEQUENCE, func(b *cryptobyte.Builder) {
					b.AddASN1Uint64(uint64(m.ID))
					b.AddASN1ObjectIdentifier(m.Type)
					addDER(b, m.Value, "other message")
				})
			}
		})
	})
	if failed != nil {
		return nil, failed
	}
	return der, err
}

func addControl(b *cryptobyte.Builder, c *Control) error {
	if c.Value == nil {
		return fmt.Errorf("%w: control %d has no value", ErrBuild, c.ID)
	}
	value, err := c.Value.value()
	if err != nil {
		return fmt.Errorf("control %d: %w", c.ID, err)
	}
	b.AddASN1(cryptobyte_asn1.SEQUENCE, func(b *cryptobyte.Builder) {
		b.AddASN1Uint64(uint64(c.ID))
		b.AddASN1ObjectIdentifier(c.Value.OID())
		b.AddASN1(cryptobyte_asn1.SET, func(b *cryptobyte.Builder) { b.AddBytes(value) })
	})
	return nil
}
