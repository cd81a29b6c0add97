package gateway

import (
	"github.com/holdfast-ev/holdfast"
	"github.com/holdfast-ev/holdfast/power"
	"github.com/holdfast-ev/holdfast/record"
)

// A PowerStatus is how the site's limit is shared now.
type PowerStatus struct {
	Unit     power.Unit     `json:"unit"`    // of the levels: W, or tenths of A per phase
	Max      power.Level    `json:"max"`     // commissioned
	Limit    power.Level    `json:"limit"`   // in force
	Watts    holdfast.Watts `json:"limit_w"` // what that is on the whole site
	Source   string         `json:"source"`  // site, schedule, failsafe or clock
	Schedule uint64         `json:"schedule_version,omitempty"`
	Bound    power.Level    `json:"may_draw"` // the most that the chargers may draw now, idle ones included
	BoundW   holdfast.Watts `json:"may_draw_w"`
	Missing  []string       `json:"without_failsafe"` // chargers that count with their full power
}

// A CutOutStatus is the safety cut-out now.
type CutOutStatus struct {
	Fitted  bool   `json:"fitted"`
	Active  bool   `json:"active"`  // the input says stop, or has not been read yet
	Latched bool   `json:"latched"` // nothing starts until a person has released it
	ForS    int64  `json:"for_s,omitempty"`
	Line    string `json:"line,omitempty"`
	Result  string `json:"result,omitempty"`    // stopped or not_stopped
	Ms      int64  `json:"result_ms,omitempty"` // after it tripped
}

// powerStatus is nil where no limit is shared.
func (g *Gateway) powerStatus() *PowerStatus {
	p := &g.power
	if !p.shared {
		return nil
	}
	s := &PowerStatus{Unit: p.site.Unit, Max: p.site.Max, Missing: []string{}}
	if l := g.state.Power.Limit; l != nil {
		s.Limit, s.Watts, s.Source, s.Schedule = power.Level(l.Level), l.Watts, l.Source, l.Version
	}
	for _, o := range p.outlets {
		s.Bound += o.Bound()
	}
	s.BoundW = p.site.ToWatts(s.Bound)
	for _, id := range p.order {
		if _, ok := g.failSafeOf(id); !ok {
			s.Missing = append(s.Missing, string(id))
		}
	}
	return s
}

func (g *Gateway) cutOutStatus() CutOutStatus {
	now := g.state.Power.CutOut
	s := CutOutStatus{Fitted: g.cfg.CutOut.Fitted, Latched: now.Latched, Line: now.Line, Result: now.Result, Ms: now.Ms}
	s.Active = s.Fitted && (!g.cut.known || g.cut.active)
	if now.Latched {
		s.ForS = g.since(now.At, now.Ran) / 1000
	}
	return s
}

// setPointOf returns what a session's charger has acknowledged that it may draw,
// W; nil when nothing was ordered.
func (g *Gateway) setPointOf(ses *Session) *holdfast.Watts {
	o := g.power.byKey[evse{ses.Charger, ses.EVSE()}]
	if o == nil || o.session != ses.ID || o.Acked == power.None {
		return nil
	}
	w := g.power.site.Drawn(o.wiring, o.Acked)
	return &w
}

// powerService says what of the power rules keeps drivers from charging.
func (g *Gateway) powerService() (ChargingState, string) {
	switch {
	case g.state.Power.CutOut.Result == record.CutOutNotStopped:
		return ChargingStopped, "the safety cut-out has tripped, and sessions did not stop in time"
	case g.state.Power.CutOut.Latched:
		return ChargingStopped, "the safety cut-out has tripped; release it at the site: holdfast-gateway cutout release"
	case g.cutOff():
		return ChargingStopped, "the safety cut-out's input has not been read yet"
	}
	return ChargingOK, ""
}
