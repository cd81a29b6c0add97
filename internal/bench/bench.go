package bench

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// A Figure is one measured number.
type Figure struct {
	Name  string  `json:"name"`
	Value float64 `json:"value"`
	Unit  string  `json:"unit"`
	// Of is the floor or peer of the same run, with its own value: "echo server,
	// 61000 calls/s". "" when the number stands for itself.
	Of string `json:"of,omitempty"`
	// Ratio is Value divided by Of's value; 0 without one.
	Ratio float64 `json:"ratio,omitempty"`
	// Aim is what the figure should be, in words; "" when there is none.
	Aim   string `json:"aim,omitempty"`
	Met   bool   `json:"met"`   // the aim is met
	Aimed bool   `json:"aimed"` // there is an aim
	Note  string `json:"note,omitempty"`
}

// Sane reports whether a figure can be a measurement at all.
func (f Figure) Sane() error {
	switch {
	case f.Name == "" || f.Unit == "":
		return fmt.Errorf("figure %+v has no name or no unit", f)
	case math.IsNaN(f.Value) || math.IsInf(f.Value, 0) || f.Value < 0:
		return fmt.Errorf("figure %s is %v", f.Name, f.Value)
	case math.IsNaN(f.Ratio) || math.IsInf(f.Ratio, 0) || f.Ratio < 0:
		return fmt.Errorf("figure %s has the ratio %v", f.Name, f.Ratio)
	case f.Aimed != (f.Aim != ""):
		return fmt.Errorf("figure %s: aim %q, aimed %v", f.Name, f.Aim, f.Aimed)
	}
	return nil
}

// A Benchmark measures one thing and what it is compared with.
type Benchmark struct {
	Name  string // short, for selection: "start"
	About string // one sentence
	Run   func(*Run) error
}

// All lists the benchmarks in the order in which they run.
func All() []Benchmark {
	return []Benchmark{
		{"binary", "What the programs weigh.", binarySize},
		{"start", "Authorise and start while the cloud is away, from the charger's first byte to the answer's last.", offlineStart},
		{"memory", "Resident memory of the gateway's process.", memory},
		{"history", "A journal of 365,000 records: what it takes on the disk, and how long a gateway needs to be ready on it.", history},
		{"calls", "Calls per second: 200 chargers loop Authorize, Start, five MeterValues, Stop; every transaction message is durable before its answer.", callsPerSecond},
		{"books", "Records per second that the cloud receives, folds, prices and posts, beside bare inserts into the same engine.", books},
	}
}

// A Run is what a benchmark works with.
type Run struct {
	Ctx   context.Context
	Dir   string // an empty directory on the disk that is measured; removed afterwards
	Smoke bool   // seconds at most, and no figure means anything

	out     io.Writer
	bins    string // directory of the built programs
	figures []Figure
	profile string // what explains a missed aim, as `go tool pprof -top` prints it
}

// Say tells the person who waits what is going on.
func (r *Run) Say(format string, args ...any) {
	fmt.Fprintf(r.out, "   "+format+"\n", args...)
}

// Add gives a figure.
func (r *Run) Add(f Figure) {
	f.Aimed = f.Aim != ""
	r.figures = append(r.figures, f)
}

// For returns full, or in smoke mode short.
func (r *Run) For(full, short time.Duration) time.Duration {
	if r.Smoke {
		return short
	}
	return full
}

// Count returns full, or in smoke mode small.
func (r *Run) Count(full, small int) int {
	if r.Smoke {
		return small
	}
	return full
}

// A Result is what one benchmark gave.
type Result struct {
	Name    string    `json:"name"`
	About   string    `json:"about"`
	Figures []Figure  `json:"figures"`
	Profile string    `json:"profile,omitempty"` // when an aim was missed
	At      time.Time `json:"at"`                // when it began
	Load    string    `json:"load"`              // load averages as it began
	Seconds float64   `json:"seconds"`
}

// Missed lists the figures whose aim is missed.
func (r *Result) Missed() (out []Figure) {
	for _, f := range r.Figures {
		if f.Aimed && !f.Met {
			out = append(out, f)
		}
	}
	return out
}

// Options of a [Measure].
type Options struct {
	Names []string  // which benchmarks; nil: all
	Dir   string    // where to work: the disk that is measured
	Bins  string    // directory that holds holdfast and holdfast-gateway
	Smoke bool      // see Run.Smoke
	Keep  bool      // leave what the benchmarks wrote where it is
	Out   io.Writer // progress
}

// Measure runs benchmarks one after the other. It returns what it has when one
// fails, with the error.
func Measure(ctx context.Context, o Options) (out []Result, err error) {
	chosen, err := choose(o.Names)
	if err != nil {
		return nil, err
	}
	for _, b := range chosen {
		fmt.Fprintf(o.Out, "== %s: %s\n", b.Name, b.About)
		r := &Run{Ctx: ctx, Smoke: o.Smoke, out: o.Out, bins: o.Bins}
		if r.Dir, err = os.MkdirTemp(o.Dir, "holdfast-bench-"); err != nil {
			return out, fmt.Errorf("working directory: %w", err)
		}
		res := Result{Name: b.Name, About: b.About, At: time.Now(), Load: loadAverage()}
		began := time.Now()
		err := b.Run(r)
		res.Seconds, res.Figures = time.Since(began).Seconds(), r.figures
		if o.Keep {
			r.Say("kept: %s", r.Dir)
		} else if gone := os.RemoveAll(r.Dir); err == nil {
			err = gone
		}
		if len(res.Missed()) > 0 {
			res.Profile = r.profile
		}
		for _, f := range r.figures {
			fmt.Fprintln(o.Out, "   "+f.line())
			err = errors.Join(err, f.Sane())
		}
		if err == nil && len(r.figures) == 0 {
			err = errors.New("no figures")
		}
		out = append(out, res)
		if err != nil {
			return out, fmt.Errorf("%s: %w", b.Name, err)
		}
	}
	return out, nil
}

func choose(names []string) (out []Benchmark, err error) {
	all := All()
	if len(names) == 0 {
		return all, nil
	}
	for _, n := range names {
		i := slices.IndexFunc(all, func(b Benchmark) bool { return b.Name == n })
		if i < 0 {
			var have []string
			for _, b := range all {
				have = append(have, b.Name)
			}
			return nil, fmt.Errorf("no benchmark %q; there are: %s", n, strings.Join(have, ", "))
		}
		out = append(out, all[i])
	}
	return out, nil
}

// program returns the path of a built program.
func (r *Run) program(name string) string { return filepath.Join(r.bins, name) }
