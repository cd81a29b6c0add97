package agent

import "github.com/holdfast-ev/holdfast"

// clockMetrics are what a report says about time.
func clockMetrics(r *Report, gauge, count metric) {
	for _, q := range []holdfast.Quality{holdfast.Unknown, holdfast.Informative, holdfast.Relative, holdfast.Synchronised} {
		gauge("holdfast_clock_quality", "The clock's quality in OCMF's letters: 1 for the one it has.", truth(q == r.Clock.Quality), string(q))("quality")
	}
	if h := r.Clock.NTP; h != nil {
		gauge("holdfast_clock_ntp_offset_seconds", "What NTP servers agree on, minus the gateway's clock.", float64(h.OffsetMs)/1000)()
	}
	worst, far := int64(0), 0
	for _, ch := range r.Chargers {
		if c := ch.Clock; c != nil && c.Quality != holdfast.Unknown {
			worst = max(worst, c.OffsetMs, -c.OffsetMs)
			if c.Far {
				far++
			}
		}
	}
	gauge("holdfast_charger_clock_offset_seconds_max", "The most that a charger's clock is from the gateway's, either way.", float64(worst)/1000)()
	gauge("holdfast_charger_clocks_far", "Chargers whose clock is off by more than five minutes.", float64(far))()
	for source, n := range r.counters.ClockDoubts {
		count("holdfast_clock_doubts_total", "Times that were not heeded: they contradict what the cloud has signed.", float64(n), source)("source")
	}
}
