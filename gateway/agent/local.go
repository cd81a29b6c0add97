package agent

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"
)

// aliveWithin is how long the core may be without a turn and still count as
// alive: a disk may take seconds to sync.
const aliveWithin = 30 * time.Second

// localAPI is the API on this machine: GET /v1/status, /metrics, /healthz,
// /readyz show no secret and are served on a unix socket of mode 0660 and on
// loopback. What asks the gateway to do something, POST /v1/sync and
// /v1/cutout/release, is served on the socket only, whose mode says who may.
func localAPI(m *metrics, e *engine) http.Handler {
	registry := prometheus.NewRegistry()
	registry.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}), m)
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", promhttp.HandlerFor(registry, promhttp.HandlerOpts{Timeout: 2 * scrapeTimeout}))
	mux.HandleFunc("GET /v1/status", func(w http.ResponseWriter, r *http.Request) {
		ctx, cancel := context.WithTimeout(r.Context(), scrapeTimeout)
		defer cancel()
		report, err := m.report(ctx)
		if err != nil {
			w.Header().Set("Retry-After", "1")
			http.Error(w, "the core does not answer: "+err.Error(), http.StatusServiceUnavailable)
			return
		}
		w.Header().Set("Content-Type", "application/json")
		json.NewEncoder(w).Encode(report) // the peer may be gone; there is nobody to tell
	})
	mux.HandleFunc("POST /v1/sync", func(w http.ResponseWriter, r *http.Request) {
		syncNow(w, r, e)
	})
	mux.HandleFunc("POST /v1/cutout/release", func(w http.ResponseWriter, r *http.Request) { releaseCutOut(w, r, m, e) })
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) {
		answer(w, e.alive(aliveWithin) || e.feed() == nil, "the core has not taken a turn for too long")
	})
	mux.HandleFunc("GET /readyz", func(w http.ResponseWriter, _ *http.Request) {
		answer(w, e.alive(aliveWithin), "no core is running")
	})
	return mux
}

func answer(w http.ResponseWriter, ok bool, why string) {
	if !ok {
		http.Error(w, why, http.StatusServiceUnavailable)
		return
	}
	fmt.Fprintln(w, "ok")
}

// listenUnix listens on path. A socket that a killed process left behind is
// replaced; one that somebody listens on is not.
func listenUnix(path string) (net.Listener, error) {
	if c, err := net.DialTimeout("unix", path, time.Second); err == nil {
		c.Close()
		return nil, fmt.Errorf("listen on %s: another gateway is running there", path)
	}
	if err := os.Remove(path); err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, fmt.Errorf("replace the old socket %s: %w", path, err)
	}
	l, err := net.Listen("unix", path)
	if err != nil {
		return nil, fmt.Errorf("local API: %w", err)
	}
	if err := os.Chmod(path, 0o660); err != nil {
		l.Close()
		return nil, fmt.Errorf("local API: %w", err)
	}
	return l, nil
}

// FetchReport asks the gateway whose local API is at socket for its report.
func FetchReport(ctx context.Context, socket string) (*Report, error) {
	ctx, cancel := context.WithTimeout(ctx, 2*scrapeTimeout)
	defer cancel()
	resp, err := askLocal(ctx, socket, http.MethodGet, "/v1/status", nil)
	if err != nil {
		return nil, err
	}
	defer drainClose(resp.Body)
	if resp.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("the gateway at %s is up but its core does not answer (HTTP %d); it may be recovering, try again", socket, resp.StatusCode)
	}
	r := new(Report)
	if err := json.NewDecoder(resp.Body).Decode(r); err != nil {
		return nil, fmt.Errorf("read the status: %w", err)
	}
	return r, nil
}

// overSocket reports whether a request came over the unix socket, whose mode
// says who may ask the gateway to do something.
func overSocket(r *http.Request) bool {
	at, ok := r.Context().Value(http.LocalAddrContextKey).(net.Addr)
	return ok && at.Network() == "unix"
}

// askLocal makes one request to the gateway whose local API is at socket. The
// caller closes the answer's body.
func askLocal(ctx context.Context, socket, method, path string, body []byte) (*http.Response, error) {
	req, err := http.NewRequestWithContext(ctx, method, "http://gateway"+path, bytes.NewReader(body))
	if err != nil {
		return nil, fmt.Errorf("make a request: %w", err)
	}
	c := &http.Client{Transport: &http.Transport{
		DisableKeepAlives: true,
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return (&net.Dialer{}).DialContext(ctx, "unix", socket)
		},
	}}
	resp, err := c.Do(req)
	if err != nil {
		return nil, fmt.Errorf("no gateway is running at %s: start it with: holdfast-gateway run (%w)", socket, err)
	}
	return resp, nil
}

// saidBy is what an answer says to people; what cannot be read is left out.
func saidBy(resp *http.Response) string {
	text, _ := io.ReadAll(io.LimitReader(resp.Body, 1<<10)) // what came is better than nothing
	return strings.TrimSpace(string(text))
}
