package main

import (
	"bytes"
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/briskest/briskest/internal/cli"
	"github.com/briskest/briskest/internal/cms"
	"github.com/briskest/briskest/internal/keystore"
	"github.com/briskest/briskest/internal/pemfile"
	"github.com/briskest/briskest/internal/sqlitedb"
	"github.com/briskest/briskest/internal/strictjson"
	"github.com/briskest/briskest/internal/trail"
	masastore "github.com/briskest/briskest/masa/store"
	registrarstore "github.com/briskest/briskest/registrar/store"
)

type restoreCmd struct {
	Dir      string   `arg:"" type:"existingdir" help:"What briskest backup made."`
	To       string   `required:"" type:"path" placeholder:"DIR" help:"Folder to restore into; not there, or empty."`
	KeysWith string   `placeholder:"URI" help:"Key of the certificate that keys and passwords were encrypted for (keystore URI, or a file)."`
	KeysCert string   `type:"existingfile" placeholder:"PEM" help:"That certificate."`
	Witness  []string `type:"existingfile" sep:"none" placeholder:"FILE" help:"A head of the trail that somebody kept, from before the backup: it has to be in it. May be given more than once."`
	DryRun   bool     `help:"Check the backup, and write nothing."`
}

// Run checks a backup whole, and then restores it. The server, or the first
// command that opens the database, takes note of it on the trail.
func (c *restoreCmd) Run(ctx context.Context, s streams) (err error) {
	r, err := c.check()
	if err != nil {
		return err
	}
	if err := emptyPlace(c.To); err != nil {
		return err
	}
	var secrets []archived
	if c.KeysWith != "" {
		if secrets, err = c.secrets(ctx); err != nil {
			return err
		}
	}
	// Beside the place, and moved there when everything is verified and on disk.
	tmp, err := os.MkdirTemp(filepath.Dir(c.To), "."+filepath.Base(c.To)+"-*")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(tmp)) }()
	if err := r.unpack(c.Dir, tmp, secrets); err != nil {
		return err
	}
	if err := r.verify(ctx, filepath.Join(tmp, filepath.FromSlash(r.Store))); err != nil {
		return err
	}
	if c.DryRun {
		s.Printf("the backup is whole: a %s's of %s, %d entries\n", r.Role, r.MadeAt.Format(time.RFC3339), r.head.Size)
		return nil
	}
	if err := os.Remove(c.To); err != nil && !errors.Is(err, os.ErrNotExist) { // it is empty
		return err
	}
	if err := os.Rename(tmp, c.To); err != nil {
		return err
	}
	s.Printf("%s: restored as of %s, %d entries, head %d\n", c.To, r.MadeAt.Format(time.RFC3339), r.head.Size, r.head.Number)
	if len(secrets) == 0 && len(r.Secrets) > 0 {
		s.Printf("put back before it is started: %s\n", shown(r.Secrets))
	}
	s.Printf("%s", afterRestore(r.Role))
	return nil
}

// afterRestore says what has to be done by hand.
func afterRestore(role string) string {
	if role == "masa" {
		return `What happened after the backup is not known here:
- no voucher is issued a second time: what was asked before the first start is refused (asked-before), and devices ask anew with a new nonce
- requests without a nonce, and those of devices without a clock, are refused (restore-unconfirmed) until you say: briskest masa confirm-restore
- before that, import the devices built and the sales made since, end the ownerships that ended, block what was blocked
- claim codes made before the restore are good no more, since they may have been redeemed: make new ones
An export of the trail (briskest trail export --masa) from then says what is missing.
`
	}
	return `What happened after the backup is not known here:
- certificates issued since are refused until their devices enroll again; revoke again what was revoked since (briskest ca revoke), and suspend what was suspended
- passwords revoked since are good again, and quarantines placed since are gone: disable (briskest credential disable) and place (briskest quarantine place) them again
- one-time codes that were not spent yet are revoked at the first start, since they may have been spent: give new ones
- tokens for the API are revoked at the first start, since some may have been revoked: make new ones (briskest token create, over the socket)
- serial numbers and CRL numbers go on without repeating, as long as this machine's clock is right
An export of the trail (briskest trail export) from then says what is missing.
`
}

// restoring is a checked backup.
type restoring struct {
	backup
	key       crypto.PublicKey // of the trail
	head      *trail.Head
	witnesses []*trail.Head // head among them
}

// check reads every byte of the backup, and says what is wrong.
func (c *restoreCmd) check() (*restoring, error) {
	r, err := readBackup(filepath.Join(c.Dir, backupManifest))
	if err != nil {
		return nil, err
	}
	if err := r.checkFiles(c.Dir); err != nil {
		return nil, cli.Hint(err, "take another backup: this one is not as it was written")
	}
	block, _ := pem.Decode([]byte(r.TrailKey))
	if block == nil {
		return nil, fmt.Errorf("%s has no trail_key", backupManifest)
	}
	if r.key, err = x509.ParsePKIXPublicKey(block.Bytes); err != nil {
		return nil, fmt.Errorf("%s: trail_key: %w", backupManifest, err)
	}
	origin := registrarstore.Origin
	if r.Role == "masa" {
		origin = masastore.Origin
	}
	if r.head, err = trail.OpenNote([]byte(r.Head), origin, r.key); err != nil {
		return nil, fmt.Errorf("%s: head: %w", backupManifest, err)
	}
	r.witnesses = []*trail.Head{r.head}
	for _, file := range c.Witness {
		data, err := readSmall(file, maxProofFile)
		if err != nil {
			return nil, err
		}
		h, err := trail.OpenNote(data, origin, r.key)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", file, err)
		}
		r.witnesses = append(r.witnesses, h)
	}
	if now := time.Now(); now.Before(r.MadeAt) {
		return nil, cli.Hint(fmt.Errorf("the backup was made at %s, and it is %s here", r.MadeAt.Format(time.RFC3339), now.UTC().Format(time.RFC3339)),
			"set the clock: numbers of revocation lists follow it")
	}
	return r, nil
}

// verify brings the database up to date, which an earlier program may have
// backed up, and verifies its trail.
func (r *restoring) verify(ctx context.Context, path string) error {
	upgrade, verify := registrarstore.Upgrade, verifyRegistrarCopy
	if r.Role == "masa" {
		upgrade, verify = masastore.Upgrade, masastore.VerifyWith
	}
	if err := upgrade(ctx, path); err != nil {
		return err
	}
	report, err := verify(ctx, path, r.key, r.witnesses)
	if err != nil {
		return err
	}
	if report.Entries != r.head.Size {
		return fmt.Errorf("%w: the database has %d entries, and the manifest speaks of %d", sqlitedb.ErrTrail, report.Entries, r.head.Size)
	}
	return nil
}

func verifyRegistrarCopy(ctx context.Context, path string, key crypto.PublicKey, witnesses []*trail.Head) (*sqlitedb.Report, error) {
	report, _, err := registrarstore.VerifyWith(ctx, &registrarstore.VerifyOptions{Path: path, Key: key, Witnesses: witnesses})
	return report, err
}

func readBackup(file string) (*restoring, error) {
	data, err := readSmall(file, 16<<20)
	if errors.Is(err, os.ErrNotExist) {
		return nil, cli.Usage("%s is not there: the folder is no backup that was finished", file)
	}
	if err != nil {
		return nil, err
	}
	if err := strictjson.Value(data, strictjson.Limits{Bytes: 16 << 20, Depth: 8, Members: 20 * maxBackedFiles}, 1); err != nil {
		return nil, fmt.Errorf("%s: %w", file, err)
	}
	r := &restoring{}
	d := json.NewDecoder(bytes.NewReader(data))
	d.DisallowUnknownFields()
	if err := d.Decode(&r.backup); err != nil {
		return nil, fmt.Errorf("%s: %w", file, err)
	}
	if r.Version != 1 || r.Role != "registrar" && r.Role != "masa" {
		return nil, cli.Usage("%s is of version %d and role %q; this program restores version 1 of a registrar or masa", file, r.Version, r.Role)
	}
	return r, nil
}

// checkFiles holds what is in the folder against the manifest: nothing changed,
// missing, added, linked, or outside.
func (r *restoring) checkFiles(dir string) error {
	want := make(map[string]bool)
	for _, f := range r.Files {
		if !filepath.IsLocal(filepath.FromSlash(f.Name)) || want[f.Name] {
			return fmt.Errorf("the manifest names %q", f.Name)
		}
		want[f.Name] = true
		sum, size, err := digestOf(filepath.Join(dir, filepath.FromSlash(f.Name)))
		if err != nil {
			return err
		}
		if size != f.Size || sum != f.SHA256 {
			return fmt.Errorf("%s is not as it was backed up", f.Name)
		}
	}
	for _, name := range []string{r.Store, r.Config} {
		if !filepath.IsLocal(filepath.FromSlash(name)) {
			return fmt.Errorf("the manifest names %q", name)
		}
	}
	if !want[backupDatabase] {
		return errors.New("the manifest names no database")
	}
	return filepath.WalkDir(dir, func(path string, e os.DirEntry, err error) error {
		if err != nil || e.IsDir() {
			return err
		}
		rel, err := below(dir, path)
		if err == nil && !want[rel] && rel != backupManifest {
			err = fmt.Errorf("%s does not belong there", rel)
		}
		return err
	})
}

func digestOf(path string) (sum string, size int64, err error) {
	st, err := os.Lstat(path)
	if err != nil {
		return "", 0, err
	}
	if !st.Mode().IsRegular() {
		return "", 0, fmt.Errorf("%s is not a plain file", path)
	}
	f, err := os.Open(path)
	if err != nil {
		return "", 0, err
	}
	defer func() { _ = f.Close() }()
	h := sha256.New()
	size, err = io.Copy(h, f)
	return hex.EncodeToString(h.Sum(nil)), size, err
}

func emptyPlace(dir string) error {
	entries, err := os.ReadDir(dir)
	switch {
	case errors.Is(err, os.ErrNotExist):
		return nil
	case err != nil:
		return err
	case len(entries) > 0:
		return cli.Hint(cli.Usage("%s is not empty", dir), "a backup is restored into an empty place, so that nothing of two databases is mixed")
	}
	return nil
}

// secrets decrypts keys and passwords.
func (c *restoreCmd) secrets(ctx context.Context) ([]archived, error) {
	if c.KeysCert == "" {
		return nil, required("--keys-cert")
	}
	data, err := os.ReadFile(filepath.Join(c.Dir, backupKeys))
	if err != nil {
		return nil, cli.Hint(err, "this backup has no keys; put them back yourself")
	}
	certs, err := pemfile.Certificates(c.KeysCert)
	if err != nil {
		return nil, err
	}
	uri, err := absoluteURI(c.KeysWith)
	if err != nil {
		return nil, err
	}
	key, err := keystore.Open(ctx, uri)
	if err != nil {
		return nil, err
	}
	var private crypto.PrivateKey
	switch k := key.(type) {
	case *ecdsa.PrivateKey:
		private = k
	case *rsa.PrivateKey:
		private = k
	default:
		private = key
	}
	tar, err := cms.Decrypt(data, &cms.RecipientKey{Certificate: certs[0], Key: private})
	if err != nil {
		return nil, fmt.Errorf("%s: %w", backupKeys, err)
	}
	return archiveIn(tar)
}

// unpack writes everything into a folder.
func (r *restoring) unpack(from, tmp string, secrets []archived) error {
	for _, f := range r.Files {
		name := f.Name
		switch {
		case name == backupKeys:
			continue
		case name == backupDatabase:
			name = r.Store
		default:
			rest, ok := strings.CutPrefix(name, backupFiles+"/")
			if name = rest; !ok || !filepath.IsLocal(filepath.FromSlash(name)) {
				return fmt.Errorf("the manifest names %q", f.Name)
			}
		}
		if err := copyFile(filepath.Join(from, filepath.FromSlash(f.Name)), filepath.Join(tmp, filepath.FromSlash(name))); err != nil {
			return err
		}
	}
	for _, f := range secrets {
		path := filepath.FromSlash(f.name)
		if !filepath.IsLocal(path) {
			return fmt.Errorf("%s names %q", backupKeys, f.name)
		}
		if err := putFile(filepath.Join(tmp, path), f.data); err != nil {
			return err
		}
	}
	marker, err := json.Marshal(&restoredNote{Head: r.head.Number, Size: r.head.Size, Root: hex.EncodeToString(r.head.Root[:]), MadeAt: r.MadeAt, RestoredAt: time.Now().UTC(), By: actor()})
	if err != nil {
		return err
	}
	return putFile(filepath.Join(tmp, filepath.FromSlash(r.Store))+restoredSuffix, marker)
}
