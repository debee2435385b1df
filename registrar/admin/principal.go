package admin

import (
	"context"
	"net/http"
)

// Role is what somebody may do in a domain.
type Role string

// The roles. An administrator may do everything; operator and auditor both see what a
// viewer sees.
const (
	Viewer        Role = "viewer"        // sees devices, requests, certificates and codes, without secrets
	Operator      Role = "operator"      // and decides about devices, requests, codes and certificates
	Auditor       Role = "auditor"       // a viewer who also sees trail, evidence and exports, and changes nothing
	Administrator Role = "administrator" // and makes credentials, tokens, groups, targets, and signs by hand
)

// Roles returns all roles.
func Roles() []Role { return []Role{Viewer, Operator, Auditor, Administrator} }

// may tells whether a role covers what an operation needs. What is unknown covers nothing.
func (r Role) may(needs Role) bool {
	switch needs {
	case Viewer:
		return r == Viewer || r == Operator || r == Auditor || r == Administrator
	case Operator:
		return r == Operator || r == Administrator
	case Auditor:
		return r == Auditor || r == Administrator
	case Administrator:
		return r == Administrator
	default:
		return false
	}
}

// Principal is somebody who was authenticated.
type Principal struct {
	Name   string // as the trail names the actor, such as "cli:root", "token:ci" or "oidc:ann@example.org"
	Method string // "socket", "certificate", "token" or "oidc"
	// Roles are those that it has, by domain.
	Roles map[string]Role
	// Everywhere is the role in every domain; "" for none.
	Everywhere Role
}

// In returns the role in a domain; "" for none.
func (p *Principal) In(domain string) Role {
	if p.Everywhere != "" {
		return p.Everywhere
	}
	return p.Roles[domain]
}

// Authenticate says who sent a request. An error is a refusal (401), whose text is
// logged and not told; a nil Principal without an error says that nothing was shown.
type Authenticate func(r *http.Request) (*Principal, error)

// Local authenticates everybody as an administrator of all domains: for a connection that only
// one person can have opened, such as to a unix socket. The name is what [WithActor] put into
// the connection's context, else the one given.
func Local(name string) Authenticate {
	return func(r *http.Request) (*Principal, error) {
		p := &Principal{Name: name, Method: "socket", Everywhere: Administrator}
		if actor, ok := r.Context().Value(actorKey{}).(string); ok {
			p.Name = actor
		}
		return p, nil
	}
}

type actorKey struct{}

// WithActor names who is at the other end of a local connection.
func WithActor(ctx context.Context, name string) context.Context {
	return context.WithValue(ctx, actorKey{}, name)
}
