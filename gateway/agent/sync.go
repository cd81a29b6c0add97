package agent

import (
	"context"
	"fmt"
	"net/http"

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

// routeMetrics are those of the links and of the route in use.
func routeMetrics(r *Report, gauge, count metric) {
	for _, b := range r.LinkBytes {
		const help = "Bytes on a link's sockets, TLS included."
		count("holdfast_link_bytes_total", help, float64(b.Sent), b.Link, "sent")("link", "direction")
		count("holdfast_link_bytes_total", help, float64(b.Received), b.Link, "received")("link", "direction")
	}
	for _, l := range r.Links {
		for _, e := range l.Endpoints {
			gauge("holdfast_link_in_use", "1 for the route in use, else 0.", truth(e.State == uplink.InUse), l.Name, e.URL)("link", "endpoint")
		}
		if l.Left >= 0 {
			gauge("holdfast_link_budget_left_bytes", "Bytes that are left of a link's budget.", float64(l.Left), l.Name)("link")
			gauge("holdfast_link_budget_stage", "1 for the stage that a link's budget is in.", 1, l.Name, string(l.Stage))("link", "stage")
		}
		gauge("holdfast_link_window_open", "Whether the link's upload windows let telemetry go now.", truth(l.Open), l.Name)("link")
	}
}
