package main_test

import (
	"database/sql"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	_ "modernc.org/sqlite"

	"github.com/briskest/briskest/internal/testbed"
)

func openDB(t *testing.T, path string) *sql.DB {
	t.Helper()
	db, err := sql.Open("sqlite", "file:"+filepath.ToSlash(path))
	if err != nil {
		t.Fatal(err)
	}
	db.SetMaxOpenConns(1)
	return db
}

// tampering lists, for every table that holds rows (but for those that count
// migrations), statements that delete the
// first, a middle and the last row, and that change the last one.
func tampering(t *testing.T, path string) []string {
	t.Helper()
	db := openDB(t, path)
	defer db.Close()
	var statements []string
	for _, table := range column(t, db, `SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite_%' AND name NOT LIKE '%schema' ORDER BY name`) {
		key := strings.Join(column(t, db, fmt.Sprintf(`SELECT name FROM pragma_table_info('%s') WHERE pk > 0 ORDER BY pk`, table)), ", ")
		if key == "" {
			key = "rowid"
		}
		values := column(t, db, fmt.Sprintf(`SELECT name FROM pragma_table_info('%s') WHERE pk = 0 ORDER BY cid`, table))
		count := 0
		if err := db.QueryRow(`SELECT count(*) FROM ` + table).Scan(&count); err != nil {
			t.Fatal(err)
		}
		if count == 0 || len(values) == 0 {
			continue
		}
		for _, at := range []int{0, count / 2, count - 1} {
			statements = append(statements, fmt.Sprintf(`DELETE FROM %s WHERE (%s) = (SELECT %s FROM %s ORDER BY %s LIMIT 1 OFFSET %d)`, table, key, key, table, key, at))
		}
		for _, value := range values {
			switch table + "." + value {
			case "devices.idevid_hash": // whether the IDevID has to be written again; what is read is the IDevID itself
				continue
			case "devices.attributes": // which have to be JSON
				statements = append(statements, `UPDATE devices SET attributes = '{"site":"9"}' WHERE row = (SELECT max(row) FROM devices)`)
				continue
			}
			statements = append(statements, fmt.Sprintf(`UPDATE %s SET %s = CAST(coalesce(%s, '') AS TEXT) || '9' WHERE (%s) = (SELECT %s FROM %s ORDER BY %s DESC LIMIT 1)`, table, value, value, key, key, table, key))
		}
	}
	return statements
}

func column(t *testing.T, db *sql.DB, query string) []string {
	t.Helper()
	rows, err := db.Query(query)
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	var out []string
	for rows.Next() {
		var text string
		if err := rows.Scan(&text); err != nil {
			t.Fatal(err)
		}
		out = append(out, text)
	}
	if err := rows.Err(); err != nil {
		t.Fatal(err)
	}
	return out
}

// tamper runs one statement on the database, as somebody with a shell would.
func tamper(t *testing.T, path, statement string) {
	t.Helper()
	db := openDB(t, path)
	defer db.Close()
	result, err := db.Exec(statement)
	if err != nil {
		t.Fatalf("%s: %v", statement, err)
	}
	if n, err := result.RowsAffected(); err != nil || n != 1 {
		t.Fatalf("%s: %d rows, %v; want 1", statement, n, err)
	}
}

// Issue 6, point 7: on the program's own records, of registrar and MASA: an entry cut, changed or in another's place, in
// the middle and at the end.
func TestTrailVerifyFindsAnEntryCutChangedOrReordered(t *testing.T) {
	bed := testbed.Once(t)
	for _, role := range []string{"registrar", "masa"} {
		path := filepath.Join(bed.Dir, role, role+".db")
		args := []string{"trail", "verify", "--config", filepath.Join(bed.Dir, role+".yaml")}
		if role == "masa" {
			args = append(args, "--masa")
		}
		if out, errs, code := testbed.Run(t, bed.Program, args...); code != 0 {
			t.Fatalf("%s as it is: exit %d\n%s%s", role, code, out, errs)
		}
		whole, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		const last, middle = "(SELECT max(seq) FROM trail_entries)", "(SELECT max(seq) / 2 FROM trail_entries)"
		leaf := func(place string) string { return "(SELECT leaf FROM trail_entries WHERE seq = " + place + ")" }
		for what, statement := range map[string]string{
			"cut":                     "DELETE FROM trail_entries WHERE seq = PLACE",
			"cut, and the rest moved": "DELETE FROM trail_entries WHERE seq = PLACE; UPDATE trail_entries SET seq = seq - 1 WHERE seq > PLACE",
			"changed":                 "UPDATE trail_entries SET leaf = CAST(replace(CAST(leaf AS BLOB), substr(leaf, -3, 1), x'5a') AS BLOB) WHERE seq = PLACE",
			"given to another device": "UPDATE trail_entries SET device = device || 'x' WHERE seq = PLACE",
			"in another's place": "UPDATE trail_entries SET leaf = CASE seq WHEN PLACE THEN " + leaf("PLACE - 1") + " ELSE " + leaf("PLACE") +
				" END WHERE seq IN (PLACE, PLACE - 1)",
		} {
			for where, place := range map[string]string{"in the middle": middle, "at the end": last} {
				db := openDB(t, path)
				_, err := db.Exec(strings.ReplaceAll(statement, "PLACE", place))
				if err := errors.Join(err, db.Close()); err != nil {
					t.Fatalf("%s %s: %v", what, where, err)
				}
				out, errs, code := testbed.Run(t, bed.Program, args...)
				t.Logf("%-10s an entry %-24s %-14s exit %d: %s", role, what, where, code, strings.SplitN(strings.TrimSpace(errs), "\n", 2)[0])
				if code != 1 {
					t.Errorf("%s: an entry %s %s: exit %d, want 1\n%s%s", role, what, where, code, out, errs)
				}
				restore(t, path, whole)
			}
		}
	}
}
