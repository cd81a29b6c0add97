package gateway

import (
	"fmt"

	"github.com/holdfast-ev/holdfast"
	"github.com/holdfast-ev/holdfast/ocpp"
	"github.com/holdfast-ev/holdfast/power"
	"github.com/holdfast-ev/holdfast/record"
	"github.com/holdfast-ev/holdfast/statement"
)

// A safeStep is what comes next for a charger's fail-safe profile.
type safeStep string

// The steps. Each is repeated until it is answered.
const (
	safeClear safeStep = "clear" // profiles of others, before ours was ever acknowledged
	safeSet   safeStep = "set"
	safeCheck safeStep = "check" // what the charger itself says that it permits
	safeDone  safeStep = "done"
)

// Times of the fail-safe.
const (
	SafeRetryMillis = 10_000  // an unanswered step goes out again
	SafeAgainMillis = 600_000 // a refused one
	compositeS      = 60      // s of composite schedule that is asked for
)

// failSafe is what is being done about a charger's fail-safe profile.
type failSafe struct {
	step    safeStep // "": not connected since the start
	flying  bool
	retryAt int64 // mono ms
	cleared bool  // of profiles that others left
	raised  bool  // an exception was raised since the start
}

// failSafeOf returns the fail-safe that a charger has acknowledged.
func (g *Gateway) failSafeOf(id holdfast.ChargerID) (FailSafeNow, bool) {
	fs, ok := g.state.Power.FailSafe[id]
	return fs, ok && fs.Status == record.FailSafeInstalled && g.state.Power.Unit == string(g.power.site.Unit)
}

// arrived begins anew with a charger that has connected.
func (p *sharing) arrived(id holdfast.ChargerID) {
	p.dirty = true
	if s := p.safes[id]; s != nil {
		s.step, s.flying, s.retryAt = safeSet, false, 0
	}
	for _, o := range p.outlets {
		if o.key.charger == id {
			o.retryAt = 0
		}
	}
}

// booted begins anew with a charger that may have forgotten its profiles.
func (p *sharing) booted(id holdfast.ChargerID) {
	if s := p.safes[id]; s != nil && !s.flying {
		p.arrived(id)
	}
}

// installFailSafes takes the next step for every charger that is there.
func (g *Gateway) installFailSafes() {
	for _, id := range g.power.order {
		s, c := g.power.safes[id], g.chargers[id]
		if s == nil || c == nil || s.flying || s.step == safeDone || s.step == "" || g.now.Mono < s.retryAt || g.state.Chargers[id] == nil {
			continue
		}
		if _, ok := g.failSafeOf(id); s.step == safeSet && !ok && !s.cleared {
			s.step = safeClear
		}
		g.failSafeStep(c, s)
	}
}

func (g *Gateway) failSafeStep(c *conn, s *failSafe) {
	id := c.charger
	w, l := g.cfg.wiring(id), g.cfg.failSafe(id)
	k := call{duty: &duty{quiet: true, key: evse{charger: id}, level: l, safe: s.step}}
	switch s.step {
	case safeClear:
		k.command = ocpp.ClearProfile{}
	case safeSet:
		k.command = ocpp.SetProfile{Profile: ocpp.Profile{
			ID: FailSafeProfile, StackLevel: ProfileStackLevel, Purpose: ocpp.TxDefault, Unit: ocpp.RateUnit(w.Unit), Periods: []ocpp.Period{g.period(w, l)},
		}}
	case safeCheck:
		free := g.freeOutlet(id)
		if free == 0 {
			s.step = safeDone // every EVSE shows its session's set-point
			return
		}
		k.command = ocpp.GetComposite{EVSE: free, DurationS: compositeS, Unit: ocpp.RateUnit(w.Unit)}
	}
	s.flying = g.command(c, k)
}

// freeOutlet is an EVSE without a session, 0 when there is none.
func (g *Gateway) freeOutlet(id holdfast.ChargerID) int {
	for _, o := range g.power.outlets {
		if o.key.charger == id && !o.Running && o.key.evse > 0 {
			return o.key.evse
		}
	}
	return 0
}

// failSafeAnswered goes on with what the charger said.
func (g *Gateway) failSafeAnswered(id holdfast.ChargerID, d *duty, out ocpp.Outcome) {
	s := g.power.safes[id]
	if s == nil {
		return
	}
	s.flying = false
	if out.Status == "Timeout" || out.Status == "Disconnected" {
		s.retryAt = g.now.Mono + SafeRetryMillis
		return
	}
	switch d.safe {
	case safeClear: // "Unknown" says that there were none, and a charger without profiles says no
		s.step, s.cleared, s.retryAt = safeSet, true, 0
	case safeSet:
		s.step, s.retryAt = safeCheck, 0
		if !out.Accepted {
			s.step, s.retryAt = safeSet, g.now.Mono+SafeAgainMillis
			g.failSafe(id, record.PowerFailSafe{Status: record.FailSafeRefused, Level: int64(d.level), Detail: clip(out.Status)})
			return
		}
		was, same := g.failSafeOf(id)
		g.failSafe(id, record.PowerFailSafe{Status: record.FailSafeInstalled, Level: int64(d.level), Verified: same && was.Verified && was.Level == d.level})
	case safeCheck:
		s.step = safeDone
		g.verifyFailSafe(id, d.level, out)
	}
}

// verifyFailSafe compares the charger's own composite schedule with what it has
// acknowledged. One that does not have any to show is taken at its word.
func (g *Gateway) verifyFailSafe(id holdfast.ChargerID, l power.Level, out ocpp.Outcome) {
	unit, most, ok := ocpp.CompositeMost(out.Body)
	w := g.cfg.wiring(id)
	if !out.Accepted || !ok || power.Unit(unit) != w.Unit {
		return
	}
	if limit := g.power.site.Tenths(w, l); most > limit+limit/50+1 {
		s := g.power.safes[id]
		s.step, s.retryAt = safeSet, g.now.Mono+SafeAgainMillis
		g.failSafe(id, record.PowerFailSafe{Status: record.FailSafeNotObeyed, Level: int64(l), Detail: fmt.Sprintf("its composite schedule permits %s %s, not %s", ocpp.Tenths(most), unit, ocpp.Tenths(limit))})
		return
	}
	g.failSafe(id, record.PowerFailSafe{Status: record.FailSafeInstalled, Level: int64(l), Verified: true})
}

// failSafe records what is new about a charger's fail-safe. Without one it counts
// at its rated power, and a person has to look.
func (g *Gateway) failSafe(id holdfast.ChargerID, b record.PowerFailSafe) {
	b.Unit = string(g.power.site.Unit)
	was, ok := g.state.Power.FailSafe[id]
	if !ok || was != (FailSafeNow{b.Status, power.Level(b.Level), b.Verified}) || g.state.Power.Unit != b.Unit {
		g.emit(record.Record{Charger: id, Body: &b})
	}
	if s := g.power.safes[id]; b.Status != record.FailSafeInstalled && !s.raised {
		s.raised = true
		g.raise(record.Record{Charger: id}, "POWER_FAILSAFE", fmt.Sprintf("fail-safe profile %s: %s; the charger counts with %d W on each EVSE", b.Status, b.Detail, g.cfg.power(id)))
	}
}

// noPower reports whether a charger may begin no session: it holds no fail-safe,
// and at its rated power the site would be above its limit.
func (g *Gateway) noPower(id holdfast.ChargerID) bool {
	p := &g.power
	if !p.shared || p.safes[id] == nil {
		return false
	}
	if _, ok := g.failSafeOf(id); ok {
		return false
	}
	sum := power.Level(0)
	for _, o := range p.outlets {
		sum += max(o.Bound(), g.floor(o))
	}
	l := g.state.Power.Limit
	return l == nil || sum > power.Level(l.Level)
}

// scheduleOf reads an installed schedule; nil when it cannot be read, which a
// verified one always can.
func scheduleOf(bytes []byte) *power.Schedule {
	u, err := statement.Peek(bytes)
	if err != nil {
		return nil
	}
	s, err := power.DecodeSchedule(u.Payload)
	if err != nil {
		return nil
	}
	return &s
}
