//go:build pkcs11

package cryptoki_test

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/rand"
	"crypto/rsa"
	"fmt"
	"math/big"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/miekg/pkcs11"

	"github.com/briskest/briskest/internal/cryptoki"
	"github.com/briskest/briskest/internal/testbed"
	"github.com/briskest/briskest/internal/token"
)

// "The CA behind it", 2: what the pool leaves of the throughput that bare
// C_SignInit and C_Sign and one verification have on the same token with as many
// threads. Both are measured in turns, of moments so short that what else the
// machine does disturbs both alike, and the medians are reported; pool/bare is the
// median of what each turn came to:
//
//	go test -tags pkcs11 -run xxx -bench Pool -benchtime 1x ./internal/cryptoki
func BenchmarkPoolBesideBareSigning(b *testing.B) {
	bed := newBenchBed(b)
	for _, kind := range []string{"p256", "rsa2048"} {
		for _, threads := range []int{1, runtime.NumCPU(), 8, 16} {
			b.Run(fmt.Sprintf("%s/threads=%d", kind, threads), func(b *testing.B) {
				for range b.N {
					c := bed.compare(b, kind, threads, 61, 40*time.Millisecond)
					b.ReportMetric(c.bare.rate, "bare/s")
					b.ReportMetric(c.pool.rate, "pool/s")
					b.ReportMetric(c.byRate, "pool/bare")
					b.ReportMetric(c.bare.cpu, "bare-cpu-us")
					b.ReportMetric(c.pool.cpu, "pool-cpu-us")
					b.ReportMetric(c.byCPU, "by-cpu")
				}
			})
		}
	}
}

// A short look, which prints figures in each run of the tests. It judges by the
// processor time of a signature, which other programs disturb less, and even so
// only a gross loss is an error: the benchmark has the figures.
func TestThePoolLeavesMostOfTheThroughput(t *testing.T) {
	bed := newBenchBed(t)
	c := bed.compare(t, "p256", runtime.NumCPU(), 15, 30*time.Millisecond)
	t.Logf("figures: %d threads, P-256: %.0f signatures/s bare, %.0f through the pool, %.2f of it; by processor time %.0f and %.0f us, %.2f of it",
		runtime.NumCPU(), c.bare.rate, c.pool.rate, c.byRate, c.bare.cpu, c.pool.cpu, c.byCPU)
	if c.byCPU < 0.5 {
		t.Errorf("a signature takes %.0f us of the processors through the pool where bare PKCS#11 takes %.0f", c.pool.cpu, c.bare.cpu)
	}
}

type benchBed struct {
	ctx  *pkcs11.Ctx
	slot uint
	keys map[string]*token.Key
}

func newBenchBed(t testing.TB) *benchBed {
	hsm := testbed.NewSoftHSM(t)
	library, err := cryptoki.Load(hsm.Module, "")
	if err != nil {
		t.Fatal(err)
	}
	tok, err := token.NewModule(library, token.Limits{}).Token(token.Selector{Token: hsm.Token}, "", token.Limits{}, func() (string, error) { return "471147", nil })
	if err != nil {
		t.Fatal(err)
	}
	bed := &benchBed{keys: make(map[string]*token.Key)}
	for _, kind := range []string{"p256", "rsa2048"} {
		if bed.keys[kind], err = tok.Create(t.Context(), token.Object{Label: kind}, token.Algorithm(kind)); err != nil {
			t.Fatal(err)
		}
	}
	// The pool has started the library, and is logged in for all of the process.
	if bed.ctx = pkcs11.New(hsm.Module); bed.ctx == nil {
		t.Fatal("the library does not load")
	}
	if bed.slot, err = library.Find(token.Selector{Token: hsm.Token}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = library.Finalize() })
	return bed
}

// measured is what a round came to.
type measured struct {
	rate float64 // signatures a second
	cpu  float64 // microseconds of processor time for each
}

// comparison has the medians of both sides, and of what the rounds came to.
type comparison struct {
	bare, pool    measured
	byRate, byCPU float64 // the pool's part of bare, 1 for as good
}

// median is that of a figure of each round.
func median[T any](rounds []T, figure func(T) float64) float64 {
	var all []float64
	for _, r := range rounds {
		all = append(all, figure(r))
	}
	slices.Sort(all)
	return all[len(all)/2]
}

// used is the processor time of this process.
func used(t testing.TB) time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		t.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// compare measures both in turns, now the one first and now the other.
func (b *benchBed) compare(t testing.TB, kind string, threads, rounds int, each time.Duration) comparison {
	var bares []func([]byte)
	var pools []func([]byte)
	for range threads {
		bares = append(bares, b.bare(t, kind))
		pools = append(pools, func(digest []byte) {
			if _, err := b.keys[kind].Sign(rand.Reader, digest, crypto.SHA256); err != nil {
				t.Error(err)
			}
		})
	}
	var all []comparison
	for n := range rounds {
		var c comparison
		if n%2 == 0 {
			c.bare = rate(t, each, bares)
		}
		c.pool = rate(t, each, pools)
		if n%2 != 0 {
			c.bare = rate(t, each, bares)
		}
		c.byRate, c.byCPU = c.pool.rate/c.bare.rate, c.bare.cpu/c.pool.cpu
		all = append(all, c)
	}
	return comparison{
		bare: measured{median(all, func(c comparison) float64 { return c.bare.rate }), median(all, func(c comparison) float64 { return c.bare.cpu })},
		pool: measured{median(all, func(c comparison) float64 { return c.pool.rate }), median(all, func(c comparison) float64 { return c.pool.cpu })},

		byRate: median(all, func(c comparison) float64 { return c.byRate }),
		byCPU:  median(all, func(c comparison) float64 { return c.byCPU }),
	}
}

// rate runs each worker in a thread of its own for a time.
func rate(t testing.TB, each time.Duration, workers []func(digest []byte)) measured {
	var count atomic.Int64
	var wg sync.WaitGroup
	for _, sign := range workers {
		sign(make([]byte, 32)) // sessions are open before the clock runs
	}
	begin, before := time.Now(), used(t)
	for _, sign := range workers {
		wg.Go(func() {
			digest := make([]byte, 32)
			for time.Since(begin) < each {
				digest[0]++
				sign(digest)
				count.Add(1)
			}
		})
	}
	wg.Wait()
	n := float64(count.Load())
	return measured{n / time.Since(begin).Seconds(), float64((used(t) - before).Microseconds()) / n}
}

// bare signs with a session of its own and verifies, and nothing else.
func (b *benchBed) bare(t testing.TB, kind string) func(digest []byte) {
	s, err := b.ctx.OpenSession(b.slot, pkcs11.CKF_SERIAL_SESSION)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = b.ctx.CloseSession(s) })
	key, err := find(b.ctx, s, kind)
	if err != nil {
		t.Fatal(err)
	}
	prefix := []byte{0x30, 0x31, 0x30, 0x0d, 0x06, 0x09, 0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x02, 0x01, 0x05, 0x00, 0x04, 0x20}
	return func(digest []byte) {
		mechanism, input := uint(pkcs11.CKM_ECDSA), digest
		if kind != "p256" {
			mechanism, input = pkcs11.CKM_RSA_PKCS, append(prefix[:len(prefix):len(prefix)], digest...)
		}
		if err := b.ctx.SignInit(s, []*pkcs11.Mechanism{pkcs11.NewMechanism(mechanism, nil)}, key); err != nil {
			t.Error(err)
			return
		}
		signature, err := b.ctx.Sign(s, input)
		if err != nil {
			t.Error(err)
			return
		}
		switch public := b.keys[kind].Public().(type) {
		case *ecdsa.PublicKey:
			if !ecdsa.Verify(public, digest, new(big.Int).SetBytes(signature[:32]), new(big.Int).SetBytes(signature[32:])) {
				t.Error("a wrong signature")
			}
		case *rsa.PublicKey:
			if err := rsa.VerifyPKCS1v15(public, crypto.SHA256, digest, signature); err != nil {
				t.Error(err)
			}
		}
	}
}

func find(ctx *pkcs11.Ctx, s pkcs11.SessionHandle, label string) (pkcs11.ObjectHandle, error) {
	err := ctx.FindObjectsInit(s, []*pkcs11.Attribute{
		pkcs11.NewAttribute(pkcs11.CKA_CLASS, pkcs11.CKO_PRIVATE_KEY), pkcs11.NewAttribute(pkcs11.CKA_LABEL, label),
	})
	if err != nil {
		return 0, err
	}
	found, _, err := ctx.FindObjects(s, 1)
	if err := ctx.FindObjectsFinal(s); err != nil {
		return 0, err
	}
	if err != nil || len(found) == 0 {
		return 0, fmt.Errorf("find %s: %d objects, %w", label, len(found), err)
	}
	return found[0], nil
}
