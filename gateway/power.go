package gateway

import (
	"cmp"
	"fmt"
	"slices"

	"github.com/holdfast-ev/holdfast"
	"github.com/holdfast-ev/holdfast/ocpp"
	"github.com/holdfast-ev/holdfast/power"
	"github.com/holdfast-ev/holdfast/record"
	"github.com/holdfast-ev/holdfast/session"
)

// Ids and the stack level of the charging profiles that the gateway sets. A
// charger's own profiles of other ids are cleared before the first fail-safe is
// installed, and operators cannot set any while the site's power is shared.
const (
	FailSafeProfile   = 47_000 // TxDefaultProfile on EVSE 0
	SessionProfile    = 48_000 // TxProfile; that on EVSE n is n above it
	ProfileStackLevel = 0
)

// Times of the power rules.
const (
	LeaseMillis       = 900_000 // a set-point holds this long unless it is renewed; then the fail-safe
	LeaseRenewMillis  = 300_000 // and is renewed this often
	LeaseSlackMillis  = 120_000 // a charger's clock may differ by this before and after
	RaiseEveryMillis  = 5_000   // raises go out this often at most, so that records of sharing are bounded
	PointsEveryMillis = 60_000  // a lower that was acknowledged, and makes room for nobody, is recorded within this
	LimitHoldMillis   = 60_000  // a limit that rises again is believed after this: a clock that jumps writes no journal full
	TurnMillis        = 900_000 // where some are paused, the turn passes on this often
	BeginMillis       = 1_000   // after a session began, so that its charger has heard its transaction's id
	RetryMillis       = 30_000  // an order that was refused or not answered goes out again
	OverMillis        = 60_000  // metered power may be above its set-point this long
	MaxRefusals       = 3       // lowers that a charger may refuse before its session is stopped
	OverSlack         = 200     // W: meters round
)

// sharing is what the gateway knows of its outlets beyond its records.
type sharing struct {
	cfg      *Config
	site     power.Site
	shared   bool // the site has a limit; otherwise sessions have caps of their own at most
	outlets  []*outlet
	byKey    map[evse]*outlet
	safes    map[holdfast.ChargerID]*failSafe
	order    []holdfast.ChargerID
	schedule *power.Schedule
	parsed   holdfast.Hash // of the bytes that schedule was read from
	dirty    bool          // something changed that set-points may depend on
	raisedAt int64         // mono ms of the last raise
	notedAt  int64         // mono ms of the last power.shared
	limitAt  int64         // mono ms of the last power.limit of this boot
}

// outlet is one EVSE.
type outlet struct {
	power.Outlet
	key      evse
	session  holdfast.SessionID
	wiring   power.Wiring
	retryAt  int64 // mono ms before which nothing is ordered
	leasedAt int64 // mono ms when the last set-point was sent or acknowledged
	refusals int   // in a row
	overAt   int64 // mono ms + 1 since when the meter shows too much; 0 it does not
}

func newSharing(cfg *Config) sharing {
	p := sharing{
		cfg: cfg, site: cfg.site(), shared: !cfg.Power.IsZero(), byKey: map[evse]*outlet{},
		safes: map[holdfast.ChargerID]*failSafe{}, order: cfg.chargerIDs(), dirty: true,
	}
	if !p.shared {
		return p
	}
	for _, id := range p.order {
		p.safes[id] = &failSafe{}
		for e := range cfg.evses(id) {
			p.add(evse{id, e + 1})
		}
	}
	return p
}

// add makes the outlet of an EVSE. One that no configuration names appears with
// its first session.
func (p *sharing) add(key evse) *outlet {
	w := p.cfg.wiring(key.charger)
	o := &outlet{Outlet: power.Idle(key.charger, key.evse, 0, p.site.Minimum(w)), key: key, wiring: w}
	p.byKey[key] = o
	at, _ := slices.BinarySearchFunc(p.outlets, key, func(o *outlet, key evse) int {
		return cmp.Or(cmp.Compare(o.key.charger, key.charger), cmp.Compare(o.key.evse, key.evse))
	})
	p.outlets = slices.Insert(p.outlets, at, o)
	return o
}

// steer brings set-points to where they should be, as far as what is
// acknowledged permits. It runs at the end of every step that may have changed
// something: what it orders leaves after the answers of that step.
func (g *Gateway) steer() {
	p := &g.power
	if !p.dirty || g.stopping {
		return
	}
	p.dirty = false
	g.watchOutlets()
	g.installFailSafes()
	limit := g.limitNow()
	list := make([]power.Outlet, len(p.outlets))
	for i, o := range p.outlets {
		list[i] = o.Outlet
	}
	targets := power.Targets(limit, int(g.now.Mono/TurnMillis), list)
	if g.state.Power.CutOut.Latched {
		clear(targets)
	}
	due := g.due(power.Orders(limit, list, targets))
	for _, d := range due {
		p.outlets[d.Index].Sent(d.SetPoint)
	}
	g.notePoints(len(due) > 0)
	for _, d := range due {
		g.setPoint(p.outlets[d.Index], d.SetPoint)
	}
}

// watchOutlets brings the outlets in step with the running sessions.
func (g *Gateway) watchOutlets() {
	p, on := &g.power, map[evse]*Session{}
	var running []*Session // oldest first, as the index has them
	for _, ses := range g.state.ix().running {
		if !p.shared && ses.Opened.Limits.Power == 0 && !g.state.Power.CutOut.Latched || g.live[ses.ID] == nil {
			continue
		}
		running = append(running, ses)
	}
	for _, ses := range running {
		key := evse{ses.Charger, ses.EVSE()}
		on[key] = ses
		if p.byKey[key] == nil {
			p.add(key)
		}
	}
	for _, o := range p.outlets {
		ses := on[o.key]
		if ses == nil || ses.ID != o.session {
			g.vacated(o, ses)
		}
		o.Floor, o.Steerable = g.floor(o), g.chargers[o.key.charger] != nil
		if o.Safe = o.Floor; p.shared {
			o.Safe = min(o.Floor, g.cfg.failSafe(o.key.charger))
		}
		if ses == nil {
			continue
		}
		o.Place = slices.Index(running, ses)
		g.occupy(o, ses)
	}
	if !p.shared {
		p.outlets = slices.DeleteFunc(p.outlets, func(o *outlet) bool {
			if !o.Running {
				delete(p.byKey, o.key)
			}
			return !o.Running
		})
	}
}

// vacated prepares an outlet for the session that is there now, if any. After a
// restart the records say how much it may be drawing.
func (g *Gateway) vacated(o *outlet, ses *Session) {
	floor, least := o.Floor, o.Min
	o.Outlet = power.Idle(o.key.charger, o.key.evse, floor, least)
	o.session, o.retryAt, o.refusals, o.overAt, o.leasedAt = holdfast.SessionID{}, 0, 0, 0, g.now.Mono
	if ses == nil {
		return
	}
	o.Running, o.session, o.retryAt = true, ses.ID, g.now.Mono+BeginMillis
	if l, ok := g.state.Power.Points[pointKey(o.key.charger, o.key.evse)]; ok && g.state.Power.Unit == string(g.power.site.Unit) {
		o.Doubt = l
	}
}

// occupy says what a running session may have, and lets a lease end.
func (g *Gateway) occupy(o *outlet, ses *Session) {
	p := &g.power
	o.Want = p.site.Rated(o.wiring, g.cfg.power(o.key.charger))
	if most := ses.Opened.Limits.Power; most > 0 {
		o.Want = min(o.Want, p.site.LevelOf(o.wiring, most))
	}
	if g.doomed(ses) {
		o.Want = 0
	}
	if p.shared && o.Flying == power.None && g.now.Mono-o.leasedAt >= LeaseMillis+LeaseSlackMillis {
		o.Lapsed()
	}
	if l := g.live[ses.ID]; l != nil && (p.shared || o.Acked != power.None) {
		l.cap = min(g.cfg.power(o.key.charger), p.site.Drawn(o.wiring, o.Bound()))
	}
}

// doomed reports whether a session is being stopped: nothing is raised for it.
func (g *Gateway) doomed(ses *Session) bool {
	for _, action := range ses.Limited {
		if action == session.ActionStop {
			return true
		}
	}
	return ses.Opened.Source == record.StartRefused || g.state.Power.CutOut.Latched
}

// floor is what an outlet may draw with no order of ours: by the fail-safe
// profile that its charger has acknowledged, or at its rating.
func (g *Gateway) floor(o *outlet) power.Level {
	id := o.key.charger
	if !g.power.shared {
		return 0 // nothing is added up
	}
	rated := g.power.site.Rated(o.wiring, g.cfg.power(id))
	fs, ok := g.failSafeOf(id)
	if !ok {
		return rated
	}
	// A change of the configured one counts with the higher until it is acknowledged.
	return min(rated, max(fs.Level, g.cfg.failSafe(id)))
}

// limitNow returns the limit in force, and records a change of it.
func (g *Gateway) limitNow() power.Level {
	p := &g.power
	if !p.shared {
		return unlimited
	}
	g.readSchedule()
	l := p.site.Limit(p.schedule, power.Clock{Now: g.now.Wall, Quality: g.now.Quality, Floor: g.state.Access.Floor(g.now)})
	b := &record.PowerLimit{Unit: string(p.site.Unit), Level: int64(l.Level), Watts: p.site.ToWatts(l.Level), Source: string(l.Source), Max: p.site.ToWatts(p.site.Max)}
	if p.schedule != nil {
		b.Version = p.schedule.Version
	}
	was := g.state.Power.Limit
	if was != nil && *was == *b {
		return l.Level
	}
	if was != nil && was.Unit == b.Unit && b.Level >= was.Level && p.limitAt != 0 && g.now.Mono-p.limitAt < LimitHoldMillis {
		return power.Level(was.Level)
	}
	p.limitAt = g.now.Mono + 1
	g.emit(record.Record{Body: b})
	return l.Level
}

// readSchedule keeps the parsed form of the installed schedule.
func (g *Gateway) readSchedule() {
	p, bytes := &g.power, g.state.Power.Schedule
	if hash := sha(bytes); bytes != nil && hash != p.parsed {
		p.parsed = hash
		p.schedule = scheduleOf(bytes)
	}
}

// due is what of the orders may be sent now, and the leases to renew.
func (g *Gateway) due(orders []power.Order) (out []power.Order) {
	p, raise := &g.power, false
	ordered := map[int]bool{}
	for _, d := range orders {
		o := p.outlets[d.Index]
		ordered[d.Index] = true
		if g.now.Mono < o.retryAt {
			continue
		}
		if d.SetPoint > o.Bound() && o.Acked != power.None {
			if p.raisedAt != 0 && g.now.Mono-p.raisedAt < RaiseEveryMillis {
				continue
			}
			raise = true
		}
		out = append(out, d)
	}
	if raise {
		p.raisedAt = g.now.Mono + 1
	}
	for i, o := range p.outlets {
		if p.shared && o.Running && o.Steerable && !ordered[i] && o.Flying == power.None && o.Acked != power.None && g.now.Mono-o.leasedAt >= LeaseRenewMillis && g.now.Mono >= o.retryAt {
			out = append(out, power.Order{Index: i, SetPoint: o.Acked})
		}
	}
	return out
}

// notePoints records what each session may draw from now on, where that has
// changed: before an order is sent, and otherwise once in a while.
func (g *Gateway) notePoints(sending bool) {
	p := &g.power
	if !p.shared || !sending && g.now.Mono-p.notedAt < PointsEveryMillis {
		return
	}
	b := &record.PowerShared{Unit: string(p.site.Unit)}
	for _, o := range p.outlets {
		if !o.Running {
			continue
		}
		was, ok := g.state.Power.Points[pointKey(o.key.charger, o.key.evse)]
		if !ok {
			was = o.Floor
		}
		if now := o.Bound(); now != was {
			b.Points = append(b.Points, record.PowerPoint{Charger: o.key.charger, EVSE: o.key.evse, Level: int64(now)})
		}
	}
	p.notedAt = g.now.Mono
	if len(b.Points) > 0 {
		g.emit(record.Record{Body: b})
	}
}

// setPoint sends a set-point. At a site with a limit it is a lease: with the
// gateway gone the charger falls back to its fail-safe.
func (g *Gateway) setPoint(o *outlet, l power.Level) {
	ses, c := g.state.Sessions[o.session], g.chargers[o.key.charger]
	if ses == nil || c == nil {
		return
	}
	p := ocpp.Profile{
		ID: SessionProfile + o.key.evse, StackLevel: ProfileStackLevel, Purpose: ocpp.TxOnly, TransactionID: txID(ses),
		Unit: ocpp.RateUnit(o.wiring.Unit), Periods: []ocpp.Period{g.period(o.wiring, l)},
	}
	if g.power.shared {
		p.From, p.DurationS = g.clock()-LeaseSlackMillis, (LeaseMillis+LeaseSlackMillis)/1000
	}
	o.leasedAt = g.now.Mono
	k := call{command: ocpp.SetProfile{EVSE: o.key.evse, Profile: p}, session: ses.ID, duty: &duty{quiet: g.power.shared, level: l, key: o.key}}
	if g.state.Power.CutOut.Latched {
		g.urgent(c, k)
	} else if !g.command(c, k) {
		o.Refused(l)
		o.retryAt = g.now.Mono + RetryMillis
	}
}

// period is a level as the one period of a profile.
func (g *Gateway) period(w power.Wiring, l power.Level) ocpp.Period {
	out := ocpp.Period{Limit: g.power.site.Tenths(w, l)}
	if w.Unit == power.Amperes && !w.DC && w.Phases == 1 {
		out.Phases = 1
	}
	return out
}

// A duty is what a command is to the power rules.
type duty struct {
	quiet bool // power.shared and power.failsafe say it all
	key   evse
	level power.Level
	safe  safeStep // of a fail-safe; "": a session's set-point
}

func (d *duty) answered(g *Gateway, c *conn, k call, out ocpp.Outcome) {
	g.power.dirty = true
	if d.safe != "" {
		g.failSafeAnswered(c.charger, d, out)
		return
	}
	o := g.power.byKey[d.key]
	if o == nil || o.session != k.session {
		return // the session has ended since
	}
	switch {
	case out.Accepted:
		o.Accepted(d.level)
		o.leasedAt, o.refusals, o.retryAt = g.now.Mono, 0, 0
	case out.Status == "Timeout" || out.Status == "Disconnected":
		o.Unanswered(d.level)
		o.retryAt = g.now.Mono + RetryMillis
	default:
		g.setPointRefused(o, k, d.level, out.Status)
	}
	g.watchOutlets()
}

// setPointRefused: what was in force still is. A session that would draw more
// than it may must not go on.
func (g *Gateway) setPointRefused(o *outlet, k call, l power.Level, status string) {
	lower := l < o.Bound() || !g.power.shared
	o.Refused(l)
	o.refusals++
	o.retryAt = g.now.Mono + o.patience()
	if !lower || g.power.shared && o.refusals < MaxRefusals {
		return
	}
	ses := g.state.Sessions[k.session]
	if ses == nil || !ses.Running() || ses.Limited[session.LimitPower] == session.ActionStop {
		return
	}
	if g.power.shared {
		g.raise(record.Record{Session: ses.ID, Charger: ses.Charger}, "POWER_REFUSED", fmt.Sprintf("the charger refused a set-point of %s: %s", g.power.site.Text(l), clip(status)))
	}
	g.emit(record.Record{Session: ses.ID, Charger: ses.Charger, Body: &record.SessionLimited{
		Kind: session.LimitPower, Limit: int64(g.power.site.Drawn(o.wiring, l)), Worst: int64(g.cfg.power(ses.Charger)), Action: session.ActionStop,
	}})
	g.order(ses)
}

// patience is how long an order waits after a refusal: a charger may only have been
// busy, and one that never obeys is not asked all day.
func (o *outlet) patience() int64 {
	switch {
	case o.refusals == 1:
		return 2 * BeginMillis
	case o.refusals <= MaxRefusals:
		return RetryMillis
	}
	return LeaseRenewMillis
}

// overdrawn compares metered power with what a session may draw. A charger that
// is above it for [OverMillis] is ordered again, and after as much time again
// the session is stopped.
func (g *Gateway) overdrawn(ses *Session, l *live) {
	o := g.power.byKey[evse{ses.Charger, ses.EVSE()}]
	if o == nil || o.session != ses.ID || o.Acked == power.None {
		return
	}
	most := int64(g.power.site.Drawn(o.wiring, o.Bound()))
	if int64(l.power) <= most*(100+session.PowerTolerancePercent)/100+OverSlack {
		o.overAt = 0
		return
	}
	if o.overAt == 0 {
		o.overAt = g.now.Mono + 1
	}
	if g.now.Mono-o.overAt < OverMillis {
		return
	}
	o.overAt = g.now.Mono + 1
	b := &record.SessionLimited{Kind: session.LimitPower, Limit: most, Worst: int64(l.power), Action: session.ActionThrottle, SetPoint: most}
	switch ses.Limited[session.LimitPower] {
	case session.ActionStop:
		return
	case session.ActionThrottle:
		b.Action, b.SetPoint = session.ActionStop, 0
		g.raise(record.Record{Session: ses.ID, Charger: ses.Charger}, "POWER_EXCEEDED", fmt.Sprintf("the meter shows %d W, and the charger acknowledged %d W", l.power, most))
	default:
		o.Acked, o.Doubt, g.power.dirty = power.None, o.Bound(), true // order it again
	}
	g.emit(record.Record{Session: ses.ID, Charger: ses.Charger, Body: b})
	g.counters.Limits[b.Kind]++
	g.enforce(ses)
}

// checkLimits refuses a limit schedule that this site cannot obey. What is in
// force stays in force.
func (g *Gateway) checkLimits(b *record.StatementInstalled, payload []byte) error {
	s, err := power.DecodeSchedule(payload)
	if err != nil {
		return err
	}
	if s.Site != g.cfg.Site {
		return fmt.Errorf("limit schedule for site %s, this is %s", s.Site, g.cfg.Site)
	}
	if err := g.cfg.Power.Accept(s, g.cfg.Floors()); err != nil {
		return err
	}
	b.Version = s.Version
	g.power.dirty = true
	return g.checkVersion(b)
}
