package responder

import (
	"context"
	"crypto/sha256"
	"time"

	"golang.org/x/crypto/cryptobyte"
	cbasn1 "golang.org/x/crypto/cryptobyte/asn1"
)

// status of an OCSPResponse (RFC 6960, Section 4.2.1).
type status uint8

const (
	malformedRequest status = 1
	tryLater         status = 3
	unauthorized     status = 6
)

// failure is an OCSPResponse without an answer; it is not signed (RFC 6960, Section 2.3).
func failure(s status) []byte { return []byte{0x30, 3, 0x0a, 1, byte(s)} }

// answer is a signed OCSPResponse.
type answer struct {
	der        []byte
	etag       string
	thisUpdate time.Time
	nextUpdate time.Time
	reusable   bool      // by others who ask the same
	until      time.Time // when it is not given out any more
	status     Status    // that it tells of, when it is about one certificate
}

// single is one certificate with its status.
type single struct {
	id     *certID
	status Status
}

// unknownLifetime is how long it counts that a certificate was never issued: it
// may be about to be.
const unknownLifetime = time.Minute

// answerTo looks at the record and returns an answer: one that is already
// signed if it says the same, or a new one. Several certificates have to be of
// one authority, because each has a responder of its own.
func (r *Responder) answerTo(ctx context.Context, q *question) (*answer, error) {
	w := r.world.Load()
	authority := w.issuers[q.ids[0].issuer]
	if authority == nil {
		return nil, errUnauthorized
	}
	now := r.config.Now() // before the record is read: no answer is younger than what it tells of
	singles := make([]single, len(q.ids))
	for i := range q.ids {
		id := &q.ids[i]
		if w.issuers[id.issuer] != authority {
			return nil, errUnauthorized
		}
		singles[i].id = id
		if id.serial == nil {
			continue
		}
		var err error
		if singles[i].status, err = r.config.Records.Status(ctx, authority.Name, id.serial); err != nil {
			return nil, err
		}
	}
	reusable := len(singles) == 1 && q.nonce == nil
	if reusable {
		if a := r.answers.find(singles[0].id.raw, singles[0].status, now); a != nil {
			return a, nil
		}
	}
	a, err := r.sign(ctx, authority, singles, q.nonce, now)
	if err != nil {
		return nil, err
	}
	if a.reusable = reusable; reusable && a.status.Issued {
		r.answers.keep(singles[0].id.raw, a)
	}
	return a, nil
}

// sign makes a new answer.
func (r *Responder) sign(ctx context.Context, authority *Authority, singles []single, nonce []byte, now time.Time) (*answer, error) {
	leave, err := r.enter(ctx)
	if err != nil {
		return nil, err
	}
	defer leave()
	id, err := r.identity(ctx, authority, now)
	if err != nil {
		return nil, err
	}
	lifetime := r.config.Lifetime
	for _, s := range singles {
		if !s.status.Issued {
			lifetime = min(lifetime, unknownLifetime)
		}
	}
	a := &answer{thisUpdate: now.UTC().Truncate(time.Second), status: singles[0].status}
	a.nextUpdate = a.thisUpdate.Add(lifetime)
	if a.nextUpdate.After(id.certificate.NotAfter) {
		a.nextUpdate = id.certificate.NotAfter
	}
	a.until = a.thisUpdate.Add(a.nextUpdate.Sub(a.thisUpdate) / 2)
	tbs, err := responseData(id, singles, nonce, a)
	if err != nil {
		return nil, err
	}
	if a.der, err = id.response(tbs); err != nil {
		return nil, err
	}
	a.etag = etag(a.der)
	return a, nil
}

// enter takes a place among those who make an answer.
func (r *Responder) enter(ctx context.Context) (leave func(), err error) {
	leave = func() { <-r.signing }
	select {
	case r.signing <- struct{}{}:
		return leave, nil
	default:
	}
	const patience = 2 * time.Second
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	select {
	case r.signing <- struct{}{}:
		return leave, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

func etag(data []byte) string {
	sum := sha256.Sum256(data)
	const digits = "0123456789abcdef"
	out := []byte{'"'}
	for _, b := range sum[:16] {
		out = append(out, digits[b>>4], digits[b&15])
	}
	return string(append(out, '"'))
}

// responseData builds a ResponseData (RFC 6960, Section 4.2.1).
func responseData(id *identity, singles []single, nonce []byte, a *answer) ([]byte, error) {
	b := cryptobyte.NewBuilder(make([]byte, 0, 512))
	b.AddASN1(cbasn1.SEQUENCE, func(b *cryptobyte.Builder) {
		b.AddASN1(explicit(2), func(b *cryptobyte.Builder) { b.AddASN1OctetString(id.keyHash) }) // byKey
		b.AddASN1GeneralizedTime(a.thisUpdate)                                                   // producedAt
		b.AddASN1(cbasn1.SEQUENCE, func(b *cryptobyte.Builder) {
			for i := range singles {
				b.AddASN1(cbasn1.SEQUENCE, func(b *cryptobyte.Builder) { singles[i].appendTo(b, a) })
			}
		})
		if nonce == nil {
			return
		}
		b.AddASN1(explicit(1), func(b *cryptobyte.Builder) {
			b.AddASN1(cbasn1.SEQUENCE, func(b *cryptobyte.Builder) {
				b.AddASN1(cbasn1.SEQUENCE, func(b *cryptobyte.Builder) {
					b.AddASN1(cbasn1.OBJECT_IDENTIFIER, func(b *cryptobyte.Builder) { b.AddBytes([]byte(oidNonce)) })
					b.AddASN1OctetString(nonce)
				})
			})
		})
	})
	return b.Bytes()
}

// appendTo writes the fields of a SingleResponse. One that was never issued is
// unknown, not good (RFC 6960, Section 2.2): certificates of the CA that were made
// before there was a record are not called revoked.
func (s *single) appendTo(b *cryptobyte.Builder, a *answer) {
	b.AddBytes(s.id.raw)
	switch {
	case !s.status.Issued:
		b.AddBytes([]byte{0x82, 0})
	case !s.status.Revoked:
		b.AddBytes([]byte{0x80, 0})
	default:
		b.AddASN1(explicit(1), func(b *cryptobyte.Builder) {
			b.AddASN1GeneralizedTime(s.status.At.UTC().Truncate(time.Second))
			if s.status.Reason != 0 { // unspecified is left out (RFC 5280, Section 5.3.1)
				b.AddASN1(explicit(0), func(b *cryptobyte.Builder) { b.AddBytes([]byte{0x0a, 1, byte(s.status.Reason)}) })
			}
		})
	}
	b.AddASN1GeneralizedTime(a.thisUpdate)
	b.AddASN1(explicit(0), func(b *cryptobyte.Builder) { b.AddASN1GeneralizedTime(a.nextUpdate) })
}
