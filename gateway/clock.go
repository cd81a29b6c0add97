package gateway

import (
	"fmt"

	"github.com/holdfast-ev/holdfast"
	"github.com/holdfast-ev/holdfast/record"
)

// MaxLeapMillis is the longest that a gateway may have been without any signed
// time: 10 years. A clock, or a signed time, further ahead of the floor than
// that is wrong.
const MaxLeapMillis = 10 * 365 * dayMillis

// CanFollow reports whether t can be the time when floor is proven to be over.
func CanFollow(floor, t holdfast.UnixMilli) bool {
	return t.Plausible() && t >= floor && t <= floor+MaxLeapMillis
}

// ClockDoubted: a source of time contradicts what is proven. The shell did not
// heed it; that it happened is a fact.
type ClockDoubted struct {
	Source   string // "ntp" or "cloud"
	OffsetMs int64  // the source minus the gateway's clock
	Detail   string
}

func (ClockDoubted) input() {}

// clockDoubted notes a source of time that was not heeded.
func (g *Gateway) clockDoubted(in ClockDoubted) {
	g.counters.ClockDoubts[in.Source]++
	g.once(coalesceKey{kind: "clock/doubted/" + in.Source}, record.Record{Body: &record.ClockDoubted{
		Source: in.Source, OffsetMs: in.OffsetMs, Detail: clip(in.Detail), Count: 1,
	}})
}

// proves reports whether a signed time may raise the floor. One that leaps by
// years locks every driver out for ever when it is wrong: a person has to look.
func (g *Gateway) proves(t holdfast.UnixMilli) bool {
	floor := g.state.Access.Floor(g.now)
	if t.Plausible() && (floor == 0 || t <= floor+MaxLeapMillis) {
		return true
	}
	g.clockDoubted(ClockDoubted{Source: "cloud", OffsetMs: int64(t - g.now.Wall), Detail: fmt.Sprintf("a signed time of %s, and %s is proven", t, floor)})
	return false
}

// Proven returns what the journal knows about the time: the floor at its last
// record, which time never falls below, and the instant of that record.
func (s *State) Proven() (floor holdfast.UnixMilli, last holdfast.Instant) {
	return s.Access.Floor(s.Time.Last), s.Time.Last
}

// A Timeline adds up the monotonic clocks of all boots, so that a span across a
// restart is known at least.
type Timeline struct {
	Last  holdfast.Instant `json:"last"`   // of the last evidence record
	RanMs int64            `json:"ran_ms"` // up to Last; the time without power is not in it
}

func (t *Timeline) observe(at holdfast.Instant) {
	t.RanMs = t.ran(at)
	t.Last = at
}

// ran is RanMs as of now.
func (t *Timeline) ran(now holdfast.Instant) int64 {
	if now.Boot == t.Last.Boot {
		return t.RanMs + max(0, now.Mono-t.Last.Mono)
	}
	return t.RanMs + max(0, now.Mono)
}

// since is the time since an instant, in milliseconds, when the timeline stood
// at ran. Within a boot it is the monotonic clock's. Across boots it is what
// the boots have seen of it, and the time without power as well where both ends
// are signed time: a wall clock that anybody can set ends nobody's session.
func (g *Gateway) since(at holdfast.Instant, ran int64) int64 {
	if at.Boot == g.now.Boot {
		return g.now.Mono - at.Mono
	}
	seen := max(0, g.state.Time.ran(g.now)-ran)
	if at.Quality == holdfast.Synchronised && g.now.Quality == holdfast.Synchronised {
		return max(seen, int64(g.now.Wall-at.Wall))
	}
	return seen
}
