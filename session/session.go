package session

import (
	"errors"
	"fmt"
	"maps"

	"github.com/holdfast-ev/holdfast"
	"github.com/holdfast-ev/holdfast/record"
)

// ErrFold is wrapped by every error of [Fold] and [Session.Apply]: the records
// do not tell the story of one session.
var ErrFold = errors.New("records do not fold into a session")

// Why a reading is evidence (record.SessionReading.Why).
const (
	WhyBegin  = "begin"  // the first register that can be true; what was believed before it was a placeholder
	WhyLimit  = "limit"  // a limit was reached on it
	WhyReset  = "reset"  // the last before, or the first after, the register fell
	WhyHourly = "hourly" // so that a crash or a lost stop forgets no more than an hour
	WhyIdle   = "idle"   // charging paused
	WhyActive = "active" // charging went on
	WhyFirst  = "first"  // the first register of a session that started without one
)

// A Session is one charging session, as the records so far tell it. Its JSON
// form is part of the gateway's snapshot.
type Session struct {
	ID       holdfast.SessionID    `json:"id"`
	Charger  holdfast.ChargerID    `json:"charger"`
	Opened   *record.SessionOpened `json:"opened,omitempty"` // nil when only a stop arrived
	OpenedAt holdfast.Instant      `json:"opened_at"`        // the gateway's time of the opening record
	OpenSeq  holdfast.Seq          `json:"open_seq"`
	Orphan   *record.StopOrphaned  `json:"orphan,omitempty"`
	Ended    *record.SessionEnded  `json:"ended,omitempty"` // nil while it runs
	EndedAt  holdfast.Instant      `json:"ended_at,omitzero"`
	Meter    Meter                 `json:"meter"`
	Labels   map[string]string     `json:"labels"`
	Rebased  bool                  `json:"rebased,omitempty"` // the start register was a placeholder
	Idle     Idle                  `json:"idle,omitzero"`
	Limited  map[string]string     `json:"limited,omitempty"` // limit kind -> action taken
	Readings int                   `json:"readings"`          // evidence readings so far
	Receipt  bool                  `json:"receipt,omitempty"` // a receipt was issued
}

// Open begins a session from its opening record: [record.SessionOpened] or
// [record.StopOrphaned]. The id is the record's leaf hash.
func Open(id holdfast.SessionID, r record.Record) (*Session, error) {
	s := &Session{ID: id, Charger: r.Charger, OpenedAt: r.At, OpenSeq: r.Seq, Labels: map[string]string{}}
	switch b := r.Body.(type) {
	case *record.SessionOpened:
		o := *b
		o.Raw = "" // stays in the journal; state carries no raw frames
		s.Opened = &o
		maps.Copy(s.Labels, b.Labels)
		if b.Start != nil && b.StartTrust == record.Trusted {
			s.Meter.Count(*b.Start, b.StartedAt)
		}
	case *record.StopOrphaned:
		o := *b
		o.Raw, o.Readings = "", nil
		s.Orphan = &o
		maps.Copy(s.Labels, b.Labels)
		s.countAll(b.Readings, b.Time)
		if b.Stop != nil {
			s.count(*b.Stop, b.StoppedAt, b.Time)
		}
		s.EndedAt = r.At
	default:
		return nil, fmt.Errorf("%w: %s opens no session", ErrFold, r.Body.Type())
	}
	return s, nil
}

// Apply folds one more record of the session. Kinds that do not change it are
// accepted and ignored, so that a reader of an older version still folds.
func (s *Session) Apply(r record.Record) error {
	switch b := r.Body.(type) {
	case *record.SessionReading:
		s.applyReading(r.At, b)
	case *record.SessionAuthorized:
		s.authorize(b)
	case *record.SessionLabelled:
		maps.Copy(s.Labels, b.Labels)
	case *record.SessionLimited:
		if s.Limited == nil {
			s.Limited = map[string]string{}
		}
		s.Limited[b.Kind] = b.Action
	case *record.SessionEnded:
		return s.end(r.At, b)
	case *record.ReceiptIssued:
		s.Receipt = true
	case *record.SessionOpened, *record.StopOrphaned:
		return fmt.Errorf("%w: %s inside session %s", ErrFold, r.Body.Type(), s.ID.Short())
	}
	return nil
}

// authorize takes the credential of a session that was opened without one. The
// first credential counts: a later one changes nothing about who pays.
func (s *Session) authorize(b *record.SessionAuthorized) {
	if s.Opened == nil || s.Opened.Decision != nil || !s.Opened.Token.IsZero() {
		return
	}
	o := *s.Opened
	o.Decision, o.Source, o.Token, o.Sealed = b.Decision, b.Source, b.Token, b.Sealed
	o.Limits, o.Reserved, o.Tariff = b.Limits, b.Reserved, b.Tariff
	s.Opened = &o
}

func (s *Session) applyReading(at holdfast.Instant, b *record.SessionReading) {
	s.Readings++
	when := stamp{b.Reading.At, at, b.Time}
	switch b.Why {
	case WhyIdle:
		s.Idle.start(when)
	case WhyActive:
		s.Idle.stop(when)
	}
	if b.Reading.Register == nil {
		return
	}
	if b.Why == WhyBegin {
		s.Rebased = true
		s.Meter.Rebase(*b.Reading.Register, b.Reading.At)
		return
	}
	s.count(*b.Reading.Register, b.Reading.At, b.Time)
}

// end folds the end. A second end is possible only as a better one: a stop
// message that came after the gateway had closed the session without one. A
// late update never reopens a session.
func (s *Session) end(at holdfast.Instant, b *record.SessionEnded) error {
	if s.Orphan != nil {
		return fmt.Errorf("%w: an orphaned stop has no second end", ErrFold)
	}
	if s.Ended != nil && !s.ClosedByUs() {
		return nil // a repeated stop says nothing new
	}
	e := *b
	e.Raw, e.Readings = "", nil
	s.Ended, s.EndedAt = &e, at
	s.countAll(b.Readings, b.Time)
	if b.Stop != nil && b.StopTrust == record.Trusted {
		s.count(*b.Stop, b.StoppedAt, b.Time)
	}
	s.Idle.stop(s.over())
	return nil
}

// countAll counts the readings of one message.
func (s *Session) countAll(readings []holdfast.Reading, when *record.ChargerTime) {
	if last, ok := s.Meter.Last(); ok {
		readings = readings[FillIns(readings, last):]
	}
	for _, r := range readings {
		if r.Register != nil {
			s.count(*r.Register, r.At, when)
		}
	}
}

// count counts a register. One that came live is the newest, whatever time the
// charger gives it.
func (s *Session) count(wh holdfast.WattHours, at holdfast.UnixMilli, when *record.ChargerTime) {
	if when.Live() {
		s.Meter.CountNow(wh, at)
		return
	}
	s.Meter.Count(wh, at)
}

// ReasonPrefix marks end reasons that no charger gave: the gateway closed the
// session because its stop can no longer be expected in order.
const ReasonPrefix = "Holdfast."

// The reasons for closing a session without a stop message.
const (
	ReasonReplaced = ReasonPrefix + "Replaced" // another session began on the same EVSE
	ReasonGone     = ReasonPrefix + "Gone"     // the charger says that it is not running and that nothing about it waits to be sent (2.0.1 E14)
	ReasonFreed    = ReasonPrefix + "Freed"    // the charger booted or reports the EVSE free, and sent no stop in time
)

// ClosedByUs reports whether the session was ended without a stop message.
func (s *Session) ClosedByUs() bool {
	return s.Ended != nil && len(s.Ended.Reason) >= len(ReasonPrefix) && s.Ended.Reason[:len(ReasonPrefix)] == ReasonPrefix
}

// Running reports whether energy may still flow.
func (s *Session) Running() bool { return s.Ended == nil && s.Orphan == nil }

// Complete reports whether the session can be settled.
func (s *Session) Complete() bool { return !s.Running() }

// EVSE returns the EVSE that the session is on.
func (s *Session) EVSE() int {
	if s.Opened != nil {
		return s.Opened.EVSE
	}
	return s.Orphan.EVSE
}

// Token returns the hash of the credential that the session runs on.
func (s *Session) Token() holdfast.TokenHash {
	if s.Opened != nil {
		return s.Opened.Token
	}
	return s.Orphan.Token
}

// Fold folds the records of one session, in the order of their positions. The
// first must open it; id is that record's leaf hash.
func Fold(id holdfast.SessionID, records []record.Record) (*Session, error) {
	if len(records) == 0 {
		return nil, fmt.Errorf("%w: no records", ErrFold)
	}
	s, err := Open(id, records[0])
	if err != nil {
		return nil, err
	}
	for _, r := range records[1:] {
		if err := s.Apply(r); err != nil {
			return nil, err
		}
	}
	return s, nil
}
