package responder

import (
	"bytes"
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"time"

	"golang.org/x/crypto/cryptobyte"
	cbasn1 "golang.org/x/crypto/cryptobyte/asn1"
)

// identity is a responder that an authority has delegated to
// (RFC 6960, Section 4.2.2.2). Its key is made here and never leaves the process.
type identity struct {
	key         *ecdsa.PrivateKey
	certificate *x509.Certificate
	issuer      []byte // DER of the authority's key
	keyHash     []byte // SHA-1 of the key, the ResponderID
	renewAt     time.Time
	asked       chan struct{} // closed when the authority has answered
	err         error         // what it answered; read once asked is closed
	tryAt       time.Time     // when to ask again after err
}

// identity returns the responder of the authority. It is made when first asked
// for, and anew when two thirds of its certificate's life are over; whoever asks
// meanwhile gets the old one, while that is good.
func (r *Responder) identity(ctx context.Context, a *Authority, now time.Time) (*identity, error) {
	r.mu.Lock()
	current := r.identities[a.Name]
	switch {
	case current != nil && !current.done():
	case current != nil && current.err == nil && now.Before(current.renewAt) && bytes.Equal(current.issuer, a.Certificate.RawSubjectPublicKeyInfo):
	case current != nil && current.err != nil && now.Before(current.tryAt):
	default:
		current = r.renew(ctx, a, current, now)
	}
	r.mu.Unlock()
	select {
	case <-current.asked:
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	return current, current.err
}

func (i *identity) done() bool {
	select {
	case <-i.asked:
		return true
	default:
		return false
	}
}

// renew has a new identity made; r.mu is held. The old one, when it is still good,
// answers until the new one is there.
func (r *Responder) renew(ctx context.Context, a *Authority, old *identity, now time.Time) *identity {
	next := &identity{asked: make(chan struct{})}
	usable := old != nil && old.err == nil && now.Before(old.certificate.NotAfter) && bytes.Equal(old.issuer, a.Certificate.RawSubjectPublicKeyInfo)
	work := func() {
		next.err = next.fill(context.WithoutCancel(ctx), r.config.Records, a, now)
		r.mu.Lock()
		defer r.mu.Unlock()
		if next.err != nil {
			r.config.Log.ErrorContext(ctx, "OCSP responder not certified", slog.String("authority", a.Name), slog.String("error", next.err.Error()))
			next.tryAt = now.Add(retry)
		}
		if next.err == nil || !usable {
			r.identities[a.Name] = next
		} else {
			old.renewAt = now.Add(retry)
		}
		close(next.asked)
	}
	if usable {
		old.renewAt = now.Add(retry) // nobody else begins meanwhile
		r.tasks.Go(work)
		return old
	}
	r.identities[a.Name] = next
	r.tasks.Go(work)
	return next
}

// retry is how long an authority that did not certify its responder is left alone.
const retry = 10 * time.Second

// fill makes the key and has it certified.
func (i *identity) fill(ctx context.Context, records Records, a *Authority, now time.Time) error {
	var err error
	if i.key, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader); err != nil {
		return err
	}
	der, err := records.Certify(ctx, a.Name, i.key.Public())
	if err != nil {
		return fmt.Errorf("certify the OCSP responder of %q: %w", a.Certificate.Subject, err)
	}
	if i.certificate, err = x509.ParseCertificate(der); err != nil {
		return err
	}
	if err := i.check(a, now); err != nil {
		return fmt.Errorf("the certificate of the OCSP responder of %q: %w", a.Certificate.Subject, err)
	}
	bits, err := keyBits(i.certificate.RawSubjectPublicKeyInfo)
	if err != nil {
		return err
	}
	i.keyHash = digest(crypto.SHA1, bits)
	i.issuer = a.Certificate.RawSubjectPublicKeyInfo
	i.renewAt = now.Add(i.certificate.NotAfter.Sub(now) * 2 / 3)
	return nil
}

// check tells whether clients will take the certificate (RFC 6960, Section 4.2.2.2).
func (i *identity) check(a *Authority, now time.Time) error {
	switch c := i.certificate; {
	case !i.key.PublicKey.Equal(c.PublicKey):
		return errors.New("it is of another key")
	case !slices.Contains(c.ExtKeyUsage, x509.ExtKeyUsageOCSPSigning):
		return errors.New("its extended key usage lacks OCSPSigning")
	case now.Before(c.NotBefore) || !now.Before(c.NotAfter):
		return fmt.Errorf("it is valid from %s to %s", c.NotBefore.Format(time.RFC3339), c.NotAfter.Format(time.RFC3339))
	default:
		return c.CheckSignatureFrom(a.Certificate)
	}
}

// response signs the data and puts the OCSPResponse together (RFC 6960, Section 4.2.1).
func (i *identity) response(tbs []byte) ([]byte, error) {
	hash := sha256.Sum256(tbs)
	signature, err := ecdsa.SignASN1(rand.Reader, i.key, hash[:])
	if err != nil {
		return nil, err
	}
	var basic cryptobyte.Builder
	basic.AddASN1(cbasn1.SEQUENCE, func(b *cryptobyte.Builder) {
		b.AddBytes(tbs)
		// ecdsa-with-SHA256 (RFC 5758, Section 3.2).
		b.AddBytes([]byte{0x30, 10, 6, 8, 0x2a, 0x86, 0x48, 0xce, 0x3d, 4, 3, 2})
		b.AddASN1BitString(signature)
		b.AddASN1(explicit(0), func(b *cryptobyte.Builder) {
			b.AddASN1(cbasn1.SEQUENCE, func(b *cryptobyte.Builder) { b.AddBytes(i.certificate.Raw) })
		})
	})
	der, err := basic.Bytes()
	if err != nil {
		return nil, err
	}
	var b cryptobyte.Builder
	b.AddASN1(cbasn1.SEQUENCE, func(b *cryptobyte.Builder) {
		b.AddBytes([]byte{0x0a, 1, 0}) // successful
		b.AddASN1(explicit(0), func(b *cryptobyte.Builder) {
			b.AddASN1(cbasn1.SEQUENCE, func(b *cryptobyte.Builder) {
				b.AddBytes([]byte{6, 9, 0x2b, 6, 1, 5, 5, 7, 0x30, 1, 1}) // id-pkix-ocsp-basic
				b.AddASN1OctetString(der)
			})
		})
	})
	return b.Bytes()
}
