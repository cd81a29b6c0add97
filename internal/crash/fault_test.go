package crash

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/holdfast-ev/holdfast/charger"
)

// A fault is a system call that fails without being carried out. Together they
// are the pair that matters at each write: a failed write left nothing, a failed
// sync of a file or a directory leaves bytes or a name that nobody was promised.
type fault struct {
	calls   string
	errno   string
	paths   []string // within the data directory; nil: everywhere
	most    int      // the last N, if the life is longer
	forever []string // and these: strace's "when" for a fault that stays
}

// The faults, by the name of the site that suffers them.
var faults = map[string][]fault{
	"sync":    {{calls: "fsync,fdatasync", errno: "EIO", most: 20}},
	"forever": {{calls: "fsync,fdatasync", errno: "EIO", forever: []string{"3+", "9+", "14+"}}},
	"space": {
		{calls: "pwrite64", errno: "ENOSPC", most: 16},
		{calls: "pwrite64", errno: "ENOSPC", paths: []string{"evidence/head.tmp"}, most: 1},
	},
	"names": {
		{calls: "/^rename", errno: "EIO", most: 8},
		{calls: "/^rename", errno: "EIO", paths: []string{"evidence/head.tmp"}, most: 1},
		{calls: "write", errno: "ENOSPC", paths: []string{"boot.tmp"}, most: 1},
		{calls: "pwrite64", errno: "ENOSPC", paths: []string{"snapshots/snap.tmp"}, most: 1},
		{calls: "fdatasync", errno: "EIO", paths: []string{"snapshots/snap.tmp"}, most: 1},
		{calls: "/^rename", errno: "EIO", paths: []string{"snapshots/snap.tmp"}, most: 1},
		{calls: "fsync", errno: "EIO", paths: []string{"snapshots"}, most: 1},
	},
}

// mustFail are the calls that the faults must have reached, by file.
var mustFail = []string{
	"write boot.tmp", "fdatasync boot.tmp", "rename boot", "fsync .",
	"pwrite64 evidence/*.seg", "fdatasync evidence/*.seg", "fsync evidence",
	"pwrite64 evidence/head.tmp", "fdatasync evidence/head.tmp", "rename evidence/head",
	"pwrite64 telemetry/*.seg", "fdatasync telemetry/*.seg",
	"pwrite64 snapshots/snap.tmp", "fdatasync snapshots/snap.tmp", "rename snapshots/snap-*", "fsync snapshots",
}

// A score sums up the lives of all faults.
type score struct {
	mu      sync.Mutex
	reached map[string]int // by call and file
	lives   int
	cores   int // recovered in a running process
	exits   int // processes that gave up
	charges int
}

// TestFaults lets the Nth sync, write and rename of a scripted life fail, for
// every N, and then all syncs from the Nth on. The gateway must discard its
// core, recover, and never have acknowledged what is not there.
func TestFaults(t *testing.T) {
	t.Parallel()
	c, sum := newCloud(t), &score{reached: map[string]int{}}
	t.Run("at", func(t *testing.T) {
		for name, list := range faults {
			t.Run(name, func(t *testing.T) {
				t.Parallel()
				s := newSite(t, c, name, 1, charger.V16, charger.V201)
				s.suffer(t, list, sum)
			})
		}
	})
	for _, want := range mustFail {
		if sum.reached[want] == 0 {
			t.Errorf("no fault has reached %q", want)
		}
	}
	if sum.cores == 0 || sum.exits == 0 {
		t.Errorf("%d cores recovered in a running process and %d processes gave up: want some of both", sum.cores, sum.exits)
	}
	var b strings.Builder
	for _, call := range sorted(sum.reached) {
		fmt.Fprintf(&b, "\n  %4d  %s", sum.reached[call], call)
	}
	t.Logf("%d lives, %d sessions; %d cores recovered in a running process, %d processes gave up and were started again; calls that failed:%s",
		sum.lives, sum.charges, sum.cores, sum.exits, b.String())
}

// suffer lives the scripted life with a fault at every N.
func (s *site) suffer(t *testing.T, list []fault, sum *score) {
	if err := s.furnish(); err != nil {
		t.Fatal(err)
	}
	ctx, unplug := context.WithCancel(t.Context())
	defer s.network.Wait()
	defer unplug()
	s.plug(ctx)
	if _, _, err := s.script(tracing{}); err != nil { // the chargers get to know their drivers
		t.Fatal(err)
	}
	for _, f := range list {
		for n := 1; n <= f.most && s.fail(t, f, fmt.Sprint(n), sum); n++ {
		}
		for _, when := range f.forever {
			s.fail(t, f, when, sum)
		}
	}
	if err := s.drain(); err != nil {
		t.Fatal(err)
	}
	found, _, _, err := s.check()
	if err != nil {
		t.Fatal(err)
	}
	if len(found) > 0 {
		t.Errorf("%d findings:%s", len(found), found.text())
	}
	sum.mu.Lock()
	defer sum.mu.Unlock()
	sum.charges += len(s.claims())
}

// fail lives the scripted life with one fault and checks the journal against the
// chargers. It reports whether the fault was reached.
func (s *site) fail(t *testing.T, f fault, when string, sum *score) bool {
	t.Helper()
	tr := tracing{trace: f.calls, inject: fmt.Sprintf("%s:error=%s:when=%s", f.calls, f.errno, when), fast: true}
	for _, p := range f.paths {
		tr.paths = append(tr.paths, filepath.Join(s.data, p))
	}
	cores, exits, err := s.script(tr)
	if err != nil {
		t.Fatalf("fault %s: %v", when, err)
	}
	seen, err := readTrace(s.traceFile())
	if err != nil {
		t.Fatalf("fault %s: %v", when, err)
	}
	sum.mu.Lock()
	for _, call := range seen.failed {
		sum.reached[s.brief(call)]++
	}
	sum.lives++
	sum.cores += cores
	sum.exits += exits
	sum.mu.Unlock()
	ev, err := s.readEvidence()
	if err != nil {
		t.Fatalf("fault %s: %v", when, err)
	}
	claims := s.claims()
	if bad := append(settled(claims), checkEvidence(claims, ev, 1)...); len(bad) > 0 {
		t.Fatalf("fault %s: after %v failed:%s", when, seen.failed, bad.text())
	}
	return len(seen.failed) > 0
}

// brief names a failed call by its file within the data directory.
func (s *site) brief(call string) string {
	name, path, _ := strings.Cut(call, " ")
	if strings.HasPrefix(name, "rename") {
		name = "rename"
	}
	rel, err := filepath.Rel(s.data, path)
	if err != nil || strings.HasPrefix(rel, "..") {
		return name + " elsewhere"
	}
	switch {
	case strings.HasSuffix(rel, ".seg"):
		rel = filepath.Join(filepath.Dir(rel), "*.seg")
	case strings.HasPrefix(rel, "snapshots/snap-"):
		rel = "snapshots/snap-*"
	}
	return name + " " + rel
}

// script lives one scripted life: both chargers charge once while the gateway
// runs as traced, and it is asked to stop. When the process gives up, it is
// started again without faults, as a service manager would.
func (s *site) script(tr tracing) (cores, exits int, err error) {
	l, err := s.start(tr)
	if err != nil {
		return 0, 0, err
	}
	defer func() { l.kill() }()
	ctx, cancel := context.WithTimeout(context.Background(), drainTimeout)
	defer cancel()
	done := make(chan error, 1)
	go func() { done <- s.chargeOnce(ctx) }()
	for {
		select {
		case err = <-done:
			if err != nil {
				return 0, 0, fmt.Errorf("%w; the gateway's log ends with:%s", err, l.tail(10))
			}
			l.process.Signal(os.Interrupt) //nolint:errcheck // it may have given up this moment
			_, err = l.end()
			return cores + max(0, l.recoveries()-1), exits, err
		case <-l.ended:
			exits++
			cores += max(0, l.recoveries()-1)
			if exits > 1 {
				return 0, 0, fmt.Errorf("without a fault the gateway ended by itself, %s:%s", l.state, l.tail(10))
			}
			if l, err = s.start(tracing{}); err != nil {
				return 0, 0, err
			}
		}
	}
}

// chargeOnce has one driver at each charger, and waits until everything is
// acknowledged.
func (s *site) chargeOnce(ctx context.Context) error {
	var wg sync.WaitGroup
	errs := make([]error, len(s.chargers))
	for i, ch := range s.chargers {
		wg.Go(func() { errs[i] = charge(ctx, ch, s.card(i)) })
	}
	wg.Wait()
	return errors.Join(errs...)
}

// charge is one driver at a charger. A car that stands there already is driven
// away first.
func charge(ctx context.Context, ch *charger.Charger, card string) error {
	if err := ch.Ready(ctx); err != nil {
		return err
	}
	if ch.Plug(1) != nil {
		if err := errors.Join(ch.Unplug(1), ch.Settle(ctx), ch.Plug(1)); err != nil {
			return err
		}
	}
	if ok, why := ch.Swipe(ctx, 1, card); !ok {
		return fmt.Errorf("%s: %s", ch.ID(), why)
	}
	wait(nil, 200*time.Millisecond)
	return errors.Join(ch.StopCharging(1), ch.Unplug(1), ch.Settle(ctx))
}

func sorted(m map[string]int) (keys []string) {
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}
