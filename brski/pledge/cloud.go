package pledge

import (
	"context"
	"crypto/x509"
	"fmt"
	"slices"
	"strconv"
	"time"

	"github.com/briskest/briskest/voucher"
)

// trustCloud returns a test that trusts a server whose certificate is for the name that it was asked
// by (DNS-ID, wildcards included) and follows from Config.CloudAnchors
// (RFC 8995, Section 2.7; RFC 9525, Section 6).
func (r *run) trustCloud(o origin) func([]*x509.Certificate) *Error {
	return func(server []*x509.Certificate) *Error { return r.checkCloud(o, server) }
}

func (r *run) checkCloud(o origin, server []*x509.Certificate) *Error {
	leaf := server[0]
	intermediates, err := voucher.Intermediates(leaf, slices.Clone(server[1:]))
	if err == nil {
		_, err = leaf.Verify(x509.VerifyOptions{
			DNSName: o.host, Roots: r.c.CloudAnchors, Intermediates: intermediates, CurrentTime: r.validAt(leaf, r.c.Now()),
			KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
		})
	}
	if err != nil {
		return untrusted(ReasonCloud, "RFC 8995, Section 2.7",
			fmt.Sprintf("the server at %s is not the cloud registrar: the built-in anchors do not vouch for it under that name", o.address), err)
	}
	return nil
}

// ownerUnknown makes of a refusal what 401 means from a cloud registrar: the
// owner of the device is not known yet. With Retry-After it may be later;
// without, there is no use in asking again (draft-ietf-anima-brski-cloud-20,
// Section 3.2).
func (r *run) ownerUnknown(e *Error, a *answer) {
	e.Reason, e.Section = ReasonOwnerUnknown, "draft-ietf-anima-brski-cloud-20, Section 3.2"
	e.Message = "the cloud registrar does not know who owns this device: " + said(a.body)
	seconds, err := strconv.ParseUint(a.retry, 10, 31)
	if err != nil {
		e.final = true
		return
	}
	// Of an authenticated registrar, but an hour is enough.
	e.class, e.RetryAfter = ErrUnavailable, min(time.Duration(seconds)*time.Second, maxBackoff)
}

// moveToEST leaves the cloud registrar for the EST server that the voucher
// names, once that has shown that it follows from the pin
// (draft-ietf-anima-brski-cloud-20, Sections 3.3.2 and 4.2). The cloud registrar
// is told; the EST server knows nothing of BRSKI.
func (r *run) moveToEST(ctx context.Context, domain string) error {
	cloud := *r
	to, err := parseOrigin(domain, viaESTDomain, estPaths()...)
	if err != nil {
		return untrusted(ReasonESTDomain, "draft-ietf-anima-brski-cloud-20, Section 3.3.2", "the voucher's est-domain is no address", err)
	}
	r.origin = to
	l, err := r.connect(ctx, &r.c.IDevID, r.trustPin(ctx))
	if err != nil {
		r.origin = cloud.origin // to be told what is wrong
		return err
	}
	cloud.tellVoucher(ctx, "")
	cloud.close()
	r.link = l
	r.step(StepConnected, "", fmt.Sprintf("the EST server at %s, which the voucher names, follows from what it pins", r.address))
	return nil
}

// isNamedServer tells whether leaf is for the name that a verified voucher gave
// (RFC 7030, Section 3.6.1; RFC 9525, Section 6).
func (r *run) isNamedServer(leaf *x509.Certificate) bool {
	return r.via == viaESTDomain && slices.Contains(leaf.ExtKeyUsage, x509.ExtKeyUsageServerAuth) && leaf.VerifyHostname(r.host) == nil
}
