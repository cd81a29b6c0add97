package gateway

import (
	"fmt"

	"github.com/holdfast-ev/holdfast"
	"github.com/holdfast-ev/holdfast/ocpp"
	"github.com/holdfast-ev/holdfast/record"
	"github.com/holdfast-ev/holdfast/session"
)

// live is what is known of a running session beyond its records. After a crash
// it begins anew and the worst is assumed until the meter speaks.
type live struct {
	reading *timedReading  // the latest with a register that was believed
	at      int64          // mono ms when it came; at first: when the session was adopted
	power   holdfast.Watts // latest measured
	powerAt int64          // mono ms when it came
	cap     holdfast.Watts // what the charger has acknowledged, or the connector's rating
	stopped int64          // mono ms + 1 of the last order to stop; 0 none
	noted   int64          // mono ms of the last reading that became evidence
	odd     bool           // an impossible reading was reported
	seq     int64          // highest seqNo seen + 1; 0 none yet (see numbered)
	gap     bool           // a missing seqNo was reported

	stillAsked int64 // mono ms + 1 of the last question whether it still runs
}

// MaxReadingsKept bounds the evidence readings of a session. Beyond it samples
// stay telemetry: the start, the end and what was kept still bill it.
const MaxReadingsKept = 1000

// adopt begins to watch a running session.
func (g *Gateway) adopt(ses *Session) {
	if ses.Running() {
		g.live[ses.ID] = &live{at: g.now.Mono, noted: g.now.Mono, cap: g.cfg.power(ses.Charger)}
		g.power.dirty = true
	}
}

// meter handles MeterValues. The samples belong to the running session of the
// transaction, or else of the EVSE; without one they are telemetry.
func (g *Gateway) meter(m message, ev ocpp.Meter) ocpp.Answer {
	ses := g.byLabel(m.conn.charger, ev.TransactionID)
	if ses == nil || !ses.Running() {
		ses = g.on(m.conn.charger, ev.EVSE)
	}
	if ses != nil {
		g.readings(m, ses, ev.Readings)
	} else if len(ev.Readings) > 0 {
		g.emit(record.Record{Charger: m.conn.charger, Body: &record.MeterNoted{EVSE: ev.EVSE, Readings: bounded(ev.Readings)}})
	}
	return ocpp.Done{}
}

// on returns the running session on an EVSE.
func (g *Gateway) on(id holdfast.ChargerID, evse int) *Session {
	for _, ses := range g.state.running(id) {
		if ses.EVSE() == evse {
			return ses
		}
	}
	return nil
}

// MaxNoted bounds the samples of one message that telemetry keeps.
const MaxNoted = 64

func bounded(in []holdfast.Reading) []holdfast.Reading { return in[:min(len(in), MaxNoted)] }

// readings takes samples of a running session: what money or a limit rests on
// becomes evidence, the rest telemetry.
func (g *Gateway) readings(m message, ses *Session, in []holdfast.Reading) {
	if len(in) == 0 {
		return
	}
	g.emit(record.Record{Charger: m.conn.charger, Body: &record.MeterNoted{EVSE: ses.EVSE(), Readings: bounded(in)}})
	g.watchMeter(m, ses, in)
	if l := g.live[ses.ID]; l != nil {
		for _, r := range in {
			if r.Power != nil {
				l.power, l.powerAt = *r.Power, g.now.Mono
			}
		}
		g.overdrawn(ses, l)
		g.limits(ses)
	}
}

// A timedReading is a reading with when it was taken by the gateway's clock; nil:
// not known.
type timedReading struct {
	holdfast.Reading
	when *record.ChargerTime
}

// before reports whether r was taken before another that came before it: a
// charger that was cut off sends what waits in its queue beside what is new. The
// gateway's own clock decides where it knows both; a charger's may have been set
// back in between.
func (r timedReading) before(o *timedReading) bool {
	if r.when.Known() && o.when.Known() && r.when.At.Boot == o.when.At.Boot {
		return r.when.At.Mono < o.when.At.Mono
	}
	return r.At.Plausible() && o.At.Plausible() && r.At < o.At
}

// watchMeter follows the register of a running session. The readings of a stop
// pass through it too, before the end is written.
func (g *Gateway) watchMeter(m message, ses *Session, in []holdfast.Reading) {
	l := g.live[ses.ID]
	if l == nil {
		return
	}
	last, known := ses.Meter.Last()
	if l.reading != nil {
		last, known = *l.reading.Register, true
	}
	if known {
		in = in[session.FillIns(in, last):]
	}
	for _, r := range in {
		if r.Register == nil || ses.Readings >= MaxReadingsKept {
			continue
		}
		g.register(m.conn.charger, ses, l, timedReading{r, m.time})
	}
}

func (g *Gateway) register(id holdfast.ChargerID, ses *Session, l *live, r timedReading) {
	last, known := ses.Meter.Last()
	if l.reading != nil {
		if *r.Register < *l.reading.Register && r.before(l.reading) {
			return // a late sample: what came after it counts
		}
		last, known = *l.reading.Register, true
	}
	wh := *r.Register
	switch {
	case !known:
		g.evidence(ses, l, r, session.WhyFirst)
	case wh < last:
		if l.reading != nil {
			if have, ok := ses.Meter.Last(); !ok || *l.reading.Register > have {
				g.evidence(ses, l, *l.reading, session.WhyReset)
			}
		}
		g.evidence(ses, l, r, session.WhyReset)
	case wh-last > session.Plausible(g.cfg.power(id), g.elapsed(ses, l, r)):
		if r.Context == holdfast.ContextEnd || !g.placeholder(ses) {
			g.impossible(ses, l, last, wh)
			return
		}
		g.evidence(ses, l, r, session.WhyBegin)
	case g.now.Mono-l.noted >= HourlyMillis:
		g.evidence(ses, l, r, session.WhyHourly)
	}
	l.reading, l.at = &r, g.now.Mono
}

// placeholder reports whether a session's start register may have been no
// reading: a zero, and nothing believed since.
func (g *Gateway) placeholder(ses *Session) bool {
	o := ses.Opened
	return o.Start != nil && *o.Start == 0 && !ses.Rebased && ses.Meter.Energy() == 0
}

// elapsed is the time in which a register can have risen, in seconds, at most.
// It is what the gateway saw pass; and what the charger says, as long as nothing
// shows that its clock was set in between: one that was cut off sends its samples
// of hours within a second.
func (g *Gateway) elapsed(ses *Session, l *live, r timedReading) int64 {
	s := (g.now.Mono - l.at) / 1000
	from, when := ses.Opened.StartedAt, ses.Opened.Time
	if l.reading != nil {
		from, when = l.reading.At, l.reading.when
	} else {
		s = max(s, g.since(ses.OpenedAt, ses.Ran)/1000)
	}
	if when != nil && !when.Known() || r.when != nil && !r.when.Known() {
		return session.MaxSeconds // nobody can say; the bill says so too
	}
	if when.Known() && when.At.Boot == g.now.Boot {
		s = max(s, (g.now.Mono-when.At.Mono)/1000)
		if r.when.Known() {
			return s
		}
	}
	if from != 0 && r.At > from {
		s = max(s, int64(r.At-from)/1000)
	}
	return s
}

func (g *Gateway) impossible(ses *Session, l *live, last, wh holdfast.WattHours) {
	if l.odd {
		return
	}
	l.odd = true
	g.raise(record.Record{Session: ses.ID, Charger: ses.Charger}, "FEAS_ENERGY",
		fmt.Sprintf("the register went from %s to %s faster than the connector can deliver; the reading is kept and not counted", last, wh))
}

// evidence writes a reading that a bill or a limit rests on.
func (g *Gateway) evidence(ses *Session, l *live, r timedReading, why string) {
	g.emit(record.Record{Session: ses.ID, Charger: ses.Charger, Body: &record.SessionReading{Reading: r.Reading, Time: r.when, Why: why}})
	l.noted = g.now.Mono
}

// charging notes that the vehicle stopped or went on charging; PARKING_TIME is
// priced from it.
func (g *Gateway) charging(ses *Session, state string, at holdfast.UnixMilli, when *record.ChargerTime) {
	idle := ses.Idle.Since != nil
	var why string
	switch state {
	case "SuspendedEV", "SuspendedEVSE", "EVConnected", "Idle", "Finishing":
		if idle {
			return
		}
		why = session.WhyIdle
	case "Charging":
		if !idle {
			return
		}
		why = session.WhyActive
	default:
		return
	}
	if l := g.live[ses.ID]; l != nil && ses.Readings < MaxReadingsKept {
		g.evidence(ses, l, timedReading{holdfast.Reading{At: at, Context: holdfast.ContextOther}, when}, why)
	}
}

// status handles StatusNotification.
func (g *Gateway) status(m message, ev ocpp.Status) ocpp.Answer {
	id := m.conn.charger
	g.emit(record.Record{Charger: id, Body: &record.StatusNoted{
		EVSE: ev.EVSE, Connector: ev.Connector, Status: string(ev.Status), Error: ev.Error, At: ev.At,
	}})
	m.conn.status(ev)
	ses := g.on(id, ev.EVSE)
	if ses == nil {
		return ocpp.Done{}
	}
	g.charging(ses, ev.Detail, ev.At, m.time)
	key := evse{id, ev.EVSE}
	if ev.Status != ocpp.Available {
		delete(g.freed, key)
	} else if _, since := g.freed[key]; !since {
		// Its stop may be on the way, or in a queue behind this message.
		g.freed[key] = g.now.Mono
	}
	return ocpp.Done{}
}
