package charger

import (
	"cmp"
	"encoding/json"
	"slices"
	"strconv"
	"time"
)

// Bounds of charging profiles (1.6 ChargeProfileMaxStackLevel,
// ChargingScheduleMaxPeriods and MaxChargingProfilesInstalled; 2.0.1
// SmartChargingCtrlr). What is beyond them is rejected.
const (
	MaxProfiles   = 32
	MaxPeriods    = 48
	MaxStackLevel = 20
	noLimit       = -1
	nominalVolts  = 230
)

// A profile is a ChargingProfile, as both versions spell it.
type profile struct {
	ID16     int          `json:"chargingProfileId"`
	ID2      int          `json:"id"`
	Tx       txRef        `json:"transactionId"`
	Stack    int          `json:"stackLevel"`
	Purpose  string       `json:"chargingProfilePurpose"`
	Kind     string       `json:"chargingProfileKind"`
	From     time.Time    `json:"validFrom"`
	To       time.Time    `json:"validTo"`
	Schedule scheduleList `json:"chargingSchedule"` // one in 1.6, a list in 2.0.1

	evse int       // that it was set for; 0: the charger, or every EVSE
	at   time.Time // by the charger's clock, when it was set
}

// txRef is a transaction id: a number in 1.6, a string in 2.0.1.
type txRef string

// UnmarshalJSON accepts both.
func (r *txRef) UnmarshalJSON(b []byte) error {
	if len(b) > 0 && b[0] == '"' {
		return json.Unmarshal(b, (*string)(r))
	}
	*r = txRef(b)
	return nil
}

type schedule struct {
	Unit     string    `json:"chargingRateUnit"` // "W" or "A"
	Start    time.Time `json:"startSchedule"`
	Duration int64     `json:"duration"` // s; 0: no end
	Periods  []period  `json:"chargingSchedulePeriod"`
}

type period struct {
	Start  int64       `json:"startPeriod"` // s
	Limit  json.Number `json:"limit"`
	Phases int64       `json:"numberPhases"`
}

type scheduleList []schedule

// UnmarshalJSON accepts a schedule or a list of them.
func (l *scheduleList) UnmarshalJSON(b []byte) error {
	if len(b) > 0 && b[0] == '[' {
		return json.Unmarshal(b, (*[]schedule)(l))
	}
	var s schedule
	if err := json.Unmarshal(b, &s); err != nil {
		return err
	}
	*l = scheduleList{s}
	return nil
}

func (p *profile) id() int { return max(p.ID16, p.ID2) }

const (
	forTx      = "TxProfile"
	forAnyTx   = "TxDefaultProfile"
	forStation = "ChargePointMaxProfile"
)

// purpose is the purpose in 1.6's word.
func (p *profile) purpose() string {
	if p.Purpose == "ChargingStationMaxProfile" {
		return forStation
	}
	return cmp.Or(p.Purpose, forTx)
}

// wellFormed holds a profile to what this charger can carry out.
func (p *profile) wellFormed() bool {
	if p.Stack < 0 || p.Stack > MaxStackLevel || len(p.Schedule) != 1 {
		return false
	}
	s := p.Schedule[0]
	if s.Unit != "W" && s.Unit != "A" || s.Duration < 0 || len(s.Periods) == 0 || len(s.Periods) > MaxPeriods {
		return false
	}
	for i, d := range s.Periods {
		if _, ok := s.watts(d); !ok || i == 0 && d.Start != 0 || i > 0 && d.Start <= s.Periods[i-1].Start {
			return false
		}
	}
	return true
}

// watts returns a period's limit in W; amperes count at 230 V on each phase.
func (s *schedule) watts(d period) (int64, bool) {
	limit, err := strconv.ParseFloat(d.Limit.String(), 64)
	if s.Unit == "A" {
		phases := d.Phases
		if phases < 1 || phases > 3 {
			phases = 3
		}
		limit *= float64(nominalVolts * phases)
	}
	if err != nil || limit < 0 || limit > 1e9 {
		return 0, false
	}
	return int64(limit), true
}

// setProfileLocked stores a profile, in place of one with the same id, or of the
// same purpose, stack level and EVSE (1.6 section 5.16.2, 2.0.1 K01.FR.05 and
// K01.FR.39).
func (c *Charger) setProfileLocked(id int, p profile) string {
	p.evse, p.at = id, c.o.Now().Add(c.clock)
	e, err := c.evseLocked(id)
	switch {
	case !p.wellFormed() || id != 0 && err != nil:
		return "Rejected"
	case p.purpose() == forStation && id != 0:
		return "Rejected"
	case p.purpose() == forTx && !ours(e, &p):
		return "Rejected" // a TxProfile without its transaction: 1.6 section 3.13.1, 2.0.1 K01.FR.09
	}
	kept := slices.DeleteFunc(slices.Clone(c.profiles), func(q *profile) bool {
		return q.id() == p.id() && p.id() != 0 || q.purpose() == p.purpose() && q.Stack == p.Stack && q.evse == p.evse
	})
	if len(kept) >= MaxProfiles {
		return "Rejected"
	}
	c.profiles = append(kept, &p)
	c.followLaterLocked()
	return "Accepted"
}

// ours reports whether a TxProfile is for the session that runs on its EVSE.
func ours(e *evse, p *profile) bool {
	return e != nil && e.session != nil && (p.Tx == "" || string(p.Tx) == e.session.TransactionID)
}

// A clearing is what ClearChargingProfile asks to remove; nil matches all.
type clearing struct {
	id, evse, stack *int
	purpose         string
}

func (c *Charger) clearProfilesLocked(k clearing) string {
	before := len(c.profiles)
	c.profiles = slices.DeleteFunc(c.profiles, func(p *profile) bool {
		if k.id != nil {
			return p.id() == *k.id
		}
		want := profile{Purpose: k.purpose}
		return (k.evse == nil || p.evse == *k.evse) && (k.stack == nil || p.Stack == *k.stack) && (k.purpose == "" || p.purpose() == want.purpose())
	})
	if len(c.profiles) == before {
		return "Unknown"
	}
	c.followLaterLocked()
	return "Accepted"
}

// forgetProfilesLocked drops the profiles of a transaction that is over.
func (c *Charger) forgetProfilesLocked(id int) {
	c.profiles = slices.DeleteFunc(c.profiles, func(p *profile) bool { return p.purpose() == forTx && p.evse == id })
}

// limitOf returns what profiles permit an EVSE at a time of the charger's clock,
// in W; noLimit for nothing. Within a purpose the highest stack level that has
// something to say counts; a TxProfile goes before a default one, and the whole
// charger's is shared by who charges (1.6 section 3.13, 2.0.1 K01, K05).
func (c *Charger) limitOf(e *evse, at time.Time) int64 {
	limit := c.highest(at, e, func(p *profile) bool { return p.purpose() == forTx && p.evse == e.id && ours(e, p) })
	if limit == noLimit {
		limit = c.highest(at, e, func(p *profile) bool { return p.purpose() == forAnyTx && (p.evse == e.id || p.evse == 0) })
	}
	station := c.highest(at, e, func(p *profile) bool { return p.purpose() == forStation })
	if station == noLimit {
		return limit
	}
	active := int64(0)
	for _, x := range c.evses {
		if x.session != nil {
			active++
		}
	}
	if share := station / max(active, 1); limit == noLimit || share < limit {
		return share
	}
	return limit
}

// highest is the limit of the matching profile with the highest stack level
// that is in force.
func (c *Charger) highest(at time.Time, e *evse, match func(*profile) bool) int64 {
	limit, level := int64(noLimit), -1
	for _, p := range c.profiles {
		if !match(p) || p.Stack < level || p.Stack == level && p.evse == 0 {
			continue
		}
		if w, ok := p.now(at, e); ok {
			limit, level = w, p.Stack
		}
	}
	return limit
}

// now returns the limit of the period that a time falls into.
func (p *profile) now(at time.Time, e *evse) (int64, bool) {
	if !p.From.IsZero() && at.Before(p.From) || !p.To.IsZero() && !at.Before(p.To) {
		return 0, false
	}
	s := &p.Schedule[0]
	begin := s.Start
	if p.Kind != "Absolute" || begin.IsZero() {
		begin = p.at
		if p.purpose() == forAnyTx && e.session != nil {
			begin = e.session.StartedAt
		}
	}
	passed := int64(at.Sub(begin) / time.Second)
	if at.Before(begin) || s.Duration > 0 && passed >= s.Duration {
		return 0, false
	}
	var now period
	for _, d := range s.Periods {
		if d.Start <= passed {
			now = d
		}
	}
	return s.watts(now)
}

// followLaterLocked follows a command: the statuses leave after its answer.
func (c *Charger) followLaterLocked() {
	for _, e := range c.followLocked() {
		c.after = append(c.after, func() { c.statusLocked(e) })
	}
}

// followLocked brings every EVSE to what the profiles permit now, and returns
// those that have another status for it.
func (c *Charger) followLocked() (changed []*evse) {
	now := c.o.Now()
	for _, e := range c.evses {
		limit := c.limitOf(e, now.Add(c.clock))
		if limit == e.limit {
			continue
		}
		e.limit = limit
		if e.session == nil {
			continue
		}
		was := e.meter.power
		if e.meter.set(c.powerOf(e), now); e.meter.power == was {
			continue
		}
		c.tellLocked(Event{EVSE: e.id, Kind: Limited, Session: e.session.N, Text: "power set by a charging profile"})
		if (was == 0) != (e.meter.power == 0) {
			changed = append(changed, e)
		}
	}
	return changed
}

// compositeLocked answers GetCompositeSchedule: what an EVSE is permitted for so
// many seconds from now. EVSE 0 adds up.
func (c *Charger) compositeLocked(id int, duration int64) (limits []period, ok bool) {
	if id < 0 || id > len(c.evses) || duration < 1 || duration > 86_400 {
		return nil, false
	}
	at := c.o.Now().Add(c.clock)
	last := int64(-2)
	for s := int64(0); s < duration && len(limits) < MaxPeriods; s++ {
		sum := int64(0)
		for _, e := range c.evses {
			if id == 0 || e.id == id {
				w := c.limitOf(e, at.Add(time.Duration(s)*time.Second))
				if w == noLimit {
					w = c.o.Power
				}
				sum += min(w, c.o.Power)
			}
		}
		if sum != last {
			limits = append(limits, period{Start: s, Limit: json.Number(strconv.FormatInt(sum, 10))})
			last = sum
		}
	}
	return limits, true
}

// Power returns what flows at an EVSE now, in W.
func (c *Charger) Power(id int) int64 {
	c.mu.Lock()
	defer c.unlock()
	e, err := c.evseLocked(id)
	if err != nil {
		return 0
	}
	return e.meter.power
}
