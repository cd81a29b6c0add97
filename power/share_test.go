package power_test

import (
	"fmt"
	"testing"

	"github.com/holdfast-ev/holdfast"
	"github.com/holdfast-ev/holdfast/power"
	"pgregory.net/rapid"
)

// running returns an outlet with a session that wants a level, at its floor.
func running(place int, floor, least, want power.Level) power.Outlet {
	o := power.Idle("CP", place+1, floor, least)
	o.Running, o.Steerable, o.Place, o.Want = true, true, place, want
	return o
}

func TestTargets(t *testing.T) {
	idle := power.Idle("CP", 9, 1000, 60)
	gone := running(3, 0, 60, 320)
	gone.Steerable, gone.Acked = false, 200
	held := running(0, 0, 60, 320)
	held.Acked, held.Held = 300, true
	tests := []struct {
		name    string
		limit   power.Level
		turn    int
		outlets []power.Outlet
		want    []power.Level
	}{
		{"equal, never rounded up", 1000, 0, []power.Outlet{running(0, 0, 60, 900), running(1, 0, 60, 900), running(2, 0, 60, 900)}, []power.Level{333, 333, 333}},
		{"what one cannot use goes to the others", 1000, 0, []power.Outlet{running(0, 0, 60, 100), running(1, 0, 60, 900), running(2, 0, 60, 900)}, []power.Level{100, 450, 450}},
		{"a cap below the minimum is the session's own business", 1000, 0, []power.Outlet{running(0, 0, 60, 30)}, []power.Level{30}},
		{"an idle outlet keeps its fail-safe", 2000, 0, []power.Outlet{running(0, 0, 60, 5000), idle}, []power.Level{1000, 0}},
		{"a lost charger keeps what it has acknowledged", 300, 0, []power.Outlet{running(0, 0, 60, 320), gone}, []power.Level{100, 0}},
		{"one that does not obey is told again, and counts with what it has", 400, 0, []power.Outlet{held, running(1, 0, 60, 320)}, []power.Level{200, 100}},
		{"too little for all: the first are served", 130, 0, []power.Outlet{running(0, 0, 60, 320), running(1, 0, 60, 320), running(2, 0, 60, 320)}, []power.Level{65, 65, 0}},
		{"and then the next", 130, 1, []power.Outlet{running(0, 0, 60, 320), running(1, 0, 60, 320), running(2, 0, 60, 320)}, []power.Level{0, 65, 65}},
		{"fail-safes are never taken away", 150, 0, []power.Outlet{running(0, 60, 60, 320), running(1, 60, 60, 320)}, []power.Level{75, 75}},
		{"below the fail-safes there is nothing to share", 50, 0, []power.Outlet{running(0, 60, 60, 320), running(1, 60, 60, 320)}, []power.Level{60, 60}},
		{"nobody is there", 100, 7, nil, []power.Level{}},
	}
	for _, tc := range tests {
		t.Run(tc.name, func(t *testing.T) {
			if got := power.Targets(tc.limit, tc.turn, tc.outlets); fmt.Sprint(got) != fmt.Sprint(tc.want) {
				t.Errorf("targets %v, want %v", got, tc.want)
			}
		})
	}
}

// A raise waits until the lower that makes room for it is acknowledged.
func TestLowersFirst(t *testing.T) {
	a, b := running(0, 0, 60, 320), running(1, 0, 60, 320)
	a.Accepted(320)
	outlets := []power.Outlet{a, b}
	orders := power.Orders(320, outlets, power.Targets(320, 0, outlets))
	if len(orders) != 1 || orders[0] != (power.Order{Index: 0, SetPoint: 160}) {
		t.Fatalf("orders %v, want the lower alone", orders)
	}
	outlets[0].Sent(160)
	if orders = power.Orders(320, outlets, power.Targets(320, 0, outlets)); len(orders) != 0 {
		t.Fatalf("orders %v before the lower is acknowledged", orders)
	}
	outlets[0].Accepted(160)
	if orders = power.Orders(320, outlets, power.Targets(320, 0, outlets)); len(orders) != 1 || orders[0] != (power.Order{Index: 1, SetPoint: 160}) {
		t.Fatalf("orders %v, want the raise", orders)
	}
}

// station is a charger of one outlet as physics sees it: it obeys the last
// profile that it accepted, and draws all that it may.
type station struct {
	running   bool
	accepted  power.Level // None: the fail-safe default
	inbox     []power.Level
	connected bool
}

// world is a site: what the gateway believes, what it wrote down, and the truth.
type world struct {
	t        *rapid.T
	outlets  []power.Outlet
	stations []station
	recorded []power.Level // bound that a restart finds
	limit    power.Level
	ceiling  power.Level // the limit; or what was in force when it fell, until obeyed
	turn     int
	places   int
}

func newWorld(t *rapid.T) *world {
	w := &world{t: t, limit: power.Level(rapid.IntRange(200, 2000).Draw(t, "limit"))}
	n := rapid.IntRange(1, 6).Draw(t, "n")
	for i := range n {
		floor := power.Level(rapid.SampledFrom([]int{0, 0, 60, 200 / n}).Draw(t, "floor"))
		w.outlets = append(w.outlets, power.Idle("CP", i+1, min(floor, power.Level(200/n)), 60))
		w.stations = append(w.stations, station{accepted: power.None, connected: true})
		w.recorded = append(w.recorded, power.None)
	}
	w.ceiling = w.limit
	return w
}

// truth is what the stations may draw: all that they accepted, and from an idle
// one its fail-safe, which it may use without asking anybody.
func (w *world) truth() (sum power.Level) {
	for i, s := range w.stations {
		if s.running && s.accepted != power.None {
			sum += s.accepted
		} else {
			sum += w.outlets[i].Floor
		}
	}
	return sum
}

func (w *world) order() {
	orders := power.Orders(w.limit, w.outlets, power.Targets(w.limit, w.turn, w.outlets))
	for _, o := range orders {
		w.outlets[o.Index].Sent(o.SetPoint)
		w.stations[o.Index].inbox = append(w.stations[o.Index].inbox, o.SetPoint)
	}
	for i := range w.outlets { // a record, before anything is sent
		if w.outlets[i].Running {
			w.recorded[i] = w.outlets[i].Bound()
		}
	}
}

func (w *world) move() {
	i := rapid.IntRange(0, len(w.outlets)-1).Draw(w.t, "i")
	o, s := &w.outlets[i], &w.stations[i]
	switch rapid.SampledFrom([]string{"start", "start", "stop", "answer", "answer", "answer", "cut", "join", "lapse", "restart", "limit", "turn"}).Draw(w.t, "move") {
	case "start":
		if !o.Running {
			w.places++
			floor := o.Floor
			*o = power.Idle("CP", i+1, floor, 60)
			o.Running, o.Steerable, o.Place = true, s.connected, w.places
			o.Want = power.Level(rapid.IntRange(0, 400).Draw(w.t, "want"))
			s.running, s.accepted, s.inbox = true, power.None, nil
		}
	case "stop":
		if o.Running {
			*o = power.Idle("CP", i+1, o.Floor, 60)
			w.recorded[i] = power.None
			s.running, s.accepted, s.inbox = false, power.None, nil
		}
	case "answer":
		w.answer(o, s, rapid.SampledFrom([]string{"accept", "accept", "refuse", "lost request", "lost answer"}).Draw(w.t, "how"))
	case "cut":
		if len(s.inbox) > 0 {
			w.answer(o, s, rapid.SampledFrom([]string{"lost request", "lost answer"}).Draw(w.t, "how"))
		}
		s.connected, o.Steerable = false, false
	case "join":
		s.connected, o.Steerable = true, true
	case "lapse":
		if !s.connected {
			s.accepted = power.None
			o.Lapsed()
		}
	case "restart":
		for i := range w.outlets {
			o, s := &w.outlets[i], &w.stations[i]
			if len(s.inbox) > 0 && rapid.Bool().Draw(w.t, "arrived") {
				s.accepted = s.inbox[0]
			}
			s.inbox = nil
			o.Lapsed()
			if o.Running {
				o.Doubt = w.recorded[i]
			}
		}
	case "limit":
		before := power.Sum(w.outlets)
		w.limit = power.Level(rapid.IntRange(200, 2000).Draw(w.t, "limit"))
		w.ceiling = max(w.limit, min(before, w.ceiling))
	case "turn":
		w.turn++
	}
}

func (w *world) answer(o *power.Outlet, s *station, how string) {
	if len(s.inbox) == 0 {
		return
	}
	l := s.inbox[0]
	s.inbox = s.inbox[1:]
	switch how {
	case "accept":
		s.accepted = l
		o.Accepted(l)
	case "refuse":
		o.Refused(l)
	case "lost request":
		o.Unanswered(l)
	case "lost answer":
		s.accepted = l
		o.Unanswered(l)
	}
}

func (w *world) check() {
	sum := power.Sum(w.outlets)
	if sum <= w.limit {
		w.ceiling = w.limit
	}
	if truth := w.truth(); truth > sum || sum > w.ceiling {
		w.t.Fatalf("the chargers may draw %d, the gateway believes %d, the limit is %d (ceiling %d)\n%+v\n%+v", truth, sum, w.limit, w.ceiling, w.outlets, w.stations)
	}
}

// TestSiteLimitHoldsAtEveryStep_I23: whatever starts, stops, is refused, times
// out, disconnects or restarts, what the chargers may draw stays within the
// limit; where the limit falls, within what it was until the lowers are
// acknowledged. And when the world is well again, nobody starves.
func TestSiteLimitHoldsAtEveryStep_I23(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		w := newWorld(t)
		for range rapid.IntRange(1, 80).Draw(t, "moves") {
			w.move()
			w.check()
			w.order()
			w.check()
		}
		w.heal()
		w.nobodyStarves()
	})
}

// heal answers everything until there is nothing more to say.
func (w *world) heal() {
	for i := range w.stations {
		w.stations[i].connected, w.outlets[i].Steerable = true, true
	}
	for range 4 {
		w.order()
		for i := range w.stations {
			w.answer(&w.outlets[i], &w.stations[i], "accept")
		}
		w.check()
	}
	if orders := power.Orders(w.limit, w.outlets, power.Targets(w.limit, w.turn, w.outlets)); len(orders) > 0 {
		w.t.Fatalf("it does not come to rest: %v", orders)
	}
}

func (w *world) nobodyStarves() {
	served := map[int]bool{}
	n := 0
	for range w.outlets {
		w.turn++
		w.heal()
		for i, o := range w.outlets {
			served[i] = served[i] || o.Acked > 0 || o.Floor > 0
		}
	}
	for i, o := range w.outlets {
		if !o.Running {
			continue
		}
		n++
		if !served[i] && o.Want > 0 && w.limit-power.Floors(w.outlets) >= o.Min {
			w.t.Fatalf("outlet %d is never served: %+v", i, o)
		}
	}
	// Nothing is left that somebody could use, but for the rounding and the
	// minimum of one that is paused.
	left, hungry, paused := w.limit-power.Sum(w.outlets), 0, false
	for _, o := range w.outlets {
		if o.Running && o.Acked < o.Want {
			hungry++
			paused = paused || o.Acked == 0
		}
	}
	if hungry > 0 && !paused && left >= power.Level(n) {
		w.t.Fatalf("%d is left over with %d sessions that want more: %+v", left, hungry, w.outlets)
	}
}

// Set-points of one share differ only where a cap, a floor or a pause says so.
func TestShareIsMaxMinFair(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var outlets []power.Outlet
		for i := range rapid.IntRange(1, 8).Draw(t, "n") {
			outlets = append(outlets, running(i, power.Level(rapid.IntRange(0, 80).Draw(t, "floor")), 60, power.Level(rapid.IntRange(0, 400).Draw(t, "want"))))
		}
		limit := power.Level(rapid.IntRange(0, 3000).Draw(t, "limit"))
		got := power.Targets(limit, rapid.IntRange(-5, 5).Draw(t, "turn"), outlets)
		sum := power.Level(0)
		for i, o := range outlets {
			sum += max(got[i], o.Floor)
			for j, p := range outlets {
				if got[i] > got[j]+1 && got[j] > 0 && got[j] < p.Want && got[i] > max(o.Floor, o.Min) {
					t.Fatalf("outlet %d has %d and %d has %d, wanting %d", i, got[i], j, got[j], p.Want)
				}
			}
			if got[i] > o.Want || got[i] > 0 && got[i] < min(o.Min, o.Want) {
				t.Fatalf("outlet %d has %d of %+v", i, got[i], o)
			}
		}
		if sum > max(limit, power.Floors(outlets)) {
			t.Fatalf("%d shared of %d", sum, limit)
		}
	})
}

// A profile made of a level never permits more than the level.
func TestProfilesStayWithinTheirLevel(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := power.Site{
			Unit: rapid.SampledFrom([]power.Unit{power.Watts, power.Amperes}).Draw(t, "unit"),
			Max:  1000, Phases: rapid.SampledFrom([]int{1, 3}).Draw(t, "phases"), Voltage: rapid.IntRange(100, 500).Draw(t, "volts"),
		}
		w := power.Wiring{DC: rapid.Bool().Draw(t, "dc"), Phases: rapid.IntRange(1, 3).Draw(t, "feed"), Unit: rapid.SampledFrom([]power.Unit{power.Watts, power.Amperes}).Draw(t, "profile")}
		l := power.Level(rapid.Int64Range(0, 1_000_000).Draw(t, "level"))
		drawn := s.Drawn(w, l)
		if s.Unit == power.Watts && drawn > holdfast.Watts(l) {
			t.Fatalf("%d W of %d W", drawn, l)
		}
		if least := s.Minimum(w); !w.DC {
			// At the minimum every phase that is used gets its 6 A.
			need := holdfast.Watts(6 * s.Voltage * min(w.Phases, s.Phases))
			if got := s.Drawn(w, least); got < need-holdfast.Watts(s.Voltage) || got > need {
				t.Fatalf("the minimum %s permits %d W, want about %d", s.Text(least), got, need)
			}
		}
		if s.Rated(w, drawn) > l+1 && s.Unit == w.Unit {
			t.Fatalf("%d W is rated %d, from %d", drawn, s.Rated(w, drawn), l)
		}
	})
}
