package agent

import (
	"sync"
	"time"

	"github.com/holdfast-ev/holdfast"
	"github.com/holdfast-ev/holdfast/gateway"
)

// Bounds of the clock. docs/time.md has them in one table.
const (
	// SyncHolds is how long a signed cloud time keeps the clock Synchronised. A
	// crystal that is 500 ppm off drifts 43 s in a day; after it the clock is
	// Relative: a trustworthy span from a time that may be off by more.
	SyncHolds = 24 * time.Hour
	// SyncTolerance is the difference to the cloud's time up to which the clock is
	// left alone, so that the jitter of a slow link does not become clock steps.
	SyncTolerance = 1000 * time.Millisecond
	// SyncMaxRTT is the round trip above which a signed time is too vague to set
	// the clock by. It still raises the time floor, which is the core's business.
	SyncMaxRTT = 10 * time.Second
	// HintTolerance is the difference up to which a hint agrees with the clock.
	HintTolerance = 2 * time.Second
	// DriftPPM is what a crystal may be off: the span that a Relative clock may
	// be trimmed by grows with it.
	DriftPPM = 500
	// RollbackTolerance is how far a signed time may lie before the floor: a fast
	// crystal can have carried the floor ahead by that much in 83 days without a
	// link. The clock is then set, and still never shows less than the floor.
	RollbackTolerance = time.Hour
)

// A ClockSource says where the wall clock comes from.
type ClockSource string

// The sources, the strongest first.
const (
	SourceCloud  ClockSource = "cloud"  // a signed cloud time and the monotonic clock since
	SourceNTP    ClockSource = "ntp"    // servers that agreed, and the monotonic clock since
	SourceSystem ClockSource = "system" // the operating system's clock
	SourceFloor  ClockSource = "floor"  // the system's clock cannot be right: the time that is proven, counted on
)

// A Clock tells the time as far as this gateway knows it. The monotonic part is
// the process's own and cannot be set. The wall clock is the operating system's
// until a signed cloud time has been seen, and from then on that time plus
// monotonic time: what NTP, a GPS receiver or a person does to the system clock
// afterwards is ignored. It is never below the floor that signed times have
// set, in this boot or an earlier one.
type Clock struct {
	system func() holdfast.UnixMilli // the operating system's clock

	mu     sync.Mutex
	boot   uint32
	start  time.Time          // of the boot, with Go's monotonic reading
	source ClockSource        // SourceCloud or SourceNTP: wall holds; else the system's clock is asked
	wall   holdfast.UnixMilli // at mono
	mono   int64
	synced int64 // mono of the last agreement with the cloud

	floor   holdfast.UnixMilli // proven at floorAt; 0: nothing was ever signed
	floorAt int64              // mono
	last    holdfast.UnixMilli // the journal's last wall clock before this boot, at mono 0; 0: none

	told  ClockSource // as of the last Now
	since int64       // mono at which told or the quality changed
	was   holdfast.Quality
	ntp   *HintStatus
}

// A HintStatus is what NTP said last.
type HintStatus struct {
	OffsetMs int64  `json:"offset_ms"`        // NTP minus the gateway's clock, before it was heeded
	Verdict  string `json:"verdict"`          // "used", "agrees", "refused"
	Servers  int    `json:"servers"`          // that agreed with each other
	Detail   string `json:"detail,omitempty"` // why it was refused
	AgeS     int64  `json:"age_s"`
	at       int64
}

// A ClockStatus describes the clock for people.
type ClockStatus struct {
	Quality holdfast.Quality   `json:"quality"`
	Source  ClockSource        `json:"source"`
	ForS    int64              `json:"for_s"` // since when quality and source are these
	Floor   holdfast.UnixMilli `json:"floor"` // proven time; 0: nothing was ever signed
	SyncedS int64              `json:"synced_s"`
	NTP     *HintStatus        `json:"ntp,omitempty"`
}

// NewClock starts the clock of boot number boot.
func NewClock(boot uint32) *Clock {
	return &Clock{boot: boot, start: time.Now(), source: SourceSystem, system: func() holdfast.UnixMilli {
		return holdfast.UnixMilli(time.Now().UnixMilli())
	}}
}

// Reboot begins boot number boot: a core that was discarded and recovered
// counts as a boot, with a monotonic clock of its own. What the cloud said about
// the time stays.
func (c *Clock) Reboot(boot uint32) {
	c.mu.Lock()
	defer c.mu.Unlock()
	now := time.Now()
	gone := now.Sub(c.start).Milliseconds()
	c.boot, c.start = boot, now
	c.mono, c.synced, c.floorAt, c.since = c.mono-gone, c.synced-gone, c.floorAt-gone, c.since-gone
	if c.ntp != nil {
		c.ntp.at -= gone
	}
}

// Restore tells the clock what the journal knows, and returns the present
// instant: the floor, which this clock never falls below, and the last instant
// that a record was written at. A system clock that reads earlier than either
// has lost its time.
func (c *Clock) Restore(floor holdfast.UnixMilli, last holdfast.Instant) holdfast.Instant {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.raiseLocked(floor)
	if c.last == 0 && last.Wall.Plausible() {
		c.last = last.Wall
	}
	return c.nowLocked()
}

// Now returns the present instant.
func (c *Clock) Now() holdfast.Instant {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.nowLocked()
}

func (c *Clock) nowLocked() holdfast.Instant {
	now := holdfast.Instant{Boot: c.boot, Mono: time.Since(c.start).Milliseconds()}
	told := c.source
	switch c.source {
	case SourceCloud:
		now.Wall, now.Quality = c.wall+holdfast.UnixMilli(now.Mono-c.mono), holdfast.Synchronised
		if now.Mono-c.synced > SyncHolds.Milliseconds() {
			now.Quality = holdfast.Relative
		}
	case SourceNTP:
		now.Wall, now.Quality = c.wall+holdfast.UnixMilli(now.Mono-c.mono), holdfast.Informative
	default:
		now.Wall, now.Quality, told = c.systemLocked(now.Mono)
	}
	now.Wall = max(now.Wall, c.floorLocked(now.Mono))
	if told != c.told || now.Quality != c.was {
		c.told, c.was, c.since = told, now.Quality, now.Mono
	}
	return now
}

// systemLocked judges the operating system's clock. One that reads before the
// proven time, or further after it than a gateway is left in a cupboard, has
// lost its time: the proven time counts on. One that reads before the last
// record is doubtful, and nobody can say which of the two is wrong.
func (c *Clock) systemLocked(mono int64) (holdfast.UnixMilli, holdfast.Quality, ClockSource) {
	wall, floor := c.system(), c.floorLocked(mono)
	switch {
	case floor != 0 && !gateway.CanFollow(floor, wall):
		return floor, holdfast.Unknown, SourceFloor
	case !wall.Plausible() || c.last != 0 && wall < c.last+holdfast.UnixMilli(mono)-holdfast.UnixMilli(HintTolerance.Milliseconds()):
		return wall, holdfast.Unknown, SourceSystem
	}
	return wall, holdfast.Informative, SourceSystem
}

func (c *Clock) floorLocked(mono int64) holdfast.UnixMilli {
	if c.floor == 0 {
		return 0
	}
	return c.floor + holdfast.UnixMilli(mono-c.floorAt)
}

func (c *Clock) raiseLocked(floor holdfast.UnixMilli) {
	mono := time.Since(c.start).Milliseconds()
	if floor > c.floorLocked(mono) {
		c.floor, c.floorAt = floor, mono
	}
}

// Sync takes a verified cloud time whose question and answer took rtt. It
// reports false, and changes nothing, when that time cannot be: it lies before
// a time that the cloud signed earlier, or years ahead of it.
func (c *Clock) Sync(cloud holdfast.UnixMilli, rtt time.Duration) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	now := c.nowLocked()
	if floor := c.floorLocked(now.Mono); !cloud.Plausible() || floor != 0 && !gateway.CanFollow(floor, cloud.Add(RollbackTolerance)) {
		return false
	}
	c.raiseLocked(cloud)
	if rtt > SyncMaxRTT {
		return true
	}
	cloud = cloud.Add(rtt / 2)
	if c.source != SourceCloud || apart(now.Wall, cloud) > SyncTolerance {
		c.source, c.wall, c.mono = SourceCloud, cloud, now.Mono
	}
	c.synced = now.Mono
	return true
}

func apart(a, b holdfast.UnixMilli) time.Duration {
	return time.Duration(max(a-b, b-a)) * time.Millisecond
}

// Hint takes a time that servers agree on and nobody has signed. It sets a
// clock that has nothing better to Informative; it trims a Relative one by what
// a crystal can have drifted; it changes nothing while a signed time is younger
// than [SyncHolds]. Below the floor, or further off than drift explains, it is
// refused. The result says which, with the offset of the hint to the clock.
func (c *Clock) Hint(offset time.Duration, servers int) HintStatus {
	c.mu.Lock()
	defer c.mu.Unlock()
	now := c.nowLocked()
	h := HintStatus{OffsetMs: offset.Milliseconds(), Servers: servers, at: now.Mono}
	hint := now.Wall.Add(offset)
	floor := c.floorLocked(now.Mono)
	off := apart(hint, now.Wall)
	drift := time.Duration(now.Mono-c.synced) * time.Millisecond / 1_000_000 * DriftPPM
	switch {
	case !hint.Plausible() || floor != 0 && !gateway.CanFollow(floor, hint.Add(HintTolerance)):
		h.Verdict, h.Detail = "refused", "it is before, or years after, the time that the cloud has signed"
	case c.source != SourceCloud:
		h.Verdict, c.source, c.wall, c.mono = "used", SourceNTP, hint, now.Mono
	case off <= HintTolerance:
		h.Verdict = "agrees"
	case now.Quality == holdfast.Synchronised:
		h.Verdict, h.Detail = "refused", "it contradicts the time that the cloud has signed"
	case off > drift+HintTolerance:
		h.Verdict, h.Detail = "refused", "it is further from the cloud's last signed time than a clock drifts"
	default:
		h.Verdict, c.wall, c.mono = "used", hint, now.Mono
	}
	c.ntp = &h
	return h
}

// Status describes the clock.
func (c *Clock) Status() ClockStatus {
	c.mu.Lock()
	defer c.mu.Unlock()
	now := c.nowLocked()
	s := ClockStatus{Quality: now.Quality, Source: c.told, ForS: (now.Mono - c.since) / 1000, Floor: c.floorLocked(now.Mono), SyncedS: -1}
	if c.source == SourceCloud {
		s.SyncedS = (now.Mono - c.synced) / 1000
	}
	if c.ntp != nil {
		h := *c.ntp
		h.AgeS = (now.Mono - h.at) / 1000
		s.NTP = &h
	}
	return s
}

// Trusted returns the wall clock, and whether it comes from the cloud's signed
// time: only then may a certificate's dates be held against it.
func (c *Clock) Trusted() (time.Time, bool) {
	now := c.Now()
	return now.Wall.Time(), now.Quality.Trusted()
}
