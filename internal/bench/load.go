package bench

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"io"
	"net/http"
	"slices"
	"time"
)

// Target is a server under load.
type Target struct {
	URL         string // of its EST service, without the operation
	Roots       *x509.CertPool
	User        string
	Password    string
	Certificate *tls.Certificate // client certificate; nil for none
	PID         int              // of the serving process, for its CPU time
}

// Load is one run: so many enrollments from so many clients at once.
type Load struct {
	Requests int
	Clients  int
	Fresh    bool // a new TLS connection for each request, no resumption
}

// Run is what one Load showed.
type Run struct {
	Throughput float64 `json:"throughput"` // enrollments a second
	P50        float64 `json:"p50_us"`
	P99        float64 `json:"p99_us"`
	CPU        float64 `json:"cpu_us"` // of the server, per enrollment
}

// Measure puts the load on the target, with a new key and name for each
// request, made beforehand. Any answer but 200 ends the run with an error.
func Measure(ctx context.Context, op *Op, t *Target, l Load) (*Run, error) {
	requests, err := op.prepare(ctx, t, l.Requests)
	if err != nil {
		return nil, err
	}
	before, err := cpuTime(t.PID)
	if err != nil {
		return nil, err
	}
	start := time.Now()
	latencies, err := drive(ctx, op, t, l, requests)
	if err != nil {
		return nil, err
	}
	wall := time.Since(start)
	after, err := cpuTime(t.PID)
	if err != nil {
		return nil, err
	}
	slices.Sort(latencies)
	n := len(latencies)
	return &Run{
		Throughput: float64(n) / wall.Seconds(),
		P50:        micros(latencies[n/2]),
		P99:        micros(latencies[n*99/100]),
		CPU:        micros(after-before) / float64(n),
	}, nil
}

// made is a base64 CSR and its key.
type made struct {
	body []byte
	key  *ecdsa.PrivateKey
}

// namedRequests makes CSRs, each with its own P-256 key and name. Names begin
// with prefix; a number of six digits follows.
func namedRequests(n int) (requests []made, prefix string, err error) {
	var random [6]byte
	if _, err := rand.Read(random[:]); err != nil {
		return nil, "", err
	}
	prefix = "bench-" + hex.EncodeToString(random[:]) + "-"
	requests = make([]made, n)
	for i := range requests {
		key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
		if err != nil {
			return nil, "", err
		}
		name := fmt.Sprintf("%s%06d", prefix, i)
		der, err := x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{Subject: pkix.Name{CommonName: name}}, key)
		if err != nil {
			return nil, "", err
		}
		requests[i] = made{body: base64.StdEncoding.AppendEncode(nil, der), key: key}
	}
	return requests, prefix, nil
}

// drive sends the requests from l.Clients goroutines and returns each latency.
func drive(ctx context.Context, op *Op, t *Target, l Load, requests []request) ([]time.Duration, error) {
	return concurrently(ctx, len(requests), l.Clients, func() (func(context.Context, int) error, func()) {
		client := t.client(l.Fresh, nil)
		return func(ctx context.Context, i int) error {
			if own := requests[i].certificate; own != nil {
				client = t.client(true, own)
			}
			_, err := t.post(ctx, client, op.Name, op.mediaType, requests[i].body)
			return err
		}, func() { client.CloseIdleConnections() }
	})
}

// client shows own, or the target's certificate.
func (t *Target) client(fresh bool, own *tls.Certificate) *http.Client {
	cfg := &tls.Config{RootCAs: t.Roots, NextProtos: []string{"http/1.1"}}
	if own == nil {
		own = t.Certificate
	}
	if own != nil {
		cfg.Certificates = []tls.Certificate{*own}
	}
	return &http.Client{
		Transport: &http.Transport{TLSClientConfig: cfg, DisableKeepAlives: fresh, DisableCompression: true},
		Timeout:   time.Minute,
	}
}

// post sends one request and returns the body of a 200.
func (t *Target) post(ctx context.Context, client *http.Client, operation, mediaType string, body []byte) ([]byte, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, t.URL+"/"+operation, bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	req.Header.Set("Content-Type", mediaType)
	if t.User != "" {
		req.SetBasicAuth(t.User, t.Password)
	}
	res, err := client.Do(req)
	if err != nil {
		return nil, err
	}
	defer res.Body.Close()
	text, err := io.ReadAll(io.LimitReader(res.Body, 64<<10))
	if err != nil {
		return nil, err
	}
	if res.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("%s: %s", res.Status, bytes.TrimSpace(text))
	}
	return text, nil
}

func micros(d time.Duration) float64 { return float64(d.Nanoseconds()) / 1e3 }
