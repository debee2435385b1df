package brskiregistrar

import (
	"context"
	"crypto/sha1" //nolint:gosec // a name of a key, not a protection (RFC 5280, Section 4.2.1.2)
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"sync"

	"github.com/briskest/briskest/conformance/wire"
)

// joining: devices as they are built, and the ways that they come.
func joining() []check {
	return slices.Concat(
		in("IEEE 802.1AR-2018, Section 8", check{
			ID: "8021AR-8-REG-1", Level: must, Text: "an IDevID with an authority key identifier, without extended key usage, of a device with names of its maker's, gets its voucher",
			Requirements: rows("BRSKI-8021AR-extensions-01"), Run: judged(with(profiled), succeeded),
		}),
		in("RFC 8995, Section 4.3", check{
			ID: "RFC8995-4.3-REG-1", Level: must, Text: "a pledge behind a join proxy, whose address is in Host, gets its voucher and its certificate",
			Requirements: rows("BRSKI-8995-4.3-06"), Run: runProxied,
		}),
	)
}

// profiled is a device as IEEE 802.1AR describes it, and no more.
func profiled(t *Target) (*tls.Certificate, error) {
	serial := t.fresh().Subject.SerialNumber
	c := named(t.device(), pkix.Name{Country: []string{"DE"}, Organization: []string{"Conformance"}, CommonName: "Model 802", SerialNumber: serial})
	c.KeyUsage = x509.KeyUsageDigitalSignature | x509.KeyUsageKeyEncipherment
	if t.Manufacturer != nil {
		sum := sha1.Sum(leafOf(t.Manufacturer).RawSubjectPublicKeyInfo) //nolint:gosec // as above
		c.AuthorityKeyId = sum[:]
	}
	return t.made(c)
}

// relay passes bytes on to a server, as the circuit proxy of RFC 8995, Section
// 4.1.3 does.
type relay struct {
	net.Listener
	to string

	mu     sync.Mutex
	conns  []net.Conn // guarded by mu
	active sync.WaitGroup
}

func newRelay(to string) (*relay, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	r := &relay{Listener: l, to: to}
	r.active.Go(r.serve)
	return r, nil
}

// Close ends the relay and what passes through it.
func (r *relay) Close() {
	_ = r.Listener.Close()
	r.mu.Lock()
	for _, c := range r.conns {
		_ = c.Close()
	}
	r.mu.Unlock()
	r.active.Wait()
}

func (r *relay) serve() {
	for {
		pledge, err := r.Accept()
		if err != nil {
			return
		}
		registrar, err := net.Dial("tcp", r.to)
		if err != nil {
			_ = pledge.Close()
			continue
		}
		r.mu.Lock()
		r.conns = append(r.conns, pledge, registrar)
		r.mu.Unlock()
		for _, way := range [][2]net.Conn{{pledge, registrar}, {registrar, pledge}} {
			r.active.Go(func() {
				_, _ = io.Copy(way[0], way[1]) // an end that is lost ends the other
				_ = way[0].Close()
			})
		}
	}
}

func runProxied(ctx context.Context, t *Target) error {
	if _, a, _, err := t.joined(ctx); err != nil {
		return err
	} else if a.Status != http.StatusOK {
		return skipf("%v without a proxy (see RFC8995-5.9-REG-3)", a)
	}
	_, to := t.Host()
	proxy, err := newRelay(to)
	if err != nil {
		return err
	}
	defer proxy.Close()
	site := t.Site
	site.URL = "https://" + proxy.Addr().String()
	x, err := t.ask(ctx, asking{site: &site})
	if err != nil {
		return fmt.Errorf("through a proxy: %w", err)
	}
	x.record(ctx)
	if !x.answer.OK() {
		return fmt.Errorf("through a proxy: %v, want 200", x.answer)
	}
	options := wire.Options{Certificate: t.Pledge, Untrusted: true}
	report := status(pathVoucherStatus, goodStatus)
	if _, err := site.Do(ctx, &options, &report); err != nil {
		return fmt.Errorf("through a proxy: %w", err)
	}
	key, err := newKey()
	if err != nil {
		return err
	}
	r, err := certification(t.Pledge, pathEnroll, key, nil)
	if err != nil {
		return err
	}
	a, err := sendCSR(ctx, &site, t.Pledge, &r)
	if err != nil {
		return fmt.Errorf("through a proxy: %w", err)
	}
	if a.Status == http.StatusAccepted {
		return nil
	}
	_, err = member(a, key)
	return err
}
