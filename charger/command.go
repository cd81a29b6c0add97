package charger

import (
	"encoding/json"
	"strings"
)

// called answers a CALL of the other side. It runs in the link's reader, so a
// command is carried out before the next frame is read.
func (c *Charger) called(l *link, f frame) {
	c.mu.Lock()
	c.tellLocked(Event{Kind: Ordered, Text: f.action})
	answer, refused := c.d.command(c, f.action, f.payload)
	c.unlock()
	var raw []byte
	var err error
	if refused != nil {
		raw, err = encodeError(f.id, refused)
	} else {
		raw, err = encodeResult(f.id, answer)
	}
	if err != nil {
		c.tell(Event{Kind: Trouble, Text: err.Error()})
		return
	}
	if l.write(raw) != nil {
		return // the link is dead; whoever ordered will see that too
	}
	c.afterwards()
}

// afterwards does what must not happen before the answer to a command is out.
func (c *Charger) afterwards() {
	c.mu.Lock()
	reset, after := c.resetDue, c.after
	c.resetDue, c.after = "", nil
	for _, do := range after {
		do()
	}
	c.unlock()
	if reset != "" {
		c.restart(reset)
	}
}

// remoteStartLocked begins a session on order, now or when a car is plugged in
// (OCPP 1.6 section 5.11; 2.0.1 F01, F02). EVSE 0 means any.
func (c *Charger) remoteStartLocked(id int, token string, remoteID *int) string {
	var e *evse
	for _, x := range c.evses {
		if id == x.id || id == 0 && x.session == nil && (e == nil || x.plugged && !e.plugged) {
			e = x
		}
	}
	switch {
	case e == nil || e.session != nil || token == "":
		return "Rejected"
	case !e.plugged:
		e.invite = &invitation{token: token, remoteID: remoteID}
	default:
		c.after = append(c.after, func() {
			if e.canStart() == nil {
				c.startLocked(e, token, "remote", remoteID)
				c.statusLocked(e)
			}
		})
	}
	return "Accepted"
}

// remoteStopLocked ends the session with the transaction id.
func (c *Charger) remoteStopLocked(id string) string {
	for _, e := range c.evses {
		if s := e.session; s != nil && s.TransactionID == id && id != "" {
			c.after = append(c.after, func() {
				if !s.ended {
					c.stopLocked(s, "Remote")
					c.statusLocked(e)
				}
			})
			return "Accepted"
		}
	}
	return "Rejected"
}

// triggerLocked arranges for the message that TriggerMessage asks for.
func (c *Charger) triggerLocked(what string, id int) string {
	var each func(e *evse)
	switch what {
	case "BootNotification":
		c.after = append(c.after, func() { c.sendLocked(c.d.boot(&c.o, "Triggered")) })
		return "Accepted"
	case "Heartbeat":
		c.after = append(c.after, func() { c.sendLocked(c.d.heartbeat()) })
		return "Accepted"
	case "StatusNotification":
		each = c.statusLocked
	case "MeterValues":
		each = func(e *evse) {
			now := c.o.Now()
			c.sendLocked(c.d.meterValues(c, e, stamp(now.Add(c.clock)), e.meter.shown(now)))
		}
	case "TransactionEvent":
		each = func(e *evse) {
			if e.session != nil {
				c.enqueueLocked(c.o.Now(), e.session, sampled, "Trigger")
			}
		}
	default:
		return "NotImplemented"
	}
	for _, e := range c.evses {
		if id == 0 || id == e.id {
			c.after = append(c.after, func() { each(e) })
		}
	}
	return "Accepted"
}

// sendLocked sends a message that nobody waits for, when there is a link.
func (c *Charger) sendLocked(r request) {
	if l := c.onlineLocked(); l != nil {
		c.laterLocked(l, r)
	}
}

// A profile is a ChargingProfile as far as this charger follows it: the first
// period's limit, at once.
type profile struct {
	Schedule scheduleList `json:"chargingSchedule"` // one in 1.6, a list in 2.0.1
}

type schedule struct {
	Unit    string `json:"chargingRateUnit"` // "W" or "A"
	Periods []struct {
		Limit  json.Number `json:"limit"`
		Phases int64       `json:"numberPhases"`
	} `json:"chargingSchedulePeriod"`
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

// watts returns the limit in W; amperes count at 230 V on each phase.
func (p profile) watts() (int64, bool) {
	if len(p.Schedule) == 0 || len(p.Schedule[0].Periods) == 0 {
		return 0, false
	}
	first := p.Schedule[0].Periods[0]
	limit, err := json.Number(strings.SplitN(first.Limit.String(), ".", 2)[0]).Int64()
	if err != nil || limit < 0 || limit > MaxPower {
		return 0, false
	}
	if p.Schedule[0].Unit == "A" {
		phases := first.Phases
		if phases < 1 || phases > 3 {
			phases = 3
		}
		limit *= 230 * phases
	}
	return limit, true
}

// limitLocked follows a charging profile for a running session. EVSE 0 means
// all.
func (c *Charger) limitLocked(id int, p profile) string {
	watts, ok := p.watts()
	if !ok {
		return "Rejected"
	}
	hit := false
	for _, e := range c.evses {
		if e.session == nil || id != 0 && id != e.id {
			continue
		}
		hit = true
		c.throttleLocked(e, watts)
	}
	if !hit {
		return "Rejected" // a TxProfile without a transaction: 1.6 section 3.13.1, 2.0.1 K01.FR.09
	}
	return "Accepted"
}

// clearLimitLocked lifts the limit of an EVSE, or of all when id is 0.
func (c *Charger) clearLimitLocked(id int) string {
	word := "Unknown"
	for _, e := range c.evses {
		if e.limit >= 0 && (id == 0 || id == e.id) {
			word = "Accepted"
			c.throttleLocked(e, -1)
		}
	}
	return word
}

func (c *Charger) throttleLocked(e *evse, watts int64) {
	e.limit = watts
	if e.session == nil {
		return
	}
	e.meter.set(c.powerOf(e), c.o.Now())
	c.tellLocked(Event{EVSE: e.id, Kind: Limited, Session: e.session.N, Text: "power set by a charging profile"})
	c.after = append(c.after, func() { c.statusLocked(e) })
}

// resetLocked notes that the charger shall restart once its answer is out.
func (c *Charger) resetLocked(why string) { c.resetDue = why }

// restart is an orderly reboot: sessions end with reason Reboot.
func (c *Charger) restart(why string) {
	c.mu.Lock()
	for _, e := range c.evses {
		if e.session != nil {
			c.stopLocked(e.session, "Reboot")
		}
	}
	c.booted, c.why = false, why
	c.unlock()
	c.Cut()
}
