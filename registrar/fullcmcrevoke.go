package registrar

import (
	"bytes"
	"context"
	"crypto/subtle"
	"crypto/x509"
	"errors"
	"math/big"
	"strings"

	"github.com/briskest/briskest/internal/cmc"
)

// revoke does what RevokeRequest asks (RFC 5272, Section 6.11), on the path that
// the operator's word takes. Who may: the certificate itself, by having signed
// the message; an RA, what its label's profile issued; and who knows the shared
// secret that the certificate was issued for. What proves it names the
// certificate, or is bound to it on record.
func (x *cmcExchange) revoke(ctx context.Context, m *cmcMessage, id cmc.BodyPartID, r *cmc.RevokeRequest) {
	if len(r.Passphrase) > 0 { // each may be a guess
		if x.decided++; x.decided > 1 { // the message as a whole counted as the first
			if d := x.s.addressBudget(x.v, m.c, true); d != nil {
				x.refuse(ctx, m, m.c, refuseParts(d, id))
				return
			}
		}
	}
	row, c, d := x.revocable(ctx, m, r)
	if d == nil && (row.Status != Revoked || row.OnHold() && !m.alreadyRevoked(row)) {
		_, err := x.s.Revoke(ctx, &RevokeRequest{Domain: x.v.Domain, Actor: "cmc " + c.Identity.Credential, CertificateRef: CertificateRef{ID: row.ID}, Reason: r.Reason})
		if err != nil && !errors.Is(err, ErrConflict) {
			d = storeFailed("cmc-revocation", err)
		} else if err != nil {
			d = denyErr(ReasonCMCCertificate, "cmc-revocation", err)
		}
	}
	if d != nil {
		x.refuse(ctx, m, c, refuseParts(d, id))
		return
	}
	m.grant(id)
}

// revocable finds the certificate and checks who asks: first who he is, so that a
// stranger does not learn which certificates there are, then whether he may.
func (x *cmcExchange) revocable(ctx context.Context, m *cmcMessage, r *cmc.RevokeRequest) (*Certificate, *Case, *Decision) {
	const rule = "cmc-revocation"
	row, missing := x.ourCertificate(ctx, r.RawIssuer, r.SerialNumber)
	c, d := x.revoker(m, row, r)
	switch {
	case d != nil:
		return nil, c, d
	case missing != nil:
		return nil, c, missing
	case !m.mayRevoke(c, row):
		return nil, c, deny(ReasonCMCRevocation, rule)
	case !validReason(r.Reason):
		return nil, c, deny(ReasonCMCRevokeReason, rule)
	}
	return row, c, nil
}

// revoker is who asks to have a certificate, nil for none that there is, revoked.
func (x *cmcExchange) revoker(m *cmcMessage, row *Certificate, r *cmc.RevokeRequest) (*Case, *Decision) {
	switch {
	case len(r.Passphrase) > 0:
		return x.passphrase(m, row, r)
	case m.own == nil && m.denied != nil:
		return m.c, m.denied
	case m.own == nil:
		return m.c, deny(ReasonCMCRevocation, "cmc-revocation")
	case m.own.denied != nil && !m.alreadyRevoked(row):
		return m.own.c, m.own.denied
	}
	return m.own.c, nil
}

// alreadyRevoked tells whether the signer's certificate is the one in question,
// and revoked: asking once more is no harm.
func (m *cmcMessage) alreadyRevoked(row *Certificate) bool {
	return row != nil && m.own != nil && row.Status == Revoked && bytes.Equal(row.Raw, m.own.certificate.Raw)
}

func (m *cmcMessage) mayRevoke(c *Case, row *Certificate) bool {
	switch {
	case c.Identity.Kind == SharedSecret:
		return row.Credential == c.Identity.Credential
	case bytes.Equal(row.Raw, m.own.certificate.Raw):
		return true
	default:
		return m.ra() && row.Profile == c.Label.Profile.Name()
	}
}

// passphrase compares the shared secret that came with the request: that of the
// Identification control, or else of whom the certificate was issued to.
func (x *cmcExchange) passphrase(m *cmcMessage, row *Certificate, r *cmc.RevokeRequest) (*Case, *Decision) {
	name := string(m.identification)
	if name == "" && row != nil {
		name, _ = strings.CutPrefix(row.Credential, secretCredential(""))
	}
	c := *m.c
	k, known := x.v.cmc.secret(cmc.Identification(name))
	same := subtle.ConstantTimeCompare([]byte(k.Secret.Reveal()), r.Passphrase) == 1
	if !same || !known || !c.Label.SharedSecret {
		return &c, deny(ReasonCMCSecret, "cmc-revocation")
	}
	c.Identity = Identity{Kind: SharedSecret, Credential: secretCredential(k.Name), User: k.Name, Group: k.Group}
	return &c, nil
}

// ourCertificate finds an issued certificate of our CA.
func (x *cmcExchange) ourCertificate(ctx context.Context, issuer []byte, serial *big.Int) (*Certificate, *Decision) {
	const rule = "cmc-certificate"
	if serial == nil || serial.Sign() <= 0 || !x.v.issuesAs(issuer) {
		return nil, deny(ReasonCMCCertificate, rule)
	}
	rows, err := x.s.store.ListCertificates(ctx, &CertificateQuery{Domain: x.v.Domain, Serial: serial.Bytes(), Limit: maxHeld})
	if err != nil {
		return nil, storeFailed(rule, err)
	}
	var its *Certificate
	for _, row := range rows {
		cert, err := x509.ParseCertificate(row.Raw)
		switch {
		case row.Raw == nil || err != nil || !bytes.Equal(cert.RawIssuer, issuer):
		case its != nil: // two CAs of one name: nobody says which of the two is meant
			return nil, deny(ReasonCMCCertificate, rule)
		default:
			its = row
		}
	}
	if its == nil {
		return nil, deny(ReasonCMCCertificate, rule)
	}
	return its, nil
}

// confirm takes the word of who has got a certificate that he has it
// (RFC 5272, Section 6.14). The answer is a Full PKI Response; nothing waits for it here,
// since a renewed certificate is retired when the new one is seen in use.
func (x *cmcExchange) confirm(ctx context.Context, m *cmcMessage, id cmc.BodyPartID, r *cmc.ConfirmCertAcceptance) {
	row, d := x.ourCertificate(ctx, r.RawIssuer, r.SerialNumber)
	if m.denied != nil {
		d = m.denied
	} else if d == nil && (row.Status != Issued || !x.holds(m, row)) {
		d = deny(ReasonCMCCertificate, "cmc-certificate")
	}
	if d != nil {
		x.refuse(ctx, m, m.c, refuseParts(d, id))
		return
	}
	m.grant(id)
}

// holds tells whether the certificate was issued to who asks: it is his own, or
// that of his device, or what he authenticated led to it.
func (x *cmcExchange) holds(m *cmcMessage, row *Certificate) bool {
	i := &m.c.Identity
	return row.Credential == i.Credential || i.Device != nil && i.Device.ID == row.DeviceID || m.ra() && row.Profile == m.c.Label.Profile.Name()
}

// getCert returns a certificate (RFC 5272, Section 6.9) to who holds it.
func (x *cmcExchange) getCert(ctx context.Context, m *cmcMessage, id cmc.BodyPartID, r *cmc.GetCert) {
	row, d := x.ourCertificate(ctx, directoryName(r.RawIssuer), r.SerialNumber)
	if m.denied != nil {
		d = m.denied
	} else if d == nil && !x.holds(m, row) {
		d = deny(ReasonCMCCertificate, "cmc-certificate")
	}
	if d != nil {
		x.refuse(ctx, m, m.c, refuseParts(d, id))
		return
	}
	m.found = append(m.found, row.Raw)
	m.grant(id)
}

// getCRL returns the newest CRL (RFC 5272, Section 6.10), which is for everybody
// who is known: a full one, of all reasons.
func (x *cmcExchange) getCRL(ctx context.Context, m *cmcMessage, id cmc.BodyPartID, r *cmc.GetCRL) {
	const rule = "cmc-crl"
	d := m.denied
	if d == nil && (!bytes.Equal(r.RawIssuer, x.v.chain[0].RawSubject) || r.RawName != nil) {
		d = deny(ReasonCMCNoCRL, rule)
	}
	if d == nil {
		list, err := found(x.s.LatestCRL(ctx, x.v.Domain))
		switch {
		case err != nil:
			d = storeFailed(rule, err)
		case list == nil || !r.Time.IsZero() && r.Time.Before(list.ThisUpdate):
			d = deny(ReasonCMCNoCRL, rule)
		default:
			m.crls = append(m.crls, list.Raw)
		}
	}
	if d != nil {
		x.refuse(ctx, m, m.c, refuseParts(d, id))
		return
	}
	m.grant(id)
}

// directoryName returns the Name of a GeneralName that is one (RFC 5280, Section
// 4.2.1.6: [4], explicit); nil for another.
func directoryName(general []byte) []byte {
	if len(general) < 2 || general[0] != 0xa4 {
		return nil
	}
	return derContent(general)
}
