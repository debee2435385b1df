package main

import (
	"path/filepath"
	"strings"

	"github.com/briskest/briskest/internal/cli"
	"github.com/briskest/briskest/internal/pkcs11uri"
)

// cutFile returns the path of a file: URI.
func cutFile(uri string) (string, bool) { return strings.CutPrefix(uri, "file:") }

// absoluteURI makes the paths in a keystore URI of the command line absolute: the
// key's file, or that of the token's PIN.
func absoluteURI(uri string) (string, error) {
	if path, ok := cutFile(uri); ok {
		if path == "" || strings.HasPrefix(path, "//") {
			return uri, nil
		}
		abs, err := filepath.Abs(path)
		return "file:" + abs, err
	}
	if !strings.HasPrefix(uri, "pkcs11:") {
		return "", cli.Usage("%q is no key: write file:PATH, or pkcs11: and what names a key in a token", uri)
	}
	u, err := pkcs11uri.Parse(uri)
	if err != nil {
		return "", cli.Usage("%v", err)
	}
	if u.PINSource != "" {
		if u.PINSource, err = filepath.Abs(u.PINSource); err != nil {
			return "", err
		}
	}
	return u.String(), nil
}
