package session

import (
	"github.com/holdfast-ev/holdfast"
)

// StopLatencyS is how long energy may still flow after the gateway has decided
// to stop a session: the command, the charger's reaction, one retry. Seconds.
const StopLatencyS = 10

// The kinds of limit (record.SessionLimited.Kind).
const (
	LimitEnergy = "energy"
	LimitTime   = "time"
	LimitCost   = "cost"
	LimitPower  = "power"
)

// The actions on a limit.
const (
	ActionStop     = "stop"
	ActionThrottle = "throttle"
)

// Live is what a gateway knows of a running session beyond its records: it is
// lost in a crash, and then the worst is assumed until the meter speaks again.
type Live struct {
	Register *holdfast.WattHours // latest, nil when none arrived since the gateway started
	AgeS     int64               // seconds since it arrived, or since the session's last evidence
	Power    holdfast.Watts      // latest measured; 0 unknown
	ElapsedS int64               // since the session opened, by the gateway
	Cap      holdfast.Watts      // what the connector can deliver at most, or the acknowledged set-point; 0 unknown
}

// A Breach says that a limit is reached, or would be before a stop takes hold.
type Breach struct {
	Kind         string
	Limit, Worst int64 // Wh, s, micros or W
	Action       string
}

// Breaches compares a running session with its limits. cost prices an energy
// and a number of seconds; it is nil when there is no tariff. Worst counts what
// may flow unseen: since the last reading, and until a stop takes hold.
func (s *Session) Breaches(l Live, cost func(holdfast.WattHours, int64) holdfast.Micros) (out []Breach) {
	limits := s.Opened.Limits
	worst := s.WorstEnergy(l)
	if limits.Energy > 0 && worst >= limits.Energy {
		out = append(out, Breach{LimitEnergy, int64(limits.Energy), int64(worst), ActionStop})
	}
	if limits.Seconds > 0 && l.ElapsedS >= limits.Seconds {
		out = append(out, Breach{LimitTime, limits.Seconds, l.ElapsedS, ActionStop})
	}
	if limits.Cost > 0 && cost != nil {
		if c := cost(worst, l.ElapsedS+StopLatencyS); c >= limits.Cost {
			out = append(out, Breach{LimitCost, int64(limits.Cost), int64(c), ActionStop})
		}
	}
	if limits.Power > 0 {
		if b, ok := s.powerBreach(l, limits.Power); ok {
			out = append(out, b)
		}
	}
	return out
}

// PowerTolerancePercent is what a charger may measure above a set-point that it
// has acknowledged before the session is stopped for it.
const PowerTolerancePercent = 10

// powerBreach asks for a throttle while the connector could deliver more than
// the limit, and for a stop when a throttled charger still exceeds it.
func (s *Session) powerBreach(l Live, limit holdfast.Watts) (Breach, bool) {
	switch s.Limited[LimitPower] {
	case "":
		if l.Cap == 0 || l.Cap > limit {
			return Breach{LimitPower, int64(limit), int64(max(l.Cap, l.Power)), ActionThrottle}, true
		}
	case ActionThrottle:
		if l.Cap > 0 && l.Cap <= limit && int64(l.Power)*100 > int64(limit)*(100+PowerTolerancePercent) {
			return Breach{LimitPower, int64(limit), int64(l.Power), ActionStop}, true
		}
	}
	return Breach{}, false
}

// WorstEnergy is the most energy that the session can have delivered by the
// time a stop that is decided now takes hold.
func (s *Session) WorstEnergy(l Live) holdfast.WattHours {
	seen := s.Meter.Energy()
	if last, ok := s.Meter.Last(); ok && l.Register != nil && *l.Register > last {
		seen += *l.Register - last
	}
	power := l.Cap
	if power == 0 {
		power = s.Opened.PowerBudget
	}
	unseen := min(max(l.AgeS, 0), MaxSeconds) + StopLatencyS
	return seen + holdfast.WattHours(int64(min(max(power, 0), 10_000_000))*unseen/3600)
}
