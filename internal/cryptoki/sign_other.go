//go:build pkcs11 && !unix

package cryptoki

import "github.com/miekg/pkcs11"

// functions are what a library offers, through the wrapper.
type functions struct{ ctx *pkcs11.Ctx }

func functionsOf(ctx *pkcs11.Ctx, _ string) functions { return functions{ctx} }

// direct tells whether signatures are made without the wrapper.
func (functions) direct() bool { return false }

// sign is C_SignInit and C_Sign.
func (f functions) sign(s pkcs11.SessionHandle, key pkcs11.ObjectHandle, m *pkcs11.Mechanism, data []byte) ([]byte, error) {
	return wrapped(f.ctx, s, key, m, data)
}
