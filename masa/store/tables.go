package store

import "github.com/briskest/briskest/internal/sqlitedb"

// tables are the tables that the trail covers. A voucher's row has two parts:
// what was intended, and what became of it. Devices and owners have a second
// one for the columns that came later.
type tables struct {
	devices  *sqlitedb.Table
	made     *sqlitedb.Table // what else is known of a device's making
	signed   *sqlitedb.Table // whether the IDevID's signature was verified
	owners   *sqlitedb.Table
	reached  *sqlitedb.Table // where an owner is to be found
	claims   *sqlitedb.Table
	intents  *sqlitedb.Table
	outcomes *sqlitedb.Table
	restores *sqlitedb.Table
}

func newTables() *tables {
	id := []string{"domain", "id"}
	return &tables{
		devices: sqlitedb.NewTable("devices", id, []string{
			"product", "serial_number", "state", "reason", "idevid", "batch", "source", "created_at", "blocked_at",
		}),
		made:   sqlitedb.NewPart("devices", "devices/made", id, []string{"key_hash", "built_at"}, []any{nil, 0}),
		signed: sqlitedb.NewPart("devices", "devices/signed", id, []string{"idevid_signed"}, []any{nil}),
		reached: sqlitedb.NewPart("owners", "owners/reached", id, []string{"source", "registrar_url", "est_domain"},
			[]any{"", "", ""}),
		claims: sqlitedb.NewTable("claims", id, []string{
			"code_hash", "device_id", "resale", "created_at", "expires_at", "redeemed_at", "ended_at", "owner_id",
		}),
		owners: sqlitedb.NewTable("owners", id, []string{
			"device_id", "name", "key_hash", "fingerprint", "domain_id", "since", "until",
		}),
		intents: sqlitedb.NewPart("vouchers", "vouchers", id, []string{
			"device_id", "product", "serial_number", "assertion", "nonce", "domain_id", "pinned", "pinned_key",
			"request", "request_hash", "media_type", "address", "version", "at", "expires_on",
		}, nil),
		// The view has the outcomes by their vouchers' IDs; what is written is "outcomes".
		outcomes: sqlitedb.NewPart("voucher_outcomes", "vouchers/outcome", id, []string{"state", "reason", "voucher"},
			[]any{"intended", "", nil}),
		restores: sqlitedb.NewTable("restores", id, []string{"made_at", "restored_at", "restored_by", "confirmed_at", "confirmed_by"}),
	}
}

func (t *tables) all() []*sqlitedb.Table {
	return []*sqlitedb.Table{t.devices, t.made, t.signed, t.owners, t.reached, t.claims, t.intents, t.outcomes, t.restores}
}
