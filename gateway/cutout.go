package gateway

import (
	"fmt"
	"slices"

	"github.com/holdfast-ev/holdfast"
	"github.com/holdfast-ev/holdfast/ocpp"
	"github.com/holdfast-ev/holdfast/record"
)

// Times of the cut-out.
const (
	CutOutRetryMillis = 3_000 // a stop that is not obeyed is ordered again this often
	CutOutCallMillis  = 1_000 // a call under way keeps a stop waiting no longer than this
)

// CutOut: the safety cut-out's input was read. The shell sends one when it has
// changed, and the first after each start.
type CutOut struct {
	Line   string // the input's name, such as its file
	Active bool   // energy must stop; also when the input cannot be read
	Detail string // why it counts as active, when it does not say so itself
}

// CutOutRelease: a person at the site releases a latched cut-out.
type CutOutRelease struct {
	By string
}

// An Output sets a line outside, such as a contactor's.
type Output struct {
	Line string
	On   bool
}

// LineContactor is the output that is on while energy must be cut off upstream:
// the cut-out tripped and sessions did not stop by the deadline.
const LineContactor = "contactor"

// cutOff is what is known of the cut-out's input since the start.
type cutOff struct {
	known  bool
	active bool
}

// cutOff reports whether nothing may start: the cut-out is latched, or its input
// has not been read yet.
func (g *Gateway) cutOff() bool {
	return g.state.Power.CutOut.Latched || g.cfg.CutOut.Fitted && !g.cut.known
}

// cutOut takes the input. It latches: what it stopped stays stopped until a
// person has released it, over restarts too.
func (g *Gateway) cutOut(in CutOut) {
	first := !g.cut.known
	g.cut.known, g.cut.active = true, in.Active
	latched := g.state.Power.CutOut
	switch {
	case in.Active && !latched.Latched:
		g.emit(record.Record{Body: &record.PowerCutOut{Event: record.CutOutTripped, Line: clip(in.Line), Detail: clip(in.Detail)}})
		g.stopAll()
	case first && latched.Failed:
		g.output(true) // the line outside has lost it with the last process
	case first && !latched.Latched:
		g.output(false)
	}
	g.cutOutTick()
}

// stopAll orders every session to stop, in this very step, and its power to 0 in
// case the stop is refused. A charger whose answer to something else is awaited
// is told as soon as that is there, or has taken [CutOutCallMillis].
func (g *Gateway) stopAll() {
	g.power.dirty = true
	g.hurry()
	for _, ses := range g.state.allRunning() {
		g.order(ses)
	}
}

// hurry gives up on answers that keep a stop waiting.
func (g *Gateway) hurry() {
	for _, id := range g.power.order {
		c := g.chargers[id]
		if c == nil || c.sent == 0 || g.now.Mono-(c.sent-1) < CutOutCallMillis {
			continue
		}
		if !c.calls[0].stopping() {
			g.unanswered(c)
		}
	}
}

func (k call) stopping() bool { _, ok := k.command.(ocpp.RemoteStop); return ok }

// toldToStop reports whether an order of ours to stop a session waits for its
// turn or its answer.
func (c *conn) toldToStop(id holdfast.SessionID) bool {
	return slices.ContainsFunc(c.calls, func(k call) bool { return k.stopping() && k.session == id })
}

// urgent puts a command before all that wait. It is never refused: there is one
// stop and one set-point per session at most.
func (g *Gateway) urgent(c *conn, k call) {
	k.id = g.chance.messageID()
	at := 0
	if c.sent != 0 {
		at = 1
	}
	for at < len(c.calls) && c.calls[at].stopping() {
		at++
	}
	c.calls = append(c.calls[:at:at], append([]call{k}, c.calls[at:]...)...)
	if c.sent == 0 {
		g.sendCall(c)
	}
}

func (g *Gateway) stopRetry() int64 {
	if g.state.Power.CutOut.Latched {
		return CutOutRetryMillis
	}
	return StopRetryMillis
}

// cutOutTick watches the deadline.
func (g *Gateway) cutOutTick() {
	now := g.state.Power.CutOut
	if !now.Latched {
		return
	}
	g.hurry()
	if now.Result == record.CutOutStopped {
		return
	}
	ms, running := g.since(now.At, now.Ran), g.state.allRunning()
	if len(running) == 0 {
		g.emit(record.Record{Body: &record.PowerCutOut{Event: record.CutOutStopped, Line: now.Line, Ms: ms}})
		return
	}
	deadline := g.cfg.CutOut.DeadlineMs
	if deadline == 0 {
		deadline = DefaultCutOutDeadlineMs
	}
	if now.Result != "" || ms < deadline {
		return
	}
	left := 0
	for _, ses := range running {
		if l := g.live[ses.ID]; l == nil || l.powerAt < g.now.Mono-ms || l.power > g.cfg.CutOut.Floor {
			left++
		}
	}
	if left > 0 {
		g.notStopped(running, ms, left)
	}
}

// notStopped: the chargers did not do it in time, so somebody else must.
func (g *Gateway) notStopped(running []*Session, ms int64, left int) {
	line := g.state.Power.CutOut.Line
	g.emit(record.Record{Body: &record.PowerCutOut{Event: record.CutOutNotStopped, Line: line, Ms: ms, Left: left}})
	g.raise(record.Record{}, "POWER_CUTOUT", fmt.Sprintf("%d sessions had not stopped %d ms after the cut-out tripped", left, ms))
	told := map[evse]bool{}
	for _, ses := range running {
		c := g.chargers[ses.Charger]
		if key := (evse{ses.Charger, ses.EVSE()}); c != nil && !told[key] {
			told[key] = true
			g.command(c, call{command: ocpp.SetAvailability{EVSE: key.evse}})
		}
	}
	g.output(true)
}

func (g *Gateway) output(on bool) {
	if g.cfg.CutOut.Fitted {
		g.ready.Outputs = append(g.ready.Outputs, Output{Line: LineContactor, On: on})
	}
}

// releaseCutOut unlatches, if the input permits it. The shell has looked before
// and told the person; here it is decided.
func (g *Gateway) releaseCutOut(in CutOutRelease) {
	now := g.state.Power.CutOut
	if !now.Latched || g.cut.active || g.cfg.CutOut.Fitted && !g.cut.known {
		return
	}
	g.emit(record.Record{Body: &record.PowerCutOut{Event: record.CutOutReleased, Line: now.Line, Ms: g.since(now.At, now.Ran), Detail: clip(in.By)}})
	if now.Failed {
		for _, id := range g.power.order {
			if c := g.chargers[id]; c != nil {
				g.command(c, call{command: ocpp.SetAvailability{Operative: true}})
			}
		}
	}
	g.output(false)
	g.power.dirty = true
}
