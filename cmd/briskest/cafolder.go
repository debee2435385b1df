package main

import (
	"context"
	"crypto"
	"crypto/x509"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/briskest/briskest/ca/localca"
	"github.com/briskest/briskest/ca/profile"
	"github.com/briskest/briskest/internal/cli"
	"github.com/briskest/briskest/internal/config"
	"github.com/briskest/briskest/internal/filelock"
	"github.com/briskest/briskest/internal/keystore"
	"github.com/briskest/briskest/internal/pemfile"
)

// caFile is the name of the file that makes a folder a CA's.
const caFile = "ca.yaml"

// caFolderConfig is ca.yaml: a CA that signs here, with what it was before. The
// commands of briskest ca write it, whole or not at all; a registrar that names
// the folder reads it when it starts and when it is told to reload. Paths are
// relative to the file.
type caFolderConfig struct {
	// Version of this schema; 1.
	Version int `yaml:"version"`
	// Certificate is a PEM file: the issuing CA first, then each CA above it, the
	// root last. Empty until the first certificate is installed.
	Certificate string `yaml:"certificate,omitempty"`
	// Key is the keystore URI of the issuing CA's key.
	Key string `yaml:"key"`
	// RootKey is the keystore URI of the root's key, for briskest ca alone. Empty: it is elsewhere.
	RootKey string `yaml:"root_key,omitempty"`
	// NextKey is the keystore URI of a key that a certificate was asked for (briskest ca csr) and has none yet.
	NextKey string `yaml:"next_key,omitempty"`
	// Publish is a file that gets a copy of Certificate whenever that changes, such as the one that devices are given.
	Publish string `yaml:"publish,omitempty"`
	// Links is a PEM file of what cacerts holds besides (RFC 7030, Section 4.1.3).
	Links string `yaml:"links,omitempty"`
	// Previous are the CAs before this one, the newest first: they issue nothing
	// and still sign lists and OCSP answers about what they issued.
	Previous []previousCAConfig `yaml:"previous,omitempty"`
}

// previousCAConfig is a CA that another one took over from.
type previousCAConfig struct {
	// Certificate is a PEM file as above.
	Certificate string `yaml:"certificate"`
	Key         string `yaml:"key"` // keystore URI; empty: it is gone, and signs nothing any more
}

// caFolder is an open folder of a CA.
type caFolder struct {
	folder
	caFolderConfig
	source source
	lock   *filelock.Lock // of commands that write; nil for readers
}

// caLockFile is held by the command that writes into the folder.
const caLockFile = "ca.lock"

// hold keeps other commands from writing into the folder until release.
func (f *caFolder) hold() error {
	lock, err := filelock.Take(f.path(caLockFile))
	if errors.Is(err, filelock.ErrHeld) {
		return cli.Hint(fmt.Errorf("another command is at work on the CA in %s; nothing was changed", f.folder), "wait until it has ended, and look at briskest ca status --dir %s before you go on", f.folder)
	}
	if err != nil {
		return fmt.Errorf("lock the CA's folder: %w", err)
	}
	f.lock = lock
	return nil
}

// release ends hold.
func (f *caFolder) release() { _ = f.lock.Release() } // the process ends soon, and the lock with it

// changeCAFolder opens a folder for a command that writes into it, which calls
// release at its end.
func changeCAFolder(dir string) (*caFolder, error) {
	f := &caFolder{folder: folder(dir)}
	if !f.has(caFile) {
		return openCAFolder(dir) // which says what to do
	}
	if err := f.hold(); err != nil {
		return nil, err
	}
	opened, err := openCAFolder(dir) // not before the lock: it is as the last command left it
	if err != nil {
		f.release()
		return nil, err
	}
	opened.lock = f.lock
	return opened, nil
}

// openCAFolder reads the ca.yaml of a folder.
func openCAFolder(dir string) (*caFolder, error) {
	f := &caFolder{folder: folder(dir)}
	f.source = source{file: f.path(caFile), digests: make(map[string]string)}
	data, err := f.source.read(caFile)
	if errors.Is(err, os.ErrNotExist) {
		return nil, cli.Hint(&cli.Error{Code: cli.ExitUsage, Err: err}, "briskest ca init --dir %s makes a CA, briskest ca csr --dir %s one below somebody else's", dir, dir)
	}
	if err == nil {
		err = config.Decode(data, &f.caFolderConfig)
	}
	if err == nil {
		err = f.check()
	}
	if err != nil {
		return nil, &cli.Error{Code: cli.ExitUsage, Err: fmt.Errorf("%s: %w", f.path(caFile), err)}
	}
	return f, nil
}

func (f *caFolder) check() error {
	if f.Version != 1 {
		return fmt.Errorf("version is %d; this program reads version 1", f.Version)
	}
	return requireKeys(map[string]string{"key": f.Key})
}

// chain reads the CA's certificates, the issuing one first.
func (f *caFolder) chain() ([]*x509.Certificate, error) {
	if f.Certificate == "" {
		return nil, cli.Hint(fmt.Errorf("the CA in %s has no certificate yet", f.folder), "briskest ca install --dir %s FILE puts in the one that its request was answered with", f.folder)
	}
	return pemfile.Certificates(f.source.path(f.Certificate))
}

// authority opens the CA. Of a CA before it whose key cannot be opened, which
// missing is told, the certificates are handed out all the same.
func (f *caFolder) authority(ctx context.Context, profiles map[string]*profile.Profile, missing func(error)) (*localca.CA, error) {
	chain, err := f.chain()
	if err != nil {
		return nil, err
	}
	key, err := keystore.Open(ctx, f.source.uri(f.Key))
	if err != nil {
		return nil, err
	}
	c := localca.Config{Certificate: chain[0], Chain: chain[1:], Key: key, Profiles: profiles}
	if f.Links != "" {
		if c.Links, err = pemfile.Certificates(f.source.path(f.Links)); err != nil {
			return nil, err
		}
	}
	for _, p := range f.Previous {
		before, err := f.before(ctx, p)
		if err != nil {
			missing(fmt.Errorf("an earlier CA signs no lists: %w", err))
			old, err := pemfile.Certificates(f.source.path(p.Certificate))
			if err != nil {
				return nil, err
			}
			c.Links = append(c.Links, old...)
			continue
		}
		c.Previous = append(c.Previous, before)
	}
	return localca.New(c)
}

func (f *caFolder) before(ctx context.Context, p previousCAConfig) (*localca.CA, error) {
	chain, err := pemfile.Certificates(f.source.path(p.Certificate))
	if err != nil {
		return nil, err
	}
	key, err := keystore.Open(ctx, f.source.uri(p.Key))
	if err != nil {
		return nil, err
	}
	return localca.New(localca.Config{Certificate: chain[0], Chain: chain[1:], Key: key})
}

// save writes ca.yaml, which decides what the folder is, and then the copy of
// the certificates that others read.
func (f *caFolder) save() error {
	data, err := config.Encode(f.caFolderConfig)
	if err != nil {
		return err
	}
	const about = "# A certification authority that signs here. The commands of briskest ca write\n# this file; a registrar that names the folder reads it at SIGHUP.\n"
	if err := pemfile.Write(f.path(caFile), append([]byte(about), data...), 0o644); err != nil {
		return err
	}
	if f.Publish == "" || f.Publish == f.Certificate || f.Certificate == "" {
		return nil
	}
	chain, err := os.ReadFile(f.source.path(f.Certificate))
	if err != nil {
		return err
	}
	return pemfile.Write(f.source.path(f.Publish), chain, 0o644)
}

// store writes certificates into a file of the folder that is not there yet,
// NAME-N.pem, and returns its name.
func (f *caFolder) store(name string, certs ...*x509.Certificate) (string, error) {
	var data []byte
	for _, c := range certs {
		data = append(data, pemfile.Encode(c.Raw)...)
	}
	for n := 1; ; n++ {
		file := fmt.Sprintf("%s-%d.pem", name, n)
		if !f.has(file) {
			return file, pemfile.Write(f.path(file), data, 0o644)
		}
	}
}

// uriFor writes a keystore URI of the command line, relative to the working
// directory, as ca.yaml has it.
func (f *caFolder) uriFor(uri string) (string, error) {
	abs, err := absoluteURI(uri)
	if err != nil {
		return "", err
	}
	path, ok := cutFile(abs)
	if !ok {
		return abs, nil
	}
	dir, err := filepath.Abs(string(f.folder))
	if err != nil {
		return "", err
	}
	if rel, err := filepath.Rel(dir, path); err == nil && filepath.IsLocal(rel) {
		return "file:" + filepath.ToSlash(rel), nil
	}
	return abs, nil
}

// now is the time of all that a command makes.
func (f *caFolder) now() time.Time { return time.Now().UTC() }

// signer opens a key by its URI as ca.yaml has it.
func (f *caFolder) signer(ctx context.Context, uri string) (crypto.Signer, error) {
	return keystore.Open(ctx, f.source.uri(uri))
}
