package gateway

import (
	"github.com/holdfast-ev/holdfast"
	"github.com/holdfast-ev/holdfast/ocpp"
	"github.com/holdfast-ev/holdfast/record"
)

// Bounds of what is believed about a charger's clock (docs/time.md).
const (
	OffsetSamples    = 16               // live messages that an offset rests on; older ones are forgotten
	OffsetAgree      = 3                // of them must agree before an offset is settled, and before one that fell is
	OffsetSpanMillis = 30_000           // and the first and the last of those lie this far apart
	OffsetStepMillis = 10_000           // a clock that is off by more than this from what it was has been set
	LiveDelayMillis  = 60_000           // a live message takes this long at most
	MaxQueuedMillis  = 90 * dayMillis   // a charger keeps a message this long at most
	OffsetNoteMillis = OffsetStepMillis // a change of the offset beyond this is a record
	OffsetFarMillis  = 5 * 60 * 1000    // a charger whose clock is off by more is counted in the status
	offsetNever      = int64(-1) << 62  // mono ms: before everything
)

// A chargerClock estimates how far a charger's clock is from the gateway's
// monotonic one, so that no step of the gateway's wall clock disturbs it. A
// message shows the charger's time less the way it took: what it shows is never
// more than the truth. So the largest of the last samples is the best, and late
// messages do no harm.
type chargerClock struct {
	samples []sample // live, newest last
	now     offset   // the largest of samples
	was     *offset  // the one before: the clock was set, or the charger has started, since then
	low     []sample // live ones in a row far below now: late, or the clock was set back
	started bool     // the charger has started since this boot
	noted   int64    // mono ms + 1 of the last record
}

// An offset is a charger's wall clock minus the gateway's monotonic one, ms, and
// the monotonic times between which it can have held.
type offset struct{ ms, from, to int64 }

type sample struct{ ms, at int64 }

func (c *chargerClock) known() bool { return len(c.samples) > 0 }

// settled: enough samples agree, over a span in which a stuck clock would show.
func (c *chargerClock) settled() bool { return settled(c.samples, c.now.ms) }

func settled(list []sample, ms int64) bool {
	n, first, last := 0, int64(0), int64(0)
	for _, s := range list {
		if ms-s.ms <= OffsetStepMillis {
			if n++; n == 1 {
				first = s.at
			}
			last = s.at
		}
	}
	return n >= OffsetAgree && last-first >= OffsetSpanMillis
}

func largest(list []sample) (ms int64) {
	for i, s := range list {
		if i == 0 || s.ms > ms {
			ms = s.ms
		}
	}
	return ms
}

// take takes the time that a live message shows.
func (c *chargerClock) take(s sample) {
	switch {
	case !c.known():
		c.samples, c.now.ms = append(c.samples, s), s.ms
		return
	case s.ms > c.now.ms+OffsetStepMillis:
		c.step([]sample{s}, s.at)
		return
	case s.ms < c.now.ms-OffsetStepMillis:
		c.fell(s)
		return
	}
	c.low = nil
	c.samples = bounded16(append(c.samples, s), 0)
	c.now.ms = largest(c.samples)
}

// bounded16 keeps the first keep and the newest of a list, OffsetSamples in all.
func bounded16(list []sample, keep int) []sample {
	if n := len(list) - OffsetSamples; n > 0 {
		list = append(list[:keep], list[keep+n:]...)
	}
	return list
}

// fell looks at a sample far below the offset. One is a late message; several
// in a row that agree with each other are a clock that was set back.
func (c *chargerClock) fell(s sample) {
	if n := len(c.low); n > 0 && apart(c.low[n-1].ms, s.ms) > OffsetStepMillis {
		c.low = nil
	}
	c.low = bounded16(append(c.low, s), 1) // the first says since when
	if settled(c.low, largest(c.low)) {
		c.step(c.low, c.low[0].at)
	}
}

func apart(a, b int64) int64 { return max(a-b, b-a) }

// step begins a new offset, which was first seen at a time.
func (c *chargerClock) step(samples []sample, at int64) {
	if c.settled() {
		c.retire(at)
	}
	c.samples, c.low, c.now.ms = append([]sample(nil), samples...), nil, largest(samples)
}

// retire ends an offset. It was left somewhere between the last message that
// showed it and at.
func (c *chargerClock) retire(at int64) {
	c.was = &offset{c.now.ms, c.now.from, at}
	c.now.from = c.samples[len(c.samples)-1].at
}

// start: the charger has started, and its clock may be any.
func (c *chargerClock) start(at int64) {
	switch {
	case c.settled():
		c.retire(at)
	case c.was == nil:
		c.now.from = at
	}
	c.samples, c.low, c.started = nil, nil, true
}

// Where a late message falls.
type placing int

const (
	placed    placing = iota
	unplaced          // it contradicts what is known of the clock
	unchecked         // nothing is known of the clock at that time
)

// place finds when, on the monotonic clock, a late message was made. A message
// from before the clock was set shows the offset of then: of the two, the one
// counts under which the message falls into its own time.
func (c *chargerClock) place(claim holdfast.UnixMilli, now int64) (at int64, how placing) {
	fits := func(o offset) (int64, bool) {
		at := int64(claim) - o.ms
		return min(at, now), at >= o.from && at <= o.to && now-at <= MaxQueuedMillis
	}
	at, ok := fits(offset{c.now.ms, c.now.from, now + OffsetStepMillis})
	if c.was == nil {
		switch {
		case ok:
			return at, placed
		case c.started && at < c.now.from && now-at <= MaxQueuedMillis:
			return 0, unchecked // from before the start
		}
		return 0, unplaced
	}
	before, okBefore := fits(*c.was)
	switch {
	case ok && okBefore && apart(at, before) > OffsetStepMillis, !ok && !okBefore:
		return 0, unplaced
	case ok:
		return at, placed
	}
	return before, placed
}

// connClock is what a connection says about the messages on it.
type connClock struct {
	since   int64 // mono ms of the connection
	drained bool  // what had waited for it has been sent
}

// chargerClock returns what is known of a charger's clock since this boot.
func (g *Gateway) chargerClock(id holdfast.ChargerID) *chargerClock {
	c := g.clocks[id]
	if c == nil {
		c = &chargerClock{now: offset{from: offsetNever}}
		g.clocks[id] = c
	}
	return c
}

// How a message is known to be live.
type liveness int

const (
	queueable liveness = iota // a charger keeps it for later when it is offline (1.6, 3.7.1; 2.0.1 with offline=true)
	declared                  // the charger says that it was online (2.0.1 TransactionEvent)
	prompt                    // chargers do not keep it (StatusNotification, MeterValues outside a transaction)
)

// when works out when something happened that a message on c claims a time for.
// nil: nothing is known about the charger's clock.
func (g *Gateway) when(c *conn, claim holdfast.UnixMilli, how liveness) *record.ChargerTime {
	clk, now := g.chargerClock(c.charger), g.now.Mono
	if claim == 0 {
		if how == queueable {
			return nil
		}
		return g.at(now, 0)
	}
	shown := int64(claim) - now
	if how != queueable || c.clock.drained {
		clk.take(sample{shown, now})
		g.noteClock(c.charger, clk)
	}
	if !clk.known() || how == declared && len(clk.samples) == 1 && !c.clock.drained && now-c.clock.since < LiveDelayMillis {
		return nil // a first message may have been sent once before, long ago
	}
	if late := clk.now.ms - shown; late >= -OffsetStepMillis && late <= LiveDelayMillis {
		c.clock.drained = c.clock.drained || how != prompt
		return g.at(now-max(late, 0), g.offsetMs(clk.now.ms))
	}
	if c.clock.drained && how != prompt || how != queueable && clk.setBack(shown, c.clock.since) {
		return g.at(now, g.offsetMs(shown)) // the charger's clock was set, and this is its new time
	}
	at, placing := clk.place(claim, now)
	switch {
	case placing == placed:
		t := g.at(at, g.offsetMs(clk.now.ms))
		t.How = record.TimeOffset
		return t
	case placing == unchecked && how != prompt:
		return nil // made before the charger started, and kept or sent once before
	case how != queueable:
		return g.at(now, g.offsetMs(shown))
	}
	return &record.ChargerTime{At: holdfast.Instant{Quality: holdfast.Unknown}, How: record.TimeUnknown, OffsetMs: g.offsetMs(clk.now.ms)}
}

// setBack reports whether earlier messages on a connection showed the same fall
// of the clock: then it is no single message that is late.
func (c *chargerClock) setBack(shown, since int64) bool {
	return len(c.low) > 1 && c.low[0].at >= since && apart(c.low[0].ms, shown) <= OffsetStepMillis
}

// offsetMs turns an offset to the monotonic clock into one to the wall clock.
func (g *Gateway) offsetMs(ms int64) int64 { return ms + g.now.Mono - int64(g.now.Wall) }

// at is the gateway's instant at a monotonic time.
func (g *Gateway) at(mono, offset int64) *record.ChargerTime {
	at := g.now
	at.Wall -= holdfast.UnixMilli(g.now.Mono - mono)
	at.Mono = mono
	return &record.ChargerTime{At: at, How: record.TimeLive, OffsetMs: offset}
}

// noteClock writes a settled offset that has changed. It is measured against a
// clock of some quality: against one that anybody may have set it says nothing.
func (g *Gateway) noteClock(id holdfast.ChargerID, c *chargerClock) {
	q := g.now.Quality
	if !q.Trusted() || !c.settled() || c.noted != 0 && g.now.Mono-c.noted < CoalesceMillis {
		return
	}
	off, was := g.offsetMs(c.now.ms), int64(0)
	if known := g.state.Chargers[id]; known != nil && known.Clock != nil {
		was = known.Clock.OffsetMs
	}
	if apart(off, was) <= OffsetNoteMillis {
		return
	}
	c.noted = g.now.Mono + 1
	g.emit(record.Record{Charger: id, Body: &record.ChargerClock{OffsetMs: off, Quality: q, Samples: len(c.samples)}})
}

// timed is when what a message tells happened. It is worked out once, when the
// message arrives: a start may have to wait for the cloud.
func (g *Gateway) timed(c *conn, ev ocpp.Event) *record.ChargerTime {
	switch ev := ev.(type) {
	case ocpp.Transaction:
		how := queueable
		if c.dialect.Version() != ocpp.V16 && !ev.Offline {
			how = declared
		}
		return g.when(c, ev.At, how)
	case ocpp.Status:
		return g.when(c, ev.At, prompt)
	case ocpp.Meter:
		how := prompt
		if ev.TransactionID != "" {
			how = queueable
		}
		if n := len(ev.Readings); n > 0 && ev.Readings[n-1].At != 0 {
			return g.when(c, ev.Readings[n-1].At, how)
		}
	}
	return nil
}

// A ChargerClockStatus is how far a charger's clock is from the gateway's.
type ChargerClockStatus struct {
	OffsetMs int64            `json:"offset_ms"` // the charger's minus the gateway's
	Quality  holdfast.Quality `json:"quality"`   // U until [OffsetAgree] messages agree; then the gateway's own
	Samples  int              `json:"samples"`   // live messages that it rests on
	Far      bool             `json:"far"`       // settled, and off by more than [OffsetFarMillis]
}

func (g *Gateway) clockStatus(id holdfast.ChargerID) *ChargerClockStatus {
	c := g.clocks[id]
	if c == nil || !c.known() {
		return nil
	}
	s := &ChargerClockStatus{OffsetMs: g.offsetMs(c.now.ms), Quality: holdfast.Unknown, Samples: len(c.samples)}
	if c.settled() {
		s.Quality, s.Far = g.now.Quality, s.OffsetMs > OffsetFarMillis || s.OffsetMs < -OffsetFarMillis
	}
	return s
}
