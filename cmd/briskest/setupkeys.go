package main

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/briskest/briskest/internal/cli"
	"github.com/briskest/briskest/internal/keystore"
	"github.com/briskest/briskest/internal/pemfile"
	"github.com/briskest/briskest/internal/pkcs11uri"
)

// keysFile holds the URI of the token that a folder's keys are in. Its object=
// begins the labels of these keys, so that several folders share a token.
const keysFile = "keys.uri"

// keysFlag says where the keys of a folder that is set up are made.
type keysFlag struct {
	Keys string `placeholder:"URI" help:"Make the keys in a PKCS#11 token, as in pkcs11:token=T?module-path=/usr/lib/softhsm/libsofthsm2.so&pin-source=file:/etc/briskest/pin; object= is added for each. Only devices' and clients' keys are then in files. Default: all are."`
}

// useKeys makes the folder one whose keys are in the token that uri names, and
// tries the token. "" leaves it as it is.
func (f folder) useKeys(ctx context.Context, s streams, uri string) error {
	if uri == "" {
		return nil
	}
	u, err := pkcs11uri.Parse(uri)
	if err != nil {
		return cli.Usage("--keys: %v", err)
	}
	if u.Object != "" || u.ID != "" {
		return cli.Usage("--keys: names a key; leave out object= and id=, which are added for each key")
	}
	if u.PINSource != "" {
		if u.PINSource, err = filepath.Abs(u.PINSource); err != nil {
			return err
		}
	}
	old, err := f.token()
	switch {
	case err != nil:
		return err
	case old != nil:
		u.Object = old.Object
		if u.String() != old.String() {
			return cli.Usage("--keys: the keys in %s are in another token, see %s; leave --keys out, or use another folder", f, f.path(keysFile))
		}
	case f.has("masa/trail.key") || f.has("registrar/trail.key"):
		return cli.Usage("--keys: %s has its keys in files already; use another folder", f)
	default:
		u.Object = "briskest-" + strings.ToLower(rand.Text()[:8]) + "-"
	}
	if err := tryToken(ctx, u.String()); err != nil {
		return err
	}
	if u.PINIsOpen() {
		fmt.Fprintf(s.Err, "Every user of this machine can read the token's PIN: chmod 600 %s\n", u.PINSource)
	}
	if old != nil {
		return nil
	}
	if err := f.make(); err != nil {
		return err
	}
	return pemfile.Write(f.path(keysFile), []byte(u.String()+"\n"), 0o644)
}

// tryToken looks for a key that is not there: then library, token and PIN are right.
func tryToken(ctx context.Context, uri string) error {
	switch _, err := keystore.Open(ctx, uri); {
	case err == nil || errors.Is(err, fs.ErrNotExist):
		return nil
	case errors.Is(err, keystore.ErrScheme):
		return cli.Usage("--keys: %v", err)
	default:
		return err
	}
}

// token returns the token that the folder's keys are in; nil for files.
func (f folder) token() (*pkcs11uri.URI, error) {
	data, err := os.ReadFile(f.path(keysFile))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	u, err := pkcs11uri.Parse(strings.TrimSuffix(string(data), "\n"))
	if err != nil {
		return nil, fmt.Errorf("%s: %w", f.path(keysFile), err)
	}
	return u, nil
}

// keyURI says where the key of a name such as masa/tls.key is.
func (f folder) keyURI(name string) (string, error) {
	u, err := f.token()
	if err != nil || u == nil || forOthers(name) {
		return "file:" + f.path(name), err
	}
	u.Object += strings.ReplaceAll(strings.TrimSuffix(name, ".key"), "/", "-")
	return u.String(), nil
}

// forOthers reports whether a key is a device's or a client's, who take it
// somewhere else.
func forOthers(name string) bool {
	return name == "ra.key" || strings.HasPrefix(name, "pledge/") || strings.HasPrefix(name, "devices/")
}

// keyValue writes where a key is as a configuration in the folder has it.
func (f folder) keyValue(name string) (string, error) {
	uri, err := f.keyURI(name)
	if strings.HasPrefix(uri, "pkcs11:") {
		return strconv.Quote(uri), err
	}
	return "file:" + name, err
}
