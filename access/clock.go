package access

import "github.com/holdfast-ev/holdfast"

// maxElapsed bounds what one step of the monotonic clock may add, in ms (about
// a thousand years): arithmetic on it never overflows.
const maxElapsed = 1 << 45

// clock is the proven time and the list's age, both carried along the monotonic
// clock.
type clock struct {
	Floor holdfast.UnixMilli `json:"floor"` // proven time at (Boot, Mono); 0: nothing was ever signed
	Boot  uint32             `json:"boot"`
	Mono  int64              `json:"mono"`

	AgeMs     int64              `json:"age_ms"`    // of the list at (Boot, Mono): at least this
	AgeExact  bool               `json:"age_exact"` // false: a reboot of unknown length came between
	Confirmed holdfast.UnixMilli `json:"confirmed"` // when the list was last known to be the newest; 0: unknown
}

// plausible reports whether c can have come from advance, raise and confirm.
func (c *clock) plausible() bool {
	return c.Floor >= 0 && c.Floor <= holdfast.LatestPlausible && c.AgeMs >= 0 && c.AgeMs <= maxElapsed &&
		c.Confirmed >= 0 && c.Confirmed <= holdfast.LatestPlausible
}

// advance moves c to at. Time that the monotonic clock saw is added to both; a
// gap between two boots counts for the time that this boot has run, and for
// the whole gap once a trusted clock can tell.
func (c *clock) advance(at holdfast.Instant) {
	elapsed := at.Mono
	if at.Boot == c.Boot {
		elapsed -= c.Mono
	} else {
		c.AgeExact = false
	}
	elapsed = min(max(elapsed, 0), maxElapsed)
	if at.Boot != c.Boot || at.Mono > c.Mono {
		c.Boot, c.Mono = at.Boot, at.Mono
	}
	if c.Floor != 0 {
		c.Floor = min(c.Floor+holdfast.UnixMilli(elapsed), holdfast.LatestPlausible)
	}
	c.AgeMs = min(c.AgeMs+elapsed, maxElapsed)
	if !c.AgeExact && c.Confirmed != 0 && trusted(at) {
		c.AgeMs = max(c.AgeMs, int64(at.Wall-c.Confirmed))
		c.AgeExact = true
	}
}

// raise lifts the floor to a time that the cloud signed.
func (c *clock) raise(t holdfast.UnixMilli) {
	if t.Plausible() {
		c.Floor = max(c.Floor, t)
	}
}

// confirm restarts the list's age at age ms; exact says whether that is known.
func (c *clock) confirm(at holdfast.Instant, ageMs int64, exact bool) {
	c.AgeMs, c.AgeExact = min(max(ageMs, 0), maxElapsed), exact
	c.Confirmed = c.judge(at)
	if c.Confirmed != 0 {
		c.Confirmed -= holdfast.UnixMilli(min(c.AgeMs, int64(c.Confirmed)-1))
	}
}

// judge returns the time that expiry is judged at: the proven time, or the wall
// clock when it is trusted and later. c must have been advanced to at.
func (c *clock) judge(at holdfast.Instant) holdfast.UnixMilli {
	if trusted(at) {
		return max(at.Wall, c.Floor)
	}
	return c.Floor
}

// trusted: only a clock set from a signed cloud time is believed. R ("a
// trustworthy span from a doubtful start") gives spans, and for those there is
// the monotonic clock.
func trusted(at holdfast.Instant) bool {
	return at.Quality == holdfast.Synchronised && at.Wall.Plausible()
}
