package session

import (
	"github.com/holdfast-ev/holdfast"
	"github.com/holdfast-ev/holdfast/record"
)

const (
	// ClaimToleranceMillis is how far a charger's clock may be off before the
	// gateway's time takes the place of what it claims: 60 s. Within it the claim
	// stands, which is what the charger's display and the driver's phone showed.
	ClaimToleranceMillis = 60_000
	// SpanToleranceMillis is how far the time between two claims may be from what
	// the gateway saw pass before the gateway's counts: 60 s.
	SpanToleranceMillis = 60_000
)

// A stamp is when something happened: as the charger claims, as the gateway
// heard of it, and as the gateway works it out.
type stamp struct {
	Claim   holdfast.UnixMilli  `json:"claim,omitempty"` // 0: none
	Arrived holdfast.Instant    `json:"arrived"`
	Time    *record.ChargerTime `json:"time,omitempty"` // nil: nothing is known of the charger's clock
}

// span is the time between two stamps and how far it can be relied on: S or R
// when the gateway measured it, or had a clock beside the charger's; I when it
// rests on the charger's clock alone; U when nobody can say.
//
// The monotonic clock decides where both ends are known by it; then signed time
// at both ends. The charger's own two claims count where they agree with that,
// and where there is nothing else.
func span(a, b stamp) (ms int64, q holdfast.Quality) {
	claimed := b.Claim - a.Claim
	can := claimsSpan(a, b)
	if own, q, ok := measured(a, b); ok {
		if can && max(own-int64(claimed), int64(claimed)-own) <= SpanToleranceMillis {
			return int64(claimed), q
		}
		return own, q
	}
	doubtful := a.Time != nil && !a.Time.Known() || b.Time != nil && !b.Time.Known()
	switch {
	case can && doubtful:
		return int64(claimed), holdfast.Unknown
	case can && a.Claim.Plausible() && a.Arrived.Quality.Trusted():
		return int64(claimed), a.Arrived.Quality
	case can && a.Claim.Plausible():
		return int64(claimed), holdfast.Informative
	case can:
		return int64(claimed), holdfast.Relative // a wrong clock still counts seconds
	}
	ms, q = between(a.Arrived, b.Arrived)
	if a.Claim != 0 && b.Claim != 0 {
		q = worst(q, holdfast.Informative) // two claims that contradict each other: the messages may have been late as well
	}
	return ms, q
}

// claimsSpan reports whether two claims can be of one clock that was not set in
// between.
func claimsSpan(a, b stamp) bool {
	return a.Claim != 0 && b.Claim >= a.Claim && a.Claim.Plausible() == b.Claim.Plausible()
}

// ClaimsSpan reports whether what the charger says of an ended session's start
// and stop is a span of at most [MaxSeconds]: an estimate where nothing better
// is known.
func (s *Session) ClaimsSpan() bool {
	return s.Opened != nil && s.Ended != nil && claimsSpan(s.began(), s.over()) &&
		int64(s.over().Claim-s.began().Claim) <= MaxSeconds*1000
}

// measured is the span between two stamps by the gateway's clocks.
func measured(a, b stamp) (ms int64, q holdfast.Quality, ok bool) {
	if !a.Time.Known() || !b.Time.Known() {
		return 0, holdfast.Unknown, false
	}
	ms, q = between(a.Time.At, b.Time.At)
	return ms, q, q != holdfast.Unknown
}

// between is the span between two instants: by the monotonic clock within a
// boot, by signed time across boots. Across boots without it nobody can say how
// long the power was away.
func between(a, b holdfast.Instant) (ms int64, q holdfast.Quality) {
	switch {
	case a.Boot == b.Boot && a.Quality == holdfast.Synchronised && b.Quality == holdfast.Synchronised:
		return max(0, b.Mono-a.Mono), holdfast.Synchronised
	case a.Boot == b.Boot:
		return max(0, b.Mono-a.Mono), holdfast.Relative
	case a.Quality == holdfast.Synchronised && b.Quality == holdfast.Synchronised:
		return max(0, int64(b.Wall-a.Wall)), holdfast.Synchronised
	case a.Quality.Trusted() && b.Quality.Trusted():
		return max(0, int64(b.Wall-a.Wall)), holdfast.Relative
	}
	return max(0, int64(b.Wall-a.Wall)), holdfast.Unknown
}

// moment is the stamp as an absolute time: the claim, unless the gateway knows
// better or the claim cannot be.
func (s stamp) moment() (holdfast.UnixMilli, holdfast.Quality) {
	switch t := s.Time; {
	case t.Known() && t.At.Quality.Trusted():
		if s.Claim.Plausible() && max(s.Claim-t.At.Wall, t.At.Wall-s.Claim) <= ClaimToleranceMillis {
			return s.Claim, t.At.Quality
		}
		return t.At.Wall, t.At.Quality
	case s.Claim.Plausible() && t != nil && !t.Known():
		return s.Claim, holdfast.Unknown
	case s.Claim.Plausible():
		return s.Claim, s.Arrived.Quality
	case t.Known():
		return t.At.Wall, t.At.Quality
	}
	return s.Arrived.Wall, worst(s.Arrived.Quality, holdfast.Relative)
}

// worst is the lesser of two qualities.
func worst(a, b holdfast.Quality) holdfast.Quality {
	for _, q := range []holdfast.Quality{holdfast.Unknown, holdfast.Informative, holdfast.Relative} {
		if a == q || b == q {
			return q
		}
	}
	return holdfast.Synchronised
}

// began is when the session was opened.
func (s *Session) began() stamp {
	return stamp{s.Opened.StartedAt, s.OpenedAt, s.Opened.Time}
}

// over is when it ended. An end of our own claims our own time: against a
// charger's claim it counts only when not anybody can set our clock.
func (s *Session) over() stamp {
	switch {
	case s.Orphan != nil:
		return stamp{s.Orphan.StoppedAt, s.EndedAt, s.Orphan.Time}
	case s.ClosedByUs() && !s.EndedAt.Quality.Trusted():
		return stamp{0, s.EndedAt, s.Ended.Time}
	}
	return stamp{s.Ended.StoppedAt, s.EndedAt, s.Ended.Time}
}

// times finds when the session began and ended, and how long it took.
func (s *Session) times() (b Bill) {
	if s.Opened == nil {
		b.Started, b.Quality = s.over().moment()
		b.Stopped, b.SpanQuality = b.Started, holdfast.Unknown
		return b
	}
	var ms int64
	b.Started, b.Quality = s.began().moment()
	ms, b.SpanQuality = span(s.began(), s.over())
	b.Stopped, b.Seconds = b.Started+holdfast.UnixMilli(ms), ms/1000
	b.StartedClaim, b.StoppedClaim = s.Opened.StartedAt, s.Ended.StoppedAt
	return b
}

// Begun is the bill of a session that goes on: when it began, and no more.
func (s *Session) Begun() (b Bill) {
	b.Started, b.Quality = s.began().moment()
	b.StartedClaim = s.Opened.StartedAt
	return b
}

// Idle adds up the time in which the vehicle was connected and did not charge.
type Idle struct {
	Since  *stamp `json:"from,omitempty"` // nil while charging
	TotalS int64  `json:"total_s,omitempty"`
	Doubt  bool   `json:"doubt,omitempty"` // a part of it is not known
}

func (i *Idle) start(at stamp) {
	if i.Since == nil {
		i.Since = &at
	}
}

func (i *Idle) stop(at stamp) {
	if i.Since == nil {
		return
	}
	ms, q := span(*i.Since, at)
	i.TotalS += ms / 1000
	i.Doubt = i.Doubt || q == holdfast.Unknown
	i.Since = nil
}
