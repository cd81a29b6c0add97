package gateway

import (
	"math"
	"slices"

	"github.com/holdfast-ev/holdfast"
	"github.com/holdfast-ev/holdfast/ocpp"
	"github.com/holdfast-ev/holdfast/record"
	"github.com/holdfast-ev/holdfast/session"
	"github.com/holdfast-ev/holdfast/statement"
	"github.com/holdfast-ev/holdfast/tariff"
)

// limits compares a running session with its limits and acts.
func (g *Gateway) limits(ses *Session) {
	l := g.live[ses.ID]
	if l == nil || !ses.Running() {
		return
	}
	seen := session.Live{
		AgeS: (g.now.Mono - l.at) / 1000, Power: l.power, Cap: l.cap, ElapsedS: g.since(ses.OpenedAt, ses.Ran) / 1000,
	}
	if l.reading != nil {
		seen.Register = l.reading.Register
	}
	for _, b := range ses.Breaches(seen, g.pricer(ses)) {
		if ses.Limited[b.Kind] == b.Action {
			continue
		}
		if l.reading != nil && b.Action == session.ActionStop && ses.Readings < MaxReadingsKept {
			g.evidence(ses, l, *l.reading, session.WhyLimit)
		}
		body := &record.SessionLimited{Kind: b.Kind, Limit: b.Limit, Worst: b.Worst, Action: b.Action}
		if b.Action == session.ActionThrottle {
			body.SetPoint = b.Limit
		}
		g.emit(record.Record{Session: ses.ID, Charger: ses.Charger, Body: body})
		g.counters.Limits[b.Kind]++
	}
	g.enforce(ses)
}

// enforce stops a session that must not go on, again if it was not obeyed. What
// it may draw while it goes on is ordered by [Gateway.steer].
func (g *Gateway) enforce(ses *Session) {
	if g.doomed(ses) {
		g.order(ses)
	}
}

// order tells the charger to stop a session. An order that is not obeyed, or
// could not be sent, goes out again after [StopRetryMillis]: it is the same
// however often it arrives. While one waits for its turn or its answer there is
// no second: a charger that says nothing would find hundreds of them when it
// speaks again.
func (g *Gateway) order(ses *Session) {
	l, c := g.live[ses.ID], g.chargers[ses.Charger]
	if l == nil || c == nil || c.toldToStop(ses.ID) {
		return
	}
	if l.stopped != 0 && g.now.Mono-l.stopped < g.stopRetry() {
		return
	}
	l.stopped = g.now.Mono + 1
	g.urgent(c, call{command: ocpp.RemoteStop{ID: txID(ses)}, session: ses.ID})
}

// txID is the transaction id as the charger knows it.
func txID(ses *Session) string {
	if id := ses.Labels[LabelOCPP2]; id != "" {
		return id
	}
	return ses.Labels[LabelOCPP16]
}

// tariffNow is the tariff in force for new sessions, nil when there is none.
func (g *Gateway) tariffNow() *tariff.Tariff {
	if g.state.Tariff == nil {
		return nil
	}
	return g.parsed(g.state.Tariff.Ref.Hash, g.state.Tariff.Bytes)
}

// parsed caches a tariff: it is asked for at every reading.
func (g *Gateway) parsed(hash holdfast.Hash, bytes []byte) *tariff.Tariff {
	if t, ok := g.tariffs[hash]; ok {
		return t
	}
	u, err := statement.Peek(bytes)
	if err != nil {
		return nil
	}
	st, err := statement.DecodeTariff(u.Payload)
	if err != nil {
		return nil
	}
	t, err := tariff.Parse(st.OCPI)
	if err != nil {
		return nil
	}
	if len(g.tariffs) >= MaxTariffsParsed {
		clear(g.tariffs)
	}
	g.tariffs[hash] = t
	return t
}

// MaxTariffsParsed bounds the cache of parsed tariffs.
const MaxTariffsParsed = 64

// tariffOf is the tariff that was in force when the session began.
func (g *Gateway) tariffOf(ses *Session) *tariff.Tariff {
	if ses.Opened == nil || ses.Opened.Tariff == nil {
		return nil
	}
	hash := ses.Opened.Tariff.Hash
	if bytes, ok := g.state.Tariffs[hash]; ok {
		return g.parsed(hash, bytes)
	}
	return nil
}

// pricer prices a running session of which only energy and time are known.
func (g *Gateway) pricer(ses *Session) func(holdfast.WattHours, int64) holdfast.Micros {
	t := g.tariffOf(ses)
	if t == nil {
		return nil
	}
	return func(wh holdfast.WattHours, seconds int64) holdfast.Micros {
		bill, err := t.Price(tariff.Usage{Energy: wh, ChargingS: seconds})
		if err != nil {
			return math.MaxInt64 // beyond what a tariff can price is beyond every limit
		}
		return bill.Gross
	}
}

// cost prices a session as it ends, for the exposure.
func (g *Gateway) cost(ses *Session, end *record.SessionEnded) holdfast.Micros {
	t := g.tariffOf(ses)
	if t == nil {
		return 0
	}
	trial := ses.Session
	trial.Meter.Spans = slices.Clone(ses.Meter.Spans)
	if err := trial.Apply(record.Record{At: g.now, Body: end}); err != nil {
		return 0
	}
	bill := trial.Bill()
	if bill.Failed {
		return 0
	}
	priced, err := t.Price(usage(bill))
	if err != nil || t.ByTime() && bill.SpanQuality == holdfast.Unknown && !trial.ClaimsSpan() {
		return ses.Opened.Reserved // what it could have cost at the worst stays at risk
	}
	return priced.Gross
}
