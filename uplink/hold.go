package uplink

import "github.com/holdfast-ev/holdfast"

// Patience is how long evidence may wait on the gateway: until Records are
// there or the oldest has waited for Millis, whichever comes first. The zero
// value is none.
type Patience struct {
	Records uint64 // 0: their number does not matter
	Millis  int64
}

// A hold lets evidence wait and then lets all of it go that was there at that
// moment, so that the tail of a batch does not wait twice.
type hold struct {
	since int64  // mono ms from which what waits has waited
	until uint64 // records to be sent before the next wait; 0: waiting
}

// newHold begins with everything let go: what lay on the disk at the start may
// have waited for any time.
func newHold() hold { return hold{until: 1<<64 - 1} }

// free reports whether evidence may go now. have of all records are sent.
func (h *hold) free(now int64, have, all uint64, p Patience) bool {
	if h.until > 0 && (have >= h.until || have >= all) {
		h.until, h.since = 0, now
	}
	if h.until == 0 && have >= all {
		h.since = now
		return true // nothing waits
	}
	if h.until == 0 && (p == (Patience{}) || p.Records > 0 && all-have >= p.Records || now-h.since >= p.Millis) {
		h.until = all
	}
	return h.until > 0
}

// Patient lets evidence wait on the line from now on. The zero value lets it go
// as it comes.
func (l *Line) Patient(p Patience) { l.patience = p }

// patient reports whether evidence may go now.
func (l *Line) patient(now int64) bool {
	have, all := l.progress(holdfast.Evidence)
	return l.held.free(now, have, all, l.patience)
}

// Pace sets how often a quiet line is tried, in ms; 0 is [HelloEveryMillis].
func (l *Line) Pace(ms int64) { l.every = ms }

func (l *Line) pace() int64 {
	if l.every > 0 {
		return l.every
	}
	return HelloEveryMillis
}

// Reroute takes a failed contact, or a better way that was found: the next
// contact goes another way at once, and asks the cloud how far it is before
// anything is sent there. The link state stays as it is.
func (l *Line) Reroute(now int64) {
	l.calling, l.upload, l.known, l.next = 0, nil, false, now
}

// Idle reports that no contact is under way.
func (l *Line) Idle() bool { return l.calling == 0 }

// Overdue reports that the contact under way was not answered for
// [AnswerLimitMillis]: it has failed.
func (l *Line) Overdue(now int64) bool { return l.calling != 0 && now-l.calling > AnswerLimitMillis }

// Waiting counts the records of a journal that the cloud has not received.
func (l *Line) Waiting(j holdfast.Journal) uint64 {
	have, all := l.progress(j)
	return all - have
}

// progress counts what is sent of a journal, and what there is. A checkpoint
// that has yet to be shown counts as one more.
func (l *Line) progress(j holdfast.Journal) (have, all uint64) {
	for i := range l.heads {
		t := &l.heads[i]
		if t.Journal != j || t.blocked {
			continue
		}
		have, all = have+t.received, all+t.Size
		if t.received == t.Size && t.unsent() {
			all++
		}
	}
	return have, all
}
