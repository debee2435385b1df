package masa_test

import (
	"fmt"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/briskest/briskest/masa"
)

// A registrar gets a voucher, on disk, and reads the audit-log.
func BenchmarkVoucherWithAuditLog(b *testing.B) {
	w := newOnDisk(b, func(s *masa.Settings, _ *masa.Product) {
		s.RequestsPerMinute, s.RegistrarRequestsPerMinute = 1<<30, 1<<30
	})
	requests := make([][]byte, b.N)
	in := &masa.Import{Product: "widget", By: "test"}
	for i := range requests {
		name := fmt.Sprintf("bench-%07d", i)
		a := w.ask(w.mine, "0123456789abcdef")
		a.idevid = w.idevidCA.IDevID(b, name, "masa.example.com")
		a.pledge.SerialNumber, a.registrar.SerialNumber = name, name
		requests[i] = a.bytes(b)
		in.Devices = append(in.Devices, masa.ImportDevice{SerialNumber: name, IDevID: a.idevid.Certificate.Raw})
		if len(in.Devices) == masa.MaxImport || i == len(requests)-1 {
			if _, err := w.service.ImportDevices(b.Context(), in); err != nil {
				b.Fatal(err)
			}
			in.Devices = nil
		}
	}
	var next atomic.Int64
	b.ReportAllocs()
	b.SetParallelism(16)
	b.ResetTimer()
	before := cpu(b)
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			r := w.request(requests[next.Add(1)-1])
			if _, err := w.service.RequestVoucher(b.Context(), r); err != nil {
				b.Error(err)
				return
			}
			if _, err := w.service.RequestAuditLog(b.Context(), r); err != nil {
				b.Error(err)
				return
			}
		}
	})
	b.ReportMetric(float64((cpu(b)-before).Microseconds())/float64(b.N), "cpu-us/op")
}

// cpu is the CPU time of this process, which other load on the machine moves
// less than the clock.
func cpu(b *testing.B) time.Duration {
	b.Helper()
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
