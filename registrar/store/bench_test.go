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
		Domain: registrar.DefaultDomain, Serial: serial, DeviceID: id, Profile: "device", Version: "1",
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
