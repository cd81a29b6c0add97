package power

import (
	"fmt"

	"github.com/holdfast-ev/holdfast"
	"github.com/holdfast-ev/holdfast/statement"
)

// MaxPeriods bounds the periods of a [Schedule]: a month of quarter-hours.
const MaxPeriods = 3_000

// A Schedule is a signed limit schedule ([statement.TypLimits]): what the site
// as a whole may draw, and when.
type Schedule struct {
	Site    holdfast.SiteID
	Version uint64             // rises with each one
	Issued  holdfast.UnixMilli // a signed time
	Periods []Period           // ascending, without overlap; between them After holds
	After   holdfast.Watts     // before the first, between and after the last
}

// A Period is a limit from From up to but not including To.
type Period struct {
	From  holdfast.UnixMilli `json:"from"`
	To    holdfast.UnixMilli `json:"to"`
	Limit holdfast.Watts     `json:"limit_w"`
}

type wireSchedule struct {
	Site    holdfast.SiteID    `cbor:"1,keyasint"`
	Version uint64             `cbor:"2,keyasint"`
	Issued  holdfast.UnixMilli `cbor:"3,keyasint"`
	Periods []wirePeriod       `cbor:"4,keyasint"`
	After   holdfast.Watts     `cbor:"5,keyasint"`
}

type wirePeriod struct {
	From  holdfast.UnixMilli `cbor:"1,keyasint"`
	To    holdfast.UnixMilli `cbor:"2,keyasint"`
	Limit holdfast.Watts     `cbor:"3,keyasint"`
}

// EncodeSchedule returns s's payload.
func EncodeSchedule(s Schedule) ([]byte, error) {
	if err := s.Validate(); err != nil {
		return nil, err
	}
	w := wireSchedule{Site: s.Site, Version: s.Version, Issued: s.Issued, After: s.After}
	for _, p := range s.Periods {
		w.Periods = append(w.Periods, wirePeriod(p))
	}
	return statement.Marshal(w)
}

// DecodeSchedule reads the payload of a verified [statement.TypLimits].
func DecodeSchedule(payload []byte) (Schedule, error) {
	var w wireSchedule
	if err := statement.Unmarshal(payload, &w); err != nil {
		return Schedule{}, fmt.Errorf("limits: %w", err)
	}
	s := Schedule{Site: w.Site, Version: w.Version, Issued: w.Issued, After: w.After}
	for _, p := range w.Periods {
		s.Periods = append(s.Periods, Period(p))
	}
	return s, s.Validate()
}

// Validate refuses what no site could obey, wrapping [statement.ErrMalformed].
func (s Schedule) Validate() error {
	bad := func(format string, a ...any) error {
		return fmt.Errorf("%w: limits: %s", statement.ErrMalformed, fmt.Sprintf(format, a...))
	}
	if _, err := holdfast.ParseSiteID(string(s.Site)); err != nil {
		return bad("%v", err)
	}
	if s.Version == 0 || !s.Issued.Plausible() {
		return bad("version and issue time must be given")
	}
	if len(s.Periods) > MaxPeriods {
		return bad("%d periods, at most %d", len(s.Periods), MaxPeriods)
	}
	if s.After <= 0 || s.After > MaxWatts {
		return bad("limit %d W outside the periods, want 1 to %d W; to stop a site, use its cut-out", s.After, MaxWatts)
	}
	for i, p := range s.Periods {
		switch {
		case !p.From.Plausible() || !p.To.Plausible() || p.From >= p.To:
			return bad("period %d from %s to %s, want two times in order between 2020 and 2106", i+1, p.From, p.To)
		case i > 0 && p.From < s.Periods[i-1].To:
			return bad("period %d begins at %s, before period %d ends", i+1, p.From, i)
		case p.Limit <= 0 || p.Limit > MaxWatts:
			return bad("period %d has a limit of %d W, want 1 to %d W; to stop a site, use its cut-out", i+1, p.Limit, MaxWatts)
		}
	}
	return nil
}

// Lowest returns the lowest limit that the schedule ever sets.
func (s Schedule) Lowest() holdfast.Watts {
	low := s.After
	for _, p := range s.Periods {
		low = min(low, p.Limit)
	}
	return low
}

// Highest returns the highest limit that the schedule ever sets.
func (s Schedule) Highest() holdfast.Watts {
	high := s.After
	for _, p := range s.Periods {
		high = max(high, p.Limit)
	}
	return high
}

// Between returns the lowest limit that can be in force at a time that lies
// somewhere in [earliest, latest], and whether it comes from a period.
func (s Schedule) Between(earliest, latest holdfast.UnixMilli) (limit holdfast.Watts, period bool) {
	limit = MaxWatts + 1
	at := earliest // the window is covered up to here
	for _, p := range s.Periods {
		if p.To <= at {
			continue
		}
		if p.From > latest {
			break
		}
		if p.From > at && s.After < limit {
			limit, period = s.After, false
		}
		if p.Limit < limit {
			limit, period = p.Limit, true
		}
		at = p.To
	}
	if at <= latest && s.After < limit {
		limit, period = s.After, false
	}
	return limit, period
}

// A Source says what a limit in force comes from.
type Source string

// The sources.
const (
	FromSite     Source = "site"     // the configuration; no schedule is installed
	FromSchedule Source = "schedule" // a period of the schedule
	FromFailSafe Source = "failsafe" // the schedule is over, not begun, or between two periods
	FromClock    Source = "clock"    // the clock is not trusted: the lowest that could be in force
)

// A Limit is the limit in force.
type Limit struct {
	Level  Level
	Source Source
}

// RelativeMillis is how far a clock of quality R may be off: the quality says
// that it was right within the last days and has run on by itself.
const RelativeMillis = 900_000

// LeadMillis is how long before a limit falls the set-points are lowered, so that
// they are acknowledged when it does.
const LeadMillis = 60_000

// A Clock is the time as [Site.Limit] needs it.
type Clock struct {
	Now     holdfast.UnixMilli
	Quality holdfast.Quality
	Floor   holdfast.UnixMilli // it is surely not earlier: the last signed time
}

// window is the time in which now lies, and what follows within [LeadMillis].
func (c Clock) window() (earliest, latest holdfast.UnixMilli, trusted bool) {
	if c.Now.Plausible() && c.Now >= c.Floor {
		switch c.Quality {
		case holdfast.Synchronised:
			return c.Now, c.Now + LeadMillis, true
		case holdfast.Relative:
			return max(c.Now-RelativeMillis, c.Floor), c.Now + RelativeMillis + LeadMillis, true
		}
	}
	return c.Floor, holdfast.LatestPlausible, false
}

// Limit returns the limit in force: never above the static one, never more for
// want of a schedule or of a clock. sched is nil when none was ever installed.
func (s Site) Limit(sched *Schedule, c Clock) Limit {
	if sched == nil {
		return Limit{s.static(), FromSite}
	}
	earliest, latest, trusted := c.window()
	watts, period := sched.Between(earliest, latest)
	l := min(s.FromWatts(watts), s.static())
	source := FromSchedule
	if !period {
		l, source = min(l, s.failSafe()), FromFailSafe
	}
	if !trusted {
		l, source = min(l, s.failSafe()), FromClock
	}
	return Limit{max(l, 0), source}
}

// Accept refuses a schedule that this site cannot obey: one limit above its
// commissioned maximum, or below its floors.
func (s Site) Accept(sched Schedule, floors Level) error {
	if s.IsZero() {
		return fmt.Errorf("no power limit was commissioned on this gateway: set power.max_w or power.fuse_a in its configuration")
	}
	for _, w := range []holdfast.Watts{sched.Lowest(), sched.Highest()} {
		if err := s.check("a limit", s.FromWatts(w), floors); err != nil {
			return err
		}
	}
	return nil
}
