package gateway

import (
	"slices"

	"github.com/holdfast-ev/holdfast"
	"github.com/holdfast-ev/holdfast/access"
	"github.com/holdfast-ev/holdfast/ocpp"
	"github.com/holdfast-ev/holdfast/record"
	"github.com/holdfast-ev/holdfast/uplink"
)

// ask is an online authorisation under way: the charger's message waits for it.
type ask struct {
	conn     ConnID
	message  message
	token    holdfast.TokenHash
	evse     int
	deadline int64 // mono ms
}

// How a credential came to be judged (record.AccessDecided.Via).
const (
	viaAuthorize = "authorize"
	viaStart     = "start"
	viaRemote    = "remote"
)

// authorize answers Authorize. In 1.6 energy may flow as soon as the answer is
// there, so the decision is durable and its exposure reserved before it goes.
func (g *Gateway) authorize(m message, ev ocpp.Authorize) ocpp.Answer {
	token := g.hash(ev.Token)
	for _, ses := range g.state.running(m.conn.charger) {
		if ses.Token() == token {
			// The driver of a running session: to stop it, not to begin another.
			return ocpp.AuthAnswer{Status: ocpp.AuthAccepted}
		}
	}
	if d := g.pending(m.conn.charger, token); d != nil {
		return ocpp.AuthAnswer{Status: ocpp.AuthAccepted, Group: d.Body.Group}
	}
	v := g.judge(m.conn.charger, 0, token, access.Told{})
	if v.Ask {
		g.ask(m, token, 0)
		return nil
	}
	_, answer := g.decided(m.conn.charger, 0, ev.Token, viaAuthorize, v)
	return answer
}

// pending returns the oldest decision that a session may still begin on.
func (g *Gateway) pending(id holdfast.ChargerID, token holdfast.TokenHash) *Decision {
	for _, d := range g.state.waiting(token) {
		if d.Charger == id && !g.lapsed(d) {
			return d
		}
	}
	return nil
}

func (g *Gateway) lapsed(d *Decision) bool { return g.since(d.At, d.Ran) >= d.Body.LapsesIn }

// judge asks package access about a credential. told is what the cloud said
// about it, if it was asked.
func (g *Gateway) judge(id holdfast.ChargerID, evse int, token holdfast.TokenHash, told access.Told) access.Decision {
	state, _, _ := g.line.State()
	told.Asked = told.Asked || len(g.asks) >= MaxPendingAsks
	return g.state.Access.Decide(g.cfg.Site, access.Request{
		Now: g.now, Link: state, Token: token, Charger: id, EVSE: evse, Space: g.room(), CutOut: g.cutOff(), NoPower: g.noPower(id),
		LiveSessions: g.state.live(token) + g.waiting(token),
		Worst:        g.worst(id),
		Cloud:        told,
	})
}

// waiting counts decisions of a token that no session rests on yet: each may
// become a session.
func (g *Gateway) waiting(token holdfast.TokenHash) (n int64) {
	for _, d := range g.state.waiting(token) {
		if !g.lapsed(d) {
			n++
		}
	}
	return n
}

// worst returns the price of the most that limits allow on a charger.
func (g *Gateway) worst(id holdfast.ChargerID) func(holdfast.Limits) holdfast.Micros {
	t := g.tariffNow()
	if t == nil {
		return nil
	}
	return func(l holdfast.Limits) holdfast.Micros {
		power := g.cfg.power(id)
		if l.Power > 0 {
			power = min(power, l.Power)
		}
		w := t.Worst(l.Seconds, l.Energy, power)
		if l.Cost > 0 {
			w = min(w, l.Cost)
		}
		return w
	}
}

// decided records a verdict and returns its seq (nil when refused and
// coalesced) and what the charger is told.
func (g *Gateway) decided(id holdfast.ChargerID, evse int, t holdfast.Token, via string, d access.Decision) (*holdfast.Seq, ocpp.AuthAnswer) {
	token := g.hash(t)
	state, _, _ := g.line.State()
	r := record.Record{Charger: id, Body: &record.AccessDecided{
		Token: token, EVSE: evse, Via: via, Accepted: d.Accepted, Rule: d.Rule, Reason: d.Reason, Source: d.Source,
		GrantID: d.GrantID, ListVersion: d.ListVersion, ListAgeS: d.ListAgeS, Link: state,
		Limits: d.Limits, Reserved: d.Reserve, LapsesIn: d.LapsesIn, Count: 1, Group: d.Group,
	}}
	if !d.Accepted {
		g.counters.Starts[StartKey{"refused", d.Rule}]++
		key := coalesceKey{charger: id, kind: "refused/" + d.Rule, token: token}
		if g.coalesced[key] == nil {
			r.Body.(*record.AccessDecided).Sealed = g.seal(t.Value)
		}
		g.once(key, r)
		return nil, ocpp.AuthAnswer{Status: ocpp.AuthStatus(d.Status), Group: d.Group}
	}
	g.counters.Starts[StartKey{"accepted", d.Source}]++
	r.Body.(*record.AccessDecided).Sealed = g.seal(t.Value)
	seq := g.state.Next
	g.emit(r)
	return &seq, ocpp.AuthAnswer{Status: ocpp.AuthAccepted, Group: d.Group}
}

// ask puts a question to the cloud; the message is answered when the answer, or
// its time limit, is there.
func (g *Gateway) ask(m message, token holdfast.TokenHash, evse int) {
	g.lastID++
	g.asks[g.lastID] = &ask{conn: m.conn.id, message: m, token: token, evse: evse, deadline: g.now.Mono + uplink.MaxAskWaitMillis}
	g.ready.Asks = append(g.ready.Asks, Ask{g.lastID, uplink.Ask{Token: token, Charger: m.conn.charger, EVSE: evse}})
}

// told goes on with a message that waited for the cloud. A grant is installed
// first, so that the decision rests on something that is in the journal; no
// answer means that the local rules decide as if the link were down.
func (g *Gateway) told(in Told) {
	a := g.asks[in.ID]
	if a == nil {
		return
	}
	delete(g.asks, in.ID)
	verdict := g.verdict(a, in)
	var answer ocpp.Answer
	switch ev := a.message.event.(type) {
	case ocpp.Authorize:
		_, answer = g.decided(a.message.conn.charger, 0, ev.Token, viaAuthorize, verdict)
	case ocpp.Transaction:
		answer = g.transactionDecided(a.message, ev, verdict)
	}
	if answer != nil {
		g.answer(a.message, answer)
	}
}

func (g *Gateway) verdict(a *ask, in Told) access.Decision {
	told := access.Told{Asked: true}
	switch {
	case in.Err != "":
	case !in.Ack.Accepted:
		told.Refused, told.Reason = in.Ack.Status, clip(in.Ack.Reason)
	default:
		b, err := g.check(uplink.InstallGrant, in.Ack.Grant)
		if err != nil {
			// Not an answer that anything may rest on; the local rules decide.
			g.security(a.message.conn.charger, "bad_grant", "")
			break
		}
		g.emit(record.Record{Body: b})
		told.Grant = b.ID
	}
	return g.judge(a.message.conn.charger, a.evse, a.token, told)
}

// expireAsks decides locally what the cloud did not answer in time.
func (g *Gateway) expireAsks() {
	var due []uint64
	for id, a := range g.asks {
		if g.now.Mono >= a.deadline {
			due = append(due, id)
		}
	}
	slices.Sort(due)
	for _, id := range due {
		g.told(Told{ID: id, Err: "no answer in time"})
	}
}

// lapse releases decisions that no session began on in time.
func (g *Gateway) lapse() {
	var due []holdfast.Seq
	for seq, d := range g.state.Pending {
		if g.lapsed(d) {
			due = append(due, seq)
		}
	}
	slices.Sort(due)
	for _, seq := range due {
		g.emit(record.Record{Charger: g.state.Pending[seq].Charger, Body: &record.AccessLapsed{Decision: seq}})
	}
}
