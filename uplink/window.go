package uplink

import (
	"fmt"
	"time"

	"github.com/holdfast-ev/holdfast"
)

// MaxWindows bounds the upload windows of one link.
const MaxWindows = 16

const dayMinutes = 24 * 60

// A Window is a time of day in minutes since local midnight: from From up to
// and without To. One whose To is not after From goes on past midnight.
type Window struct{ From, To int }

// ParseWindow reads "22:30-05:00". The end may be 24:00; a window without
// length is an error.
func ParseWindow(s string) (Window, error) {
	var h1, m1, h2, m2 int
	var w Window
	if n, err := fmt.Sscanf(s, "%02d:%02d-%02d:%02d", &h1, &m1, &h2, &m2); n != 4 || err != nil || len(s) != len("00:00-00:00") {
		return w, fmt.Errorf("%q, want HH:MM-HH:MM, for example 01:30-05:00", s)
	}
	w = Window{h1*60 + m1, h2*60 + m2}
	if h1 < 0 || h2 < 0 || m1 < 0 || m2 < 0 || m1 > 59 || m2 > 59 || w.From >= dayMinutes || w.To > dayMinutes {
		return w, fmt.Errorf("%q is no time of day; want 00:00 to 23:59, the end up to 24:00", s)
	}
	if w.From == w.To {
		return w, fmt.Errorf("%q has no length; leave the windows out when any time is right", s)
	}
	return w, nil
}

// String is the form that [ParseWindow] reads.
func (w Window) String() string {
	return fmt.Sprintf("%02d:%02d-%02d:%02d", w.From/60, w.From%60, w.To/60, w.To%60)
}

func (w Window) holds(minute int) bool {
	if w.From < w.To {
		return minute >= w.From && minute < w.To
	}
	return minute >= w.From || minute < w.To
}

// Windows are the times of day at which a link carries what can wait. None
// means at any time.
type Windows struct {
	List []Window
	Zone *time.Location // nil: UTC
}

func (w Windows) zone() *time.Location {
	if w.Zone == nil {
		return time.UTC
	}
	return w.Zone
}

// Open reports whether at is inside a window. On the days when the clocks
// change a window is what a clock on the wall there shows.
func (w Windows) Open(at holdfast.UnixMilli) bool {
	local := at.Time().In(w.zone())
	for _, one := range w.List {
		if one.holds(local.Hour()*60 + local.Minute()) {
			return true
		}
	}
	return len(w.List) == 0
}

// Next returns the first instant from at on that is inside a window: at itself,
// or the beginning of a minute. Where the clocks jump over a window's beginning
// the window begins where they land.
func (w Windows) Next(at holdfast.UnixMilli) holdfast.UnixMilli {
	const minute = 60_000
	if w.Open(at) {
		return at
	}
	t := at - at%minute
	for range 2 * dayMinutes { // a day and the longest jump of a clock
		if t += minute; w.Open(t) {
			break
		}
	}
	return t
}
