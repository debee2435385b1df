package store_test

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/briskest/briskest/internal/trail"
	"github.com/briskest/briskest/registrar"
)

// BenchmarkImport puts devices on record by the batch; an op is one device.
func BenchmarkImport(b *testing.B) {
	for _, size := range []int{500, 2000} {
		b.Run(fmt.Sprintf("batch=%d", size), func(b *testing.B) {
			path := filepath.Join(b.TempDir(), "registrar.db")
			s := open(b, path)
			now := time.Unix(1_900_000_000, 0)
			b.ResetTimer()
			before := cpu(b)
			for n := 0; n < b.N; n += size {
				c := &registrar.Change{}
				for i := n; i < min(n+size, b.N); i++ {
					c.AddDevices = append(c.AddDevices, &registrar.Device{
						Domain: registrar.DefaultDomain, ID: registrar.NewID(now), Manufacturer: "acme", SerialNumber: fmt.Sprintf("SN-%08d", i),
						State: registrar.Expected, Source: "import", CreatedAt: now,
					})
				}
				c.Trail = []*trail.Entry{{At: now, Domain: registrar.DefaultDomain, Kind: "devices-imported", Actor: "cli:root"}}
				if err := s.Commit(b.Context(), c); err != nil {
					b.Fatal(err)
				}
			}
			b.StopTimer()
			b.ReportMetric(float64((cpu(b)-before).Nanoseconds())/1e3/float64(b.N), "cpu-us/op")
			b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "rows/s")
			if err := s.Close(); err != nil {
				b.Fatal(err)
			}
			if f, err := os.Stat(path); err == nil {
				b.ReportMetric(float64(f.Size())/float64(b.N), "B/row")
			}
		})
	}
}
