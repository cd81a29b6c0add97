package demo

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"sync"
	"time"

	"github.com/holdfast-ev/holdfast/charger"
)

// Options say how a run goes.
type Options struct {
	Seed    uint64
	Once    bool     // end after the report instead of staying up
	Keep    string   // folder for the data; "" a temporary one that is removed
	API     string   // address of the cloud's API; default a free loopback port
	Gateway []string // program and first arguments that run holdfast-gateway; default: this program's hidden "gateway" command
	Plant   string   // a mistake to plant into the books before the check (see [Books.Plant]); "" none
	Version string   // of this software

	Story  io.Writer           // gets the story
	Report func(*Report) error // gets the report, before the demo stays up
}

// Validate refuses what a run could not go by, before anything is started.
func (o *Options) Validate() error {
	if o.Plant != "" && o.Plant != PlantDouble && o.Plant != PlantDrop {
		return fmt.Errorf("demo: plant %q: want %s or %s", o.Plant, PlantDouble, PlantDrop)
	}
	if names, err := os.ReadDir(o.Keep); o.Keep != "" && err == nil && len(names) > 0 {
		return fmt.Errorf("demo: the folder %s is not empty and the demo does not mix its data with other data: name a new one", o.Keep)
	}
	return nil
}

// Run runs the demo. It returns the report, and an error when something kept it
// from getting that far; books that do not balance are in the report. Whatever
// it started and made is gone when it returns, but for what Options.Keep keeps.
func Run(ctx context.Context, o Options) (*Report, error) {
	if err := o.Validate(); err != nil {
		return nil, err
	}
	if o.API == "" {
		o.API = "127.0.0.1:0"
	}
	if len(o.Gateway) == 0 {
		exe, err := os.Executable()
		if err != nil {
			return nil, fmt.Errorf("demo: %w", err)
		}
		o.Gateway = []string{exe, "gateway"}
	}
	began := time.Now()
	s := newStory(o.Story)
	s.chapter("Three sites, a gateway process at each, six chargers, one cloud. Seed %d.", o.Seed)
	w, err := newWorld(ctx, o, s)
	if err != nil {
		return nil, fmt.Errorf("demo: %w", err)
	}
	defer w.end()
	r, err := w.play(ctx, began)
	if err != nil {
		return nil, fmt.Errorf("demo: %w", err)
	}
	if o.Report != nil {
		if err := o.Report(r); err != nil {
			return r, err
		}
	}
	if !o.Once {
		w.stay(ctx)
	}
	return r, nil
}

// play runs the chargers and the plan, and checks the books.
func (w *world) play(ctx context.Context, began time.Time) (*Report, error) {
	live, stop := context.WithCancel(ctx)
	var wg sync.WaitGroup
	w.close = append(w.close, func() { stop(); wg.Wait() })
	for _, c := range w.chargers() {
		wg.Go(func() { c.Run(live) }) //nolint:errcheck // always nil
	}
	ready, cancel := context.WithTimeout(ctx, readyTimeout)
	defer cancel()
	for _, c := range w.chargers() {
		if err := c.Ready(ready); err != nil {
			return nil, fmt.Errorf("not connected to its gateway: %w", err)
		}
	}
	for _, s := range w.sites {
		if _, err := s.watch.read(); err != nil { // what is before the story is not told
			return nil, err
		}
	}
	wg.Go(func() { w.follow(live) })
	w.story.say("", "all sites are ONLINE, all chargers are connected, the access lists are installed")

	p := NewPlan(w.o.Seed)
	w.act(ctx, &p)
	if err := ctx.Err(); err != nil {
		return nil, errors.New("interrupted before the story was over")
	}
	w.story.say("", "the last driver has left; waiting until every site is in sync")
	if err := w.settle(ctx); err != nil {
		w.story.say("", "not everything came through: %v", err)
	}
	for _, site := range w.sites {
		w.catchUp(site)
	}
	if ctx.Err() != nil {
		return nil, errors.New("interrupted before the books were checked")
	}
	books, err := w.api.books(ctx)
	if err != nil {
		return nil, err
	}
	if w.o.Plant != "" {
		if err := books.Plant(w.o.Plant); err != nil {
			return nil, err
		}
	}
	r := w.report(&p, books, began)
	return r, w.save(books, r)
}

// metered returns what all chargers' meters know.
func (w *world) metered() (all []charger.TruthSession) {
	for _, c := range w.chargers() {
		all = append(all, c.Truth()...)
	}
	return all
}

// offline counts the metered sessions that began while their site's cable was
// out: by the stage's clock and the chargers' logs.
func (w *world) offline() (n int) {
	for _, s := range w.sites {
		for _, c := range s.chargers {
			for _, t := range c.Truth() {
				for _, cut := range s.cuts {
					if t.StartedAt.After(cut.from) && t.StartedAt.Before(cut.to) {
						n++
						break
					}
				}
			}
		}
	}
	return n
}

// stay keeps everything up until ctx ends.
func (w *world) stay(ctx context.Context) {
	for _, c := range w.chargers() {
		c.Plug(1) //nolint:errcheck // a car more or less
	}
	//nolint:errcheck // the story's listener may be gone
	fmt.Fprintf(w.o.Story, `
Everything stays up until you press Ctrl-C, with a car at every charger. In another terminal:
  export HOLDFAST_CLOUD=%s HOLDFAST_TOKEN=%s
  holdfast sites list
  holdfast start %s --site harbour --charger harbour-1
  holdfast sessions list
  holdfast stop SESSION
`, w.cloud.APIURL(), w.cloud.Token(), drivers[0].card)
	<-ctx.Done()
}
