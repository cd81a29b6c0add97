package agent

import (
	"context"
	"runtime"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/holdfast-ev/holdfast"
	"github.com/holdfast-ev/holdfast/gateway"
)

// scrapeTimeout bounds how long a scrape waits for the core, which may be at
// the disk. A scrape that gets no answer leaves the core's metrics out rather
// than showing old ones as new.
const scrapeTimeout = 3 * time.Second

// metrics turns a report into Prometheus metrics at each scrape. Nothing is
// labelled with a session or a token.
type metrics struct {
	software string
	report   func(ctx context.Context) (*Report, error)
	server   *chargerServer
	link     *linkMetrics
}

// linkMetrics are counted where the calls are made.
type linkMetrics struct {
	mismatches  atomic.Int64
	firstAnswer prometheus.Histogram
	down        bool      // the last contact failed
	up          time.Time // when a contact worked again; zero when nothing is waited for
}

// take notes what an input says about the link. It is called on the core's
// goroutine.
func (m *linkMetrics) take(in gateway.Input) {
	switch in := in.(type) {
	case gateway.LinkDown:
		m.down, m.up = true, time.Time{}
	case gateway.LinkUp:
		if m.down {
			m.down, m.up = false, time.Now()
		}
	case gateway.UploadDone:
		if in.Mismatch != nil {
			m.mismatches.Add(1)
		} else if !m.up.IsZero() {
			m.firstAnswer.Observe(time.Since(m.up).Seconds())
			m.up = time.Time{}
		}
	}
}

func newLinkMetrics() *linkMetrics {
	return &linkMetrics{firstAnswer: prometheus.NewHistogram(prometheus.HistogramOpts{
		Name:    "holdfast_first_success_after_reconnect_seconds",
		Help:    "Time from the first answered hello after an outage to the first acknowledged upload.",
		Buckets: []float64{0.1, 0.3, 1, 3, 10, 30, 100, 300, 1000},
	})}
}

// A metric gives one sample; its result takes the label names.
type metric func(name, help string, v float64, lv ...string) func(labels ...string)

// sample gives samples of one kind to out.
func sample(out chan<- prometheus.Metric, kind prometheus.ValueType) metric {
	return func(name, help string, v float64, lv ...string) func(labels ...string) {
		return func(labels ...string) {
			out <- prometheus.MustNewConstMetric(prometheus.NewDesc(name, help, labels, nil), kind, v, lv...)
		}
	}
}

// truth is a metric's yes and no.
func truth(yes bool) float64 {
	if yes {
		return 1
	}
	return 0
}

var linkStates = []holdfast.LinkState{holdfast.Online, holdfast.Offline, holdfast.Syncing, holdfast.Synced}

// Describe implements prometheus.Collector. The metrics depend on what the core
// says, so none is promised.
func (m *metrics) Describe(chan<- *prometheus.Desc) {}

// Collect implements prometheus.Collector.
func (m *metrics) Collect(out chan<- prometheus.Metric) {
	gauge, count := sample(out, prometheus.GaugeValue), sample(out, prometheus.CounterValue)
	gauge("holdfast_build_info", "Version of the software; the value is always 1.", 1, m.software, "gateway", runtime.Version())("version", "component", "go")
	for i, kind := range refusalKinds {
		count("holdfast_charger_refusals_total", "Charger connections turned away.", float64(m.server.refused[i].Load()), kind)("kind")
	}
	count("holdfast_reconcile_mismatches_total", "Uploads answered with another expected position.", float64(m.link.mismatches.Load()), "POSITION")("code")
	m.link.firstAnswer.Collect(out)

	ctx, cancel := context.WithTimeout(context.Background(), scrapeTimeout)
	defer cancel()
	r, err := m.report(ctx)
	gauge("holdfast_core_up", "Whether the gateway's core answers.", truth(err == nil))()
	if err != nil {
		return
	}
	for _, s := range linkStates {
		gauge("holdfast_link_state", "The link to the cloud: 1 for the state it is in.", truth(s == r.Link), string(r.Site), string(s))("site", "state")
	}
	clockMetrics(r, gauge, count)
	routeMetrics(r, gauge, count)
	nativeMetrics(r, gauge)
	for k, n := range r.counters.Transitions {
		count("holdfast_link_transitions_total", "Changes of the link state.", float64(n), string(k.From), string(k.To), string(k.Cause))("from", "to", "cause")
	}
	for k, n := range r.counters.Starts {
		count("holdfast_session_starts_total", "Decisions about starting a session.", float64(n), k.Result, k.Source)("result", "source")
	}
	for kind, n := range r.counters.Security {
		count("holdfast_security_events_total", "Security events.", float64(n), kind)("kind")
	}
	for code, n := range r.counters.Exceptions {
		count("holdfast_exceptions_total", "Exceptions raised for a person.", float64(n), code)("code")
	}
	for kind, n := range r.counters.Limits {
		count("holdfast_session_limits_total", "Sessions that reached a limit.", float64(n), kind)("kind")
	}
	count("holdfast_charger_calls_total", "OCPP calls from chargers.", float64(r.counters.Calls))()
	count("holdfast_charger_bad_frames_total", "Messages that were not OCPP.", float64(r.counters.BadFrames))()
	count("holdfast_core_recoveries_total", "Times the core was discarded and recovered.", float64(r.Recoveries))()
	count("holdfast_energy_delivered_joules_total", "Energy metered in sessions that have ended since the start.", r.counters.Energy.Joules())()
	journalMetrics(r, gauge, count)
	gauge("holdfast_oldest_unsynced_timestamp_seconds", "When the oldest record that is not reconciled was written; 0: none.", float64(r.OldestUnsynced)/1000)()
	powerMetrics(r, gauge)
	gauge("holdfast_sessions_running", "Sessions that are running.", float64(len(r.Sessions)))()
	gauge("holdfast_charger_sockets", "Open charger connections.", float64(r.Sockets))()
	gauge("holdfast_exposure_micros", "Money at risk in offline decisions, in millionths.", float64(r.Exposure))()
}

// journalMetrics are those of what is on the disk.
func journalMetrics(r *Report, gauge, count metric) {
	count("holdfast_disk_syncs_total", "Times that the core has waited for the disk.", float64(r.syncs))()
	gauge("holdfast_journal_records", "Records in the evidence journal's epoch.", float64(r.Records))()
	gauge("holdfast_journal_unsynced_records", "Evidence records that the cloud has not reconciled.", float64(r.Backlog))()
	gauge("holdfast_journal_bytes", "Bytes of the evidence journal.", float64(r.Bytes))()
	missing := uint64(0)
	for _, g := range r.Gaps {
		missing += uint64(g.To - g.First)
	}
	gauge("holdfast_journal_missing_records", "Records of both journals that cannot be read: their segments are set aside or gone.", float64(missing))()
	count("holdfast_journal_segments_checked_total", "Sealed segments that were read and checked in the background.", float64(r.Inspection.Segments))()
	count("holdfast_journal_quarantined_total", "Damaged pieces of the journals that were set aside.", float64(r.counters.Quarantined))()
	count("holdfast_journal_repaired_total", "Gaps in the journals that the cloud's copy has filled.", float64(r.counters.Repaired))()
	gauge("holdfast_upload_refused", "1 while the cloud refuses what is to be uploaded next.", truth(r.Refused != nil))()
	gauge("holdfast_journal_free_bytes", "Bytes that the evidence journal may grow by.", float64(r.FreeBytes))()
}
