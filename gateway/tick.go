package gateway

import (
	"slices"

	"github.com/holdfast-ev/holdfast"
	"github.com/holdfast-ev/holdfast/record"
	"github.com/holdfast-ev/holdfast/session"
)

// tick does what time demands.
func (g *Gateway) tick() {
	g.clockCheck()
	g.timeouts()
	g.collectTick()
	g.expireAsks()
	g.lapse()
	for _, ses := range g.state.allRunning() {
		g.limits(ses)
	}
	g.freedLong()
	g.cutOutTick()
	g.power.dirty = true
	g.flush()
	g.noteUsage(false)
	g.settle()
	g.space()
	g.nativeTick()
	g.pruneTick()
}

// ClockStepMillis is how far the wall clock may leave the monotonic one between
// two ticks before it is called a step.
const ClockStepMillis = 2_000

// clockCheck notes steps of the wall clock and changes of its quality.
func (g *Gateway) clockCheck() {
	was := g.clockWas
	g.clockWas = g.now
	step := int64(g.now.Wall-was.Wall) - (g.now.Mono - was.Mono)
	if was.Boot != g.now.Boot || was.Quality == g.now.Quality && step <= ClockStepMillis && step >= -ClockStepMillis {
		return
	}
	cause := holdfast.CauseNone
	if g.now.Quality == holdfast.Unknown || g.now.Wall < g.state.Access.Floor(g.now) {
		cause = holdfast.CauseClockUntrusted
	}
	g.once(coalesceKey{kind: "clock"}, record.Record{Body: &record.ClockChanged{From: was, To: g.now, Cause: cause, StepMs: step}})
}

// freedLong closes sessions whose EVSE has been free for [FreedGraceMillis] and
// whose stop did not come.
func (g *Gateway) freedLong() {
	var due []*Session
	for key, since := range g.freed {
		if g.now.Mono-since < FreedGraceMillis {
			continue
		}
		delete(g.freed, key)
		if ses := g.on(key.charger, key.evse); ses != nil {
			due = append(due, ses)
		}
	}
	slices.SortFunc(due, cmpSessions)
	for _, ses := range due {
		g.abandon(ses, session.ReasonFreed)
	}
}

// need is the space that running sessions and accepted drivers have reserved.
func (g *Gateway) need() int64 {
	return int64(g.state.runningCount()+len(g.state.Pending))*SessionReserveBytes + SpaceMarginBytes
}

// room reports whether one more session can be written to its end.
func (g *Gateway) room() bool {
	return g.free < 0 || g.free >= g.need()+SessionReserveBytes
}

// space notes when new sessions begin to be refused, and accepted again. It
// needs twice the room of one session to come back, so that it does not strobe.
func (g *Gateway) space() {
	if g.free < 0 {
		return
	}
	refusing := g.state.Refusing
	switch {
	case !refusing && !g.room():
		refusing = true
	case refusing && g.free >= g.need()+2*SessionReserveBytes:
		refusing = false
	}
	if refusing != g.state.Refusing {
		g.emit(record.Record{Body: &record.StorageChanged{Refusing: refusing, FreeBytes: g.free, NeedBytes: g.need()}})
	}
}

// PruneEveryMillis is how often space is given back.
const PruneEveryMillis = 3_600_000

func (g *Gateway) pruneTick() {
	if g.now.Mono-g.pruned >= PruneEveryMillis {
		g.pruned = g.now.Mono
		g.prune()
	}
}

// quit ends a boot in order.
func (g *Gateway) quit() {
	g.flush()
	g.noteUsage(true)
	g.emit(record.Record{Body: &record.GatewayStopped{Cause: holdfast.CausePlanned}})
	g.ready.Checkpoint = true
	g.ready.Snapshot = true
	g.stopping = true
}
