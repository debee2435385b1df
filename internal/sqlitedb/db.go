// Package sqlitedb keeps rows and the trail about them in one SQLite file. It
// is what the registrar's and the MASA's stores have in common: one writer
// that shares a disk sync between concurrent changes, readers beside it, the
// trail's entries and signed heads in the same transaction, and the check that
// no row was changed behind the trail's back.
//
// Start with [Open]; write with [DB.Commit], in which [Tx.Put] writes a row
// and tells the trail about it.
package sqlitedb

import (
	"context"
	"crypto"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"path/filepath"
	"sync"
	"time"

	"github.com/briskest/briskest/internal/filelock"
)

// Options says which database to open and how.
type Options struct {
	Path       string        // of the database file; its folder must exist
	Migrations fs.FS         // goose migrations, numbered *.sql at its root
	TrailKey   crypto.Signer // signs the trail's heads: Ed25519 or ECDSA
	Origin     string        // the log's name in its signed heads, such as "briskest/registrar"
	Tables     []*Table      // whose rows the trail covers; VerifyTrail checks them
	// Differences are queries that give no row as long as what is derived from
	// Tables is as it should be; VerifyTrail checks that.
	Differences []string
	Log         *slog.Logger // nil for none
	Now         func() time.Time
}

// DB is an open database. Its methods may be called concurrently.
type DB struct {
	opts  Options
	lock  *filelock.Lock
	write *conn // used by the writer goroutine only
	trail *trailWriter
	reads *pool

	requests chan *request
	timer    *time.Timer   // of the writer goroutine
	expected expectation   // of the next batch; of the writer goroutine
	stopping chan struct{} // closed by Close
	stopped  chan struct{} // closed by the writer goroutine
	closing  sync.Once
	closeErr error // set once, in closing
}

// ErrClosed says that the database has been closed.
var ErrClosed = errors.New("the database is closed")

// Open opens or makes the database, brings its tables up to date, and starts
// the writer. Only one process has it open at a time; another gets an error
// that wraps [ErrLocked]. Its cost does not grow with the rows.
func Open(ctx context.Context, opts Options) (*DB, error) {
	if opts.Path == "" || opts.TrailKey == nil || opts.Origin == "" {
		return nil, errors.New("sqlitedb: Path, TrailKey and Origin are required")
	}
	if opts.Log == nil {
		opts.Log = slog.New(slog.DiscardHandler)
	}
	if opts.Now == nil {
		opts.Now = time.Now
	}
	path, err := filepath.Abs(opts.Path)
	if err != nil {
		return nil, fmt.Errorf("database %s: %w", opts.Path, err)
	}
	opts.Path = path
	lock, err := lockFile(path + ".lock")
	if err != nil {
		return nil, err
	}
	db, err := openLocked(ctx, opts)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("database %s: %w", path, err), lock.Release())
	}
	db.lock = lock
	go db.writer()
	return db, nil
}

func openLocked(ctx context.Context, opts Options) (*DB, error) {
	if err := migrate(ctx, &opts); err != nil {
		return nil, fmt.Errorf("migrate: %w", err)
	}
	write, err := openWriter(opts.Path)
	if err != nil {
		return nil, err
	}
	tw, err := openTrail(write, &opts)
	if err != nil {
		return nil, errors.Join(err, write.close())
	}
	return &DB{
		opts:     opts,
		write:    write,
		trail:    tw,
		reads:    newPool(dsn(opts.Path, readerPragmas()), readers),
		requests: make(chan *request),
		timer:    time.NewTimer(0), // runs out unheard; each use resets it
		stopping: make(chan struct{}),
		stopped:  make(chan struct{}),
	}, nil
}

// Close waits for the changes under way, then closes everything. Changes that
// come later get [ErrClosed].
func (db *DB) Close() error {
	db.closing.Do(func() {
		close(db.stopping)
		<-db.stopped
		db.closeErr = errors.Join(db.reads.close(), db.write.close(), db.lock.Release())
	})
	return db.closeErr
}
