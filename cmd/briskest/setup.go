package main

import (
	"bytes"
	"context"
	"crypto"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"embed"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"text/template"

	"github.com/briskest/briskest/ca"
	"github.com/briskest/briskest/ca/localca"
	"github.com/briskest/briskest/ca/profile"
	"github.com/briskest/briskest/internal/cli"
	"github.com/briskest/briskest/internal/config"
	"github.com/briskest/briskest/internal/keystore"
	"github.com/briskest/briskest/internal/pemfile"
)

//go:embed templates/*.yaml
var templates embed.FS

// folder is a directory that is being set up. What is there already stays as it
// is, so that setting up again goes on where it stopped and overwrites no key.
type folder string

func (f folder) path(name string) string { return filepath.Join(string(f), name) }

func (f folder) has(name string) bool {
	_, err := os.Stat(f.path(name))
	return err == nil
}

// make makes folders, readable by this user only. One that is there and that
// everybody may write to is refused: what is in it is taken over as it is, and
// could be somebody else's key.
func (f folder) make(names ...string) error {
	for _, name := range append([]string{"."}, names...) {
		path := f.path(name)
		if err := os.MkdirAll(path, 0o700); err != nil {
			return err
		}
		info, err := os.Lstat(path)
		if err != nil {
			return err
		}
		if info.Mode().Perm()&0o002 != 0 {
			return cli.Hint(cli.Usage("%s: everybody on this machine may write to it", path), "use a folder of your own, or chmod o-w it and look at what is in it")
		}
	}
	return nil
}

// key opens the key of that name, or makes one. A token without Ed25519 makes
// one for P-256 instead.
func (f folder) key(ctx context.Context, name string, alg keystore.Algorithm) (crypto.Signer, error) {
	uri, err := f.keyURI(name)
	if err != nil {
		return nil, err
	}
	key, err := openOrCreate(ctx, uri, alg)
	if errors.Is(err, keystore.ErrAlgorithm) && alg == keystore.Ed25519 {
		return openOrCreate(ctx, uri, keystore.P256)
	}
	return key, err
}

// certificates reads the named PEM file, or makes its content.
func (f folder) certificates(name string, produce func() ([]*x509.Certificate, error)) ([]*x509.Certificate, error) {
	if f.has(name) {
		return pemfile.Certificates(f.path(name))
	}
	certs, err := produce()
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	var data []byte
	for _, c := range certs {
		data = append(data, pemfile.Encode(c.Raw)...)
	}
	return certs, pemfile.Write(f.path(name), data, 0o644)
}

// fill writes the named file from a template, unless it is there.
func (f folder) fill(name, from string, values any) error {
	if f.has(name) {
		return nil
	}
	t, err := template.New(from).Funcs(template.FuncMap{"quote": strconv.Quote, "key": f.keyValue}).ParseFS(templates, "templates/"+from)
	if err != nil {
		return err
	}
	var out bytes.Buffer
	if err := t.Execute(&out, values); err != nil {
		return err
	}
	return pemfile.Write(f.path(name), out.Bytes(), 0o644)
}

// profile writes a profile as its own file, unless it is there, and reads it back.
func (f folder) profile(name string, d *profile.Document) (*profile.Profile, error) {
	if !f.has(name) {
		data, err := config.Encode(d)
		if err != nil {
			return nil, err
		}
		if err := pemfile.Write(f.path(name), data, 0o644); err != nil {
			return nil, err
		}
	}
	data, err := os.ReadFile(f.path(name))
	if err != nil {
		return nil, err
	}
	return profile.Load(data, config.Decode)
}

// record is a ca.Request's Record.
type record func(ctx context.Context, in *ca.Intent) error

// root makes or reads a self-signed CA.
func (f folder) root(ctx context.Context, cert, key string, a *localca.Authority) (*x509.Certificate, crypto.Signer, error) {
	signer, err := f.key(ctx, key, keystore.P256)
	if err != nil {
		return nil, nil, err
	}
	certs, err := f.certificates(cert, func() ([]*x509.Certificate, error) {
		c, err := localca.NewRoot(ctx, signer, a)
		return []*x509.Certificate{c}, err
	})
	if err != nil {
		return nil, nil, err
	}
	return certs[0], signer, nil
}

// issuing makes or reads a CA below a root. The file has both.
func (f folder) issuing(ctx context.Context, cert, key string, root *x509.Certificate, rootKey crypto.Signer, a *localca.Authority) ([]*x509.Certificate, error) {
	signer, err := f.key(ctx, key, keystore.P256)
	if err != nil {
		return nil, err
	}
	return f.certificates(cert, func() ([]*x509.Certificate, error) {
		parent, err := localca.New(localca.Config{Certificate: root, Key: rootKey})
		if err != nil {
			return nil, err
		}
		issuing, err := localca.NewIntermediate(ctx, parent, signer.Public(), a)
		return []*x509.Certificate{issuing, root}, err
	})
}

// authority describes a CA with room for another one below it.
func authority(name, lifetime string, rec record) *localca.Authority {
	return &localca.Authority{Subject: pkix.Name{CommonName: name}, Lifetime: lifetime, PathLength: 1, Record: rec}
}

// hosts splits names for a server certificate into DNS names and addresses.
func hosts(names []string) (dns []string, ips []net.IP) {
	for _, name := range names {
		if ip := net.ParseIP(name); ip != nil {
			ips = append(ips, ip)
		} else {
			dns = append(dns, name)
		}
	}
	return dns, ips
}

// newCSR makes and parses a CSR for the given template.
func newCSR(template *x509.CertificateRequest, key crypto.Signer) (*x509.CertificateRequest, error) {
	der, err := x509.CreateCertificateRequest(rand.Reader, template, key)
	if err != nil {
		return nil, err
	}
	return x509.ParseCertificateRequest(der)
}
