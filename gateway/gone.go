package gateway

import (
	"github.com/holdfast-ev/holdfast"
	"github.com/holdfast-ev/holdfast/ocpp"
	"github.com/holdfast-ev/holdfast/session"
)

// askStill asks a charger that has come back whether a session of ours still
// runs there (2.0.1 E14): its end may have been lost with a broken disk, or wait
// to be sent. At most once a minute per session, however often it reconnects.
func (g *Gateway) askStill(c *conn, ses *Session) {
	l := g.live[ses.ID]
	if c.dialect.Version() == ocpp.V16 || ses.Labels[LabelOCPP2] == "" || l == nil {
		return
	}
	if l.stillAsked != 0 && g.now.Mono+1-l.stillAsked < CoalesceMillis {
		return
	}
	l.stillAsked = g.now.Mono + 1
	g.command(c, call{command: ocpp.GetTransactionStatus{ID: ses.Labels[LabelOCPP2]}, session: ses.ID})
}

// still draws the consequence of the answer. What waits to be sent will come, and
// what runs goes on. What neither runs nor has anything to be sent has ended in a
// way that nobody will ever tell: it is closed without an end register, and the
// books ask a person (PAIR_MISSING_STOP).
func (g *Gateway) still(id holdfast.SessionID, out ocpp.Outcome) {
	ses := g.state.Sessions[id]
	if ses == nil || !ses.Running() || !out.Accepted || out.Queued || out.Ongoing == nil || *out.Ongoing {
		return
	}
	g.abandon(ses, session.ReasonGone)
}
