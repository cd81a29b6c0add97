package bench

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/holdfast-ev/holdfast/cloud/server"
	"github.com/holdfast-ev/holdfast/gateway/agent"
)

// Bounds of the processes that are measured.
const (
	readyWithin = 60 * time.Second // from exec to serving
	endWithin   = 30 * time.Second // from SIGTERM to the end
	askEvery    = 20 * time.Millisecond
	password    = "0123456789abcdef0123" // of every charger
)

// chargerID and card name the i-th charger and its driver's token; card2 is the
// driver at its second connector.
func chargerID(i int) string { return fmt.Sprintf("CP-%04d", i) }
func card(i int) string      { return fmt.Sprintf("04BE%08X", i) }
func card2(i int) string     { return fmt.Sprintf("04BF%08X", i) }

const tariffJSON = `{
  "country_code": "DE", "party_id": "HLD", "id": "bench", "currency": "EUR", "last_updated": "2026-01-01T00:00:00Z",
  "elements": [{"price_components": [
    {"type": "ENERGY", "price": 0.60, "vat": 20.0, "step_size": 1},
    {"type": "FLAT", "price": 0.50, "vat": 20.0, "step_size": 1}
  ]}]
}`

// A site is an enrolled gateway with an access list and a tariff, whose cloud is
// gone: offline, as a site is when it matters.
type site struct {
	run    *Run
	dir    string // the gateway's data
	config string
	socket string
	ocpp   string // address for chargers
	tls    *pair  // nil: plain
	proc   *process
}

// newSites makes sites of n chargers each, whose lists hold so many pairs of
// cards. All of them are offline when it
// returns, and none runs.
func (r *Run) newSites(count, n, cards int, tls *pair) (sites []*site, err error) {
	c, err := startCloud(r, cards)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, c.server.Close()) }()
	for i := range count {
		s, err := c.newSite(fmt.Sprintf("site%d", i), n, tls)
		if err != nil {
			return nil, err
		}
		sites = append(sites, s)
	}
	return sites, nil
}

// newSite is newSites for one.
func (r *Run) newSite(n int) (*site, error) {
	sites, err := r.newSites(1, n, n, nil)
	if err != nil {
		return nil, err
	}
	return sites[0], nil
}

// A cloud lives for as long as gateways are enrolled and furnished.
type cloud struct {
	run    *Run
	server *server.Server
}

func startCloud(r *Run, cards int) (*cloud, error) {
	dir, err := os.MkdirTemp(r.Dir, "cloud-")
	if err != nil {
		return nil, err
	}
	s, err := server.Start(context.WithoutCancel(r.Ctx), server.Options{
		DataDir: dir, APIAddr: "127.0.0.1:0", GatewayAddr: "127.0.0.1:0",
		Version: "bench", Log: slog.New(slog.DiscardHandler),
	})
	if err != nil {
		return nil, err
	}
	c := &cloud{r, s}
	err = c.call(http.MethodPost, "/v1/tariffs", map[string]any{"ocpi": json.RawMessage(tariffJSON)}, nil)
	for i := 0; i < cards && err == nil; i++ {
		for _, v := range []string{card(i), card2(i)} {
			err = errors.Join(err, c.call(http.MethodPost, "/v1/tokens", map[string]any{"value": v, "whitelist": "ALWAYS"}, nil))
		}
	}
	if err != nil {
		return nil, errors.Join(err, s.Close())
	}
	return c, nil
}

func (c *cloud) call(method, path string, in, out any) error {
	body, err := json.Marshal(in)
	if err != nil {
		return fmt.Errorf("%s %s: %w", method, path, err)
	}
	req, err := http.NewRequestWithContext(c.run.Ctx, method, c.server.APIURL()+path, bytes.NewReader(body))
	if err != nil {
		return fmt.Errorf("%s %s: %w", method, path, err)
	}
	req.Header.Set("Authorization", "Bearer "+c.server.Token())
	req.Header.Set("Content-Type", "application/json")
	if in == nil {
		req.Body, req.ContentLength = http.NoBody, 0
	}
	resp, err := (&http.Client{Timeout: readyWithin}).Do(req)
	if err != nil {
		return fmt.Errorf("%s %s: %w", method, path, err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil || resp.StatusCode >= 300 {
		return errors.Join(fmt.Errorf("%s %s: HTTP %s: %s", method, path, resp.Status, bytes.TrimSpace(b)), err)
	}
	if out == nil {
		return nil
	}
	return json.Unmarshal(b, out)
}

// newSite registers a site whose caps are out of the way, enrols its gateway,
// and runs it until it has the list and the tariff.
func (c *cloud) newSite(name string, n int, tls *pair) (*site, error) {
	var made struct {
		Code string `json:"code"`
	}
	policy := map[string]any{"token_cap": int64(1e13), "site_cap": int64(1e13), "max_sessions": 50, "dark": true}
	if err := c.call(http.MethodPost, "/v1/sites", map[string]any{"id": name, "policy": policy}, &made); err != nil {
		return nil, err
	}
	base, err := os.MkdirTemp(c.run.Dir, name+"-")
	if err != nil {
		return nil, err
	}
	sockets, err := os.MkdirTemp("", "hf-") // a unix socket's path must be short
	if err != nil {
		return nil, err
	}
	context.AfterFunc(c.run.Ctx, func() { os.RemoveAll(sockets) })
	s := &site{run: c.run, dir: filepath.Join(base, "data"), config: filepath.Join(base, "gateway.yaml"), socket: filepath.Join(sockets, "s"), tls: tls}
	if s.ocpp, err = freePort(); err != nil {
		return nil, err
	}
	if _, err := agent.Enrol(c.run.Ctx, agent.EnrolOptions{Cloud: c.server.GatewayURL(), Code: made.Code, Dir: s.dir}); err != nil {
		return nil, err
	}
	if err := s.configure(n); err != nil {
		return nil, err
	}
	if err := s.start(); err != nil {
		return nil, err
	}
	var shown struct {
		ListVersion uint64 `json:"list_version"`
	}
	if err := c.call(http.MethodGet, "/v1/sites/"+name, nil, &shown); err != nil {
		return nil, errors.Join(err, s.stop())
	}
	_, err = s.until("list and tariff", func(r *agent.Report) bool { return r.ListVersion >= shown.ListVersion && r.Tariff != "" })
	return s, errors.Join(err, s.stop())
}

func (s *site) configure(n int) error {
	hash, err := agent.HashPassword(password, rand.Reader)
	if err != nil {
		return err
	}
	var b strings.Builder
	fmt.Fprintf(&b, "dir: %q\nlog: warn\nocpp:\n  listen: %q\n  frames_per_second: 100000\n", s.dir, s.ocpp)
	if s.tls != nil {
		fmt.Fprintf(&b, "  tls_certificate: %q\n  tls_key: %q\n", s.tls.cert, s.tls.key)
	}
	fmt.Fprintf(&b, "local:\n  socket: %q\nstorage:\n  evidence_mib: 4096\nchargers:\n", s.socket)
	for i := range n {
		fmt.Fprintf(&b, "  - id: %s\n    password_hash: %q\n    max_power_w: 350000\n", chargerID(i), hash)
	}
	return os.WriteFile(s.config, []byte(b.String()), 0o600)
}

// start runs the shipped gateway on the site's data and waits until it serves.
func (s *site) start() (err error) {
	return s.startAs(s.run.program("holdfast-gateway"), "run", "--config", s.config)
}

func (s *site) startAs(args ...string) (err error) {
	if s.proc, err = s.run.spawn(filepath.Join(filepath.Dir(s.dir), "gateway.log"), args...); err != nil {
		return err
	}
	_, err = s.until("readiness", func(r *agent.Report) bool { return len(r.Listening) > 0 })
	return err
}

// until waits for a report of the gateway that ok likes.
func (s *site) until(what string, ok func(*agent.Report) bool) (*agent.Report, error) {
	tick := time.NewTicker(askEvery)
	defer tick.Stop()
	limit := time.NewTimer(readyWithin)
	defer limit.Stop()
	for {
		r, err := agent.FetchReport(s.run.Ctx, s.socket)
		if err == nil && ok(r) {
			return r, nil
		}
		select {
		case <-tick.C:
		case <-s.proc.gone:
			return nil, fmt.Errorf("waiting for %s: the gateway ended: %w; %s", what, s.proc.err, s.proc.tail())
		case <-limit.C:
			return nil, fmt.Errorf("no %s within %s (%w); %s", what, readyWithin, err, s.proc.tail())
		}
	}
}

// metric reads one of the gateway's metrics, summed over its labels.
func (s *site) metric(name string) (float64, error) {
	client := http.Client{Timeout: readyWithin, Transport: &http.Transport{DisableKeepAlives: true, DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, "unix", s.socket)
	}}}
	req, err := http.NewRequestWithContext(s.run.Ctx, http.MethodGet, "http://gateway/metrics", nil)
	if err != nil {
		return 0, err
	}
	resp, err := client.Do(req)
	if err != nil {
		return 0, fmt.Errorf("metrics: %w", err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		return 0, fmt.Errorf("metrics: %w", err)
	}
	sum, found := 0.0, false
	for line := range strings.Lines(string(b)) {
		rest, ok := strings.CutPrefix(line, name)
		if !ok || rest[0] != ' ' && rest[0] != '{' {
			continue
		}
		var v float64
		if _, err := fmt.Sscan(rest[strings.LastIndexByte(rest, ' ')+1:], &v); err != nil {
			return 0, fmt.Errorf("metric %s: %w", name, err)
		}
		sum, found = sum+v, true
	}
	if !found {
		return 0, fmt.Errorf("the gateway has no metric %s", name)
	}
	return sum, nil
}

// stop ends the gateway in order.
func (s *site) stop() error {
	if s.proc == nil {
		return nil
	}
	err := s.proc.end()
	s.proc = nil
	return err
}

// freePort returns a loopback address that nobody listens on.
func freePort() (string, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", fmt.Errorf("free port: %w", err)
	}
	return l.Addr().String(), l.Close()
}
