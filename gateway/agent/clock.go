package agent

import (
	"sync"
	"time"

	"github.com/holdfast-ev/holdfast"
)

// Bounds of the clock.
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
)

// A Clock tells the time as far as this gateway knows it. The monotonic part is
// the process's own and cannot be set. The wall clock is the operating system's
// until a signed cloud time has been seen, and from then on that time plus
// monotonic time: what NTP, a GPS receiver or a person does to the system clock
// afterwards is ignored.
type Clock struct {
	mu     sync.Mutex
	boot   uint32
	start  time.Time          // of the boot, with Go's monotonic reading
	wall   holdfast.UnixMilli // at mono; 0: never synchronised
	mono   int64
	synced int64 // mono of the last agreement with the cloud
}

// NewClock starts the clock of boot number boot.
func NewClock(boot uint32) *Clock { return &Clock{boot: boot, start: time.Now()} }

// Reboot begins boot number boot: a core that was discarded and recovered
// counts as a boot, with a monotonic clock of its own. What the cloud said about
// the time stays.
func (c *Clock) Reboot(boot uint32) {
	c.mu.Lock()
	defer c.mu.Unlock()
	now := time.Now()
	gone := now.Sub(c.start).Milliseconds()
	c.boot, c.start, c.mono, c.synced = boot, now, c.mono-gone, c.synced-gone
}

// Now returns the present instant.
func (c *Clock) Now() holdfast.Instant {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.nowLocked()
}

func (c *Clock) nowLocked() holdfast.Instant {
	now := holdfast.Instant{Boot: c.boot, Mono: time.Since(c.start).Milliseconds()}
	if c.wall == 0 {
		now.Wall, now.Quality = holdfast.UnixMilli(time.Now().UnixMilli()), holdfast.Informative
		if !now.Wall.Plausible() {
			now.Quality = holdfast.Unknown
		}
		return now
	}
	now.Wall, now.Quality = c.wall+holdfast.UnixMilli(now.Mono-c.mono), holdfast.Synchronised
	if now.Mono-c.synced > SyncHolds.Milliseconds() {
		now.Quality = holdfast.Relative
	}
	return now
}

// Sync takes a verified cloud time whose question and answer took rtt.
func (c *Clock) Sync(cloud holdfast.UnixMilli, rtt time.Duration) {
	if rtt > SyncMaxRTT || !cloud.Plausible() {
		return
	}
	cloud = cloud.Add(rtt / 2)
	c.mu.Lock()
	defer c.mu.Unlock()
	now := c.nowLocked()
	off := now.Wall - cloud
	if tolerance := holdfast.UnixMilli(SyncTolerance.Milliseconds()); c.wall == 0 || off > tolerance || -off > tolerance {
		c.wall, c.mono = cloud, now.Mono
	}
	c.synced = now.Mono
}

// Trusted returns the wall clock, and whether it comes from the cloud's signed
// time: only then may a certificate's dates be held against it.
func (c *Clock) Trusted() (time.Time, bool) {
	now := c.Now()
	return now.Wall.Time(), now.Quality == holdfast.Synchronised || now.Quality == holdfast.Relative
}
