package uplink

import (
	"fmt"
	"math/big"
	"slices"
	"testing"
	"time"

	"github.com/holdfast-ev/holdfast"
	"pgregory.net/rapid"
)

// monday is a trusted clock at mono 0 in every test: 2026-03-02T00:00:00Z.
const monday holdfast.UnixMilli = 1_772_409_600_000

func at(ms int64) holdfast.Instant {
	return holdfast.Instant{Wall: monday + holdfast.UnixMilli(ms), Quality: holdfast.Synchronised, Boot: 1, Mono: ms}
}

func TestParseWindow(t *testing.T) {
	for s, want := range map[string]Window{"01:30-05:00": {90, 300}, "22:00-06:15": {1320, 375}, "00:00-24:00": {0, 1440}, "23:59-00:00": {1439, 0}} {
		if w, err := ParseWindow(s); err != nil || w != want || w.String() != s {
			t.Errorf("%s is %+v (%s), %v", s, w, w, err)
		}
	}
	for _, s := range []string{"", "1:30-5:00", "01:30", "24:00-01:00", "01:60-02:00", "05:00-05:00", "01:30-25:00", "01:30-05:00 ", "-1:30-05:00", "aa:bb-cc:dd"} {
		if w, err := ParseWindow(s); err == nil {
			t.Errorf("%q was read as %+v", s, w)
		}
	}
}

func windows(t *rapid.T) Windows {
	w := Windows{Zone: zone(t)}
	for range rapid.IntRange(1, 3).Draw(t, "windows") {
		from := rapid.IntRange(0, dayMinutes-1).Draw(t, "from")
		w.List = append(w.List, Window{from, (from + rapid.IntRange(1, dayMinutes-1).Draw(t, "length")) % dayMinutes})
	}
	return w
}

func zone(t *rapid.T) *time.Location {
	z, err := time.LoadLocation(rapid.SampledFrom([]string{"UTC", "Europe/Berlin", "America/St_Johns", "Australia/Lord_Howe"}).Draw(t, "zone"))
	if err != nil {
		t.Fatal(err)
	}
	return z
}

func anyTime(t *rapid.T) holdfast.UnixMilli {
	return monday + holdfast.UnixMilli(rapid.Int64Range(0, 400*24*3600).Draw(t, "s"))*1000
}

// A window is open by the clock on the wall, and Next is the first open instant:
// nothing before it is open, on days of 23 and 25 hours too.
func TestWindowsAgainstAWallClock(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		w, now := windows(t), anyTime(t)
		clock := now.Time().In(w.zone()).Format("15:04")
		want := slices.ContainsFunc(w.List, func(one Window) bool {
			from, to := one.String()[:5], one.String()[6:]
			if from < to {
				return from <= clock && clock < to
			}
			return from <= clock || clock < to
		})
		if w.Open(now) != want {
			t.Fatalf("%v at %s: open %v", w.List, clock, !want)
		}
		next := w.Next(now)
		if !w.Open(next) || next < now {
			t.Fatalf("next of %s is %s, which is not open", now, next)
		}
		for m := now; m < next; m += 60_000 {
			if w.Open(m) {
				t.Fatalf("next of %s is %s, but %s is open", now, next, m)
			}
		}
	})
}

// A budget's month begins at midnight of its day; walking back day by day from
// any instant finds the same beginning.
func TestPeriodAgainstACalendar(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		b, now := Budget{ResetDay: rapid.IntRange(0, 28).Draw(t, "day"), Zone: zone(t)}, anyTime(t)
		d := now.Time().In(b.Zone)
		for d.Day() != max(1, b.ResetDay) {
			d = d.AddDate(0, 0, -1)
		}
		want := time.Date(d.Year(), d.Month(), d.Day(), 0, 0, 0, 0, b.Zone)
		if got := b.Period(now); got != holdfast.UnixMilli(want.UnixMilli()) {
			t.Fatalf("period of %s is %s, want %s", now, got, want)
		}
	})
}

// The stage is the share of the budget in exact arithmetic, and never falls
// within a month.
func TestStagesAgainstExactShares(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		b := Budget{Bytes: rapid.Int64Range(1, MaxBudgetBytes).Draw(t, "budget")}
		used := rapid.Int64Range(0, b.Bytes+1).Draw(t, "used")
		reached := func(percent int64) bool {
			share := new(big.Int).Div(new(big.Int).Mul(big.NewInt(b.Bytes), big.NewInt(percent)), big.NewInt(100))
			return big.NewInt(used).Cmp(share) >= 0
		}
		want := StageOpen
		for _, s := range []struct {
			percent int64
			stage   Stage
		}{{TelemetryStopsPercent, StageNoTelemetry}, {ThriftPercent, StageThrift}, {ReservePercent, StageReserve}, {100, StageSpent}} {
			if reached(s.percent) {
				want = s.stage
			}
		}
		if got := b.Stage(used); got != want {
			t.Fatalf("%d of %d is %s, want %s", used, b.Bytes, got, want)
		}
	})
	if (Budget{}).Stage(1<<62) != StageOpen {
		t.Error("no budget, and it is spent")
	}
}

// Only a trusted clock begins a month, months do not go back, and what was
// counted before any was known counts in the first.
func TestUsageAndTheClock(t *testing.T) {
	r := NewRouter(Routes{Links: []LinkConfig{{Name: "lte", Budget: Budget{Bytes: 1000}}}}, nil)
	now := at(0)
	for _, tt := range []struct {
		name    string
		wall    string
		quality holdfast.Quality
		want    int64
	}{
		{"not known", "2026-03-02", holdfast.Unknown, 10},
		{"the first known month", "2026-03-02", holdfast.Synchronised, 20},
		{"next month, untrusted", "2026-04-02", holdfast.Informative, 30},
		{"fifty years on, untrusted", "2076-04-02", holdfast.Unknown, 40},
		{"next month", "2026-04-02", holdfast.Relative, 10},
		{"back again", "2026-03-30", holdfast.Synchronised, 20},
		{"in the same month", "2026-04-30", holdfast.Synchronised, 30},
	} {
		d, err := time.Parse(time.DateOnly, tt.wall)
		if err != nil {
			t.Fatal(err)
		}
		now.Wall, now.Quality = holdfast.UnixMilli(d.UnixMilli()), tt.quality
		r.Use(now, "lte", 4, 6)
		if got := r.Used(now, "lte").Total(); got != tt.want {
			t.Errorf("%s: %d bytes used, want %d", tt.name, got, tt.want)
		}
	}
}

// Evidence waits, but no record longer than the patience allows, whatever
// arrives when; and a batch goes as one.
func TestEvidenceNeverWaitsBeyondItsPatience(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		h := newHold()
		p := Patience{uint64(rapid.IntRange(0, 20).Draw(t, "batch")), rapid.Int64Range(1, 100).Draw(t, "ms")}
		var arrived []int64 // mono ms of each record
		sent := 0
		if !h.free(0, 0, uint64(rapid.IntRange(0, 3).Draw(t, "old")), p) {
			t.Fatal("what lay there at the start waits")
		}
		for now := int64(1); now < 400; now++ {
			for range rapid.SampledFrom([]int{0, 0, 0, 0, 0, 1, 2}).Draw(t, "new") {
				arrived = append(arrived, now)
			}
			if h.free(now, uint64(sent), uint64(len(arrived)), p) && sent < len(arrived) {
				sent += min(rapid.IntRange(1, 5).Draw(t, "slice"), len(arrived)-sent)
			}
			limit := now - p.Millis - int64(len(arrived)) // a slice of one record a tick takes that long
			if sent < len(arrived) && arrived[sent] < limit {
				t.Fatalf("at %d record %d of %d waits since %d, patience %+v", now, sent, len(arrived), arrived[sent], p)
			}
		}
	})
}

// A world says which routes work, and is what the router is held against.
type world struct {
	r     *Router
	down  map[string]holdfast.Cause // by link, endpoint, or both with a slash
	moves []string
}

func (w *world) call(at Route) holdfast.Cause {
	for _, key := range []string{at.Link, at.Endpoint, at.Link + "/" + at.Endpoint} {
		if c := w.down[key]; c != "" {
			return c
		}
	}
	return holdfast.CauseNone
}

// second does what the core does in a second: look, fail back, and make a
// contact with a retry over every route that is not left alone.
func (w *world) second(now holdfast.Instant) (ok bool) {
	if at, due := w.r.Probe(now); due {
		c := w.call(at)
		w.r.Probed(now, at, c, "")
	}
	w.r.Failback(now)
	for {
		at, open := w.r.Pick(now)
		if !open {
			return false
		}
		c := w.call(at)
		if c == holdfast.CauseNone {
			if _, cause, moved := w.r.Worked(now, at); moved {
				w.moves = append(w.moves, fmt.Sprintf("%d %s/%s %s", now.Mono/1000, at.Link, at.Endpoint, cause))
			}
			return true
		}
		w.r.Failed(now, at, c, "")
		if !w.r.Another(now) {
			return false
		}
	}
}

func twoByTwo() Routes {
	return Routes{
		Links:     []LinkConfig{{Name: "lte", Preference: 2, CostMicros: 5}, {Name: "fibre", Preference: 1}},
		Endpoints: []EndpointConfig{{URL: "a"}, {URL: "b", Preference: 2}},
	}
}

// Whatever breaks and heals: when a route works there is contact within a
// second, and when the world stays as it is the best route that works is in use
// after the longest dwell and back-off.
func TestRouterFindsWhatWorks(t *testing.T) {
	causes := []holdfast.Cause{"", "", holdfast.CauseCloudUnreachable, holdfast.CauseTLSFailure, holdfast.CauseDNSFailure}
	rapid.Check(t, func(t *rapid.T) {
		w := &world{r: NewRouter(twoByTwo(), nil), down: map[string]holdfast.Cause{}}
		now := int64(0)
		for range rapid.IntRange(0, 30).Draw(t, "changes") {
			for _, key := range []string{"fibre/a", "fibre/b", "lte/a", "lte/b"} {
				w.down[key] = rapid.SampledFrom(causes).Draw(t, key)
			}
			w.down["fibre"] = rapid.SampledFrom([]holdfast.Cause{"", "", holdfast.CauseNetworkDown}).Draw(t, "fibre")
			w.down["b"] = rapid.SampledFrom([]holdfast.Cause{"", "", "", holdfast.CauseAuthRejected}).Draw(t, "b")
			for range rapid.IntRange(1, 400).Draw(t, "seconds") {
				now += 1000
				w.second(at(now))
			}
		}
		best, works := "", false
		for _, p := range w.r.pairs {
			if w.call(p.Route) == holdfast.CauseNone {
				best, works = p.Link+"/"+p.Endpoint, true
				break
			}
		}
		first := int64(0)
		for range (FailbackDwellMax + RouteBackoffMaxMillis + 2*ProbeEveryMillis) / 1000 {
			now += 1000
			if w.second(at(now)) && first == 0 {
				first = now
			}
		}
		if !works {
			return
		}
		if got := w.r.Current(); got.Link+"/"+got.Endpoint != best {
			t.Fatalf("%v in use, want %s\n%v\n%+v", got, best, w.moves, w.r.pairs)
		}
	})
}

// One link's network goes: the contact is made over the other in the same
// second, and the route goes back after the dwell. A route that flaps must work
// for longer each time.
func TestFailoverAndFailback(t *testing.T) {
	w := &world{r: NewRouter(twoByTwo(), nil), down: map[string]holdfast.Cause{}}
	now := int64(0)
	run := func(seconds int) {
		for range seconds {
			now += 1000
			if !w.second(at(now)) {
				t.Fatalf("no contact at %d s\n%v", now/1000, w.moves)
			}
		}
	}
	run(10)
	for range 3 {
		w.down["fibre"] = holdfast.CauseNetworkDown
		run(30)
		delete(w.down, "fibre")
		run(700)
	}
	want := []string{
		"1 fibre/a STARTUP",
		"11 lte/a NETWORK_DOWN", "162 fibre/a NONE", // 2 minutes' dwell, from the first look that found it working
	}
	if len(w.moves) != 7 || !slices.Equal(w.moves[:3], want) {
		t.Errorf("moves %q, want 7 that begin with %q", w.moves, want)
	}
	var back []int64
	for i := 2; i < len(w.moves); i += 2 {
		var s, left int64
		fmt.Sscan(w.moves[i], &s)
		fmt.Sscan(w.moves[i-1], &left)
		back = append(back, s-left)
	}
	if back[1] < back[0]+100 || back[2] < back[1]+200 {
		t.Errorf("a flapping route is used again after %v s: the dwell does not grow", back)
	}
}

// A route that was put aside for minutes is tried at once when the one in use
// fails: it may have healed meanwhile.
func TestLastHopeIsTriedAtOnce(t *testing.T) {
	w := &world{r: NewRouter(twoByTwo(), nil), down: map[string]holdfast.Cause{"fibre": holdfast.CauseNetworkDown}}
	now := int64(0)
	for range 1000 {
		now += 1000
		w.second(at(now))
	}
	if aside := w.r.pairs[0].retry - now; aside < 60_000 {
		t.Fatalf("fibre is put aside for %d ms only", aside)
	}
	w.down = map[string]holdfast.Cause{"lte": holdfast.CauseNetworkDown}
	if !w.second(at(now + 1000)) {
		t.Errorf("no contact, and fibre works: %+v", w.r.pairs)
	}
	w.down["fibre"] = holdfast.CauseNetworkDown
	for range 3000 {
		now += 1000
		w.second(at(now))
	}
	for _, p := range w.r.pairs {
		if aside := p.retry - now; aside > BackoffMaxMillis {
			t.Errorf("nothing works, and %s/%s is put aside for %d ms", p.Link, p.Endpoint, aside)
		}
	}
}

// Equal links are not worth a change: the one in use stays.
func TestNoFailbackBetweenEquals(t *testing.T) {
	w := &world{r: NewRouter(Routes{Links: []LinkConfig{{Name: "one"}, {Name: "two"}}}, nil), down: map[string]holdfast.Cause{"one": holdfast.CauseNetworkDown}}
	for s := range int64(3000) {
		if s == 10 {
			delete(w.down, "one")
		}
		w.second(at(s * 1000))
	}
	if got := w.r.Current().Link; got != "two" || len(w.moves) != 1 {
		t.Errorf("%s in use after %v", got, w.moves)
	}
}

// What a failure says about other routes.
func TestWhoseFaultItIs(t *testing.T) {
	for cause, want := range map[holdfast.Cause][]string{
		holdfast.CauseNetworkDown:      {"fibre/a", "fibre/b"},
		holdfast.CauseCloudUnreachable: {"fibre/a"},
		holdfast.CauseTLSFailure:       {"fibre/a"},
		holdfast.CauseDNSFailure:       {"fibre/a"},
		holdfast.CauseAuthRejected:     {"fibre/a", "lte/a"},
		holdfast.CauseCloudError:       {"fibre/a", "lte/a"},
		holdfast.CauseCloudBusy:        {"fibre/a", "lte/a"},
	} {
		r := NewRouter(twoByTwo(), nil)
		r.Failed(at(0), Route{"fibre", "a"}, cause, "")
		var got []string
		for _, p := range r.pairs {
			if p.failures > 0 {
				got = append(got, p.Link+"/"+p.Endpoint)
			}
		}
		if !slices.Equal(got, want) {
			t.Errorf("%s puts down %v, want %v", cause, got, want)
		}
	}
}

// What yields first as a budget runs low, and what a spent one still permits.
func TestWhatYieldsFirst(t *testing.T) {
	night := Windows{List: []Window{{60, 300}}}
	for _, tt := range []struct {
		name      string
		used      int64
		link      LinkConfig
		telemetry bool
		patience  Patience
		pace      int64
	}{
		{"plenty", 0, LinkConfig{}, true, Patience{}, HelloEveryMillis},
		{"telemetry stops", 70, LinkConfig{}, false, Patience{}, HelloEveryMillis},
		{"evidence in batches", 85, LinkConfig{}, false, Patience{ThriftBatchRecords, ThriftHoldMillis}, ThriftHelloMillis},
		{"live only", 95, LinkConfig{}, false, Patience{0, ReserveHoldMillis}, ReserveHelloMillis},
		{"spent", 100, LinkConfig{}, false, Patience{0, ReserveHoldMillis}, ReserveHelloMillis},
		{"outside the window", 0, LinkConfig{Windows: night}, false, Patience{}, HelloEveryMillis},
		{"evidence waits for the window", 0, LinkConfig{Windows: night, HoldEvidenceMs: 7}, false, Patience{0, 7}, HelloEveryMillis},
		{"a wait without end", 0, LinkConfig{Windows: night, HoldEvidenceMs: 1 << 60}, false, Patience{0, MaxHoldMillis}, HelloEveryMillis},
		{"the longer wait counts", 90, LinkConfig{Windows: night, HoldEvidenceMs: MaxHoldMillis}, false, Patience{0, MaxHoldMillis}, ThriftHelloMillis},
		{"no telemetry", 0, LinkConfig{Carry: CarryEvidence}, false, Patience{}, HelloEveryMillis},
	} {
		tt.link.Name, tt.link.Budget = "l", Budget{Bytes: 100}
		r := NewRouter(Routes{Links: []LinkConfig{tt.link}}, map[string]Usage{"l": {Sent: tt.used}})
		now := at(0)
		if got := r.May(now, holdfast.Telemetry); got != tt.telemetry {
			t.Errorf("%s: telemetry goes: %v", tt.name, got)
		}
		if !r.May(now, holdfast.Evidence) {
			t.Errorf("%s: evidence never goes", tt.name)
		}
		if got := r.Patience(now); got != tt.patience {
			t.Errorf("%s: patience %+v, want %+v", tt.name, got, tt.patience)
		}
		if got := r.Bulk(now); got != (tt.used < ThriftPercent) {
			t.Errorf("%s: copies of damaged records are fetched: %v", tt.name, got)
		}
		if got := r.Pace(now); got != tt.pace {
			t.Errorf("%s: pace %d, want %d", tt.name, got, tt.pace)
		}
	}
	r := NewRouter(Routes{Links: []LinkConfig{{Name: "l", Carry: CarryLive}}}, nil)
	if r.May(at(0), holdfast.Evidence) || r.May(at(0), holdfast.Telemetry) {
		t.Error("uploads on a link for live traffic")
	}
}

// Inside the window everything goes; without a trusted clock nobody knows, and
// what can wait waits. A person lifts it for a while, the doorbell for evidence.
func TestWindowsNeedAClockOrAPerson(t *testing.T) {
	c := LinkConfig{Name: "l", Windows: Windows{List: []Window{{60, 300}}}, HoldEvidenceMs: 1000}
	r := NewRouter(Routes{Links: []LinkConfig{c}}, nil)
	inside := at(2 * 3600 * 1000)
	if !r.May(inside, holdfast.Telemetry) || r.Patience(inside) != (Patience{}) {
		t.Error("held inside the window")
	}
	inside.Quality = holdfast.Informative
	if r.May(inside, holdfast.Telemetry) || r.Patience(inside) == (Patience{}) {
		t.Error("not held, and nobody knows the time")
	}
	r.Ring(at(0))
	if r.May(at(0), holdfast.Telemetry) || r.Patience(at(0)) != (Patience{}) {
		t.Error("the doorbell lets evidence go, and only evidence")
	}
	if r.Patience(at(RingOverrideMillis)) == (Patience{}) {
		t.Error("the doorbell rings for ever")
	}
	r.Override(at(0))
	if !r.May(at(1), holdfast.Telemetry) || r.May(at(OverrideMillis), holdfast.Telemetry) {
		t.Error("a person's word does not count, or for ever")
	}
}

// A spent link is closed. It is used again in a new month, in an emergency when
// that is configured and nothing else works, and once an hour to learn the time.
func TestSpentLink(t *testing.T) {
	spent := map[string]Usage{"lte": {Period: Budget{}.Period(monday), Sent: 100}}
	only := func(b Budget) Routes { return Routes{Links: []LinkConfig{{Name: "lte", Budget: b}}} }
	r := NewRouter(only(Budget{Bytes: 100}), spent)
	if _, open := r.Pick(at(0)); open {
		t.Error("a spent link is open")
	}
	if _, open := r.Pick(at(31 * 24 * 3600 * 1000)); !open {
		t.Error("a new month, and the link is closed")
	}

	r = NewRouter(only(Budget{Bytes: 100}), spent)
	dark := at(0)
	dark.Quality = holdfast.Unknown
	calls := 0
	for s := range int64(4 * 3600) {
		dark.Mono = s * 1000
		if _, open := r.Pick(dark); open {
			calls++
		}
	}
	if calls != 4 {
		t.Errorf("%d contacts in 4 h to learn the time, want 4", calls)
	}

	w := &world{down: map[string]holdfast.Cause{}, r: NewRouter(Routes{Links: []LinkConfig{
		{Name: "lte", Budget: Budget{Bytes: 100, Emergency: true}}, {Name: "fibre", Preference: 2},
	}}, spent)}
	w.second(at(0))
	w.down["fibre"] = holdfast.CauseNetworkDown
	if w.second(at(1000)); w.r.Current().Link != "lte" || w.r.Closed(at(1000)) {
		t.Errorf("the emergency is not met: %v", w.moves)
	}
	delete(w.down, "fibre")
	for s := range int64(400) {
		w.second(at(2000 + s*1000))
	}
	if w.r.Current().Link != "fibre" {
		t.Errorf("the emergency is over and %s is in use: %v", w.r.Current().Link, w.moves)
	}
}

// The status names what is in use and why the rest is not.
func TestLinkStatus(t *testing.T) {
	c := twoByTwo()
	c.Links[0].Budget = Budget{Bytes: 1 << 20}
	c.Links[0].Windows = Windows{List: []Window{{60, 300}}}
	w := &world{r: NewRouter(c, nil), down: map[string]holdfast.Cause{"fibre": holdfast.CauseNetworkDown}}
	w.second(at(0))
	w.r.Use(at(0), "lte", 1<<18, 1<<19)
	s := w.r.Status(at(0))
	lte, fibre := s[0], s[1]
	if lte.State != InUse || lte.Stage != StageNoTelemetry || lte.Left != 1<<18 || lte.Open || lte.NextOpen != monday+3_600_000 ||
		lte.Resets != monday+30*24*3_600_000 || lte.Spent != 3 {
		t.Errorf("lte %+v", lte)
	}
	if fibre.State != Failing || fibre.Cause != holdfast.CauseNetworkDown || fibre.Left != -1 || !fibre.Open || len(fibre.Endpoints) != 2 {
		t.Errorf("fibre %+v", fibre)
	}
}
