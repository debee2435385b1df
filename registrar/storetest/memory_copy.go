package storetest

import (
	"maps"
	"slices"
	"time"

	"github.com/briskest/briskest/internal/trail"
	"github.com/briskest/briskest/registrar"
)

// The copies are what a database would give back: times in UTC to the
// microsecond, empty byte strings nil, nothing shared with the caller.

func copyDevice(d *registrar.Device) *registrar.Device {
	c := *d
	c.IDevID, c.CreatedAt, c.SeenAt = blob(d.IDevID), moment(d.CreatedAt), moment(d.SeenAt)
	if c.Attributes = maps.Clone(d.Attributes); len(c.Attributes) == 0 {
		c.Attributes = nil
	}
	return &c
}

// intentOf keeps what an intent knows.
func intentOf(n *registrar.Certificate) *registrar.Certificate {
	c := copyCertificate(n)
	c.Status, c.Raw, c.Explanation, c.RevokeReason = registrar.Intended, nil, "", 0
	c.IssuedAt, c.RevokedAt = time.Time{}, time.Time{}
	return c
}

func copyCertificate(n *registrar.Certificate) *registrar.Certificate {
	c := *n
	c.Serial, c.Raw = blob(n.Serial), blob(n.Raw)
	c.NotBefore, c.NotAfter = moment(n.NotBefore), moment(n.NotAfter)
	c.IntendedAt, c.IssuedAt, c.RevokedAt = moment(n.IntendedAt), moment(n.IssuedAt), moment(n.RevokedAt)
	return &c
}

func copyVoucher(v *registrar.VoucherRecord) *registrar.VoucherRecord {
	c := *v
	c.PledgeRequest, c.RegistrarReq, c.Voucher = blob(v.PledgeRequest), blob(v.RegistrarReq), blob(v.Voucher)
	c.AuditLog, c.PledgeStatus, c.EnrollmentState = blob(v.AuditLog), blob(v.PledgeStatus), blob(v.EnrollmentState)
	c.At = moment(v.At)
	return &c
}

func copyPending(p *registrar.Pending) *registrar.Pending {
	c := *p
	c.Evidence = blob(p.Evidence)
	c.FirstAt, c.LastAt, c.DecidedAt = moment(p.FirstAt), moment(p.LastAt), moment(p.DecidedAt)
	return &c
}

func copyCredential(k *registrar.Credential) *registrar.Credential {
	c := *k
	c.Salt, c.Digest, c.CreatedAt = blob(k.Salt), blob(k.Digest), moment(k.CreatedAt)
	return &c
}

func copyCRL(l *registrar.CRL) *registrar.CRL {
	c := *l
	c.ThisUpdate, c.NextUpdate, c.Raw = moment(l.ThisUpdate), moment(l.NextUpdate), blob(l.Raw)
	c.Bases = slices.Clone(l.Bases)
	return &c
}

func copyEntry(e *trail.Entry) *trail.Entry {
	c := *e
	c.At, c.Body, c.Rows = moment(e.At), blob(e.Body), nil
	return &c
}
