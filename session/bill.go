package session

import (
	"fmt"

	"github.com/holdfast-ev/holdfast"
	"github.com/holdfast-ev/holdfast/record"
)

// PlausibleSlack is added to power x time before energy is called impossible:
// it covers a meter's rounding, the span between the charger's and the
// gateway's clock, and a connector that delivers a little above its rating.
const (
	PlausibleSlack     holdfast.WattHours = 100 // Wh
	PlausibleSlackTime int64              = 120 // seconds at full power
)

// A Doubt is something about a session that a person may have to look at.
type Doubt struct {
	Code   string // see docs/exceptions.md
	Detail string
	Blocks bool // nothing may be billed until somebody decided
}

// The doubts that a session can raise.
const (
	DoubtMissingStart = "PAIR_MISSING_START" // only the stop arrived
	DoubtMissingStop  = "PAIR_MISSING_STOP"  // closed without a stop message
	DoubtBaseline     = "EVID_METER_BASELINE"
	DoubtRegression   = "FEAS_REGRESSION"
	DoubtMeterBroken  = "EVID_METER_BROKEN"
	DoubtNoRegister   = "EVID_NO_REGISTER"
	DoubtEnergy       = "FEAS_ENERGY"
	DoubtDuration     = "FEAS_DURATION"
	DoubtNoDecision   = "AUTH_NO_DECISION" // the charger started on its own
	DoubtRefused      = "AUTH_REFUSED"     // it started although the decision was no
	DoubtNoToken      = "AUTH_NO_TOKEN"    // it ended without a credential
	DoubtRegister     = "FEAS_REGISTER"    // a register that no meter shows
	DoubtNoDate       = "EVID_NO_DATE"     // nobody can say when it was
)

// A Bill says what a session delivered and when, for pricing, and what is
// doubtful about it. It is no price: see package tariff.
type Bill struct {
	Energy       holdfast.WattHours
	Started      holdfast.UnixMilli
	Stopped      holdfast.UnixMilli
	Quality      holdfast.Quality   // of Started and Stopped as absolute times
	Seconds      int64              // from start to stop
	SpanQuality  holdfast.Quality   // of Seconds and IdleS: S, R measured here; I the charger's or an unproven clock's; U nobody knows
	StartedClaim holdfast.UnixMilli // what the charger says; 0: nothing
	StoppedClaim holdfast.UnixMilli
	IdleS        int64 // of which the vehicle did not charge
	Doubts       []Doubt
	Failed       bool // nothing was delivered and nothing is owed: see [Session.Bill]
	Estimable    bool // registers exist: Energy is a measured figure, whether or not it may be billed
}

// Blocked reports whether a person has to decide before anything is billed.
func (b Bill) Blocked() bool {
	for _, d := range b.Doubts {
		if d.Blocks {
			return true
		}
	}
	return false
}

// FailedSeconds is how short a session without any trusted energy must be to
// count as failed. Two minutes: longer than plugging in, authorising and giving
// up take, shorter than anybody blocks an EVSE on purpose.
const FailedSeconds = 120

// Bill works out a session that is [Session.Complete].
//
// A session fails when it delivered nothing and was short, was refused, or was
// never anybody's: then nothing is billed, a FLAT fee included. A stop without
// a start is no failed session, and neither is one whose meter contradicts
// itself.
func (s *Session) Bill() Bill {
	b := s.times()
	b.Energy, b.Estimable = s.Meter.Energy(), len(s.Meter.Spans) > 0
	b.IdleS = min(s.Idle.TotalS, b.Seconds)
	if s.Idle.Doubt {
		b.SpanQuality = holdfast.Unknown
	}
	b.Failed = s.failed(b)
	b.Doubts = append(s.pairDoubts(), s.meterDoubts(b)...)
	if s.Opened != nil && s.Token().IsZero() && !b.Failed {
		b.Doubts = append(b.Doubts, Doubt{DoubtNoToken, "the session ended without a credential", true})
	}
	if !b.Failed && !(b.Started.Plausible() && b.Stopped.Plausible() && b.Stopped >= b.Started) {
		b.Doubts = append(b.Doubts, Doubt{DoubtNoDate, fmt.Sprintf("from %s to %s", b.Started, b.Stopped), true})
	}
	return b
}

func (s *Session) failed(b Bill) bool {
	if s.Opened == nil || b.Energy != 0 || s.Meter.Resets > 0 || s.Meter.Absurd {
		return false
	}
	// A refused start that took no energy is owed nothing, however long the
	// charger took to notice, and neither is a cable that nobody ever
	// identified themselves for.
	return b.Seconds < FailedSeconds && b.SpanQuality != holdfast.Unknown || s.Opened.Source == record.StartRefused || s.Token().IsZero()
}

func (s *Session) pairDoubts() (ds []Doubt) {
	switch {
	case s.Orphan != nil:
		return []Doubt{{DoubtMissingStart, "a stop arrived for a session whose start this gateway never saw", true}}
	case s.ClosedByUs():
		ds = append(ds, Doubt{DoubtMissingStop, "closed without a stop message (" + s.Ended.Reason + "); billed up to the last register that arrived", false})
	}
	switch {
	case s.Opened.Source == record.StartRefused && s.Meter.Energy() > 0:
		ds = append(ds, Doubt{DoubtRefused, "the charger delivered energy although the credential was refused", true})
	case s.Opened.Source == record.StartRefused && len(s.Meter.Spans) == 0:
		ds = append(ds, Doubt{DoubtRefused, "the charger began although the credential was refused, and no register says whether energy flowed", false})
	case s.Opened.Source == record.StartRefused: // it was told to stop and did
	case s.Opened.Decision == nil:
		ds = append(ds, Doubt{DoubtNoDecision, "the charger started on its own while it could not ask", false})
	}
	return ds
}

func (s *Session) meterDoubts(b Bill) (ds []Doubt) {
	if s.Meter.Absurd {
		ds = append(ds, Doubt{DoubtRegister, fmt.Sprintf("a register outside 0 to %d Wh, which no meter shows", MaxRegister), true})
	}
	if !b.Estimable {
		if b.Failed {
			return ds // nothing was delivered, and no meter said so: that agrees
		}
		return append(ds, Doubt{DoubtNoRegister, "no meter register arrived at all", true})
	}
	if s.Meter.Broken {
		return append(ds, Doubt{DoubtMeterBroken, fmt.Sprintf("the register fell %d times", s.Meter.Resets), true})
	}
	if s.Rebased || s.Opened != nil && s.Opened.StartTrust != record.Trusted {
		first, _ := s.Meter.First()
		ds = append(ds, Doubt{DoubtBaseline, fmt.Sprintf("the start register was no reading; billed from %s on, energy before that is unknown", first), false})
	}
	if s.Meter.Resets > 0 {
		ds = append(ds, Doubt{DoubtRegression, fmt.Sprintf("the register fell %d times; energy around each fall is unknown", s.Meter.Resets), false})
	}
	if s.Opened == nil {
		return ds
	}
	seconds := b.Seconds
	if b.SpanQuality == holdfast.Unknown {
		seconds = MaxSeconds // nobody knows how long it took: at least no longer than any
	}
	if most := Plausible(s.Opened.PowerBudget, seconds); b.Energy > most {
		ds = append(ds, Doubt{DoubtEnergy, fmt.Sprintf("%s in %d s, a connector of %d W delivers at most %s", b.Energy, seconds, s.Opened.PowerBudget, most), true})
	}
	if seconds > MaxSeconds {
		ds = append(ds, Doubt{DoubtDuration, fmt.Sprintf("%d s from start to stop", b.Seconds), true})
	}
	return ds
}

// MaxSeconds is the longest session that is billed without a person: 14 days.
const MaxSeconds = 14 * 24 * 3600

// Plausible is the most energy that a connector of power can have delivered in
// a number of seconds, with slack. A power of 0 is unknown: any energy up to
// what 1 MW would deliver is plausible.
func Plausible(power holdfast.Watts, seconds int64) holdfast.WattHours {
	if power <= 0 {
		power = 1_000_000
	}
	seconds = min(max(seconds, 0), MaxSeconds) + PlausibleSlackTime
	return holdfast.WattHours(int64(min(power, 10_000_000))*seconds/3600) + PlausibleSlack
}
