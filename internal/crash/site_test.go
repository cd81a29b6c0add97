package crash

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	randv2 "math/rand/v2"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/holdfast-ev/holdfast/charger"
	"github.com/holdfast-ev/holdfast/gateway/agent"
)

// What a charger of these sites can do. Strong, so that tenths of a second have
// Wh in real time.
const (
	power    = 350_000 // W
	maxPower = 360_000 // W, as configured at the gateway
	password = "crash-test-0123456789"
)

// Bounds of the drain at the end.
const (
	drainTimeout  = 90 * time.Second // for the chargers to be answered
	settleTimeout = 60 * time.Second // for the cloud to have everything after that
	pollEvery     = 50 * time.Millisecond
)

// A site is a gateway that gets killed, and the chargers that see it happen.
type site struct {
	name     string
	programs programs
	cloud    *cloud
	gateway  string // id
	home     string // a directory of this site's own
	data     string // the gateway's
	config   string
	socket   string
	ocpp     string // address for chargers
	chargers []*charger.Charger
	repeats  atomic.Int64 // starts, samples and stops that were sent again, because no answer had come

	stuck   string         // what the gateway said when the books did not settle
	network sync.WaitGroup // the chargers' connections
	drivers sync.WaitGroup
}

// newSite enrols a gateway and runs it until it has the access list and the
// tariff. versions are the chargers' OCPP versions.
func newSite(t *testing.T, c *cloud, name string, seed uint64, versions ...charger.Version) *site {
	t.Helper()
	s := &site{name: name, programs: built(t), cloud: c, home: homeOf(t, name)}
	s.data, s.config = filepath.Join(s.home, "data"), filepath.Join(s.home, "gateway.yaml")
	sockets, err := os.MkdirTemp("", "hf-") // a unix socket's path must be short
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(sockets) })
	s.socket = filepath.Join(sockets, "s")
	if err := s.enrol(t, versions); err != nil {
		t.Fatal(err)
	}
	for i, v := range versions {
		ch, err := charger.New(charger.Options{
			URL: "ws://" + s.ocpp + "/ocpp", ID: s.charger(i), Version: v, Password: password, Power: power, Seed: seed, KWh: i%2 == 1,
			SampleInterval: 120 * time.Millisecond, CallTimeout: 10 * time.Second, RetryInterval: 50 * time.Millisecond,
			ReconnectMin: 20 * time.Millisecond, ReconnectMax: 80 * time.Millisecond, Attempts: 1000, OfflineKnown: true,
			OnEvent: func(e charger.Event) {
				if e.Kind == charger.Repeated {
					s.repeats.Add(1)
				}
			},
		})
		if err != nil {
			t.Fatal(err)
		}
		s.chargers = append(s.chargers, ch)
	}
	return s
}

// homeOf makes a site's directory, one that stays where HOLDFAST_CRASH_KEEP asks
// for it.
func homeOf(t *testing.T, name string) string {
	t.Helper()
	keep := os.Getenv(envKeep)
	if keep == "" {
		return t.TempDir()
	}
	home, err := os.MkdirTemp(keep, name+"-")
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("%s keeps its data in %s", name, home)
	return home
}

func (s *site) charger(i int) string { return fmt.Sprintf("%s-%d", s.name, i+1) }
func (s *site) card(i int) string    { return fmt.Sprintf("CARD%s%d", strings.ToUpper(s.name), i+1) }

// enrol makes the site in the cloud and the gateway's data directory and
// configuration.
func (s *site) enrol(t *testing.T, versions []charger.Version) error {
	var cards []string
	for i := range versions {
		cards = append(cards, s.card(i))
	}
	gateway, code, err := s.cloud.addSite(s.name, cards)
	if err != nil {
		return err
	}
	s.gateway = gateway
	cmd := exec.CommandContext(t.Context(), s.programs.gateway, "enroll", "--cloud", s.cloud.gateways, "--code", code, "--dir", s.data)
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("enrol %s: %w: %s", s.name, err, out)
	}
	if s.ocpp, err = freePort(); err != nil {
		return err
	}
	var b strings.Builder
	fmt.Fprintf(&b, "dir: %q\nocpp:\n  listen: %q\n  ping_seconds: 5\nlocal:\n  socket: %q\nchargers:\n", s.data, s.ocpp, s.socket)
	for i := range versions {
		hash, err := agent.HashPassword(password, rand.Reader)
		if err != nil {
			return err
		}
		fmt.Fprintf(&b, "  - id: %s\n    password_hash: %q\n    max_power_w: %d\n", s.charger(i), hash, maxPower)
	}
	return os.WriteFile(s.config, []byte(b.String()), 0o600)
}

// freePort returns a loopback address for all lives of a gateway. The port lies
// below those that the kernel gives to outgoing connections, so that nobody gets
// it while the gateway is dead.
func freePort() (string, error) {
	for range 100 {
		l, err := net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", 20_000+randv2.IntN(12_000)))
		if err != nil {
			continue // taken
		}
		return l.Addr().String(), l.Close()
	}
	return "", errors.New("no free port from 20000 to 32000")
}

// furnish runs the gateway once, until it holds the list and the tariff, and
// kills it.
func (s *site) furnish() error {
	l, err := s.start(tracing{})
	if err != nil {
		return err
	}
	defer l.kill()
	if err := l.up(); err != nil {
		return err
	}
	want, err := s.cloud.listVersion(s.name)
	if err != nil {
		return err
	}
	err = s.await(l, "list and tariff", func(st status) bool { return st.ListVersion >= want && st.Tariff != "" })
	if err != nil {
		return err
	}
	l.kill()
	_, err = l.end()
	return err
}

// A status is what the gateway's local API says of it.
type status struct {
	Link        string `json:"link"`
	ListVersion uint64 `json:"list_version"`
	Tariff      string `json:"tariff"`
	Backlog     uint64 `json:"backlog"`
	Recoveries  int64  `json:"recoveries"`
	Sessions    []struct {
		ID string `json:"id"`
	} `json:"sessions"`
}

func (s *site) status() (st status, err error) {
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	client := http.Client{Transport: &http.Transport{
		DisableKeepAlives: true,
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return (&net.Dialer{}).DialContext(ctx, "unix", s.socket)
		},
	}}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://gateway/v1/status", nil)
	if err != nil {
		return st, err
	}
	resp, err := client.Do(req)
	if err != nil {
		return st, err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return st, errors.New(resp.Status)
	}
	return st, json.NewDecoder(resp.Body).Decode(&st)
}

// await polls the gateway's status until it is as wanted.
func (s *site) await(l *life, what string, good func(status) bool) error {
	over := time.After(drainTimeout)
	for {
		st, err := s.status()
		if err == nil && good(st) {
			return nil
		}
		select {
		case <-time.After(pollEvery):
		case <-l.ended:
			return fmt.Errorf("%s: waiting for %s, the gateway ended by itself, %s:%s", s.name, what, l.state, l.tail(10))
		case <-over:
			return fmt.Errorf("%s: no %s within %s: %+v, %w; the log ends with:%s", s.name, what, drainTimeout, st, err, l.tail(10))
		}
	}
}

// bootNumber is the content of the file that a gateway raises before it touches
// its journals.
func (s *site) bootNumber() string {
	b, err := os.ReadFile(filepath.Join(s.data, "boot"))
	if err != nil {
		return ""
	}
	return string(b)
}

// segments are the evidence journal's files that are written to: the last one.
func (s *site) lastSegment() (string, error) {
	all, err := filepath.Glob(filepath.Join(s.data, "evidence", "*.seg"))
	if err != nil || len(all) == 0 {
		return "", fmt.Errorf("%s: no segment in the evidence journal: %w", s.name, err)
	}
	return all[len(all)-1], nil // Glob sorts
}

// plug connects the chargers; they stay connected, as far as the gateway lets
// them, until ctx ends.
func (s *site) plug(ctx context.Context) {
	for _, ch := range s.chargers {
		s.network.Go(func() { ch.Run(ctx) }) //nolint:errcheck // it ends with ctx
	}
}

// drive lets drivers come and go at every charger until ctx ends; then each
// finishes and drives away.
func (s *site) drive(ctx context.Context, seed uint64) {
	for i, ch := range s.chargers {
		rnd := randv2.New(randv2.NewPCG(seed, uint64(i)+100))
		s.drivers.Go(func() {
			for ctx.Err() == nil {
				visit(ctx, ch, s.card(i), rnd)
			}
		})
	}
}

// visit is one driver: plug in, swipe, charge, stop, unplug. Two of three wait
// until the charger has its gateway back, the third takes what the charger
// decides alone.
func visit(ctx context.Context, ch *charger.Charger, card string, rnd *randv2.Rand) {
	_ = ch.Plug(1) // nobody else is there
	if rnd.IntN(3) > 0 {
		patient, over := context.WithTimeout(ctx, 2*time.Second)
		_ = ch.Ready(patient) // or not
		over()
	}
	if ok, _ := ch.Swipe(ctx, 1, card); ok {
		wait(nil, 80*time.Millisecond+time.Duration(rnd.IntN(400))*time.Millisecond)
		_ = ch.StopCharging(1) // a session that was turned down has stopped already; the claims say so
	} else {
		wait(ctx.Done(), 20*time.Millisecond)
	}
	_ = ch.Unplug(1)
	wait(ctx.Done(), time.Duration(rnd.IntN(120))*time.Millisecond)
}

// wait lets d pass, or less when done is closed.
func wait(done <-chan struct{}, d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
	case <-done:
	}
}

// drain runs the gateway undisturbed until every charger has been answered and
// the cloud has everything, and stops it in order.
func (s *site) drain() error {
	l, err := s.start(tracing{})
	if err != nil {
		return err
	}
	defer l.kill()
	if err := l.up(); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(context.Background(), drainTimeout)
	defer cancel()
	for _, ch := range s.chargers {
		if err := ch.Settle(ctx); err != nil {
			return fmt.Errorf("%w: the gateway does not answer; its log ends with:%s", err, l.tail(10))
		}
	}
	if err := s.converge(l); err != nil {
		return err
	}
	l.process.Signal(os.Interrupt) //nolint:errcheck // what comes of it is seen below
	st, err := l.end()
	if err == nil && !st.Success() {
		err = fmt.Errorf("%s: an orderly stop ended with %s:%s", s.name, st, l.tail(10))
	}
	return err
}

// converge waits until the cloud's books say what the chargers say, or for as
// long as that may take at most: what is wrong then, check will tell.
func (s *site) converge(l *life) error {
	over := time.After(settleTimeout)
	for {
		b, err := s.cloud.books(s.name)
		if err != nil {
			return err
		}
		if len(checkBooks(s.claims(), b)) == 0 {
			return nil
		}
		select {
		case <-time.After(20 * pollEvery):
		case <-over:
			st, err := s.status()
			s.stuck = fmt.Sprintf("the books did not settle within %s; the gateway says %+v, %v; its log ends with:%s", settleTimeout, st, err, l.tail(10))
			return nil
		case <-l.ended:
			return fmt.Errorf("%s: the gateway ended by itself, %s:%s", s.name, l.state, l.tail(10))
		}
	}
}

// claims asks the site's chargers.
func (s *site) claims() []claim { return claimsOf(s.chargers) }

func (s *site) evidence() string { return filepath.Join(s.data, "evidence") }

// readEvidence reads the gateway's evidence.
func (s *site) readEvidence() (*evidence, error) { return readEvidence(s.evidence()) }

// verify runs `holdfast journal verify` on both journals.
func (s *site) verify() (f findings) {
	for _, j := range []string{"evidence", "telemetry"} {
		out, err := exec.Command(s.programs.holdfast, "journal", "verify", filepath.Join(s.data, j)).CombinedOutput()
		if err != nil {
			f.add("evidence", "holdfast journal verify %s: %v: %s", j, err, out)
		}
	}
	return f
}

// check compares the site's chargers with its gateway's journal and with the
// cloud's books, after drain.
func (s *site) check() (findings, *evidence, *books, error) {
	claims := s.claims()
	f := settled(claims)
	if s.stuck != "" {
		f.add("unsettled", "%s", s.stuck)
	}
	ev, err := s.readEvidence()
	if err != nil {
		return f, nil, nil, err
	}
	b, err := s.cloud.books(s.name)
	if err != nil {
		return f, nil, nil, err
	}
	f = append(f, checkEvidence(claims, ev, 1)...)
	f = append(f, checkBooks(claims, b)...)
	return append(f, s.verify()...), ev, b, nil
}
