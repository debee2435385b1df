package main

import (
	"net/http"

	registraradmin "github.com/briskest/briskest/registrar/admin"
)

// operators is the API as the unix socket serves it: whoever could open that is an administrator of all
// domains.
func (r *registrarRole) operators() http.Handler {
	return registraradmin.NewHandler(registraradmin.Config{
		Domains: r.apiDomains, Authenticate: registraradmin.Local(actor()), TellCauses: true, Log: r.log,
	})
}

// apiDomains are the domains that the API serves.
func (r *registrarRole) apiDomains() map[string]*registraradmin.Domain {
	return map[string]*registraradmin.Domain{r.settings.Domain: {Service: r.service}}
}

// inProcess is a client of a registrar that listens nowhere.
func (r *registrarRole) inProcess() *registraradmin.Client {
	client := registraradmin.NewInProcess(r.operators(), actor())
	client.Domain = r.settings.Domain
	return client
}
