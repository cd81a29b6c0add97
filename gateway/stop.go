package gateway

import (
	"fmt"
	"slices"

	"github.com/holdfast-ev/holdfast"
	"github.com/holdfast-ev/holdfast/ocpp"
	"github.com/holdfast-ev/holdfast/record"
	"github.com/holdfast-ev/holdfast/session"
)

// stop handles StopTransaction and TransactionEvent Ended. It is always
// acknowledged: a charger that is told no sends it again for ever, or drops it.
func (g *Gateway) stop(m message, tx ocpp.Transaction) ocpp.Answer {
	answer := ocpp.TxAnswer{}
	if tx.Token != nil {
		answer.Auth = &ocpp.AuthAnswer{Status: ocpp.AuthAccepted}
	}
	ses := g.byLabel(m.conn.charger, tx.ID)
	if ses == nil {
		g.foreign(m, tx)
		ses = g.guess(m, tx)
	}
	if ses != nil {
		g.numbered(m, tx, ses)
	}
	switch {
	case ses == nil:
		g.orphan(m, tx)
	case ses.Running() || ses.ClosedByUs():
		g.end(m, tx, ses)
	default:
		g.stoppedBefore(m, tx, ses)
	}
	return answer
}

// end writes the end of a session, and asks for its receipt and a checkpoint.
func (g *Gateway) end(m message, tx ocpp.Transaction, ses *Session) {
	g.watchMeter(m, ses, tx.Readings)
	b := &record.SessionEnded{
		StoppedAt: tx.At, ClaimedAt: tx.AtRaw, StopTrust: record.Absent, Reason: tx.Reason,
		Time: m.time, Offline: g.late(m, tx), Readings: stopReadings(tx.Readings), Raw: g.sealed(m),
	}
	if tx.Token != nil {
		b.Token = g.hash(*tx.Token)
	}
	if wh := stopRegister(tx.Readings); wh != nil {
		b.Stop, b.StopTrust = wh, record.Trusted
		if first, ok := ses.Meter.First(); *wh == 0 && ok && first > 0 {
			b.StopTrust = record.Placeholder
		}
	}
	g.finish(ses, b)
}

// MaxStopReadings bounds the readings that a stop carries into evidence; the
// first and the last of more are kept, what lies between adds no energy.
const MaxStopReadings = 16

// stopReadings keeps what the register needs: the raw frame has the rest.
func stopReadings(in []holdfast.Reading) (out []holdfast.Reading) {
	for _, r := range in {
		if r.Register != nil {
			out = append(out, r)
		}
	}
	if len(out) > MaxStopReadings {
		half := MaxStopReadings / 2
		out = append(out[:half:half], out[len(out)-half:]...)
	}
	return out
}

// stopRegister is the register at the end: the reading that says so, else the
// last one that has a register.
func stopRegister(in []holdfast.Reading) (wh *holdfast.WattHours) {
	for _, r := range in {
		if r.Register != nil {
			wh = r.Register
			if r.Context == holdfast.ContextEnd {
				return wh
			}
		}
	}
	return wh
}

// finish writes an end, prices it for the exposure, and asks for what follows.
func (g *Gateway) finish(ses *Session, b *record.SessionEnded) {
	if b.Stop == nil {
		g.last(ses)
	}
	b.Cost = g.cost(ses, b)
	g.lastEnd = g.state.Next
	g.emit(record.Record{Session: ses.ID, Charger: ses.Charger, Body: b})
	g.counters.Energy += ses.Meter.Energy()
	delete(g.live, ses.ID)
	g.power.dirty = true
	delete(g.freed, evse{ses.Charger, ses.EVSE()})
	if !g.receipt(ses) {
		g.checkpoint.want = true // else when the receipt is there, so that it is covered too
	}
}

// last makes the latest sample evidence before a session is closed without a
// stop message: it is the last that anybody knows of its meter.
func (g *Gateway) last(ses *Session) {
	l := g.live[ses.ID]
	if l == nil || l.reading == nil {
		return
	}
	if have, ok := ses.Meter.Last(); ok && *l.reading.Register <= have {
		return
	}
	g.emit(record.Record{Session: ses.ID, Charger: ses.Charger, Body: &record.SessionReading{Reading: l.reading.Reading, Time: l.reading.when, Why: session.WhyHourly}})
}

// abandon closes a session whose stop can no longer be expected in order. If it
// comes after all, it takes the place of this end.
func (g *Gateway) abandon(ses *Session, reason string) {
	g.finish(ses, &record.SessionEnded{StoppedAt: g.clock(), Time: g.at(g.now.Mono, 0), StopTrust: record.Absent, Reason: reason})
}

// stoppedBefore looks at a stop that came again. The same stop says nothing
// new; another one about the same session is for a person.
func (g *Gateway) stoppedBefore(m message, tx ocpp.Transaction, ses *Session) {
	g.counters.Repeats++
	var claimed string
	var stop *holdfast.WattHours
	if ses.Ended != nil {
		claimed, stop = ses.Ended.ClaimedAt, ses.Ended.Stop
	} else {
		claimed, stop = ses.Orphan.ClaimedAt, ses.Orphan.Stop
	}
	if claimed == tx.AtRaw && equal(stop, stopRegister(tx.Readings)) {
		return
	}
	key := coalesceKey{charger: m.conn.charger, kind: "stop_differs/" + ses.ID.Short()}
	g.once(key, record.Record{Session: ses.ID, Charger: m.conn.charger, Body: &record.ExceptionRaised{
		Code: "PAIR_DUPLICATE", Detail: "a second stop with other content: " + g.sealed(m),
	}})
}

// foreign notes a stop for a session of another charger: it ends nothing there
// (SteVe CVE-2026-28230).
func (g *Gateway) foreign(m message, tx ocpp.Transaction) {
	if tx.ID == "" {
		return
	}
	for _, ses := range g.state.byTx(tx.ID) {
		if ses.Charger != m.conn.charger {
			g.security(m.conn.charger, "foreign_stop", "")
			return
		}
	}
}

// guess finds the session of a stop that names none we gave: -1 or 0 from a
// charger that never got the answer to its start (libocpp#495), or an id from
// elsewhere. It is that session only if nothing else fits: running, the same
// driver where the stop says one, a register not below the start, and a time
// not before it. Two candidates are none.
func (g *Gateway) guess(m message, tx ocpp.Transaction) (found *Session) {
	id := m.conn.charger
	if tx.ID != "-1" && tx.ID != "0" && tx.ID != "" {
		return g.sameOrphan(id, tx)
	}
	for _, ses := range g.state.running(id) {
		if !fits(ses, m, tx, g) {
			continue
		}
		if found != nil {
			return nil
		}
		found = ses
	}
	if found == nil {
		return g.sameOrphan(id, tx)
	}
	g.raise(record.Record{Session: found.ID, Charger: id}, "PAIR_GUESSED",
		fmt.Sprintf("a stop with transaction id %q was paired by driver, register and time", tx.ID))
	return found
}

func fits(ses *Session, m message, tx ocpp.Transaction, g *Gateway) bool {
	if tx.Token != nil && !ses.Token().IsZero() && g.hash(*tx.Token) != ses.Token() {
		return false
	}
	if wh, first := stopRegister(tx.Readings), ses.Opened.Start; wh != nil && first != nil && *wh < *first {
		return false
	}
	return m.time.Live() || !tx.At.Plausible() || !ses.Opened.StartedAt.Plausible() || tx.At >= ses.Opened.StartedAt
}

// sameOrphan finds the orphan that the same stop made before.
func (g *Gateway) sameOrphan(id holdfast.ChargerID, tx ocpp.Transaction) *Session {
	for _, ses := range slices.Backward(g.state.of(id)) {
		if o := ses.Orphan; o != nil && o.ClaimedAt == tx.AtRaw && equal(o.Stop, stopRegister(tx.Readings)) && o.EVSE == tx.EVSE {
			return ses
		}
	}
	return nil
}

// orphan keeps a stop that fits nothing: it becomes a session of its own, with
// a missing start, for a person to pair.
func (g *Gateway) orphan(m message, tx ocpp.Transaction) {
	b := &record.StopOrphaned{
		Nonce: g.state.Nonce, EVSE: tx.EVSE, Connector: tx.Connector, StoppedAt: tx.At, ClaimedAt: tx.AtRaw, Time: m.time,
		Stop: stopRegister(tx.Readings), Reason: tx.Reason, Labels: map[string]string{},
		Readings: stopReadings(tx.Readings), Raw: g.sealed(m),
	}
	if tx.Token != nil {
		b.Token, b.Sealed = g.hash(*tx.Token), g.seal(tx.Token.Value)
	}
	if m.conn.dialect.Version() == ocpp.V16 {
		b.Labels[LabelClaim] = tx.ID
	} else {
		b.Labels[LabelOCPP2] = tx.ID
	}
	g.emit(record.Record{Charger: m.conn.charger, Body: b})
	g.checkpoint.want = true
}
