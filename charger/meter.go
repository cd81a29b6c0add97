package charger

import "time"

// whUnit is one Wh in the meter's own unit, watt-milliseconds.
const whUnit = 3600 * 1000

// A meter integrates power. It counts up and never down; a reset moves only
// what it shows. 4 MW for a year at speed 1 is 1.3e17 W ms, far inside int64.
type meter struct {
	total int64 // W ms since it was made
	power int64 // W now flowing
	speed int64
	since time.Time // total is right for this moment
	zero  int64     // Wh of total at which the display showed 0; negative for a meter that was not new
}

func newMeter(start, speed int64, now time.Time) *meter {
	return &meter{speed: speed, since: now, zero: -start}
}

// advance brings total to now. A clock that steps back adds nothing.
func (m *meter) advance(now time.Time) {
	if ms := now.Sub(m.since).Milliseconds(); ms > 0 {
		m.total += m.power * m.speed * ms
		m.since = m.since.Add(time.Duration(ms) * time.Millisecond)
	}
}

// set changes the flowing power.
func (m *meter) set(watts int64, now time.Time) {
	m.advance(now)
	m.power = watts
}

// shown returns the register as the display shows it, in whole Wh.
func (m *meter) shown(now time.Time) int64 {
	m.advance(now)
	return m.total/whUnit - m.zero
}

// reset makes the display show 0, as a swapped or cleared meter does.
func (m *meter) reset(now time.Time) {
	m.advance(now)
	m.zero = m.total / whUnit
}
