package crash

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/holdfast-ev/holdfast/charger"
)

// The run that a normal test makes, and how to ask for another.
const (
	defaultKills = 200
	envKills     = "HOLDFAST_CRASH_KILLS"
	envSeed      = "HOLDFAST_CRASH_SEED"
	envKeep      = "HOLDFAST_CRASH_KEEP" // a directory that keeps the gateways' data, for a look at it
)

// inARow is how many restarts are killed in succession while they recover.
const inARow = 10

// A where says where a kill has hit, as far as trace and log can tell.
type where int

// The places. Every kill has exactly one.
const (
	inSync    where = iota // between the append to the evidence journal and its sync
	inTelem                // between the append to the telemetry journal and its sync
	inRecover              // after the boot number was raised, before the core was recovered
	inStartup              // before that: keys, configuration
	atWork                 // anywhere else
	places
)

func (w where) String() string {
	return [places]string{
		"between append and sync of evidence", "between append and sync of telemetry", "during recovery",
		"before recovery began", "at another moment",
	}[w]
}

// A tally counts what has happened.
type tally struct {
	mu     sync.Mutex
	kills  [places]int
	row    int // restarts killed during recovery in succession, at most
	stops  int // orderly stops that came through
	rowNow map[*site]int
}

func (c *tally) add(s *site, w where) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.kills[w]++
	if w == inRecover {
		c.rowNow[s]++
	} else {
		c.rowNow[s] = 0
	}
	c.row = max(c.row, c.rowNow[s])
}

func (c *tally) total() (n int) {
	for _, k := range c.kills {
		n += k
	}
	return n
}

// An aim is a plan for one life.
type aim struct {
	trace   tracing
	recover bool          // kill after the boot number was raised, without waiting for the core
	after   time.Duration // kill this long after the core was recovered, or the boot number raised
	quit    bool          // ask for an orderly stop then, and kill during it
}

// fileCalls are the system calls with which the gateway changes its files.
const fileCalls = "pwrite64,fsync,fdatasync,/^rename,/^unlink"

// draw makes the plan for a life.
func (s *site) draw(rnd *rand.Rand) (a aim, err error) {
	switch n := rnd.IntN(100); {
	case n < 40: // at a sync of the evidence journal
		seg, err := s.lastSegment()
		if err != nil {
			return a, err
		}
		a.trace = tracing{
			trace: "pwrite64,fsync,fdatasync", paths: []string{seg},
			inject: fmt.Sprintf("fsync,fdatasync:signal=SIGKILL:when=%d", 1+rnd.IntN(7)),
		}
		a.after = time.Second
	case n < 55:
		a = recovery(rnd, 10)
	case n < 65: // at a moment of recovery
		a.recover, a.after = true, time.Duration(rnd.IntN(12_000))*time.Microsecond
	case n < 70: // at the file that remembers the last checkpoint
		a.trace = s.at(1+rnd.IntN(12), "evidence/head.tmp")
		a.after = time.Second
	case n < 74: // at the snapshot of an orderly stop
		a.trace = s.at(1+rnd.IntN(3), "snapshots/snap.tmp")
		a.after, a.quit = time.Duration(rnd.IntN(300))*time.Millisecond, true
	default:
		a.after = time.Duration(rnd.IntN(900)) * time.Millisecond
	}
	return a, nil
}

// at aims at the nth file operation on a file.
func (s *site) at(nth int, file string) tracing {
	return tracing{
		trace: fileCalls, paths: []string{filepath.Join(s.data, file)},
		inject: fmt.Sprintf("%s:signal=SIGKILL:when=%d", fileCalls, nth),
	}
}

// recovery aims at the third file operation of a life or one of the span-1 after
// it: the second puts the boot number in force, and the core is recovered after
// about eighteen. strace counts by thread, so that the operation may be a later
// one than its number says.
func recovery(rnd *rand.Rand, span int) aim {
	const calls = "pwrite64,fsync,fdatasync,/^rename"
	return aim{
		trace: tracing{trace: calls, inject: fmt.Sprintf("%s:signal=SIGKILL:when=%d", calls, 3+rnd.IntN(span))},
		after: 300 * time.Millisecond,
	}
}

// sure is an aim that hardly ever misses recovery, on however many threads.
func sure(rnd *rand.Rand) aim {
	if rnd.IntN(3) == 0 {
		return aim{recover: true, after: time.Duration(rnd.IntN(2_000)) * time.Microsecond}
	}
	return recovery(rnd, 2)
}

// shoot lives one life with an aim, and says where the kill hit. An orderly stop
// that came through is no kill.
func (s *site) shoot(a aim) (w where, killedIt bool, err error) {
	l, err := s.start(a.trace)
	if err != nil {
		return 0, false, err
	}
	defer l.kill()
	if err := s.moment(l, a); err != nil {
		return 0, false, err
	}
	if a.quit && !l.gone() {
		l.process.Signal(syscall.SIGTERM) //nolint:errcheck // strace may have been faster
	} else {
		l.kill()
	}
	st, err := l.end()
	switch {
	case err != nil:
		return 0, false, err
	case a.quit && st.Success():
		return 0, false, nil
	case !killed(st):
		return 0, false, fmt.Errorf("%s: the gateway ended by itself, %s:%s", s.name, st, l.tail(10))
	}
	w, err = s.hit(l)
	return w, true, err
}

// moment waits for the moment of a.
func (s *site) moment(l *life, a aim) error {
	if !a.recover {
		select {
		case <-l.core:
		case <-l.ended:
			return nil // strace has hit
		case <-time.After(recoverTimeout):
			return l.up() // says what is wrong
		}
		wait(l.ended, a.after)
		return nil
	}
	for s.bootNumber() == l.boot && !l.gone() {
		wait(l.ended, 200*time.Microsecond)
	}
	wait(l.ended, a.after)
	return nil
}

// hit says where a life has ended.
func (s *site) hit(l *life) (where, error) {
	if !l.recovered() {
		if s.bootNumber() == l.boot {
			return inStartup, nil
		}
		return inRecover, nil
	}
	if l.trace == "" {
		return atWork, nil
	}
	tr, err := readTrace(l.trace)
	if err != nil {
		return 0, err
	}
	w := atWork
	for _, path := range tr.syncing {
		switch {
		case !strings.HasSuffix(path, ".seg"):
		case filepath.Dir(path) == s.evidence():
			return inSync, nil
		default:
			w = inTelem
		}
	}
	return w, nil
}

// TestCrash is the crash test. Its output is the summary that docs/crash.md
// explains.
func TestCrash(t *testing.T) {
	t.Parallel()
	kills, seed := number(t, envKills, defaultKills), uint64(number(t, envSeed, 1))
	t.Logf("replay with: %s=%d %s=%d go test -v -timeout 0 -run 'TestCrash$' ./internal/crash", envKills, kills, envSeed, seed)
	c := newCloud(t)
	sites := []*site{
		newSite(t, c, "alpha", seed, charger.V16, charger.V201, charger.V16),
		newSite(t, c, "beta", seed, charger.V201, charger.V16, charger.V16),
	}
	count := &tally{rowNow: map[*site]int{}}
	began := time.Now()
	var lanes sync.WaitGroup
	errs := make([]error, len(sites))
	for i, s := range sites {
		lanes.Go(func() { errs[i] = s.crash(t.Context(), count, kills, seed+uint64(i)<<32) })
	}
	lanes.Wait()
	for _, err := range errs {
		if err != nil {
			t.Fatal(err)
		}
	}
	count.check(t, kills)
	report(t, sites, count, time.Since(began))
}

// crash kills the site's gateway until there were enough kills, and drains.
func (s *site) crash(ctx context.Context, count *tally, kills int, seed uint64) error {
	rnd := rand.New(rand.NewPCG(seed, 7))
	if err := s.furnish(); err != nil {
		return err
	}
	ctx, unplug := context.WithCancel(ctx)
	defer s.network.Wait()
	defer unplug()
	s.plug(ctx)
	drivers, home := context.WithCancel(ctx)
	defer s.drivers.Wait()
	defer home()
	s.drive(drivers, seed)
	rowAt := kills / 4 // of all kills, when the row of ten begins
	for count.open(kills) {
		a, err := s.draw(rnd)
		if err != nil {
			return err
		}
		if n := count.sum(); n >= rowAt && !count.hadRow() {
			a = sure(rnd)
		}
		w, hit, err := s.shoot(a)
		if err != nil {
			return err
		}
		count.note(s, w, hit)
	}
	home()
	s.drivers.Wait()
	return s.drain()
}

// open reports whether there is still something to kill for: the number, or in a
// run of normal length the row.
func (c *tally) open(kills int) bool {
	n := c.sum()
	return n < kills || kills >= defaultKills && n < 2*kills && !c.hadRow()
}

func (c *tally) sum() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.total()
}

func (c *tally) hadRow() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.row >= inARow
}

func (c *tally) note(s *site, w where, hit bool) {
	if hit {
		c.add(s, w)
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.stops++
	c.rowNow[s] = 0
}

// check holds the kills against what the test promises.
func (c *tally) check(t *testing.T, kills int) {
	t.Helper()
	if c.total() < kills {
		t.Errorf("%d kills, want %d", c.total(), kills)
	}
	if hard := c.kills[inSync] + c.kills[inRecover]; hard*4 < c.total() {
		t.Errorf("%d of %d kills hit between append and sync or during recovery, want a quarter", hard, c.total())
	}
	if kills >= defaultKills {
		if c.row < inARow {
			t.Errorf("at most %d restarts in a row were killed during recovery, want %d", c.row, inARow)
		}
		if c.kills[inSync] == 0 || c.kills[inRecover] == 0 {
			t.Errorf("kills %v: nothing between append and sync, or nothing during recovery", c.kills)
		}
	}
}

// report checks every site and prints the summary.
func report(t *testing.T, sites []*site, c *tally, took time.Duration) {
	t.Helper()
	var b strings.Builder
	fmt.Fprintf(&b, "crash test, %s\n  %6d kills of %d gateways, and %d orderly stops\n", took.Round(time.Second), c.total(), len(sites), c.stops)
	for w, n := range c.kills {
		fmt.Fprintf(&b, "  %6d   %s\n", n, where(w))
	}
	fmt.Fprintf(&b, "  %6d   of them in a row during recovery, at most\n", c.row)
	var sum struct{ sessions, offline, starts, stops, repeats, cdrs, wh, boots, records, bad int64 }
	for _, s := range sites {
		f, ev, books, err := s.check()
		if err != nil {
			t.Fatal(err)
		}
		if len(f) > 0 {
			t.Errorf("%s: %d findings:%s", s.name, len(f), f.text())
		}
		for _, cl := range s.claims() {
			sum.sessions++
			sum.wh += cl.Wh
			if cl.Started {
				sum.starts++
			}
			if cl.Stopped {
				sum.stops++
			}
			if cl.Offline {
				sum.offline++
			}
		}
		sum.cdrs += int64(len(books.cdrs))
		sum.boots += int64(ev.boots)
		sum.records += int64(ev.records)
		sum.bad += int64(len(f))
		sum.repeats += s.repeats.Load()
	}
	line := func(n int64, format string, args ...any) {
		fmt.Fprintf(&b, "  %6d %s\n", n, fmt.Sprintf(format, args...))
	}
	line(sum.sessions, "sessions by the chargers' own meters, %d Wh", sum.wh)
	line(sum.offline, "  of them begun while the gateway was dead")
	line(sum.starts, "starts acknowledged to the chargers")
	line(sum.stops, "stops acknowledged to them")
	line(sum.repeats, "messages sent again, because the answer was lost")
	line(sum.cdrs, "CDRs in the cloud")
	line(sum.records, "evidence records of %d boots", sum.boots)
	line(sum.bad, "findings")
	t.Log(strings.TrimSpace(b.String()))
	if sum.sessions < int64(c.total()/4) {
		t.Errorf("only %d sessions beside %d kills: the test has hardly charged", sum.sessions, c.total())
	}
}

// number reads a number from the environment.
func number(t *testing.T, name string, otherwise int) int {
	t.Helper()
	text := os.Getenv(name)
	if text == "" {
		return otherwise
	}
	n, err := strconv.Atoi(text)
	if err != nil || n < 1 {
		t.Fatalf("%s=%q: want a number from 1", name, text)
	}
	return n
}
