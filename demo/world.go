package demo

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"github.com/holdfast-ev/holdfast/charger"
	"github.com/holdfast-ev/holdfast/cloud/server"
	"github.com/holdfast-ev/holdfast/internal/faultproxy"
)

// Bounds of the world.
const (
	readyTimeout = 20 * time.Second // for all gateways to be online with list and tariff, and all chargers to be booted
	pollEvery    = 100 * time.Millisecond
)

// The names of the sites, by their index in a plan.
var siteNames = [3]string{harbour: "harbour", market: "market", depot: "depot"}

// stallPower is what each pair of chargers delivers, in W: strong, so that a
// session of seconds has hundreds of Wh in real time.
var stallPower = [3]int64{harbour: 300_000, market: 240_000, depot: 150_000}

// A world is everything that the demo runs.
type world struct {
	o     Options
	story *story
	dir   string // root of all data
	cloud *server.Server
	api   *api
	spawn *spawner
	sites [3]*site
	close []func() // in reverse order

	mu       sync.Mutex
	problems []string
}

// A site is a place with a gateway, a link and two chargers.
type site struct {
	name     string
	link     *faultproxy.Proxy
	gateway  *gateway
	watch    *reader
	chargers [2]*charger.Charger
	truth    []*os.File // the chargers' own logs

	mu       sync.Mutex
	cut      bool      // the cable is out
	since    time.Time // of that
	cuts     []window  // when the cable was out
	told     map[string]decision
	rewaking bool // the gateway was killed and is not yet back
}

// window is a time in the world.
type window struct{ from, to time.Time }

// A decision is what a gateway last decided for a charger, as its journal has it.
type decision struct {
	accepted bool
	reason   string
	link     string
	version  uint64
}

// newWorld builds everything and waits until it is calm. Whatever it made is
// cleaned away by [world.end], also when it fails.
func newWorld(ctx context.Context, o Options, s *story) (w *world, err error) {
	w = &world{o: o, story: s}
	defer func() {
		if err != nil {
			w.end()
		}
	}()
	if err := w.folder(); err != nil {
		return w, err
	}
	if err := w.startCloud(ctx); err != nil {
		return w, err
	}
	w.spawn = newSpawner()
	w.close = append(w.close, w.spawn.close)
	if err := w.makeSites(ctx); err != nil {
		return w, err
	}
	if err := w.api.furnish(ctx); err != nil {
		return w, err
	}
	return w, w.calm(ctx)
}

// folder makes the data folder: a temporary one that goes, or one that stays.
func (w *world) folder() error {
	if w.o.Keep == "" {
		dir, err := os.MkdirTemp("", "holdfast-demo-")
		if err != nil {
			return fmt.Errorf("data folder: %w", err)
		}
		w.dir = dir
		w.close = append(w.close, func() { os.RemoveAll(dir) }) //nolint:errcheck // a temporary folder
		return nil
	}
	dir, err := filepath.Abs(w.o.Keep)
	if err != nil {
		return fmt.Errorf("data folder: %w", err)
	}
	w.dir = dir
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return fmt.Errorf("data folder: %w", err)
	}
	return nil
}

func (w *world) startCloud(ctx context.Context) error {
	log, err := os.OpenFile(filepath.Join(w.dir, "cloud.log"), os.O_CREATE|os.O_WRONLY|os.O_TRUNC, 0o600)
	if err != nil {
		return fmt.Errorf("cloud's log: %w", err)
	}
	w.close = append(w.close, func() { log.Close() })
	c, err := server.Start(context.WithoutCancel(ctx), server.Options{
		DataDir: filepath.Join(w.dir, "cloud"), APIAddr: w.o.API, GatewayAddr: "127.0.0.1:0",
		Version: w.o.Version, Log: slog.New(slog.NewJSONHandler(log, nil)),
	})
	if err != nil {
		return err
	}
	w.cloud = c
	w.close = append(w.close, func() { c.Close() })
	w.api = &api{url: c.APIURL(), token: c.Token()}
	return nil
}

// makeSites makes the three sites at the same time.
func (w *world) makeSites(ctx context.Context) error {
	var wg sync.WaitGroup
	errs := make([]error, len(w.sites))
	sockets, err := os.MkdirTemp("", "hf-") // a unix socket's path must be short
	if err != nil {
		return fmt.Errorf("socket folder: %w", err)
	}
	w.close = append(w.close, func() { os.RemoveAll(sockets) }) //nolint:errcheck // a temporary folder
	for i, name := range siteNames {
		s := &site{name: name, told: map[string]decision{}}
		w.sites[i] = s
		wg.Go(func() { errs[i] = w.makeSite(ctx, s, i, sockets) })
	}
	wg.Wait()
	for _, s := range w.sites {
		w.close = append(w.close, s.end)
	}
	return errors.Join(errs...)
}

// makeSite makes one site: the link, the gateway behind it, the chargers.
func (w *world) makeSite(ctx context.Context, s *site, i int, sockets string) error {
	var err error
	if s.link, err = faultproxy.New(w.gatewayAddr()); err != nil {
		return err
	}
	id, code, err := w.api.addSite(ctx, s.name)
	if err != nil {
		return err
	}
	port, err := freePort()
	if err != nil {
		return err
	}
	s.gateway = &gateway{
		id: id, command: w.o.Gateway, spawn: w.spawn, ocpp: port,
		dir: filepath.Join(w.dir, id), config: filepath.Join(w.dir, id+".yaml"),
		socket: filepath.Join(sockets, s.name), log: filepath.Join(w.dir, id+".log"),
	}
	s.watch = newReader(s.gateway.evidence())
	cloud := "https://" + s.link.Addr()
	if err := s.gateway.enrol(ctx, cloud, code); err != nil {
		return err
	}
	password := passwordOf(w.o.Seed, s.name)
	ids := []string{s.name + "-1", s.name + "-2"}
	if err := s.gateway.configure(cloud, ids, stallPower[i]+10_000, password); err != nil {
		return err
	}
	if err := s.gateway.start(); err != nil {
		return err
	}
	for n, v := range []charger.Version{charger.V16, charger.V201} {
		if s.chargers[n], err = w.makeCharger(s, ids[n], v, stallPower[i], password); err != nil {
			return err
		}
	}
	return nil
}

func (w *world) makeCharger(s *site, id string, v charger.Version, power int64, password string) (*charger.Charger, error) {
	truth, err := os.OpenFile(filepath.Join(w.dir, id+".truth.ndjson"), os.O_CREATE|os.O_WRONLY|os.O_TRUNC, 0o600)
	if err != nil {
		return nil, fmt.Errorf("truth log: %w", err)
	}
	s.truth = append(s.truth, truth)
	return charger.New(charger.Options{
		URL: "ws://" + s.gateway.ocpp + "/ocpp", ID: id, Version: v, Password: password,
		Power: power, Seed: w.o.Seed, KWh: v == charger.V201, Vendor: "Demo", Model: fmt.Sprintf("%d kW", power/1000),
		SampleInterval: 2 * time.Second, RetryInterval: 1500 * time.Millisecond, CallTimeout: 5 * time.Second,
		ReconnectMin: 200 * time.Millisecond, ReconnectMax: time.Second, Attempts: 100,
		TruthLog: truth, OnEvent: func(e charger.Event) { w.tell(s, e) },
	})
}

// gatewayAddr is where the cloud listens for gateways.
func (w *world) gatewayAddr() string {
	req, err := http.NewRequest(http.MethodGet, w.cloud.GatewayURL(), nil)
	if err != nil {
		return "" // the proxy then says that it cannot connect
	}
	return req.URL.Host
}

// freePort returns a loopback address that nobody listens on.
func freePort() (string, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", fmt.Errorf("free port: %w", err)
	}
	defer l.Close()
	return l.Addr().String(), nil
}

// passwordOf makes a charger's password: 20 characters, in a world of its own.
func passwordOf(seed uint64, name string) string {
	r := rand.New(rand.NewPCG(seed, uint64(len(name))<<8|uint64(name[0])))
	b := make([]byte, 10)
	for i := range b {
		b[i] = byte(r.Uint32())
	}
	return hex.EncodeToString(b)
}

// calm waits until every gateway is online with its access list and tariff.
func (w *world) calm(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, readyTimeout)
	defer cancel()
	for _, s := range w.sites {
		for {
			st, err := s.gateway.status(ctx)
			if err == nil && st.online() && st.ListVersion > 0 && st.Tariff != "" && w.listed(ctx, s, st) {
				break
			}
			if dead := s.gateway.alive(); dead != nil {
				return dead
			}
			if !pause(ctx, pollEvery) {
				return fmt.Errorf("site %s is not ready after %s: %+v, %w", s.name, readyTimeout, st, errors.Join(err, ctx.Err()))
			}
		}
	}
	return nil
}

// listed reports whether a gateway holds the newest list of its site.
func (w *world) listed(ctx context.Context, s *site, st status) bool {
	var shown struct {
		ListVersion uint64 `json:"list_version"`
	}
	err := w.api.call(ctx, http.MethodGet, "/v1/sites/"+s.name, nil, &shown)
	return err == nil && st.ListVersion >= shown.ListVersion
}

// problem notes that something went otherwise than it must.
func (w *world) problem(format string, args ...any) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.problems = append(w.problems, fmt.Sprintf(format, args...))
}

// end stops and removes everything, in reverse order of its making.
func (w *world) end() {
	for _, f := range slices.Backward(w.close) {
		f()
	}
	w.close = nil
}

func (s *site) end() {
	if s.gateway != nil {
		s.gateway.stop()
	}
	if s.link != nil {
		s.link.Close() //nolint:errcheck // it ends with its listener
	}
	for _, f := range s.truth {
		f.Close() //nolint:errcheck // each line was written when it became true
	}
}

// pause waits for d and reports whether ctx is still alive.
func pause(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-ctx.Done():
		return false
	}
}
