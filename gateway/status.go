package gateway

import (
	"cmp"
	"slices"

	"github.com/holdfast-ev/holdfast"
	"github.com/holdfast-ev/holdfast/ocpp"
	"github.com/holdfast-ev/holdfast/uplink"
)

// Counters count since this boot. Maps are keyed by what a metric is labelled
// with; none is labelled with a session or a token.
type Counters struct {
	Connections   uint64
	Calls         uint64
	BadFrames     uint64 // answered with a CALLERROR, or dropped as the standard says
	Tolerated     uint64 // broke the schema and were acted on, as the configuration permits
	StrayResults  uint64 // answers to nothing
	UnreadAnswers uint64 // answers of ours that a charger could not use (2.1 CALLRESULTERROR)
	Repeats       uint64 // starts and stops that came again
	Sessions      uint64
	Quarantined   uint64             // damaged pieces of the journals that were set aside
	Repaired      uint64             // that the cloud's copy took the place of
	Energy        holdfast.WattHours // metered in sessions that have ended
	Starts        map[StartKey]uint64
	Limits        map[string]uint64
	Security      map[string]uint64
	Exceptions    map[string]uint64
	Transitions   map[TransitionKey]uint64
	ClockDoubts   map[string]uint64 // times that were not heeded, by source
}

// StartKey labels holdfast_session_starts_total.
type StartKey struct {
	Result string // "accepted" or "refused"
	Source string // what it rests on; of a refusal, the rule
}

// TransitionKey labels holdfast_link_transitions_total.
type TransitionKey struct {
	From, To holdfast.LinkState
	Cause    holdfast.Cause
}

func newCounters() Counters {
	return Counters{
		Starts: map[StartKey]uint64{}, Limits: map[string]uint64{}, Security: map[string]uint64{},
		Exceptions: map[string]uint64{}, Transitions: map[TransitionKey]uint64{}, ClockDoubts: map[string]uint64{},
	}
}

// Counters returns the counts since this boot. The maps are the core's own: the
// loop's goroutine may read them, nobody may change them.
func (g *Gateway) Counters() Counters { return g.counters }

// ChargingState is the service state beside the link state: the two are
// different things, and OFFLINE with OK is the normal case of an outage.
type ChargingState string

// The charging states.
const (
	ChargingOK       ChargingState = "OK"
	ChargingDegraded ChargingState = "DEGRADED" // some drivers cannot charge, or under tighter limits
	ChargingStopped  ChargingState = "STOPPED"  // nobody can start
)

// A Status is what a person or a metric wants to know of a gateway now.
type Status struct {
	Gateway     holdfast.GatewayID  `json:"gateway"`
	Site        holdfast.SiteID     `json:"site"`
	Software    string              `json:"software"`
	Now         holdfast.Instant    `json:"now"`
	Boot        uint32              `json:"boot"`
	Epoch       holdfast.Epoch      `json:"epoch"`
	Link        holdfast.LinkState  `json:"link"`
	Cause       holdfast.Cause      `json:"cause"`
	LinkForS    int64               `json:"link_for_s"`
	Charging    ChargingState       `json:"charging"`
	Why         string              `json:"why,omitempty"` // of a charging state that is not OK
	ListVersion uint64              `json:"list_version"`
	ListAgeS    int64               `json:"list_age_s"` // -1 unknown
	ListStage   string              `json:"list_stage"`
	Tariff      string              `json:"tariff,omitempty"`
	Records     uint64              `json:"records"` // evidence records in the current epoch
	Backlog     uint64              `json:"backlog"` // of which the cloud has not reconciled
	Bytes       int64               `json:"bytes"`   // of the evidence journal on the disk
	FreeBytes   int64               `json:"free_bytes"`
	Gaps        []Gap               `json:"gaps"`            // records that cannot be read
	Exposure    holdfast.Micros     `json:"exposure"`        // money at risk
	Power       *PowerStatus        `json:"power,omitempty"` // nil: no limit is shared
	CutOut      CutOutStatus        `json:"cutout"`
	Chargers    []ChargerStatus     `json:"chargers"`
	Sessions    []SessionStatus     `json:"sessions"` // running
	Links       []uplink.LinkStatus `json:"links"`    // the ways to the cloud
}

// ChargerStatus is one charger in a [Status].
type ChargerStatus struct {
	ID         holdfast.ChargerID           `json:"id"`
	Connected  bool                         `json:"connected"`
	Version    string                       `json:"version,omitempty"`
	Vendor     string                       `json:"vendor,omitempty"`
	Model      string                       `json:"model,omitempty"`
	Firmware   string                       `json:"firmware,omitempty"`
	Connectors map[int]ocpp.ConnectorStatus `json:"connectors,omitempty"` // as last reported on this connection
	Native     NativeStatus                 `json:"native"`               // how it would cope without the gateway
	Clock      *ChargerClockStatus          `json:"clock,omitempty"`      // nil: it has shown no time since this boot
}

// SessionStatus is one running session in a [Status].
type SessionStatus struct {
	ID       holdfast.SessionID `json:"id"`
	Charger  holdfast.ChargerID `json:"charger"`
	EVSE     int                `json:"evse"`
	ForS     int64              `json:"for_s"`
	Energy   holdfast.WattHours `json:"wh"`
	Power    holdfast.Watts     `json:"w"`
	Offline  bool               `json:"offline"` // began without a link
	Limits   holdfast.Limits    `json:"limits"`
	SetPoint *holdfast.Watts    `json:"set_point_w,omitempty"` // acknowledged by its charger
	Stopping bool               `json:"stopping"`              // a limit was reached
}

// Status describes the gateway at an instant.
func (g *Gateway) Status(now holdfast.Instant) Status {
	g.now = now
	state, cause, since := g.line.State()
	age, stage := g.state.Access.Freshness(now)
	s := Status{
		Gateway: g.cfg.Gateway, Site: g.cfg.Site, Software: g.cfg.Software, Now: now, Boot: g.state.Boot, Epoch: g.epoch[holdfast.Evidence],
		Link: state, Cause: cause, LinkForS: (now.Mono - since) / 1000,
		ListVersion: g.state.Access.ListVersion(), ListAgeS: age, ListStage: string(stage),
		Records: uint64(g.state.Next), Backlog: g.line.Backlog(), Bytes: g.journalSize, FreeBytes: g.free,
		Gaps: append([]Gap{}, g.state.Gaps...), Exposure: g.state.Access.Exposure(), Chargers: []ChargerStatus{}, Sessions: []SessionStatus{},
		Links: g.router.Status(now),
	}
	if g.state.Tariff != nil {
		s.Tariff = g.state.Tariff.Ref.ID
	}
	s.Power, s.CutOut = g.powerStatus(), g.cutOutStatus()
	s.Charging, s.Why = g.service(s)
	for id := range g.cfg.Chargers {
		s.Chargers = append(s.Chargers, g.chargerStatus(id))
	}
	slices.SortFunc(s.Chargers, func(a, b ChargerStatus) int { return cmp.Compare(a.ID, b.ID) })
	for _, ses := range g.state.allRunning() {
		s.Sessions = append(s.Sessions, g.sessionStatus(ses))
	}
	return s
}

func (g *Gateway) service(s Status) (ChargingState, string) {
	if st, why := g.powerService(); st != ChargingOK {
		return st, why
	}
	switch {
	case g.state.Refusing:
		return ChargingStopped, "no space to write a new session to its end"
	case s.ListVersion == 0:
		return ChargingDegraded, "no access list installed: only grants are accepted"
	case s.ListStage != "fresh":
		return ChargingDegraded, "the access list is " + s.ListStage + ": limits are tighter"
	}
	return ChargingOK, ""
}

func (g *Gateway) chargerStatus(id holdfast.ChargerID) ChargerStatus {
	cs := ChargerStatus{ID: id, Native: g.nativeStatus(id)}
	if known := g.state.Chargers[id]; known != nil {
		cs.Version, cs.Vendor, cs.Model, cs.Firmware = known.Boot.Version, known.Boot.Vendor, known.Boot.Model, known.Boot.Firmware
	}
	if c := g.chargers[id]; c != nil {
		cs.Connected, cs.Version = true, string(c.dialect.Version())
		cs.Connectors = map[int]ocpp.ConnectorStatus{}
		for evse, st := range c.connectors {
			cs.Connectors[evse] = st
		}
	}
	cs.Clock = g.clockStatus(id)
	return cs
}

func (g *Gateway) sessionStatus(ses *Session) SessionStatus {
	st := SessionStatus{
		ID: ses.ID, Charger: ses.Charger, EVSE: ses.EVSE(), ForS: g.since(ses.OpenedAt, ses.Ran) / 1000, Energy: ses.Meter.Energy(),
		Offline: ses.Opened.Link == holdfast.Offline, Limits: ses.Opened.Limits, Stopping: len(ses.Limited) > 0,
	}
	if l := g.live[ses.ID]; l != nil {
		st.Power, st.SetPoint = l.power, g.setPointOf(ses)
		if last, ok := ses.Meter.Last(); ok && l.reading != nil && *l.reading.Register > last {
			st.Energy += *l.reading.Register - last
		}
	}
	return st
}
