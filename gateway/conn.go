package gateway

import (
	"bytes"
	"crypto/sha256"
	"fmt"

	"github.com/holdfast-ev/holdfast"
	"github.com/holdfast-ev/holdfast/ocpp"
	"github.com/holdfast-ev/holdfast/record"
)

// conn is a charger's WebSocket connection. It dies with the process.
type conn struct {
	id      ConnID
	charger holdfast.ChargerID
	dialect ocpp.Dialect
	proved  bool
	clock   connClock

	calls   []call // waiting; the first is under way when sent > 0
	sent    int64  // mono ms + 1 when the first was sent
	replays []replay

	connectors map[int]ocpp.ConnectorStatus // as reported, by EVSE
}

// status remembers a connector's status for as long as the connection lasts: a
// charger repeats its statuses when it connects.
func (c *conn) status(ev ocpp.Status) {
	if c.connectors == nil {
		c.connectors = map[int]ocpp.ConnectorStatus{}
	}
	if len(c.connectors) < MaxEVSEs || c.connectors[ev.EVSE] != "" {
		c.connectors[ev.EVSE] = ev.Status
	}
}

// call is a command to a charger.
type call struct {
	id        string
	command   ocpp.Command
	directive string
	session   holdfast.SessionID // the session that it is about, if any
	native    int                // of the preparation for a time without us: its round, from 1; see nativeAnswered
	duty      *duty              // of the power rules: what its answer means to them
}

// replay remembers an answer, so that a message that comes again with the same
// id and the same bytes is answered again with the same bytes. The same id with
// other bytes is another message: an id alone proves nothing.
type replay struct {
	id     string
	action string
	sum    [32]byte
	answer []byte
}

// connected makes the newest connection of an identity the one that counts. The
// older one is fenced: closed, its calls failed, its later frames ignored. A
// connection that did not prove its identity never displaces one that did.
func (g *Gateway) connected(in Connected) {
	d := g.dialect(in.Version)
	if d == nil {
		g.close(in.Conn, 1002, "no common OCPP version")
		return
	}
	if g.downgraded(in) {
		return
	}
	c := &conn{id: in.Conn, charger: in.Charger, dialect: d, proved: in.Proved, clock: connClock{since: g.now.Mono}}
	if old := g.chargers[in.Charger]; old != nil {
		if old.proved && !in.Proved {
			g.security(in.Charger, "unproved_takeover", in.Remote)
			g.close(in.Conn, 1008, "identity is in use")
			return
		}
		g.fence(old, "replaced by a newer connection")
	}
	g.secured(c.charger, in.Profile)
	g.conns[c.id], g.chargers[c.charger] = c, c
	g.power.arrived(c.charger)
	g.counters.Connections++
	g.flap(c.charger, true, holdfast.CauseNone, "")
	known := g.state.Chargers[c.charger]
	if known == nil || known.Boot.Version != in.Version {
		// It will boot, or believes that it has: then ask it who it is.
		g.command(c, call{command: ocpp.Trigger{Message: "BootNotification"}})
	}
	g.nativeConnected(c)
	for _, ses := range g.state.running(c.charger) {
		g.askStill(c, ses)
		g.command(c, call{command: ocpp.Trigger{Message: "MeterValues", EVSE: ses.EVSE()}, session: ses.ID})
	}
}

func (g *Gateway) fence(old *conn, why string) {
	g.failCalls(old, "Disconnected")
	delete(g.conns, old.id)
	g.endCollections(func(col *collection) bool { return col.conn == old.id })
	if g.chargers[old.charger] == old {
		delete(g.chargers, old.charger)
	}
	g.close(old.id, 1001, why)
}

func (g *Gateway) disconnected(in Disconnected) {
	c := g.conns[in.Conn]
	if c == nil {
		return // fenced before
	}
	g.failCalls(c, "Disconnected")
	delete(g.conns, c.id)
	if g.chargers[c.charger] == c {
		delete(g.chargers, c.charger)
		g.flap(c.charger, false, holdfast.CauseChargerLinkDown, in.Detail)
	}
	for id, a := range g.asks {
		if a.conn == c.id {
			delete(g.asks, id)
		}
	}
	g.endCollections(func(col *collection) bool { return col.conn == c.id })
}

func (g *Gateway) close(id ConnID, code int, reason string) {
	g.ready.Closes = append(g.ready.Closes, Close{id, code, reason})
}

// frame takes a text frame. Everything about its form is judged before anything
// about its meaning, and a bad one changes no state.
func (g *Gateway) frame(in Frame) {
	c := g.conns[in.Conn]
	if c == nil {
		return
	}
	v := c.dialect.Version()
	f, bad := ocpp.Parse(v, in.Raw)
	if bad != nil {
		g.counters.BadFrames++
		if !bad.Mute {
			g.send(c, bad.Frame(v, bad.ID).Encode())
		}
		return
	}
	switch f.Type {
	case ocpp.Call:
		if len(in.Raw) > MaxFrameBytes {
			g.counters.BadFrames++
			bad := &ocpp.Error{Code: ocpp.FormatViolation, Description: fmt.Sprintf("a message of %d bytes, at most %d", len(in.Raw), MaxFrameBytes)}
			g.send(c, bad.Frame(v, f.ID).Encode())
			return
		}
		g.call(c, f, in.Raw)
	case ocpp.CallResult, ocpp.CallError:
		g.result(c, f)
	case ocpp.SendFrame:
		g.sent(c, f, in.Raw)
	case ocpp.CallResultError:
		g.unread(c, f)
	}
}

func (g *Gateway) send(c *conn, raw []byte) {
	g.ready.Sends = append(g.ready.Sends, Send{c.id, raw})
}

// call handles a CALL from a charger.
func (g *Gateway) call(c *conn, f ocpp.Frame, raw []byte) {
	sum := sha256.Sum256(raw)
	for _, r := range c.replays {
		if r.id == f.ID && r.sum == sum {
			g.send(c, r.answer)
			return
		}
	}
	m := message{conn: c, id: f.ID, sum: sum, action: f.Action, raw: raw}
	broken := g.cfg.Schemas.CheckCall(c.dialect.Version(), f.Action, f.Payload)
	if broken != nil && !(g.cfg.Lenient && broken.Tolerable) {
		g.reject(m, broken)
		return
	}
	ev, bad := c.dialect.Event(f.Action, f.Payload)
	if bad != nil {
		g.reject(m, bad)
		return
	}
	g.counters.Calls++
	m.event, m.time = ev, g.timed(c, ev)
	if broken != nil {
		g.counters.Tolerated++
		g.note(m) // acted on all the same, and kept as it came
	}
	if a := g.event(m); a != nil {
		g.answer(m, a)
	}
}

// A message is a charger's CALL on its way to an answer.
type message struct {
	conn   *conn
	time   *record.ChargerTime // of what it tells; nil: nothing is known of the charger's clock
	id     string
	sum    [32]byte
	action string
	event  ocpp.Event
	raw    []byte
}

// sealed returns the message's frame with every token sealed, for a record.
func (g *Gateway) sealed(m message) string {
	return string(m.conn.dialect.SealTokens(m.raw, g.seal))
}

// event dispatches an event to its rule. A nil answer means: later.
func (g *Gateway) event(m message) ocpp.Answer {
	switch ev := m.event.(type) {
	case ocpp.Boot:
		return g.boot(m, ev)
	case ocpp.Heartbeat:
		return ocpp.TimeAnswer{Now: g.clock()}
	case ocpp.Status:
		return g.status(m, ev)
	case ocpp.Authorize:
		return g.authorize(m, ev)
	case ocpp.Transaction:
		return g.transaction(m, ev)
	case ocpp.Meter:
		return g.meter(m, ev)
	case ocpp.Data:
		g.note(m)
		return ocpp.DataAnswer{Status: "UnknownVendorId"}
	case ocpp.Security:
		return g.securityNews(m, ev)
	case ocpp.Progress:
		return g.progress(m, ev)
	case ocpp.Reservation:
		return g.reservationNews(m, ev)
	case ocpp.Report:
		if !g.report(m.conn, ev) {
			g.note(m)
		}
		return ocpp.Done{}
	case ocpp.Profiles:
		if !g.profiles(m.conn, ev) {
			g.note(m)
		}
		return ocpp.Done{}
	case ocpp.LimitNotice, ocpp.Other:
		g.note(m)
		return ocpp.Done{}
	}
	panic(fmt.Sprintf("gateway: event %T", m.event))
}

// note keeps a message that no rule needs.
func (g *Gateway) note(m message) {
	g.emit(record.Record{Charger: m.conn.charger, Body: &record.FrameNoted{Action: m.action, Raw: g.sealed(m)}})
}

// reject answers a message that cannot be acted on.
func (g *Gateway) reject(m message, why *ocpp.Error) {
	g.counters.BadFrames++
	g.reply(m, why.Frame(m.conn.dialect.Version(), m.id).Encode())
}

func (g *Gateway) answer(m message, a ocpp.Answer) {
	payload := m.conn.dialect.Answer(m.action, m.event, a)
	f := ocpp.Frame{Type: ocpp.CallResult, ID: m.id, Payload: payload}
	g.reply(m, f.Encode())
}

func (g *Gateway) reply(m message, raw []byte) {
	c := m.conn
	c.replays = append(c.replays, replay{m.id, m.action, m.sum, bytes.Clone(raw)})
	if len(c.replays) > ReplayMemory {
		c.replays = c.replays[1:]
	}
	g.send(c, raw)
}

// clock is the time that chargers are told: never below the floor that signed
// cloud time has set, and not what a clock shows that has lost its time.
func (g *Gateway) clock() holdfast.UnixMilli {
	floor := g.state.Access.Floor(g.now)
	if floor != 0 && (g.now.Quality == holdfast.Unknown || !CanFollow(floor, g.now.Wall)) {
		return floor
	}
	return max(g.now.Wall, floor)
}

// boot accepts every charger that the shell let in. The record is written when
// something about the charger is new, and otherwise at most once a minute: a
// charger that boots in circles cannot fill the disk.
func (g *Gateway) boot(m message, ev ocpp.Boot) ocpp.Answer {
	b := record.ChargerBooted{
		Version: string(m.conn.dialect.Version()), Vendor: ev.Vendor, Model: ev.Model,
		Serial: ev.Serial, Firmware: ev.Firmware, Reason: ev.Reason,
	}
	g.chargerClock(m.conn.charger).start(g.now.Mono)
	known := g.state.Chargers[m.conn.charger]
	if known == nil || known.Boot != b || g.since(known.BootedAt, known.BootedRan) >= CoalesceMillis {
		g.emit(record.Record{Charger: m.conn.charger, Body: &b})
	}
	g.nativeBooted(m.conn.charger)
	g.power.booted(m.conn.charger)
	return ocpp.BootAnswer{Status: "Accepted", Now: g.clock(), IntervalS: g.cfg.heartbeat()}
}
