package registrar

import (
	"context"
	"errors"
	"slices"
	"strings"

	"github.com/briskest/briskest/est"
)

// identify finds out who asks for an enrollment and fills in c.Identity and
// c.Also, or refuses. Every fact is checked anew for each request, on kept
// connections and resumed sessions too.
//
// A renewal is authenticated by the certificate alone. For an enrollment every
// credential that comes along and that the label takes is verified, and one
// that is wrong refuses, but for a certificate of a CA that is not known here,
// or past its end, where the others suffice.
//
// Who the request counts as (c.Identity), which decides what may be enrolled:
// where the label requires several together, the certificate, else the code,
// else the HTTP credential, and the names must be good for each of them; where
// it does not, the HTTP credential, else the certificate if the label takes it,
// else the code (RFC 7030, Section 3.7: both identities are known, and the
// trail has both).
func (s *Service) identify(ctx context.Context, v *version, c *Case, p *est.Peer) *Decision {
	if c.Operation == OpRenew {
		if len(p.Certificates) == 0 {
			return denyText(ReasonNoCertificate, "authenticate", "a renewal is authenticated by the TLS client certificate that is to be renewed")
		}
		return s.identifyCertificate(ctx, v, c, p)
	}
	var who identities
	if d := s.identifyEach(ctx, v, c, p, &who); d != nil {
		return d
	}
	if len(c.Label.Require) > 0 {
		return c.together(&who)
	}
	return c.any(p, &who)
}

// identities are what a request proves. Those that are nil did not come, or
// are not taken at the label.
type identities struct {
	certificate, http, code *Identity
	untrusted               *Decision // why the certificate that came is none
}

// identifyEach verifies each credential that came.
func (s *Service) identifyEach(ctx context.Context, v *version, c *Case, p *est.Peer, who *identities) *Decision {
	if len(p.Certificates) > 0 {
		other := *c
		d := s.identifyCertificate(ctx, v, &other, p)
		switch {
		case d == nil:
			c.Manufacturer, c.SerialNumber, c.Identity = other.Manufacturer, other.SerialNumber, other.Identity
			who.certificate = &other.Identity
		case d.Reason == ReasonUntrusted || d.Reason == ReasonExpired:
			who.untrusted = d
		default:
			*c = other
			return d
		}
	}
	var d *Decision
	// From here on a refusal is that of a known peer if the certificate is good.
	if who.http, d = s.identifyHTTP(ctx, v, c, p); d != nil {
		return d
	}
	if c.otp != "" && c.Label.Codes {
		who.code, d = s.identifyCode(ctx, v, c, c.codeSerial(who.certificate), c.otp)
	}
	return d
}

// identifyHTTP verifies the Authorization header; nil and nil when there is
// none, or none that the label takes beside a certificate.
func (s *Service) identifyHTTP(ctx context.Context, v *version, c *Case, p *est.Peer) (*Identity, *Decision) {
	l := c.Label
	basic := p.User != "" || p.Secret != ""
	switch {
	case basic && (l.Basic || l.Codes):
		return s.identifyBasic(ctx, v, c, p)
	case p.Digest != nil && l.takes(ByDigest):
		return s.identifyDigest(ctx, v, c, p)
	case p.Bearer != "" && l.takes(ByBearer):
		return s.identifyBearer(ctx, c, p)
	case !basic && p.Digest == nil && p.Bearer == "", len(p.Certificates) > 0, c.otp != "" && l.Codes:
		return nil, nil //nolint:nilnil // nothing that counts
	case l.asksHTTP():
		return nil, denyText(ReasonNoCredentials, "authenticate", "this HTTP authentication scheme is not taken at this label; another one is")
	default:
		return nil, denyText(ReasonMethodNotAllowed, "authenticate", "HTTP credentials are not taken at this label")
	}
}

// identifyBasic verifies Basic credentials: a code, where the label takes them
// and the password is that of the serial number, else a credential on record. Only
// what is neither is a wrong code, and only where nothing but codes is taken does
// their budget keep a password from being looked at.
func (s *Service) identifyBasic(ctx context.Context, v *version, c *Case, p *est.Peer) (*Identity, *Decision) {
	var code *Decision
	if c.Label.Codes && (!c.Label.Basic || looksLikeCode(p.Secret)) {
		i, d := s.findCode(ctx, v, c, p.User, p.Secret)
		switch wrong := d != nil && d.Reason == ReasonBadCredentials; {
		case wrong && !c.Label.Basic:
			s.guesses.failed(c, p.User)
			return nil, d
		case !wrong && (d == nil || !c.Label.Basic || d.Reason != ReasonGuesses):
			return i, d
		}
		code = d
	}
	k, d := s.checkCredentials(ctx, v, p)
	if d != nil {
		if code != nil && d.Reason == ReasonBadCredentials {
			if code.Reason == ReasonBadCredentials {
				s.guesses.failed(c, p.User)
			}
			return nil, code
		}
		return nil, d
	}
	return &Identity{Kind: Basic, Credential: "basic:" + k.User, User: k.User, Group: k.Group, salt: k.Salt}, nil
}

// together demands what the label requires, and everything that came.
func (c *Case) together(who *identities) *Decision {
	const rule = "require"
	for _, m := range c.Label.Require {
		if who.has(m) {
			continue
		}
		switch {
		case m == ByCertificate && who.untrusted != nil:
			return who.untrusted
		case m == ByCertificate:
			return deny(ReasonNoCertificate, rule)
		case !c.Label.asks(m):
			return denyText(ReasonMethodNotAllowed, rule, "this label requires "+c.Label.required()+" together; the code comes as otpChallenge in the CSR")
		default:
			return denyText(ReasonNoCredentials, rule, "this label requires "+c.Label.required()+" together")
		}
	}
	c.identifiedAs(who.certificate, who.code, who.http)
	return nil
}

func (l *Label) required() string {
	words := make([]string, len(l.Require))
	for i, m := range l.Require {
		words[i] = string(m)
	}
	return strings.Join(words, " and ")
}

// has tells whether a credential of that kind came and is good. One that the
// label does not take is not counted by [Label.takes], but refused by the policy.
func (who *identities) has(m Method) bool {
	return slices.ContainsFunc([]*Identity{who.certificate, who.http, who.code}, func(i *Identity) bool {
		return i != nil && i.Kind.method() == m
	})
}

// any takes what came, where one good credential is enough.
func (c *Case) any(p *est.Peer, who *identities) *Decision {
	switch cert := who.certificate; {
	case who.http != nil:
		c.identifiedAs(who.http, who.code, who.certificate)
	case cert != nil && (who.code == nil || c.Label.takesKind(cert.Kind)):
		c.identifiedAs(who.certificate, who.code)
	case who.code != nil:
		c.identifiedAs(who.code, who.certificate)
	case who.untrusted != nil:
		return who.untrusted.helped(c.Label)
	case c.Label.asksHTTP():
		return deny(ReasonNoCredentials, "authenticate")
	default:
		return deny(ReasonNoCertificate, "authenticate")
	}
	return nil
}

// helped says, of a certificate that is none, that HTTP credentials would help
// where they would.
func (d *Decision) helped(l *Label) *Decision {
	if !l.asksHTTP() {
		return d
	}
	d.Message = Explain(d.Reason).Message + "; HTTP credentials would help"
	d.Err = errors.Join(errors.New(d.Reason), d.Err)
	d.Reason = ReasonNoCredentials
	return d
}

// identifiedAs takes the first that is not nil for who asks, and notes the others.
func (c *Case) identifiedAs(who ...*Identity) {
	c.Identity, c.Also = Identity{}, nil
	manufacturer, serial := c.Manufacturer, c.SerialNumber
	c.Manufacturer, c.SerialNumber = nil, ""
	for _, i := range who {
		switch {
		case i == nil:
		case c.Identity.Kind == "":
			if c.Identity = *i; i.Kind == IDevID {
				c.Manufacturer, c.SerialNumber = manufacturer, serial
			}
		default:
			c.Also = append(c.Also, *i)
		}
	}
}

// Proves tells whether credentials of all these methods came and are good.
func (c *Case) Proves(methods ...Method) bool {
	return !slices.ContainsFunc(methods, func(m Method) bool {
		return c.Identity.Kind.method() != m && !slices.ContainsFunc(c.Also, func(i Identity) bool { return i.Kind.method() == m })
	})
}

// Named tells which name the identity may enroll, and no other: of a credential
// that is no group's, its user; of a token or code, the device that it is for.
func (i *Identity) Named() (name string, ok bool) {
	switch i.Kind {
	case Basic, Digest, SharedSecret:
		return i.User, !i.Group
	case Bearer, OneTimeCode:
		return i.User, true
	default:
		return "", false
	}
}

// code returns the one-time code that authenticates the case, or nil.
func (c *Case) code() *Identity {
	if c.Identity.Kind == OneTimeCode {
		return &c.Identity
	}
	for n := range c.Also {
		if c.Also[n].Kind == OneTimeCode {
			return &c.Also[n]
		}
	}
	return nil
}

// Code returns the one-time code on record that authenticates the case, or nil.
func (c *Case) Code() *Code {
	if i := c.code(); i != nil {
		return i.code
	}
	return nil
}
