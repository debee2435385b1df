package pledge_test

import (
	"context"
	"crypto/rand"
	"crypto/x509"
	"errors"
	"fmt"
	"math/big"
	"testing"
	"time"

	"github.com/briskest/briskest/brski/brskitest"
	"github.com/briskest/briskest/brski/pledge"
	"github.com/briskest/briskest/internal/revocation"
	"github.com/briskest/briskest/internal/testpki"
	"github.com/briskest/briskest/voucher"
)

// list is the revocation list of ca with those certificates on it.
func list(t testing.TB, ca *testpki.Identity, revoked ...*x509.Certificate) *revocation.List {
	t.Helper()
	template := &x509.RevocationList{Number: big.NewInt(1), ThisUpdate: time.Now().Add(-time.Minute), NextUpdate: time.Now().Add(time.Hour)}
	for _, c := range revoked {
		template.RevokedCertificateEntries = append(template.RevokedCertificateEntries,
			x509.RevocationListEntry{SerialNumber: c.SerialNumber, RevocationTime: time.Now().Add(-time.Minute)})
	}
	der, err := x509.CreateRevocationList(rand.Reader, template, ca.Certificate, ca.Key)
	if err != nil {
		t.Fatal(err)
	}
	lists, err := revocation.ParseLists("test.crl", der)
	if err != nil {
		t.Fatal(err)
	}
	return lists[0]
}

// byLists is a Config.Revocation that knows those lists and no network.
func byLists(t testing.TB, lists ...*revocation.List) func(context.Context, *pledge.RevocationQuestion) error {
	t.Helper()
	checkers := make(map[bool]*revocation.Checker)
	for required, mode := range map[bool]revocation.Mode{true: revocation.RequireAll, false: revocation.Check} {
		var err error
		if checkers[required], err = revocation.New(revocation.Config{Mode: mode, Lists: lists}); err != nil {
			t.Fatal(err)
		}
	}
	return func(ctx context.Context, q *pledge.RevocationQuestion) error {
		err := checkers[q.Required].Check(ctx, q.Chain, q.At)
		if errors.Is(err, revocation.ErrUnavailable) {
			return fmt.Errorf("%w: %w", pledge.ErrRevocationUnknown, err)
		}
		return err
	}
}

// BRSKI-8366-5.3-05: domain-cert-revocation-checks true means to be sure, false
// not to look; without it what is known counts.
func TestDomainCertRevocationChecksIsFollowed(t *testing.T) {
	yes, no := true, false
	type lists = func(testing.TB, *brskitest.World) []*revocation.List
	good := func(t testing.TB, w *brskitest.World) []*revocation.List {
		return []*revocation.List{list(t, w.Issuing), list(t, w.Domain)}
	}
	registrarRevoked := func(t testing.TB, w *brskitest.World) []*revocation.List {
		return []*revocation.List{list(t, w.Issuing, w.Identity.Certificate), list(t, w.Domain)}
	}
	issuingRevoked := func(t testing.TB, w *brskitest.World) []*revocation.List {
		return []*revocation.List{list(t, w.Issuing), list(t, w.Domain, w.Issuing.Certificate)}
	}
	half := func(t testing.TB, w *brskitest.World) []*revocation.List { return good(t, w)[:1] }
	offline := func(testing.TB, *brskitest.World) []*revocation.List { return nil }
	for _, c := range []struct {
		name   string
		leaf   *bool
		lists  lists // nil for a device that cannot check
		reason string
	}{
		{"true, good", &yes, good, ""},
		{"true, registrar revoked", &yes, registrarRevoked, pledge.ReasonRevoked},
		{"true, its CA revoked", &yes, issuingRevoked, pledge.ReasonRevoked},
		{"true, half of the lists", &yes, half, pledge.ReasonRevocationUnknown},
		{"true, no lists", &yes, offline, pledge.ReasonRevocationUnknown},
		{"true, cannot check", &yes, nil, pledge.ReasonRevocationUnknown},
		{"false, registrar revoked", &no, registrarRevoked, ""},
		{"false, cannot check", &no, nil, ""},
		{"unset, registrar revoked", nil, registrarRevoked, pledge.ReasonRevoked},
		{"unset, no lists", nil, offline, ""},
		{"unset, cannot check", nil, nil, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := brskitest.New(t)
			w.MASA.Change(func(v *voucher.Voucher) { v.DomainCertRevocationChecks = c.leaf })
			asked := 0
			d := newDevice(t, w, func(config *pledge.Config) {
				if c.lists == nil {
					return
				}
				check := byLists(t, c.lists(t, w)...)
				config.Revocation = func(ctx context.Context, q *pledge.RevocationQuestion) error {
					asked++
					return check(ctx, q)
				}
			})
			if c.reason == "" {
				d.onboard()
			} else {
				d.onboardFails(c.reason, pledge.ErrUntrusted)
				d.checkNothingTrusted()
				d.checkVoucherTold(c.reason)
			}
			if c.leaf == &no && asked != 0 {
				t.Errorf("asked %d times although the voucher says not to", asked)
			}
		})
	}
}

// BRSKI-8366-5.3-05: what is pinned itself may be revoked; its issuer's list says so, where the issuer is known.
func TestPinnedCertificateItselfIsChecked(t *testing.T) {
	for name, c := range map[string]struct {
		pinned func(*brskitest.World) *x509.Certificate
		lists  func(testing.TB, *brskitest.World) []*revocation.List
		root   bool // shown by the registrar
		reason string
	}{
		"registrar, good": {func(w *brskitest.World) *x509.Certificate { return w.Identity.Certificate },
			func(t testing.TB, w *brskitest.World) []*revocation.List {
				return []*revocation.List{list(t, w.Issuing)}
			}, false, ""},
		"registrar, revoked": {func(w *brskitest.World) *x509.Certificate { return w.Identity.Certificate },
			func(t testing.TB, w *brskitest.World) []*revocation.List {
				return []*revocation.List{list(t, w.Issuing, w.Identity.Certificate)}
			}, false, pledge.ReasonRevoked},
		"its CA, revoked": {func(w *brskitest.World) *x509.Certificate { return w.Issuing.Certificate },
			func(t testing.TB, w *brskitest.World) []*revocation.List {
				return []*revocation.List{list(t, w.Issuing), list(t, w.Domain, w.Issuing.Certificate)}
			}, true, pledge.ReasonRevoked},
		"its CA, whose issuer is not shown": {func(w *brskitest.World) *x509.Certificate { return w.Issuing.Certificate },
			func(t testing.TB, w *brskitest.World) []*revocation.List {
				return []*revocation.List{list(t, w.Issuing), list(t, w.Domain)}
			}, false, pledge.ReasonRevocationUnknown},
	} {
		t.Run(name, func(t *testing.T) {
			w := brskitest.New(t)
			yes := true
			w.MASA.Change(func(v *voucher.Voucher) {
				v.DomainCertRevocationChecks = &yes
				setPin(v, "pinned-domain-cert", c.pinned(w))
			})
			d := newDevice(t, w, func(config *pledge.Config) { config.Revocation = byLists(t, c.lists(t, w)...) })
			if c.root {
				certificate := w.Identity.TLS()
				certificate.Certificate = append(certificate.Certificate, w.Domain.Certificate.Raw)
				d.config.RegistrarURL = serveTLS(t, certificate, w.Handler())
			}
			if c.reason == "" {
				d.onboard()
				return
			}
			d.onboardFails(c.reason, pledge.ErrUntrusted)
		})
	}
}

// RFC 8995, Section 2.6.1: without a clock, lists count as of when the voucher was made.
func TestRevocationWithoutAClockIsAsOfTheVoucher(t *testing.T) {
	w := brskitest.New(t)
	yes := true
	w.MASA.Change(func(v *voucher.Voucher) { v.DomainCertRevocationChecks = &yes })
	check := byLists(t, list(t, w.Issuing), list(t, w.Domain))
	var at time.Time
	d := newDevice(t, w, func(c *pledge.Config) {
		c.NoClock, c.Now = true, func() time.Time { return time.Unix(60, 0) }
		c.Revocation = func(ctx context.Context, q *pledge.RevocationQuestion) error {
			at = q.At
			return check(ctx, q)
		}
	})
	d.onboard()
	if !at.Equal(d.madeOf()) {
		t.Errorf("asked as of %v, want when the voucher was made, %v", at, d.madeOf())
	}
}

// madeOf is when the stored voucher was made, as it says.
func (d *device) madeOf() time.Time {
	d.t.Helper()
	v, artifact, err := d.config.Format.OpenVoucher(d.file(pledge.FileVoucher))
	if err != nil {
		d.t.Fatal(err)
	}
	if artifact.SigningTime.After(v.CreatedOn) {
		return artifact.SigningTime
	}
	return v.CreatedOn
}
