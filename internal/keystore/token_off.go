//go:build !pkcs11

package keystore

import (
	"context"
	"crypto"
	"fmt"
)

// schemes are what this build has.
const schemes = "file: alone"

func openToken(context.Context, string) (crypto.Signer, error) { return nil, errNoTokens() }

func createToken(context.Context, string, Algorithm) (crypto.Signer, error) {
	return nil, errNoTokens()
}

func errNoTokens() error {
	return fmt.Errorf("%w: pkcs11: needs the build for tokens (make build-pkcs11, or CGO_ENABLED=1 go build -tags pkcs11); this one has %s", ErrScheme, schemes)
}

func tokens() []TokenHealth { return nil }
