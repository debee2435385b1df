package admin

import (
	"context"
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/briskest/briskest/est"
	"github.com/briskest/briskest/registrar"
)

// AllDomains stands for every domain, where roles are given.
const AllDomains = "*"

// Methods are how those who are not on the machine show who they are. A request that has an Authorization header is judged by
// that alone; one without, by the client certificate of its connection.
type Methods struct {
	// Anchors are the CAs of operators' certificates; nil takes none.
	Anchors *x509.CertPool
	// Certificates are whose may do what, by the SHA-256 of their SubjectPublicKeyInfo in hex. Whoever
	// is taken out is out: the whole key is compared (R11), and nothing is asked about revocation.
	Certificates map[string]Grant
	// Tokens verify tokens of OpenID Connect issuers.
	Tokens []TokenGrants
	Now    func() time.Time // nil for time.Now
}

// Grant is who a certificate stands for, and the roles by domain.
type Grant struct {
	Name  string
	Roles map[string]Role
}

// TokenGrants are an issuer, and the roles that the values of a claim give.
type TokenGrants struct {
	// Verify returns the name and the values of Claim of a good token.
	Verify func(ctx context.Context, token est.Secret, at time.Time) (name string, values []string, err error)
	Roles  map[string]map[string]Role // by value of the claim, then by domain
}

// principal makes one of a name and roles; nil roles are nobody.
func principal(name, method string, roles map[string]Role) *Principal {
	p := &Principal{Name: name, Method: method, Roles: roles}
	p.Everywhere = roles[AllDomains]
	return p
}

// Remote authenticates by the methods that are in force when a request comes.
func Remote(domains func() map[string]*Domain, methods func() *Methods) Authenticate {
	return func(r *http.Request) (*Principal, error) {
		m := methods()
		at := time.Now()
		if m.Now != nil {
			at = m.Now()
		}
		if shown, ok := r.Header["Authorization"]; ok {
			return m.authorization(r.Context(), domains(), shown, at)
		}
		if r.TLS == nil || len(r.TLS.PeerCertificates) == 0 {
			return nil, nil //nolint:nilnil // nothing was shown
		}
		return m.certificate(r.TLS.PeerCertificates, at)
	}
}

func (m *Methods) authorization(ctx context.Context, domains map[string]*Domain, shown []string, at time.Time) (*Principal, error) {
	if len(shown) != 1 {
		return nil, errors.New("there is more than one Authorization")
	}
	scheme, text, _ := strings.Cut(shown[0], " ")
	if !strings.EqualFold(scheme, "Bearer") || text == "" || strings.ContainsAny(text, " ,") {
		return nil, errors.New("Authorization is not Bearer and a token")
	}
	if strings.HasPrefix(text, "bkt_") {
		return ownToken(ctx, domains, est.Secret(text))
	}
	failed := errors.New("there is no issuer of tokens")
	for _, t := range m.Tokens {
		name, values, err := t.Verify(ctx, est.Secret(text), at)
		if err != nil {
			failed = err
			continue
		}
		return principal("oidc:"+name, "oidc", t.roles(values)), nil
	}
	return nil, failed
}

// roles are those of all values together: of two in one domain, the one that covers the other, or else the first
// by the order of Roles.
func (t *TokenGrants) roles(values []string) map[string]Role {
	out := make(map[string]Role)
	for _, v := range values {
		for domain, role := range t.Roles[v] {
			if have := out[domain]; have == "" || role.may(have) {
				out[domain] = role
			}
		}
	}
	return out
}

// ownToken looks a token up in every domain: only the one that made it knows it.
func ownToken(ctx context.Context, domains map[string]*Domain, text est.Secret) (*Principal, error) {
	for name, d := range domains {
		t, err := d.Service.CheckAPIToken(ctx, text)
		switch {
		case err == nil:
			return principal("token:"+t.Name+":"+t.ID, "token", map[string]Role{name: Role(t.Role)}), nil
		case !errors.Is(err, registrar.ErrNotFound):
			return nil, err
		}
	}
	return nil, errors.New("the token is unknown, expired or revoked")
}

func (m *Methods) certificate(chain []*x509.Certificate, at time.Time) (*Principal, error) {
	if m.Anchors == nil {
		return nil, errors.New("no client certificates are taken")
	}
	others := x509.NewCertPool()
	for _, c := range chain[1:] {
		others.AddCert(c)
	}
	_, err := chain[0].Verify(x509.VerifyOptions{
		Roots: m.Anchors, Intermediates: others, CurrentTime: at, KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
	})
	if err != nil {
		return nil, fmt.Errorf("client certificate: %w", err)
	}
	sum := sha256.Sum256(chain[0].RawSubjectPublicKeyInfo)
	g, ok := m.Certificates[hex.EncodeToString(sum[:])]
	if !ok {
		return nil, errors.New("client certificate: its key is not in the configuration")
	}
	return principal("certificate:"+g.Name, "certificate", g.Roles), nil
}

// CheckRoles finds roles that there are not.
func CheckRoles(roles map[string]Role) error {
	if len(roles) == 0 {
		return errors.New("there are no roles; give DOMAIN: ROLE")
	}
	for domain, r := range roles {
		if !slices.Contains(Roles(), r) {
			return fmt.Errorf("the role %q in the domain %s; there are viewer, operator, auditor and administrator", r, domain)
		}
	}
	return nil
}
