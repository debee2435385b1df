// Package trail is the append-only record of every decision: a Merkle log
// with signed heads. It knows how an entry is encoded and how the tree grows;
// where the rows are kept is the store's concern.
package trail

import (
	"encoding/json"
	"time"
)

// Entry is one line of the trail.
type Entry struct {
	Seq    int64           // position in the log, from 0; given when appended
	At     time.Time       // UTC
	Domain string          // tenant
	Kind   string          // what happened, from a closed set, such as "certificate-issued"
	Device string          // Device.ID, or empty
	Actor  string          // who caused it: "est", "brski", "cli:root", "start-up"
	Reason string          // reason id of a refusal; empty otherwise
	Body   json.RawMessage // details, an object; no secrets
}
