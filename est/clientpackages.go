package est

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"

	"github.com/briskest/briskest/internal/cms"
)

// maxLists bounds how many lists a package availability list goes on for.
const maxLists = 16

// Packages gets the package availability list (RFC 8295, Section 2), and the lists that it goes on in, in their order,
// without the links between them. The client authenticates by its certificate. What the list says is the server's
// claim.
//
// Errors: as CACerts; those that match [ErrPAL] and [ErrAnswer] for a list that cannot be read, that goes on at another
// origin, or that does not end.
func (c *Client) Packages(ctx context.Context) ([]Package, error) {
	q := &request{op: OpPAL, accept: typeJSON + ", " + typeXML + ";q=0.5"}
	var all []Package
	seen := map[string]bool{}
	for range maxLists {
		a, err := c.call(ctx, q)
		if err != nil {
			return nil, err
		}
		if a.status != http.StatusOK {
			return nil, a.refusal()
		}
		list, err := ParsePAL(a.contentType, a.body)
		if err != nil {
			return nil, a.invalid(err)
		}
		last := list[len(list)-1]
		if last.Type != PackageMore {
			return append(all, list...), nil
		}
		all = append(all, list[:len(list)-1]...)
		next, err := c.within(q, last.Info.URI)
		if err != nil {
			return nil, a.invalid(err)
		}
		if seen[next] {
			return nil, a.invalid(errors.New("the list goes round"))
		}
		seen[next] = true
		q = &request{op: q.op, accept: q.accept, at: next}
	}
	return nil, fmt.Errorf("%s: %w: the list goes on for more than %d lists", OpPAL, ErrAnswer, maxLists)
}

// within resolves a URI that an answer to q names. It has to be of the configured origin: elsewhere the caller's
// consent would be needed.
func (c *Client) within(q *request, uri string) (string, error) {
	base, err := c.where(q)
	if err != nil {
		return "", err
	}
	u, err := base.Parse(uri)
	if err != nil || u.Scheme != "https" || u.User != nil || !sameOrigin(u, c.origin) {
		return "", fmt.Errorf("the URI %q is not of the server's own origin", printable(uri, 80))
	}
	return (&url.URL{Scheme: u.Scheme, Host: u.Host, Path: u.Path, RawPath: u.RawPath, RawQuery: u.RawQuery}).String(), nil
}

// FetchedPackage is a package as it came. Nothing vouches for what is in it but the connection.
type FetchedPackage struct {
	ContentType string
	Body        []byte // base64 where the operation has it; 1 MiB at most
}

// FetchPackage gets a package whose info is a URI of the server's origin (RFC 8295, Section 2.1).
//
// Errors: as CACerts; one that matches [ErrPAL] for a package without such a URI.
func (c *Client) FetchPackage(ctx context.Context, p *Package) (*FetchedPackage, error) {
	if c.once.Do(c.prepare); c.err != nil {
		return nil, c.err
	}
	q := &request{op: OpPAL}
	if p.Info.URI == "" {
		return nil, fmt.Errorf("%w: package %s has no URI to get it from", ErrPAL, p.Type)
	}
	at, err := c.within(q, p.Info.URI)
	if err != nil {
		return nil, fmt.Errorf("%w: package %s: %w", ErrPAL, p.Type, err)
	}
	q.at = at
	a, err := c.call(ctx, q)
	if err != nil {
		return nil, err
	}
	if a.status != http.StatusOK {
		return nil, a.refusal()
	}
	return &FetchedPackage{ContentType: a.contentType, Body: a.body}, nil
}

// EECerts gets end-entity certificates (RFC 8295, Section 3) and returns those that validate to an anchor of set, in
// the server's order; the others are dropped. Their purpose is the caller's to check.
//
// Errors: as CACerts.
func (c *Client) EECerts(ctx context.Context, set *CASet) ([]*x509.Certificate, error) {
	a, err := c.call(ctx, get(OpEECerts))
	if err != nil {
		return nil, err
	}
	certs, err := a.caCerts()
	if err != nil {
		return nil, err
	}
	opts := x509.VerifyOptions{
		Roots: set.Pool(), Intermediates: x509.NewCertPool(), CurrentTime: c.now(), KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageAny},
	}
	for _, ca := range set.Intermediates {
		opts.Intermediates.AddCert(ca)
	}
	return slices.DeleteFunc(certs, func(cert *x509.Certificate) bool { return hugeKey(cert) || !validates(cert, &opts) }), nil
}

// CRLs gets revocation lists (RFC 8295, Section 4) and returns those that are current and signed by a CA of set that may
// sign them, in the server's order; the others are dropped.
//
// Errors: as CACerts.
func (c *Client) CRLs(ctx context.Context, set *CASet) ([]*x509.RevocationList, error) {
	a, err := c.call(ctx, get(OpCRLs))
	if err != nil {
		return nil, err
	}
	if a.status != http.StatusOK {
		return nil, a.refusal()
	}
	der, err := a.der(typePKCS7)
	if err != nil {
		return nil, err
	}
	lists, err := cms.ParseCRLsOnly(der)
	if err != nil {
		return nil, a.invalid(err)
	}
	now := c.now()
	return slices.DeleteFunc(lists, func(l *x509.RevocationList) bool {
		stale := now.Before(l.ThisUpdate) || (!l.NextUpdate.IsZero() && now.After(l.NextUpdate))
		signed := func(ca *x509.Certificate) bool {
			return string(ca.RawSubject) == string(l.RawIssuer) && l.CheckSignatureFrom(ca) == nil
		}
		return stale || !slices.ContainsFunc(set.Anchors, signed) && !slices.ContainsFunc(set.Intermediates, signed)
	}), nil
}
