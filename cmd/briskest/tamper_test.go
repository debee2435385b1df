package main_test

import (
	"database/sql"
	"fmt"
	"path/filepath"
	"strings"
	"testing"

	_ "modernc.org/sqlite"
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
