package main

import (
	"bytes"
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rsa"
	"crypto/x509"
	"fmt"
	"path"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/briskest/briskest/ca/localca"
	"github.com/briskest/briskest/internal/cli"
	"github.com/briskest/briskest/internal/keystore"
	"github.com/briskest/briskest/internal/pemfile"
	"github.com/briskest/briskest/internal/pkcs11uri"
)

type caRenewCmd struct {
	caDir
	Root         bool   `help:"Renew the root too. One that has ended is renewed in any case."`
	Lifetime     string `help:"Of the issuing CA's certificate, such as 3650d; default as long as the one before."`
	RootLifetime string `help:"Of the root's; default as long as the one before."`
	output
}

// Run makes certificates for the same keys and names.
func (c *caRenewCmd) Run(ctx context.Context, s streams) error {
	f, err := changeCAFolder(c.Dir)
	if err != nil {
		return err
	}
	defer f.release()
	old, err := f.chain()
	if err != nil {
		return err
	}
	if len(old) > 2 {
		return cli.Usage("%q stands below another CA than the root; ask that one: briskest ca csr, and install", old[0].Subject)
	}
	root, rootKey, err := f.root(ctx, old)
	if err != nil {
		return err
	}
	if c.Root || len(old) == 1 || f.now().After(root.NotAfter) {
		if root, err = f.renewRoot(ctx, root, rootKey, c.RootLifetime); err != nil {
			return err
		}
	}
	chain := []*x509.Certificate{root}
	if len(old) == 2 {
		issuing, err := f.renewIssuing(ctx, old[0], root, rootKey, old[0].PublicKey, c.Lifetime)
		if err != nil {
			return err
		}
		chain = []*x509.Certificate{issuing, root}
	}
	if err := f.replace(chain, old, false); err != nil {
		return err
	}
	return cli.PrintOne(s.Out, c.Format, f.files())
}

// renewRoot makes a root of the same name for key, which may be another one.
func (f *caFolder) renewRoot(ctx context.Context, old *x509.Certificate, key crypto.Signer, lifetime string) (*x509.Certificate, error) {
	if lifetime == "" {
		lifetime = lifetimeOf(old)
	}
	root, err := f.newRoot(ctx, key, old.Subject, lifetime)
	if err != nil {
		return nil, err
	}
	return root, sameName(old, root)
}

// renewIssuing makes a certificate of the same name for pub.
func (f *caFolder) renewIssuing(ctx context.Context, old, root *x509.Certificate, rootKey crypto.Signer, pub crypto.PublicKey, lifetime string) (*x509.Certificate, error) {
	if lifetime == "" {
		lifetime = lifetimeOf(old)
	}
	pathLength := old.MaxPathLen
	if pathLength == 0 && !old.MaxPathLenZero {
		pathLength = -1
	}
	issuing, err := f.newIssuing(ctx, root, rootKey, pub, old.Subject, lifetime, pathLength)
	if err != nil {
		return nil, err
	}
	return issuing, sameName(old, issuing)
}

func sameName(old, next *x509.Certificate) error {
	if !bytes.Equal(old.RawSubject, next.RawSubject) {
		return fmt.Errorf("the name %q cannot be written as it was; have the certificate made where the old one was", old.Subject)
	}
	return nil
}

type caRolloverCmd struct {
	caDir
	What         string             `enum:"both,root,issuing" default:"both" help:"Which keys are new: both, root or issuing."`
	Key          string             `placeholder:"URI" help:"Where the new issuing key is made, or is. Default: beside the old one, with the next number."`
	RootKey      string             `placeholder:"URI" help:"Where the root's new key is made, or is. Default as above."`
	Algorithm    keystore.Algorithm `help:"Of keys that are made; default as the old ones."`
	Lifetime     string             `help:"Of the issuing CA's certificate; default as long as the one before."`
	RootLifetime string             `help:"Of the root's; default as long as the one before."`
	output
}

// rollover is a change of keys under way. Nothing that others read changes
// before its end.
type rollover struct {
	*caFolder
	command      *caRolloverCmd
	old          []*x509.Certificate
	root         localca.Root // of before
	nextRoot     localca.Root // the same without a new root
	nextKey      crypto.Signer
	key, rootKey string // URIs
	links        []*x509.Certificate
}

// Run changes keys, with the certificates that carry trust from the old to the
// new and back (RFC 4210, Section 4.4; RFC 7030, Section 4.1.3).
func (c *caRolloverCmd) Run(ctx context.Context, s streams) error {
	f, err := changeCAFolder(c.Dir)
	if err != nil {
		return err
	}
	defer f.release()
	r := &rollover{caFolder: f, command: c, key: f.Key, rootKey: f.RootKey}
	if r.old, err = f.chain(); err != nil {
		return err
	}
	if len(r.old) != 2 {
		return cli.Usage("a rollover is of a root and the CA below it, and %s has %d CAs; with a root elsewhere: briskest ca csr --key NEW, certify there, install here", c.Dir, len(r.old))
	}
	for _, step := range []func(context.Context) error{r.open, r.newKeys, r.rollRoot, r.finish} {
		if err := step(ctx); err != nil {
			return err
		}
	}
	return cli.PrintOne(s.Out, c.Format, f.files())
}

func (r *rollover) open(ctx context.Context) error {
	root, key, err := r.caFolder.root(ctx, r.old)
	if err != nil {
		return err
	}
	r.root = localca.Root{Certificate: root, Key: key}
	r.nextRoot = r.root
	if r.nextKey, err = r.signer(ctx, r.Key); err != nil {
		return err
	}
	if r.Links != "" {
		r.links, err = pemfile.Certificates(r.source.path(r.Links))
		r.links = slices.DeleteFunc(r.links, func(c *x509.Certificate) bool { return r.now().After(c.NotAfter) })
	}
	return err
}

// newKeys makes the keys that change.
func (r *rollover) newKeys(ctx context.Context) error {
	var err error
	if r.command.What != "root" {
		if r.nextKey, err = r.successor(ctx, r.nextKey, r.command.Key, &r.key); err != nil {
			return err
		}
	}
	if r.command.What != "issuing" {
		r.nextRoot.Key, err = r.successor(ctx, r.root.Key, r.command.RootKey, &r.rootKey)
	}
	return err
}

// successor opens or makes the key that follows old, which is at *uri.
func (r *rollover) successor(ctx context.Context, old crypto.Signer, given string, uri *string) (crypto.Signer, error) {
	next := given
	var err error
	if next != "" {
		next, err = r.uriFor(given)
	} else {
		next, err = nextURI(*uri)
	}
	if err != nil {
		return nil, err
	}
	alg := r.command.Algorithm
	if alg == "" {
		alg = algorithmOf(old.Public())
	}
	key, err := openOrCreate(ctx, r.source.uri(next), alg)
	if err != nil {
		return nil, err
	}
	if sameKey(key.Public(), old.Public()) {
		return nil, cli.Usage("%s is the key of before; a rollover takes another one", next)
	}
	*uri = next
	return key, nil
}

// rollRoot makes the new root and the links.
func (r *rollover) rollRoot(ctx context.Context) error {
	if r.command.What == "issuing" {
		return nil
	}
	var err error
	if r.nextRoot.Certificate, err = r.renewRoot(ctx, r.root.Certificate, r.nextRoot.Key, r.command.RootLifetime); err != nil {
		return err
	}
	made, err := localca.NewLinks(ctx, &localca.Rollover{Old: r.root, New: r.nextRoot, Record: r.record, Now: r.now})
	if err != nil {
		return err
	}
	r.links = append(r.links, made.OldWithNew, made.NewWithOld)
	for _, link := range []*x509.Certificate{made.OldWithNew, made.NewWithOld} {
		if err := r.issued(kindIssued, link); err != nil {
			return err
		}
	}
	return nil
}

// finish certifies the issuing key and puts all of it in force.
func (r *rollover) finish(ctx context.Context) error {
	issuing, err := r.renewIssuing(ctx, r.old[0], r.nextRoot.Certificate, r.nextRoot.Key, r.nextKey.Public(), r.command.Lifetime)
	if err != nil {
		return err
	}
	if r.command.What == "root" { // its key goes on: no CA of before signs lists
		r.links = append(r.links, r.old...)
	}
	// Where the old root allows one CA below it, some programs count the link as
	// one (crypto/x509 does), and take the new issuing CA below the old root.
	if old := r.root.Certificate; r.command.What == "both" && old.MaxPathLen > 0 {
		direct, err := r.renewIssuing(ctx, r.old[0], old, r.root.Key, r.nextKey.Public(), r.command.Lifetime)
		if err != nil {
			return err
		}
		r.links = append(r.links, direct)
	}
	if len(r.links) > 0 {
		if r.Links, err = r.store("links", r.links...); err != nil {
			return err
		}
	}
	r.RootKey, r.NextKey = r.rootKey, r.key
	if r.command.What == "root" {
		r.NextKey = ""
	}
	return r.replace([]*x509.Certificate{issuing, r.nextRoot.Certificate}, r.old, r.command.What != "root")
}

// numbered is a name with a number at its end.
var numbered = regexp.MustCompile(`^(.*)-([0-9]{1,6})$`)

// nextURI names the key that follows one: issuing.key, issuing-2.key, issuing-3.key.
func nextURI(uri string) (string, error) {
	next := func(name string) string {
		if m := numbered.FindStringSubmatch(name); m != nil {
			n, _ := strconv.Atoi(m[2]) // at most six digits
			return m[1] + "-" + strconv.Itoa(n+1)
		}
		return name + "-2"
	}
	if file, ok := cutFile(uri); ok {
		ext := path.Ext(file)
		return "file:" + next(strings.TrimSuffix(file, ext)) + ext, nil
	}
	u, err := pkcs11uri.Parse(uri)
	if err != nil {
		return "", err
	}
	if u.Object == "" {
		return "", cli.Usage("the old key has no object= in its URI, after which the new one could be named; give --key and --root-key")
	}
	u.Object, u.ID = next(u.Object), ""
	return u.String(), nil
}

// algorithmOf says how to make another key like this one.
func algorithmOf(pub crypto.PublicKey) keystore.Algorithm {
	switch pub := pub.(type) {
	case *rsa.PublicKey:
		switch bits := pub.N.BitLen(); {
		case bits > 3072:
			return keystore.RSA4096
		case bits > 2048:
			return keystore.RSA3072
		default:
			return keystore.RSA2048
		}
	case ed25519.PublicKey:
		return keystore.Ed25519
	case *ecdsa.PublicKey:
		switch pub.Curve.Params().BitSize {
		case 384:
			return keystore.P384
		case 521:
			return keystore.P521
		}
	}
	return keystore.P256
}
