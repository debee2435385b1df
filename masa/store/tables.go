package store

import "github.com/briskest/briskest/internal/sqlitedb"

// tables are the tables that the trail covers. A voucher's row has two parts:
// what was intended, and what became of it.
type tables struct {
	devices  *sqlitedb.Table
	owners   *sqlitedb.Table
	intents  *sqlitedb.Table
	outcomes *sqlitedb.Table
}

func newTables() *tables {
	id := []string{"domain", "id"}
	return &tables{
		devices: sqlitedb.NewTable("devices", id, []string{
			"product", "serial_number", "state", "reason", "idevid", "batch", "source", "created_at", "blocked_at",
		}),
		owners: sqlitedb.NewTable("owners", id, []string{
			"device_id", "name", "key_hash", "fingerprint", "domain_id", "since", "until",
		}),
		intents: sqlitedb.NewPart("vouchers", "vouchers", id, []string{
			"device_id", "product", "serial_number", "assertion", "nonce", "domain_id", "pinned", "pinned_key",
			"request", "request_hash", "media_type", "address", "version", "at", "expires_on",
		}, nil),
		outcomes: sqlitedb.NewPart("vouchers", "vouchers/outcome", id, []string{"state", "reason", "voucher"},
			[]any{"intended", "", nil}),
	}
}

func (t *tables) all() []*sqlitedb.Table {
	return []*sqlitedb.Table{t.devices, t.owners, t.intents, t.outcomes}
}
