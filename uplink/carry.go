package uplink

import "github.com/holdfast-ev/holdfast"

// Use counts bytes that went over a link's sockets.
func (r *Router) Use(now holdfast.Instant, name string, sent, received int64) {
	if l := r.link(name); l != nil {
		l.use.roll(l.Budget, now)
		l.use.Sent += max(0, sent)
		l.use.Received += max(0, received)
	}
}

// Used returns what a link has carried in its present month.
func (r *Router) Used(now holdfast.Instant, name string) Usage {
	l := r.link(name)
	if l == nil {
		return Usage{}
	}
	l.use.roll(l.Budget, now)
	return l.use
}

// Metered lists the links with a budget, in the order of the configuration.
func (r *Router) Metered() (names []string) {
	for i := range r.links {
		if r.links[i].Budget.Bytes > 0 {
			names = append(names, r.links[i].Name)
		}
	}
	return names
}

// Step is one of parts equal parts of a link's budget, in bytes.
func (r *Router) Step(name string, parts int64) int64 {
	if l := r.link(name); l != nil {
		return l.Budget.Bytes / parts
	}
	return 0
}

// Stage returns the stage that a link's budget is in.
func (r *Router) Stage(now holdfast.Instant, name string) Stage {
	l := r.link(name)
	if l == nil || l.Budget.Bytes == 0 {
		return StageOpen
	}
	l.use.roll(l.Budget, now)
	return l.Budget.Stage(l.use.Total())
}

func (r *Router) link(name string) *link {
	for i := range r.links {
		if r.links[i].Name == name {
			return &r.links[i]
		}
	}
	return nil
}

// using returns the link in use; before the first contact, the best.
func (r *Router) using() *link { return &r.links[r.pairs[max(0, r.current)].link] }

// May reports whether the link in use carries a journal now. For evidence
// [Router.Patience] says how long it may wait all the same.
func (r *Router) May(now holdfast.Instant, j holdfast.Journal) bool {
	l := r.using()
	stage, person := r.Stage(now, l.Name), now.Mono < r.person
	switch {
	case l.Carry == CarryLive:
		return false
	case j == holdfast.Evidence:
		return true
	case l.Carry == CarryEvidence || stage != StageOpen:
		return false
	}
	return person || l.open(now)
}

// Bulk reports whether the link in use carries what is large and can wait for
// days, such as the cloud's copy of damaged records: not when its budget runs
// low, unless a person says so.
func (r *Router) Bulk(now holdfast.Instant) bool {
	switch r.Stage(now, r.using().Name) {
	case StageOpen, StageNoTelemetry:
		return true
	}
	return now.Mono < r.person
}

// open reports whether a window is open. Without a trusted clock nobody knows,
// and what can wait waits: the first contact brings the time.
func (l *link) open(now holdfast.Instant) bool {
	return len(l.Windows.List) == 0 || now.Quality.Trusted() && l.Windows.Open(now.Wall)
}

// Patience is how long evidence waits on the link in use: by the stage of the
// budget, or for a window. Neither is ever longer than [MaxHoldMillis].
func (r *Router) Patience(now holdfast.Instant) Patience {
	l := r.using()
	if now.Mono < r.person || now.Mono < r.rung {
		return Patience{}
	}
	var p Patience
	if !l.open(now) {
		p.Millis = min(max(0, l.HoldEvidenceMs), MaxHoldMillis)
	}
	switch r.Stage(now, l.Name) {
	case StageThrift:
		if p.Millis < ThriftHoldMillis {
			p = Patience{ThriftBatchRecords, ThriftHoldMillis}
		}
	case StageReserve, StageSpent:
		p.Millis = max(p.Millis, ReserveHoldMillis)
	}
	return p
}

// Pace is how often a quiet line is tried on the link in use, in ms.
func (r *Router) Pace(now holdfast.Instant) int64 {
	switch r.Stage(now, r.using().Name) {
	case StageThrift:
		return ThriftHelloMillis
	case StageReserve, StageSpent:
		return ReserveHelloMillis
	}
	return HelloEveryMillis
}

// A LinkStatus is what a person wants to know of a link.
type LinkStatus struct {
	Name       string             `json:"name"`
	State      LinkNow            `json:"state"`
	Cause      holdfast.Cause     `json:"cause"`            // of FAILED
	Detail     string             `json:"detail,omitempty"` // of FAILED
	Preference int64              `json:"preference"`
	Cost       int64              `json:"cost_micros_per_mib"`
	Carry      Carry              `json:"carry"`
	Stage      Stage              `json:"stage"`
	Usage                         // in the present month of the budget; without a budget since the start
	Budget     int64              `json:"budget_bytes"` // 0: none
	Left       int64              `json:"left_bytes"`   // -1: no budget
	Resets     holdfast.UnixMilli `json:"resets,omitempty"`
	Spent      holdfast.Micros    `json:"spent_micros"`
	Open       bool               `json:"window_open"`           // telemetry goes now, as far as windows matter
	NextOpen   holdfast.UnixMilli `json:"next_window,omitempty"` // when one opens; 0 unknown, or open
	Endpoints  []EndpointStatus   `json:"endpoints"`             // over this link, best first
}

// LinkNow is the state of a link or of a route.
type LinkNow string

// The states of a link and of a route.
const (
	InUse   LinkNow = "IN_USE"  // it worked last, and carries everything
	Ready   LinkNow = "READY"   // nothing is known against it
	Trying  LinkNow = "PROVING" // it works again, and is watched before it is used
	Failing LinkNow = "FAILED"  // the last contact or look failed
	Spent   LinkNow = "SPENT"   // its budget is spent
)

// EndpointStatus is an endpoint as seen over one link.
type EndpointStatus struct {
	URL      string         `json:"url"`
	State    LinkNow        `json:"state"`
	Cause    holdfast.Cause `json:"cause"`
	Detail   string         `json:"detail,omitempty"`
	Failures int            `json:"failures"`   // in a row
	RetryInS int64          `json:"retry_in_s"` // it is left alone so long; 0 not
	WorkedS  int64          `json:"worked_s"`   // since it worked; -1 never since the start
}

// Status describes every link, in the order of the configuration.
func (r *Router) Status(now holdfast.Instant) (out []LinkStatus) {
	for i := range r.links {
		out = append(out, r.status(now, i))
	}
	return out
}

func (r *Router) status(now holdfast.Instant, i int) LinkStatus {
	l := &r.links[i]
	stage := r.Stage(now, l.Name)
	s := LinkStatus{
		Name: l.Name, State: Failing, Cause: holdfast.CauseNone, Preference: max(1, l.Preference), Cost: l.CostMicros, Carry: l.Carry, Stage: stage,
		Usage: l.use, Budget: l.Budget.Bytes, Left: -1, Spent: CostOf(l.use.Total(), l.CostMicros), Open: l.open(now), Endpoints: []EndpointStatus{},
	}
	if s.Carry == "" {
		s.Carry = CarryAll
	}
	if s.Budget > 0 {
		s.Left = max(0, s.Budget-l.use.Total())
		if l.use.Period != 0 {
			s.Resets = l.Budget.Period(l.use.Period.Add(40 * 24 * hour))
		}
	}
	if !s.Open && now.Quality.Trusted() {
		s.NextOpen = l.Windows.Next(now.Wall)
	}
	for j := range r.pairs {
		if p := &r.pairs[j]; p.link == i {
			e := r.endpoint(now, j)
			s.Endpoints = append(s.Endpoints, e)
			if rank(e.State) < rank(s.State) || len(s.Endpoints) == 1 {
				s.State, s.Cause, s.Detail = e.State, e.Cause, e.Detail
			}
		}
	}
	if stage == StageSpent && s.State != InUse {
		s.State = Spent
	}
	return s
}

const hour = 3_600_000_000_000 // of a time.Duration

func (r *Router) endpoint(now holdfast.Instant, j int) EndpointStatus {
	p := &r.pairs[j]
	e := EndpointStatus{URL: p.Endpoint, State: Ready, Cause: holdfast.CauseNone, Failures: p.failures, RetryInS: max(0, p.retry-now.Mono) / 1000, WorkedS: -1}
	if p.worked > 0 {
		e.WorkedS = (now.Mono + 1 - p.worked) / 1000
	}
	switch {
	case p.good != 0:
		e.State, e.RetryInS = Trying, 0
	case p.failures > 0:
		e.State, e.Cause, e.Detail = Failing, p.cause, p.detail
	case j == r.current:
		e.State = InUse
	}
	return e
}

// rank orders states by what a link is called after when its routes differ.
func rank(s LinkNow) int {
	switch s {
	case InUse:
		return 0
	case Ready:
		return 1
	case Trying:
		return 2
	}
	return 3
}
