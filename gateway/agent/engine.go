package agent

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync/atomic"
	"time"

	"github.com/holdfast-ev/holdfast"
	"github.com/holdfast-ev/holdfast/gateway"
	"github.com/holdfast-ev/holdfast/journal"
)

// Bounds of the engine.
const (
	// TickEvery is the pulse of the core: timers in it fire this late at most.
	TickEvery = 500 * time.Millisecond
	// MaxRecoveries is how many cores in a row may fail before the process gives
	// up. A core that lived for [HealthyAfter] ends the row.
	MaxRecoveries = 5
	// HealthyAfter is how long a core must live to count as a success.
	HealthyAfter = time.Minute
	// RecoveryPause is the wait before the second recovery in a row; it doubles.
	RecoveryPause = 100 * time.Millisecond
	// maxQuitTurns bounds the turns that a core still gets for what has arrived
	// when it is asked to quit.
	maxQuitTurns = 2 * FeedLength / MaxTurnInputs
)

var errCoreGone = errors.New("the core was discarded")

// A core is what the engine drives: in the daemon the recovered gateway core in
// its loop, in tests a recorder.
type core struct {
	// turn steps the inputs, syncs and releases the effects. An error means that
	// memory and disk may differ: the core must not be used again.
	turn func(now holdfast.Instant, in []gateway.Input) error
	// later returns, once, the inputs that effects gave rise to at once, on this
	// goroutine, where they could not be put into the feed.
	later func() []gateway.Input
	// report says how the core is.
	report func() *Report
	// segments lists what a journal has on the disk.
	segments func(holdfast.Journal) []journal.SegmentInfo
	// close lets go of files. It is called once, after the last turn.
	close func() error
}

// An engine owns the core's goroutine and brings the core back when the disk
// has failed under it.
type engine struct {
	log   *slog.Logger
	clock *Clock
	// open recovers a core whose effects answer into f.
	open func(f *feed) (*core, error)
	// dropped is told that a core is gone, before the next one is opened: every
	// connection it knew must end.
	dropped func()

	current    atomic.Pointer[feed] // nil while there is no core
	recoveries atomic.Int64         // cores discarded since the start
	turns      atomic.Int64
	started    time.Time
	lastTurn   atomic.Int64  // when it ended, as a duration since started
	lives      int           // cores opened; run's own
	opened     chan struct{} // closed when the first core is there
}

func newEngine(log *slog.Logger, clock *Clock, open func(*feed) (*core, error), dropped func()) *engine {
	return &engine{log: log, clock: clock, open: open, dropped: dropped, started: time.Now(), opened: make(chan struct{})}
}

// feed returns the way to the present core; nil while there is none.
func (e *engine) feed() *feed { return e.current.Load() }

// run drives cores until stop is closed, and returns nil, or until recovery is
// hopeless. The first open must work: a gateway that cannot read its own data
// at the start should say so and not try on.
func (e *engine) run(stop <-chan struct{}) error {
	for failed := 0; ; {
		began := time.Now()
		err := e.life(stop)
		if err == nil {
			return nil
		}
		if e.lives == 0 {
			return err
		}
		if time.Since(began) > HealthyAfter {
			failed = 0
		}
		failed++
		e.recoveries.Add(1)
		if failed > MaxRecoveries {
			return fmt.Errorf("gave up after %d failed recoveries in a row: %w", MaxRecoveries, err)
		}
		e.log.Error("core discarded, recovering from the journal", "err", err.Error(), "in_a_row", failed)
		select {
		case <-time.After(RecoveryPause << (failed - 1)):
		case <-stop:
			return nil
		}
	}
}

// life is one core from recovery to its end.
func (e *engine) life(stop <-chan struct{}) error {
	f := newFeed()
	c, err := e.open(f)
	if err != nil {
		return fmt.Errorf("recover the core: %w", err)
	}
	e.lastTurn.Store(int64(time.Since(e.started)))
	e.current.Store(f)
	if e.lives++; e.lives == 1 {
		close(e.opened)
	}
	err = e.drive(f, c, stop)
	e.current.Store(nil)
	close(f.done)
	e.dropped()
	if closeErr := c.close(); err == nil && closeErr != nil {
		err = fmt.Errorf("close the journals: %w", closeErr)
	}
	return err
}

// drive gives the core its turns.
func (e *engine) drive(f *feed, c *core, stop <-chan struct{}) error {
	tick := time.NewTicker(TickEvery)
	defer tick.Stop()
	batch := make([]gateway.Input, 0, MaxTurnInputs)
	for {
		batch = append(batch[:0], c.later()...)
		if len(batch) == 0 {
			select {
			case in := <-f.in:
				batch = append(batch, in)
			case fn := <-f.calls:
				fn(c)
				continue
			case <-tick.C:
				batch = append(batch, gateway.Tick{})
			case <-stop:
				return e.quit(f, c)
			}
		}
		batch = drain(f, batch)
		err := e.turn(c, batch)
		f.took(batch)
		if err != nil {
			return err
		}
	}
}

// drain adds what is waiting, up to the bound of a turn.
func drain(f *feed, batch []gateway.Input) []gateway.Input {
	for len(batch) < MaxTurnInputs {
		select {
		case in := <-f.in:
			batch = append(batch, in)
		default:
			return batch
		}
	}
	return batch
}

func (e *engine) turn(c *core, batch []gateway.Input) error {
	err := c.turn(e.clock.Now(), batch)
	if err != nil {
		return fmt.Errorf("turn of %d inputs: %w", len(batch), err)
	}
	e.turns.Add(1)
	e.lastTurn.Store(int64(time.Since(e.started)))
	return nil
}

// quit ends a core in order: everything that has arrived, then Quit, whose
// record makes the next boot a planned one.
func (e *engine) quit(f *feed, c *core) error {
	for range maxQuitTurns {
		batch := drain(f, c.later())
		if len(batch) == 0 {
			break
		}
		if err := e.turn(c, batch); err != nil {
			return err
		}
	}
	return e.turn(c, []gateway.Input{gateway.Quit{}})
}

// alive reports whether the core took a turn in the last limit.
func (e *engine) alive(limit time.Duration) bool {
	return e.feed() != nil && time.Since(e.started)-time.Duration(e.lastTurn.Load()) < limit
}

// report asks the core how it is.
func (e *engine) report(ctx context.Context) (r *Report, err error) {
	f := e.feed()
	if f == nil {
		return nil, errCoreGone
	}
	if err = f.do(ctx, func(c *core) { r = c.report() }); err != nil {
		return nil, err
	}
	r.Recoveries = e.recoveries.Load()
	return r, nil
}
