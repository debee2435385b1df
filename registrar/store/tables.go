package store

import "github.com/briskest/briskest/internal/sqlitedb"

// tables are the tables that the trail covers. An issuance has three parts: what
// the intent said never changes, in whichever table it is; the outcome does; and
// learned is what only the CA that signed, or the start after an upgrade, could
// tell. Intents from before there were several CAs keep the digest they have.
type tables struct {
	devices     *sqlitedb.Table
	details     *sqlitedb.Table // of devices; what they have none of is as if never written
	before      *sqlitedb.Table
	intents     *sqlitedb.Table
	outcomes    *sqlitedb.Table
	learned     *sqlitedb.Table
	outstanding *sqlitedb.Table
	untold      *sqlitedb.Table
	crls        *sqlitedb.Table // of before there were several series
	lists       *sqlitedb.Table
	revocations *sqlitedb.Table
	partitions  *sqlitedb.Table
	vouchers    *sqlitedb.Table
	ahead       *sqlitedb.Table
	pending     *sqlitedb.Table
	credentials *sqlitedb.Table
	digests     *sqlitedb.Table
	codes       *sqlitedb.Table
	owners      *sqlitedb.Table
	groups      *sqlitedb.Table
	baselines   *sqlitedb.Table
	deliveries  *sqlitedb.Table
	apiTokens   *sqlitedb.Table
	quarantines *sqlitedb.Table
}

func newTables() *tables {
	id := []string{"domain", "id"}
	intent := []string{
		"device_id", "profile", "version", "operation", "subject", "tbs_hash", "key_hash", "names_hash",
		"credential", "not_before", "not_after", "intended_at",
	}
	return &tables{
		devices: sqlitedb.NewPart("device_records", "devices", id, []string{
			"manufacturer", "serial_number", "state", "source", "created_at", "seen_at", "idevid",
		}, nil),
		details: sqlitedb.NewPart("devices", "devices/details", id, []string{
			"model", "firmware", "batch", "hardware_module", "secure_element", "tpm", "attributes", "group_name", "group_pinned",
		}, []any{"", "", "", "", "", "", "", "", 0}),
		before: sqlitedb.NewPart("issuances_before", "certificates", []string{"domain", "serial"}, intent, nil),
		intents: sqlitedb.NewPart("issuances_since", "issuances", id,
			append([]string{"issuer", "authority", "serial", "origin"}, intent...), nil),
		outcomes: sqlitedb.NewPart("issuances", "certificates/outcome", id, []string{
			"status", "issued_at", "revoked_at", "revoke_reason", "explanation", "raw",
		}, []any{"intended", 0, 0, 0, "", nil}),
		learned: sqlitedb.NewPart("issuances_learned", "issuances/learned", id,
			[]string{"issuer", "authority", "serial"}, []any{"", nil, nil}),
		outstanding: sqlitedb.NewTable("outstanding", id, []string{"csr", "decided", "state"}),
		untold:      sqlitedb.NewTable("untold", id, []string{"at", "reason"}),
		crls:        sqlitedb.NewTable("crls", []string{"domain", "number"}, []string{"this_update", "next_update", "raw"}),
		lists: sqlitedb.NewTable("lists", []string{"domain", "authority", "partitions", "place", "delta"}, []string{
			"number", "change", "this_update", "next_update", "bases", "raw",
		}),
		revocations: sqlitedb.NewTable("revocations", []string{"domain", "authority", "place", "serial"}, []string{
			"change", "revoked_at", "reason", "not_after",
		}),
		partitions: sqlitedb.NewTable("list_partitions", []string{"domain", "authority", "partitions"}, nil),
		vouchers: sqlitedb.NewTable("vouchers", id, []string{
			"device_id", "manufacturer", "serial_number", "nonce", "media_type", "request_hash", "state", "reason",
			"at", "pledge_request", "registrar_req", "voucher", "audit_log", "pledge_status", "enrollment_state",
		}).Changing("media_type", "state", "reason", "voucher", "audit_log", "pledge_status", "enrollment_state"),
		ahead: sqlitedb.NewTable("vouchers_ahead", id, []string{
			"device_id", "manufacturer", "serial_number", "state", "reason", "media_type", "renews",
			"at", "ready_at", "expires_on", "renew_at", "request", "voucher", "audit_log",
		}),
		pending: sqlitedb.NewTable("pending", id, []string{
			"kind", "key", "manufacturer", "serial_number", "subject", "address", "state", "reason",
			"seen", "first_at", "last_at", "decided_at", "decided_by", "evidence",
		}),
		credentials: sqlitedb.NewTable("credentials", []string{"domain", "user"}, []string{
			"scheme", "salt", "digest", "grouped", "disabled", "created_at",
		}),
		digests: sqlitedb.NewTable("credential_digests", []string{"domain", "user"}, []string{"realm", "ha1", "ha1_md5"}),
		owners:  sqlitedb.NewTable("device_owners", []string{"domain", "device_id"}, []string{"owner"}),
		groups: sqlitedb.NewTable("group_documents", []string{"domain", "version"}, []string{
			"document", "actor", "note", "of_version", "at", "applied", "moved",
		}),
		baselines: sqlitedb.NewTable("baseline_documents", []string{"domain", "group_name", "version"}, []string{
			"document", "actor", "note", "of_version", "at",
		}),
		deliveries: sqlitedb.NewTable("baseline_deliveries", []string{"domain", "device_id"}, []string{
			"version", "group_name", "document_version", "content", "sha256", "at", "status", "message", "acknowledged_at",
		}),
		apiTokens: sqlitedb.NewTable("api_tokens", id, []string{"name", "role", "digest", "created_at", "created_by", "expires_at", "revoked"}),
		quarantines: sqlitedb.NewTable("quarantines", id, []string{
			"kind", "manufacturer", "value", "reason", "put_by", "at", "lifted_at", "lifted_by",
		}),
		codes: sqlitedb.NewTable("codes", []string{"domain", "serial_number"}, []string{
			"digest", "created_at", "expires_at", "revoked", "spent_at", "spent_key", "spent_names",
		}),
	}
}

func (t *tables) all() []*sqlitedb.Table {
	return []*sqlitedb.Table{
		t.devices, t.details, t.before, t.intents, t.outcomes, t.learned, t.outstanding, t.untold, t.crls, t.lists, t.revocations, t.partitions, t.vouchers, t.ahead, t.pending,
		t.credentials, t.digests, t.codes, t.owners, t.groups, t.apiTokens, t.quarantines, t.baselines, t.deliveries,
	}
}

// differences finds attributes that devices are found by and do not have, or the
// other way around, and counts of devices that are not those of the devices.
func differences() []string {
	return []string{
		"SELECT 1 FROM devices, json_each(devices.attributes) AS j WHERE devices.attributes <> '' AND NOT EXISTS (" +
			"SELECT 1 FROM device_attributes AS a WHERE a.domain = devices.domain AND a.name = j.key AND a.value = j.value AND a.row = devices.row) LIMIT 1",
		"SELECT 1 FROM device_attributes AS a WHERE NOT EXISTS (SELECT 1 FROM devices, json_each(devices.attributes) AS j " +
			"WHERE devices.row = a.row AND devices.domain = a.domain AND devices.attributes <> '' AND j.key = a.name AND j.value = a.value) LIMIT 1",
		"SELECT 1 FROM (SELECT domain, sum(state <> 'decommissioned' AND source <> 'responder') AS n FROM devices GROUP BY domain) AS d " +
			"FULL JOIN device_counts AS c USING (domain) WHERE c.devices IS NOT coalesce(d.n, 0) LIMIT 1",
	}
}
