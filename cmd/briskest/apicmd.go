package main

import (
	"github.com/briskest/briskest/internal/pemfile"
	registraradmin "github.com/briskest/briskest/registrar/admin"
)

type apiCmd struct {
	OpenAPI apiOpenAPICmd `cmd:"" name:"openapi" help:"Print the OpenAPI 3.1 document of the registrar's API."`
}

type apiOpenAPICmd struct {
	Output string `help:"File; standard output without." placeholder:"FILE"`
}

// Run prints the document, which is made from the code.
func (c *apiOpenAPICmd) Run(s streams) error {
	if c.Output == "" {
		s.Printf("%s", registraradmin.OpenAPI())
		return nil
	}
	return pemfile.Write(c.Output, registraradmin.OpenAPI(), 0o644)
}
