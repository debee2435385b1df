package sqlitedb

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"runtime/debug"
	"time"

	"github.com/briskest/briskest/internal/trail"
)

// maxBatch is the most changes in one transaction.
const maxBatch = 128

// request is one change on its way through the writer.
type request struct {
	apply func(tx *Tx) error
	done  chan error // one answer; buffered
	err   error      // of apply, in the batch under way
	lines []line     // what the trail gets from it
	after []func()   // once it is durable
}

// line is an entry together with the rows it covers.
type line struct {
	entry *trail.Entry // the caller's, or made here
	rows  []trail.Row
	seq   int64
}

// Commit runs apply in a transaction and returns once it is durable, or was
// undone: an error of apply undoes what apply did and is returned as it is.
// Concurrent calls share the transaction and its disk sync, so apply may run
// twice, must not keep anything of the first run, and must not call Commit.
// ctx ends the wait for the writer; once the change has been taken up the
// answer is the truth, whatever becomes of ctx. Only [ErrDisk] leaves it open.
func (db *DB) Commit(ctx context.Context, apply func(tx *Tx) error) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	r := &request{apply: apply, done: make(chan error, 1)}
	select {
	case db.requests <- r:
		return <-r.done
	case <-ctx.Done():
		return ctx.Err()
	case <-db.stopping:
		return ErrClosed
	}
}

// writer is the goroutine that owns db.write and db.trail.
func (db *DB) writer() {
	defer close(db.stopped)
	tx := &Tx{db: db, c: db.write}
	batch := make([]*request, 0, maxBatch)
	for {
		batch = batch[:0]
		select {
		case r := <-db.requests:
			batch = append(batch, r)
		case <-db.stopping:
			return
		}
		batch = db.company(batch)
		db.runBatch(tx, batch)
		clear(batch)
	}
}

// Bounds on how long the writer waits for company before it starts a
// transaction. A transaction costs a few hundred microseconds of CPU whatever
// it holds, so under load it pays to wait for those who are about to come; a
// change that comes alone should not wait at all.
const (
	// yields is how often the writer lets others run when it expects nobody.
	yields = 3
	// patience is how long it waits for each of those that it expects, and
	// maxPatience for all: who is one of few does not wait long for the others,
	// and of a crowd a sync saved is worth more than the wait.
	patience    = 2 * time.Millisecond
	maxPatience = 40 * time.Millisecond
	// holdoff is for how many batches it expects no more than came, after it
	// waited in vain.
	holdoff = 16
)

// expectation is how many changes the writer waits for. It grows by one when
// as many as expected came, and falls half the way to what came when patience
// ended: a crowd comes unevenly, and is there still when few came once.
type expectation struct {
	changes int
	hold    int // batches until it may grow again
}

func (e *expectation) met(n int) {
	e.changes = n
	if e.hold > 0 {
		e.hold--
	} else if n > 1 {
		e.changes++
	}
}

func (e *expectation) disappointed(n int) { e.changes, e.hold = n+(e.changes-n)/2, holdoff }

// company adds the changes that wait already, and those that come while there
// is a point in waiting.
func (db *DB) company(batch []*request) []*request {
	batch = db.present(batch)
	if len(batch) < db.expected.changes {
		return db.await(batch)
	}
	db.expected.met(len(batch))
	return batch
}

// present adds the changes that wait, and those of goroutines that get there
// before the scheduler comes back.
func (db *DB) present(batch []*request) []*request {
	for alone := 0; len(batch) < maxBatch; {
		select {
		case r := <-db.requests:
			batch = append(batch, r)
			alone = 0
		default:
			if alone == yields {
				return batch
			}
			alone++
			runtime.Gosched()
		}
	}
	return batch
}

// await adds changes until there are as many as expected or patience ends.
func (db *DB) await(batch []*request) []*request {
	db.timer.Reset(min(time.Duration(db.expected.changes)*patience, maxPatience))
	defer db.timer.Stop()
	for len(batch) < min(db.expected.changes, maxBatch) {
		select {
		case r := <-db.requests:
			batch = append(batch, r)
		case <-db.timer.C:
			db.expected.disappointed(len(batch))
			return batch
		case <-db.stopping:
			return batch
		}
	}
	db.expected.met(len(batch))
	return batch
}

// runBatch answers every request of the batch. When one of several has to be
// undone after it wrote, each is tried again alone.
func (db *DB) runBatch(tx *Tx, batch []*request) {
	if db.trail.broken != nil {
		answer(batch, db.trail.broken)
		return
	}
	err := db.tryBatch(tx, batch)
	if errors.Is(err, errRedo) {
		for i := range batch {
			db.runBatch(tx, batch[i:i+1])
		}
		return
	}
	answer(batch, err)
}

// answer gives each request its own error, or else the batch's.
func answer(batch []*request, err error) {
	for _, r := range batch {
		if r.err == nil {
			r.err = err
		}
		if r.err == nil {
			for i := range r.lines {
				r.lines[i].entry.Seq = r.lines[i].seq
			}
			for _, f := range r.after {
				f()
			}
		}
		r.done <- r.err
	}
}

// errRedo says that the batch was undone and its requests are to be run alone.
var errRedo = errors.New("redo")

// tryBatch runs one transaction. A nil error means that all requests without
// an error of their own are durable; any other, that nothing is.
func (db *DB) tryBatch(tx *Tx, batch []*request) error {
	if _, err := db.write.exec("BEGIN IMMEDIATE"); err != nil {
		return err
	}
	alive := 0
	for _, r := range batch {
		r.err = tx.run(r)
		if r.err == nil {
			alive++
			continue
		}
		if !tx.wrote && !tx.failed {
			continue // nothing to undo
		}
		db.rollback()
		if len(batch) > 1 {
			return errRedo
		}
		return r.err
	}
	if alive == 0 {
		db.rollback()
		return nil
	}
	return db.finish(batch)
}

// finish appends the trail and makes the transaction durable.
func (db *DB) finish(batch []*request) error {
	next, err := db.trail.append(db.write, batch)
	if err != nil {
		db.rollback()
		return fmt.Errorf("trail: %w", err)
	}
	db.reads.ending()
	_, err = db.write.exec("COMMIT")
	db.reads.ended()
	if err != nil {
		db.rollback()
		if errors.Is(err, ErrDisk) {
			db.trail.broken = err
		}
		return err
	}
	db.trail.advance(next)
	return nil
}

// rollback undoes the transaction. SQLite may have done so by itself, after an
// error of the disk; then this has nothing to do.
func (db *DB) rollback() { _, _ = db.write.exec("ROLLBACK") }

// run applies one request and gathers its lines for the trail.
func (tx *Tx) run(r *request) (err error) {
	tx.wrote, tx.failed, tx.domain = false, false, ""
	tx.entries, tx.rows = tx.entries[:0], tx.rows[:0]
	tx.request, r.after = r, nil
	defer func() {
		if p := recover(); p != nil {
			tx.failed = true
			err = fmt.Errorf("sqlitedb: internal error: the change panicked: %v\n%s", p, debug.Stack())
		}
	}()
	if err := r.apply(tx); err != nil {
		return err
	}
	r.lines = r.lines[:0]
	for _, e := range tx.entries {
		r.lines = append(r.lines, line{entry: e})
	}
	if len(tx.rows) > 0 {
		tx.vouch(r)
	}
	for i := range r.lines {
		if r.lines[i].tooLong() {
			return fmt.Errorf("%w: one of kind %q takes more than %d bytes", trail.ErrLeaf, r.lines[i].entry.Kind, trail.MaxLeaf)
		}
	}
	return nil
}

// rowsInEntry is the most rows that one entry covers; a change of more gets
// entries of its own for the others, before its last.
const rowsInEntry = 4096

// vouch puts the rows of the change into its last entry, or one made for them.
func (tx *Tx) vouch(r *request) {
	rows := append([]trail.Row(nil), tx.rows...)
	var extra []line
	for len(rows) > rowsInEntry || len(rows) > 0 && len(r.lines) == 0 {
		n := min(len(rows), rowsInEntry)
		extra = append(extra, line{rows: rows[:n], entry: &trail.Entry{
			At: tx.db.opts.Now(), Domain: tx.domain, Kind: trail.KindRows, Actor: "store",
		}})
		rows = rows[n:]
	}
	if len(r.lines) > 0 {
		r.lines[len(r.lines)-1].rows = rows
	}
	r.lines = append(extra, r.lines...)
}

// tooLong says whether the line might not fit a leaf.
func (l *line) tooLong() bool {
	e := l.entry
	const numbers = 64 // the version, the lengths and so on take less
	n := numbers + len(e.Domain) + len(e.Kind) + len(e.Device) + len(e.Actor) + len(e.Reason) + len(e.Body)
	for i := range l.rows {
		n += numbers + len(l.rows[i].Table) + len(l.rows[i].Key)
	}
	return n > trail.MaxLeaf || len(l.rows) > trail.MaxRows
}
