package main

import (
	"bytes"
	"context"
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/briskest/briskest/internal/cli"
	"github.com/briskest/briskest/internal/cms"
	"github.com/briskest/briskest/internal/pemfile"
	"github.com/briskest/briskest/internal/sqlitedb"
)

// What a backup's folder has in it.
const (
	backupManifest = "manifest.json"
	backupDatabase = "database"
	backupKeys     = "keys.cms" // AuthEnvelopedData (RFC 5083) with a tar file
	backupFiles    = "files"    // a folder, as below the configuration
)

// backup is manifest.json.
type backup struct {
	Version  int       `json:"version"` // 1
	Role     string    `json:"role"`    // registrar or masa
	MadeAt   time.Time `json:"made_at"`
	MadeBy   string    `json:"made_by"`
	Config   string    `json:"config"`    // of files
	Store    string    `json:"store"`     // where the database belongs, as files
	Head     string    `json:"head"`      // of the trail; a signed note, as trail witness writes it
	TrailKey string    `json:"trail_key"` // public, PEM
	Files    []backed  `json:"files"`
	// Secrets are files with keys and passwords. They are in keys.cms, or when there
	// is none in no backup: somebody has to put them back.
	Secrets []string `json:"secrets"`
	// Outside are what the configuration names and this backup does not have: in other folders, or too large.
	Outside []string `json:"outside"`
}

// backed is one file of a backup.
type backed struct {
	Name   string `json:"name"`
	Size   int64  `json:"size"`
	SHA256 string `json:"sha256"`
}

type backupCmd struct {
	trailOf
	Dir     string `arg:"" type:"path" help:"Folder to make; it must not be there."`
	KeysFor string `type:"existingfile" placeholder:"PEM" help:"Back up keys and passwords too, encrypted for the owner of this certificate. Without it they are in no backup."`
}

// Run backs up beside the running server. When it is done, everything that was
// acknowledged before it began is in the backup, and on disk.
func (c *backupCmd) Run(ctx context.Context, s streams) error {
	o, err := c.open(ctx)
	if err != nil {
		return err
	}
	if err := os.Mkdir(c.Dir, 0o700); err != nil {
		return cli.Hint(err, "name a folder that is not there yet, in one that is")
	}
	b, err := c.write(ctx, o)
	if err != nil {
		return errors.Join(err, os.RemoveAll(c.Dir))
	}
	if len(b.Secrets) > 0 && c.KeysFor == "" {
		fmt.Fprintf(s.Err, "%d files with keys and passwords are NOT in this backup (--keys-for CERTIFICATE): %s\n", len(b.Secrets), shown(b.Secrets))
	}
	if len(b.Outside) > 0 {
		fmt.Fprintf(s.Err, "%d files that the configuration names are not in this backup: %s\n", len(b.Outside), shown(b.Outside))
	}
	s.Printf("%s: %d files; the database is %d bytes\n", c.Dir, len(b.Files), b.Files[0].Size)
	return nil
}

func shown(names []string) string {
	out := ""
	for i, name := range names {
		if i == 8 {
			return out + ", ..."
		}
		if i > 0 {
			out += ", "
		}
		out += name
	}
	return out
}

func (c *backupCmd) write(ctx context.Context, o *openedTrail) (*backup, error) {
	b := &backup{Version: 1, Role: "registrar", MadeAt: time.Now().UTC(), MadeBy: actor(), Config: filepath.Base(c.Config)}
	if c.MASA {
		b.Role = "masa"
	}
	home := filepath.Dir(o.source.file)
	var err error
	if b.Store, err = below(home, o.path); err != nil {
		return nil, cli.Hint(err, "a backup of such a database is made with files below the configuration's folder; move it there, or use a link")
	}
	copied, err := sqlitedb.Copy(ctx, o.path, filepath.Join(c.Dir, backupDatabase))
	if err != nil {
		return nil, err
	}
	if copied.Head == nil {
		return nil, cli.NotFound("the database is empty")
	}
	if err := copied.Head.Verify(o.origin, o.key); err != nil {
		return nil, err
	}
	note, err := copied.Head.Note(o.origin, o.key)
	if err != nil {
		return nil, err
	}
	der, err := x509.MarshalPKIXPublicKey(o.key)
	if err != nil {
		return nil, err
	}
	b.Head, b.TrailKey = string(note), string(pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der}))
	b.Files = append(b.Files, backed{backupDatabase, copied.Size, hex.EncodeToString(copied.SHA256[:])})
	if err := c.writeFiles(b, home); err != nil {
		return nil, err
	}
	data, err := json.MarshalIndent(b, "", "  ")
	if err != nil {
		return nil, err
	}
	return b, pemfile.Write(filepath.Join(c.Dir, backupManifest), append(data, '\n'), 0o600)
}

// below is the path of a file below a folder, with slashes.
func below(home, file string) (string, error) {
	abs, err := filepath.Abs(home)
	if err != nil {
		return "", err
	}
	rel, err := filepath.Rel(abs, file)
	if err != nil || !filepath.IsLocal(rel) {
		return "", fmt.Errorf("%s is not below %s", file, abs)
	}
	return filepath.ToSlash(rel), nil
}

// writeFiles backs up what the configuration names.
func (c *backupCmd) writeFiles(b *backup, home string) error {
	found := &named{home: home, seen: make(map[string]bool)}
	if err := found.document(filepath.Join(home, b.Config)); err != nil {
		return err
	}
	b.Outside = found.outside
	var secrets []archived
	for _, name := range found.sorted() {
		if name == b.Store {
			continue
		}
		data, err := os.ReadFile(filepath.Join(home, filepath.FromSlash(name)))
		if err != nil {
			return err
		}
		if !public(name, data) {
			b.Secrets = append(b.Secrets, name)
			secrets = append(secrets, archived{name, data})
			continue
		}
		if err := c.put(b, filepath.Join(backupFiles, filepath.FromSlash(name)), data); err != nil {
			return err
		}
	}
	if c.KeysFor == "" || len(secrets) == 0 {
		return nil
	}
	certs, err := pemfile.Certificates(c.KeysFor)
	if err != nil {
		return err
	}
	tar, err := archiveOf(secrets)
	if err != nil {
		return err
	}
	sealed, err := cms.Encrypt(&cms.EncryptRequest{Content: tar, Recipients: certs[:1], Authenticated: true})
	if err != nil {
		return cli.Hint(err, "the certificate's key has to be RSA, P-256, P-384 or P-521")
	}
	return c.put(b, backupKeys, sealed)
}

func (c *backupCmd) put(b *backup, name string, data []byte) error {
	path := filepath.Join(c.Dir, name)
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return err
	}
	sum := sha256.Sum256(data)
	b.Files = append(b.Files, backed{filepath.ToSlash(name), int64(len(data)), hex.EncodeToString(sum[:])})
	return pemfile.Write(path, data, 0o600)
}

// public tells whether a file may lie in a backup as it is: what is not known to
// be without secrets is a secret. Configurations name files for those (see
// docs/operations.md), never the secrets themselves.
func public(name string, data []byte) bool {
	switch filepath.Ext(name) {
	case ".yaml", ".yml":
		return true
	}
	if base := filepath.Base(name); base == caRecordFile || base == caHeadFile {
		return true
	}
	rest := bytes.TrimSpace(data)
	for len(rest) > 0 {
		block, after := pem.Decode(rest)
		kinds := []string{"CERTIFICATE", "X509 CRL", "PUBLIC KEY"}
		if block == nil || !slices.Contains(kinds, block.Type) || !bytes.HasPrefix(rest, []byte("-----BEGIN")) {
			return false
		}
		rest = bytes.TrimSpace(after)
	}
	return len(data) > 0
}
