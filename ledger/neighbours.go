package ledger

import (
	"fmt"

	"github.com/holdfast-ev/holdfast"
	"github.com/holdfast-ev/holdfast/session"
)

const (
	// OverlapSlackMillis is how far two sessions on one EVSE may overlap by
	// their clocks before it is reported: chargers stamp a stop and the next
	// start within the same minute.
	OverlapSlackMillis = 60 * 1000

	// OutsideTolerance is the energy between two sessions that nobody is asked
	// about: registers are cut to the Wh, and a contactor that closes for a
	// failed handshake passes a little.
	OutsideTolerance holdfast.WattHours = 10
)

// Neighbours compares a session with the one before it on the same EVSE, in
// the order in which they began, and returns what does not fit, for the later
// one. Add the result to its outcome with [Outcome.With]. Views of different
// EVSEs, and unknown registers, compare to nothing.
//
// The registers are assumed to be the EVSE's own. A charger that reports one
// register for all its EVSEs must not be compared.
func Neighbours(prev, next View) []Exception {
	if prev.Charger != next.Charger || prev.EVSE != next.EVSE || prev.ID == next.ID ||
		prev.Opening.Gateway != next.Opening.Gateway {
		return nil
	}
	var out []Exception
	add := func(code, detail string) {
		x := newException(code, detail, prev.Opening, next.Opening)
		x.Session = next.ID
		out = append(out, x)
	}
	if sameReport(prev, next) {
		add(PairDuplicate, fmt.Sprintf("session %s has the same driver, start and register", prev.ID.Short()))
		return out
	}
	if !prev.Running && prev.Stopped != 0 && next.Started != 0 && int64(prev.Stopped-next.Started) > OverlapSlackMillis {
		add(FeasOverlap, fmt.Sprintf("session %s ended %d s after this one began", prev.ID.Short(), int64(prev.Stopped-next.Started)/1000))
	}
	if prev.Start != nil && prev.Stop != nil && next.Start != nil && next.Stop != nil {
		registers(prev, next, add)
	}
	return out
}

func registers(prev, next View, add func(code, detail string)) {
	switch {
	case len(prev.Spans) > 1 || len(next.Spans) > 1:
		// The meter was reset inside one of them: the ranges say nothing.
	case *next.Start < *prev.Stop && *next.Stop > *prev.Start:
		add(FeasRegisterOverlap, fmt.Sprintf("registers %s to %s, session %s has %s to %s", *next.Start, *next.Stop,
			prev.ID.Short(), *prev.Start, *prev.Stop))
	case *next.Start < *prev.Stop:
		add(session.DoubtRegression, fmt.Sprintf("begins at %s, session %s ended at %s: the meter was reset or replaced in between",
			*next.Start, prev.ID.Short(), *prev.Stop))
	case *next.Start-*prev.Stop > OutsideTolerance:
		add(EvidEnergyOutside, fmt.Sprintf("%s between %s, where session %s ended, and %s, where this one begins",
			*next.Start-*prev.Stop, *prev.Stop, prev.ID.Short(), *next.Start))
	}
}

// sameReport: two sessions by one driver that began at one moment from one
// register are one session that was reported twice.
func sameReport(a, b View) bool {
	return a.Token == b.Token && a.Started == b.Started && a.Start != nil && b.Start != nil && *a.Start == *b.Start
}
