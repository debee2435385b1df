package sqlitedb

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"modernc.org/sqlite"

	"github.com/briskest/briskest/internal/trail"
)

// Copied is what a copy of a database has in it.
type Copied struct {
	Head   *trail.Head // its last; nil for an empty log. Not verified.
	Size   int64       // of the file, in bytes
	SHA256 [32]byte    // of the file
}

// backuper is what the driver's connection can do beside database/sql.
type backuper interface {
	NewBackup(dst string) (*sqlite.Backup, error)
}

// copyPages is how many pages are copied before ctx is looked at again.
const copyPages = 4096

// Copy copies one state of a database, which this process, another one or
// nobody may have open and write to meanwhile, into a file that is not there
// yet, which only this user may read. Every change that was durable before Copy
// was called is in it. When it returns nil, the copy is on disk; after an error
// there is none.
func Copy(ctx context.Context, from, to string) (_ *Copied, err error) {
	f, err := os.OpenFile(to, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600) //nolint:gosec // the path is the operator's
	if err != nil {
		return nil, fmt.Errorf("copy of the database: %w", err)
	}
	if err := f.Close(); err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			err = errors.Join(fmt.Errorf("copy of the database: %w", err), os.Remove(to))
		}
	}()
	s, err := OpenSnapshot(from)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, s.Close()) }()
	out := &Copied{}
	if out.Head, err = s.LastHead(); err != nil {
		return nil, err
	}
	if err := s.copyTo(ctx, to); err != nil {
		return nil, err
	}
	return out, out.settle(to)
}

// copyTo copies the pages of the snapshot. Since it reads inside the snapshot's
// transaction, what others write meanwhile does not start it again.
func (s *Snapshot) copyTo(ctx context.Context, to string) error {
	abs, err := filepath.Abs(to)
	if err != nil {
		return err
	}
	b, err := s.c.raw.(backuper).NewBackup(dsn(abs, []string{"synchronous(OFF)"}))
	if err != nil {
		return err
	}
	for more := true; more; {
		if err := ctx.Err(); err != nil {
			return errors.Join(err, b.Finish())
		}
		if more, err = b.Step(copyPages); err != nil {
			return errors.Join(err, b.Finish())
		}
	}
	return b.Finish()
}

// settle makes the copy one file, without a write-ahead log beside it, and
// durable, and reads it once.
func (c *Copied) settle(path string) error {
	abs, err := filepath.Abs(path)
	if err != nil {
		return err
	}
	conn, err := openConn(dsn(abs, nil))
	if err != nil {
		return err
	}
	var mode string
	err = conn.queryRow("PRAGMA journal_mode = DELETE").Scan(&mode)
	if err == nil && mode != "delete" {
		err = fmt.Errorf("its journal mode stays %q", mode)
	}
	if err := errors.Join(err, conn.close()); err != nil {
		return err
	}
	f, err := os.OpenFile(abs, os.O_RDWR, 0) //nolint:gosec // as above
	if err != nil {
		return err
	}
	h := sha256.New()
	c.Size, err = io.Copy(h, f)
	h.Sum(c.SHA256[:0])
	return errors.Join(err, f.Sync(), f.Close())
}
