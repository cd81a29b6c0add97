package bench

import (
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"github.com/holdfast-ev/holdfast/internal/durable"
)

// Aims of a start.
const (
	startSyncs       = 2 // one for the decision, one for the start
	startMore        = time.Millisecond
	stormChargers    = 50
	maxSyncsPerStart = 0.1
)

// offlineStart measures Authorize and StartTransaction, from the charger's first
// byte to the answer's last, while the cloud cannot be reached: one charger
// alone beside bare writes and syncs, and then many at the same moment.
func offlineStart(r *Run) error {
	n := r.Count(stormChargers, 5)
	s, err := r.newSite(n)
	if err != nil {
		return err
	}
	if err := s.start(); err != nil {
		return err
	}
	points, err := s.connect(n)
	if err == nil {
		err = s.oneStart(points[0])
	}
	if err == nil {
		err = s.startStorm(points)
	}
	for _, p := range points {
		p.hangUp()
	}
	return errors.Join(err, s.stop())
}

// connect dials and boots n chargers, which answer nothing that they are asked.
func (s *site) connect(n int) ([]*point, error) {
	points := make([]*point, n)
	errs := make([]error, n)
	slots := make(chan struct{}, 50)
	var all sync.WaitGroup
	for i := range points {
		all.Go(func() {
			slots <- struct{}{}
			defer func() { <-slots }()
			if points[i], errs[i] = dial(s.run.Ctx, s.url(), i, s.client()); errs[i] == nil {
				points[i].hold = time.Hour
				errs[i] = points[i].boot(s.run.Ctx)
			}
		})
	}
	all.Wait()
	err := errors.Join(errs...)
	if err != nil {
		points = slices.DeleteFunc(points, func(p *point) bool { return p == nil })
	}
	return points, err
}

func (s *site) oneStart(p *point) error {
	ctx := s.run.Ctx
	floor, err := newFloor(filepath.Join(filepath.Dir(s.dir), "floor"))
	if err != nil {
		return err
	}
	defer floor.close()
	before, err := s.metric("holdfast_journal_bytes")
	if err != nil {
		return err
	}
	var took, raw []time.Duration
	size := 0
	for i := range s.run.Count(500, 5) {
		began := time.Now()
		if err := p.authorize(ctx); err != nil {
			return err
		}
		tx, err := p.startTx(ctx, 1)
		if err != nil {
			return err
		}
		took = append(took, time.Since(began))
		if i == 0 {
			after, err := s.metric("holdfast_journal_bytes")
			if err != nil {
				return err
			}
			size = int(after-before) / startSyncs
		}
		if err := p.stopTx(ctx, tx); err != nil {
			return err
		}
		d, err := floor.write(size, startSyncs)
		if err != nil {
			return err
		}
		raw = append(raw, d)
	}
	slices.Sort(took)
	slices.Sort(raw)
	for _, q := range []struct {
		name string
		at   float64
	}{{"p50", 0.5}, {"p99", 0.99}} {
		have, bare := quantile(took, q.at), quantile(raw, q.at)
		s.run.Add(Figure{Name: "authorise and start, one charger, " + q.name, Value: millis(have), Unit: "ms",
			Of: fmt.Sprintf("%d writes and syncs of %d bytes, %.2f ms", startSyncs, size, millis(bare)), Ratio: millis(have) / millis(bare),
			Aim: fmt.Sprintf("at most that and %.0f ms more", millis(startMore)), Met: have <= bare+startMore})
	}
	return nil
}

// A floor is a file that grows as a journal does, with nothing around it.
type floor struct {
	file interface {
		WriteAt([]byte, int64) (int, error)
		Sync() error
		Close() error
	}
	size int64
}

func newFloor(dir string) (*floor, error) {
	d, err := durable.MakeDir(dir)
	if err != nil {
		return nil, err
	}
	f, err := d.Create("raw")
	if err != nil {
		return nil, err
	}
	return &floor{file: f}, nil
}

// write appends size bytes and syncs, so many times, and says how long it took.
func (f *floor) write(size, times int) (time.Duration, error) {
	b := make([]byte, max(size, 1))
	began := time.Now()
	for range times {
		if _, err := f.file.WriteAt(b, f.size); err != nil {
			return 0, err
		}
		if err := f.file.Sync(); err != nil {
			return 0, err
		}
		f.size += int64(len(b))
	}
	return time.Since(began), nil
}

func (f *floor) close() { f.file.Close() } //nolint:errcheck // a scratch file

// startStorm lets every charger authorise and start at the same moment, as when
// power comes back to a car park, and counts what the disk had to do for it.
func (s *site) startStorm(points []*point) error {
	ctx := s.run.Ctx
	var took []time.Duration
	syncs, starts := 0.0, 0
	for range s.run.Count(20, 2) {
		before, err := s.quiet()
		if err != nil {
			return err
		}
		spent, ids := make([]time.Duration, len(points)), make([]string, len(points))
		err = together(points, func(i int, p *point) (err error) {
			began := time.Now()
			if err = p.authorize(ctx); err == nil {
				ids[i], err = p.startTx(ctx, 1)
			}
			spent[i] = time.Since(began)
			return err
		})
		if err != nil {
			return err
		}
		after, err := s.quiet()
		if err != nil {
			return err
		}
		syncs, starts, took = syncs+after-before, starts+len(points), append(took, spent...)
		if err := together(points, func(i int, p *point) error { return p.stopTx(ctx, ids[i]) }); err != nil {
			return err
		}
	}
	slices.Sort(took)
	per := syncs / float64(starts)
	s.run.Add(Figure{Name: fmt.Sprintf("syncs per start, %d chargers at once", len(points)), Value: per, Unit: "syncs",
		Of: fmt.Sprintf("one charger alone, %d syncs", startSyncs), Ratio: per / startSyncs,
		Aim: fmt.Sprintf("at most %.1f", maxSyncsPerStart), Met: per <= maxSyncsPerStart, Note: "every sync counts: both journals, their heads, snapshots"})
	s.run.Add(Figure{Name: fmt.Sprintf("authorise and start, %d chargers at once, p50", len(points)), Value: millis(quantile(took, 0.5)), Unit: "ms"})
	s.run.Add(Figure{Name: fmt.Sprintf("authorise and start, %d chargers at once, p99", len(points)), Value: millis(quantile(took, 0.99)), Unit: "ms"})
	return nil
}

// together runs f for every charger at the same moment.
func together(points []*point, f func(i int, p *point) error) error {
	errs := make([]error, len(points))
	gate := make(chan struct{})
	var all sync.WaitGroup
	for i, p := range points {
		all.Go(func() {
			<-gate
			errs[i] = f(i, p)
		})
	}
	close(gate)
	all.Wait()
	return errors.Join(errs...)
}

// quiet waits until the gateway has synced nothing for half a second, and
// returns how often it has synced so far.
func (s *site) quiet() (float64, error) {
	last, since := -1.0, time.Now()
	for {
		n, err := s.metric("holdfast_disk_syncs_total")
		if err != nil {
			return 0, err
		}
		if n != last {
			last, since = n, time.Now()
		} else if time.Since(since) > 500*time.Millisecond {
			return n, nil
		}
		select {
		case <-time.After(5 * askEvery):
		case <-s.run.Ctx.Done():
			return 0, s.run.Ctx.Err()
		}
	}
}
