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
	// ErrDisk says that the disk reported an error. Only with this error is it
	// open whether the change is durable; every later one gets it too, until
	// the database has been opened again.
	ErrDisk = errors.New("the disk reported an error; hint: look at the disk, then restart the server")
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
			return fmt.Errorf("%s: %w: %w", firstWords(query), ErrDisk, err)
		}
	}
	return fmt.Errorf("%s: %w", firstWords(query), err)
}
