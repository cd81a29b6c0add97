package ledger

import (
	"github.com/holdfast-ev/holdfast"
	"github.com/holdfast-ev/holdfast/record"
	"github.com/holdfast-ev/holdfast/session"
)

// A View is a session as its evidence tells it: what lists, neighbours and
// people look at.
type View struct {
	ID           holdfast.SessionID  `json:"id"`
	Opening      holdfast.Pos        `json:"opening"`
	Charger      holdfast.ChargerID  `json:"charger"`
	EVSE         int                 `json:"evse"`
	Connector    int                 `json:"connector"`
	Token        holdfast.TokenHash  `json:"token"`
	Source       record.StartSource  `json:"source,omitempty"` // "" when only the stop arrived
	Offline      bool                `json:"offline"`          // began while the site's link was down, or the charger was offline
	Running      bool                `json:"running"`
	Failed       bool                `json:"failed"` // ended without energy in less than session.FailedSeconds: no CDR
	Started      holdfast.UnixMilli  `json:"started"`
	Stopped      holdfast.UnixMilli  `json:"stopped,omitempty"` // 0 while running
	Quality      holdfast.Quality    `json:"quality"`           // of Started and Stopped as absolute times
	Seconds      int64               `json:"seconds"`
	IdleS        int64               `json:"idle_s"`                  // of which no energy flowed
	SpanQuality  holdfast.Quality    `json:"span_quality,omitempty"`  // of Seconds and IdleS
	StartedClaim holdfast.UnixMilli  `json:"started_claim,omitempty"` // what the charger says, where Started is not that
	StoppedClaim holdfast.UnixMilli  `json:"stopped_claim,omitempty"`
	Energy       holdfast.WattHours  `json:"wh"`
	Start        *holdfast.WattHours `json:"start,omitempty"` // first trusted register
	Stop         *holdfast.WattHours `json:"stop,omitempty"`  // last trusted register
	Spans        []session.Span      `json:"spans,omitempty"` // more than one: the meter was reset
	Reason       string              `json:"reason,omitempty"`
	Labels       map[string]string   `json:"labels"`
	Tariff       *record.TariffRef   `json:"tariff,omitempty"`
	Records      int                 `json:"records"` // distinct records that were folded
}

func view(e evidence, s *session.Session, b session.Bill) View {
	v := View{
		ID: s.ID, Opening: e.opening.Pos, Charger: s.Charger, EVSE: s.EVSE(), Token: s.Token(),
		Running: s.Running(), Started: b.Started, Stopped: b.Stopped, Quality: b.Quality,
		Seconds: b.Seconds, IdleS: b.IdleS, SpanQuality: b.SpanQuality, Energy: s.Meter.Energy(), Spans: s.Meter.Spans,
		Labels: s.Labels, Records: len(e.items),
	}
	if b.StartedClaim != b.Started {
		v.StartedClaim = b.StartedClaim
	}
	if b.StoppedClaim != b.Stopped {
		v.StoppedClaim = b.StoppedClaim
	}
	if wh, ok := s.Meter.First(); ok {
		v.Start = &wh
	}
	if wh, ok := s.Meter.Last(); ok {
		v.Stop = &wh
	}
	if o := s.Opened; o != nil {
		v.Connector, v.Source, v.Tariff = o.Connector, o.Source, o.Tariff
		v.Offline = o.Offline || o.Link == holdfast.Offline
	} else {
		v.Connector, v.Reason = s.Orphan.Connector, s.Orphan.Reason
	}
	if s.Ended != nil {
		v.Reason = s.Ended.Reason
	}
	return v
}
