package server

import (
	"errors"
	"net/http"
	"runtime"
	"strconv"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/holdfast-ev/holdfast/cloud"
)

// metrics are the server's own counters. What is a fact about the fleet (link
// states, energy, exceptions) is read from the plane at each scrape instead: see
// fleet. docs/metrics.md lists every name.
type metrics struct {
	registry       *prometheus.Registry
	requests       *prometheus.CounterVec
	seconds        *prometheus.HistogramVec
	securityEvents *prometheus.CounterVec
	received       prometheus.Counter
	busy           prometheus.Counter
	mismatches     *prometheus.CounterVec
}

func newMetrics(version string) *metrics {
	m := &metrics{
		registry: prometheus.NewRegistry(),
		requests: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "holdfast_requests_total", Help: "Requests answered, by call and HTTP status.",
		}, []string{"call", "status"}),
		seconds: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "holdfast_request_seconds", Help: "Time to answer, by call.",
			Buckets: []float64{.001, .003, .01, .03, .1, .3, 1, 3, 10, 30},
		}, []string{"call"}),
		securityEvents: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "holdfast_security_events_total", Help: "Requests turned away for who they are, by kind.",
		}, []string{"kind"}),
		received: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "holdfast_received_bytes_total", Help: "Decoded journal bytes committed.",
		}),
		busy: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "holdfast_busy_answers_total", Help: "Uploads answered with: later, at this time.",
		}),
	}
	m.mismatches = prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "holdfast_reconcile_mismatches_total",
		Help: "Uploads that did not fit what the cloud holds: POSITION (found its place again) or the exception's code.",
	}, []string{"code"})
	build := prometheus.NewGauge(prometheus.GaugeOpts{
		Name: "holdfast_build_info", Help: "Always 1; the labels say what runs.",
		ConstLabels: prometheus.Labels{"version": version, "component": "cloud", "go": runtime.Version()},
	})
	build.Set(1)
	m.registry.MustRegister(m.requests, m.seconds, m.securityEvents, m.received, m.busy, m.mismatches, build,
		collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	return m
}

func (m *metrics) request(call string, status int, took time.Duration) {
	m.requests.WithLabelValues(call, strconv.Itoa(status)).Inc()
	if status != http.StatusSwitchingProtocols { // a link lasts for days; that is no latency
		m.seconds.WithLabelValues(call).Observe(took.Seconds())
	}
}

// mismatch counts an upload that was refused for its content.
func (m *metrics) mismatch(err error) {
	if pos := (*cloud.PositionError)(nil); errors.As(err, &pos) {
		m.mismatches.WithLabelValues("POSITION").Inc()
	}
	if ev := (*cloud.EvidenceError)(nil); errors.As(err, &ev) {
		m.mismatches.WithLabelValues(ev.Code).Inc()
	}
}

func (m *metrics) handler() http.Handler {
	return promhttp.HandlerFor(m.registry, promhttp.HandlerOpts{ErrorHandling: promhttp.ContinueOnError})
}
