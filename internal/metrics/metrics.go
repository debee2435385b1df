// Package metrics counts what a server does, for Prometheus. Every label takes
// its values from a list that is fixed, or from names in the configuration:
// nothing a peer sends can make a series.
package metrics

import (
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"
)

// namespace begins every name of ours.
const namespace = "briskest"

// other stands for each value that a list does not have.
const other = "other"

// operations are the last path segments that have series of their own: those of
// EST (RFC 7030, Section 3.2.2) and of BRSKI (RFC 8995, Section 5).
var operations = [...]string{
	"cacerts", "simpleenroll", "simplereenroll", "fullcmc", "serverkeygen", "csrattrs",
	"requestvoucher", "requestauditlog", "voucher_status", "enrollstatus", "baseline", "ack",
}

// Metrics are the series of one server.
type Metrics struct {
	registry *prometheus.Registry
	requests *prometheus.CounterVec
	seconds  *prometheus.HistogramVec
	inFlight prometheus.Gauge
	commits  *prometheus.HistogramVec
	issued   *prometheus.CounterVec
	vouchers *prometheus.CounterVec
	trail    *prometheus.CounterVec
}

// New returns the series of a role, "registrar" or "masa", of a version of the
// program. Those of the Go runtime and the process are among them.
func New(role, version string) *Metrics {
	m := &Metrics{
		registry: prometheus.NewRegistry(),
		requests: prometheus.NewCounterVec(prometheus.CounterOpts{
			Namespace: namespace, Name: "requests_total", Help: "Answered requests of devices and registrars.",
		}, []string{"operation", "code"}),
		seconds: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Namespace: namespace, Name: "request_duration_seconds", Help: "From a request's header to the end of its answer.",
			Buckets: []float64{.0005, .001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 30},
		}, []string{"operation"}),
		inFlight: prometheus.NewGauge(prometheus.GaugeOpts{
			Namespace: namespace, Name: "requests_in_flight", Help: "Requests being answered.",
		}),
		commits: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Namespace: namespace, Name: "store_commit_duration_seconds", Help: "From a change to its being durable.",
			Buckets: []float64{.0005, .001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 5},
		}, []string{"result"}),
		issued: prometheus.NewCounterVec(prometheus.CounterOpts{
			Namespace: namespace, Name: "certificates_total", Help: "Certificates by issuer and what became of them.",
		}, []string{"issuer", "status"}),
		vouchers: prometheus.NewCounterVec(prometheus.CounterOpts{
			Namespace: namespace, Name: "vouchers_total", Help: "Voucher exchanges by what became of them.",
		}, []string{"state"}),
		trail: prometheus.NewCounterVec(prometheus.CounterOpts{
			Namespace: namespace, Name: "trail_entries_total", Help: "Entries of the trail by kind.",
		}, []string{"kind"}),
	}
	build := prometheus.NewGauge(prometheus.GaugeOpts{
		Namespace: namespace, Name: "build_info", Help: "1, with the role and the version.",
		ConstLabels: prometheus.Labels{"role": role, "version": version},
	})
	build.Set(1)
	m.registry.MustRegister(build, m.requests, m.seconds, m.inFlight, m.commits, m.issued, m.vouchers, m.trail,
		collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	return m
}

// Add has further series collected with these. It panics when their names are taken.
func (m *Metrics) Add(c ...prometheus.Collector) { m.registry.MustRegister(c...) }

// Handler serves the series in the formats that Prometheus asks for.
func (m *Metrics) Handler() http.Handler {
	return promhttp.HandlerFor(m.registry, promhttp.HandlerOpts{MaxRequestsInFlight: 4})
}

// Measure counts and times the requests that next answers.
func (m *Metrics) Measure(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		begin := time.Now()
		m.inFlight.Inc()
		watched := &watchedWriter{ResponseWriter: w, status: http.StatusOK}
		operation := Operation(r.URL.EscapedPath())
		defer func() {
			m.inFlight.Dec()
			m.requests.WithLabelValues(operation, strconv.Itoa(watched.status)).Inc()
			m.seconds.WithLabelValues(operation).Observe(time.Since(begin).Seconds())
		}()
		next.ServeHTTP(watched, r)
	})
}

// Operation is the EST or BRSKI operation that a path ends with, or "other".
func Operation(path string) string {
	last := path[strings.LastIndexByte(path, '/')+1:]
	for _, o := range operations {
		if o == last {
			return o
		}
	}
	return other
}

// watchedWriter knows which status was written.
type watchedWriter struct {
	http.ResponseWriter
	status int
	wrote  bool
}

// WriteHeader notes the first final status, of those that exist.
func (w *watchedWriter) WriteHeader(status int) {
	if !w.wrote && status >= 200 && status < 600 {
		w.status, w.wrote = status, true
	}
	w.ResponseWriter.WriteHeader(status)
}

// Write is the beginning of a 200 where no status was written.
func (w *watchedWriter) Write(b []byte) (int, error) {
	w.wrote = true
	return w.ResponseWriter.Write(b)
}

// Unwrap lets an http.ResponseController reach the connection.
func (w *watchedWriter) Unwrap() http.ResponseWriter { return w.ResponseWriter }

// Committed notes one commit to a store that began at begin, and how it ended.
func (m *Metrics) Committed(begin time.Time, err error) {
	result := "done"
	if err != nil {
		result = "failed"
	}
	m.commits.WithLabelValues(result).Observe(time.Since(begin).Seconds())
}

// Certificate counts a certificate of the issuer, whose name is one of the
// configuration's, that is now issued, abandoned, revoked or released.
func (m *Metrics) Certificate(issuer, status string) { m.issued.WithLabelValues(issuer, status).Inc() }

// Voucher counts an exchange that is now in a state, which is the program's own word.
func (m *Metrics) Voucher(state string) { m.vouchers.WithLabelValues(state).Inc() }

// Entry counts an entry of the trail of a kind, which is the program's own word.
func (m *Metrics) Entry(kind string) { m.trail.WithLabelValues(kind).Inc() }

// Gauges are values that are read when they are collected. Read is called with
// set, which takes a value and the values of the labels.
type Gauges struct {
	desc *prometheus.Desc
	kind prometheus.ValueType
	read func(set func(value float64, labels ...string))
}

// NewGauges describes a family of gauges, without the namespace. Read has to
// return quickly, and to give each combination of labels once.
func NewGauges(name, help string, labels []string, read func(set func(value float64, labels ...string))) *Gauges {
	return &Gauges{prometheus.NewDesc(namespace+"_"+name, help, labels, nil), prometheus.GaugeValue, read}
}

// NewCounters is [NewGauges] for values that only rise while the process runs.
func NewCounters(name, help string, labels []string, read func(set func(value float64, labels ...string))) *Gauges {
	return &Gauges{prometheus.NewDesc(namespace+"_"+name, help, labels, nil), prometheus.CounterValue, read}
}

// Describe implements prometheus.Collector.
func (g *Gauges) Describe(out chan<- *prometheus.Desc) { out <- g.desc }

// Collect implements prometheus.Collector.
func (g *Gauges) Collect(out chan<- prometheus.Metric) {
	g.read(func(value float64, labels ...string) {
		out <- prometheus.MustNewConstMetric(g.desc, g.kind, value, labels...)
	})
}
