package admin

import (
	"context"

	"github.com/briskest/briskest/est"
	"github.com/briskest/briskest/registrar"
)

func credentialOperations() []operation {
	return []operation{
		define(Operation{ID: "credential-add", Method: "POST", Path: "/credentials", Role: Administrator, Secret: true, Summary: "Add an HTTP credential; its secret is shown this once."}, (*api).addCredential),
		define(Operation{ID: "credential-list", Method: "GET", Path: "/credentials", Role: Viewer, Summary: "List the HTTP credentials without their secrets."}, (*api).listCredentials),
		define(Operation{ID: "credential-disable", Method: "POST", Path: "/credentials/{user}/disable", Role: Administrator, Summary: "End a credential's use at once."}, (*api).disableCredential),
	}
}

// AddCredential adds an HTTP credential. An empty password has one generated.
type AddCredential struct {
	By
	User     string `json:"user" required:"true"`
	Group    bool   `json:"group,omitempty"`
	Password string `json:"password,omitempty"`
	Replace  bool   `json:"replace,omitempty"`
}

// NewCredential is a credential with the secret that was made for it, shown this once.
type NewCredential struct {
	User   string `json:"user"`
	Secret string `json:"secret,omitempty" doc:"where no password was given"`
}

func (a *api) addCredential(ctx context.Context, in *AddCredential) (*NewCredential, error) {
	secret, err := a.s.AddCredential(ctx, &registrar.NewCredential{
		Domain: in.Domain, Actor: in.Actor, User: in.User, Group: in.Group, Password: est.Secret(in.Password), Replace: in.Replace,
	})
	if in.Password != "" { // who chose it knows it
		secret = ""
	}
	return &NewCredential{in.User, secret.Reveal()}, err
}

// Credentials are the credentials without their secrets.
type Credentials struct {
	Credentials []Credential `json:"credentials"`
}

func (a *api) listCredentials(ctx context.Context, in *By) (*Credentials, error) {
	list, err := a.s.ListCredentials(ctx, in.Domain)
	return &Credentials{each(list, func(k *registrar.Credential) Credential {
		return Credential{k.User, k.Scheme, k.Group, k.Disabled, k.CreatedAt}
	})}, err
}

// User names a credential.
type User struct {
	By
	User string `path:"user" json:"-"`
}

func (a *api) disableCredential(ctx context.Context, in *User) (*Nothing, error) {
	return &Nothing{}, a.s.DisableCredential(ctx, in.Domain, in.Actor, in.User)
}

// AddCredential adds an HTTP credential.
func (c *Client) AddCredential(ctx context.Context, in AddCredential) (*NewCredential, error) {
	return call[NewCredential](ctx, c, "credential-add", &in)
}

// Credentials lists the credentials without their secrets.
func (c *Client) Credentials(ctx context.Context) ([]Credential, error) {
	out, err := call[Credentials](ctx, c, "credential-list", &By{})
	if err != nil {
		return nil, err
	}
	return out.Credentials, nil
}

// DisableCredential ends a credential's use.
func (c *Client) DisableCredential(ctx context.Context, user string) error {
	_, err := call[Nothing](ctx, c, "credential-disable", &User{User: user})
	return err
}
