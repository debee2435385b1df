package rfc7030_test

import (
	"testing"
	"time"

	"github.com/briskest/briskest/conformance"
	"github.com/briskest/briskest/est"
	"github.com/briskest/briskest/est/esttest"
)

func TestEveryCheckPassesAgainstTheHandlerOfTheLibrary(t *testing.T) {
	backend := esttest.New(t)
	url := backend.Serve(&est.Handler{Backend: backend, Realm: "test"})
	expect(t, run(t, &conformance.Target{
		URL: url, Roots: backend.Root(), User: "device", Password: "secret", Timeout: 5 * time.Second,
	}), nil, nil)
}
