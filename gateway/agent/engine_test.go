package agent

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/holdfast-ev/holdfast"
	"github.com/holdfast-ev/holdfast/gateway"
)

var errDisk = errors.New("fsync: input/output error")

// What waits while the core is busy shares the next turn, and so one sync, up
// to the bound.
func TestTurnTakesWhatWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var turns []int
		c := newRecorder().core()
		c.turn = func(_ holdfast.Instant, in []gateway.Input) error {
			turns = append(turns, len(in))
			time.Sleep(time.Second) // virtual: a slow disk
			return nil
		}
		e := newEngine(quiet(), NewClock(1), func(*feed) (*core, error) { return c, nil }, func() {})
		stop := make(chan struct{})
		ended := make(chan error, 1)
		go func() { ended <- e.run(stop) }()
		<-e.opened
		synctest.Wait()
		f := e.feed()
		f.put(gateway.Frame{Conn: 1})
		synctest.Wait() // the first turn is at the disk
		for range MaxTurnInputs + 10 {
			f.put(gateway.Frame{Conn: 1})
		}
		time.Sleep(3500 * time.Millisecond)
		close(stop)
		if err := <-ended; err != nil {
			t.Fatal(err)
		}
		if len(turns) < 3 || turns[0] != 1 || turns[1] != MaxTurnInputs || turns[2] < 10 {
			t.Errorf("turns took %v inputs, want 1, %d, then the other 10", turns, MaxTurnInputs)
		}
	})
}

// A failed sync discards the core: what is brought to the old one is refused,
// connections are dropped, and a new core is opened. A last Quit ends the row.
func TestFailedTurnDiscardsTheCore(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, opens, drops := newRecorder(), 0, 0
		r.act = func(in gateway.Input) error {
			if fr, ok := in.(gateway.Frame); ok && string(fr.Raw) == "boom" {
				return errDisk
			}
			return nil
		}
		e := newEngine(quiet(), NewClock(1), func(*feed) (*core, error) { opens++; return r.core(), nil }, func() { drops++ })
		stop, ended := make(chan struct{}), make(chan error, 1)
		go func() { ended <- e.run(stop) }()
		<-e.opened
		old := e.feed()
		old.put(gateway.Frame{Raw: []byte("boom")})
		synctest.Wait()
		if e.feed() != nil || old.put(gateway.Tick{}) {
			t.Error("the discarded core still takes inputs")
		}
		time.Sleep(RecoveryPause)
		synctest.Wait()
		if f := e.feed(); f == nil || f == old {
			t.Error("no new core after the pause")
		}
		close(stop)
		if err := <-ended; err != nil {
			t.Fatal(err)
		}
		if opens != 2 || drops != 2 || r.closed != 2 || e.recoveries.Load() != 1 {
			t.Errorf("opens %d, drops %d, closed %d, recoveries %d; want 2 2 2 1", opens, drops, r.closed, e.recoveries.Load())
		}
		if _, quit := r.inputs[len(r.inputs)-1].(gateway.Quit); !quit {
			t.Errorf("the last input is %T, want Quit", r.inputs[len(r.inputs)-1])
		}
	})
}

// A disk that fails every time ends the process instead of spinning; one that
// fails now and then does not.
func TestRecoveriesAreBounded(t *testing.T) {
	for _, tt := range []struct {
		name    string
		lives   time.Duration // how long each core lives
		givesUp bool
	}{{"at once", time.Second, true}, {"now and then", HealthyAfter + time.Second, false}} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				opens := 0
				e := newEngine(quiet(), NewClock(1), func(*feed) (*core, error) {
					opens++
					c, born := newRecorder().core(), time.Now()
					c.turn = func(holdfast.Instant, []gateway.Input) error {
						if time.Since(born) > tt.lives && opens < 20 {
							return errDisk
						}
						return nil
					}
					return c, nil
				}, func() {})
				stop, ended := make(chan struct{}), make(chan error, 1)
				go func() { ended <- e.run(stop) }()
				time.Sleep(time.Hour)
				synctest.Wait()
				select {
				case err := <-ended:
					if !tt.givesUp || !errors.Is(err, errDisk) || opens != MaxRecoveries+1 {
						t.Errorf("ended after %d cores: %v", opens, err)
					}
				default:
					if close(stop); tt.givesUp {
						t.Errorf("still trying after %d cores", opens)
					}
					<-ended
				}
			})
		})
	}
}

// A gateway that cannot open its data at the start says so at once.
func TestFirstOpenMustWork(t *testing.T) {
	e := newEngine(quiet(), NewClock(1), func(*feed) (*core, error) { return nil, errDisk }, func() {})
	if err := e.run(make(chan struct{})); !errors.Is(err, errDisk) {
		t.Errorf("error %v, want %v", err, errDisk)
	}
}

// Somebody who asks a core that hangs at the disk gets an answer in time.
func TestStatusOfAHangingCore(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		disk := make(chan struct{})
		c := newRecorder().core()
		c.turn = func(holdfast.Instant, []gateway.Input) error { <-disk; return nil }
		e := newEngine(quiet(), NewClock(1), func(*feed) (*core, error) { return c, nil }, func() {})
		stop, ended := make(chan struct{}), make(chan error, 1)
		go func() { ended <- e.run(stop) }()
		<-e.opened
		time.Sleep(2 * TickEvery) // the core is at the disk now
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if _, err := e.report(ctx); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("error %v, want a deadline", err)
		}
		time.Sleep(time.Minute)
		if e.alive(10 * time.Second) {
			t.Error("a core that hangs for a minute counts as alive")
		}
		close(disk)
		close(stop)
		<-ended
	})
}

func TestClockQuality(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := NewClock(7)
		if now := c.Now(); now.Boot != 7 || now.Quality != holdfast.Unknown && now.Quality != holdfast.Informative {
			t.Errorf("at the start: %+v", now)
		}
		if _, ok := c.Trusted(); ok {
			t.Error("trusted before the cloud has spoken")
		}
		const cloud = holdfast.UnixMilli(1_800_000_000_000)
		c.Sync(cloud, time.Minute)
		if _, ok := c.Trusted(); ok {
			t.Error("trusted after a round trip of a minute")
		}
		c.Sync(cloud, 2*time.Second)
		if now := c.Now(); now.Wall != cloud+1000 || now.Quality != holdfast.Synchronised {
			t.Errorf("after a sync: %+v", now)
		}
		time.Sleep(time.Hour)
		c.Sync(cloud+3_600_000+500, 0) // half a second behind: within tolerance
		if now := c.Now(); now.Wall != cloud+3_600_000+1_000 {
			t.Errorf("stepped by jitter to %v", now.Wall)
		}
		c.Reboot(8)
		if now := c.Now(); now.Boot != 8 || now.Mono != 0 || now.Wall != cloud+3_600_000+1_000 || now.Quality != holdfast.Synchronised {
			t.Errorf("after a reboot: %+v", now)
		}
		time.Sleep(SyncHolds + time.Second)
		if now := c.Now(); now.Quality != holdfast.Relative {
			t.Errorf("a day later quality %s, want R", now.Quality)
		}
	})
}

// Large frames of a broken charger wait in the network, not in memory.
func TestFeedBoundsBytes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f, big := newFeed(), make([]byte, 1<<20)
		var in int
		go func() {
			for f.put(gateway.Frame{Raw: big}) {
				in++
			}
		}()
		synctest.Wait()
		if in != MaxFeedBytes>>20 {
			t.Errorf("%d MiB were let in, want %d", in, MaxFeedBytes>>20)
		}
		batch := drain(f, nil)
		f.took(batch)
		synctest.Wait()
		if in != 2*MaxFeedBytes>>20 {
			t.Errorf("after a turn %d MiB in all, want %d", in, 2*MaxFeedBytes>>20)
		}
		f.took(drain(f, nil))
		synctest.Wait()
		close(f.done)
		synctest.Wait()
	})
}
