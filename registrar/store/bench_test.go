package store_test

import (
	"context"
	"crypto/sha256"
	"database/sql"
	"encoding/binary"
	"fmt"
	"path/filepath"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	_ "modernc.org/sqlite"

	"github.com/briskest/briskest/internal/trail"
	"github.com/briskest/briskest/registrar"
)

// cpu returns the processor time of the process so far.
func cpu(tb testing.TB) time.Duration {
	tb.Helper()
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		tb.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// measure runs one b.N times from that many goroutines and reports the
// processor time of each.
func measure(b *testing.B, clients int, one func(n int) error) {
	b.Helper()
	var next atomic.Int64
	var wg sync.WaitGroup
	b.ReportAllocs()
	b.ResetTimer()
	before := cpu(b)
	for range clients {
		wg.Go(func() {
			for n := int(next.Add(1)); n <= b.N; n = int(next.Add(1)) {
				if err := one(n); err != nil {
					b.Error(err)
					return
				}
			}
		})
	}
	wg.Wait()
	b.StopTimer()
	b.ReportMetric(float64((cpu(b)-before).Microseconds())/float64(b.N), "cpu-us/op")
}

// The two changes of an enrollment, with bodies of a usual size.
func enrollment(n int) (intended, issued *registrar.Change) {
	id := fmt.Sprintf("019330a1%024x", n)
	serial := binary.BigEndian.AppendUint64([]byte{1, 2, 3, 4, 5, 6, 7, 8}, uint64(n))
	now := time.Unix(1_900_000_000, int64(n)*1000)
	key := sha256.Sum256(serial)
	raw := make([]byte, 560)
	copy(raw, key[:])
	c := &registrar.Certificate{
		Domain: registrar.DefaultDomain, ID: fmt.Sprintf("019330a3%024x", n), Issuer: "default", Authority: fmt.Sprintf("%040x", 1),
		Serial: serial, DeviceID: id, Profile: "device", Version: "1",
		Operation: "simpleenroll", Subject: "CN=device-" + id[20:], TBSHash: key, KeyHash: key, NamesHash: key,
		Credential: "basic:factory", NotBefore: now, NotAfter: now.Add(time.Hour), IntendedAt: now, IssuedAt: now, Raw: raw,
	}
	d := &registrar.Device{
		ID: id, Domain: c.Domain, SerialNumber: c.Subject, State: registrar.Enrolled, Source: "enroll", CreatedAt: now, SeenAt: now,
	}
	e := &trail.Entry{
		At: now, Domain: c.Domain, Kind: "certificate-issued", Device: id, Actor: "est",
		Body: []byte(fmt.Sprintf(`{"serial":"%x","profile":"device","operation":"simpleenroll","address":"127.0.0.1"}`, serial)),
	}
	return &registrar.Change{Intents: []*registrar.Certificate{c}},
		&registrar.Change{Issued: []*registrar.Certificate{c}, PutDevices: []*registrar.Device{d}, Trail: []*trail.Entry{e}}
}

// BenchmarkEnroll is the two changes of an enrollment; an op is one change.
func BenchmarkEnroll(b *testing.B) {
	for _, clients := range []int{1, 8, 32} {
		b.Run(fmt.Sprintf("clients=%d", clients), func(b *testing.B) {
			s := open(b, filepath.Join(b.TempDir(), "registrar.db"))
			ctx := context.Background()
			measure(b, clients, func(n int) error {
				intended, issued := enrollment(n)
				if err := s.Commit(ctx, intended); err != nil {
					return err
				}
				return s.Commit(ctx, issued)
			})
			r, err := s.VerifyTrail(ctx)
			if err != nil {
				b.Fatal(err)
			}
			b.ReportMetric(2*float64(b.N)/float64(r.Heads), "changes/sync")
		})
	}
}

// BenchmarkRead is one of the reads that an enrollment does.
func BenchmarkRead(b *testing.B) {
	s := open(b, filepath.Join(b.TempDir(), "registrar.db"))
	ctx := context.Background()
	const rows = 2000
	for n := range rows {
		intended, issued := enrollment(n)
		intended.Trail, issued.Intents = nil, intended.Intents
		if err := s.Commit(ctx, issued); err != nil {
			b.Fatal(err)
		}
	}
	for _, r := range []struct {
		name string
		read func(n int) error
	}{
		{"DeviceBySerialNumber", func(n int) error {
			_, c := enrollment(n % rows)
			_, err := s.DeviceBySerialNumber(ctx, registrar.DefaultDomain, "", c.PutDevices[0].SerialNumber)
			return err
		}},
		{"CurrentCertificate", func(n int) error {
			_, c := enrollment(n % rows)
			i := c.Issued[0]
			_, err := s.CurrentCertificate(ctx, &registrar.CurrentQuery{
				Domain: i.Domain, DeviceID: i.DeviceID, KeyHash: i.KeyHash, NamesHash: i.NamesHash,
			})
			return err
		}},
	} {
		b.Run(r.name, func(b *testing.B) { measure(b, 8, r.read) })
	}
}

// BenchmarkBareInsert is the floor: the same bytes in one table without an
// index, in transactions of eight, through database/sql.
func BenchmarkBareInsert(b *testing.B) {
	db, err := sql.Open("sqlite", "file:"+filepath.Join(b.TempDir(), "bare.db")+
		"?_pragma=journal_mode(WAL)&_pragma=synchronous(FULL)")
	if err != nil {
		b.Fatal(err)
	}
	defer db.Close()
	ctx := context.Background()
	conn, err := db.Conn(ctx)
	if err != nil {
		b.Fatal(err)
	}
	defer conn.Close()
	if _, err := conn.ExecContext(ctx, "CREATE TABLE t (id INTEGER PRIMARY KEY, b BLOB)"); err != nil {
		b.Fatal(err)
	}
	insert, err := conn.PrepareContext(ctx, "INSERT INTO t (id, b) VALUES (?, ?)")
	if err != nil {
		b.Fatal(err)
	}
	defer insert.Close()
	row := make([]byte, 700)
	measure(b, 1, func(n int) error {
		if n%8 == 1 {
			if _, err := conn.ExecContext(ctx, "BEGIN IMMEDIATE"); err != nil {
				return err
			}
		}
		if _, err := insert.ExecContext(ctx, n, row); err != nil {
			return err
		}
		if n%8 == 0 || n == b.N {
			_, err := conn.ExecContext(ctx, "COMMIT")
			return err
		}
		return nil
	})
}

// exchangeOf are the two changes of a voucher exchange, with artifacts of a usual size.
func exchangeOf(n int) (device *registrar.Device, asked, issued *registrar.Change) {
	id := fmt.Sprintf("019330a1%024x", n)
	now := time.Unix(1_900_000_000, int64(n)*1000)
	hash := sha256.Sum256([]byte(id))
	bytes := func(size int) []byte { b := make([]byte, size); copy(b, hash[:]); return b }
	d := &registrar.Device{
		ID: id, Domain: registrar.DefaultDomain, Manufacturer: "acme", SerialNumber: "BENCH-" + id[20:], State: registrar.Expected,
		Source: "import", CreatedAt: now,
	}
	seen := *d
	seen.SeenAt, seen.IDevID = now, bytes(420)
	vouched := seen
	vouched.State = registrar.Vouched
	row := &registrar.VoucherRecord{
		ID: fmt.Sprintf("019330a2%024x", n), Domain: d.Domain, DeviceID: id, Manufacturer: d.Manufacturer, SerialNumber: d.SerialNumber,
		Nonce: fmt.Sprintf("%x", hash[:8]), MediaType: "application/voucher-cms+json", RequestHash: hash, State: "asked", At: now,
		PledgeRequest: bytes(1700), RegistrarReq: bytes(4600),
	}
	out := *row
	out.State, out.Voucher, out.AuditLog = "issued", bytes(1600), bytes(260)
	entry := func(kind string, size int) []*trail.Entry {
		return []*trail.Entry{{At: now, Domain: d.Domain, Kind: kind, Device: id, Actor: "brski", Body: bytes(size)}}
	}
	return d, &registrar.Change{PutDevices: []*registrar.Device{&seen}, PutVouchers: []*registrar.VoucherRecord{row}, Trail: entry("voucher-requested", 400)},
		&registrar.Change{PutDevices: []*registrar.Device{&vouched}, PutVouchers: []*registrar.VoucherRecord{&out}, Trail: entry("voucher-issued", 200)}
}

// BenchmarkVoucher is a voucher exchange: an op is a look at the device and two changes.
func BenchmarkVoucher(b *testing.B) {
	for _, clients := range []int{1, 8} {
		b.Run(fmt.Sprintf("clients=%d", clients), func(b *testing.B) {
			s := open(b, filepath.Join(b.TempDir(), "registrar.db"))
			imported := &registrar.Change{}
			for n := range b.N {
				d, _, _ := exchangeOf(n + 1)
				imported.PutDevices = append(imported.PutDevices, d)
			}
			if err := s.Commit(b.Context(), imported); err != nil {
				b.Fatal(err)
			}
			measure(b, clients, func(n int) error {
				d, asked, issued := exchangeOf(n)
				if _, err := s.DeviceBySerialNumber(b.Context(), d.Domain, d.Manufacturer, d.SerialNumber); err != nil {
					return err
				}
				if err := s.Commit(b.Context(), asked); err != nil {
					return err
				}
				return s.Commit(b.Context(), issued)
			})
		})
	}
}
