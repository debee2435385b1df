package registrar

import (
	"bytes"
	"context"
	"crypto"
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/briskest/briskest/est"
	"github.com/briskest/briskest/internal/trail"
)

// OpKeyGen is the operation of certificates whose key was made here
// (RFC 7030, Section 4.4), but for renewals.
const OpKeyGen = "serverkeygen"

// The ways of a profile with generated keys. The zero value makes none.
const (
	KeysCleartext = "cleartext" // may travel with nothing but TLS around them
	KeysEncrypted = "encrypted" // only to a key that the client names
)

// KeyEncryptionKey is a symmetric key that the registrar and some devices
// share, to encrypt generated keys with (RFC 7030, Section 4.4.1.1).
type KeyEncryptionKey struct {
	ID  []byte // what devices name it by, 1 to 128 bytes
	Key []byte // 32 bytes
	// Devices are the names, or serial numbers, of the devices that have it.
	Devices []string
	// Users are the HTTP users that have it, for whatever device they ask.
	Users []string
}

// Generation is the part of a case whose key is made here.
type Generation struct {
	Type string // of the key, as est.KeyType; once it is decided
	// Repeatable are the device's certificates whose answers may have been
	// lost: asking again replaces them.
	Repeatable []*Certificate

	request    *est.KeyRequest
	mark       string // the newest certificate that the device ever had: an approval is for the next one
	protection *est.KeyProtection
	key        crypto.Signer
}

// lostAnswer is how long after its issuing the certificate of a generated key
// is replaced when the same peer asks again: it never got the key, or it would
// not ask.
const lostAnswer = 10 * time.Minute

// GenerateKey implements est.KeyGenerator: decided as Enroll decides, and
// recorded as Enroll records. The private key is neither kept nor logged, so
// that asking again makes another one. The certificate of the one before is
// retired then, when it is not older than ten minutes and the same peer asks for
// the same names: promise 2 of the design is held in that one certificate
// remains.
func (s *Service) GenerateKey(ctx context.Context, r *est.KeyRequest) (*est.GeneratedKey, error) {
	v := s.current.Load()
	c := s.estCase(v, &r.Request)
	c.Generate = &Generation{request: r}
	raw, d := s.enroll(ctx, v, c, &r.EnrollRequest)
	if d == nil && c.Generate.key == nil {
		d = denyErr(ReasonInternal, "generate", errors.New("a certificate without a generated key"))
	}
	if d != nil {
		return nil, s.refuse(ctx, c, d)
	}
	k := &est.GeneratedKey{Key: c.Generate.key, Certificate: raw, Protection: c.Generate.protection}
	if v.Signer != nil {
		k.Signer, k.Certificates = v.Signer.Key, append([]*x509.Certificate{v.Signer.Certificate}, v.Signer.Chain...)
	}
	return k, nil
}

// mayGenerate holds the request against the profile, and chooses the kind of key.
func (c *Case) mayGenerate() *Decision {
	const rule = "serverkeygen"
	g, rules := c.Generate, c.Label.Profile.Rules()
	switch rules.ServerKeys {
	case KeysCleartext:
	case KeysEncrypted:
		if g.request.SharedKeyID == nil && g.request.CertificateKeyID == nil {
			return deny(ReasonKeyEncryption, rule)
		}
	default:
		return deny(ReasonKeyGenNotAllowed, rule)
	}
	g.Type = rules.ServerKeyType
	if slices.Contains(rules.ServerKeyWishes, string(g.request.Wish)) {
		g.Type = string(g.request.Wish)
	}
	return nil
}

// protectKey finds the key that the request names, among those that this peer
// may name, and sees that the generated key travels no weaker than it is. It is
// asked once the policy has allowed the rest, so that nobody else learns
// which identifiers there are.
func (s *Service) protectKey(ctx context.Context, v *version, c *Case) *Decision {
	const rule = "key-encryption"
	g := c.Generate
	if g == nil {
		return nil
	}
	var err error
	switch {
	case g.request.SharedKeyID != nil:
		err = g.request.UnknownKey()
		if k := v.keyEncryptionKey(c, g.request.SharedKeyID); k != nil {
			g.protection, err = g.request.ForSharedKey(k.Key)
		}
	case g.request.CertificateKeyID != nil:
		var recipient *x509.Certificate
		if recipient, err = s.recipient(ctx, v, c); err != nil {
			return storeFailed(rule, err)
		}
		err = g.request.UnknownKey()
		if recipient != nil {
			g.protection, err = g.request.ForCertificate(recipient)
		}
	}
	if err == nil && g.protection != nil && v.Signer == nil {
		return denyErr(ReasonInternal, rule, errors.New("there is no Settings.Signer to sign key packages"))
	}
	if err == nil {
		err = g.request.CheckStrength(est.KeyType(g.Type), g.protection)
	}
	if err != nil {
		return denyAs(err, ReasonInternal, rule)
	}
	return nil
}

// keyEncryptionKey returns the key of that identifier, if it is the peer's or
// the device's that the case is about.
func (v *version) keyEncryptionKey(c *Case, id []byte) *KeyEncryptionKey {
	for _, k := range v.KeyEncryptionKeys {
		if bytes.Equal(k.ID, id) && (slices.Contains(k.Devices, c.SerialNumber) ||
			c.Identity.Kind == Basic && slices.Contains(k.Users, c.Identity.User)) {
			return k
		}
	}
	return nil
}

// recipient returns the certificate of that subject key identifier: the one
// that the peer has authenticated with, or one of the device that the case is
// about; nil for none. Nobody else's is looked at.
func (s *Service) recipient(ctx context.Context, v *version, c *Case) (*x509.Certificate, error) {
	id := c.Generate.request.CertificateKeyID
	if own := c.Identity.Certificate; own != nil && bytes.Equal(own.SubjectKeyId, id) {
		return own, nil
	}
	if c.Device == nil {
		return nil, nil
	}
	held, err := s.heldBy(ctx, v, c.Device.ID, Issued)
	if err != nil {
		return nil, err
	}
	for _, row := range held {
		if !c.At.Before(row.NotAfter) {
			continue
		}
		cert, err := x509.ParseCertificate(row.Raw)
		if err == nil && bytes.Equal(cert.SubjectKeyId, id) {
			return cert, nil
		}
	}
	return nil, nil
}

// makeKey makes the key of a case that was decided. A second round of the
// decision keeps it: nobody has seen it.
func (s *Service) makeKey(ctx context.Context, c *Case) *Decision {
	const rule = "generate"
	g := c.Generate
	if g == nil || g.key != nil {
		return nil
	}
	select { // RSA keys take long
	case s.generators <- struct{}{}:
		defer func() { <-s.generators }()
	case <-ctx.Done():
		return &Decision{Reason: ReasonOverload, Rule: rule, RetryAfter: jitter(10 * time.Second), Err: context.Cause(ctx)}
	}
	key, err := est.KeyType(g.Type).New()
	if err == nil {
		err = c.Label.Profile.CheckKey(key.Public())
	}
	if err != nil {
		return denyErr(ReasonInternal, rule, fmt.Errorf("key of type %q: %w", g.Type, err))
	}
	request, err := signedRequest(key, c.Subject, &c.Names)
	if err != nil {
		return denyErr(ReasonInternal, rule, fmt.Errorf("request for a key of type %q: %w", g.Type, err))
	}
	// The policy goes on looking at what the client has sent, which is kept as Evidence.
	made := *c.CSR
	made.Raw, made.PublicKey, made.RawSubjectPublicKeyInfo = request.Raw, request.PublicKey, request.RawSubjectPublicKeyInfo
	g.key, c.CSR, c.KeyHash = key, &made, sha256.Sum256(made.RawSubjectPublicKeyInfo)
	return nil
}

// loadRepeatable finds what asking again replaces.
func (c *Case) loadRepeatable() {
	g := c.Generate
	if g == nil {
		return
	}
	g.Repeatable, g.mark = nil, ""
	var newest *Certificate
	for _, held := range c.Held {
		if held.Raw != nil && (newest == nil || held.IssuedAt.After(newest.IssuedAt)) {
			newest = held
		}
		if held.Status != Issued {
			continue
		}
		if age := c.At.Sub(held.IssuedAt); held.Operation == OpKeyGen && held.Credential == c.Identity.Credential &&
			held.NamesHash == c.NamesHash && age <= lostAnswer {
			g.Repeatable = append(g.Repeatable, held)
		}
	}
	if newest != nil {
		g.mark = hex.EncodeToString(newest.Serial)
	}
}

// retireRepeatable adds to change that what the case replaces counts no more.
func (c *Case) retireRepeatable(change *Change, by *Certificate) {
	if c.Generate == nil || c.aboutItself() {
		return
	}
	for _, old := range c.Generate.Repeatable {
		retired := *old
		retired.Status, retired.RevokedAt, retired.RevokeReason = Revoked, by.IssuedAt, reasonSuperseded
		change.Revoked = append(change.Revoked, &retired)
		b := newBody().hex("serial", old.Serial).hex("successor", by.Serial).str("why", "a new key was asked for within ten minutes")
		change.Trail = append(change.Trail, c.entry(KindCertificateRetired, "", b))
	}
}

// rowOperation is what a certificate on record was issued by.
func (c *Case) rowOperation() string {
	if c.Generate != nil && c.Operation == OpEnroll {
		return OpKeyGen
	}
	return c.Operation
}

// generated adds what the trail says of a generated key: never the key.
func (g *Generation) generated(b *body) *body {
	if g == nil {
		return b
	}
	r := g.request
	switch {
	case r.SharedKeyID != nil:
		b.hex("shared_key_id", r.SharedKeyID)
	case r.CertificateKeyID != nil:
		b.hex("recipient_key_id", r.CertificateKeyID)
	}
	return b.str("generated_key", g.Type).yes("encrypted", g.protection != nil).yes("pkcs12", r.PKCS12)
}

// checkKeys checks the keys that are shared with devices.
func (v *version) checkKeys() error {
	seen := make(map[string]bool, len(v.KeyEncryptionKeys))
	for i, k := range v.KeyEncryptionKeys {
		switch {
		case k == nil || len(k.ID) == 0 || len(k.ID) > 128:
			return fmt.Errorf("key encryption key %d: its id has to have 1 to 128 bytes", i+1)
		case len(k.Key) != 32:
			return fmt.Errorf("key encryption key %q has %d bytes instead of 32", k.ID, len(k.Key))
		case seen[string(k.ID)]:
			return fmt.Errorf("key encryption key %q is there twice", k.ID)
		case len(k.Devices)+len(k.Users) == 0:
			return fmt.Errorf("key encryption key %q belongs to nobody: name devices or users", k.ID)
		}
		seen[string(k.ID)] = true
	}
	return nil
}

// maxReceipt bounds a receipt that the trail has whole, in bytes.
const maxReceipt = 4 << 10

// KeyReturned implements est.KeyReceiver: what a client says about a key it got
// is on the trail (RFC 8295, Section 8).
func (s *Service) KeyReturned(ctx context.Context, r *est.KeyReceipt) error {
	v := s.current.Load()
	c := s.estCase(v, &r.Request)
	if c.Label == nil {
		return deny(ReasonUnknownLabel, "label").answer(c)
	}
	d := s.questionBudget(v, c)
	if d == nil {
		d = s.identify(ctx, v, c, r.Peer)
	}
	if d == nil {
		d = s.recordReceipt(ctx, v, c, r)
	}
	if d != nil {
		return s.refuse(ctx, c, d)
	}
	return nil
}

func (s *Service) recordReceipt(ctx context.Context, v *version, c *Case, r *est.KeyReceipt) *Decision {
	switch {
	case c.Identity.Device != nil:
		c.Device, c.SerialNumber = c.Identity.Device, c.Identity.Device.SerialNumber
	case c.Identity.Kind == Basic && !c.Identity.Group:
		c.SerialNumber = c.Identity.User
		devices, err := s.store.FindDevices(ctx, v.Domain, c.SerialNumber)
		if err != nil {
			return storeFailed("receipt", err)
		}
		for _, d := range devices {
			if d.Manufacturer == "" {
				c.Device = d
			}
		}
	}
	key := "receipt\x00" + c.Identity.Credential
	if wait, over := s.reported.exceeded(key, reportsPerHour, c.At); over {
		return &Decision{Reason: ReasonDeviceBudget, Rule: "receipt-budget", Message: "too many receipts came from here; send them again later", RetryAfter: jitter(wait)}
	}
	s.reported.use(key, c.At)
	digest := sha256.Sum256(r.Raw)
	b := c.facts(v).boolean("failed", r.Failed).hex("sha256", digest[:])
	if len(r.Raw) <= maxReceipt {
		b.hex("receipt", r.Raw)
	}
	if r.Signer != nil {
		signer := sha256.Sum256(r.Signer.Raw)
		b.str("signer", credentialName(signer)).boolean("signed_by_peer", c.Identity.Credential == credentialName(signer))
	}
	if err := s.commit(ctx, &Change{Trail: []*trail.Entry{c.entry(KindKeyReceipt, "", b)}}); err != nil {
		return storeFailed("receipt", err)
	}
	return nil
}
