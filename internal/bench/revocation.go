package bench

import (
	"bytes"
	"context"
	"crypto/x509"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"math/big"
	"math/rand/v2"
	"net/http"
	"net/url"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"golang.org/x/crypto/ocsp"
)

// RevocationTarget is a server that answers about certificates.
type RevocationTarget struct {
	URL    string // of its port, without a path
	Issuer *x509.Certificate
	// Serial is the serial number of certificate n, from 0 on below N, big-endian.
	Serial func(n int) []byte
	N      int
	// Revoked of them, those from 0 on, are revoked.
	Revoked    int
	Partitions int
	PID        int
}

// RevocationLoad says how much is asked.
type RevocationLoad struct {
	Requests int // of OCSP, by GET and again by POST
	// Rate is how many requests a second arrive for the latencies, at random times.
	Rate    float64
	Clients int // that ask one after the other for the throughput
	Lists   int // partitions that are fetched for the first time
}

// RevocationRun is what was measured.
type RevocationRun struct {
	GET, POST     Run           // at the rate; latency counts from when a request was due
	Crowd         Run           // clients that ask by GET as fast as they are answered
	Partition     time.Duration // the slowest first fetch of a list of a partition
	Full          time.Duration // the first fetch of the list of all
	FullBytes     int
	FullEntries   int
	Idle, Resting int64 // resident memory in bytes, before the load and after it
}

// Answering waits until the server answers about a certificate.
func (t *RevocationTarget) Answering(ctx context.Context) error {
	client := &http.Client{Timeout: time.Second}
	defer client.CloseIdleConnections()
	for {
		err := t.ask(ctx, client, 0, http.MethodPost)
		if err == nil || ctx.Err() != nil {
			return errors.Join(err, ctx.Err())
		}
		select {
		case <-ctx.Done():
		case <-time.After(2 * time.Millisecond):
		}
	}
}

// Measure asks about certificates at random and fetches lists.
func (t *RevocationTarget) Measure(ctx context.Context, l RevocationLoad) (*RevocationRun, error) {
	r := &RevocationRun{Idle: resident(t.PID)}
	for method, run := range map[string]*Run{http.MethodGet: &r.GET, http.MethodPost: &r.POST} {
		one, err := t.paced(ctx, l, method)
		if err != nil {
			return nil, err
		}
		*run = *one
	}
	crowd, err := t.crowd(ctx, l)
	if err != nil {
		return nil, err
	}
	r.Crowd = *crowd
	client := &http.Client{Timeout: time.Minute}
	defer client.CloseIdleConnections()
	name := fmt.Sprintf("%x", t.Issuer.SubjectKeyId)
	for i := range min(l.Lists, t.Partitions) {
		start := time.Now()
		if _, err := t.list(ctx, client, fmt.Sprintf("/crl/%s/%d/%d.crl", name, t.Partitions, i)); err != nil {
			return nil, err
		}
		r.Partition = max(r.Partition, time.Since(start))
	}
	start := time.Now()
	raw, err := t.list(ctx, client, "/crl/"+name+"/1/0.crl")
	if err != nil {
		return nil, err
	}
	r.Full, r.FullBytes = time.Since(start), len(raw)
	list, err := x509.ParseRevocationList(raw)
	if err != nil {
		return nil, err
	}
	r.FullEntries, r.Resting = len(list.RevokedCertificateEntries), resident(t.PID)
	return r, nil
}

// ocspClient keeps connections for as many requests at once as come.
func ocspClient(connections int) *http.Client {
	return &http.Client{Timeout: 30 * time.Second, Transport: &http.Transport{MaxIdleConnsPerHost: connections}}
}

// paced has requests arrive at a rate whatever the server does, as those of many
// devices do.
func (t *RevocationTarget) paced(ctx context.Context, l RevocationLoad, method string) (*Run, error) {
	const most = 256 // requests under way
	client := ocspClient(most)
	defer client.CloseIdleConnections()
	places := make(chan struct{}, most)
	return t.timed(func(done func(time.Duration, error)) {
		var wg sync.WaitGroup
		defer wg.Wait()
		due := time.Now()
		for range l.Requests {
			due = due.Add(time.Duration(rand.ExpFloat64() / l.Rate * float64(time.Second)))
			time.Sleep(time.Until(due))
			places <- struct{}{}
			n, was := rand.IntN(t.N), due
			wg.Go(func() {
				err := t.ask(ctx, client, n, method)
				done(time.Since(was), err)
				<-places
			})
		}
	})
}

// crowd has the clients ask, each over a connection that it keeps.
func (t *RevocationTarget) crowd(ctx context.Context, l RevocationLoad) (*Run, error) {
	return t.timed(func(done func(time.Duration, error)) {
		var wg sync.WaitGroup
		for range l.Clients {
			wg.Go(func() {
				client := ocspClient(1)
				defer client.CloseIdleConnections()
				for range l.Requests / l.Clients {
					began := time.Now()
					err := t.ask(ctx, client, rand.IntN(t.N), http.MethodGet)
					if done(time.Since(began), err); err != nil {
						return
					}
				}
			})
		}
		wg.Wait()
	})
}

// timed collects what load reports of each request, which it may do from many
// goroutines.
func (t *RevocationTarget) timed(load func(done func(time.Duration, error))) (*Run, error) {
	before, err := cpuTime(t.PID)
	if err != nil {
		return nil, err
	}
	var mu sync.Mutex
	var latencies []time.Duration // guarded by mu, and so is failed
	var failed error
	start := time.Now()
	load(func(d time.Duration, err error) {
		mu.Lock()
		defer mu.Unlock()
		latencies = append(latencies, d)
		if failed == nil {
			failed = err
		}
	})
	wall := time.Since(start)
	after, err := cpuTime(t.PID)
	if err := errors.Join(failed, err); err != nil {
		return nil, err
	}
	slices.Sort(latencies)
	n := len(latencies)
	return &Run{
		Throughput: float64(n) / wall.Seconds(), P50: micros(latencies[n/2]), P99: micros(latencies[n*99/100]),
		CPU: micros(after-before) / float64(n),
	}, nil
}

// ask asks about one certificate, and looks at what the answer says.
func (t *RevocationTarget) ask(ctx context.Context, client *http.Client, n int, method string) error {
	cert := &x509.Certificate{SerialNumber: new(big.Int).SetBytes(t.Serial(n))}
	der, err := ocsp.CreateRequest(cert, t.Issuer, nil)
	if err != nil {
		return err
	}
	where, body := t.URL+"/ocsp", io.Reader(bytes.NewReader(der))
	if method == http.MethodGet {
		where, body = where+"/"+url.QueryEscape(base64.StdEncoding.EncodeToString(der)), nil
	}
	request, err := http.NewRequestWithContext(ctx, method, where, body)
	if err != nil {
		return err
	}
	request.Header.Set("Content-Type", "application/ocsp-request")
	raw, err := fetch(client, request, 1<<16)
	if err != nil {
		return err
	}
	answer, err := ocsp.ParseResponse(raw, nil)
	if err != nil {
		return err
	}
	want := ocsp.Good
	if n < t.Revoked {
		want = ocsp.Revoked
	}
	if answer.Status != want {
		return fmt.Errorf("certificate %d has the status %d, want %d", n, answer.Status, want)
	}
	return nil
}

func (t *RevocationTarget) list(ctx context.Context, client *http.Client, path string) ([]byte, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, t.URL+path, nil)
	if err != nil {
		return nil, err
	}
	return fetch(client, request, 256<<20)
}

func fetch(client *http.Client, request *http.Request, most int64) ([]byte, error) {
	res, err := client.Do(request)
	if err != nil {
		return nil, err
	}
	defer func() { _ = res.Body.Close() }()
	body, err := io.ReadAll(io.LimitReader(res.Body, most))
	if err == nil && res.StatusCode != http.StatusOK {
		err = fmt.Errorf("%s: %s: %.200s", request.URL.Path, res.Status, body)
	}
	return body, err
}

// resident is a process's resident memory in bytes; 0 when nobody can say.
func resident(pid int) int64 {
	data, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return 0
	}
	for line := range strings.Lines(string(data)) {
		if rest, ok := strings.CutPrefix(line, "VmRSS:"); ok {
			kb, err := strconv.ParseInt(strings.TrimSuffix(strings.TrimSpace(rest), " kB"), 10, 64)
			if err == nil {
				return kb << 10
			}
		}
	}
	return 0
}
