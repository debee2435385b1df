// Package keystore opens and makes private keys named by a URI. What it
// returns is a crypto.Signer and nothing more: nobody above it knows whether
// the key is in a file or in a token.
package keystore
