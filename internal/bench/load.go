package bench

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// A Load is what the load process found.
type Load struct {
	Calls    int     `json:"calls"` // begun and answered in the window
	All      int     `json:"all"`   // answered at all
	Seconds  float64 `json:"seconds"`
	Sessions int     `json:"sessions"`
	P50Ms    float64 `json:"p50_ms"`
	P99Ms    float64 `json:"p99_ms"`
	MaxMs    float64 `json:"max_ms"`
	InFlight float64 `json:"in_flight"` // calls of the server that waited for an answer, on average
}

// A loader runs chargers that loop: Authorize, Start, five MeterValues, Stop.
type loader struct {
	url      string
	n        int
	warm     time.Duration
	window   time.Duration
	hold     time.Duration
	second   bool // each charger begins with a session on connector 2, which goes on
	inFlight atomic.Int64

	from, to time.Time // the window
	mu       sync.Mutex
	took     []time.Duration
	all      int
	sessions int
}

// loadRole is the process that makes the load. It prints a Load as JSON.
func loadRole(ctx context.Context, args []string) error {
	l := loader{}
	f := flag.NewFlagSet("load", flag.ContinueOnError)
	f.StringVar(&l.url, "url", "", "where the chargers connect to")
	f.IntVar(&l.n, "n", 200, "chargers")
	f.DurationVar(&l.warm, "warm", time.Second, "not measured, first")
	f.DurationVar(&l.window, "window", 5*time.Second, "measured")
	f.DurationVar(&l.hold, "hold", 25*time.Second, "how long a call of the server waits for its answer")
	f.BoolVar(&l.second, "second", false, "a session on connector 2 as well")
	if err := f.Parse(args); err != nil {
		return err
	}
	out, err := l.run(ctx)
	if err != nil {
		return err
	}
	return json.NewEncoder(os.Stdout).Encode(out)
}

func (l *loader) run(ctx context.Context) (*Load, error) {
	ctx, cancel := context.WithTimeout(ctx, l.warm+l.window+4*answerWithin)
	defer cancel()
	points := make([]*point, l.n)
	errs := make([]error, l.n)
	var all sync.WaitGroup
	for i := range points {
		all.Go(func() {
			points[i], errs[i] = dial(ctx, l.url, i, nil)
			if errs[i] == nil {
				points[i].hold = l.hold
				errs[i] = l.prepare(ctx, points[i])
			}
		})
	}
	all.Wait()
	if err := errors.Join(errs...); err != nil {
		return nil, err
	}
	l.from = time.Now().Add(l.warm)
	l.to = l.from.Add(l.window)
	for i, p := range points {
		all.Go(func() { errs[i] = l.loop(ctx, p) })
	}
	sum, samples := l.sample(ctx)
	all.Wait()
	for _, p := range points {
		p.hangUp()
	}
	if err := errors.Join(errs...); err != nil {
		return nil, err
	}
	return l.result(float64(sum) / float64(max(samples, 1)))
}

// prepare boots a charger, and begins what goes on meanwhile.
func (l *loader) prepare(ctx context.Context, p *point) error {
	if err := p.boot(ctx); err != nil {
		return err
	}
	if !l.second {
		return nil
	}
	_, err := p.startTx(ctx, 2)
	return err
}

// sample counts the server's calls in flight, ten times a second in the window.
func (l *loader) sample(ctx context.Context) (sum, samples int64) {
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	for {
		select {
		case now := <-tick.C:
			if now.After(l.to) {
				return sum, samples
			}
			if now.After(l.from) {
				sum, samples = sum+l.inFlight.Load(), samples+1
			}
		case <-ctx.Done():
			return sum, samples
		}
	}
}

// loop is one charger's life. Whatever call was begun in the window and answered
// in it counts.
func (l *loader) loop(ctx context.Context, p *point) error {
	var took []time.Duration
	sessions, all, held := 0, 0, false
	timed := func(f func() error) error {
		began := time.Now()
		if err := f(); err != nil {
			return err
		}
		all++
		if now := time.Now(); began.After(l.from) && now.Before(l.to) {
			took = append(took, now.Sub(began))
		}
		if is := p.held != nil; is != held {
			held = is
			if is {
				l.inFlight.Add(1)
			} else {
				l.inFlight.Add(-1)
			}
		}
		return nil
	}
	for time.Now().Before(l.to) {
		var tx string
		err := timed(func() error { return p.authorize(ctx) })
		if err == nil {
			err = timed(func() (err error) { tx, err = p.startTx(ctx, 1); return err })
		}
		for i := 0; i < 5 && err == nil; i++ {
			err = timed(func() error { return p.meter(ctx, tx) })
		}
		if err == nil {
			err = timed(func() error { return p.stopTx(ctx, tx) })
		}
		if err != nil {
			return err
		}
		sessions++
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.took, l.sessions, l.all = append(l.took, took...), l.sessions+sessions, l.all+all
	return nil
}

func (l *loader) result(inFlight float64) (*Load, error) {
	if len(l.took) == 0 {
		return nil, fmt.Errorf("no call was answered in %s", l.window)
	}
	slices.Sort(l.took)
	return &Load{
		Calls: len(l.took), All: l.all, Seconds: l.window.Seconds(), Sessions: l.sessions, InFlight: inFlight,
		P50Ms: millis(quantile(l.took, 0.5)), P99Ms: millis(quantile(l.took, 0.99)), MaxMs: millis(l.took[len(l.took)-1]),
	}, nil
}

// quantile returns a quantile of sorted durations.
func quantile(sorted []time.Duration, q float64) time.Duration {
	return sorted[min(int(q*float64(len(sorted))), len(sorted)-1)]
}

func millis(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }
