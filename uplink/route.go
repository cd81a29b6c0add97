package uplink

import (
	"cmp"
	"fmt"
	"slices"

	"github.com/holdfast-ev/holdfast"
)

// Bounds and times of routing, in milliseconds of the monotonic clock.
const (
	MaxLinks     = 8 // of a gateway
	MaxEndpoints = 8 // of a cloud

	RouteBackoffMinMillis = 1_000     // a failed route is left alone so long, while there is another
	RouteBackoffMaxMillis = 300_000   // and never for longer; while none works, [BackoffMaxMillis]
	ProbeEveryMillis      = 30_000    // a better route that works again is looked at so often until it is trusted
	FailbackDwellMillis   = 120_000   // and must have worked so long before it is used again
	FailbackDwellMax      = 3_600_000 // a route that fails soon after doubles its dwell, up to this
	FlapMillis            = 600_000   // "soon"
)

// DefaultLink is the name of the only link of a gateway whose configuration
// names none: whatever way the machine has.
const DefaultLink = "default"

// A Route is a way to the cloud: a local link and one of the cloud's endpoints.
type Route struct {
	Link     string `json:"link"`
	Endpoint string `json:"endpoint"` // https URL; "" the one learnt at enrolment
}

// A Carry says what a link is for.
type Carry string

// What a link carries.
const (
	CarryAll      Carry = "all"      // also the zero value
	CarryEvidence Carry = "evidence" // everything but telemetry
	CarryLive     Carry = "live"     // hello, directives, online authorisations; no uploads
)

// A LinkConfig is a local way to the network. How it is reached is the shell's
// business.
type LinkConfig struct {
	Name           string
	Preference     int64 // lower is better; 0 counts as 1
	CostMicros     int64 // of a MiB, in millionths of a currency unit; decides between equal preferences
	Carry          Carry
	Budget         Budget
	Windows        Windows // when telemetry goes, and evidence if it may be held
	HoldEvidenceMs int64   // how long evidence waits for a window at most; 0: it does not wait
}

// An EndpointConfig is a way into the cloud.
type EndpointConfig struct {
	URL        string
	Preference int64 // lower is better; 0 counts as 1
}

// Routes is what a [Router] chooses from. The zero value is one link and one
// endpoint without any bound.
type Routes struct {
	Links     []LinkConfig
	Endpoints []EndpointConfig
}

// Validate refuses what a [Router] cannot choose from.
func (c Routes) Validate() error {
	if len(c.Links) > MaxLinks || len(c.Endpoints) > MaxEndpoints {
		return fmt.Errorf("%d links and %d endpoints, at most %d and %d", len(c.Links), len(c.Endpoints), MaxLinks, MaxEndpoints)
	}
	seen := map[Route]bool{}
	for _, l := range c.Links {
		if l.Name == "" || seen[Route{Link: l.Name}] {
			return fmt.Errorf("link %q has no name of its own", l.Name)
		}
		seen[Route{Link: l.Name}] = true
		if b := l.Budget; b.Bytes < 0 || b.Bytes > MaxBudgetBytes || b.ResetDay < 0 || b.ResetDay > 28 || l.CostMicros < 0 || l.CostMicros > MaxCostMicros {
			return fmt.Errorf("link %s: budget %d bytes from day %d at %d per MiB: out of bounds", l.Name, b.Bytes, b.ResetDay, l.CostMicros)
		}
	}
	for _, e := range c.Endpoints {
		if seen[Route{Endpoint: e.URL}] {
			return fmt.Errorf("endpoint %q twice", e.URL)
		}
		seen[Route{Endpoint: e.URL}] = true
	}
	return nil
}

// A Router chooses the way to the cloud. One route carries everything at a
// time: one doorbell, one health, and no class of traffic that strays onto a
// dearer link. What the route's link does not carry now waits on the gateway.
type Router struct {
	links   []link
	pairs   []pair // best first
	current int    // in pairs, the last that worked; -1 none yet
	trial   int    // in pairs, what a fail-back goes to; -1 none
	probing int    // in pairs, under way; -1 none
	probed  int64  // mono ms when it began
	clocked int64  // mono ms + 1 of the last contact over a spent link for the time
	person  int64  // mono ms until which a person has lifted windows and holds
	rung    int64  // mono ms until which the doorbell has lifted holds
}

type link struct {
	LinkConfig
	use Usage
}

// pair is a route with its health.
type pair struct {
	Route
	link, end  int // indices, in the order of the configuration
	preference int64
	failures   int
	cause      holdfast.Cause
	detail     string
	retry      int64 // mono ms before which it is left alone while there is another
	worked     int64 // mono ms + 1 of the last contact that worked
	good       int64 // mono ms + 1 from which every probe found it working
	back       int64 // mono ms + 1 of the last fail-back to it
	dwell      int64 // ms that it must have worked before the next
}

// NewRouter returns a router. used is what the links have carried in their
// months, by name.
func NewRouter(c Routes, used map[string]Usage) *Router {
	if len(c.Links) == 0 {
		c.Links = []LinkConfig{{Name: DefaultLink}}
	}
	if len(c.Endpoints) == 0 {
		c.Endpoints = []EndpointConfig{{}}
	}
	r := &Router{current: -1, trial: -1, probing: -1}
	for i, l := range c.Links {
		r.links = append(r.links, link{LinkConfig: l, use: used[l.Name]})
		for j, e := range c.Endpoints {
			r.pairs = append(r.pairs, pair{Route: Route{l.Name, e.URL}, link: i, end: j, preference: max(1, e.Preference), dwell: FailbackDwellMillis})
		}
	}
	slices.SortStableFunc(r.pairs, r.compare)
	return r
}

// compare orders pairs by preference of the link, its cost, preference of the
// endpoint. What is left equal keeps the order of the configuration.
func (r *Router) compare(a, b pair) int {
	x, y := &r.links[a.link], &r.links[b.link]
	return cmp.Or(cmp.Compare(max(1, x.Preference), max(1, y.Preference)), cmp.Compare(x.CostMicros, y.CostMicros), cmp.Compare(a.preference, b.preference))
}

// Single reports that there is nothing to choose.
func (r *Router) Single() bool { return len(r.pairs) == 1 }

// Current returns the route that worked last; none is the zero Route.
func (r *Router) Current() Route {
	if r.current < 0 {
		return Route{}
	}
	return r.pairs[r.current].Route
}

// Pick returns the route of the next contact: the one in use while it works,
// else the best that is not left alone, else the one that is left alone the
// shortest. false: the budget of every link is spent.
func (r *Router) Pick(now holdfast.Instant) (Route, bool) {
	from := r.usable(now)
	if len(from) == 0 {
		return Route{}, false
	}
	best := from[0]
	switch {
	case slices.Contains(from, r.trial): // a fail-back
		best = r.trial
	case slices.Contains(from, r.current) && r.pairs[r.current].failures == 0:
		best = r.current
	default:
		for _, i := range from {
			p, b := &r.pairs[i], &r.pairs[best]
			if max(p.retry, now.Mono) < max(b.retry, now.Mono) {
				best = i
			}
		}
	}
	if r.Stage(now, r.pairs[best].Link) == StageSpent {
		r.clocked = now.Mono + 1
	}
	return r.pairs[best].Route, true
}

// Another reports whether a contact that has failed leaves a route to be tried
// at once.
func (r *Router) Another(now holdfast.Instant) bool {
	return slices.ContainsFunc(r.usable(now), func(i int) bool { return r.pairs[i].retry <= now.Mono })
}

// usable lists the pairs that may be called now, best first: those with budget
// left; when all of these fail, also those that go on in an emergency; when
// there is nothing else and the clock is not trusted, once in
// [ClockHelloMillis] any: only the cloud can tell whether the month is over.
func (r *Router) usable(now holdfast.Instant) (out []int) {
	failing := true
	for i := range r.pairs {
		if r.Stage(now, r.pairs[i].Link) != StageSpent {
			out = append(out, i)
			failing = failing && r.pairs[i].failures > 0
		}
	}
	if !failing {
		return out
	}
	for i := range r.pairs {
		if l := &r.links[r.pairs[i].link]; l.Budget.Emergency && r.Stage(now, l.Name) == StageSpent {
			out = append(out, i)
		}
	}
	if len(out) == 0 && !now.Quality.Trusted() && (r.clocked == 0 || now.Mono+1-r.clocked >= ClockHelloMillis) {
		for i := range r.pairs {
			out = append(out, i)
		}
	}
	return out
}

// Closed reports that the route in use may not be used any more: its budget is
// spent.
func (r *Router) Closed(now holdfast.Instant) bool {
	return r.current >= 0 && r.Stage(now, r.pairs[r.current].Link) == StageSpent && !slices.Contains(r.usable(now), r.current)
}

// Failed takes a failed contact over a route. What has failed beside it depends
// on the cause: a network that is down is the link's fault whatever the
// endpoint; an endpoint that answered and refuses does so over every link.
func (r *Router) Failed(now holdfast.Instant, at Route, cause holdfast.Cause, detail string) {
	i := r.index(at)
	if i < 0 {
		return
	}
	if i == r.current && r.healthy() {
		r.Retry() // whatever may have healed meanwhile is tried now
	}
	ceiling := int64(BackoffMaxMillis)
	if r.healthy() {
		ceiling = RouteBackoffMaxMillis
	}
	dwell := r.pairs[i].flapped(now.Mono)
	for j := range r.pairs {
		p := &r.pairs[j]
		ours := j == i
		switch cause {
		case holdfast.CauseNetworkDown:
			ours = p.link == r.pairs[i].link
		case holdfast.CauseAuthRejected, holdfast.CauseCloudError, holdfast.CauseCloudBusy:
			ours = p.end == r.pairs[i].end
		}
		if ours {
			p.dwell = max(p.dwell, dwell)
			p.fail(now.Mono, cause, detail)
			p.retry = min(p.retry, now.Mono+ceiling)
		}
	}
	r.trial = -1
}

// flapped returns the dwell after a failure: twice as long when the route was
// gone back to a short while ago.
func (p *pair) flapped(now int64) int64 {
	if p.back != 0 && now+1-p.back < FlapMillis {
		return min(2*p.dwell, FailbackDwellMax)
	}
	return p.dwell
}

func (p *pair) fail(now int64, cause holdfast.Cause, detail string) {
	p.retry = now + min(int64(RouteBackoffMinMillis)<<min(p.failures, 16), RouteBackoffMaxMillis)
	p.failures++
	p.cause, p.detail, p.good, p.back = cause, detail, 0, 0
}

// Worked takes a contact that worked. It returns the route that was in use
// before and why it was left, and whether that is another.
func (r *Router) Worked(now holdfast.Instant, at Route) (was Route, cause holdfast.Cause, moved bool) {
	i := r.index(at)
	if i < 0 {
		return Route{}, holdfast.CauseNone, false
	}
	p := &r.pairs[i]
	p.failures, p.cause, p.detail, p.retry, p.worked, p.good = 0, holdfast.CauseNone, "", 0, now.Mono+1, 0
	if p.back != 0 && now.Mono+1-p.back >= FlapMillis {
		r.calm(i)
	}
	r.trial = -1
	if i == r.current {
		return at, holdfast.CauseNone, false
	}
	was, cause = r.Current(), holdfast.CauseStartup
	if r.current >= 0 {
		cause = r.pairs[r.current].cause
		if r.Stage(now, was.Link) == StageSpent {
			cause = holdfast.CauseBudgetSpent
		}
	}
	r.current = i
	return was, cause, true
}

// calm forgets that a link's routes have flapped: one of them has held.
func (r *Router) calm(i int) {
	r.pairs[i].back = 0
	for j := range r.pairs {
		if r.pairs[j].link == r.pairs[i].link {
			r.pairs[j].dwell = FailbackDwellMillis
		}
	}
}

// Blame is why there is no contact: the cause at the best route that fails. It
// does not depend on which one was tried last.
func (r *Router) Blame() (holdfast.Cause, string) {
	for i := range r.pairs {
		if p := &r.pairs[i]; p.failures > 0 {
			return p.cause, p.detail
		}
	}
	return holdfast.CauseNone, ""
}

// Probe returns a route to be looked at now, beside the work of the one in use:
// the best of those that are better. At most one look is under way.
func (r *Router) Probe(now holdfast.Instant) (Route, bool) {
	if r.probing >= 0 && now.Mono-r.probed < AnswerLimitMillis || !r.healthy() {
		return Route{}, false
	}
	for _, i := range r.better(now) {
		if p := &r.pairs[i]; p.retry <= now.Mono {
			r.probing, r.probed = i, now.Mono
			return p.Route, true
		}
	}
	return Route{}, false
}

// Probed takes what the look has found; with cause NONE the route works.
func (r *Router) Probed(now holdfast.Instant, at Route, cause holdfast.Cause, detail string) {
	i := r.index(at)
	if i < 0 || i != r.probing {
		return
	}
	r.probing = -1
	p := &r.pairs[i]
	if cause != holdfast.CauseNone {
		p.fail(now.Mono, cause, detail)
		return
	}
	if p.good == 0 {
		p.good = now.Mono + 1
	}
	p.retry = now.Mono + ProbeEveryMillis
}

// Failback reports that a better route has worked for its dwell, and makes it
// the next contact's.
func (r *Router) Failback(now holdfast.Instant) bool {
	if !r.healthy() {
		return false
	}
	for _, i := range r.better(now) {
		p := &r.pairs[i]
		if p.good == 0 || now.Mono+1-p.good < p.dwell {
			continue
		}
		p.failures, p.cause, p.detail, p.retry = 0, holdfast.CauseNone, "", 0
		p.good, p.back = 0, now.Mono+1
		r.trial = i
		return true
	}
	return false
}

func (r *Router) healthy() bool { return r.current >= 0 && r.pairs[r.current].failures == 0 }

// better lists the usable pairs that are preferred to the one in use, best
// first. An equal one is not worth a change.
func (r *Router) better(now holdfast.Instant) (out []int) {
	if r.current == 0 && r.Stage(now, r.pairs[0].Link) != StageSpent {
		return nil
	}
	for _, i := range r.usable(now) {
		p, current := r.pairs[i], r.pairs[r.current]
		emergency := r.Stage(now, current.Link) == StageSpent
		if r.Stage(now, p.Link) != StageSpent && (emergency || r.compare(p, current) < 0) {
			out = append(out, i)
		}
	}
	return out
}

func (r *Router) index(at Route) int {
	return slices.IndexFunc(r.pairs, func(p pair) bool { return p.Route == at })
}

// Retry forgets how long routes are left alone: somebody wants to know now.
func (r *Router) Retry() {
	for i := range r.pairs {
		r.pairs[i].retry = 0
	}
}

// Ring takes a doorbell: the cloud wants what is new, so evidence waits no
// longer. Windows for telemetry stay as they are.
func (r *Router) Ring(now holdfast.Instant) { r.rung = now.Mono + RingOverrideMillis }

// Override takes a person's word: for [OverrideMillis] no window and no thrift
// holds anything back. A spent budget stays spent.
func (r *Router) Override(now holdfast.Instant) {
	r.person = now.Mono + OverrideMillis
	r.Retry()
}
