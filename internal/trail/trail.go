// Package trail is the append-only record of every decision: a Merkle log
// with signed heads. It knows how an entry is encoded and how the tree grows;
// where the rows are kept is the store's concern.
//
// An [Entry] is encoded once, by [Entry.AppendLeaf]; the bytes that are hashed
// are exactly the bytes that are stored. An [Edge] is the right edge of the
// tree: with it the next entry is added, and the root computed, in O(log n)
// and without reading an earlier entry. A [Head] is a signed statement of how
// long the log is and what its root is.
package trail

import (
	"encoding/json"
	"time"
)

// Entry is one line of the trail.
type Entry struct {
	Seq    int64           // position in the log, from 0; given when appended
	At     time.Time       // UTC, to the microsecond
	Domain string          // tenant
	Kind   string          // what happened, from a closed set, such as "certificate-issued"
	Device string          // Device.ID, or empty
	Actor  string          // who caused it: "est", "brski", "cli:root", "start-up"
	Reason string          // reason id of a refusal; empty otherwise
	Body   json.RawMessage // details, an object; no secrets

	// Rows says what the change did to the store's tables, so that a row
	// changed by hand is found. The store fills it in when it appends.
	Rows []Row
}

// KindRows is the kind of an entry that the store adds for a change without an
// entry of its own: it carries nothing but Rows.
const KindRows = "rows"

// Row is the digest of one row (or of the part of it that changes together) as
// it was left by the change that the entry belongs to.
type Row struct {
	Table string   // of the store; with "/part" where a row has several
	Key   []byte   // canonical encoding of the primary key
	Sum   [32]byte // SHA-256 of the canonical encoding of the row; zero says that the row was removed
}
