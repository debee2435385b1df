package registrar

import (
	"bytes"
	"context"

	"github.com/briskest/briskest/est"
)

// identifyDigest verifies a Digest (RFC 7616): right realm, an algorithm that
// the label takes, a credential that keeps what that needs, the right answer,
// and a nonce of ours that is young and was not used so before.
func (s *Service) identifyDigest(ctx context.Context, v *version, c *Case, p *est.Peer) (*Identity, *Decision) {
	const rule = "digest"
	d := p.Digest
	md5 := d.Algorithm == est.DigestMD5
	if md5 && !c.Label.DigestMD5 || !md5 && !c.Label.Digest {
		return nil, denyText(ReasonBadCredentials, rule, "this algorithm of Digest is not taken at this label")
	}
	if len(d.User) > maxUser || d.Realm != v.Realm {
		return nil, deny(ReasonBadCredentials, rule)
	}
	k, err := found(s.store.Credential(ctx, v.Domain, d.User))
	if err != nil {
		return nil, storeFailed(rule, err)
	}
	ha1 := s.passwords.noHA1
	if k != nil && k.Realm == v.Realm {
		if ha1 = k.HA1; md5 {
			ha1 = k.HA1MD5
		}
	}
	switch right := d.Matches(ha1); {
	case !right || k == nil || k.Disabled || k.Realm != v.Realm:
		return nil, deny(ReasonBadCredentials, rule)
	case !s.nonces.Use(d.Nonce, d.Count, c.At):
		return nil, deny(ReasonStaleDigest, rule)
	}
	return &Identity{Kind: Digest, Credential: "digest:" + k.User, User: k.User, Group: k.Group, salt: k.Salt}, nil
}

// credentialStill looks again at the credential of a Basic or Digest identity.
func (s *Service) credentialStill(ctx context.Context, v *version, i *Identity, rule string) *Decision {
	k, err := found(s.store.Credential(ctx, v.Domain, i.User))
	switch {
	case err != nil:
		return storeFailed(rule, err)
	case k == nil || k.Disabled || !bytes.Equal(k.Salt, i.salt) || k.Group != i.Group:
		return deny(ReasonBadCredentials, rule)
	}
	return nil
}

// digests fills in what Digest needs, for the labels that take it: HA1 is as
// good as the password, so that it is kept only where somebody asked for it.
func (v *version) digests(k *Credential, secret est.Secret) {
	for _, l := range v.Labels {
		if l.Digest {
			k.Realm, k.HA1 = v.Realm, est.DigestHA1(est.DigestSHA256, k.User, v.Realm, secret)
		}
		if l.DigestMD5 {
			k.Realm, k.HA1MD5 = v.Realm, est.DigestHA1(est.DigestMD5, k.User, v.Realm, secret)
		}
	}
}
