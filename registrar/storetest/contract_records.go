package storetest

import (
	"errors"
	"fmt"
	"testing"

	"github.com/briskest/briskest/internal/trail"
	"github.com/briskest/briskest/registrar"
)

func voucher(n, dev int, state string) *registrar.VoucherRecord {
	return &registrar.VoucherRecord{
		ID: id(n), Domain: registrar.DefaultDomain, DeviceID: id(dev), Manufacturer: "acme", SerialNumber: "SN-1",
		Nonce: fmt.Sprint("nonce", n), PledgeRequest: []byte{1, byte(n)}, RegistrarReq: []byte{2}, MediaType: "application/voucher-cms+json",
		RequestHash: hash(fmt.Sprint("request", n)), State: state, At: at(n),
	}
}

func testVouchers(t *testing.T, s registrar.Store) {
	ctx, domain := t.Context(), registrar.DefaultDomain
	for n := 1; n <= 3; n++ {
		commit(t, s, &registrar.Change{PutVouchers: []*registrar.VoucherRecord{voucher(n, 1, "asked")}})
	}
	v := voucher(2, 1, "issued")
	v.Voucher, v.AuditLog, v.PledgeStatus, v.EnrollmentState = []byte{9}, []byte{8}, []byte{7}, []byte{6}
	commit(t, s, &registrar.Change{PutVouchers: []*registrar.VoucherRecord{v, voucher(4, 2, "asked")}})

	got, err := s.VoucherByRequest(ctx, domain, hash("request2"))
	want(t, "VoucherByRequest", got, err, v)
	got, err = s.VoucherByNonce(ctx, domain, id(1), "nonce2")
	want(t, "VoucherByNonce", got, err, v)
	if got, err := s.VoucherByNonce(ctx, domain, id(1), "nonce4"); !errors.Is(err, registrar.ErrNotFound) {
		t.Errorf("VoucherByNonce with the nonce of another device = %v, %v; want ErrNotFound", got, err)
	}
	got, err = s.LatestVoucher(ctx, domain, id(1))
	want(t, "LatestVoucher", got, err, voucher(3, 1, "asked"))
	list, err := s.ListVouchers(ctx, domain, id(1))
	want(t, "ListVouchers", list, err, []*registrar.VoucherRecord{voucher(1, 1, "asked"), v, voucher(3, 1, "asked")})
	list, err = s.UnansweredVouchers(ctx)
	want(t, "UnansweredVouchers", list, err, []*registrar.VoucherRecord{
		voucher(1, 1, "asked"), voucher(3, 1, "asked"), voucher(4, 2, "asked"),
	})

	again := voucher(5, 1, "asked")
	again.RequestHash = hash("request1")
	wantConflict(t, s, "a second record of one voucher-request", &registrar.Change{PutVouchers: []*registrar.VoucherRecord{again}})
	again = voucher(5, 1, "asked")
	again.Nonce = "nonce2"
	wantConflict(t, s, "a second exchange for one nonce", &registrar.Change{PutVouchers: []*registrar.VoucherRecord{again}})
	again.DeviceID = id(2) // another device's
	v.Reason = "later"     // and what is on record may change
	commit(t, s, &registrar.Change{PutVouchers: []*registrar.VoucherRecord{again, v}})
	for n := 6; n <= 7; n++ { // without a nonce there is nothing to tell apart
		nonceless := voucher(n, 1, "asked")
		nonceless.Nonce = ""
		commit(t, s, &registrar.Change{PutVouchers: []*registrar.VoucherRecord{nonceless}})
	}
}

func pending(n int, state string) *registrar.Pending {
	return &registrar.Pending{
		ID: id(n), Domain: registrar.DefaultDomain, Kind: "voucher", Key: fmt.Sprint("key", n), Manufacturer: "acme",
		SerialNumber: "SN-1", Subject: "CN=x", Address: "127.0.0.1", Evidence: []byte{3}, State: state,
		Seen: int64(n), FirstAt: at(1), LastAt: at(2),
	}
}

func testPending(t *testing.T, s registrar.Store) {
	ctx, domain := t.Context(), registrar.DefaultDomain
	for n := 1; n <= 4; n++ {
		commit(t, s, &registrar.Change{PutPending: []*registrar.Pending{pending(n, "waiting")}})
	}
	denied := pending(2, "denied")
	denied.Reason, denied.DecidedAt, denied.DecidedBy = "not ours", at(7), "cli:root"
	commit(t, s, &registrar.Change{PutPending: []*registrar.Pending{denied}})

	got, err := s.Pending(ctx, domain, id(2))
	want(t, "Pending", got, err, denied)
	got, err = s.PendingByKey(ctx, domain, "voucher", "key3")
	want(t, "PendingByKey", got, err, pending(3, "waiting"))
	list, err := s.ListPending(ctx, domain, "waiting", 2)
	want(t, "ListPending of what waits", list, err, []*registrar.Pending{pending(4, "waiting"), pending(3, "waiting")})
	list, err = s.ListPending(ctx, domain, "", 10)
	want(t, "ListPending of all", list, err, []*registrar.Pending{
		pending(4, "waiting"), pending(3, "waiting"), denied, pending(1, "waiting"),
	})
	n, err := s.CountPending(ctx, domain)
	want(t, "CountPending", n, err, 3)

	again := pending(9, "waiting")
	again.Key = "key1"
	wantConflict(t, s, "a second row of one key", &registrar.Change{PutPending: []*registrar.Pending{again}})
	again.Kind = "enroll"
	commit(t, s, &registrar.Change{PutPending: []*registrar.Pending{again}})
}

func testCredentials(t *testing.T, s registrar.Store) {
	ctx, domain := t.Context(), registrar.DefaultDomain
	one := func(user string, disabled bool) *registrar.Credential {
		return &registrar.Credential{
			Domain: domain, User: user, Scheme: "sha256", Salt: []byte{1, 2}, Digest: []byte{3, 4}, Group: true,
			Disabled: disabled, CreatedAt: at(1),
		}
	}
	commit(t, s, &registrar.Change{PutCredentials: []*registrar.Credential{one("b", false), one("a", false)}})
	commit(t, s, &registrar.Change{PutCredentials: []*registrar.Credential{one("b", true)}})
	got, err := s.Credential(ctx, domain, "b")
	want(t, "Credential", got, err, one("b", true))
	list, err := s.ListCredentials(ctx, domain)
	want(t, "ListCredentials", list, err, []*registrar.Credential{one("a", false), one("b", true)})
}

// ours drops the entries that a store adds for itself.
func ours(entries []*trail.Entry) []*trail.Entry {
	var out []*trail.Entry
	for _, e := range entries {
		if e.Kind != trail.KindRows {
			c := *e
			c.Rows = nil
			out = append(out, &c)
		}
	}
	return out
}

func testTrail(t *testing.T, s registrar.Store) {
	ctx, domain := t.Context(), registrar.DefaultDomain
	entry := func(n, dev int) *trail.Entry {
		return &trail.Entry{
			At: at(n), Domain: domain, Kind: "certificate-issued", Device: id(dev), Actor: "est", Reason: "r",
			Body: []byte(fmt.Sprintf(`{"n":%d}`, n)),
		}
	}
	var given []*trail.Entry
	for n := range 6 {
		e := entry(n, n%2)
		given = append(given, e)
		commit(t, s, &registrar.Change{PutDevices: []*registrar.Device{device(n)}, Trail: []*trail.Entry{e}})
		if n > 0 && e.Seq <= given[n-1].Seq {
			t.Errorf("entry %d got sequence number %d after %d", n, e.Seq, given[n-1].Seq)
		}
	}
	got, err := s.TrailEntries(ctx, domain, "", 0, 100)
	want(t, "TrailEntries", ours(got), err, given)
	got, err = s.TrailEntries(ctx, domain, id(1), given[2].Seq, 1)
	want(t, "TrailEntries of a device", ours(got), err, []*trail.Entry{given[3]})
	got, err = s.TrailEntries(ctx, "other", "", 0, 100)
	want(t, "TrailEntries of another domain", ours(got), err, nil)
}

// A row of one domain is neither seen nor replaced from another.
func testDomains(t *testing.T, s registrar.Store) {
	ctx := t.Context()
	mine, theirs := device(1), device(1)
	theirs.Domain, theirs.State = "other", registrar.Decommissioned
	ci, co := intent(1, 1, "k"), intent(1, 1, "k")
	co.Domain, co.Subject = "other", "CN=other"
	commit(t, s, &registrar.Change{
		PutDevices: []*registrar.Device{mine, theirs},
		Intents:    []*registrar.Certificate{ci, co},
	})
	got, err := s.Device(ctx, registrar.DefaultDomain, mine.ID)
	want(t, "Device", got, err, mine)
	list, err := s.ListDevices(ctx, "other", "", 10)
	want(t, "ListDevices of the other domain", list, err, []*registrar.Device{theirs})

	commit(t, s, &registrar.Change{Issued: []*registrar.Certificate{issued(co)}})
	cert, err := s.Certificate(ctx, registrar.DefaultDomain, issuanceID(1))
	want(t, "Certificate", cert, err, ci)
	cert, err = s.Certificate(ctx, "other", issuanceID(1))
	want(t, "Certificate of the other domain", cert, err, issued(co))
	certs, err := s.ListCertificates(ctx, &registrar.CertificateQuery{Domain: "other", DeviceID: id(1), Limit: 5})
	want(t, "ListCertificates of the other domain", certs, err, []*registrar.Certificate{issued(co)})
}

func testMissing(t *testing.T, s registrar.Store) {
	ctx, domain := t.Context(), registrar.DefaultDomain
	for call, err := range map[string]error{
		"Device":               second(s.Device(ctx, domain, "x")),
		"DeviceBySerialNumber": second(s.DeviceBySerialNumber(ctx, domain, "a", "b")),
		"Certificate":          second(s.Certificate(ctx, domain, issuanceID(1))),
		"CertificateOf":        second(s.CertificateOf(ctx, domain, serial(1), []byte{1})),
		"Outstanding":          second(s.Outstanding(ctx, domain, issuanceID(1))),
		"CurrentCertificate":   second(s.CurrentCertificate(ctx, &registrar.CurrentQuery{Domain: domain})),
		"LatestCRL":            second(s.LatestCRL(ctx, domain, registrar.CRLScope{Authority: authority(1), Count: 1})),
		"VoucherByRequest":     second(s.VoucherByRequest(ctx, domain, hash("x"))),
		"VoucherByNonce":       second(s.VoucherByNonce(ctx, domain, "x", "y")),
		"LatestVoucher":        second(s.LatestVoucher(ctx, domain, "x")),
		"Pending":              second(s.Pending(ctx, domain, "x")),
		"PendingByKey":         second(s.PendingByKey(ctx, domain, "x", "y")),
		"Credential":           second(s.Credential(ctx, domain, "x")),
		"Code":                 second(s.Code(ctx, domain, "x")),
	} {
		if !errors.Is(err, registrar.ErrNotFound) {
			t.Errorf("%s: error %v, want ErrNotFound", call, err)
		}
	}
	for call, err := range map[string]error{
		"FindDevices":        second(s.FindDevices(ctx, domain, "x")),
		"ListDevices":        second(s.ListDevices(ctx, domain, "", 1)),
		"OpenIntents":        second(s.OpenIntents(ctx)),
		"ListVouchers":       second(s.ListVouchers(ctx, domain, "x")),
		"UnansweredVouchers": second(s.UnansweredVouchers(ctx)),
		"ListPending":        second(s.ListPending(ctx, domain, "", 1)),
		"ListCredentials":    second(s.ListCredentials(ctx, domain)),
		"ListCodes":          second(s.ListCodes(ctx, domain, "", 1)),
		"TrailEntries":       second(s.TrailEntries(ctx, domain, "", 0, 1)),
	} {
		if err != nil {
			t.Errorf("%s of an empty store: %v", call, err)
		}
	}
}

func second[T any](_ T, err error) error { return err }

// Serial numbers and names come from devices: any bytes may be in them.
func testText(t *testing.T, s registrar.Store) {
	for i, text := range []string{"", "a\x00b", "\xff\xfe", "é", "'; DROP TABLE devices; --", " ", "1e3", "007"} {
		d := device(i)
		d.Manufacturer, d.SerialNumber = fmt.Sprint("m", i), text
		commit(t, s, &registrar.Change{PutDevices: []*registrar.Device{d}})
		got, err := s.DeviceBySerialNumber(t.Context(), d.Domain, d.Manufacturer, text)
		want(t, fmt.Sprintf("DeviceBySerialNumber(%q)", text), got, err, d)
	}
}

func testUnclaimed(t *testing.T, s registrar.Store) {
	name := registrar.DeviceName{Domain: registrar.DefaultDomain, SerialNumber: device(1).SerialNumber}
	unclaimed := []registrar.DeviceName{name}
	commit(t, s, &registrar.Change{Unclaimed: unclaimed, PutDevices: []*registrar.Device{device(1)}})
	other := device(2)
	other.Manufacturer, other.SerialNumber = "other", name.SerialNumber
	wantConflict(t, s, "a name that another manufacturer's device has", &registrar.Change{
		Unclaimed: unclaimed, PutDevices: []*registrar.Device{other},
	})
	elsewhere := device(3)
	elsewhere.Domain, elsewhere.SerialNumber = "elsewhere", name.SerialNumber
	commit(t, s, &registrar.Change{
		Unclaimed:  []registrar.DeviceName{{Domain: "elsewhere", SerialNumber: name.SerialNumber}},
		PutDevices: []*registrar.Device{elsewhere},
	})
}

func testIDevIDNames(t *testing.T, s registrar.Store) {
	d, plain := device(1), device(2)
	d.Manufacturer, d.SerialNumber = "acme", "Widget-1"
	plain.Manufacturer, plain.SerialNumber = "", "sensor-7"
	commit(t, s, &registrar.Change{PutDevices: []*registrar.Device{d, plain}})
	for name, found := range map[string]bool{"Widget-1": true, "wIDGET-1": true, "widget-1": true, "widget-10": false, "sensor-7": false, "": false} {
		list, err := s.FindIDevIDs(t.Context(), d.Domain, name)
		if err != nil || len(list) > 0 != found || found && list[0].ID != d.ID {
			t.Errorf("FindIDevIDs(%q) = %d devices, %v; found should be %v", name, len(list), err, found)
		}
		other := device(3)
		other.SerialNumber = "other"
		c := &registrar.Change{NoIDevIDs: []registrar.DeviceName{{Domain: d.Domain, SerialNumber: name}}, PutDevices: []*registrar.Device{other}}
		if found {
			wantConflict(t, s, name+" when it is a device's", c)
		} else {
			commit(t, s, c)
		}
	}
	if list, err := s.FindIDevIDs(t.Context(), "elsewhere", d.SerialNumber); err != nil || len(list) > 0 {
		t.Errorf("in another domain: %d devices, %v", len(list), err)
	}
}
