package sqlitedb

import (
	"database/sql"
	"errors"
	"fmt"

	"modernc.org/sqlite"
)

// Errors of statements.
var (
	// ErrNoRows says that a query found nothing. It is database/sql's.
	ErrNoRows = sql.ErrNoRows
	// ErrConstraint says that a row would break a constraint of its table,
	// nearly always that the key is taken. The statement changed nothing.
	ErrConstraint = errors.New("the row breaks a constraint of the table")
	// errIO says that the disk refused; what is durable is unknown until the
	// database has been opened again.
	errIO = errors.New("the disk reported an error; restart the server after looking at the disk")
)

// SQLite's primary result codes (the low byte of a code).
const (
	codeIOErr      = 10
	codeConstraint = 19
)

func classify(err error, query string) error {
	var e *sqlite.Error
	if errors.As(err, &e) {
		switch e.Code() & 0xff {
		case codeConstraint:
			return fmt.Errorf("%s: %w: %w", firstWords(query), ErrConstraint, err)
		case codeIOErr:
			return fmt.Errorf("%s: %w: %w", firstWords(query), errIO, err)
		}
	}
	return fmt.Errorf("%s: %w", firstWords(query), err)
}
