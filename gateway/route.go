package gateway

import (
	"fmt"

	"github.com/holdfast-ev/holdfast"
	"github.com/holdfast-ev/holdfast/record"
	"github.com/holdfast-ev/holdfast/uplink"
)

// Bounds of what is written down about links.
const (
	// UsageEveryMillis is how often a link's usage becomes a record while it grows.
	UsageEveryMillis = 3_600_000
	// UsageSteps is into how many parts a budget is divided: usage that has grown
	// by one of them is a record at once, so that a power cut forgets no more.
	UsageSteps = 64
	// RouteBurst changes of the route in RouteBurstMillis are a record each; beyond
	// that they are coalesced.
	RouteBurst       = 10
	RouteBurstMillis = 600_000
	// MaxLinksKept bounds the links whose usage is remembered. Beyond it the one
	// whose month began first is forgotten.
	MaxLinksKept = 32
)

// LinkUsed: so many bytes went over a link's sockets since the last one.
type LinkUsed struct {
	Link           string
	Sent, Received int64
}

// Probed: an answer to [Ready].Probe. With cause NONE the route works.
type Probed struct {
	Route  uplink.Route
	Cause  holdfast.Cause
	Detail string
}

// SyncNow: a person wants everything sent now, whatever windows say.
type SyncNow struct{}

func (LinkUsed) input() {}
func (Probed) input()   {}
func (SyncNow) input()  {}

// contact says hello when it is time, over the route that is to be used.
func (g *Gateway) contact() {
	now := g.now.Mono
	if g.line.Overdue(now) {
		g.lost(holdfast.CauseCloudUnreachable, "no answer")
	}
	if g.line.Reachable() && g.line.Idle() && g.router.Closed(g.now) {
		g.line.Reroute(now) // over another link, when there is one with budget left
	}
	if g.line.Idle() && g.router.Failback(g.now) {
		g.line.Reroute(now)
	}
	g.line.Pace(g.router.Pace(g.now))
	g.line.Patient(g.router.Patience(g.now))
	if g.ready.Hello != nil || !g.line.Due(now) {
		return
	}
	at, open := g.router.Pick(g.now)
	if !open {
		g.closed()
		return
	}
	if at != g.route {
		g.route, g.ready.Route = at, &at
	}
	if g.line.CallNow(now) {
		g.ready.Hello = g.hello()
	}
}

// closed notes that no link may be used.
func (g *Gateway) closed() {
	if g.route != (uplink.Route{}) {
		g.route, g.ready.Route = uplink.Route{}, &uplink.Route{} // the doorbell as well
	}
	g.linkChanged(g.line.Down(g.now.Mono, holdfast.CauseBudgetSpent, "the data budget of every usable link is spent", g.chance.below))
}

// linkDown takes a failed contact. What an abandoned route still reports is
// kept about that route and says nothing about the one in use.
func (g *Gateway) linkDown(in LinkDown) {
	switch {
	case in.Route != nil && *in.Route != g.route:
		g.router.Failed(g.now, *in.Route, in.Cause, in.Detail)
	case in.Cause == holdfast.CauseCloudBusy && in.Named:
		// The cloud asked for time. Its other endpoints are the same cloud.
		g.linkChanged(g.line.Down(g.now.Mono, in.Cause, in.Detail, g.chance.below))
	default:
		g.lost(in.Cause, in.Detail)
	}
}

// lost takes a failed contact over the route in use: another that may work is
// tried at once, and only when none is left is the site offline.
func (g *Gateway) lost(cause holdfast.Cause, detail string) {
	g.router.Failed(g.now, g.route, cause, clip(detail))
	if g.router.Another(g.now) && !g.router.Single() {
		g.line.Reroute(g.now.Mono)
		return
	}
	if blamed, why := g.router.Blame(); blamed != holdfast.CauseNone && !g.router.Single() {
		cause, detail = blamed, why
	}
	g.linkChanged(g.line.Down(g.now.Mono, cause, detail, g.chance.below))
}

// reached takes a contact that worked.
func (g *Gateway) reached() {
	was, cause, moved := g.router.Worked(g.now, g.route)
	if !moved || g.router.Single() {
		return
	}
	r := record.Record{Body: &record.LinkRoute{
		Link: g.route.Link, Endpoint: g.route.Endpoint, FromLink: was.Link, FromEndpoint: was.Endpoint, Cause: cause, Count: 1,
	}}
	if g.now.Mono-g.moves.since >= RouteBurstMillis {
		g.moves = burst{since: g.now.Mono}
	}
	if g.moves.count++; g.moves.count <= RouteBurst {
		g.emit(r)
		return
	}
	g.once(coalesceKey{kind: "route"}, r)
}

// A burst counts what happened since a time, in mono ms.
type burst struct {
	since int64
	count int
}

// look asks for a look at a better route, when one is due.
func (g *Gateway) look() {
	if g.ready.Probe != nil {
		return
	}
	if at, due := g.router.Probe(g.now); due {
		g.ready.Probe = &at
	}
}

// syncNow is a person's word: it is history like every other.
func (g *Gateway) syncNow() {
	g.router.Override(g.now)
	g.line.Ring(g.now.Mono)
	g.once(coalesceKey{kind: "sync"}, record.Record{Body: &record.LinkRoute{
		Link: g.route.Link, Endpoint: g.route.Endpoint, FromLink: g.route.Link, FromEndpoint: g.route.Endpoint,
		Cause: holdfast.CausePlanned, Detail: fmt.Sprintf("sync now: windows and holds lifted for %d min", uplink.OverrideMillis/60_000),
	}})
}

// noteUsage writes down what the metered links have carried. last says that the
// boot ends.
func (g *Gateway) noteUsage(last bool) {
	for _, name := range g.router.Metered() {
		used, noted := g.router.Used(g.now, name), g.state.Links[name]
		if used == noted {
			continue
		}
		grown := used.Total() - noted.Total()
		due := g.now.Mono-g.usageNoted[name] >= UsageEveryMillis || grown >= g.router.Step(name, UsageSteps)
		if !last && !due && used.Period == noted.Period {
			continue
		}
		g.usageNoted[name] = g.now.Mono
		g.emit(record.Record{Body: &record.LinkUsage{Link: name, Period: used.Period, Sent: used.Sent, Received: used.Received}})
	}
}

// applyUsage folds what a link has carried.
func (s *State) applyUsage(b *record.LinkUsage) {
	if s.Links == nil {
		s.Links = map[string]uplink.Usage{}
	}
	s.Links[b.Link] = uplink.Usage{Period: b.Period, Sent: b.Sent, Received: b.Received}
	for len(s.Links) > MaxLinksKept {
		oldest := b.Link
		for name, u := range s.Links {
			if o := s.Links[oldest]; u.Period < o.Period || u.Period == o.Period && name < oldest {
				oldest = name
			}
		}
		delete(s.Links, oldest)
	}
}
