// Package cryptoki is the PKCS#11 library behind a token.Library: a shared
// object, loaded by its path. It has code in builds with the tag pkcs11 only,
// which need cgo.
package cryptoki
