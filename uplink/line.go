package uplink

import (
	"slices"

	"github.com/holdfast-ev/holdfast"
)

// The line's times, in milliseconds of the gateway's monotonic clock.
const (
	BackoffMinMillis  = 500    // first retry after a failed contact
	BackoffMaxMillis  = 60_000 // retries never get rarer than this
	HelloEveryMillis  = 30_000 // a quiet line is tried this often
	SyncedHoldMillis  = 30_000 // SYNCED stays visible this long before it is ONLINE
	CauseHoldMillis   = 60_000 // a changed cause of one outage is recorded at most this often
	AnswerLimitMillis = 90_000 // a contact without an answer for this long is taken as failed
)

// A Change is a transition of the link state, or of the cause of an outage
// (then From equals To).
type Change struct {
	From, To holdfast.LinkState
	Cause    holdfast.Cause
	Detail   string
	LastedMs int64
}

// A Slot names the next slice to send.
type Slot struct {
	Journal holdfast.Journal
	Epoch   holdfast.Epoch
	First   holdfast.Seq
}

// A Line is the gateway's end of the uplink. Nothing in it is durable: after a
// start the first Welcome says how far the cloud is.
type Line struct {
	state holdfast.LinkState
	cause holdfast.Cause
	since int64 // mono ms of the last change of state
	noted int64 // mono ms of the last recorded change

	calling  int64 // mono ms + 1 of the hello or upload under way; 0: none
	upload   *Slot // the upload under way
	attempts int
	next     int64 // when to say hello next
	later    int64 // no uploads before this: the cloud is busy
	known    bool  // a Welcome has come since the line was last down
	heads    []track

	every    int64 // ms between contacts of a quiet line; 0: HelloEveryMillis
	patience Patience
	held     hold
}

// track is one (journal, epoch) on its way to the cloud.
type track struct {
	Head
	received    uint64
	reconciled  uint64
	checkpoint  uint64 // size of the last checkpoint in the stream
	shown       uint64 // checkpoint size that the cloud has been sent
	blocked     bool   // what comes next cannot be read from the disk any more
	outageUntil uint64 // evidence that the last outage held back: SYNCED when reconciled
}

// NewLine starts a line in OFFLINE: a gateway that has just started knows
// nothing of its cloud. heads are the journals' epochs, oldest first.
func NewLine(now int64, cause holdfast.Cause, heads []Head) *Line {
	l := &Line{state: holdfast.Offline, cause: cause, since: now, noted: now, held: newHold()}
	for _, h := range heads {
		l.heads = append(l.heads, track{Head: h})
	}
	return l
}

// State returns the link state, its cause, and since when (monotonic ms).
func (l *Line) State() (holdfast.LinkState, holdfast.Cause, int64) { return l.state, l.cause, l.since }

// Reachable reports whether the cloud answered last time.
func (l *Line) Reachable() bool { return l.state != holdfast.Offline }

// Committed notes how far the disk has come.
func (l *Line) Committed(j holdfast.Journal, e holdfast.Epoch, size, checkpoint uint64) {
	if t := l.track(j, e); t != nil {
		t.Size = max(t.Size, size)
		t.checkpoint = max(t.checkpoint, checkpoint)
	}
}

func (l *Line) track(j holdfast.Journal, e holdfast.Epoch) *track {
	for i := range l.heads {
		if l.heads[i].Journal == j && l.heads[i].Epoch == e {
			return &l.heads[i]
		}
	}
	return nil
}

// newest reports whether t is the epoch that its journal is in.
func (l *Line) newest(t *track) bool {
	for i := range l.heads {
		if h := &l.heads[len(l.heads)-1-i]; h.Journal == t.Journal {
			return h == t
		}
	}
	return false
}

// Heads returns what to name in the next Hello.
func (l *Line) Heads() []Head {
	out := make([]Head, len(l.heads))
	for i, t := range l.heads {
		out[i] = t.Head
	}
	return out
}

// Ring asks for a hello now: somebody rang the doorbell.
func (l *Line) Ring(now int64) { l.next = min(l.next, now) }

// CallNow reports whether to say hello now; the line counts it as under way.
func (l *Line) CallNow(now int64) bool {
	if !l.Due(now) {
		return false
	}
	l.calling = now + 1
	return true
}

// Due reports whether it is time to say hello.
func (l *Line) Due(now int64) bool { return l.calling == 0 && now >= l.next }

// Up takes a Welcome. ahead is a journal's newest head of which the cloud has
// more than this disk: history was lost here (a restored image, a replaced
// disk), and the gateway must go on in a new epoch. An older one of which it has
// more has its new epoch already.
func (l *Line) Up(now int64, w Welcome) (change *Change, ahead *Head) {
	l.calling, l.upload, l.attempts, l.known = 0, nil, 0, true
	l.next = now + l.pace()
	l.pause(now, w.LaterMillis)
	for _, c := range w.Cursors {
		t := l.track(c.Journal, c.Epoch)
		if t == nil {
			continue
		}
		if c.Received > t.Size && l.newest(t) {
			h := t.Head
			ahead = &h
		}
		// The cloud's word counts even when it is lower than before: it was
		// restored from a backup, and the gateway sends again what it kept.
		t.received, t.reconciled, t.shown, t.blocked = min(c.Received, t.Size), min(c.Reconciled, t.Size), 0, false
		if l.state == holdfast.Offline && t.Journal == holdfast.Evidence {
			t.outageUntil = t.Size
		}
	}
	if l.state == holdfast.Offline {
		change = l.to(now, holdfast.Syncing, holdfast.CauseNone, "")
	}
	return change, ahead
}

// Down takes a failed contact.
func (l *Line) Down(now int64, cause holdfast.Cause, detail string, jitter func(n int64) int64) *Change {
	l.calling, l.upload, l.known = 0, nil, false
	wait := min(int64(BackoffMinMillis)<<min(l.attempts, 10), BackoffMaxMillis)
	l.attempts++
	l.next = now + wait + jitter(wait/4+1)
	if l.state != holdfast.Offline {
		return l.to(now, holdfast.Offline, cause, detail)
	}
	if cause != l.cause && (l.cause == holdfast.CauseStartup || now-l.noted >= CauseHoldMillis) {
		return l.to(now, holdfast.Offline, cause, detail)
	}
	return nil
}

func (l *Line) to(now int64, s holdfast.LinkState, cause holdfast.Cause, detail string) *Change {
	c := &Change{From: l.state, To: s, Cause: cause, Detail: detail, LastedMs: now - l.since}
	if s != l.state {
		l.since = now
	}
	l.state, l.cause, l.noted = s, cause, now
	return c
}

func (l *Line) pause(now, laterMillis int64) {
	if laterMillis > 0 {
		l.later = now + min(laterMillis, MaxLaterMillis)
	}
}

// Next returns the slice to send now, and counts it as under way: evidence
// first and in order, telemetry last. may says which journals the route carries
// now. nil: nothing to send, or not now.
func (l *Line) Next(now int64, may func(holdfast.Journal) bool) *Slot {
	if !l.known || l.calling != 0 || now < l.later {
		return nil
	}
	for _, j := range []holdfast.Journal{holdfast.Evidence, holdfast.Telemetry} {
		if !may(j) || j == holdfast.Evidence && !l.patient(now) {
			continue
		}
		for i := range l.heads {
			t := &l.heads[i]
			if t.Journal != j || !t.unsent() {
				continue
			}
			t.shown = t.checkpoint
			l.calling = now + 1
			l.upload = &Slot{j, t.Epoch, holdfast.Seq(t.received)}
			return l.upload
		}
	}
	return nil
}

// unsent: records, or a checkpoint that covers what the cloud holds and has
// not reconciled.
func (t *track) unsent() bool {
	return !t.blocked && (t.received < t.Size || t.checkpoint > t.reconciled && t.checkpoint > t.shown)
}

// Acked takes the answer to the upload under way.
func (l *Line) Acked(now int64, s Slot, a Ack) {
	l.done(s)
	if l.next > now { // a doorbell that rang meanwhile is not forgotten
		l.next = now + l.pace()
	}
	l.pause(now, a.LaterMillis)
	if t := l.track(s.Journal, s.Epoch); t != nil {
		if t.reconciled == 0 && a.Reconciled > 0 && l.waits(t.Parent) {
			l.next = now // the cloud now knows how the epoch before ended
		}
		t.received = min(a.Received, t.Size)
		t.reconciled = min(a.Reconciled, t.Size)
	}
}

// waits reports whether evidence of an epoch is not reconciled.
func (l *Line) waits(e holdfast.Epoch) bool {
	t := l.track(holdfast.Evidence, e)
	return t != nil && !e.IsZero() && t.reconciled < t.Size
}

// Mismatched takes a position mismatch: the cloud expects another record.
func (l *Line) Mismatched(now int64, s Slot, expected uint64) {
	l.done(s)
	l.next = now // ask for all cursors: something is not as we thought
	if t := l.track(s.Journal, s.Epoch); t != nil {
		t.received, t.shown = min(expected, t.Size), 0
	}
}

// Block gives up on the rest of an epoch: its records are not on the disk.
func (l *Line) Block(s Slot) {
	l.done(s)
	if t := l.track(s.Journal, s.Epoch); t != nil {
		t.blocked, t.outageUntil = true, 0
	}
}

// Skip gives up the telemetry of an epoch before resume: it is not on the disk.
// The next hello says so, and the cloud goes on behind it.
func (l *Line) Skip(now int64, s Slot, resume holdfast.Seq) {
	l.done(s)
	t := l.track(s.Journal, s.Epoch)
	if t == nil {
		return
	}
	t.blocked = true // until the cloud has answered
	if first := min(uint64(resume), t.Size); first > t.First {
		t.First = first
		l.Ring(now)
	}
}

func (l *Line) done(s Slot) {
	if l.upload != nil && *l.upload == s {
		l.calling, l.upload = 0, nil
	}
}

// Settle moves SYNCING to SYNCED when everything that the outage held back is
// reconciled, and SYNCED to ONLINE after [SyncedHoldMillis].
func (l *Line) Settle(now int64) *Change {
	switch l.state {
	case holdfast.Syncing:
		if !slices.ContainsFunc(l.heads, func(t track) bool { return t.reconciled < t.outageUntil }) {
			return l.to(now, holdfast.Synced, holdfast.CauseNone, "")
		}
	case holdfast.Synced:
		if now-l.since >= SyncedHoldMillis {
			return l.to(now, holdfast.Online, holdfast.CauseNone, "")
		}
	}
	return nil
}

// Backlog counts the evidence records that the cloud has not reconciled.
func (l *Line) Backlog() (records uint64) {
	for _, t := range l.heads {
		if t.Journal == holdfast.Evidence {
			records += t.Size - min(t.reconciled, t.Size)
		}
	}
	return records
}

// Reconciled returns how far the cloud is in each head.
func (l *Line) Reconciled() []Cursor {
	out := make([]Cursor, 0, len(l.heads))
	for _, t := range l.heads {
		out = append(out, Cursor{t.Journal, t.Epoch, t.received, t.reconciled})
	}
	return out
}
