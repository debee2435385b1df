// Package store keeps a registrar's records in SQLite. Start with [Open]; the
// result is a registrar.Store. It decides nothing: what may be written, and
// when, is the registrar's concern.
package store

import (
	"context"
	"crypto"
	"embed"
	"io/fs"
	"log/slog"
	"time"

	"github.com/briskest/briskest/internal/sqlitedb"
	"github.com/briskest/briskest/internal/trail"
	"github.com/briskest/briskest/registrar"
)

// Origin is the name of the registrar's log in its signed heads.
const Origin = "briskest/registrar"

//go:embed migrations/*.sql
var migrations embed.FS

// Options says which database to open.
type Options struct {
	Path     string        // of the database file; its folder must exist
	TrailKey crypto.Signer // signs the trail's heads: Ed25519 or ECDSA
	Log      *slog.Logger  // nil for none
	Now      func() time.Time
	// Woken, when not nil, is called after each change, by the writer: it must not block.
	Woken func()
}

// Store is a registrar.Store in an SQLite file.
type Store struct {
	db     *sqlitedb.DB
	t      *tables
	caches *caches
	woken  func()
}

var _ registrar.Store = (*Store)(nil)

// Open opens or makes the database and brings it up to date. An error that
// wraps [sqlitedb.ErrLocked] says that a server has it open. The cost does not
// grow with the rows.
func Open(ctx context.Context, opts Options) (*Store, error) {
	files, err := fs.Sub(migrations, "migrations")
	if err != nil {
		return nil, err
	}
	t := newTables()
	db, err := sqlitedb.Open(ctx, sqlitedb.Options{
		Path: opts.Path, Migrations: files, TrailKey: opts.TrailKey, Origin: Origin,
		Tables: t.all(), Differences: differences(), Log: opts.Log, Now: opts.Now,
	})
	if err != nil {
		return nil, err
	}
	if opts.Woken == nil {
		opts.Woken = func() {}
	}
	return &Store{db: db, t: t, caches: newCaches(), woken: opts.Woken}, nil
}

// Upgrade brings a database that nobody has open up to date, as [Open] does.
func Upgrade(ctx context.Context, path string) error {
	files, err := fs.Sub(migrations, "migrations")
	if err != nil {
		return err
	}
	return sqlitedb.Upgrade(ctx, path, files)
}

// Close waits for the changes under way and closes the database.
func (s *Store) Close() error { return s.db.Close() }

// Verify checks the whole trail, and every row against it, on a database that
// may be in use. Key is the public half of [Options].TrailKey. An error that
// wraps [sqlitedb.ErrTrail] names the first place that is not as it was
// written.
func Verify(ctx context.Context, path string, key crypto.PublicKey) (*sqlitedb.Report, error) {
	return sqlitedb.VerifyFile(ctx, &sqlitedb.VerifyOptions{
		Path: path, Origin: Origin, Key: key, Tables: newTables().all(), Differences: differences(),
	})
}

// VerifyTrail is [Verify] for the open database.
func (s *Store) VerifyTrail(ctx context.Context) (*sqlitedb.Report, error) {
	return s.db.VerifyTrail(ctx)
}

// TrailEntries implements registrar.Trail. Entries of kind [trail.KindRows],
// which carry only digests of rows, belong to no device.
func (s *Store) TrailEntries(ctx context.Context, domain, device string, from int64, limit int) ([]*trail.Entry, error) {
	return s.db.TrailEntries(ctx, domain, device, from, limit)
}
