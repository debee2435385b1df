package sqlitedb

import (
	"context"
	"database/sql/driver"
	"errors"
	"fmt"
	"net/url"
	"strings"

	"modernc.org/sqlite"
)

// pageCache is the most memory, in KiB, that a connection keeps pages in. It
// is taken as pages are used, so an idle server holds little of it.
const (
	writerCache = 8192
	readerCache = 1024
	// checkpointPages is how many pages the write-ahead log gathers (16 MiB)
	// before they are written back; it bounds the file and the recovery.
	checkpointPages = 4000
	busyMillis      = 10000
)

func writerPragmas() []string {
	return []string{
		"journal_mode(WAL)",
		"synchronous(FULL)",
		"foreign_keys(1)",
		fmt.Sprintf("busy_timeout(%d)", busyMillis),
		fmt.Sprintf("cache_size(-%d)", writerCache),
		fmt.Sprintf("wal_autocheckpoint(%d)", checkpointPages),
		"temp_store(MEMORY)",
	}
}

func readerPragmas() []string {
	return []string{
		fmt.Sprintf("busy_timeout(%d)", busyMillis),
		fmt.Sprintf("cache_size(-%d)", readerCache),
		"query_only(1)",
		"temp_store(MEMORY)",
	}
}

// dsn builds the driver's data source name for an absolute path.
func dsn(path string, pragmas []string, more ...string) string {
	q := url.Values{"_pragma": pragmas}
	for i := 0; i+1 < len(more); i += 2 {
		q.Set(more[i], more[i+1])
	}
	u := url.URL{Scheme: "file", Path: path, RawQuery: q.Encode()}
	return u.String()
}

// conn is one connection with its prepared statements. It talks to the driver
// without database/sql in between, which costs more than a small statement.
// One goroutine at a time.
type conn struct {
	raw   driver.Conn
	wal   *walFile               // of the writer
	stmts map[string]driver.Stmt // by text; texts come from the code, so they are few
	args  []driver.NamedValue    // scratch

	looking bool   // a snapshot is open, or will be with the first query
	seen    uint64 // how many changes it has at least
}

func openConn(dsn string) (*conn, error) {
	connector, err := sqlite.NewConnector(dsn)
	if err != nil {
		return nil, err
	}
	raw, err := connector.Connect(context.Background())
	if err != nil {
		return nil, err
	}
	return &conn{raw: raw, stmts: make(map[string]driver.Stmt)}, nil
}

// openWriter opens the connection that writes.
func openWriter(path string) (*conn, error) {
	wal, name, err := newWALFile()
	if err != nil {
		return nil, err
	}
	var more []string
	if name != "" {
		more = []string{"vfs", name}
	}
	c, err := openConn(dsn(path, writerPragmas(), more...))
	if err != nil {
		wal.close()
		return nil, err
	}
	c.wal = wal
	return c, nil
}

func (c *conn) close() error {
	errs := make([]error, 0, len(c.stmts)+1)
	for _, s := range c.stmts {
		errs = append(errs, s.Close())
	}
	errs = append(errs, c.raw.Close())
	if c.wal != nil {
		c.wal.close()
	}
	return errors.Join(errs...)
}

// look has what is read from now on be of one snapshot, with so many changes.
func (c *conn) look(changes uint64) error {
	if c.looking && c.seen == changes {
		return nil
	}
	if err := c.lookAway(); err != nil {
		return err
	}
	if _, err := c.exec("BEGIN"); err != nil {
		return err
	}
	c.looking, c.seen = true, changes
	return nil
}

// lookAway ends the snapshot, if there is one.
func (c *conn) lookAway() error {
	if !c.looking {
		return nil
	}
	c.looking = false
	_, err := c.exec("ROLLBACK") // it only read
	return err
}

func (c *conn) prepare(query string) (driver.Stmt, error) {
	if s, ok := c.stmts[query]; ok {
		return s, nil
	}
	s, err := c.raw.Prepare(query)
	if err != nil {
		return nil, fmt.Errorf("prepare %s: %w", firstWords(query), err)
	}
	c.stmts[query] = s
	return s, nil
}

// bind converts args into c.args, which stays valid until the next call.
func (c *conn) bind(args []any) ([]driver.NamedValue, error) {
	c.args = c.args[:0]
	for i, a := range args {
		v, err := toValue(a)
		if err != nil {
			return nil, fmt.Errorf("argument %d: %w", i+1, err)
		}
		c.args = append(c.args, driver.NamedValue{Ordinal: i + 1, Value: v})
	}
	return c.args, nil
}

// exec runs a statement and returns the number of rows it changed.
func (c *conn) exec(query string, args ...any) (int64, error) {
	s, err := c.prepare(query)
	if err != nil {
		return 0, err
	}
	bound, err := c.bind(args)
	if err != nil {
		return 0, err
	}
	res, err := s.(driver.StmtExecContext).ExecContext(context.Background(), bound)
	if err != nil {
		return 0, classify(err, query)
	}
	n, err := res.RowsAffected()
	if err != nil {
		return 0, classify(err, query)
	}
	return n, nil
}

// query runs a statement that returns rows.
func (c *conn) query(query string, args ...any) (driver.Rows, error) {
	s, err := c.prepare(query)
	if err != nil {
		return nil, err
	}
	bound, err := c.bind(args)
	if err != nil {
		return nil, err
	}
	rows, err := s.(driver.StmtQueryContext).QueryContext(context.Background(), bound)
	if err != nil {
		return nil, classify(err, query)
	}
	return rows, nil
}

// firstWords names a statement in an error, without its values.
func firstWords(query string) string {
	f := strings.Fields(query)
	return strings.Join(f[:min(len(f), 3)], " ")
}
