package session

import "github.com/holdfast-ev/holdfast"

// MaxSpans bounds the meter epochs of one session. A session with more resets
// than this has no meter worth the name: it becomes [DoubtMeterBroken] and
// nothing is billed from it without a person.
const MaxSpans = 8

// MaxRegister is the highest register that is believed: 10 TWh. No charger
// delivers it; a firmware that sends one is not reading a meter.
const MaxRegister holdfast.WattHours = 10_000_000_000_000

// A Span is an unbroken run of a meter register.
type Span struct {
	First   holdfast.WattHours `json:"first"`
	Last    holdfast.WattHours `json:"last"`
	FirstAt holdfast.UnixMilli `json:"first_at"`
	LastAt  holdfast.UnixMilli `json:"last_at"`
}

// Energy is what the meter counted over the span.
func (s Span) Energy() holdfast.WattHours { return s.Last - s.First }

// A Meter folds a session's registers into spans.
type Meter struct {
	Spans  []Span `json:"spans,omitempty"`
	Resets int    `json:"resets,omitempty"` // times the register fell
	Broken bool   `json:"broken,omitempty"` // more spans than MaxSpans
	Absurd bool   `json:"absurd,omitempty"` // a register below zero or above MaxRegister, which is not counted
}

// Count adds a register. Readings come in the order of the journal; one that is
// older than the span's last by the charger's own clock fills in and changes
// nothing, because registers in between two known ones add no energy.
func (m *Meter) Count(wh holdfast.WattHours, at holdfast.UnixMilli) {
	if wh < 0 || wh > MaxRegister {
		m.Absurd = true
		return
	}
	if len(m.Spans) == 0 {
		m.Spans = append(m.Spans, Span{wh, wh, at, at})
		return
	}
	last := &m.Spans[len(m.Spans)-1]
	switch {
	case wh >= last.Last:
		last.Last, last.LastAt = wh, max(at, last.LastAt)
	case at != 0 && at < last.LastAt && wh >= last.First:
		// A late sample from inside the span.
	case len(m.Spans) == MaxSpans:
		m.Broken = true
		m.Resets++
	default:
		m.Resets++
		m.Spans = append(m.Spans, Span{wh, wh, at, at})
	}
}

// CountNow is [Meter.Count] of a register that is the newest: none that is lower
// is a late sample.
func (m *Meter) CountNow(wh holdfast.WattHours, at holdfast.UnixMilli) {
	n := len(m.Spans)
	if n > 0 && wh < m.Spans[n-1].Last {
		at = max(at, m.Spans[n-1].LastAt)
	}
	m.Count(wh, at)
}

// Rebase forgets what was counted so far: the register it began with was no
// reading at all. It returns the first register that was believed until now.
func (m *Meter) Rebase(wh holdfast.WattHours, at holdfast.UnixMilli) {
	*m = Meter{Absurd: m.Absurd}
	m.Count(wh, at)
}

// Energy is the sum over spans.
func (m *Meter) Energy() (sum holdfast.WattHours) {
	for _, s := range m.Spans {
		sum += s.Energy()
	}
	return sum
}

// Last returns the latest register, and whether there is one.
func (m *Meter) Last() (holdfast.WattHours, bool) {
	if len(m.Spans) == 0 {
		return 0, false
	}
	return m.Spans[len(m.Spans)-1].Last, true
}

// First returns the earliest trusted register, and whether there is one.
func (m *Meter) First() (holdfast.WattHours, bool) {
	if len(m.Spans) == 0 {
		return 0, false
	}
	return m.Spans[0].First, true
}
