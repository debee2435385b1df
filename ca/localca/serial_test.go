package localca_test

import (
	"bytes"
	"context"
	"crypto/elliptic"
	"crypto/x509"
	"errors"
	"io"
	"math/big"
	"sync"
	"sync/atomic"
	"testing"
	"testing/iotest"
	"time"

	"github.com/briskest/briskest/ca"
	"github.com/briskest/briskest/ca/localca"
	"github.com/briskest/briskest/ca/profile"
)

// serialsAt returns n serial numbers, recorded and then not signed, from a
// clock that goes on by step each time.
func serialsAt(t *testing.T, begin time.Time, step time.Duration, random io.Reader, n int) [][]byte {
	t.Helper()
	key := ecKey(t, elliptic.P256())
	root := newRoot(t, key, -1)
	root.NotBefore, root.NotAfter = time.Time{}, profile.Never()
	now := begin
	c, err := localca.New(localca.Config{
		Certificate: root, Key: key, Profiles: profiles(t, profile.IDevID("")), Rand: random,
		Now: func() time.Time { now = now.Add(step); return now },
	})
	if err != nil {
		t.Fatal(err)
	}
	enough := errors.New("enough")
	var serials [][]byte
	r := request(ecKey(t, elliptic.P256()).Public(), "idevid", "d1")
	r.Subject = sampleSubject(t, c.Profile("idevid"))
	r.Record = func(_ context.Context, in *ca.Intent) error {
		serials = append(serials, in.Serial)
		return enough
	}
	for range n {
		if _, err := c.Issue(t.Context(), r); !errors.Is(err, enough) {
			t.Fatalf("Issue = %v", err)
		}
	}
	return serials
}

// RFC 5280, Section 4.1.2.2; EST-5280-4.1.2.2-01.
func TestSerialNumbersAreUniquePositiveShortAndInOrder(t *testing.T) {
	const n = 10_000
	serials := serialsAt(t, start(), 20*time.Millisecond, nil, n)
	seen := make(map[string]bool, n)
	for i, s := range serials {
		if len(s) != 17 || s[0] == 0 || s[0] >= 0x80 {
			t.Fatalf("serial %x is not 17 bytes, minimal and positive", s)
		}
		if i > 0 && bytes.Compare(serials[i-1], s) >= 0 {
			t.Fatalf("serial %x follows %x: a database would not append", s, serials[i-1])
		}
		seen[string(s)] = true
	}
	if len(seen) != n {
		t.Errorf("%d distinct serials of %d", len(seen), n)
	}
}

// EST-5280-4.1.2.2-01: unique without any help of the clock.
func TestSerialNumbersOfOneMomentDiffer(t *testing.T) {
	seen := make(map[string]bool)
	for _, s := range serialsAt(t, start(), 0, nil, 1000) {
		seen[string(s[5:])] = true
	}
	if len(seen) != 1000 {
		t.Errorf("%d distinct random parts of 1000 at one moment", len(seen))
	}
}

func TestAWrongClockCostsNoSerialNumberItsForm(t *testing.T) {
	for _, at := range []time.Time{time.Unix(0, 0), time.Date(1960, 1, 1, 0, 0, 0, 0, time.UTC), time.Date(2300, 1, 1, 0, 0, 0, 0, time.UTC)} {
		for _, s := range serialsAt(t, at, time.Second, nil, 3) {
			if len(s) != 17 || s[0] == 0 || s[0] >= 0x80 || new(big.Int).SetBytes(s).Sign() != 1 {
				t.Errorf("at %s: serial %x", at, s)
			}
		}
	}
}

func TestWithoutRandomnessNothingIsIssued(t *testing.T) {
	key := ecKey(t, elliptic.P256())
	recorded := false
	c, err := localca.New(localca.Config{
		Certificate: newRoot(t, key, -1), Key: key, Profiles: profiles(t, profile.Device()), Now: start, Rand: iotest.ErrReader(errors.New("no entropy")),
	})
	if err != nil {
		t.Fatal(err)
	}
	r := request(ecKey(t, elliptic.P256()).Public(), "device", "d1")
	r.Record = func(context.Context, *ca.Intent) error { recorded = true; return nil }
	if _, err := c.Issue(t.Context(), r); !errors.Is(err, ca.ErrUnavailable) || recorded {
		t.Errorf("Issue = %v, recorded %v, want ErrUnavailable and nothing recorded", err, recorded)
	}
}

// R21: a profile that changes under load leaves each certificate of exactly
// one version, the one on record.
func TestEachCertificateIsOfOneVersionOfItsProfile(t *testing.T) {
	first, second := profile.Device(), profile.Device()
	second.Version, second.Validity.Lifetime, second.ExtendedKeyUsage = "2", "30d", []string{"server_auth"}
	sets := []map[string]*profile.Profile{profiles(t, first), profiles(t, second)}
	lifetimes := map[string]int{sets[0]["device"].Version(): 365, sets[1]["device"].Version(): 30}
	purposes := map[string]int{sets[0]["device"].Version(): 2, sets[1]["device"].Version(): 1}
	var current atomic.Pointer[localca.CA]
	base := newCA(t, ecKey(t, elliptic.P256()), first)
	current.Store(base)

	done := make(chan struct{})
	var changer, workers sync.WaitGroup
	changer.Go(func() {
		for i := 0; ; i++ {
			select {
			case <-done:
				return
			default:
			}
			next, err := base.WithProfiles(sets[i%2])
			if err != nil {
				t.Error(err)
				return
			}
			current.Store(next)
		}
	})
	var mu sync.Mutex
	seen := map[string]int{}
	for range 4 {
		key := ecKey(t, elliptic.P256()).Public()
		workers.Go(func() {
			for range 200 {
				var intent *ca.Intent
				r := request(key, "device", "d1")
				r.Record = func(_ context.Context, in *ca.Intent) error { intent = in; return nil }
				made, err := current.Load().Issue(context.Background(), r)
				if err != nil {
					t.Errorf("Issue: %v", err)
					return
				}
				cert, err := x509.ParseCertificate(made.Raw)
				if err != nil {
					t.Error(err)
					return
				}
				days := int(cert.NotAfter.Sub(start()).Hours()/24 + 0.5)
				if made.Version != intent.Version || days != lifetimes[made.Version] || len(cert.ExtKeyUsage) != purposes[made.Version] {
					t.Errorf("version %s (on record %s): %d days, %d purposes", made.Version, intent.Version, days, len(cert.ExtKeyUsage))
				}
				mu.Lock()
				seen[made.Version]++
				mu.Unlock()
			}
		})
	}
	workers.Wait()
	close(done)
	changer.Wait()
	t.Logf("certificates by version: %v", seen)
}
