package server

import (
	"sync"
	"time"
)

// A rate is a token bucket: most at once, refilled over a minute.
type rate struct {
	perMinute int

	mu   sync.Mutex
	left float64
	at   time.Time
}

// allow takes one, or says how long until there is one.
func (r *rate) allow(now time.Time) (wait time.Duration, ok bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	most, perSecond := float64(r.perMinute), float64(r.perMinute)/60
	if r.at.IsZero() {
		r.left = most
	} else if gone := now.Sub(r.at).Seconds(); gone > 0 {
		r.left = min(most, r.left+gone*perSecond)
	}
	r.at = now
	if r.left < 1 {
		return time.Duration((1 - r.left) / perSecond * float64(time.Second)), false
	}
	r.left--
	return 0, true
}
