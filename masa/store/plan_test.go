package store

import (
	"path/filepath"
	"strings"
	"testing"

	"github.com/briskest/briskest/internal/testpki"
)

// What is asked for each voucher is found by its index, however many devices
// and vouchers there are.
func TestEachQuestionForAVoucherIsAnsweredByItsIndex(t *testing.T) {
	s, err := Open(t.Context(), Options{Path: filepath.Join(t.TempDir(), "masa.db"), TrailKey: testpki.NewKey(t)})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = s.Close() }()
	for query, index := range map[string]string{
		devicesBySerial:    "devices_serial_number (domain=? AND serial_number=?); SEARCH o USING INDEX owners_device (domain=? AND device_id=?)",
		ownersOfDevice:     "owners_device (domain=? AND device_id=?)",
		hadVoucher:         "vouchers_device (domain=? AND device_id=?)",
		voucherByNonce:     "vouchers_nonce (domain=? AND device_id=? AND nonce=?)",
		noncelessByRequest: "vouchers_request (domain=? AND request_hash=?)",
		deviceVouchers:     "vouchers_device (domain=? AND device_id=?)",
	} {
		args := make([]any, strings.Count(query, "?"))
		for i := range args {
			args[i] = "x"
		}
		rows, err := s.db.Query(t.Context(), "EXPLAIN QUERY PLAN "+query, args...)
		if err != nil {
			t.Fatal(err)
		}
		var plan []string
		for rows.Next() {
			var id, parent, unused int
			var detail string
			if err := rows.Scan(&id, &parent, &unused, &detail); err != nil {
				t.Fatal(err)
			}
			plan = append(plan, detail)
		}
		_ = rows.Close()
		if !strings.Contains(strings.Join(plan, "; "), "INDEX "+index) {
			t.Errorf("%s\nis answered by %q, want the index %s", query, plan, index)
		}
	}
}
