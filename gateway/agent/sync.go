package agent

import (
	"context"
	"fmt"
	"net/http"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/holdfast-ev/holdfast/gateway"
	"github.com/holdfast-ev/holdfast/uplink"
)

// syncNow takes a person's wish to have everything uploaded now.
func syncNow(w http.ResponseWriter, r *http.Request, e *engine) {
	if !overSocket(r) {
		http.Error(w, "only on the unix socket: loopback asks nobody who they are", http.StatusForbidden)
		return
	}
	f := e.feed()
	if f == nil || !f.put(gateway.SyncNow{}) {
		w.Header().Set("Retry-After", "1")
		http.Error(w, "no core is running; it may be recovering, try again", http.StatusServiceUnavailable)
		return
	}
	w.WriteHeader(http.StatusAccepted)
}

// SyncNow asks the gateway whose local API is at socket to upload what waits,
// whatever windows say.
func SyncNow(ctx context.Context, socket string) error {
	ctx, cancel := context.WithTimeout(ctx, 2*scrapeTimeout)
	defer cancel()
	resp, err := askLocal(ctx, socket, http.MethodPost, "/v1/sync", nil)
	if err != nil {
		return err
	}
	defer drainClose(resp.Body)
	if resp.StatusCode != http.StatusAccepted {
		return fmt.Errorf("the gateway at %s did not take it (HTTP %d): %s", socket, resp.StatusCode, saidBy(resp))
	}
	return nil
}

// collectLinks turns the links of a report into metrics.
func collectLinks(out chan<- prometheus.Metric, r *Report) {
	value := func(kind prometheus.ValueType, d *prometheus.Desc, v float64, labels ...string) {
		out <- prometheus.MustNewConstMetric(d, kind, v, labels...)
	}
	moved := desc("holdfast_link_bytes_total", "Bytes on a link's sockets, TLS included.", "link", "direction")
	for _, b := range r.LinkBytes {
		value(prometheus.CounterValue, moved, float64(b.Sent), b.Link, "sent")
		value(prometheus.CounterValue, moved, float64(b.Received), b.Link, "received")
	}
	inUse := desc("holdfast_link_in_use", "1 for the route in use, else 0.", "link", "endpoint")
	left := desc("holdfast_link_budget_left_bytes", "Bytes that are left of a link's budget.", "link")
	stage := desc("holdfast_link_budget_stage", "1 for the stage that a link's budget is in.", "link", "stage")
	window := desc("holdfast_link_window_open", "Whether the link's upload windows let telemetry go now.", "link")
	for _, l := range r.Links {
		for _, e := range l.Endpoints {
			value(prometheus.GaugeValue, inUse, truth(e.State == uplink.InUse), l.Name, e.URL)
		}
		if l.Left >= 0 {
			value(prometheus.GaugeValue, left, float64(l.Left), l.Name)
			value(prometheus.GaugeValue, stage, 1, l.Name, string(l.Stage))
		}
		value(prometheus.GaugeValue, window, truth(l.Open), l.Name)
	}
}

// truth is a metric's yes and no.
func truth(yes bool) float64 {
	if yes {
		return 1
	}
	return 0
}
