package store

import (
	"context"
	"crypto"
	"crypto/sha256"
	"fmt"

	"golang.org/x/crypto/cryptobyte"
	"golang.org/x/crypto/cryptobyte/asn1"

	"github.com/briskest/briskest/internal/sqlitedb"
	"github.com/briskest/briskest/internal/trail"
	"github.com/briskest/briskest/registrar"
)

// VerifyOptions says what [VerifyWith] verifies.
type VerifyOptions struct {
	Path string           // of the database file
	Key  crypto.PublicKey // the public half of the trail's key
	// Witnesses are heads that were kept elsewhere, with verified signatures.
	Witnesses []*trail.Head
	// Certificates are ones that somebody has (DER), to be looked for.
	Certificates [][]byte
	// Entry is called with each entry in order; nil for none.
	Entry func(e *trail.Entry) error
}

// Listed counts what the trail lists of issuances.
type Listed struct {
	Certificates int64 // signed, each with the entry that tells of it
	Abandoned    int64 // intents that came to nothing, explained
	Open         int64 // intents without an outcome yet
	// Missing are those of [VerifyOptions].Certificates that are not on record.
	Missing [][]byte
}

// VerifyWith is [Verify] that also shows that each certificate is listed: that an
// entry other than [trail.KindRows] tells of it, that it has the serial number on
// record, and, of a CA that signs here, that it is what was intended before it was
// signed, unless it was revoked. What is not so is an error that wraps [sqlitedb.ErrTrail].
func VerifyWith(ctx context.Context, opts *VerifyOptions) (*sqlitedb.Report, *Listed, error) {
	l := &listing{listed: make(map[[16]byte]bool), wanted: make(map[[32]byte]bool)}
	for _, raw := range opts.Certificates {
		l.wanted[sha256.Sum256(raw)] = true
	}
	report, err := sqlitedb.VerifyFile(ctx, &sqlitedb.VerifyOptions{
		Path: opts.Path, Origin: Origin, Key: opts.Key, Tables: newTables().all(), Differences: differences(), Witnesses: opts.Witnesses,
		Entry: func(e *trail.Entry) error {
			l.entry(e)
			if opts.Entry != nil {
				return opts.Entry(e)
			}
			return nil
		},
		Also: l.certificates,
	})
	if err != nil {
		return nil, nil, err
	}
	for i, raw := range opts.Certificates {
		if _, missing := l.wanted[sha256.Sum256(raw)]; missing {
			l.count.Missing = append(l.count.Missing, opts.Certificates[i])
		}
	}
	return report, &l.count, nil
}

// listing is which certificates the entries tell of.
type listing struct {
	listed map[[16]byte]bool // by the start of the SHA-256 of the row's key, as the trail has it
	wanted map[[32]byte]bool // SHA-256 of certificates not found yet
	count  Listed
}

const outcomeLabel = "certificates/outcome"

func (l *listing) entry(e *trail.Entry) {
	if e.Kind == trail.KindRows {
		return
	}
	for i := range e.Rows {
		if e.Rows[i].Table == outcomeLabel {
			l.listed[short(e.Rows[i].Key)] = true
		}
	}
}

func short(key []byte) [16]byte {
	sum := sha256.Sum256(key)
	return [16]byte(sum[:])
}

func unlisted(format string, args ...any) error {
	return fmt.Errorf("%w: %s", sqlitedb.ErrTrail, fmt.Sprintf(format, args...))
}

// certificates looks at every one on record.
func (l *listing) certificates(ctx context.Context, s *sqlitedb.Snapshot) error {
	rows, err := s.Query(ctx, "SELECT domain, id, origin, serial, tbs_hash, status, raw FROM issuances")
	if err != nil {
		return err
	}
	defer func() { _ = rows.Close() }()
	for rows.Next() {
		var r issuanceRow
		if err := rows.Scan(&r.domain, &r.id, &r.origin, &r.serial, &r.tbs, &r.status, &r.raw); err != nil {
			return err
		}
		if err := l.certificate(&r); err != nil {
			return err
		}
	}
	return rows.Err()
}

type issuanceRow struct {
	domain, status  string
	id, serial, raw []byte
	origin          int
	tbs             [32]byte
}

func (l *listing) certificate(r *issuanceRow) error {
	switch {
	case r.raw == nil && r.status == string(registrar.Intended):
		l.count.Open++
		return nil
	case r.raw == nil:
		l.count.Abandoned++
		return nil
	}
	l.count.Certificates++
	delete(l.wanted, sha256.Sum256(r.raw))
	key, err := sqlitedb.RowKey(r.domain, r.id)
	if err != nil {
		return err
	}
	if !l.listed[short(key)] {
		return unlisted("no entry tells of the certificate with the serial number %x (row %x)", r.serial, r.id)
	}
	tbs, serial, ok := outer(r.raw)
	switch {
	case !ok:
		return unlisted("the row %x holds no certificate", r.id)
	case string(serial) != string(r.serial):
		return unlisted("the row %x is about the serial number %x and holds the certificate %x", r.id, r.serial, serial)
	case r.origin != originElsewhere && r.status != string(registrar.Revoked) && sha256.Sum256(tbs) != r.tbs:
		return unlisted("the certificate %x is not what was intended before it was signed", r.serial)
	}
	return nil
}

// outer reads the to-be-signed part and the serial number of a certificate (RFC
// 5280, Section 4.1), and looks at nothing else.
func outer(raw []byte) (tbs, serial []byte, ok bool) {
	in := cryptobyte.String(raw)
	var cert, element, body cryptobyte.String
	if !in.ReadASN1(&cert, asn1.SEQUENCE) || !cert.ReadASN1Element(&element, asn1.SEQUENCE) {
		return nil, nil, false
	}
	rest := element
	version := asn1.Tag(0).ContextSpecific().Constructed()
	if !rest.ReadASN1(&body, asn1.SEQUENCE) || !body.SkipOptionalASN1(version) || !body.ReadASN1Integer(&serial) {
		return nil, nil, false
	}
	return element, serial, true
}
