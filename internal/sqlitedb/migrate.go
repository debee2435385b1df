package sqlitedb

import (
	"context"
	"database/sql"
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"path/filepath"

	"github.com/pressly/goose/v3"
	"github.com/pressly/goose/v3/database"
)

//go:embed migrations/*.sql
var trailMigrations embed.FS

// Upgrade brings the tables of a database that nobody has open up to date, as
// [Open] does, and writes nothing else.
func Upgrade(ctx context.Context, path string, migrations fs.FS) error {
	abs, err := filepath.Abs(path)
	if err != nil {
		return fmt.Errorf("database %s: %w", path, err)
	}
	lock, err := lockFile(abs + ".lock")
	if err != nil {
		return err
	}
	err = migrate(ctx, &Options{Path: abs, Migrations: migrations, Log: slog.New(slog.DiscardHandler)})
	return errors.Join(err, lock.Release())
}

// migrate brings the trail's tables and then the store's up to date. Each set
// has its own table of versions. The caller holds the file lock.
func migrate(ctx context.Context, opts *Options) error {
	db, err := sql.Open("sqlite", dsn(opts.Path, writerPragmas()))
	if err != nil {
		return err
	}
	defer func() { _ = db.Close() }()
	db.SetMaxOpenConns(1)
	own, err := fs.Sub(trailMigrations, "migrations")
	if err != nil {
		return err
	}
	if err := up(ctx, db, own, "trail_schema", opts.Log); err != nil {
		return err
	}
	if opts.Migrations == nil {
		return nil
	}
	return up(ctx, db, opts.Migrations, "schema", opts.Log)
}

func up(ctx context.Context, db *sql.DB, files fs.FS, versions string, log *slog.Logger) error {
	store, err := database.NewStore(database.DialectSQLite3, versions)
	if err != nil {
		return err
	}
	p, err := goose.NewProvider("", db, files, goose.WithStore(store), goose.WithLogger(goose.NopLogger()))
	if errors.Is(err, goose.ErrNoMigrations) {
		return nil
	}
	if err != nil {
		return err
	}
	done, err := p.Up(ctx)
	for _, r := range done {
		log.InfoContext(ctx, "database migrated", slog.String("file", r.Source.Path), slog.Duration("took", r.Duration))
	}
	if err != nil {
		return fmt.Errorf("%s: %w", versions, err)
	}
	return nil
}
